"""The cloud of a profile, with what the worker's environment adds to it.

open_cloud(profile, os.environ)

    BOHR_TICKET                                         Bohrium: instead of email or phone and password
    BOHRIUM_ACCESS_KEY, BOHRIUM_PROJECT_ID, BOHRIUM_APP_KEY     OpenAPI: what the profile does not say
    ACCESS_KEY, PROJECT_ID, APP_KEY                     the same; the names above come first
    BOHRIUM_BASE_URL, TIEFBLUE_BASE_URL                 OpenAPI: another address
    DPDISPATCHER_LEBESGUE_API_HOST, …_ALI_…             Bohrium: other addresses

Addresses come from the environment alone: a submission that could name one could have credentials sent there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common import secrets
from jobferry_common.errors import BadInput
from jobferry_common.models.profiles import BohriumProfile, OpenApiProfile
from jobferry_worker.cloud.api import Api
from jobferry_worker.cloud.bohrium import Account, Bohrium
from jobferry_worker.cloud.errors import Denied
from jobferry_worker.cloud.http import Http, checked
from jobferry_worker.cloud.openapi import AccessKey, OpenApi
from jobferry_worker.cloud.oss import Bucket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

Cloud = Bohrium | OpenApi
_READER: Final = "the worker"


def open_cloud(
    profile: BohriumProfile | OpenApiProfile,
    environment: Mapping[str, str],
    *,
    pause_seconds: float = 0.5,
) -> Cloud:
    """Return the cloud of a profile; nothing is asked of it yet.

    Raises:
        Denied: there is nothing to prove who asks, or it cannot be read.
        Refused: an address may not be used.
    """
    if isinstance(profile, BohriumProfile):
        return _bohrium(profile, environment, pause_seconds)
    return _openapi(profile, environment, pause_seconds)


def _bohrium(profile: BohriumProfile, environment: Mapping[str, str], pause: float) -> Bohrium:
    base = checked(environment.get("DPDISPATCHER_LEBESGUE_API_HOST") or "https://bohrium.dp.tech")
    account = _account(profile, environment, base)
    account.pause_seconds = pause
    endpoint = environment.get("DPDISPATCHER_LEBESGUE_ALI_STS_ENDPOINT") or (
        "https://oss-cn-shenzhen.aliyuncs.com"
    )
    name = environment.get("DPDISPATCHER_LEBESGUE_ALI_STS_BUCKET_NAME") or "dpcloudserver"
    bucket = Bucket(endpoint=checked(endpoint), name=name)
    objects = environment.get("DPDISPATCHER_LEBESGUE_ALI_OSS_BUCKET_URL") or bucket.url("")
    return Bohrium(
        account,
        bucket=bucket,
        objects=checked(objects),
        project=profile.program_id,
    )


def _account(profile: BohriumProfile, environment: Mapping[str, str], base: str) -> Account:
    http = Http()
    if ticket := environment.get("BOHR_TICKET"):
        return Account(http=http, base=base, ticket=ticket)
    name = profile.email or profile.phone
    if name is None or profile.password is None:
        msg = (
            "Bohrium wants to know who asks: set BOHR_TICKET in the environment of the worker, "
            "or remote_profile.email (or phone) and remote_profile.password"
        )
        raise Denied(msg)
    return Account(http=http, base=base, name=name, password=_read(profile.password, "password"))


def _openapi(profile: OpenApiProfile, environment: Mapping[str, str], pause: float) -> OpenApi:
    access = AccessKey(
        key=_given(profile, "access_key", environment),
        app_key=_given(profile, "app_key", environment, needed=False),
    )
    base = checked(environment.get("BOHRIUM_BASE_URL") or "https://openapi.dp.tech")
    store = checked(environment.get("TIEFBLUE_BASE_URL") or "https://tiefblue.dp.tech")
    api = Api(Http(), base, access, pause_seconds=pause)
    return OpenApi(api, project=_project(profile, environment), store=store)


def _given(
    profile: OpenApiProfile, field: str, environment: Mapping[str, str], *, needed: bool = True
) -> str:
    given: SecretStr | None = getattr(profile, field)
    if given is not None:
        return _read(given, field)
    found = _variable(environment, field.upper())
    if not found and needed:
        msg = f"set BOHRIUM_{field.upper()} in the environment of the worker, or remote_profile.{field}"
        raise Denied(msg)
    return found


def _project(profile: OpenApiProfile, environment: Mapping[str, str]) -> int:
    if profile.project_id is not None:
        return profile.project_id
    found = _variable(environment, "PROJECT_ID")
    if not found.isdecimal():
        msg = (
            "set BOHRIUM_PROJECT_ID in the environment of the worker to the number of the project, "
            "or remote_profile.project_id"
        )
        raise Denied(msg)
    return int(found)


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(f"BOHRIUM_{name}") or environment.get(name) or ""


def _read(secret: SecretStr, field: str) -> str:
    try:
        return secrets.read(secret.get_secret_value(), f"remote_profile.{field}", reader=_READER)
    except BadInput as error:
        raise Denied(str(error)) from None
