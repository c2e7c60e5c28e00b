"""The steps of one job over a bridge. Each is taken by one thread of one process at a time, and may be repeated.

carrier.send(key)           accepted → stored → starting → started
carrier.adopt(key, ids)     starting → started: the system has it
carrier.again(key)          starting → stored → …: the system has never shown it
carrier.fetch(key, said)    started → ended

Before a job is started its attempt's claim is made in the run's directory, as a job's own script does elsewhere. An
attempt that a worker has claimed meanwhile is never started, and what it delivers is dropped.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import replace
from importlib import resources as package
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import JobferryError, StagingError, SubmitBusy, SubmitRefused
from jobferry_common.killpoints import kill_here
from jobferry_common.scripts import quoting
from jobferry_common.states import Outcome
from jobferry_worker.bridge.books import Job, Step, stepped
from jobferry_worker.bridge.packing import cargo_of, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobferry_worker.bridge.base import Said, Storage, System
    from jobferry_worker.bridge.books import Books

logger: Final = logging.getLogger(__name__)

_BOOTSTRAP: Final = package.files(__package__).joinpath("bootstrap.sh").read_text()
#: so often results may arrive damaged before there are none
_DAMAGED: Final = 3


class Carrier:
    """Takes a bridge's jobs from step to step."""

    def __init__(
        self, books: Books, storage: Storage, system: System, clock: Callable[[], float]
    ) -> None:
        self._books = books
        self._storage = storage
        self._system = system
        self._clock = clock
        self._damaged: Counter[str] = Counter()

    def send(self, key: str) -> None:
        """Bring a job to the system; what goes wrong is its reason, and is tried again with the next listing."""
        with self._books.carrying(key) as mine:
            job = self._books.read(key) if mine else None
            if job is None or job.step not in {Step.ACCEPTED, Step.STORED}:
                return
            try:
                self._send(job)
            except (JobferryError, OSError) as error:
                self._not_now(key, error)

    def adopt(self, key: str, ids: Sequence[str]) -> None:
        """Take what the system has as the job."""
        with self._books.carrying(key) as mine:
            job = self._books.read(key) if mine else None
            if job and job.step is Step.STARTING:
                logger.info("Adopted %s as %s.", key, ", ".join(ids), extra={"action": "bridge"})
                self._started(job, ids)

    def again(self, key: str) -> None:
        """Start a job once more that the system has not shown for long enough."""
        with self._books.carrying(key) as mine:
            job = self._books.read(key) if mine else None
            if job and job.step is Step.STARTING:
                logger.warning("%s was never seen: it is started again.", key)
                self._books.save(stepped(job, Step.STORED, self._clock()))
        self.send(key)

    def fetch(self, key: str, said: Sequence[Said]) -> bool:
        """Bring the results of a job that ended; True: it has delivered nothing, and the system does not know it."""
        with self._books.carrying(key) as mine:
            job = self._books.read(key) if mine else None
            if job is None or job.step is not Step.STARTED:
                return False
            try:
                return self._fetch(job, said)
            except StagingError as error:
                self._damaged[key] += 1
                if self._damaged[key] >= _DAMAGED:
                    self._end(job, Outcome.FAILED, None, str(error))
                self._not_now(key, error)
            except (JobferryError, OSError) as error:
                self._not_now(key, error)
            return False

    def clear(self, job: Job) -> None:
        """Remove what is stored of a job that is forgotten."""
        with self._books.carrying(job.id) as mine:
            if mine:
                self._storage.delete(job)
                self._books.removed(job.id)

    def _send(self, job: Job) -> None:
        if job.step is Step.ACCEPTED and not self._books.is_unwanted(job.id):
            job = self._stored(job)
        if self._books.is_unwanted(job.id):  # now, or while it was on its way
            self._end(job, Outcome.CANCELLED, None, "cancelled before it was started")
            return
        if owner := self._claimed_by_another(job):
            self._end(job, Outcome.CANCELLED, None, f"its attempt belongs to {owner}")
            return
        bootstrap = self._books.work(job.id) / "bootstrap.sh"
        bootstrap.write_text(self._bootstrap(job))
        bootstrap.chmod(0o755)
        job = self._books.save(stepped(job, Step.STARTING, self._clock()))
        kill_here("bridge-starting")
        self._start(job, bootstrap)

    def _stored(self, job: Job) -> Job:
        archive = self._books.work(job.id) / "archive"
        digest = pack(job, archive)
        kill_here("bridge-packed")
        self._storage.put(job, archive)
        archive.unlink()
        job = self._books.save(stepped(job, Step.STORED, self._clock(), digest=digest, reason=""))
        kill_here("bridge-stored")
        return job

    def _start(self, job: Job, bootstrap: Path) -> None:
        try:
            given = self._system.start(job, bootstrap)
        except SubmitRefused as error:
            self._end(replace(job, refused=True), Outcome.FAILED, None, str(error))
        except SubmitBusy as error:
            self._books.save(stepped(job, Step.STORED, self._clock(), reason=str(error)))
        else:
            kill_here("bridge-begun")
            self._started(job, [given])

    def _started(self, job: Job, ids: Sequence[str]) -> None:
        every = tuple(dict.fromkeys((*job.ids, *ids)))
        self._books.save(stepped(job, Step.STARTED, self._clock(), ids=every, reason=""))
        logger.info("Started %s as %s.", job.id, ids[-1], extra={"action": "bridge", "id": job.id})
        kill_here("bridge-started")
        if self._books.is_unwanted(job.id):
            self._system.stop(every)

    def _fetch(self, job: Job, said: Sequence[Said]) -> bool:
        work = self._books.work(job.id)
        result = work / "result"
        if self._storage.get(job, result):
            kill_here("bridge-fetched")
            if owner := self._claimed_by_another(job):
                self._end(job, Outcome.CANCELLED, None, f"its attempt belongs to {owner}")
                return False
            code = unpack(job, result, work)
            kill_here("bridge-unpacked")
            self._delivered(job, code, said)
        elif said:
            self._without_results(job, said[-1])
        else:
            return True
        return False

    def _delivered(self, job: Job, code: int, said: Sequence[Said]) -> None:
        """End a job that brought its results: its script's code is known."""
        if code == 0:
            self._end(job, Outcome.SUCCEEDED, 0, "")
            return
        words = next((one for one in reversed(said) if one.reason), None)
        reason = words.reason if words else f"exit code {code}"
        self._end(job, self._outcome(job, said), code, reason)

    def _without_results(self, job: Job, said: Said) -> None:
        """End a job of which there is no more than what the system says."""
        outcome = self._outcome(job, (said,))
        reason = f"{said.reason or outcome.value}; {said.id} delivered no results"
        # a system that calls it a success has seen the bootstrap end, and no more
        self._end(job, outcome, said.code or None, reason)

    def _outcome(self, job: Job, said: Sequence[Said]) -> Outcome:
        if self._books.is_unwanted(job.id):
            return Outcome.CANCELLED
        special = (one.outcome for one in said if one.outcome not in {None, Outcome.SUCCEEDED})
        return next((one for one in special if one), Outcome.FAILED)

    def _end(self, job: Job, outcome: Outcome, code: int | None, reason: str) -> None:
        now = self._clock()
        self._books.save(
            stepped(job, Step.ENDED, now, outcome=outcome, code=code, reason=reason[:2000])
        )
        self._books.work(job.id).rmdir()
        logger.info("%s is %s.", job.id, outcome.value, extra={"action": "bridge", "id": job.id})

    def _not_now(self, key: str, error: Exception) -> None:
        logger.warning("%s: %s", key, error, extra={"action": "bridge", "id": key})
        job = self._books.read(key)
        if job and job.step in {Step.ACCEPTED, Step.STORED}:
            self._books.save(replace(job, reason=str(error)[:2000]))

    def _claimed_by_another(self, job: Job) -> str:
        """Claim the job's attempts, as its script does where it can; return whose one is that is not its own."""
        mine = f"job {job.id}\n"
        for name in cargo_of(job).claims:
            path = Path(job.directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                # not "x": what is in it has to be there at once
                part = path.with_name(f".{path.name}.{os.getpid()}.{job.id}")
                part.write_text(mine)
                os.link(part, path)
            except FileExistsError:
                if (owner := path.read_text()) != mine:
                    return owner.strip()
            finally:
                part.unlink(missing_ok=True)
        return ""

    def _bootstrap(self, job: Job) -> str:
        def inner(path: str) -> str:
            return quoting.word(os.path.relpath(path, job.directory))

        return "\n".join(
            (
                "#!/bin/bash",
                f"jf_id={quoting.word(job.id)}",
                f"jf_owner={self._system.owner()}",
                f"jf_name={quoting.word(Path(job.directory).name)}",
                f"jf_script={inner(job.script)}",
                f"jf_log={inner(job.log)}",
                f"jf_digest={job.digest}",
                self._storage.shell(job),
                _BOOTSTRAP,
            )
        )
