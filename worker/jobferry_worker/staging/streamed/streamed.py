"""The `Staging` of clusters that are reached over a link."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError
from jobferry_worker.staging.base import Lacking, told
from jobferry_worker.staging.local import source_must_exist
from jobferry_worker.staging.streamed.far import Far
from jobferry_worker.staging.streamed.receiving import Receiving
from jobferry_worker.staging.streamed.sending import Sending
from jobferry_worker.staging.streamed.squeezing import Squeezing
from jobferry_worker.staging.streamed.trip import Trip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.hosts.base import Host

#: what nobody used for so long leaves the cache
_UNUSED_DAYS: Final = 14


def _nothing() -> None:
    """Renew no lease."""


class Streamed:
    """Files travel to a host and back; the cluster needs bash, tar, coreutils and findutils."""

    def __init__(
        self,
        host: Host,
        root: str,
        *,
        compress: bool = True,
        copy_common: bool = False,
        renew: Callable[[], None] = _nothing,
    ) -> None:
        self._far = Far(host, root)
        self._copy_common = copy_common
        self._renew = renew
        self._up = Squeezing(wanted=compress)
        self._down = Squeezing(wanted=compress)

    def stage(
        self, header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]], layout: Layout
    ) -> None:
        """Send what the cluster's cache lacks, and have everything placed."""
        source_must_exist(header)
        _must_be_its_own(layout)
        with told("bring", layout.base):
            Sending(self._trip(header, layout, self._up)).send(pages)

    def collect(
        self, header: Header, tasks: Iterable[tuple[TaskSpec, bool]], layout: Layout
    ) -> list[Lacking]:
        """Fetch backward files and logs."""
        source_must_exist(header)
        return Receiving(self._trip(header, layout, self._down)).collect(tasks)

    def collect_common(self, header: Header, layout: Layout) -> list[Lacking]:
        """Fetch the common results."""
        source_must_exist(header)
        return Receiving(self._trip(header, layout, self._down)).common()

    def clean(self, layout: Layout) -> None:
        """Remove the run's directory and its marks, and what nobody used for long."""
        _must_be_its_own(layout)
        with told("remove", layout.base):
            self._far.ask("clean", layout.root, layout.run, str(_UNUSED_DAYS))

    def _trip(self, header: Header, layout: Layout, squeezing: Squeezing) -> Trip:
        return Trip(
            far=self._far,
            header=header,
            layout=layout,
            squeezing=squeezing,
            renew=self._renew,
            copy_common=self._copy_common,
        )


def _must_be_its_own(layout: Layout) -> None:
    """See that nothing else can be in a run's directory: it is removed as a whole.

    Raises:
        StagingError: it is another directory.
    """
    if not layout.run or layout.base != posixpath.join(layout.root, layout.run):
        msg = f"{layout.base} is not the directory of run {layout.run}; it is left alone"
        raise StagingError(msg)
