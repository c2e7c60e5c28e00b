"""An API of JSON over HTTP: who asks, what may be asked again, and no secret in what is told.

api.get("/openapi/v1/job/list", {"page": 1})     asked again while the service is busy or silent
api.make("/openapi/v2/job/add", {…})             sent once: whoever wants it again looks first whether it was done
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

import tenacity

from jobferry_worker.cloud.answers import HIDDEN, data_of
from jobferry_worker.cloud.errors import CloudError, Denied, NoAnswer, NotNow
from jobferry_worker.cloud.http import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry_worker.cloud.http import Http

logger: Final = logging.getLogger(__name__)

_ATTEMPTS: Final = 4

Json = Mapping[str, Any]
T = TypeVar("T")


class Access(Protocol):
    """Who asks."""

    def headers(self) -> Mapping[str, str]:
        """Return what proves it; may log in for that.

        Raises:
            CloudError: it cannot be proved.
        """
        ...

    def renew(self) -> bool:
        """Forget what was refused; False where another attempt would send the same."""
        ...

    def secrets(self) -> Iterator[str]:
        """Return what must be in no message."""
        ...


def patiently(act: Callable[[], T], *, pause_seconds: float) -> T:
    """Do what may be done twice, some times, while the service is busy or silent.

    Raises:
        CloudError: the last one.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_passing),
        wait=tenacity.wait_random_exponential(multiplier=pause_seconds, max=30 * pause_seconds),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )
    return retrying(act)


def _passing(error: BaseException) -> bool:
    return isinstance(error, NotNow | NoAnswer) and not isinstance(error, Denied)


class Api:
    """One service, as one account sees it."""

    def __init__(
        self, http: Http, base: str, access: Access, *, pause_seconds: float = 0.5
    ) -> None:
        self.http = http
        self.pause_seconds = pause_seconds
        self._base = base.rstrip("/")
        self._access = access

    def get(self, path: str, params: Json | None = None) -> Any:  # noqa: ANN401 - it is JSON
        """Ask.

        Raises:
            CloudError: there is no answer, or it is an error.
        """
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        request = Request(method="GET", url=f"{self._base}{path}{query}")
        return patiently(lambda: self._sent(request, once=False), pause_seconds=self.pause_seconds)

    def order(self, path: str, payload: Json | None = None) -> Any:  # noqa: ANN401 - it is JSON
        """Order what comes to the same if it is ordered twice, such as an end.

        Raises:
            CloudError: it was not carried out, or nobody knows.
        """
        request = self._post(path, payload or {})
        return patiently(lambda: self._sent(request, once=False), pause_seconds=self.pause_seconds)

    def make(self, path: str, payload: Json) -> Any:  # noqa: ANN401 - it is JSON
        """Have something made; it is sent once.

        Raises:
            NoAnswer: it may have been made.
            CloudError: it was not made.
        """
        return self._sent(self._post(path, payload), once=True)

    def _post(self, path: str, payload: Json) -> Request:
        body = json.dumps(payload).encode()
        headers = {"Content-Type": "application/json"}
        return Request(method="POST", url=self._base + path, headers=headers, body=body)

    def _sent(self, request: Request, *, once: bool) -> Any:  # noqa: ANN401 - it is JSON
        """Send it; a proof of identity that has run out is renewed, for then nothing was done."""
        with self.hidden():
            try:
                return self._answered(request, once=once)
            except Denied:
                if not self._access.renew():
                    raise
            logger.debug("Log in again.", extra={"action": "cloud-login"})
            return self._answered(request, once=once)

    def _answered(self, request: Request, *, once: bool) -> Any:  # noqa: ANN401 - it is JSON
        headers = {"Accept": "application/json", **request.headers, **self._access.headers()}
        sent = Request(method=request.method, url=request.url, headers=headers, body=request.body)
        return data_of(self.http.send(sent), once=once, secrets=self._access.secrets())

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Raise errors without the secrets that a service may repeat."""
        try:
            yield
        except CloudError as error:
            text = str(error)
            for secret in filter(None, self._access.secrets()):
                text = text.replace(secret, HIDDEN)
            raise type(error)(text) from None
