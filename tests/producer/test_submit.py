"""Handing over many submissions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry import (
    BadInput,
    BrokerUnreachable,
    Conflict,
    Handle,
    Machine,
    Resources,
    Submission,
    Task,
    UnknownId,
    submit_many,
)
from jobferry.client import Client
from jobferry_common.messages import INLINE_QUEUE, waiting
from jobferry_common.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 60


@pytest.fixture
def machine(work: Path) -> Machine:
    root, remote = str(work), str(work / "remote")
    return Machine(batch_type="Shell", context_type="Local", local_root=root, remote_root=remote)


def many(machine: Machine | str, count: int = COUNT) -> list[Submission]:
    """Return submissions of one task, each in a directory of its own."""
    return [
        Submission(
            f"work/{number}",
            machine,
            Resources(group_size=1),
            task_list=[Task(command="true", task_work_path=".")],
        )
        for number in range(count)
    ]


@pytest.fixture
def directories(work: Path) -> Path:
    for number in range(COUNT):
        (work / f"work/{number}").mkdir()
    return work


@pytest.mark.usefixtures("directories")
def test_many_are_handed_over_at_once(client: Client, machine: Machine) -> None:
    handles = submit_many(many(machine), client=client)
    assert all(isinstance(handle, Handle) for handle in handles)
    assert len({handle.id for handle in handles if isinstance(handle, Handle)}) == COUNT
    assert len(client.ledger.runs(limit=1000)) == COUNT
    assert waiting(client.redis, client.settings, INLINE_QUEUE) <= 1


def test_an_error_stands_in_the_place_of_its_submission(
    client: Client, machine: Machine, directories: Path
) -> None:
    submissions = many(machine)
    (directories / "work/3").rmdir()
    submissions[5].name, submissions[5].work_base = "other", "work/4"
    submissions[7].bind_machine("hcp1")
    answers = submit_many(submissions, client=client)
    wrong = {
        number: type(answer)
        for number, answer in enumerate(answers)
        if not isinstance(answer, Handle)
    }
    assert wrong == {3: BadInput, 5: Conflict, 7: UnknownId}
    assert len(client.ledger.runs(limit=1000)) == COUNT - 3


@pytest.mark.usefixtures("directories")
def test_handing_over_again_joins_what_is_in_flight(client: Client, machine: Machine) -> None:
    first = submit_many(many(machine), client=client)
    again = submit_many(many(machine), client=client)
    ids = [handle.id for handle in first if isinstance(handle, Handle)]
    assert [handle.id for handle in again if isinstance(handle, Handle)] == ids
    assert all(handle.attached for handle in again if isinstance(handle, Handle))


@pytest.mark.usefixtures("directories")
def test_without_a_broker_nothing_is_handed_over(machine: Machine, short_path: Path) -> None:
    client = Client(Settings(broker=f"redis+socket://{short_path}/none.sock"))
    with pytest.raises(BrokerUnreachable):
        submit_many(many(machine), client=client)


def test_nothing_at_all_is_nothing(client: Client) -> None:
    assert submit_many([], client=client) == []
