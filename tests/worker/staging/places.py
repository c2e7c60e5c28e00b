"""A producer's directory, a run's, and the staging between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobferry_common.document import Header, TaskSpec
from jobferry_common.models.resources import Resources
from jobferry_common.names import ClusterName, RunId, SubmissionId
from jobferry_common.scripts.layout import Layout
from jobferry_worker.hosts import LocalHost
from jobferry_worker.staging.local import Local
from jobferry_worker.staging.streamed import Streamed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry_worker.staging.base import Lacking, Staging

#: name → staging of a root; each does the same
STAGINGS: dict[str, Callable[[Path], Staging]] = {
    "linked": lambda _: Local(symlink=True),
    "copied": lambda _: Local(symlink=False),
    "streamed": lambda root: Streamed(LocalHost(), str(root)),
}

RUN = RunId("5e7-1")


def header(source: Path, **changes: Any) -> Header:
    return Header(
        submission=SubmissionId("5e7"),
        owner="alice@laptop",
        cluster=ClusterName("alpha"),
        source=str(source),
        resources=Resources(group_size=1),
        tasks=1,
        **changes,
    )


def task(path: str = "t", **changes: Any) -> TaskSpec:
    fields: dict[str, Any] = {
        "position": 0,
        "command": "true",
        "path": path,
        "forward": ("in",),
        "backward": ("out",),
    }
    return TaskSpec(**{**fields, **changes})


class Place:
    """A producer's directory, and a run's."""

    def __init__(self, top: Path, staging: str = "linked") -> None:
        self.source = top / "source"
        self.root = top / "root"
        self.base = self.root / RUN
        self.layout = Layout.of(header(self.source), RUN, str(self.root), "1f")
        self.staging = STAGINGS[staging](self.root)
        self.root.mkdir(parents=True)
        self.put(self.source / "t" / "in", "input")

    def put(self, path: Path, text: str = "") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def at(self, run: str) -> None:
        """Go on with another run."""
        self.base = self.root / run
        self.layout = Layout.of(header(self.source), RunId(run), str(self.root), "1f")

    def stage(self, *tasks: TaskSpec, common: tuple[str, ...] = ()) -> None:
        made = header(self.source, forward_common=common)
        self.staging.stage(made, [list(enumerate(tasks or (task(),)))], self.layout)

    def collect(self, *tasks: TaskSpec, succeeded: bool = True) -> list[str]:
        return [one.name for one in self.lacking(*tasks, succeeded=succeeded)]

    def lacking(self, *tasks: TaskSpec, succeeded: bool = True) -> list[Lacking]:
        pairs = [(one, succeeded) for one in tasks or (task(),)]
        return self.staging.collect(header(self.source), pairs, self.layout)

    def collect_common(self, *names: str) -> list[Lacking]:
        made = header(self.source, backward_common=names)
        return self.staging.collect_common(made, self.layout)
