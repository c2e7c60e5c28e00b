"""Fugaku: what golden files cannot hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import End, Phase, Submit
from jobferry_common.schedulers.fugaku import Fugaku
from jobferry_common.schedulers.fugaku_states import (
    CODES,
    PHASES,
    PjmState,
    end_of,
    phase_of,
)
from jobferry_common.states import Outcome

TOKEN = Token("jf.3f2a9c01d5e7-2.0a1b2c3d4e5f")


def _submit(**fields: object) -> list[str]:
    given = {"script": "/r/j/s.sh", "directory": "/r", "log": "/r/j/log", "name": "relax"}
    submit = Submit(**{**given, "token": TOKEN, **fields})  # type: ignore[arg-type]
    return list(Fugaku().submit(submit)[4:])


def test_every_state_has_a_meaning() -> None:
    assert set(PHASES) == set(PjmState)
    for state in PjmState:
        assert phase_of(state.value) is PHASES[state]
    assert phase_of("XXX") is None
    assert {PHASES[one] for one in PjmState} == set(Phase)


def test_every_code_of_the_job_manager_has_its_outcome() -> None:
    for code, outcome in CODES.items():
        assert end_of("EXT", 0, code, None) == End(outcome, None)
    assert end_of("EXT", 0, 26, None) == End(Outcome.FAILED, None)


def test_what_a_job_itself_wrote_counts_only_where_the_job_manager_has_no_word() -> None:
    assert end_of("EXT", 0, 0, None) == End(Outcome.SUCCEEDED, 0)
    assert end_of("EXT", 0, None, None) == End(Outcome.LOST, None)
    assert end_of("EXT", 3, None, None) == End(Outcome.FAILED, 3)
    assert end_of("EXT", 0, 11, 24) == End(Outcome.TIMEOUT, None)
    assert end_of("EXT", 0, 0, 9) == End(Outcome.FAILED, 137)
    assert end_of("CCL", 0, 0, None) == End(Outcome.CANCELLED, None)


def test_an_array_is_a_bulk_job() -> None:
    assert _submit(size=100) == [
        *("/r", "-N", f"relax.{TOKEN}", "-j", "-o", "j/log.%b", "--norestart"),
        *("--bulk", "--sparam", "0-99", "/r/j/s.sh"),
    ]


@pytest.mark.parametrize("name", ["x" * 200, "9 lives", "ö", ""])
def test_a_name_fits_and_bears_the_whole_token(name: str) -> None:
    told = _submit(name=name)[2]
    assert len(told.encode()) <= 63
    assert told[0].isalpha()
    assert told.endswith(f".{TOKEN}")


def test_the_users_own_word_about_restarts_counts() -> None:
    assert "--norestart" in _submit()
    assert "--norestart" not in _submit(requeue=True)
    assert "--norestart" not in _submit(header=["#PJM --restart"])
    assert "--norestart" not in _submit(header=['#PJM -j --norestart -x "A=1"'])


def test_the_history_is_asked_by_job_and_from_a_day_on() -> None:
    since = datetime(2026, 11, 20, tzinfo=UTC)
    ids = [SchedulerId(text) for text in ("239[0]", "239[1]", "238")]
    argv = Fugaku().history(ids, since)
    assert argv[4:] == (str(int(since.timestamp())), "239", "238")


def test_a_resource_group_cannot_bring_a_resource_of_its_own() -> None:
    with pytest.raises(BadInput, match=r"resources\.queue_name: 'small,node=9' is no name of a"):
        Fugaku().header(Resources(group_size=1, queue_name="small,node=9"))


def test_gpus_are_refused_unless_the_user_says_how_they_are_asked_for() -> None:
    with pytest.raises(BadInput, match=r"resources\.gpu_per_node: Fugaku has no GPUs"):
        Fugaku().header(Resources(group_size=1, gpu_per_node=1))
    own = "#PJM -L gpu=1"
    asked = Resources(group_size=1, gpu_per_node=1, custom_flags=[own])
    assert Fugaku().header(asked)[-1] == own
