r"""What the commands of Hadoop say, read: the table of applications, and the words of its client.

>>> applications("application_1_2\tx.jf.5-1.0a\tYARN\tann\tdefault\tFINISHED\tSUCCEEDED\t100%\tN/A")[0].final
'SUCCEEDED'
>>> meaning("ACCEPTED", "UNDEFINED")
(<Phase.QUEUED: 'queued'>, None)

The words are those of YarnApplicationState and FinalApplicationStatus in Hadoop 2.2 to 3.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import SchedulerError, SubmitBusy, SubmitRefused, SubmitUnknown
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

#: what YARN's column State may hold
STATES: Final[Mapping[str, Phase]] = MappingProxyType(
    {
        "NEW": Phase.QUEUED,
        "NEW_SAVING": Phase.QUEUED,
        "SUBMITTED": Phase.QUEUED,
        "ACCEPTED": Phase.QUEUED,
        "RUNNING": Phase.RUNNING,
        "FINISHED": Phase.ENDED,
        "FAILED": Phase.ENDED,
        "KILLED": Phase.ENDED,
    }
)
#: what its column Final-State may hold, as the application has reported it
FINAL_STATES: Final[Mapping[str, Outcome | None]] = MappingProxyType(
    {
        "UNDEFINED": None,
        "SUCCEEDED": Outcome.SUCCEEDED,
        "FAILED": Outcome.FAILED,
        "KILLED": Outcome.CANCELLED,
        "ENDED": Outcome.FAILED,  # of an application with subtasks; a shell has none
    }
)
_APPLICATION: Final = re.compile(r"application_\d+_\d+\Z", re.ASCII)
_SUBMITTED: Final = re.compile(r"Submitted application (application_\d+_\d+)", re.ASCII)
#: from here on an application may be there
_SUBMITTING: Final = "Submitting application to ASM"
_COLUMNS: Final = 7
#: codes of a client that ended by itself, or was never run; not of one that was ended
_NOT_SENT: Final = frozenset({*range(1, 124), 126, 127})

#: what will be the same the next time
_REFUSED: Final = re.compile(
    r"unknown queue|Queue \S+ (?:not present|doesn't exist|does not exist)|non-leaf queue|leaf queue"
    r"|rejected by (?:queue )?placement|InvalidResourceRequestException|Invalid resource request"
    r"|ResourceNotFoundException|Unknown resource|InvalidLabelResourceRequestException"
    r"|does not have permission|AccessControlException|cannot submit applications to queue"
    r"|UnrecognizedOptionException|MissingArgumentException|IllegalArgumentException|NumberFormatException"
    r"|No jar file specified|JAR does not exist|Could not find or load main class|ClassNotFoundException"
    r"|Not a valid JAR"
)
#: what may be otherwise a little later
_BUSY: Final = re.compile(
    r"cannot accept submission|is STOPPED|SafeModeException|safe mode|ConnectException|Connection refused"
    r"|StandbyException|RetriableException|NoRouteToHostException|UnknownHostException|SocketTimeoutException"
    r"|DSQuotaExceededException|maximum running (?:apps|applications)"
)
#: lines of a log that say what went wrong
_TELLING: Final = re.compile(r"ERROR|FATAL|Exception|Error:|rror running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A line of `yarn application -list`."""

    id: str
    name: str
    state: str
    final: str


def applications(text: str) -> list[Application]:
    """Read the table: columns with tabs between them, padded with blanks; other lines are logs."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) >= _COLUMNS and _APPLICATION.match(cells[0]):
            # a name may hold tabs; what follows it does not
            state, final = cells[5], cells[6]
            found.append(Application(id=cells[0], name=cells[1], state=state, final=final))
    return found


def is_table(text: str) -> bool:
    """Tell whether an answer is a table at all, be it one of no applications."""
    return "Total number of applications" in text and "Final-State" in text


def meaning(state: str, final: str) -> tuple[Phase | None, Outcome | None]:
    """Return phase and outcome; no phase where nobody knows one of the words."""
    phase = STATES.get(state)
    if phase is not Phase.ENDED:
        return phase, None
    if final not in FINAL_STATES:
        return None, None
    if state == "KILLED":
        return phase, Outcome.CANCELLED
    if state == "FAILED":  # its master could not be run, whatever it had reported
        return phase, Outcome.FAILED
    return phase, FINAL_STATES[final] or Outcome.FAILED


def submitted(line: str) -> str:
    """Return the application that a line of the client's log says was submitted; ""."""
    found = _SUBMITTED.search(line)
    return found[1] if found else ""


def submit_error(code: int, text: str) -> SchedulerError:
    """Return what a client that submitted nothing, for all it said, means."""
    telling = [line.strip() for line in text.splitlines() if _TELLING.search(line)]
    words = "; ".join(telling[:4]) or text.strip()[-500:] or f"hadoop jar ended with {code}"
    if _REFUSED.search(text):
        return SubmitRefused(words)
    if _BUSY.search(text):
        return SubmitBusy(words)
    if "NullPointerException" in text and _SUBMITTING not in text:
        # clients before 3.1 stumble over the answer about a queue that is not there
        return SubmitRefused(f"perhaps there is no such queue: {words}")
    if code in _NOT_SENT and _SUBMITTING not in text:
        return SubmitBusy(words)
    return SubmitUnknown(
        f"hadoop jar ended with {code} and {words}; the job may have been accepted"
    )
