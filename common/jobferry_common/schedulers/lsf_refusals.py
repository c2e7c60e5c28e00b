"""What a failed bsub means: refused for ever, not now, or nobody knows.

    nosuchqueue: No such queue. Job not submitted.                             → SubmitRefused
    User <alice>: Pending job threshold reached. Job not submitted.            → SubmitBusy
    lsb_init: Failed in an LSF library call: LIM is down; try later. …         → SubmitBusy
    Failed in receiving job submission result: Communication timeout …         → SubmitUnknown

The words are those of LSF's table of errors. bsub ends each refusal with "Job not submitted", and an end without it
and without words that we know is no answer: the job may have been accepted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import CannotRun, SubmitBusy, SubmitRefused, SubmitUnknown

if TYPE_CHECKING:
    from jobferry_common.errors import SchedulerError
    from jobferry_common.schedulers.base import Completed

#: our own code where the directory of the submit cannot be entered, or the script not be read
NO_DIRECTORY: Final = 75

#: the request may have reached the daemon, its answer was not read
_UNKNOWN_WORDS: Final = re.compile(
    "|".join(
        (
            r"Communication timeout",
            r"Batch protocol error",
            r"XDR encode/decode error",
            r"internal error",
            r"Connection reset by peer",
            r"Broken pipe",
            r"[Rr]eceiving",
            r"mbatchd did not",
        )
    )
)
#: nothing was accepted, and the same request may be accepted later
_BUSY_WORDS: Final = re.compile(
    "|".join(
        (
            # the daemons could not be reached, or are not ready
            r"[Cc]annot connect to LSF",
            r"[Pp]lease wait",
            r"not responding",
            r"try (?:it )?(?:again )?later",
            r"LIM is down",
            r"[Mm]aster LIM",
            r"master (?:host )?(?:is )?unknown",
            r"[Tt]imeout on connect",
            r"[Cc]onnect(?:ion)? (?:refused|timed out)",
            r"Server is not connected",
            r"Batch service not registered",
            r"Batch daemon cannot fork",
            r"Unable to find a host for spooling",
            r"Fork for spooling failed",
            r"[Ll]ost contact",
            # a limit was reached
            r"[Pp]ending job (?:slots )?threshold",
            r"reached its (?:pending )?job limit",
            r"limit (?:has been |was )?(?:reached|exceeded)",
            r"does not have enough (?:per-\w+ )?job slots",
            r"could exceed configured general resource limits",
            r"No job Id can be used now",
            # it is closed for the moment
            r"Queue has been closed",
            r"queue windows are closed",
            r"Not enough host\(s\) currently eligible",
            # it is in trouble
            r"Cannot allocate memory",
            r"Too many open files",
            r"No space left on device",
            r"Disk quota exceeded",
            r"Resource temporarily unavailable",
        )
    )
)
_REFUSED_WORDS: Final = re.compile(r"not submitted|[Uu]sage:|aborted by e?sub")
#: `timeout` ended it; not executable, not there; 128 + n: killed by the signal n
_TIMED_OUT, _KILLED = 124, range(129, 193)


def submit_error(done: Completed, scheduler: str, command: str) -> SchedulerError:
    """Return what a failed submit, or one whose answer cannot be read, is to be told as."""
    text, code = done.stderr.strip(), done.exit_code
    words = "; ".join(line.strip() for line in text.splitlines())
    if code in CannotRun.CODES:
        return CannotRun(done.argv, code, done.stderr)
    if not code or code < 0 or code == _TIMED_OUT or code in _KILLED:
        return SubmitUnknown(_unanswered(done, words, command))
    if code == NO_DIRECTORY:
        return SubmitBusy(f"the directory of the run, or its script, cannot be read: {words}")
    if not _UNKNOWN_WORDS.search(text):
        if _BUSY_WORDS.search(text):
            return SubmitBusy(f"{scheduler} does not take the job now: {words}")
        if _REFUSED_WORDS.search(text):
            return SubmitRefused(f"{scheduler} refuses the job: {words}")
    return SubmitUnknown(_unanswered(done, words, command))


def _unanswered(done: Completed, words: str, command: str) -> str:
    seen = words or f"output {done.stdout[:200]!r}"
    return (
        f"{command} ended with {done.exit_code} and without a clear answer: {seen}; "
        "the job may have been accepted"
    )
