"""Where everything of a run lies on a cluster.

    <root>/.jobferry/id                          proves that the root is the one we know
    <root>/.jobferry/spool/<ledger>/<cluster>/   hints: `<run>.<job>.<attempt>`, empty files
    <root>/.jobferry/runs/<cluster>/<run>        what is kept of a run, to make a lost ledger again: see `traces.py`
    <base>/.jobferry/<run>/                      all that jobferry writes beside the user's files ("control")
        runtime.sh environment.sh prepend.sh append.sh
        batch/<token>.sh  batch/<token>.list     one submit command; line i+1 of the list belongs to index i
        batch/<token>.cargo                      what a bridge carries for it, see `cargo.py`
        jobs/<job>  commands/<digest>            the tasks of a job; a command, shared by all tasks that have it
        document/0 1 2 …  document/taken         its header and pages; what it took over from an earlier run
        claim/<job>.<attempt>  records/<job>.<attempt>  done/<task>  logs/<token>

`<base>` is `<root>/<run>`, or the producer's own directory when tasks run in place.

    >>> run = RunId("5e7-1")
    >>> layout = Layout(root="/scratch/a", base="/scratch/a/5e7-1", run=run, ledger="1f", cluster="hpc1")
    >>> layout.record(AttemptKey(7, 2))
    '/scratch/a/5e7-1/.jobferry/5e7-1/records/7.2'
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.names import AttemptKey, RunId

if TYPE_CHECKING:
    from jobferry_common.document import Header
    from jobferry_common.names import Token

#: the one directory name that jobferry uses inside a user's directory
HIDDEN: Final = ".jobferry"

_HINT: Final = re.compile(r"([^/.]+)\.(\d+)\.(\d+)\Z", re.ASCII)
_REFUSAL: Final = re.compile(r"[^/.]+\.\d+\.\d+\.refused\.[^/]+\Z", re.ASCII)


def id_file(root: str) -> str:
    """Return the file that proves which remote root this is."""
    return posixpath.join(root, HIDDEN, "id")


def spool(root: str, ledger: str, cluster: str) -> str:
    """Return the directory where jobs of a cluster leave their hints for the ledger of that id."""
    return posixpath.join(root, HIDDEN, "spool", ledger, cluster)


def is_refusal(name: str) -> bool:
    """Tell whether a job left this name because its attempt belonged to another: it ran nothing."""
    return _REFUSAL.match(name) is not None


def traces(root: str, cluster: str) -> str:
    """Return the directory that holds a file for each run of a cluster."""
    return posixpath.join(root, HIDDEN, "runs", cluster)


def parse_hint(name: str) -> tuple[RunId, AttemptKey] | None:
    """Read the name of a hint; None for a file that is none."""
    match = _HINT.match(name)
    if match is None:
        return None
    return RunId(match[1]), AttemptKey(int(match[2]), int(match[3]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The paths of one run on one cluster; all absolute."""

    root: str  #: remote_root of the cluster, or local_root in place
    base: str  #: the tasks' work base
    run: RunId
    ledger: str  #: id of the ledger: two ledgers may share a root
    cluster: str  #: its name: so may two clusters of one ledger

    @classmethod
    def of(
        cls, header: Header, run: RunId, root: str, ledger: str, cluster: str | None = None
    ) -> Layout:
        """Return the layout of a run under a cluster's root; `cluster`: which of several, None for the first."""
        base = header.source if header.in_place else posixpath.join(root, run)
        return cls(root=root, base=base, run=run, ledger=ledger, cluster=cluster or header.cluster)

    @property
    def control(self) -> str:
        """Directory of all that jobferry writes for the run."""
        return posixpath.join(self.base, HIDDEN, self.run)

    @property
    def spool(self) -> str:
        """Directory of the hints."""
        return spool(self.root, self.ledger, self.cluster)

    @property
    def id_file(self) -> str:
        """File that proves which root this is."""
        return id_file(self.root)

    @property
    def trace(self) -> str:
        """The file by which a lost ledger finds the run again."""
        return posixpath.join(traces(self.root, self.cluster), self.run)

    @property
    def runtime(self) -> str:
        """The functions that every script of the run sources."""
        return self._in("runtime.sh")

    @property
    def environment(self) -> str:
        """The functions that load modules, source files and export variables."""
        return self._in("environment.sh")

    @property
    def prepend(self) -> str:
        """The user's prepend_script."""
        return self._in("prepend.sh")

    @property
    def append(self) -> str:
        """The user's append_script."""
        return self._in("append.sh")

    @property
    def directories(self) -> tuple[str, ...]:
        """Directories that must exist before a job starts, beside those of its files."""
        return (*(self._in(name) for name in ("claim", "records", "done", "logs")), self.spool)

    def document(self, piece: int | str) -> str:
        """A piece of the run's document: 0 is its header, then its pages; `taken` is what it took over."""
        return self._in("document", str(piece))

    def script(self, token: Token) -> str:
        """The script that one submit command hands over."""
        return self._in("batch", f"{token}.sh")

    def list(self, token: Token) -> str:
        """The frozen list of a submit command: `job.attempt` of each index, a line each."""
        return self._in("batch", f"{token}.list")

    def cargo(self, token: Token) -> str:
        """What has to be carried along, where the script runs elsewhere."""
        return self._in("batch", f"{token}.cargo")

    def log(self, token: Token) -> str:
        """What the script itself prints; a scheduler may add an index."""
        return self._in("logs", token)

    def job(self, job: int) -> str:
        """The tasks of a job, as calls of the runtime."""
        return self._in("jobs", str(job))

    def command(self, command: str) -> str:
        """The file of a command."""
        return self._in("commands", command_digest(command))

    def claim(self, attempt: AttemptKey) -> str:
        """The mark by which one scheduler job owns an attempt."""
        return self._in("claim", str(attempt))

    def record(self, attempt: AttemptKey) -> str:
        """The exit record of an attempt."""
        return self._in("records", str(attempt))

    def done(self, task: int) -> str:
        """The success mark of a task."""
        return self._in("done", str(task))

    def hint(self, attempt: AttemptKey) -> str:
        """The file in the spool that says that an attempt's record is there."""
        return posixpath.join(self.spool, f"{self.run}.{attempt}")

    def _in(self, *parts: str) -> str:
        return posixpath.join(self.control, *parts)


def command_digest(command: str) -> str:
    """Return the name of a command's file: equal commands share one."""
    return hashlib.sha256(command.encode("utf-8", "surrogateescape")).hexdigest()[:16]
