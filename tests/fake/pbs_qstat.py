"""The qstat of the fake PBS and of the fake Torque: `-f` in full, as text or JSON, and `-B -f`."""

from __future__ import annotations

import getopt
import json
import sys
import time
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fake.engine import Element, Engine, Job

_LIVE: Final = {"held": ("H", 20), "queued": ("Q", 10), "running": ("R", 42)}
_FOLD: Final = 80
Attributes = dict[str, Any]


def qstat(engine: Engine, arguments: Sequence[str]) -> int:
    """Tell of the server, or of jobs in full; other forms are nobody's here."""
    torque = engine.config.get("flavour") == "Torque"
    known = "fBtu:1aQqnirR" if torque else "fF:xtBu:wan1sHTJpQqEiG"
    if not engine.config.get("json", True):
        known = known.replace("F:", "")
    options, ids = getopt.getopt(list(arguments), known)
    given = dict(options)
    if "-f" not in given:
        print("qstat: this fake tells all or nothing: -f", file=sys.stderr)
        return 2
    if "-B" in given:
        _server(engine)
        return 0
    history = "-x" in given
    if history and not engine.config.get("history", True):
        # qstat.c: with PBSE_JOBHISTNOTSET the exit code is 0
        print("qstat: job_history_enable is set to false", file=sys.stderr)
        return 0
    told = dict(_told(engine, history=history, elements="-t" in given))
    code = 0
    if ids:
        told, code = _asked(engine, told, ids, history=history)
    _show(engine, told, as_json=given.get("-F") == "json")
    return code


def _server(engine: Engine) -> None:
    config = engine.config
    facts = {"server_state": "Active", "scheduling": "True", "default_queue": "workq"}
    if config.get("flavour") == "Torque":
        facts |= {"keep_completed": "300", "pbs_version": "6.1.2"}
    else:
        facts |= {"max_array_size": config.get("max_array", 10_000)}
        facts |= {"job_history_enable": "True"} if config.get("history", True) else {}
        facts |= {"pbs_version": "23.06.06"}
    lines = "".join(f"    {name} = {value}\n" for name, value in facts.items())
    print(f"Server: {config.get('server', 'pbshost')}\n{lines}")


def _asked(
    engine: Engine, told: dict[str, Attributes], ids: Sequence[str], *, history: bool
) -> tuple[dict[str, Attributes], int]:
    """Return what is told of the ids; what is not known is said on stderr (recorded)."""
    code = 0
    found: dict[str, Attributes] = {}
    jobs = engine.jobs()
    for text in ids:
        number = text.partition(".")[0].partition("[")[0]
        mine = {key: told[key] for key in told if key.replace("[", ".").split(".")[0] == number}
        found |= mine
        if mine:
            continue
        if int(number) in jobs and not history and engine.config.get("history", True):
            words = f"{text} Job has finished, use -x or -H to obtain historical job information"
            code = 35
        else:
            words, code = f"Unknown Job Id {text}", 153
        print(f"qstat: {words}", file=sys.stderr)
    return found, code


def _told(engine: Engine, *, history: bool, elements: bool) -> Iterator[tuple[str, Attributes]]:
    server = str(engine.config.get("server", "pbshost"))
    torque = engine.config.get("flavour") == "Torque"
    for _, group in groupby(engine.elements(), key=lambda one: one.job.number):
        members = list(group)
        job, over = members[0].job, all(one.phase == "done" for one in members)
        if over and not history and not torque:
            continue
        if not job.indices:
            yield f"{job.number}.{server}", _attributes(members[0], server, torque=torque)
            continue
        yield f"{job.number}[].{server}", _of_array(job, members, server, torque=torque)
        if elements:
            for one in members:
                key = f"{job.number}[{one.index}].{server}"
                yield key, _attributes(one, server, torque=torque, expired=not over)


def _of_array(job: Job, members: list[Element], server: str, *, torque: bool) -> Attributes:
    if all(one.phase == "done" for one in members):
        state = "C" if torque else "F"
    elif any(one.phase in {"running", "done"} for one in members):
        state = "R" if torque else "B"
    else:
        state = "H" if members[0].phase == "held" else "Q"
    span = f"{job.indices[0]}-{job.indices[-1]}"
    return _common(job, state, server) | {"array": "True", "array_indices_submitted": span}


def _attributes(one: Element, server: str, *, torque: bool, expired: bool = False) -> Attributes:
    if one.phase != "done":
        state, substate = _LIVE[one.phase]
        return _common(one.job, state, server) | {"substate": substate}
    if torque:
        return _common(one.job, "C", server) | {"exit_status": _status(one, timeout=-11)}
    found = _common(one.job, "X" if expired and one.job.indices else "F", server)
    found["substate"] = {"cancelled": 91}.get(one.how, 92 if one.code == 0 else 93)
    if one.how == "timeout":
        found["comment"] = "Job run and exceeded resource walltime"
    if one.started is not None:
        found["Exit_status"] = 0 if one.how == "cancelled" else _status(one, timeout=-29)
    return found


def _status(one: Element, *, timeout: int) -> int:
    """Return a job's Exit_status: 256 + signal, or a number of the node's daemon below 0."""
    if one.how == "timeout":
        return timeout
    if one.how == "cancelled":
        return 271
    code = one.code or 0
    return code + 128 if code > 128 else code


def _common(job: Job, state: str, server: str) -> Attributes:
    return {
        "Job_Name": job.name,
        "Job_Owner": f"{job.user}@{server}",
        "job_state": state,
        "queue": job.queue,
        "server": server,
        "Output_Path": f"{server}:{job.more['out']}",
        "Resource_List": job.more["resources"],
        "Variable_List": job.more["variables"],
    }


def _show(engine: Engine, told: dict[str, Attributes], *, as_json: bool) -> None:
    if as_json:
        server = engine.config.get("server", "pbshost")
        whole = {"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": server}
        print(json.dumps(whole | ({"Jobs": told} if told else {}), indent="\t"))
        return
    for key, attributes in told.items():
        print(f"Job Id: {key}")
        for name, value in attributes.items():
            if name == "Variable_List":
                pairs = [f"{variable}={text}" for variable, text in value.items()]
                print(_folded(f"    {name} = {','.join(pairs)}"))
            elif isinstance(value, dict):
                for part, text in value.items():
                    print(_folded(f"    {name}.{part} = {text}"))
            else:
                print(_folded(f"    {name} = {value}"))
        print()


def _folded(line: str) -> str:
    """Fold as qstat's prt_attr does: on with a tab, at any character where there is no comma."""
    parts = [line[:_FOLD]]
    parts += [line[at : at + _FOLD - 8] for at in range(_FOLD, len(line), _FOLD - 8)]
    return "\n\t".join(parts)
