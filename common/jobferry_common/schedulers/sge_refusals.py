"""What a failed qsub means: refused for ever, not now, or nobody knows.

    Unable to run job: Job was rejected because job requests unknown queue "x"        → SubmitRefused
    … only 2 jobs are allowed per user (current job count: 2)      exit code 25       → SubmitBusy
    error: commlib error: got select error (Connection refused)                       → SubmitBusy
    … failed receiving gdi request response … (got syncron message receive timeout)   → SubmitUnknown

qsub ends with 25 when the same request may be accepted later, by the cluster's limits or by a JSV of the site.
As with Slurm, what qsub refuses in words that nobody foresaw is refused for ever.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import CannotRun, SubmitBusy, SubmitRefused, SubmitUnknown

if TYPE_CHECKING:
    from jobferry_common.errors import SchedulerError
    from jobferry_common.schedulers.base import Completed

#: the request may have reached the qmaster, its answer was not read
_UNKNOWN: Final = re.compile(
    "|".join(
        (
            r"failed receiving gdi request",
            r"receive timeout",
            r"got (?:read|receive) error",
            r"got send (?:timeout|acknowledge)",
            r"Connection reset by peer",
            r"Broken pipe",
            r"no answer from qmaster",
        )
    )
)
#: nothing was accepted, and the same request may be accepted later
_BUSY: Final = re.compile(
    "|".join(
        (
            # the qmaster could not be reached
            r"commlib error",
            r"unable to (?:send message to|contact) qmaster",
            r"can't (?:resolve|find) (?:host|address)",
            r"cell directory .* doesn't exist",
            r"Unable to initialize environment",
            r"critical error",
            # it cannot keep the job
            r"(?:couldn't|can't) be written",
            r"No space left on device",
            r"Disk quota exceeded",
            # for the moment
            r"rejected temporarily",
            r"temporarily rejected",
            r"try again later",
            r"jobs are allowed per (?:user|cluster)",
            r"Cannot allocate memory",
            r"Too many open files",
            r"Resource temporarily unavailable",
        )
    )
)
#: words of qsub itself, or of the qmaster through it
_QSUB: Final = re.compile(r"^(?:qsub: |Unable to |error: |denied: |JSV )", re.M)
_NO_ENVIRONMENT: Final = re.compile(r'parallel environment "?([^"\s]*)"? does not exist')
_NOISE: Final = re.compile(r"^(?:Unable to run job: |error: |qsub: )|^Exiting\.\s*$", re.M)
_AGAIN: Final = 25
#: `timeout` ended it, it cannot be executed or does not exist; 128 + n: killed by the signal n
_TIMED_OUT, _KILLED = 124, range(129, 193)


def submit_error(done: Completed) -> SchedulerError:
    """Return what a failed qsub, or one whose answer cannot be read, is to be told as."""
    code, text = done.exit_code, done.stderr.strip() or done.stdout.strip()
    words = "; ".join(filter(None, (line.strip() for line in _NOISE.sub("", text).splitlines())))
    if code in CannotRun.CODES:
        return CannotRun(done.argv, code, done.stderr)
    if not code or code == _TIMED_OUT or code in _KILLED or code < 0:
        return SubmitUnknown(_unanswered(done, words))
    if code == _AGAIN:
        return SubmitBusy(f"SGE does not take the job now: {words}")
    if _UNKNOWN.search(text) or not _QSUB.search(text):
        return SubmitUnknown(_unanswered(done, words))
    if _BUSY.search(text):
        return SubmitBusy(f"SGE does not take the job now: {words}")
    return SubmitRefused(f"SGE refuses the job: {words}{_hint(text)}")


def _hint(text: str) -> str:
    if not _NO_ENVIRONMENT.search(text):
        return ""
    return "; `qconf -spl` lists those there are, for pe_name in the kwargs of resources"


def _unanswered(done: Completed, words: str) -> str:
    seen = words or f"output {done.stdout[:200]!r}"
    return f"qsub ended with {done.exit_code} and without a clear answer: {seen}; the job may have been accepted"
