"""A fake LSF: bsub, bjobs, bhist, bkill, bresume, lsid and bparams over the engine.

What is refused, and the words of it, come from the recorded answers of an LSF-compatible scheduler (marked "recorded")
or from LSF's manual pages (named by their command).

    custom=True          bjobs knows -o and -noheader, bsub knows -rn: IBM's LSF; else as recorded
    minute=60            seconds of a minute of -W
    down=True            no daemon answers
    full=True            the queue takes no more
    lost=True            a job is taken, its answer is lost
    max_array=1000       MAX_JOB_ARRAY_SIZE
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.fake.engine import Element, Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COMMANDS: Final = ("bsub", "bjobs", "bhist", "bkill", "bresume", "lsid", "bparams")
#: options of bsub that this fake knows, with those that take a value; -rn and -gpu are IBM's only
_VALUES: Final = frozenset({"-J", "-o", "-e", "-n", "-R", "-q", "-W", "-P", "-M", "-cwd"})
_FLAGS: Final = frozenset({"-H", "-x", "-r", "-N"})
_NAME: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[1-(?P<last>\d+)\])?\Z", re.ASCII)
_ID: Final = re.compile(r"(\d+)(?:\[([\d,-]+)\])?\Z")
_FORMAT: Final = "jobid jobindex stat exit_code exit_reason job_name delimiter='|'"
_STATES: Final = {"held": "PSUSP", "queued": "PEND", "running": "RUN"}
_TERMS: Final = {
    "cancelled": "TERM_OWNER: job killed by owner",
    "timeout": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
}
_REPORT: Final = (
    "echo 'Sender: LSF System <lsf@lsfhost>'; echo 'The output (if any) follows:'; echo"
)


class Refusal(Exception):  # noqa: N818 - what a command says before it ends
    """What is said on stderr; the exit code is -1 modulo 256 if it is not given."""

    def __init__(self, words: str, code: int = 255) -> None:
        super().__init__(words)
        self.code = code


def main(command: str, home: str, arguments: Sequence[str]) -> int:
    """Run one command."""
    engine = Engine(Path(home))
    commands: dict[str, Callable[[Engine, Sequence[str]], int]] = {
        "bsub": bsub,
        "bjobs": bjobs,
        "bhist": bhist,
        "bkill": bkill,
        "bresume": bresume,
        "lsid": lsid,
        "bparams": bparams,
    }
    try:
        if engine.config.get("down"):  # lsf/lib: LSE_LIM_DOWN; bsub adds its last words
            last = ". Job not submitted." if command == "bsub" else ""
            msg = f"{command}: Failed in an LSF library call: LIM is down; try later{last}"
            raise Refusal(msg)
        return commands[command](engine, arguments)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return refusal.code


def lsid(engine: Engine, _: Sequence[str]) -> int:
    """Say who it is (recorded)."""
    print("volclava project 2.2, Nov 20 2026\n")
    print(
        f"My cluster name is {engine.config.get('cluster', 'volclava')}\nMy master name is lsfhost"
    )
    return 0


def bparams(engine: Engine, arguments: Sequence[str]) -> int:
    """Tell the parameters (bparams -l)."""
    if list(arguments) != ["-l"]:
        msg = "Usage: bparams [-h] [-V] [-l]"
        raise Refusal(msg)
    size = engine.config.get("max_array", 1000)
    print(
        f"\nThe default queue is:\n    DEFAULT_QUEUE = normal\n\nThe size of arrays:\n    MAX_JOB_ARRAY_SIZE = {size}"
    )
    return 0


def bsub(engine: Engine, arguments: Sequence[str]) -> int:
    """Take the job whose script is on standard input."""
    given, command = _options(engine, arguments)
    if command:
        msg = "a command on bsub's own line: not in this fake. Job not submitted."
        raise Refusal(msg)
    script = sys.stdin.read()
    options = {**dict(_directives(engine, script)), **given}
    _check(engine, options)
    name = _NAME.match(options.get("-J", "NoName"))
    if not name:  # errors table: LSBE_BAD_JOB; "Job Arrays" tells the characters
        msg = "Bad job name. Job not submitted."
        raise Refusal(msg)
    last = int(name["last"] or 0)
    if last > engine.config.get("max_array", 1000):  # errors table: LSBE_JOB_ARRAY
        msg = "Job array index too large. Job not submitted."
        raise Refusal(msg)
    number = _submit(engine, script, options, name["name"], tuple(range(1, last + 1)))
    if engine.config.get("lost"):  # errors table: LSBE_CONN_TIMEOUT
        msg = "Failed in receiving job submission result: Communication timeout."
        raise Refusal(msg)
    if os.environ.get("BSUB_QUIET") is None:
        queue = f"queue <{options['-q']}>" if "-q" in options else "default queue <normal>"
        print(f"Job <{number}> is submitted to {queue}.")
    return 0


def _options(engine: Engine, arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return options and the rest; an option is a word of its own (my_getopt)."""
    values, flags = set(_VALUES), set(_FLAGS)
    if engine.config.get("custom"):
        values |= {"-gpu", "-gpgpu"}
        flags.add("-rn")
    found, rest = {}, list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option not in values | flags or (option in values and not rest):
            msg = f"Bad option: {option}\nUsage: bsub [-h] [-V] [options] command [arguments]"
            raise Refusal(msg)
        found[option] = rest.pop(0) if option in values else ""
    return found, rest


def _directives(engine: Engine, script: str) -> Iterator[tuple[str, str]]:
    """Return the options in lines of the script; repeated -R are joined."""
    needs = []
    mark = str(engine.config.get("mark", "#BSUB"))
    for line in script.splitlines():
        if line.startswith(mark):
            for name, value in _options(engine, shlex.split(line.removeprefix(mark)))[0].items():
                if name == "-R":
                    needs.append(value)
                else:
                    yield name, value
    yield "-R", " ".join(needs)


def _check(engine: Engine, options: dict[str, str]) -> None:
    number = options.get("-n", "1")
    if not re.fullmatch(r"[1-9]\d*(?:,\d+)?", number):  # recorded
        msg = "Bad argument for option -n. Job not submitted."
        raise Refusal(msg)
    if int(number.partition(",")[0]) > engine.config.get("processors", 64):  # recorded
        msg = "Too many processors requested. Job not submitted."
        raise Refusal(msg)
    queue = options.get("-q", "normal")
    if queue not in engine.config.get("queues", ["normal", "gpu"]):  # recorded
        msg = f"{queue}: No such queue. Job not submitted."
        raise Refusal(msg)
    if "-W" in options and not re.fullmatch(r"(?:\d+:)?\d+", options["-W"]):  # bsub -W
        msg = "Bad argument for option -W. Job not submitted."
        raise Refusal(msg)
    sections = (
        r"(?:select\[[^\[\]]+\]|rusage\[[\w=.,:/]+\]|span\[(?:ptile|hosts)=\d+\]|affinity\[.*\])"
    )
    if options["-R"] and not re.fullmatch(rf"{sections}(?: +{sections})*", options["-R"]):
        msg = "Bad resource requirement syntax. Job not submitted."  # errors table
        raise Refusal(msg)
    if engine.config.get("full"):  # bsub waits for room unless LSB_NTRIES says how often to try
        if os.environ.get("LSB_NTRIES") != "1":
            time.sleep(3600)
        msg = f"User <{_user()}>: Pending job threshold reached. Job not submitted."
        raise Refusal(msg)


def _submit(
    engine: Engine, script: str, options: dict[str, str], name: str, indices: tuple[int, ...]
) -> int:
    here = str(Path.cwd())
    index = "%a" if indices else "0"
    out = options["-o"].replace("%J", "%i").replace("%I", index)
    if engine.config.get("mark") == "#JSUB":  # its manual: environment of jobs
        env = {"JH_JOBID": "%i", "JH_JOBNAME": name, "JH_SUB_CWD": here}
        env |= {"JH_ARRAY_JOBID": "%i", "JH_ARRAY_JOBINDEX": "%a"} if indices else {}
    else:
        env = {"LSB_JOBID": "%i", "LSB_JOBINDEX": index, "LSB_JOBNAME": name, "LS_SUBCWD": here}
    hours, _, minutes = options.get("-W", "").rpartition(":")
    limit = (
        (int(hours or 0) * 60 + int(minutes)) * engine.config.get("minute", 60) if minutes else None
    )
    # bsub -o: the report is the head of the output file; jsub -o: unless this is set
    report = "" if os.environ.get("JH_JOB_NO_SUMMARY_OUT") == "Y" else _REPORT
    job = engine.submit(
        script=f"{report}\n{script}",
        out=os.path.join(here, out),  # noqa: PTH118
        env=env,
        name=name,
        user=_user(),
        queue=options.get("-q", "normal"),
        directory=here,
        indices=indices,
        limit=limit,
        held="-H" in options,
    )
    return job.number


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _status(one: Element) -> str:
    if one.phase == "done":
        return "DONE" if one.how == "exit" and one.code == 0 else "EXIT"
    return _STATES[one.phase]


def _name(one: Element) -> str:
    return one.job.name if one.index is None else f"{one.job.name}[{one.index}]"


def _chosen(engine: Engine, ids: Sequence[str]) -> tuple[list[Element], list[str]]:
    """Return the elements that the ids name, and the ids that name none."""
    elements = engine.elements()
    chosen, unknown = [], []
    for text in ids:
        mine = [one for one in elements if _names(text, one)]
        chosen += mine
        if not mine:
            unknown.append(text)
    return chosen, unknown


def _names(text: str, one: Element) -> bool:
    found = _ID.match(text)
    if not found:
        msg = f"{text}: Illegal job ID."
        raise Refusal(msg)
    if int(found[1]) != one.job.number or found[2] is None:
        return int(found[1]) == one.job.number
    spans = [part.partition("-") for part in found[2].split(",")]
    return any(int(a) <= (one.index or 0) <= int(b or a) for a, _, b in spans)


def bjobs(engine: Engine, arguments: Sequence[str]) -> int:
    """List jobs: `-a -w`, or `-a -noheader -o …`, of a user or by id."""
    rest = list(arguments)
    custom = "-o" in rest or "-noheader" in rest
    if custom and not engine.config.get("custom"):  # recorded
        msg = "bjobs: invalid option -- 'n'\nUsage: bjobs [-h] [-V] [-w |-l |-UF] [-a] [-d] [-p]"
        raise Refusal(msg)
    head = ["-a", "-noheader", "-o", _FORMAT] if custom else ["-a", "-w"]
    if rest[: len(head)] != head:
        msg = f"Usage: this fake knows bjobs {' '.join(head)}"
        raise Refusal(msg)
    rest = rest[len(head) :]
    unknown: list[str] = []
    if rest[:1] == ["-u"]:
        shown = [one for one in engine.elements() if one.job.user == rest[1]]
        if not shown:  # recorded: "No unfinished job found" without -a
            msg = "No job found"
            raise Refusal(msg, 255 if custom else 254)
    else:
        shown, unknown = _chosen(engine, rest)
    if not custom and shown:
        print("JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME")
    for one in shown:
        print(_fields(one) if custom else _wide(one))
    for text in unknown:  # recorded
        print(f"Job <{text}> is not found", file=sys.stderr)
    return 255 if unknown else 0


def _wide(one: Element) -> str:
    job = one.job
    at = time.strftime("%b %e %H:%M", time.localtime(job.submitted))
    host = "lsfhost" if one.phase in {"running", "done"} else "   -    "
    first = f"{job.number:<7d} {job.user:<7} {_status(one):<5} {job.queue:<10}"
    return f"{first} {'lsfhost':<11} {host:<11} {_name(one):<10} {at}"


def _fields(one: Element) -> str:
    code, reason = "-", "-"
    if one.phase == "done":
        code = str(one.code) if one.code else "-"
        reason = _TERMS.get(one.how, "-")
    return f"{one.job.number}|{one.index or 0}|{_status(one)}|{code}|{reason}|{_name(one)}"


def bhist(engine: Engine, arguments: Sequence[str]) -> int:
    """Tell the events of jobs (recorded)."""
    if list(arguments[:3]) != ["-n", "10", "-l"]:
        msg = "Usage: this fake knows bhist -n 10 -l"
        raise Refusal(msg)
    shown, _ = _chosen(engine, arguments[3:])
    if not shown:  # bhist.c
        msg = "No matching job found"
        raise Refusal(msg)
    rule = "-" * 78 + "\n"
    print(rule.join("\n" + "\n".join(_events(engine, one)) + "\n" for one in shown))
    return 0


def _events(engine: Engine, one: Element) -> Iterator[str]:
    number = one.job.number if one.index is None else f"{one.job.number}[{one.index}]"
    yield f"Job <{number}>, Job Name <{_name(one)}>, User <{one.job.user}>, Project <default>, Command <#!/bin/bash>"
    yield _at(
        one.job.submitted, f"Submitted from host <lsfhost>, to Queue <{one.job.queue}>, CWD </tmp>;"
    )
    if one.started is not None:
        yield _at(one.started, "Dispatched to <lsfhost>;")
        yield _at(one.started, f"Starting (Pid {one.pid or 4242});")
        # recorded: folded in the middle of a word
        yield _at(
            one.started,
            "Running with execution home </root>, Execution CW\n" + " " * 21 + "D </tmp>;",
        )
    if one.phase == "done" and one.ended is not None:
        yield from (_at(one.ended, words) for words in _end(engine, one))


def _at(when: float, words: str) -> str:
    return f"{time.strftime('%a %b %e %H:%M:%S', time.localtime(when))}: {words}"


def _end(engine: Engine, one: Element) -> Iterator[str]:
    used = "The CPU time used is 0.0 seconds;"
    if one.how == "cancelled":  # bhist(1)
        yield f"Signal <KILL> requested by user or administrator <{one.job.user}>;"
    if one.how == "timeout" and not engine.config.get("custom"):  # bhist.c: SUSP_RES_LIMIT
        yield "Terminated: Job's resource usage limit RUNLIMIT has been reached;"
    if one.how == "exit" and one.code == 0:
        yield f"Done successfully. {used}"
    elif one.code is None:
        yield "Exited"
    elif one.how != "exit":
        yield f"Exited by signal {one.code - 128}. {used}"
    else:
        yield f"Exited with exit code {one.code}. {used}"
    if engine.config.get("custom") and one.how in _TERMS:
        yield f"Completed <exit>; {_TERMS[one.how]};"


def _index(one: Element) -> tuple[int, ...]:
    return () if one.index is None else (one.index,)


def bkill(engine: Engine, arguments: Sequence[str]) -> int:
    """End jobs (recorded)."""
    code = 0
    for text in arguments:
        chosen, _ = _chosen(engine, [text])
        if not chosen:
            words = "No matching job found"
        elif all(one.phase == "done" for one in chosen):
            words = "Job has already finished"
        else:
            ended: list[Any] = [
                one for each in chosen for one in engine.cancel(each.job.number, *_index(each))
            ]
            print(f"Job <{text}> is being terminated" if ended else "")
            continue
        print(f"Job <{text}>: {words}", file=sys.stderr)
        code = 255
    return code


def bresume(engine: Engine, arguments: Sequence[str]) -> int:
    """Let held jobs start."""
    for text in arguments:
        engine.release(int(text))
        print(f"Job <{text}> is being resumed")
    return 0
