"""JSON Schemas: those that are published are those of the models, and allow what loading allows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.schemas import KINDS, schema_of
from tests.testbed.json_schema import fits

PUBLISHED: Final = Path(__file__).parents[3] / "docs/schema"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_published_is_what_the_models_say(kind: str) -> None:
    """`jobferry schema KIND > docs/schema/KIND.json` writes it anew."""
    assert json.loads((PUBLISHED / f"{kind}.json").read_text()) == schema_of(kind)


def test_nothing_else_is_published() -> None:
    assert {file.stem for file in PUBLISHED.iterdir()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reference_in_a_schema_leads_somewhere(kind: str) -> None:
    schema = schema_of(kind)
    for name in references(schema):
        assert name.removeprefix("#/$defs/") in schema["$defs"]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [name for item in value.values() for name in references(item)]
    if isinstance(value, list):
        return [name for item in value for name in references(item)]
    return []


def of_model(kind: str) -> dict[str, Any]:
    """Return the schema of the model itself: a file of it may be of an older form, too."""
    schema = schema_of(kind)
    found: dict[str, Any] = schema["$defs"].get(KINDS[kind].__name__, schema)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_stands_in_its_schema(kind: str) -> None:
    properties = of_model(kind)["properties"]
    assert set(KINDS[kind].model_fields) | set(KINDS[kind].aliases) <= set(properties)


def test_names_are_offered_and_other_spellings_allowed() -> None:
    batch = of_model("machine")["properties"]["batch_type"]
    assert "Slurm" in batch["anyOf"][0]["enum"]
    for name in ("slurm_job_array", "SLURMJOBARRAY", "lebesgue", "jh_unischeduler"):
        assert fits(batch, name)
    assert not fits(batch, "Slrum")
    context = of_model("machine")["properties"]["context_type"]
    for name in ("lazy_local", "LazyLocalContext", "lazylocalcontext", "dp_cloud_server_context"):
        assert fits(context, name)
    assert not fits(context, "LocalContexts")


def test_an_unknown_kind_is_answered_with_the_near_one() -> None:
    with pytest.raises(BadInput, match="did you mean 'machine'"):
        schema_of("maschine")


def test_a_file_may_say_where_its_schema_is() -> None:
    plain = {"$schema": "docs/schema/resources.json", "group_size": 3}
    assert KINDS["resources"].load_from_dict(plain).serialize()["group_size"] == 3


def undescribed(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for item in schema for name in undescribed(item)]
    if not isinstance(schema, dict):
        return []
    found = [
        f"{schema['title']}.{name}"
        for name, field in schema.get("properties", {}).items()
        if "title" in schema and not field.get("description")
    ]
    return found + [name for item in schema.values() for name in undescribed(item)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    """The words are those of the `#:` beside the field, or of its `Field(description=…)`."""
    assert undescribed(schema_of(kind)) == []


def test_words_behind_a_field_and_above_it_are_found() -> None:
    properties = schema_of("machine")["$defs"]["SshProfile"]["properties"]
    assert properties["common_files"]["description"].startswith("how runs get common files from")
    assert properties["username"]["description"] == "of the login"
