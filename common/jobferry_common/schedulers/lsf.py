"""LSF and what speaks its commands: bsub, bjobs, bhist, bkill, lsid, bparams.

Resources of 2 nodes with 4 tasks and a GPU each, in the queue `gpu`, become

    #BSUB -n 8
    #BSUB -R "span[ptile=4]"
    #BSUB -gpu 'num=1:mode=shared:j_exclusive=yes'
    #BSUB -q gpu

followed by the custom_flags as they are. What belongs to one job stands on the command, so that equal jobs share
one script, and an array of them is

    bsub -rn -J relax.jf.3f2a9c01d5e7-2.…[1-100] -o .jobferry/logs/jf.3f2a….%I < script

in the directory of the run, where LSF starts the job then. The log is named relative to it, because there is no way to
write a percent sign that is not a variable of LSF's. LSF writes its report into it, too. The index of an element
begins with 1 in LSF, and so do its log and its id: the element 0 is `12[1]`, and logs to `….1`.

bsub is told to try once (LSB_NTRIES), where it would wait for ever for a daemon or for room in the queue. -rn keeps
LSF from running the job again by itself; where bsub does not know the option, nothing is reset, and a queue that
reruns its jobs must say so: the claim of an attempt holds in any case.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput, command_failed
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers import lsf_answers, lsf_scripts
from jobferry_common.schedulers.base import Argv, Completed, Facts, Listing, Seen
from jobferry_common.schedulers.elements import Joined, compact
from jobferry_common.schedulers.lsf_header import lsf_header
from jobferry_common.schedulers.lsf_refusals import submit_error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Submit

_SUBMITTED: Final = re.compile(r"^Job <(\d+)> is submitted\b", re.M)
#: what an array may be called: others mean something to LSF
_NAME_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_-]")
#: name, token and indices have to fit into the 255 characters of an array's name
_NAME_LENGTH: Final = 60
#: LSF's own default of MAX_JOB_ARRAY_SIZE
_MAX_ARRAY: Final = 1000
_MOST: Final = 1000  #: so many jobs and arrays are asked about at once

#: BSUB_QUIET would hide the id, BSUB_BLOCK wait for the end; the rest would pass for the job's own
_PREPARE: Final = """\
unset BSUB_QUIET BSUB_QUIET2 BSUB_STDERR BSUB_BLOCK BSUB_CHK_RESREQ LSB_JOBID LSB_JOBINDEX LSB_BATCH_JID
LSB_NTRIES=1; export LSB_NTRIES"""
#: a line of ours ends the answer, so that a cut one is never taken for a whole
_END: Final = re.compile(rf"\n{lsf_scripts.END} (\d+)\s*\Z")
_CLUSTER: Final = re.compile(r"^(?:My )?cluster name(?: is|\s*:)? +<?([^\s<>]+)", re.M | re.I)
_VERSION: Final = re.compile(r"\b\d+\.\d[\w.]*")
_ARRAY_SIZE: Final = re.compile(r"\bMAX_JOB_ARRAY_SIZE\s*=\s*(\d+)")
#: no jobs at all; and what is said of ids that are not known beside others
_NONE: Final = re.compile(r"^No (?:\w+ )*jobs? found", re.M)
_NOT_FOUND: Final = re.compile(
    r"(?:Job <[^>]*>:? (?:is not found|No matching job found)|No (?:\w+ )*jobs? found).*"
)


@dataclass(frozen=True, slots=True)
class Numbered:
    """`12[3]`: the third element of the array 12, whose index is 2 here."""

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return the id of one element."""
        return _NATIVE.element(array, index + 1)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element; of anything else itself, and None."""
        array, number = _NATIVE.split(key)
        return array, None if number is None else number - 1


#: as LSF counts
_NATIVE: Final = Joined("[", "]")
FORM: Final = Numbered()


class LSF:
    """The `Scheduler` for LSF."""

    name = "LSF"
    _mark = "#BSUB"  #: begins a line of the header
    _command = "bsub"
    _submitting = lsf_scripts.submitting("bsub", _PREPARE)
    # lsid says whom we asked; -o tells the exit codes, and where it or one of its fields is not known, -w does without
    _listing = lsf_scripts.listing(
        "lsid", (f'bjobs -a -noheader -o "{lsf_answers.FORMAT}"', "bjobs -a -w")
    )
    # the ten newest files of events: a busy cluster begins a new one every thousand jobs
    _history = lsf_scripts.history("lsid", "bhist -n 10 -l")
    _facts = f"{lsf_scripts.QUIET}\nlsid && bparams -l"
    _kill: tuple[str, ...] = ("bkill",)

    def files(self) -> Sequence[NewFile]:
        """Return nothing: LSF has all it needs."""
        return ()

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the #BSUB lines."""
        return list(lsf_header(resources, requeue=requeue))

    def job_id_expression(self) -> str:
        """Return `12[3]` inside an array, `12` elsewhere: LSB_JOBINDEX is 0 there."""
        return '$LSB_JOBID$([ "${LSB_JOBINDEX:-0}" = 0 ] || echo "[$LSB_JOBINDEX]")'

    def index_expression(self) -> str:
        """Return one less than LSF's own index."""
        return '$([ "${LSB_JOBINDEX:-0}" = 0 ] || echo "$((LSB_JOBINDEX - 1))")'

    def submit(self, submit: Submit) -> Argv:
        """Submit with bsub, the script on its standard input: so LSF keeps a copy of it."""
        log = posixpath.relpath(submit.log, submit.directory)
        name = f"{_job_name(submit.name)}.{submit.token}"
        if submit.size is not None:
            name, log = f"{name}[1-{submit.size}]", f"{log}.%I"
        never = () if submit.requeue or _says_rerun(submit.header, self._mark) else ("-rn",)
        return (
            *("sh", "-c", self._submitting, "sh", submit.directory),
            *(*never, "-J", name, "-o", log, submit.script),
        )

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read `Job <12> is submitted to queue <normal>.`: the last such line, since a wrapper may print, too."""
        found = [] if done.exit_code else _SUBMITTED.findall(done.stdout)
        if not found:
            raise submit_error(done, self.name, self._command)
        return SchedulerId(found[-1])

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return `12[4]` for the index 3."""
        return FORM.element(array, index)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element."""
        return FORM.split(key)

    def listing(self, user: str) -> Argv:
        """List every job of the user, those that ended within CLEAN_PERIOD (an hour) too."""
        return ("sh", "-c", self._listing, "sh", "-u", user)

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read whom we asked, and lines about jobs; what ended in a way that bjobs did not tell is left to bhist."""
        code, text = self._answer(done, cluster)
        if code and not _NONE.search(done.stderr):
            raise command_failed(done.argv, code, done.stderr)
        return _read(text, lsf_answers.is_told)

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """Ask for these with bhist, arrays as a whole."""
        return ("sh", "-c", self._history, "sh", *_whole(ids))

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read the events of each job; ids that LSF has forgotten are missing."""
        code, text = self._answer(done, cluster)
        if code and not _only_unknown(done.stderr):
            raise command_failed(done.argv, code, done.stderr)
        jobs = lsf_answers.history(text)
        return Listing(jobs=jobs, tokens=_tokens(jobs.values()))

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Ask by id: bjobs may be a site's own, and its listing empty."""
        return ("sh", "-c", self._listing, "sh", *_whole(ids))

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Read it as a listing; an end is an end here, even if nothing says how it came."""
        code, text = self._answer(done, cluster)
        if code and not _only_unknown(done.stderr):
            raise command_failed(done.argv, code, done.stderr)
        listing = _read(text, lambda _: True)
        asked = set(_whole(ids))
        unasked = frozenset(key for key in ids if FORM.split(key)[0] not in asked)
        return Listing(
            jobs=listing.jobs,
            unreadable=listing.unreadable,
            tokens=listing.tokens,
            unasked=unasked,
        )

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs with bkill; elements of an array are named together: `12[1-4,8]`."""
        wanted = compact(ids, _NATIVE).items()
        return (*self._kill, *(job if of is None else f"{job}[{of}]" for job, of in wanted))

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Return None: LSF forgets by itself."""
        return None

    def facts(self) -> Argv:
        """Ask who it is, and for the parameters of its batch daemon."""
        return ("sh", "-c", self._facts)

    def parse_facts(self, done: Completed) -> Facts:
        """Read `My cluster name is hpc1` and `MAX_JOB_ARRAY_SIZE = 1000`."""
        text = done.checked()
        if not (cluster := _CLUSTER.search(text)):
            msg = f"{self.name} names no cluster: {text[:200]!r}"
            raise UnreadableOutput(msg)
        version = _VERSION.search(text.partition("\n")[0])
        size = _ARRAY_SIZE.search(text)
        return Facts(
            cluster=cluster[1],
            version=version[0] if version else "",
            max_array=max(int(size[1]), 1) if size else _MAX_ARRAY,
            history=True,
        )

    def _answer(self, done: Completed, cluster: str) -> tuple[int, str]:
        """Return the command's exit code and its answer about jobs, once it is whole and from `cluster`."""
        head, found, text = done.checked().partition(f"{lsf_scripts.JOBS}\n")
        end = _END.search(f"\n{text}")
        if not found or not end:
            msg = f"{self.name}'s answer is cut short: it ends with {done.stdout[-100:]!r}"
            raise UnreadableOutput(msg)
        name = _CLUSTER.search(head)
        if name is None or name[1] != cluster:
            seen = name[1] if name else "without a name"
            msg = (
                f"another {self.name} cluster answered: {seen!r}, not {cluster!r}. Check the environment and PATH of "
                "this cluster's worker; if the cluster was renamed, restart the worker"
            )
            raise UnreadableOutput(msg)
        return int(end[1]), text[: max(end.start() - 1, 0)]


def _job_name(name: str) -> str:
    """Return a name that stays one word, and that means nothing to LSF."""
    return _NAME_FORBIDDEN.sub("_", name)[:_NAME_LENGTH] or "jobferry"


def _says_rerun(header: Sequence[str], mark: str) -> bool:
    """Return True when the header itself says whether LSF may run the job again."""
    lines = (line for line in header if line.startswith(mark))
    return any(word in {"-r", "-rn"} for line in lines for word in line.split())


def _only_unknown(stderr: str) -> bool:
    """Return True when all that is said is which jobs LSF does not have."""
    said = [line for line in stderr.splitlines() if line.strip()]
    return bool(said) and all(_NOT_FOUND.match(line) for line in said)


def _read(text: str, told: Callable[[lsf_answers.Line], bool]) -> Listing:
    seen: dict[SchedulerId, Seen] = {}
    unreadable: dict[SchedulerId, str] = {}
    tokens: dict[Token, list[SchedulerId]] = {}
    for line in lsf_answers.lines(text):
        if line.token and line.array not in (known := tokens.setdefault(line.token, [])):
            known.append(line.array)
        if not told(line):
            continue
        if (found := lsf_answers.seen_of(line)) is None:
            unreadable[line.key] = line.state
        else:
            seen[line.key] = found
    return Listing(jobs=seen, unreadable=unreadable, tokens=tokens)


def _tokens(jobs: Collection[Seen]) -> dict[Token, list[SchedulerId]]:
    tokens: dict[Token, list[SchedulerId]] = {}
    for seen in jobs:
        array, _ = FORM.split(seen.id)
        if seen.token and array not in (known := tokens.setdefault(seen.token, [])):
            known.append(array)
    return tokens


def _whole(ids: Collection[SchedulerId]) -> list[SchedulerId]:
    return list(dict.fromkeys(FORM.split(key)[0] for key in ids))[:_MOST]
