"""Files of many runs in one go; should that fail, run by run, so that one broken directory stops its own run only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from jobferry_common.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.actions import Try
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

Key = TypeVar("Key")
Value = TypeVar("Value")


def all_or_singly(
    p: Pass, ask: Callable[[Mapping[str, Try]], Mapping[Key, Value]], paths: Mapping[str, Try]
) -> tuple[dict[Key, Value], frozenset[RunId]]:
    """Return the answers, and the runs of which there is none: each of them says why it waits."""
    try:
        return dict(ask(paths)), frozenset()
    except StagingError as error:
        logger.debug("Run by run: %s", error, extra={"action": "singly"})
    answers: dict[Key, Value] = {}
    silent: set[RunId] = set()
    for run, of in _by_run(paths).items():
        try:
            answers.update(ask(of))
        except StagingError as error:
            silent.add(run)
            say(p, run, f"waits: {error}")
    return answers, frozenset(silent)


def say(p: Pass, run: RunId, why: str) -> None:
    """Tell why a run waits, once."""
    if p.ledger.run(run).reason != why:
        logger.warning("%s %s", run, why, extra={"action": "unreadable-files"})
        p.ledger.change_run(run, reason=why, fence=p.lease.fence)
        p.memory.complained.add(run)


def _by_run(paths: Mapping[str, Try]) -> dict[RunId, dict[str, Try]]:
    found: dict[RunId, dict[str, Try]] = {}
    for path, key in paths.items():
        found.setdefault(key.run, {})[path] = key
    return found
