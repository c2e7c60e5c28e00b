"""Scripts are byte-stable: equal input renders what stands in golden/."""

from __future__ import annotations

import subprocess

import pytest

from jobferry_common.models.resources import Resources, Strategy
from jobferry_common.schedulers.asked import OPTIONAL
from tests.common.scripts.cases import CASES, GOLDEN, rendered


@pytest.mark.parametrize("case", CASES)
def test_a_case_renders_its_golden_file(case: str) -> None:
    assert rendered(case) == (GOLDEN / f"{case}.txt").read_text()


def test_every_golden_file_has_its_case() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(CASES)


def test_every_field_of_resources_has_a_case() -> None:
    used = {name for case in CASES.values() for name in case}
    only_in_headers = {"kwargs", "batch_type", *OPTIONAL} - used
    assert set(Resources.model_fields) - used == only_in_headers
    assert {"kwargs", "batch_type"} <= only_in_headers
    assert "if_cuda_multi_devices" in Strategy.model_fields


@pytest.mark.parametrize("case", CASES)
def test_bash_can_read_every_script(case: str) -> None:
    for file in rendered(case).split("=== ")[1:]:
        name, _, content = file.partition("\n")
        if not name.split()[0].endswith(".list"):
            subprocess.run(["bash", "-n"], input=content, text=True, check=True)
