"""The claim: one scheduler job owns an attempt, and nobody else runs anything under it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.names import AttemptKey
from jobferry_common.scripts.layout import is_refusal, parse_hint
from jobferry_common.scripts.records import WorkerClaim, parse_claim, worker_claim
from tests.common.scripts.workbench import names, task

if TYPE_CHECKING:
    from tests.common.scripts.workbench import Workbench

FIRST = AttemptKey(0, 1)
NOTE = task("echo x >> notes")


def claims(bench: Workbench) -> bytes:
    return Path(bench.layout.claim(FIRST)).read_bytes()


def put_claim(bench: Workbench, content: bytes, attempt: AttemptKey = FIRST) -> None:
    path = Path(bench.layout.claim(attempt))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_job_writes_its_scheduler_id_into_its_claim(bench: Workbench) -> None:
    ran = bench.run([NOTE], id_="4711_5")
    assert (ran.code, parse_claim(claims(bench)), ran.record.id) == (0, "4711_5", "4711_5")


@pytest.mark.parametrize("name", ["claim", "records", "done"])
def test_a_directory_that_its_worker_did_not_bring_is_made(bench: Workbench, name: str) -> None:
    token = bench.prepare([NOTE], [FIRST])
    control = Path(bench.layout.claim(FIRST)).parent.parent
    for other in {"claim", "records", "done"} - {name}:
        (control / other).mkdir(parents=True, exist_ok=True)
    if (control / name).is_dir():
        (control / name).rmdir()
    ran = bench.finish(bench.start(token), FIRST)
    assert (ran.code, bool(ran.record), (control / name).is_dir()) == (0, True, True)


@pytest.mark.parametrize("content", [b"job 4710\n", worker_claim("node:17"), b""])
def test_under_a_foreign_claim_nothing_is_run_and_only_that_is_told(
    bench: Workbench, content: bytes
) -> None:
    put_claim(bench, content)
    ran = bench.run([NOTE], prepend_script=["touch ../prepended"])
    assert (ran.code, ran.kept) == (0, None)
    assert claims(bench) == content
    (told,) = names(bench.layout.spool)
    assert (is_refusal(told), parse_hint(told)) == (True, None)
    assert not bench.path("work").exists()
    assert "nothing is run" in ran.stderr


def test_of_many_jobs_for_one_attempt_exactly_one_runs(bench: Workbench) -> None:
    token = bench.prepare([NOTE], [FIRST])
    started = [bench.start(token, id_=f"47{number}") for number in range(12)]
    ran = [bench.finish(job, FIRST) for job in started]
    assert [job.code for job in ran] == [0] * 12
    assert bench.text("work/notes") == "x\n"
    assert ran[-1].record.id == parse_claim(claims(bench))


def test_a_job_that_the_scheduler_starts_again_after_its_end_runs_nothing(bench: Workbench) -> None:
    bench.run([task("echo x >> notes; exit 3")])
    again = bench.run([task("echo x >> notes; exit 3")])
    assert (again.code, bench.text("work/notes")) == (0, "x\n")
    assert again.codes == {0: 3}


def test_a_job_that_was_requeued_after_a_signal_does_the_rest(bench: Workbench) -> None:
    once = task("[ -e warned ] || { touch warned; kill -TERM $$; exit 1; }; echo rest >> notes")
    first = bench.run([NOTE, once])
    assert (first.code, first.record.provisional) == (143, True)
    assert (first.codes[0], first.record.succeeded(2)) == (0, False)
    again = bench.run([NOTE, once])
    assert (again.code, again.record.provisional, again.codes) == (0, False, {0: 0, 1: 0})
    assert bench.text("work/notes") == "x\nrest\n"


def test_nothing_is_run_once_the_next_attempt_has_begun(bench: Workbench) -> None:
    put_claim(bench, b"job 4711\n")
    put_claim(bench, b"job 4712\n", AttemptKey(0, 2))
    ran = bench.run([NOTE])
    assert (ran.code, ran.kept, bench.path("work").exists()) == (0, None, False)


def test_a_job_that_died_with_its_claim_may_be_started_again(bench: Workbench) -> None:
    put_claim(bench, b"job 4711\n")
    assert bench.run([NOTE]).codes == {0: 0}


def test_a_job_without_an_id_owns_nothing(bench: Workbench) -> None:
    ran = bench.run([NOTE], id_="")
    assert (ran.code, ran.kept) == (73, None)
    assert "no id" in ran.stderr


def test_an_index_outside_of_the_list_runs_nothing(bench: Workbench) -> None:
    token = bench.prepare([NOTE], [FIRST])
    ran = bench.finish(bench.start(token, index=1), FIRST)
    assert (ran.code, ran.kept) == (73, None)
    assert "no attempt for index '1'" in ran.stderr


def test_a_claim_that_cannot_be_written_is_said_and_nothing_is_run(bench: Workbench) -> None:
    token = bench.prepare([NOTE], [FIRST])
    Path(bench.layout.control, "claim").rmdir()
    Path(bench.layout.control, "claim").touch()
    ran = bench.finish(bench.start(token), FIRST)
    assert (ran.code, ran.kept, bench.path("work").exists()) == (73, None, False)
    assert bench.layout.claim(FIRST) in ran.stderr


def test_without_its_runtime_a_script_does_nothing(bench: Workbench) -> None:
    token = bench.prepare([NOTE], [FIRST])
    Path(bench.layout.runtime).unlink()
    ran = bench.finish(bench.start(token), FIRST)
    assert (ran.code, ran.kept, bench.path("work").exists()) == (72, None, False)


def test_an_array_finds_its_job_and_attempt_in_the_frozen_list(bench: Workbench) -> None:
    tasks = [task(f"echo {number} >> notes") for number in range(3)]
    attempts = [AttemptKey(2, 1), AttemptKey(0, 4)]
    token = bench.prepare(tasks, attempts, group_size=1)
    for index in (0, 1):
        ran = bench.finish(bench.start(token, index=index, id_=f"9_{index}"), attempts[index])
        assert (ran.code, ran.record.attempt, ran.record.id) == (0, attempts[index], f"9_{index}")
    assert bench.text("work/notes") == "2\n0\n"


def test_a_worker_claim_names_the_worker() -> None:
    assert parse_claim(worker_claim("node:17")) == WorkerClaim("node:17")
