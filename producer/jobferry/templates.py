"""What a header template leaves out: with one, the batch system's own lines are not written.

>>> sorted(said("#SBATCH --mem {memory_per_node} --time {time_limit}"))
['memory_per_node', 'time_limit']
"""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.resources import Resources
from jobferry_common.schedulers.asked import OPTIONAL
from jobferry_common.scripts.render import custom_header

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE: Final = "customized_script_header_template_file"


def said(template: str) -> set[str]:
    """Return the fields of resources that a template names; all if it is none, which is told elsewhere."""
    try:
        return {
            re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(template) if name
        }
    except ValueError:
        return set(Resources.model_fields)


def faults(template: str, resources: Resources) -> Iterator[Problem]:
    """Find all that is wrong with a template: a worker would find it, but later."""
    try:
        custom_header(template, resources)
    except BadInput as error:
        yield from error.problems
    yield from unsaid(template, resources)


def unsaid(template: str, resources: Resources) -> Iterator[Problem]:
    """Find what is asked for beyond DPDispatcher's fields, and would be dropped in silence."""
    names = said(template)
    for key in resources.kwargs.model_extra or ():
        if f"{{kwargs[{key}]" not in template:
            what = (
                f"is no known key, and {TEMPLATE} does not say it; expected {{kwargs[{key}]}} there"
            )
            yield Problem(f"resources.kwargs.{key}", what)
    for field in OPTIONAL:
        if field not in names and getattr(resources, field) not in (None, False, ()):
            what = f"is not said by {TEMPLATE}; expected {{{field}}} there, or to leave it out here"
            yield Problem(f"resources.{field}", what)
