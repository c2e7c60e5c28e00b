"""SGE: qsub, qstat, qacct, qdel, qconf. Son of Grid Engine 8.1.9, and what shares its command line.

Resources of 2 nodes with 4 cores each in the queue `long.q`, and the parallel environment `mpi`, become

    #$ -S /bin/bash
    #$ -pe mpi 8
    #$ -q long.q
    #$ -r n

followed by the custom_flags as they are. What belongs to one job stands on the command, so that equal jobs share one
script, and an array of them is

    qsub -terse … -N relax.jf.3f2a9c01d5e7-2.… -wd /scratch/a/… -t 1-100

The token is the end of the job's name, for that stands in qstat and in qacct both; short listings show its beginning,
as the user has it. What qsub reads is a few lines that run the job's own script (see `sge_commands`): they write the
log of an element by our own index, which begins at 0 while SGE's begins at 1, and keep the exit codes 99 and 100 from
it, which would start a job again or park it.

Ids are SGE's own: `21`, and `21.3` for what is element 2 here.

An ended job leaves qstat at once and comes to qacct some seconds later. One that was deleted while it waited is in
neither. qacct reads a file on the host where it runs; where that file is not, there is no history.
"""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput, command_failed
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers import sge_commands as commands
from jobferry_common.schedulers.base import Completed, Facts, Listing, Phase, Seen
from jobferry_common.schedulers.elements import Indices, Jobs, Joined, compact, indices
from jobferry_common.schedulers.sge_header import header_of
from jobferry_common.schedulers.sge_refusals import submit_error
from jobferry_common.schedulers.sge_states import Account, exit_code, meaning_of, outcome_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Argv, Submit

#: with SGE's own numbers of tasks, from 1
_FORM: Final = Joined(".")
_SUBMITTED: Final = re.compile(
    r"^(?:Your job(?:-array)? )?(\d+)(?:\.\d+-\d+:\d+)?(?:\s*| \(.*has been submitted)$", re.M
)
_TOKEN: Final = re.compile(r"(?:.*\.)?(jf\.[^.]+\.[^.]+)\Z", re.S)
_NAME_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_+.-]")
_NAME_LENGTH: Final = 64
_OPTION: Final = re.compile(r"#\$\s+(?:.*\s)?-(N|r)\s+(\S+)")
#: entries of the XML, and what they hold, read as text: an odd name of somebody's job spoils no other entry
_ENTRY: Final = re.compile(r"<job_list\b[^>]*>(.*?)</job_list>", re.S)
_FIELD: Final = re.compile(r"<(JB_job_number|JB_name|state|tasks)>([^<]*)</")
_ERROR: Final = re.compile(r"^(?:job_number: +(\d+)|error reason +(\d+): +(.*))$", re.M)
#: words of qacct where there is nothing that it could tell
_NOTHING: Final = re.compile(
    r"error: job name \S+ not found|no jobs running since startup|: No such file or directory"
)
_UNLIMITED: Final = 10_000_000


class SGE:
    """The `Scheduler` for SGE."""

    name = "SGE"

    def files(self) -> Sequence[NewFile]:
        """Return nothing: SGE has all it needs."""
        return ()

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the `#$` lines."""
        return list(header_of(resources, requeue=requeue))

    def job_id_expression(self) -> str:
        """Return `21.3` inside an array, `20` elsewhere."""
        return "$JOB_ID$([[ $SGE_TASK_ID = undefined ]] || echo .$SGE_TASK_ID)"

    def index_expression(self) -> str:
        """Return the number of the task, from 0."""
        return "$([[ ${SGE_TASK_ID:-undefined} = undefined ]] || echo $((SGE_TASK_ID - 1)))"

    def submit(self, submit: Submit) -> Argv:
        """Submit with qsub."""
        said = dict(_OPTION.findall("\n".join(submit.header)))
        options = [line for line in submit.header if line.startswith("#$")]
        tasks = "" if submit.size is None else f"1-{submit.size}"
        again = "" if "r" in said else "ny"[submit.requeue]
        return (
            *("sh", "-c", commands.SUBMIT, "sh"),
            f"{_job_name(said.get('N', submit.name))}.{submit.token}",
            *(submit.directory, tasks, again),
            "\n".join([*options, commands.WRAPPER]),
            *(submit.log, submit.script),
        )

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read `123`, `123.1-10:1` or `Your job 123 ("relax") has been submitted`: the last such line.

        A JSV of the site may print before it, and a wrapper of qsub may drop -terse.
        """
        found = [] if done.exit_code else _SUBMITTED.findall(done.stdout)
        if not found:
            raise submit_error(done)
        return SchedulerId(found[-1])

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return `21.3` for element 2."""
        return _FORM.element(array, index + 1)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element."""
        array, task = _FORM.split(key)
        return array, None if task is None else task - 1

    def listing(self, user: str) -> Argv:
        """List every job of the user with qstat."""
        return ("sh", "-c", commands.LISTING, "sh", user)

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read qstat's XML; waiting tasks of an array share one entry, `<tasks>4-10:1</tasks>`."""
        document, end, errors = _answer(done, cluster).rpartition("</job_info>")
        if not end or "<job_info" not in document:
            msg = f"qstat's listing is no XML: it begins with {document[:100]!r}"
            raise UnreadableOutput(msg)
        return _read(document, _reasons(errors))

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """Ask the accounting with qacct. Ids that SGE has used before have other tokens: `since` is not needed."""
        del since
        return ("sh", "-c", commands.HISTORY, "sh", *compact(ids, _FORM))

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read lines like `21|3|0|1|3.4MB|1|relax.jf.3f2a…|-l h_rt=60`; of several about one, the last counts."""
        lines = _answer(done, cluster).splitlines()
        told = [line for line in lines if line.startswith("qacct: ")]
        if told and not any(_NOTHING.search(line) for line in told):
            raise command_failed(done.argv, done.exit_code, "\n".join(told))
        jobs = {seen.id: seen for seen in map(_accounted, lines) if seen}
        bearers = ((seen.token, _FORM.split(key)[0]) for key, seen in jobs.items())
        return Listing(jobs=jobs, tokens=_by_token(bearers))

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Return None: what qstat has, the listing tells."""
        del ids
        return None

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Return nothing: there is no inquiry."""
        del done, cluster, ids
        return Listing(jobs={})

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs with qdel; elements of an array are named together: `21.1-3,21.7`."""
        return ("qdel", *_specifications(ids))

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Delete those of them that SGE keeps in an error state; the others leave the queue by themselves."""
        return ("sh", "-c", commands.FORGET, "sh", *_specifications(ids))

    def facts(self) -> Argv:
        """Ask the qmaster for its configuration, and whether qacct has something to read."""
        return ("sh", "-c", commands.FACTS)

    def parse_facts(self, done: Completed) -> Facts:
        """Read lines like `max_aj_tasks                 75000`."""
        text, _, cluster = done.checked().rstrip("\n").rpartition(commands.END)
        config = dict(re.findall(r"^(\w+) +((?:.*\\\n)*.*)$", text, re.M))
        accounts = re.findall(r"^qacct: (.*)", text, re.M)
        try:
            return Facts(
                cluster=_named(cluster, text),
                version=text.partition("\n")[0].strip(),
                max_array=int(config["max_aj_tasks"]) or _UNLIMITED,
                history="accounting=true" in config["reporting_params"]
                and any(_NOTHING.search(line) for line in accounts),
            )
        except (KeyError, ValueError) as error:
            msg = f"qconf -sconf: {error!r} in {done.stdout[:200]!r}"
            raise UnreadableOutput(msg) from error


def _named(cluster: str, text: str) -> str:
    if not cluster.strip():
        msg = f"SGE did not say who it is: {text[-200:]!r}"
        raise UnreadableOutput(msg)
    return cluster.strip()


def _answer(done: Completed, cluster: str) -> str:
    """Return a whole answer of the right cluster, without its last line."""
    text, end, seen = done.checked().rstrip("\n").rpartition(commands.END)
    if not end:
        msg = f"SGE's answer is cut short: it ends with {seen[-100:]!r}"
        raise UnreadableOutput(msg)
    if seen != cluster:
        msg = (
            f"another SGE cluster answered: {seen!r}, not {cluster!r}. Check SGE_ROOT, SGE_CELL and PATH of this "
            "cluster's worker; if the cluster was renamed or moved, restart the worker"
        )
        raise UnreadableOutput(msg)
    return text


def _job_name(name: str) -> str:
    """Return a name that SGE takes: it may not begin with a digit."""
    text = _NAME_FORBIDDEN.sub("_", name)[:_NAME_LENGTH]
    return text if text[:1].isalpha() else f"j{text}"


def _specifications(ids: Sequence[SchedulerId]) -> list[str]:
    """Return jobs as qdel takes them, an array's tasks in one argument: `21.1-3,21.7`."""
    wanted = compact(ids, _FORM).items()
    return [
        job if of is None else ",".join(f"{job}.{span}" for span in of.split(","))
        for job, of in wanted
    ]


def _token(name: str) -> Token | None:
    """Return the token of a job's name; any other name is told as it is, for such a job is not ours."""
    found = _TOKEN.match(name)
    return Token(found[1] if found else name) or None


def _by_token(
    bearers: Iterable[tuple[Token | None, SchedulerId]],
) -> dict[Token, list[SchedulerId]]:
    """Return what bears each token; an array, which has many entries, once."""
    found: dict[Token, dict[SchedulerId, None]] = {}
    for token, job in bearers:
        if token:
            found.setdefault(token, {})[job] = None
    return {token: list(jobs) for token, jobs in found.items()}


def _reasons(text: str) -> Mapping[str, str]:
    """Return job or task → what SGE says of its error state."""
    found: dict[str, str] = {}
    job = ""
    for number, task, reason in _ERROR.findall(text):
        job = number or job
        if reason:
            found[f"{job}.{task}"] = reason.strip()
            found.setdefault(job, reason.strip())
    return found


def _read(document: str, reasons: Mapping[str, str]) -> Listing:
    single: dict[SchedulerId, Seen] = {}
    shared: dict[SchedulerId, list[tuple[Indices, Seen]]] = {}
    unreadable: dict[SchedulerId, str] = {}
    bearers: list[tuple[Token | None, SchedulerId]] = []
    for text in _ENTRY.findall(document):
        entry: dict[str, str] = dict(_FIELD.findall(text))
        job, name = SchedulerId(entry.get("JB_job_number", "")), unescape(entry.get("JB_name", ""))
        of, word = entry.get("tasks", ""), entry.get("state", "")
        seen = _seen(job, word, name, reasons)
        bearers.append((_token(name), job))
        if seen is None:
            keys = [_FORM.element(job, task) for task in indices(of)] if of else [job]
            unreadable.update(dict.fromkeys(keys, word))
        elif of:
            shared.setdefault(job, []).append((indices(of), seen))
        else:
            single[job] = seen
    jobs = Jobs(single, shared, _FORM)
    return Listing(jobs=jobs, unreadable=unreadable, tokens=_by_token(bearers))


def _seen(job: SchedulerId, word: str, name: str, reasons: Mapping[str, str]) -> Seen | None:
    if not job or (meaning := meaning_of(word)) is None:
        return None
    reason = ""
    if "E" in word:
        told = reasons.get(job, f"`qstat -j {job}` says why")
        reason = f"in the error state {word}, and never started by itself: {told}"
    return Seen(
        id=job,
        phase=meaning.phase,
        outcome=meaning.outcome,
        reason=reason or ("" if word in {"qw", "r"} else word),
        token=_token(name),
    )


def _accounted(line: str) -> Seen | None:
    fields = line.split("|", 7)
    if len(fields) < 8 or not fields[0].isdecimal():  # noqa: PLR2004 - the fields of a line
        return None
    job, task, failed, status, memory, slots, name, category = fields
    account = Account(
        failed=failed,
        status=int(status) if status.isdecimal() else 0,
        memory=memory,
        slots=int(slots) if slots.isdecimal() else 1,
        category=category,
    )
    if account.number == 0 and not status.isdecimal():
        return None  # whether it succeeded, nobody can tell
    key = SchedulerId(job)
    return Seen(
        id=_FORM.element(key, int(task)) if task.isdecimal() else key,
        phase=Phase.ENDED,
        outcome=outcome_of(account),
        code=exit_code(account),
        reason="" if account.number == 0 else f"failed {failed}",
        token=_token(name),
    )
