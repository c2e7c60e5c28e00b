"""Files of a run on another machine, as far as somebody asked for them.

    tree = FarTree(far, "/scratch/alice/5e7-1")
    while True:
        names = globbing.matches("t", "out.*", tree)
        if not tree.fetch():        # nothing was missing: the answer stands
            break

What is not known yet reads as if it were not there, and is fetched with one command for all that was asked meanwhile.
Links are followed only where somebody asks what they lead to.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_worker.staging.streamed.far import Far

_FIELDS: Final = 6
_SHUT: Final = "D"


@dataclass(frozen=True, slots=True)
class Node:
    """A file, a directory or something else; a link as such, or what it leads to."""

    name: str
    kind: str  #: "f", "d", "l", … as find has it
    size: int
    mtime_ns: int
    mode: int
    is_sparse: bool
    real: str = ""  #: where a link leads: absolute
    is_shut: bool = False  #: a directory that may not be entered: what is in it is not known

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a directory itself."""
        del follow_symlinks
        return self.kind == "d"


class FarTree:
    """What is known of one directory; paths are relative to it."""

    def __init__(self, far: Far, base: str) -> None:
        self._far = far
        self._base = base
        self._nodes: dict[str, Node] = {}
        self._children: dict[str, set[str]] = {}  #: of directories that are known completely
        self._targets: dict[str, Node] = {}  #: what links lead to
        self._asked: set[tuple[str, str]] = set()
        self._wanted: dict[str, set[str]] = {"deep": set(), "shallow": set(), "link": set()}
        #: directories that may not be entered, and links to such
        self.shut: set[str] = set()
        #: where the base really is; "" if it is not there
        self.real = ""

    def want(self, how: str, path: str) -> None:
        """Have something fetched: all below a path, one level of it, or what a link leads to."""
        if (how, path) not in self._asked:
            self._wanted[how].add(path)

    def exists(self, path: str) -> bool:
        """Tell whether there is something of that name."""
        path = key(path)
        if path in self._nodes:
            return True
        if os.path.dirname(path) not in self._children:  # noqa: PTH120
            self.want("shallow", path)
        return False

    def node(self, path: str) -> Node | None:
        """Return what a path leads to, links followed; None for nothing."""
        path = key(path)
        node = self._nodes.get(path)
        if node is None:
            self.exists(path)
            return None
        if node.kind != "l":
            return node
        self.want("link", path)
        target = self._targets.get(path)
        return target if target and target.kind != "l" else None

    def is_link(self, path: str) -> bool:
        """Tell whether a path is a link itself."""
        node = self._nodes.get(key(path))
        return node is not None and node.kind == "l"

    def is_directory(self, path: str) -> bool:
        """Tell whether a path leads to a directory."""
        node = self.node(path)
        return node is not None and node.kind == "d"

    def entries(self, path: str, how: str = "shallow") -> list[Node]:
        """Return what is in a directory."""
        path = key(path)
        if path in self._children:
            below = f"{path}/" if path else ""
            return [self._nodes[below + name] for name in sorted(self._children[path])]
        if not path or self.is_directory(path):
            # find goes through a link whose name ends so
            self.want(how, f"{path}/" if self.is_link(path) else path)
        return []

    def fetch(self) -> bool:
        """Ask for what was wanted; False when nothing was.

        Raises:
            OSError: it could not be asked.
        """
        wanted = {how: sorted(paths) for how, paths in self._wanted.items() if paths}
        if not wanted:
            return False
        for how, paths in wanted.items():
            self._asked |= {(how, path) for path in paths}
            self._wanted[how] = set()
        answer = self._far.ask("list", self._base, each=list(_requests(wanted)))
        self._read(answer.split(b"\0"), {key(path) for path in wanted.get("shallow", ())})
        return True

    def _read(self, records: list[bytes], shallow: set[str]) -> None:
        if records[-2:] != [b"end", b""]:
            raise OSError(errno.EIO, "the listing is cut short", self._base)
        if records[-4:-3] == [b"here"]:
            self.real = os.fsdecode(records[-3])
        how = path = ""
        for record in records[:-4]:
            if record.startswith(b"# "):
                how = record[2:].decode()
            elif record.startswith(b"/"):
                self._targets[path] = replace(self._targets[path], real=os.fsdecode(record))
            elif record:
                path, node = _parsed(record)
                self._take(path, node, how, whole=how == "deep" or path in shallow)

    def _take(self, path: str, node: Node, how: str, *, whole: bool) -> None:
        if node.is_shut:
            self.shut.add(path)
        if how == "link":
            self._targets[path] = node
        else:
            self._keep(path, node, whole=whole)

    def _keep(self, path: str, node: Node, *, whole: bool) -> None:
        """Keep a node; `whole`: what is in it follows."""
        self._nodes.setdefault(path, node)
        if node.kind == "d" and whole:
            self._children.setdefault(path, set())
        parent = os.path.dirname(path)  # noqa: PTH120
        if path and parent in self._children:
            self._children[parent].add(node.name)


def key(path: str) -> str:
    """Return a path in its one form; the base itself is ""."""
    tidy = os.path.normpath(path)
    return "" if tidy == "." else tidy


def _requests(wanted: dict[str, list[str]]) -> Iterator[bytes]:
    """Return each path after the first letter of what is wanted of it."""
    for how, paths in wanted.items():
        for path in paths:
            yield how[:1].encode() + b"./" + os.fsencode(path)


def _parsed(record: bytes) -> tuple[str, Node]:
    """Read a record of find: kind, size, blocks, time, mode, path; D is a directory that may not be entered."""
    kind, size, blocks, time, mode, path = os.fsdecode(record).split(" ", _FIELDS - 1)
    seconds, _, fraction = time.partition(".")
    path = key(path)
    return (
        path,
        Node(
            name=os.path.basename(path),  # noqa: PTH119
            kind=kind.lower() if kind == _SHUT else kind,
            size=int(size),
            mtime_ns=int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0")),
            mode=int(mode, 8),
            is_sparse=int(size) > int(blocks) * 512 + (1 << 20),
            is_shut=kind == _SHUT,
        ),
    )
