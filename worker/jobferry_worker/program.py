"""The worker program: Celery's own, with bulk data on threads of its own.

    worker -Q jobferry.hpc1
        main consumer   jobferry.hpc1        -> pool of `threads`       passes
        data lane       jobferry.hpc1.data   -> pool of `data_threads`  stage, collect, test_cluster

Both lanes are Celery's machinery: the data lane is a consumer step with a channel, and so a prefetch limit, of its
own, whose requests run on a second thread pool. However many transfers hang, passes go on; Flower shows every task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.apps.worker import Worker as CeleryWorker
from celery.worker.control import inspect_command
from kombu import Consumer
from kombu.common import ignore_errors

from jobferry_common.errors import BadInput, Problem
from jobferry_common.messages import data_queue
from jobferry_worker import service
from jobferry_worker.beat import CarriedBeat
from jobferry_worker.border import check_queues, leave
from jobferry_worker.threads import LanePool

if TYPE_CHECKING:
    from collections.abc import Sequence


class Worker(CeleryWorker):
    """The worker program with two lanes."""

    #: names of the queues of passes, and of bulk data, that this worker reads
    pass_queues: Sequence[str] = ()
    data_queues: Sequence[str] = ()
    #: True when it carries a beat, as a thread
    carries_beat: bool = False

    def on_before_init(self, *args: Any, **kwargs: Any) -> None:
        """Refuse a pool that cannot share connections between tasks."""
        pool = kwargs.get("pool") or self.app.conf.worker_pool
        if "thread" not in str(pool):
            what = f"jobferry's worker needs threads, not {pool}: start it with `-P threads`"
            leave(BadInput([Problem("pool", what)]))
        super().on_before_init(*args, **kwargs)

    def setup_defaults(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Take our own kind of thread pool."""
        return super().setup_defaults(*args, **{**kwargs, "pool": LanePool})

    def prepare_args(self, **kwargs: Any) -> dict[str, Any]:
        """Leave out what costs a second at each start and helps nobody; carry beat in a thread."""
        self.carries_beat = bool(kwargs.pop("beat", False))
        return {**kwargs, "without_mingle": True, "without_gossip": True}

    def setup_queues(self, include: Any, exclude: Any = None) -> None:  # noqa: ANN401
        """Divide the queues between the two lanes; each queue of passes brings its data queue."""
        super().setup_queues(include, exclude)
        queues = self.app.amqp.queues
        chosen = list(queues.consume_from)
        try:
            check_queues(chosen, service.current().settings)
        except BadInput as error:
            leave(error)
        self.data_queues = sorted({data_queue(name) for name in chosen})
        self.pass_queues = [name for name in chosen if name not in self.data_queues]
        queues.select(chosen)
        queues.deselect(self.data_queues)

    def setup_instance(self, *args: Any, **kwargs: Any) -> None:
        """Count both lanes where Celery compares the tasks at work with the threads there are."""
        super().setup_instance(*args, **kwargs)
        celery: Any = self
        self.max_concurrency = celery.concurrency + service.current().settings.data_threads


class DataLane(bootsteps.ConsumerStep):
    """The consumer of the data queues."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    _owner: Any = None

    def get_consumers(self, channel: Any) -> list[Consumer]:  # noqa: ANN401
        """Return one consumer whose prefetch limit is the number of data threads."""
        owner = self._owner
        worker: Worker = owner.controller
        channel.basic_qos(0, service.current().settings.data_threads, False)
        return [
            Consumer(
                channel,
                [worker.app.amqp.queues[name] for name in worker.data_queues],
                on_message=owner.create_task_handler(),
                on_decode_error=owner.on_decode_error,
                accept=worker.app.conf.accept_content,
            )
        ]

    def start(self, c: Any) -> None:  # noqa: ANN401
        """Remember whose step this is, then consume."""
        self._owner = c
        super().start(c)

    def stop(self, c: Any) -> None:  # noqa: ANN401
        """Take no more; closing the channel here would give back what still runs."""
        for consumer in self.consumers or []:
            ignore_errors(c, consumer.cancel)

    def shutdown(self, c: Any) -> None:  # noqa: ANN401
        """Take no more, for good: the channel ends with its connection."""
        self.stop(c)


@inspect_command(name="active_queues")
def active_queues(state: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """List the queues of both lanes; Celery's own answer knows the main consumer only."""
    worker: Worker = state.consumer.controller
    names = sorted({*worker.pass_queues, *worker.data_queues})
    return [dict(worker.app.amqp.queues[name].as_dict(recurse=True)) for name in names]


class Rounds(bootsteps.StartStopStep):
    """What this process does besides tasks: looks between ticks, signs of life, perhaps a beat."""

    requires = ("celery.worker.components:Pool",)

    def create(self, w: Worker) -> Any:  # noqa: ANN401 - as above
        """Return what Celery starts and stops."""
        return _Rounds(w)


class _Rounds:
    def __init__(self, worker: Worker) -> None:
        self._queues = worker.pass_queues
        self._beat = CarriedBeat(worker.app) if worker.carries_beat else None

    def start(self) -> None:
        """Begin."""
        service.current().start(self._queues)
        if self._beat:
            self._beat.start()

    def stop(self) -> None:
        """End; what runs is left to end."""
        if self._beat:
            self._beat.stop()
        service.current().stop()
