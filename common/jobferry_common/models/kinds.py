"""Batch types and contexts: their names, their aliases, and which of them go together.

>>> batch_type("slurm"), context_type("lazy_local"), batch_type("DpCloudServer")
('Slurm', 'LazyLocal', 'Bohrium')
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: class names, as DPDispatcher's batch_type has them
BATCH_TYPES: Final = (
    "Shell",
    "Slurm",
    "SlurmJobArray",
    "PBS",
    "Torque",
    "SGE",
    "LSF",
    "JH_UniScheduler",
    "Fugaku",
    "DistributedShell",
    "Bohrium",
    "OpenAPI",
)
CONTEXTS: Final = ("LazyLocal", "Local", "SSH", "HDFS", "Bohrium", "OpenAPI")

#: systems that share no directory with the worker: batch type → the one context that carries files there
PAIRS: Final[Mapping[str, str]] = MappingProxyType(
    {"DistributedShell": "HDFS", "Bohrium": "Bohrium", "OpenAPI": "OpenAPI"}
)
#: contexts of such systems
BRIDGED: Final = frozenset(PAIRS.values())

_OTHER_NAMES: Final = {"Lebesgue": "Bohrium", "DpCloudServer": "Bohrium"}
_SUFFIX: Final = "context"


def batch_type(text: str) -> str:
    """Return the class name of a batch type.

    Raises:
        ValueError: there is none of that name; the message names near ones.
    """
    return _find(text, text.lower(), BATCH_TYPES, "batch type")


def context_type(text: str) -> str:
    """Return the name of a context, without "Context".

    Raises:
        ValueError: there is none of that name; the message names near ones.
    """
    return _find(text, text.lower().removesuffix(_SUFFIX), CONTEXTS, "context")


def names_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of batch types or contexts with the other names that they go by, without "Context"."""
    return (*names, *(alias for alias, name in _OTHER_NAMES.items() if name in names))


def misfit(batch: str, context: str) -> str:
    """Return why a batch type and a context do not go together, and what to write instead; "" if they do."""
    wanted = PAIRS.get(batch)
    if context == wanted or (wanted is None and context not in BRIDGED):
        return ""
    if wanted is None:
        partner = next(name for name, own in PAIRS.items() if own == context)
        return (
            f"{context} carries files to {partner} alone, and not to {batch}; expected Local where the worker sees "
            f"remote_root, SSH for a login node, LazyLocal in place, or batch_type {partner!r}"
        )
    other = (
        f"batch_type {next(name for name, own in PAIRS.items() if own == context)!r} for this context"
        if context in BRIDGED
        else f"another batch_type for {context}"
    )
    return f"{context} does not reach {batch}; expected context_type {wanted!r}, or {other}"


def _find(text: str, key: str, names: tuple[str, ...], what: str) -> str:
    key = key.replace("_", "")
    known = {name.lower().replace("_", ""): name for name in names} | {
        alias.lower(): name for alias, name in _OTHER_NAMES.items() if name in names
    }
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {known[near[0]]!r}? " if near else ""
    msg = f"there is no {what} {text!r}; {hint}expected one of {', '.join(names)}"
    raise ValueError(msg)
