"""What a failed sbatch means: refused for ever, not now, or nobody knows.

    Batch job submission failed: Invalid partition name specified          → SubmitRefused
    Batch job submission failed: Unable to contact … (connect failure)     → SubmitBusy
    Batch job submission failed: Socket timed out on send/recv operation   → SubmitUnknown

The words are those of Slurm's table of errors (slurm_strerror), of libc (strerror) and of sbatch itself.

An answer of sbatch that stands in neither list is taken as a refusal. Both guesses cost something: a wrong "refused"
fails the run at once, with Slurm's words, and may be retried by hand; a wrong "not now" would wait for ever on a
mistake that only its user can mend, and most words that nobody foresaw come from a site's own submit plugin, which
answers a mistake. What did not come from sbatch is not taken for an answer: the job may have been accepted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import CannotRun, SubmitBusy, SubmitRefused, SubmitUnknown

if TYPE_CHECKING:
    from jobferry_common.errors import SchedulerError
    from jobferry_common.schedulers.base import Completed

#: the request may have reached the controller, its answer was not read
_UNKNOWN: Final = (
    r"Socket timed out on send/recv operation",
    r"Zero Bytes were transmitted or received",
    r"\((?:send|receive|shutdown) failure\)",
    r"Message (?:send|receive) failure",
    r"Communication shutdown failure",
    r"Unexpected message received",
    r"Header lengths are longer than data received",
    r"Insane message length",
    r"Connection timed out (?:reading|writing)",
    r"Connection (?:forced closed|rejected by handler)",
    r"Kernel reported delayed socket error",
    r"Process is shutting down",
    r"(?:Read|Write) would block",
    r"missing socket error",
    r"Unable to process (?:incoming|outgoing) ",
    r"Connection reset by peer",
    r"Broken pipe",
    r"Transport endpoint is not connected",
    r"Interrupted system call",
    r"Operation now in progress",
)

#: nothing was accepted, and the same request may be accepted later
_BUSY: Final = (
    # the controller could not be reached, or is not ready
    r"\(connect failure\)",
    r"Communication connection failure",
    r"Connection (?:refused|timed out)",
    r"No route to host",
    r"Network is (?:unreachable|down)",
    r"Host is (?:unreachable|down)",
    r"standby mode",
    r"Can't find an address, check slurm\.conf",
    r"Incompatible versions of client and server",
    r"[Aa]uthentication",
    r"[Mm]unge",
    r"Error generating job credential",
    # sbatch could not begin
    r"Unable to process configuration file",
    r"configuration source",
    r"cannot stat file",
    r"Plugin initialization failed",
    r"Unable to open file",
    r"Cannot allocate memory",
    r"Too many open files",
    # a limit was reached
    r"temporarily unable to accept job",
    r"Resource temporarily unavailable",
    r"job queue full",
    r"Job creation temporarily disabled",
    r"MaxJobCount limit reached",
    r"Rate limit exceeded",
    r"breached requested QOS usage threshold",
    r"Burst Buffer resource limit exceeded",
    r"Waiting for burst buffer",
    r"Licenses currently unavailable",
    # it is closed for the moment
    r"Required partition not available",
    r"Partition in DOWN state",
    r"Requested partition configuration not available now",
    r"Requested nodes are busy",
    r"Required node not available",
    r"Requested reservation (?:not usable now|is in use)",
    r"System submissions disabled",
    r"presently disabled",
    r"PrologSlurmctld is still running",
    r"Max powered up nodes reached",
    r"locked by another sibling",
    r"try again later",
    # the controller is in trouble
    r"I/O error writing script/environment to file",
    r"No space left on device",
    r"Disk quota exceeded",
    r"Unable to connect to database",
)

_UNKNOWN_WORDS: Final = re.compile("|".join(_UNKNOWN))
_BUSY_WORDS: Final = re.compile("|".join(_BUSY))
#: one error for all limits; the line before it names the limit: AssocMaxSubmitJobLimit, QOSMaxCpuPerJobLimit, …
_POLICY: Final = "violates accounting/QOS policy"
_LIMIT: Final = re.compile(r"\b(?:Assoc|QOS)\w*Limit\b|\bMax\w+Per\w+\b")
_PREFIX: Final = re.compile(
    r"^sbatch: (?:error: |fatal: )?(?:Batch job submission failed: )?", re.M
)
#: `timeout` ended it, it does not exist or cannot be executed; 128 + n: killed by the signal n
_TIMED_OUT, _KILLED = 124, range(129, 193)


def submit_error(done: Completed) -> SchedulerError:
    """Return what a failed sbatch, or one whose answer cannot be read, is to be told as."""
    text = done.stderr.strip()
    words = "; ".join(_PREFIX.sub("", text).split("\n")).strip()
    if done.exit_code in CannotRun.CODES:
        return CannotRun(done.argv, done.exit_code, done.stderr)
    if (
        not done.exit_code
        or done.exit_code == _TIMED_OUT
        or done.exit_code in _KILLED
        or done.exit_code < 0
    ):
        return SubmitUnknown(_unanswered(done, words))
    if _UNKNOWN_WORDS.search(text) or "sbatch:" not in text:
        return SubmitUnknown(_unanswered(done, words))
    if _BUSY_WORDS.search(text) or (_POLICY in text and not _is_size_limit(text)):
        return SubmitBusy(f"Slurm does not take the job now: {words}")
    return SubmitRefused(f"Slurm refuses the job: {words}")


def _is_size_limit(text: str) -> bool:
    """True when the job itself is too large; False when there are too many jobs, or Slurm does not say."""
    limits = _LIMIT.findall(text)
    return bool(limits) and not any("Submit" in limit for limit in limits)


def _unanswered(done: Completed, words: str) -> str:
    seen = words or f"output {done.stdout[:200]!r}"
    return f"sbatch ended with {done.exit_code} and without a clear answer: {seen}; the job may have been accepted"
