"""What a job that failed asks for with its next try, by the rules of its submission. Pure.

    rule_of(policy, Outcome.OUT_OF_MEMORY, None)      # ("out_of_memory", Rule(memory=1.5, …))
    resources_of(header, asks, cluster)               # memory_per_node="24576MB", exclude_nodes=("n3",)

What was asked for at first, the rules and how often each was followed are all that is needed: the same numbers come
out whenever they are reckoned.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.models.amounts import duration, mebibytes, seconds
from jobferry_common.models.failures import KINDS, Rule
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.document import Header, Policy
    from jobferry_common.ledger.asks import Asks
    from jobferry_common.models.resources import Resources
    from jobferry_common.names import ClusterName

#: tries of a job that are not counted; each further one counts, whatever its rule says
MOST_UNCOUNTED: Final = 50
#: what a job cannot help uses up none of its tries, unless its user wants no second try at all
_OF_ITSELF: Final[Mapping[str, Rule]] = MappingProxyType(
    {"node_failure": Rule(counts=False), "preempted": Rule(counts=False)}
)
#: beyond this nobody has any; so that numbers stay numbers
_MOST_MEBIBYTES: Final = 2**40
_MOST_SECONDS: Final = 2**32


def rules_of(policy: Policy) -> dict[str, Rule]:
    """Return the rules of a run, by kind of failure or exit code."""
    given = policy.on_failure.rules if policy.on_failure else {}
    return {**(_OF_ITSELF if policy.retry_count else {}), **given}


def rule_of(policy: Policy, outcome: Outcome | None, code: int | None) -> tuple[str, Rule] | None:
    """Return the rule for a failure, with its name; None where it is tried again as `retry_count` says."""
    rules = rules_of(policy)
    names: list[str] = [outcome.value] if outcome and outcome.value in KINDS else []
    if code is not None and outcome not in (None, Outcome.SUCCEEDED, Outcome.CANCELLED):
        names.append(str(code))
    return next(((name, rules[name]) for name in names if name in rules), None)


def uncounted(policy: Policy, asks: Asks) -> int:
    """Return how many tries of a job were not counted."""
    rules = rules_of(policy)
    free = sum(n for name, n in asks.times if name in rules and not rules[name].counts)
    return min(free, MOST_UNCOUNTED)


def resources_of(header: Header, asks: Asks, cluster: ClusterName) -> Resources:
    """Return what a job asks for on a cluster: the resources of its run, and more."""
    resources = header.resources
    if not asks:
        return resources
    changed: dict[str, Any] = dict(_grown(resources, rules_of(header.policy), asks))
    if nodes := asks.nodes_of(cluster):
        changed["exclude_nodes"] = tuple(dict.fromkeys((*resources.exclude_nodes, *nodes)))
    return resources.model_copy(update=changed) if changed else resources


def _grown(
    resources: Resources, rules: Mapping[str, Rule], asks: Asks
) -> Iterator[tuple[str, str]]:
    followed = [(rules[name], times) for name, times in asks.times if name in rules]
    if resources.memory_per_node is not None:
        first = mebibytes(resources.memory_per_node)
        steps = [
            (rule.memory, rule.memory_most and mebibytes(rule.memory_most), n)
            for rule, n in followed
        ]
        if (amount := _multiplied(first, steps, _MOST_MEBIBYTES)) != first:
            yield "memory_per_node", f"{amount}MB"
    if resources.time_limit is not None:
        first = seconds(resources.time_limit)
        steps = [(rule.time, rule.time_most and seconds(rule.time_most), n) for rule, n in followed]
        if (amount := _multiplied(first, steps, _MOST_SECONDS)) != first:
            yield "time_limit", duration(f"{amount}s")


def _multiplied(amount: int, steps: list[tuple[float | None, Any, int]], limit: int) -> int:
    """Multiply once for each try that followed by a rule, up to the most of that rule."""
    for factor, most, times in steps:
        for _ in range(times if factor else 0):
            more = min(math.ceil(amount * (factor or 1)), most or limit)
            if more <= amount:
                break
            amount = more
    return amount


def shown_memory(amount: str) -> str:
    """Return an amount of memory as people write it."""
    number = mebibytes(amount)
    return f"{number / 1024:.4g} GB" if number >= 1024 else f"{number} MB"  # noqa: PLR2004 - of a unit
