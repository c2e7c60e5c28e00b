"""The one process of a stack that looks after the others; it ends when nobody needs the stack.

    python -m jobferry.stack.supervisor

It holds the `alive` lock, runs broker and worker (which carries a beat), and stops both on SIGTERM, or after
`idle_minutes` without an open run and without a client.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from jobferry.stack.child import Child
from jobferry.stack.home import Home
from jobferry.stack.idle import Idle
from jobferry.stack.record import Record, held, is_in_place
from jobferry.stack.server import server_argv
from jobferry_common.errors import BrokerUnreachable, JobferryError
from jobferry_common.messages import INLINE_QUEUE, PARENT_VARIABLE, queue_of
from jobferry_common.settings import Settings, config_path, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

logger: Final = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 0.5
_HIGHEST_DESCRIPTOR: Final = 4096
#: a server that ended so often soon after its start will not start
_TRIES: Final = 5
#: more than a second instance needs to see that it is one
_ALIVE_PATIENCE_SECONDS: Final = 2.0


class Supervisor:
    """Broker and worker of one stack."""

    def __init__(self, settings: Settings, home: Home, lock: int) -> None:
        self._settings = settings
        self._home = home
        self._lock = lock
        self._stop = threading.Event()
        self._config = _config_mark()
        self._idle = Idle(settings, home)
        self._server = Child(
            "server", server_argv(home), log=home.log("server"), environment=os.environ
        )
        self._worker = self._new_worker()

    def run(self) -> int:
        """Look after the stack until it shall end; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop.set())
        try:
            return self._look_after()
        finally:
            patience = self._settings.timings.soft_stop_seconds + 10
            self._worker.stop(patience)
            self._server.stop(patience)
            if is_in_place(self._home.alive, self._lock):
                self._home.socket.unlink(missing_ok=True)
                self._home.record.unlink(missing_ok=True)
            logger.info("The stack has ended.", extra={"action": "stack-ended"})

    def _look_after(self) -> int:
        while not self._stop.is_set():
            self._server.tend()
            self._worker.tend()
            if self._server.failures >= _TRIES:
                logger.error("The server does not start; see %s", self._home.log("server"))
                return 1
            if not is_in_place(self._home.alive, self._lock):
                logger.error("%s was removed: the stack ends", self._home.directory)
                return 1
            self._follow_settings()
            if self._idle.is_over() and self._may_end():
                return 0
            self._stop.wait(_PAUSE_SECONDS)
        return 0

    def _may_end(self) -> bool:
        """Ask once more while nobody can be told that the stack is there."""
        try:
            with held(self._home.lock, patience_seconds=0, what="idle"):
                if self._idle.is_over():
                    self._idle.forget_secrets()
                    self._home.record.unlink(missing_ok=True)
                    return True
        except BrokerUnreachable:
            logger.debug("somebody is starting or stopping the stack")
        return False

    def _follow_settings(self) -> None:
        """Start the worker afresh when the settings file has changed."""
        mark = _config_mark()
        if mark == self._config:
            return
        self._config = mark
        try:
            self._settings = load_settings()
        except JobferryError as error:
            logger.warning("The worker keeps its settings: %s", error)
            return
        logger.info("The settings have changed: the worker starts afresh.")
        self._worker.stop(self._settings.timings.soft_stop_seconds + 10)
        self._worker = self._new_worker()

    def _new_worker(self) -> Child:
        environment = _worker_environment(self._home)
        argv = worker_argv(self._settings)
        return Child("worker", argv, log=self._home.log("worker"), environment=environment)


def worker_argv(settings: Settings) -> tuple[str, ...]:
    """Return the command of the stack's worker: it serves the clusters of the settings, and inline machines."""
    queues = [*map(queue_of, settings.clusters), INLINE_QUEUE]
    program = (sys.executable, "-m", "celery", "-A", "jobferry_worker", "--quiet", "worker")
    own = ("--beat", "--pool=threads", "--hostname=stack@%h", f"--loglevel={settings.log_level}")
    return (*program, *own, f"--queues={','.join(queues)}")


def _worker_environment(home: Home) -> Mapping[str, str]:
    own = {
        "JOBFERRY_BROKER": home.url(),
        "JOBFERRY_SERVE_INLINE": "true",
        PARENT_VARIABLE: str(os.getpid()),
    }
    return {**os.environ, **own}


def _config_mark() -> tuple[int, int] | None:
    try:
        seen = config_path().stat()
    except OSError:
        return None
    return (seen.st_mtime_ns, seen.st_size)


def main() -> int:
    """Run the supervisor of this user's stack."""
    # whoever waits for the end of a pipe that its starter had open must not wait for the stack
    os.closerange(3, _HIGHEST_DESCRIPTOR)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = load_settings()
        home = Home.of(settings)
        os.chdir(home.directory)
        taken = "another supervisor runs"
        with held(home.alive, patience_seconds=_ALIVE_PATIENCE_SECONDS, what=taken) as lock:
            Record().write(home)
            return Supervisor(settings, home, lock).run()
    except JobferryError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
