"""A directory in which rendered scripts are really run by bash, without any batch system.

bench = Workbench(tmp_path)
ran = bench.run([task("echo hi")], para_deg=2)
ran.record.tasks[0].code, bench.text("work/log")
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobferry_common.document import Header, TaskSpec
from jobferry_common.models.resources import Resources
from jobferry_common.names import AttemptKey, ClusterName, RunId, SubmissionId, token_of
from jobferry_common.scripts.layout import Layout
from jobferry_common.scripts.records import parse_record
from jobferry_common.scripts.render import batch_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobferry_common.files import NewFile
    from jobferry_common.names import Token
    from jobferry_common.schedulers.base import Scheduler
    from jobferry_common.scripts.records import ExitRecord

RUN = RunId("3f2a9c01d5e7-1")


def _as_a_scheduler_does() -> None:
    """Undo what a shell in the background, or nohup, has its children ignore: bash cannot trap what it ignores."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Plain:
    """As much of a scheduler as a script needs."""

    name = "Plain"

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        lines = [f"#PLAIN nodes={resources.number_node}", *resources.custom_flags]
        return lines if requeue else [*lines, "#PLAIN no-requeue"]

    def job_id_expression(self) -> str:
        return "$PLAIN_ID"

    def index_expression(self) -> str:
        return "$PLAIN_INDEX"


def scheduler() -> Scheduler:
    """Return the plain one; what it lacks is not asked for by a script."""
    plain: Any = Plain()
    return plain  # type: ignore[no-any-return]


def task(command: str, path: str = "work", **fields: Any) -> TaskSpec:
    """Return a task with a directory of its own choice."""
    return TaskSpec(position=0, command=command, path=path, **fields)


def resources_of(**fields: Any) -> Resources:
    """Return resources for one task a job, unless told otherwise."""
    return Resources.model_validate({"group_size": 1, **fields})


def header_of(resources: Resources, tasks: int, source: str = "/home/alice/work") -> Header:
    """Return the header of a submission with these resources."""
    return Header(
        submission=SubmissionId("3f2a9c01d5e7"),
        owner="alice@laptop",
        cluster=ClusterName("hpc1"),
        source=source,
        resources=resources,
        tasks=tasks,
    )


def names(directory: Path | str) -> list[str]:
    """Return the sorted names in a directory."""
    return sorted(path.name for path in Path(directory).iterdir())


@dataclass(frozen=True, slots=True)
class Ran:
    """What a script left behind."""

    code: int
    stdout: str
    stderr: str
    kept: ExitRecord | None

    @property
    def record(self) -> ExitRecord:
        assert self.kept is not None, self.stderr
        return self.kept

    @property
    def codes(self) -> dict[int, int]:
        return {ended.task: ended.code for ended in self.record.tasks}


@dataclass
class Workbench:
    """One run of one submission, all of whose tasks are in job 0 unless `jobs` says otherwise."""

    directory: Path
    group_size: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    run_id: RunId = RUN
    in_place: bool = False

    @property
    def layout(self) -> Layout:
        root = str(self.directory)
        base = f"{root}/home" if self.in_place else f"{root}/{self.run_id}"
        return Layout(root=root, base=base, run=self.run_id, ledger="1f", cluster="alpha")

    def path(self, relative: str) -> Path:
        """Return a path below the tasks' work base."""
        return Path(self.layout.base, relative)

    def text(self, relative: str) -> str:
        return self.path(relative).read_bytes().decode()

    def prepare(
        self, tasks: Sequence[TaskSpec], attempts: Sequence[AttemptKey], **fields: Any
    ) -> Token:
        """Write all that one submit needs; without group_size every task is in job 0."""
        template = fields.pop("header_template", None)
        header = header_of(resources_of(**{"group_size": self.group_size, **fields}), len(tasks))
        token = token_of(self.run_id, attempts)
        jobs = {
            attempt.job: [(i, tasks[i]) for i in header.tasks_of(attempt.job)]
            for attempt in attempts
        }
        files = batch_files(
            self.layout,
            replace(header, header_template=template),
            scheduler(),
            token,
            attempts,
            jobs,
            login_shell=False,
            array=True,
        )
        self.write(files)
        return token

    def write(self, files: Sequence[NewFile]) -> None:
        for directory in self.layout.directories:
            Path(directory).mkdir(parents=True, exist_ok=True)
        for file in files:
            Path(file.path).parent.mkdir(parents=True, exist_ok=True)
            Path(file.path).write_bytes(file.content)

    def start(self, token: Token, *, index: int = 0, id_: str = "4711") -> subprocess.Popen[str]:
        """Start one element as a scheduler would."""
        environment = {**os.environ, **self.environment, "PLAIN_ID": id_, "PLAIN_INDEX": str(index)}
        return subprocess.Popen(
            ["/bin/bash", self.layout.script(token)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
            preexec_fn=_as_a_scheduler_does,  # noqa: PLW1509 - tests have no threads here
        )

    def finish(self, started: subprocess.Popen[str], attempt: AttemptKey) -> Ran:
        """Wait for an element and read its record."""
        stdout, stderr = started.communicate(timeout=60)
        return Ran(started.returncode, stdout, stderr, self.record(attempt))

    def record(self, attempt: AttemptKey) -> ExitRecord | None:
        path = Path(self.layout.record(attempt))
        return parse_record(path.read_bytes()) if path.exists() else None

    def run(
        self, tasks: Sequence[TaskSpec], *, attempt: int = 1, id_: str = "4711", **fields: Any
    ) -> Ran:
        """Prepare and run job 0."""
        key = AttemptKey(0, attempt)
        return self.finish(self.start(self.prepare(tasks, [key], **fields), id_=id_), key)
