"""Every form of file that DPDispatcher's examples, tests and records have: it loads, or is refused with words."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from jobferry import BadInput, Submission
from jobferry.convert import converted
from jobferry_common.models import older
from jobferry_common.models.resources import Resources
from tests.seeds.forms import FORMS, LACKING, REFUSED, Form

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "old.json"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_it_loads_and_is_rewritten_to_mean_the_same(form: Form, file: Path) -> None:
    file.write_text(json.dumps(form.plain))
    before = [kind.load_from_json(file).serialize() for kind in form.kinds]
    data, changes = converted(file)
    assert all(any(words in change for change in changes) for words in form.changes)
    file.write_text(json.dumps(data))
    assert [kind.load_from_json(file).serialize() for kind in form.kinds] == before
    assert converted(file)[1] == []


@pytest.mark.parametrize("form", REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_words(form: Form, file: Path) -> None:
    file.write_text(json.dumps(form.plain))
    with pytest.raises(BadInput) as caught:
        converted(file)
    assert form.refused in str(caught.value)


@pytest.mark.parametrize("form", LACKING.values(), ids=LACKING)
def test_what_lacks_something_says_so_and_is_rewritten(form: Form, file: Path) -> None:
    file.write_text(json.dumps(form.plain))
    for kind in form.kinds:
        with pytest.raises(BadInput) as caught:
            kind.load_from_json(file)
        assert form.refused in str(caught.value)
    data, changes = converted(file)
    assert all(any(words in change for change in changes) for words in form.changes)
    file.write_text(json.dumps(data))
    if "work_base" in data:
        assert Submission.load(file, cluster="hpc1").model().cluster == "hpc1"
    else:
        assert form.kinds[0].load_from_json(file).serialize()


def test_a_key_that_says_nothing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    older._tell.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            Resources.load_from_dict({"group_size": 1, "with_mpi": True})
    [said] = caplog.messages
    assert said.startswith("resources: 'with_mpi' says nothing, to DPDispatcher neither")


def test_what_stands_in_two_places_is_refused() -> None:
    twice = {"group_size": 1, "pe_name": "a", "kwargs": {"pe_name": "b"}}
    with pytest.raises(BadInput, match="pe_name: is no known key"):
        Resources.load_from_dict(twice)
    quoted = {"group_size": "-1"}
    with pytest.raises(BadInput, match="group_size: expected a whole number, got '-1'"):
        Resources.load_from_dict(quoted)
