"""What follows when an attempt failed: a next try, by a rule of its submission or by `retry_count`, or none. Pure.

verdict(header, record)      # Verdict(again=True, …, reason="out of memory; again with 24 GB (try 2 of 4)")
where(header, record, "n3")  # the asks and the reason of an attempt that ended on node n3
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobferry_common.failures import (
    MOST_UNCOUNTED,
    resources_of,
    rule_of,
    shown_memory,
    uncounted,
)
from jobferry_common.models.failures import KINDS
from jobferry_common.models.values import is_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.document import Header, Policy
    from jobferry_common.ledger.asks import Asks
    from jobferry_common.ledger.records import JobRecord
    from jobferry_common.models.failures import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a job whose attempt failed."""

    again: bool
    tries: int  #: that are used up
    asks: Asks
    reason: str


def where(header: Header, record: JobRecord, nodes: str) -> tuple[Asks, str]:
    """Return what a job asks for once its attempt ended on `nodes`, and why it ended.

    Of several nodes nobody says which one it was, so none is excluded.
    """
    found = _own_rule(header.policy, record)
    if found is None:
        return record.asks, record.reason
    name, rule = found
    reason = name.replace("_", " ") if name in KINDS else record.reason
    if not rule.exclude_node:
        return record.asks, reason
    if not is_node(nodes):
        return record.asks, f"{reason} on a node that is not known" + (
            f" ({nodes})" if nodes else ""
        )
    return record.asks.without(f"{record.cluster}/{nodes}"), f"{reason} on {nodes}"


def verdict(header: Header, record: JobRecord) -> Verdict:
    """Decide about a job whose attempt failed; its record counts that attempt as a try."""
    policy, asks, tries = header.policy, record.asks, record.tries
    found = rule_of(policy, record.outcome, record.code)
    if found is None:
        return Verdict(
            again=tries <= policy.retry_count, tries=tries, asks=asks, reason=record.reason
        )
    name, rule = found
    asks = asks.once_more(name)
    if end := _end(header, record, name, rule, asks):
        return Verdict(again=False, tries=tries, asks=record.asks, reason=f"{record.reason}{end}")
    free = not rule.counts and uncounted(policy, record.asks) < MOST_UNCOUNTED
    tries -= free
    if tries > policy.retry_count:
        return Verdict(again=False, tries=tries, asks=record.asks, reason=record.reason)
    how = "does not count" if free else f"try {tries + 1} of {policy.retry_count + 1}"
    more = "".join(_more(header, record, asks))
    return Verdict(
        again=True, tries=tries, asks=asks, reason=f"{record.reason}; again{more} ({how})"
    )


def _own_rule(policy: Policy, record: JobRecord) -> tuple[str, Rule] | None:
    """Return the rule that the user gave."""
    found = rule_of(policy, record.outcome, record.code)
    given = policy.on_failure.rules if policy.on_failure else {}
    return found if found and found[0] in given else None


def _end(header: Header, record: JobRecord, name: str, rule: Rule, asks: Asks) -> str:
    """Return why a rule gives up; "" if it does not."""
    if not rule.retry:
        return "; not to be tried again"
    if rule.times is not None and asks.count(name) > rule.times:
        return f"; it was tried again {rule.times} times for that, which is the most"
    had = resources_of(header, record.asks, record.cluster)
    wanted = resources_of(header, asks, record.cluster)
    grown = (had.memory_per_node, had.time_limit) != (wanted.memory_per_node, wanted.time_limit)
    if not rule.grows or grown:
        return ""
    amounts = []
    if rule.memory and had.memory_per_node:
        amounts.append(shown_memory(had.memory_per_node))
    if rule.time and had.time_limit:
        amounts.append(had.time_limit)
    return f" with the most that it may have ({' and '.join(amounts)})"


def _more(header: Header, record: JobRecord, asks: Asks) -> Iterator[str]:
    """Say what is different with the next try."""
    before = resources_of(header, record.asks, record.cluster)
    after = resources_of(header, asks, record.cluster)
    words = []
    if after.memory_per_node and after.memory_per_node != before.memory_per_node:
        words.append(shown_memory(after.memory_per_node))
    if after.time_limit and after.time_limit != before.time_limit:
        words.append(f"a time limit of {after.time_limit}")
    if words:
        yield f" with {' and '.join(words)}"
    if nodes := asks.nodes_of(record.cluster):
        yield f", not on {', '.join(nodes)}"
