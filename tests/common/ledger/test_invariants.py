"""Whatever happens to a run, its counters and lists say what its records say; and it stays small."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobferry_common.ledger import Ledger
from jobferry_common.ledger.records import Change
from jobferry_common.names import AttemptKey, token_of
from jobferry_common.states import JOB_TRANSITIONS, JobState, Outcome
from tests.common.ledger.documents import ALPHA, document, fence_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from jobferry_common.names import RunId

JOBS = 6
STATES = tuple(JobState)
#: a batch: which job, which state it is meant to get, seconds until it is due
BATCH = st.lists(
    st.tuples(st.integers(0, JOBS - 1), st.sampled_from(STATES), st.integers(0, 3)), max_size=6
)
RESERVED = st.sets(st.integers(0, JOBS - 1), min_size=1)


def legal_changes(
    ledger: Ledger, run: RunId, batch: Sequence[tuple[int, JobState, int]]
) -> list[Change]:
    """Return the changes of a batch that the table allows, each behind the one before."""
    records = dict(ledger.jobs(run))
    changes = []
    for job, state, due in batch:
        record = records[job]
        if state not in JOB_TRANSITIONS[record.state] or state is JobState.SUBMITTING:
            continue
        retry = state is JobState.PENDING
        new = replace(record.to(state, now=5.0 + due), attempt=record.attempt + retry)
        changes.append(
            Change(job=job, was=(record.state, record.attempt), record=new, due=float(due))
        )
        records[job] = new
    return changes


def check(ledger: Ledger, run: RunId) -> None:
    """Compare every list and counter with the records."""
    records = dict(ledger.jobs(run))
    counts = Counter(record.state for record in records.values())
    flying = {job for job, record in records.items() if record.state.is_in_flight}
    pending = {job for job, record in records.items() if record.state is JobState.PENDING}
    assert {state: n for state, n in ledger.run(run).counts.items() if n} == counts
    assert {one.key.job for one in ledger.flight(ALPHA)} == flying
    assert {job for _, rows in ledger.due(ALPHA, now=1e12) for job, _ in rows} == pending
    assert int(ledger.ask("HGET", ledger.key("waiting"), ALPHA)) == len(pending)
    assert (ledger.next_due(ALPHA) is None) == (not pending)
    assert set(ledger.tokens(ALPHA)) == {records[job].token for job in flying}
    left = ledger.ask("HVALS", ledger.key("left", ALPHA))
    assert sum(int(count) for count in left) == len(flying)
    ended = {job for job, record in records.items() if record.state.is_final}
    assert set(ledger.to_collect(run)) <= ended
    judged = bool({JobState.FAILED, JobState.CANCELLED} & set(counts)) or len(ended) == JOBS
    assert ledger.to_judge(ALPHA) == ([run] if judged else [])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.one_of(RESERVED, BATCH), max_size=12))
def test_counters_and_lists_equal_a_recount(
    redis: Redis, steps: list[set[int] | list[tuple[int, JobState, int]]]
) -> None:
    redis.flushall()
    ledger = Ledger(redis)
    run = ledger.accept(document(tasks=JOBS)).run
    fence = fence_of(ledger)
    for step in steps:
        if isinstance(step, set):
            attempts = [AttemptKey(job, ledger.job(run, job).attempt) for job in sorted(step)]
            token = token_of(run, attempts)
            ledger.reserve(run, ALPHA, token, attempts, fence=fence, now=1.0, single=False)
        else:
            changes = legal_changes(ledger, run, step)
            assert all(ledger.change(run, changes, fence=fence))
        check(ledger, run)


def test_a_finished_job_costs_less_than_400_bytes(ledger: Ledger, redis: Redis) -> None:
    jobs = 4000
    before = redis.info("memory")["used_memory"]
    run = ledger.accept(document(tasks=jobs)).run
    fence = fence_of(ledger)
    for start in range(0, jobs, 100):
        attempts = [AttemptKey(job, 1) for job in range(start, start + 100)]
        token = token_of(run, attempts)
        ledger.reserve(run, ALPHA, token, attempts, fence=fence, now=1e9, single=False)
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.EXITED, JobState.FINISHED):
            outcome = Outcome.SUCCEEDED if state in {"exited", "finished"} else None
            rows = ledger.jobs(run, start=start, count=100)
            changes = [
                Change(
                    job=job,
                    was=(old.state, old.attempt),
                    record=replace(old.to(state, now=1e9), outcome=outcome, code=0),
                )
                for job, old in rows
            ]
            assert all(ledger.change(run, changes, fence=fence))
        ledger.collected(run, [key.job for key in attempts])
    assert (redis.info("memory")["used_memory"] - before) / jobs < 400
