"""Names of queues and tasks, and the messages that only say "look there now".

    send(redis, settings, ADVANCE, ["hpc1"])      # one hint on the queue jobferry.hpc1

A hint is written as one LPUSH, in Celery's message protocol 2 inside kombu's envelope: a producer needs neither
Celery nor kombu for it, and thousands of submissions need one hint only.
https://docs.celeryq.dev/en/stable/internals/protocol.html

Keys beside the ledger's, under the same prefix. All but `mq:` go away by themselves:

| key | type | meaning |
|---|---|---|
| `mq:…` | – | kombu's: queues, bindings, unacknowledged messages |
| `worker:<queue>`, `beat` | string | "host:pid" of who serves, as a sign of life |
| `tick:<queue>:<rhythm>` | string | a beat has ticked of late |
| `asked:<task>:<run>`, `moving:<task>:<run>` | string | a message for a move waits; somebody is at it, or it rests |
| `hindered:<task>:<run>` | string | why the last try of a move failed, for a minute |
| `tried:<task>:<cluster>…` | string | how many processes died of a piece of work |
| `checkup:<ticket>` | string | the JSON of a cluster's test |
| `client` | string | a client of an embedded stack came |
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.versions import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from jobferry_common.settings import Settings

#: one pass over a cluster; arguments: cluster
ADVANCE: Final = "jobferry.advance"
#: bring a run's files to its cluster; arguments: cluster, run
STAGE: Final = "jobferry.stage"
#: fetch the results of a run's ended jobs; arguments: cluster, run
COLLECT: Final = "jobferry.collect"
#: remove a run's files from its cluster; arguments: cluster, run
CLEAN: Final = "jobferry.clean"
#: end a run; arguments: cluster, run
CANCEL: Final = "jobferry.cancel"
#: walk the whole path of a cluster with a trivial job; arguments: cluster, ticket
TEST_CLUSTER: Final = "jobferry.test_cluster"

#: every task, as Celery and Flower name it
TASKS: Final = (ADVANCE, STAGE, COLLECT, CLEAN, CANCEL, TEST_CLUSTER)
#: tasks that move files or wait for a job: they run on the threads of the data queue
DATA_TASKS: Final = frozenset({STAGE, COLLECT, CLEAN, TEST_CLUSTER})

#: an inline machine is a cluster whose name begins so
INLINE_PREFIX: Final = "inline-"
#: stands for all of them in a tick
INLINE: Final = "inline"
#: and they share one queue
INLINE_QUEUE: Final = "jobferry.inline"

#: stands in the place of who moves a run's files while nobody does, because the last try failed
RESTING: Final = "resting"
#: what the connections of an embedded stack's own processes are called at the broker
STACK_CLIENT: Final = "jobferry-stack"
#: names the process without which an embedded stack's worker has no purpose
PARENT_VARIABLE: Final = "JOBFERRY_STACK_PARENT"
#: a worker or beat that was not heard of for so long is gone
SIGN_OF_LIFE_SECONDS: Final = 30

#: the header of a message that holds its version; one without it is of the first
VERSION_HEADER: Final = "jobferry_version"

_QUEUE: Final = "jobferry."
_DATA: Final = ".data"


def is_inline(cluster: str) -> bool:
    """Return True for the cluster of an inline machine."""
    return cluster.startswith(INLINE_PREFIX)


def queue_of(cluster: str) -> str:
    """Return the queue of a cluster's passes."""
    return INLINE_QUEUE if is_inline(cluster) or cluster == INLINE else f"{_QUEUE}{cluster}"


def data_queue_of(cluster: str) -> str:
    """Return the queue of a cluster's bulk data."""
    return f"{queue_of(cluster)}{_DATA}"


def queue_for(task: str, cluster: str) -> str:
    """Return the queue that a task about a cluster belongs on."""
    return data_queue_of(cluster) if task in DATA_TASKS else queue_of(cluster)


def data_queue(queue: str) -> str:
    """Return the bulk data queue beside a queue of passes."""
    return queue if queue.endswith(_DATA) else f"{queue}{_DATA}"


def cluster_of(queue: str) -> str | None:
    """Return the cluster a queue belongs to; None for the inline queue and for queues of others."""
    name = queue.removesuffix(_DATA).removeprefix(_QUEUE)
    return None if name == queue or queue.removesuffix(_DATA) == INLINE_QUEUE else name


def key_prefix(settings: Settings) -> str:
    """Return what stands before every key that kombu writes."""
    return f"{settings.prefix}mq:"


def queue_key(settings: Settings, queue: str) -> str:
    """Return the key of a queue's list at the broker."""
    return f"{key_prefix(settings)}{queue}"


def message(task: str, args: Sequence[str], queue: str, *, version: object = VERSION) -> str:
    """Return one task message as kombu's Redis transport stores it."""
    id_ = str(uuid.uuid4())
    body = json.dumps([list(args), {}, dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))])
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {**_headers(task, args, id_), VERSION_HEADER: version},
            "properties": {
                "correlation_id": id_,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


def _headers(task: str, args: Sequence[str], id_: str) -> dict[str, Any]:
    return {
        "lang": "py",
        "task": task,
        "id": id_,
        "root_id": id_,
        "parent_id": None,
        "group": None,
        "argsrepr": repr(tuple(args)),
        "kwargsrepr": "{}",
        "retries": 0,
        "eta": None,
        "expires": None,
        "timelimit": [None, None],
        "ignore_result": True,
        "origin": "jobferry",
    }


def send(redis: Redis, settings: Settings, task: str, args: Sequence[str]) -> None:
    """Put one hint on the queue of the cluster `args[0]`."""
    queue = queue_for(task, args[0])
    redis.lpush(queue_key(settings, queue), message(task, args, queue))


def hint(redis: Redis, settings: Settings, clusters: Iterable[str]) -> None:
    """Ask for a pass over each cluster whose queue does not hold a message already."""
    for cluster in sorted(set(clusters)):
        if is_inline(cluster) or not redis.llen(queue_key(settings, queue_of(cluster))):
            send(redis, settings, ADVANCE, [cluster])


def waiting(redis: Redis, settings: Settings, queue: str) -> int:
    """Return how many messages a queue holds."""
    return int(redis.llen(queue_key(settings, queue)))


def worker_key(settings: Settings, queue: str) -> str:
    """Return the key that holds "host:pid" of a worker that serves a queue, while it lives."""
    return f"{settings.prefix}worker:{queue}"


def beat_key(settings: Settings) -> str:
    """Return the key that holds "host:pid" of the beat, while it lives."""
    return f"{settings.prefix}beat"


def client_name() -> str | None:
    """Return what this process's connections are called at the broker; None outside of an embedded stack."""
    return STACK_CLIENT if PARENT_VARIABLE in os.environ else None


def client_key(settings: Settings) -> str:
    """Return the key by which a client tells an embedded stack that it came."""
    return f"{settings.prefix}client"


def moving_key(settings: Settings, task: str, run: str) -> str:
    """Return the key that holds who moves a run's files, or `RESTING`."""
    return f"{settings.prefix}moving:{task}:{run}"


def hindered_key(settings: Settings, task: str, run: str) -> str:
    """Return the key that holds why the last try to move a run's files failed."""
    return f"{settings.prefix}hindered:{task}:{run}"


def is_moving(redis: Redis, settings: Settings, task: str, run: str) -> bool:
    """Return True while somebody is at a move of a run's files."""
    return alive(redis, moving_key(settings, task, run)) not in (None, RESTING)


def checkup_key(settings: Settings, ticket: str) -> str:
    """Return the key that holds the JSON of one test of a cluster, for an hour."""
    return f"{settings.prefix}checkup:{ticket}"


def worker_of(redis: Redis, settings: Settings, cluster: str) -> str | None:
    """Return "host:pid" of a worker that serves a cluster; None when nobody does."""
    return alive(redis, worker_key(settings, queue_of(cluster)))


def alive(redis: Redis, key: str) -> str | None:
    """Return who gave a sign of life there of late."""
    found = redis.get(key)
    return found.decode() if isinstance(found, bytes) else found


def mark_alive(redis: Redis, key: str, who: str) -> None:
    """Leave a sign of life that goes away by itself."""
    redis.set(key, who, ex=SIGN_OF_LIFE_SECONDS)
