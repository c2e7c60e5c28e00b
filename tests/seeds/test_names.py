"""Every public name of DPDispatcher 1.1.0: it is here, or says what to use in its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

import jobferry
from jobferry import JobStatus, Machine, Resources, Submission, Task
from jobferry.submission import Job as JobOfModule
from jobferry.submission import Resources as ResourcesOfModule
from jobferry.submission import Submission as SubmissionOfModule
from jobferry.submission import Task as TaskOfModule
from jobferry_common.models.lacking import LACKING
from tests.seeds.names import JOB_STATUS, MODULES, PACKAGE, PUBLIC

_PAGE: Final = (Path(__file__).parents[2] / "docs/compatibility.md").read_text()
_PAIRS: Final = [(owner, name) for owner, names in PUBLIC.items() for name in names.split()]


def things() -> dict[str, Any]:
    machine = Machine("Shell", "LazyLocal", "./")  # type: ignore[call-arg]
    resources, task = Resources(group_size=1), Task(command="true", task_work_path="a")
    submission = Submission("./", machine, resources, task_list=[task])
    submission.generate_jobs()
    held = (machine, resources, task, submission.belonging_jobs[0], submission)
    return dict(zip(PUBLIC, held, strict=True))


@pytest.mark.parametrize(("owner", "name"), _PAIRS)
def test_it_is_here_or_says_what_to_use(
    owner: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    thing = things()[owner]
    words = LACKING.get(owner, {}).get(name)
    if words is None:
        getattr(thing, name)
        return
    with pytest.raises(AttributeError) as caught:
        getattr(thing, name)
    assert str(caught.value) == f"{owner} has no {name!r}: {words}"
    assert not hasattr(thing, name)
    assert f"`{name}`" in _PAGE


def test_a_name_of_a_class_is_answered_in_the_same_words() -> None:
    with pytest.raises(AttributeError, match="`jobferry schema machine` lists them"):
        getattr(Machine, "subclasses_dict")  # noqa: B009


def test_nothing_else_is_said_to_be_lacking() -> None:
    known = {owner: set(names.split()) for owner, names in PUBLIC.items()}
    assert set(LACKING) == set(known)
    for owner, names in LACKING.items():
        assert names.keys() <= known[owner]


def test_a_misspelt_name_is_no_attribute() -> None:
    for owner, thing in things().items():
        with pytest.raises(AttributeError, match=f"'{owner}' object has no attribute 'mispelt'"):
            getattr(thing, "mispelt")  # noqa: B009


def test_job_status_has_its_words_and_numbers() -> None:
    assert {one.name: one.value for one in JobStatus} == JOB_STATUS


def test_the_package_has_its_names() -> None:
    assert set(PACKAGE) <= set(jobferry.__all__)


def test_its_module_of_submissions_may_be_imported_from() -> None:
    assert SubmissionOfModule is Submission
    assert (TaskOfModule, ResourcesOfModule, JobOfModule) == (Task, Resources, jobferry.Job)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_row(module: str) -> None:
    told = set(re.findall(r"`([\w.]+)`", _PAGE))
    package = module.partition(".")[0]
    assert {module, package} & told
