"""Accepting submissions.

    accepted = ledger.accept(document)
    answers = ledger.accept_many(documents)   # an error stands in the place of its document

Pages are written first, under a key of their own that expires by itself; one script then makes them a run's,
together with its records, lists and first event. Until then they mean nothing.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from redis.exceptions import NoScriptError, ResponseError

from jobferry_common.broker import guarded
from jobferry_common.errors import BrokerUnreachable, Conflict, JobferryError
from jobferry_common.ledger.flight import FlightPart
from jobferry_common.ledger.pages import (
    PAGE_TASKS,
    destination_of,
    marks_of,
    pieces_of,
)
from jobferry_common.ledger.partly import PartlyPart
from jobferry_common.ledger.records import Accepted
from jobferry_common.ledger.script import source_of
from jobferry_common.ledger.store import refusal
from jobferry_common.ledger.takeover import TakenOver, taken_over
from jobferry_common.names import RunId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jobferry_common.document import Document, Header
    from jobferry_common.ledger.store import Argument, Command

_CONTENT_SECONDS: Final = 3600
_CHUNK: Final = 200
_PIECES_AT_ONCE: Final = 20
_RECORDS_AT_ONCE: Final = 1000
_ROUNDS: Final = 5
#: without a pass, until a run to be cancelled gives its directories up; see `accept.lua`
_UNREACHED_MINUTES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A document on its way into the ledger."""

    document: Document
    reuse: bool
    again: bool  #: it was accepted before, and the broker forgot it
    nonce: str
    marks: Sequence[str]
    pieces: tuple[bytes, ...]  #: header and pages, packed
    resumed: str = ""  #: the run whose finished work is taken over
    taken: TakenOver = field(default_factory=TakenOver)
    number: int = 0  #: of a run that was lost and is put back; 0: the next one


class AcceptPart(FlightPart, PartlyPart):
    """Accepting documents."""

    def accept(self, document: Document, *, reuse: bool = True, again: bool = False) -> Accepted:
        """Make a run of a submission, or attach to the one that carries it out for this owner and directory.

        Args:
            document: the submission.
            reuse: attach to a run in flight, and take over what an earlier run finished. Without it every
                submission starts afresh.
            again: it was accepted before, and the broker forgot it. Clusters that share it may have done of it what
                nobody knows: each of them says so before any goes on.

        Raises:
            Conflict: another run works in one of its directories, or its own is in flight and `reuse` is False.
            BrokerUnreachable: the broker does not answer; nothing of the run exists unless all of it does.
        """
        return self._accept(offer_of(document, reuse=reuse, again=again))

    def _accept(self, offer: Offer) -> Accepted:
        for _ in range(_ROUNDS):
            self._bring(offer)
            word, run = self.call("accept", *arguments_of(offer, self.clock()))
            if word == "resume":
                offer = self._resumed(offer, RunId(run))
            elif word != "gone":
                self.settle()
                return self._answer(offer, word, RunId(run))
        msg = f"The broker {self.shown} keeps losing what it is told: its log may say why."
        raise BrokerUnreachable(msg)

    def accept_many(
        self, documents: Iterable[Document], *, reuse: bool = True
    ) -> list[Accepted | JobferryError]:
        """Accept many submissions with few round trips; one that is refused does not stop the others.

        Raises:
            BrokerUnreachable: the broker does not answer. Accepting all of them again attaches to those
                that had been accepted.
        """
        answers: list[Accepted | JobferryError] = []
        chunk: list[Offer] = []
        for document in documents:
            chunk.append(offer_of(document, reuse=reuse))
            if len(chunk) == _CHUNK:
                answers += self._accept_chunk(chunk)
                chunk = []
        answers += self._accept_chunk(chunk)
        self.settle()
        return answers

    def _accept_chunk(self, offers: Sequence[Offer]) -> list[Accepted | JobferryError]:
        small = [offer for offer in offers if _is_small(offer)]
        if small:
            self.ask("SCRIPT LOAD", source_of("accept"))
        commands = [command for offer in small for command in self._small(offer)]
        answers = iter(self.batch(commands, keep_errors=True)[2::3])
        return [self._told(offer, next(answers) if _is_small(offer) else None) for offer in offers]

    def _small(self, offer: Offer) -> list[Command]:
        """Return the three commands that accept a document of one page."""
        key = self._content(offer, "pages")
        pieces = [part for item in _fields(offer) for part in item]
        return [
            ("HSET", key, *pieces),
            ("EXPIRE", key, _CONTENT_SECONDS),
            self.invocation("accept", *arguments_of(offer, self.clock())),
        ]

    def _told(self, offer: Offer, answer: object) -> Accepted | JobferryError:
        """Return what became of an offer; those that a batch cannot decide are accepted one by one."""
        try:
            if isinstance(answer, ResponseError) and not isinstance(answer, NoScriptError):
                with guarded(self.shown):
                    raise refusal(answer)
            if isinstance(answer, list) and answer[0] not in {"resume", "gone"}:
                return self._answer(offer, answer[0], RunId(answer[1]))
            return self._accept(offer)
        except BrokerUnreachable:
            raise
        except JobferryError as error:
            return error

    def _bring(self, offer: Offer) -> None:
        """Write pages and records under keys that expire by themselves."""
        key = self._content(offer, "pages")
        batch: list[Command] = []
        for number, piece in enumerate(_fields(offer)):
            batch.append(("HSET", key, *piece))
            if number % _PIECES_AT_ONCE == 0:
                self.batch([*batch, ("EXPIRE", key, _CONTENT_SECONDS)])
                batch = []
        self.batch(batch)
        self._bring_rows(offer, "jobs", offer.taken.jobs)
        self._bring_rows(offer, "taken", offer.taken.tasks)

    def _bring_rows(self, offer: Offer, what: str, found: Mapping[int, str]) -> None:
        key = self._content(offer, what)
        rows = list(found.items())
        for start in range(0, len(rows), _RECORDS_AT_ONCE):
            flat = [part for row in rows[start : start + _RECORDS_AT_ONCE] for part in row]
            self.batch([("HSET", key, *flat), ("EXPIRE", key, _CONTENT_SECONDS)])

    def _resumed(self, offer: Offer, run: RunId) -> Offer:
        taken = taken_over(self, run, offer.document, now=self.clock())
        self.batch([("DEL", self._content(offer, "jobs"), self._content(offer, "taken"))])
        return replace(offer, resumed=run, taken=taken)

    def _content(self, offer: Offer, what: str) -> str:
        return self.key("content", offer.nonce, what)

    def _answer(self, offer: Offer, word: str, run: RunId) -> Accepted:
        """Return the answer to an offer, or raise what it means."""
        if word == "new":
            count = offer.taken.count
            return Accepted(run=run, attached=False, taken_over=count, pieces=offer.pieces)
        self.batch([("DEL", *(self._content(offer, what) for what in ("pages", "jobs", "taken")))])
        if word == "attached":
            count = self.run(run).taken_over
            return Accepted(run=run, attached=True, taken_over=count, pieces=offer.pieces)
        raise Conflict(self._conflict(offer.document.header, word, run))

    def _conflict(self, header: Header, word: str, run: RunId) -> str:
        if word == "active":
            return (
                f"this submission is in flight as run {run}, and was to start afresh: wait for it, "
                f"or `jobferry cancel {run}` first"
            )
        record = self.run(run)
        what = f"a directory under {header.source} that this submission needs"
        if record.state.is_final:
            return (
                f"run {run} of {record.owner} ended, and its results are still to come to {what}: wait for them "
                f"(`jobferry watch {run}`), or give them up (`jobferry clean --force {run}`)"
            )
        return (
            f"run {run} of {record.owner} works in {what}: wait for it, or `jobferry cancel {run}` first; once its "
            f"cluster {record.cluster} was out of reach for {_UNREACHED_MINUTES} minutes, that alone frees it"
        )


def offer_of(document: Document, *, reuse: bool, again: bool = False) -> Offer:
    """Return a document ready to go into the ledger."""
    return Offer(
        document=document,
        reuse=reuse,
        again=again,
        nonce=secrets.token_hex(6),
        marks=marks_of(document.header, document.tasks),
        pieces=pieces_of(document),
    )


def _is_small(offer: Offer) -> bool:
    """Return whether it has one page, so that it fits into a batch with others."""
    return len(offer.document.tasks) <= PAGE_TASKS


def _fields(offer: Offer) -> Iterator[tuple[str | int, bytes]]:
    """Yield the names under which the pieces stand in the ledger, with the pieces."""
    yield from zip(("header", *range(len(offer.pieces) - 1)), offer.pieces, strict=True)


def _goes(header: Header, *, again: bool) -> str:
    """Return where it goes: the first cluster, those that share it, their tags, whether more may join, priority.

    And whether it went there before.
    """
    requires = json.dumps(header.requires).replace("|", "\\u007c")
    parts = (
        ",".join(header.targets),
        requires,
        str(int(header.anywhere)),
        str(header.priority),
        str(int(again)),
    )
    return "|".join((header.cluster, *parts))


def arguments_of(offer: Offer, now: float) -> list[Argument]:
    """Return what the script that accepts it takes."""
    header, taken = offer.document.header, offer.taken
    profile = json.dumps(header.machine, default=dict) if header.machine is not None else ""
    head = (
        header.submission,
        offer.nonce,
        int(offer.reuse),
        offer.resumed,
        len(offer.pieces),
        f"{now:.3f}",
    )
    place = (header.owner, destination_of(header), _goes(header, again=offer.again), header.name)
    size = (header.tasks, header.jobs, taken.count, len(taken.jobs), len(taken.tasks))
    return [*head, *place, *size, int(header.in_place), profile, offer.number, *offer.marks]
