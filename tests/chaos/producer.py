"""A producer of the storm: submits its share of the batches, waits, fetches, and goes on where it was killed.

    python -m tests.chaos.producer DIRECTORY NAME

DIRECTORY/NAME.json says what it needs to know; what it did stands in DIRECTORY/NAME.journal:

    made 12                  the inputs of batch 12 are there
    run 12 3f2a9c01d5e7-1    it was accepted as this run, or retried as it
    ended 12 failed: …       this run ended otherwise than it should: the batch is retried
    cleaning 12 finished     it ended so, and is about to be cleaned: afterwards nobody knows
    done 12 finished         its results are here, or it was cancelled
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from jobferry import Handle, Resources, Submission, Task, connect
from jobferry_common.errors import BrokerUnreachable, Conflict, JobferryError, UnknownId
from jobferry_common.names import ClusterName, RunId
from jobferry_common.states import JobState, RunState
from tests.chaos.batches import APART, SPOILT, Batch, batch
from tests.chaos.journal import Journal
from tests.chaos.task import command, write_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry import Client

T = TypeVar("T")

_PAUSE_SECONDS: Final = 0.5
#: times that one thing is tried although it was refused, each after a pause
_REFUSALS: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a producer has to know."""

    seed: int
    near: str  #: directory of batches whose files workers see
    apart: str  #: of the others
    script: str  #: what its tasks source
    share: int  #: it does this one of so many shares of all batches that are apart, or that are not
    shares: int
    is_apart: bool
    lanes: int  #: batches at a time
    places: tuple[str, ...]
    allowed: str  #: file with the number of the first batch that is not to be begun

    @classmethod
    def read(cls, path: Path) -> Orders:
        """Read them from a file."""
        found = json.loads(path.read_text())
        return cls(**{**found, "places": tuple(found["places"])})


class Producer:
    """One life of a producer."""

    def __init__(self, orders: Orders, journal: Journal, client: Client) -> None:
        self._orders = orders
        self._journal = journal
        self._client = client
        self._guard = threading.Lock()
        self._known = journal.facts()
        self._next = 0
        self._seen = 0

    def run(self) -> None:
        """Work until it is killed."""
        threads = [
            threading.Thread(target=self._lane, daemon=True) for _ in range(self._orders.lanes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _lane(self) -> None:
        while True:
            number = self._take()
            if number is None:
                time.sleep(_PAUSE_SECONDS)
            else:
                self._see_to(batch(self._orders.seed, number, self._orders.places))

    def _take(self) -> int | None:
        """Return the next batch that is not done; None while no more are allowed."""
        allowed = int(Path(self._orders.allowed).read_text())
        with self._guard:
            while self._next < allowed:
                number = self._next
                self._next += 1
                if self._is_mine(number) and ("done", number) not in self._known:
                    return number
        return None

    def _is_mine(self, number: int) -> bool:
        one = batch(self._orders.seed, number, self._orders.places)
        if (one.place == APART) is not self._orders.is_apart:
            return False
        self._seen += 1
        return self._seen % self._orders.shares == self._orders.share

    def _see_to(self, one: Batch) -> None:
        top = self._orders.apart if self._orders.is_apart else self._orders.near
        base = Path(top) / f"b{one.number}"
        if ("made", one.number) not in self._known:
            write_inputs(base, self._orders.seed, one)
            self._journal.note("made", one.number)
        handle = self._handle(one, base)
        if handle is None:
            self._journal.note("done", one.number, self._known["cleaning", one.number])
            return
        while not self._is_done(one, handle):
            handle = insist(handle.retry)
            self._journal.note("run", one.number, handle.id)

    def _handle(self, one: Batch, base: Path) -> Handle | None:
        """Return the handle of a batch's run, submitting it if need be; None if it was cleaned away."""
        run = self._known.get(("run", one.number))
        if run is not None:
            handle = Handle(self._client, RunId(run))
            try:
                insist(handle.status)
            except UnknownId:
                if ("cleaning", one.number) in self._known:
                    return None
                raise
            return handle
        submission = submission_of(one, base, Path(self._orders.script))
        handle = insist(lambda: submission.submit(client=self._client))
        self._journal.note("run", one.number, handle.id)
        return handle

    def _is_done(self, one: Batch, handle: Handle) -> bool:
        """Wait for a run's end; False if the batch has to be retried."""
        if one.cancelled:
            self._cancel(handle)
        if one.given_up:
            self._give_up(handle)
        record = insist(handle.wait)
        wanted = (RunState.FINISHED, RunState.CANCELLED) if one.cancelled else (RunState.FINISHED,)
        if record.state not in wanted:
            self._journal.note("ended", one.number, f"{record.state}: {record.reason}")
            return False
        if lack := insist(lambda: self._client.ledger.lack(handle.id)):
            self._journal.note("lack", one.number, lack)
        if one.cleaned:
            self._journal.note("cleaning", one.number, record.state.value)
            with suppress(UnknownId):  # an earlier life did it
                insist(handle.clean)
        self._journal.note("done", one.number, record.state.value)
        return True

    def _cancel(self, handle: Handle) -> None:
        """Cancel a run as soon as some of it runs."""
        while not (record := insist(handle.status)).state.is_final:
            if record.counts.get(JobState.RUNNING):
                insist(handle.cancel)
                return
            time.sleep(_PAUSE_SECONDS)

    def _give_up(self, handle: Handle) -> None:
        """Give up a cluster as soon as some of a run runs there; it is no target of the run any more then."""
        name = ClusterName(SPOILT)
        while not (record := insist(handle.status)).state.is_final and name in record.targets:
            parts = insist(lambda: self._client.ledger.by_cluster(handle.id))
            if parts.get(name, {}).get(JobState.RUNNING):
                insist(lambda: handle.abandon(SPOILT))
            time.sleep(_PAUSE_SECONDS)


def submission_of(one: Batch, base: Path, script: Path) -> Submission:
    """Return the submission of a batch."""
    tasks = [
        Task(
            command=command(script, one, task),
            task_work_path=f"t{task}",
            forward_files=("in",),
            backward_files=("out",),
        )
        for task in range(one.tasks)
    ]
    queue = "nowhere" if one.refused else "main"
    return Submission(
        str(base),
        resources=Resources(group_size=one.group, queue_name=queue, cpu_per_node=1),
        task_list=tasks,
        cluster=one.clusters,
        clean=not one.cleaned,
        continue_on_failure=True,
    )


def insist(ask: Callable[[], T]) -> T:
    """Return an answer, however long the broker or the depot is away; a run that is unknown is the caller's."""
    for _ in range(_REFUSALS):
        try:
            return ask()
        except UnknownId:
            raise
        except BrokerUnreachable:
            pass
        except Conflict as error:
            print(f"not yet: {error}", flush=True)
        except JobferryError as error:
            print(f"again: {error!r}", flush=True)
        time.sleep(_PAUSE_SECONDS)
    return ask()


def main(directory: Path, name: str) -> None:
    """Be a producer until somebody kills this process."""
    orders = Orders.read(directory / f"{name}.json")
    client = insist(connect)
    Producer(orders, Journal(directory / f"{name}.journal"), client).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
