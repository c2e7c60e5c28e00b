"""What is SGE's own: names, submit scripts, what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Completed, Submit
from jobferry_common.schedulers.sge import SGE
from jobferry_common.schedulers.sge_commands import END
from jobferry_common.states import Outcome

SCHEDULER = SGE()
TOKEN = Token("jf.3f2a9c01d5e7-1.0a1b2c3d4e5f")


def _submit(**fields: Any) -> list[str]:
    """Return the arguments of the submit script: name, directory, tasks, -r, header, log, script."""
    given = {"script": "/a/b.sh", "directory": "/a", "log": "/a/log", "name": "relax"}
    return list(SCHEDULER.submit(Submit(**{**given, "token": TOKEN, **fields}))[4:])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("relax", "relax"),
        ("1st try", "j1st_try"),
        ("a/b:c@d*", "a_b_c_d_"),
        ("ö", "j_"),
        ("", "j"),
        ("x" * 600, "x" * 64),
    ],
)
def test_a_name_is_one_that_sge_takes(name: str, shown: str) -> None:
    assert _submit(name=name)[0] == f"{shown}.{TOKEN}"


def test_the_name_of_the_header_counts_and_the_token_stays() -> None:
    assert _submit(header=["#$ -S /bin/bash", "#$ -N wDPjob"])[0] == f"wDPjob.{TOKEN}"
    assert _submit(header=["#$ -cwd -N other -j y"])[0] == f"other.{TOKEN}"


@pytest.mark.parametrize(
    ("header", "requeue", "option"),
    [
        ([], False, "n"),
        ([], True, "y"),
        (["#$ -r y"], False, ""),
        (["#$ -r n"], True, ""),
        (["#$ -cwd -r yes -j y"], False, ""),
        (["# -r y", "echo -r y"], False, "n"),
    ],
)
def test_a_requeue_is_said_once(header: list[str], requeue: bool, option: str) -> None:
    assert _submit(header=header, requeue=requeue)[3] == option


def test_tasks_are_counted_from_one() -> None:
    assert _submit()[2] == ""
    assert _submit(size=100)[2] == "1-100"


def test_qsub_reads_the_options_of_the_header_and_no_code_of_it() -> None:
    text = _submit(header=["#!/bin/bash", "#$ -q long.q", "ulimit -s unlimited"])[4]
    assert text.startswith("#$ -q long.q\n")
    assert "ulimit" not in text


def test_elements_are_named_in_ranges() -> None:
    array = SchedulerId("21")
    ids = [SCHEDULER.element(array, index) for index in (0, 1, 2, 6)]
    assert SCHEDULER.cancel([*ids, SchedulerId("30")]) == ("qdel", "21.1-3,21.7", "30")


def test_the_history_is_asked_for_arrays_as_a_whole() -> None:
    argv = SCHEDULER.history(
        [SchedulerId("21.1"), SchedulerId("21.2"), SchedulerId("30")], datetime.now(UTC)
    )
    assert argv[4:] == ("21", "30")


def test_gpus_are_refused_unless_the_user_says_how() -> None:
    asked = Resources(group_size=1, gpu_per_node=2)
    with pytest.raises(BadInput, match=r"resources\.gpu_per_node: SGE has no general way"):
        SCHEDULER.header(asked)


@pytest.mark.parametrize("name", ["my job", "a/b", "#", "x'y"])
def test_a_name_cannot_become_an_option_of_its_own(name: str) -> None:
    for field in ("job_name", "pe_name"):
        asked = Resources.model_validate({"group_size": 1, "kwargs": {field: name}})
        with pytest.raises(BadInput, match=f"resources.kwargs.{field}"):
            SCHEDULER.header(asked)


def test_memory_is_shared_out_to_the_slots_of_a_node() -> None:
    asked = Resources(group_size=1, number_node=3, cpu_per_node=3, memory_per_node="1000MB")
    assert "#$ -l h_vmem=334M" in SCHEDULER.header(asked)


def _listing(jobs: int) -> str:
    entry = (
        '<job_list state="pending"><JB_job_number>{0}</JB_job_number><JAT_prio>0.25</JAT_prio>'
        "<JB_name>md.jf.3f2a9c01d5e7-1.{0:012x}</JB_name><JB_owner>root</JB_owner><state>qw</state>"
        "<JB_submission_time>2026-11-21T19:50:20</JB_submission_time><queue_name></queue_name>"
        "<slots>1</slots></job_list>\n"
    )
    inner = "".join(entry.format(number) for number in range(1, jobs + 1))
    return f"<job_info><queue_info/><job_info>{inner}</job_info></job_info>\n{END}delta\n"


def test_fifty_thousand_jobs_are_all_read() -> None:
    done = Completed(argv=("x",), exit_code=0, stdout=_listing(50_000))
    told = SCHEDULER.parse_listing(done, "delta")
    assert len(told.jobs) == len(told.tokens) == 50_000
    assert told.jobs[SchedulerId("50000")].token == "jf.3f2a9c01d5e7-1.00000000c350"


def test_an_end_whose_status_cannot_be_read_is_none() -> None:
    lines = [f"{job}|undefined|{failed}|x37|0.000B|1|a|NONE\n" for job, failed in [(1, 0), (2, 26)]]
    text = f"{''.join(lines)}{END}delta\n"
    told = SCHEDULER.parse_history(Completed(argv=("x",), exit_code=0, stdout=text), "delta")
    assert {key: seen.outcome for key, seen in told.jobs.items()} == {"2": Outcome.FAILED}
