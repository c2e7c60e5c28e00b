"""Starts workers, beats and producers at once: each is forked from a process that has imported all of it.

    {"key": "worker-1", "kind": "worker", "arguments": ["-Q", "jobferry.a"], "env": {}, "log": "…", "cwd": "…"}
    {"key": "worker-1", "pid": 4711}
    {"key": "worker-1", "pid": 4711, "status": -9}

One line of JSON on standard input for each that is to be started; one on standard output for each start and each end.
When standard input closes, all of them end. What is forked is a process as any other: it reads its settings, opens
its connections and runs Celery's own command itself, in a session of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from jobferry_common import killpoints

#: seconds between two looks at who has ended
_LOOK_SECONDS: Final = 0.05
#: what workers, beats and producers would import after their start, one by one
_ALL: Final = (
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "paramiko",
    "jobferry.client",
    "jobferry_worker.beat",
    "jobferry_worker.celery",
    "jobferry_worker.program",
    "jobferry_worker.transfer",
    "jobferry_worker.hosts.ssh",
    "tests.chaos.producer",
)


def main() -> None:
    """Serve until standard input closes."""
    _import_all()
    living: dict[int, str] = {}
    try:
        _serve(living)
    finally:
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _serve(living: dict[int, str]) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        rest = b""
        while True:
            if selector.select(_LOOK_SECONDS):
                if not (piece := os.read(0, 1 << 16)):
                    break
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    pid = _start(order)
                    living[pid] = order["key"]
                    _tell(key=order["key"], pid=pid)
            _reap(living)


def _import_all() -> None:
    for name in _ALL:
        importlib.import_module(name)


def _reap(living: dict[int, str]) -> None:
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        _tell(key=living.pop(pid, ""), pid=pid, status=os.waitstatus_to_exitcode(status))


def _tell(**words: Any) -> None:
    print(json.dumps(words), flush=True)


def _start(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        _dress(order)
        _be(order["kind"], order["arguments"])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing of the parent's may go on in the child
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _dress(order: dict[str, Any]) -> None:
    """Take the order's environment, directory and log."""
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for file, number in ((null, 0), (log, 1), (log, 2)):
        os.dup2(file, number)
    killpoints.arm(os.environ)


def _be(kind: str, arguments: list[str]) -> None:
    if kind == "producer":
        from tests.chaos.producer import main as produce

        produce(Path(arguments[0]), arguments[1])
        return
    from celery.__main__ import main as celery

    sys.argv = ["celery", "-A", "jobferry_worker", kind, "-l", "INFO", *arguments]
    celery()


if __name__ == "__main__":
    main()
