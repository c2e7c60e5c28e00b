"""One seed, from its first submission to the last result.

simulate(redis, seed=17)          # its tally; raises Breach with the trace of what happened
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import UnknownId
from jobferry_common.names import ClusterName
from jobferry_common.scripts.layout import id_file
from jobferry_common.settings import Settings
from tests.simulation.bench import TIMINGS
from tests.simulation.engine import invariants
from tests.simulation.engine.actors import Actor, Process
from tests.simulation.engine.broker import SimBroker, SimLedger
from tests.simulation.engine.fate import Fate
from tests.simulation.engine.people import Producer, new_document
from tests.simulation.engine.pointing import pointed_at
from tests.simulation.engine.staging import SimStaging
from tests.simulation.engine.weather import Weather, chances_of
from tests.simulation.engine.workers import Worker
from tests.simulation.fakes import ALPHA, ROOT
from tests.simulation.twins import BETA
from tests.simulation.world import START, Chances, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from jobferry_common.document import Header
    from jobferry_common.names import RunId
    from jobferry_worker.cluster import Cluster

_HABITS: Final = (
    "cancel",
    "retry",
    "resubmit",
    "hold",
    "release",
    "abandon",
    "fetch",
    "clean",
    "pause",
    "resume",
)
#: how long a storm lasts: most what can go wrong goes wrong in short ones
_STORMS: Final = (100.0, 100.0, 300.0, 300.0, 600.0)
#: steps between two looks at all of the ledger's keys
_SANITY: Final = 25
#: seconds after the last fault in which everything has to become final, and passes of each cluster
_PATIENCE: Final = 4000.0
_PASSES: Final = 1500


class Breach(AssertionError):  # noqa: N818 - reads better than ...Error
    """A promise was broken."""


@dataclass
class Site:
    """A cluster."""

    name: ClusterName
    world: World
    profile: dict[str, Any] = field(default_factory=dict)

    @property
    def in_trouble(self) -> bool:
        """True while it is not what it should be."""
        return self.world.bare is not None or self.world.cluster_name != "far"


class Simulation:
    """All of it."""

    def __init__(self, redis: Redis, seed: int, trace: list[str] | None = None) -> None:
        self.seed = seed
        self.now = START
        self.fate = Fate(seed, lambda: self.now)
        self.fate.trace = trace
        self.settings = Settings(timings=TIMINGS)
        self.broker = SimBroker(redis, lambda: self.now)
        self.observer = SimLedger(self.broker, self.fate, lambda: self.now)
        self.passes: Counter[str] = Counter()
        self.calm = False
        self.beats = True
        self.has_forgotten = False
        self.home: dict[tuple[str, int], bytes] = {}
        #: what users gave up: it may run there and elsewhere
        self.given_up: set[tuple[str, str]] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._paused: dict[Actor, None] = {}
        self._wakes: set[ClusterName] = set()
        self._dead: dict[str, Process] = {}
        self._steps = self._started = 0
        self._populate()

    def _populate(self) -> None:
        """Make clusters, workers and users, as the seed wants them."""
        pick = self.fate.random.choice
        #: what hardly occurs by itself: "submits" without an answer, under a broker that forgets; elements that vanish
        #: from their "arrays"; '' for everything
        self.theme = self.fate.random.choices(["submits", "arrays", ""], [12, 8, 80])[0]
        self.forgets = self.theme == "submits" or (not self.theme and pick([True, False]))
        #: whether a worker that died is seen to be dead, as on one machine
        self._sees_death = pick([True, False])
        names = pick([(ALPHA,), (ALPHA, BETA)])
        self.sites = {name: self._site(name) for name in names}
        habits = [habit for habit in _HABITS if self.fate.random.random() < 0.4]
        self.habits = [h for h in habits if not (self.forgets and h == "clean")] or ["release"]
        self.weather = Weather(self)
        self.producer = Producer(self)
        self.workers = [self._worker(f"w{number}") for number in range(pick([1, 2, 3]))]

    def _site(self, name: ClusterName) -> Site:
        pick = self.fate.random.choice
        world = World(
            seed=self.fate.random.getrandbits(32),
            chances=chances_of(self),
            slots=pick([2, 1000]),
            limit=pick([None, 5]),
            has_history=pick([False, True]),
            has_inquiry=pick([False, True]),
            lists_ended=pick([False, True]),
            keeps=pick([0.0, 60.0, 300.0]),
            max_array=pick([1, 4, 1000]),
            longest=pick([5.0, 30.0, 120.0]),
        )
        if self.theme == "arrays":
            world.slots, world.limit, world.max_array, world.keeps = 2, None, 1000, 300.0
            world.has_history, world.has_inquiry, world.lists_ended = False, True, False
            return Site(name, world)
        return Site(name, world, pick([{}, {"max_queued_jobs": 4}]))

    def _worker(self, name: str) -> Worker:
        return Worker(name, self, tuple(self.sites))

    # ---- time

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen later."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._serial), what))

    def _advance_to(self, when: float) -> None:
        for site in self.sites.values():
            if when > site.world.now:
                site.world.tick(when - site.world.now)
        self.now = max(self.now, when)

    def _run_until(self, end: float) -> None:
        while self._queue and self._queue[0][0] <= end:
            when, _, what = heapq.heappop(self._queue)
            self._advance_to(when)
            what()
            self._check()
        self._advance_to(end)

    def _check(self) -> None:
        self._steps += 1
        started = sum(site.world.started for site in self.sites.values())
        if started > self._started:
            self._started = started
            self._breach(invariants.breaches(self))
        if self._steps % _SANITY == 0:
            self._breach(invariants.insane(self))

    def _breach(self, found: Any) -> None:
        if broken := list(found):
            raise Breach("\n".join(broken[:5]))

    # ---- who acts

    def spawn(self, name: str, process: Process, work: Callable[[], None]) -> None:
        """Let a process begin something now, or as soon as whoever acts has ended."""
        actor = Actor(name, process, work)
        self.after(0.0, lambda: self._resume(actor))

    def _resume(self, actor: Actor) -> None:
        if not actor.process.alive and actor not in self._paused:
            return
        self._paused.pop(actor, None)
        self.fate.current = actor
        try:
            actor.resume()
        finally:
            self.fate.current = None
        if not actor.process.alive:
            self.kill(actor.process)
        if not actor.over:
            self._paused[actor] = None
            self.after(actor.rest, lambda: self._resume(actor))

    def kill(self, process: Process) -> None:
        """End a process, and start it again some time later."""
        if process.name in self._dead and self._dead[process.name] is process:
            return
        process.alive = False
        self._dead[process.name] = process
        if isinstance(process, Worker):
            self.after(self.fate.random.choice([1.0, 20.0, 100.0]), lambda: self._replace(process))
        else:
            self.after(10.0, lambda: self._revive(process))

    def _replace(self, old: Worker) -> None:
        if old in self.workers:
            self.workers[self.workers.index(old)] = self._worker(
                f"{old.name.partition('.')[0]}.{next(self._serial)}"
            )

    def restart_one(self) -> None:
        """Start another worker process beside the others."""
        if len(self.workers) < 4:
            self.workers.append(self._worker(f"w{len(self.workers)}.{next(self._serial)}"))

    def _revive(self, process: Process) -> None:
        """A producer that died is started again: it kept what it was told."""
        process.alive = True
        self._dead.pop(process.name, None)

    def holder(self) -> str:
        """Return who holds a lease, as processes of one machine see it."""
        actor = self.fate.current
        return f"{actor.process.name if actor else 'nobody'}.{next(self._serial)}"

    def is_dead(self, who: str) -> bool:
        """Tell whether the holder of a lease is known to be dead."""
        return self._sees_death and who.rpartition(".")[0] in self._dead

    def staging_of(self, header: Header, cluster: Cluster, renew: Callable[[], None]) -> SimStaging:
        """Return how files travel here."""
        del header, renew
        return SimStaging(cluster.host, self.fate, self.home)

    # ---- messages

    def send(
        self, task: str, cluster: ClusterName, run: RunId | None = None, *, after: float = 0.0
    ) -> None:
        """Send a message; it may be lost, come twice, and come late."""
        fate = self.fate
        if fate.happens("message lost"):
            return
        for _ in range(1 + fate.happens("message doubled")):
            late = fate.random.uniform(0.0, 60.0) if fate.happens("message late") else 0.0
            self.after(after + late, lambda: self._deliver(task, cluster, run))

    def wake(self, cluster: ClusterName, seconds: float) -> None:
        """A worker looks again by itself, without a message."""
        if cluster in self._wakes:
            return
        self._wakes.add(cluster)

        def look() -> None:
            self._wakes.discard(cluster)
            self._deliver("advance", cluster, None)

        self.after(max(seconds, 1.0), look)

    def _deliver(self, task: str, cluster: ClusterName, run: RunId | None) -> None:
        living = [worker for worker in self.workers if worker.alive]
        if living:
            self.passes[cluster] += task == "advance"
            self.fate.random.choice(living).take(task, cluster, run)

    def _beat(self) -> None:
        for name in self.sites if self.beats else ():
            self.send("advance", name)
        self.after(10.0 if self.calm else self.fate.random.choice([2.0, 5.0, 15.0]), self._beat)

    def _follow(self) -> None:
        if self.producer.alive:
            self.spawn("producer follows", self.producer, self.producer.follow)
        self.after(20.0, self._follow)

    def _people(self) -> None:
        if self.calm:
            return
        if self.producer.alive:
            self.spawn("a user", self.producer, self.producer.change_mind)
        self.after(self.fate.random.expovariate(1 / 40.0), self._people)

    # ---- its course

    def run(self) -> Counter[str]:
        """Live through the seed; return what happened how often."""
        with pointed_at(self):
            try:
                self._storm()
                self._calm_down()
                self._breach(invariants.breaches(self))
                self._breach(invariants.insane(self))
                self._breach(invariants.at_the_end(self))
            finally:
                self._end()
                self.broker.wire.close()
        for site in self.sites.values():
            self.fate.tally += site.world.tally
        return self.fate.tally

    def _storm(self) -> None:
        random = self.fate.random
        for number in range(1, random.randint(2, 5)):
            what = new_document(self, number)
            self.after(
                random.uniform(0.0, 120.0),
                lambda what=what: self.spawn(
                    "producer submits", self.producer, lambda: self.producer.submit(what)
                ),  # type: ignore[misc]
            )
        for begin in (self._beat, self._follow, self._people, self.weather.turn):
            self.after(random.uniform(0.0, 20.0), begin)
        self._run_until(self.now + (600.0 if self.theme else random.choice(_STORMS)))

    def _calm_down(self) -> None:
        """From now on nothing goes wrong, and all has to end."""
        self.calm = self.beats = True
        self.fate.calm()
        self.broker.down = False
        for site in self.sites.values():
            site.world.chances, site.world.reachable = Chances(), True
            site.world.bare, site.world.cluster_name = None, "far"
        for worker in self.workers:
            worker.skew = 0.0
        self._run_until(self.now + 130.0)
        self._resume_all()
        end = self.now + _PATIENCE
        self.passes.clear()
        while left := [*invariants.unfinished(self), *(["queue"] if self._paused else [])]:
            if self.now > end or max(self.passes.values(), default=0) > _PASSES:
                raise Breach("\n".join(["not final in time:", *left]))
            self._run_until(self.now + 30.0)
            self._resume_halted()

    def _resume_all(self) -> None:
        """What people paused and held goes on."""
        for name in self.sites:
            self.observer.set_cluster(
                name, paused="", paused_by="operator", failures=0, probe_at=0.0
            )
        for run in self.observer.runs(open_only=True):
            self.observer.hold(run.id, held=False)
        self._obey()

    def _resume_halted(self) -> None:
        """Do what a pause asks for: look, and resume by hand. A user who was slow may have paused it after all."""
        for one in self.observer.clusters():
            if one.paused:
                self.fate.count("operator resumes once more")
                self.observer.set_cluster(
                    one.name, paused="", paused_by="operator", failures=0, probe_at=0.0
                )

    def _obey(self) -> None:
        """Do what passes ask for where work was begun in a root that was not mounted: give those runs up."""
        for name, site in self.sites.items():
            found = site.world.files.get(id_file(ROOT), b"").decode().strip()
            if self.observer.remembered(f"root of {name}") not in (None, found):
                self.fate.count("operator gives up a strange root")
                for run in self.observer.open_runs(name):
                    self.observer.wish_cancel(run)
                for run in self.observer.collectable(name):
                    if self.observer.run(run).state.is_final:
                        self.producer.removed.add(run)
                        self.observer.forget(run)

    def _end(self) -> None:
        """Stop every thread."""
        for actor in list(self._paused):
            actor.process.alive = False
            self.fate.current = actor
            actor.resume()
        self.fate.current = None

    @property
    def has_lost_files(self) -> bool:
        """True where a root was taken for lost, so that what lay there is not looked for any more."""
        what = "root made where nothing was mounted"
        return any(site.world.tally[what] for site in self.sites.values())

    def forget(self) -> None:
        """The broker comes back with an older state, as another process."""
        if self.broker.may_forget and not self.calm:
            self.has_forgotten = True
            self.broker.forget()

    def knows(self, run: RunId) -> bool:
        """Tell whether the ledger holds a run."""
        try:
            self.observer.run(run)
        except UnknownId:
            return False
        return True
