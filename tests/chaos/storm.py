"""The whole of a run: start everything, have it work while it is killed, let it come to rest, count.

report = Storm(seed=7, goals=Goals(jobs=20_000, kills=200, hits=20), seconds=1500).run()
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from redis import RedisError

from jobferry_common.errors import JobferryError
from jobferry_common.killpoints import BEAT, MOVES, PASS, PRODUCER, SHARED
from jobferry_common.ledger import Ledger
from tests.chaos.agenda import Agenda
from tests.chaos.batches import APART, batch
from tests.chaos.checker import Results
from tests.chaos.faults import Faults
from tests.chaos.journal import Journal
from tests.chaos.kin import Kin, Nursery, Role, hits
from tests.chaos.report import Report
from tests.chaos.world import World, new_directory, places_here, remove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.batches import Batch
    from tests.chaos.report import Goals

#: points of a place that may be missing here
_DEPOT: Final = frozenset(
    {"after-mirrored", "after-put", "after-part-noted", "after-offered", "after-taken-up"}
    | {"after-fetched", "after-fetched-noted", "after-settled"}
)
_SHARED: Final = frozenset({*SHARED, "after-claimed-brought"})
_WORKERS: Final = 3
#: producers whose files the workers see, and those whose files they do not
_NEAR: Final = 3
_APART: Final = 1
#: batches that a producer has at a time
_LANES: Final = 8
#: jobs that are given out at a time beyond what is done
_AHEAD_JOBS: Final = 1500
_ROUND_SECONDS: Final = 0.1
_TOLD_SECONDS: Final = 10.0
#: for all to become final, once nothing is killed any more
_REST_SECONDS: Final = 600.0


@dataclass(kw_only=True)
class Storm:
    """What is wanted of it."""

    seed: int
    goals: Goals
    seconds: float  #: the most that it rages
    command: str = ""
    every: float = 2.5  #: seconds between two random faults, on average
    points: Sequence[str] = (*PASS, *MOVES, *PRODUCER, *BEAT)
    patience: float = 20.0  #: seconds that a process has to come to its named point
    keep: bool = False  #: leave its directory
    #: once set, nothing more is killed or begun: what was begun comes to rest, and is counted
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> Report:
        """Let it rage, then count."""
        directory = new_directory()
        print(f"in {directory}", flush=True)
        places, lacking = places_here()
        with ExitStack() as stack:
            world = stack.enter_context(World(directory, places))
            raging = _Raging(self, world, stack)
            try:
                raging.rage()
                raging.rest()
                report = raging.report(lacking)
            except BaseException:
                print(f"what it left is in {directory}", flush=True)
                raise
        if report.ok and not self.keep:
            remove(directory)
        return report


class _Raging:
    """A storm that goes on."""

    def __init__(self, storm: Storm, world: World, stack: ExitStack) -> None:
        self._storm, self._world = storm, world
        self._dice = random.Random(storm.seed)
        self._points = _possible(storm.points, world.places)
        self._began = time.monotonic()
        self._allowed = self._jobs_allowed = self._put_backs = self._resumed = 0
        self._allow()
        names = self._write_orders()
        journals = [Journal(world.directory / f"{name}.journal") for name in names]
        self._results = Results(storm.seed, world.places, journals)
        self._results.bases = [world.near, world.apart]
        inside, env = world.workers_inside(), world.workers_env()
        makes = {"workers": (inside, env), "producers": ((), world.env)}
        self._nurseries = {
            name: stack.enter_context(Nursery(_made(world.directory / name), env, inside=inside))
            for name, (inside, env) in makes.items()
        }
        self._kin = self._families(names)
        self._faults = Faults(world, self._kin, self._dice)

    def _families(self, names: Sequence[str]) -> dict[str, Kin]:
        queues = ",".join(f"jobferry.{name}" for name in self._world.clusters())
        schedule = str(self._world.directory / "schedule")
        workers = [
            Role(
                key=f"worker-{number}",
                kind="worker",
                arguments=("-Q", queues, "-P", "threads", "-n", f"w{number}@%h"),
            )
            for number in range(_WORKERS)
        ]
        beats = [Role(key="beat-0", kind="beat", arguments=("-s", schedule))]
        place = str(self._world.directory)
        producers = [
            Role(
                key=name, kind="producer", arguments=(place, name), env={"JOBFERRY_CONFIG": config}
            )
            for name, config in names_and_configs(names, self._world)
        ]
        return {
            "worker": self._family("workers", workers, (*PASS, *MOVES)),
            "beat": self._family("workers", beats, BEAT),
            "producer": self._family("producers", producers, PRODUCER),
        }

    def _family(self, nursery: str, roles: Sequence[Role], points: Sequence[str]) -> Kin:
        chosen = [point for point in points if point in self._points]
        agenda = Agenda(chosen, hits=self._storm.goals.hits, dice=self._dice)
        patience = self._storm.patience
        return Kin(self._nurseries[nursery], roles, agenda, patience=patience)

    def _write_orders(self) -> list[str]:
        world, names = self._world, []
        apart = _APART if APART in world.places else 0
        for number in range(_NEAR + apart):
            is_apart = number >= _NEAR
            names.append(f"{'apart' if is_apart else 'near'}-{number}")
            orders = {
                "seed": self._storm.seed,
                "near": str(world.near),
                "apart": str(world.apart),
                "script": str(world.script),
                "share": number - _NEAR if is_apart else number,
                "shares": apart if is_apart else _NEAR,
                "is_apart": is_apart,
                "lanes": _LANES,
                "places": world.places,
                "allowed": str(world.directory / "allowed"),
            }
            (world.directory / f"{names[-1]}.json").write_text(json.dumps(orders))
        return names

    def rage(self) -> None:
        """Kill until the goals are reached, or the time is over."""
        end = self._began + self._storm.seconds
        strike_at, tell_at = self._began + self._storm.every, self._began
        while time.monotonic() < end and not self._is_enough():
            self._round()
            self._allow()
            now = time.monotonic()
            if now >= strike_at:
                strike_at = now + self._dice.expovariate(1 / self._storm.every)
                self._faults.strike()
            if now >= tell_at:
                tell_at = now + _TOLD_SECONDS
                self._tell("storm")
                self._mend_by_hand()
            time.sleep(_ROUND_SECONDS)

    def rest(self) -> None:
        """Mend everything, kill nobody, and wait until all that was begun is done."""
        self._faults.calm()
        end = time.monotonic() + _REST_SECONDS
        tell_at = 0.0
        while time.monotonic() < end and not self._is_at_rest():
            self._round(calm=True)
            if time.monotonic() >= tell_at:
                tell_at = time.monotonic() + _TOLD_SECONDS
                self._tell("rest")
                self._mend_by_hand(calm=True)
            time.sleep(_ROUND_SECONDS)

    def _mend_by_hand(self, *, calm: bool = False) -> None:
        """Do as an operator does who knows why workers ended at a piece of work, and why jobs left no records.

        The one happens at named points. The other on a full disk, which is over once nothing is killed any more.
        """
        ledger = Ledger(self._world.broker.client())
        try:
            aside = [one.id for one in ledger.aside()]
            paused = [one.name for one in ledger.clusters() if calm and "vanished" in one.paused]
        except (JobferryError, RedisError):  # the broker is down
            return
        self._put_backs += sum(self._has_done("putback", name) for name in aside)
        self._resumed += sum(self._has_done("cluster", "resume", name) for name in paused)

    def _has_done(self, *words: str) -> bool:
        """Tell whether a command of jobferry's succeeded."""
        env = {**self._world.env, "JOBFERRY_CONFIG": str(self._world.config)}
        argv = [sys.executable, "-m", "jobferry.cli.main", *words]
        return subprocess.run(argv, env=env, capture_output=True, check=False).returncode == 0

    def _is_at_rest(self) -> bool:
        """Tell whether all is done, and no submit that was given up may still come through and run."""
        if len(self._results.done) < self._allowed or time.monotonic() < self._faults.late_until:
            return False
        slurm = self._world.slurm
        return slurm is None or not slurm.queue()

    def _round(self, *, calm: bool = False) -> None:
        found = hits(self._world.directory / "workers") + hits(self._world.directory / "producers")
        for nursery in self._nurseries.values():
            for key, status in nursery.ends():
                for kin in self._kin.values():
                    kin.note_end(key, status)
        for kin in self._kin.values():
            kin.agenda.take(found)
            kin.tend(calm=calm)
        self._faults.tend()
        self._results.look()

    def _allow(self) -> None:
        """Give out more batches, so that there is always work to be struck."""
        done = self._jobs_done() if self._allowed else 0
        before = self._allowed
        while self._jobs_allowed < done + min(_AHEAD_JOBS, self._storm.goals.jobs):
            self._jobs_allowed += self._batch(self._allowed).jobs
            self._allowed += 1
        if self._allowed > before:
            path = self._world.directory / "allowed"
            part = path.with_suffix(".part")
            part.write_text(str(self._allowed))
            part.replace(path)

    def _batch(self, number: int) -> Batch:
        return batch(self._storm.seed, number, self._world.places)

    def _jobs_done(self) -> int:
        return sum(self._batch(number).jobs for number in self._results.done)

    def _is_enough(self) -> bool:
        missing = any(kin.agenda.missing for kin in self._kin.values())
        enough = self._jobs_done() >= self._storm.goals.jobs
        all_done = enough and not missing and self._faults.kills >= self._storm.goals.kills
        return all_done or self._storm.ending.is_set()

    def _tell(self, phase: str) -> None:
        missing = Counter[str]()
        for kin in self._kin.values():
            missing.update(kin.agenda.missing)
        seconds = time.monotonic() - self._began
        print(
            f"{seconds:6.0f} s {phase}: {self._jobs_done():,} of {self._jobs_allowed:,} jobs done, "
            f"{self._faults.kills} random kills, {sum(missing.values())} hits of {len(missing)} points to come, "
            f"{len(self._results.missing)} missing",
            flush=True,
        )

    def report(self, lacking: Sequence[str]) -> Report:
        """Count."""
        found = hits(self._world.directory / "workers") + hits(self._world.directory / "producers")
        ledger = Ledger(self._world.broker.client())
        runs = ledger.runs(limit=100_000)
        clusters = ledger.clusters()
        strange: Counter[str] = Counter()
        for kin in self._kin.values():
            strange.update(kin.strange_ends)
        return Report(
            seed=self._storm.seed,
            command=self._storm.command,
            seconds=time.monotonic() - self._began,
            goals=self._storm.goals,
            count=self._results.count(self._allowed, self._world.log),
            faults=dict(self._faults.counts),
            kills=self._faults.kills,
            hits=dict(found),
            points=self._points,
            adopted=sum(one.adopted for one in clusters),
            recalled=sum(one.recalled for one in clusters),
            refused=sum(one.refused for one in clusters),
            restored=sum(one.restored for one in clusters),
            put_backs=self._put_backs,
            resumed=self._resumed,
            open_runs=[f"{run.id} {run.state}" for run in runs if not run.state.is_final],
            runs=len(runs),
            retries=dict(self._results.retries),
            strange_ends=dict(strange),
            impatient=sum(kin.impatient for kin in self._kin.values()),
            missing_places=lacking,
        )


def names_and_configs(names: Sequence[str], world: World) -> list[tuple[str, str]]:
    """Return each producer with its settings file: only those apart know the depot."""
    near, apart = str(world.near_config), str(world.config)
    return [(name, apart if name.startswith(APART) else near) for name in names]


def _possible(points: Sequence[str], places: Sequence[str]) -> tuple[str, ...]:
    """Return the points that work at these places comes to."""
    lacking: frozenset[str] = frozenset()
    if APART not in places:
        lacking |= _DEPOT
    if "shared" not in places:
        lacking |= _SHARED
    return tuple(point for point in points if point not in lacking)


def _made(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    os.chmod(directory, 0o700)  # noqa: PTH101
    return directory
