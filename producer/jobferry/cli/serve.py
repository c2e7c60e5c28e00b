"""`jobferry worker`, `beat` and `flower`: Celery's own programs with our application and queues.

jobferry worker --cluster hpc1 --beat     celery -A jobferry_worker worker -P threads -Q jobferry.hpc1 --beat
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobferry.cli.options import cluster_option
from jobferry_common.errors import BadInput, Problem, UnknownId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobferry_common.settings import Settings

_APP = "jobferry_worker"

Level = Annotated[
    str | None, typer.Option("--loglevel", "-l", help="DEBUG, INFO, WARNING or ERROR.")
]


def worker(
    context: typer.Context,
    *,
    cluster: Annotated[
        list[str] | None,
        cluster_option(
            *("--cluster", "-c"),
            text="A cluster of the settings; several are possible. Default: all of them.",
        ),
    ] = None,
    beat_too: Annotated[
        bool, typer.Option("--beat", help="Carry a beat that ticks these clusters.")
    ] = False,
    inline: Annotated[
        bool, typer.Option("--inline", help="Serve the inline machines of submissions, too.")
    ] = False,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Threads for passes; default: from the settings.")
    ] = None,
    loglevel: Level = None,
) -> None:
    """Serve clusters: run where their scheduler's commands are. Further options go to Celery."""
    from jobferry_common.settings import load_settings

    settings = load_settings()
    _need_broker(settings)
    arguments = worker_arguments(settings, cluster or [], inline=inline)
    if beat_too:
        arguments.append("--beat")
    if concurrency is not None:
        arguments.append(f"--concurrency={concurrency}")
    level = loglevel or settings.log_level
    _become("worker", [*arguments, f"--loglevel={level}", *context.args])


def beat(context: typer.Context, *, loglevel: Level = None) -> None:
    """Tick the clusters: one is enough, a second stands by. Further options go to Celery."""
    from jobferry_common.settings import load_settings

    settings = load_settings()
    _need_broker(settings)
    _become("beat", [f"--loglevel={loglevel or settings.log_level}", *context.args])


def flower(
    context: typer.Context,
    *,
    port: Annotated[int, typer.Option(help="Where its page is.")] = 5555,
    address: Annotated[str, typer.Option(help="The address it listens on.")] = "127.0.0.1",
) -> None:
    """Watch the workers in a browser. Further options go to Flower."""
    from jobferry_common.settings import load_settings

    _need_broker(load_settings())
    _become("flower", [f"--port={port}", f"--address={address}", *context.args])


def worker_arguments(settings: Settings, clusters: Sequence[str], *, inline: bool) -> list[str]:
    """Return Celery's arguments for a worker that serves these clusters.

    Raises:
        UnknownId: the settings hold no such cluster.
        BadInput: there is nothing to serve.
    """
    from jobferry_common.messages import INLINE_QUEUE, queue_of

    for name in clusters:
        if name not in settings.clusters:
            raise UnknownId(_unknown(name, settings))
    queues = [queue_of(name) for name in clusters or settings.clusters]
    if inline or settings.serve_inline:
        queues.append(INLINE_QUEUE)
    if not queues:
        what = "holds no cluster: add a table [clusters.NAME], or serve inline machines: --inline"
        raise BadInput([Problem(_config(), what)])
    if inline:
        os.environ["JOBFERRY_SERVE_INLINE"] = "true"
    return ["--pool=threads", f"--queues={','.join(queues)}"]


def _unknown(name: str, settings: Settings) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, settings.clusters, n=3) or sorted(settings.clusters)
    known = f"known: {', '.join(near)}" if near else "none is set"
    return f"{_config()} holds no cluster {name!r}; {known}. A worker needs the table [clusters.{name}]"


def _need_broker(settings: Settings) -> None:
    if settings.broker is None:
        what = (
            "no broker is set; expected a URL such as redis://:password@host:6379/0. "
            "The embedded stack (jobferry up) brings its own worker and needs none"
        )
        raise BadInput([Problem(f"{_config()}: broker", what)])


def _config() -> str:
    from jobferry_common.settings import config_path

    return str(config_path())


def _become(program: str, arguments: Sequence[str]) -> None:
    """Replace this process by Celery's program, so that signals and exit codes are its own."""
    argv = [sys.executable, "-m", "celery", "-A", _APP, program, *arguments]
    sys.stdout.flush()
    os.execv(sys.executable, argv)  # noqa: S606 - an argument vector, no shell
