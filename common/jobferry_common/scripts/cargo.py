"""What a job takes along to a system that shares no directory with the worker.

It lies beside the job's script as `batch/<token>.cargo`, for the bridge that carries it. All paths are relative to the
run's directory.

>>> Cargo.unpack(b'{"control": ".jobferry/5e7-1", "files": ["a"], "trees": ["t"], "marks": [], "claims": []}').trees
('t',)
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from jobferry_common.errors import UnreadableOutput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.files import NewFile
    from jobferry_common.names import AttemptKey
    from jobferry_common.scripts.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """Of one submit command."""

    control: str = ""  #: directory of what jobferry writes
    files: tuple[
        str, ...
    ] = ()  #: of jobferry, and the common ones; a directory stands for all in it
    trees: tuple[
        str, ...
    ] = ()  #: directories of the tasks, with all that is in them; made if there is none
    marks: tuple[str, ...] = ()  #: success marks of its tasks, those that are there
    claims: tuple[
        str, ...
    ] = ()  #: claims of its attempts: the bridge makes them before it starts the job

    @classmethod
    def of(
        cls,
        layout: Layout,
        header: Header,
        files: Iterable[NewFile],
        attempts: Iterable[AttemptKey],
        tasks_of: Mapping[int, Sequence[tuple[int, TaskSpec]]],
    ) -> Self:
        """Return the cargo of what `batch_files` writes."""
        tasks = [task for some in tasks_of.values() for task in some]

        def inner(paths: Iterable[str]) -> tuple[str, ...]:
            return tuple(posixpath.relpath(path, layout.base) for path in paths)

        return cls(
            control=inner([layout.control])[0],
            files=(*inner(file.path for file in files), *header.forward_common),
            trees=tuple(dict.fromkeys(task.path for _, task in tasks)),
            marks=inner(layout.done(index) for index, _ in tasks),
            claims=inner(layout.claim(attempt) for attempt in attempts),
        )

    def pack(self) -> bytes:
        """Return it as it is stored."""
        return json.dumps(asdict(self)).encode("ascii")

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        """Read what `pack` wrote.

        Raises:
            UnreadableOutput: it is none.
        """
        try:
            fields = json.loads(content)
            control = str(fields.pop("control"))
            return cls(control=control, **{name: tuple(value) for name, value in fields.items()})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            msg = f"a list of what a job takes along: {error!r} in {content[:80]!r}"
            raise UnreadableOutput(msg) from error
