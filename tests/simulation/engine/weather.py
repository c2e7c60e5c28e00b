"""What goes wrong for a while: a broker that is down, a root that is not mounted, another cluster that answers, …"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.world import Chances

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.engine.simulation import Simulation, Site

#: how likely each begins in a moment of bad weather
KINDS: Final = (
    *("unreachable", "unmounted", "another cluster", "broker down", "broker forgets"),
    *("worker killed", "clock jumps", "beat stops", "operator's scancel", "worker started"),
)
#: the only one in seeds that are about something
_OF_THEME: Final = {"submits": "broker forgets", "arrays": "operator's scancel"}
_LASTS: Final = (5.0, 30.0, 100.0, 250.0)
_MINUTES: Final = (60.0, 200.0, 300.0)
_JUMPS: Final = (-400.0, -70.0, -5.0, 5.0, 70.0, 400.0)


class Weather:
    """Begins and ends troubles."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        random = simulation.fate.random
        #: of this seed; the others do not come
        self.kinds = [kind for kind in KINDS if random.random() < 0.5]
        if not simulation.forgets:
            self.kinds = [kind for kind in self.kinds if kind != "broker forgets"]
        self.pause = random.choice([10.0, 40.0, 150.0])
        if simulation.theme:
            self.kinds, self.pause = [_OF_THEME[simulation.theme]], 20.0

    def turn(self) -> None:
        """Let one trouble begin."""
        simulation = self._simulation
        random = simulation.fate.random
        if simulation.calm:
            return
        if self.kinds:
            kind = random.choice(self.kinds)
            site = random.choice([*simulation.sites.values()])
            if end := self._begin(kind, site):
                simulation.after(random.choice(_LASTS), end)
        simulation.after(random.expovariate(1 / self.pause), self.turn)

    def _begin(self, kind: str, site: Site) -> Callable[[], None] | None:
        """Begin a trouble; return what ends it."""
        begin = getattr(self, "_" + kind.replace(" ", "_").replace("'", ""))
        end: Callable[[], None] | None = begin(site)
        self._simulation.fate.count(kind)
        return end

    def _unreachable(self, site: Site) -> Callable[[], None]:
        site.world.reachable = False
        return lambda: setattr(site.world, "reachable", True)

    def _unmounted(self, site: Site) -> Callable[[], None]:
        site.world.bare = {}
        return lambda: setattr(site.world, "bare", None)

    def _another_cluster(self, site: Site) -> Callable[[], None]:
        site.world.cluster_name = "elsewhere"
        return lambda: setattr(site.world, "cluster_name", "far")

    def _broker_down(self, site: Site) -> Callable[[], None]:
        broker = self._simulation.broker
        broker.down = True
        return lambda: setattr(broker, "down", False)

    def _broker_forgets(self, site: Site) -> Callable[[], None] | None:
        """It was copied some seconds ago, and comes back with the copy; in minutes, what was given up is claimed."""
        simulation = self._simulation
        if simulation.theme == "submits":
            if not simulation.broker.may_forget:
                simulation.broker.keep()
                simulation.after(simulation.fate.random.choice(_MINUTES), simulation.forget)
            return None
        simulation.broker.keep()
        return simulation.forget

    def _worker_killed(self, site: Site) -> None:
        workers = self._simulation.workers
        self._simulation.kill(self._simulation.fate.random.choice(workers))

    def _worker_started(self, site: Site) -> None:
        self._simulation.restart_one()

    def _clock_jumps(self, site: Site) -> None:
        random = self._simulation.fate.random
        worker = random.choice(self._simulation.workers)
        worker.skew = random.choice(_JUMPS)

    def _beat_stops(self, site: Site) -> Callable[[], None]:
        self._simulation.beats = False
        return lambda: setattr(self._simulation, "beats", True)

    def _operators_scancel(self, site: Site) -> None:
        living = [one.id for one in site.world.elements.values() if one.state != "ended"]
        if living:
            site.world.cancel({self._simulation.fate.random.choice(living)})


def chances_of(simulation: Simulation) -> Chances:
    """Return how often jobs and the scheduler fail in this seed."""
    pick = simulation.fate.random.choice
    chances = Chances.drawn(pick)
    if chances.requeued:
        chances.requeued, chances.signalled = 0.9, 0.15
        chances.node_requeued = pick([0.5, 0.9])
    chances.listed_late = pick([0.0, 0.3])
    chances.id_reused = pick([0.0, 0.5])
    if simulation.theme == "submits":
        chances.submit_delayed, chances.submit_lost, chances.answer_lost = 0.4, 0.4, 0.2
    return chances
