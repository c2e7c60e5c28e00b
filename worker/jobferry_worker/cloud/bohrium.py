"""Bohrium by an account or a ticket: the service that DPDispatcher's batch type of this name speaks to.

cloud = Bohrium(account, bucket=…, objects=…, project=7)
place = cloud.put(job, Path("job.zip"))
cloud.jobs.detail(cloud.start(job, place).id).status

The archive goes to a bucket of OSS under a key that the platform lends, and the job names its address. A ticket
(BOHR_TICKET) comes first; without one, the account's password is changed into a token that runs out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobferry_worker.cloud.answers import data_of
from jobferry_worker.cloud.api import Api, patiently
from jobferry_worker.cloud.errors import NoAnswer
from jobferry_worker.cloud.http import Http, Request
from jobferry_worker.cloud.jobs import Jobs, Place, started_of
from jobferry_worker.cloud.oss import Bucket, Lent, put

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobferry_worker.cloud.jobs import NewJob, Started


@dataclass(kw_only=True)
class Account:
    """Who asks: a ticket, or an account with its password."""

    http: Http
    base: str
    ticket: str = field(default="", repr=False)
    name: str = ""  #: e-mail or telephone number
    password: str = field(default="", repr=False)
    pause_seconds: float = 0.5
    _token: str = field(default="", repr=False)

    def headers(self) -> Mapping[str, str]:
        """Return the ticket, or the token of a login."""
        if self.ticket:
            return {"Brm-Ticket": self.ticket}
        if not self._token:
            self._token = patiently(self._log_in, pause_seconds=self.pause_seconds)
        return {"Authorization": f"jwt {self._token}"}

    def renew(self) -> bool:
        """Have the next request log in again."""
        self._token = ""
        return not self.ticket

    def secrets(self) -> Iterator[str]:
        """Return what must be in no message."""
        yield from (self.ticket, self.password, self._token)

    def _log_in(self) -> str:
        body = json.dumps({"email": self.name, "password": self.password}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        url = f"{self.base.rstrip('/')}/account/login"
        answer = self.http.send(Request(method="POST", url=url, headers=headers, body=body))
        data = data_of(answer, once=False, secrets=(self.password,))
        token = data.get("token") if isinstance(data, dict) else None
        if not token:
            msg = "the login was accepted and told no token"
            raise NoAnswer(msg)
        return str(token)


class Bohrium:
    """The service, for one account and one project."""

    def __init__(
        self,
        account: Account,
        *,
        bucket: Bucket,
        objects: str,
        project: int,
    ) -> None:
        self.http = account.http
        self._api = Api(account.http, account.base, account, pause_seconds=account.pause_seconds)
        self.jobs = Jobs(self._api, "/brm/v1/job", first_page=0)
        self._bucket = bucket
        self._objects = objects.rstrip("/")
        self._project = project

    def put(self, job: NewJob, archive: Path) -> Place:
        """Put a job's archive where the platform finds it; return its place there.

        Raises:
            CloudError: it is not there, or nobody knows; it may be put again.
        """
        key = f"program/{self._project}/{job.name}/job.zip"
        lent = self._lent()
        with self._api.hidden():
            patiently(
                lambda: put(self.http, self._bucket, lent, key, archive),
                pause_seconds=self._api.pause_seconds,
            )
        return Place(key=key)

    def start(self, job: NewJob, place: Place) -> Started:
        """Have a job made of an archive, once.

        Raises:
            NoAnswer: it may have been made: its name tells.
            CloudError: it was not made.
        """
        payload = job.payload()
        others = payload.pop("jobResources", [])
        payload |= {
            "projectId": self._project,
            "ossPath": [*others, f"{self._objects}/{place.key}"],
        }
        payload.setdefault("jobType", "container")
        if job.group:
            payload["jobGroupId"] = int(job.group)
        return started_of(self._api.make("/brm/v2/job/add", payload))

    def _lent(self) -> Lent:
        data = self._api.get("/data/get_sts_token")
        try:
            return Lent(
                key_id=data["AccessKeyId"],
                secret=data["AccessKeySecret"],
                token=data["SecurityToken"],
            )
        except (KeyError, TypeError):
            msg = "the platform lent no key to its store of objects"
            raise NoAnswer(msg) from None
