"""Who brings the files of a run: a worker that was stopped for a while finds them brought, and jobs at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import LeaseLost, StagingError
from jobferry_worker.staging.streamed import Streamed
from jobferry_worker.staging.streamed.batches import LARGE_BYTES
from tests.testbed.processes import wait_until
from tests.worker.staging.places import task
from tests.worker.staging.streamed.far import FarPlace, write

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "x" * LARGE_BYTES, "a job went on with it\n"
TASK = task(forward=("in", "own"))


@pytest.fixture
def place(tmp_path: Path) -> FarPlace:
    found = FarPlace(tmp_path)
    write(found.source / "t" / "own", OLD.encode())
    return found


def brought_and_changed(place: FarPlace) -> None:
    """Have another worker bring the files, and a job change them."""
    other = FarPlace(place.root.parent / "other")
    other.source, other.layout = place.source, place.layout
    other.staging = Streamed(other.host, str(place.root))
    other.stage(TASK)
    for name in ("in", "own"):
        (place.base / "t" / name).write_text(NEW)


def is_left_alone(place: FarPlace) -> bool:
    return all((place.base / "t" / name).read_text() == NEW for name in ("in", "own"))


def test_a_stream_that_hung_places_nothing_once_another_worker_began(place: FarPlace) -> None:
    chunks: list[bytes] = []

    def hang(chunk: bytes) -> None:
        if chunk and not any(chunks):
            began = place.cache / "refs" / f"{place.layout.run}@{place.layout.cluster}.by"
            wait_until(began.exists, "the far side knows who brings the files")
            brought_and_changed(place)
        chunks.append(chunk)

    place.host.on_chunk = hang
    with pytest.raises(StagingError, match="another worker brings its files by now"):
        place.stage(TASK)
    assert is_left_alone(place)


def test_whoever_lost_the_lease_before_the_stream_began_sends_nothing(place: FarPlace) -> None:
    def lost() -> None:
        msg = "another worker goes on"
        raise LeaseLost(msg)

    brought_and_changed(place)
    place.staging = Streamed(place.host, str(place.root), renew=lost)
    with pytest.raises(LeaseLost):
        place.stage(TASK)
    assert is_left_alone(place)
    assert place.host.sent == 0


def test_whoever_lost_the_lease_while_results_came_puts_them_over_nothing(place: FarPlace) -> None:
    def lost() -> None:
        msg = "another worker goes on"
        raise LeaseLost(msg)

    place.stage(TASK)
    place.put(place.base / "t" / "out", "an older result")
    place.put(place.source / "t" / "out", NEW)
    place.staging = Streamed(place.host, str(place.root), renew=lost)
    with pytest.raises(LeaseLost):
        place.collect(TASK)
    assert [path.name for path in (place.source / "t").iterdir() if path.suffix] == []
    assert (place.source / "t" / "out").read_text() == NEW


def test_nothing_of_it_stays_when_the_run_is_cleaned(place: FarPlace) -> None:
    place.stage(TASK)
    place.staging.clean(place.layout)
    assert list((place.cache / "refs").iterdir()) == []
