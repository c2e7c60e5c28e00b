"""One bulk answer of 50,000 jobs, read by the module of its batch system. No command is run.

Slurm's and LSF's have a line a job, of a token of its own. LSF's is `bjobs -w` and, where LSF has it, `bjobs -o`.
PBS's is `qstat -f -F json` and, where that does not exist, `qstat -f`: about 1.7 kB a job, as OpenPBS 23.06 wrote it.
SGE's is `qstat -xml`, as 8.1.9 wrote it, each job in an entry of its own. The seconds are the processor's; beside them
stands what a clock on the wall shows.
"""

from __future__ import annotations

import gc
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.figure import Figure, Goal, Log, Section
from jobferry_common.schedulers import scheduler_named
from jobferry_common.schedulers.base import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_GOLDEN: Final = Path(__file__).parents[1] / "tests/common/schedulers/golden"
_JOBS: Final = 50_000
_CLUSTER: Final = "pbshost"
_TOKEN: Final = "jf.3f2a9c01d5e7-1.0a1b"


def measure(rounds: int, size: int) -> Section:
    """Measure how long each answer takes."""
    log, jobs = Log(), size or _JOBS
    for what, (batch_type, answer, _) in _ANSWERS.items():
        done = answer(jobs)
        for _ in range(rounds):
            spent, elapsed = _seconds(batch_type, done, jobs)
            log.note(what, spent, "s")
            log.note(f"{what}: elapsed", elapsed, "s")
    figures = tuple(
        Figure(name=what, goal=Goal(bound=bound, unit="s"), values=log.of(what), unit="s")
        for what, (_, _, bound) in _ANSWERS.items()
    )
    return Section(
        title=f"Reading an answer about {jobs:,} jobs",
        command=f"python -m benchmarks.run --only parsing --rounds {rounds}",
        about=(__doc__ or "").strip(),
        figures=figures,
        raws=tuple(log.raws),
    )


def _seconds(batch_type: str, done: Completed, jobs: int) -> tuple[float, float]:
    """Return the processor's seconds, of which what else the machine does is no part, and those of a clock."""
    scheduler = scheduler_named(batch_type, home="/nowhere")
    gc.collect()
    begin, start = time.perf_counter(), time.process_time()
    told = scheduler.parse_listing(done, _CLUSTER)
    spent, elapsed = time.process_time() - start, time.perf_counter() - begin
    if len(told.jobs) != jobs:
        msg = f"{len(told.jobs)} jobs of {jobs} were read"
        raise RuntimeError(msg)
    return spent, elapsed


def _slurm(jobs: int, said: str) -> Completed:
    """Repeat a line of the recorded listing."""
    lines = "".join(f"{100_000 + number}|{said}|{_TOKEN}{number:x}\n" for number in range(jobs))
    return _done("squeue", f"{lines}jobferry: end of listing\n")


def _slurm_running(jobs: int) -> Completed:
    return _slurm(jobs, f"RUNNING|0|{_CLUSTER}|None")


def _slurm_ended(jobs: int) -> Completed:
    return _slurm(jobs, f"FAILED|768|{_CLUSTER}|NonZeroExitCode")


def _lsf(jobs: int, line: str) -> Completed:
    lines = (line.format(job=number, token=f"{_TOKEN}{number:x}") for number in range(1, jobs + 1))
    told = "\n".join(lines)
    head = f"My cluster name is {_CLUSTER}\njobferry: jobs\n"
    return _done("bjobs", f"{head}{told}\n\njobferry: end 0\n")


def _lsf_wide(jobs: int) -> Completed:
    line = "{job:<7} alice   RUN   normal     login       n07         relax.{token} Nov 20 22:19"
    return _lsf(jobs, line)


def _lsf_chosen(jobs: int) -> Completed:
    return _lsf(jobs, "{job}|0|EXIT|3|-|relax.{token}")


def _done(command: str, stdout: str) -> Completed:
    return Completed(argv=(command,), exit_code=0, stdout=stdout)


def _job_of_pbs() -> dict[str, Any]:
    answers = json.loads((_GOLDEN / "PBS/answers.json").read_text())["answers"]
    text = next(one["stdout"] for one in answers if '"pbs_server"' in one["stdout"])
    whole = text[text.index("{") : text.rindex("}") + 1]
    job: dict[str, Any] = json.loads(whole)["Jobs"]["4.pbshost"]
    job["Variable_List"]["JOBFERRY_TOKEN"] = _TOKEN
    return job


def _pbs(text: str) -> Completed:
    return _done("qstat", f"Server: pbshost\n\njobferry: jobs\n{text}\njobferry: end 0\n")


def _pbs_json(jobs: int) -> Completed:
    told = dict.fromkeys((f"9[{index}].pbshost" for index in range(jobs)), _job_of_pbs())
    return _pbs(json.dumps({"pbs_server": "pbshost", "Jobs": told}, indent="\t"))


def _pbs_plain(jobs: int) -> Completed:
    job = _job_of_pbs()
    variables = ",\n\t".join(f"{name}={value}" for name, value in job["Variable_List"].items())
    lines = [f"    {name} = {value}" for name, value in job.items() if not isinstance(value, dict)]
    block = "\n".join([*lines, f"    Variable_List = {variables}", "", ""])
    return _pbs("".join(f"Job Id: 9[{index}].pbshost\n{block}" for index in range(jobs)))


def _sge(jobs: int) -> Completed:
    """Repeat the entry of job 27 in the recorded listing."""
    answers = json.loads((_GOLDEN / "SGE/answers.json").read_text())["answers"]
    text = next(one["stdout"] for one in answers if one["what"] == "listing")
    head, entry, rest = re.split(
        r"(    <job_list (?:(?!<job_list).)*?>27<.*?</job_list>\n)", text, flags=re.S
    )
    entry = entry.replace(">impossible<", f">relax.{_TOKEN}<")
    told = "".join(entry.replace(">27<", f">{100_000 + number}<") for number in range(jobs - 3))
    return _done("qstat", f"{head}{told}{rest}".replace("answer of delta", f"answer of {_CLUSTER}"))


#: what → batch type, the answer about so many jobs, most seconds
_ANSWERS: Final[Mapping[str, tuple[str, Callable[[int], Completed], float]]] = {
    "Slurm, running": ("Slurm", _slurm_running, 0.5),
    "Slurm, failed": ("Slurm", _slurm_ended, 0.5),
    "LSF, bjobs -w": ("LSF", _lsf_wide, 0.5),
    "LSF, bjobs -o": ("LSF", _lsf_chosen, 0.5),
    "PBS, JSON": ("PBS", _pbs_json, 1.5),
    "PBS, plain": ("PBS", _pbs_plain, 1.5),
    "SGE, XML": ("SGE", _sge, 1.5),
}
