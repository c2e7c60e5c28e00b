"""What is sent is prepared a little ahead, and never more than a little."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from jobferry_worker.staging.streamed.ahead import ahead
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator


class Source:
    """A hundred chunks, and what became of them."""

    def __init__(self, fails_at: int = 100) -> None:
        self.made = 0
        self.closed = False
        self.threads: set[int] = set()
        self._fails_at = fails_at

    def chunks(self) -> Generator[bytes]:
        try:
            for number in range(100):
                self.threads.add(threading.get_ident())
                if number == self._fails_at:
                    raise OSError(number, "it cannot be read")
                self.made += 1
                yield b"%d" % number
        finally:
            self.closed = True


def test_all_chunks_come_in_their_order_from_another_thread() -> None:
    source = Source()
    with closing(ahead(source.chunks())) as chunks:
        assert list(chunks) == [b"%d" % number for number in range(100)]
    assert source.closed
    assert threading.get_ident() not in source.threads


def test_a_few_are_prepared_while_one_is_on_its_way_and_no_more() -> None:
    source = Source()
    with closing(ahead(source.chunks())) as chunks:
        assert next(chunks) == b"0"
        wait_until(lambda: source.made >= 4, "the next ones are prepared")
        assert source.made <= 6
        assert next(chunks) == b"1"
    assert source.closed
    assert source.made < 20


def test_what_a_source_raises_comes_after_its_chunks() -> None:
    source = Source(fails_at=3)
    came = []
    with (
        closing(ahead(source.chunks())) as chunks,
        pytest.raises(OSError, match="cannot be read"),
    ):
        for chunk in chunks:
            came.append(chunk)
    assert came == [b"0", b"1", b"2"]


def test_a_source_that_nobody_wants_any_more_is_closed() -> None:
    source = Source()
    chunks = ahead(source.chunks())
    assert next(chunks) == b"0"
    chunks.close()
    assert source.closed
    assert not [one for one in threading.enumerate() if one.ident in source.threads]
