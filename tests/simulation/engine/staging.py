"""How files travel in a simulation: inputs to the far side, results from it to the producer's directory.

The code around it, which decides what is moved and notes it, is the real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.errors import StagingError
from jobferry_common.files import NewFile
from jobferry_worker.staging.base import Lacking

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.hosts.base import Host
    from tests.simulation.engine.fate import Fate


class SimStaging:
    """The `Staging` of a simulation."""

    def __init__(self, host: Host, fate: Fate, home: dict[tuple[str, int], bytes]) -> None:
        self._host = host
        self._fate = fate
        #: what is in the producer's directories: (source, task) → result
        self._home = home

    def stage(
        self, header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]], layout: Layout
    ) -> None:
        for page in pages:
            self._fate.rest(self._fate.random.choice([0.0, 1.0, 20.0]))
            self._host.write(
                [NewFile(path=f"{layout.control}/in/{index}", content=b"") for index, _ in page]
            )

    def collect(
        self, header: Header, tasks: Iterable[tuple[TaskSpec, bool]], layout: Layout
    ) -> list[Lacking]:
        lacking = []
        for spec, succeeded in tasks:
            path = f"{layout.control}/out/{spec.position}"
            found = self._host.read([path]).get(path)
            if self._fate.happens("file not written"):
                msg = f"cannot write to {header.source}: no space left"
                raise StagingError(msg)
            if found is not None:
                self._home[header.source, spec.position] = found
            elif succeeded:
                lacking.append(Lacking(position=spec.position, path=spec.path, name="out"))
        return lacking

    def collect_common(self, header: Header, layout: Layout) -> list[Lacking]:
        return []

    def clean(self, layout: Layout) -> None:
        self._host.remove_tree(layout.control)
