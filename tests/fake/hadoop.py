"""A fake Hadoop: `hadoop fs` on a directory that stands for HDFS, `hadoop jar` with DistributedShell's client, `yarn`.

Options and messages are those of Hadoop's sources (Client.java and ApplicationCLI.java of DistributedShell and
yarn-client, FsShell), and of logs that others have published. A container is a directory of its own; nothing of the
one who submitted is in it.
"""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fake.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.fake.engine import Element

COMMANDS: Final = ("hadoop", "yarn")
USER: Final = "root"
_STARTED: Final = 1732000000000
_CLIENT: Final = "org.apache.hadoop.yarn.applications.distributedshell.Client"
#: what a node manager tells a container, in front of its script
_WHO: Final = (
    f'CONTAINER_ID=container_e17_{_STARTED}_$(printf %04d "$FAKE_NUMBER")_01_000002\n'
    "export CONTAINER_ID\nunset FAKE_NUMBER\n"
)
#: options of the client that take a value, and flags; of 3.1 and later
_VALUES: Final = frozenset(
    {
        "appname",
        "priority",
        "queue",
        "timeout",
        "master_memory",
        "master_vcores",
        "master_resources",
        "jar",
        "shell_command",
        "shell_script",
        "shell_args",
        "shell_env",
        "container_memory",
        "container_vcores",
        "container_resources",
        "num_containers",
        "log_properties",
        "node_label_expression",
        "container_retry_policy",
        "container_max_retries",
    }
)
_FLAGS: Final = frozenset({"debug", "help", "keep_containers_across_application_attempts"})


def main(command: str, home: str, arguments: Sequence[str]) -> int:
    """Run one command."""
    engine = Engine(Path(home))
    if fault := engine.config.get(f"fault {command}"):
        print(fault, file=sys.stderr)
        return 1
    match command, list(arguments):
        case "hadoop", ["fs", verb, *rest]:
            code = _fs(Path(home) / "hdfs", verb, rest)
        case "hadoop", ["jar", jar, *rest]:
            code = _jar(engine, jar, rest)
        case "yarn", ["version"]:
            print("Hadoop 3.3.6\nSource code repository https://github.com/apache/hadoop.git")
            code = 0
        case "yarn", ["application", "-list", "-appStates", "ALL"]:
            code = _list(engine)
        case "yarn", ["application", "-kill", *ids] if ids:
            code = _kill(engine, ids)
        case _:
            print(f"Invalid command {command} {' '.join(arguments)}", file=sys.stderr)
            code = 255
    return code


def environment(home: Path, path: Mapping[str, str]) -> dict[str, str]:
    """Install Hadoop's jar below `home`; return an environment that says where it is."""
    jars = home / "hadoop/share/hadoop/yarn"
    jars.mkdir(parents=True)
    (jars / "hadoop-yarn-applications-distributedshell-3.3.6.jar").touch()
    return {**path, "HADOOP_HOME": str(home / "hadoop")}


def application(number: int) -> str:
    """Return the id of an application."""
    return f"application_{_STARTED}_{number:04}"


def _log(text: str, level: str = "INFO") -> None:
    print(
        f"2024-11-19 10:00:00,000 {level} distributedshell.Client: {text}",
        file=sys.stderr,
        flush=True,
    )


# ---- hadoop jar


def _jar(engine: Engine, jar: str, arguments: Sequence[str]) -> int:
    if not Path(jar).is_file():
        print(f"JAR does not exist or is not a normal file: {jar}", file=sys.stderr)
        return 255
    if not arguments or arguments[0] != _CLIENT:
        print(
            f'Exception in thread "main" java.lang.ClassNotFoundException: {arguments[:1]}',
            file=sys.stderr,
        )
        return 1
    _log("Initializing Client")
    try:
        options = _parsed(arguments[1:])
        number = _submitted(engine, options)
    except ValueError as error:
        _log(f"Error running Client\n{error}", "ERROR")
        return 1
    return _monitored(engine, number, int(options.get("timeout", ["600000"])[-1]))


def _parsed(arguments: Sequence[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    left = list(arguments)
    while left:
        name = left.pop(0).lstrip("-")
        if name in _VALUES:
            if not left:
                msg = f"org.apache.commons.cli.MissingArgumentException: Missing argument for option: {name}"
                raise ValueError(msg)
            found.setdefault(name, []).append(left.pop(0))
        elif name in _FLAGS:
            found[name] = []
        else:
            msg = (
                f"org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -{name}"
            )
            raise ValueError(msg)
    if "jar" not in found:
        msg = "java.lang.IllegalArgumentException: No jar file specified for application master"
        raise ValueError(msg)
    for name in ("container_memory", "container_vcores", "num_containers", "timeout"):
        if not all(text.isdecimal() for text in found.get(name, [])):
            msg = f'java.lang.NumberFormatException: For input string: "{found[name]}"'
            raise ValueError(msg)
    return found


def _submitted(engine: Engine, options: Mapping[str, list[str]]) -> int:
    given = {name: values[-1] for name, values in options.items() if values}
    script = Path(given["shell_script"])
    if not script.is_file():
        msg = f"java.io.FileNotFoundException: File {script} does not exist"
        raise ValueError(msg)
    _log("Running Client")
    _log("Submitting application to ASM")
    queue = given.get("queue", "default")
    _refused(engine, queue)
    container = engine.home / "containers" / uuid.uuid4().hex
    container.mkdir(parents=True)
    job = engine.submit(
        script=f"{_WHO}{script.read_text()}",
        out=str(container / "stdout"),
        err=str(container / "stderr"),
        env={
            **dict(pair.partition("=")[::2] for pair in options.get("shell_env", [])),
            "FAKE_NUMBER": "%i",
        },
        name=given.get("appname", "DistributedShell"),
        user=USER,
        queue=queue,
        directory=str(container),
        more={"options": dict(options)},
    )
    _home_of(engine, given.get("appname", "DistributedShell"), job.number, script)
    if not engine.config.get("mute"):
        print(
            f"2024-11-19 10:00:01,000 INFO impl.YarnClientImpl: Submitted application {application(job.number)}",
            file=sys.stderr,
            flush=True,
        )
    return job.number


def _refused(engine: Engine, queue: str) -> None:
    if queue not in engine.config.get("queues", ["default"]):
        msg = (
            "org.apache.hadoop.yarn.exceptions.YarnException: Failed to submit application_1_1 to YARN : "
            f"Application application_1_1 submitted by user {USER} to unknown queue: {queue}"
        )
        raise ValueError(msg)
    room = engine.config.get("max applications")
    if room is not None and sum(one.phase != "done" for one in engine.elements()) >= room:
        msg = (
            "org.apache.hadoop.yarn.exceptions.YarnException: Failed to submit application_1_1 to YARN : "
            f"org.apache.hadoop.security.AccessControlExc: Queue root.{queue} already has {room} applications, "
            "cannot accept submission of application: application_1_1"
        )
        raise ValueError(msg)


def _home_of(engine: Engine, name: str, number: int, script: Path) -> None:
    """Leave in the user's home what the client brings there."""
    place = engine.home / "hdfs" / "user" / USER / name / application(number)
    place.mkdir(parents=True)
    shutil.copy(script, place / "ExecScript.sh")
    (place / "AppMaster.jar").touch()


def _monitored(engine: Engine, number: int, milliseconds: int) -> int:
    """Stay until it ends, and kill it when the time is over."""
    begun = time.monotonic()
    while True:
        time.sleep(0.2)
        (one,) = [one for one in engine.elements() if one.job.number == number]
        if one.phase == "done":
            return 0 if one.code == 0 else 2
        if time.monotonic() - begun > milliseconds / 1000:
            _log("Reached client specified timeout for application. Killing application")
            engine.cancel(number)
            return 2


# ---- yarn application


def _words(one: Element) -> tuple[str, str, str]:
    if one.phase == "done":
        if one.how == "cancelled":
            return "KILLED", "KILLED", "100%"
        return "FINISHED", "SUCCEEDED" if one.code == 0 else "FAILED", "100%"
    return ("RUNNING" if one.phase == "running" else "ACCEPTED"), "UNDEFINED", "0%"


def _list(engine: Engine) -> int:
    found = [] if engine.config.get("hidden") else engine.elements()
    print(
        "Total number of applications (application-types: [], states: [NEW, NEW_SAVING, SUBMITTED, ACCEPTED, "
        f"RUNNING, FINISHED, FAILED, KILLED] and tags: []):{len(found)}"
    )
    row = "{:>30}\t{:>20}\t{:>20}\t{:>10}\t{:>10}\t{:>18}\t{:>18}\t{:>15}\t{:>35}"
    print(
        row.format(
            "Application-Id", "Application-Name", "Application-Type", "User", "Queue", "State",
            "Final-State", "Progress", "Tracking-URL",
        )
    )  # fmt: skip
    for one in found:
        job = one.job
        state, final, progress = _words(one)
        named = engine.config.get("state", {}).get(str(job.number), state)
        cells = (
            application(job.number),
            job.name,
            "YARN",
            job.user,
            job.queue,
            named,
            final,
            progress,
            "N/A",
        )
        print(row.format(*cells))
    return 0


def _kill(engine: Engine, ids: Sequence[str]) -> int:
    numbers = {application(number): number for number in engine.jobs()}
    code = 0
    for one in ids:
        if one not in numbers:
            print(f"Application with id '{one}' doesn't exist in RM.", file=sys.stderr)
            code = 255
        elif engine.cancel(numbers[one]):
            print(f"Killing application {one}")
        else:
            print(f"Application {one} has already finished ")
    return code


# ---- hadoop fs


def _fs(root: Path, verb: str, words: list[str]) -> int:
    flags = [word for word in words if word.startswith("-")]
    paths = [word for word in words if not word.startswith("-")]
    verbs: Mapping[str, tuple[set[str], int, Callable[..., str]]] = {
        "-mkdir": ({"-p"}, 1, _mkdir),
        "-put": ({"-f"}, 2, _put),
        "-get": ({"-f"}, 2, _get),
        "-mv": (set(), 2, _mv),
        "-cat": (set(), 1, _cat),
        "-test": ({"-e"}, 1, _test),
        "-rm": ({"-r", "-f", "-skipTrash"}, 1, _rm),
    }
    if verb not in verbs:
        print(f"{verb.lstrip('-')}: Unknown command", file=sys.stderr)
        return 255
    known, least, do = verbs[verb]
    if strange := [flag for flag in flags if flag not in known]:
        print(f"{verb}: Illegal option {strange[0]}", file=sys.stderr)
        return 255
    if len(paths) < least:
        print(
            f"{verb}: Not enough arguments: expected {least} but got {len(paths)}", file=sys.stderr
        )
        return 255
    said = do(root, set(flags), *paths)
    if said and verb != "-test":
        print(f"{verb.lstrip('-')}: {said}", file=sys.stderr)
    return 1 if said else 0


def _at(root: Path, path: str) -> Path:
    inner = path.removeprefix("hdfs://namenode:8020")
    return root / (inner.lstrip("/") if inner.startswith("/") else f"user/{USER}/{inner}")


def _mkdir(root: Path, flags: set[str], path: str) -> str:
    place = _at(root, path)
    if place.exists() and "-p" not in flags:
        return f"`{path}': File exists"
    place.mkdir(parents=True, exist_ok=True)
    return ""


def _put(root: Path, flags: set[str], source: str, path: str) -> str:
    place = _at(root, path)
    if place.exists() and "-f" not in flags:
        return f"`{path}': File exists"
    if not place.parent.is_dir():
        return f"`{path}': No such file or directory: `hdfs://namenode:8020{path}'"
    part = place.with_name(f"{place.name}._COPYING_")
    shutil.copyfile(source, part)
    part.replace(place)
    return ""


def _get(root: Path, flags: set[str], path: str, target: str) -> str:
    if not _at(root, path).exists():
        return f"`{path}': No such file or directory"
    if Path(target).exists() and "-f" not in flags:
        return f"`{target}': File exists"
    shutil.copyfile(_at(root, path), target)
    return ""


def _mv(root: Path, _: set[str], path: str, target: str) -> str:
    if not _at(root, path).exists():
        return f"`{path}': No such file or directory"
    try:  # atomic, and it replaces nothing
        _at(root, target).hardlink_to(_at(root, path))
    except FileExistsError:
        return f"`{target}': File exists"
    _at(root, path).unlink()
    return ""


def _cat(root: Path, _: set[str], path: str) -> str:
    if not _at(root, path).exists():
        return f"`{path}': No such file or directory"
    print(_at(root, path).read_text(), end="")
    return ""


def _test(root: Path, _: set[str], path: str) -> str:
    return "" if _at(root, path).exists() else "no"


def _rm(root: Path, flags: set[str], *paths: str) -> str:
    for path in paths:
        place = _at(root, path)
        if not place.exists() and "-f" not in flags:
            return f"`{path}': No such file or directory"
        if place.is_dir() and "-r" not in flags:
            return f"`{path}': Is a directory"
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    return ""
