"""Does every counter, list and set of the ledger say what the records say?

    for problem in problems(read_all(ledger)):
        print(problem)             # "run 5e7-1: n:queued says 3, the records 2"

All keys are read at once, so this is for tests and for a doctor, not for a pass. While others write, what is read may
be of two moments: what is found twice in a row is a fault.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.ledger.records import JobRecord
from jobferry_common.states import JobState, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.ledger.ledger import Ledger

_READ: Final[Mapping[str, tuple[str, ...]]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
}
#: compressed pages, and what is long and checked elsewhere
_LEFT_OUT: Final = (":pages", ":events", "events")


@dataclass(frozen=True, slots=True)
class Dump:
    """What the ledger's keys hold, without their prefix."""

    keys: Mapping[str, Any]

    def hash(self, *parts: str) -> dict[str, str]:
        """Return a hash, {} if there is none."""
        found: dict[str, str] = self.keys.get(":".join(parts), {})
        return found

    def members(self, *parts: str) -> set[str]:
        """Return the members of a set, a sorted set or the fields of a hash."""
        return set(self.keys.get(":".join(parts), ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run as its own keys have it."""

    id: str
    fields: Mapping[str, str]
    jobs: Mapping[int, JobRecord]
    clusters: tuple[str, ...]
    shared: bool
    pending_unborn: int = field(default=0)

    @property
    def is_open(self) -> bool:
        return not RunState(self.fields["state"]).is_final

    def where(self, *states: JobState) -> dict[int, JobRecord]:
        return {job: one for job, one in self.jobs.items() if one.state in states}

    def place(self, record: JobRecord) -> str:
        return record.cluster if self.shared else self.clusters[0]


def read_all(ledger: Ledger) -> Dump:
    """Read every key of the ledger."""
    names: list[str] = sorted(ledger.ask("KEYS", f"{ledger.prefix}*"))
    names = [name for name in names if not name.endswith(_LEFT_OUT)]
    types = ledger.batch([("TYPE", name) for name in names])
    known = [(name, _READ[kind]) for name, kind in zip(names, types, strict=True) if kind in _READ]
    answers = ledger.batch([(how[0], name, *how[1:]) for name, how in known])
    rows = zip(known, answers, strict=True)
    return Dump(
        {name.removeprefix(ledger.prefix): _plain(how, found) for (name, how), found in rows}
    )


def _plain(how: tuple[str, ...], found: Any) -> Any:  # noqa: ANN401 - of the key's own type
    if how[0] != "ZRANGE":
        return found
    pairs = (
        found
        if not found or isinstance(found[0], (list, tuple))
        else zip(found[::2], found[1::2], strict=True)
    )
    return {member: float(score) for member, score in pairs}


def problems(dump: Dump) -> Iterator[str]:
    """Yield what does not agree."""
    runs = [_run(dump, name) for name in sorted(dump.members("runs"))]
    for run in runs:
        yield from (f"run {run.id}: {what}" for what in _of_run(dump, run))
    for cluster in sorted({name for run in runs for name in run.clusters}):
        yield from (f"cluster {cluster}: {what}" for what in _of_cluster(dump, runs, cluster))


def _run(dump: Dump, name: str) -> _Run:
    fields = dump.hash("run", name)
    targets = tuple(filter(None, fields.get("targets", "").split(",")))
    jobs = {
        int(job): JobRecord.unpack(text) for job, text in dump.hash("run", name, "jobs").items()
    }
    return _Run(
        id=name,
        fields=fields,
        jobs=jobs,
        clusters=targets or (fields["cluster"],),
        shared=bool(targets),
        pending_unborn=int(fields["jobs"]) - len(jobs),
    )


def _of_run(dump: Dump, run: _Run) -> Iterator[str]:
    yield from _counters(run)
    yield from _lists(dump, run)
    if run.shared:
        yield from _spread(dump, run)
    if run.is_open != (run.id in dump.members("open")):
        yield f"is {run.fields['state']}, and in `open`: {not run.is_open}"
    for job in range(int(run.fields["fresh"])):
        if job not in run.jobs:
            yield f"job {job} has no record, and the mark `fresh` is beyond it"
    ended = {job for job, one in run.jobs.items() if one.state.is_final}
    waits = {name for name in dump.keys if name.startswith(f"run:{run.id}:collect")}
    for name in waits:
        if strange := {int(job) for job in dump.members(name)} - ended:
            yield f"`{name}` has jobs that did not end: {sorted(strange)}"


def _counters(run: _Run) -> Iterator[str]:
    counts = Counter(one.state for one in run.jobs.values())
    counts[JobState.PENDING] += run.pending_unborn
    for state in JobState:
        said = int(run.fields.get(f"n:{state.value}") or 0)
        if said != counts[state]:
            yield f"n:{state.value} says {said}, the records {counts[state]}"
    if run.is_open:
        return
    if left := [state for state in JobState if counts[state] and not state.is_final]:
        policy_may = run.fields["state"] == RunState.FINISHED
        yield (
            f"ended as {run.fields['state']} with jobs {', '.join(left)}"
            if not policy_may
            else "ended early"
        )


def _lists(dump: Dump, run: _Run) -> Iterator[str]:
    """Pending jobs stand on exactly one list."""
    pending = run.where(JobState.PENDING)
    pool = {int(job) for job in dump.members("run", run.id, "due")}
    wanted = {job for job, one in pending.items() if not (run.shared and one.cluster)}
    if pool != wanted:
        yield f"`due` has {sorted(pool)}, the records say {sorted(wanted)}"
    names = {name.rpartition(":")[2] for name in dump.keys if _is_claims(name, run.id)}
    for cluster in sorted(
        names | ({one.cluster for one in pending.values() if one.cluster} if run.shared else set())
    ):
        bare = {int(job) for job in dump.members("run", run.id, "claims", cluster)}
        ready = {int(job) for job in dump.members("run", run.id, "due", cluster)}
        wanted = {job for job, one in pending.items() if one.cluster == cluster}
        if bare & ready or bare | ready != wanted:
            yield f"{cluster} has claimed {sorted(bare)} and {sorted(ready)}, the records say {sorted(wanted)}"
        if wanted and run.is_open and cluster not in run.clusters:
            yield f"{cluster} has claimed {sorted(wanted)}, and takes no part in it"
        if bool(wanted) != (run.id in dump.members("claimed", cluster)):
            yield f"`claimed:{cluster}` is wrong about it: it has {sorted(wanted)}"


def _is_claims(name: str, run: str) -> bool:
    return name.startswith((f"run:{run}:claims:", f"run:{run}:due:"))


def _spread(dump: Dump, run: _Run) -> Iterator[str]:
    said = {name: int(n) for name, n in dump.hash("run", run.id, "at").items() if int(n)}
    told = Counter(f"{one.cluster} {one.state.value}" for one in run.jobs.values() if one.cluster)
    if said != dict(told):
        yield f"`at` says {said}, the records {dict(told)}"


def _of_cluster(dump: Dump, runs: list[_Run], cluster: str) -> Iterator[str]:
    here = [run for run in runs if cluster in run.clusters]
    yield from _flight(dump, runs, cluster)
    yield from _queue(dump, here, cluster)
    opened = {run.id for run in here if run.is_open}
    if dump.members("open", cluster) != opened:
        yield f"`open` has {sorted(dump.members('open', cluster))}, the runs say {sorted(opened)}"
    wished = {run.id for run in here if run.is_open and run.fields.get("cancel") == "1"}
    if dump.members("cancel", cluster) != wished:
        yield f"`cancel` has {sorted(dump.members('cancel', cluster))}, the runs say {sorted(wished)}"
    waiting = sum(int(run.fields.get("n:pending") or 0) for run in here if run.is_open)
    if int(dump.hash("waiting").get(cluster, 0)) != waiting:
        yield f"`waiting` says {dump.hash('waiting').get(cluster)}, the runs {waiting}"
    judged = {run.id for run in here if run.is_open and _is_to_be_judged(run)}
    if lacking := judged - dump.members("judge", cluster):
        yield f"`judge` lacks {sorted(lacking)}"


def _is_to_be_judged(run: _Run) -> bool:
    ended = [one for one in run.jobs.values() if one.state.is_final]
    bad = any(one.state is not JobState.FINISHED for one in ended)
    return bad or len(ended) == int(run.fields["jobs"])


def _flight(dump: Dump, runs: list[_Run], cluster: str) -> Iterator[str]:
    flying = {
        f"{run.id}/{job}": one
        for run in runs
        for job, one in run.jobs.items()
        if one.state.is_in_flight and run.place(one) == cluster
    }
    if dump.members("flight", cluster) != set(flying):
        yield f"`flight` has {sorted(dump.members('flight', cluster))}, the records say {sorted(flying)}"
    tokens = dump.hash("tokens", cluster)
    left = Counter(one.token for one in flying.values() if one.token in tokens)
    said = {token: int(n) for token, n in dump.hash("left", cluster).items()}
    if said != dict(left) or set(tokens) != set(said):
        yield f"`left` says {said}, the records {dict(left)}, `tokens` has {sorted(tokens)}"


def _queue(dump: Dump, here: list[_Run], cluster: str) -> Iterator[str]:
    """What is pending is found by `due`, now or later."""
    owners = dump.members("owners", cluster)
    for run in here:
        owner = run.fields["owner"]
        ready = run.id in dump.members("ready", cluster, owner)
        later = run.id in dump.members("later", cluster)
        goes = run.is_open and run.fields.get("held") != "1" and _is_offered(dump, run, cluster)
        if goes and not (ready or later):
            yield f"run {run.id} has pending jobs, and is neither ready nor later"
        if ready and owner not in owners:
            yield f"run {run.id} is ready, and its owner {owner!r} is not in `owners`"
        if not run.is_open and (ready or later):
            yield f"run {run.id} ended, and is still offered"


def _is_offered(dump: Dump, run: _Run, cluster: str) -> bool:
    """Tell whether something of a run may go to this cluster: nobody claimed it, or its files are there."""
    if run.pending_unborn or dump.members("run", run.id, "due"):
        return True
    return run.shared and bool(dump.members("run", run.id, "due", cluster))
