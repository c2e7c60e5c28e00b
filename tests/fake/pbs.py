"""A fake PBS: qsub, qstat, qdel, qhold and qrls on the `Engine`; and a fake Torque, by its `flavour`.

    engine.configure(flavour="PBS", server="pbshost")

Each refuses what the real one refuses. Answers are those of OpenPBS 23.06 where "recorded" is said, else of its
sources (named by file) or of the manual pages of Torque 6. What a test may set with `Engine.configure`:

    down=True            no server is reached
    full=True            the limit of queued jobs is reached
    lost=True            the next jobs are taken, and the connection breaks before the answer
    json=False           qstat does not know -F
    history=False        ended jobs are forgotten at once
    max_array=100        longest array
"""

from __future__ import annotations

import getopt
import os
import pwd
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fake.engine import Engine
from tests.fake.pbs_qstat import qstat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COMMANDS: Final = ("qsub", "qstat", "qdel", "qhold", "qrls")
#: getopt strings of qsub.c
_OPTIONS: Final = {
    "PBS": "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:Xz",
    "Torque": "a:A:b:c:C:d:D:e:EfF:hIj:k:K:l:L:m:M:nN:o:p:P:q:r:S:t:T:u:v:Vw:W:xXz",
}
#: longest name, and its characters: ck_job_name.c; "Job name is too long" is recorded
_NAMES: Final = {"PBS": 230, "Torque": 15}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*\Z", re.ASCII)
_CHUNK: Final = frozenset(
    {"ncpus", "mpiprocs", "ompthreads", "mem", "ngpus", "host", "vnode", "vmem"}
)
_RESOURCES: Final = {
    "PBS": frozenset({"select", "place", "walltime", "cput", "mem", "ncpus", "nodes", "vmem"}),
    "Torque": frozenset({"nodes", "walltime", "cput", "mem", "ncpus", "vmem", "pmem"}),
}
#: error numbers of pbs_error.h; an exit code is one of them modulo 256
_UNKNOWN_QUEUE, _UNKNOWN_RESOURCE, _MAX_QUEUED, _PROTOCOL = 15018, 15035, 15046, 15031
_MAX_ARRAY, _UNKNOWN_JOB, _HISTORY_JOB = 15107, 15001, 15139
_ID: Final = re.compile(
    r"(?P<job>\d+)(?:\[(?P<of>\d*)(?:-(?P<to>\d+)(?::(?P<by>\d+))?)?\])?(?:\.(?P<server>\S+))?\Z"
)


class Refusal(Exception):  # noqa: N818 - what a command says before it ends
    """What is said on stderr, and the exit code."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code % 256


def main(command: str, home: str, arguments: Sequence[str]) -> int:
    """Run one command."""
    engine = Engine(Path(home))
    commands: dict[str, Callable[[Engine, Sequence[str]], int]] = {
        "qsub": qsub,
        "qstat": qstat,
        "qdel": qdel,
        "qhold": qhold,
        "qrls": qrls,
    }
    try:
        if engine.config.get("down"):  # cnt2server.c: the exit code is errno, ECONNREFUSED
            words = f"cannot connect to server {server_of(engine)} (errno=111)"
            raise Refusal(words, 111)
        return commands[command](engine, arguments)
    except getopt.GetoptError as error:
        raise SystemExit(_usage(command, error)) from error
    except Refusal as refusal:
        print(f"{command}: {refusal}", file=sys.stderr)
        return refusal.code


def _usage(command: str, error: getopt.GetoptError) -> int:
    print(f"{command}: invalid option -- '{error.opt}'\nusage: {command} [-…]", file=sys.stderr)
    return 2


def server_of(engine: Engine) -> str:
    """Return the name of the server."""
    return str(engine.config.get("server", "pbshost"))


def qsub(engine: Engine, arguments: Sequence[str]) -> int:
    """Take a job."""
    flavour = str(engine.config.get("flavour", "PBS"))
    given, operands = getopt.getopt(list(arguments), _OPTIONS[flavour])
    if len(operands) != 1:
        msg = "script from standard input: not in this fake"
        raise Refusal(msg, 2)
    try:
        script = Path(operands[0]).read_text()
    except OSError as error:  # qsub.c: perror
        msg = f"script file:: {error.strerror}"
        raise Refusal(msg, 1) from error
    options, resources = _merged(flavour, given, script)
    _check(flavour, options, resources)
    _check_server(engine, flavour, options)
    indices = _indices(engine, options)
    number = _submit(engine, flavour, script, options, resources, indices)
    if engine.config.get("lost"):
        msg = "End of File"
        raise Refusal(msg, _PROTOCOL)
    print(f"{number}{'[]' if indices else ''}.{server_of(engine)}")
    return 0


def _check_server(engine: Engine, flavour: str, options: dict[str, str]) -> None:
    if engine.config.get("full"):  # errors table: PBSE_MAXQUED
        msg = "Maximum number of jobs already in queue"
        raise Refusal(msg, _MAX_QUEUED)
    queue = options.get("-q", "workq")
    if queue not in engine.config.get("queues", ["workq", "gpu"]):  # recorded
        msg = "submit error (Unknown queue MSG=cannot locate queue)"
        raise Refusal("Unknown queue" if flavour == "PBS" else msg, _UNKNOWN_QUEUE)


def _merged(
    flavour: str, given: list[tuple[str, str]], script: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return options and resources: those of the command outweigh those of the directives."""
    options: dict[str, str] = {}
    resources: dict[str, str] = {}
    for found in (list(_directives(flavour, script)), given):
        for name, value in found:
            if name == "-l":
                for part in _split(value):
                    key, _, amount = part.partition("=")
                    resources[key] = amount
            else:
                options[name] = value
    return options, resources


def _split(value: str) -> list[str]:
    """Split at commas, but for those within a select."""
    return [value] if value.startswith("select=") else value.split(",")


def _directives(flavour: str, script: str) -> Iterator[tuple[str, str]]:
    """Return the options in lines of the script before its first command."""
    for line in script.splitlines():
        if line.startswith("#PBS"):
            yield from getopt.getopt(line.removeprefix("#PBS").split(), _OPTIONS[flavour])[0]
        elif line.strip() and not line.startswith("#"):
            return


def _check(flavour: str, options: dict[str, str], resources: dict[str, str]) -> None:
    name = options.get("-N", "STDIN")
    if len(name) > _NAMES[flavour]:
        raise Refusal("Job name is too long " if flavour == "PBS" else "illegal -N value", 2)
    allowed = {
        "-N": _NAME,
        "-j": re.compile(r"oe|eo|n\Z"),
        "-r": re.compile(r"[yn]\Z"),
        # prepare_path.c: isprint() of each byte, and no colon but behind a host
        "-o": re.compile(r"(?:[\w.-]+:)?[ -9;-~]+\Z", re.ASCII),
        "-S": re.compile(r"/\S+\Z"),
        "-v": re.compile(r"\w+(?:=[^\n]*)?\Z", re.ASCII),
    }
    for option, pattern in allowed.items():
        if option in options and not pattern.match(options[option]):
            msg = f"illegal {option} value"
            raise Refusal(msg, 2)
    _check_resources(flavour, resources)


def _check_resources(flavour: str, resources: dict[str, str]) -> None:
    for key in resources:
        if key not in _RESOURCES[flavour]:  # recorded
            msg = f"Unknown resource Resource_List.{key}"
            raise Refusal(msg, _UNKNOWN_RESOURCE)
    for chunk in resources.get("select", "").split("+"):
        for part in chunk.split(":")[1:]:
            if part.partition("=")[0] not in _CHUNK:  # errors table: PBSE_INVALSELECTRESC
                msg = f'Resource invalid in "select" specification: {part}'
                raise Refusal(msg, 15108)


def _indices(engine: Engine, options: dict[str, str]) -> tuple[int, ...]:
    if "-t" in options:
        first, _, last = options["-t"].partition("-")
        return tuple(range(int(first), int(last or first) + 1))
    if "-J" not in options:
        return ()
    found = re.match(r"(\d+)-(\d+)(?::(\d+))?\Z", options["-J"])
    if not found or int(found[2]) <= int(found[1]):  # chk_Jrange.c: at least two elements
        msg = "illegal -J value"
        raise Refusal(msg, 2)
    indices = tuple(range(int(found[1]), int(found[2]) + 1, int(found[3] or 1)))
    if len(indices) > engine.config.get("max_array", 10_000):  # errors table
        msg = "Array job exceeds server or queue size limit"
        raise Refusal(msg, _MAX_ARRAY)
    return indices


def _submit(
    engine: Engine,
    flavour: str,
    script: str,
    options: dict[str, str],
    resources: dict[str, str],
    indices: tuple[int, ...],
) -> int:
    server, here = server_of(engine), str(Path.cwd())
    variables = {"PBS_O_HOME": str(Path.home()), "PBS_O_WORKDIR": here, "PBS_O_QUEUE": "workq"}
    for one in filter(None, options.get("-v", "").split(",")):
        name, _, value = one.partition("=")
        variables[name] = value
    env = {**variables, "PBS_JOBID": f"%i.{server}", "PBS_ENVIRONMENT": "PBS_BATCH"}
    out = os.path.join(here, options.get("-o", f"{options.get('-N', 'STDIN')}.o%i"))  # noqa: PTH118
    if indices:
        env |= {"PBS_JOBID": f"%i[%a].{server}"}
        env |= {"PBS_ARRAY_INDEX" if flavour == "PBS" else "PBS_ARRAYID": "%a"}
        # Torque's job_clone puts the index behind the name
        out = out.replace("^array_index^", "%a") if flavour == "PBS" else f"{out}-%a"
    job = engine.submit(
        script=script,
        out=out,
        env=env,
        name=options.get("-N", "STDIN"),
        user=pwd.getpwuid(os.getuid()).pw_name,
        queue=options.get("-q", "workq"),
        directory=str(Path.home()),  # a job of PBS begins in its owner's home
        indices=indices,
        limit=_seconds(resources["walltime"]) if "walltime" in resources else None,
        held="-h" in options,
        more={"variables": variables, "resources": resources, "out": out},
    )
    return job.number


def _seconds(text: str) -> float:
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return total


def _targets(engine: Engine, text: str, ranges: str = "") -> Iterator[tuple[int, int | None]]:
    """Return job and index of what an id names; index None stands for all of the job."""
    found = _ID.match(text)
    if not found:  # parse_jobid.c
        msg = f"illegally formed job identifier: {text}"
        raise Refusal(msg, 1)
    if found["server"] not in (None, server_of(engine)):
        msg = f"Unknown Job Id {text}"
        raise Refusal(msg, _UNKNOWN_JOB)
    number = int(found["job"])
    if ranges:  # Torque's -t
        for part in ranges.split(","):
            first, _, last = part.partition("-")
            yield from ((number, index) for index in range(int(first), int(last or first) + 1))
    elif found["of"]:
        end, step = int(found["to"] or found["of"]) + 1, int(found["by"] or 1)
        yield from ((number, index) for index in range(int(found["of"]), end, step))
    else:
        yield number, None


def qdel(engine: Engine, arguments: Sequence[str]) -> int:
    """End jobs; each one that cannot be ended is told, and the last of them gives the exit code."""
    torque = engine.config.get("flavour") == "Torque"
    options, ids = getopt.getopt(list(arguments), "m:pW:t:c" if torque else "W:x")
    if not ids:
        msg = ""
        raise getopt.GetoptError(msg, "")
    code = 0
    for text in ids:
        try:
            wanted = list(_targets(engine, text, dict(options).get("-t", "")))
            _end(engine, text, wanted)
        except Refusal as refusal:
            print(f"qdel: {refusal}", file=sys.stderr)
            code = refusal.code
    return code


def _end(engine: Engine, text: str, wanted: list[tuple[int, int | None]]) -> None:
    if wanted[0][0] not in engine.jobs():  # recorded
        msg = f"Unknown Job Id {text}"
        raise Refusal(msg, _UNKNOWN_JOB)
    indices = [index for _, index in wanted if index is not None]
    ended = engine.cancel(wanted[0][0], *indices)
    if not ended:  # recorded
        msg = f"Job has finished {text}"
        raise Refusal(msg, _HISTORY_JOB)


def qhold(engine: Engine, arguments: Sequence[str]) -> int:
    """Refuse: the engine holds jobs only from their submit on."""
    msg = "a job that waits cannot be held in this fake"
    raise Refusal(msg, 1)


def qrls(engine: Engine, arguments: Sequence[str]) -> int:
    """Let held jobs start."""
    for text in getopt.getopt(list(arguments), "h:W:")[1]:
        for number, _ in _targets(engine, text):
            engine.release(number)
    return 0
