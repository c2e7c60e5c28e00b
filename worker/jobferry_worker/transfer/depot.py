"""The worker's side of the depot: inputs come out of it into a mirror, results go from the mirror into it.

    way = way_of(ledger, cluster, run, renew)      # a `Direct` where the worker sees the producer's files
    staging = way.around(staging_of(way.header, cluster, renew))
    staging.stage(way.header, pages, layout)       # the mirror is filled before
    staging.collect(way.header, tasks, layout)     # what came is in the depot after
    way.is_the_producers_turn()                    # True: the results are in the depot

Whether the worker sees the producer's own directory is proved by a marker in it, once for each run, and for each
of its clusters where several share it: each of them has a mirror with the files of the jobs that it claimed.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from platformdirs.unix import Unix

from jobferry_common.depot.books import Books, Standings
from jobferry_common.depot.depot import Depot, forget_depots, the_depot
from jobferry_common.depot.sending import send, too_large
from jobferry_common.depot.ticket import Ticket, sees
from jobferry_common.errors import DepotError, NotInDepot, StagingError, UnknownId
from jobferry_common.killpoints import kill_here
from jobferry_common.scripts.layout import HIDDEN
from jobferry_common.states import ResultsState
from jobferry_worker.hosts.local import LocalHost
from jobferry_worker.transfer.mirror import Mirror

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from jobferry_common.depot.manifest import Manifest
    from jobferry_common.depot.store import Store
    from jobferry_common.depot.tree import Item
    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.staging.base import Lacking, Staging

logger: Final = logging.getLogger(__name__)

_MIB: Final = 1024 * 1024
_PART_BYTES: Final = 64 * _MIB
#: a depot in the broker holds several parts at least
_SHARE: Final = 8
#: between two renewals of a lease
_BEAT_SECONDS: Final = 5.0
#: after results were lost twice, before they are put again; it doubles so many times
_AGAIN_SECONDS: Final = 5.0
_DOUBLINGS: Final = 6
_PATHS, _DEPOT = "paths", "depot"


class Direct:
    """The way of files where the worker sees the producer's directory."""

    sees_home: Final = True

    def __init__(self, header: Header) -> None:
        self.header = header

    def around(self, staging: Staging) -> Staging:
        """Return the staging as it is."""
        return staging

    def begin(self) -> None:
        """Do nothing: results come to where they stay."""

    def is_the_producers_turn(self) -> bool:
        """Return False: results are where they belong."""
        return False

    def leave(self) -> None:
        """Do nothing: there is no mirror."""


class Passage:
    """The way of one run's files through the depot."""

    sees_home: Final = False

    def __init__(
        self, ledger: Ledger, cluster: Cluster, run: RunId, header: Header, ticket: Ticket
    ) -> None:
        self._ledger = ledger
        self._settings = cluster.depot
        self._run = run
        self._owner = header.owner
        self._ticket = ticket
        self._standings = Standings(ledger)
        #: the cluster's name where several share the run
        self._at = cluster.name if header.is_shared else None
        self._mirror = Mirror(_home(cluster), run, self._at)
        self._manifest: Manifest | None = None
        #: jobs get copies of their files, and nothing writes through a link into the mirror
        self._copies = not (cluster.profile.symlink or cluster.profile.in_place)
        #: the header as staging has to see it
        self.header = replace(header, source=str(self._mirror.files))
        self.beat: Callable[[], None] = _calm

    def around(self, staging: Staging) -> Staging:
        """Return a staging that works with the mirror, and keeps mirror and depot in step."""
        return ByDepot(self, staging)

    def bring(self, named: Iterable[str]) -> None:
        """Fill the mirror with the inputs; where clusters share the run, with those of certain names.

        Raises:
            StagingError: not now; if the depot lacks something, the producer is asked for it.
        """
        self._mirror.make()
        if self._mirror.is_filled:
            return
        depot = self._depot()
        depot.books.keep(self._ticket.nonce, self._run)
        try:
            self._fill(depot, set(named))
        except NotInDepot as error:
            self._standings.want(self._run)
            msg = f"{error}; `jobferry watch {self._run}` by {self._owner} brings its files again"
            raise NotInDepot(msg) from None
        except DepotError:
            forget_depots()
            raise

    def _fill(self, depot: Depot, named: Collection[str]) -> None:
        if (
            self._manifest is None
        ):  # its files are brought in many steps where clusters share the run
            inputs = self._standings.of(self._run).inputs or self._ticket.inputs
            if not inputs:
                raise NotInDepot(_nothing(self._ticket))
            self._manifest = depot.manifest(inputs)
        if self._at is None:
            self._mirror.fill(depot, self._manifest, self.beat, linked=self._copies)
        else:
            self._mirror.fill_some(depot, self._manifest, named, self.beat, linked=self._copies)

    def begin(self) -> None:
        """Have all results brought and put once more, if the depot lost what the producer did not fetch.

        Raises:
            StagingError: it loses them again and again, so that it is left alone for a while.
        """
        standing = self._standings.of(self._run, self._at)
        if not standing.lost:
            return
        pause = _AGAIN_SECONDS * 2.0 ** min(standing.losses - 2, _DOUBLINGS)
        if standing.losses > 1 and self._ledger.clock() < standing.lost + pause:
            msg = (
                f"the depot {self._settings.shown} lost or damaged results that were put into it, {standing.losses} "
                f"times by now: the next try is {pause:.0f} s after the last; look at that depot"
            )
            raise StagingError(msg)
        self._mirror.make()
        # the mirror may be that of another worker, and have only some
        self._ledger.collect_again(self._run, at=self._at)
        self._mirror.forget_sent()
        self._standings.found(self._run, self._at)

    def ready(self) -> None:
        """See that results have somewhere to go: another worker may have filled its own mirror."""
        self._mirror.make()

    def send(self, paths: Iterable[str]) -> None:
        """Put what came into some directories of the mirror into the depot.

        Raises:
            DepotFull: there is no room now.
            StagingError: it cannot be put for another reason.
        """
        self._mirror.make()
        news = self._mirror.news(paths)
        if not news:
            return
        depot = self._depot()
        try:
            # those that can never be there keep no others from coming
            hindrances = [words for item in news if (words := too_large(item, depot.store))]
            for part in self._parts(news, depot.store):
                self._send(depot, part)
        except DepotError:
            forget_depots()
            raise
        if hindrances:
            raise StagingError(hindrances[0])

    def is_the_producers_turn(self) -> bool:
        """Put the rest; True unless the producer has all of it."""
        self.send(["."])
        if self._standings.of(self._run, self._at).is_all_fetched:
            if self._at is None:
                self.release()
            # what it found to be lost since then is to be put again
            moved = self._move(ResultsState.DELIVERED)
            if moved and is_delivered(self._ledger, self._run):
                self._ledger.free_directories(self._run)
            return not moved
        if self._move(ResultsState.DEPOT):
            logger.info("The results of %s are in the depot.", self._run, extra={"action": "depot"})
        return True

    def _move(self, to: ResultsState) -> bool:
        return self._standings.move(self._run, ResultsState.REMOTE, to, self._at)

    def release(self) -> None:
        """Release what the run needs of the depot, unless another cluster does, too; it is removed now or later."""
        if self._at is not None and not is_delivered(self._ledger, self._run):
            return
        holders = self._ticket.holders(self._standings.of(self._run).parts)
        Books(self._ledger, self._ticket.depot).release(holders)
        try:
            depot = self._depot()
            depot.books.release(holders)  # of one that was made in its place
            depot.tidy()
        except StagingError as error:
            logger.warning("%s: %s", self._run, error, extra={"action": "depot-tidy"})

    def leave(self) -> None:
        """Remove the mirror; the depot is left to its own rules."""
        self.release()
        self._mirror.remove(self._settings.cache_days)

    def _send(self, depot: Depot, part: Sequence[Item]) -> None:
        number = self._standings.of(self._run).parts
        holder = self._ticket.holder(number)
        digest = send(depot, holder, part, self.beat)
        depot.books.keep(holder, self._run)
        kill_here("after-put")
        if not self._standings.add_part(self._run, number, digest, self._at):
            msg = f"another worker put part {number} of the results of {self._run} into the depot"
            raise StagingError(msg)
        kill_here("after-part-noted")
        self._mirror.sent(part)

    def _parts(self, items: Iterable[Item], store: Store) -> Iterator[list[Item]]:
        """Cut results into parts: the producer fetches one while the next is put, which makes room."""
        most = _PART_BYTES if store.limit is None else min(_PART_BYTES, store.limit // _SHARE)
        part: list[Item] = []
        size = 0
        for item in items:
            if too_large(item, store):
                continue
            if part and size + item.size > most:
                yield part
                part, size = [], 0
            part.append(item)
            size += item.size
        if part:
            yield part

    def _depot(self) -> Depot:
        """Return the depot of the producer; raises what `the_depot` does."""
        return the_depot(self._settings, self._ledger, self._ticket)


class ByDepot:
    """A `Staging` between a mirror and the cluster."""

    def __init__(self, passage: Passage, inner: Staging) -> None:
        self._passage = passage
        self._inner = inner

    def stage(
        self, header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]], layout: Layout
    ) -> None:
        """Fill the mirror, then bring its files."""
        if header.is_shared:  # of few jobs
            pages = list(pages)
            self._passage.bring(_named(header, pages))
        else:
            self._passage.bring(())
        kill_here("after-mirrored")
        self._inner.stage(header, pages, layout)

    def collect(
        self, header: Header, tasks: Iterable[tuple[TaskSpec, bool]], layout: Layout
    ) -> list[Lacking]:
        """Fetch results into the mirror, then put them into the depot."""
        self._passage.ready()
        ended = list(tasks)
        lacking = self._inner.collect(header, ended, layout)
        self._passage.send({task.path for task, _ in ended})
        return lacking

    def collect_common(self, header: Header, layout: Layout) -> list[Lacking]:
        """Fetch the common results into the mirror; they go on with the rest."""
        self._passage.ready()
        return self._inner.collect_common(header, layout)

    def clean(self, layout: Layout) -> None:
        """Remove the run's files from the cluster, then the mirror."""
        self._inner.clean(layout)
        self._passage.leave()


def way_of(
    ledger: Ledger, cluster: Cluster, run: RunId, renew: Callable[[], None]
) -> Passage | Direct:
    """Return how the files of a run travel; `renew` is called now and then while they do."""
    header = ledger.header(run)
    ticket = Ticket.of(header)
    if ticket is None:
        return Direct(header)
    standings, at = Standings(ledger), cluster.name if header.is_shared else None
    via = standings.of(run, at).via
    if not via:
        seen = sees(header.source, ticket.nonce)
        via = standings.decide(run, _PATHS if seen else _DEPOT, at)
        standings.note_sight(cluster.name, ticket.place, seen=seen)
        if via == _PATHS and at is None:
            Books(ledger, ticket.depot).release([ticket.nonce])
        logger.info(
            "The files of %s travel to %s by %s.",
            *(run, cluster.name, via),
            extra={"action": "depot-decided"},
        )
    if via == _PATHS:
        return Direct(header)
    passage = Passage(ledger, cluster, run, header, ticket)
    passage.beat = _seldom(renew)
    return passage


def is_delivered(ledger: Ledger, run: RunId) -> bool:
    """Tell whether all results of a run are at the producer: those of all of its clusters."""
    return ledger.run(run).results not in (ResultsState.REMOTE, ResultsState.DEPOT)


def let_go(ledger: Ledger, run: RunId, header: Header) -> None:
    """Release what a shared run needs of the depot, once none of its clusters does; it is removed later."""
    ticket = Ticket.of(header)
    if ticket is None:
        return
    with suppress(UnknownId):  # it was cleaned, and is forgotten by now: that released all of it
        if is_delivered(ledger, run):
            holders = ticket.holders(Standings(ledger).of(run).parts)
            Books(ledger, ticket.depot).release(holders)


def _named(header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]]) -> Iterator[str]:
    """Yield the paths that some tasks, and all together, name as inputs."""
    named = [("", header.forward_common)]
    named += [(task.path, task.forward) for page in pages for _, task in page]
    for path, names in named:
        yield from (os.path.normpath(f"{path}/{name}" if path else name) for name in names)


def _home(cluster: Cluster) -> Path:
    """Return where mirrors lie: on this machine's own cluster where its nodes see them, too."""
    if cluster.depot.directory is not None:
        return cluster.depot.directory.expanduser()
    if isinstance(cluster.host, LocalHost):
        return Path(cluster.root, HIDDEN, "depot")
    return Unix("jobferry").user_cache_path / "depot" / cluster.name


def _nothing(ticket: Ticket) -> str:
    return (
        f"its files were not put into the depot {ticket.shown}, because the worker saw them before"
    )


def _calm() -> None:
    """Nothing has to be renewed."""


def _seldom(beat: Callable[[], None]) -> Callable[[], None]:
    """Return a beat that may be called for every file."""
    last = time.monotonic()

    def calm() -> None:
        nonlocal last
        if time.monotonic() - last > _BEAT_SECONDS:
            last = time.monotonic()
            beat()

    return calm
