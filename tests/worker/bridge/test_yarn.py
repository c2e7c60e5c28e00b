"""YARN as a system, by commands that are fake here: their options are those of Hadoop's client."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import (
    CommandFailed,
    SubmitBusy,
    SubmitRefused,
    SubmitUnknown,
    UnreadableOutput,
)
from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.bridged import COMMAND
from jobferry_common.states import Outcome
from jobferry_worker.bridge.books import Books, Job
from jobferry_worker.bridge.bridge import Bridge
from jobferry_worker.bridge.hdfs import HdfsByCommand
from jobferry_worker.bridge.yarn import Yarn
from jobferry_worker.hosts.local import LocalHost
from tests.fake import hadoop
from tests.fake.commands import env_with, install
from tests.fake.engine import Engine
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOB = Job(
    id="jf.5e7-1.0123456789ab",
    name="relax it",
    directory="/r",
    script="/r/s",
    log="/r/l",
    since=0.0,
    header=("#YARN -container_memory 2048", "#YARN -container_vcores 2", "# a remark"),
)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A fake Hadoop on PATH."""
    engine = Engine(tmp_path / "cluster")
    install(tmp_path / "bin", hadoop.__name__, hadoop.COMMANDS, home=engine.home)
    env = hadoop.environment(engine.home, env_with(tmp_path / "bin"))
    for name in ("PATH", "HADOOP_HOME"):
        monkeypatch.setenv(name, env[name])
    yield engine
    engine.stop()


@pytest.fixture
def yarn(engine: Engine) -> Yarn:
    """The system."""
    del engine
    return Yarn(LocalHost(), timedelta(seconds=30))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A bootstrap that tells which application it is, and waits."""
    path = tmp_path / "a script.sh"
    path.write_text(f"echo {Yarn(LocalHost(), timedelta()).owner()} > owner; sleep 300\n")
    return path


def test_an_application_is_started_seen_and_killed(
    yarn: Yarn, engine: Engine, script: Path
) -> None:
    assert yarn.facts() == "Hadoop 3.3.6"
    identity = yarn.start(JOB, script)
    assert identity == hadoop.application(1)
    (job,) = engine.jobs().values()
    options = job.more["options"]
    assert options["appname"] == ["relax_it.jf.5e7-1.0123456789ab"]
    assert (options["container_memory"], options["container_vcores"]) == (["2048"], ["2"])
    assert options["timeout"] == ["2147483647"]
    for known in (JOB, replace(JOB, ids=(identity,), id="another")):  # by its name, and by its id
        wait_until(lambda known=known: _phase(yarn, known) is Phase.RUNNING, "it runs")  # type: ignore[misc]
    owner = next(engine.home.glob("containers/*")) / "owner"
    wait_until(lambda: owner.exists() and owner.read_text().endswith("\n"), "it knows who it is")
    assert owner.read_text() == f"{identity}\n"
    for _ in range(2):  # the second time it has ended
        yarn.stop([identity])
    (said,) = yarn.look([JOB])
    assert (said.phase, said.outcome) == (Phase.ENDED, Outcome.CANCELLED)


def _phase(yarn: Yarn, job: Job) -> Phase | None:
    return next((one.phase for one in yarn.look([job])), None)


def test_others_are_not_told(yarn: Yarn, script: Path) -> None:
    yarn.start(JOB, script)
    assert not yarn.look([replace(JOB, id="jf.5e7-1.ba9876543210")])


def test_a_word_that_nobody_knows_is_passed_on(yarn: Yarn, engine: Engine, script: Path) -> None:
    yarn.start(JOB, script)
    engine.configure(state={"1": "HIBERNATED"})
    (said,) = yarn.look([JOB])
    assert (said.phase, said.word) == (None, "HIBERNATED UNDEFINED")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#YARN -queue nosuch", "unknown queue: nosuch"),
        ("#YARN -fast", "Unrecognized option: -fast"),
        ("#YARN -container_memory much", "NumberFormatException"),
        ("#YARN -jar /nowhere", "there is no hadoop-yarn-applications-distributedshell"),
        ("#YARN -shell_env 'A=1", "cannot be read as words"),
    ],
)
def test_what_is_wrong_for_ever_is_refused(
    yarn: Yarn, engine: Engine, script: Path, line: str, words: str
) -> None:
    with pytest.raises(SubmitRefused, match=words):
        yarn.start(replace(JOB, header=(line,)), script)
    assert not engine.jobs()


def test_a_full_queue_is_for_now(yarn: Yarn, engine: Engine, script: Path) -> None:
    engine.configure(**{"max applications": 0})
    with pytest.raises(SubmitBusy, match="cannot accept submission"):
        yarn.start(JOB, script)


def test_a_client_that_says_nothing_may_have_submitted(engine: Engine, script: Path) -> None:
    engine.configure(mute=True)
    with pytest.raises(SubmitUnknown, match="may have been accepted"):
        Yarn(LocalHost(), timedelta(seconds=8)).start(JOB, script)
    assert len(engine.jobs()) == 1


def test_a_manager_that_does_not_answer_is_no_answer(
    yarn: Yarn, engine: Engine, script: Path
) -> None:
    engine.configure(**{"fault yarn": "java.net.ConnectException: Connection refused"})
    for ask in (yarn.facts, lambda: yarn.look([JOB]), lambda: yarn.stop(["application_1_1"])):
        with pytest.raises(CommandFailed, match="Connection refused"):
            ask()


def test_an_answer_without_a_table_is_no_answer(yarn: Yarn, tmp_path: Path) -> None:
    (tmp_path / "bin/yarn").write_text("#!/bin/sh\necho nothing to see\n")
    with pytest.raises(UnreadableOutput, match="no table"):
        yarn.look([JOB])


def _script(base: Path, body: str) -> Path:
    base.mkdir()
    script = base / "script.sh"
    script.write_text(f"#!/bin/bash\n{body}\n")
    script.chmod(0o755)
    return script


def test_of_two_applications_for_one_job_one_runs_it(engine: Engine, tmp_path: Path) -> None:
    """The answer to a start is lost, and YARN does not show the application for longer than anybody waits."""
    base, host, limit = tmp_path / "5e7-1", LocalHost(), timedelta(seconds=4)
    go = tmp_path / "go"
    script = _script(base, f"echo ran >> ran; until [ -e '{go}' ]; do sleep 0.1; done")
    storage = HdfsByCommand(host, "/user/ann", timedelta(minutes=1))
    bridge = Bridge(
        Books(tmp_path / "home"), storage, Yarn(host, limit), grace=timedelta(seconds=1)
    )
    bridge.run((COMMAND, "facts"))
    engine.configure(mute=True, hidden=True)
    words = (f"--directory={base}", f"--log={base}/log", str(script))
    bridge.run((COMMAND, "submit", f"--token={JOB.id}", "--name=x", *words))

    def listed() -> dict[str, Any]:
        """Return what is told of the job; nothing when `yarn` was slower than the limit, which is short here."""
        done = bridge.run((COMMAND, "list"))
        return {} if done.exit_code else dict(json.loads(done.stdout)["jobs"][0])

    wait_until(lambda: listed() and len(engine.jobs()) >= 2, "it was started again", limit=150)
    wait_until(
        lambda: any(one.phase == "done" for one in engine.elements()), "one of them gave way"
    )
    engine.configure(hidden=False)
    go.touch()
    last: dict[str, Any] = {}

    def is_over() -> bool:
        last.update(listed())
        return last.get("phase") == "ended"

    wait_until(is_over, "the job has ended")
    assert (last["outcome"], last["code"]) == ("succeeded", 0)
    assert (base / "ran").read_text() == "ran\n"
    said = [path.read_text() for path in engine.home.glob("containers/*/stderr")]
    assert sum("belongs to another" in text for text in said) == len(engine.jobs()) - 1
