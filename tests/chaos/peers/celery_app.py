"""Plain Celery tasks, as careful as Celery's own documentation advises; run by celery_tasks.py.

    celery -A tests.chaos.peers.celery_app worker

BROKER and VISIBILITY are in the environment.
"""

from __future__ import annotations

import os
import subprocess

from celery import Celery

app = Celery("plain", broker=os.environ.get("BROKER", ""))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": int(os.environ.get("VISIBILITY", "60"))},
    broker_connection_retry_on_startup=True,
)


@app.task(name="run", autoretry_for=(subprocess.CalledProcessError,), max_retries=3)
def run(command: str, directory: str) -> None:
    """Run one task's command in its directory."""
    subprocess.run(["bash", "-c", command], cwd=directory, check=True)
