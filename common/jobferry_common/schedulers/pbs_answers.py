"""What `qstat -f` tells of jobs, as JSON or as plain text: one `Told` for each.

    Job Id: 9[3].pbshost                     {"pbs_server": "pbshost", "Jobs": {"9[3].pbshost": {
        job_state = R                             "job_state": "R",
        Variable_List = PBS_O_HOME=/root,         "Variable_List": {"JOBFERRY_TOKEN": "jf.3f2a…"},
        JOBFERRY_TOKEN=jf.3f2a…                    …}}}

qstat writes invalid JSON where a variable of anybody's job holds what it does not escape, or looks like a number and is
none (`0x10`, `nan`). Then its lines are read one by one: it writes each attribute on a line of its own.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: the variable that carries the token
TOKEN: Final = "JOBFERRY_TOKEN"  # noqa: S105 - a name, and no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said of one job, array or element."""

    id: str
    server: str = ""  #: which has it
    state: str = ""  #: its letter
    status: int | None = None  #: Exit_status
    substate: int | None = None
    comment: str = ""
    token: str = ""


def told(text: str) -> Iterator[Told]:
    """Read an answer in either form."""
    if not text.lstrip().startswith("{"):
        return _plain(text)
    try:
        found = json.loads(text, strict=False)
        return _of_objects(found.get("Jobs") or {})
    except (ValueError, AttributeError):
        return _salvaged(text)


def _of_objects(jobs: Mapping[str, Mapping[str, Any]]) -> Iterator[Told]:
    for key, job in jobs.items():
        variables = job.get("Variable_List")
        yield Told(
            id=key,
            server=str(job.get("server", "")),
            state=str(job.get("job_state", "")),
            status=_number(job.get("Exit_status")),
            substate=_number(job.get("substate")),
            comment=str(job.get("comment", "")),
            token=str(variables.get(TOKEN, "")) if isinstance(variables, dict) else "",
        )


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


_JOB_LINE: Final = re.compile(r'^(\s+)"(\d+(?:\[\d*\])?\.[^"\s]+)":\s*\{\s*$', re.M)
_LINE: Final = re.compile(
    rf'^(\s+)"(server|job_state|Exit_status|substate|comment|{TOKEN})":\s*"?(.*?)"?,?$', re.M
)


def _salvaged(text: str) -> Iterator[Told]:
    """Read lines like `"job_state": "R",`; the first of each name is the job's own."""
    _, *parts = _JOB_LINE.split(text)
    for key, body in zip(parts[1::3], parts[2::3], strict=True):
        names: dict[str, str] = {}
        for _, name, value in _LINE.findall(body):
            names.setdefault(name, value)
        yield _of_words(key, names)


_BLOCK: Final = re.compile(r"^Job Id: ?", re.M)
_ATTRIBUTE: Final = re.compile(
    r"^ +(server|job_state|[Ee]xit_status|substate|comment|Variable_List) = (.*(?:\n\t.*)*)", re.M
)
_VARIABLE: Final = re.compile(rf"(?:^|,){TOKEN}=([^,\s]+)")


def _plain(text: str) -> Iterator[Told]:
    for block in _BLOCK.split(text)[1:]:
        key, _, body = block.partition("\n")
        names = {name: value.replace("\n\t", "") for name, value in _ATTRIBUTE.findall(body)}
        if found := _VARIABLE.search(names.get("Variable_List", "")):
            names[TOKEN] = found[1]
        yield _of_words(key.strip(), names)


def _of_words(key: str, names: Mapping[str, str]) -> Told:
    return Told(
        id=key,
        server=names.get("server", ""),
        state=names.get("job_state", ""),
        # Torque writes it small
        status=_number(names.get("Exit_status", names.get("exit_status"))),
        substate=_number(names.get("substate")),
        comment=names.get("comment", ""),
        token=names.get(TOKEN, ""),
    )


_SERVER: Final = re.compile(r"^Server: (\S+)\s*$", re.M)
_FACT: Final = re.compile(r"^ +(\w+) = (.*?)\s*$", re.M)


def server_of(text: str) -> tuple[str, dict[str, str]]:
    """Return the name of the server and what `qstat -B -f` says of it; "" where there is none."""
    found = _SERVER.search(text)
    return (found[1], dict(_FACT.findall(text[found.end() :]))) if found else ("", {})
