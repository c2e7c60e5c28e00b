"""A program of the stack that is kept running: started again when it ends, at a growing interval."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

logger: Final = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 30.0
#: a program that ran so long did start
_STEADY_SECONDS: Final = 20.0
_LOG_BYTES: Final = 10 * 2**20


class Child:
    """One program, restarted until it is stopped."""

    def __init__(
        self, name: str, argv: Sequence[str], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        #: ends in a row that came soon after a start
        self.failures = 0
        self._argv = tuple(argv)
        self._log = log
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._start_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def tend(self) -> None:
        """Start the program if it does not run and its pause is over."""
        now = time.monotonic()
        if self._process is not None and (code := self._process.poll()) is not None:
            self._note_end(code, now)
        if self._process is None and now >= self._start_at:
            self._start(now)

    def stop(self, patience_seconds: float) -> None:
        """Ask it to end, and make it end when it does not."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not end in %.0f s", self.name, patience_seconds)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, now: float) -> None:
        rotate(self._log)
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._argv,
                env=self._environment,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started = now
        logger.info("%s started, pid %d", self.name, self._process.pid)

    def _note_end(self, code: int, now: float) -> None:
        self._process = None
        self.failures = 1 if now - self._started > _STEADY_SECONDS else self.failures + 1
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), _LONGEST_PAUSE_SECONDS)
        self._start_at = now + pause
        logger.warning("%s ended with %d; again in %.1f s", self.name, code, pause)


def rotate(log: Path) -> None:
    """Keep one older log beside a log that has become long."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
