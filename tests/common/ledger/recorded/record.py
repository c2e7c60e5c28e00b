"""Records the ledger of a real run in flight, so that later versions show that they can carry it to its end.

    .venv/bin/python -m tests.common.ledger.recorded.record

writes `ledger-v<version>.json` beside this file: every key with its type and content (base64), as a real worker left it
with one job of four finished, two out and one pending. Run it once for each version, before the next one is begun; a
recording is never changed afterwards.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from jobferry_common.states import JobState
from jobferry_common.versions import VERSION
from tests.services.worst import Gated
from tests.testbed.fleet import Fleet
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.ledger import Ledger

HERE: Final = Path(__file__).parent


def recording(version: int) -> Path:
    """Return the file of one version."""
    return HERE / f"ledger-v{version}.json"


def dump(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger; without streams, what expires by itself, and what is Celery's."""
    redis = ledger.redis
    keys = sorted(str(key) for key in redis.keys("jobferry:*"))
    kept = [key for key in keys if ":mq:" not in key and int(redis.ttl(key)) < 0]
    types = {key: str(redis.type(key)) for key in kept}
    return {
        key: {"type": kind, "value": _value(ledger, kind, key)}
        for key, kind in types.items()
        if kind != "stream"
    }


def load(redis: Redis, content: dict[str, Any]) -> None:
    """Put a dump into an empty server."""
    for key, one in content.items():
        match one["type"], one["value"]:
            case "string", value:
                redis.set(key, _plain(value))
            case "set", value:
                redis.sadd(key, *map(_plain, value))
            case "zset", value:
                redis.zadd(key, {_plain(name): score for name, score in value})
            case _, value:
                for name, text in value:
                    redis.hset(key, _plain(name), _plain(text))


def _value(ledger: Ledger, kind: str, key: str) -> Any:
    match kind:
        case "string":
            return _text(ledger.ask_bytes("GET", key))
        case "set":
            return sorted(map(_text, ledger.ask_bytes("SMEMBERS", key)))
        case "zset":
            members = ledger.ask_bytes("ZRANGE", key, 0, -1)
            return [[_text(name), float(ledger.ask("ZSCORE", key, name))] for name in members]
        case _:
            names = sorted(ledger.ask_bytes("HKEYS", key))
            return [[_text(name), _text(ledger.ask_bytes("HGET", key, name))] for name in names]


def _text(content: bytes) -> str:
    plain = content.replace(socket.gethostname().encode(), b"a-host")
    return base64.b64encode(plain).decode()


def _plain(text: str) -> bytes:
    return base64.b64decode(text)


def main() -> None:
    """Record a run of this version."""
    with tempfile.TemporaryDirectory(prefix="jf-") as directory:
        top = Path(directory)
        profile = {
            "batch_type": "Shell",
            "context_type": "Local",
            "remote_root": str(top / "remote"),
            "max_queued_jobs": 2,
        }
        work = Gated(top, 4)
        env = {**os.environ, "HOME": directory}
        with Fleet(top / "fleet", {"alpha": profile}, env=env) as fleet:
            os.environ["JOBFERRY_CONFIG"] = str(fleet.config)
            with patch("socket.gethostname", lambda: "laptop"):
                run = fleet.submit(work.submission("alpha")).id
            ledger = fleet.ledger()
            work.open(0)
            wait_until(lambda: ledger.run(run).counts[JobState.FINISHED] == 1, "one finished")
            wait_until(lambda: ledger.run(run).counts[JobState.RUNNING] == 2, "two run")
            fleet.worker.kill()
            content = dump(ledger)
            work.open()
        recording(VERSION).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
