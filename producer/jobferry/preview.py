"""A dry run's view: the scripts that would be rendered, while nothing is written and nothing is asked.

for name, text in preview(document, settings).files.items():
print(name, text)
"""

from __future__ import annotations

import posixpath
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnknownId
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.names import AttemptKey, run_id, token_of
from jobferry_common.schedulers import scheduler_named
from jobferry_common.scripts.layout import HIDDEN, Layout
from jobferry_common.scripts.render import batch_files
from jobferry_common.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.document import Document
    from jobferry_common.names import SubmissionId
    from jobferry_common.settings import Settings

#: stands for the id of the ledger, which a dry run does not ask
_LEDGER: Final = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a submission would become."""

    submission: SubmissionId
    cluster: str  #: the first, if there are several
    tasks: int
    jobs: int
    #: the batch script, the tasks of the first job, their commands; by path below the run's directory
    files: Mapping[str, str]


def preview(document: Document, settings: Settings) -> Preview:
    """Return what a document would become.

    Raises:
        UnknownId: the profile of its cluster is not known here.
        BadInput: its resources cannot be expressed for its scheduler.
    """
    header = document.header
    return Preview(
        submission=header.submission,
        cluster=header.cluster,
        tasks=header.tasks,
        jobs=header.jobs,
        files=dict(_files(document, _profile(document, settings))),
    )


def print_scripts(document: Document) -> None:
    """Print what a document would become."""
    for name, text in preview(document, load_settings()).files.items():
        sys.stdout.write(f"==> {name} <==\n{text}\n")


def _profile(document: Document, settings: Settings) -> ClusterProfile:
    header = document.header
    if header.machine is not None:
        return ClusterProfile.load_from_dict(header.machine)
    shown = next((name for name in header.clusters if name in settings.clusters), None)
    if shown is None:
        msg = (
            f"the scripts for {header.cluster!r} cannot be shown: its profile is with its worker. All "
            "else was checked; add [clusters.NAME] to the settings here to see them"
        )
        raise UnknownId(msg)
    return settings.clusters[shown]


def _files(document: Document, profile: ClusterProfile) -> Iterator[tuple[str, str]]:
    header, root = document.header, profile.root or document.header.source
    run = run_id(header.submission, 1)
    layout = Layout.of(header, run, root, _LEDGER)
    attempts = [AttemptKey(job, 1) for job in range(header.jobs)]
    tasks = {0: [(task, document.tasks[task]) for task in header.tasks_of(0)]}
    home = posixpath.join(root, HIDDEN, "shell")
    scheduler = scheduler_named(profile.batch_type, home=home)
    files = batch_files(
        layout,
        header,
        scheduler,
        token_of(run, attempts),
        attempts,
        tasks,
        login_shell=profile.login_shell,
        array=bool(scheduler.index_expression()) and len(attempts) > 1,
        requeue=profile.requeue,
        elsewhere=profile.is_bridged,
    )
    for file in reversed(files):
        if file.path not in {layout.runtime, layout.environment}:
            yield posixpath.relpath(file.path, layout.base), file.content.decode("utf-8", "replace")
