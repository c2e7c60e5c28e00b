"""Every state letter of PBS and Torque, every negative exit code, and what they mean here.

    R                                    →  RUNNING
    F, Exit_status = 3, substate = 93    →  ENDED, failed with code 3
    F, Exit_status = -29                 →  ENDED, timeout
    F, Exit_status = 265                 →  ENDED, killed by signal 9: code 137

The letters are those of qstat(1B) of OpenPBS 23 and of Torque 6; the codes are PBS's table "Job Exit Codes" and
Torque's "Job Exit Status". Below 0 they are the node's daemon's own, from 256 on a signal's number is added.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.base import End, Phase
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping


class PbsState(StrEnum):
    """A state of a job, by its letter."""

    BEGUN = "B"  #: an array of which an element has started
    COMPLETED = "C"  #: Torque: over; it is listed for a while (keep_completed)
    EXITING = "E"  #: over, but its files are still brought back
    FINISHED = "F"  #: PBS: over; only `qstat -x` shows it
    HELD = "H"
    MOVED = "M"  #: PBS: another server has it now
    QUEUED = "Q"
    RUNNING = "R"
    SUSPENDED = "S"  #: by the scheduler or an operator
    TRANSIT = "T"  #: it is being moved to another queue or server
    USER_BUSY = "U"  #: PBS: suspended, because the owner of the workstation is at work
    WAITING = "W"  #: for its start time, or for files
    EXPIRED = "X"  #: PBS: an element that is over, while others of its array are not


_S = PbsState
PHASES: Final[Mapping[PbsState, Phase]] = MappingProxyType(
    {
        _S.BEGUN: Phase.RUNNING,
        _S.COMPLETED: Phase.ENDED,
        _S.EXITING: Phase.RUNNING,
        _S.FINISHED: Phase.ENDED,
        _S.HELD: Phase.QUEUED,
        # It lives on elsewhere, where we cannot see it: its exit record will say how it ended.
        _S.MOVED: Phase.RUNNING,
        _S.QUEUED: Phase.QUEUED,
        _S.RUNNING: Phase.RUNNING,
        _S.SUSPENDED: Phase.RUNNING,
        _S.TRANSIT: Phase.QUEUED,
        _S.USER_BUSY: Phase.RUNNING,
        _S.WAITING: Phase.QUEUED,
        _S.EXPIRED: Phase.ENDED,
    }
)

#: PBS: codes of the node's daemon that are no plain failure
PBS_CODES: Final[Mapping[int, Outcome]] = MappingProxyType(
    {
        -4: Outcome.NODE_FAILURE,  # aborted when the daemon started
        -5: Outcome.NODE_FAILURE,
        -6: Outcome.NODE_FAILURE,
        -14: Outcome.NODE_FAILURE,  # a sister node failed
        -20: Outcome.NODE_FAILURE,  # the connection to the first node failed
        -26: Outcome.OUT_OF_MEMORY,  # virtual memory
        -27: Outcome.OUT_OF_MEMORY,
        -28: Outcome.TIMEOUT,  # CPU time
        -29: Outcome.TIMEOUT,
    }
)
#: Torque's
TORQUE_CODES: Final[Mapping[int, Outcome]] = MappingProxyType(
    {
        -4: Outcome.NODE_FAILURE,
        -5: Outcome.NODE_FAILURE,
        -6: Outcome.NODE_FAILURE,
        -10: Outcome.OUT_OF_MEMORY,
        -11: Outcome.TIMEOUT,
        -12: Outcome.TIMEOUT,  # CPU time
        # 256 + SIGTERM: what qdel leaves behind
        271: Outcome.CANCELLED,
    }
)
#: PBS: the substate of a job that was deleted (JOB_SUBSTATE_TERMINATED)
_DELETED: Final = 91
#: from here on a status is a signal's number, and this
_SIGNAL: Final = 256


def phase_of(letter: str) -> Phase | None:
    """Return what a letter means; None for one that no manual has."""
    try:
        return PHASES[PbsState(letter)]
    except ValueError:
        return None


def end_of(status: int | None, substate: int | None, codes: Mapping[int, Outcome]) -> End:
    """Return how a job ended, of its Exit_status and its substate; without a status nobody knows."""
    if substate == _DELETED:
        return End(Outcome.CANCELLED, None)
    if status is None:
        return End(Outcome.LOST, None)
    if status in codes:
        return End(codes[status], None)
    if status == 0:
        return End(Outcome.SUCCEEDED, 0)
    if status < 0:
        return End(Outcome.FAILED, None)
    return End(Outcome.FAILED, 128 + status - _SIGNAL if status > _SIGNAL else status)
