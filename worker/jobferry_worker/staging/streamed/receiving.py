"""Results come back from another machine: what is there is listed, one stream brings what is not here yet.

    lacking = Receiving(trip).collect(tasks)

Which names a pattern stands for, which links are followed, and what is told as lacking is as with files on a shared
disk (`fetching.py`). Nothing counts before the checksum of the whole stream was right: until then all of it has names
for the time being.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from jobferry_common import globbing
from jobferry_common.errors import StagingError
from jobferry_worker.staging.base import Lacking, is_passing, told
from jobferry_worker.staging.fetching import room_for
from jobferry_worker.staging.local import source_must_exist
from jobferry_worker.staging.streamed.extracting import Extracting, Wanted
from jobferry_worker.staging.streamed.tree import FarTree, key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobferry_common.document import TaskSpec
    from jobferry_worker.staging.streamed.tree import Node
    from jobferry_worker.staging.streamed.trip import Trip

_PAGE_TASKS: Final = 2000


@dataclass(slots=True)
class Item:
    """A pattern of a task, and what became of it."""

    position: int | None
    path: str  #: the task's directory
    name: str  #: the pattern
    told: bool  #: it is told when it stands for nothing
    why: str = ""
    found: list[str] = field(default_factory=list)

    @property
    def lacking(self) -> Lacking | None:
        """What is to be told of it."""
        if not self.why and (self.found or not self.told):
            return None
        return Lacking(position=self.position, path=self.path, name=self.name, why=self.why)


class Receiving:
    """The results of a run, on their way."""

    def __init__(self, trip: Trip) -> None:
        self._trip = trip
        self._homes: set[str] = set()

    def collect(self, tasks: Iterable[tuple[TaskSpec, bool]]) -> list[Lacking]:
        """Fetch what tasks that ended left; return what they lack.

        Raises:
            StagingError: something cannot be brought now, but perhaps later.
        """
        rest = iter(tasks)
        lacking = []
        while page := list(islice(rest, _PAGE_TASKS)):
            items = [item for task, succeeded in page for item in _items(task, succeeded)]
            lacking += self._page(items)
        return lacking

    def common(self) -> list[Lacking]:
        """Fetch what a run left for all its tasks together."""
        names = self._trip.header.backward_common
        return self._page([Item(None, ".", name, told=True) for name in names])

    def _page(self, items: Sequence[Item]) -> list[Lacking]:
        if items:
            with told("fetch", self._trip.layout.base):
                tree = self._looked(items)
                wanted = self._wanted(items, tree)
                Extracting(self._trip).fetch(wanted)
        return [item.lacking for item in items if item.lacking]

    def _looked(self, items: Sequence[Item]) -> FarTree:
        """Return a tree that knows all that the items stand for."""
        tree = FarTree(self._trip.far, self._trip.layout.base)
        for item in items:
            tree.want("deep", key(f"{item.path}/{item.name}"))
            if globbing.is_pattern(item.name):
                tree.want("shallow", key(f"{item.path}/{_before_magic(item.name)}"))
        while tree.fetch():
            for item in items:
                item.found = _names(tree, item)
                for _ in _below_all(tree, item):
                    pass
                if not item.found:  # may one look where it should be?
                    for upper in _uppers(f"{item.path}/{_before_magic(item.name)}"):
                        tree.want("shallow", upper)
        return tree

    def _wanted(self, items: Sequence[Item], tree: FarTree) -> dict[str, Wanted]:
        """Make directories, and return the files that may have to come, by their path there."""
        wanted: dict[str, Wanted] = {}
        for item in items:
            try:
                with told("fetch", f"{self._trip.layout.base}/{item.path}"):
                    self._prepare(item, tree, wanted)
            except StagingError as error:
                self._note(item, error)
        return wanted

    def _prepare(self, item: Item, tree: FarTree, wanted: dict[str, Wanted]) -> None:
        home = f"{self._trip.header.source}/{item.path}"
        if item.found and home not in self._homes:
            os.makedirs(home, exist_ok=True)  # noqa: PTH103
            self._homes.add(home)
        for name, node in _below_all(tree, item):
            if node.kind == "d":
                room_for(home, f"{name}/.")
                continue
            room_for(home, name)
            path = key(f"{item.path}/{name}")
            if path not in wanted:
                wanted[path] = Wanted(target=f"{home}/{name}", node=node, failed=[])
            wanted[path].failed.append(partial(self._note, item))
        for path in sorted(tree.shut):
            if _may_be_in(item, path):
                where = f"{self._trip.layout.base}/{path}"
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), where)

    def _note(self, item: Item, error: StagingError) -> None:
        """Keep why an item stays there.

        Raises:
            StagingError: it may come later.
        """
        if is_passing(error):
            raise error
        source_must_exist(
            self._trip.header
        )  # a file system that went away meanwhile may come again
        item.why = str(error)


def _items(task: TaskSpec, succeeded: bool) -> Iterator[Item]:
    for name in (task.outlog, task.errlog):
        if name is not None:
            yield Item(task.position, task.path, name, told=False)
    for name in task.backward:
        yield Item(task.position, task.path, name, told=succeeded)


def _before_magic(pattern: str) -> str:
    """Return the directory below which a pattern has to be looked for."""
    parts = pattern.split("/")
    magic = (index for index, part in enumerate(parts) if globbing.is_pattern(part))
    return "/".join(parts[: next(magic, -1)])


def _uppers(path: str) -> Iterator[str]:
    """Return a directory and those that it is in, but for the base."""
    path = key(path)
    while path:
        yield path
        path = os.path.dirname(path)  # noqa: PTH120


def _may_be_in(item: Item, shut: str) -> bool:
    """Tell whether a directory that may not be entered is, holds, or lies below what an item stands for."""
    home = key(item.path)
    if item.found and not globbing.is_pattern(item.name):  # the way to it is open
        return f"{shut}/".startswith(f"{key(f'{item.path}/{item.name}')}/")
    if f"{home}/".startswith(f"{shut}/"):
        return True
    inner = shut.removeprefix(f"{home}/") if home else shut
    if home and inner == shut:
        return False
    pattern = key(item.name)
    return not pattern or globbing.may_lead_to(pattern, inner)


def _names(tree: FarTree, item: Item) -> list[str]:
    names = globbing.matches(item.path, item.name, tree)
    return [name for name in names if tree.node(f"{item.path}/{name}")]


def _below_all(tree: FarTree, item: Item) -> Iterator[tuple[str, Node]]:
    """Return directories and files that an item stands for; names are relative to the task's directory."""
    for name in item.found:
        if key(name) == "":
            for child in tree.entries(item.path, "deep"):
                yield from _below(tree, item.path, child.name, frozenset())
        else:
            yield from _below(tree, item.path, name, frozenset())


def _below(
    tree: FarTree, directory: str, name: str, above: frozenset[str]
) -> Iterator[tuple[str, Node]]:
    path = f"{directory}/{name}"
    node = tree.node(path)
    if node is None:
        return
    if node.kind == "f":
        yield name, node
    elif node.kind == "d":
        real = node.real or _real(tree, path)
        if real in above or _leads_up(tree, directory, node):
            return
        yield name, node
        for child in tree.entries(path, "deep"):
            yield from _below(tree, directory, f"{name}/{child.name}", above | {real})


def _real(tree: FarTree, path: str) -> str:
    """Return where a directory really is: below the nearest link that leads to it."""
    path = key(path)
    parts = path.split("/")
    for end in range(len(parts) - 1, 0, -1):
        upper = "/".join(parts[:end])
        if tree.is_link(upper):
            node = tree.node(upper)
            return "/".join([node.real if node else "", *parts[end:]])
    return f"{tree.real}/{path}"


def _leads_up(tree: FarTree, directory: str, node: Node) -> bool:
    """Tell whether a link leads to a directory that holds the task's: to copy it would never end."""
    place = f"{tree.real}/{key(directory)}"
    return bool(node.real) and f"{place}/".startswith(f"{node.real.rstrip('/')}/")
