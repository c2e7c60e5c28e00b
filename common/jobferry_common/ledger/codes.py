"""The events of jobs as the stream packs them: many to an entry, a few bytes each.

    [1732180000.12, [[17, 4, 1, 1, 2, "out of quota"], [18, 5, 1]]]

is: at that time job 17 exited in attempt 1, failed with code 2, for that reason; and job 18 finished. A state and
an outcome are their places in `JobState` and `Outcome`, to which members may only be added at the end.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.states import JobState, Outcome

if TYPE_CHECKING:
    from jobferry_common.ledger.records import JobRecord

_STATES: Final = tuple(JobState)
_OUTCOMES: Final = tuple(Outcome)
_WIDTH: Final = 6


def state_code(state: JobState) -> int:
    """Return the number that stands for a state."""
    return _STATES.index(state)


def pack_event(job: int, record: JobRecord) -> str:
    """Return a job's part of an event, without what is not known."""
    outcome = _OUTCOMES.index(record.outcome) if record.outcome else None
    state = state_code(record.state)
    parts = [job, state, record.attempt, outcome, record.code, record.reason or None]
    while parts[-1] is None:
        parts.pop()
    return json.dumps(parts, separators=(",", ":"))


def unpack_event(
    parts: list[Any],
) -> tuple[int, JobState, int, Outcome | None, int | None, str]:
    """Read what `pack_event` wrote: job, state, attempt, outcome, code, reason."""
    full = [*parts, *[None] * (_WIDTH - len(parts))]
    job, state, attempt, outcome, code, reason = full
    ended = None if outcome is None else _OUTCOMES[outcome]
    return job, _STATES[state], attempt, ended, code, reason or ""
