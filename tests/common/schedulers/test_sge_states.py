"""Every state word of SGE, and every code of its accounting."""

from __future__ import annotations

import pytest

from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.sge_states import (
    FAILED,
    Account,
    exit_code,
    meaning_of,
    outcome_of,
)
from jobferry_common.states import Outcome

#: the words of the table in sge_status(5), by its categories
PENDING = ["qw", "Rq", "hqw", "hRwq"]
RUNNING = ["r", "hr", "t", "Rr", "Rt"]
SUSPENDED = ["s", "ts", "S", "tS", "T", "tT", "Rs", "Rts", "RS", "RtS", "RT", "RtT"]
ERROR = ["Eqw", "Ehqw", "EhRqw"]
DELETING = ["dr", "dt", "dRr", "dRt", "ds", "dS", "dT", "dRs", "dRS", "dRT"]
#: the codes of the second table
CODES = [*(0, 1, 3, 4), *range(6, 22), *range(24, 39), 100]


@pytest.mark.parametrize("word", PENDING)
def test_what_waits_is_queued(word: str) -> None:
    assert meaning_of(word) == (Phase.QUEUED, None)


@pytest.mark.parametrize("word", [*RUNNING, *SUSPENDED, *DELETING, "P", "tP"])
def test_what_holds_its_slots_is_running(word: str) -> None:
    assert meaning_of(word) == (Phase.RUNNING, None)


@pytest.mark.parametrize("word", ERROR)
def test_what_never_starts_by_itself_has_failed(word: str) -> None:
    assert meaning_of(word) == (Phase.ENDED, Outcome.FAILED)


@pytest.mark.parametrize("word", ["dEqw", "dqw"])
def test_what_waits_and_is_being_deleted_is_not_over_yet(word: str) -> None:
    assert meaning_of(word) == (Phase.QUEUED, None)


@pytest.mark.parametrize("word", ["", "h", "dR", "x", "qwx", "running", "z", "Q"])
def test_a_word_that_no_manual_has_means_nothing(word: str) -> None:
    assert meaning_of(word) is None


def test_every_code_of_the_manual_is_known() -> None:
    assert sorted(FAILED) == sorted(set(CODES) - {5, 22, 23})


@pytest.mark.parametrize("code", sorted(FAILED))
def test_no_code_hides_a_failure(code: int) -> None:
    account = Account(failed=f"{code} : words", status=1)
    assert outcome_of(account) not in {None, Outcome.SUCCEEDED}


@pytest.mark.parametrize("code", [0, 12, 13, 14, 15, 16])
def test_a_job_that_ran_to_its_end_is_told_by_its_exit_status(code: int) -> None:
    assert outcome_of(Account(failed=f"{code}", status=0)) is Outcome.SUCCEEDED
    failed = Account(failed=f"{code}", status=3)
    assert (outcome_of(failed), exit_code(failed)) == (Outcome.FAILED, 3)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (1, Outcome.NODE_FAILURE),
        (8, Outcome.NODE_FAILURE),
        (19, Outcome.NODE_FAILURE),
        (25, Outcome.PREEMPTED),
        (26, Outcome.FAILED),
        (28, Outcome.FAILED),
        (37, Outcome.TIMEOUT),
        (39, Outcome.FAILED),
    ],
)
def test_a_job_that_did_not_run_well_is_told_by_its_code(code: int, outcome: Outcome) -> None:
    assert outcome_of(Account(failed=f"{code} : words", status=0)) is outcome


@pytest.mark.parametrize("code", [17, 100])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (137, Outcome.CANCELLED),
        (143, Outcome.CANCELLED),
        (152, Outcome.TIMEOUT),
        (138, Outcome.FAILED),
        (139, Outcome.FAILED),
        (0, Outcome.NODE_FAILURE),
        (1, Outcome.NODE_FAILURE),
    ],
)
def test_a_job_that_was_killed_is_told_by_its_signal(
    code: int, status: int, outcome: Outcome
) -> None:
    account = Account(failed=f"{code} : assumedly after job", status=status)
    assert outcome_of(account) is outcome


@pytest.mark.parametrize(
    ("category", "memory", "slots", "over"),
    [
        ("-l h_vmem=100M", "100.000MB", 1, True),
        ("-l h_vmem=100M", "99.000MB", 1, False),
        ("-l h_rt=60,h_vmem=1G -pe mpi 4", "3.000GB", 4, False),
        ("-l h_rt=60,h_vmem=1G -pe mpi 4", "4.100GB", 4, True),
        ("-l h_vmem=1g", "960.000MB", 1, True),
        ("-l h_vmem=1500000", "1.500MB", 1, True),
        ("-l h_rt=60", "99.000GB", 1, False),
        ("NONE", "99.000GB", 1, False),
        ("-l h_vmem=100M", "", 1, False),
        ("-l h_vmem=98...M", "99.000GB", 1, False),
        ("-l h_vmem=100M", "98.192.192MB", 1, False),
    ],
)
def test_more_memory_than_it_asked_for(category: str, memory: str, slots: int, over: bool) -> None:
    for failed, otherwise in (("100 : x", Outcome.CANCELLED), ("37 : x", Outcome.TIMEOUT)):
        account = Account(failed=failed, status=137, memory=memory, slots=slots, category=category)
        assert outcome_of(account) is (Outcome.OUT_OF_MEMORY if over else otherwise)


def test_words_that_are_no_code_are_a_failure() -> None:
    account = Account(failed="what", status=0)
    assert (outcome_of(account), exit_code(account)) == (Outcome.FAILED, None)


def test_a_job_that_never_ran_has_no_exit_code() -> None:
    assert exit_code(Account(failed="28 : changing to working directory", status=0)) is None
