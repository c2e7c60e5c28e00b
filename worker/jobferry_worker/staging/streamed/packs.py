r"""Packs: the small files of a group as one archive, kept on the far side and unpacked there for each run.

A slot of the cache tells which packs make up a group as it was sent last, and what was in it:

    <stamp> packs/<digest> packs/<digest>\n         laid over each other
    <fingerprint> <stamp>\n …                       of each file: name, mode and content; and whether it was touched

Nothing of a group that nobody touched is read. Of a group that changed in part only the changed files travel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_worker.staging.streamed import reading
from jobferry_worker.staging.streamed.batches import whole_stamp
from jobferry_worker.staging.streamed.reading import NO_STAMP
from jobferry_worker.staging.streamed.records import pack, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobferry_common.document import Header
    from jobferry_worker.staging.streamed.batches import Group
    from jobferry_worker.staging.streamed.cache import Answer
    from jobferry_worker.staging.streamed.far import Far
    from jobferry_worker.staging.streamed.sources import File
    from jobferry_worker.staging.streamed.squeezing import Squeezing

_DIGITS: Final = 32
#: laid over each other; then the group is sent as a whole
_MOST_PACKS: Final = 8


@dataclass(frozen=True, slots=True)
class _Known:
    """A group as the far side has it."""

    packs: list[str]
    stamps: dict[str, str]  #: stamp → fingerprint
    fingerprints: set[str]


def pack_keys(header: Header, groups: Sequence[Group]) -> list[str]:
    """Return the names of the groups' slots."""
    return [group.key(header) for group in groups]


def pack_records(
    far: Far, group: Group, key: str, answer: Answer, squeezing: Squeezing
) -> Iterator[bytes]:
    """Return the records that bring a group to its place."""
    stamps, packs = group.stamps(), []
    if key in answer.slots:
        there, *packs = answer.slots[key]
        if whole_stamp(stamps) == there != NO_STAMP:
            yield from _use(packs, squeezing)
            return
    known = _known(far, key, packs) if packs else _Known([], {}, set())
    yield from _Group(group, key, stamps, known).records(squeezing)


def _use(packs: Sequence[str], squeezing: Squeezing) -> Iterator[bytes]:
    yield from record("refs", "".join(f"{one}\n" for one in packs).encode(), squeezing)
    for one in packs:
        yield f"use {one.removeprefix('packs/')}\n".encode()


def _known(far: Far, key: str, packs: list[str]) -> _Known:
    path = f"{far.cache}/slots/{key}"
    lines = far.host.read([path]).get(path, b"").decode().split("\n")
    pairs = [line.split(" ") for line in lines[1:] if line]
    if lines[0].split(" ")[1:] != packs:  # somebody else replaced it just now
        return _Known([], {}, set())
    return _Known(packs, {pair[1]: pair[0] for pair in pairs}, {pair[0] for pair in pairs})


class _Group:
    """A group of which something may have changed."""

    def __init__(self, group: Group, key: str, stamps: list[str], known: _Known) -> None:
        self._group = group
        self._key = key
        self._stamps = stamps
        self._known = known
        self._lines: list[str] = []

    def records(self, squeezing: Squeezing) -> Iterator[bytes]:
        """Return what changed as a pack of its own, or the group as a whole where that is no more."""
        known = self._known
        stamped = zip(self._group.files, self._stamps, strict=True)
        changed = [pair for file, stamp in stamped if (pair := self._changed(file, stamp))]
        size = sum(len(content) for _, content in changed)
        packs = list(known.packs)
        if packs and (2 * size > self._group.size or len(packs) >= _MOST_PACKS):
            packs = []
            pairs = {file.path: content for file, content in changed}
            changed = [
                (file, pairs[file.path] if file.path in pairs else reading.whole(file))
                for file in self._group.files
            ]
        yield from _use(packs, squeezing) if packs else ()
        if changed or not packs:
            content = pack(() if packs else self._group.directories, changed)
            digest = hashlib.sha256(content).hexdigest()
            packs.append(f"packs/{digest}")
            yield from record("refs", f"packs/{digest}\n".encode(), squeezing)
            yield from record("pack", content, squeezing, digest)
        yield from self._slot(packs, squeezing)

    def _changed(self, file: File, stamp: str) -> tuple[File, bytes] | None:
        """Return a file with its content, if the far side does not have it; note what it is."""
        fingerprint = self._known.stamps.get(stamp) if stamp != NO_STAMP else None
        found = None
        if fingerprint is None:
            content = reading.whole(file)
            fingerprint = _fingerprint(file, content)
            if fingerprint not in self._known.fingerprints:
                found = (file, content)
        self._lines.append(f"{fingerprint} {stamp}\n")
        return found

    def _slot(self, packs: Sequence[str], squeezing: Squeezing) -> Iterator[bytes]:
        text = f"{whole_stamp(self._stamps)} {' '.join(packs)}\n{''.join(self._lines)}"
        yield from record("slot", text.encode(), squeezing, self._key)


def _fingerprint(file: File, content: bytes) -> str:
    about = f"{file.path}\0{file.status.st_mode & 0o777:o}\0".encode(errors="surrogateescape")
    digest = hashlib.sha256(about)
    digest.update(content)
    return digest.hexdigest()[:_DIGITS]
