"""Reading what a run was asked to do: its header and its tasks.

for page in ledger.task_pages(run):
    for index, task in page: ...
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnknownId
from jobferry_common.ledger.pages import PAGE_TASKS, unpack_header, unpack_page
from jobferry_common.ledger.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.names import RunId

_PAGES_KEPT: Final = 4


class _Recent:
    """The pages that were read last. They never change, so nothing can be stale."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[RunId, int], list[TaskSpec]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run: RunId, page: int) -> list[TaskSpec] | None:
        """Return a page if it is known."""
        with self._lock:
            found = self._pages.get((run, page))
            if found is not None:
                self._pages.move_to_end((run, page))
            return found

    def put(self, run: RunId, page: int, tasks: list[TaskSpec]) -> None:
        """Remember a page, and forget the one that was not used for longest."""
        with self._lock:
            self._pages[run, page] = tasks
            while len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)

    def clear(self) -> None:
        """Forget all pages."""
        with self._lock:
            self._pages.clear()


class SpecsPart(Store):
    """Headers and tasks."""

    _recent: _Recent

    def header(self, run: RunId) -> Header:
        """Return the header of a run.

        Raises:
            UnknownId: the ledger does not hold the run.
        """
        data = self.ask_bytes("HGET", self.key("run", run, "pages"), "header")
        if data is None:
            raise unknown_run(run)
        return unpack_header(data)

    def tasks(self, run: RunId, indices: Iterable[int]) -> dict[int, TaskSpec]:
        """Return tasks by their index in job order; indices that do not exist are left out."""
        wanted: dict[int, list[int]] = {}
        for index in indices:
            wanted.setdefault(index // PAGE_TASKS, []).append(index)
        found: dict[int, TaskSpec] = {}
        for page, members in wanted.items():
            tasks = self._page(run, page)
            first = page * PAGE_TASKS
            found |= {
                index: tasks[index - first] for index in members if index - first < len(tasks)
            }
        return found

    def task_pages(self, run: RunId) -> Iterator[list[tuple[int, TaskSpec]]]:
        """Yield all tasks with their indices, a page at a time."""
        number = 0
        while tasks := self._page(run, number, keep=False):
            yield list(enumerate(tasks, start=number * PAGE_TASKS))
            number += 1

    def forget_pages(self) -> None:
        """Read pages anew: a broker that lost its data may give a name to another run."""
        self._recent.clear()

    def _page(self, run: RunId, number: int, *, keep: bool = True) -> list[TaskSpec]:
        found = self._recent.get(run, number)
        if found is None:
            data = self.ask_bytes("HGET", self.key("run", run, "pages"), str(number))
            found = unpack_page(data) if data is not None else []
            if keep and found:
                self._recent.put(run, number, found)
        return found


def new_memory() -> _Recent:
    """Return an empty memory of pages."""
    return _Recent()


def unknown_run(run: str) -> UnknownId:
    """Return the error for a run that is not there."""
    return UnknownId(f"the ledger holds no run {run}: it was cleaned, or never accepted")
