"""The platform's OpenAPI by an access key: what DPDispatcher's batch type of this name speaks to.

cloud = OpenApi(api, project=7)
place = cloud.put(job, Path("job.zip"))
cloud.jobs.detail(cloud.start(job, place).id).status

A job is created first, which starts nothing: the answer names the store, the path and the token for its archive. Then
it is added to the queue, by the number of what was created. What is created and never added runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jobferry_worker.cloud.errors import NoAnswer
from jobferry_worker.cloud.http import checked
from jobferry_worker.cloud.jobs import Jobs, Place, id_of, started_of
from jobferry_worker.cloud.tiefblue import PART, Tiefblue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobferry_worker.cloud.api import Api
    from jobferry_worker.cloud.jobs import NewJob, Started


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """Who asks. The key travels in headers: an address with it would stand in the logs of others."""

    key: str = field(repr=False)
    app_key: str = field(default="", repr=False)

    def headers(self) -> Mapping[str, str]:
        """Return the key in both forms that the platform's own clients send."""
        app = {"x-app-key": self.app_key} if self.app_key else {}
        return {"Authorization": f"Bearer {self.key}", "accessKey": self.key, **app}

    def renew(self) -> bool:
        """Return False: another attempt would send the same key."""
        return False

    def secrets(self) -> Iterator[str]:
        """Return what must be in no message."""
        yield from (self.key, self.app_key)


class OpenApi:
    """The service, for one access key and one project."""

    def __init__(self, api: Api, *, project: int, store: str, part: int = PART) -> None:
        self.http = api.http
        self.jobs = Jobs(api, "/openapi/v1/job", first_page=1)
        self._api = api
        self._project = project
        self._store = store
        self._part = part

    def put(self, job: NewJob, archive: Path) -> Place:
        """Create a job and put its archive.

        Raises:
            CloudError: it is not there, or nobody knows; it may be put again.
        """
        payload: dict[str, Any] = {"projectId": self._project, "name": job.name}
        if job.group:
            payload["bohrGroupId"] = int(job.group)
        made = self._api.make("/openapi/v1/job/create", payload)
        number, path, token = id_of(made), _told(made, "storePath"), _told(made, "token")
        host = checked(str(made.get("storeHost") or self._store))
        key = f"{path.rstrip('/')}/job.zip"
        store = Tiefblue(
            self.http, host, token, part=self._part, pause_seconds=self._api.pause_seconds
        )
        with self._api.hidden():
            store.put(key, archive)
        return Place(key=key, created=number, group=str(made.get("jobGroupId") or ""))

    def start(self, job: NewJob, place: Place) -> Started:
        """Add a created job to the queue, once.

        Raises:
            NoAnswer: it may have been added: its name tells.
            CloudError: it was not added.
        """
        payload = {"jobType": "container", "platform": "ali", **job.payload()}
        payload |= {
            "projectId": self._project,
            "jobId": int(place.created),
            "ossPath": [place.key],
            "inputFileType": 3,  # an archive, which the platform unpacks
            "inputFileMethod": 1,  # from its own store
        }
        made = started_of(self._api.make("/openapi/v2/job/add", payload))
        return replace(made, group=place.group or made.group)


def _told(data: Any, name: str) -> str:  # noqa: ANN401 - it is JSON
    value = data.get(name) if isinstance(data, dict) else None
    if not value:
        msg = f"the platform created a job and told no {name!r}"
        raise NoAnswer(msg)
    return str(value)
