"""What a failed qsub means: refused for ever, not now, or nobody knows.

    qsub: Unknown queue                                     (170)  → SubmitRefused
    qsub: Maximum number of jobs already in queue           (198)  → SubmitBusy
    qsub: cannot connect to server pbshost (errno=111)             → SubmitBusy
    qsub: End of File                                              → SubmitUnknown

The exit code of qsub is the server's error (PBSE_…, from 15000 on) modulo 256; a site's wrapper may hide it, so the
words count, too. The words are those of the tables of errors of PBS and Torque. As with Slurm, an answer that stands
in neither list is a refusal, and what did not come from qsub is no answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import CannotRun, SubmitBusy, SubmitRefused, SubmitUnknown

if TYPE_CHECKING:
    from jobferry_common.errors import SchedulerError
    from jobferry_common.schedulers.base import Completed

#: our own code where the directory of the submit cannot be entered
NO_DIRECTORY: Final = 75
_UNKNOWN_WORDS: Final = re.compile(
    "|".join(
        (
            r"End of File",
            r"Protocol \(ASN\.1\) error",
            r"Batch protocol error",
            r"Connection (?:reset|timed out while reading)",
            r"Broken pipe",
            r"[Tt]ime(?:d)? ?out waiting for",
            r"invalid response",
        )
    )
)
_BUSY_WORDS: Final = re.compile(
    "|".join(
        (
            # the server could not be reached, or is not ready
            r"[Cc]annot connect to (?:\w+ )*server",
            r"could not connect to",
            r"Connection refused",
            r"No free connections",
            r"[Cc]ommunication failure",
            r"[Ss]erver (?:is )?shutting down",
            r"Unable to (?:contact|communicate)",
            r"(?:connection table|Server) (?:is )?full",
            r"[Tt]ry (?:the request )?again",
            r"Expired [Cc]redential",
            r"Invalid [Cc]redential",
            r"No default server",
            # a limit was reached
            r"Maximum number of jobs",
            r"[Ww]ould exceed .*limit",
            r"limit (?:of|on) .*jobs",
            r"[Rr]esources temporarily unavailable",
            r"Resource temporarily unavailable",
            # it is closed for the moment
            r"[Qq]ueue is not enabled",
            r"Queue not enabled",
            # it is in trouble
            r"[Ss]ystem error",
            r"No space left on device",
            r"Disk quota exceeded",
            r"Cannot allocate memory",
            r"[Ff]ailed to save job",
        )
    )
)
#: PBSE_ numbers, as both have had them from the beginning: SYSTEM, QUNOENB, NOCONNECTS, NOSERVER, RESCUNAV, MAXQUED and
#: SVRDOWN
_BUSY_CODES: Final = frozenset(
    number % 256 for number in (15010, 15021, 15033, 15034, 15044, 15046, 15060)
)
#: PROTOCOL, DISPROTO
_UNKNOWN_CODES: Final = frozenset(number % 256 for number in (15031, 15056))
#: CONNFULL, ENTLIMCT, ENTLIMRESC, TRYAGAIN, which Torque has for other things
_BUSY_CODES_OF_PBS: Final = frozenset(number % 256 for number in (15117, 15142, 15143, 15208))


def submit_error(done: Completed, scheduler: str) -> SchedulerError:
    """Return what a failed qsub, or one whose answer cannot be read, is to be told as."""
    text, code = done.stderr.strip(), done.exit_code
    words = "; ".join(line.removeprefix("qsub: ").strip() for line in text.splitlines())
    if code in CannotRun.CODES:
        return CannotRun(done.argv, code, done.stderr)
    if "qsub:" not in text:
        if code == NO_DIRECTORY:
            return SubmitBusy(f"the directory of the run cannot be entered: {words}")
        return SubmitUnknown(_unanswered(done, words))
    if not code or _UNKNOWN_WORDS.search(text) or code in _UNKNOWN_CODES:
        return SubmitUnknown(_unanswered(done, words))
    codes = _BUSY_CODES | (_BUSY_CODES_OF_PBS if scheduler == "PBS" else frozenset())
    if _BUSY_WORDS.search(text) or code in codes:
        return SubmitBusy(f"{scheduler} does not take the job now: {words}")
    return SubmitRefused(f"{scheduler} refuses the job: {words}")


def _unanswered(done: Completed, words: str) -> str:
    seen = words or f"output {done.stdout[:200]!r}"
    return f"qsub ended with {done.exit_code} and without a clear answer: {seen}; the job may have been accepted"
