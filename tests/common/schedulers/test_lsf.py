"""LSF: what its commands look like, and every word of its manual."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Completed, Phase, Submit
from jobferry_common.schedulers.lsf import LSF
from jobferry_common.schedulers.lsf_states import (
    PHASES,
    REASONS,
    SUCCEEDED,
    LsfState,
    outcome_of,
    phase_of,
)
from jobferry_common.states import Outcome
from tests.fake import lsf as fake
from tests.fake.commands import env_with, install
from tests.fake.engine import Engine
from tests.testbed.processes import run

TOKEN = Token("jf.3f2a9c01d5e7-1.0a1b2c3d4e5f")


def _submit(
    directory: Path | str = "/scratch/a", *, size: int | None = None, **more: object
) -> Submit:
    given = {"name": "relax", "header": (), "requeue": False, **more}
    return Submit(
        script=f"{directory}/s.sh",
        directory=str(directory),
        log=f"{directory}/.jobferry/logs/{TOKEN}",
        token=TOKEN,
        size=size,
        **given,  # type: ignore[arg-type]
    )


def test_every_status_word_has_a_phase() -> None:
    assert set(PHASES) == set(LsfState)
    for word in LsfState:
        assert phase_of(word.value) is PHASES[word]
    assert {word for word in LsfState if PHASES[word] is Phase.ENDED} > SUCCEEDED
    assert phase_of("ERROR") is None


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_an_end_has_an_outcome(reason: str) -> None:
    assert outcome_of(f"Completed <exit>; {reason}: job killed.") is REASONS[reason]
    assert REASONS[reason] not in {Outcome.SUCCEEDED, Outcome.LOST}


def test_a_reason_in_words_only_counts_too() -> None:
    assert outcome_of("Terminated: RUNLIMIT was reached") is Outcome.TIMEOUT
    assert outcome_of("job killed after reaching LSF memory usage limit") is Outcome.OUT_OF_MEMORY
    assert outcome_of("TERM_OF_A_LATER_RELEASE: …") is Outcome.FAILED
    assert outcome_of("Exited") is None


def test_an_array_is_submitted_with_name_token_and_indices_from_one() -> None:
    argv = LSF().submit(_submit(size=100, name="my relax[2]%"))
    assert argv[5:] == (
        *("-rn", "-J", f"my_relax_2__.{TOKEN}[1-100]"),
        *("-o", f".jobferry/logs/{TOKEN}.%I", "/scratch/a/s.sh"),
    )


def test_who_wants_to_be_run_again_is_not_told_never() -> None:
    assert "-rn" not in LSF().submit(_submit(requeue=True))
    assert "-rn" not in LSF().submit(_submit(header=["#BSUB -r"]))
    assert "-rn" in LSF().submit(_submit(header=["#BSUB -R x"]))


def test_elements_are_cancelled_as_lsf_counts_them() -> None:
    ids = [LSF().element(SchedulerId("12"), index) for index in (0, 1, 2, 4)]
    assert LSF().cancel([*ids, SchedulerId("13")]) == ("bkill", "12[1-3,5]", "13")


def test_a_requirement_cannot_close_its_section() -> None:
    with pytest.raises(BadInput, match=r"resources\.constraint"):
        LSF().header(Resources(group_size=1, constraint="a]span[hosts=1"))


@pytest.mark.parametrize("custom", [True, False])
def test_an_option_that_bsub_does_not_know_is_left_out(tmp_path: Path, custom: bool) -> None:
    """A job is never refused for -rn; IBM's LSF gets it, for it was taken at the first try."""
    engine = Engine(tmp_path / "cluster")
    engine.configure(slots=0, custom=custom)
    install(tmp_path / "bin", fake.__name__, fake.COMMANDS, home=engine.home)
    (tmp_path / "s.sh").write_text("#!/bin/bash\n#BSUB -n 1\ntrue\n")
    argv = LSF().submit(_submit(tmp_path))
    done = run(argv, env={**env_with(tmp_path / "bin"), "BSUB_QUIET": "y"}, limit=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Job <1> is submitted to default queue <normal>.\n"
    assert len(engine.jobs()) == 1


def test_what_is_full_or_down_is_asked_again_later(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "cluster")
    install(tmp_path / "bin", fake.__name__, fake.COMMANDS, home=engine.home)
    (tmp_path / "s.sh").write_text("true\n")
    for fault in ("full", "down"):
        engine.configure(slots=0, **{"full": False, "down": False, fault: True})
        argv = LSF().submit(_submit(tmp_path))
        done = run(argv, env=env_with(tmp_path / "bin"), limit=60)
        with pytest.raises(Exception, match="does not take the job now"):
            LSF().parse_submit(Completed(argv=argv, exit_code=done.returncode, stderr=done.stderr))


def test_history_names_each_array_once() -> None:
    ids = [LSF().element(SchedulerId("12"), index) for index in range(50)]
    argv = LSF().history([*ids, SchedulerId("13")], datetime.now(UTC))
    assert argv[4:] == ("12", "13")


def test_fifty_thousand_lines_are_read() -> None:
    rows = [f"12|{index}|RUN|-|-|relax.{TOKEN}[{index}]" for index in range(1, 50_001)]
    head = "My cluster name is hpc1\njobferry: jobs\n"
    text = head + "\n".join(rows) + "\n\njobferry: end 0\n"
    listing = LSF().parse_listing(Completed(argv=("x",), exit_code=0, stdout=text), "hpc1")
    assert len(listing.jobs) == 50_000
    assert listing.tokens == {TOKEN: ["12"]}
