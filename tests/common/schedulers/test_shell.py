"""What is Shell's own; the real shell.sh runs in tests/services/test_shell_scheduler.py."""

from __future__ import annotations

import subprocess

from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Completed, Phase, Submit
from jobferry_common.schedulers.shell import Shell

SHELL = Shell(home="/scratch/alice/.jobferry/shell", slots=4)


def test_it_brings_its_own_commands() -> None:
    (file,) = SHELL.files()
    assert file.path == "/scratch/alice/.jobferry/shell/shell.sh"
    assert SHELL.facts()[:2] == ("bash", file.path)
    subprocess.run(["bash", "-n"], input=file.content, check=True)


def test_it_is_told_how_many_jobs_may_run() -> None:
    submit = Submit(script="/a.sh", directory="/", log="/log", token=Token("jf.a"), name="a")
    assert "--slots=4" in SHELL.submit(submit)
    assert "--slots=" in Shell(home="/x").submit(submit)


def test_the_end_of_an_element_outweighs_its_wait() -> None:
    text = (
        "jobferry-shell me@host\njob 3 10000 jf.a 17\nargs /a / /b \n"
        "end 3 0 0 exited 18\nend 3 5-6 - cancelled 18\nwait 3 2\nrun 3 1\n.\n"
    )
    listing = SHELL.parse_listing(Completed(argv=("x",), exit_code=0, stdout=text), "me@host")
    phases = [listing.jobs[SHELL.element(SchedulerId("3"), index)].phase for index in range(8)]
    queued, ended = Phase.QUEUED, Phase.ENDED
    assert phases == [ended, Phase.RUNNING, queued, queued, queued, ended, ended, queued]
    assert len(listing.jobs) == 10_000


def test_an_element_that_fell_out_of_the_queue_is_unknown() -> None:
    text = "jobferry-shell me@host\njob 3 4 jf.a 17\nargs /a / /b \nend 3 0 0 exited 18\n.\n"
    listing = SHELL.parse_listing(Completed(argv=("x",), exit_code=0, stdout=text), "me@host")
    assert list(listing.jobs) == ["3_0"]
    assert listing.tokens == {"jf.a": ["3"]}


def test_ended_jobs_are_forgotten_on_demand() -> None:
    forget = SHELL.forget([SchedulerId(key) for key in ("3", "5_1", "5_0", "5_7")])
    assert forget is not None
    assert forget[-3:] == ("forget", "3", "5_0-1,7")
