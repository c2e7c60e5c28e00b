"""Templates of a script's header: what is wrong with one is told at once, and a line stays a line."""

from __future__ import annotations

import pytest

from jobferry.templates import faults
from jobferry_common.models.resources import Resources
from jobferry_common.scripts.render import custom_header


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("#SBATCH -N {nodes}\n", "KeyError('nodes')"),
        ("#SBATCH -N {number_node\n", "ValueError("),
        ("{queue_name.nothing}", "AttributeError("),
        ("{queue_name:>99999999999999999}", "MemoryError("),
    ],
)
def test_what_is_no_template_is_told(text: str, what: str) -> None:
    (problem,) = faults(text, Resources(group_size=1))
    assert problem.what.startswith(what)


def test_a_line_of_a_template_is_what_bash_takes_for_one() -> None:
    """What another character cut off would be run as a command."""
    text = "#SBATCH --comment a\x0cb\u2028c\n\n#SBATCH -N 1\n"
    lines = custom_header(text, Resources(group_size=1))
    assert lines == ["#SBATCH --comment a\x0cb\u2028c", "", "#SBATCH -N 1"]
