"""The far side of a simulation, with all that may go wrong on the way to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jobferry_common.errors import HostUnreachable, StagingError
from jobferry_common.schedulers.base import Completed
from tests.simulation.fakes import FakeHost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from jobferry_common.files import NewFile
    from jobferry_common.schedulers.base import Argv
    from tests.simulation.engine.fate import Fate
    from tests.simulation.world import World


class SimHost(FakeHost):
    """The way of one worker to a cluster: before each touch and after it things may go wrong."""

    def __init__(self, world: World, fate: Fate) -> None:
        super().__init__(world)
        self._fate = fate

    def run(
        self,
        argv: Argv,
        *,
        limit: timedelta,
        stdin: bytes = b"",
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        fate, verb = self._fate, argv[1]
        fate.strike(f"before {' '.join(argv[1:4])}")
        self._reach()
        if self.world.cluster_name != "far" and verb not in ("facts", "list"):
            return Completed(argv=argv, exit_code=1, stderr="nobody knows you here")
        late = fate.happens("answer late")
        if late and fate.random.random() < 0.5:
            fate.rest(fate.random.uniform(0.0, limit.total_seconds() / 2))
        done = super().run(argv, limit=limit)
        fate.tell(f"answer: {done.exit_code} {done.stdout[:60]}{done.stderr}")
        if late:
            fate.rest(fate.random.uniform(0.0, limit.total_seconds() / 2))
        fate.strike(f"after {verb}, before its answer is read")
        if verb in ("list", "history", "inquire") and fate.happens("answer garbled"):
            return Completed(argv=argv, exit_code=0, stdout="<garbled")
        if verb == "submit" and done.exit_code == 0:
            fate.adoptions.answered.add(argv[2])  # type: ignore[arg-type]
        self._note(verb, done)
        return done

    def _list(self, argv: Argv) -> str:
        if self.world.cluster_name != "far":
            return json.dumps({"cluster": self.world.cluster_name, "jobs": []})
        return super()._list(argv)

    def _note(self, verb: str, done: Completed) -> None:
        noted = {
            "history": self._fate.adoptions.by_history,
            "inquire": self._fate.adoptions.by_inquiry,
        }
        if verb in noted and done.exit_code == 0:
            rows = json.loads(done.stdout)["jobs"]
            noted[verb].update(row[0] for row in rows if row[2] == "ended")

    def write(self, files: Iterable[NewFile]) -> None:
        given = list(files)
        self._strike_amid(given, "before files are written")
        if self._fate.happens("file not written"):
            super().write(given[: len(given) // 2])
            msg = "cannot write: no space left"
            raise StagingError(msg)
        super().write(given)
        self._fate.strike("after files were written")

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        self._touch(f"before {len(paths)} files are read")
        return super().read(paths)

    def create(self, files: Sequence[NewFile]) -> Sequence[bool]:
        self._strike_amid(files, "before files are created")
        if self._fate.happens("file not written"):
            super().create(files[: len(files) // 2])
            msg = "cannot create: no space left"
            raise StagingError(msg)
        made = super().create(files)
        if self.world.bare is not None and any(file.path.endswith("/id") for file in files):
            # nothing was in use there: only results of runs that had ended lie under what was not mounted
            self.world.tally["root made where nothing was mounted"] += 1
        self._fate.tell(
            f"created {[f.path[-30:] for f, new in zip(files, made, strict=True) if new]}"
        )
        self._fate.strike("after files were created")
        return made

    def names(self, directory: str) -> Sequence[str]:
        self._touch("before a directory is read")
        return super().names(directory)

    def remove(self, paths: Iterable[str]) -> None:
        self._fate.strike("before files are removed")
        super().remove(paths)

    def _strike_amid(self, files: Sequence[NewFile], point: str) -> None:
        """Strike; who dies leaves a part of the first file beside the place where it would have stood."""
        parts = [f"{file.path.rpartition('/')[0]}/.jf-1-0.tmp" for file in files[:1]]
        self.world.files.update(dict.fromkeys(parts, b"job"))
        self._fate.strike(point)
        for part in parts:
            self.world.files.pop(part, None)

    def _touch(self, point: str) -> None:
        self._fate.strike(point)
        if self._fate.happens("files not readable"):
            msg = "cannot read: stale file handle"
            raise StagingError(msg)

    def _reach(self) -> None:
        try:
            super()._reach()
        except HostUnreachable:
            self._fate.count("host out of reach")
            raise
