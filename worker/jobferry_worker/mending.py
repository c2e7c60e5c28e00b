"""What has to be mended in kombu and Celery so that a worker outlives its broker, and what others put into a queue.

A task that ends after its connection was lost acknowledges on a channel whose connection is gone. kombu 5.7 then
looks for the host name of that missing connection: an AttributeError, which Celery takes for the end of the worker.
Such a message needs no acknowledgement: it comes again, after the reconnect or its visibility timeout, and every
task of ours may come twice. The same is met by a channel that is closed while a second connection is lost in the middle
of a reconnect, and that wants to give back what it holds.

A message that is no message of Celery's ends the worker just so, and one that has only half of its parts is given
back and ends the next worker, too. Both are dropped: a message is but a hint, the ledger knows what there is to do.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from celery.worker.consumer import Consumer
from kombu.transport.redis import Channel, QoS

if TYPE_CHECKING:
    from collections.abc import Callable

logger: Final = logging.getLogger(__name__)

_MENDED: Final = "_jobferry_mended"
#: what a message raises whose parts are missing or of another kind
_NO_MESSAGE: Final = (TypeError, ValueError, LookupError, AttributeError)


def mend() -> None:
    """Let acknowledgements on a lost connection go, and drop what is no message; once in a process."""
    if not hasattr(QoS, _MENDED):
        for name in ("ack", "reject", "restore_unacked"):
            setattr(QoS, name, _forgiving(getattr(QoS, name)))
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


def _dropping(original: Any) -> Any:  # noqa: ANN401
    """Read from a queue; what cannot be taken apart is out of the queue already."""

    @wraps(original)
    def read(channel: Any, **options: Any) -> Any:  # noqa: ANN401
        try:
            return original(channel, **options)
        except _NO_MESSAGE as error:
            _tell(error)
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
                _tell(error)
                return message.ack_log_error(logger, consumer.connection_errors)

        return receive

    return create


def _tell(error: Exception) -> None:
    logger.error(
        "A message in the queue is none of Celery's and is dropped: %s: %s",
        *(type(error).__name__, error),
        extra={"action": "no-message"},
    )
