"""A cluster that keeps its jobs in files: what the commands of a fake batch system are made of.

    engine = Engine(Path("/tmp/x/cluster"))
    id = engine.submit(script="echo hi\n", name="relax", directory="/tmp", out="/tmp/log", env={"PBS_JOBID": "%i.host"})
    engine.elements()          # [Element(job=…, index=None, phase="running", …)]
    engine.cancel(id)

Only the standard library is used, because each command of the fake is a process of its own. Jobs really run:
`slots.sh` takes one element after the other out of `queue/`, so that they go on while no command runs. In `env`,
`out` and `err`, `%i` stands for the job's number and `%a` for the element's index.

    config.json          slots, queues, faults: what a test sets
    jobs/<number>.json   a `Job`; beside it its script (.sh), and what slots.sh sources (.env)
    queue/<number>-<n>   elements that wait (n: index, or - for a job without)
    held/  run/  done/   the same in other states; run/ holds pid and start, done/ code, start, end and how
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SLOTS = Path(__file__).parent / "slots.sh"
_STATES = ("queue", "held", "run", "done")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one submit command handed over."""

    number: int
    name: str
    user: str
    queue: str
    directory: str
    submitted: float
    indices: tuple[int, ...] = ()  #: of an array
    limit: float | None = None  #: seconds that it may run
    more: Mapping[str, Any] = field(default_factory=dict)  #: what only its batch system knows


@dataclass(frozen=True, kw_only=True)
class Element:
    """A job, or an element of an array."""

    job: Job
    index: int | None
    phase: str  #: held, queued, running, done
    pid: int | None = None
    started: float | None = None
    ended: float | None = None
    code: int | None = None
    how: str = ""  #: of what is done: "exit", "timeout" or "cancelled"


class Engine:
    """The cluster below one directory; every call may be made by another process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in (*_STATES, "jobs", "slots"):
            (home / name).mkdir(parents=True, exist_ok=True)

    @property
    def config(self) -> dict[str, Any]:
        """What a test has set."""
        path = self.home / "config.json"
        return {"slots": 8, **(json.loads(path.read_text()) if path.exists() else {})}

    def configure(self, **values: object) -> None:
        """Set something for all commands to come."""
        text = json.dumps(self.config | values)
        new = self.home / "config.new"
        new.write_text(text)
        new.replace(self.home / "config.json")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.home / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def submit(
        self, *, script: str, out: str, env: Mapping[str, str], err: str | None = None, **known: Any
    ) -> Job:
        """Take a job; `held=True` keeps it from starting. `known` are the fields of `Job`.

        Lines of `env` are written as bash sources them, with `%i` and `%a` filled in.
        """
        held = known.pop("held", False)
        with self._locked():
            job = Job(number=self._next(), submitted=time.time(), **known)
            stem = self.home / "jobs" / str(job.number)
            stem.with_suffix(".sh").write_text(script)
            lines = [f"export {name}={_expanded(text)}" for name, text in env.items()]
            lines += [f"jf_out={_expanded(out)}", f"jf_err={_expanded(err or out)}"]
            lines += [f"jf_directory={shlex.quote(job.directory)}", f"jf_limit={job.limit or 0}"]
            stem.with_suffix(".env").write_text("\n".join([*lines, ""]))
            stem.with_suffix(".json").write_text(json.dumps(asdict(job)))
            for index in job.indices or ("-",):
                self._file("held" if held else "queue", job.number, index).touch()
        self._start()
        return job

    def jobs(self) -> dict[int, Job]:
        """Return every job, by number."""
        found = {}
        for path in (self.home / "jobs").glob("*.json"):
            fields = json.loads(path.read_text())
            fields["indices"] = tuple(fields["indices"])
            found[fields["number"]] = Job(**fields)
        return dict(sorted(found.items()))

    def elements(self) -> list[Element]:
        """Return every element of every job, in order; start what has room."""
        self._start()
        with self._locked():
            jobs = self.jobs()
            found = [self._element(jobs, state, path) for state, path in self._files()]
        return sorted(
            (element for element in found if element),
            key=lambda one: (one.job.number, -1 if one.index is None else one.index),
        )

    def cancel(self, number: int, *indices: int) -> list[Element]:
        """End a job, a whole array, or some of its elements; return what was not done before.

        What waits is ended first: it would start in the slots of what runs.
        """
        mine = [one for one in self.elements() if one.job.number == number]
        wanted = [one for one in mine if not indices or one.index in indices]
        ended = [one for one in wanted if one.phase != "done"]
        for element in sorted(ended, key=lambda one: one.phase == "running"):
            self._end(element)
        return ended

    def release(self, number: int) -> None:
        """Let a held job start."""
        with self._locked():
            for path in (self.home / "held").glob(f"{number}-*"):
                path.rename(self.home / "queue" / path.name)
        self._start()

    def vanish(self, number: int) -> None:
        """Forget a job, running or not: no trace stays."""
        self.cancel(number)
        with self._locked():
            for state in _STATES:
                for path in (self.home / state).glob(f"{number}-*"):
                    path.unlink()
            for path in (self.home / "jobs").glob(f"{number}.*"):
                path.unlink()

    def stop(self) -> None:
        """End everything that runs."""
        self.configure(slots=0)
        for number in self.jobs():
            self.cancel(number)

    def _end(self, element: Element) -> None:
        name = "-" if element.index is None else element.index
        done = self._file("done", element.job.number, name)
        with self._locked():
            for state in ("held", "queue"):
                with suppress(FileNotFoundError):  # a slot took it at this moment
                    self._file(state, element.job.number, name).rename(done)
                    done.write_text(f"- - {time.time()} cancelled\n")
                    return
            running = self._file("run", element.job.number, name)
            if running.exists():
                (self.home / "run" / f".{running.name}.cancelled").touch()
        self._kill(running)

    def _kill(self, running: Path) -> None:
        """Send SIGTERM, and SIGKILL after two seconds, until it is gone."""
        start, sent = time.monotonic(), 0
        while running.exists() and time.monotonic() < start + 30:
            number = 9 if time.monotonic() > start + 2 else 15
            with suppress(OSError, ValueError, IndexError):  # its slot has yet to write the pid
                if number != sent:
                    os.killpg(int(running.read_text().split()[0]), number)
                    sent = number
            time.sleep(0.02)

    def _start(self) -> None:
        """Fill free slots; a slot ends by itself when nothing waits."""
        with self._locked():
            wanted = len(list((self.home / "queue").iterdir()))
            for number in range(self.config["slots"]):
                if wanted <= 0:
                    return
                with (self.home / "slots" / str(number)).open("a") as file:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    subprocess.run(  # setsid leaves it behind
                        [
                            "setsid",
                            "--fork",
                            "bash",
                            str(_SLOTS),
                            str(self.home),
                            str(file.fileno()),
                        ],
                        pass_fds=[file.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        check=True,
                    )
                wanted -= 1

    def _next(self) -> int:
        counter = self.home / "counter"
        number = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(number))
        return number

    def _file(self, state: str, number: int, index: object) -> Path:
        return self.home / state / f"{number}-{index}"

    def _files(self) -> Iterator[tuple[str, Path]]:
        seen = set()
        # in this order an element that moves on meanwhile is met once at least
        for state in _STATES:
            for path in (self.home / state).iterdir():
                if not path.name.startswith("."):
                    seen.add((state, path))
        later = {path.name: state for state, path in sorted(seen, key=lambda one: one[0] == "done")}
        return ((later[name], self.home / later[name] / name) for name in later)

    def _element(self, jobs: Mapping[int, Job], state: str, path: Path) -> Element | None:
        number, _, index = path.name.partition("-")
        job = jobs.get(int(number))
        if job is None:
            return None
        place = None if index == "-" else int(index)
        with suppress(FileNotFoundError):
            words = path.read_text().split()
            if state == "done" and len(words) > 3:
                return _done(job, place, words)
            if state == "run" and len(words) > 1:
                pid, start = int(words[0]), float(words[1])
                return Element(job=job, index=place, phase="running", pid=pid, started=start)
        phase = "held" if state == "held" else "queued"
        return Element(job=job, index=place, phase=phase)


def _expanded(text: str) -> str:
    """Return one word of bash in which %i and %a are the job's number and the element's index."""
    quoted = text.replace("'", "'\"'\"'")
    filled = quoted.replace("%i", "'$jf_number'").replace("%a", "'$jf_index'")
    return f"'{filled}'"


def _done(job: Job, index: int | None, words: list[str]) -> Element:
    code, started, ended, how = words
    return Element(
        job=job,
        index=index,
        phase="done",
        code=None if code == "-" else int(code),
        started=None if started == "-" else float(started),
        ended=float(ended),
        how=how,
    )
