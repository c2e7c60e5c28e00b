"""Any file system of fsspec as a store: sftp://, s3://, gs://, webdav+https:// and more.

    <path>/id  <path>/objects/3f/3f2a9c…  <path>/incoming/<writer>

As in a folder, an object is written beside the others and moved to its name. The file system's own caches of
listings are off: others write there, too.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.depot.store import checked, pieces_of, told
from jobferry_common.errors import DepotError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

#: more than so many objects of one folder are looked for by one listing
_FEW: Final = 2


class Remote:
    """The `Store` on a file system of fsspec."""

    def __init__(self, filesystem: Any, path: str, shown: str) -> None:  # noqa: ANN401 - fsspec has no types
        self.shown = shown
        self.limit: int | None = None
        self._fs = filesystem
        self._root = path.rstrip("/")
        self._made: set[str] = set()

    def id(self) -> str:
        """Return what stands in the file `id`; the first one who asks writes it."""
        with told(self.shown, "be used"):
            path = f"{self._root}/id"
            if not self._fs.exists(path):
                part = self._part()
                self._fs.pipe_file(part, f"{secrets.token_hex(8)}\n".encode())
                self._fs.mv(part, path)
            return str(self._fs.cat_file(path).decode("ascii").strip())

    def has(self, digests: Collection[str]) -> set[str]:
        """Look for each; where many share a folder, list it."""
        folders: dict[str, set[str]] = defaultdict(set)
        for digest in digests:
            folders[digest[:2]].add(digest)
        with told(self.shown, "be asked for objects"):
            return {digest for wanted in folders.values() for digest in self._there(wanted)}

    def put(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Write it beside the objects, then move it."""
        with told(self.shown, f"write object {digest[:12]}"):
            part = self._part()
            try:
                size = 0
                with self._fs.open(part, "wb") as file:
                    for chunk in checked(digest, chunks, self.shown):
                        file.write(chunk)
                        size += len(chunk)
                self._must_have(part, size)
                self._directory(f"objects/{digest[:2]}")
                self._fs.mv(part, self._path(digest))
            except BaseException:
                with suppress(Exception):
                    self._fs.rm_file(part)
                raise

    def get(self, digest: str) -> Iterator[bytes]:
        """Read it."""
        with (
            told(self.shown, f"read object {digest[:12]}", digest),
            self._fs.open(self._path(digest), "rb") as file,
        ):
            yield from checked(digest, pieces_of(file), self.shown)

    def remove(self, digests: Collection[str]) -> None:
        """Remove each."""
        with told(self.shown, "remove objects"):
            for digest in digests:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(self._path(digest))

    def _must_have(self, part: str, size: int) -> None:
        """Look whether all of it arrived: a server may have said too late, or nowhere, that it did not.

        Raises:
            DepotError: it did not.
        """
        found = self._fs.info(part).get("size")
        if found not in (None, size):
            msg = f"the depot {self.shown} kept {found} of {size} bytes: is the disk or the quota there full?"
            raise DepotError(msg)

    def _there(self, wanted: set[str]) -> set[str]:
        """Return which objects of one folder are there."""
        if len(wanted) <= _FEW:
            return {digest for digest in wanted if self._fs.exists(self._path(digest))}
        folder = self._path(next(iter(wanted))).rpartition("/")[0]
        try:
            listed = self._fs.ls(folder, detail=False, refresh=True)
        except FileNotFoundError:
            return set()
        return wanted & {name.rpartition("/")[2] for name in listed}

    def _path(self, digest: str) -> str:
        return f"{self._root}/objects/{digest[:2]}/{digest}"

    def _part(self) -> str:
        self._directory("incoming")
        return f"{self._root}/incoming/{secrets.token_hex(8)}"

    def _directory(self, name: str) -> None:
        if name not in self._made:
            with suppress(FileExistsError):  # of another who makes it at this moment
                self._fs.makedirs(f"{self._root}/{name}", exist_ok=True)
            self._made.add(name)
