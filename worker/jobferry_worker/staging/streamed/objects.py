"""Objects of the far side's cache: contents that are sent once, however many files hold them.

    objects = Objects(far, header, files, squeezing)
    answer = ask(far, objects.questions(), …)
    yield from objects.records(answer)          those that are not there
    objects.place(file)                         ".jobferry/cache/objects/5/9f86d0…"

The digest of a small file is found out before; that of a large one while it is sent, unless something there has its
very size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.staging.streamed import archive, reading
from jobferry_worker.staging.streamed.batches import LARGE_BYTES, key_of
from jobferry_worker.staging.streamed.cache import Answer, ask
from jobferry_worker.staging.streamed.reading import NO_STAMP
from jobferry_worker.staging.streamed.records import large, name_of, object_members, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobferry_common.document import Header
    from jobferry_worker.staging.streamed.far import Far
    from jobferry_worker.staging.streamed.sources import File
    from jobferry_worker.staging.streamed.squeezing import Squeezing

_ARCHIVE_BYTES: Final = 8 << 20


class Objects:
    """The objects that the files of a batch need."""

    def __init__(
        self, far: Far, header: Header, files: Sequence[File], squeezing: Squeezing
    ) -> None:
        self._far = far
        self._header = header
        self._squeezing = squeezing
        self._small = [file for file in files if file.size < LARGE_BYTES]
        self._large = [file for file in files if file.size >= LARGE_BYTES]
        self._names = {file.path: name_of(file, reading.digest(file)) for file in self._small}
        self._stamps = {file.path: reading.stamp(file) for file in self._large}

    def questions(self) -> Iterator[str]:
        """Return what to ask the far side."""
        for name in sorted(set(self._names.values())):
            yield f"o {name}"
        for file in self._large:
            yield f"a {self._key(file)}"
        for size in sorted({file.size for file in self._large}):
            yield f"z {size}"

    def place(self, file: File) -> str:
        """Return where the content of a file is, relative to the root."""
        return f"{HIDDEN}/cache/objects/{self._names[file.path]}"

    def records(self, answer: Answer) -> Iterator[bytes]:
        """Return the objects that are not there, then the marks of all."""
        self._know(answer)
        there = set(answer.sound)
        yield from self._send_small(there)
        for file in self._large:
            yield from self._send_large(file, there)
        marks = "".join(f"objects/{name}\n" for name in sorted(set(self._names.values())))
        if marks:
            yield from record("refs", marks.encode(), self._squeezing)

    def _know(self, answer: Answer) -> None:
        """Find out the names of large files that may be there."""
        sizes = {int(name.partition("/")[0]) for name in answer.sizes}
        asked = set()
        for file in self._large:
            stamp, *entries = answer.slots.get(self._key(file), [""])
            if stamp == self._stamps[file.path] != NO_STAMP:
                self._names[file.path] = entries[0].removeprefix("objects/")
                answer.sound.add(self._names[file.path])
            elif file.size in sizes:
                self._names[file.path] = name_of(file, reading.digest(file))
                asked |= {self._names[file.path]} & answer.sizes - answer.sound
        if asked:
            reads = sum(int(name.partition("/")[0]) for name in asked)
            answer.sound |= ask(self._far, [f"o {name}" for name in sorted(asked)], reads).sound

    def _send_small(self, there: set[str]) -> Iterator[bytes]:
        members: list[bytes] = []
        size = 0
        for file in self._small:
            name = self._names[file.path]
            if name in there:
                continue
            there.add(name)
            members += object_members(file, name)
            size += file.size
            if size > _ARCHIVE_BYTES:
                yield from record("objects", b"".join((*members, archive.END)), self._squeezing)
                members, size = [], 0
        if members:
            yield from record("objects", b"".join((*members, archive.END)), self._squeezing)

    def _send_large(self, file: File, there: set[str]) -> Iterator[bytes]:
        name = self._names.get(file.path)
        if name is None and any(one.startswith(f"{file.size}/") for one in there):
            name = name_of(file, reading.digest(file))
        if name not in there:
            name = name_of(file, (yield from large(file, self._squeezing)))
            there.add(name)
        self._names[file.path] = str(name)
        if self._stamps[file.path] != NO_STAMP:
            line = f"{self._stamps[file.path]} objects/{name}\n".encode()
            yield from record("slot", line, self._squeezing, self._key(file))

    def _key(self, file: File) -> str:
        return key_of("file", self._header.owner, file.source)
