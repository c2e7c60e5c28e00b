"""What is Slurm's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from jobferry_common.errors import (
    BadInput,
    SubmitBusy,
    SubmitRefused,
    SubmitUnknown,
    UnreadableOutput,
)
from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Completed, Phase, Submit
from jobferry_common.schedulers.slurm import Slurm

SLURM = Slurm()


def submit(**fields: Any) -> tuple[str, ...]:
    given = {"script": "/a/b.sh", "directory": "/a", "log": "/a/log", "name": "relax"}
    return SLURM.submit(Submit(**{**given, "token": Token("jf.a"), **fields}))


def ids(*names: str) -> list[SchedulerId]:
    return [SchedulerId(name) for name in names]


def test_one_job_is_submitted_with_all_that_is_its_own() -> None:
    argv = submit()
    assert argv[argv.index("sbatch") :] == (
        *("sbatch", "--parsable", "--comment=jf.a", "--job-name=relax", "--chdir=/a"),
        *("--output=/a/log", "--no-requeue", "/a/b.sh"),
    )


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ([], False),
        (["#!/bin/bash", "#SBATCH --nodes 2"], False),
        (["#!/bin/bash", "", "# a site's own", "#SBATCH -p big --no-requeue"], True),
        (["#SBATCH --requeue"], True),
        (["#SBATCH --comment=x # --requeue"], False),
        (["# SBATCH --requeue"], False),
        (["module load x", "#SBATCH --no-requeue"], False),
    ],
)
def test_what_the_header_does_not_say_of_a_requeue_the_command_says(
    header: list[str], said: bool
) -> None:
    assert ("--no-requeue" in submit(header=header)) is not said
    assert "--no-requeue" not in submit(header=header, requeue=True)


def test_elements_of_an_array_have_a_log_each() -> None:
    argv = submit(size=100, requeue=True)
    assert argv[-3:] == ("--output=/a/log.%a", "--array=0-99", "/a/b.sh")


def test_a_percent_sign_in_a_path_is_no_pattern_of_slurm() -> None:
    assert "--output=/100%%j/log.%a" in submit(log="/100%j/log", size=2)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("relax", "relax"),
        ("", "jobferry"),
        ("a b\n$(c)|d", "a_b___c__d"),
        ("-x", "-x"),
        ("größe", "größe"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_name_stays_one_word(name: str, shown: str) -> None:
    assert f"--job-name={shown}" in submit(name=name)


@pytest.mark.parametrize(
    "variable",
    ["SBATCH_WAIT", "SBATCH_PARTITION", "SBATCH_ARRAY_INX", "SLURM_CLUSTERS", "SBATCH_REQUEUE"],
)
def test_the_environment_cannot_turn_the_request_into_another(variable: str) -> None:
    argv = submit()
    assert ("-u", variable) in pairwise(argv)
    assert argv.index(variable) < argv.index("sbatch")


def test_a_site_may_still_give_defaults() -> None:
    assert not {"SBATCH_ACCOUNT", "SBATCH_QOS", "SBATCH_TIMELIMIT"} & set(submit())


@pytest.mark.parametrize("queue", ["a b", "--exclusive", "a'b", 'a"b', "a#b"])
def test_a_queue_that_is_no_word_is_refused_by_name(queue: str) -> None:
    with pytest.raises(BadInput, match=r"resources\.queue_name"):
        SLURM.header(Resources(group_size=1, queue_name=queue))


def refusal(words: str, code: int = 1) -> Exception:
    stderr = f"sbatch: error: Batch job submission failed: {words}\n"
    try:
        SLURM.parse_submit(Completed(argv=("sbatch",), exit_code=code, stderr=stderr))
    except (SubmitRefused, SubmitBusy, SubmitUnknown) as error:
        return error
    raise AssertionError(words)


@pytest.mark.parametrize(
    "words",
    [
        "Invalid partition name specified",
        "Invalid account or account/partition combination specified",
        "Invalid qos specification",
        "Invalid feature specification",
        "Invalid generic resource (gres) specification",
        "Invalid job array specification",
        "Requested node configuration is not available",
        "Requested time limit is invalid (missing or exceeds some limit)",
        "Node count specification invalid",
        "User's group not permitted to use this partition",
        "Access/permission denied",
        "More processors requested than permitted",
        "Job dependency problem",
        "Unspecified error",
        "Words that nobody foresaw",
    ],
)
def test_a_mistake_in_the_request_is_refused_in_slurms_words(words: str) -> None:
    error = refusal(words)
    assert isinstance(error, SubmitRefused)
    assert words in str(error)


@pytest.mark.parametrize(
    "words",
    [
        "Unable to contact slurm controller (connect failure)",
        "Connection refused",
        "No route to host",
        "Resource temporarily unavailable",
        "MaxJobCount limit reached",
        "Rate limit exceeded, please retry momentarily",
        "System submissions disabled",
        "Slurm backup controller in standby mode",
        "Required partition not available (inactive or drain)",
        "Protocol authentication error",
        "I/O error writing script/environment to file",
        "No space left on device",
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    ],
)
def test_what_may_pass_is_tried_again(words: str) -> None:
    error = refusal(words)
    assert isinstance(error, SubmitBusy)
    assert words in str(error)


@pytest.mark.parametrize(
    "words",
    [
        "Socket timed out on send/recv operation",
        "Zero Bytes were transmitted or received",
        "Unable to contact slurm controller (send failure)",
        "Unable to contact slurm controller (receive failure)",
        "Message receive failure",
        "Unexpected message received",
        "Connection reset by peer",
        "Connection timed out reading",
        "Broken pipe",
    ],
)
def test_a_lost_answer_is_told_as_unknown(words: str) -> None:
    assert isinstance(refusal(words), SubmitUnknown)


def test_a_refusal_after_a_lost_answer_is_no_refusal() -> None:
    stderr = (
        "sbatch: error: slurm_receive_msg: Socket timed out on send/recv operation\n"
        "sbatch: error: Batch job submission failed: Invalid qos specification\n"
    )
    with pytest.raises(SubmitUnknown):
        SLURM.parse_submit(Completed(argv=("sbatch",), exit_code=1, stderr=stderr))


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ("AssocMaxSubmitJobLimit", SubmitBusy),
        ("QOSGrpSubmitJobsLimit", SubmitBusy),
        ("AssocMaxNodePerJobLimit", SubmitRefused),
        ("QOSMaxWallDurationPerJobLimit", SubmitRefused),
        ("AssocGrpCPULimit", SubmitRefused),
    ],
)
def test_too_many_jobs_is_not_too_large_a_job(limit: str, error: type[Exception]) -> None:
    stderr = (
        f"sbatch: error: {limit}\nsbatch: error: Batch job submission failed: "
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n"
    )
    with pytest.raises(error, match=limit):
        SLURM.parse_submit(Completed(argv=("sbatch",), exit_code=1, stderr=stderr))


def test_the_listing_passes_the_user_as_an_argument() -> None:
    assert SLURM.listing("al$(x)ice")[-1] == "al$(x)ice"
    assert "al$(x)ice" not in SLURM.listing("al$(x)ice")[2]


def test_a_hundred_thousand_waiting_elements_are_one_line() -> None:
    text = "9_[0-7,9-99999%50]|PENDING|0|alpha|Resources|jf.a\n9_8|RUNNING|0|alpha|None|jf.a\n"
    done = Completed(argv=("x",), exit_code=0, stdout=f"{text}jobferry: end of listing\n")
    listing = SLURM.parse_listing(done, "alpha")
    assert listing.jobs[SchedulerId("9_99999")].phase is Phase.QUEUED
    assert listing.jobs[SchedulerId("9_8")].phase is Phase.RUNNING
    assert SchedulerId("9_100000") not in listing.jobs
    assert len(listing.jobs) == 100_000
    assert listing.tokens == {"jf.a": ["9"]}


def test_two_jobs_of_one_token_are_both_told() -> None:
    text = "7|RUNNING|0|alpha|None|jf.a\n9|PENDING|0|alpha|None|jf.a\n"
    done = Completed(argv=("x",), exit_code=0, stdout=f"{text}jobferry: end of listing\n")
    assert SLURM.parse_listing(done, "alpha").tokens == {"jf.a": ["7", "9"]}


def test_history_is_asked_in_universal_time() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    argv = SLURM.history(ids("7"), noon)
    assert "TZ=UTC" in argv
    assert argv[argv.index("-S") + 1] == "2026-03-01T09:00:00"


def test_history_names_few_elements_and_else_the_array() -> None:
    since = datetime(2026, 3, 1, tzinfo=UTC)
    few = SLURM.history(ids("7_1", "7_2", "8"), since)
    many = SLURM.history([SLURM.element(SchedulerId("7"), i) for i in range(5000)], since)
    assert few[few.index("-j") + 1] == "7_1,7_2,8"
    assert many[many.index("-j") + 1] == "7"


def test_an_inquiry_names_each_array_once_and_no_more_than_a_thousand() -> None:
    assert (SLURM.inquiry(ids("7_1", "7_2", "8")) or ())[-2:] == ("7", "8")
    many = [SchedulerId(str(number)) for number in range(1001)]
    assert (SLURM.inquiry(many) or ())[-1] == "999"
    done = Completed(
        argv=("sh",),
        exit_code=1,
        stdout="ClusterName = hpc1\n",
        stderr="slurm_load_jobs error: Invalid job id specified\n" * 1000,
    )
    told = SLURM.parse_inquiry(done, "hpc1", many)
    assert told.unasked == {"1000"}
    assert not told.unreadable


def test_the_history_of_another_cluster_is_no_answer() -> None:
    line = "7|FAILED|1:0|test-system|None|\n"
    done = Completed(argv=("sacct",), exit_code=0, stdout=line)
    assert SchedulerId("7") in SLURM.parse_history(done, "test-system").jobs
    with pytest.raises(UnreadableOutput, match="another Slurm cluster answered: 'test-system'"):
        SLURM.parse_history(done, "hpc1")


def test_history_asks_for_no_more_than_one_argument_holds() -> None:
    many = [SchedulerId(str(number)) for number in range(10_000_000, 10_050_000)]
    argv = SLURM.history(many, datetime(2026, 3, 1, tzinfo=UTC))
    wanted = argv[argv.index("-j") + 1].split(",")
    assert wanted == many[: len(wanted)]
    assert 10_000 < len(wanted) < 14_000


def test_cancel_names_elements_in_brackets() -> None:
    argv = SLURM.cancel(ids("7_3", "7_1", "7_2", "7_9", "8"))
    assert argv[argv.index("scancel") :] == ("scancel", "7_[1-3,9]", "8")


def test_slurm_needs_no_files_and_forgets_by_itself() -> None:
    assert SLURM.files() == ()
    assert SLURM.forget(ids("7")) is None
