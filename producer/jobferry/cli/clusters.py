"""`jobferry cluster list|show|test|pause|resume`.

$ jobferry cluster list
cluster  batch  context  state                  in flight  waiting  last pass  worker
hpc1     Slurm  Local    works                  12         480      1 s ago    login1:411
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

group = typer.Typer(
    name="cluster", help="Look at clusters, test them, pause them.", no_args_is_help=True
)
_COLUMNS = (
    "cluster",
    "batch",
    "context",
    "state",
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
        typer.echo(f"profile.{key} = {value}")


@group.command()
def test(
    name: ClusterArgument,
    *,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until it gives up.")] = 120.0,
    json: Json = False,
) -> None:
    """Go the whole way with a trivial job, and say which step is wrong."""
    from jobferry.client import connect
    from jobferry.probe import probe

    good = True
    with connect() as client:
        _known(client, name)
        for step in probe(client, name, timeout=timeout):
            good = good and step.ok
            if json:
                print_json_line(step)
            else:
                typer.echo(f"{'ok    ' if step.ok else 'FAILED'}  {step.name}: {step.what}")
    if not good:
        raise typer.Exit(1)


@group.command()
def pause(
    name: ClusterArgument,
    *,
    reason: Annotated[str, typer.Option(help="Shown to everybody.")] = "paused by the operator",
    json: Json = False,
) -> None:
    """Submit nothing to a cluster until it is resumed; what runs there goes on."""
    _set(name, json=json, paused=reason, paused_by="operator")


@group.command()
def resume(name: ClusterArgument, *, json: Json = False) -> None:
    """End a pause."""
    _set(name, json=json, paused="", paused_by="", failures=0, probe_at=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A cluster, as it is seen from here."""

    name: str
    record: ClusterRecord | None  #: None when no worker ever announced it
    worker: str | None  #: who serves it now

    @property
    def state(self) -> str:
        """`works`, `paused: …` or `no worker`."""
        if self.record is not None and self.record.paused:
            return f"paused: {self.record.paused}"
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
        return (cluster.name, "", "", cluster.state, "", "", "never", "")
    return (
        cluster.name,
        record.batch_type,
        record.context_type,
        cluster.state,
        str(record.in_flight),
        str(record.waiting),
        f"{ago(record.last_pass)} ago" if record.last_pass else "never",
        cluster.worker or "",
    )


def _readable(key: str, value: object) -> object:
    if key in ("last_pass", "last_look", "probe_at") and isinstance(value, float):
        return when(value)
    return value
