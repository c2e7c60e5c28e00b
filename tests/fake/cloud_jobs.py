"""Jobs and objects of a fake cloud: what is added is unpacked into a directory of its own and really runs there.

platform = Platform(tmp_path / "cloud")
platform.add({"projectId": 7, "jobType": "container", …})
platform.items()            # [{"id": 10000001, "jobName": …, "status": 1, …}]

It refuses what the platform refuses: a field that lacks, a project of others, an archive that is not there, a size of
machine that it does not have. A job sees its archive and the command, and nothing of the directory it was made from.
"""

from __future__ import annotations

import io
import secrets
import threading
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.fake.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fake.engine import Element

PROJECT: Final = 154
MACHINES: Final = frozenset({"c2_m4_cpu", "c8_m32_cpu", "c8_m32_1 * NVIDIA V100"})
_FIRST_ID: Final = 10_000_000
_FIRST_BOHR: Final = 50_000_000
_NEEDED: Final = ("jobType", "ossPath", "projectId", "scassType", "cmd", "imageName", "jobName")


class RefusedError(Exception):
    """The platform does not do it: its code and its words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


@dataclass
class Settings:
    """What a test sets."""

    killed_status: int = 5
    #: states that this many looks at a new job show before the real one
    preludes: tuple[int, ...] = ()
    held: bool = False  #: new jobs wait until they are released
    odd_status: Mapping[int, int] = field(default_factory=dict)  #: id → a number to tell instead
    minute_seconds: float = 60.0
    results_later: int = 0  #: so many looks at an ended job show no results yet


@dataclass
class _Kept:
    """What the platform knows of a job beside the engine."""

    payload: Mapping[str, Any]
    group: int
    bohr: int
    looks: int = 0
    end_looks: int = 0


class Platform:
    """The platform's state; every call may come from another thread."""

    def __init__(self, home: Path, *, slots: int = 8) -> None:
        self.home = home
        self.settings = Settings()
        self.engine = Engine(home / "engine")
        self.engine.configure(slots=slots)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.created: dict[int, str] = {}  #: OpenAPI: number → path of its store
        self.groups: dict[int, int] = {}  #: OpenAPI: number → group
        self._kept: dict[int, _Kept] = {}
        self._lock = threading.RLock()

    def create(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Create a job that nothing starts, with a place for its archive."""
        self._own_project(payload)
        with self._lock:
            number = _FIRST_BOHR + len(self.created) + 1
            self.created[number] = path = f"sandbox/{secrets.token_hex(4)}/{number}/"
            group = int(payload.get("bohrGroupId") or number + 1_000_000)
            self.groups[number] = group
        return {"jobId": number, "storePath": path, "jobGroupId": group}

    def add(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Start a job."""
        self._own_project(payload)
        for name in _NEEDED:
            if not payload.get(name):
                raise RefusedError(2101, f"param error: {name} is required")
        if payload["jobType"] != "container":
            raise RefusedError(2101, "jobType must be container")
        if payload["scassType"] not in MACHINES:
            raise RefusedError(2101, f"no machine of type {payload['scassType']}")
        for name in ("ossPath", "outFiles", "logFiles"):
            if not isinstance(payload.get(name, []), list):
                raise RefusedError(2101, f"param error: {name} must be an array")
        with self._lock:
            key, kept = self._start(payload)
            self._kept[key] = kept
        return {"jobId": key, "bohrJobId": kept.bohr, "jobGroupId": kept.group}

    def items(self) -> list[dict[str, Any]]:
        """Return all jobs, the newest first."""
        with self._lock:
            elements = {one.job.number: one for one in self.engine.elements()}
            keys = sorted(self._kept, reverse=True)
            return [self._told(key, elements[key - _FIRST_ID]) for key in keys]

    def item(self, key: int) -> dict[str, Any]:
        """Return one job, with the place of its results."""
        found = next((item for item in self.items() if item["id"] == key), None)
        if found is None:
            raise RefusedError(2300, "no such job")
        if found["status"] in (2, -1):
            found["resultUrl"] = self._results(key)
        return found

    def kill(self, key: int) -> None:
        """End a job."""
        if key not in self._kept:
            raise RefusedError(2300, "no such job")
        self.engine.cancel(key - _FIRST_ID)

    def vanish(self, key: int) -> None:
        """Forget a job."""
        with self._lock:
            del self._kept[key]
            self.engine.vanish(key - _FIRST_ID)

    def release(self, key: int) -> None:
        """Let a held job start."""
        self.engine.release(key - _FIRST_ID)

    def id_of(self, number: int) -> int:
        """Return what the platform calls a job of the engine."""
        return _FIRST_ID + number

    def directory(self, key: int) -> Path:
        """Return where a job runs."""
        return self.home / "machines" / str(key)

    def payload(self, key: int) -> Mapping[str, Any]:
        """Return what a job was added with."""
        return self._kept[key].payload

    def stop(self) -> None:
        """End all jobs."""
        self.engine.stop()

    def _own_project(self, payload: Mapping[str, Any]) -> None:
        if payload.get("projectId") != PROJECT:
            raise RefusedError(2103, "Permission error")

    def _start(self, payload: Mapping[str, Any]) -> tuple[int, _Kept]:
        number = int(payload.get("jobId", 0))
        if number and number not in self.created:
            raise RefusedError(2101, f"job {number} was not created")
        place = self.home / "machines" / secrets.token_hex(6)
        place.mkdir(parents=True)
        for path in payload["ossPath"]:
            self._unpack(path, place)
        out = str(self.home / f"{place.name}.out")
        job = self.engine.submit(
            script=f"{payload['cmd']}\n",
            out=out,
            env={},
            held=self.settings.held,
            name=payload["jobName"],
            user="root",
            queue="cloud",
            directory=str(place),
            limit=self.settings.minute_seconds * payload["maxRunTime"]
            if payload.get("maxRunTime")
            else None,
        )
        key = _FIRST_ID + job.number
        self.directory(key).symlink_to(place)
        group = int(payload.get("jobGroupId") or self.groups.get(number) or key + 2_000_000)
        return key, _Kept(payload=payload, group=group, bohr=number or key + 3_000_000)

    def _unpack(self, path: str, place: Path) -> None:
        content = next((self.objects[key] for key in self.objects if path.endswith(key)), None)
        if content is None:
            raise RefusedError(2101, "the input of the job does not exist")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(place)

    def _told(self, key: int, element: Element) -> dict[str, Any]:
        kept = self._kept[key]
        status = self._status(element)
        if kept.looks < len(self.settings.preludes):
            status = self.settings.preludes[kept.looks]
        kept.looks += 1
        return {
            "id": key,
            "bohrId": kept.bohr,
            "jobGroupId": kept.group,
            "jobName": kept.payload["jobName"],
            "status": self.settings.odd_status.get(key, status),
            "exitCode": element.code or 0,
            "errorInfo": "" if status >= 0 else f"job exited with {element.code}",
            "resultUrl": "",
            "spendTime": self._spent(element),
        }

    def _spent(self, element: Element) -> int:
        """Return how many seconds a job ran, as the platform counts them."""
        if element.started is None:
            return 0
        ran = (element.ended or time.time()) - element.started
        return int(ran * 60 / self.settings.minute_seconds)

    def _status(self, element: Element) -> int:
        match element.phase, element.how:
            case "held", _:
                return 9
            case "queued", _:
                return 0
            case "running", _:
                return 1
            case _, "cancelled":
                return self.settings.killed_status
            case _:
                return -1 if element.code else 2

    def _results(self, key: int) -> str:
        """Return the path of the results with what opens it; they are gathered when somebody asks first."""
        kept = self._kept[key]
        kept.end_looks += 1
        if kept.end_looks <= self.settings.results_later:
            return ""
        name = f"results/{key}/out.zip"
        if name not in self.objects:
            self.objects[name] = _zipped(self.directory(key), kept.payload.get("outFiles", []))
        return name


def _zipped(place: Path, names: list[str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            if (place / name).is_file():
                archive.write(place / name, name)
    return content.getvalue()
