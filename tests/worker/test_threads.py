"""Two lanes of threads: hung transfers leave the threads of passes free."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from jobferry_common import messages
from jobferry_common.settings import Settings
from jobferry_worker import service
from jobferry_worker.service import Service
from jobferry_worker.threads import LanePool

if TYPE_CHECKING:
    from redis import Redis


@pytest.mark.parametrize("task", sorted(messages.DATA_TASKS))
def test_hung_moves_leave_the_threads_of_passes_free(
    task: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Service(Settings(data_threads=2), redis)
    monkeypatch.setattr(service, "current", lambda: serving)
    pool = LanePool(1)
    go_on, passed = threading.Event(), threading.Event()
    try:
        for _ in range(8):
            pool.on_apply(lambda _: go_on.wait(60), (task,))
        pool.on_apply(lambda _: passed.set(), (messages.ADVANCE,))
        assert passed.wait(60)
    finally:
        go_on.set()
        pool.on_stop()
