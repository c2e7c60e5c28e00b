"""One cluster of a worker process: its passes, what follows from them, and the looks in between.

A pass is cheap and never moves bulk data. What it finds to be moved goes to the data queue as a message; the few
files of a small run are moved right here, so that trivial work never waits for a message or a tick.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from jobferry_common import messages
from jobferry_common.errors import JobferryError, UnknownId
from jobferry_common.killpoints import kill_here
from jobferry_common.scripts.layout import spool
from jobferry_worker import transfer
from jobferry_worker.cluster import open_cluster
from jobferry_worker.pacing import Pacing
from jobferry_worker.poison import Poisonous, watched
from jobferry_worker.reconcile.advance import advance
from jobferry_worker.reconcile.passes import CORRUPT
from jobferry_worker.turns import Turn
from jobferry_worker.watch import Rhythm, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobferry_common.names import ClusterName, RunId
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.reconcile.advance import Report
    from jobferry_worker.service import Service

logger: Final = logging.getLogger(__name__)

#: runs of at most so many tasks are moved by the pass itself, without a message
SMALL_TASKS: Final = 50
#: passes in a row that follow moves made right here, before others get the thread
_ROUNDS: Final = 20


class Served:
    """What a worker process knows of one cluster; to be called from any thread."""

    def __init__(self, name: ClusterName, service: Service) -> None:
        self.name = name
        self.turn = Turn()
        self.watch = Watch(name, look=self._look_again, arrived=self._arrived)
        self._service = service
        self._guard = threading.Lock()
        self._inline = threading.Lock()
        self._pacing = Pacing()
        self._cluster: Cluster | None = None
        self._rhythm: Rhythm | None = None
        self._failures = 0
        self._rest_until = 0.0

    def cluster(self) -> Cluster:
        """Return the cluster, opened on first use.

        Raises:
            UnknownId: this worker does not serve it.
            HostUnreachable: its machine does not answer.
        """
        with self._guard:
            if self._cluster is None:
                profile = self._service.profile(self.name)
                self._cluster = open_cluster(self.name, profile, self._service.settings)
            return self._cluster

    def stalled_since(self) -> float | None:
        """Return since when a pass takes no step, by `time.monotonic()`; None while there is no pass."""
        since, cluster = self.turn.since, self._cluster
        return since if since is None or cluster is None else max(since, cluster.stepped)

    @property
    def silence_seconds(self) -> float:
        """How long a step may wait for a host that does not answer: then it ends, as a look that failed."""
        cluster = self._cluster
        return 0.0 if cluster is None else cluster.host.silence_seconds

    def look(self) -> None:
        """Make a pass, or have the one that runs repeated; then see to what it found to be moved."""
        for _ in range(_ROUNDS):
            reports = self._passes()
            if reports is None:
                return
            moved = [self._seen_to(move) for report in reports for move in _moves(report)]
            self._look_after_rest(reports)
            if not any(moved) and not self.turn.owed:
                break
        else:
            self.watch.wake()
        self.watch.follow(self._rhythm)

    def _passes(self) -> list[Report] | None:
        """Make one pass or more; None when somebody else makes them."""
        found: list[Report] = []
        return found if self.turn.take(lambda: self._pass(found)) else None

    def move(self, task: str, run: RunId) -> bool:
        """Stage or collect a run now; False when somebody else is at it, or it failed."""
        ledger = self._service.ledger
        ledger.check_version()
        if run in ledger.runs_aside():
            return False
        moves, at = self._service.moves, self._at(run)
        if not moves.begin(task, run, at=at):
            return False
        kill_here("after-begun")
        rest, why = self._service.settings.timings.retry_seconds, ""
        try:
            with watched(self._service.redis, self._service.settings, (task, self.name, run)):
                self._transfer(task, run)
            rest = 0.0
        except Exception as error:
            why = self._told(task, run, error)
            raise
        finally:
            moves.end(task, run, rest_seconds=rest, why=why, at=at)
        return True

    def _told(self, task: str, run: RunId, error: Exception) -> str:
        """Return what hindered a move, for its run; a run that makes moves fail is set aside in the end."""
        match error:
            case Poisonous():
                self._service.ledger.set_aside(run, self.name, str(error))
            case RedisError() | OSError():
                return ""
            case JobferryError():
                return str(error)
            case _:
                what = f"{task}: {type(error).__name__}: {error}"
                self._service.ledger.blame(run, self.name, what)
        return ""

    def move_quietly(self, task: str, run: RunId) -> bool:
        """Do the same; what can be expected to hinder it is told in one line of the log.

        Raises:
            UnknownId: the run was cleaned meanwhile.
        """
        try:
            return self.move(task, run)
        except UnknownId:
            raise
        except (JobferryError, RedisError, OSError) as error:
            logger.warning("%s of %s failed: %s", task, run, error, extra={"action": "move-failed"})
            return False

    def _at(self, run: RunId) -> str:
        """Return the cluster's name where several share the run."""
        return str(self.name) if self._service.ledger.run(run).targets else ""

    def _transfer(self, task: str, run: RunId) -> None:
        ledger, settings = self._service.ledger, self._service.settings
        if task == messages.STAGE:
            transfer.stage(ledger, self.cluster(), settings, run)
        elif task == messages.CLEAN:
            transfer.clean(ledger, self.cluster(), settings, run)
        else:
            transfer.collect(ledger, self.cluster(), settings, run)

    def _seen_to(self, move: tuple[str, RunId]) -> bool:
        """See to a move; a run that was cleaned since the pass keeps no other from being moved."""
        try:
            return self._see_to(move)
        except UnknownId as error:
            logger.info("%s of %s is not needed: %s", *move, error, extra={"action": "late"})
            return False

    def _see_to(self, move: tuple[str, RunId]) -> bool:
        """Move a small run here and now; ask the data queue for others. True when files were moved."""
        task, run = move
        if task == messages.COLLECT and self._rests(run):
            return False
        if self._small(task, run) and self._inline.acquire(blocking=False):
            try:
                return self.move_quietly(task, run)
            finally:
                self._inline.release()
        self._service.moves.ask(task, self.name, run, at=self._at(run))
        return False

    def _rests(self, run: RunId) -> bool:
        """Tell whether results are fetched later; else note that they are now. What ended rests no more."""
        cluster = self._cluster
        if cluster is None or not cluster.is_far or self._service.ledger.run(run).state.is_final:
            return False
        if not self._pacing.may(run):
            return True
        self._pacing.begin(run)
        return False

    def _look_after_rest(self, reports: Sequence[Report]) -> None:
        """Have the next look come no later than results may be fetched again."""
        left = self._pacing.left(reports[-1].collect) if reports else None
        if left is not None:
            rhythm = self._rhythm or Rhythm(next_look=left, spool=left)
            self._rhythm = replace(rhythm, next_look=min(rhythm.next_look, left))

    def _small(self, task: str, run: RunId) -> bool:
        ledger = self._service.ledger
        try:
            header = ledger.header(run)
        except CORRUPT:
            # no other run waits for it: the move that is asked for fails, and blames it
            return False
        if not header.is_shared:
            return header.tasks <= SMALL_TASKS
        # what clusters share comes and goes in small pieces
        if task == messages.STAGE:
            jobs = ledger.claimed(run, self.name, SMALL_TASKS + 1)
        else:
            jobs = ledger.to_collect(run, SMALL_TASKS + 1, at=self.name)
        return len(jobs) * header.group_size <= SMALL_TASKS

    def _pass(self, found: list[Report]) -> None:
        """Make one pass; a cluster that fails is left alone for a while, which grows."""
        service = self._service
        if time.monotonic() < self._rest_until:
            return
        try:
            with watched(service.redis, service.settings, (messages.ADVANCE, self.name)):
                report = advance(
                    service.ledger, self.cluster(), service.settings, time.time, time.monotonic
                )
        except Exception as error:  # noqa: BLE001 - the boundary of the worker's loop
            self._rest(error)
            return
        found.append(report)
        if report.others:
            self._hint(report.others)
        self._failures = 0
        self._rhythm = self._rhythm_of(report)

    def _hint(self, others: Sequence[ClusterName]) -> None:
        """Have other clusters look at once; without it they look a little later."""
        try:
            messages.hint(self._service.redis, self._service.settings, others)
        except RedisError as error:
            logger.debug("No hint was sent: %s", error)

    def _rest(self, error: Exception) -> None:
        timings = self._service.settings.timings
        self._failures += 1
        pause = min(
            timings.probe_seconds * 2 ** min(self._failures - 1, 10), timings.probe_max_seconds
        )
        self._rest_until = time.monotonic() + pause
        self._rhythm = Rhythm(next_look=pause, spool=pause)
        known = isinstance(error, (JobferryError, RedisError, OSError))
        logger.error(
            "A pass over %s failed: %s. The next one is in %.0f s.",
            self.name,
            error,
            pause,
            exc_info=None if known else error,
            extra={"action": "pass-failed"},
        )

    def _rhythm_of(self, report: Report) -> Rhythm | None:
        """Return when to look again; None when ticks are enough, because nothing is out or due soon."""
        timings = self._service.settings.timings
        if report.next_look is None:
            return None
        if report.out:
            return Rhythm(next_look=report.next_look, spool=self._spool_seconds())
        if report.next_look < timings.tick_idle_seconds:
            return Rhythm(next_look=report.next_look, spool=report.next_look)
        return None

    def _spool_seconds(self) -> float:
        timings = self._service.settings.timings
        cluster = self._cluster
        is_far = cluster is not None and cluster.is_far
        return timings.spool_ssh_seconds if is_far else timings.spool_local_seconds

    def _look_again(self) -> Rhythm | None:
        self.look()
        return self._rhythm

    def _arrived(self) -> bool:
        """Return True when a job has left its hint: without a command of the scheduler."""
        cluster = self._cluster
        if cluster is None:
            return False
        try:
            hints = spool(cluster.root, self._service.ledger.id, cluster.name)
            return not cluster.memory.lying.issuperset(cluster.host.names(hints))
        except (JobferryError, OSError) as error:
            logger.debug("The spool of %s cannot be read: %s", self.name, error)
            return False


def _moves(report: Report) -> Iterator[tuple[str, RunId]]:
    """Return what a pass found to be moved."""
    yield from ((messages.STAGE, run) for run in report.stage)
    yield from ((messages.COLLECT, run) for run in report.collect)
