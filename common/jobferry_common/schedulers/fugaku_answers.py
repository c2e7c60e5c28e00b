"""What `pjstat -s` tells of jobs: a block of labelled lines for each.

     JOB ID                      : 239[3]
     JOB NAME                    : relax.jf.3f2a9c01d5e7-2.0a1b2c3d4e5f
     STATE                       : EXT
     EXIT CODE                   : 0
     SIGNAL NO                   : 24
     PJM CODE                    : 11
     REASON                      : ELAPSE LIMIT EXCEEDED

The tables of pjstat cut names to ten letters, so that no token could be read in them. A bulk job stands there as well
as each of its sub jobs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Listing, Phase, Seen
from jobferry_common.schedulers.elements import Joined
from jobferry_common.schedulers.fugaku_states import PjmState, end_of, phase_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: an id within a bulk job
FORM: Final = Joined("[", "]")
#: what pjstat is to tell of each job, so that a listing of many stays small
ITEMS: Final = "jid,jnam,st,ec,sn,pc,ermsg"
_LINE: Final = re.compile(
    r"^ *(JOB ID|SUB JOB ID|JOB NAME|STATE|EXIT CODE|SIGNAL NO|PJM CODE|REASON) *: *(.*)$", re.M
)
_ID: Final = re.compile(r"\d+(?:\[\d+\])?\Z", re.ASCII)
_TOKEN: Final = re.compile(r"(?:^|\.)(jf\.[\w-]+\.\w+)\Z")
#: a row of a table, of a pjstat that does not write blocks
_ROW: Final = re.compile(r"^ *\d+(?:\[\d+\])? +\S*[A-Za-z].*$", re.M)


@dataclass(frozen=True, slots=True)
class Told:
    """One block."""

    key: SchedulerId
    words: Mapping[str, str]  #: label → value

    @property
    def token(self) -> Token | None:
        """The end of the job's name; None for a job that is not ours."""
        found = _TOKEN.search(self.words.get("JOB NAME", ""))
        return Token(found[1]) if found else None


def listing_of(text: str) -> Listing:
    """Read all blocks.

    Raises:
        UnreadableOutput: it is written in another form, or an id cannot be read.
    """
    blocks = list(_blocks(text))
    if not blocks and (row := _ROW.search(text)):
        msg = f"pjstat -s wrote a table and no blocks: {row[0][:200]!r}"
        raise UnreadableOutput(msg)
    jobs: dict[SchedulerId, Seen] = {}
    unreadable: dict[SchedulerId, str] = {}
    tokens: dict[Token, dict[SchedulerId, None]] = {}
    arrays = {
        array for array, index in (FORM.split(one.key) for one in blocks) if index is not None
    }
    for told in blocks:
        if told.token:
            tokens.setdefault(told.token, {})[FORM.split(told.key)[0]] = None
        if told.key in arrays:  # of a bulk job only its sub jobs count
            continue
        if (seen := _seen(told)) is None:
            unreadable[told.key] = told.words.get("STATE") or "no state"
        else:
            jobs[told.key] = seen
    bearers = {token: list(bearing) for token, bearing in tokens.items()}
    return Listing(jobs=jobs, unreadable=unreadable, tokens=bearers)


def _blocks(text: str) -> Iterator[Told]:
    words: dict[str, str] = {}
    for label, value in _LINE.findall(text):
        if label == "JOB ID" and words:
            yield _told(words)
            words = {}
        words[label] = value.strip()
    if words:
        yield _told(words)


def _told(words: dict[str, str]) -> Told:
    key = words.get("JOB ID", "")
    if "[" in (sub := words.get("SUB JOB ID", "")):
        key = sub
    if not _ID.match(key):
        msg = f"{key!r} is no id of a PJM job"
        raise UnreadableOutput(msg)
    return Told(SchedulerId(key), words)


def _seen(told: Told) -> Seen | None:
    """Return what is said of a job; None when its state is a word that we do not know."""
    words = told.words
    state = words.get("STATE", "")
    if (phase := phase_of(state)) is None:
        return None
    reason = words.get("REASON", "").strip("-")
    if phase is not Phase.ENDED:
        kept = reason or ("held" if state == PjmState.HELD else "")
        said = kept if phase is Phase.QUEUED else ""
        return Seen(id=told.key, phase=phase, token=told.token, reason=said)
    code, signal, manager = (_number(words.get(label)) for label in _ENDS)
    end = end_of(state, code, manager, signal)
    said = reason or f"{state} with exit code {code}, signal {signal}, PJM code {manager}"
    return Seen(
        id=told.key,
        phase=phase,
        token=told.token,
        outcome=end.outcome,
        code=end.code,
        reason=said,
    )


_ENDS: Final = ("EXIT CODE", "SIGNAL NO", "PJM CODE")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
