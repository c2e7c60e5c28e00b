"""Every state word of Slurm's manuals, and what each means here.

    CANCELLED by 1000  →  ENDED, outcome cancelled
    PD                 →  QUEUED

The words are those of squeue(1), sacct(1) and of "Job State Codes" in Slurm's documentation, up to release 25.11.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping


class SlurmState(StrEnum):
    """A state or a state flag of a job, by its long word."""

    BOOT_FAIL = "BOOT_FAIL"  #: a node could not be booted
    CANCELLED = "CANCELLED"  #: by its user or an administrator
    COMPLETED = "COMPLETED"  #: exit code 0 on all nodes
    COMPLETING = "COMPLETING"  #: over, but some of its processes or its epilog may still run
    CONFIGURING = "CONFIGURING"  #: its nodes are being booted
    DEADLINE = "DEADLINE"  #: it could not have ended before its deadline
    EXPEDITING = "EXPEDITING"  #: requeued, and first in line
    FAILED = "FAILED"  #: non-zero exit code, a signal, or it could not be launched
    LAUNCH_FAILED = "LAUNCH_FAILED"  #: could not be launched on its nodes, and is requeued and held
    NODE_FAIL = "NODE_FAIL"  #: a node broke
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PENDING = "PENDING"
    POWER_UP_NODE = "POWER_UP_NODE"  #: its nodes are being powered up
    PREEMPTED = "PREEMPTED"
    RECONFIG_FAIL = "RECONFIG_FAIL"  #: its nodes could not be configured; it is requeued and held
    REQUEUED = "REQUEUED"
    REQUEUE_FED = "REQUEUE_FED"  #: requeued by a federation
    REQUEUE_HOLD = "REQUEUE_HOLD"
    RESIZING = "RESIZING"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"  #: held, because its reservation was deleted
    REVOKED = "REVOKED"  #: another cluster of a federation has started it
    RUNNING = "RUNNING"
    SIGNALING = "SIGNALING"
    SPECIAL_EXIT = "SPECIAL_EXIT"  #: requeued and held, marked as special
    STAGE_OUT = "STAGE_OUT"  #: a burst buffer is written back
    STOPPED = "STOPPED"  #: stopped by SIGSTOP; it keeps its CPUs
    SUSPENDED = "SUSPENDED"  #: stopped; its CPUs are free for others
    TIMEOUT = "TIMEOUT"
    UPDATE_DB = "UPDATE_DB"  #: its record is on the way to the database


class Meaning(NamedTuple):
    """What a state is to us."""

    phase: Phase
    outcome: Outcome | None = None


_S, _O = SlurmState, Outcome
_QUEUED: Final = Meaning(Phase.QUEUED)
_RUNNING: Final = Meaning(Phase.RUNNING)


def _ended(outcome: Outcome) -> Meaning:
    return Meaning(Phase.ENDED, outcome)


MEANINGS: Final[Mapping[SlurmState, Meaning]] = MappingProxyType(
    {
        _S.BOOT_FAIL: _ended(_O.NODE_FAILURE),
        _S.CANCELLED: _ended(_O.CANCELLED),
        _S.COMPLETED: _ended(_O.SUCCEEDED),
        _S.COMPLETING: _RUNNING,
        _S.CONFIGURING: _QUEUED,
        _S.DEADLINE: _ended(_O.TIMEOUT),
        _S.EXPEDITING: _QUEUED,
        _S.FAILED: _ended(_O.FAILED),
        _S.LAUNCH_FAILED: _QUEUED,
        _S.NODE_FAIL: _ended(_O.NODE_FAILURE),
        _S.OUT_OF_MEMORY: _ended(_O.OUT_OF_MEMORY),
        _S.PENDING: _QUEUED,
        _S.POWER_UP_NODE: _QUEUED,
        _S.PREEMPTED: _ended(_O.PREEMPTED),
        _S.RECONFIG_FAIL: _QUEUED,
        _S.REQUEUED: _QUEUED,
        _S.REQUEUE_FED: _QUEUED,
        _S.REQUEUE_HOLD: _QUEUED,
        _S.RESIZING: _RUNNING,
        _S.RESV_DEL_HOLD: _QUEUED,
        # It lives on elsewhere, where we cannot see it: its exit record will say how it ended.
        _S.REVOKED: _ended(_O.LOST),
        _S.RUNNING: _RUNNING,
        _S.SIGNALING: _RUNNING,
        _S.SPECIAL_EXIT: _QUEUED,
        _S.STAGE_OUT: _RUNNING,
        _S.STOPPED: _RUNNING,
        _S.SUSPENDED: _RUNNING,
        _S.TIMEOUT: _ended(_O.TIMEOUT),
        # Nothing is said of the job itself: ask again.
        _S.UPDATE_DB: _RUNNING,
    }
)

#: the short words of `squeue -o %t`; the newest flags have none that is documented
SHORT: Final[Mapping[str, SlurmState]] = MappingProxyType(
    {
        "BF": _S.BOOT_FAIL,
        "CA": _S.CANCELLED,
        "CD": _S.COMPLETED,
        "CF": _S.CONFIGURING,
        "CG": _S.COMPLETING,
        "DL": _S.DEADLINE,
        "EX": _S.EXPEDITING,
        "F": _S.FAILED,
        "NF": _S.NODE_FAIL,
        "OOM": _S.OUT_OF_MEMORY,
        "PD": _S.PENDING,
        "PR": _S.PREEMPTED,
        "R": _S.RUNNING,
        "RD": _S.RESV_DEL_HOLD,
        "RF": _S.REQUEUE_FED,
        "RH": _S.REQUEUE_HOLD,
        "RQ": _S.REQUEUED,
        "RS": _S.RESIZING,
        "RV": _S.REVOKED,
        "S": _S.SUSPENDED,
        "SE": _S.SPECIAL_EXIT,
        "SI": _S.SIGNALING,
        "SO": _S.STAGE_OUT,
        "ST": _S.STOPPED,
        "TO": _S.TIMEOUT,
    }
)

_WORDS: Final[Mapping[str, SlurmState]] = {**{state.value: state for state in SlurmState}, **SHORT}


#: why a job waits that only waits its turn, as squeue(1) has it under "JOB REASON CODES"
TURN: Final = frozenset({"Priority", "Resources", "JobArrayTaskLimit", "Prolog", "Cleaning"})


def meaning_of(text: str) -> Meaning | None:
    """Return what a state means, in its long or short form; None for a word that no manual has."""
    word = text.partition(" ")[0].rstrip(
        "+"
    )  # "CANCELLED by 1000"; "CANCELLED+" where a column was too narrow
    state = _WORDS.get(word)
    return None if state is None else MEANINGS[state]


def exit_code(text: str) -> int | None:
    """Read "3:0" (code and signal, sacct) or "768" (a wait status, squeue); 128 + n for the signal n.

    Returns:
        The code as a shell would show it, or None for what is neither.
    """
    code, colon, signal = text.partition(":")
    if not code.isdecimal() or (colon and not signal.isdecimal()):
        return None
    if colon:
        number, by_signal = int(code), int(signal)
    else:
        number, by_signal = int(code) >> 8 & 0xFF, int(code) & 0x7F
    return 128 + by_signal if by_signal else number
