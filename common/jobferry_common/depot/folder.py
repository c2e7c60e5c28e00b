"""A shared folder as a store.

    <folder>/id                          what this depot is known by
    <folder>/objects/3f/3f2a9c…          objects, read-only
    <folder>/incoming/<writer>           objects that are being written; renamed when all of it is there

The folder's own permissions decide who may use it: those of what is made in it follow them.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.depot.store import checked, pieces_of, told

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

#: what was being written for so long belongs to a writer that is gone
_DEAD_SECONDS: Final = 86400.0
_DIRECTORY_BITS: Final = 0o2777
_FILE_BITS: Final = 0o444


class Folder:
    """The `Store` in a directory that producer and worker share."""

    def __init__(self, root: Path) -> None:
        self.shown = root.as_uri()
        self.limit: int | None = None
        self._root = root

    def id(self) -> str:
        """Return what stands in the file `id`; the first one who asks writes it."""
        with told(self.shown, "be used; expected a directory that is there and can be written to"):
            path = self._root / "id"
            if not path.exists():
                self._found(path)
            found = path.read_text("ascii").strip()
            if not found:
                raise OSError(
                    errno.EAGAIN, "its file id is empty; somebody makes it at this moment"
                )
            return found

    def has(self, digests: Collection[str]) -> set[str]:
        """Look for each."""
        return {digest for digest in digests if self._path(digest).exists()}

    def put(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Write it beside the objects, then rename it."""
        with told(self.shown, f"write object {digest[:12]}"):
            part = self._directory("incoming") / secrets.token_hex(8)
            try:
                with part.open("xb") as file:
                    for chunk in checked(digest, chunks, self.shown):
                        file.write(chunk)
                part.chmod(self._mode() & _FILE_BITS)
                self._directory("objects", digest[:2])
                part.rename(self._path(digest))
            finally:
                part.unlink(missing_ok=True)

    def get(self, digest: str) -> Iterator[bytes]:
        """Read it."""
        with (
            told(self.shown, f"read object {digest[:12]}", digest),
            self._path(digest).open("rb") as file,
        ):
            yield from checked(digest, pieces_of(file), self.shown)

    def remove(self, digests: Collection[str]) -> None:
        """Remove each, and what dead writers left."""
        with told(self.shown, "remove objects"):
            for digest in digests:
                self._path(digest).unlink(missing_ok=True)
            for part in self._directory("incoming").iterdir():
                with suppress(FileNotFoundError):
                    if time.time() - part.stat().st_mtime > _DEAD_SECONDS:
                        part.unlink()

    def _found(self, path: Path) -> None:
        """Make the id, whoever else does so at this moment."""
        part = self._directory("incoming") / secrets.token_hex(8)
        part.write_text(f"{secrets.token_hex(8)}\n", "ascii")
        part.chmod(self._mode() & _FILE_BITS)
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            with suppress(FileExistsError), path.open("x", encoding="ascii") as file:
                file.write(part.read_text("ascii"))
        finally:
            part.unlink()

    def _path(self, digest: str) -> Path:
        return self._root / "objects" / digest[:2] / digest

    def _directory(self, *names: str) -> Path:
        """Return a directory below the root, which itself is not made: it may be a mount that is missing."""
        path = self._root
        for name in names:
            path /= name
            with suppress(FileExistsError):
                path.mkdir()
                path.chmod(self._mode() & _DIRECTORY_BITS)
        return path

    def _mode(self) -> int:
        return stat.S_IMODE(self._root.stat().st_mode)
