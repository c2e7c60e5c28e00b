"""A cluster whose file system has no hard links, or no more to one file: what would be links are copies."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_worker.staging.streamed import Streamed
from jobferry_worker.staging.streamed.batches import LARGE_BYTES
from tests.testbed.processes import run
from tests.worker.staging.places import task
from tests.worker.staging.streamed.far import CountingHost, FarPlace, write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from pathlib import Path

    from jobferry_common.schedulers.base import Argv, Completed

ODD = "lib/a  link to\\b\n\t'\"ä link to .jobferry"
BIG = os.urandom(LARGE_BYTES + 1)


class Linkless(CountingHost):
    """This machine, as if its file systems had no hard links."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self._error = error

    def run(self, argv: Argv, **more: Any) -> Completed:
        return super().run(self._without(argv), **more)

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        return super().feed(self._without(argv), chunks, silence=silence)

    def _without(self, argv: Argv) -> Argv:
        return (sys.executable, "-m", "tests.testbed.linkless", self._error, *argv)


@pytest.fixture(params=["EPERM", "EOPNOTSUPP", "EMLINK"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> FarPlace:
    found = FarPlace(tmp_path)
    found.host = Linkless(request.param)
    found.staging = Streamed(found.host, str(found.root))
    write(found.source / "graph.pb", BIG)
    write(found.source / "tool", b"#!/bin/sh\n").chmod(0o755)
    write(found.source / ODD, b"odd")
    write(found.source / "t" / "own", BIG[::-1])
    write(found.source / "t" / "in", b"in")
    return found


TASK = task(forward=("in", "own"))


def test_links_are_really_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", b"")
    words = ["cp", "-l", str(tmp_path / "a"), str(tmp_path / "b")]
    done = run([sys.executable, "-m", "tests.testbed.linkless", "EMLINK", *words])
    assert "Too many links" in done.stderr
    assert not (tmp_path / "b").exists()


def test_inputs_are_copied(place: FarPlace) -> None:
    for name in ("5e7-1", "5e7-2"):
        place.at(name)
        place.stage(TASK, common=("graph.pb", "tool", "lib"))
        for path in ("graph.pb", "tool", ODD, "t/own", "t/in"):
            there = place.base / path
            assert there.read_bytes() == (place.source / path).read_bytes()
            assert there.stat().st_nlink == 1
        assert stat.S_IMODE((place.base / "graph.pb").stat().st_mode) == 0o444
        assert os.access(place.base / "tool", os.X_OK)
        assert os.access(place.base / "t" / "own", os.W_OK)
    assert not list((place.cache / "tmp").iterdir())


def test_what_is_there_is_sent_no_more_and_what_changed_comes_anew(place: FarPlace) -> None:
    common = ("graph.pb", "tool", "lib")
    place.stage(TASK, common=common)
    assert place.sent(lambda: place.stage(TASK, common=common)) < LARGE_BYTES
    write(place.source / "graph.pb", BIG[::-1])
    write(place.source / "t" / "in", b"changed")
    place.stage(TASK, common=common)
    assert (place.base / "graph.pb").read_bytes() == BIG[::-1]
    assert (place.base / "t" / "in").read_bytes() == b"changed"
    assert (place.base / "t" / "own").read_bytes() == BIG[::-1]
