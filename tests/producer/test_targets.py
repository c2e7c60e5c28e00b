"""From what a user wrote to the clusters that share the work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobferry.prepare import prepare
from jobferry.targets import aimed
from jobferry_common.errors import BadInput, UnknownId
from jobferry_common.ledger.pages import pack_header, unpack_header
from jobferry_common.models.cluster import ClusterProfile

if TYPE_CHECKING:
    from jobferry_common.document import Document

KNOWN = {"a": (), "b": ("gpu", "large"), "c": ("gpu",)}


def document(
    base: Path, clusters: dict[str, ClusterProfile] | None = None, **said: Any
) -> Document:
    (base / "w").mkdir(exist_ok=True)
    plain = {
        "work_base": "w",
        "resources": {"group_size": 1},
        "task_list": [{"command": "true", "task_work_path": "."}],
        **said,
    }
    return prepare(plain, owner="ann@a", directory=str(base), clusters=clusters)


def profile(**fields: Any) -> ClusterProfile:
    given = {"batch_type": "Slurm", "context_type": "Local", "remote_root": "/r", **fields}
    return ClusterProfile.load_from_dict(given)


def test_one_cluster_is_as_it_ever_was(tmp_path: Path) -> None:
    header = aimed(document(tmp_path, cluster="a"), KNOWN).header
    assert (header.cluster, header.targets, header.is_shared) == ("a", (), False)
    listed = document(tmp_path, cluster=["a"]).header
    assert (listed.submission, listed.targets) == (header.submission, ())


def test_a_list_is_kept_in_its_order(tmp_path: Path) -> None:
    header = aimed(document(tmp_path, cluster=["c", "a"]), KNOWN).header
    assert (header.cluster, header.targets) == ("c", ("c", "a"))
    assert header.is_shared
    assert unpack_header(pack_header(header)) == header


def test_tags_leave_out_what_does_not_fit(tmp_path: Path) -> None:
    whole = document(tmp_path, cluster=["a", "b", "c"], requires=["gpu"])
    assert aimed(whole, KNOWN).header.targets == ("b", "c")
    single = document(tmp_path, cluster=["a", "b"], requires=["large"])
    header = aimed(single, KNOWN).header
    assert (header.cluster, header.targets) == ("b", ())


def test_any_is_every_cluster_that_fits_but_no_inline_machine(tmp_path: Path) -> None:
    known = {**KNOWN, "inline-0123456789": ()}
    assert aimed(document(tmp_path, cluster="any"), known).header.targets == ("a", "b", "c")
    some = aimed(document(tmp_path, cluster="any", requires=["large"]), known).header
    assert (some.cluster, some.targets, some.anywhere) == ("b", ("b",), True)


def test_the_id_says_what_the_user_wrote(tmp_path: Path) -> None:
    anywhere = document(tmp_path, cluster="any")
    assert aimed(anywhere, KNOWN).header.submission == anywhere.header.submission
    liked = document(tmp_path, cluster="any", placement={"a": 2}, priority=3)
    assert liked.header.submission == anywhere.header.submission
    others = [document(tmp_path, cluster=c).header.submission for c in ("a", ["a", "b"], "any")]
    assert len(set(others)) == 3


def test_tags_that_no_cluster_has_are_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match="requires: no cluster has the tags tpu: a has none; b has gpu"
    ):
        aimed(document(tmp_path, cluster="any", requires=["tpu"]), KNOWN)
    with pytest.raises(BadInput, match="no cluster was announced yet"):
        aimed(document(tmp_path, cluster="any"), {})


def test_a_name_in_the_list_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownId, match="no cluster 'd'; known are a, b, c"):
        aimed(document(tmp_path, cluster=["a", "d"]), KNOWN)


def test_clusters_that_keep_work_in_different_places_want_an_absolute_path(tmp_path: Path) -> None:
    profiles = {"a": profile(local_root=str(tmp_path)), "b": profile(local_root="/elsewhere")}
    with pytest.raises(BadInput, match="expected an absolute path"):
        document(tmp_path, profiles, cluster=["a", "b"])
    whole = document(tmp_path, profiles, cluster=["a", "b"], work_base=str(tmp_path / "w"))
    assert whole.header.source == str((tmp_path / "w").resolve())


def test_tasks_run_in_place_only_if_they_do_so_everywhere(tmp_path: Path) -> None:
    lazy = profile(context_type="LazyLocal", local_root=str(tmp_path))
    assert document(tmp_path, {"a": lazy, "b": lazy}, cluster=["a", "b"]).header.in_place
    mixed = {"a": lazy, "b": profile(local_root=str(tmp_path))}
    assert not document(tmp_path, mixed, cluster=["a", "b"]).header.in_place


def test_an_older_header_without_targets_is_read(tmp_path: Path) -> None:
    header = document(tmp_path, cluster="a").header
    assert unpack_header(pack_header(replace(header, targets=()))).clusters == ("a",)
