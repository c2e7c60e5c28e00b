"""Small disks for tests that fill them: a small file system, and a large one of which only little may be used.

with SmallDisk(path, mib=3, kind="quota") as disk:
    disk.words                                  'Disk quota exceeded'
    disk.grow()                                 there is room now
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.testbed.processes import checked

if TYPE_CHECKING:
    from collections.abc import Callable

#: what a disk says when it takes no more
WORDS: Final = {"full": "No space left on device", "quota": "Disk quota exceeded"}
_IMAGE_MIB: Final = 256


class SmallDisk:
    """A directory as a small disk; what lies in it is gone at the end."""

    def __init__(self, path: Path, *, mib: int, kind: str) -> None:
        self.path = path
        self.words = WORDS[kind]
        self._mib = mib
        self._begin: Callable[[], None] = {"full": self._tmpfs, "quota": self._btrfs}[kind]
        self._undo = ExitStack()
        #: gives it room
        self.grow: Callable[[], object] = lambda: None

    def __enter__(self) -> Self:
        """Mount it."""
        with ExitStack() as undo:
            self._undo = undo
            self._begin()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Unmount it."""
        self._undo.close()

    def _tmpfs(self) -> None:
        self._mount("-t", "tmpfs", "-o", f"size={self._mib}m", "none", str(self.path))
        self.grow = lambda: checked(["mount", "-o", "remount,size=128m", str(self.path)])

    def _btrfs(self) -> None:
        """Quotas of btrfs, because they need no more of the kernel than btrfs itself."""
        top = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="jf-disk-")))
        image, inside = top / "image", top / "mounted"
        inside.mkdir()
        with image.open("wb") as file:
            file.truncate(_IMAGE_MIB << 20)
        checked(["mkfs.btrfs", "--quiet", "--mixed", str(image)])
        self._mount("-o", "loop", str(image), str(inside))
        used = str(inside / "used")
        checked(["btrfs", "quota", "enable", str(inside)])
        checked(["btrfs", "subvolume", "create", used])
        checked(["btrfs", "qgroup", "limit", f"{self._mib}M", used])
        self._mount("--bind", used, str(self.path))
        self.grow = lambda: checked(["btrfs", "qgroup", "limit", "none", used])

    def _mount(self, *argv: str) -> None:
        checked(["mount", *argv])
        self._undo.callback(checked, ["umount", "--lazy", argv[-1]])
