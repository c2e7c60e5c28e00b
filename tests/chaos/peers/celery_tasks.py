"""Plain Celery tasks on Valkey, acknowledged late: the worker is killed at random moments, and started again.

outcome = measure(directory, jobs=500, kills=20, seed=7, naps=0.5)

The visibility timeout is a minute: with Celery's hour, what a killed worker held would come back long after the count.
"""

from __future__ import annotations

import os
import random
import sys
import time
from typing import TYPE_CHECKING, Final

from tests.chaos.peers.drive import LEAST_SECONDS, MOST_SECONDS, Driven, Work, counted
from tests.testbed.broker import Broker
from tests.testbed.fleet import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.peers.drive import Outcome

_VISIBILITY_SECONDS: Final = 60
_LIMIT_SECONDS: Final = 600.0
#: with nothing new in the log, and nothing in the queue, it is over
_STILL_SECONDS: Final = _VISIBILITY_SECONDS + 30.0


def measure(directory: Path, *, jobs: int, kills: int, seed: int, naps: float) -> Outcome:
    """Run it, and count."""
    work = Work(directory / "celery", jobs=jobs, seed=seed, naps=naps)
    with Broker(work.directory / "broker") as broker:
        env = {**os.environ, "BROKER": broker.url, "VISIBILITY": str(_VISIBILITY_SECONDS)}
        env["PYTHONPATH"] = str(ROOT)
        _send(broker.url, work)
        argv = [sys.executable, "-m", "celery", "-A", "tests.chaos.peers.celery_app", "worker"]
        begin = time.monotonic()
        with Driven([*argv, "-c", "8"], env=env, cwd=work.directory) as worker:
            _kill_often(worker, work, random.Random(seed), kills)
        seconds, killed = time.monotonic() - begin, worker.kills
    note = f"acks_late, reject_on_worker_lost, visibility timeout {_VISIBILITY_SECONDS} s"
    return counted(
        "Celery 5.7 tasks", work, kills=killed, seconds=seconds, deaths=worker.deaths, note=note
    )


def _send(url: str, work: Work) -> None:
    from tests.chaos.peers.celery_app import app

    app.conf.update(broker_url=url)
    for task, command in enumerate(work.commands()):
        app.send_task("run", [command, str(work.base / f"t{task}")])
    app.close()


def _kill_often(worker: Driven, work: Work, dice: random.Random, kills: int) -> None:
    """Kill the worker so many times; then wait until nothing more happens."""
    worker.start()
    now = time.monotonic()
    end, kill_at = now + _LIMIT_SECONDS, now + dice.uniform(LEAST_SECONDS, MOST_SECONDS)
    size, still_since = 0, now
    while now < end and now < still_since + _STILL_SECONDS:
        time.sleep(0.05)
        now = time.monotonic()
        if work.log.stat().st_size != size:
            size, still_since = work.log.stat().st_size, now
        if worker.kills < kills and now >= kill_at:
            worker.kill(group=dice.random() < 0.5)
            worker.start()
            kill_at = now + dice.uniform(LEAST_SECONDS, MOST_SECONDS)
