"""Every state word of Slurm."""

from __future__ import annotations

import pytest

from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Completed, Phase
from jobferry_common.schedulers.slurm import Slurm
from jobferry_common.schedulers.slurm_states import (
    MEANINGS,
    SHORT,
    SlurmState,
    exit_code,
    meaning_of,
)
from jobferry_common.states import Outcome

QUEUED = ["PD", "CF", "RD", "RF", "RH", "RQ", "SE", "EX"]
RUNNING = ["R", "CG", "RS", "S", "SI", "SO", "ST"]
ENDED = {
    "BF": Outcome.NODE_FAILURE,
    "CA": Outcome.CANCELLED,
    "CD": Outcome.SUCCEEDED,
    "DL": Outcome.TIMEOUT,
    "F": Outcome.FAILED,
    "NF": Outcome.NODE_FAILURE,
    "OOM": Outcome.OUT_OF_MEMORY,
    "PR": Outcome.PREEMPTED,
    "RV": Outcome.LOST,
    "TO": Outcome.TIMEOUT,
}


@pytest.mark.parametrize("state", SlurmState)
def test_every_state_has_a_meaning(state: SlurmState) -> None:
    meaning = meaning_of(state.value)
    assert meaning == MEANINGS[state]
    assert (meaning.outcome is not None) == (meaning.phase is Phase.ENDED)


@pytest.mark.parametrize("word", sorted(SHORT))
def test_every_short_word_means_what_its_long_word_means(word: str) -> None:
    assert meaning_of(word) == meaning_of(SHORT[word].value)


def test_every_short_word_of_the_manual_is_known() -> None:
    assert set(SHORT) == {*QUEUED, *RUNNING, *ENDED}
    assert len(set(SHORT.values())) == len(SHORT)


@pytest.mark.parametrize("word", QUEUED)
def test_what_waits_is_queued(word: str) -> None:
    assert meaning_of(word) == (Phase.QUEUED, None)


@pytest.mark.parametrize("word", RUNNING)
def test_what_holds_its_nodes_is_running(word: str) -> None:
    assert meaning_of(word) == (Phase.RUNNING, None)


@pytest.mark.parametrize(("word", "outcome"), ENDED.items())
def test_what_ended_has_its_outcome(word: str, outcome: Outcome) -> None:
    assert meaning_of(word) == (Phase.ENDED, outcome)


@pytest.mark.parametrize("text", ["CANCELLED by 1000", "CANCELLED+", "CA"])
def test_a_cancelled_job_may_name_who_did_it(text: str) -> None:
    assert meaning_of(text) == (Phase.ENDED, Outcome.CANCELLED)


@pytest.mark.parametrize("text", ["", "DANCING", "pending", "COMPLETEDX", "?"])
def test_an_unknown_word_has_no_meaning(text: str) -> None:
    assert meaning_of(text) is None


@pytest.mark.parametrize("state", SlurmState)
def test_a_listing_reads_every_state(state: SlurmState) -> None:
    text = f"7|{state}|256|alpha|None|jf.a\njobferry: end of listing\n"
    listing = Slurm().parse_listing(Completed(argv=("x",), exit_code=0, stdout=text), "alpha")
    seen = listing.jobs[SchedulerId("7")]
    assert (seen.phase, seen.outcome) == MEANINGS[state]
    assert not listing.unreadable


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0:0", 0),
        ("3:0", 3),
        ("0:9", 137),
        ("0", 0),
        ("768", 3),
        ("9", 137),
        ("137", 137),
        ("36608", 143),
        ("", None),
        ("3:", None),
        ("a:b", None),
        ("-1", None),
    ],
)
def test_exit_codes_are_read_in_both_forms(text: str, code: int | None) -> None:
    assert exit_code(text) == code
