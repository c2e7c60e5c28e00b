"""Reading what tasks printed, while they run and afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry.logs import choose, read_logs
from jobferry.places import Places, tail
from jobferry_common.document import TaskSpec
from jobferry_common.errors import UnknownId
from jobferry_common.states import JobState
from tests.common.ledger.documents import change_to, document, fence_of, move, reserve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry.client import Client
    from jobferry.handle import Handle
    from tests.producer.stage import Stage

SPECS = [
    TaskSpec(position=0, command="a", path="x/y", name="first"),
    TaskSpec(position=1, command="b", path="1", name=None),
    TaskSpec(position=2, command="c", path="z", name=None),
]


@pytest.mark.parametrize(
    ("wanted", "position"), [("first", 0), ("x/y", 0), ("z/", 2), ("2", 2), ("1", 1), ("0", 0)]
)
def test_a_task_goes_by_its_name_directory_or_number(wanted: str, position: int) -> None:
    assert list(choose(enumerate(SPECS), wanted)) == [position]


def test_no_such_task_is_an_error() -> None:
    with pytest.raises(UnknownId, match="expected 0 to 2"):
        choose(enumerate(SPECS), "7")


@pytest.fixture
def handle(client: Client, tmp_path: Path) -> Handle:
    source = tmp_path / "work"
    for name in ("task.0", "task.1"):
        (source / name).mkdir(parents=True)
    return client.handle(client.accept(document(source=str(source), tasks=2)).run)


@pytest.fixture
def remote(handle: Handle, tmp_path: Path) -> Path:
    """The run's work base on the cluster."""
    base = tmp_path / "remote" / handle.id
    (base / ".jobferry" / handle.id).mkdir(parents=True)
    (base / "task.0").mkdir()
    return base


def places(client: Client, handle: Handle, root: Path | None) -> Places:
    text = None if root is None else str(root)
    return Places(client.ledger.header(handle.id), handle.id, text, client.ledger.id)


def specs(client: Client, handle: Handle) -> dict[int, TaskSpec]:
    return client.ledger.tasks(handle.id, range(2))


def test_outputs_that_came_back_are_read(client: Client, handle: Handle, tmp_path: Path) -> None:
    (tmp_path / "work/task.0/log").write_text("one\ntwo")
    (tmp_path / "work/task.1/err").write_text("bad\n")
    lines = list(read_logs(handle, places(client, handle, None), specs(client, handle)))
    assert [(line.task, line.stream, line.text) for line in lines] == [
        (0, "outlog", "one"),
        (0, "outlog", "two"),
        (1, "errlog", "bad"),
    ]


def test_what_is_on_the_cluster_comes_before_an_older_copy(
    client: Client, handle: Handle, remote: Path, tmp_path: Path
) -> None:
    (tmp_path / "work/task.0/log").write_text("of an earlier run\n")
    (remote / "task.0/log").write_text("of this run\n")
    there = places(client, handle, tmp_path / "remote")
    [line] = read_logs(handle, there, specs(client, handle))
    assert line.text == "of this run"


def test_a_running_task_is_followed_to_its_end(
    client: Client,
    stage: Stage,
    handle: Handle,
    remote: Path,
    tmp_path: Path,
    beside: Callable[[Callable[[], object]], None],
) -> None:
    there = places(client, handle, tmp_path / "remote")
    log = remote / "task.0/log"
    log.write_text("begin\nhal")
    lines = read_logs(handle, there, specs(client, handle), follow=True)
    assert next(lines).text == "begin"
    with log.open("a") as file:
        file.write("f a line\nno end")
    beside(lambda: stage.finish(handle.id))
    assert [line.text for line in lines] == ["half a line", "no end"]


@pytest.mark.timeout(60)
def test_following_a_task_ends_with_its_job_while_the_run_goes_on(
    client: Client, stage: Stage, handle: Handle, remote: Path, tmp_path: Path
) -> None:
    (remote / "task.0/log").write_text("all of it")
    there = places(client, handle, tmp_path / "remote")
    stage.run_job(handle.id, 0)
    lines = read_logs(handle, there, client.ledger.tasks(handle.id, [0]), follow=True)
    assert [line.text for line in lines] == ["all of it"]
    assert not client.ledger.run(handle.id).state.is_final


@pytest.mark.timeout(60)
def test_a_retry_is_followed_to_the_last_attempt(
    client: Client,
    stage: Stage,
    handle: Handle,
    remote: Path,
    tmp_path: Path,
    beside: Callable[[Callable[[], object]], None],
) -> None:
    log = remote / "task.0/log"
    log.write_text("first try\n")
    ledger, run = client.ledger, handle.id
    reserve(ledger, run, [0])
    move(ledger, run, 0, JobState.EXITED)
    again = change_to(ledger, run, 0, JobState.PENDING, attempt=2, tries=1)
    ledger.change(run, [again], fence=fence_of(ledger))
    there = places(client, handle, tmp_path / "remote")
    lines = read_logs(handle, there, ledger.tasks(run, [0]), follow=True)
    assert next(lines).text == "first try"
    with log.open("a") as file:
        file.write("second try\n")
    beside(lambda: stage.run_job(run, 0))
    assert [line.text for line in lines] == ["second try"]


@pytest.mark.timeout(60)
def test_where_the_cluster_is_not_seen_what_comes_back_is_waited_for(
    client: Client,
    stage: Stage,
    handle: Handle,
    tmp_path: Path,
    beside: Callable[[Callable[[], object]], None],
) -> None:
    stage.run_job(handle.id, 0)
    log = tmp_path / "work/task.0/log"

    def bring() -> None:
        log.write_text("it came\nback")
        client.ledger.collected(handle.id, [0])

    log.write_text("it came\n")
    tasks = client.ledger.tasks(handle.id, [0])
    lines = read_logs(handle, places(client, handle, None), tasks, follow=True)
    assert next(lines).text == "it came"
    beside(bring)
    assert [line.text for line in lines] == ["back"]


def test_the_tail_skips_empty_lines_and_missing_files(tmp_path: Path) -> None:
    file = tmp_path / "err"
    file.write_bytes(b"x" * 20000 + b"\none\n\ntw\xffo\n\n")
    assert tail(file, 2) == ("one", "tw\ufffdo")
    assert tail(tmp_path / "none", 2) == ()
    assert tail(None, 2) == ()
