"""pytest plugin of the testbed: layers, the marker `needs`, and fixtures that start real servers.

    pytest --layer unit --layer simulation      only these layers
    @pytest.mark.needs("slurm")                 skipped where Slurm is missing, with what brings it

With JOBFERRY_TESTBED=required in the environment a missing server fails its tests instead, and so does a layer
of which fewer tests ran than tests/minimum.json wants.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.testbed import layers
from tests.testbed.servers import missing
from tests.testbed.sge import SgeCluster
from tests.testbed.slurm import SlurmCluster
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from _pytest.terminal import TerminalReporter

    from tests.testbed.fleet import Fleet

_REQUIRED: Final = "JOBFERRY_TESTBED"
_FAILED: Final = pytest.StashKey[bool]()
_TALLY: Final = pytest.StashKey[layers.Tally]()


def _is_required() -> bool:
    return os.environ.get(_REQUIRED) == "required"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--layer",
        action="append",
        choices=layers.LAYERS,
        help="run only this layer of the tests; may be given several times",
    )


def _chosen(config: pytest.Config) -> tuple[str, ...]:
    return tuple(config.getoption("layer") or layers.LAYERS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    path = collection_path.relative_to(config.rootpath).as_posix()
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if is_test and layers.layer_of(path) not in _chosen(config) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for server in marker.args:
            if why := missing(str(server)):
                _skip_or_fail(why)


def _skip_or_fail(why: str) -> None:
    if _is_required():
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter: TerminalReporter | None = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    tally = layers.Tally(reporter.stats)
    session.config.stash[_TALLY] = tally
    if exitstatus == pytest.ExitCode.OK and _too_few(session.config, tally):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _too_few(config: pytest.Config, tally: layers.Tally) -> list[str]:
    counts = _is_required() and layers.whole_layers(config) and not config.option.collectonly
    return tally.too_few(_chosen(config), layers.minimum(config.rootpath)) if counts else []


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash.get(_TALLY, None)
    if tally is None or config.option.collectonly:
        return
    terminalreporter.section("layers")
    for line in tally.lines(_chosen(config)):
        terminalreporter.line(line)
    for reason, number in sorted(tally.skips.items()):
        terminalreporter.line(f"skipped {number}: {reason}")
    for node in tally.reruns():
        terminalreporter.line(f"RUN TWICE: {node}", yellow=True)
    for sentence in _too_few(config, tally):
        terminalreporter.line(f"TOO FEW: {sentence}", red=True)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory for every test, and no settings of the machine's user."""
    directory = tmp_path_factory.mktemp("home")
    for name in [*os.environ]:
        if name.startswith(("JOBFERRY_", "SLURM_", "SGE_", "XDG_")) and name != _REQUIRED:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(directory))
    return directory


@pytest.fixture(scope="session")
def slurm_without_accounting() -> Iterator[SlurmCluster]:
    """A Slurm cluster "alpha" of 4 nodes with 8 CPUs each, for the whole session of this process."""
    with SlurmCluster.temporary("alpha") as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_without_accounting: SlurmCluster) -> Iterator[SlurmCluster]:
    """The Slurm cluster "alpha", empty at the start and at the end of the test; no accounts are kept."""
    slurm_without_accounting.reset()
    yield slurm_without_accounting
    slurm_without_accounting.reset()


@pytest.fixture(scope="session")
def slurm_accounting() -> Iterator[SlurmCluster]:
    """A Slurm cluster "gamma" with slurmdbd and MariaDB, for the whole session of this process."""
    with SlurmCluster.temporary("gamma", accounting=True) as cluster:
        yield cluster


@pytest.fixture
def slurm_with_accounting(slurm_accounting: SlurmCluster) -> Iterator[SlurmCluster]:
    """The Slurm cluster "gamma", empty at the start and at the end of the test; it keeps accounts."""
    slurm_accounting.reset()
    yield slurm_accounting
    slurm_accounting.reset()


@pytest.fixture(scope="session")
def sge_cluster() -> Iterator[SgeCluster]:
    """An SGE cluster "delta" with 32 slots, for the whole session of this process."""
    with SgeCluster.temporary("delta") as cluster:
        yield cluster


@pytest.fixture
def sge(sge_cluster: SgeCluster) -> Iterator[SgeCluster]:
    """The SGE cluster "delta", empty at the start and at the end of the test."""
    sge_cluster.reset()
    yield sge_cluster
    sge_cluster.reset()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An OpenSSH server on the loopback, for the whole session of this process."""
    with SshServer(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def fleet_of(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Fleet]]:
    """A function that starts a `Fleet`, given what `Fleet` takes after its directory.

    The test's own process finds its settings too. A test that fails shows what the fleet printed.
    """
    from tests.testbed.fleet import Fleet  # only few tests need all of jobferry

    fleets: list[Fleet] = []

    def start(*arguments: Any, **keywords: Any) -> Fleet:
        fleet = Fleet(short_path / f"fleet{len(fleets)}", *arguments, **keywords)
        fleets.append(fleet)
        monkeypatch.setenv("JOBFERRY_CONFIG", str(fleet.config))
        fleet.start()
        return fleet

    yield start
    for fleet in fleets:
        fleet.stop()
        if request.node.stash.get(_FAILED, False):
            print(*(f"=== {name}\n{text}" for name, text in fleet.logs().items()), sep="\n")
