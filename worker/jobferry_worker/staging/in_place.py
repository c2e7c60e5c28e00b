"""LazyLocal: tasks run in the producer's own directory, nothing is moved."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jobferry_worker.staging.base import Lacking, told
from jobferry_worker.staging.local import remove_tree, source_must_exist

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.scripts.layout import Layout


class InPlace:
    """The `Staging` of LazyLocal. What a task lacks is in its exit record."""

    def stage(
        self, header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]], layout: Layout
    ) -> None:
        """See that the directory is there: another machine may not share it."""
        del pages, layout
        source_must_exist(header)

    def collect(
        self, header: Header, tasks: Iterable[tuple[TaskSpec, bool]], layout: Layout
    ) -> list[Lacking]:
        """Do nothing: the results are where they belong."""
        del header, tasks, layout
        return []

    def collect_common(self, header: Header, layout: Layout) -> list[Lacking]:
        """Do nothing: the results are where they belong."""
        del header, layout
        return []

    def clean(self, layout: Layout) -> None:
        """Remove what jobferry wrote; everything else is the user's."""
        with told("remove", layout.control):
            remove_tree(layout.control)
        with suppress(OSError):  # other runs, or the root's own files, are in it
            os.rmdir(Path(layout.control).parent)  # noqa: PTH106
