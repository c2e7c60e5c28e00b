"""Files go to a run's directory on another machine: one stream, and only what is not there already is in it.

    Sending(trip).send(pages)

For each batch one question, then records as `coming.sh` reads them: objects that the cache lacks, links to objects and
copies of them, and packs of small files.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.clock import Hold
from jobferry_worker.staging.streamed import archive
from jobferry_worker.staging.streamed.ahead import ahead
from jobferry_worker.staging.streamed.batches import batches
from jobferry_worker.staging.streamed.cache import ask
from jobferry_worker.staging.streamed.objects import Objects
from jobferry_worker.staging.streamed.packs import pack_keys, pack_records
from jobferry_worker.staging.streamed.records import record

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from jobferry_common.document import TaskSpec
    from jobferry_worker.staging.streamed.batches import Batch
    from jobferry_worker.staging.streamed.trip import Trip


class Sending:
    """The files of one run, on their way."""

    def __init__(self, trip: Trip) -> None:
        self._trip = trip
        self._session = f"{trip.layout.run}@{trip.layout.cluster}.{secrets.token_hex(6)}"

    def send(self, pages: Iterable[Sequence[tuple[int, TaskSpec]]]) -> None:
        """Send what is not there, and have all of it placed.

        Raises:
            OSError: a file cannot be read here, or written there.
        """
        every = batches(self._trip.header, pages)
        first, second = next(every), next(every, None)
        if second is None and first.is_bare:
            self._make_directories(first)
            return
        words = (self._trip.layout.root, self._trip.layout.run, self._session)
        rest = chain([first], [second] if second else [], every)
        with closing(ahead(self._stream(rest))) as chunks:
            self._trip.far.feed("receive", *words, chunks=self._paced(chunks))

    def _make_directories(self, batch: Batch) -> None:
        base = self._trip.layout.base
        paths = [path for group in batch.groups for path in group.directories]
        self._trip.far.host.make_directories([base, *(f"{base}/{path}" for path in paths)])

    def _paced(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hold the lease, however slow the link is.

        What comes may be late: this process was stopped for a while, and another one has brought the files, which jobs
        work on by now. So the far side is told who brings them from now on, then the lease is looked at, and nothing is
        placed there any more once somebody else began.
        """
        hold: Hold | None = None
        for chunk in self._trip.squeezing.watched(chunks):
            if hold is None:
                hold = Hold(self._trip.renew)
                yield b""  # starts the far side
                hold.renew()
            hold.keep()
            yield chunk

    def _stream(self, every: Iterable[Batch]) -> Generator[bytes]:
        for batch in every:
            yield from self._batch(batch)
        yield b"end\n"

    def _batch(self, batch: Batch) -> Iterator[bytes]:
        objects = Objects(self._trip.far, self._trip.header, batch.objects, self._trip.squeezing)
        keys = pack_keys(self._trip.header, batch.groups)
        answer = ask(
            self._trip.far, [*objects.questions(), *(f"a {key}" for key in keys)], batch.size
        )
        self._trip.squeezing.wanted &= answer.squeezes
        yield from objects.records(answer)
        if self._trip.copy_common:
            # a task's own file of the same name comes behind, and wins
            batch.own, batch.common = [*batch.common, *batch.own], []
        if batch.common or batch.common_directories:
            yield from record("link", self._links(batch, objects), self._trip.squeezing)
        if batch.own:
            yield from record("copy", self._copies(batch, objects), self._trip.squeezing)
        for group, key in zip(batch.groups, keys, strict=True):
            yield from pack_records(self._trip.far, group, key, answer, self._trip.squeezing)

    def _links(self, batch: Batch, objects: Objects) -> bytes:
        """Return the archive that makes common files: links to objects, relative to the root."""
        run = self._trip.layout.run
        members = [archive.directory(f"{run}/{path}") for path in batch.common_directories]
        for file in batch.common:
            members.append(archive.hard_link(f"{run}/{file.path}", objects.place(file)))
        return b"".join((*members, archive.END))

    def _copies(self, batch: Batch, objects: Objects) -> bytes:
        """Return the archive of links that the far side makes copies of."""
        scratch = f"{HIDDEN}/cache/tmp/{self._session}/a"
        members = [
            archive.hard_link(f"{scratch}/{file.path}", objects.place(file)) for file in batch.own
        ]
        return b"".join((*members, archive.END))
