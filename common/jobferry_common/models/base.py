"""The base of all models: frozen, strict, tolerant of comments, and loud about every fault at once.

>>> class Box(Model):
...     size: int
>>> Box(syze=1)
Traceback (most recent call last):
jobferry_common.errors.BadInput: box: syze: is no known key; did you mean 'size'?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models import reading
from jobferry_common.models.calls import also, by_name, plain
from jobferry_common.models.doubled import doubled
from jobferry_common.models.faults import fault, place_of, problems_of, together
from jobferry_common.models.lacking import lacking
from jobferry_common.models.older import Older, of_today, tell_spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    Parse = Callable[[str], Any]
    #: a path inside the input, and what is wrong there
    Fault = tuple[tuple[str | int, ...], str]
    from pydantic._internal._model_construction import ModelMetaclass as Calls
else:

    class Calls(type(BaseModel)):
        """Lets a call of a model raise `BadInput`, and take its first fields by position."""

        def __call__(cls, *args, **kwargs):  # noqa: ANN002, ANN003, ANN204
            """Return the model of these values."""
            named = by_name(cls.__name__, tuple(cls.model_fields), args, kwargs)
            given = {**cls.absent, **plain(cls.called(named), cls.model_fields)}
            try:
                return super().__call__(**given)
            except ValidationError as error:
                raise BadInput(problems_of(error, cls, given, cls.label())) from None

        def __getattr__(cls, name):  # noqa: ANN001, ANN204
            """Say what to use in place of a name of DPDispatcher's."""
            try:
                return super().__getattr__(name)
            except AttributeError:
                raise AttributeError(lacking(cls.__name__, name)) from None


#: with this an editor finds the schema of a file
_SCHEMA: Final = "$schema"


class Model(BaseModel, metaclass=Calls):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    #: other names of fields
    aliases: ClassVar[Mapping[str, str]] = {}
    #: what older files say besides
    older: ClassVar[Older] = Older()
    #: values that a file must give, and a call need not
    absent: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def label(cls) -> str:
        """Return how messages call an input that is no file."""
        return cls.__name__.lower()

    @classmethod
    def part(cls, name: str, data: Any) -> type[BaseModel] | None:  # noqa: ANN401
        """Return the model of a field that depends on the rest of `data`."""
        del name, data
        return None

    @classmethod
    def rewritten(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the input in today's form; models with an older form override this."""
        return data

    @classmethod
    def called(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call, by the names of fields."""
        return given

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterable[Fault]:
        """Return what is wrong between the fields of an input."""
        del data
        return ()

    @classmethod
    def _twice(cls, data: Mapping[str, Any]) -> Iterable[Fault]:
        for key, name in cls.aliases.items():
            if key in data and name in data:
                yield (
                    (key,),
                    f"stands beside {name!r}, which means the same; expected one of the two",
                )

    @model_validator(mode="wrap")
    @classmethod
    def _tidied(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401
        if not isinstance(data, dict):
            return handler(data)
        named = {cls.aliases.get(key, key): data[key] for key in data if _counts(key)}
        tell_spent(named, cls.older, cls.label())
        tidy = cls.rewritten(of_today(named, cls.older)[0])
        faults = [fault(what, where) for where, what in (*cls._twice(data), *cls.faults(tidy))]
        if not faults:
            return handler(tidy)
        raise together(cls.__name__, faults, lambda: handler(tidy))

    @classmethod
    @also("machine_dict", "resources_dict", "task_dict")
    def load_from_dict(
        cls, data: Mapping[str, Any], *, where: str | None = None, allow_ref: bool = False
    ) -> Self:
        """Return the model of an object of plain values.

        Args:
            data: as JSON has it.
            where: what messages call it.
            allow_ref: resolve `{"$ref": "other.json"}`, relative to the working directory.

        Raises:
            BadInput: with every fault.
        """
        label = where or cls.label()
        return cls.built(reading.resolved(data, label, allow_ref=allow_ref), label)

    @classmethod
    def built(cls, data: Any, label: str) -> Self:  # noqa: ANN401
        """Return the model of plain values; raises `BadInput` with every fault."""
        problems = [
            Problem(place_of(label, way), "is given more than once; expected it once")
            for way in doubled(data)
        ]
        try:
            model = cls.model_validate(data)
        except ValidationError as error:
            problems += problems_of(error, cls, data, label)
        if problems:
            raise BadInput(problems)
        return model

    @classmethod
    @also("json_path", "json_file")
    def load_from_json(cls, path: str | Path, *, allow_ref: bool = False) -> Self:
        """Return the model of a JSON file; raises `BadInput` with every fault."""
        return cls._load(path, reading.parse_json, allow_ref=allow_ref)

    @classmethod
    @also("yaml_path", "yaml_file")
    def load_from_yaml(cls, path: str | Path, *, allow_ref: bool = False) -> Self:
        """Return the model of a YAML file; raises `BadInput` with every fault."""
        return cls._load(path, reading.parse_yaml, allow_ref=allow_ref)

    @classmethod
    def load_from_toml(cls, path: str | Path, *, allow_ref: bool = False) -> Self:
        """Return the model of a TOML file; raises `BadInput` with every fault."""
        return cls._load(path, reading.parse_toml, allow_ref=allow_ref)

    @classmethod
    def load_from_file(cls, path: str | Path, *, allow_ref: bool = False) -> Self:
        """Return the model of a file whose name ends in .json, .yaml, .yml or .toml."""
        return cls._load(path, reading.parser_of(path), allow_ref=allow_ref)

    @classmethod
    def load_from_json_file(cls, json_path: str | Path) -> Self:
        """Do what `load_from_json` does, under its older name."""
        return cls.load_from_json(json_path)

    @classmethod
    @also("machine_dict", "resources_dict", "task_dict")
    def deserialize(cls, data: Mapping[str, Any]) -> Self:
        """Take what `serialize` gave; raises `BadInput` with every fault."""
        return cls.load_from_dict(data)

    @classmethod
    def arginfo(cls, **_: Any) -> Any:  # noqa: ANN401 - a dargs.Argument
        """Return dargs' description of it, for programs that check their input with dargs."""
        from dargs import Argument

        def fits(data: dict[str, Any]) -> bool:
            cls.load_from_dict(data)
            return True

        return Argument(cls.label(), dict, extra_check=fits)

    if not TYPE_CHECKING:  # else every misspelt name would be an attribute

        def __getattr__(self, name):  # noqa: ANN001, ANN204
            """Say what to use in place of a name of DPDispatcher's."""
            try:
                return super().__getattr__(name)
            except AttributeError:
                raise AttributeError(lacking(type(self).__name__, name)) from None

    def serialize(self) -> dict[str, Any]:
        """Return plain values, as JSON has them; secrets are left out."""
        return self.model_dump(mode="json")

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - a plain value
        """Return one of the values that `serialize` gives."""
        return self.serialize()[key]

    @classmethod
    def _load(cls, path: str | Path, parse: Parse, *, allow_ref: bool) -> Self:
        label, data = reading.read(path, parse, allow_ref=allow_ref)
        return cls.built(data, label)


def _counts(key: Any) -> bool:  # noqa: ANN401
    return not (isinstance(key, str) and (key.startswith("_") or key == _SCHEMA))
