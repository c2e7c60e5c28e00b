"""Secrets in commands: what was written down is found, and what only says where it is may stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.cluster import profile_of
from jobferry_common.models.machine import Machine
from jobferry_common.settings import load_settings
from jobferry_common.spelled import spelled

if TYPE_CHECKING:
    from pathlib import Path

SPELLED = [
    "sshpass -p geheim ssh -W %h:%p gate",
    "/usr/bin/sshpass -pgeheim ssh gate",
    "sshpass -v -P 'Code:' -vp geheim ssh gate",
    "sh -c 'sshpass -p geheim ssh gate'",
    "ssh -o ProxyCommand='sshpass -p geheim ssh x' gate",
    "env SSHPASS=geheim sshpass -e ssh gate",
    "nc --proxy-auth alice:geheim %h %p",
    "ncat --proxy-auth=alice:geheim %h %p",
    "socat - PROXY:p:%h:%p,proxyport=3128,proxyauth=alice:geheim",
    "http-connect http://alice:geheim@proxy:80 %h %p",
    "tunnel --password=geheim %h",
    "tunnel --password geheim %h",
    "access --service-token-secret geheim %h",
    "plink -pw geheim gate",
    "curl -u alice:geheim http://token",
    "proxytunnel -p proxy -P alice:geheim -d %h:%p",
    "export HPC_TOKEN=geheim; module load slurm",
    "sshpass -p geheim ssh 'gate",
]
ELSEWHERE = [
    "sshpass -e ssh -p 22 -W %h:%p gate",
    "sshpass -f ~/.ssh/gate ssh -p 2222 gate",
    'sshpass -p "$GATE" ssh gate',
    "nc --proxy-auth $GATE_AUTH %h %p",
    "http-connect http://alice:${GATE}@proxy:80 %h %p",
    "ssh -W [%h]:%p alice@gate",
    "ssh -J alice@gate:22,bob@second -i ~/.ssh/key -W %h:%p third",
    "ssh -o PasswordAuthentication=no -o NumberOfPasswordPrompts=0 gate -W %h:%p",
    "tunnel --token-file=/home/alice/token %h",
    "export HPC_TOKEN=$(cat ~/.token); module load slurm",
    "cd /scratch && PWD=/scratch pwd",
    "ssh alice@[fd00::1]:22",
    "none",
]


@pytest.mark.parametrize("command", SPELLED)
def test_what_is_spelled_out_is_found_and_not_shown(command: str) -> None:
    found = spelled(command)
    assert found
    assert "geheim" not in found


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_says_where_it_is_may_stay(command: str) -> None:
    assert not spelled(command)


@pytest.mark.parametrize("field", ["proxy_command", "execute_command"])
def test_a_submission_brings_no_such_command(tmp_path: Path, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        profile_of(machine({field: "sshpass -p geheim ssh -W %h:%p gate"}), str(tmp_path))
    (problem,) = caught.value.problems
    assert problem.where == f"machine.remote_profile.{field}"
    assert "sshpass -e" in problem.what
    assert "settings of its worker" in problem.what
    assert "geheim" not in str(caught.value)
    kept = profile_of(machine({field: "sshpass -e ssh -W %h:%p gate"}), str(tmp_path))
    assert "sshpass -e" in str(kept.dump())


def machine(profile: dict[str, Any]) -> Machine:
    given = {
        "batch_type": "Shell",
        "context_type": "SSH",
        "local_root": ".",
        "remote_root": "/scratch",
    }
    return Machine.load_from_dict({**given, "remote_profile": {"hostname": "hpc1", **profile}})


def test_a_worker_has_it_in_a_file_that_nobody_else_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[clusters.hpc1]\nbatch_type = "Slurm"\ncontext_type = "SSH"\nremote_root = "/scratch/alice"\n'
        '[clusters.hpc1.remote_profile]\nhostname = "h"\nproxy_command = "sshpass -p geheim ssh gate"\n'
    )
    monkeypatch.setenv("JOBFERRY_CONFIG", str(config))
    config.chmod(0o644)
    with pytest.raises(BadInput, match=r"proxy_command.*chmod 600") as caught:
        load_settings()
    assert "geheim" not in str(caught.value)
    config.chmod(0o600)
    assert "geheim" in str(load_settings().clusters["hpc1"].dump())
