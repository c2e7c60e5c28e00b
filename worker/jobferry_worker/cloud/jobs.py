"""The jobs of the platform, which both of its services know by the same words under different paths.

jobs = Jobs(api, "/openapi/v1/job", first_page=1)
jobs.listed(lambda job: job.name.endswith(token))     pages until it is found, or there are no more
jobs.detail("7").result_url
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jobferry_worker.cloud.errors import NoAnswer

if TYPE_CHECKING:
    from jobferry_worker.cloud.api import Api

#: of every group
_ALL_GROUPS: Final = -1
_PAGE_SIZE: Final = 100
#: an account with more than 20,000 jobs is not read to its end: what was not found is asked for by its id
_PAGES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudJob:
    """One job, as the platform tells it."""

    id: str
    name: str  #: as it was made with; the token stands in it
    status: int  #: its number for the state
    exit_code: int | None = None
    result_url: str = field(default="", repr=False)  #: signed: whoever has it may read the results
    error: str = ""  #: in the platform's words
    seconds: int = 0  #: that it ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Some pages of the list."""

    jobs: Mapping[str, CloudJob]  #: by id
    #: all of them were read: what is not here is not there
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What is to run: one archive, one command in the directory where it was unpacked."""

    name: str
    command: str
    image: str
    machine: str  #: the platform's word for a size of machine: "c8_m32_1 * NVIDIA V100"
    results: tuple[str, ...]  #: paths that are brought back, in the directory of the command
    nodes: int = 1
    minutes: int | None = None  #: it is ended after so many; None: the platform's own limit
    group: str = ""  #: the platform's number of the group that shows it; "": a new one
    #: what else the user says, under the platform's own names
    more: Mapping[str, Any] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """Return what both services call by the same names."""
        log = self.more.get("logFiles")
        logs = {"logFiles": [log]} if isinstance(log, str) else {}
        said: dict[str, Any] = {
            **self.more,
            **logs,
            "jobName": self.name,
            "cmd": self.command,
            "imageName": self.image,
            "scassType": self.machine,
            "outFiles": list(self.results),
            "nnode": self.nodes,
        }
        if self.minutes is not None:
            said["maxRunTime"] = self.minutes
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job's archive lies."""

    key: str  #: of the object
    created: str = ""  #: OpenAPI: the number of what was created for it
    group: str = ""  #: OpenAPI: its group


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A job that the platform took."""

    id: str
    group: str = ""


class Jobs:
    """The jobs of one account."""

    def __init__(self, api: Api, path: str, *, first_page: int) -> None:
        self._api = api
        self._path = path
        self._first = first_page

    def listed(self, is_enough: Callable[[Mapping[str, CloudJob]], bool]) -> Listed:
        """Read pages of the list until it is enough, or there are no more.

        Raises:
            CloudError: a page cannot be had.
        """
        found: dict[str, CloudJob] = {}
        for page in range(self._first, self._first + _PAGES):
            items, total = self._page(page)
            found |= {job.id: job for job in items}
            is_complete = not items or (total is not None and len(found) >= total)
            if is_complete or is_enough(found):
                return Listed(jobs=found, is_complete=is_complete)
        return Listed(jobs=found, is_complete=False)

    def detail(self, key: str) -> CloudJob:
        """Return one job with all that is told of it.

        Raises:
            NotThere: the platform does not know it.
            CloudError: it cannot be asked.
        """
        return job_of(self._api.get(f"{self._path}/{key}"))

    def kill(self, key: str) -> None:
        """End a job; one that has ended is left alone.

        Raises:
            CloudError: the order did not arrive.
        """
        self._api.order(f"{self._path}/kill/{key}")

    def _page(self, page: int) -> tuple[list[CloudJob], int | None]:
        params = {"groupId": _ALL_GROUPS, "page": page, "pageSize": _PAGE_SIZE}
        data = self._api.get(f"{self._path}/list", params)
        items = data.get("items") if isinstance(data, dict) else None
        if not isinstance(items, list):
            msg = f"page {page} of the list of jobs has no 'items'"
            raise NoAnswer(msg)
        total = data.get("total")
        return [job_of(item) for item in items], total if isinstance(total, int) else None


def job_of(item: Any) -> CloudJob:  # noqa: ANN401 - it is JSON
    """Read a job of the platform.

    Raises:
        NoAnswer: it is none.
    """
    try:
        code = item.get("exitCode")
        return CloudJob(
            id=str(item["id"]),
            name=str(item.get("jobName") or item.get("name") or ""),
            status=int(item["status"]),
            exit_code=None if code is None else int(code),
            result_url=str(item.get("resultUrl") or ""),
            error=str(item.get("errorInfo") or ""),
            seconds=int(item.get("spendTime") or 0),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        known = sorted(item) if isinstance(item, dict) else type(item).__name__
        msg = f"what the platform tells of a job cannot be read; it has {known}"
        raise NoAnswer(msg) from None


def id_of(data: Any) -> str:  # noqa: ANN401 - it is JSON
    """Return the id that the platform gave to a job it made.

    Raises:
        NoAnswer: it gave none.
    """
    found = data.get("jobId") if isinstance(data, dict) else None
    if not found:
        msg = "the platform took the job and told no id"
        raise NoAnswer(msg)
    return str(found)


def started_of(data: Any) -> Started:  # noqa: ANN401 - it is JSON
    """Read what the platform says of a job it took.

    Raises:
        NoAnswer: it told no id.
    """
    return Started(id=id_of(data), group=str(data.get("jobGroupId") or ""))
