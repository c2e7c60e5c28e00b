"""Every status word of LSF's manual, and every reason why a job was ended, and what each means here.

    PSUSP                                                            →  QUEUED
    EXIT, exit code 3                                                →  ENDED, outcome failed, code 3
    EXIT, TERM_RUNLIMIT: job killed after reaching LSF run …         →  ENDED, outcome timeout

The words are those of bjobs(1) and of "LSF terms and concepts", the reasons those of "Termination reasons displayed by
bacct, bhist, and bjobs", up to LSF 10.1. Schedulers that descend from an older LSF have some of the words, and say
reasons as text only.
"""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping


class LsfState(StrEnum):
    """A status word."""

    PEND = "PEND"  #: waits to be dispatched
    PROV = "PROV"  #: dispatched to a host that is being woken up
    PSUSP = "PSUSP"  #: held while it waits
    RUN = "RUN"
    USUSP = "USUSP"  #: stopped by its owner or an administrator
    SSUSP = "SSUSP"  #: stopped by LSF
    DONE = "DONE"  #: exit code 0
    EXIT = "EXIT"  #: another exit code, or killed
    UNKWN = "UNKWN"  #: the host where it runs does not answer
    WAIT = "WAIT"  #: member of a chunk of jobs, not started yet
    ZOMBI = "ZOMBI"  #: killed, while its host does not answer: it may still run
    FWD_PEND = "FWD_PEND"  #: waits in another cluster
    POST_DONE = "POST_DONE"  #: its post-processing is done
    POST_ERR = "POST_ERR"  #: its post-processing failed


_S, _O = LsfState, Outcome

PHASES: Final[Mapping[LsfState, Phase]] = MappingProxyType(
    {
        _S.PEND: Phase.QUEUED,
        _S.PROV: Phase.QUEUED,
        _S.PSUSP: Phase.QUEUED,
        _S.RUN: Phase.RUNNING,
        _S.USUSP: Phase.RUNNING,
        _S.SSUSP: Phase.RUNNING,
        _S.DONE: Phase.ENDED,
        _S.EXIT: Phase.ENDED,
        _S.UNKWN: Phase.RUNNING,
        _S.WAIT: Phase.QUEUED,
        _S.ZOMBI: Phase.RUNNING,
        _S.FWD_PEND: Phase.QUEUED,
        _S.POST_DONE: Phase.ENDED,
        _S.POST_ERR: Phase.ENDED,
    }
)
_BY_WORD: Final[Mapping[str, Phase]] = {state.value: phase for state, phase in PHASES.items()}
#: what keeps a waiting job besides its turn
HELD: Final[Mapping[str, str]] = MappingProxyType({_S.PSUSP: "held (PSUSP)"})
#: these say by themselves that the job's exit code is 0
SUCCEEDED: Final = frozenset({_S.DONE, _S.POST_DONE})

REASONS: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "TERM_ADMIN": _O.CANCELLED,
        "TERM_BUCKET_KILL": _O.CANCELLED,
        "TERM_CHKPNT": _O.PREEMPTED,
        "TERM_CPULIMIT": _O.TIMEOUT,
        "TERM_CSM_ALLOC": _O.NODE_FAILURE,
        "TERM_CWD_NOTEXIST": _O.FAILED,
        "TERM_DATA": _O.FAILED,
        "TERM_DEADLINE": _O.TIMEOUT,
        "TERM_EXTERNAL_SIGNAL": _O.FAILED,
        "TERM_FORCE_ADMIN": _O.CANCELLED,
        "TERM_FORCE_OWNER": _O.CANCELLED,
        "TERM_KUBE": _O.NODE_FAILURE,
        "TERM_LOAD": _O.PREEMPTED,
        "TERM_MC_RECALL": _O.PREEMPTED,
        "TERM_MEMLIMIT": _O.OUT_OF_MEMORY,
        "TERM_ORPHAN_SYSTEM": _O.CANCELLED,
        "TERM_OTHER": _O.FAILED,
        "TERM_OWNER": _O.CANCELLED,
        "TERM_PREEMPT": _O.PREEMPTED,
        "TERM_PRE_EXEC_FAIL": _O.FAILED,
        "TERM_PROCESSLIMIT": _O.FAILED,
        "TERM_RC_RECLAIM": _O.PREEMPTED,
        "TERM_REMOVE_HUNG_JOB": _O.NODE_FAILURE,
        "TERM_REQUEUE_ADMIN": _O.PREEMPTED,
        "TERM_REQUEUE_OWNER": _O.PREEMPTED,
        "TERM_REQUEUE_RC": _O.PREEMPTED,
        "TERM_RMS": _O.NODE_FAILURE,
        "TERM_RUNLIMIT": _O.TIMEOUT,
        "TERM_SLURM": _O.NODE_FAILURE,
        "TERM_SWAP": _O.OUT_OF_MEMORY,
        "TERM_THREADLIMIT": _O.FAILED,
        "TERM_UNKNOWN": _O.FAILED,
        "TERM_WINDOW": _O.PREEMPTED,
        "TERM_ZOMBIE": _O.NODE_FAILURE,
    }
)
_REASON: Final = re.compile(r"TERM_\w+")
#: how descendants of an older LSF say that a limit ended a job
_LIMITS: Final = (
    (re.compile(r"\b(?:RUNLIMIT|CPULIMIT|DEADLINE)\b|\brun time limit\b"), _O.TIMEOUT),
    (re.compile(r"\b(?:MEMLIMIT|SWAPLIMIT)\b|\bmemory usage limit\b"), _O.OUT_OF_MEMORY),
)


def phase_of(word: str) -> Phase | None:
    """Return what a status word means; None for one that no manual has."""
    return _BY_WORD.get(word)


def outcome_of(reason: str) -> Outcome | None:
    """Return what a reason says of an end; None where it says nothing."""
    if found := _REASON.search(reason):
        return REASONS.get(found[0], Outcome.FAILED)
    return next((outcome for words, outcome in _LIMITS if words.search(reason)), None)
