"""A handle on a run: follow it, end it, have its results. It can be closed and made again from the run's id.

    handle = submission.submit()
    for event in handle.events():
        print(event.job, event.state)
    print(handle.result().finished)

A handle waits through an outage of the broker. If the broker lost the run with its memory, the handle presents
the document again that this machine kept, and follows what becomes of it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from jobferry.depot import Courier
from jobferry.patience import Patience
from jobferry.results import Result, check, is_settled, result_of
from jobferry_common.errors import UnknownId
from jobferry_common.names import ClusterName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry.client import Client
    from jobferry_common.events import Event
    from jobferry_common.ledger.records import Accepted, RunRecord
    from jobferry_common.names import RunId

_log = logging.getLogger(__name__)

#: seconds after which a waiter looks by itself, news or none
LOOK_SECONDS = 2.0
#: the cursor before the first event
START = "0"


def _elsewhere(run: RunId) -> Handle:
    from jobferry.client import default_client

    return Handle(default_client(), run)


class Handle:
    """One run, as its producer sees it."""

    def __init__(
        self, client: Client, run: RunId, *, attached: bool = False, taken_over: int = 0
    ) -> None:
        self.client = client  #: the way to the broker
        self._run = run
        self.attached = attached  #: True when the submission was in flight already
        self.taken_over = taken_over  #: tasks whose results an earlier run left
        self._ended = False
        self._courier: Courier | None = None

    @classmethod
    def on(cls, client: Client, accepted: Accepted) -> Handle:
        """Return a handle on what was accepted."""
        known = accepted.taken_over
        return cls(client, accepted.run, attached=accepted.attached, taken_over=known)

    def __repr__(self) -> str:
        """Return the run's id in words."""
        return f"<Handle of run {self._run}>"

    def __deepcopy__(self, memo: object) -> Handle:
        """Return another handle on the run, with the same way to the broker."""
        del memo
        return Handle(self.client, self._run, attached=self.attached, taken_over=self.taken_over)

    def __reduce__(self) -> tuple[Callable[[RunId], Handle], tuple[RunId]]:
        """Let another process have it, which takes the way to the broker that its own settings name."""
        return _elsewhere, (self._run,)

    @property
    def id(self) -> RunId:
        """The run's id; it changes only when the broker lost the run and it was accepted anew."""
        return self._run

    def status(self) -> RunRecord:
        """Return what the ledger says of the run now.

        Raises:
            BrokerUnreachable: the broker does not answer.
            UnknownId: the run was cleaned.
        """
        with self.client.explained():
            try:
                record = self.client.ledger.run(self._run)
            except UnknownId:
                if self._ended:
                    raise
                self._look_for_it()
                record = self.client.ledger.run(self._run)
        self._ended = record.state.is_final
        return record

    def events(self, *, after: str = START, timeout: float | None = None) -> Iterator[Event]:
        """Yield what happens to the run until its results are here, from the first event on.

        Args:
            after: the cursor of the last event that is known already.
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: the run still goes on after `timeout`.
        """
        for _, events in self.follow(after=after, timeout=timeout):
            yield from events

    def follow(
        self, *, after: str = START, timeout: float | None = None, pause: float = LOOK_SECONDS
    ) -> Iterator[tuple[RunRecord, list[Event]]]:
        """Yield the run's record with the events that led to it, until its results are here.

        Args:
            after: the cursor of the last event that is known already.
            timeout: seconds; None waits for ever.
            pause: seconds after which it yields at the latest.

        Raises:
            TimeoutError: the run still goes on after `timeout`.
        """
        patience = Patience(timeout)
        block = 0.0
        while True:
            run = self._run
            events, record = patience.call(partial(self._look, after, block))
            if self._run != run:
                after = START
            elif events:
                after = events[-1].cursor
            yield record, events
            done = is_settled(record)
            if done and not events:
                self.client.kept.forget(self._run)
                return
            if not done:
                patience.check(f"run {self._run} still goes on")
            block = 0.0 if done else patience.at_most(pause)

    def _look(self, after: str, block: float) -> tuple[list[Event], RunRecord]:
        self.client.keep_up()
        try:
            events = self.client.events(self._run, after, block)
        except UnknownId:
            events = []
        return events, self.attend()

    def attend(self) -> RunRecord:
        """Return what `status` does, after all that waits for this machine in the depot was fetched.

        Raises:
            StagingError: a file cannot be written here.
        """
        record = self.status()
        if self._courier is None or self._courier.run != self._run:
            self._courier = Courier(self.client, self._run)
        return self._courier.attend(record)

    def wait(self, timeout: float | None = None) -> RunRecord:
        """Return the run's record once it ended and its results are here.

        Raises:
            TimeoutError: it still goes on after `timeout` seconds.
        """
        for record, _ in self.follow(timeout=timeout):
            last = record
        return last

    def result(self, timeout: float | None = None, *, checked: bool = True) -> Result:
        """Wait, then return what came of the run.

        Args:
            timeout: seconds; None waits for ever.
            checked: False returns the result of a failed run, too.

        Raises:
            WorkFailed: the run failed or was cancelled; the message holds a table of what failed.
            TimeoutError: it still goes on after `timeout` seconds.
        """
        result = self.outcome(self.wait(timeout))
        if checked:
            check(result)
        return result

    def outcome(self, record: RunRecord) -> Result:
        """Return what came of the run so far, which `record` describes."""
        return result_of(self.client, record)

    def cancel(self) -> bool:
        """Wish the run's end; False when it had ended already. Its jobs end shortly after.

        A run that nobody ever took up, and whose cluster nobody serves, ends at once.
        """
        wished = self.client.ledger.wish_cancel(self._run)
        if wished:
            clusters = self.status().clusters
            self.client.hint(*clusters)
            if not any(map(self.client.worker_of, clusters)):
                self.client.ledger.end_untouched(self._run)
        return wished

    def hold(self) -> bool:
        """Have nothing more of the run submitted until it is released; False when that was so, or it ended."""
        return self.client.ledger.hold(self._run)

    def release(self) -> bool:
        """Go on with a run that was held; False when it was not."""
        released = self.client.ledger.hold(self._run, held=False)
        if released:
            self.client.hint(*self.status().clusters)
        return released

    def abandon(self, cluster: str) -> int:
        """Give up what a cluster has of the run; return how many jobs its scheduler had, or may have had.

        Other clusters that share the run do them again; they may still run where they were given up.

        Raises:
            Conflict: the cluster has no part in the run.
        """
        freed = self.client.ledger.abandon(self._run, ClusterName(cluster))
        self.client.hint(*self.status().clusters)
        return freed

    def retry(self) -> Handle:
        """Return a new run of this work, which leaves alone what finished already."""
        from jobferry.retry import retry

        return retry(self.client, self._run)

    def fetch(self) -> None:
        """Have the results brought once more, such as those that could not be written here; `wait` for them.

        Raises:
            Conflict: the run's files on the cluster were cleaned, or another run works where they belong.
        """
        from jobferry.fetch import fetch

        fetch(self.client, self._run)

    def clean(self, *, force: bool = False) -> None:
        """Remove the run's files on the cluster, and all that the ledger knows of it."""
        from jobferry.clean import clean

        clean(self.client, self._run, force=force)

    def _look_for_it(self) -> None:
        """Find a run that is not there: under its new name, or by handing its document over once more."""
        new = self.client.ledger.renamed(self._run)
        if new is None:
            self._present_again()
        else:
            _log.warning("Run %s is %s from now on.", self._run, new, extra={"action": "renamed"})
            self._run = new

    def _present_again(self) -> None:
        """Hand a kept document to a broker that lost the run; what somebody cleaned is not done again."""
        if self.client.ledger.was_removed(self._run):
            msg = f"the ledger holds no run {self._run}: it was cleaned"
            raise UnknownId(msg)
        document = self.client.kept.load(self._run)
        if document is None:
            msg = f"the broker does not know run {self._run}, and no copy of it was kept here"
            raise UnknownId(msg)
        lost = self._run
        self._run = self.client.accept(document, again=True).run
        _log.warning(
            "The broker had lost run %s: its document was presented again as %s.",
            lost,
            self._run,
            extra={"action": "present_again"},
        )
