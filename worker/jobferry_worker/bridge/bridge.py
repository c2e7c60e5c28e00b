"""A bridge: a small batch system on the worker's machine, whose jobs run on a system that shares no directory with it.

    bridge = Bridge(Books(home), storage, system)
    bridge.run(("jobferry-bridge", "list")).stdout      '{"bridge": "5f0c…", "jobs": [{"id": "jf.3f2a…", …}], …}'

A submit writes the job into the books and answers; threads carry it, because archives may be large and the commands of
such systems slow. Only the first job of a run is waited for, so that what is wrong for ever is told at once.

    accepted ──pack, put──► stored ──claim──► starting ──start──► started ──fetch, unpack──► ended

Each step is written down before the next begins. After a kill the next listing goes on from there: a job that may have
been started is looked for by its token, and started again only after the system has answered without it for a while.
"""

from __future__ import annotations

import json
import logging
import tarfile
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import JobferryError, SubmitRefused, UnreadableOutput
from jobferry_common.schedulers.base import Completed, Phase
from jobferry_common.schedulers.bridged import COMMAND, NOT_NOW, REFUSED, SILENT
from jobferry_worker.bridge.books import Job, Step
from jobferry_worker.bridge.carrier import Carrier
from jobferry_worker.bridge.hands import Hands
from jobferry_worker.bridge.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobferry_common.schedulers.base import Argv
    from jobferry_worker.bridge.base import Said, Storage, System
    from jobferry_worker.bridge.books import Books

logger: Final = logging.getLogger(__name__)

#: archives on their way, and commands of the system that start jobs, at a time
_HANDS: Final = 4
#: of answers without it, before a job that may have been started is started again
GRACE: Final = timedelta(minutes=3)


class Bridge:
    """Answers the commands of `schedulers/bridged.py`."""

    def __init__(
        self,
        books: Books,
        storage: Storage,
        system: System,
        *,
        grace: timedelta = GRACE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._books = books
        self._storage = storage
        self._system = system
        self._clock = clock
        self._hands = Hands(_HANDS)
        self._carrier = Carrier(books, storage, system, clock)
        self._told = Told(grace.total_seconds())
        #: directories of runs of which a job was waited for
        self._tried: set[str] = set()

    def run(self, argv: Argv, *, limit: timedelta = timedelta(minutes=1)) -> Completed:
        """Answer one command; what goes wrong is told as a command tells it."""
        verbs: dict[str, Callable[[Sequence[str]], str]] = {
            "facts": self._facts,
            "submit": lambda words: self._submit(words, limit / 3),
            "list": self._list,
            "cancel": self._cancel,
            "forget": self._forget,
        }
        try:
            return Completed(argv=argv, exit_code=0, stdout=verbs[argv[1]](argv[2:]))
        except SubmitRefused as error:
            return Completed(argv=argv, exit_code=REFUSED, stderr=str(error))
        except (JobferryError, OSError) as error:
            # nothing was accepted: the books are written last, and in one step
            code = NOT_NOW if argv[1] == "submit" else SILENT
            return Completed(argv=argv, exit_code=code, stderr=str(error))

    def _facts(self, words: Sequence[str]) -> str:
        del words
        if not hasattr(tarfile, "data_filter"):
            msg = "this Python cannot unpack safely what jobs deliver; expected 3.11.4 or newer"
            raise UnreadableOutput(msg)
        version = self._system.facts()
        return json.dumps({"bridge": self._books.open(), "version": version})

    def _submit(self, words: Sequence[str], patience: timedelta) -> str:
        job = _read(words, self._clock())
        self._books.open()
        first = job.directory not in self._tried
        self._tried.add(job.directory)
        if self._books.add(job):
            logger.debug("The bridge has %s.", job.id, extra={"action": "bridge", "id": job.id})
        done = self._hands.take(job.id, lambda: self._carrier.send(job.id))
        if first and done.wait(patience.total_seconds()):
            now = self._books.read(job.id)
            if now and now.refused:
                self._books.bury(job.id)
                self._clear()
                raise SubmitRefused(now.reason)
        return job.id

    def _list(self, words: Sequence[str]) -> str:
        del words
        jobs = self._books.all() if self._books.who() else []
        asked = [job for job in jobs if job.step in {Step.STARTING, Step.STARTED}]
        said = self._system.look(asked) if asked else ()
        answer: list[dict[str, object]] = []
        unreadable: dict[str, str] = {}
        for job in jobs:
            self._look(job, said, answer, unreadable)
        self._clear()
        return json.dumps({"bridge": self._books.who(), "jobs": answer, "unreadable": unreadable})

    def _look(
        self,
        job: Job,
        said: Sequence[Said],
        answer: list[dict[str, object]],
        unreadable: dict[str, str],
    ) -> None:
        """Take the next step with a job, and add what is told of it."""
        mine = [one for one in said if one.id in job.ids or one.token == job.token]
        if word := next((one.word for one in mine if one.phase is None), ""):
            unreadable[job.id] = word
        phase, reason = self._told.of(job, mine, self._clock())
        if work := self._next(job, mine):
            self._hands.take(job.id, work)
        if job.step is Step.ENDED and self._books.is_forgotten(job.id):
            self._books.bury(job.id)
        elif phase is not None:
            over = phase is Phase.ENDED
            answer.append(
                {
                    "id": job.id,
                    "token": job.token,
                    "phase": phase,
                    "reason": reason,
                    "outcome": job.outcome if over else None,
                    "code": job.code if over else None,
                }
            )

    def _next(self, job: Job, said: Sequence[Said]) -> Callable[[], None] | None:
        """Return what is to be done about a job now."""
        match job.step:
            case Step.ACCEPTED | Step.STORED:
                return lambda: self._carrier.send(job.id)
            case Step.STARTING if said:
                return lambda: self._carrier.adopt(job.id, [one.id for one in said])
            case Step.STARTING if self._told.is_overdue(job.id, self._clock()):
                return lambda: self._carrier.again(job.id)
            case Step.STARTED if all(one.phase is Phase.ENDED for one in said):
                return lambda: self._fetch(job.id, said)
            case _:
                return None

    def _fetch(self, key: str, said: Sequence[Said]) -> None:
        if self._carrier.fetch(key, said):
            self._told.nothing(key)

    def _cancel(self, words: Sequence[str]) -> str:
        jobs = [job for key in words if (job := self._books.read(key))]
        for job in jobs:
            self._books.wish_end(job.id)
        if ids := [one for job in jobs if job.step is Step.STARTED for one in job.ids]:
            self._system.stop(ids)
        for job in jobs:
            if job.step in {Step.ACCEPTED, Step.STORED}:  # it ends there, unless it is on its way
                self._hands.take(job.id, lambda key=job.id: self._carrier.send(key))  # type: ignore[misc]
        return ""

    def _forget(self, words: Sequence[str]) -> str:
        for key in words:
            if job := self._books.read(key):
                if job.step is Step.ENDED:
                    self._books.bury(key)
                else:
                    self._books.wish_forgotten(key)
        self._clear()
        return ""

    def _clear(self) -> None:
        """Have removed what is stored of jobs that are forgotten."""
        for job in self._books.buried() if self._books.who() else ():
            self._hands.take(job.id, lambda job=job: self._carrier.clear(job))  # type: ignore[misc]


def _read(words: Sequence[str], now: float) -> Job:
    """Read the words of a submit.

    Raises:
        SubmitRefused: it is an array.
    """
    *options, script = words
    pairs = [option.removeprefix("--").partition("=") for option in options]
    given = {name: value for name, _, value in pairs}
    if "size" in given:
        msg = f"{COMMAND} has no arrays"
        raise SubmitRefused(msg)
    return Job(
        id=given["token"],
        name=given["name"],
        directory=given["directory"],
        script=script,
        log=given["log"],
        header=tuple(value for name, _, value in pairs if name == "header"),
        since=now,
    )
