"""Workers, beats and producers that have to live: who ends is begun again, with the next named point to die at.

with Nursery(directory, env, inside=()) as nursery:
    kin = Kin(nursery, [Role(key="beat-1", kind="beat", arguments=("-s", "…"))], agenda, patience=10.0)
    kin.tend()              # again and again
    kin.kill("beat-1")
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from tests.testbed.fleet import ROOT
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.chaos.agenda import Agenda

#: the file in which processes write which point they end at
HITS: Final = "hits"


class Nursery:
    """The process that forks them, and what it told."""

    def __init__(
        self, directory: Path, env: Mapping[str, str], *, inside: Sequence[str] = ()
    ) -> None:
        self.directory = directory
        self._argv = [*inside, sys.executable, "-m", "tests.chaos.nursery"]
        self._env = {**env, "PYTHONUNBUFFERED": "1"}
        self._popen: subprocess.Popen[str] | None = None
        self._guard = threading.Lock()
        #: process ids of those that live
        self.living: dict[str, int] = {}
        self._ends: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        """Start it."""
        with (self.directory / "nursery.log").open("ab") as log:
            self._popen = subprocess.Popen(
                self._argv,
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # a signal for this process's group is none for it: it ends by the end of its standard input
                start_new_session=True,
            )
        threading.Thread(target=self._listen, args=(self._popen,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and all that it started."""
        if self._popen is None:
            return
        with contextlib.suppress(BrokenPipeError):
            assert self._popen.stdin
            self._popen.stdin.close()
        self._popen.wait(60)
        if self._popen.stdout:
            self._popen.stdout.close()

    def start(self, key: str, kind: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a process, and wait until it has a number."""
        order: dict[str, Any] = {"key": key, "kind": kind, "arguments": list(arguments)}
        log, place = str(self.directory / f"{key}.log"), str(self.directory)
        order |= {"env": dict(env), "log": log, "cwd": place}
        assert self._popen and self._popen.stdin
        self._popen.stdin.write(json.dumps(order) + "\n")
        self._popen.stdin.flush()
        wait_until(lambda: self._knows(key), f"{key} was started")

    def ends(self) -> list[tuple[str, int]]:
        """Return who ended since the last call, with the exit code; negative for a signal."""
        with self._guard:
            found, self._ends = self._ends, []
        return found

    def _knows(self, key: str) -> bool:
        with self._guard:
            return key in self.living or any(key == ended for ended, _ in self._ends)

    def _listen(self, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout
        for line in popen.stdout:
            told = json.loads(line)
            with self._guard:
                if "status" not in told:
                    self.living[told["key"]] = told["pid"]
                else:
                    self.living.pop(told["key"], None)
                    self._ends.append((told["key"], told["status"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One process that has to live."""

    key: str
    kind: str  #: worker, beat or producer
    arguments: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


class Kin:
    """The processes of one kind."""

    def __init__(
        self, nursery: Nursery, roles: Sequence[Role], agenda: Agenda, *, patience: float
    ) -> None:
        self._nursery = nursery
        self._roles = {role.key: role for role in roles}
        self.agenda = agenda
        self._patience = patience
        #: when a process is killed that did not come to its point
        self._until: dict[str, float] = {}
        #: ends by exit code, other than by SIGKILL
        self.strange_ends: Counter[str] = Counter()
        self.impatient = 0  #: processes that were killed because they did not come to their point
        self.starts = 0

    @property
    def keys(self) -> list[str]:
        """Who belongs to it."""
        return list(self._roles)

    def tend(self, *, calm: bool = False) -> None:
        """Begin again who ended; kill who did not come to its point. While `calm`, nobody has a point any more."""
        for key in self._roles:
            pid = self._nursery.living.get(key)
            if pid is None:
                self._start(self._roles[key], "" if calm else self.agenda.draw())
            elif calm and key in self._until:
                self.kill(key)
                del self._until[key]
            elif time.monotonic() > self._until.get(key, float("inf")):
                del self._until[key]
                self.impatient += self.kill(key)

    def note_end(self, key: str, status: int) -> None:
        """Note how one of them ended."""
        if key in self._roles and status != -signal.SIGKILL:
            self.strange_ends[f"{self._roles[key].kind} {status}"] += 1

    def pid(self, key: str) -> int | None:
        """Return the process of one of them, if it lives now."""
        return self._nursery.living.get(key)

    def kill(self, key: str, *, group: bool = False) -> bool:
        """End one with SIGKILL; False if it does not live now."""
        pid = self.pid(key)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if group else os.kill)(pid, signal.SIGKILL)
            return True
        return False

    def _start(self, role: Role, points: str) -> None:
        hits = str(self._nursery.directory / HITS)
        env = {**role.env, "JOBFERRY_KILL_AT": points, "JOBFERRY_KILL_LOG": hits}
        self._until.pop(role.key, None)
        if points:
            self._until[role.key] = time.monotonic() + self._patience
        self.starts += 1
        self._nursery.start(role.key, role.kind, role.arguments, env)


def hits(directory: Path) -> Counter[str]:
    """Return how often each named point was hit."""
    path = directory / HITS
    return Counter(path.read_text().split()) if path.exists() else Counter()
