"""Types of fields: text, paths, patterns, values of environment variables.

Numbers and truth values are strict: "4" is no number, 1 is not true. A number that nobody can mean is refused here, and
not by whichever program meets it first: bash, for one, counts on from the smallest number there is.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from jobferry_common.models.faults import shown
from jobferry_common.models.paths import inside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: of whatever is counted: nodes, cores, tasks, tries, seconds
_MOST: Final = 1_000_000_000
#: they end a line, for bash or for whoever cuts a text into lines, or garble it where it is shown; a tab does neither
_UNFIT: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)

Scalar = str | int | float | bool
_NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z", re.ASCII)
#: one value, or a list of values: one export each
EnvValue = Scalar | tuple[Scalar, ...]


def is_node(text: str) -> bool:
    """Tell whether it is the name of one node; a scheduler's short form of several, `n[1-4]`, is not."""
    return bool(_NODE.match(text))


def _sound(text: str) -> str:
    if "\0" in text:
        msg = "holds a NUL character, which no script can"
        raise ValueError(msg)
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = f"{text!r} is no valid UTF-8"
        raise ValueError(msg) from None
    return text


def _line(text: str) -> str:
    if _UNFIT.search(_sound(text)):
        msg = f"{text!r:.60} holds a line break, or another control character; expected one line"
        raise ValueError(msg)
    return text


def _name(text: str) -> str:
    if not _sound(text).isprintable():
        msg = f"{text!r} holds a control character; expected a name that can be printed on one line"
        raise ValueError(msg)
    return text


def _command(text: str) -> str:
    if not text.strip():
        msg = "is empty; expected a shell command"
        raise ValueError(msg)
    return _sound(text)


def _relative(text: str) -> str:
    inside(text)
    return text


def _log(text: str) -> str:
    if inside(text) == "." or text.rpartition("/")[2] in ("", ".", ".."):
        msg = f"{text!r} is a directory; expected the name of a file, such as 'log'"
        raise ValueError(msg)
    return text


def _environment(value: Any) -> EnvValue:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return tuple(_scalar(item) for item in value)
    return _scalar(value)


def _scalar(value: Any) -> Scalar:  # noqa: ANN401
    if isinstance(value, str):
        return _sound(value)
    # neither JSON nor bash knows NaN or infinity, which compare as false and as too large
    if isinstance(value, int | float) and abs(value) <= sys.float_info.max:
        return value
    msg = f"expected text, a finite number or a list of them, got {shown(value)}"
    raise ValueError(msg)


def _variable(name: str) -> str:
    if _VARIABLE.match(name):
        return name
    msg = f"{name!r} is no name of a variable: expected letters, digits and '_', no digit first"
    raise ValueError(msg)


#: text that says something, in a schema
_SOME: Final[dict[str, Any]] = {"type": "string", "minLength": 1}

Text = Annotated[StrictStr, AfterValidator(_sound)]
#: what becomes a line of a script's header, or a part of one
Line = Annotated[StrictStr, AfterValidator(_line)]
#: what a user calls something: one line without control characters
Name = Annotated[StrictStr, AfterValidator(_name)]
Command = Annotated[StrictStr, AfterValidator(_command), WithJsonSchema(_SOME)]
#: below its directory, able to travel; kept as written
RelativePath = Annotated[StrictStr, AfterValidator(_relative), WithJsonSchema(_SOME)]
#: a file that is written
LogPath = Annotated[StrictStr, AfterValidator(_log), WithJsonSchema(_SOME)]
if TYPE_CHECKING:  # users write lists; what a model holds is frozen
    Texts = Sequence[str]
    RelativePaths = Sequence[str]
    Environment = Mapping[str, Scalar | Sequence[Scalar]]
else:
    Texts = tuple[Text, ...]
    RelativePaths = tuple[RelativePath, ...]
    Environment = dict[
        Annotated[StrictStr, AfterValidator(_variable)],
        Annotated[Any, PlainValidator(_environment)],
    ]
Count = Annotated[StrictInt, Field(ge=0, le=_MOST)]
Positive = Annotated[StrictInt, Field(ge=1, le=_MOST)]
Seconds = Annotated[StrictFloat, Field(ge=0, le=_MOST)]
#: less than all of it: nothing would be done at all
Share = Annotated[StrictFloat, Field(ge=0, lt=1)]
