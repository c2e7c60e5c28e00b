"""What a bridge needs of the other side: a `Storage` that holds archives, and a `System` that runs jobs.

    storage.put(job, Path("in.tgz"))          the job's files, before it is started
    identity = system.start(job, Path("bootstrap.sh"))
    for said in system.look(jobs): ...        one command, or a few requests, however many jobs
    storage.get(job, Path("result"))          what the bootstrap delivered there

Both are called from several threads at once. Both raise `HostUnreachable` where nobody answers, and `CommandFailed`,
`UnreadableOutput` or `StagingError` where the answer is no good: whatever it was is tried again later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobferry_common.schedulers.base import Phase
    from jobferry_common.states import Outcome
    from jobferry_worker.bridge.books import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a system says of one job of its own."""

    id: str  #: what the system calls it
    token: str = ""  #: of the bridge's job, where the system keeps it; its name may end with it
    phase: Phase | None  #: None: `word` is in no table
    #: only with ENDED
    outcome: Outcome | None = None
    code: int | None = None  #: exit code of the bootstrap, which is the script's own
    reason: str = ""  #: in the system's words
    word: str = ""  #: its word for the state


class Storage(Protocol):
    """Where archives lie that both sides reach."""

    name: str  #: for messages

    def put(self, job: Job, file: Path) -> None:
        """Bring the job's archive there; what an earlier try left is replaced."""
        ...

    def get(self, job: Job, file: Path) -> bool:
        """Bring what the job delivered into `file`; False: it has delivered nothing."""
        ...

    def delete(self, job: Job) -> None:
        """Remove all that is there of a job; nothing being there is no error."""
        ...

    def shell(self, job: Job) -> str:
        """Return bash functions for the bootstrap, which run in the job's own directory there.

        jf_get FILE      bring the archive into FILE
        jf_put FILE      deliver FILE, as a whole or not at all; where something was delivered before, leave it
        jf_claim OWNER   become the one who runs the job; 1: somebody else is. May be left out
        """
        ...


class System(Protocol):
    """What runs jobs."""

    name: str  #: for messages

    def facts(self) -> str:
        """Return its version; it has to be asked, so that a wrong address is told."""
        ...

    def start(self, job: Job, bootstrap: Path) -> str:
        """Start a job whose archive is stored; return what the system calls it.

        The token stands in its name or a tag, so that `look` finds it.

        Raises:
            SubmitRefused: it will never be taken, in the system's own words.
            SubmitBusy: surely not taken now.
            SubmitUnknown: no answer; it may have been taken.
        """
        ...

    def look(self, jobs: Sequence[Job]) -> Sequence[Said]:
        """Return what it has of these jobs, by id or by token, at least; it may tell of others as well."""
        ...

    def stop(self, ids: Sequence[str]) -> None:
        """End jobs; those that have ended are left alone."""
        ...

    def owner(self) -> str:
        """Return a bash word that is the system's id of the job, in the job; such as "${SYSTEM_JOB_ID-}"."""
        ...
