"""What a bridge does with jobs, whatever happens on the way: its other side runs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import CommandFailed, SubmitBusy, SubmitRefused, SubmitUnknown
from jobferry_common.killpoints import BRIDGE, trapped
from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Phase
from jobferry_common.scripts.cargo import Cargo
from jobferry_common.states import Outcome
from tests.testbed.bridges import crash_at
from tests.testbed.processes import wait_until
from tests.worker.bridge.conftest import SCHEDULER

if TYPE_CHECKING:
    from tests.worker.bridge.conftest import Crossing


def test_a_job_runs_elsewhere_and_its_results_come_back(crossing: Crossing) -> None:
    job = crossing.submit(
        'pwd > where; mkdir -p deep/er; echo 1 > deep/er/out; echo "$jf_place"; exit 3'
    )
    seen = crossing.ended(job)
    assert (seen.outcome, seen.code) == (Outcome.FAILED, 3)
    where = Path(crossing.written("where").strip())
    assert where.name == crossing.base.name
    assert where.parent.parent == crossing.system.place / "p0"
    assert crossing.written("deep/er/out") == "1\n"
    assert crossing.written("logs/0") == f"{where}\n"


def test_nothing_that_goes_there_names_the_root(crossing: Crossing) -> None:
    job = crossing.submit('env > env; cat "$0" > self')
    crossing.ended(job)
    sent = (crossing.system.place / "p0/script").read_text()
    assert str(crossing.base.parent / crossing.base.name) not in sent
    assert str(crossing.base) not in crossing.written("env")


def test_what_was_not_changed_stays_there(crossing: Crossing) -> None:
    job = crossing.submit("echo new > new")
    script = crossing.base / "script 0.sh"
    before = script.stat()
    crossing.ended(job)
    assert crossing.written("new") == "new\n"
    assert script.read_text().endswith("echo new > new\n")
    assert script.stat().st_mode == before.st_mode


def test_the_same_submit_makes_the_same_job(crossing: Crossing) -> None:
    submit = crossing.to_submit("echo once >> ran")
    ids = {SCHEDULER.parse_submit(crossing.run(SCHEDULER.submit(submit))) for _ in range(3)}
    (job,) = ids
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    assert list(crossing.system.jobs) == ["p0"]
    assert crossing.listing().tokens == {submit.token: [job]}


def test_an_array_is_refused(crossing: Crossing) -> None:
    with pytest.raises(SubmitRefused, match="no arrays"):
        crossing.submit("true", size=2)
    assert not crossing.listing().jobs


def test_what_is_wrong_for_ever_is_told_at_once(crossing: Crossing) -> None:
    crossing.system.errors.append(SubmitRefused("there is no such queue"))
    with pytest.raises(SubmitRefused, match="there is no such queue"):
        crossing.submit("true")
    assert not crossing.listing().jobs


def test_a_later_job_of_a_run_that_is_refused_ends_with_the_words(crossing: Crossing) -> None:
    first = crossing.submit("true")
    crossing.ended(first)
    crossing.system.errors.append(SubmitRefused("too large"))
    seen = crossing.ended(crossing.submit("true"))
    assert (seen.outcome, seen.reason) == (Outcome.FAILED, "too large")


def test_a_system_that_is_busy_gets_the_job_later(crossing: Crossing) -> None:
    crossing.system.errors += [SubmitBusy("the queue is full")] * 2
    job = crossing.submit("echo 1 > out")
    seen = crossing.listing().jobs[job]
    assert (seen.phase, seen.reason) == (Phase.QUEUED, "the queue is full")
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED


def test_a_start_without_an_answer_is_adopted_by_its_token(crossing: Crossing) -> None:
    crossing.system.lies.append(SubmitUnknown("no answer"))
    job = crossing.submit("echo 1 >> out")
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    assert list(crossing.system.jobs) == ["p0"]


def test_a_start_that_never_shows_is_made_again_after_a_while(crossing: Crossing) -> None:
    crossing.system.errors.append(SubmitUnknown("no answer"))
    job = crossing.submit("echo 1 >> out")
    for _ in range(3):
        assert crossing.listing().jobs[job].phase is Phase.QUEUED
        crossing.now += 80
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    assert list(crossing.system.jobs) == ["p0"]


def test_a_system_that_does_not_answer_is_no_proof(crossing: Crossing) -> None:
    crossing.system.errors.append(SubmitUnknown("no answer"))
    job = crossing.submit("true")
    crossing.system.away = True
    for _ in range(3):
        with pytest.raises(CommandFailed, match="nobody answers"):
            crossing.listing()
        crossing.now += 300
    crossing.system.away = False
    assert crossing.listing().jobs[job].phase is Phase.QUEUED
    assert not crossing.system.jobs


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("point", BRIDGE)
def test_a_crash_between_any_two_steps_runs_nothing_twice(crossing: Crossing, point: str) -> None:
    """Only what the system has started, and forgets, could run twice."""
    with crash_at(point) as passed:
        job = crossing.submit("echo ran >> ran; exit 4")

        def crashed() -> bool:
            crossing.listing()
            return bool(passed)

        wait_until(crashed, f"it crashed at {point}")
    crossing.again()
    crossing.listing()
    crossing.now += 200  # nobody else may have started it: it is started again
    seen = crossing.ended(job)
    assert (seen.outcome, seen.code) == (Outcome.FAILED, 4)
    assert crossing.written("ran") == "ran\n"
    assert list(crossing.system.jobs) == ["p0"]


def test_a_job_that_is_cancelled_on_its_way_is_never_started(crossing: Crossing) -> None:
    crossing.storage.away = True
    job = crossing.submit("echo > ran")
    wait_until(lambda: "answer" in crossing.listing().jobs[job].reason, "its reason is told")
    crossing.run(SCHEDULER.cancel([job]))
    crossing.storage.away = False
    assert crossing.ended(job).outcome is Outcome.CANCELLED
    assert not crossing.system.jobs


def test_a_running_job_is_cancelled(crossing: Crossing) -> None:
    job = crossing.submit("sleep 300")
    wait_until(lambda: crossing.listing().jobs[job].phase is Phase.RUNNING, "it runs")
    assert crossing.run(SCHEDULER.cancel([job, SchedulerId("unknown")])).exit_code == 0
    seen = crossing.ended(job)
    assert seen.outcome is Outcome.CANCELLED
    assert "delivered no results" in seen.reason


def _claimed(crossing: Crossing, who: str) -> Path:
    """Give the next script a claim, and make it already."""
    script = crossing.base / f"script {len(list(crossing.base.glob('script*.sh')))}.sh"
    cargo = Cargo(files=(script.name,), claims=("claim/0.1",))
    script.with_suffix(".cargo").write_bytes(cargo.pack())
    claim = crossing.base / "claim/0.1"
    claim.parent.mkdir()
    if who:
        claim.write_text(who)
    return claim


def test_an_attempt_that_belongs_to_another_is_never_started(crossing: Crossing) -> None:
    _claimed(crossing, "worker here:1\n")
    seen = crossing.ended(crossing.submit("echo > ran"))
    assert (seen.outcome, seen.reason) == (
        Outcome.CANCELLED,
        "its attempt belongs to worker here:1",
    )
    assert not crossing.system.jobs


def test_what_an_attempt_delivers_that_was_given_up_is_dropped(crossing: Crossing) -> None:
    claim = _claimed(crossing, "")
    go = crossing.tmp / "go"
    job = crossing.submit(f"until [ -e '{go}' ]; do sleep 0.1; done; echo > ran")
    wait_until(lambda: crossing.listing().jobs[job].phase is Phase.RUNNING, "it runs")
    assert claim.read_text() == f"job {job}\n"
    claim.write_text("worker here:1\n")
    go.touch()
    assert crossing.ended(job).outcome is Outcome.CANCELLED
    assert not (crossing.base / "ran").exists()


def test_a_job_that_vanished_is_not_told(crossing: Crossing) -> None:
    job = crossing.submit("sleep 300")
    crossing.system.hidden = True
    wait_until(lambda: job not in crossing.listing().jobs, "it is not told any more")
    crossing.system.hidden = False
    assert crossing.listing().jobs[job].phase is Phase.RUNNING


def test_results_of_a_job_that_vanished_are_fetched_all_the_same(crossing: Crossing) -> None:
    job = crossing.submit("echo 1 > out")
    crossing.system.jobs["p0"][1].wait()
    crossing.system.hidden = True
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED


def test_what_is_forgotten_goes_from_both_sides(crossing: Crossing) -> None:
    job, alive = crossing.submit("true"), crossing.submit("sleep 300")
    crossing.ended(job)
    assert {path.name for path in crossing.storage.place.iterdir()} == {job, alive}
    crossing.storage.away = True
    forget = SCHEDULER.forget([job, alive])
    assert forget
    crossing.run(forget)
    assert set(crossing.listing().jobs) == {alive}
    crossing.storage.away = False
    crossing.run(SCHEDULER.cancel([alive]))

    def clean() -> bool:
        return not crossing.listing().jobs and not list(crossing.storage.place.iterdir())

    wait_until(clean, "nothing is left")
    assert {path.name for path in (crossing.tmp / "home/jobs").iterdir()} == set()


def test_results_that_arrive_damaged_are_no_results(crossing: Crossing) -> None:
    crossing.storage.place.mkdir()
    job = crossing.submit("sleep 300")
    wait_until(lambda: crossing.listing().jobs[job].phase is Phase.RUNNING, "it runs")
    (crossing.storage.place / job / "result").write_text("jobferry-result 00\nnothing")
    crossing.system.stop(["p0"])
    seen = crossing.ended(job)
    assert seen.outcome is Outcome.FAILED
    assert "damaged" in seen.reason


def test_an_archive_that_arrives_damaged_is_not_run(crossing: Crossing) -> None:
    """The system says that the job ended; why is in its own log there."""
    first = crossing.submit("true")
    crossing.ended(first)
    with (
        crash_at("none"),
        trapped(lambda here: _spoil(crossing) if here == "bridge-stored" else None),
    ):
        job = crossing.submit("echo > ran")
        seen = crossing.ended(job)
    assert (seen.outcome, seen.code) == (Outcome.FAILED, 74)
    assert "damaged" in (crossing.system.place / "p1/stdout").read_text()


def _spoil(crossing: Crossing) -> None:
    for path in crossing.storage.place.glob("*/archive"):
        path.write_bytes(b"nothing")
