"""What SGE's state letters, and the `failed` codes of its accounting, mean here.

    qw, hqw, hRwq, Rq  →  QUEUED          Eqw  →  ENDED, outcome failed
    r, Rr, t, dr, S    →  RUNNING

    failed 0, exit_status 3      →  FAILED, code 3
    failed 37 (h_rt)             →  TIMEOUT
    failed 100, exit_status 137  →  CANCELLED: the whole job was killed from outside

The letters and codes are those of sge_status(5). A state is a word of letters in any combination.

In an error state (E) SGE could not start the job, or the job ended with 100: it keeps it, and never starts it again
by itself. So it is told as ended, with SGE's words, and tried anew. Should somebody clear the old one with
`qmod -cj`, it finds that its attempt is taken, and does nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

#: holds a place on a host: running, transferred to it, or suspended there by user, queue, alarm or preemption
_PLACED: Final = frozenset("rtsSTP")
#: only say more of a state: held, deletion asked for, restarted
_MODIFIERS: Final = frozenset("hdR")
_LETTERS: Final = _PLACED | _MODIFIERS | frozenset("qwE")


class Meaning(NamedTuple):
    """What a state is to us."""

    phase: Phase
    outcome: Outcome | None = None


def meaning_of(word: str) -> Meaning | None:
    """Return what a state means; None for a word with a letter that the manual does not have."""
    letters = frozenset(word)
    if not letters or not letters <= _LETTERS or letters <= _MODIFIERS:
        return None
    if letters & _PLACED:
        return Meaning(Phase.RUNNING)
    if "E" in letters and "d" not in letters:
        return Meaning(Phase.ENDED, Outcome.FAILED)
    return Meaning(Phase.QUEUED)


_O: Final = Outcome
#: `failed` → outcome; None: the job ran to its end, and its exit status tells
FAILED: Final[Mapping[int, Outcome | None]] = MappingProxyType(
    {
        0: None,
        # execd or shepherd broke before the job began
        **dict.fromkeys((1, 3, 4, 6, 7, 9, 11, 18, 19, 21), _O.NODE_FAILURE),
        # prolog and start of the parallel environment are the site's own, and run on the node
        **dict.fromkeys((8, 10), _O.NODE_FAILURE),
        # it ran; what failed came after it
        **dict.fromkeys((12, 13, 14, 15, 16), None),
        17: _O.CANCELLED,
        20: _O.FAILED,
        # these are to start again; who reads of them last was deleted before
        24: _O.PREEMPTED,
        25: _O.PREEMPTED,
        # output file, shell or directory were not there
        **dict.fromkeys((26, 27, 28, 29), _O.FAILED),
        30: _O.FAILED,  # exit status 100
        # passwords and services of Windows hosts, daemons, groups
        **dict.fromkeys((31, 32, 33, 34, 35, 36, 38), _O.FAILED),
        37: _O.TIMEOUT,
        100: _O.CANCELLED,
    }
)
#: the whole job was killed by a signal, or its shepherd died
_KILLED: Final = frozenset({17, 100})
_LIMIT: Final = 37
_SIGNAL: Final = 128
#: SIGKILL and SIGTERM come from outside; SIGXCPU when the CPU time is up
_BY_SIGNAL: Final = {9: _O.CANCELLED, 15: _O.CANCELLED, 24: _O.TIMEOUT}
_REQUEST: Final = re.compile(r"\bh_vmem=(\d+(?:\.\d+)?)([kmgtKMGT]?)(?![\d.])")
_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)(?![\d.])\s*([kmgtKMGT]?)")
_UNITS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the accounting says of one job or task."""

    failed: str  #: code and words, such as "100 : assumedly after job"
    status: int  #: exit status; 128 + n for the signal n
    memory: str = ""  #: the most virtual memory, such as "3.461MB"
    slots: int = 1
    category: str = ""  #: what it asked for, such as "-l h_rt=5 -pe mpi 2"

    @property
    def number(self) -> int | None:
        """The code of `failed`."""
        found = re.match(r"\d+", self.failed)
        return int(found[0]) if found else None


def outcome_of(account: Account) -> Outcome:
    """Return how a job ended."""
    number = account.number
    if number is None or number not in FAILED:
        return Outcome.FAILED
    if number == _LIMIT:
        return Outcome.OUT_OF_MEMORY if _over_memory(account) else Outcome.TIMEOUT
    if number in _KILLED:
        return _killed(account)
    if told := FAILED[number]:
        return told
    return Outcome.FAILED if account.status else Outcome.SUCCEEDED


def _killed(account: Account) -> Outcome:
    if account.status <= _SIGNAL:
        return Outcome.NODE_FAILURE
    if _over_memory(account):
        return Outcome.OUT_OF_MEMORY
    return _BY_SIGNAL.get(account.status - _SIGNAL, Outcome.FAILED)


def _over_memory(account: Account) -> bool:
    """Return True when it used as much as it had asked for; h_vmem counts for each slot."""
    asked, used = _REQUEST.findall(account.category), _AMOUNT.match(account.memory)
    if not asked or not used:
        return False
    return _bytes(*asked[-1]) * account.slots <= _bytes(used[1], used[2])


def _bytes(number: str, unit: str) -> float:
    """Return an amount as SGE means it: K is 1024, k is 1000."""
    return float(number) * float((1000 if unit.islower() else 1024) ** _UNITS[unit.upper()])


def exit_code(account: Account) -> int | None:
    """Return the job's own exit code; None where it never ran or had none."""
    number = account.number
    ran = number in {0, 30, *_KILLED, _LIMIT} or (number in FAILED and FAILED[number or 0] is None)
    return account.status if ran and (account.status or number == 0) else None
