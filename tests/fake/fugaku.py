"""A fake PJM: pjsub, pjstat and pjdel on the `Engine`.

    engine.configure(unit="rscunit_ft01")

The forms of its answers are those of Fugaku's user guide and of answers of real ones that others have published; where
neither shows the words, "ours" is said. What a test may set with `Engine.configure`:

    max_bulk=2000      most sub jobs
"""

from __future__ import annotations

import getopt
import os
import pwd
import re
import shlex
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fake.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.fake.engine import Element

COMMANDS: Final = ("pjsub", "pjstat", "pjdel")
_OPTIONS: Final = "L:g:x:N:o:e:jsS"
_LONG: Final = (
    *("rsc-list=", "mpi=", "name=", "bulk", "sparam=", "restart", "norestart", "at="),
    "no-check-directory",
)
_RESOURCES: Final = frozenset({"rscgrp", "rscunit", "node", "node-mem", "elapse", "freq"})
#: "63 bytes" is the user guide's
_NAME: Final = re.compile(r"[A-Za-z][\w.-]{0,62}\Z", re.ASCII)
_ID: Final = re.compile(r"(\d+)(?:\[(\d+)(?:-(\d+))?\])?\Z", re.ASCII)
_LABELS: Final = {
    "jid": "JOB ID",
    "jnam": "JOB NAME",
    "st": "STATE",
    "ec": "EXIT CODE",
    "sn": "SIGNAL NO",
    "pc": "PJM CODE",
    "ermsg": "REASON",
}
_SIGXCPU: Final = 24
_SHELL_SIGNAL: Final = 128


class Refusal(Exception):  # noqa: N818 - what a command says before it ends
    """What is said on stderr behind the command's name, and the number of the message."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(words)
        self.number = number


def main(command: str, home: str, arguments: Sequence[str]) -> int:
    """Run one command."""
    commands: dict[str, Callable[[Engine, Sequence[str]], int]] = {
        "pjsub": pjsub,
        "pjstat": pjstat,
        "pjdel": pjdel,
    }
    try:
        return commands[command](Engine(Path(home)), arguments)
    except getopt.GetoptError as error:  # published: PJM 0001, PJM 0201
        number = {"pjsub": 1, "pjstat": 201}.get(command, 101)
        _say(number, command, f"Unknown option: {error.opt}.")
    except Refusal as refusal:
        _say(refusal.number, command, str(refusal))
    return 1


def _say(number: int, command: str, words: str) -> None:
    print(f"[ERR.] PJM {number:04} {command} {words}", file=sys.stderr)


def pjsub(engine: Engine, arguments: Sequence[str]) -> int:
    """Take a job."""
    given, operands = getopt.getopt(list(arguments), _OPTIONS, _LONG)
    if len(operands) != 1 or not Path(operands[0]).is_file():  # published: PJM 0020
        raise Refusal(20, f"Cannot open the file ({' '.join(operands)}) : 2.")
    script = Path(operands[0]).read_text()
    options, resources = _merged([*_directives(script), *given])
    _check(engine, options, resources)
    bulk = _bulk(engine, options)
    print(
        f"[INFO] PJM 0000 pjsub Job {_submit(engine, script, options, resources, bulk)} submitted."
    )
    return 0


def _directives(script: str) -> Iterator[tuple[str, str]]:
    for line in script.splitlines():
        if line.startswith("#PJM"):
            yield from getopt.getopt(shlex.split(line.removeprefix("#PJM")), _OPTIONS, _LONG)[0]
        elif line.strip() and not line.startswith("#"):
            return


def _merged(found: list[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return options and resources: what comes last counts, and the command comes behind the directives."""
    options: dict[str, str] = {}
    resources: dict[str, str] = {}
    for name, value in found:
        if name in {"-L", "--rsc-list"}:
            resources |= {
                key: amount for key, _, amount in (part.partition("=") for part in value.split(","))
            }
        else:
            options["-N" if name == "--name" else name] = value
    return options, resources


def _check(engine: Engine, options: dict[str, str], resources: dict[str, str]) -> None:
    if "-N" in options and not _NAME.match(options["-N"]):  # ours
        raise Refusal(10, f"Invalid job name: {options['-N']}.")
    if unknown := set(resources) - _RESOURCES:  # ours
        raise Refusal(14, f"Unknown resource: {min(unknown)}.")
    group = resources.get("rscgrp", "small")
    if group not in engine.config.get("groups", ["small", "large"]):  # ours
        raise Refusal(51, f"rscgrp={group} does not exist.")
    if int(resources.get("node", "1")) > engine.config.get("nodes", 24):  # published
        words = f"node={resources['node']} is greater than the upper limit (24)."
        raise Refusal(57, words)
    if not re.fullmatch(r"(?:max-proc-per-node|proc)=\d+", options.get("--mpi", "proc=1")):  # ours
        raise Refusal(15, f"Invalid parameter of --mpi: {options['--mpi']}.")


def _bulk(engine: Engine, options: dict[str, str]) -> tuple[int, ...]:
    if "--bulk" not in options:
        return ()
    found = re.fullmatch(r"(\d{1,6})-(\d{1,6})", options.get("--sparam", ""))
    if not found or int(found[2]) < int(found[1]):  # ours
        raise Refusal(16, "Invalid parameter of --sparam.")
    numbers = tuple(range(int(found[1]), int(found[2]) + 1))
    if len(numbers) > engine.config.get("max_bulk", 2000):  # ours
        raise Refusal(59, "The number of sub jobs is greater than the upper limit (2000).")
    return numbers


def _submit(
    engine: Engine,
    script: str,
    options: dict[str, str],
    resources: dict[str, str],
    bulk: tuple[int, ...],
) -> int:
    here = str(Path.cwd())
    name = options.get("-N", "STDIN")
    out = options.get("-o", f"{name}.%j.out").replace("%j", "%i").replace("%b", "%a")
    env = {"PJM_JOBID": "%i", "PJM_SUBJOBID": "%i[%a]" if bulk else "%i", "PJM_O_WORKDIR": here}
    if bulk:
        env["PJM_BULKNUM"] = "%a"
    if variable := options.get("-x"):
        key, _, value = variable.partition("=")
        env[key] = value
    error = out if "-j" in options else options.get("-e", f"{name}.%i.err")
    job = engine.submit(
        script=script,
        out=os.path.join(here, out),  # noqa: PTH118 - it may hold what a Path would change
        err=os.path.join(here, error),  # noqa: PTH118
        env=env,
        name=name,
        user=pwd.getpwuid(os.getuid()).pw_name,
        queue=resources.get("rscgrp", "small"),
        directory=here,
        indices=bulk,
        limit=_seconds(resources["elapse"]) if "elapse" in resources else None,
        held="--at" in options,
    )
    return job.number


def _seconds(text: str) -> float:
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return total


def pjstat(engine: Engine, arguments: Sequence[str]) -> int:
    """Tell of the limits, of live jobs or of ended ones; only in blocks."""
    # -H takes its range as the next word
    words = list(arguments)
    history = "-H" in words
    if history:
        place = words.index("-H")
        span = words[place + 1 : place + 2]
        if span and re.fullmatch(r"day=\d+", span[0]):
            del words[place + 1]
    given, ids = getopt.getopt(words, "HEsSv", ["limit", "choose=", "rsc", "data"])
    options = dict(given)
    if "--limit" in options:
        _limits(engine)
        return 0
    if "-s" not in options:
        raise Refusal(299, "This fake tells of jobs with -s only.")
    items = options.get("--choose", ",".join(_LABELS)).split(",")
    if unknown := set(items) - set(_LABELS):  # ours
        raise Refusal(203, f"Invalid item: {min(unknown)}.")
    wanted = {int(text.partition("[")[0]) for text in ids}
    live = engine.elements()
    _summary(live)
    for number, group in groupby(live, key=lambda one: one.job.number):
        if not wanted or number in wanted:
            _show(list(group), items, history=history, expand="-E" in options)
    return 0


def _limits(engine: Engine) -> None:
    unit, user = engine.config.get("unit", "rscunit_ft01"), pwd.getpwuid(os.getuid()).pw_name
    print(f" System Resource Information:\n RSCUNIT: {unit}\n USER: {user}")
    print("  LIMIT-NAME                           LIMIT         ALLOC")
    limits = {"ru-accept": "unlimited", "ru-accept-bulksubjob": engine.config.get("max_bulk", 2000)}
    for name, limit in limits.items():
        print(f"  {name:<38} {limit!s:>10} {0:>13}")


def _summary(live: list[Element]) -> None:
    print("\n  ACCEPT QUEUED  STGIN  READY RUNING RUNOUT STGOUT   HOLD  ERROR   TOTAL")
    for mark in " s":
        print(
            f"{mark}      0      0      0      0      0      0      0      0      0 {len(live):7}"
        )


def _show(members: list[Element], items: list[str], *, history: bool, expand: bool) -> None:
    told = [one for one in members if (one.phase == "done") is history]
    if not told:
        return
    job = members[0].job
    if not job.indices:
        _block(str(job.number), told[0], items)
        return
    _block(str(job.number), told[0], items)
    if expand:
        for one in told:
            _block(f"{job.number}[{one.index}]", one, items)


def _block(key: str, one: Element, items: list[str]) -> None:
    state, code, signal, manager, reason = _end(one)
    values = {"jid": key, "jnam": one.job.name, "st": state, "ec": code, "sn": signal}
    values |= {"pc": manager, "ermsg": reason}
    print()
    for item in items:
        print(f" {_LABELS[item]:<27} : {values[item]}")


def _end(one: Element) -> tuple[str, str, str, str, str]:
    """Return the state, the exit code, the signal, the job manager's code, and the reason."""
    if one.phase != "done":
        live = {"held": "QUE", "queued": "QUE", "running": "RUN"}
        return live[one.phase], "-", "-", "-", "-"
    if one.how == "cancelled":
        return "CCL", "-", "-", "1", "-"
    if one.how == "timeout":  # published: EC 0, PC 11, SN 24
        return "EXT", "0", str(_SIGXCPU), "11", "ELAPSE LIMIT EXCEEDED"
    code = one.code or 0
    if code > _SHELL_SIGNAL:
        return "EXT", "0", str(code - _SHELL_SIGNAL), "0", "-"
    return "EXT", str(code), "-", "0", "-"


def pjdel(engine: Engine, arguments: Sequence[str]) -> int:
    """End jobs and sub jobs; each one that cannot be ended is told."""
    ids = getopt.getopt(list(arguments), "")[1]
    failed = 0
    for text in ids:
        found = _ID.match(text)
        if not found:  # published, of pjstat
            _say(111, "pjdel", f"Invalid jobid: {text}.")
            failed = 1
            continue
        number, first, last = found.groups()
        indices = range(int(first), int(last or first) + 1) if first else ()
        if int(number) in engine.jobs() and engine.cancel(int(number), *indices):
            print(f"[INFO] PJM 0100 pjdel Accepted job {text}.")
        else:  # ours
            _say(112, "pjdel", f"Job {text} does not exist.")
            failed = 1
    return failed
