"""The threads of a worker: two pools that Celery takes for one, because it binds its requests to a single pool.

    jobferry.advance, jobferry.cancel          -> `threads`
    jobferry.stage, jobferry.collect, …        -> `data_threads`

A hung transfer blocks a thread of the second kind only.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from celery.concurrency import thread
from celery.concurrency.base import apply_target

from jobferry_common.messages import DATA_TASKS
from jobferry_worker import service

#: the stubs of Celery do not have it
_Result: Final[Any] = vars(thread)["ApplyResult"]


class LanePool(thread.TaskPool):
    """Two thread pools in one: Celery binds its requests to a single pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._data = ThreadPoolExecutor(service.current().settings.data_threads, "data")

    def on_apply(
        self,
        target: Any,  # noqa: ANN401
        args: Any = None,  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
        callback: Any = None,  # noqa: ANN401
        accept_callback: Any = None,  # noqa: ANN401
        **_: Any,
    ) -> Any:  # noqa: ANN401
        """Run a task on the threads of its lane; its name is its first argument."""
        celery: Any = self
        lane = self._data if args and args[0] in DATA_TASKS else celery.executor
        return _Result(lane.submit(apply_target, target, args, kwargs, callback, accept_callback))

    def on_stop(self) -> None:
        """Wait for what runs."""
        self._data.shutdown(cancel_futures=True)
        super().on_stop()
