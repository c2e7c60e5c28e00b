"""What Slurm's controller knows of a few jobs, asked about by name: the last word on whether it has them.

    show job 7        JobId=7 ArrayJobId=7 ArrayTaskId=3-9%2 … JobState=PENDING Reason=Resources … Comment=jf.3f2a…
                      JobId=9 ArrayJobId=7 ArrayTaskId=1 … JobState=COMPLETED … ExitCode=0:0 … Comment=jf.3f2a…
    show job 8        slurm_load_jobs error: Invalid job id specified

Many questions go to one scontrol, on its standard input. What it answers about an array are all of its elements but
those that were cancelled while they waited: they leave no trace, neither here nor in squeue nor in sacct. Nor does
sacct know elements that still wait.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import command_failed
from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.elements import Joined, compact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jobferry_common.schedulers.base import Argv, Completed, Listing

#: so many jobs and arrays are asked about at once; each is a question to the controller
_MOST: Final = 1000
#: the configuration comes first, for it names the cluster
_SCRIPT: Final = """
unset SLURM_CLUSTERS
SLURM_BITSTR_LEN=0; export SLURM_BITSTR_LEN
{ echo show config; printf 'show job %s\\n' "$@"; } | scontrol --all --local --oneliner
"""
_RECORD: Final = re.compile(
    r"^(?:scontrol: )*JobId=(?P<job>\d+) (?:ArrayJobId=(?P<array>\d+) ArrayTaskId=(?P<of>\S+) )?.*?"
    r" JobState=(?P<state>\S+) Reason=(?P<reason>\S+) .*? ExitCode=(?P<code>\S+)(?= )"
    r"(?:.*? NodeList=(?P<nodes>\S*))?(?:.* Comment=(?P<comment>\S*))?",
    re.M,
)
_UNKNOWN: Final = "Invalid job id specified"
#: stands for the index of an array whose last waiting elements were cancelled one by one
_NONE: Final = frozenset({"4294967294", "N/A"})


def inquiry(ids: Collection[SchedulerId]) -> Argv:
    """Return the command that asks about these jobs and elements; the first thousand, should there be more."""
    return ("sh", "-c", _SCRIPT, "sh", *_asked(ids))


def records(done: Completed, cluster: str) -> Iterator[str]:
    """Return what was answered of jobs, in the form of squeue's listing.

    Raises:
        CommandFailed: nobody answered.
    """
    if "ClusterName" not in done.stdout:
        raise command_failed(done.argv, done.exit_code, done.stderr)
    for found in _RECORD.finditer(done.stdout):
        fields = (found["state"], found["code"], cluster, found["reason"], found["comment"] or "")
        yield "|".join((found["nodes"] or "", _id(found), *fields))


def _id(found: re.Match[str]) -> str:
    array, of = found["array"], found["of"]
    if array is None:
        return found["job"]
    if of in _NONE:
        return array
    return f"{array}_{of}" if of.isdecimal() else f"{array}_[{of}]"


def unanswered(done: Completed, ids: Collection[SchedulerId]) -> dict[SchedulerId, str]:
    """Return the ids of which nothing is known: neither a record, nor that Slurm does not have them.

    Its refusals bear no id; so unless there is one for each job without a record, none of them counts.
    """
    lacking = set(_asked(ids)) - _answered(done)
    if len(lacking) == done.stderr.count(_UNKNOWN):
        return {}
    return {key: "no clear answer" for key in ids if _job(key) in lacking}


def removed(done: Completed, ids: Collection[SchedulerId], told: Listing) -> frozenset[SchedulerId]:
    """Return the elements that are not in their array any more, although Slurm has the array."""
    answered = _answered(done)
    return frozenset(
        key for key in ids if key not in told.jobs and "_" in key and _job(key) in answered
    )


def unasked(ids: Collection[SchedulerId]) -> frozenset[SchedulerId]:
    """Return the ids that were too many."""
    asked = set(_asked(ids))
    return frozenset(key for key in ids if _job(key) not in asked)


def _asked(ids: Collection[SchedulerId]) -> list[SchedulerId]:
    return list(compact(ids, Joined("_")))[:_MOST]


def _answered(done: Completed) -> set[str]:
    found = [(record["job"], record["array"]) for record in _RECORD.finditer(done.stdout)]
    return {key for pair in found for key in pair if key}


def _job(key: SchedulerId) -> str:
    return key.partition("_")[0]
