"""Runs that the broker lost, put back; and what tells a run from another one of the same name.

ledger.recover(document, run, nonce=trace.nonce, accepted=trace.accepted)
ledger.rename(run, to, fence=fence)       # a fresh run whose number belongs to one that was lost
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BrokerUnreachable
from jobferry_common.ledger.accepting import AcceptPart, arguments_of, offer_of
from jobferry_common.ledger.pages import marks_of
from jobferry_common.ledger.specs import unknown_run
from jobferry_common.ledger.store import fence_arguments
from jobferry_common.ledger.takeover import TakenOver
from jobferry_common.names import RunId, submission_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.document import Document
    from jobferry_common.ledger.records import Fence
    from jobferry_common.names import ClusterName, SubmissionId

#: how long the old name of a run leads to the new one
_RENAMED_SECONDS: Final = 30 * 86400


class RecoverPart(AcceptPart):
    """What a worker puts back."""

    def identity(self, run: RunId) -> tuple[str, str]:
        """Return the nonce of a run's acceptance, and what stands for its destination.

        Raises:
            UnknownId: the ledger does not hold the run.
        """
        nonce, destination = self.ask("HMGET", self.key("run", run), "nonce", "destination")
        if nonce is None:
            raise unknown_run(run)
        return str(nonce), str(destination)

    def holds(self, run: RunId) -> bool:
        """Return True when the run is in the ledger."""
        return bool(self.ask("EXISTS", self.key("run", run)))

    def last_number(self, submission: SubmissionId) -> int:
        """Return the number of a submission's last run, as far as the ledger knows."""
        return int(self.ask("HGET", self.key("submissions"), submission) or 0)

    def last_of(self, destination: str) -> RunId | None:
        """Return the last run of a destination."""
        found = self.ask("HGET", self.key("destinations"), destination)
        return RunId(found) if found else None

    def pieces(self, run: RunId) -> Iterator[bytes]:
        """Yield a run's document as it is stored: its header, then its pages."""
        key, page = self.key("run", run, "pages"), 0
        piece = self.ask_bytes("HGET", key, "header")
        while piece is not None:
            yield piece
            piece = self.ask_bytes("HGET", key, str(page))
            page += 1

    def recover(
        self,
        document: Document,
        run: RunId,
        *,
        nonce: str,
        accepted: float,
        resumes: str = "",
        taken: TakenOver | None = None,
    ) -> bool:
        """Put a run back under its own number, all of its jobs pending; False if it is there.

        Raises:
            Conflict: another run works in one of its directories.
            BrokerUnreachable: the broker does not answer.
        """
        number = int(run.rpartition("-")[2])
        offer = replace(
            offer_of(document, reuse=False),
            nonce=nonce,
            number=number,
            resumed=resumes,
            taken=taken or TakenOver(),
        )
        self._bring(offer)
        word, found = self.call("accept", *arguments_of(offer, accepted))
        self.settle()
        if word == "gone":
            msg = f"The broker {self.shown} lost what it was told of run {run}."
            raise BrokerUnreachable(msg)
        if word == "known":
            parts = ("pages", "jobs", "taken")
            self.batch([("DEL", *(self._content(offer, what) for what in parts))])
            return False
        self._answer(offer, word, RunId(found))
        return True

    def rename(self, run: RunId, to: RunId, *, fence: Fence) -> bool:
        """Give a run of which nothing was done another number; False if it is too late, or that one is taken.

        Raises:
            LeaseLost: the fence is stale.
            UnknownId: the ledger does not hold the run.
        """
        header = self.header(run)
        marks = marks_of(header, (task for page in self.task_pages(run) for _, task in page))
        head = (run, to, *fence_arguments(fence), self.clock(), _RENAMED_SECONDS)
        return bool(self.call("rename", *head, *marks))

    def renamed(self, run: RunId) -> RunId | None:
        """Return what a run is called by now; None if it was not renamed."""
        if not run.isascii():  # a broken character cannot even be asked for
            return None
        found = self.ask("GET", self.key("renamed", run))
        return RunId(found) if found else None

    def note_number(self, run: RunId) -> None:
        """Have no new run of the submission take this number, or a lower one."""
        submission, number = submission_of(run), int(run.rpartition("-")[2])
        if self.last_number(submission) < number:
            self.call("note_number", submission, number)

    def wish_recovery(self, cluster: ClusterName, ticket: str) -> None:
        """Have the next pass over a cluster put back what the broker lost."""
        self.ask("HSET", self.key("accounts"), f"recover {cluster}", ticket)

    def recovery_wish(self, cluster: ClusterName) -> str | None:
        """Return the ticket of who wants that; None if nobody does."""
        found = self.ask("HGET", self.key("accounts"), f"recover {cluster}")
        return None if found is None else str(found)

    def end_recovery(self, cluster: ClusterName) -> None:
        """Note that it was done."""
        self.ask("HDEL", self.key("accounts"), f"recover {cluster}")
