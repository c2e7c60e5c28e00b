"""Slurm: sbatch, squeue, sacct, scancel, scontrol. From release 20.02 on.

Resources of 2 nodes with 4 tasks and a GPU each, in the partition `gpu`, become

    #SBATCH --nodes 2
    #SBATCH --ntasks-per-node 4
    #SBATCH --gres=gpu:1
    #SBATCH --partition gpu
    #SBATCH --no-requeue

followed by the custom_flags as they are. What belongs to one job stands on the command, so that equal jobs share
one script, and an array of them is

    sbatch --parsable --comment=jf.3f2a9c01d5e7-2.… --job-name=relax --chdir=/scratch/a/… --output=….%a --array=0-99 …

A header template of the user's own may say nothing of a requeue; then the command has --no-requeue, too.

The job inherits the environment of the worker, as with sbatch in a shell. SBATCH_* variables that would contradict
the request (another partition, another array, waiting for its end) are taken away before; SBATCH_ACCOUNT and the like
stay: they are how a site or a user gives defaults.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers import slurm_inquiry
from jobferry_common.schedulers.base import Argv, Completed, Facts, Listing, Phase, Seen
from jobferry_common.schedulers.elements import Indices, Jobs, Joined, compact, indices
from jobferry_common.schedulers.slurm_header import header_of
from jobferry_common.schedulers.slurm_refusals import submit_error
from jobferry_common.schedulers.slurm_states import TURN, exit_code, meaning_of
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Submit

_FORM: Final = Joined("_")
_SUBMITTED: Final = re.compile(r"^(\d+)(?:;\S+)?\s*$", re.M)
_NAME_FORBIDDEN: Final = re.compile(r"[^\w.+@:/=-]")
_NAME_LENGTH: Final = 64
_REQUEUE: Final = re.compile(r"#SBATCH\s(?:[^#]*\s)?--(?:no-)?requeue\b")

#: they would make sbatch do something else than it was asked to; the last three would pass for the job's own
_SUBMIT_UNSET: Final = (
    *(
        "SLURM_CLUSTERS",
        "SBATCH_CLUSTERS",
        "SBATCH_ARRAY_INX",
        "SBATCH_PARTITION",
        "SBATCH_GRES",
        "SBATCH_WAIT",
    ),
    *("SBATCH_REQUEUE", "SBATCH_NO_REQUEUE", "SBATCH_ERROR", "SBATCH_INPUT", "SBATCH_OUTPUT"),
    *("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID"),
)
_CANCEL_UNSET: Final = tuple(
    f"SCANCEL_{word}"
    for word in (
        *("ACCOUNT", "BATCH", "CTLD", "FULL", "HURRY", "INTERACTIVE"),
        *("NAME", "PARTITION", "QOS", "STATE", "USER", "WCKEY"),
    )
)

#: a line of ours ends the listing, so that a cut one is never taken for a whole
_END: Final = "jobferry: end of listing"
# squeue names its cluster only beside a job: where it lists none, scontrol says whom we asked. Each field is shown
# in full (width 0) and ends with "|"; the nodes come first, so that a line without them can be told; the comment
# comes last, for it may hold anything. Finished jobs are listed for MinJobAge (300 s) after their end.
_LISTING: Final = f"""
unset SLURM_CLUSTERS SQUEUE_ACCOUNT SQUEUE_ARRAY SQUEUE_FEDERATION SQUEUE_LICENSES SQUEUE_NAMES SQUEUE_PARTITION
unset SQUEUE_PRIORITY SQUEUE_QOS SQUEUE_SIBLING SQUEUE_SORT SQUEUE_STATES SQUEUE_USERS
SLURM_BITSTR_LEN=0; export SLURM_BITSTR_LEN
jobs=$(squeue --noheader --all --local --states=all --user="$1" \\
    --Format='NodeList:|,JobArrayID:|,State:|,exit_code:|,Cluster:|,Reason:|,Comment:') || exit
if [ "$jobs" ]; then printf '%s\\n' "$jobs"; else scontrol show config || exit; fi
echo '{_END}'
"""
_LINE: Final = re.compile(
    r"(?:(?P<nodes>[^|]*)\|)?(?P<id>\d+(?:[_+][^|]*)?)\|(?P<state>[^|\d][^|]*)\|(?P<code>[^|]*)\|(?P<cluster>[^|]*)"
    r"\|(?P<reason>[^|]*)\|(?P<comment>.*)\Z"
)
_CONFIG: Final = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.M)
#: so many elements of an array are named one by one to sacct; beyond, it is asked for the whole array
_MOST_NAMED: Final = 100
#: Linux takes 128 KiB in one argument
_LONGEST_ARGUMENT: Final = 100_000


class Slurm:
    """The `Scheduler` for Slurm."""

    name = "Slurm"

    def files(self) -> Sequence[NewFile]:
        """Return nothing: Slurm has all it needs."""
        return ()

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the #SBATCH lines."""
        return list(header_of(resources, requeue=requeue))

    def job_id_expression(self) -> str:
        """Return `257_3` inside an array, `252` elsewhere."""
        return "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"

    def index_expression(self) -> str:
        """Return the index that sbatch --array gave."""
        return "${SLURM_ARRAY_TASK_ID:-}"

    def submit(self, submit: Submit) -> Argv:
        """Submit with sbatch."""
        log = submit.log.replace("%", "%%")
        array = () if submit.size is None else (f"--array=0-{submit.size - 1}",)
        return (
            *_env(_SUBMIT_UNSET),
            *(
                "sbatch",
                "--parsable",
                f"--comment={submit.token}",
                f"--job-name={_job_name(submit.name)}",
            ),
            *(
                f"--chdir={submit.directory}",
                f"--output={log if submit.size is None else log + '.%a'}",
                *array,
            ),
            *(() if submit.requeue or _says_requeue(submit.header) else ("--no-requeue",)),
            submit.script,
        )

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read `123` or `123;cluster`: the last such line, since wrappers of sbatch print before it."""
        found = [] if done.exit_code else _SUBMITTED.findall(done.stdout)
        if not found:
            raise submit_error(done)
        return SchedulerId(found[-1])

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return `257_3`."""
        return _FORM.element(array, index)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element."""
        return _FORM.split(key)

    def listing(self, user: str) -> Argv:
        """List every job of the user with squeue, recently finished ones too."""
        return ("sh", "-c", _LISTING, "sh", user)

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read lines like `|257_[2-3%2]|PENDING|0|hpc1|Resources|jf.3f2a…`."""
        text = done.checked()
        body, end, _ = text.rpartition(_END)
        if not end:
            msg = f"squeue's listing is cut short: it ends with {text[-100:]!r}"
            raise UnreadableOutput(msg)
        if _LINE.match(body.partition("\n")[0]):
            return _read(_listed(body, cluster))
        _same_cluster(dict(_CONFIG.findall(body)).get("ClusterName", "without a name"), cluster)
        return Listing(jobs={})

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """Ask the accounting with sacct. `since` guards against ids that Slurm has used before."""
        begin = (since - timedelta(hours=1)).astimezone(UTC)
        wanted = ",".join(_accounted(ids))
        if len(wanted) > _LONGEST_ARGUMENT:  # the rest is asked for when these are known
            wanted = wanted[:_LONGEST_ARGUMENT].rpartition(",")[0]
        return (
            *_env(("SLURM_CLUSTERS", "SACCT_FEDERATION", "SLURM_TIME_FORMAT")),
            *(
                "TZ=UTC",
                "SLURM_BITSTR_LEN=0",
                "sacct",
                "-XnP",
                "-S",
                f"{begin:%Y-%m-%dT%H:%M:%S}",
                "-j",
                wanted,
            ),
            *("-o", "NodeList,JobID,State,ExitCode,Cluster,Reason,Comment"),
        )

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read lines like `n3|5_1|FAILED|1:0|hpc1|None|jf.3f2a…`."""
        return _read(_listed(done.checked(), cluster))

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Ask the controller with scontrol: squeue may be a site's own, and its answer empty."""
        return slurm_inquiry.inquiry(ids)

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Read records like `JobId=9 ArrayJobId=7 ArrayTaskId=1 … JobState=COMPLETED …`."""
        records = "\n".join(slurm_inquiry.records(done, cluster))
        _same_cluster(
            dict(_CONFIG.findall(done.stdout)).get("ClusterName", "without a name"), cluster
        )
        told = _read(_lines(records))
        return replace(
            told,
            unreadable={**told.unreadable, **slurm_inquiry.unanswered(done, ids)},
            removed=slurm_inquiry.removed(done, ids, told),
            unasked=slurm_inquiry.unasked(ids),
        )

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs with scancel; elements of an array are named together: `257_[0-3,7]`."""
        wanted = (job if of is None else f"{job}_[{of}]" for job, of in compact(ids, _FORM).items())
        return (*_env(("SLURM_CLUSTERS", *_CANCEL_UNSET)), "scancel", *wanted)

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Return None: Slurm forgets by itself."""
        return None

    def facts(self) -> Argv:
        """Ask the controller for its configuration."""
        return (*_env(("SLURM_CLUSTERS",)), "scontrol", "show", "config")

    def parse_facts(self, done: Completed) -> Facts:
        """Read lines like `ClusterName             = hpc1`."""
        config = dict(_CONFIG.findall(done.checked()))
        try:
            limits = [int(config["MaxArraySize"]), int(config["MaxJobCount"])]
            if tasks := re.search(
                r"\bmax_array_tasks=(\d+)", config.get("SchedulerParameters", "")
            ):
                limits.append(int(tasks[1]))
            return Facts(
                cluster=config["ClusterName"],
                version=config["SLURM_VERSION"],
                max_array=max(min(limits), 1),
                history=config["AccountingStorageType"].rpartition("/")[2]
                not in {"none", "", "(null)"},
            )
        except (KeyError, ValueError) as error:
            msg = f"scontrol show config: {error!r} in {done.stdout[:200]!r}"
            raise UnreadableOutput(msg) from error


def _says_requeue(header: Sequence[str]) -> bool:
    """Return True when sbatch finds either word: it reads no further than the first line of code."""
    read = takewhile(lambda line: not line.strip() or line.startswith("#"), header)
    return any(_REQUEUE.match(line) for line in read)


def _env(unset: Sequence[str]) -> Argv:
    return ("env", *(argument for name in unset for argument in ("-u", name)))


def _job_name(name: str) -> str:
    """Return a name that stays one word in every answer of Slurm, and fits its database."""
    return _NAME_FORBIDDEN.sub("_", name)[:_NAME_LENGTH] or "jobferry"


def _same_cluster(seen: str, cluster: str) -> None:
    # the accounting writes names in lower case
    if seen != cluster and seen.casefold() != cluster.casefold():
        msg = (
            f"another Slurm cluster answered: {seen!r}, not {cluster!r}. Check SLURM_CONF and PATH of this "
            "cluster's worker; if the cluster was renamed, restart the worker"
        )
        raise UnreadableOutput(msg)


def _lines(text: str) -> Iterator[re.Match[str]]:
    """Return the lines about jobs; a comment of somebody else's job may hold line breaks."""
    comment = ""
    for line in text.splitlines():
        if match := _LINE.match(line):
            comment = match["comment"].removeprefix("(null)")
            yield match
        elif comment.startswith("jf.") or not comment:
            msg = f"no line about a job: {line[:200]!r}"
            raise UnreadableOutput(msg)


def _listed(text: str, cluster: str) -> Iterator[re.Match[str]]:
    for match in _lines(text):
        _same_cluster(match["cluster"], cluster)
        yield match


def _read(lines: Iterator[re.Match[str]]) -> Listing:
    single: dict[SchedulerId, Seen] = {}
    shared: dict[SchedulerId, list[tuple[Indices, Seen]]] = {}
    unreadable: dict[SchedulerId, str] = {}
    tokens: dict[Token, list[SchedulerId]] = {}
    for line in lines:
        key = SchedulerId(line["id"])
        array, _, of = key.partition("_")
        token = _token(line)
        if token and SchedulerId(array) not in (known := tokens.setdefault(token, [])):
            known.append(SchedulerId(array))
        seen = _seen(key, line, token)
        if seen is None:
            members = [f"{array}_{index}" for index in indices(of.strip("[]"))] if of else [key]
            unreadable.update(dict.fromkeys(map(SchedulerId, members), line["state"]))
        elif of.startswith("["):
            shared.setdefault(SchedulerId(array), []).append((indices(of.strip("[]")), seen))
        else:
            single[key] = seen
    return Listing(jobs=Jobs(single, shared, _FORM), unreadable=unreadable, tokens=tokens)


def _seen(key: SchedulerId, line: re.Match[str], token: Token | None) -> Seen | None:
    """Return what a line says; None when its state is a word that we do not know."""
    if (meaning := meaning_of(line["state"])) is None:
        return None
    code, reason, nodes = None, _shown(line["reason"]), ""
    if meaning.phase is Phase.ENDED:
        nodes = _shown(line["nodes"] or "")
        reason = reason or line["state"]
        # 0 beside another outcome only says that Slurm has no code: the time limit, a failed launch, a cancelled wait
        code = exit_code(line["code"])
        code = code if code or meaning.outcome is Outcome.SUCCEEDED else None
    elif reason in TURN:
        reason = ""
    return Seen(
        id=key,
        phase=meaning.phase,
        outcome=meaning.outcome,
        code=code,
        reason=reason,
        token=token,
        nodes=nodes,
    )


def _token(line: re.Match[str]) -> Token | None:
    comment = _shown(line["comment"])
    return Token(comment) if comment else None


def _shown(text: str) -> str:
    return "" if text in {"None", "(null)", "N/A", "None assigned"} else text


def _accounted(ids: Collection[SchedulerId]) -> Iterator[str]:
    for job, of in compact(ids, _FORM).items():
        members = indices(of) if of else ()
        if 0 < len(members) <= _MOST_NAMED:
            yield from (f"{job}_{index}" for index in members)
        else:
            yield job
