"""Shell: no batch system needed. A small one of our own, `shell.sh`, runs jobs as processes of the cluster's host.

Resources of any size become no header line at all, for nodes, CPUs, GPUs and queue mean nothing here; custom_flags
stand in the script as they are, as everywhere. What runs at once is limited by `slots`, the cluster's
`max_running_jobs`; the default is the number of CPUs. Jobs wait in the order of their submission.

They are process groups of their own: they survive the worker, and cancelling one ends the whole group. After a reboot
of the host its running jobs are told as lost to a node failure, and waiting ones are started.

    bash /scratch/alice/.jobferry/shell/shell.sh submit --slots=4 --size=100 --token=jf.3f2a… … batch/jf.3f2a….sh

shell.sh is put together from shell_jobs.sh, which tells at its top how it works and what it writes, and from
shell_verbs.sh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources as package
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import SubmitBusy, SubmitRefused, SubmitUnknown, UnreadableOutput
from jobferry_common.files import NewFile
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.asked import refuse_others
from jobferry_common.schedulers.base import Argv, Completed, Facts, Listing, Phase, Seen
from jobferry_common.schedulers.elements import Indices, Jobs, Joined, compact, indices
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Submit

#: one file on the cluster: two could be of different releases for a moment
_SCRIPT: Final = b"\n".join(
    package.files(__package__).joinpath(name).read_bytes()
    for name in ("shell_jobs.sh", "shell_verbs.sh")
)
_FORM: Final = Joined("_")
_GREETING: Final = "jobferry-shell "
#: exit codes of shell.sh, and of bash where it is missing
_REFUSED, _NOT_NOW = 64, frozenset({69, 75, 78, 126, 127})
#: of fields that are for those who plan jobs
_INSTEAD: Final = "leave it out: on one host nobody would act on it"
#: longer arrays would work, but nobody needs them on one host
_MAX_ARRAY: Final = 10_000

_OUTCOMES: Final[Mapping[str, tuple[Outcome, str]]] = {
    "exited": (Outcome.FAILED, "exit code {}"),
    "cancelled": (Outcome.CANCELLED, "cancelled"),
    "lost": (Outcome.LOST, "its processes were gone and nobody saw its end"),
    "node": (Outcome.NODE_FAILURE, "the host was restarted while it ran"),
}
#: exit code of a job that could not begin, because its directory or its log cannot be opened
_NO_START: Final = 74


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The `Scheduler` for a host without a batch system."""

    #: absolute directory on the cluster that holds shell.sh and its state
    home: str
    #: most jobs and elements that run at once; None: the number of CPUs
    slots: int | None = None
    name: str = "Shell"

    def files(self) -> Sequence[NewFile]:
        """Return shell.sh."""
        return (NewFile(path=self._path, content=_SCRIPT, mode=0o755),)

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the custom_flags alone: there is nobody to read the rest."""
        refuse_others(resources, self.name, can=("cpus_per_task",), instead=_INSTEAD)
        return resources.custom_flags

    def job_id_expression(self) -> str:
        """Return `17_3` inside an array, `17` elsewhere."""
        return "${JOBFERRY_SHELL_ID-}${JOBFERRY_SHELL_INDEX:+_$JOBFERRY_SHELL_INDEX}"

    def index_expression(self) -> str:
        """Return the index that shell.sh gave."""
        return "${JOBFERRY_SHELL_INDEX:-}"

    def submit(self, submit: Submit) -> Argv:
        """Submit with shell.sh, which starts the job at once where there is room."""
        size = "-" if submit.size is None else submit.size
        options = (
            f"--size={size}",
            f"--token={submit.token}",
            f"--directory={submit.directory}",
            f"--log={submit.log}",
        )
        return (*self._command("submit"), self._slots, *options, submit.script)

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read `17`."""
        words = done.stderr.strip()
        text = done.stdout.strip().rpartition("\n")[2]
        if not done.exit_code and text.isdecimal():
            return SchedulerId(text)
        if done.exit_code == _REFUSED:
            raise SubmitRefused(words)
        if done.exit_code in _NOT_NOW:
            raise SubmitBusy(words)
        msg = f"shell.sh ended with {done.exit_code} and {words or done.stdout!r}; the job may have been accepted"
        raise SubmitUnknown(msg)

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return `17_3`."""
        return _FORM.element(array, index)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element."""
        return _FORM.split(key)

    def listing(self, user: str) -> Argv:
        """List all jobs that were not forgotten."""
        return self._command("list")

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read lines like `job 17 100 jf.3f2a… 1732000000`, `run 17 3`, `end 17 0-2 0 exited 1732000009`."""
        name, lines = _answer(done)
        if name != cluster:
            msg = (
                f"another home of jobs answered: {name!r}, not {cluster!r}. Was {self.home} emptied or replaced, or "
                "does the worker run on another host than before? Restart it when that is meant"
            )
            raise UnreadableOutput(msg)
        return _read(lines)

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """List again: ended jobs stay in the listing until they are forgotten."""
        return self._command("list")

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read it as a listing."""
        return self.parse_listing(done, cluster)

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Return None: what is not in the listing is not there."""
        return None

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Read it as a listing."""
        return self.parse_listing(done, cluster)

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs with all of their processes; elements of an array are named together: `17_0-3,7`."""
        return (*self._command("cancel"), *_together(ids))

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Take jobs out of the listing once they have ended; else they stay for a week."""
        return (*self._command("forget"), *_together(ids))

    def facts(self) -> Argv:
        """Make the home ready, and ask who it is."""
        return (*self._command("facts"), self._slots)

    def parse_facts(self, done: Completed) -> Facts:
        """Read `jobferry-shell ae3f4749@host` and `bash 5.2.15(1)-release`."""
        name, lines = _answer(done)
        version = next((line.partition(" ")[2] for line in lines if line.startswith("bash ")), "")
        return Facts(cluster=name, version=f"bash {version}", max_array=_MAX_ARRAY, history=False)

    @property
    def _path(self) -> str:
        return f"{self.home}/shell.sh"

    @property
    def _slots(self) -> str:
        return f"--slots={self.slots or ''}"

    def _command(self, verb: str) -> Argv:
        return ("bash", self._path, verb)


def _together(ids: Sequence[SchedulerId]) -> list[str]:
    return [job if of is None else f"{job}_{of}" for job, of in compact(ids, _FORM).items()]


def _answer(done: Completed) -> tuple[str, list[str]]:
    """Return who answered and the lines of the answer, once it is whole."""
    _, greeting, text = done.checked().rpartition(_GREETING)
    name, *lines = text.splitlines() or [""]
    if not greeting or not lines or lines[-1] != ".":
        msg = f"shell.sh's answer is cut short: {done.stdout[-200:]!r}"
        raise UnreadableOutput(msg)
    return name, lines[:-1]


class _Reader:
    """Gathers the lines of a listing."""

    def __init__(self) -> None:
        self.tokens: dict[SchedulerId, Token] = {}
        self.sizes: dict[SchedulerId, int | None] = {}
        self.single: dict[SchedulerId, Seen] = {}
        self.shared: dict[SchedulerId, list[tuple[Indices, Seen]]] = {}
        self.unreadable: dict[SchedulerId, str] = {}

    def job(self, key: SchedulerId, size: str, token: str, _time: str) -> None:
        self.tokens[key] = Token(token)
        self.sizes[key] = None if size == "-" else int(size)

    def wait(self, key: SchedulerId, start: str) -> None:
        size = self.sizes[key]
        self._add(key, f"{start}-{size - 1}" if size else start, phase=Phase.QUEUED)

    def run(self, key: SchedulerId, index: str) -> None:
        self._add(key, index, phase=Phase.RUNNING)

    def end(self, key: SchedulerId, span: str, code: str, how: str, _time: str) -> None:
        if how not in _OUTCOMES:
            self.unreadable.update(dict.fromkeys(self._ids(key, span), how))
            return
        outcome, reason = _OUTCOMES[how]
        number = int(code) if how == "exited" else None
        if number == 0:
            outcome = Outcome.SUCCEEDED
        elif number == _NO_START:
            reason = "exit code {}; perhaps its directory or its log could not be opened"
        self._add(
            key, span, phase=Phase.ENDED, outcome=outcome, code=number, reason=reason.format(code)
        )

    def _add(
        self,
        key: SchedulerId,
        span: str,
        *,
        phase: Phase,
        outcome: Outcome | None = None,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        """Add what is said first of an element: its end stands before the range in which it waits."""
        seen = Seen(
            id=key, phase=phase, token=self.tokens[key], outcome=outcome, code=code, reason=reason
        )
        if self.sizes[key] is None:
            self.single.setdefault(key, seen)
        elif "-" in span:
            self.shared.setdefault(key, []).append((indices(span), seen))
        else:
            element = SchedulerId(f"{key}_{span}")
            self.single.setdefault(element, replace(seen, id=element))

    def _ids(self, key: SchedulerId, span: str) -> Iterator[SchedulerId]:
        if self.sizes[key] is None:
            yield key
        else:
            yield from (SchedulerId(f"{key}_{index}") for index in indices(span))


def _read(lines: Sequence[str]) -> Listing:
    reader = _Reader()
    verbs: Mapping[str, Callable[..., None]] = {
        "job": reader.job,
        "wait": reader.wait,
        "run": reader.run,
        "end": reader.end,
    }
    for line in lines:
        verb, *words = line.split(" ")
        if verb == "args":
            continue
        try:
            verbs[verb](SchedulerId(words[0]), *words[1:])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            msg = f"shell.sh said {line[:200]!r}, which cannot be read: {error!r}"
            raise UnreadableOutput(msg) from error
    tokens: dict[Token, list[SchedulerId]] = {}
    for key, token in reader.tokens.items():
        tokens.setdefault(token, []).append(key)
    return Listing(
        jobs=Jobs(reader.single, reader.shared, _FORM), unreadable=reader.unreadable, tokens=tokens
    )
