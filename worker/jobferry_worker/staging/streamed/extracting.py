"""Files of a stream are written under names for the time being, and renamed once all of it was proved right.

Extracting(trip).fetch({"t/out": Wanted(…)})

A name that nobody asked for is refused. What is here already with the same content does not travel.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError
from jobferry_worker.clock import Hold
from jobferry_worker.staging.base import told
from jobferry_worker.staging.copying import part_of
from jobferry_worker.staging.streamed.far import failures, raise_failure
from jobferry_worker.staging.streamed.squeezing import PLAIN, SQUEEZED
from jobferry_worker.staging.streamed.tree import key
from jobferry_worker.staging.streamed.unpacking import BadArchive, members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobferry_common.schedulers.base import Completed
    from jobferry_worker.hosts.base import Output
    from jobferry_worker.staging.streamed.squeezing import Squeezing
    from jobferry_worker.staging.streamed.tree import Node
    from jobferry_worker.staging.streamed.trip import Trip
    from jobferry_worker.staging.streamed.unpacking import Member

_PIECE_BYTES: Final = 1 << 18
_SUM: Final = re.compile(r"^sum (\d+) ([0-9a-f]{64})$", re.MULTILINE)
_CHANGED: Final = re.compile(
    r"^tar: (.+): (?:file changed as we read it|File shrank by .*|File removed before we read it)$",
    re.MULTILINE,
)
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 31
#: hexadecimal, of a sha256
_DIGITS: Final = 64
#: names with these are written in one way by sha256sum and in another by openssl: such files come once more
_ODD: Final = frozenset("\\\n\r")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is to come."""

    target: str  #: where to, absolute
    node: Node
    failed: list[Callable[[StagingError], None]]  #: who is to know that it does not


class _Incoming:
    """A stream, inflated and added up."""

    def __init__(self, output: Output, squeezing: Squeezing, renew: Callable[[], None]) -> None:
        self._output = output
        self._squeezing = squeezing
        self._hold = Hold(renew)
        self._first = True
        self._inflate: Callable[[bytes], bytes] | None = None
        self._total = hashlib.sha256()

    def read(self) -> bytes:
        """Return some bytes of the archive, b"" at the end."""
        while data := self._piece():
            if self._first:
                self._first = False
                if data.startswith(_GZIP_MAGIC):
                    self._inflate = zlib.decompressobj(_GZIP).decompress
            if self._inflate:
                data = self._inflate(data)
            if data:
                self._total.update(data)
                self._squeezing.look(data)
                return data
        return b""

    def _piece(self) -> bytes:
        begin = time.monotonic()
        data = self._output.read(_PIECE_BYTES)
        self._squeezing.note(len(data), time.monotonic() - begin)
        self._hold.keep()
        return data

    def digest(self) -> str:
        """Return the checksum of all; what is left is read."""
        while self.read():
            pass
        return self._total.hexdigest()


class Extracting:
    """One stream of results."""

    def __init__(self, trip: Trip) -> None:
        self._far = trip.far
        self._layout = trip.layout
        self._squeezing = trip.squeezing
        self._renew = trip.renew

    def fetch(self, wanted: Mapping[str, Wanted]) -> None:
        """Bring what is not here yet.

        Raises:
            OSError, StagingError: it cannot be brought now.
            LeaseLost: somebody else brings it by now.
        """
        same = self._same(wanted)
        files = {path: file for path, file in wanted.items() if path not in same}
        if not files:
            return
        parts: dict[str, str] = {}
        try:
            done, digest = self._stream(files, parts)
            late = self._judged(done, digest, files, parts)
            # whoever was stopped for a while may put nothing over what came, and was changed, meanwhile
            self._renew()
            for path, part in parts.items():
                self._place(part, files[path])
            parts.clear()
            if late:
                raise late
        finally:
            for part in parts.values():
                with suppress(OSError):
                    os.unlink(part)  # noqa: PTH108

    def _same(self, wanted: Mapping[str, Wanted]) -> set[str]:
        """Return the paths of files that are here already, byte by byte."""
        alike = {
            path: file
            for path, file in wanted.items()
            if _may_be(file) and not _ODD.intersection(path)
        }
        if not alike:
            return set()
        reads = sum(file.node.size for file in alike.values())
        names = [b"./" + os.fsencode(path) for path in alike]
        answer = self._far.ask("sums", self._layout.base, each=names, reads=reads)
        sums = dict(_sums(answer))
        return {path for path, file in alike.items() if sums.get(path) == _digest(file.target)}

    def _stream(self, files: Mapping[str, Wanted], parts: dict[str, str]) -> tuple[Completed, str]:
        how = SQUEEZED if self._squeezing.pays(self._squeezing.sample) else PLAIN
        options = ["-S"] if any(file.node.is_sparse for file in files.values()) else []
        size = sum(file.node.size for file in files.values())
        words = (self._layout.base, how, str(size), *options)
        with self._far.output("give", *words, stdin=_names(files)) as output:
            incoming = _Incoming(output, self._squeezing, self._renew)
            try:
                for member in members(incoming.read):
                    self._take(member, files, parts)
            except (BadArchive, zlib.error) as error:
                raise_failure(output.end(), self._layout.base)
                words_ = f"the stream cannot be read: {error}"
                raise OSError(errno.EIO, words_, self._layout.base) from None
            digest = incoming.digest()
            return output.end(), digest

    def _take(self, member: Member, files: Mapping[str, Wanted], parts: dict[str, str]) -> None:
        path = key(os.fsdecode(member.name))
        file = files.get(path)
        if file is None or not member.is_file or path in parts:
            base, name = self._layout.base, os.fsdecode(member.name)
            msg = f"{base}: {name!r} came, and nobody asked for it; it is refused"
            raise StagingError(msg)
        part = parts[path] = part_of(file.target)
        try:
            with told("fetch", file.target):
                _write(part, member, file.node)
        except StagingError as error:
            del parts[path]
            with suppress(OSError):
                os.unlink(part)  # noqa: PTH108
            _tell(file, error)

    def _judged(
        self, done: Completed, digest: str, files: Mapping[str, Wanted], parts: dict[str, str]
    ) -> StagingError | None:
        """Take what was not read as one piece out of the parts; return why another try is needed.

        Raises:
            OSError: nothing of it can be trusted.
        """
        base = self._layout.base
        raise_failure(done, base)
        found = _SUM.search(done.stderr)
        if found is None or found[2] != digest:
            raise OSError(errno.EIO, "what arrived is not what was sent", base)
        if found[1] == "0":
            return None
        return self._sorted_out(done, files, parts)

    def _sorted_out(
        self, done: Completed, files: Mapping[str, Wanted], parts: dict[str, str]
    ) -> StagingError | None:
        base = self._layout.base
        bad = {key(name): errno.EIO for name in _CHANGED.findall(done.stderr)}
        bad |= {key(name): number for number, name in failures(done.stderr)}
        if not bad.keys() & files.keys():
            words = " / ".join(done.stderr.split("\n")[:3])
            raise OSError(errno.EIO, words, base)
        late = None
        for path in bad.keys() & files.keys():
            if part := parts.pop(path, None):
                with suppress(OSError):
                    os.unlink(part)  # noqa: PTH108
            try:
                with told("fetch", f"{base}/{path}"):
                    number = bad[path]
                    words = (
                        "it changed while it was read"
                        if number == errno.EIO
                        else os.strerror(number)
                    )
                    raise OSError(number, words, f"{base}/{path}")
            except StagingError as error:
                try:
                    _tell(files[path], error)
                except StagingError as passing:
                    late = passing
        return late

    def _place(self, part: str, file: Wanted) -> None:
        try:
            with told("fetch", file.target):
                os.replace(part, file.target)  # noqa: PTH105
        except StagingError as error:
            with suppress(OSError):
                os.unlink(part)  # noqa: PTH108
            _tell(file, error)


def _tell(file: Wanted, error: StagingError) -> None:
    for tell in file.failed:
        tell(error)


def _names(files: Mapping[str, Wanted]) -> bytes:
    return b"".join(b"./" + os.fsencode(path) + b"\0" for path in files)


def _write(part: str, member: Member, node: Node) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(part, flags, 0o600)
    except FileExistsError:  # left by a try that was killed
        os.unlink(part)  # noqa: PTH108
        descriptor = os.open(part, flags, 0o600)
    try:
        end = 0
        for offset, data in member.pieces():
            _write_all(descriptor, data, offset)
            end = offset + len(data)
        if end < member.size:
            os.ftruncate(descriptor, member.size)
        os.fchmod(descriptor, node.mode & 0o777)
        os.utime(descriptor, ns=(node.mtime_ns, node.mtime_ns))
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)


def _may_be(file: Wanted) -> bool:
    """Tell whether what is here may be the very file."""
    try:
        here = os.lstat(file.target)
    except OSError:
        return False
    return stat.S_ISREG(here.st_mode) and here.st_size == file.node.size


def _digest(path: str) -> str:
    with open(path, "rb") as stream:  # noqa: PTH123
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sums(answer: bytes) -> Iterator[tuple[str, str]]:
    """Read what sha256sum and openssl print: two characters stand between a digest and a name."""
    for line in answer.split(b"\n"):
        digest, name = line[:_DIGITS], line[_DIGITS + 2 :]
        if name:
            yield key(os.fsdecode(name)), digest.decode()
