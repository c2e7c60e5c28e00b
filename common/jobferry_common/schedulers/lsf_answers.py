"""What bjobs and bhist answer, line by line.

    12|2|EXIT|3|-|relax.jf.3f2a9c01d5e7-1.0a1b[2]                     bjobs -o, where LSF has it (9.1.1)
    12      alice   RUN   normal     login       n07         relax.jf.3f2a9c01d5e7-1.0a1b[2] Nov 20 22:19     bjobs -w
    Job <12[2]>, Job Name <relax.jf.3f2a9c01d5e7-1.0a1b[2]>, User <alice>, …                                  bhist -l
    Fri Nov 20 22:19:49: Exited with exit code 3. The CPU time used is 0.0 seconds;

A job's name bears its token, at its end. bjobs -w says of an end only whether the exit code was 0; bhist says the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Phase, Seen
from jobferry_common.schedulers.lsf_states import HELD, SUCCEEDED, outcome_of, phase_of
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT: Final = "jobid jobindex stat exit_code exit_reason job_name delimiter='|'"
_STATE: Final = re.compile(r"[A-Z_a-z]+\Z")
_CLOCK: Final = re.compile(r"\d+:\d\d(?::\d\d)?\Z")
_TOKEN: Final = re.compile(r"(?:^|\.)(jf\.[\w-]+\.\w+)\Z")
_SIGNAL: Final = 128
#: words of a line before the clock: id, user, state, queue, host, name, month, day
_LEAST: Final = 7


class Line(NamedTuple):
    """What one line says of a job or an element."""

    key: SchedulerId
    array: SchedulerId  #: the job, or the array that it belongs to
    state: str
    code: str  #: "" where nothing is said of it
    reason: str
    token: Token | None


def lines(text: str) -> Iterator[Line]:
    """Read a listing of bjobs in either of its forms.

    Raises:
        UnreadableOutput: a line bears a token of ours, and cannot be read.
    """
    for row in text.splitlines():
        fields = row.split("|", 5)
        found = fields if len(fields) == len(FORMAT.split()) - 1 else _wide(row.split())
        if found and found[0].partition("[")[0].isdecimal() and _STATE.match(found[2]):
            job, index, state, code, reason, name = found
            yield _line(job, index, name, (state, _said(code), _said(reason)))
        elif "jf." in row:
            msg = f"no line about a job: {row[:200]!r}"
            raise UnreadableOutput(msg)
        # else it is the head, or a part of somebody's name that holds a line break


def _wide(words: list[str]) -> list[str] | None:
    """Return the fields of a line of bjobs -w.

    The name is the word before the time, for ours is one word. A year may follow, and in JH_UniScheduler the place in
    the queue.
    """
    for behind in (1, 2, 3):
        if len(words) > _LEAST + behind and _CLOCK.match(words[-behind]):
            return [words[0], "", words[2], "", "", words[-behind - 3]]
    return None


def _line(job: str, index: str, name: str, said: tuple[str, str, str]) -> Line:
    array, _, element = job.partition("[")
    title, _, number = name.rpartition("[")
    number = number.removesuffix("]") if title else ""
    if not number.isdecimal():  # the name of an array as a whole ends with its indices
        number = element.removesuffix("]") or index
    key = f"{array}[{number}]" if number.isdecimal() and number != "0" else array
    return Line(SchedulerId(key), SchedulerId(array), *said, _token(title or name))


@lru_cache(maxsize=1000)  # elements of an array have it in common
def _token(title: str) -> Token | None:
    found = _TOKEN.search(title)
    return Token(found[1]) if found else None


def _said(text: str) -> str:
    text = text.strip()
    return "" if text == "-" else text


def seen_of(line: Line) -> Seen | None:
    """Return what a line says; None when its state is a word that we do not know."""
    key, _, state, code, reason, token = line
    if (phase := phase_of(state)) is None:
        return None
    if phase is not Phase.ENDED:
        return Seen(id=key, phase=phase, token=token, reason=HELD.get(state, ""))
    if state in SUCCEEDED:
        return Seen(
            id=key, phase=phase, token=token, outcome=Outcome.SUCCEEDED, code=0, reason=state
        )
    number = int(code) if code.isdecimal() else None
    outcome = outcome_of(reason) or Outcome.FAILED
    return Seen(
        id=key, phase=phase, token=token, outcome=outcome, code=number, reason=reason or state
    )


def is_told(line: Line) -> bool:
    """Return False for an end of which bjobs does not say how it came: bhist is asked then."""
    return line.state not in {"EXIT", "POST_ERR"} or bool(line.code or line.reason)


_JOB: Final = re.compile(r"Job <(\d+)(?:\[(\d+)\])?>,(?: Job Name <([^>]*)>,)?")
_EVENT: Final = re.compile(
    r"\w{3} \w{3} +\d+ +[\d:]+(?: +\d{4})?: *(?:Job <\d+\[(\d+)\]>|\[(\d+)\])?,? *(.*)"
)
#: a long line goes on below, behind 21 blanks
_FOLD: Final = re.compile(r"\n {21}")
_CODE: Final = re.compile(r"exited with exit code (\d+)", re.I)
_BY_SIGNAL: Final = re.compile(r"exited by signal (\d+)", re.I)
_WANTED: Final = re.compile(
    r"(?:signal <(?:KILL|TERM|INT|QUIT)>|termination) request|user termination|forced to exit", re.I
)
#: these hold paths of the user's, too
_STARTED: Final = re.compile(r"(?:dispatched|started|starting|running)\b", re.I)
_SUBMIT: Final = re.compile(r"(?:submitted|parameters)\b", re.I)
_AGAIN: Final = re.compile(r"requeue|rerun|pending|migrat", re.I)
_OVER: Final = re.compile(r"done successfully|exited|completed <", re.I)


@dataclass(slots=True)
class _Past:
    """What bhist says of a job or an element so far."""

    token: Token | None = None
    started: bool = False
    wanted: bool = False  #: somebody asked for its end
    over: bool = False
    done: bool = False
    code: int | None = None
    reason: str = ""

    def read(self, words: str) -> None:
        """Read one event; what began anew has no end yet."""
        if _STARTED.match(words) or _SUBMIT.match(words):
            self.started = self.started or not _SUBMIT.match(words)
            return
        if _AGAIN.search(words):
            self.over, self.code, self.reason = False, None, ""
            return
        self.wanted = self.wanted or bool(_WANTED.search(words))
        if outcome_of(words):
            self.reason = words
        if _OVER.match(words):
            self.over, self.done = True, words.lower().startswith("done")
        if found := _CODE.search(words):
            self.code = int(found[1])
        elif found := _BY_SIGNAL.search(words):
            self.code = _SIGNAL + int(found[1])

    def seen(self, key: SchedulerId) -> Seen:
        """Return how it ended."""
        seen = Seen(id=key, phase=Phase.ENDED, token=self.token, outcome=Outcome.SUCCEEDED, code=0)
        if self.done:
            return replace(seen, reason="DONE")
        outcome = outcome_of(self.reason)
        if outcome is None and (self.wanted or not self.started):
            outcome = Outcome.CANCELLED
        reason = self.reason.rstrip(".; ") or "EXIT"
        return replace(seen, outcome=outcome or Outcome.FAILED, code=self.code, reason=reason)


def history(text: str) -> dict[SchedulerId, Seen]:
    """Read what `bhist -l` says of jobs that have ended; the others are left out.

    An array is told element by element, or as one job whose events name the element: `[2] started on <n07>`.
    """
    found: dict[SchedulerId, Seen] = {}
    parts = re.split(r"^(?=Job <)", _FOLD.sub("", text), flags=re.M)
    for part in parts:
        if head := _JOB.match(part):
            found.update(_of_job(head, part))
    return found


def _of_job(head: re.Match[str], part: str) -> Iterator[tuple[SchedulerId, Seen]]:
    job, index, name = head[1], head[2], head[3] or ""
    token = _token(name.partition("[")[0])
    events = [(one[1] or one[2], one[3]) for one in map(_EVENT.match, part.splitlines()) if one]
    of = {element for element, _ in events if element}
    for element in sorted(of, key=int) or [index]:
        past = _Past(token=token)
        for which, words in events:
            if which in (None, element):
                past.read(words)
        if past.over:
            key = SchedulerId(f"{job}[{element}]" if element else job)
            yield key, past.seen(key)
