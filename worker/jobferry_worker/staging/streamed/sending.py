"""Files go to a run's directory on another machine: one stream, and only what is not there already is in it.

    Sending(far, header, layout, squeezing, renew).send(pages)

For each batch one question, then records as `far.sh` reads them: objects that the cache lacks, links to objects and
copies of them, and packs of small files.
"""

from __future__ import annotations

import secrets
import time
from itertools import chain
from typing import TYPE_CHECKING, Final

from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.staging.streamed import archive
from jobferry_worker.staging.streamed.batches import batches
from jobferry_worker.staging.streamed.cache import ask
from jobferry_worker.staging.streamed.objects import Objects
from jobferry_worker.staging.streamed.packs import pack_keys, pack_records
from jobferry_worker.staging.streamed.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.staging.streamed.batches import Batch
    from jobferry_worker.staging.streamed.far import Far
    from jobferry_worker.staging.streamed.squeezing import Squeezing

_RENEW_SECONDS: Final = 10.0


class Sending:
    """The files of one run, on their way."""

    def __init__(
        self,
        far: Far,
        header: Header,
        layout: Layout,
        squeezing: Squeezing,
        renew: Callable[[], None],
    ) -> None:
        self._far = far
        self._header = header
        self._layout = layout
        self._squeezing = squeezing
        self._renew = renew
        self._session = f"{layout.run}.{secrets.token_hex(6)}"

    def send(self, pages: Iterable[Sequence[tuple[int, TaskSpec]]]) -> None:
        """Send what is not there, and have all of it placed.

        Raises:
            OSError: a file cannot be read here, or written there.
        """
        every = batches(self._header, pages)
        first, second = next(every), next(every, None)
        if second is None and first.is_bare:
            self._make_directories(first)
            return
        words = (self._layout.root, self._layout.run, self._session)
        rest = chain([first], [second] if second else [], every)
        self._far.feed("receive", *words, chunks=self._paced(self._stream(rest)))

    def _make_directories(self, batch: Batch) -> None:
        base = self._layout.base
        paths = [path for group in batch.groups for path in group.directories]
        self._far.host.make_directories([base, *(f"{base}/{path}" for path in paths)])

    def _paced(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hold the lease, however slow the link is."""
        renewed = time.monotonic()
        for chunk in self._squeezing.watched(chunks):
            if time.monotonic() - renewed > _RENEW_SECONDS:
                self._renew()
                renewed = time.monotonic()
            yield chunk

    def _stream(self, every: Iterable[Batch]) -> Iterator[bytes]:
        for batch in every:
            yield from self._batch(batch)
        yield b"end\n"

    def _batch(self, batch: Batch) -> Iterator[bytes]:
        objects = Objects(self._far, self._header, batch.objects, self._squeezing)
        keys = pack_keys(self._header, batch.groups)
        answer = ask(self._far, [*objects.questions(), *(f"a {key}" for key in keys)], batch.size)
        self._squeezing.wanted &= answer.squeezes
        yield from objects.records(answer)
        if batch.common or batch.common_directories:
            yield from record("link", self._links(batch, objects), self._squeezing)
        if batch.own:
            yield from record("copy", self._copies(batch, objects), self._squeezing)
        for group, key in zip(batch.groups, keys, strict=True):
            yield from pack_records(self._far, group, key, answer, self._squeezing)

    def _links(self, batch: Batch, objects: Objects) -> bytes:
        """Return the archive that makes common files: links to objects, relative to the root."""
        run = self._layout.run
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
