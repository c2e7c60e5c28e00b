"""Files of a submission go to a run's directory: linked, or copied.

    bringing = Bringing("/home/alice/work", "/scratch/5e7-1", symlink=True)
    bringing.directory("dir1")
    bringing.files("dir1", ["in", "lib"])

A directory is linked as a whole, until something else has to be put into it: then it becomes a directory of links.
Nothing is ever written through a link into the producer's own directory.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.staging.copying import copy_file, link_over, same_content

if TYPE_CHECKING:
    from collections.abc import Iterable


class Bringing:
    """What was brought into one run's directory; paths are relative to source and base alike."""

    def __init__(self, source: str, base: str, *, symlink: bool) -> None:
        self._source = source
        self._base = base
        self._symlink = symlink
        self._real: set[str] = set()  #: directories that others are in, known to be no links

    def directory(self, path: str) -> None:
        """Make a directory of the run, and its parents."""
        if path in self._real:
            return
        whole = f"{self._base}/{path}" if path not in ("", ".") else self._base
        if whole == self._base:
            os.makedirs(whole, exist_ok=True)  # noqa: PTH103
            self._real |= {"", "."}
            return
        parent = os.path.dirname(path)  # noqa: PTH120
        self.directory(parent)
        self._real.add(parent)
        try:
            os.mkdir(whole)  # noqa: PTH102
        except FileExistsError:
            self._unfold(path, whole)

    def files(self, path: str, names: Iterable[str]) -> None:
        """Bring what is in a directory of the source; `directory` has made its like here."""
        inner = "" if path in ("", ".") else f"{path}/"
        for name in names:
            if "/" in name:
                self.directory(os.path.dirname(inner + name))  # noqa: PTH120
            self._place(inner + name)

    def room(self, path: str, names: Iterable[str | None]) -> None:
        """Make the directories of files that are to be written in a directory: none of them stays a link."""
        inner = "" if path in ("", ".") else f"{path}/"
        for name in names:
            if name and "/" in name:
                self.directory(os.path.dirname(inner + name))  # noqa: PTH120

    def _place(self, path: str) -> None:
        source, target = f"{self._source}/{path}", f"{self._base}/{path}"
        if not self._symlink:
            self._copy(path, source, target)
            return
        try:
            os.stat(source)  # noqa: PTH116 - a link to nothing would fail much later
            os.symlink(source, target)  # noqa: PTH211
        except FileExistsError:
            self._again(path, source, target)

    def _again(self, path: str, source: str, target: str) -> None:
        """Link over what is there: an earlier try, a directory that both are, or what a job put there."""
        is_link = os.path.islink(target)  # noqa: PTH114
        if is_link and os.readlink(target) == source:  # noqa: PTH115
            return
        if os.path.isdir(source) and os.path.isdir(target) and not is_link:  # noqa: PTH112
            self._children(path, source)
            return
        if os.path.exists(target) and os.path.samefile(source, target):  # noqa: PTH110, PTH121
            return
        link_over(source, target)

    def _copy(self, path: str, source: str, target: str) -> None:
        if os.path.isdir(source):  # noqa: PTH112
            self.directory(path)
            self._children(path, source)
        elif not same_content(source, target):
            copy_file(source, target)

    def _children(self, path: str, source: str) -> None:
        for name in sorted(os.listdir(source)):  # noqa: PTH208
            if name != HIDDEN:
                self._place(f"{path}/{name}")

    def _unfold(self, path: str, whole: str) -> None:
        """Make a linked directory a real one, with links to what was in it."""
        if not os.path.islink(whole):  # noqa: PTH114
            if not os.path.isdir(whole):  # noqa: PTH112
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), whole)
            return
        os.unlink(whole)  # noqa: PTH108
        os.mkdir(whole)  # noqa: PTH102
        self._children(path, f"{self._source}/{path}")
