"""What becomes of jobs that fail, by how they failed: the `on_failure` of a submission.

    "on_failure": {
        "out_of_memory": {"memory": 1.5, "memory_most": "64GB"},
        "timeout": {"time": 2, "time_most": "2d"},
        "node_failure": {"counts": false, "exclude_node": true},
        "exit_codes": {"2": {"retry": false}, "75": {"counts": false}}
    }

A rule says what is different with the next try. Without one a job is tried again as the machine's `retry_count` says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictFloat, StrictStr

from jobferry_common.models.amounts import Duration, Memory, duration, mebibytes, memory, seconds
from jobferry_common.models.base import Model
from jobferry_common.models.values import Positive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobferry_common.models.base import Fault

#: kinds of failure that a scheduler tells by itself; each is an outcome, too
KINDS: Final = ("out_of_memory", "timeout", "node_failure", "preempted")
#: what a rule multiplies: the factor, the most of it, and which of the resources it is
GROWING: Final = (
    ("memory", "memory_most", "memory_per_node"),
    ("time", "time_most", "time_limit"),
)
#: how an amount is brought into one spelling, and how it becomes a number
_READ: Final[Mapping[str, Callable[[str], str]]] = {"memory": memory, "time": duration}
_NUMBER: Final[Mapping[str, Callable[[str], int]]] = {"memory": mebibytes, "time": seconds}
_CODE: Final = re.compile(r"0|[1-9]\d{0,2}", re.ASCII)
_MOST_CODE: Final = 255


def _code(text: str) -> str:
    if _CODE.fullmatch(text) and int(text) <= _MOST_CODE:
        return text
    msg = f"{text!r} is no exit code; expected one from 0 to {_MOST_CODE}, such as '75'"
    raise ValueError(msg)


def _text(code: Any) -> Any:  # noqa: ANN401 - whatever a user wrote
    return str(code) if type(code) is int else code


Factor = Annotated[StrictFloat, Field(gt=1, le=100)]


class Rule(Model):
    """What is done about one kind of failure."""

    retry: StrictBool = Field(default=True, description="false: the job fails at once")
    counts: StrictBool = Field(default=True, description="false: uses up none of retry_count")
    times: Positive | None = Field(
        default=None, description="most tries that follow by this rule; then the job fails"
    )
    memory: Factor | None = Field(
        default=None, description="memory_per_node is multiplied by it, such as 1.5"
    )
    memory_most: Memory | None = Field(default=None, description='such as "64GB"')
    time: Factor | None = Field(
        default=None, description="time_limit is multiplied by it, such as 2"
    )
    time_most: Duration | None = Field(default=None, description='such as "2d"')
    exclude_node: StrictBool = Field(
        default=False, description="true: the job does not go to the node again on which it failed"
    )

    @property
    def grows(self) -> bool:
        """True when the next try asks for more."""
        return self.memory is not None or self.time is not None

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find what contradicts itself, and what would have no end."""
        if data.get("retry") is False:
            for name in cls.model_fields:
                if name != "retry" and data.get(name) not in (None, cls.model_fields[name].default):
                    yield (name,), 'stands beside "retry": false, after which there is no next try'
        for factor, most, _ in GROWING:
            if data.get(most) is not None and data.get(factor) is None:
                yield (most,), f"has no meaning without {factor!r}"
            endless = data.get("counts") is False and not (data.get("times") or data.get(most))
            if data.get(factor) is not None and endless:
                what = f"would grow without end, for its tries do not count; expected {most!r} or 'times'"
                yield (factor,), what


if TYPE_CHECKING:  # users may write numbers; a model holds texts, as JSON does
    ExitCodes = Mapping[str | int, Rule]
else:
    ExitCodes = dict[
        Annotated[StrictStr, AfterValidator(_code), BeforeValidator(_text)],
        Rule,
    ]


class OnFailure(Model):
    """Rules by kind of failure."""

    out_of_memory: Rule | None = Field(default=None, description="a job that had too little memory")
    timeout: Rule | None = Field(default=None, description="a job that reached its time limit")
    node_failure: Rule | None = Field(default=None, description="a job whose node broke down")
    preempted: Rule | None = Field(default=None, description="a job that had to make room")
    exit_codes: ExitCodes = Field(
        default_factory=dict,
        description='rules by exit code of the first task that failed, such as {"75": {"counts": false}}',
    )

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find nodes that nobody could tell."""
        codes = data.get("exit_codes")
        for code, rule in codes.items() if isinstance(codes, dict) else ():
            if field_of(rule, "exclude_node"):
                where = ("exit_codes", str(code), "exclude_node")
                expected = f"expected it in a rule for {', '.join(KINDS)}"
                yield where, f"only the scheduler knows on which node a job failed; {expected}"

    @property
    def rules(self) -> dict[str, Rule]:
        """Every rule, by its kind of failure or its exit code."""
        named = {name: getattr(self, name) for name in KINDS}
        return {name: rule for name, rule in named.items() if rule} | {
            str(code): rule for code, rule in self.exit_codes.items()
        }

    def plain(self) -> dict[str, Any]:
        """Return what was said, in one spelling, without what was not."""
        return self.model_dump(mode="json", exclude_defaults=True)


def field_of(value: Any, name: str) -> Any:  # noqa: ANN401
    """Return a field of a model, or of what one is to be made of; None where there is none."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def unfit(on_failure: Any, resources: Any) -> Iterator[Fault]:  # noqa: ANN401 - as users wrote them
    """Find rules that multiply what the resources do not say, or up to less than that."""
    codes = field_of(on_failure, "exit_codes")
    rules: list[tuple[tuple[str, ...], Any]] = [
        ((name,), field_of(on_failure, name)) for name in KINDS
    ]
    rules += [
        (("exit_codes", str(code)), rule)
        for code, rule in (codes.items() if isinstance(codes, dict) else ())
    ]
    for way, rule in rules:
        for factor, most, name in GROWING:
            if field_of(rule, factor) is not None and (
                what := _unfit(factor, most, name, rule, field_of(resources, name))
            ):
                yield ("on_failure", *way, *what[:1]), what[1]


def _unfit(factor: str, most: str, name: str, rule: Any, given: Any) -> tuple[str, str] | None:  # noqa: ANN401
    if given is None:
        return factor, f"multiplies resources.{name}, which is not given; expected one there"
    try:
        first, last = (
            _NUMBER[factor](_READ[factor](text)) for text in (given, field_of(rule, most))
        )
    except (ValueError, TypeError, AttributeError):
        return None  # none is given, or it is told elsewhere that it is none
    if last > first:
        return None
    return most, f"is no more than resources.{name}, {given!r}; expected more"
