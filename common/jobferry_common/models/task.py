"""Task: one command, its directory, the files that go there and come back.

Task(command="cat in > out", task_work_path="dir1", forward_files=["in"], backward_files=["out"])
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from jobferry_common.document import task_key
from jobferry_common.job_status import JobStatus
from jobferry_common.models.base import Model
from jobferry_common.models.older import Older
from jobferry_common.models.values import Command, LogPath, Name, RelativePath, RelativePaths


class Task(Model):
    """One command; paths are relative to `task_work_path`, which is relative to the work base."""

    #: where it was when somebody last looked; says nothing of what the task is, so that copies and `==` leave it out
    __slots__ = ("_seen",)

    older: ClassVar[Older] = Older(spent=frozenset({"task_need_resources"}))

    command: Command = Field(description="a shell command")
    task_work_path: RelativePath = Field(description="a directory below the work base")
    forward_files: RelativePaths = ()  #: files, directories or globs that go there
    backward_files: RelativePaths = ()  #: files, directories or globs that come back
    outlog: LogPath | None = "log"  #: None: not kept
    errlog: LogPath | None = "err"  #: None: not kept
    task_name: Name | None = None  #: the user's word for it

    @property
    def task_state(self) -> JobStatus:
        """Where it was when its submission last looked: `update_submission_state`, `run_submission`."""
        seen: JobStatus = getattr(self, "_seen", JobStatus.unsubmitted)
        return seen

    def be(self, state: JobStatus) -> None:
        """Note where it is."""
        object.__setattr__(self, "_seen", state)

    @property
    def task_hash(self) -> str:
        """The hash of what the task says. Equal tasks have equal hashes; a run tells them apart by their position."""
        return task_key("", self.serialize())

    def get_hash(self) -> str:
        """Return `task_hash`."""
        return self.task_hash
