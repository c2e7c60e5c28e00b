"""`jobferry hold`, `release` and `abandon`: what is done to runs that wait, and to what a cluster has of them.

$ jobferry abandon 3f2a9c01d5e7-1 --cluster hpc2
jobferry: 12 jobs that hpc2 had of run 3f2a9c01d5e7-1 are given up there; others do them
"""

from __future__ import annotations

from typing import Annotated

from jobferry.cli.options import Json, RunArgument, cluster_option
from jobferry.cli.runs import run_data
from jobferry.cli.show import note, print_json
from jobferry_common.words import counted


def hold(run: RunArgument, *, json: Json = False) -> None:
    """Submit nothing more of a run until it is released; what is out goes on."""
    from jobferry.client import connect

    with connect() as client:
        handle = client.handle(run)
        new = handle.hold()
        record = handle.status()
    if json:
        print_json({**run_data(record), "changed": new})
    elif record.state.is_final:
        note(f"run {record.id} had ended before: {record.state}")
    else:
        note(f"run {record.id} is held; go on with: jobferry release {record.id}")


def release(run: RunArgument, *, json: Json = False) -> None:
    """Go on with a run that was held."""
    from jobferry.client import connect

    with connect() as client:
        handle = client.handle(run)
        new = handle.release()
        record = handle.status()
    if json:
        print_json({**run_data(record), "changed": new})
    else:
        note(f"run {record.id} {'goes on' if new else 'was not held'}")


def abandon(
    run: RunArgument,
    *,
    cluster: Annotated[
        str, cluster_option("--cluster", text="What it has of the run is given up.")
    ],
    json: Json = False,
) -> None:
    """Give up what a cluster that does not come back has of a run; others do it again.

    A job that runs there may then run twice; what it writes there is not brought.
    """
    from jobferry.client import connect

    with connect() as client:
        handle = client.handle(run)
        freed = handle.abandon(cluster)
        record = handle.status()
    if json:
        print_json({**run_data(record), "given_up": freed})
        return
    then = (
        "the run is cancelled"
        if record.cancel
        else f"{', '.join(record.clusters)} will do {'it' if freed == 1 else 'them'}"
    )
    given_up = f"{'is' if freed == 1 else 'are'} given up there"
    note(f"{counted(freed, 'job')} that {cluster} had of run {record.id} {given_up}; {then}")
