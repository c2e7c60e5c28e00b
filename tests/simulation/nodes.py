"""What the jobs of a simulated cluster ask for beyond cores, and on which of its nodes they run.

wanted(b"#!/bin/bash\\n#FAKE memory 1000\\n")        # {"memory": "1000"}
asked = asked_of(wanted(script), run, attempt, "7_3")   # on a node that is not excluded

Nothing is drawn for that: it hangs on the scheduler's id alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry_common.names import AttemptKey, RunId

NODES: Final = ("n1", "n2", "n3", "n4")
#: how jobs end that ask for memory and leave no record, by turns
_ENDS: Final = (
    *("out_of_memory", "preempted", "out_of_memory", "node_failure"),
    *("out_of_memory", "preempted", "out_of_memory"),
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a job asked for that began to run."""

    run: RunId
    attempt: AttemptKey
    memory: int = 0  #: in MB; 0: nothing
    time: int = 0  #: in seconds; 0: nothing
    excluded: tuple[str, ...] = ()
    node: str = ""  #: where it was put


def wanted(script: bytes) -> dict[str, str]:
    """Return what a script's header asks for."""
    words = [line.split(" ", 2) for line in script.decode().splitlines() if line[:6] == "#FAKE "]
    return {name: value for _, name, value in words}


def asked_of(wish: Mapping[str, str], run: RunId, attempt: AttemptKey, id_: str) -> Asked:
    """Return what a job asks for, with a node that it does not exclude, if there is one."""
    excluded = tuple(filter(None, wish.get("exclude", "").split(",")))
    first = zlib.crc32(id_.encode()) % len(NODES)
    order = NODES[first:] + NODES[:first]
    return Asked(
        run=run,
        attempt=attempt,
        memory=int(wish.get("memory", 0)),
        time=int(wish.get("time", 0)),
        excluded=excluded,
        node=next((node for node in order if node not in excluded), order[0]),
    )


def fate_of(wish: Mapping[str, str], id_: str, drawn: str) -> str:
    """Return what becomes of a job: of those that ask for memory, most that would fail leave no record."""
    killed = drawn == "task_fails" and "memory" in wish and _turn(id_, 3)
    return "no_record" if killed else drawn


def ill(wish: Mapping[str, str], id_: str) -> str:
    """Return how a job ends that left no record: of those that ask for memory, by turns."""
    return _ENDS[_turn(id_, len(_ENDS))] if "memory" in wish else "node_failure"


def _turn(id_: str, of: int) -> int:
    return sum(int(part) for part in id_.split("_")) % of
