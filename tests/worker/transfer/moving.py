"""A producer's directory, a cluster's root and a run between them, for tests of transfers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobferry_common.document import Document
from jobferry_common.errors import StagingError
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings
from jobferry_common.states import JobState, RunState
from jobferry_worker import transfer
from jobferry_worker.cluster import Cluster, open_cluster
from tests.common.ledger.documents import ALPHA, change_to, document, fence_of, finish, reserve

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import RunId
    from jobferry_common.scripts.layout import Layout

LINE = "x\n"
RECORD = """jobferry 1
attempt 1.1
id 4711
provisional 0
started 1700000000.1
ended 1700000002.5
reason
task 1 3 1700000000.2 1700000001.0
end
"""


class World:
    """A producer's directory, a cluster's root, and a run between them."""

    def __init__(self, ledger: Ledger, directory: Path, **header: Any) -> None:
        self.ledger = ledger
        self.settings = Settings()
        self.source = directory / "home" / "work"
        in_place = header.get("in_place", False)
        root = self.source if in_place else directory / "root"
        root.mkdir(parents=True)
        context = {"context_type": "LazyLocal", "local_root": str(root)}
        if not in_place:
            context = {"context_type": "Local", "remote_root": str(root)}
        profile = ClusterProfile.model_validate({"batch_type": "Shell", **context})
        self.cluster: Cluster = open_cluster(ALPHA, profile, self.settings)
        self.document = self._document(**header)
        self.run: RunId = self._accept()

    def _accept(self) -> RunId:
        return self.ledger.accept(self.document).run

    def _document(self, **header: Any) -> Document:
        base = document(tasks=3, source=str(self.source), **header)
        tasks = tuple(replace(task, forward=("in",)) for task in base.tasks)
        for task in tasks:
            (self.source / task.path).mkdir(parents=True)
            (self.source / task.path / "in").write_text(LINE)
        (self.source / "common").write_text(LINE)
        return replace(base, tasks=tasks)

    @property
    def record(self) -> RunRecord:
        return self.ledger.run(self.run)

    @property
    def layout(self) -> Layout:
        return self.cluster.layout_of(self.ledger.header(self.run), self.run, self.ledger.id)

    def base(self, path: str = "") -> Path:
        return Path(self.layout.base, path)

    def stage(self) -> None:
        transfer.stage(self.ledger, self.cluster, self.settings, self.run)

    def collect(self) -> None:
        transfer.collect(self.ledger, self.cluster, self.settings, self.run)

    def clean(self) -> None:
        transfer.clean(self.ledger, self.cluster, self.settings, self.run)

    def succeed(self, job: int, *, out: bool = True) -> None:
        """Let a job leave what a successful one leaves."""
        self._leave(job, out=out)
        Path(self.layout.done(job)).write_text("1 2\n")
        finish(self.ledger, self.run, job)

    def fail(self, job: int) -> None:
        """Let a job leave what a failed one leaves."""
        self._leave(job, out=False)
        reserve(self.ledger, self.run, [job])
        for state in (JobState.EXITED, JobState.FAILED):
            change = change_to(self.ledger, self.run, job, state)
            self.ledger.change(self.run, [change], fence=fence_of(self.ledger))

    def _leave(self, job: int, *, out: bool) -> None:
        directory = self.base(f"task.{job}")
        for name in ("log", "err", *(["out"] if out else [])):
            (directory / name).write_text(f"{name} of {job}\n")

    def end(self, state: RunState = RunState.FINISHED, reason: str = "") -> None:
        self.ledger.change_run(self.run, state=state, reason=reason)

    def back(self, path: str) -> bool:
        return (self.source / path).exists()


def raising(number: int) -> Any:
    def raise_it(*_: object, **__: object) -> None:
        try:
            raise OSError(number, os.strerror(number), "/root/file")
        except OSError as error:
            msg = f"cannot write /root/file: {error.strerror}"
            raise StagingError(msg) from error

    return raise_it
