"""LazyLocal: nothing is moved, and cleaning removes only what jobferry wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.document import Header, TaskSpec
from jobferry_common.errors import StagingError
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.resources import Resources
from jobferry_common.names import ClusterName, RunId, SubmissionId
from jobferry_common.scripts.layout import Layout
from jobferry_common.settings import Settings
from jobferry_worker.cluster import open_cluster
from jobferry_worker.staging import staging_of
from jobferry_worker.staging.in_place import InPlace
from jobferry_worker.staging.local import Local
from jobferry_worker.staging.streamed import Streamed

if TYPE_CHECKING:
    from pathlib import Path

TASK = TaskSpec(position=0, command="true", path="t", backward=("out",))


def header(source: Path, *, in_place: bool = True) -> Header:
    return Header(
        submission=SubmissionId("5e7"),
        owner="alice@laptop",
        cluster=ClusterName("alpha"),
        source=str(source),
        in_place=in_place,
        resources=Resources(group_size=1),
        tasks=1,
    )


def layout(source: Path, run: str = "5e7-1") -> Layout:
    return Layout(root=str(source), base=str(source), run=RunId(run), ledger="1f", cluster="a")


def test_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    InPlace().stage(header(tmp_path), [[(0, TASK)]], layout(tmp_path))
    assert InPlace().collect(header(tmp_path), [(TASK, True)], layout(tmp_path)) == []
    assert InPlace().collect_common(header(tmp_path), layout(tmp_path)) == []
    assert [path.name for path in tmp_path.rglob("*")] == ["t"]


def test_a_directory_that_another_machine_does_not_share_is_told(tmp_path: Path) -> None:
    with pytest.raises(StagingError, match=r"there is no directory .*nowhere here"):
        InPlace().stage(header(tmp_path / "nowhere"), [], layout(tmp_path))


def test_clean_removes_what_was_written_for_the_run_and_nothing_else(tmp_path: Path) -> None:
    for run in ("5e7-1", "5e7-2"):
        control = tmp_path / ".jobferry" / run / "jobs"
        control.mkdir(parents=True)
        (control / "0").write_bytes(b"")
    (tmp_path / "out").write_bytes(b"")
    InPlace().clean(layout(tmp_path))
    InPlace().clean(layout(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".jobferry", "out"]
    assert [path.name for path in (tmp_path / ".jobferry").iterdir()] == ["5e7-2"]
    InPlace().clean(layout(tmp_path, "5e7-2"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("context", "in_place", "expected"),
    [
        ("LazyLocal", True, InPlace),
        ("Local", False, Local),
        ("LazyLocal", False, Local),
        ("SSH", False, Streamed),
    ],
)
def test_the_staging_of_a_run_is_what_its_header_says(
    tmp_path: Path, context: str, expected: type, *, in_place: bool
) -> None:
    profile = ClusterProfile.load_from_dict(
        {
            "batch_type": "Shell",
            "context_type": context,
            "local_root": "/w",
            "remote_root": "/r",
            "remote_profile": {"hostname": "login"} if context == "SSH" else {},
        }
    )
    cluster = open_cluster(ClusterName("alpha"), profile, Settings())
    staging = staging_of(header(tmp_path, in_place=in_place), cluster, lambda: None)
    assert isinstance(staging, expected)
