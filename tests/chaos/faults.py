"""The random part: SIGKILL of whatever lives, and outages that end by themselves after some seconds.

faults = Faults(world, {"worker": workers, "beat": beats, "producer": producers}, dice)
faults.strike()             # "kill worker"; empty if there was nobody to be struck
faults.tend()               # ends what is over
faults.calm()               # ends all of it
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from tests.chaos.kin import Kin
    from tests.chaos.world import World

#: how often each happens, of all of them together
_WEIGHTS: Final = {
    "kill worker": 22,
    "kill child of worker": 16,
    "kill beat": 8,
    "kill producer": 14,
    "kill ssh session": 10,
    "kill far shell": 8,
    "kill broker": 6,
    "stop broker": 2,
    "cut ssh": 4,
    "stall ssh": 3,
    "freeze slurmctld": 2,
    "stop slurmctld": 2,
    "delay sbatch": 6,
    "fill disk": 3,
}
#: seconds for which it is looked for a process that may come and go
_LOOK_SECONDS: Final = 0.7
#: faults that are tried until one finds somebody to strike
_TRIES: Final = 4
_LEAST_SECONDS, _MOST_SECONDS = 0.5, 4.0
#: more than the limit of a command and the time until it is given up
_LATE_SECONDS: Final = 22.0
# setsid: the limit of the command ends the command, not what it left behind
_LATE: Final = f"""\
setsid bash -c 'sleep {_LATE_SECONDS:g}; exec "$REAL" "$@"' late "$@" >/dev/null 2>&1 &
exec sleep 60
"""
_SHELLS: Final = frozenset({"sh", "bash", "dash"})


class Faults:
    """What strikes, and what is to be mended when."""

    def __init__(self, world: World, kin: Mapping[str, Kin], dice: random.Random) -> None:
        self._world = world
        self._kin = kin
        self._dice = dice
        self._mend: list[tuple[float, Callable[[], None]]] = []
        self._no_controller = False
        #: until when a delayed submit may come through
        self.late_until = 0.0
        #: how often each happened
        self.counts: Counter[str] = Counter()
        self._does: dict[str, Callable[[], bool]] = {
            "kill worker": lambda: self._kill_kin("worker"),
            "kill child of worker": self._kill_child,
            "kill beat": lambda: self._kill_kin("beat"),
            "kill producer": lambda: self._kill_kin("producer"),
            "kill ssh session": lambda: self._kill_far(frozenset({"sshd", "sshd-session"})),
            "kill far shell": lambda: self._kill_far(_SHELLS),
            "kill broker": self._kill_broker,
            "stop broker": self._stop_broker,
            "cut ssh": self._cut,
            "stall ssh": self._stall,
            "freeze slurmctld": self._freeze,
            "stop slurmctld": self._stop_controller,
            "delay sbatch": self._delay_submits,
            "fill disk": self._fill,
        }

    @property
    def kills(self) -> int:
        """Return the number of processes that were killed."""
        return sum(number for what, number in self.counts.items() if what.startswith("kill "))

    def strike(self) -> str:
        """Do one of them; return which, or nothing if there was nobody to be struck."""
        for _ in range(_TRIES):
            what = self._dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            if self._does[what]():
                self.counts[what] += 1
                return what
        return ""

    def tend(self) -> None:
        """Mend what has been broken for long enough."""
        now = time.monotonic()
        due = [mend for until, mend in self._mend if until <= now]
        self._mend = [item for item in self._mend if item[0] > now]
        for mend in due:
            mend()

    def calm(self) -> None:
        """Mend everything."""
        due, self._mend = self._mend, []
        for _, mend in due:
            mend()

    def _kill_kin(self, kind: str) -> bool:
        kin = self._kin[kind]
        return kin.kill(self._dice.choice(kin.keys), group=self._dice.random() < 0.5)

    def _kill_child(self) -> bool:
        """Kill a command that a worker runs; not what it left to itself, which is a job or its runner."""
        kin = self._kin["worker"]
        key = self._dice.choice(kin.keys)
        end = time.monotonic() + _LOOK_SECONDS
        while time.monotonic() < end:
            pid = kin.pid(key)
            if pid and _kill_one(_children(pid), self._dice):
                return True
            time.sleep(0.002)
        return False

    def _kill_far(self, names: frozenset[str]) -> bool:
        if self._world.sshd is None:
            return False
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self._world.sshd.pid).children(recursive=True)
            return _kill_one([one.pid for one in below if _name(one) in names], self._dice)
        return False

    def _later(self, mend: Callable[[], object], *, longer: float = 0.0) -> bool:
        seconds = longer + self._dice.uniform(_LEAST_SECONDS, _MOST_SECONDS)
        self._mend.append((time.monotonic() + seconds, lambda: void(mend())))
        return True

    def _kill_broker(self) -> bool:
        broker = self._world.broker
        if broker.pid is None:
            return False
        broker.kill()
        return self._later(broker.start)

    def _stop_broker(self) -> bool:
        broker = self._world.broker
        if broker.pid is None:
            return False
        broker.stop()
        return self._later(broker.start)

    def _cut(self) -> bool:
        if self._world.proxy is None:
            return False
        self._world.proxy.reset()
        return True

    def _stall(self) -> bool:
        if self._world.proxy is None:
            return False
        self._world.proxy.stall()
        return self._later(self._world.proxy.go_on)

    def _freeze(self) -> bool:
        slurm = self._world.slurm
        if slurm is None or self._no_controller:
            return False
        slurm.pause()
        return self._later(self._resume)

    def _stop_controller(self) -> bool:
        slurm = self._world.slurm
        if slurm is None or self._no_controller:
            return False
        slurm.stop_controller()
        self._no_controller = True
        return self._later(self._start_controller)

    def _resume(self) -> None:
        if self._world.slurm and not self._no_controller:
            self._world.slurm.resume()

    def _start_controller(self) -> None:
        if self._world.slurm:
            self._world.slurm.start_controller()
        self._no_controller = False

    def _delay_submits(self) -> bool:
        """Have submit commands hang, and come through when everybody has given them up."""
        wrappers = self._world.wrappers
        if wrappers is None:
            return False
        wrappers.replace("sbatch", _LATE)
        self.late_until = time.monotonic() + _LATE_SECONDS + 2 * _MOST_SECONDS
        return self._later(lambda: wrappers.restore("sbatch"), longer=_MOST_SECONDS)

    def _fill(self) -> bool:
        """Fill the small disk; it is freed later."""
        if not self._world.has_disk:
            return False
        ballast = self._world.disk / "ballast"
        if ballast.exists():
            return False
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        return self._later(lambda: ballast.unlink(missing_ok=True))


def void(_: object) -> None:
    """Take an answer that nobody wants."""


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _children(pid: int) -> list[int]:
    """Return the children of a process; /proc tells at once, and they live for milliseconds."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def _kill_one(pids: Sequence[int], dice: random.Random) -> bool:
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(pids), signal.SIGKILL)
        return True
    return False
