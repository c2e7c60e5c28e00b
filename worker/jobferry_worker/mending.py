"""What has to be mended in kombu and Celery so that a worker outlives its broker, and what others put into a queue.

A task that ends after its connection was lost acknowledges on a channel whose connection is gone. kombu 5.7 then
looks for the host name of that missing connection: an AttributeError, which Celery takes for the end of the worker.
Such a message needs no acknowledgement: it comes again, after the reconnect or its visibility timeout, and every
task of ours may come twice. The same is met by a channel that is closed while a second connection is lost in the middle
of a reconnect, and that wants to give back what it holds.

A message that is no message of Celery's ends the worker just so, and one that has only half of its parts is given
back and ends the next worker, too. Both are set aside, out of the queue: a message is but a hint, the ledger knows what
there is to do.
"""

from __future__ import annotations

import logging
import threading
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from celery.worker.consumer import Consumer
from kombu.transport import redis as transport
from kombu.transport.redis import Channel, QoS
from redis.exceptions import RedisError

from jobferry_common.errors import JobferryError
from jobferry_worker import service

if TYPE_CHECKING:
    from collections.abc import Callable

logger: Final = logging.getLogger(__name__)

_MENDED: Final = "_jobferry_mended"
#: what a message raises whose parts are missing or of another kind
_NO_MESSAGE: Final = (TypeError, ValueError, LookupError, AttributeError)
#: the text that this thread took from a queue last
_taken: Final = threading.local()


def mend() -> None:
    """Let acknowledgements on a lost connection go, and drop what is no message; once in a process."""
    if not hasattr(QoS, _MENDED):
        for name in ("ack", "reject", "restore_unacked"):
            setattr(QoS, name, _forgiving(getattr(QoS, name)))
        setattr(transport, "loads", _remembering(getattr(transport, "loads")))  # noqa: B009, B010
        setattr(Channel, "_brpop_read", _dropping(getattr(Channel, "_brpop_read")))  # noqa: B009, B010
        setattr(Consumer, "create_task_handler", _careful(Consumer.create_task_handler))  # noqa: B010
        setattr(QoS, _MENDED, True)


def _forgiving(original: Any) -> Any:  # noqa: ANN401
    @wraps(original)
    def settle(qos: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        transport = qos.channel.connection
        if transport is None or transport.client is None:
            logger.info(
                "A message was not acknowledged: its connection is gone. It comes again.",
                extra={"action": "late-ack"},
            )
            return []  # what kombu tells when nothing was left to be given back
        return original(qos, *args, **kwargs)

    return settle


def _remembering(original: Any) -> Any:  # noqa: ANN401
    """Read what stood in a queue, and remember it: it may turn out to be no message."""

    @wraps(original)
    def loads(text: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        _taken.text = text
        return original(text, *args, **kwargs)

    return loads


def _dropping(original: Any) -> Any:  # noqa: ANN401
    """Read from a queue; what cannot be taken apart is out of the queue already."""

    @wraps(original)
    def read(channel: Any, **options: Any) -> Any:  # noqa: ANN401
        try:
            return original(channel, **options)
        except _NO_MESSAGE as error:
            # a queue that was read goes to the end of those whose turn it is
            _set_aside(error, next(reversed(channel._queue_cycle.items), ""))  # noqa: SLF001
            return True

    return read


def _careful(original: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Make handlers of messages that acknowledge what they cannot understand."""

    @wraps(original)
    def create(consumer: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        handle = original(consumer, *args, **kwargs)

        def receive(message: Any) -> Any:  # noqa: ANN401
            try:
                return handle(message)
            except _NO_MESSAGE as error:
                _set_aside(error, _queue_of(message))
                return message.ack_log_error(logger, consumer.connection_errors)

        return receive

    return create


def _queue_of(message: Any) -> str:  # noqa: ANN401
    return str((getattr(message, "delivery_info", None) or {}).get("routing_key", ""))


def _set_aside(error: Exception, queue: str) -> None:
    """Keep what is no message for whoever wants to look at it, or to put it back."""
    logger.error(
        "A message in the queue is none of Celery's and is set aside: %s: %s",
        *(type(error).__name__, error),
        extra={"action": "no-message"},
    )
    text, _taken.text = getattr(_taken, "text", ""), ""
    try:
        service.current().ledger.keep_message(queue, text, f"{type(error).__name__}: {error}")
    except (JobferryError, RedisError) as failed:
        logger.warning("It is not kept: %s", failed, extra={"action": "no-message"})
