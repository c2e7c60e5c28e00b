"""The testbed itself: each of its servers starts, answers and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.testbed.processes import Process, checked, run, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.slurm import SlurmCluster
    from tests.testbed.sshd import SshServer


@pytest.mark.needs("slurm")
def test_slurm_runs_a_job(slurm: SlurmCluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    checked(["sbatch", "--output", str(out), "--wrap", "echo $SLURM_CLUSTER_NAME"], env=slurm.env())
    wait_until(lambda: not slurm.queue(), "the job ended")
    assert out.read_text() == "alpha\n"


@pytest.mark.needs("slurm")
def test_wrappers_count_and_replace_the_commands_of_slurm(slurm: SlurmCluster) -> None:
    checked(["squeue", "-h", "-o", "a b\tc"], env=slurm.env())
    slurm.wrappers.replace("squeue", 'echo hello; exec "$REAL" --version')
    assert checked(["squeue"], env=slurm.env()).startswith("hello\nslurm")
    slurm.wrappers.restore("squeue")
    assert run(["squeue", "--nonsense"], env=slurm.env()).returncode
    assert slurm.wrappers.calls("squeue") == [("-h", "-o", "a b\tc"), (), ("--nonsense",)]
    assert slurm.wrappers.calls("sbatch") == []


@pytest.mark.needs("slurmdbd")
def test_slurm_with_accounting_remembers_a_job(slurm_with_accounting: SlurmCluster) -> None:
    env = slurm_with_accounting.env()
    script = ["sbatch", "--parsable", "--comment=mark", "--output=/dev/null", "--wrap", "exit 3"]
    job = checked(script, env=env).strip()
    sacct = ["sacct", "-X", "-n", "-P", "-j", job, "-o", "State,ExitCode,Comment"]
    wait_until(lambda: checked(sacct, env=env) == "FAILED|3:0|mark\n", "sacct knows the job")


@pytest.mark.needs("sshd")
def test_sshd_lets_the_key_in(sshd: SshServer) -> None:
    assert checked(sshd.ssh("echo", "hello")) == "hello\n"


def test_a_process_is_stopped_with_its_group(tmp_path: Path) -> None:
    process = Process(["bash", "-c", "echo started; sleep 100 & wait"], log=tmp_path / "log")
    wait_until(lambda: "started" in process.text(), "it started")
    assert process.alive()
    process.kill()
    assert not process.alive()


@pytest.mark.needs("slurm")
def test_a_controller_that_was_stopped_knows_its_jobs_afterwards(slurm: SlurmCluster) -> None:
    checked(["sbatch", "--output=/dev/null", "--wrap", "sleep 300"], env=slurm.env())
    before = slurm.queue()
    for _ in range(2):
        slurm.stop_controller()
        assert run(["squeue"], env={**slurm.env(), "SLURM_CLIENT_TIMEOUT": "1"}).returncode
        slurm.start_controller()
        wait_until(
            lambda: run(["squeue", "-h"], env=slurm.env()).returncode == 0, "slurmctld answers"
        )
    assert slurm.queue() == before != []
