"""Batch types and contexts: by which names they are known, and which go together."""

from __future__ import annotations

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models import kinds
from jobferry_common.models.cluster import ClusterProfile


@pytest.mark.parametrize("name", kinds.BATCH_TYPES)
def test_a_batch_type_is_known_by_class_name_and_in_lower_case(name: str) -> None:
    assert kinds.batch_type(name) == kinds.batch_type(name.lower()) == name


@pytest.mark.parametrize("name", kinds.CONTEXTS)
def test_a_context_is_known_with_and_without_its_suffix_in_any_case(name: str) -> None:
    for text in (name, name.lower(), f"{name}Context", f"{name}Context".lower(), name.upper()):
        assert kinds.context_type(text) == name


def test_names_may_be_written_with_words_apart() -> None:
    assert (
        kinds.context_type("lazy_local") == kinds.context_type("Lazy_Local_Context") == "LazyLocal"
    )
    assert kinds.context_type("dp_cloud_server") == kinds.batch_type("dp_cloud_server") == "Bohrium"
    assert kinds.batch_type("slurm_job_array") == "SlurmJobArray"
    assert kinds.batch_type("jhunischeduler") == "JH_UniScheduler"


@pytest.mark.parametrize(
    "name", ["Bohrium", "Lebesgue", "DpCloudServer", "dpcloudserver", "LEBESGUE"]
)
def test_bohrium_goes_by_three_names(name: str) -> None:
    assert kinds.batch_type(name) == "Bohrium"
    assert kinds.context_type(f"{name}Context") == kinds.context_type(name) == "Bohrium"


@pytest.mark.parametrize(
    ("batch", "context", "words"),
    [
        (
            "DistributedShell",
            "Local",
            "Local does not reach DistributedShell; expected context_type 'HDFS', or another batch_type",
        ),
        (
            "DistributedShell",
            "SSH",
            "SSH does not reach DistributedShell; expected context_type 'HDFS', or another batch_type",
        ),
        ("DistributedShell", "LazyLocal", "expected context_type 'HDFS'"),
        (
            "Bohrium",
            "HDFS",
            "HDFS does not reach Bohrium; expected context_type 'Bohrium', or batch_type 'DistributedShell'",
        ),
        (
            "Slurm",
            "HDFS",
            "and not to Slurm; expected Local where the worker sees remote_root, SSH for a login node",
        ),
        ("Shell", "OpenAPI", "LazyLocal in place, or batch_type 'OpenAPI'"),
    ],
)
def test_a_context_that_does_not_reach_a_batch_type_is_refused(
    batch: str, context: str, words: str
) -> None:
    assert words in kinds.misfit(batch, context)
    with pytest.raises(BadInput, match=r"context_type: .*expected"):
        ClusterProfile.load_from_dict(
            {
                "batch_type": batch,
                "context_type": context,
                "remote_root": "/r",
                "remote_profile": {"hostname": "h"} if context == "SSH" else {},
            }
        )


def test_every_pair_goes_together_or_is_refused() -> None:
    fit = {
        (batch, context)
        for batch in kinds.BATCH_TYPES
        for context in kinds.CONTEXTS
        if not kinds.misfit(batch, context)
    }
    plainly = set(kinds.BATCH_TYPES) - set(kinds.PAIRS)
    assert fit == {
        *kinds.PAIRS.items(),
        *((batch, context) for batch in plainly for context in ("LazyLocal", "Local", "SSH")),
    }
