"""Local: a run gets a directory of its own below remote_root, on a file system that the producer shares.

    <remote_root>/<run>/<task_work_path>/<forward file> → the producer's own file (a copy with symlink=false)

Results come back by a hard link where that is possible and by a copy elsewhere: under a name for the time being,
then by rename.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobferry_common.errors import StagingError
from jobferry_worker.clock import Hold
from jobferry_worker.staging.base import Lacking, is_passing, told
from jobferry_worker.staging.bringing import Bringing
from jobferry_worker.staging.fetching import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.scripts.layout import Layout


def _nothing() -> None:
    """Renew no lease."""


class Local:
    """The `Staging` of Local."""

    def __init__(self, *, symlink: bool, renew: Callable[[], None] = _nothing) -> None:
        self._symlink = symlink
        self._renew = renew

    def stage(
        self, header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]], layout: Layout
    ) -> None:
        """Link or copy the files of all tasks and the common files."""
        source_must_exist(header)
        bringing = Bringing(header.source, layout.base, symlink=self._symlink)
        hold = Hold(self._renew)
        with told("bring", layout.base):
            bringing.directory("")
            bringing.files("", header.forward_common)
            for page in pages:
                for _, task in page:
                    hold.keep()
                    bringing.directory(task.path)
                    bringing.files(task.path, task.forward)
                    bringing.room(task.path, (task.outlog, task.errlog))

    def collect(
        self, header: Header, tasks: Iterable[tuple[TaskSpec, bool]], layout: Layout
    ) -> list[Lacking]:
        """Bring backward files and logs to the producer's directory."""
        source_must_exist(header)
        lacking: list[Lacking] = []
        hold = Hold(self._renew)
        for task, succeeded in tasks:
            hold.keep()
            logs = [name for name in (task.outlog, task.errlog) if name is not None]
            found = _fetched(header, layout, task.path, logs, task.position)
            lacking += [one for one in found if one.why]
            found = _fetched(header, layout, task.path, task.backward, task.position)
            lacking += [one for one in found if one.why or succeeded]
        return lacking

    def collect_common(self, header: Header, layout: Layout) -> list[Lacking]:
        """Bring the common results to the producer's directory."""
        source_must_exist(header)
        return _fetched(header, layout, ".", header.backward_common, None)

    def clean(self, layout: Layout) -> None:
        """Remove the run's directory."""
        if Path(layout.base).name != layout.run:
            msg = f"{layout.base} is not the directory of run {layout.run}; it is left alone"
            raise StagingError(msg)
        with told("remove", layout.base):
            remove_tree(layout.base)


def _fetched(
    header: Header, layout: Layout, path: str, names: Iterable[str], position: int | None
) -> list[Lacking]:
    """Fetch one by one: what can never be brought does not keep the others from coming.

    Raises:
        StagingError: one of them cannot be brought now, but perhaps later.
    """
    lacking = []
    for name in names:
        lack = Lacking(position=position, path=path, name=name)
        try:
            with told("fetch", f"{layout.base}/{path}"):
                lacking += [lack] * len(fetch(layout.base, header.source, path, [name]))
        except StagingError as error:
            if is_passing(error):
                raise
            source_must_exist(header)  # a file system that went away meanwhile may come again
            lacking.append(replace(lack, why=str(error)))
    return lacking


def source_must_exist(header: Header) -> None:
    """Refuse to work for a producer whose directory cannot be seen here.

    Raises:
        StagingError: it is not there; it is not made either, it may be a file system that is not mounted.
    """
    if not Path(header.source).is_dir():
        way = (
            "tasks run in place (LazyLocal), which no depot can replace: choose a cluster with the context Local"
            if header.in_place
            else "this context expects a file system that producer and worker share, or a depot (docs/depot.md)"
        )
        msg = (
            f"there is no directory {header.source} here, where {header.owner} keeps the files of this "
            f"submission: {way}"
        )
        raise StagingError(msg)


def remove_tree(path: str) -> None:
    """Remove a directory and all in it, links unfollowed, directories without permission too."""
    if not os.path.lexists(path):
        return
    shutil.rmtree(path, onerror=_allowed)


def _allowed(function: Callable[..., object], path: str, why: tuple[Any, Any, Any]) -> None:
    """Try once more after the user's own permission was given."""
    if isinstance(why[1], FileNotFoundError):
        return
    if not isinstance(why[1], PermissionError):
        raise why[1]
    parent = os.path.dirname(path)  # noqa: PTH120
    for directory in (parent, path):
        if stat.S_ISDIR(os.lstat(directory).st_mode):
            os.chmod(directory, stat.S_IRWXU)  # noqa: PTH101
    if function in (os.rmdir, os.unlink, os.remove):
        function(path)
    else:
        shutil.rmtree(path)
