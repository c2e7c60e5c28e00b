"""A cloud as the other side of a bridge: it holds a job's archive until the start, which sends it with the script.

    side = CloudSide(profile, home)
    side.put(job, Path("in.tgz"))                  kept here
    side.start(job, Path("bootstrap.sh"))          one archive of both goes there, and the job is made
    side.look(jobs)                                pages of the list, until all of these were seen
    side.get(job, Path("result"))                  out of the results that the platform offers

The platform unpacks the archive, and runs `bash jobferry.sh` where it did. What comes back is the one file that this
script delivers.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import (
    HostUnreachable,
    LoginRefused,
    SubmitBusy,
    SubmitRefused,
    SubmitUnknown,
    UnreadableOutput,
)
from jobferry_common.killpoints import kill_here
from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.cloud import STATES, Asked
from jobferry_common.states import Outcome
from jobferry_worker.bridge.base import Said
from jobferry_worker.cloud.errors import CloudError, Denied, NoAnswer, NotNow, NotThere, Refused
from jobferry_worker.cloud.jobs import NewJob
from jobferry_worker.cloud.opening import open_cloud
from jobferry_worker.cloud.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobferry_common.models.profiles import BohriumProfile, OpenApiProfile
    from jobferry_worker.bridge.books import Job
    from jobferry_worker.cloud.jobs import CloudJob
    from jobferry_worker.cloud.opening import Cloud

_SCRIPT: Final = "jobferry.sh"
_ARCHIVE: Final = "jobferry.in"
_RESULT: Final = "jobferry.out"
_SHELL: Final = f"""\
jf_get() {{ cp -- "$jf_here/../{_ARCHIVE}" "$1"; }}
jf_put() {{
    local to=$jf_here/../{_RESULT}
    cp -- "$1" "$to.part" && mv -n -- "$to.part" "$to"
}}"""


class CloudSide:
    """`Storage` and `System` of a bridge at once: the platform takes files and job together."""

    def __init__(
        self,
        profile: BohriumProfile | OpenApiProfile,
        name: str,
        home: Path,
        *,
        pause_seconds: float = 0.5,
    ) -> None:
        self.name = name
        self._profile = profile
        self._home = home / "cloud"
        self._pause = pause_seconds
        self._known: Cloud | None = None
        self._results = Results(_RESULT, pause_seconds=pause_seconds)

    def put(self, job: Job, file: Path) -> None:
        """Keep the archive here: only the start knows the script that goes with it."""
        self._home.mkdir(parents=True, exist_ok=True)
        part = self._path(job, "part")
        shutil.copyfile(file, part)
        part.replace(self._path(job, "archive"))

    def get(self, job: Job, file: Path) -> bool:
        """Bring what the job delivered."""
        found = False
        with self._asking() as cloud:
            for key in job.ids:
                with suppress(NotThere):
                    found = found or self._results.bring(cloud, cloud.jobs.detail(key), file)
        if found and self._profile.keep_backup:
            self._keep(file, job, "out")
        return found

    def delete(self, job: Job) -> None:
        """Remove the archive that is kept here; the platform removes its own when it likes."""
        with suppress(FileNotFoundError):
            if self._profile.keep_backup:
                self._keep(self._path(job, "archive"), job, "in")
        for kind in ("archive", "part", "zip"):
            self._path(job, kind).unlink(missing_ok=True)

    def shell(self, job: Job) -> str:
        """Return functions that copy: both files lie where the script was unpacked."""
        del job
        return _SHELL

    def facts(self) -> str:
        """Ask for a page of the list."""
        with self._asking() as cloud:
            cloud.jobs.listed(lambda _: True)
        return self.name

    def start(self, job: Job, bootstrap: Path) -> str:
        """Send archive and script, and have the job made, once."""
        new = self._new(job)
        packed = self._path(job, "zip")
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(bootstrap, _SCRIPT)
            archive.write(self._path(job, "archive"), _ARCHIVE)
        with _submitting(made=False), self._named() as cloud:
            place = cloud.put(new, packed)
        kill_here("cloud-uploaded")
        with _submitting(made=True), self._named() as cloud:
            started = cloud.start(new, place)
        packed.unlink(missing_ok=True)
        self._note_group(job, started.group)
        return started.id

    def look(self, jobs: Sequence[Job]) -> Sequence[Said]:
        """Read the list until all of these jobs were seen; ask by id for those that are not in it."""
        ids = {key for job in jobs for key in job.ids}
        tokens = {job.token for job in jobs if not job.ids}

        def is_enough(found: Mapping[str, CloudJob]) -> bool:
            return ids <= found.keys() and not (tokens and tokens - _ends(found, tokens))

        with self._asking() as cloud:
            listed = cloud.jobs.listed(is_enough)
            found = dict(listed.jobs)
            if not listed.is_complete and tokens - _ends(found, tokens):
                msg = "the list of jobs is too long to be read to its end"
                raise UnreadableOutput(msg)
            for key in ids - found.keys():
                with suppress(NotThere):
                    found[key] = cloud.jobs.detail(key)
        mine = {job.token: job for job in jobs} | {key: job for job in jobs for key in job.ids}
        every = {job.token for job in jobs}
        return [
            _said(one, token, mine[one.id if one.id in ids else token])
            for one in found.values()
            if (token := _token(one, every)) or one.id in ids
        ]

    def stop(self, ids: Sequence[str]) -> None:
        """End jobs."""
        with self._asking() as cloud:
            for key in ids:
                with suppress(NotThere):
                    cloud.jobs.kill(key)

    def owner(self) -> str:
        """Return the name of the container: the platform tells a job no id of its own."""
        return '"${HOSTNAME-}"'

    def _new(self, job: Job) -> NewJob:
        more = dict(self._profile.job)
        machine, image = str(more.pop("scassType", "")), str(more.pop("imageName", ""))
        wished = str(more.pop("jobName", ""))
        asked = Asked.of(job.header)
        for given, key in ((machine, "machine_type"), (image, "image_address")):
            if not given:
                msg = f"the remote_profile of {self.name} says no {key}"
                raise SubmitRefused(msg)
        if words := asked.too_much_for(machine):
            raise SubmitRefused(words)
        return NewJob(
            name=f"{_clean(wished)[:30]}.{job.label}" if wished else job.label,
            command=f"bash {_SCRIPT}",
            image=image,
            machine=machine,
            results=(_RESULT,),
            nodes=asked.nodes,
            minutes=asked.minutes,
            group=self._group(job),
            more=more,
        )

    @contextmanager
    def _asking(self) -> Iterator[Cloud]:
        """Tell errors as a bridge wants to hear them."""
        try:
            with self._named() as cloud:
                yield cloud
        except Denied as error:
            raise LoginRefused(str(error)) from None
        except (NotNow, NoAnswer) as error:
            raise HostUnreachable(str(error)) from None
        except CloudError as error:
            raise UnreadableOutput(str(error)) from None

    @contextmanager
    def _named(self) -> Iterator[Cloud]:
        """Give the cloud; one that refuses the credentials is opened anew next time, with what they are then."""
        try:
            if self._known is None:
                self._known = open_cloud(self._profile, os.environ, pause_seconds=self._pause)
            yield self._known
        except CloudError as error:
            if isinstance(error, Denied):
                self._known = None
            text = str(error)
            raise type(error)(text if self.name in text else f"{self.name}: {text}") from None

    def _group(self, job: Job) -> str:
        """Return the number of the run's group; "" where it has none yet, or shall have none."""
        try:
            return self._group_file(job).read_text() if self._profile.in_groups else ""
        except FileNotFoundError:
            return ""

    def _note_group(self, job: Job, group: str) -> None:
        if group.isdecimal() and self._profile.in_groups:
            self._group_file(job).write_text(group)

    def _group_file(self, job: Job) -> Path:
        return self._home / f"{Path(job.directory).name}.group"

    def _keep(self, file: Path, job: Job, kind: str) -> None:
        backup = self._home.parent / "backup"
        backup.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, backup / f"{job.id}.{kind}")

    def _path(self, job: Job, kind: str) -> Path:
        return self._home / f"{job.id}.{kind}"


@contextmanager
def _submitting(*, made: bool) -> Iterator[None]:
    """Tell errors as those of a submit; only where the job is made, silence is no proof."""
    try:
        yield
    except Refused as error:
        raise SubmitRefused(str(error)) from None
    except NoAnswer as error:
        raise (SubmitUnknown if made else SubmitBusy)(str(error)) from None
    except CloudError as error:
        raise SubmitBusy(str(error)) from None


def _said(one: CloudJob, token: str, job: Job) -> Said:
    state = STATES.get(one.status)
    if state is None:
        return Said(id=one.id, token=token, phase=None, word=str(one.status))
    over = state.phase is Phase.ENDED
    late = over and state.outcome is not Outcome.SUCCEEDED and _is_late(one, job)
    return Said(
        id=one.id,
        token=token,
        phase=state.phase,
        outcome=Outcome.TIMEOUT if late else state.outcome,
        code=one.exit_code if over else None,
        reason=(one.error or state.words) if over else "",
        word=str(one.status),
    )


def _is_late(one: CloudJob, job: Job) -> bool:
    """Tell whether a job ran for as long as it was allowed to: the platform has no word for that."""
    minutes = Asked.of(job.header).minutes
    return minutes is not None and one.seconds >= minutes * 60


def _token(job: CloudJob, tokens: set[str]) -> str:
    """Return the token that ends a job's name, if it is one of these."""
    name = job.name
    while name and name not in tokens:
        name = name.partition(".")[2]
    return name


def _ends(found: Mapping[str, CloudJob], tokens: set[str]) -> set[str]:
    return {_token(job, tokens) for job in found.values()} - {""}


def _clean(name: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else "_" for one in name)
