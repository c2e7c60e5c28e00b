"""YARN as a bridge's system: each job is an application of Hadoop's DistributedShell with one container.

    system = Yarn(LocalHost(), timedelta(seconds=60))
    system.start(job, bootstrap)          'application_1732000000000_0007'

Its client stays until the application ends, and would kill it when its own time is over. It is ended as soon as it says
that the application was submitted: that ends no application.
"""

from __future__ import annotations

import glob
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import CommandFailed, SubmitRefused, UnreadableOutput
from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.distributed_shell import MARK
from jobferry_common.schedulers.distributed_shell_answers import (
    applications,
    is_table,
    meaning,
    submit_error,
    submitted,
)
from jobferry_worker.bridge.base import Said

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from jobferry_common.schedulers.distributed_shell_answers import Application
    from jobferry_worker.bridge.books import Job
    from jobferry_worker.hosts.base import Output
    from jobferry_worker.hosts.local import LocalHost

_CLIENT: Final = "org.apache.hadoop.yarn.applications.distributedshell.Client"
_JAR: Final = "hadoop-yarn-applications-distributedshell-*.jar"
#: where Hadoop says that it is, and where its own jars lie there
_HOMES: Final = ("HADOOP_YARN_HOME", "HADOOP_HOME")
_PLACES: Final = ("share/hadoop/yarn", "")
#: the client's own limit, after which it kills the application: as late as it can be said
_LATE_MILLISECONDS: Final = 2**31 - 1
_PIECE: Final = 1 << 16
#: of so many applications at once does a kill speak
_KILLED: Final = 100


class Yarn:
    """The `System` of YARN."""

    name = "YARN"

    def __init__(self, host: LocalHost, limit: timedelta) -> None:
        self._host = host
        self._limit = limit

    def facts(self) -> str:
        """Return Hadoop's version; the resource manager has to answer, too."""
        self._applications()
        told = self._host.run(("yarn", "version"), limit=self._limit).checked()
        lines = [line for line in told.splitlines() if line.startswith(("Hadoop ", "YARN "))]
        return lines[0] if lines else "unknown"

    def start(self, job: Job, bootstrap: Path) -> str:
        """Start an application; wait only until its client says that it was submitted."""
        options = _options(job)
        jar = _jar(options)
        argv = ("hadoop", "jar", jar, _CLIENT, *_words(jar, job, bootstrap, options))
        # log4j writes to either of them
        merged = ("sh", "-c", 'exec "$@" 2>&1', "sh", *argv)
        with self._host.output(merged, silence=self._limit) as output:
            text, found = _until_submitted(output)
            if found:
                return found
            done = output.end()
        raise submit_error(done.exit_code, text + done.stderr)

    def look(self, jobs: Sequence[Job]) -> Sequence[Said]:
        """Return what YARN has of all users' applications, those of ours with their token."""
        ids = {one: job.token for job in jobs for one in job.ids}
        names = {job.label: job.token for job in jobs}
        found = ((one, ids.get(one.id) or names.get(one.name)) for one in self._applications())
        return [_said(one, token) for one, token in found if token]

    def stop(self, ids: Sequence[str]) -> None:
        """Kill applications; one that has ended already is none of ours to kill."""
        for start in range(0, len(ids), _KILLED):
            argv = ("yarn", "application", "-kill", *ids[start : start + _KILLED])
            done = self._host.run(argv, limit=self._limit)
            if done.exit_code and "has already finished" not in done.stdout + done.stderr:
                raise CommandFailed(done.argv, done.exit_code, done.stderr)

    def owner(self) -> str:
        """Return the application's id out of `container_e17_1732000000000_0007_01_000002`."""
        return '"$([[ ${CONTAINER_ID-} =~ _([0-9]+_[0-9]+)_[0-9]+_[0-9]+$ ]] && echo "application_${BASH_REMATCH[1]}")"'

    def _applications(self) -> list[Application]:
        argv = ("yarn", "application", "-list", "-appStates", "ALL")
        text = self._host.run(argv, limit=self._limit).checked()
        if not is_table(text):
            msg = f"yarn application -list answers no table: {text[:200]!r}"
            raise UnreadableOutput(msg)
        return applications(text)


def _said(one: Application, token: str) -> Said:
    phase, outcome = meaning(one.state, one.final)
    over = phase is Phase.ENDED
    return Said(
        id=one.id,
        token=token,
        phase=phase,
        outcome=outcome,
        reason=f"{one.id} is {one.state}{f', {one.final}' if over else ''}",
        word=f"{one.state} {one.final}",
    )


def _options(job: Job) -> list[str]:
    """Return the options that the job's header and its custom_flags give to the client."""
    lines = [line.removeprefix(MARK) for line in job.header if line.startswith(f"{MARK} ")]
    try:
        return [word for line in lines for word in shlex.split(line)]
    except ValueError as error:
        msg = f"a line of the header cannot be read as words: {error}"
        raise SubmitRefused(msg) from error


def _jar(options: list[str]) -> str:
    """Return the client's jar, and take the directory or jar that the user gave out of the options.

    Raises:
        SubmitRefused: there is none.
    """
    places = _places()
    if "-jar" in options:
        at = options.index("-jar")
        given = options[at + 1] if at + 1 < len(options) else ""
        del options[at : at + 2]
        if given.endswith(".jar"):
            return given
        places = [given]
    found = [jar for place in places for jar in sorted(glob.glob(f"{glob.escape(place)}/{_JAR}"))]  # noqa: PTH207
    fit = [jar for jar in found if not jar.endswith(("-sources.jar", "-tests.jar"))]
    if not fit:
        msg = (
            f"there is no {_JAR} in {' or '.join(places) or 'no place that Hadoop names'}; "
            "expected its directory in resources.kwargs.yarn_path"
        )
        raise SubmitRefused(msg)
    return fit[-1]


def _places() -> list[str]:
    """Return where Hadoop's own jars may be: where it says that it is, and around its command."""
    homes = [os.environ[name] for name in _HOMES if name in os.environ]
    if command := shutil.which("hadoop"):
        homes.append(str(Path(command).resolve().parent.parent))
    return [f"{home}/{place}".rstrip("/") for home in homes for place in _PLACES]


def _words(jar: str, job: Job, bootstrap: Path, options: Sequence[str]) -> tuple[str, ...]:
    return (
        *("-jar", jar, "-appname", job.label, "-num_containers", "1"),
        *("-timeout", str(_LATE_MILLISECONDS)),
        *("-shell_script", str(bootstrap)),
        *options,
    )


def _until_submitted(output: Output) -> tuple[str, str]:
    """Read what the client says; return it, and the application once it was submitted."""
    text = ""
    while piece := output.read(_PIECE):
        text += piece.decode("utf-8", "replace")
        for line in text.splitlines(keepends=True):
            if line.endswith("\n") and (found := submitted(line)):
                return text, found
    return text, ""
