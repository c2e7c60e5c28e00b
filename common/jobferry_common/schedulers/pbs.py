"""PBS: qsub, qstat, qdel of PBS Professional and OpenPBS. JSON where qstat has it, its plain form elsewhere.

Resources of 2 nodes with 4 tasks of 2 threads and a GPU each, in the queue `gpu`, become

    #PBS -l select=2:ncpus=8:mpiprocs=4:ompthreads=2:ngpus=1
    #PBS -q gpu
    #PBS -r n

followed by the custom_flags as they are. What belongs to one job stands on the command, so that equal jobs share
one script, and an array of them is

    qsub -N relax -v JOBFERRY_TOKEN=jf.3f2a9c01d5e7-2.… -S /bin/bash -j oe -o .jobferry/….^array_index^ -J 0-99 …

in the directory of the run, which PBS_O_WORKDIR names then. The log is named relative to it, because qsub refuses a
name with a letter that is not ASCII, or with a colon. Variables of a `#PBS -v` in the header are put beside the token:
qsub heeds its own -v only. The shell of a job is bash, whatever the login shell of its owner is.

A look lists live jobs, everybody's, since qstat knows no other way to tell all of a job. `qstat -x`, which tells of
ended jobs as well, shows everybody's of weeks on most sites; so it is asked by id, for what left the listing.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput, command_failed
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Argv, Completed, Facts, Listing, Phase, Seen
from jobferry_common.schedulers.elements import compact
from jobferry_common.schedulers.pbs_answers import TOKEN, Told, server_of, told
from jobferry_common.schedulers.pbs_header import pbs_header
from jobferry_common.schedulers.pbs_refusals import NO_DIRECTORY, submit_error
from jobferry_common.schedulers.pbs_states import PBS_CODES, PbsState, end_of, phase_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Submit
    from jobferry_common.states import Outcome

_SUBMITTED: Final = re.compile(r"^(\d+(?:\[\])?(?:\.[\w.-]+)?)\s*$", re.M | re.ASCII)
#: what every release of both takes: letters, digits, "_", "+" and "-", a letter first, 15 of them
_NAME_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_+-]")
_NAME_LENGTH: Final = 15

#: PBS_DPREFIX would make it read another header; the rest would pass for the job's own
_SUBMIT: Final = f"""
cd -- "$1" || exit {NO_DIRECTORY}
shift
unset PBS_DPREFIX PBS_JOBID PBS_ARRAYID PBS_ARRAY_ID PBS_ARRAY_INDEX JOBFERRY_TOKEN
exec qsub "$@"
"""
_JOBS: Final = "jobferry: jobs"
#: a line of ours ends the answer, so that a cut one is never taken for a whole; it tells qstat's exit code
_END: Final = "\njobferry: end "
#: PBSE_UNKJOBID and PBSE_HISTJOBID, modulo 256: some of the ids are unknown, or ended; the others are told
_SOME_UNKNOWN: Final = frozenset({0, 153, 35})
#: exit code of qstat for an option that it does not know
_USAGE: Final = 2
#: so many ids are asked about at once
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Bracketed:
    """`9[3].server` is an element of the array `9[].server`."""

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return the id of one element."""
        return SchedulerId(array.replace("[]", f"[{index}]", 1))

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element; of anything else itself, and None."""
        number, _, rest = key.partition("[")
        index, closed, server = rest.partition("]")
        if closed and index.isdecimal():
            return SchedulerId(f"{number}[]{server}"), int(index)
        return key, None


FORM: Final = Bracketed()


class PBS:
    """The `Scheduler` for PBS Professional and OpenPBS."""

    name = "PBS"
    #: what asks for jobs in full, elements too, in the form that is read first, and else
    _full: tuple[str, ...] = ("qstat -t -f -F json", "qstat -t -f")
    _codes: Mapping[int, Outcome] = PBS_CODES
    #: most elements of an array where the server does not say: PBS's own default
    _max_array = 10_000

    def files(self) -> Sequence[NewFile]:
        """Return nothing: PBS has all it needs."""
        return ()

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the #PBS lines."""
        return list(pbs_header(resources, requeue=requeue))

    def job_id_expression(self) -> str:
        """Return `9[3].server` inside an array, `4.server` elsewhere."""
        return "${PBS_JOBID-}"

    def index_expression(self) -> str:
        """Return the index that qsub -J gave."""
        return "${PBS_ARRAY_INDEX:-}"

    def submit(self, submit: Submit) -> Argv:
        """Submit with qsub."""
        log = posixpath.relpath(submit.log, submit.directory)
        variables = ",".join((f"{TOKEN}={submit.token}", *_given("-v", submit.header)))
        return (
            *("sh", "-c", _SUBMIT, "sh", submit.directory),
            *("-N", _job_name(submit.name), "-v", variables, "-S", "/bin/bash", "-j", "oe"),
            *(("-o", log) if submit.size is None else self._array(log, submit.size)),
            *(() if submit.requeue or _given("-r", submit.header) else ("-r", "n")),
            submit.script,
        )

    def _array(self, log: str, size: int) -> tuple[str, ...]:
        return ("-o", f"{log}.^array_index^", "-J", f"0-{size - 1}")

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read `4.server` or `9[].server`: the last such line, since wrappers of qsub print before it."""
        found = [] if done.exit_code else _SUBMITTED.findall(done.stdout)
        if not found:
            raise submit_error(done, self.name)
        return SchedulerId(found[-1])

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return `9[3].server`."""
        return FORM.element(array, index)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element."""
        return FORM.split(key)

    def listing(self, user: str) -> Argv:
        """List every live job of everybody: qstat cannot tell all of one user's only."""
        return ("sh", "-c", _asking(self._full))

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read the server's own description, and then its jobs as JSON or as text."""
        code, text = _answer(done, cluster)
        if code:
            raise command_failed(done.argv, code, done.stderr)
        return self._read(told(text), cluster)

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """Ask for these with `qstat -x`, an array with all of its elements."""
        return ("sh", "-c", _asking(f"{command} -x" for command in self._full), "sh", *_whole(ids))

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read it as a listing; ids that PBS has forgotten are missing in it."""
        code, text = _answer(done, cluster)
        # where the history was switched off, qstat says so on stderr alone, and exits with 0
        switched_off = not code and not text.strip() and done.stderr.strip()
        if code not in _SOME_UNKNOWN or switched_off:
            raise command_failed(done.argv, code, done.stderr)
        return self._read(told(text), cluster)

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Ask the server by id: qstat may be a site's own, and its listing empty."""
        return ("sh", "-c", _asking(self._full), "sh", *_whole(ids))

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Read it as a listing."""
        code, text = _answer(done, cluster)
        if code not in _SOME_UNKNOWN:
            raise command_failed(done.argv, code, done.stderr)
        listing = self._read(told(text), cluster)
        asked = set(_whole(ids))
        unasked = frozenset(key for key in ids if FORM.split(key)[0] not in asked)
        return Listing(
            jobs=listing.jobs,
            unreadable=listing.unreadable,
            tokens=listing.tokens,
            unasked=unasked,
        )

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs with qdel; neighbours in an array are named together: `9[0-3].server`."""
        return ("qdel", *_ranges(ids))

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Return None: PBS forgets by itself."""
        return None

    def facts(self) -> Argv:
        """Ask the server for its description."""
        return ("qstat", "-B", "-f")

    def parse_facts(self, done: Completed) -> Facts:
        """Read `Server: pbshost` and lines like `    max_array_size = 10000`."""
        server, facts = server_of(done.checked())
        if not server:
            msg = f"qstat -B -f names no server: {done.stdout[:200]!r}"
            raise UnreadableOutput(msg)
        limit = facts.get("max_array_size", facts.get("max_job_array_size", ""))
        return Facts(
            cluster=server,
            version=facts.get("pbs_version", ""),
            max_array=max(int(limit), 1) if limit.isdecimal() else self._max_array,
            history=facts.get("job_history_enable", "") == "True",
        )

    def _read(self, jobs: Iterator[Told], cluster: str) -> Listing:
        seen: dict[SchedulerId, Seen] = {}
        unreadable: dict[SchedulerId, str] = {}
        tokens: dict[Token, list[SchedulerId]] = {}
        for job in jobs:
            _same_cluster(job.server or cluster, cluster)
            key = SchedulerId(job.id)
            array, _ = FORM.split(key)
            if job.token and array not in (known := tokens.setdefault(Token(job.token), [])):
                known.append(array)
            if "[]" in key:  # of an array only its elements count
                continue
            if (found := self._seen(key, job)) is None:
                unreadable[key] = job.state or "no state"
            else:
                seen[key] = found
        return Listing(jobs=seen, unreadable=unreadable, tokens=tokens)

    def _seen(self, key: SchedulerId, job: Told) -> Seen | None:
        """Return what is said of a job; None when its state is a letter that we do not know."""
        if (phase := phase_of(job.state)) is None:
            return None
        token = Token(job.token) if job.token else None
        if phase is not Phase.ENDED:
            return Seen(id=key, phase=phase, token=token, reason=_kept(job))
        end = end_of(job.status, job.substate, self._codes)
        reason = job.comment or f"ended with Exit_status {job.status}"
        return Seen(
            id=key, phase=phase, token=token, outcome=end.outcome, code=end.code, reason=reason
        )


def _kept(job: Told) -> str:
    """Return what keeps a waiting job besides its turn; what PBS says of each job's turn changes all the time."""
    if job.state == PbsState.HELD:
        return job.comment or "held"
    return job.comment if job.comment.startswith("Can Never Run") else ""


def _asking(commands: Iterator[str] | Sequence[str]) -> str:
    """Return a script: who answers, then jobs by the first of the commands that exists, then qstat's exit code."""
    tries = "".join(f'[ $code != {_USAGE} ] || {{ {one} "$@"; code=$?; }}\n' for one in commands)
    return (
        f"qstat -B -f || exit\necho '{_JOBS}'\ncode={_USAGE}\n{tries}"
        "printf '\\njobferry: end %s\\n' $code\n"
    )


def _answer(done: Completed, cluster: str) -> tuple[int, str]:
    """Return qstat's exit code and its answer about jobs, once it is whole and from `cluster`."""
    head, found, text = done.checked().partition(f"{_JOBS}\n")
    body, end, code = text.rpartition(_END)
    if not found or not end or not code.strip().isdecimal():
        msg = f"qstat's answer is cut short: it ends with {done.stdout[-100:]!r}"
        raise UnreadableOutput(msg)
    _same_cluster(server_of(head)[0] or "without a name", cluster)
    return int(code), body


def _same_cluster(seen: str, cluster: str) -> None:
    # a job says the server's short name where the server itself says its full one, and the other way round
    if seen.partition(".")[0].casefold() != cluster.partition(".")[0].casefold():
        msg = (
            f"another PBS server answered: {seen!r}, not {cluster!r}. Check PBS_DEFAULT, PBS_SERVER and PATH of "
            "this cluster's worker; if the server was renamed, restart the worker"
        )
        raise UnreadableOutput(msg)


def _job_name(name: str) -> str:
    """Return a name that every qsub takes."""
    letters = _NAME_FORBIDDEN.sub("_", name)
    return (letters if letters[:1].isalpha() else f"j{letters}")[:_NAME_LENGTH]


def _given(option: str, header: Sequence[str]) -> list[str]:
    """Return the values of an option in the directives of a script."""
    values: list[str] = []
    for line in header:
        if line.startswith("#PBS"):
            try:
                words = shlex.split(line.removeprefix("#PBS"))
            except ValueError:  # qsub itself will complain of it
                continue
            values += [value for name, value in pairwise(words) if name == option]
            values += [one[2:] for one in words if one.startswith(option) and one != option]
    return values


def _whole(ids: Collection[SchedulerId]) -> list[SchedulerId]:
    return list(dict.fromkeys(FORM.split(key)[0] for key in ids))[:_MOST]


def _ranges(ids: Sequence[SchedulerId]) -> Iterator[str]:
    for job, members in compact(ids, FORM).items():
        if members is None:
            yield job
        else:  # qdel takes one range in a name
            yield from (job.replace("[]", f"[{span}]", 1) for span in members.split(","))
