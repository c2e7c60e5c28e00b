"""What a failed pjsub means: refused for ever, not now, or nobody knows.

    [ERR.] PJM 0057 pjsub node=32 is greater than the upper limit (24).           → SubmitRefused
    [ERR.] PJM 0071 pjsub Group not authorized to submit a job: group(59999)      → SubmitRefused
    [ERR.] PJM … pjsub The number of jobs exceeds the limit (ru-accept).          → SubmitBusy
    [ERR.] PJM … pjsub Timeout …                                                  → SubmitUnknown

pjsub says [ERR.] of what it did not submit, on some releases with exit code 0. The manual lists no texts of the limits
and of a job manager that is down: they are told by their words, and what stands in neither list is a refusal. What did
not come from pjsub is no answer.
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
#: a line of pjsub that says why there is no job; the check of Fugaku's data areas has a form of its own
_SAID: Final = re.compile(r"\[ERR\.\]|is not a data area", re.I)
#: the request may have reached the job manager, its answer was not read
_UNKNOWN_WORDS: Final = re.compile(
    r"time(?:d)?[ -]?out|no (?:response|reply|answer)|internal error|connection (?:reset|lost|closed)|broken pipe",
    re.I,
)
#: nothing was accepted, and the same request may be accepted later
_BUSY_WORDS: Final = re.compile(
    "|".join(
        (
            # a limit of jobs was reached: names of limits are those of pjstat --limit
            r"\b(?:ru|rg|gu|g|u)-accept",
            r"(?:number of|too many) (?:\w+ )*(?:sub ?)?jobs",
            r"accept(?:ance|ed|ing)? limit|limit of accept",
            # the job manager is not there, or not ready
            r"(?:cannot|could not|failed to) (?:connect|communicate)",
            r"connection refused|communication (?:error|failed)",
            r"(?:is|are|has|been) (?:not (?:running|started|available|active)|stopped|down|closed|busy)",
            r"try again|temporar(?:y|ily)|unavailable|maintenance",
            # it is in trouble
            r"no space left|disk quota|cannot allocate memory|too many open files",
        )
    ),
    re.I,
)


def submit_error(done: Completed) -> SchedulerError:
    """Return what a failed pjsub, or one whose answer cannot be read, is to be told as."""
    text = f"{done.stderr}\n{done.stdout}"
    words = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    if done.exit_code in CannotRun.CODES:
        return CannotRun(done.argv, done.exit_code, done.stderr)
    if not _SAID.search(text):
        if done.exit_code == NO_DIRECTORY:
            return SubmitBusy(f"the directory of the run cannot be entered: {words}")
        return SubmitUnknown(_unanswered(done, words))
    if _UNKNOWN_WORDS.search(text):
        return SubmitUnknown(_unanswered(done, words))
    if _BUSY_WORDS.search(text):
        return SubmitBusy(f"Fugaku does not take the job now: {words}")
    return SubmitRefused(f"Fugaku refuses the job: {words}")


def _unanswered(done: Completed, words: str) -> str:
    return (
        f"pjsub ended with {done.exit_code} and without a clear answer: {words[:300] or 'silence'}; "
        "the job may have been accepted"
    )
