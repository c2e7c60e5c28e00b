"""What holds for every scheduler; the answers in golden/ are those of real commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import fixed_dictionaries, integers, just, sampled_from, sets

from jobferry_common import errors
from jobferry_common.errors import BadInput, CommandFailed, UnreadableOutput
from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers import SCHEDULERS, refusals, scheduler_named
from jobferry_common.schedulers.asked import OPTIONAL
from jobferry_common.schedulers.base import Completed, Facts, Listing, Submit

if TYPE_CHECKING:
    from jobferry_common.schedulers.base import Scheduler

GOLDEN = Path(__file__).parent / "golden"
HOME = "/scratch/alice/.jobferry/shell"
Entry = dict[str, Any]


def _entries(file: str, key: str = "") -> list[Any]:
    found = []
    for name in sorted(SCHEDULERS):
        content = json.loads((GOLDEN / name / file).read_text())
        for entry in content[key] if key else content:
            what = f"{name}: {entry.get('answer', '')} {entry['what']}"
            found.append(pytest.param(name, entry, id=what))
    return found


def _cluster(name: str) -> str:
    return str(json.loads((GOLDEN / name / "answers.json").read_text())["cluster"])


def _id(name: str, what: str) -> SchedulerId:
    """Return a job, an array, or its element 3, in the scheduler's own form."""
    return SchedulerId(json.loads((GOLDEN / name / "answers.json").read_text())["ids"][what])


def _read(name: str, entry: Entry) -> SchedulerId | Listing | Facts:
    scheduler = scheduler_named(name, home=HOME)
    done = Completed(
        argv=("x",),
        exit_code=entry["exit_code"],
        stdout=entry["stdout"],
        stderr=entry["stderr"],
    )
    match entry["answer"]:
        case "submit":
            return scheduler.parse_submit(done)
        case "listing":
            return scheduler.parse_listing(done, _cluster(name))
        case "history":
            return scheduler.parse_history(done, _cluster(name))
        case "inquiry":
            return scheduler.parse_inquiry(done, _cluster(name), entry["asked"])
        case _:
            return scheduler.parse_facts(done)


@pytest.fixture(params=sorted(SCHEDULERS))
def scheduler(request: pytest.FixtureRequest) -> Scheduler:
    return scheduler_named(str(request.param), home=HOME)


def a_submit(**fields: Any) -> Submit:
    given = {"script": "/a/b.sh", "directory": "/a", "log": "/a/log", "name": "relax"}
    return Submit(**{**given, "token": Token("jf.3f2a9c01d5e7-1.0a1b"), **fields})


def test_every_scheduler_has_golden_files() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(SCHEDULERS)


@pytest.mark.parametrize(("name", "entry"), _entries("headers.json"))
def test_a_header_is_the_golden_header(name: str, entry: Entry) -> None:
    scheduler = scheduler_named(name, home=HOME)
    resources = Resources.model_validate(entry["resources"])
    assert list(scheduler.header(resources, requeue=entry["requeue"])) == entry["header"]


def _meaning(result: SchedulerId | Listing | Facts, entry: Entry) -> object:
    if isinstance(result, Facts):
        return {key: getattr(result, key) for key in entry["means"]}
    if not isinstance(result, Listing):
        return result
    wanted = entry["means"]["jobs"]
    if "absent" not in entry["means"]:
        assert set(result.jobs) == set(wanted)
    removed = {"removed": sorted(result.removed)} if "removed" in entry["means"] else {}
    return {
        "jobs": {key: _seen(result, SchedulerId(key)) for key in wanted},
        "unreadable": dict(result.unreadable),
        "tokens": {token: list(ids) for token, ids in result.tokens.items()},
        **removed,
    }


def _seen(listing: Listing, key: SchedulerId) -> list[object]:
    seen = listing.jobs[key]
    assert seen.id == key
    where = [seen.nodes] if seen.nodes else []
    return [seen.phase, seen.outcome, seen.code, seen.reason, seen.token, *where]


@pytest.mark.parametrize(("name", "entry"), _entries("answers.json", "answers"))
def test_an_answer_means_what_the_golden_file_says(name: str, entry: Entry) -> None:
    if raises := entry.get("raises"):
        with pytest.raises(getattr(errors, raises[0])) as caught:
            _read(name, entry)
        assert type(caught.value).__name__ == raises[0]
        assert str(caught.value) == raises[1]
        return
    result = _read(name, entry)
    means = entry["means"]
    if isinstance(result, Listing):
        assert not [key for key in means.get("absent", ()) if key in result.jobs]
        means = {key: value for key, value in means.items() if key != "absent"}
    assert _meaning(result, entry) == means


def test_a_failed_command_is_no_answer(scheduler: Scheduler) -> None:
    done = Completed(argv=("squeue", "-h"), exit_code=1, stderr="no controller\n")
    for parse in (scheduler.parse_listing, scheduler.parse_history):
        with pytest.raises(CommandFailed, match="squeue exited with 1: 'no controller'"):
            parse(done, "alpha")
    with pytest.raises(CommandFailed, match="squeue exited with 1: 'no controller'"):
        scheduler.parse_facts(done)


def test_silence_is_no_listing(scheduler: Scheduler) -> None:
    with pytest.raises(UnreadableOutput):
        scheduler.parse_listing(Completed(argv=("x",), exit_code=0), "alpha")


def test_a_submit_that_was_killed_may_have_been_accepted(scheduler: Scheduler) -> None:
    for code in (124, 137, 143):
        with pytest.raises(errors.SubmitUnknown, match="may have been accepted"):
            scheduler.parse_submit(Completed(argv=("x",), exit_code=code))


def test_words_of_users_stay_single_arguments(scheduler: Scheduler) -> None:
    nasty = '/a/it\'s $(touch x); \n*\t"q"'
    argv = scheduler.submit(a_submit(script=nasty, directory=nasty, name=nasty, size=3))
    assert argv[-1] == nasty
    assert all(isinstance(argument, str) for argument in argv)


def test_a_token_stands_on_the_submit_command(scheduler: Scheduler) -> None:
    assert any("jf.3f2a9c01d5e7-1.0a1b" in argument for argument in scheduler.submit(a_submit()))


def test_only_arrays_have_an_index(scheduler: Scheduler) -> None:
    single, array = scheduler.submit(a_submit()), scheduler.submit(a_submit(size=7))
    assert single != array
    element = _id(scheduler.name, "element")
    assert scheduler.element(_id(scheduler.name, "array"), 3) == element
    assert scheduler.split(element) == (_id(scheduler.name, "array"), 3)
    for whole in (_id(scheduler.name, "job"), _id(scheduler.name, "array")):
        assert scheduler.split(whole) == (whole, None)


def test_elements_of_an_array_are_cancelled_in_one_argument(scheduler: Scheduler) -> None:
    array, job = _id(scheduler.name, "array"), _id(scheduler.name, "job")
    ids = [scheduler.element(array, index) for index in (*range(1000), 2000)]
    argv = scheduler.cancel([*ids, job])
    (last,) = (number for number in re.findall(r"\d+", ids[-1]) if number in {"2000", "2001"})
    assert len([argument for argument in argv if last in argument]) == 1
    assert sum(map(len, argv)) < 1000
    assert argv[-1] == job


def test_the_array_itself_outweighs_its_elements(scheduler: Scheduler) -> None:
    array = _id(scheduler.name, "array")
    argv = scheduler.cancel([scheduler.element(array, 1), array, scheduler.element(array, 2)])
    assert argv[-1] == array


def test_a_scheduler_is_found_in_any_case() -> None:
    assert scheduler_named("sLuRm", home=HOME).name == "Slurm"


@pytest.mark.parametrize(
    ("text", "offer"),
    [("slrum", r"did you mean Slurm\?"), ("xyz", f"expected one of {', '.join(SCHEDULERS)}")],
)
def test_an_unknown_scheduler_offers_what_there_is(text: str, offer: str) -> None:
    with pytest.raises(BadInput, match=rf"batch_type: '{text}' is no .*; {offer}"):
        scheduler_named(text, home=HOME)


#: how the words for a value speak of a scheduler, where not by its name
_SPOKEN = {"Fugaku": "PJM|Fugaku", "DistributedShell": "YARN|DistributedShell"}
_ASKED: dict[str, Any] = {
    "ntasks_per_node": 3,
    "cpus_per_task": 7,
    "memory_per_node": "12345MB",
    "time_limit": "11:22:00",
    "account": "physics",
    "qos": "high",
    "constraint": "skylake",
    "exclusive": True,
    "exclude_nodes": ["n3", "n17"],
}


@pytest.mark.parametrize("field", OPTIONAL)
def test_what_is_asked_for_is_in_the_header_or_refused_by_name(
    scheduler: Scheduler, field: str
) -> None:
    plain = list(scheduler.header(Resources(group_size=1)))
    asked = Resources.model_validate({"group_size": 1, field: _ASKED[field]})
    if (scheduler.name, field) == ("Shell", "cpus_per_task"):
        return  # OMP_NUM_THREADS says it: there is no header
    try:
        assert list(scheduler.header(asked)) != plain
    except BadInput as error:
        assert [problem.where for problem in error.problems] == [f"resources.{field}"]
        assert error.problems[0].what.startswith(f"{scheduler.name} has no general way to say it")


@pytest.mark.parametrize("name", [None, *sorted(SCHEDULERS), "SlurmJobArray"])
def test_plain_resources_are_refused_by_none(name: str | None) -> None:
    assert not refusals(name, Resources(group_size=1))


def test_all_that_is_refused_is_told_at_once() -> None:
    asked = Resources(group_size=1, account="a", qos="b")
    told = [problem.where for problem in refusals("Shell", asked)]
    assert told == ["resources.account", "resources.qos"]


@pytest.mark.parametrize("field", ["account", "qos", "constraint", "queue_name"])
@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"Shell"}))
def test_a_value_cannot_become_a_line_or_an_option_of_its_own(name: str, field: str) -> None:
    for text in ("a b", "a#b", "'a'", "--wrap=a", "-a"):
        asked = Resources.model_validate({"group_size": 1, field: text})
        (problem,) = refusals(name, asked)
        assert problem.where == f"resources.{field}"
        assert re.search(_SPOKEN.get(name, name), problem.what)


@settings(max_examples=300, deadline=None)
@given(
    name=sampled_from(sorted(SCHEDULERS)),
    fields=sets(sampled_from(OPTIONAL), min_size=1),
    others=fixed_dictionaries(
        {"number_node": integers(1, 5), "para_deg": integers(1, 5), "queue_name": just("gpu")}
    ),
)
def test_no_field_is_dropped_beside_others(
    name: str, fields: set[str], others: dict[str, object]
) -> None:
    def header(given: set[str]) -> list[str]:
        asked = {field: _ASKED[field] for field in given}
        scheduler = scheduler_named(name, home=HOME)
        return list(
            scheduler.header(Resources.model_validate({"group_size": 1, **others, **asked}))
        )

    if name in ("DistributedShell", "Shell"):
        others["number_node"] = 1
    try:
        whole = header(fields)
    except BadInput as error:
        named = {problem.where.removeprefix("resources.") for problem in error.problems}
        assert named <= fields
        assert all(problem.what.startswith(f"{name} ") for problem in error.problems)
        fields -= named
        whole = header(fields)
    for field in fields - ({"cpus_per_task"} if name == "Shell" else set()):
        assert header(fields - {field}) != whole, f"{field} makes no difference"
