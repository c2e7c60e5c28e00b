"""A cluster that exists in memory: its clock, its files, its scheduler, and what its jobs do.

    world = World(seed=7)
    world.tick(5.0)           # five seconds pass: jobs start, claim, run, leave records

Time passes only when a test says so. Everything that chance decides comes from the seed.
"""

from __future__ import annotations

import posixpath
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from jobferry_common.names import AttemptKey, JobKey, RunId
from tests.simulation.nodes import Asked, asked_of, fate_of, ill, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = 1_700_000_000.0


@dataclass(kw_only=True)
class Chances:
    """How often something goes wrong; each between 0 and 1."""

    task_fails: float = 0.0
    no_record: float = 0.0  #: killed without a trace, and the scheduler says so
    vanishes: float = 0.0  #: killed without a trace, and the scheduler forgets it at once
    signalled: float = 0.0  #: the scheduler's time limit: a provisional record
    requeued: float = 0.0  #: started again by the scheduler after a provisional record
    hint_lost: float = 0.0
    late_record: float = 0.0  #: record and hint are seen up to a minute late
    answer_lost: float = 0.0  #: a command is carried out, and its answer does not arrive
    submit_delayed: float = 0.0  #: the submit command times out; the job appears later
    submit_lost: float = 0.0  #: the submit command times out, and nothing comes of it
    submit_doubled: float = 0.0  #: one submit command makes two jobs
    turned_away: float = 0.0  #: the scheduler is busy
    outage: float = 0.0  #: the scheduler cannot be asked
    node_requeued: float = 0.0  #: started again by the scheduler after its node died
    listed_late: float = 0.0  #: a job is listed up to a minute after it was taken
    id_reused: float = 0.0  #: the id of a job that is gone is given to the next
    garbled: float = 0.0  #: an answer that nobody can read

    @classmethod
    def drawn(cls, pick: Callable[[list[float]], float]) -> Chances:
        """Return what `pick` chooses of each: `random.choice`."""
        # a job that the scheduler starts again writes its record twice: nobody can tell which is seen late
        requeued = pick([0.0, 0.5])
        return cls(
            task_fails=pick([0.0, 0.1, 0.4]),
            no_record=pick([0.0, 0.1]),
            vanishes=pick([0.0, 0.1]),
            signalled=pick([0.0, 0.1]),
            requeued=requeued,
            hint_lost=pick([0.0, 0.3]),
            late_record=0.0 if requeued else pick([0.0, 0.3]),
            answer_lost=pick([0.0, 0.05]),
            submit_delayed=pick([0.0, 0.3]),
            submit_doubled=pick([0.0, 0.1]),
            turned_away=pick([0.0, 0.2]),
            outage=pick([0.0, 0.2]),
        )


@dataclass(kw_only=True)
class Element:
    """A job, or an element of an array, at the scheduler."""

    id: str
    token: str
    script: str
    index: int
    starts: float
    state: str = "queued"  #: queued, running, ended
    outcome: str = ""
    code: int | None = None
    attempt: AttemptKey | None = None
    ends: float = 0.0
    fate: str = ""
    over: float = 0.0
    shown: float = 0.0  #: when it is listed for the first time
    node: str = ""  #: where it runs


@dataclass(kw_only=True)
class Execution:
    """A time in which the commands of an attempt ran."""

    attempt: AttemptKey
    id: str
    start: float
    end: float | None = None
    succeeded: bool = False


@dataclass
class World:
    """The far side."""

    seed: int = 0
    chances: Chances = field(default_factory=Chances)
    slots: int = 1000
    limit: int | None = None  #: most jobs that the scheduler takes of one user
    longest: float = 30.0  #: of a job
    keeps: float = 60.0  #: seconds for which ended jobs are listed
    has_history: bool = False
    has_inquiry: bool = False
    max_array: int = 1000
    #: False: what ended is only told when it is asked about, and what was cancelled in an array not at all
    lists_ended: bool = True

    def __post_init__(self) -> None:
        self.now = START
        self.random = random.Random(self.seed)
        #: times that an attempt began to run
        self.started = 0
        #: how often what went wrong
        self.tally: Counter[str] = Counter()
        #: as the nodes see them
        self.files: dict[str, bytes] = {}
        #: what the login node sees while the file system is not mounted there
        self.bare: dict[str, bytes] | None = None
        self.cluster_name = "far"
        #: files that appear later
        self.late: list[tuple[float, str, bytes]] = []
        self.elements: dict[str, Element] = {}
        self.history: dict[str, Element] = {}
        #: submits that the scheduler carries out later
        self.delayed: list[tuple[float, str, str, int | None]] = []
        self.last_id = 0
        self.executions: dict[JobKey, list[Execution]] = {}
        self.commands: list[str] = []
        self.reachable = True
        #: the words with which the scheduler refuses every job; empty while it takes them
        self.refuses = ""
        #: the listing is empty, though it says that it is whole
        self.blind = False
        self.asked_in_vain = 0
        #: commands that are not installed there (any more)
        self.lacking: set[str] = set()
        #: how jobs end that leave no record; "": those that ask for memory by turns, others as their node breaks down
        self.ill = ""
        #: what was asked for by jobs that ask for memory or time, in the order in which they began
        self.asked: list[Asked] = []

    def clock(self) -> float:
        return self.now

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def strange(self, what: str) -> bool:
        """Draw for what most worlds do not have; those draw nothing."""
        share: float = getattr(self.chances, what)
        return share > 0 and self.chance(share)

    def submit(self, token: str, script: str, size: int | None) -> str:
        """Take a job or an array; return its id."""
        id_ = self._new_id(script)
        late = self.strange("listed_late")
        self.tally["scheduler lists late"] += late
        shown = self.now + self.random.uniform(0.0, 60.0) if late else 0.0
        for index in range(size or 1):
            name = id_ if size is None else f"{id_}_{index}"
            self.elements[name] = Element(
                id=name,
                token=token,
                script=script,
                index=index,
                starts=self.now + self.random.uniform(0.0, self.longest / 3),
                shown=shown,
            )
        return id_

    def _new_id(self, script: str) -> str:
        """Return an id; it may be that of a job that is gone, unless both could run the same attempt."""
        if self.history and self.strange("id_reused"):
            mine = set(self._attempts_of(script))
            gone = [
                one
                for one in self.history.values()
                if not mine & set(self._attempts_of(one.script))
            ]
            old = next((one.id.partition("_")[0] for one in gone), None)
            if old and not any(key.partition("_")[0] == old for key in self.elements):
                self.tally["scheduler reuses an id"] += 1
                return old
        self.last_id += 1
        return str(self.last_id)

    def _attempts_of(self, script: str) -> list[str]:
        run = posixpath.dirname(posixpath.dirname(script))
        listed = self.files.get(script.removesuffix(".sh") + ".list", b"").decode().split()
        return [f"{run}/{attempt}" for attempt in listed]

    def tick(self, seconds: float) -> None:
        """Let time pass, in steps small enough that the order of things comes out."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 1.0, end)
            self._step()

    def cancel(self, ids: set[str]) -> None:
        """End jobs and whole arrays."""
        for element in list(self.elements.values()):
            if element.state != "ended" and (
                element.id in ids or element.id.partition("_")[0] in ids
            ):
                waits = element.state == "queued"
                if element.state == "running":
                    self._leave(element, succeeded=False, provisional=True, reason="cancelled")
                self._end(element, "cancelled")
                if waits and not self.lists_ended and "_" in element.id:
                    self._forget(element)

    def _step(self) -> None:
        for when, path, content in [late for late in self.late if late[0] <= self.now]:
            self.files[path] = content
            self.late.remove((when, path, content))
        for late in [late for late in self.delayed if late[0] <= self.now]:
            self.delayed.remove(late)
            self.submit(*late[1:])
        running = sum(element.state == "running" for element in self.elements.values())
        for element in list(self.elements.values()):
            if element.state == "queued" and element.starts <= self.now and running < self.slots:
                running += self._start(element)
            elif element.state == "running" and element.ends <= self.now:
                self._finish(element)
            elif element.state == "ended" and element.over + self.keeps < self.now:
                self._forget(element)

    def _start(self, element: Element) -> bool:
        control = posixpath.dirname(posixpath.dirname(element.script))
        lines = self.files.get(element.script.removesuffix(".sh") + ".list", b"").decode().split()
        if not lines:
            self.tally["script not there"] += 1
            self._end(element, "failed", code=127)
            return False
        job, _, attempt = lines[element.index].partition(".")
        element.attempt = AttemptKey(int(job), int(attempt))
        claim = f"{control}/claim/{element.attempt}"
        mine = f"job {element.id}\n".encode()
        again = claim in self.files
        if self.files.setdefault(claim, mine) != mine or (
            again and self._is_over(control, element.attempt)
        ):
            self.tally["claim refused"] += 1
            self._end(element, "succeeded", code=0)
            return False
        element.state = "running"
        element.ends = self.now + self.random.uniform(0.0, self.longest)
        wish = wanted(self.files.get(element.script, b""))
        element.fate = fate_of(wish, element.id, self._fate())
        self._place(element, wish, control)
        self.started += 1
        self._of(element).append(Execution(attempt=element.attempt, id=element.id, start=self.now))
        return True

    def _place(self, element: Element, wish: dict[str, str], control: str) -> None:
        """Put a job on a node, and note what it asked for, if it asked for anything."""
        if element.attempt is None:
            return
        run = RunId(posixpath.basename(control))
        asked = asked_of(wish, run, element.attempt, element.id)
        element.node = asked.node
        self.asked += [asked] if wish else []

    def _ill(self, element: Element) -> str:
        outcome = self.ill or ill(wanted(self.files.get(element.script, b"")), element.id)
        self.tally[f"job ended: {outcome}"] += 1
        return outcome

    def _is_over(self, control: str, attempt: AttemptKey) -> bool:
        """Tell what the script asks when the scheduler starts it once more."""
        successor = AttemptKey(attempt.job, attempt.attempt + 1)
        record = self.files.get(f"{control}/records/{attempt}", b"")
        return f"{control}/claim/{successor}" in self.files or b"provisional 0" in record

    def _fate(self) -> str:
        chances = self.chances
        for fate in ("task_fails", "no_record", "vanishes", "signalled"):
            if self.chance(getattr(chances, fate)):
                return fate
        return "succeeds"

    def _finish(self, element: Element) -> None:
        match element.fate:
            case "succeeds" | "task_fails":
                well = element.fate == "succeeds"
                self._leave(element, succeeded=well)
                self._end(element, "succeeded", code=0)
            case "no_record" if self.strange("node_requeued"):
                self._again(element)
            case "no_record":
                self.tally["job died without a record"] += 1
                self._end(element, self._ill(element))
            case "vanishes":
                self.tally["job vanished"] += 1
                self._end(element, "node_failure")
                self._forget(element)
            case _:
                self._leave(element, succeeded=False, provisional=True, reason="time limit")
                if self.chance(self.chances.requeued):
                    self._again(element)
                else:
                    self._end(element, "timeout")

    def _again(self, element: Element) -> None:
        """The scheduler starts a job again by itself."""
        self.tally["scheduler requeues"] += 1
        self._stop(element)
        element.state, element.starts = "queued", self.now + 5.0

    def _leave(
        self, element: Element, *, succeeded: bool, provisional: bool = False, reason: str = ""
    ) -> None:
        """Write the exit record and the hint, as the job's script does."""
        control = posixpath.dirname(posixpath.dirname(element.script))
        run = posixpath.basename(control)
        attempt = element.attempt
        if attempt is None:
            return
        calls = self.files[f"{control}/jobs/{attempt.job}"].decode().splitlines()
        tasks = [line.split(" ")[1] for line in calls if line.startswith("jf_task ")]
        body = []
        for task in tasks:
            # of several tasks the last one fails
            well = not provisional and (succeeded or task != tasks[-1])
            body.append(f"task {task} {0 if well else 3} {self.now} {self.now}")
            if well:
                self._leave_result(control, task, element)
        head = [
            "jobferry 1",
            f"attempt {attempt}",
            f"id {element.id}",
            f"provisional {int(provisional)}",
            f"started {self.now}",
            f"ended {self.now}",
            f"reason {reason}",
        ]
        text = "\n".join([*head, *([] if provisional else body), "end", ""]).encode()
        delay = self.random.uniform(0.0, 60.0) if self.chance(self.chances.late_record) else 0.0
        self._appear(f"{control}/records/{attempt}", text, delay)
        hintless = self.chance(self.chances.hint_lost)
        self.tally["hint lost"] += hintless
        if not hintless:
            spool = self.files[element.script].decode().partition("jf_spool=")[2].split("\n")[0]
            self._appear(f"{spool}/{run}.{attempt}", b"", delay)
        if not provisional:
            self._of(element)[-1].succeeded = succeeded

    def _leave_result(self, control: str, task: str, element: Element) -> None:
        """A task that succeeds leaves its result and its mark; a later attempt passes over it."""
        if f"{control}/done/{task}" not in self.files:
            self.files[f"{control}/out/{task}"] = f"{element.attempt} {element.id}".encode()
            self.files[f"{control}/done/{task}"] = b""

    def _appear(self, path: str, content: bytes, delay: float) -> None:
        self.late = [late for late in self.late if late[1] != path]
        if delay:
            self.tally["record seen late"] += 1
            self.late.append((self.now + delay, path, content))
        else:
            self.files[path] = content

    def _stop(self, element: Element) -> None:
        for execution in self._of(element):
            if execution.id == element.id and execution.end is None:
                execution.end = self.now

    def _end(self, element: Element, outcome: str, code: int | None = None) -> None:
        if element.attempt is not None:
            self._stop(element)
        element.state, element.outcome, element.code = "ended", outcome, code
        element.over = self.now

    def _forget(self, element: Element) -> None:
        self.history[element.id] = self.elements.pop(element.id)

    def _of(self, element: Element) -> list[Execution]:
        if element.attempt is None:
            return []
        control = posixpath.dirname(posixpath.dirname(element.script))
        key = JobKey(RunId(posixpath.basename(control)), element.attempt.job)
        return self.executions.setdefault(key, [])

    def faults(self) -> Iterator[str]:
        """Return each breach of what jobferry promises."""
        for key, executions in self.executions.items():
            done = sorted(executions, key=lambda one: one.start)
            for one, other in pairwise(done):
                if one.end is None or other.start < one.end:
                    yield f"{key} ran twice at once: {one} and {other}"
                if one.succeeded:
                    yield f"{key} ran again after it succeeded: {one} and {other}"
