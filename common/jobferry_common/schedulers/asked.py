"""What resources ask for beyond DPDispatcher's fields: every scheduler says it in its own terms, or refuses it by name.

    refuse_others(resources, "SGE", can=("time_limit", "account"))

Nothing that a user asked for is ever dropped in silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobferry_common.models.resources import Resources

#: the optional fields; DPDispatcher has none of them
OPTIONAL: Final = (
    "ntasks_per_node",
    "cpus_per_task",
    "memory_per_node",
    "time_limit",
    "account",
    "qos",
    "constraint",
    "exclusive",
    "exclude_nodes",
)
#: what can stand in a header line without quotes, and is no option of its own
_WORD: Final = re.compile(r"(?!-)[^\s\"'\\#]+\Z")


def refuse_others(
    resources: Resources,
    scheduler: str,
    *,
    can: Collection[str],
    instead: str = "leave it out, or write the line of your site into custom_flags",
) -> None:
    """Refuse each optional field that is given and that `scheduler` cannot express; `instead`: what to do then.

    Raises:
        BadInput: with the name of every such field.
    """
    given = [field for field in OPTIONAL if getattr(resources, field) not in (None, False, ())]
    what = f"{scheduler} has no general way to say it; {instead}"
    problems = [Problem(f"resources.{field}", what) for field in given if field not in can]
    if problems:
        raise BadInput(problems)


def word(resources: Resources, field: str, meaning: str) -> str:
    """Return a field that has to be one word of a header line.

    Raises:
        BadInput: it is not.
    """
    text = str(getattr(resources, field))
    if _WORD.match(text):
        return text
    raise BadInput([Problem(f"resources.{field}", f"{text!r} is no {meaning}")])
