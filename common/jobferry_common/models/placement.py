"""Where the jobs of a submission may go when it names several clusters, and which of them it likes better.

    cluster = ["hpc1", "hpc2"]      # or "any": every cluster that was announced and fits
    placement = "order"             # hpc1 first; or {"hpc1": 3, "hpc2": 1}; "fair" if nothing is said
    requires = ["gpu"]              # tags of a cluster's profile

A placement is a wish: work that the better liked cluster has no room for goes to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, PlainValidator, StrictInt

from jobferry_common.errors import BadInput
from jobferry_common.names import cluster_name

#: stands for every cluster that fits
ANY: Final = "any"
FAIR: Final = "fair"
ORDER: Final = "order"
#: most weight and most priority: beyond that a user means something else
_MOST: Final = 1000


def _clusters(value: Any) -> str | tuple[str, ...] | None:  # noqa: ANN401 - whatever a user wrote
    if value is None:
        return None
    if isinstance(value, str):
        return value and _name(value)
    if not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        msg = f'expected a name, a list of names, or "any", got {value!r:.60}'
        raise ValueError(msg)
    names = tuple(_name(name) for name in value)
    if not names:
        msg = 'is empty; expected at least one name, or "any"'
        raise ValueError(msg)
    if ANY in names:
        msg = f'"{ANY}" stands for every cluster; expected it alone, not in a list'
        raise ValueError(msg)
    if double := sorted({name for name in names if names.count(name) > 1}):
        msg = f"names {', '.join(double)} more than once"
        raise ValueError(msg)
    return names


def _name(text: str) -> str:
    try:
        return cluster_name(text)
    except BadInput as error:
        raise ValueError(error.problems[0].what) from None


def _placement(value: Any) -> str | Mapping[str, float]:  # noqa: ANN401
    if value in (FAIR, ORDER):
        return str(value)
    if isinstance(value, Mapping) and value:
        return {_name(str(name)): _weight(weight) for name, weight in value.items()}
    msg = (
        f'expected "{FAIR}", "{ORDER}" (of the list of clusters), or weights such as '
        f'{{"hpc1": 3, "hpc2": 1}}, got {value!r:.60}'
    )
    raise ValueError(msg)


def _weight(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST:
        return float(value)
    msg = f"expected weights above 0 and up to {_MOST}, got {value!r:.60}"
    raise ValueError(msg)


if TYPE_CHECKING:  # users write lists; what a model holds is frozen
    Clusters = str | Sequence[str]
    Placement = str | Mapping[str, float]
else:
    Clusters = Annotated[Any, PlainValidator(_clusters)]
    Placement = Annotated[Any, PlainValidator(_placement)]
#: of an owner's submissions, those with more go first
Priority = Annotated[StrictInt, Field(ge=-_MOST, le=_MOST)]


def names_of(clusters: Clusters | None) -> tuple[str, ...]:
    """Return the names that a user wrote; ("any",) for every cluster."""
    if not clusters:
        return ()
    return (clusters,) if isinstance(clusters, str) else tuple(clusters)
