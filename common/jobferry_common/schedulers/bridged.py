"""What all systems that share no directory with the worker have in common: their commands are a bridge's.

    jobferry-bridge submit --token=jf.3f2a… --name=relax --directory=/root/3f2a…-2 --log=… --header=#YARN … script.sh
    jobferry-bridge list
    jobferry-bridge cancel jf.3f2a…

A bridge is no program: the worker's `BridgeHost` knows these argument vectors and answers them within its own process,
in JSON. It carries a job's files to the system and its results back (`jobferry_worker/bridge/`). The token is the job's
id as well, so that the same submit makes the same job.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import SubmitBusy, SubmitRefused, SubmitUnknown, UnreadableOutput
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Argv, Completed, Facts, Listing, Phase, Seen
from jobferry_common.schedulers.elements import Joined, compact
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Submit

#: what a `BridgeHost` takes for itself
COMMAND: Final = "jobferry-bridge"
#: exit codes of a bridge
REFUSED, NOT_NOW, SILENT = 64, 75, 69
#: the variable that a bridge's bootstrap gives to the script: the job's id
ID: Final = "JOBFERRY_BRIDGE_ID"

_FORM: Final = Joined("+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridged:
    """The `Scheduler` of a system behind a bridge."""

    name: str  #: its batch_type
    #: the header's lines: what the bridge hands to the system
    lines: Callable[[Resources], Iterable[str]]

    def files(self) -> Sequence[NewFile]:
        """Return nothing: the bridge has all it needs."""
        return ()

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the lines; nothing of them says whether a job may be started again."""
        del requeue
        return list(self.lines(resources))

    def job_id_expression(self) -> str:
        """Return the id that the bootstrap gave."""
        return f"${{{ID}-}}"

    def index_expression(self) -> str:
        """Return an empty text: there are no arrays."""
        return ""

    def submit(self, submit: Submit) -> Argv:
        """Hand a job to the bridge; it refuses an array."""
        return (
            *(COMMAND, "submit", f"--token={submit.token}", f"--name={submit.name}"),
            *(f"--directory={submit.directory}", f"--log={submit.log}"),
            *(f"--header={line}" for line in submit.header),
            *(() if submit.size is None else (f"--size={submit.size}",)),
            submit.script,
        )

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read the id."""
        words, text = done.stderr.strip(), done.stdout.strip()
        if not done.exit_code and text:
            return SchedulerId(text)
        if done.exit_code == REFUSED:
            raise SubmitRefused(words)
        if done.exit_code == NOT_NOW:
            raise SubmitBusy(words)
        msg = (
            f"the bridge ended with {done.exit_code} and {words!r}; the job may have been accepted"
        )
        raise SubmitUnknown(msg)

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return what an element would be called."""
        return _FORM.element(array, index)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element."""
        return _FORM.split(key)

    def listing(self, user: str) -> Argv:
        """List all jobs that were not forgotten, ended ones too."""
        del user
        return (COMMAND, "list")

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read what the bridge has of each job."""
        answer = _answer(done)
        if answer["bridge"] != cluster:
            msg = (
                f"another bridge answered: {answer['bridge']!r}, not {cluster!r}. Was its directory emptied, or are "
                "the settings of this cluster's worker others than before? Restart it when that is meant"
            )
            raise UnreadableOutput(msg)
        return _listing(answer)

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """List again: ended jobs stay in the listing until they are forgotten."""
        del ids, since
        return (COMMAND, "list")

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read it as a listing."""
        return self.parse_listing(done, cluster)

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Return None: what is not in the listing is not there."""
        del ids
        return None

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Read it as a listing."""
        del ids
        return self.parse_listing(done, cluster)

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs, many at once."""
        return (COMMAND, "cancel", *_together(ids))

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Take jobs out of the listing once they have ended, and remove what is stored of them."""
        return (COMMAND, "forget", *_together(ids))

    def facts(self) -> Argv:
        """Ask the bridge who it is, and its system whether it answers."""
        return (COMMAND, "facts")

    def parse_facts(self, done: Completed) -> Facts:
        """Read its name and the system's version."""
        answer = _answer(done)
        return Facts(
            cluster=answer["bridge"], version=str(answer["version"]), max_array=1, history=False
        )


def _together(ids: Sequence[SchedulerId]) -> list[str]:
    return [job if of is None else f"{job}+{of}" for job, of in compact(ids, _FORM).items()]


def _answer(done: Completed) -> Mapping[str, Any]:
    text = done.checked()
    try:
        answer = json.loads(text)
        if not (isinstance(answer, dict) and answer["bridge"]):
            msg = "no bridge says so"
            raise ValueError(msg)
    except (ValueError, KeyError) as error:
        msg = f"the bridge's answer cannot be read: {text[:200]!r} ({error})"
        raise UnreadableOutput(msg) from error
    return answer


def _listing(answer: Mapping[str, Any]) -> Listing:
    jobs: dict[SchedulerId, Seen] = {}
    tokens: dict[Token, list[SchedulerId]] = {}
    try:
        for job in answer["jobs"]:
            seen = _seen(job)
            jobs[seen.id] = seen
            tokens.setdefault(Token(job["token"]), []).append(seen.id)
        unreadable = {SchedulerId(key): word for key, word in answer["unreadable"].items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        msg = f"the bridge's answer cannot be read: {error!r}"
        raise UnreadableOutput(msg) from error
    for key in unreadable:  # they are told apart, but they are there
        jobs.pop(key, None)
    return Listing(jobs=jobs, unreadable=unreadable, tokens=tokens)


def _seen(job: Mapping[str, Any]) -> Seen:
    outcome = job["outcome"]
    return Seen(
        id=SchedulerId(job["id"]),
        phase=Phase(job["phase"]),
        token=Token(job["token"]),
        outcome=Outcome(outcome) if outcome else None,
        code=job["code"],
        reason=job["reason"],
    )
