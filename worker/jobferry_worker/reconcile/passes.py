"""What one pass works with, and the only way in which it touches a cluster: each touch under the lease.

done = p.command(cluster.scheduler.listing(user))
p.host("write", files)
"""

from __future__ import annotations

import logging
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from jobferry_common.errors import BrokerUnreachable, JobferryError, StagingError
from jobferry_common.scripts.layout import Layout, spool
from jobferry_worker.reconcile.root import read_known
from jobferry_worker.reconcile.snapshot import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jobferry_common.document import Header
    from jobferry_common.files import NewFile
    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import Change
    from jobferry_common.names import ClusterName, JobKey, RunId
    from jobferry_common.schedulers.base import Argv, Completed, Facts
    from jobferry_common.settings import Settings, Timings
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.reconcile.lease import Lease
    from jobferry_worker.reconcile.memory import Memory

logger: Final = logging.getLogger(__name__)

#: what a document that cannot be read may raise, besides errors of ours
CORRUPT: Final = (ValueError, TypeError, LookupError, zlib.error)
#: most changes of one batch: one event entry holds them all
_BATCH: Final = 1000
#: margin between the limit of a command and the time from which it has surely ended
_SETTLED_SECONDS: Final = 5.0
_LATE_SECONDS: Final = 10.0
_PIECE: Final = 500
#: the same for files to be written; what travels beside a content, and how fast at least, in bytes a second
_WRITTEN: Final = 4000
_BESIDE_BYTES: Final = 1024
_LEAST_RATE: Final = 64 * 1024


#: what any pass may meet; everything else is the fault of somebody, perhaps of one run
EXPECTED: Final = (JobferryError, RedisError, OSError)


class UnreadableRun(JobferryError):  # noqa: N818 - reads better than ...Error
    """The document of a run cannot be read: this run fails, others do not notice."""


@dataclass(slots=True, kw_only=True)
class Pass:
    """One pass over one cluster."""

    ledger: Ledger
    cluster: Cluster
    settings: Settings
    clock: Callable[[], float]
    #: seconds that only grow, whatever is done to the clock: how long something lasts is measured by them
    steady: Callable[[], float]
    lease: Lease
    ledger_id: str
    changed: int = 0  #: changes and submits so far
    #: clusters that have something to do by what this pass did: a run ended of which they have results
    others: set[ClusterName] = field(default_factory=set)
    trouble: JobferryError | None = None  #: the scheduler could not be asked
    cannot_submit: str = ""  #: why no job of anybody can be submitted, if so
    #: runs that this pass leaves alone: they made it fail, or were set aside, or a newer jobferry accepted them
    left_alone: set[RunId] = field(default_factory=set)

    @property
    def name(self) -> ClusterName:
        """The cluster's name."""
        return self.cluster.name

    @property
    def spool(self) -> str:
        """The directory in which the cluster's jobs leave their hints."""
        return spool(self.cluster.root, self.ledger_id, self.name)

    @property
    def memory(self) -> Memory:
        """What this worker remembers of the cluster."""
        return self.cluster.memory

    def since(self, times: Mapping[JobKey, float]) -> dict[JobKey, float]:
        """Return moments of `steady` as the clock shows them now."""
        ahead = self.clock() - self.steady()
        return {key: moment + ahead for key, moment in times.items()}

    @property
    def timings(self) -> Timings:
        """The settings' timings."""
        return self.settings.timings

    @property
    def patience(self) -> Patience:
        """The timings as the plan wants them."""
        times = self.timings
        return Patience(
            settle=times.command_seconds + _SETTLED_SECONDS,
            grace=times.grace_seconds,
            late=min(times.grace_seconds, _LATE_SECONDS),
            again=times.command_seconds / 2,
            retry=times.retry_seconds,
            retry_max=times.retry_max_seconds,
        )

    def step(self, effect: timedelta = timedelta(0)) -> None:
        """Go on to the next effect, which takes up to so long: the lease outlasts it, and the pass is seen to move.

        Raises:
            LeaseLost: it is somebody else's now.
        """
        self.lease.keep(effect)
        self.cluster.stepped = time.monotonic()

    @property
    def facts(self) -> Facts:
        """What the scheduler says of itself."""
        if not self.cluster.knows_facts:
            self.step(self.timings.command)
            self.cluster.budget.spend()
        return self.cluster.facts

    def command(self, argv: Argv) -> Completed:
        """Run a scheduler command."""
        self.step(self.timings.command)
        self.cluster.budget.spend()
        return self.cluster.host.run(argv, limit=self.timings.command)

    def read(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Read those of the files that exist."""
        found: dict[str, bytes] = {}
        for start in range(0, len(paths), _PIECE):
            self.step()
            found.update(self.cluster.host.read(paths[start : start + _PIECE]))
        return found

    def read_known(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Read those of the files that exist, each piece with the proof that the root is the known one.

        Raises:
            StagingError: it is another one, such as a directory on which nothing is mounted.
        """
        found: dict[str, bytes] = {}
        for start in range(0, len(paths), _PIECE):
            self.step()
            found.update(read_known(self.ledger, self.cluster, paths[start : start + _PIECE]))
        return found

    def names(self, directory: str) -> Sequence[str]:
        """Return the names in a directory."""
        self.step()
        return self.cluster.host.names(directory)

    def write(self, files: Sequence[NewFile]) -> None:
        """Write small files."""
        for start in range(0, len(files), _WRITTEN):
            piece = files[start : start + _WRITTEN]
            size = sum(len(file.content) + _BESIDE_BYTES for file in piece)
            self.step(timedelta(seconds=size / _LEAST_RATE))
            self.cluster.host.write(piece)

    def create(self, files: Sequence[NewFile]) -> list[bool]:
        """Create small files, those that do not exist yet."""
        made: list[bool] = []
        for start in range(0, len(files), _PIECE):
            self.step()
            made += self.cluster.host.create(files[start : start + _PIECE])
        return made

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files; what cannot be removed is in nobody's way."""
        self.step()
        try:
            self.cluster.host.remove(paths)
        except StagingError as error:
            logger.warning("%s", error, extra={"action": "tidy"})

    def change(self, run: RunId, changes: Sequence[Change]) -> int:
        """Change jobs of a run; return how many were as they were thought to be."""
        done = 0
        for start in range(0, len(changes), _BATCH):
            self.step(timedelta(seconds=1))
            answers = self.ledger.change(
                run, changes[start : start + _BATCH], fence=self.lease.fence
            )
            done += sum(answers)
        self.changed += done
        return done

    def mine(self, runs: Iterable[RunId]) -> list[RunId]:
        """Return the runs without those that are left alone."""
        given = list(runs)
        known = self.memory.versions
        for run, why in self.ledger.newer(set(given) - known.keys()).items():
            known[run] = False
            logger.warning("%s", why, extra={"action": "newer-version"})
        known |= {run: True for run in given if run not in known}
        return [run for run in given if known[run] and run not in self.left_alone]

    def blame(self, run: RunId, error: Exception) -> None:
        """Leave a run alone for the rest of this pass, which failed for it; after some such passes, for good."""
        self.left_alone.add(run)
        why = f"{type(error).__name__}: {error}"
        aside = self.ledger.blame(run, self.name, why)
        then = f"; it is set aside: `jobferry putback {run}` once that is mended" if aside else ""
        logger.error(
            "Run %s makes passes over %s fail (%s)%s.",
            *(run, self.name, why, then),
            exc_info=error,
            extra={"action": "set-aside" if aside else "blamed"},
        )

    @contextmanager
    def sparing(self, run: RunId) -> Iterator[None]:
        """Put down what nobody foresaw to the run that is dealt with: one run must not stop the others."""
        try:
            yield
        except EXPECTED:
            raise
        except Exception as error:  # noqa: BLE001
            self.blame(run, error)

    def header(self, run: RunId) -> Header:
        """Return a run's header.

        Raises:
            UnreadableRun: it cannot be read, and never will be.
        """
        if found := self.memory.header(run):
            return found
        try:
            return self.memory.learn(run, self.ledger.header(run))
        except BrokerUnreachable:
            raise
        except (JobferryError, *CORRUPT) as error:
            msg = f"the document of run {run} cannot be read: {error}"
            raise UnreadableRun(msg) from error

    def layout(self, run: RunId) -> Layout:
        """Return where a run lies on the cluster; raises `UnreadableRun`."""
        return self.cluster.layout_of(self.header(run), run, self.ledger_id)
