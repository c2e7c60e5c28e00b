"""Fugaku: pjsub, pjstat, pjdel of PJM, the job manager of Fujitsu's Technical Computing Suite.

Resources of 2 nodes with 4 ranks each, in the resource group `small`, become

    #PJM -L "rscgrp=small"
    #PJM -L "node=2"
    #PJM --mpi "max-proc-per-node=4"

followed by the custom_flags as they are. What belongs to one job stands on the command, so that equal jobs share one
script, and an array of them is a bulk job:

    pjsub -N relax.jf.3f2a9c01d5e7-2.… -j -o .jobferry/logs/jf.3f2a….%b --norestart --bulk --sparam 0-99 …

in the directory of the run, where PJM starts the job then. The log is named relative to it, because a percent sign in a
path would be taken for one of PJM's variables. --norestart keeps PJM from running the job again by itself.

Live jobs are listed in blocks (`pjstat -s`), since tables cut names and with them the token; ended ones are asked by id
with `pjstat -H`. `pjstat --limit` tells whom we asked (the resource unit), and how long a bulk job may be.

Written from Fugaku's user guide and from answers that others have published; nobody has tried it on a real PJM yet.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput, command_failed
from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Argv, Completed, Facts, Listing
from jobferry_common.schedulers.elements import compact
from jobferry_common.schedulers.fugaku_answers import FORM, ITEMS, listing_of
from jobferry_common.schedulers.fugaku_header import fugaku_header
from jobferry_common.schedulers.fugaku_refusals import NO_DIRECTORY, submit_error

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Submit

_SUBMITTED: Final = re.compile(r"\[INFO\] PJM 0000 pjsub Job (\d+) submitted", re.ASCII)
_NAME_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_-]")
#: of a job's name, in bytes; the token has its part of them
_NAME_LENGTH: Final = 63
#: sub jobs of a bulk job where no limit is told
_MAX_ARRAY: Final = 1000
#: so many ids are asked about at once
_MOST: Final = 1000

_SUBMIT: Final = f"""
cd -- "$1" || exit {NO_DIRECTORY}
shift
exec pjsub "$@"
"""
_JOBS: Final = "jobferry: jobs"
#: a line of ours ends the answer, so that a cut one is never taken for a whole; it tells pjstat's exit code
_END: Final = "\njobferry: end "
_ASK: Final = f"""
pjstat --limit || exit
echo '{_JOBS}'
pjstat {{what}} -s -E --choose {ITEMS} "$@"
printf '\\njobferry: end %s\\n' $?
"""
_LISTING: Final = _ASK.format(what="")
#: how many days back is counted there: the cluster's clock is the one that counts
_HISTORY: Final = (
    'days=$(( ($(date +%s) - $1) / 86400 + 2 ))\n[ "$days" -ge 2 ] || days=2\nshift'
    + _ASK.format(what='-H day="$days"')
)
_UNIT: Final = re.compile(r"^ *RSCUNIT: *(\S+)", re.M)
_LIMIT: Final = re.compile(r"^ *\S*-accept-(?:bulk|all)subjob +(\d+)\b", re.M | re.ASCII)
#: what is said of ids that are not known beside others
_NOT_FOUND: Final = re.compile(
    r"\[(?:ERR|WARN)\.\] PJM \d+ pjstat .*(?:does not exist|not found|[Ii]nvalid job ?id)", re.I
)


class Fugaku:
    """The `Scheduler` for Fugaku, and for other machines with PJM."""

    name = "Fugaku"

    def files(self) -> Sequence[NewFile]:
        """Return nothing: PJM has all it needs."""
        return ()

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the #PJM lines."""
        return list(fugaku_header(resources, requeue=requeue))

    def job_id_expression(self) -> str:
        """Return `239[3]` inside a bulk job, `238` elsewhere."""
        return "${PJM_SUBJOBID:-${PJM_JOBID-}}"

    def index_expression(self) -> str:
        """Return the bulk number."""
        return "${PJM_BULKNUM:-}"

    def submit(self, submit: Submit) -> Argv:
        """Submit with pjsub."""
        log = posixpath.relpath(submit.log, submit.directory)
        bulk = () if submit.size is None else ("--bulk", "--sparam", f"0-{submit.size - 1}")
        return (
            *("sh", "-c", _SUBMIT, "sh", submit.directory),
            *("-N", _job_name(submit), "-j", "-o", f"{log}.%b" if bulk else log),
            *(() if submit.requeue or _says_restart(submit.header) else ("--norestart",)),
            *bulk,
            submit.script,
        )

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read `[INFO] PJM 0000 pjsub Job 238 submitted.`: the last such line, since a wrapper may print, too."""
        found = [] if done.exit_code else _SUBMITTED.findall(done.stdout)
        if not found:
            raise submit_error(done)
        return SchedulerId(found[-1])

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return `239[3]`."""
        return FORM.element(array, index)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the bulk job and the bulk number of a sub job."""
        return FORM.split(key)

    def listing(self, user: str) -> Argv:
        """List the live jobs of whoever asks, sub jobs too: pjstat shows no others."""
        del user
        return ("sh", "-c", _LISTING, "sh")

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read whom we asked, and then blocks about jobs."""
        code, text = _answer(done, cluster)
        if code:
            raise command_failed(done.argv, code, done.stderr)
        return listing_of(text)

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """Ask for these with `pjstat -H`, bulk jobs with all of their sub jobs."""
        whole = list(dict.fromkeys(FORM.split(key)[0] for key in ids))[:_MOST]
        return ("sh", "-c", _HISTORY, "sh", str(int(since.timestamp())), *whole)

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read it as a listing; ids that PJM has forgotten are missing in it."""
        code, text = _answer(done, cluster)
        said = [line for line in done.stderr.splitlines() if line.strip()]
        if code and not (said and all(_NOT_FOUND.search(line) for line in said)):
            raise command_failed(done.argv, code, done.stderr)
        return listing_of(text)

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Return None: what pjstat has, the listing tells."""
        del ids
        return None

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Read it as a listing: there is no inquiry."""
        del ids
        return self.parse_listing(done, cluster)

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs with pjdel; neighbours in a bulk job are named together: `239[0-3]`."""
        named: list[str] = []
        for job, of in compact(ids, FORM).items():
            named += [job] if of is None else [f"{job}[{span}]" for span in of.split(",")]
        return ("pjdel", *named)

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Return None: PJM forgets by itself."""
        return None

    def facts(self) -> Argv:
        """Ask for the limits, which tell the resource unit as well."""
        return ("pjstat", "--limit")

    def parse_facts(self, done: Completed) -> Facts:
        """Read `RSCUNIT: rscunit_ft01` and the least limit of sub jobs; PJM tells no version."""
        text = done.checked()
        limits = [int(limit) for limit in _LIMIT.findall(text)]
        return Facts(
            cluster=_unit(text),
            version="",
            max_array=max(min((*limits, _MAX_ARRAY)), 1),
            history=True,
        )


def _unit(text: str) -> str:
    """Return the resource unit, or several of them."""
    if not (units := sorted(set(_UNIT.findall(text)))):
        msg = f"pjstat --limit names no resource unit: {text[:200]!r}"
        raise UnreadableOutput(msg)
    return ",".join(units)


def _answer(done: Completed, cluster: str) -> tuple[int, str]:
    """Return pjstat's exit code and its answer about jobs, once it is whole and from `cluster`."""
    head, found, text = done.checked().partition(f"{_JOBS}\n")
    body, end, code = text.rpartition(_END)
    if not found or not end or not code.strip().isdecimal():
        msg = f"pjstat's answer is cut short: it ends with {done.stdout[-100:]!r}"
        raise UnreadableOutput(msg)
    if (unit := _unit(head)) != cluster:
        msg = (
            f"another PJM answered: {unit!r}, not {cluster!r}. Check the host and PATH of this cluster's worker; "
            "if resource units were changed, restart the worker"
        )
        raise UnreadableOutput(msg)
    return int(code), body


def _job_name(submit: Submit) -> str:
    """Return a name that begins with a letter and ends with the token, in 63 bytes."""
    letters = _NAME_FORBIDDEN.sub("_", submit.name)
    first = letters if letters[:1].isalpha() else f"j{letters}"
    return f"{first[: _NAME_LENGTH - len(submit.token) - 1]}.{submit.token}"


def _says_restart(header: Sequence[str]) -> bool:
    """Return True when a directive of the script decides it."""
    found = [line.removeprefix("#PJM") for line in header if line.startswith("#PJM")]
    words = {word for line in found for word in line.split()}
    return bool(words & {"--restart", "--norestart"})
