"""What files an object or a pack holds, and where they belong.

    manifest = Manifest(files=(Entry(path="a/in", …),), directories=("a", "a/empty"))
    Manifest.unpack(manifest.pack()) == manifest

Small files lie one behind the other in a pack; `offset` says where. A large file is an object of its own.
"""

from __future__ import annotations

import json
import stat
import zlib
from dataclasses import dataclass
from typing import Final

from jobferry_common.errors import DepotError
from jobferry_common.scripts.layout import HIDDEN

_LEVEL: Final = 6
_SCHEMA: Final = 1
#: the offset of a file that is an object of its own
WHOLE: Final = -1
#: no file is called so; an absolute path begins with an empty name
_NO_NAMES: Final = frozenset({"", ".", "..", HIDDEN})
_PERMISSIONS: Final = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file."""

    path: str  #: relative, without `..`
    size: int
    mode: int  #: permissions
    mtime_ns: int
    digest: str  #: of the object that holds it
    offset: int = WHOLE  #: where it begins in a pack


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Files and directories."""

    files: tuple[Entry, ...] = ()
    directories: tuple[str, ...] = ()

    @property
    def objects(self) -> set[str]:
        """The objects that hold the files."""
        return {entry.digest for entry in self.files}

    def pack(self) -> bytes:
        """Return it as it is stored; equal manifests give equal bytes."""
        objects = sorted(self.objects)
        number = {digest: index for index, digest in enumerate(objects)}
        rows = [
            [one.path, one.size, one.mode, one.mtime_ns, number[one.digest], one.offset]
            for one in self.files
        ]
        text = {
            "schema": _SCHEMA,
            "objects": objects,
            "files": rows,
            "directories": self.directories,
        }
        return zlib.compress(json.dumps(text, separators=(",", ":")).encode(), _LEVEL)

    @classmethod
    def unpack(cls, data: bytes) -> Manifest:
        """Read what `pack` wrote, and trust none of it.

        Raises:
            DepotError: it is no manifest, or a name in it leaves its directory.
        """
        try:
            plain = json.loads(zlib.decompress(data))
            if plain["schema"] != _SCHEMA:
                msg = f"schema {plain['schema']}, expected {_SCHEMA}: its writer is of another version"
                raise ValueError(msg)
            files = tuple(_entry(row, plain["objects"]) for row in plain["files"])
            return cls(files=files, directories=tuple(map(_safe, plain["directories"])))
        except (ValueError, LookupError, TypeError, zlib.error) as error:
            msg = f"a manifest in the depot cannot be read: {error}"
            raise DepotError(msg) from None


def _entry(row: list[object], objects: list[str]) -> Entry:
    path, size, mode, mtime_ns, digest, offset = row
    return Entry(
        path=_safe(str(path)),
        size=int(str(size)),
        mode=int(str(mode)) & _PERMISSIONS,
        mtime_ns=int(str(mtime_ns)),
        digest=objects[int(str(digest))],
        offset=int(str(offset)),
    )


def _safe(path: str) -> str:
    """Refuse a path that is not below its directory, or not in its normal form."""
    parts = path.split("/")
    if "\0" in path or any(part in _NO_NAMES for part in parts):
        msg = f"{path!r} is no path of a file below its directory"
        raise ValueError(msg)
    return path
