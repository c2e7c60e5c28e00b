"""Settings: `~/.config/jobferry/config.toml` (XDG), over it the environment's `JOBFERRY_*`.

    broker = "redis://:secret@broker.example:6379/0"

    [timings]
    look_seconds = 10

    [clusters.hpc1]
    batch_type = "Slurm"
    context_type = "Local"
    local_root = "/home/alice/work"
    remote_root = "/scratch/alice"

`JOBFERRY_BROKER`, `JOBFERRY_TIMINGS__LOOK_SECONDS` and so on override the file; `JOBFERRY_CONFIG` names another
file. Nothing here is ever shown with a secret in it.
"""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from platformdirs.unix import Unix
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from jobferry_common import secrets
from jobferry_common.broker_url import BrokerUrl
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.errors import BadInput, Problem
from jobferry_common.messages import INLINE, is_inline
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.faults import problems_of
from jobferry_common.models.placement import ANY
from jobferry_common.models.reading import parse_toml
from jobferry_common.names import cluster_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_PREFIX: Final = "JOBFERRY_"
#: stands for file or environment until it is known which
_ORIGIN: Final = "settings"


class Timings(BaseModel):
    """How often and how long; all in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tick_busy_seconds: float = Field(default=1.0, gt=0)  #: between ticks while work is in flight
    tick_idle_seconds: float = Field(default=10.0, gt=0)  #: between ticks otherwise
    spool_local_seconds: float = Field(default=0.2, gt=0)  #: between looks at a local spool
    spool_ssh_seconds: float = Field(default=1.0, gt=0)  #: between looks at a spool over ssh
    look_seconds: float = Field(
        default=10.0, gt=0
    )  #: least time between two listings of an account
    look_max_seconds: float = Field(default=60.0, gt=0)  #: and the most, while nothing changes
    grace_seconds: float = Field(default=180.0, ge=0)  #: of answers, before a vanished job is lost
    lease_seconds: float = Field(default=30.0, gt=0)  #: of an account, from one renewal
    command_seconds: float = Field(default=60.0, gt=0)  #: limit of one scheduler command
    retry_seconds: float = Field(default=5.0, ge=0)  #: before the second try of a job; doubles
    retry_max_seconds: float = Field(default=300.0, ge=0)  #: most time between two tries
    probe_seconds: float = Field(
        default=5.0, gt=0
    )  #: before a failing cluster is tried again; doubles
    probe_max_seconds: float = Field(default=300.0, gt=0)  #: most time between two such tries
    claim_seconds: float = Field(
        default=60.0, gt=0
    )  #: until what a paused or silent cluster claimed, and did not submit, goes to others
    visibility_seconds: float = Field(
        default=600.0, ge=60
    )  #: until Celery delivers a message again
    poison_seconds: float = Field(
        default=900.0, gt=0
    )  #: for which work that ended its worker five times in a row is left alone
    soft_stop_seconds: float = Field(
        default=20.0, ge=0
    )  #: for tasks that run when a worker is stopped

    @property
    def lease(self) -> timedelta:
        """How long one renewal holds an account."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def command(self) -> timedelta:
        """The limit of one scheduler command."""
        return timedelta(seconds=self.command_seconds)


class Stack(BaseModel):
    """The embedded stack: the broker, worker and beat that a command starts when no broker is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle_minutes: float = Field(
        default=15.0, gt=0
    )  #: without open runs and clients, it ends itself
    directory: Path | None = None  #: of its data; default: the XDG state directory
    start_seconds: float = Field(default=20.0, gt=0)  #: until a start counts as failed

    @field_validator("directory")
    @classmethod
    def _known_user(cls, directory: Path | None) -> Path | None:
        first = directory.parts[0] if directory and directory.parts else ""
        if first.startswith("~") and os.path.expanduser(first) == first:  # noqa: PTH111 - Path's raises
            msg = f"there is no user {first[1:]!r} here: expected ~/… or an absolute path"
            raise ValueError(msg)
        return directory


class Settings(BaseSettings):
    """All settings of producer and worker."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    broker: str | None = Field(default=None, repr=False)  #: URL; None: the embedded stack
    prefix: str = Field(default="jobferry:", min_length=1)  #: of every key at the broker
    clusters: dict[str, ClusterProfile] = Field(default_factory=dict)
    timings: Timings = Field(default_factory=Timings)
    stack: Stack = Field(default_factory=Stack)
    depot: DepotSettings = Field(default_factory=DepotSettings)
    serve_inline: bool = False  #: True: workers serve the inline machines of submissions
    threads: int = Field(default=4, ge=1)  #: of a worker, for passes
    data_threads: int = Field(default=4, ge=1)  #: of a worker, for bulk data
    keep_days: float = Field(
        default=30.0, ge=0
    )  #: of a run that ended, once its results are back; 0: until it is cleaned
    log_level: str = "INFO"

    @field_validator("broker")
    @classmethod
    def _known_scheme(cls, url: str | None) -> str | None:
        if not url:
            return None
        try:
            BrokerUrl.parse(url)
        except BadInput as error:
            raise ValueError(error.problems[0].what) from None
        return url

    @field_validator("clusters")
    @classmethod
    def _good_names(cls, clusters: dict[str, ClusterProfile]) -> dict[str, ClusterProfile]:
        for name in clusters:
            try:
                cluster_name(name)
            except BadInput as error:
                raise ValueError(error.problems[0].what) from None
            if name == ANY:
                msg = f"{name!r} stands for every cluster: expected another name"
                raise ValueError(msg)
            if name == INLINE or is_inline(name):
                msg = f"{name!r} is reserved for inline machines: expected another name"
                raise ValueError(msg)
        return clusters

    @field_validator("clusters")
    @classmethod
    def _bridges_of_their_own(
        cls, clusters: dict[str, ClusterProfile]
    ) -> dict[str, ClusterProfile]:
        """Refuse one bridge for two clusters: whoever carries a job there does so with the key of its own cluster."""
        found: dict[str, str] = {}
        for name, profile in clusters.items():
            root = profile.root if profile.is_bridged else None
            other = found.setdefault(root, name) if root else name
            if other != name:
                msg = (
                    f"{other} and {name} would share the directory {root} of their bridges; expected another "
                    "remote_profile.bridge_root in one of them"
                )
                raise ValueError(msg)
        return clusters

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given to the constructor only: `load_settings` merges file and environment."""
        return (init_settings,)

    def with_broker(self, url: str) -> Settings:
        """Return these settings with another broker."""
        return self.model_copy(update={"broker": url})


def config_path() -> Path:
    """Return where the settings file is, or would be."""
    if named := os.environ.get(f"{_PREFIX}CONFIG"):
        return Path(os.path.expanduser(named))  # noqa: PTH111 - that of Path raises for an unknown ~user
    return Unix("jobferry").user_config_path / "config.toml"


def load_settings() -> Settings:
    """Read file and environment.

    Raises:
        BadInput: with every problem of both.
    """
    path = config_path()
    problems = list(_stray_variables(os.environ))
    environment = _environment()
    given = _merged(_read(path), environment)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for problem in problems_of(error, Settings, given, _ORIGIN):
            where = problem.where.removeprefix(f"{_ORIGIN}: ")
            origin = _variable(where) if _is_from(environment, where) else f"{path}: {where}"
            problems.append(Problem(origin, problem.what))
    else:
        problems += _exposed(settings, path, environment)
    if problems:
        raise BadInput(problems)
    return settings


def load_what_stops() -> tuple[Settings, BadInput | None]:
    """Read what it takes to stop the embedded stack, from settings that may be wrong elsewhere; return what is wrong.

    Of a file that is no TOML nothing is known, and the environment and the defaults count.
    """
    try:
        return load_settings(), None
    except BadInput as error:
        wrong = error
    given: dict[str, Any] = {}
    with suppress(BadInput):
        given = _read(config_path())
    given = _merged(given, _readable_environment())
    kept: dict[str, Any] = {}
    for table in ("stack", "timings"):
        values = given.get(table)
        for key, value in values.items() if isinstance(values, dict) else ():
            one: dict[str, Any] = {table: {key: value}}
            with suppress(ValidationError):
                Settings(**one)
                kept.setdefault(table, {})[key] = value
    return Settings(**kept), wrong


def _exposed(settings: Settings, path: Path, environment: Mapping[str, Any]) -> Iterator[Problem]:
    """Find secrets of clusters in a file that others can read."""
    for cluster, profile in settings.clusters.items():
        given = profile.remote_profile
        for field in (*given.secrets(), *given.spelled()):
            where = f"clusters.{cluster}.remote_profile.{field}"
            if not _is_from(environment, where) and (mode := path.stat().st_mode & 0o777) & 0o077:
                what = (
                    f"holds a secret, and others can read this file (its mode is {mode:04o}); do: chmod 600 {path}, or "
                    f"say here where the secret is: {secrets.EXPECTED}, in a command $NAME"
                )
                yield Problem(f"{path}: {where}", what)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if os.environ.get(f"{_PREFIX}CONFIG"):
            what = "no such file; JOBFERRY_CONFIG names it"
            raise BadInput([Problem(str(path), what)]) from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput([Problem(str(path), f"cannot be read: {error}")]) from None
    try:
        return dict(parse_toml(text))
    except ValueError as error:
        raise BadInput([Problem(str(path), str(error))]) from None


def _environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        what = f"{error}; expected JSON"
        raise BadInput([Problem("environment", what)]) from None


def _readable_environment() -> dict[str, Any]:
    """Read each variable by itself, and pass over those that cannot be read."""
    found: dict[str, Any] = {}
    for name, value in EnvSettingsSource(Settings).env_vars.items():
        one = EnvSettingsSource(Settings)
        one.env_vars = {name: value}
        with suppress(SettingsError):
            found = _merged(found, one())
    return found


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merged(old, value) if both and old is not None else value
    return merged


def _stray_variables(environment: Mapping[str, str]) -> Iterator[Problem]:
    """Find variables that look like a misspelt setting: others may use our prefix for their own ends."""
    known = [*Settings.model_fields, "config"]
    for name in environment:
        first = name.removeprefix(_PREFIX).partition("__")[0].lower()
        if not name.startswith(_PREFIX) or first in known:
            continue
        if near := difflib.get_close_matches(first, known, n=1, cutoff=0.8):
            right = f"{_PREFIX}{near[0].upper()}"
            yield Problem(f"environment: {name}", f"no such setting; did you mean {right}?")


def _is_from(environment: Mapping[str, Any], where: str) -> bool:
    """Return True when the value at a dotted path is the environment's."""
    inner: Any = environment
    for part in where.split("."):
        if not isinstance(inner, dict):
            return True
        if part not in inner:
            return False
        inner = inner[part]
    return True


def _variable(where: str) -> str:
    return f"environment: {_PREFIX}{where.upper().replace('.', '__')}"
