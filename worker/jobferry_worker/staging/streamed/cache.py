"""What the far side's cache holds of a batch: asked once, and checked there before it is used.

answer = ask(far, questions)
answer.sound        {"5/9f86d0…"}                    objects whose content is what their name says
answer.slots        {"<key>": ["<stamp>", "packs/…"]}  groups, and files known by their stamp
answer.sizes        {"5/9f86d0…"}                    objects of a size, not checked yet
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_worker.staging.streamed.far import Far


@dataclass(slots=True)
class Answer:
    """What is there."""

    squeezes: bool = False  #: the far side can undo compression
    sound: set[str] = field(default_factory=set)
    slots: dict[str, list[str]] = field(default_factory=dict)
    sizes: set[str] = field(default_factory=set)


def ask(far: Far, questions: Iterable[str], reads: int) -> Answer:
    """Ask what is there; what does not hold what its name says is removed by that.

    Raises:
        OSError: it could not be asked.
    """
    each = [question.encode() for question in questions]
    lines = far.ask("ask", far.cache, each=each, end=b"\n", reads=reads).decode().split("\n")
    if "end" not in lines:
        raise OSError(errno.EIO, "its answer is cut short", far.cache)
    answer = Answer()
    for line in lines:
        word, *rest = line.split() or [""]
        if word == "o":
            answer.sound.add(rest[0])
        elif word == "z":
            answer.sizes.add(rest[0])
        elif word == "a":
            answer.slots[rest[0]] = rest[1:]
        elif word == "gzip":
            answer.squeezes = True
    return answer
