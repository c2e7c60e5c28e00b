"""The test of a cluster: the whole path with a trivial job, step by step, and what is wrong in which step.

    settings  host  root  scheduler  submit  run  record  clean

What was found stands as JSON at the broker, under the ticket of who asked, and grows while the test goes on:
`{"cluster": …, "done": false, "steps": [{"name": "host", "ok": true, "what": "…", "reached": true}]}`. Nothing of it
touches the ledger.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from jobferry_common.document import Header, TaskSpec
from jobferry_common.errors import JobferryError, SchedulerError, StagingError, Unreachable
from jobferry_common.files import NewFile
from jobferry_common.messages import checkup_key
from jobferry_common.models.resources import Resources
from jobferry_common.names import AttemptKey, ClusterName, RunId, SubmissionId, token_of
from jobferry_common.schedulers.base import Phase, Submit
from jobferry_common.scripts.layout import HIDDEN, Layout
from jobferry_common.scripts.records import parse_record
from jobferry_common.scripts.render import batch_files, header_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry_common.names import SchedulerId
    from jobferry_common.schedulers.base import Argv, Completed
    from jobferry_common.scripts.records import ExitRecord
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.service import Service

logger: Final = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 3600
_POLL_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 5.0
#: how long the trivial job may wait for its turn
_RUN_SECONDS: Final = 110.0
_ATTEMPT: Final = AttemptKey(0, 1)
_SAYS: Final = "jobferry was here"
_OPENING: Final = (
    " What has to be typed first after a login, such as `module load slurm`, is the execute_command of its "
    "remote_profile"
)


class StepFailed(JobferryError):  # noqa: N818 - reads better than ...Error
    """A step of the test went wrong; the message says what and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the path."""

    name: str
    ok: bool
    what: str
    reached: bool = True  #: False where it is wrong because the cluster does not answer


@dataclass(slots=True, kw_only=True)
class Checkup:
    """A test that goes on."""

    service: Service
    name: str
    ticket: str
    steps: list[Step] = field(default_factory=list)

    def step(self, name: str, work: Callable[[], str]) -> None:
        """Do one step; what it returns, or its error, is kept for whoever asked.

        Raises:
            StepFailed: it went wrong; the steps after it make no sense.
        """
        try:
            step = Step(name=name, ok=True, what=work())
        except (JobferryError, OSError, ValueError) as error:
            reached = not isinstance(error, Unreachable)
            what = str(error) or type(error).__name__
            step = Step(name=name, ok=False, what=what, reached=reached)
        self.steps.append(step)
        self.tell(done=False)
        if not step.ok:
            raise StepFailed(step.what)

    def tell(self, *, done: bool) -> None:
        """Leave what is known so far at the broker."""
        text = json.dumps(
            {"cluster": self.name, "done": done, "steps": list(map(asdict, self.steps))}
        )
        key = checkup_key(self.service.settings, self.ticket)
        self.service.redis.set(key, text, ex=_KEPT_SECONDS)


def walk(service: Service, name: str, ticket: str) -> list[Step]:
    """Walk the path of a cluster; return the steps that were taken."""
    checkup = Checkup(service=service, name=name, ticket=ticket)
    try:
        checkup.step("settings", lambda: _profile(service, name))
        checkup.step("host", lambda: _reach(service, name))
        _Trial(service.of(name).cluster(), service, ticket).walk(checkup)
    except StepFailed as error:
        logger.info("Test of %s: %s", name, error, extra={"action": "test-cluster"})
    finally:
        checkup.tell(done=True)
    return checkup.steps


def _profile(service: Service, name: str) -> str:
    profile = service.profile(name)
    return f"{profile.batch_type} over {profile.context_type}, root {profile.root}"


def _reach(service: Service, name: str) -> str:
    """Have the host do something, and say where its root is: both may be remembered, and it may be gone since."""
    cluster = service.of(name).cluster()
    cluster.host.run(("true",), limit=service.settings.timings.command).checked()
    return f"{cluster.host.name} answers as user {cluster.host.user()}, root {cluster.root}"


class _Trial:
    """The trivial job of one test."""

    def __init__(self, cluster: Cluster, service: Service, ticket: str) -> None:
        self._cluster = cluster
        self._timings = service.settings.timings
        over_ssh = service.profile(cluster.name).context_type == "SSH"
        #: what makes commands work that a login does not find
        self._hint = _OPENING if over_ssh else ""
        self._run = RunId(f"checkup-{ticket}")
        self._header = Header(
            submission=SubmissionId(f"checkup-{ticket}"),
            owner=service.who,
            cluster=ClusterName(cluster.name),
            source=cluster.root,
            resources=Resources(
                number_node=1, cpu_per_node=1, gpu_per_node=0, queue_name="", group_size=1
            ),
            tasks=1,
        )
        # a spool of its own, so that no pass wonders about its hint
        base = f"{cluster.root}/{HIDDEN}/{self._run}"
        self._layout = Layout(
            root=cluster.root,
            base=base,
            run=self._run,
            ledger=service.ledger.id,
            cluster=self._run,
        )
        self._token = token_of(self._run, [_ATTEMPT])
        self._id: SchedulerId | None = None
        self._record: ExitRecord | None = None

    def walk(self, checkup: Checkup) -> None:
        """Take the steps that need the cluster; clean up whatever happens."""
        checkup.step("root", self._write_root)
        checkup.step("scheduler", self._ask)
        try:
            checkup.step("submit", self._submit)
            checkup.step("run", self._wait)
            checkup.step("record", self._judge)
        finally:
            checkup.step("clean", self._clean)

    def _run_command(self, argv: Argv) -> Completed:
        return self._cluster.host.run(argv, limit=self._timings.command)

    def _write_root(self) -> str:
        host, probe = self._cluster.host, f"{self._layout.base}/probe"
        begun = time.monotonic()
        try:
            host.make_directories([self._layout.base, *self._layout.directories])
            host.write([NewFile(path=probe, content=_SAYS.encode())])
        except StagingError as error:
            msg = f"{error}; expected a remote_root that {host.user()} may make there and write to"
            raise StepFailed(msg) from error
        if host.read([probe]).get(probe, b"").decode() != _SAYS:
            msg = f"{probe} was written and cannot be read back: is {self._cluster.root} on a healthy disk?"
            raise StepFailed(msg)
        milliseconds = 1000 * (time.monotonic() - begun)
        return f"{self._cluster.root} takes files and gives them back ({milliseconds:.0f} ms)"

    def _ask(self) -> str:
        self._cluster.forget_facts()
        try:
            facts = self._cluster.facts
        except SchedulerError as error:
            msg = f"{error}; do its commands work on {self._cluster.host.name}?{self._hint}"
            raise StepFailed(msg) from error
        history = "with" if facts.history else "without"
        arrays = f"arrays of up to {facts.max_array}" if facts.max_array > 1 else "no arrays"
        return f"{facts.cluster} answers, version {facts.version}, {arrays}, {history} accounting"

    def _submit(self) -> str:
        task = TaskSpec(position=0, command=f"echo {_SAYS}", path=".")
        files = batch_files(
            self._layout,
            self._header,
            self._cluster.scheduler,
            self._token,
            [_ATTEMPT],
            {0: [(0, task)]},
            login_shell=self._cluster.login_shell,
            array=False,
            elsewhere=self._cluster.profile.is_bridged,
        )
        self._cluster.host.write(files)
        submit = Submit(
            script=self._layout.script(self._token),
            directory=self._layout.base,
            log=self._layout.log(self._token),
            token=self._token,
            name="jobferry-test",
            header=header_lines(self._header, self._cluster.scheduler),
        )
        scheduler = self._cluster.scheduler
        self._id = scheduler.parse_submit(self._run_command(scheduler.submit(submit)))
        return f"the scheduler took it as job {self._id}"

    def _wait(self) -> str:
        begun, asked, says = time.monotonic(), 0.0, "nothing yet"
        path = self._layout.record(_ATTEMPT)
        while time.monotonic() - begun < _RUN_SECONDS:
            if found := self._cluster.host.read([path]).get(path):
                self._record = parse_record(found)
                return f"it ran, {time.monotonic() - begun:.1f} s after its submit"
            if time.monotonic() - asked > _ASK_SECONDS:
                says, asked = self._state(), time.monotonic()
            time.sleep(_POLL_SECONDS)
        msg = (
            f"no exit record after {_RUN_SECONDS:.0f} s; the scheduler says: {says}. "
            f"What its script printed: {self._printed() or 'nothing'}"
        )
        raise StepFailed(msg)

    def _state(self) -> str:
        cluster = self._cluster
        try:
            done = self._run_command(cluster.scheduler.listing(cluster.host.user()))
            seen = cluster.scheduler.parse_listing(done, cluster.facts.cluster).jobs
        except SchedulerError as error:
            return str(error)
        job = seen.get(self._id) if self._id else None
        if job is None:
            return "it does not know the job any more"
        return f"{job.phase.value}{f' ({job.reason})' if job.reason else ''}"

    def _judge(self) -> str:
        if self._record is None or not self._record.succeeded(1):
            msg = (
                f"the job ended badly: {self._record}. What its script printed: "
                f"{self._printed() or 'nothing'}"
            )
            raise StepFailed(msg)
        path = f"{self._layout.base}/log"
        said = self._cluster.host.read([path]).get(path, b"").decode("utf-8", "replace").strip()
        if said != _SAYS:
            msg = f"its output in {path} is {said!r}, expected {_SAYS!r}"
            raise StepFailed(msg)
        return "its exit code and its output came back"

    def _printed(self) -> str:
        path = self._layout.log(self._token)
        text = self._cluster.host.read([path]).get(path, b"").decode("utf-8", "replace")
        return text.strip()[-500:]

    def _clean(self) -> str:
        host, scheduler = self._cluster.host, self._cluster.scheduler
        if self._id and self._record is None and self._state().startswith(tuple(Phase)):
            self._run_command(scheduler.cancel([self._id]))
        if self._id and (forget := scheduler.forget([self._id])):
            self._run_command(forget)
        host.remove_tree(self._layout.base)
        host.remove_tree(self._layout.spool)
        return "nothing is left of it"
