"""Reading of files: JSON, YAML and TOML, and `$ref` where it is allowed.

>>> parse_json('{"a": 1}')
{'a': 1}
"""

from __future__ import annotations

import difflib
import json
import os
import stat
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.doubled import object_of
from jobferry_common.models.referring import Resolver, real_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Parse = Callable[[str], Any]

#: ten times what 100,000 tasks need; a few lines of YAML can stand for billions
_MAX_VALUES: Final = 20_000_000


def parse_json(text: str) -> Any:  # noqa: ANN401
    """Read JSON; raises `ValueError` with the place of a fault."""
    try:
        return json.loads(text, object_pairs_hook=object_of)
    except json.JSONDecodeError as error:
        msg = f"is no JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        raise ValueError(msg) from None
    except ValueError as error:
        msg = _in_our_words("JSON", error)
        raise ValueError(msg) from None


def parse_yaml(text: str) -> Any:  # noqa: ANN401
    """Read YAML; raises `ValueError` with the place of a fault."""
    import yaml

    from jobferry_common.models.yaml_loader import Loader

    try:
        data = yaml.load(text, Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        msg = f"is no YAML: {place}{getattr(error, 'problem', None) or error}"
        raise ValueError(msg) from None
    except ValueError as error:
        msg = _in_our_words("YAML", error)
        raise ValueError(msg) from None
    if _written_out(data, {}, set()) > _MAX_VALUES:
        msg = f"stands for more than {_MAX_VALUES:,} values once its aliases are written out"
        raise ValueError(msg)
    return data


def _in_our_words(language: str, error: ValueError) -> str:
    """Return what is wrong with a text; Python's own advice about long numbers is for programmers."""
    if "int_max_str_digits" in str(error):
        most = sys.get_int_max_str_digits()
        return f"holds a whole number of more than {most:,} digits; expected a shorter one"
    return f"is no {language}: {error}"


def _written_out(data: Any, known: dict[int, int], above: set[int]) -> int:  # noqa: ANN401
    """Return how many values there are without aliases; raises `ValueError` if one holds itself."""
    if not isinstance(data, dict | list):
        return 1
    place = id(data)
    if place in above:
        msg = "holds an alias that leads in a circle"
        raise ValueError(msg)
    if place not in known:
        above.add(place)
        inner = data.values() if isinstance(data, dict) else data
        known[place] = 1 + sum(_written_out(item, known, above) for item in inner)
        above.discard(place)
    return known[place]


def parse_toml(text: str) -> Any:  # noqa: ANN401
    """Read TOML; raises `ValueError` with the place of a fault."""
    try:
        return tomllib.loads(text)
    except ValueError as error:
        msg = _in_our_words("TOML", error)
        raise ValueError(msg) from None


_PARSERS: Final[Mapping[str, Parse]] = {
    ".json": parse_json,
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".toml": parse_toml,
}


def parser_of(path: str | Path) -> Parse:
    """Return the parser that the file's name asks for; JSON if it asks for none."""
    return _PARSERS.get(Path(path).suffix.lower(), parse_json)


def read_file(path: str | Path, *, allow_ref: bool = False) -> tuple[str, Any]:
    """Return what messages call a file, and its plain content; its suffix names its format.

    Raises:
        BadInput: it cannot be read.
    """
    return read(path, parser_of(path), allow_ref=allow_ref)


def read(path: str | Path, parse: Parse, *, allow_ref: bool) -> tuple[str, Any]:
    """Return what messages call a file, and its plain content.

    Raises:
        BadInput: it cannot be read, or refers to another file though that is not allowed.
    """
    file = _expanded(path)
    data = parsed(file, parse)
    found = resolved(data, file.name, allow_ref=allow_ref, directory=file.parent, file=file)
    return file.name, found


def resolved(
    data: Any,  # noqa: ANN401
    where: str,
    *,
    allow_ref: bool,
    directory: Path | None = None,
    file: Path | None = None,
    within: Path | None = None,
) -> Any:  # noqa: ANN401
    """Return plain values with every `$ref` replaced by the file it names; keys beside it win.

    A name is looked for beside the file that holds it, then in the working directory.

    Args:
        data: what a file held.
        where: what messages call it.
        allow_ref: False refuses references.
        directory: where the file is; None: the working directory.
        file: the file itself, to which nothing may lead back.
        within: the directory that no reference may leave; None: it may lead anywhere.

    Raises:
        BadInput: a reference is not allowed, leads in a circle, or cannot be read.
    """
    resolver = Resolver(where, _read_referred, allow_ref=allow_ref, within=within)
    try:
        found = resolver.value(data, directory or Path(), (real_path(file),) if file else ())
    except RecursionError:
        raise BadInput([Problem(where, "is nested too deeply")]) from None
    if resolver.problems:
        raise BadInput(resolver.problems)
    return found


def _read_referred(file: Path) -> Any:  # noqa: ANN401
    return parsed(file, parser_of(file))


def _expanded(path: str | Path) -> Path:
    """Return a path without its ~; one of a user who does not exist stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises


def _text(file: Path) -> str:
    with file.open(encoding="utf-8-sig") as source:
        if stat.S_ISCHR(os.fstat(source.fileno()).st_mode) and not source.isatty():
            msg = "is a device; expected a file"  # /dev/zero has no end
            raise ValueError(msg)
        return source.read()


def parsed(file: Path, parse: Parse) -> Any:  # noqa: ANN401
    """Return the plain content of a file, references and all.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        return parse(_text(file))
    except FileNotFoundError:
        what = f"no such file{_near(file)}"
    except UnicodeDecodeError:
        what = "is no UTF-8 text"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    except ValueError as error:
        what = str(error)
    except RecursionError:
        what = "is nested too deeply"
    raise BadInput([Problem(str(file), what)])


def _near(file: Path) -> str:
    try:
        names = [entry.name for entry in file.parent.iterdir()]
    except OSError:
        return f"; {str(file.parent)!r} is no directory that can be read"
    near = difflib.get_close_matches(file.name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
