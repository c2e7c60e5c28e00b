"""DistributedShell: every word of YARN, what its client says, and what cannot be asked of it."""

from __future__ import annotations

import pytest

from jobferry_common.errors import BadInput, SubmitBusy, SubmitRefused, SubmitUnknown
from jobferry_common.models.resources import Resources
from jobferry_common.schedulers import refusals
from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.distributed_shell import distributed_shell_header
from jobferry_common.schedulers.distributed_shell_answers import (
    FINAL_STATES,
    STATES,
    Application,
    applications,
    is_table,
    meaning,
    submit_error,
    submitted,
)
from jobferry_common.states import Outcome

#: of `yarn application -list -appStates ALL`: the form is that of ApplicationCLI's pattern, logs stand before it
TABLE = (
    "2024-11-19 10:00:00,000 INFO client.RMProxy: Connecting to ResourceManager at rm/10.0.0.1:8032\n"
    "Total number of applications (application-types: [], states: [NEW, NEW_SAVING, SUBMITTED, ACCEPTED, RUNNING, "
    "FINISHED, FAILED, KILLED] and tags: []):2\n"
    "                Application-Id\t    Application-Name\t    Application-Type\t      User\t     Queue\t"
    "             State\t       Final-State\t       Progress\t                       Tracking-URL\n"
    "application_1732000000000_0007\trelax.jf.3f2a9c01d5e7-2.0123456789ab\t                YARN\t       ann\t"
    "   default\t           RUNNING\t         UNDEFINED\t             0%\t                                N/A\n"
    "application_1732000000000_10008\tword count\t           MAPREDUCE\t       bob\t   default\t          FINISHED\t"
    "         SUCCEEDED\t           100%\thttp://history:19888/jobhistory/job/job_1732000000000_10008\n"
)


def test_the_table_is_read_between_logs() -> None:
    assert is_table(TABLE)
    assert applications(TABLE) == [
        Application(
            id="application_1732000000000_0007",
            name="relax.jf.3f2a9c01d5e7-2.0123456789ab",
            state="RUNNING",
            final="UNDEFINED",
        ),
        Application(
            id="application_1732000000000_10008",
            name="word count",
            state="FINISHED",
            final="SUCCEEDED",
        ),
    ]
    assert not is_table("java.net.ConnectException: Connection refused\n")


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        *((word, Phase.QUEUED) for word in ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED")),
        ("RUNNING", Phase.RUNNING),
        *((word, Phase.ENDED) for word in ("FINISHED", "FAILED", "KILLED")),
    ],
)
def test_every_state_of_an_application_is_known(state: str, phase: Phase) -> None:
    assert meaning(state, "UNDEFINED")[0] is phase
    assert set(STATES) == {
        *("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING", "FINISHED", "FAILED", "KILLED")
    }


@pytest.mark.parametrize(
    ("state", "final", "outcome"),
    [
        ("FINISHED", "SUCCEEDED", Outcome.SUCCEEDED),
        ("FINISHED", "FAILED", Outcome.FAILED),
        ("FINISHED", "KILLED", Outcome.CANCELLED),
        ("FINISHED", "ENDED", Outcome.FAILED),
        ("FINISHED", "UNDEFINED", Outcome.FAILED),
        ("FAILED", "SUCCEEDED", Outcome.FAILED),
        ("FAILED", "FAILED", Outcome.FAILED),
        ("KILLED", "KILLED", Outcome.CANCELLED),
        ("KILLED", "UNDEFINED", Outcome.CANCELLED),
    ],
)
def test_every_final_state_is_an_outcome(state: str, final: str, outcome: Outcome) -> None:
    assert meaning(state, final) == (Phase.ENDED, outcome)
    assert set(FINAL_STATES) == {"UNDEFINED", "SUCCEEDED", "FAILED", "KILLED", "ENDED"}


@pytest.mark.parametrize("words", [("HIBERNATED", "UNDEFINED"), ("FINISHED", "MOSTLY")])
def test_a_word_that_nobody_knows_is_no_phase(words: tuple[str, str]) -> None:
    assert meaning(*words) == (None, None)


def test_the_client_tells_its_application() -> None:
    line = "24/11/19 10:00:01 INFO impl.YarnClientImpl: Submitted application application_1732000000000_0042\n"
    assert submitted(line) == "application_1732000000000_0042"
    assert not submitted("INFO mapreduce.Job: Running job: job_1732000000000_0042")


_SENT = "INFO distributedshell.Client: Submitting application to ASM\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            f"{_SENT}YarnException: Failed to submit application_1_1 to YARN : Application application_1_1 submitted "
            "by user ann to unknown queue: nosuch",
            SubmitRefused,
        ),
        (
            f"{_SENT}InvalidResourceRequestException: Invalid resource request, requested memory < 0",
            SubmitRefused,
        ),
        ("UnrecognizedOptionException: Unrecognized option: -fast", SubmitRefused),
        (
            "java.lang.NullPointerException\n\tat distributedshell.Client.run(Client.java:418)",
            SubmitRefused,
        ),
        (
            f"{_SENT}Queue root.default already has 10000 applications, cannot accept submission of application: x",
            SubmitBusy,
        ),
        ("ConnectException: Call From a to rm:8032 failed: Connection refused", SubmitBusy),
        ("SafeModeException: Name node is in safe mode.", SubmitBusy),
        ("something new went wrong before anything was sent", SubmitBusy),
        (f"{_SENT}java.io.EOFException: End of File Exception", SubmitUnknown),
    ],
)
def test_errors_of_a_submit_are_told_apart(text: str, error: type[Exception]) -> None:
    assert type(submit_error(1, text)) is error


@pytest.mark.parametrize("code", [124, 137, 143, -9])
def test_a_client_that_was_ended_may_have_submitted(code: int) -> None:
    assert isinstance(submit_error(code, "INFO Initializing Client"), SubmitUnknown)


def test_a_missing_command_is_told_at_once() -> None:
    assert isinstance(submit_error(127, "sh: hadoop: not found"), SubmitBusy)


def test_more_than_one_node_is_refused_by_name() -> None:
    (problem,) = refusals("DistributedShell", Resources(group_size=1, number_node=2))
    assert problem.where == "resources.number_node"


def test_the_name_of_an_image_cannot_become_a_line_of_shell() -> None:
    asked = Resources.model_validate({"group_size": 1, "kwargs": {"img_name": "a$(touch x)"}})
    with pytest.raises(BadInput, match="img_name"):
        list(distributed_shell_header(asked))
