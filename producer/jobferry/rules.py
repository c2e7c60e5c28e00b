"""Rules for jobs that fail which could not be followed: told before anything is handed over.

    hindrances(on_failure, resources, template="#SBATCH --mem 4G", batch_type="Slurm")

A line of the user's own that asks for memory or time goes before what jobferry asks for, so that nothing would grow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry.templates import TEMPLATE, said
from jobferry_common.errors import Problem
from jobferry_common.models.failures import GROWING, KINDS
from jobferry_common.schedulers import refusals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.models.failures import OnFailure
    from jobferry_common.models.resources import Resources

#: how batch systems spell a request for it in a line of a script's header
_SAYS: Final[Mapping[str, re.Pattern[str]]] = {
    "memory": re.compile(
        r"--mem\b|--mem-per-(cpu|gpu)\b|\bp?v?mem=|\bh_vmem=|\bmem_free=|\bmem\[|\bmem="
    ),
    "time": re.compile(r"--time\b|\s-t[\s=\d]|\bwalltime=|\b[hs]_rt=|\s-W\s*\d|\belapse="),
}


def hindrances(
    on_failure: OnFailure | None,
    resources: Resources,
    *,
    template: str | None,
    batch_type: str | None,
) -> Iterator[Problem]:
    """Find rules that could not be followed."""
    for name, rule in on_failure.rules.items() if on_failure else ():
        where = f"on_failure.{name}" if name in KINDS else f"on_failure.exit_codes.{name}"
        for factor, _, field in GROWING:
            if getattr(rule, factor) is not None and (
                what := _hindrance(factor, field, resources, template)
            ):
                yield Problem(f"{where}.{factor}", what)
        if rule.exclude_node and (why := _unsaid(resources, template, batch_type)):
            yield Problem(f"{where}.exclude_node", why)


def _hindrance(factor: str, field: str, resources: Resources, template: str | None) -> str:
    for line in resources.custom_flags:
        if _SAYS[factor].search(line):
            return f"has no effect: {line!r} in custom_flags asks for it, too; expected it only in resources.{field}"
    if template is not None and field not in said(template):
        return f"has no effect: {TEMPLATE} does not say it; expected {{{field}}} there"
    return ""


def _unsaid(resources: Resources, template: str | None, batch_type: str | None) -> str:
    """Return why no node can be excluded; "" if it can, or if only the worker knows the batch system."""
    if template is not None:
        return f"has no effect with {TEMPLATE}, which is used as it is"
    asking = resources.model_copy(update={"exclude_nodes": ("n1",)})
    refused = [
        one.what for one in refusals(batch_type, asking) if one.where == "resources.exclude_nodes"
    ]
    return refused[0] if refused else ""
