"""docker-compose.yml: a compose client takes it, and its services work together when run here as processes.

Containers are not needed: each service's command and environment are read from the file, and what a container
would give it (its volumes, its own network name and ports) is put in the place of theirs.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.testbed.fleet import BIN, ROOT
from tests.testbed.processes import Process, checked, free_ports, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.needs("compose", "slurm", "redis", "flower")

_PASSWORD: Final = "a-word-of-the-test"
_SERVICES: Final = ("redis", "alpha", "beta", "beat", "flower")


def _read() -> dict[str, Any]:
    env = {**os.environ, "JOBFERRY_PASSWORD": _PASSWORD}
    file = str(ROOT / "docker-compose.yml")
    text = checked(["docker-compose", "-f", file, "config"], env=env)
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


class Composed:
    """The services of docker-compose.yml as processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.services = _read()
        self.redis, self.flower = free_ports(2)
        self.processes: dict[str, Process] = {}

    def env(self, name: str) -> dict[str, str]:
        """Return the environment of a service, at home here."""
        given: Mapping[str, Any] = self.services[name].get("environment") or {}
        env = {key: self._here(name, str(value)) for key, value in given.items()}
        if "CLUSTER_PORTS" in env:
            ports = free_ports(len(env["CLUSTER_PORTS"].split()))
            env["CLUSTER_PORTS"] = " ".join(map(str, ports))
        return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **env}

    def _here(self, name: str, text: str) -> str:
        """Replace what only a container has: mount points, the name "redis", ports, all addresses."""
        for volume in self.services[name].get("volumes", ()):
            source, target = volume.split(":")[:2]
            text = re.sub(
                rf"(^|=){re.escape(target)}\b", rf"\g<1>{self._mount(name, source, target)}", text
            )
        text = text.replace("@redis:6379", f"@127.0.0.1:{self.redis}").replace(
            "0.0.0.0", "127.0.0.1"
        )
        return text.replace("5555", str(self.flower))

    def _mount(self, name: str, source: str, target: str) -> Path:
        if target.endswith(".toml"):
            return self._settings(name, Path(source))
        if Path(source).is_file():
            return Path(source)
        path = self.directory / (Path(source).name if source.startswith("/") else source)
        path.mkdir(exist_ok=True)
        return path

    def _settings(self, name: str, source: Path) -> Path:
        text = source.read_text()
        for volume in self.services[name].get("volumes", ()):
            outside, inside = volume.split(":")[:2]
            if not inside.endswith(".toml"):
                text = text.replace(f'"{inside}"', f'"{self._mount(name, outside, inside)}"')
        path = self.directory / f"{name}.toml"
        path.write_text(text)
        return path

    def start(self, name: str) -> None:
        """Start a service."""
        command = [self._here(name, word) for word in self.services[name]["command"]]
        if name == "redis":
            command += ["--port", str(self.redis), "--bind", "127.0.0.1"]
        log = self.directory / f"{name}.log"
        self.processes[name] = Process(command, log=log, env=self.env(name), cwd=ROOT)

    def ask_flower(self, path: str) -> Any:
        """Return what Flower's API answers; None while it does not."""
        login = b64encode(f"jobferry:{_PASSWORD}".encode()).decode()
        url = f"http://127.0.0.1:{self.flower}/api/{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except (OSError, urllib.error.URLError):
            return None


@pytest.fixture
def composed(short_path: Path, request: pytest.FixtureRequest) -> Iterator[Composed]:
    composed = Composed(short_path)
    for name in _SERVICES:
        composed.start(name)
        if name == "redis":
            text = composed.processes[name].text
            wait_until(lambda: "Ready to accept" in text(), "redis is ready")  # noqa: B023
    yield composed
    for name, process in reversed(composed.processes.items()):
        process.stop(limit=30)
        print(f"=== {name}\n{process.text()[-8000:]}")  # pytest shows it if the test failed


def test_a_compose_client_takes_the_file() -> None:
    services = _read()
    assert {*_SERVICES, "producer"} == set(services)
    assert "always" in services["redis"]["command"]


def test_no_command_line_tells_the_password() -> None:
    for name, service in _read().items():
        assert not [word for word in service["command"] if _PASSWORD in word], name


def test_every_entry_point_exists() -> None:
    for name, service in _read().items():
        first = Path(service["command"][0])
        here = ROOT / first if first.parts[1:] else BIN / first
        assert here.exists() or first.name in {"sh", "sleep"}, name


def test_the_services_work_together(composed: Composed) -> None:
    for cluster, log in (("alpha", "alpha"), ("beta", "beta")):
        text = composed.processes[log].text
        wait_until(lambda: " ready." in text(), f"the worker of {cluster} is ready", limit=120)  # noqa: B023
    for cluster in ("alpha", "beta"):
        _work(composed, cluster)
    wait_until(
        lambda: len(composed.ask_flower("workers?refresh=1") or {}) == 2,
        "Flower shows both workers",
    )
    assert _PASSWORD not in checked(["ps", "-wweo", "args="])
    names = {task["name"] for task in (composed.ask_flower("tasks") or {}).values()}
    assert "jobferry.advance" in names


def _work(composed: Composed, cluster: str) -> None:
    """Submit work from where the container `producer` would."""
    env = composed.env("producer")
    data = composed.directory / "data"
    task = data / cluster / "t"
    task.mkdir(parents=True)
    (task / "in").write_text("hello")
    described = {
        "work_base": cluster,
        "cluster": cluster,
        "resources": {"group_size": 1, "queue_name": "main"},
        "task_list": [
            {
                "command": "cat in > out; echo $SLURM_CLUSTER_NAME >> out",
                "task_work_path": "t",
                "forward_files": ["in"],
                "backward_files": ["out"],
            }
        ],
    }
    (data / f"{cluster}.json").write_text(json.dumps(described))
    done = run(["jobferry", "submit", f"{cluster}.json"], env=env, cwd=data, limit=120)
    assert done.returncode == 0, done
    assert (task / "out").read_text() == f"hello{cluster}\n"
