"""What the `#:` comments beside the fields of a model say: schemas repeat it, so that it is written once.

>>> from jobferry_common.models.task import Task
>>> descriptions(Task)["task_name"]
"the user's word for it"

A comment stands behind its field, or in the lines above. Only who makes schemas reads sources.
"""

from __future__ import annotations

import ast
import inspect
from textwrap import dedent
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import BaseModel

_MARK: Final = "#:"


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return what is said of each field; those of a base class count as well."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if owner.__module__.partition(".")[0] == __name__.partition(".")[0]:
            found |= dict(_comments(owner))
    return {name: found[name] for name in model.model_fields if name in found}


def _comments(owner: type) -> Iterator[tuple[str, str]]:
    source = dedent(inspect.getsource(owner))
    lines = source.splitlines()
    body = ast.parse(source).body[0]
    for node in body.body if isinstance(body, ast.ClassDef) else ():
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said = _behind(lines, node) or _above(lines, node.lineno - 2)
            if said:
                yield node.target.id, said


def _behind(lines: Sequence[str], node: ast.AnnAssign) -> str:
    rest = lines[(node.end_lineno or node.lineno) - 1].encode()[node.end_col_offset or 0 :]
    _, mark, said = rest.decode().partition(_MARK)
    return said.strip() if mark else ""


def _above(lines: Sequence[str], number: int) -> str:
    said: list[str] = []
    while lines[number].strip().startswith(_MARK):
        said.insert(0, lines[number].strip().removeprefix(_MARK).strip())
        number -= 1
    return " ".join(said)
