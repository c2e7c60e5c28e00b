"""Real work on this machine: eight tasks in four jobs, one of which fails at first and is tried again.

    make demo        or        python examples/demo.py

The stack (a broker, a worker, a beat) and all files live in a temporary directory and are gone at the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry import Handle
    from jobferry_common.events import Event

TEXTS = {
    "ahab": "call me what you will but call me on deck",
    "beagle": "finches differ from island to island",
    "calypso": "seven years on one island and no ship",
    "dory": "a small boat a long way from home",
    "endurance": "the ice has us and will not let go",
    "fram": "frozen in on purpose and drifting north",
    "gypsy": "around the cape with a leaking hull",
    "hispaniola": "fifteen men and a map with a cross",
}
#: for the end of a run that is cancelled
PATIENCE_SECONDS = 20
#: reads its text, writes what it counted
COUNT = "sleep 1; wc -w < text.txt > words.txt"
#: fails the first time it runs, because a file of its first try is not there yet
STUMBLE = f"if [ ! -e seen ]; then touch seen; echo 'ran aground' >&2; exit 3; fi; {COUNT}"


def write_inputs(directory: Path) -> None:
    """Give each task a directory with an input file."""
    for name, text in TEXTS.items():
        (directory / name).mkdir(parents=True)
        (directory / name / "text.txt").write_text(text + "\n")


@contextmanager
def own_stack(directory: Path) -> Iterator[None]:
    """Use a stack of this demonstration's own, and leave nothing of it behind."""
    for name in [name for name in os.environ if name.startswith("JOBFERRY_")]:
        del os.environ[name]
    (directory / "config.toml").touch()
    os.environ["JOBFERRY_CONFIG"] = str(directory / "config.toml")
    os.environ["JOBFERRY_STACK__DIRECTORY"] = str(directory / "stack")
    os.environ["JOBFERRY_STACK__IDLE_MINUTES"] = "1"  # should this program be killed
    os.environ["JOBFERRY_TIMINGS__RETRY_SECONDS"] = "1"
    from jobferry import stack
    from jobferry_common.settings import load_settings

    settings = load_settings()
    try:
        stack.up(settings)
        yield
    finally:
        stack.down(settings)


def run(directory: Path) -> None:
    """Submit the work, follow it, print what came back."""
    from jobferry import Machine, Resources, Submission, Task

    write_inputs(directory / "work")
    submission = Submission(
        work_base="work",
        machine=Machine(
            batch_type="Shell",
            context_type="Local",
            local_root=str(directory),
            remote_root=str(directory / "cluster"),
        ),
        resources=Resources(group_size=2),
        task_list=[
            Task(
                command=STUMBLE if name == "endurance" else COUNT,
                task_work_path=name,
                forward_files=["text.txt"],
                backward_files=["words.txt"],
            )
            for name in TEXTS
        ],
    )
    handle = submission.submit()
    say(
        f"Submitted {len(TEXTS)} tasks in {handle.status().jobs} jobs: run {handle.id}. What happens:"
    )
    with ended_with_us(handle):
        for event in handle.events():
            if event.job is not None and (what := story(event)):
                print(f"  job {event.job}: {what}", flush=True)
    result = handle.result()
    say(f"All {result.finished} jobs finished. The words that the tasks counted:")
    for name in TEXTS:
        print(f"  {name:11} {(directory / 'work' / name / 'words.txt').read_text().strip():>2}")


@contextmanager
def ended_with_us(handle: Handle) -> Iterator[None]:
    """Cancel the run if this program is told to end before it is over."""
    try:
        yield
    except SystemExit:
        handle.cancel()
        handle.wait(PATIENCE_SECONDS)
        raise


def story(event: Event) -> str:
    """Return what an event of a job means; nothing for the steps in between."""
    match event.state:
        case "submitting":
            return f"attempt {event.attempt} is submitted"
        case "exited" if event.code:
            return f"attempt {event.attempt} failed with exit code {event.code}: it is tried again"
        case "finished":
            return f"finished with attempt {event.attempt}"
        case _:
            return ""


def say(text: str) -> None:
    """Print a line of the story."""
    print(f"\n{text}", flush=True)


def end_cleanly() -> None:
    """Leave nothing behind when somebody ends this program; they need to say so only once."""

    def end(number: int, _: object) -> None:
        for again in signals:
            signal.signal(again, signal.SIG_IGN)
        sys.exit(128 + number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        signal.signal(number, end)


def main() -> None:
    """Run the whole demonstration."""
    end_cleanly()
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="jobferry-demo-"))
    say("Starting a broker, a worker and a beat on this machine …")
    try:
        with own_stack(directory):
            run(directory)
            say("Stopping them again …")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    command = program()
    say(f"Done in {time.monotonic() - began:.0f} s. To go on:")
    print(
        f"  {command} submit examples/submission.json   submit a file, watch it, have its results"
    )
    print(f"  {command} status                            see what runs and what ran")
    print(f"  {command} doctor                            see whether everything is in order")


def program() -> str:
    """Return how to call jobferry from here."""
    if shutil.which("jobferry"):
        return "jobferry"
    here = Path(sys.executable).with_name("jobferry")
    return os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here)


if __name__ == "__main__":
    main()
