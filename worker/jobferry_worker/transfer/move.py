"""One move of one run's files: what it needs, and what the run says meanwhile.

with explained(ledger, run):
    move = Move(ledger, cluster, run, renew)
    move.staging.stage(move.header, pages, move.layout)
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import NoSession, StagingError
from jobferry_worker.staging import staging_of
from jobferry_worker.transfer.depot import let_go, way_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobferry_common.document import Header
    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import RunId
    from jobferry_common.scripts.layout import Layout
    from jobferry_common.states import ResultsState
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.staging.base import Lacking, Staging

logger: Final = logging.getLogger(__name__)


#: how the reason of a run begins while its files cannot be moved, and when a result did not come back
_WAITS: Final = "its files cannot be moved now: "
_LACKS: Final = "a result is missing: "


class Move:
    """One move of one run's files, and all it needs."""

    def __init__(
        self, ledger: Ledger, cluster: Cluster, run: RunId, renew: Callable[[], None]
    ) -> None:
        self.ledger = ledger
        self.cluster = cluster
        self.run = run
        self.renew = renew
        self.way = way_of(ledger, cluster, run, renew)
        self.header: Header = self.way.header
        self.layout: Layout = cluster.layout_of(self.header, run, ledger.id)
        self.staging: Staging = self.way.around(staging_of(self.header, cluster, renew))
        #: the cluster's name where several share the run, and each brings what it had of it
        self.at = cluster.name if self.header.is_shared else None

    def record(self) -> RunRecord:
        """Return the run as it stands now."""
        return self.ledger.run(self.run)

    def note_results(self, results: ResultsState) -> None:
        """Note how far the results are, here at least."""
        if self.at is None:
            self.ledger.change_run(self.run, results=results)
        else:
            self.ledger.place_results(self.run, self.at, results.value)
            let_go(self.ledger, self.run, self.header)


@contextmanager
def explained(ledger: Ledger, run: RunId) -> Iterator[None]:
    """Have the run say why its files cannot be moved, as long as that is so."""
    try:
        yield
    except (StagingError, NoSession) as error:
        say_unless_worse(ledger, run, f"{_WAITS}{error}")
        raise
    if ledger.run(run).reason.startswith(_WAITS):
        ledger.change_run(run, reason="")
        say_lack(ledger, run)


def say_unless_worse(ledger: Ledger, run: RunId, reason: str) -> None:
    """Have the run say something about its results, unless it failed: why matters more."""
    record = ledger.run(run)
    ours = not record.reason or record.reason.startswith((_WAITS, _LACKS))
    if ours or not record.state.is_final:
        ledger.change_run(run, reason=reason)


def say_lack(ledger: Ledger, run: RunId) -> None:
    """Have the run say again what did not come back: another reason took its place meanwhile."""
    if lack := ledger.lack(run):
        say_unless_worse(ledger, run, f"{_LACKS}{lack}")


def note_lacking(move: Move, lacking: Sequence[Lacking]) -> None:
    """Have the run say what a task that succeeded did not leave, and what cannot be brought."""
    for item in lacking:
        logger.warning("%s: %s", move.run, item, extra={"action": "lacking"})
    if lacking:
        more = f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        mend = any(item.why for item in lacking)
        step = f"; once that is mended: jobferry fetch {move.run}" if mend else ""
        move.ledger.note_lack(move.run, f"{lacking[0]}{more}{step}")
        say_lack(move.ledger, move.run)


def keep_back(move: Move, what: str, later: RunId) -> None:
    """Leave results on the cluster: the producer's directory has, or gets, those of a later run."""
    text = f"run {later} brings the results of {what}, so older ones stay on the cluster"
    if later == move.ledger.displaced_by(move.run):
        text = (
            f"run {later} has its directories by now, so the results of {what} stay on the cluster"
        )
    logger.info("%s: %s", move.run, text, extra={"action": "kept-back"})
    move.ledger.note_lack(move.run, text)
    say_lack(move.ledger, move.run)
