"""What a job delivered, out of the archive that the platform offers once it has ended.

Results("jobferry.out").bring(cloud, cloud.jobs.detail("7"), Path("result"))
"""

from __future__ import annotations

import shutil
import time
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError, UnreadableOutput
from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.cloud import STATES
from jobferry_common.states import Outcome
from jobferry_worker.cloud.download import download

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry_worker.cloud.jobs import CloudJob
    from jobferry_worker.cloud.opening import Cloud

#: results that the platform does not offer so long after a job finished are not there
_PATIENCE_SECONDS: Final = 600.0


class Results:
    """The one file that jobs deliver."""

    def __init__(
        self,
        name: str,
        *,
        pause_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._pause = pause_seconds
        self._clock = clock
        #: jobs that finished without results → since when
        self._empty: dict[str, float] = {}

    def bring(self, cloud: Cloud, job: CloudJob, file: Path) -> bool:
        """Bring it into `file`; False: the job delivered nothing.

        Raises:
            UnreadableOutput: it may yet come.
            StagingError: what came is damaged.
            CloudError: it cannot be had.
        """
        if not job.result_url:
            self._must_be_late(job)
            return False
        self._empty.pop(job.id, None)
        packed = file.with_name(f"{file.name}.zip")
        download(cloud.http, job.result_url, packed, pause_seconds=self._pause)
        try:
            return self._extract(packed, file)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            msg = f"the results of job {job.id} cannot be unpacked: {error}"
            raise StagingError(msg) from error
        finally:
            packed.unlink(missing_ok=True)

    def _extract(self, packed: Path, file: Path) -> bool:
        """Write the one member into `file`, under whatever directory it stands there."""
        with zipfile.ZipFile(packed) as archive:
            names = [one for one in archive.namelist() if PurePosixPath(one).name == self._name]
            if not names:
                return False
            with archive.open(names[0]) as member, file.open("wb") as out:
                shutil.copyfileobj(member, out)
        return True

    def _must_be_late(self, job: CloudJob) -> None:
        """Have the results of a job that finished asked for again, for a while."""
        state, now = STATES.get(job.status), self._clock()
        if state is None or state.phase is not Phase.ENDED:
            msg = f"job {job.id} has not ended"
            raise UnreadableOutput(msg)
        is_due = now - self._empty.setdefault(job.id, now) >= _PATIENCE_SECONDS
        if state.outcome is Outcome.SUCCEEDED and not is_due:
            msg = f"job {job.id} is {state.words}, and its results are not offered yet"
            raise UnreadableOutput(msg)
