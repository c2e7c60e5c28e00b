"""Every state of a PJM job, every code of its job manager, and what they mean here.

    RUN                                          →  RUNNING
    EXT, EXIT CODE 3, PJM CODE 0                 →  ENDED, failed with code 3
    EXT, EXIT CODE 0, PJM CODE 0, SIGNAL NO 9    →  ENDED, killed by signal 9: code 137
    EXT, EXIT CODE 0, PJM CODE 11, SIGNAL NO 24  →  ENDED, timeout

The states are those of pjstat(1), the codes those of "Job manager exit code" in Fugaku's user guide.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.base import End, Phase
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping


class PjmState(StrEnum):
    """A state of a job, as pjstat writes it."""

    ACCEPTED = "ACC"
    CANCELLED = "CCL"
    ERROR = "ERR"  #: the job manager failed at it: it never goes on by itself
    EXITED = "EXT"
    HELD = "HLD"
    QUEUED = "QUE"
    REJECTED = "RJT"  #: it was accepted at first, and then was not
    ACQUIRING = "RNA"  #: it gets the resources that it needs
    EPILOGUE = "RNE"
    ENDING = "RNO"  #: it is over, and the job manager has yet to finish with it
    PROLOGUE = "RNP"
    RUNNING = "RUN"
    RESUMING = "RSM"
    SUSPENDED = "SPD"
    SUSPENDING = "SPP"


_S = PjmState
PHASES: Final[Mapping[PjmState, Phase]] = MappingProxyType(
    {
        _S.ACCEPTED: Phase.QUEUED,
        _S.CANCELLED: Phase.ENDED,
        _S.ERROR: Phase.ENDED,
        _S.EXITED: Phase.ENDED,
        _S.HELD: Phase.QUEUED,
        _S.QUEUED: Phase.QUEUED,
        _S.REJECTED: Phase.ENDED,
        _S.ACQUIRING: Phase.QUEUED,
        _S.EPILOGUE: Phase.RUNNING,
        _S.ENDING: Phase.RUNNING,
        _S.PROLOGUE: Phase.RUNNING,
        _S.RUNNING: Phase.RUNNING,
        _S.RESUMING: Phase.RUNNING,
        _S.SUSPENDED: Phase.RUNNING,
        _S.SUSPENDING: Phase.RUNNING,
    }
)

#: codes of the job manager that are no plain failure; with 0 the script's own end counts
CODES: Final[Mapping[int, Outcome]] = MappingProxyType(
    {
        1: Outcome.CANCELLED,  # pjdel
        6: Outcome.CANCELLED,  # a job that it depended on
        7: Outcome.CANCELLED,  # a deadline of the site
        8: Outcome.CANCELLED,  # the site's exit function
        9: Outcome.NODE_FAILURE,  # it would have had to be run again, and must not
        11: Outcome.TIMEOUT,
        12: Outcome.OUT_OF_MEMORY,
        18: Outcome.PREEMPTED,  # another job or a deadline, beyond its least time
        20: Outcome.NODE_FAILURE,
        22: Outcome.NODE_FAILURE,  # the interconnect
        23: Outcome.OUT_OF_MEMORY,  # the OOM killer
        25: Outcome.NODE_FAILURE,  # a failure that the high availability did not catch
    }
)
_SIGNAL: Final = 128


def phase_of(word: str) -> Phase | None:
    """Return what a state means; None for one that no manual has."""
    try:
        return PHASES[PjmState(word)]
    except ValueError:
        return None


def end_of(state: str, code: int | None, manager: int | None, signal: int | None) -> End:
    """Return how a job ended, of its state, its exit code, the job manager's code and the signal that killed it."""
    if state == _S.CANCELLED:
        return End(Outcome.CANCELLED, None)
    if manager:
        return End(CODES.get(manager, Outcome.FAILED), None)
    if state != _S.EXITED:
        return End(Outcome.FAILED, None)
    if signal:
        return End(Outcome.FAILED, _SIGNAL + signal)
    if code is None or (manager is None and not code):  # it ended, and nothing says how
        return End(Outcome.LOST, None)
    return End(Outcome.FAILED if code else Outcome.SUCCEEDED, code)
