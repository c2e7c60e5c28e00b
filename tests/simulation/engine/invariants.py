"""What has to be true after every step, and what once all faults are over."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from jobferry_common.events import EventStream
from jobferry_common.failures import MOST_UNCOUNTED, rules_of, uncounted
from jobferry_common.ledger.records import JobRecord
from jobferry_common.ledger.sanity import problems, read_all
from jobferry_common.ledger.takeover import TAKEN_OVER
from jobferry_common.names import JobKey
from jobferry_common.scripts.layout import traces
from jobferry_common.scripts.traces import Trace
from jobferry_common.states import JobState, ResultsState, RunState
from tests.simulation.engine.people import MOST_MEMORY, MOST_SECONDS
from tests.simulation.fakes import ROOT
from tests.simulation.nodes import NODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.document import Header
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.ledger.sanity import Dump
    from jobferry_common.names import RunId
    from tests.simulation.engine.simulation import Simulation
    from tests.simulation.world import Execution


def breaches(simulation: Simulation) -> Iterator[str]:
    """Yield each breach on the far side, asked whenever something began to run."""
    for key, done in _executions(simulation).items():
        if any(run == key.run for run, _ in simulation.given_up):
            continue
        for one, other in pairwise(sorted(done, key=lambda each: each.start)):
            if one.end is None or other.start < one.end:
                yield f"{key} ran twice at once: {one} and {other}"
            if one.succeeded:
                yield f"{key} ran again after it succeeded: {one} and {other}"
    yield from _beyond(simulation)


def _beyond(simulation: Simulation) -> Iterator[str]:
    """Yield jobs that asked for more than their rules allow, and those on a node that they excluded."""
    for site in simulation.sites.values():
        for asked in site.world.asked:
            if asked.memory > MOST_MEMORY or asked.time > MOST_SECONDS:
                yield f"{asked} is more than its submission allows"
            if asked.node in asked.excluded and len(asked.excluded) < len(NODES):
                yield f"{asked} runs where it was not to run again"


def insane(simulation: Simulation) -> Iterator[str]:
    """Yield what is wrong in the ledger, by itself and beside what runs."""
    dump = read_all(simulation.observer)
    yield from problems(dump)
    yield from _forgotten(simulation, dump)


def _forgotten(simulation: Simulation, dump: Dump) -> Iterator[str]:
    """Yield attempts that run and that the ledger does not call in flight."""
    if simulation.has_forgotten:
        return  # until it was read back nobody knows
    for site in simulation.sites.values():
        for element in site.world.elements.values():
            if element.state != "running" or element.attempt is None:
                continue
            run = element.script.split("/")[-3]
            text = dump.hash("run", run, "jobs").get(str(element.attempt.job))
            record = JobRecord.unpack(text) if text else None
            known = (
                record and record.state.is_in_flight and record.attempt == element.attempt.attempt
            )
            if not known and (run, site.name) not in simulation.given_up and dump.hash("run", run):
                yield f"{run}/{element.attempt} runs as {element.id} on {site.name}; the ledger says {text}"


def unfinished(simulation: Simulation) -> Iterator[str]:
    """Yield what did not come to its end."""
    ledger = simulation.observer
    for run in ledger.runs(open_only=True):
        counts = {state.value: n for state, n in run.counts.items() if n}
        halts = [f"{one.name} {one.halt} ({one.failures} failures)" for one in ledger.clusters()]
        yield f"run {run.id} is still {run.state}: {counts} {run.reason}; {'; '.join(halts)}"
    for run in ledger.runs():
        if run.state.is_final and run.results is ResultsState.REMOTE:
            yield f"results of run {run.id} ({run.state}) did not come: {run.reason}"


def at_the_end(simulation: Simulation) -> Iterator[str]:
    """Yield what does not agree once everything is final."""
    ran = _executions(simulation)
    for run in simulation.observer.runs():
        for job, record in simulation.observer.jobs(run.id):
            yield from _of_job(simulation, run, JobKey(run.id, job), record, ran)
            yield from _of_tries(simulation, JobKey(run.id, job), record, ran)
        yield from _events(simulation, run)
    for run_id, document in simulation.producer.accepted.items():
        if simulation.knows(run_id) or run_id in simulation.producer.removed:
            continue
        if not _ended_at_a_cluster(simulation, run_id):
            yield f"run {run_id} was accepted, and nobody knows it"
        for key, done in ran.items():
            if key.run == run_id and any(one.succeeded for one in done):
                yield from _lacking(simulation, document.header, key)


def _of_job(
    simulation: Simulation,
    run: RunRecord,
    key: JobKey,
    record: JobRecord,
    ran: dict[JobKey, list[Execution]],
) -> Iterator[str]:
    if not record.state.is_final:
        # where a run ended early, what was out goes on to its end
        yield f"{key} is {record.state} in a run that is {run.state}"
        return
    taken = record.reason.startswith(TAKEN_OVER)
    done = sorted(ran.get(key, []), key=lambda each: each.start)
    if record.state is JobState.FINISHED and not taken:
        if not any(one.succeeded for one in done):
            yield f"{key} is finished, and did not succeed: {done}"
        elif (
            run.results in (ResultsState.DELIVERED, ResultsState.CLEANED)
            and not simulation.has_lost_files
        ):
            yield from _results(simulation, run.id, key)
    by_policy = record.reason.startswith(("not started", "not needed"))
    wished = run.cancel or by_policy or run.state is not RunState.FAILED or not done
    if record.state is JobState.CANCELLED and not wished and not simulation.has_forgotten:
        yield f"{key} was cancelled, and nobody wished it: {record}"


def _of_tries(
    simulation: Simulation, key: JobKey, record: JobRecord, ran: dict[JobKey, list[Execution]]
) -> Iterator[str]:
    """Yield more tries than the submission allows, and tries that nobody noted."""
    policy = simulation.observer.header(key.run).policy
    rules = rules_of(policy)
    free = uncounted(policy, record.asks)
    # of what was forgotten nobody knows how it ended: then each attempt counts
    told = simulation.has_forgotten or any(run == key.run for run, _ in simulation.given_up)
    if (record.tries > policy.retry_count + 1 and not told) or free > MOST_UNCOUNTED:
        yield f"{key} was tried too often: {record}"
    for name, times in record.asks.times:
        if (most := rules[name].times) is not None and times > most:
            yield f"{key} was tried {times} times by the rule for {name}, which allows {most}: {record}"
    attempts = {one.attempt for one in ran.get(key, [])}
    noted = record.tries + free
    if len(attempts) > noted and not told:
        yield f"{key} ran in {len(attempts)} attempts, of which {noted} were noted: {record}"


def _results(simulation: Simulation, run: RunId, key: JobKey) -> Iterator[str]:
    if not simulation.observer.lack(run):
        yield from _lacking(simulation, simulation.observer.header(run), key)


def _lacking(simulation: Simulation, header: Header, key: JobKey) -> Iterator[str]:
    for task in header.tasks_of(key.job):
        if (header.source, task) not in simulation.home:
            yield f"the result of task {task} of {key} did not come back"


def _ended_at_a_cluster(simulation: Simulation, run: RunId) -> bool:
    """Tell whether a cluster knows that a run ended and was brought back: a broker that forgot it is not told again."""
    found = [
        site.world.files.get(f"{traces(ROOT, name)}/{run}")
        for name, site in simulation.sites.items()
    ]
    return any(content and Trace.unpack(content).is_over for content in found)


def _events(simulation: Simulation, run: RunRecord) -> Iterator[str]:
    """Every final event can be read."""
    last: dict[int, str] = {}
    end, cursor = "", "0"
    stream = EventStream(simulation.observer)
    while events := stream.read(run.id, cursor, timedelta(0)):
        cursor = events[-1].cursor
        for event in events:
            if event.job is None:
                end = event.state
            else:
                last[event.job] = event.state
    if end != run.state:
        yield f"run {run.id} is {run.state}, its last event says {end}"
    for job, record in simulation.observer.jobs(run.id):
        if not record.reason.startswith(TAKEN_OVER) and last.get(job) != record.state:
            yield f"{run.id}/{job} is {record.state}, its last event says {last.get(job)}"


def _executions(simulation: Simulation) -> dict[JobKey, list[Execution]]:
    found: dict[JobKey, list[Execution]] = defaultdict(list)
    for site in simulation.sites.values():
        for key, done in site.world.executions.items():
            found[key] += done
    return found
