"""The Lua scripts of the ledger, as the server gets them.

Each `lua/<name>.lua` is sent behind `lua/common.lua` and the tables of legal transitions, which are written
from `states.py`: the store repeats the guard, and there is still only one table.

    source_of("change")
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jobferry_common.ledger.codes import state_code
from jobferry_common.states import JOB_TRANSITIONS, RUN_TRANSITIONS, JobState
from jobferry_common.versions import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def source_of(name: str) -> str:
    """Return the whole text of a script."""
    folder = files("jobferry_common.ledger") / "lua"
    parts = ((folder / f"{part}.lua").read_text("utf-8") for part in ("common", name))
    return "\n".join((_tables(), *parts))


@cache
def sha_of(name: str) -> str:
    """Return the digest by which the server knows a script."""
    return hashlib.sha1(source_of(name).encode(), usedforsecurity=False).hexdigest()


def _tables() -> str:
    flying = "".join(f"{state.value}=true," for state in JobState if state.is_in_flight)
    return "\n".join(
        (
            f"local NEXT = {_table(JOB_TRANSITIONS)}",
            f"local RUN_NEXT = {_table(RUN_TRANSITIONS)}",
            f"local FLYING = {{{flying}}}",
            f"local SUBMITTING = {state_code(JobState.SUBMITTING)}",
            f"local VERSION = {VERSION}",
        )
    )


def _table(transitions: Mapping[Any, frozenset[Any]]) -> str:
    """Return a table of transitions as Lua has it: NEXT[from][to] is true where it is legal."""
    rows = (
        f"{state.value}={{{''.join(f'{to.value}=true,' for to in sorted(following))}}},"
        for state, following in transitions.items()
    )
    return f"{{{''.join(rows)}}}"
