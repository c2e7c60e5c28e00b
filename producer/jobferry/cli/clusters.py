"""`jobferry cluster list|show|test|pause|drain|resume|recover|forget`.

$ jobferry cluster list
cluster  batch  context  state                 since      in flight  waiting  last pass  worker
hpc1     Slurm  Local    works                            12         480      1 s ago    login1:411
hpc2     Slurm  Local    draining: new disks   2 min ago  3          17       1 s ago    login2:98
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobferry.cli.options import ClusterArgument, Json
from jobferry.cli.show import ago, note, plain, print_json, print_json_line, print_table, when

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry.client import Client
    from jobferry_common.ledger.records import ClusterRecord

Reason = Annotated[str, typer.Option(help="Shown to everybody.")]
group = typer.Typer(
    name="cluster",
    help="Look at clusters, test, pause, drain, recover and forget them.",
    no_args_is_help=True,
)
_COLUMNS = (
    "cluster",
    "batch",
    "context",
    "state",
    "since",
    "in flight",
    "waiting",
    "last pass",
    "worker",
)


@group.command("list")
def list_(*, json: Json = False) -> None:
    """Show the clusters that are set here or were ever served."""
    from jobferry.client import connect

    with connect() as client:
        clusters = known_clusters(client)
    if json:
        print_json([cluster_data(cluster) for cluster in clusters.values()])
    elif clusters:
        print_table(_COLUMNS, [_row(cluster) for cluster in clusters.values()])
    else:
        note("no clusters yet: add a table [clusters.NAME] to the settings and start its worker")


@group.command()
def show(name: ClusterArgument, *, json: Json = False) -> None:
    """Show one cluster: its profile without secrets, and how it fares."""
    from jobferry.client import connect

    with connect() as client:
        data = {**cluster_data(_known(client, name)), "profile": _profile(client, name)}
    if json:
        print_json(data)
        return
    for key, value in plain(data).items():
        if key != "profile":
            typer.echo(f"{key:12} {_readable(key, value)}")
    for key, value in (plain(data["profile"]) or {}).items():
        typer.echo(f"profile.{key} = {'not set' if value is None else value}")


@group.command()
def test(
    name: ClusterArgument,
    *,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until it gives up.")] = 120.0,
    json: Json = False,
) -> None:
    """Go the whole way with a trivial job, and say which step is wrong.

    The exit code is 0 if all is well, 3 if nobody serves the cluster or it does not answer, else 1.
    """
    from jobferry.client import connect
    from jobferry.probe import probe

    code = 0
    with connect() as client:
        _known(client, name)
        for step in probe(client, name, timeout=timeout):
            code = code or step.exit_code
            if json:
                print_json_line(step)
            else:
                typer.echo(f"{'ok    ' if step.ok else 'FAILED'}  {step.name}: {step.what}")
    if code:
        raise typer.Exit(code)


@group.command()
def pause(name: ClusterArgument, *, reason: Reason = "by the operator", json: Json = False) -> None:
    """Submit nothing until it is resumed; jobs that are out go on, files of new runs are brought."""
    _set(name, json=json, paused=reason, paused_by="operator", draining="")


@group.command()
def drain(name: ClusterArgument, *, reason: Reason = "by the operator", json: Json = False) -> None:
    """Leave it without work: nothing new comes there, what is out ends, its results are fetched.

    `jobferry cluster list` says `draining` until all of that is done, then `drained`.
    """
    _set(name, json=json, paused=reason, paused_by="operator", draining="yes")


@group.command()
def resume(name: ClusterArgument, *, json: Json = False) -> None:
    """End a pause or a drain."""
    # the worker takes the operator's word that what is gone is gone, until a pass goes well
    _set(name, json=json, paused="", paused_by="operator", draining="", failures=0, probe_at=0.0)


@group.command()
def recover(
    name: ClusterArgument,
    *,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until it gives up.")] = 120.0,
    json: Json = False,
) -> None:
    """Make a lost ledger again from what stands on the cluster: for when the broker is gone with its data.

    What runs is adopted, what ended is collected, what never began is submitted. The exit code is 1 if a run could
    not be put back, 3 if nobody serves the cluster or it does not answer.
    """
    from jobferry.client import connect
    from jobferry.recovery import recover as put_back

    with connect() as client:
        found = put_back(client, name, timeout=timeout)
    if json:
        print_json(found)
    elif found:
        print_table(("run", "what"), [(row.run, row.what) for row in found])
    else:
        note(f"{name} keeps nothing of any run")
    if not all(row.ok for row in found):
        raise typer.Exit(1)


@group.command()
def forget(name: ClusterArgument, *, json: Json = False) -> None:
    """Take a cluster that is gone off the list; refused while a worker serves it or runs are open there."""
    from jobferry.client import connect

    with connect() as client:
        _known(client, name)
        client.forget_cluster(name)
        still = name in client.settings.clusters
    if json:
        print_json({"name": name, "forgotten": True})
    elif still:
        note(
            f"{name} is forgotten; it stays listed here while config.toml has a table [clusters.{name}]"
        )
    else:
        note(f"{name} is forgotten")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A cluster, as it is seen from here."""

    name: str
    record: ClusterRecord | None  #: None when no worker ever announced it
    worker: str | None  #: who serves it now

    @property
    def state(self) -> str:
        """`works`, `paused: …`, `draining: …`, `drained: …` or `no worker`."""
        if self.record is not None and self.record.paused:
            return self.record.halt
        return "works" if self.worker else "no worker"


def known_clusters(client: Client) -> dict[str, Known]:
    """Return every cluster that is set here or was announced."""
    records = {str(record.name): record for record in client.ledger.clusters()}
    return {
        name: Known(name=name, record=records.get(name), worker=client.worker_of(name))
        for name in sorted({*client.settings.clusters, *records})
    }


def cluster_data(cluster: Known) -> dict[str, Any]:
    """Return a cluster as JSON has it."""
    known = {} if cluster.record is None else plain(cluster.record)
    return {**known, "name": cluster.name, "state": cluster.state, "worker": cluster.worker}


def _known(client: Client, name: str) -> Known:
    clusters = known_clusters(client)
    if name not in clusters:
        client.know(name)
    return clusters[name]


def _profile(client: Client, name: str) -> Mapping[str, Any] | None:
    profile = client.settings.clusters.get(name)
    if profile is not None:
        return profile.model_dump(mode="json", exclude_defaults=True)
    return client.ledger.profile(name)


def _set(name: str, *, json: bool, **fields: Any) -> None:
    from jobferry.client import connect

    with connect() as client:
        _known(client, name)
        client.ledger.set_cluster(name, **fields)
        client.hint(name)
        cluster = _known(client, name)
    if json:
        print_json(cluster_data(cluster))
    else:
        note(f"{name}: {cluster.state}")


def _row(cluster: Known) -> tuple[str, ...]:
    record = cluster.record
    if record is None:
        return (cluster.name, "", "", cluster.state, "", "", "", "never", "")
    return (
        cluster.name,
        record.batch_type,
        record.context_type,
        cluster.state,
        f"{ago(record.since)} ago" if record.paused and record.since else "",
        str(record.in_flight),
        str(record.waiting),
        f"{ago(record.last_pass)} ago" if record.last_pass else "never",
        cluster.worker or "",
    )


def _readable(key: str, value: object) -> object:
    if key in ("last_pass", "last_look", "probe_at", "since") and isinstance(value, float):
        return when(value)
    return value
