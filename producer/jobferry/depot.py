"""The producer's side of the depot: files go into it before a submission is accepted, and results come out of it.

    document, accepted = accept(client, document)     # its inputs are in the depot before the ledger has it
    Courier(client, run).attend(record)         # what of the run is in the depot comes home

Without `[depot]` in the settings, nothing of this happens. Where the worker saw this file system the last time, nothing
is put, and the worker asks for it should it be wrong.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry.arrivals import Arrivals
from jobferry.prepare import this_user
from jobferry_common.depot.books import Standings
from jobferry_common.depot.depot import Depot, forget_depots, open_depot, the_depot
from jobferry_common.depot.sending import send
from jobferry_common.depot.ticket import Ticket, mark, new_nonce, place_of, sees, unmark
from jobferry_common.depot.tree import Tree
from jobferry_common.errors import (
    BadInput,
    Conflict,
    DepotError,
    JobferryError,
    NotInDepot,
    Problem,
    StagingError,
    UnknownId,
)
from jobferry_common.killpoints import kill_here
from jobferry_common.states import ResultsState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobferry.client import Client
    from jobferry_common.depot.books import Standing
    from jobferry_common.depot.tree import Item
    from jobferry_common.document import Document, Header, TaskSpec
    from jobferry_common.ledger.records import Accepted, RunRecord
    from jobferry_common.names import ClusterName, RunId

_log: Final = logging.getLogger(__name__)

_KEPT_BACK: Final = (
    "a later run has, or brings, results in the same places, so older ones stay on the cluster"
)
#: jobs that are looked for in later runs with one question
_JOBS: Final = 1000
_HERE: Final = frozenset({ResultsState.DELIVERED, ResultsState.CLEANED})


def accept(
    client: Client, document: Document, *, reuse: bool, again: bool = False
) -> tuple[Document, Accepted]:
    """Hand a document to the ledger, its inputs to the depot before; return it as it was handed over.

    Raises:
        DepotError: the depot cannot be written, or is full.
        StagingError: an input cannot be read.
    """
    offered = _offered(client, document)
    kill_here("after-offered")
    try:
        accepted = client.ledger.accept(offered, reuse=reuse, again=again)
    except Conflict as error:
        _take_up(client, document, offered, error)
        raise
    kill_here("after-accepted")
    _take_up(client, document, offered, accepted)
    kill_here("after-taken-up")
    return offered, accepted


def accept_many(
    client: Client, documents: Sequence[Document], *, reuse: bool
) -> tuple[Sequence[Document], list[Accepted | JobferryError]]:
    """Hand over many; an error stands in the place of what was refused."""
    if client.settings.depot.url is None:
        return documents, client.ledger.accept_many(documents, reuse=reuse)
    offers = [_offered_or_error(client, document) for document in documents]
    good = [one for one in offers if not isinstance(one, JobferryError)]
    told = iter(client.ledger.accept_many(good, reuse=reuse))
    answers = [one if isinstance(one, JobferryError) else next(told) for one in offers]
    for document, offer, answer in zip(documents, offers, answers, strict=True):
        if not isinstance(offer, JobferryError):
            _take_up(client, document, offer, answer)
    pairs = zip(offers, documents, strict=True)
    return [new if not isinstance(new, JobferryError) else old for new, old in pairs], answers


def _offered_or_error(client: Client, document: Document) -> Document | JobferryError:
    try:
        return _offered(client, document)
    except StagingError as error:
        return error


def _offered(client: Client, document: Document) -> Document:
    """Return the document with what its header has to say of the depot; its inputs are there then."""
    header = document.header
    if client.settings.depot.url is None or header.in_place or not Path(header.source).is_dir():
        return document
    depot = depot_of(client)
    if (old := Ticket.of(header)) is not None and not depot.books.knows(old.nonce):
        unmark(header.source, old.nonce)  # of a run that the broker lost
    ticket = Ticket(
        depot=depot.id,
        shown=client.settings.depot.shown,
        nonce=new_nonce(),
        place=place_of(header.source),
    )
    marked = mark(header.source, ticket.nonce)
    if not (marked and _is_seen(client, header, ticket)):
        try:
            items = _inputs(header, document.tasks)
            ticket = replace(ticket, inputs=send(depot, ticket.nonce, items))
        except StagingError:
            _withdraw(depot, header, ticket)
            raise
    return replace(document, header=replace(header, depot=ticket.dump()))


def _is_seen(client: Client, header: Header, ticket: Ticket) -> bool:
    """Tell whether each cluster that the work may go to saw the directory's file system the last time."""
    standings = Standings(client.ledger)
    return all(standings.sees(name, ticket.place) for name in header.clusters)


def _take_up(
    client: Client, document: Document, offered: Document, answer: Accepted | JobferryError
) -> None:
    """Have the run keep what was offered; what no run took up is withdrawn."""
    ticket = Ticket.of(offered.header)
    if ticket is None or offered is document:  # nothing was offered from here
        return
    depot = depot_of(client)
    if not isinstance(answer, JobferryError) and not answer.attached:
        depot.books.keep(ticket.nonce, answer.run)
        return
    _withdraw(depot, document.header, ticket)


def _withdraw(depot: Depot, header: Header, ticket: Ticket) -> None:
    """Leave nothing behind of what no run took up."""
    unmark(header.source, ticket.nonce)
    depot.books.release([ticket.nonce])
    _tidied(depot)


def forget(client: Client) -> None:
    """Remove what only runs needed that the ledger knows no more."""
    if client.settings.depot.url is None:
        return
    try:
        depot = depot_of(client)
    except DepotError as error:
        _log.warning("%s: what lies there is removed later", error, extra={"action": "depot-tidy"})
        return
    depot.books.release_gone()
    _tidied(depot)


def is_home(header: Header, ticket: Ticket) -> bool:
    """Tell whether the producer's directory is seen from here; its marker may be gone with an earlier fetch."""
    if sees(header.source, ticket.nonce):
        return True
    mine = header.owner == this_user() and Path(header.source).is_dir()
    return mine and mark(header.source, ticket.nonce)


def depot_of(client: Client) -> Depot:
    """Return the depot that the settings name.

    Raises:
        DepotError: it does not answer.
        BadInput: they name none.
    """
    depot = open_depot(client.settings.depot, client.ledger)
    if depot is None:
        what = "is not set, and the files of this run travel through a depot; expected its address"
        raise BadInput([Problem("config.toml: depot.url", what)])
    return depot


def _inputs(header: Header, tasks: Iterable[TaskSpec]) -> Iterator[Item]:
    tree = Tree(header.source)
    yield from tree.named("", header.forward_common)
    for task in tasks:
        yield from tree.named(task.path, task.forward)


def _plain(path: str) -> str:
    return "" if path == "." else path


def _tidied(depot: Depot) -> None:
    """Remove garbage; what cannot be removed now is garbage later, too."""
    try:
        depot.tidy()
    except DepotError as error:
        _log.warning("%s", error, extra={"action": "depot-tidy"})


class Courier:
    """Sees to the files of one run."""

    def __init__(self, client: Client, run: RunId) -> None:
        self.run = run
        self._client = client
        self._header: Header = client.ledger.header(run)
        self._ticket = Ticket.of(self._header)
        self._standings = Standings(client.ledger)
        self._trouble = ""
        self._looked_back = False

    @property
    def is_home(self) -> bool:
        """True where the producer's directory is seen from here."""
        return self._ticket is not None and is_home(self._header, self._ticket)

    def attend(self, record: RunRecord) -> RunRecord:
        """Bring what the worker asks for and fetch what it put into the depot; return the record as it is then.

        A depot that does not answer is tried again at the next call.

        Raises:
            StagingError: a file cannot be written here.
        """
        if self._ticket is None:
            return record
        if record.results in _HERE:
            if sees(self._header.source, self._ticket.nonce):
                unmark(self._header.source, self._ticket.nonce)
                self._tidy(self._ticket, record)
            return record
        if not self.is_home:
            return record
        self._attend_before(record)
        try:
            return self.fetch(record)
        except DepotError as error:
            self._tell(str(error))
            forget_depots()
            return record

    def _attend_before(self, record: RunRecord) -> None:
        """Fetch what the run has from an earlier one, for which nobody may have waited; once."""
        if record.resumes is None or self._looked_back:
            return
        self._looked_back = True
        with suppress(UnknownId):
            Courier(self._client, record.resumes).attend(self._client.ledger.run(record.resumes))

    def fetch(self, record: RunRecord, into: str | None = None) -> RunRecord:
        """Do the same, and raise what goes wrong; `into` is another directory than the producer's own."""
        standing = self._standings.of(self.run)
        if self._ticket is None or standing.via == "paths":
            return record
        if standing.wanted and into is None:
            self._bring(self._ticket)
        if standing.parts > standing.fetched:
            later = set[str]() if into else self._later()
            if later:
                self._client.ledger.note_lack(self.run, _KEPT_BACK)
            home = Arrivals(into or self._header.source, self._roots, later, self._ticket.nonce)
            with home.alone() as alone:
                if not alone:
                    return record
                self._parts(self._ticket, home)
        return self._settled(self._ticket, record)

    def _bring(self, ticket: Ticket) -> None:
        """Put the inputs into the depot: they were not needed so far, or are not there any more."""
        depot = self._depot(ticket)
        digest = send(depot, ticket.nonce, _inputs(self._header, self._tasks()))
        depot.books.keep(ticket.nonce, self.run)
        self._standings.bring(self.run, digest)
        self._hint()
        _log.info("The inputs of %s are in the depot.", self.run, extra={"action": "depot-brought"})

    def _parts(self, ticket: Ticket, home: Arrivals) -> None:
        """Fetch part after part; each makes room in the depot."""
        depot = self._depot(ticket)
        while (standing := self._standings.of(self.run)).fetched < standing.parts:
            number = standing.fetched
            digest, at = self._standings.part(self.run, number)
            try:
                if digest:
                    home.take(depot, depot.manifest(digest))
            except NotInDepot as error:
                self._lost(at, error)
                if at is None:
                    return
                continue
            kill_here("after-fetched")
            self._standings.fetched(self.run, number + 1)
            kill_here("after-fetched-noted")
            depot.books.release([ticket.holder(number)])
            _tidied(depot)

    def _lost(self, at: ClusterName | None, error: NotInDepot) -> None:
        """Have the worker that put a part do it again; what other clusters put is fetched all the same."""
        comes = self._standings.lose(self.run, at)
        if at is not None and not comes:
            text = f"results of {at}, which was given up, are lost: {error}"
            self._tell(text)
            self._client.ledger.note_lack(self.run, text)
            return
        self._tell(f"{error}; its worker puts the results again")
        self._hint()

    def _hint(self) -> None:
        self._client.hint(*self._client.ledger.run(self.run).clusters)

    def _settled(self, ticket: Ticket, record: RunRecord) -> RunRecord:
        """Make known that all is here, once all is; of a shared run, all of one of its clusters."""
        if self._header.is_shared:
            return self._settled_shared(ticket)
        standing: Standing = self._standings.of(self.run)
        if record.results is not ResultsState.DEPOT or standing.fetched < standing.parts:
            return record
        if self._standings.move(self.run, ResultsState.DEPOT, ResultsState.DELIVERED):
            kill_here("after-settled")
            self._release(ticket)
            self._hint()
        return self._client.ledger.run(self.run)

    def _settled_shared(self, ticket: Ticket) -> RunRecord:
        ledger = self._client.ledger
        for name, at in ledger.places(self.run).items():
            if at == ResultsState.DEPOT.value:
                move = (ResultsState.DEPOT, ResultsState.DELIVERED)
                if self._standings.move(self.run, *move, name):
                    kill_here("after-settled")
                    self._client.hint(name)
        record = ledger.run(self.run)
        if (
            record.results is ResultsState.DEPOT
        ):  # what a cluster that was given up had put is here now
            ledger.follow_places(self.run)
            record = ledger.run(self.run)
        if record.results in _HERE:
            self._release(ticket)
        return record

    def _release(self, ticket: Ticket) -> None:
        depot = self._depot(ticket)
        depot.books.release(ticket.holders(self._standings.of(self.run).parts))
        _tidied(depot)

    def _tidy(self, ticket: Ticket, record: RunRecord) -> None:
        """Remove what was not needed, because the worker saw the directory, or needs no more."""
        try:
            if record.targets:  # the last of its clusters may have been given up
                self._release(ticket)
            else:
                _tidied(self._depot(ticket))
        except DepotError as error:
            self._tell(str(error))

    def _depot(self, ticket: Ticket) -> Depot:
        return the_depot(self._client.settings.depot, self._client.ledger, ticket)

    def _tasks(self) -> Iterator[TaskSpec]:
        pages = self._client.ledger.task_pages(self.run)
        return (task for _, task in chain.from_iterable(pages))

    @cached_property
    def _roots(self) -> set[str]:
        """The directories of the tasks."""
        return {_plain(task.path) for task in self._tasks()}

    def _later(self) -> set[str]:
        """Return the directories for which a later run of the same work has, or brings, the results."""
        ledger, found = self._client.ledger, set[str]()
        if ledger.displaced_by(self.run) or ledger.ended_later(self.run):
            found.add("")
        for start in range(0, self._header.jobs, _JOBS):
            jobs = range(start, min(start + _JOBS, self._header.jobs))
            again = ledger.superseded(self.run, jobs)
            indices = [index for job in again for index in self._header.tasks_of(job)]
            found |= {_plain(task.path) for task in ledger.tasks(self.run, indices).values()}
        return found

    def _tell(self, trouble: str) -> None:
        """Say what is wrong, once."""
        if trouble != self._trouble:
            _log.warning("%s: %s", self.run, trouble, extra={"action": "depot"})
        self._trouble = trouble
