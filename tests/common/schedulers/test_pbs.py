"""PBS and Torque: what golden files cannot hold."""

from __future__ import annotations

import pytest

from jobferry_common.errors import (
    BadInput,
    CannotRun,
    CommandFailed,
    SubmitBusy,
    SubmitRefused,
    SubmitUnknown,
    UnreadableOutput,
)
from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Completed, End, Listing, Phase, Submit
from jobferry_common.schedulers.pbs import PBS
from jobferry_common.schedulers.pbs_states import (
    PBS_CODES,
    PHASES,
    TORQUE_CODES,
    PbsState,
    end_of,
    phase_of,
)
from jobferry_common.schedulers.torque import Torque
from jobferry_common.states import Outcome

SERVER = "Server: pbshost\n    pbs_version = 23.06.06\n\n"
ARRAY = SchedulerId("9[].pbshost")


def _answered(text: str, code: int = 0) -> Completed:
    stdout = f"{SERVER}jobferry: jobs\n{text}\njobferry: end {code}\n"
    return Completed(argv=("qstat",), exit_code=0, stdout=stdout)


def _listed(text: str) -> Listing:
    return PBS().parse_listing(_answered(text), "pbshost")


def _submit(**fields: object) -> Submit:
    given = {"script": "/r/j/s.sh", "directory": "/r", "log": "/r/j/log", "name": "relax"}
    return Submit(**{**given, "token": Token("jf.a-1.0"), **fields})  # type: ignore[arg-type]


def test_every_state_has_a_meaning() -> None:
    assert set(PHASES) == set(PbsState)
    for state in PbsState:
        assert phase_of(state.value) is PHASES[state]
    assert phase_of("Z") is None
    assert {PHASES[one] for one in PbsState} == set(Phase)


@pytest.mark.parametrize("codes", [PBS_CODES, TORQUE_CODES])
def test_every_code_has_its_outcome(codes: dict[int, Outcome]) -> None:
    for status, outcome in codes.items():
        assert end_of(status, 93, codes) == End(outcome, None)
    assert end_of(0, 92, codes) == End(Outcome.SUCCEEDED, 0)
    assert end_of(3, 93, codes) == End(Outcome.FAILED, 3)
    assert end_of(265, 93, codes) == End(Outcome.FAILED, 137)
    assert end_of(-3, 93, codes) == End(Outcome.FAILED, None)
    assert end_of(0, 91, codes) == End(Outcome.CANCELLED, None)
    assert end_of(None, 92, codes) == End(Outcome.LOST, None)


@pytest.mark.parametrize("state", [*PbsState, "Z", ""])
def test_a_letter_is_read_or_reported(state: str) -> None:
    listing = _listed(f"Job Id: 4.pbshost\n    job_state = {state}\n")
    if state in list(PbsState):
        assert listing.jobs[SchedulerId("4.pbshost")].phase is PHASES[PbsState(state)]
        assert not listing.unreadable
    else:
        assert listing.unreadable == {"4.pbshost": state or "no state"}


def test_a_folded_token_is_found() -> None:
    text = "Job Id: 9[1].pbshost\n    job_state = R\n    Variable_List = A=b,JOBFERRY_TO\n\tKEN=jf.a-\n\t1.0,C=d\n"
    listing = _listed(text)
    assert listing.tokens == {"jf.a-1.0": [ARRAY]}
    assert listing.jobs[SchedulerId("9[1].pbshost")].token == "jf.a-1.0"


BROKEN = """{
	"pbs_server":	"pbshost",
	"Jobs":	{
		"4.pbshost":	{
			"job_state":	"R",
			"server":	"pbshost",
			"Variable_List":	{
				"NUMBER":	0x10,
				"QUOTED":	"a"b\\",
				"job_state":	"Q",
				"JOBFERRY_TOKEN":	"jf.a-1.0"
			}
		},
		"9[].pbshost":	{
			"job_state":	"B"
		},
		"9[2].pbshost":	{
			"job_state":	"X",
			"Exit_status":	3,
			"substate":	93
		}
	}
}
"""


def test_json_that_is_none_is_read_line_by_line() -> None:
    listing = _listed(BROKEN)
    assert {key: seen.phase for key, seen in listing.jobs.items()} == {
        "4.pbshost": Phase.RUNNING,
        "9[2].pbshost": Phase.ENDED,
    }
    assert listing.jobs[SchedulerId("9[2].pbshost")].code == 3
    assert listing.tokens == {"jf.a-1.0": ["4.pbshost"]}


def test_a_job_of_another_server_is_not_believed() -> None:
    with pytest.raises(UnreadableOutput, match="another PBS server answered: 'other'"):
        _listed("Job Id: 4.other\n    job_state = R\n    server = other\n")


def test_a_history_that_was_switched_off_is_no_answer() -> None:
    said = _answered("")
    done = Completed(argv=said.argv, exit_code=0, stdout=said.stdout, stderr="qstat: no history\n")
    with pytest.raises(CommandFailed, match="no history"):
        PBS().parse_history(done, "pbshost")
    assert not PBS().parse_history(said, "pbshost").jobs


def test_ids_that_were_too_many_were_not_asked() -> None:
    ids = [SchedulerId(f"{number}.pbshost") for number in range(1500)]
    argv = PBS().inquiry(ids)
    assert argv
    assert len(argv) == 1004
    told = PBS().parse_inquiry(_answered("", 153), "pbshost", ids)
    assert told.unasked == set(ids[1000:])


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        ("qsub: Unknown queue", 170, SubmitRefused),
        ("qsub: Job exceeds queue and/or server resource limits", 188, SubmitRefused),
        ("qsub: Array job exceeds server or queue size limit", 3, SubmitRefused),
        ("qsub: Unauthorized Request", 159, SubmitRefused),
        ("qsub: Maximum number of jobs already in queue", 198, SubmitBusy),
        ("qsub: would exceed queue generic's per-user limit", 38, SubmitBusy),
        ("qsub: site's own words for a limit", 38, SubmitBusy),
        ("qsub: cannot connect to server pbshost (errno=111)", 111, SubmitBusy),
        ("qsub: Queue is not enabled", 173, SubmitBusy),
        ("sh: 4: exec: qsub: not found", 127, CannotRun),
        ("sh: 2: cd: can't cd to /r", 75, SubmitBusy),
        ("qsub: End of File", 183, SubmitUnknown),
        ("qsub: Batch protocol error", 1, SubmitUnknown),
        ("Killed", 137, SubmitUnknown),
        ("", 170, SubmitUnknown),
    ],
)
def test_a_failed_submit_is_told_apart(words: str, code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        PBS().parse_submit(Completed(argv=("qsub",), exit_code=code, stderr=f"{words}\n"))
    assert type(caught.value) is kind


def test_a_number_of_pbs_alone_means_nothing_to_torque() -> None:
    done = Completed(argv=("qsub",), exit_code=38, stderr="qsub: something\n")
    with pytest.raises(SubmitRefused):
        Torque().parse_submit(done)


def test_variables_of_the_header_go_beside_the_token() -> None:
    header = ["#PBS -l select=1", "#PBS -v A=1,B='x y'", "#PBS -vC", "#PBS -m 'open"]
    argv = PBS().submit(_submit(header=header))
    assert argv[argv.index("-v") + 1] == "JOBFERRY_TOKEN=jf.a-1.0,A=1,B=x y,C"


@pytest.mark.parametrize(
    ("header", "requeue", "said"),
    [
        ([], False, True),
        (["#PBS -r n"], False, False),
        (["#PBS -r y"], False, False),
        ([], True, False),
    ],
)
def test_a_header_that_says_nothing_of_a_requeue_is_helped(
    header: list[str], requeue: bool, said: bool
) -> None:
    assert ("-r" in PBS().submit(_submit(header=header, requeue=requeue))) is said


@pytest.mark.parametrize(
    ("name", "taken"),
    [("relax", "relax"), ("1 ö/x", "j1___x"), ("", "j"), ("a" * 99, "a" * 15), ("_a", "j_a")],
)
def test_a_name_is_one_that_every_qsub_takes(name: str, taken: str) -> None:
    argv = PBS().submit(_submit(name=name))
    assert argv[argv.index("-N") + 1] == taken


def test_a_log_is_named_from_the_directory() -> None:
    single = PBS().submit(_submit(directory="/r ö:x", log="/r ö:x/j/log"))
    assert single[single.index("-o") + 1] == "j/log"
    array = PBS().submit(_submit(size=3))
    assert array[array.index("-o") + 1] == "j/log.^array_index^"
    assert array[array.index("-J") + 1] == "0-2"
    torque = Torque().submit(_submit(size=3))
    assert torque[torque.index("-t") + 1] == "0-2"


def test_ranges_are_cancelled_together() -> None:
    ids = [PBS().element(ARRAY, index) for index in (0, 1, 2, 7)]
    assert PBS().cancel(ids) == ("qdel", "9[0-2].pbshost", "9[7].pbshost")
    argv = Torque().cancel([*ids, SchedulerId("4.pbshost")])
    assert argv[-4:] == ("0-2,7", ARRAY, "", "4.pbshost")


@pytest.mark.parametrize("text", ["a=b", "1+2", "a b", "a:", "skylake|a100"])
def test_a_constraint_of_torque_is_a_property(text: str) -> None:
    with pytest.raises(BadInput, match=r"resources\.constraint"):
        Torque().header(Resources(group_size=1, constraint=text))
