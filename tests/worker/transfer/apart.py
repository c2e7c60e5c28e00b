"""A producer and a worker that do not see each other's files: one directory is away while the other side acts."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobferry.client import Client
from jobferry.depot import Courier
from jobferry_common.depot.depot import forget_depots
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings
from jobferry_worker.cluster import open_cluster
from tests.common.ledger.documents import ALPHA
from tests.worker.transfer.moving import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.document import Document
    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import RunId
    from tests.testbed.broker import Broker

LARGE = os.urandom(300_000)


class Ferry(World):
    """A world in two halves, with a depot between them."""

    def __init__(
        self,
        ledger: Ledger,
        directory: Path,
        broker: Broker,
        *,
        url: str = "",
        shared: bool = False,
        **header: Any,
    ) -> None:
        self.depot = directory / "depot"
        self.depot.mkdir()
        self.shared = shared
        self.symlink = header.pop("symlink", True)
        self.broker = broker
        self.client = Client(self.settings_with(url or str(self.depot)))
        super().__init__(ledger, directory, **header)
        self._root = directory
        self.use(self.client.settings)

    def settings_with(self, url: str, **more: Any) -> Settings:
        """Return settings with another depot."""
        return Settings(broker=self.broker.url, depot=DepotSettings(url=url, **more))

    def _profile(self, directory: Path) -> ClusterProfile:
        context = {"context_type": "Local", "remote_root": str(directory / "root")}
        profile = {"remote_profile": {"symlink": self.symlink}}
        return ClusterProfile.model_validate({"batch_type": "Shell", **context, **profile})

    def _document(self, **header: Any) -> Document:
        base = super()._document(**header)
        (self.source / "common").write_bytes(LARGE)
        return base

    def _accept(self) -> RunId:
        return self.client.accept(self.document).run

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Take the producer's directory away, as another machine's is."""
        if self.shared:
            yield
            return
        away = self.source.parent.with_name("away")
        self.source.parent.rename(away)
        try:
            yield
        finally:
            away.rename(self.source.parent)

    def limit(self, mib: int) -> None:
        """Have a worker whose depot is the broker, within a limit."""
        self.use(self.settings_with("redis:", limit_mib=mib))
        forget_depots()

    def use(self, settings: Settings) -> None:
        """Have a worker with other settings."""
        self.settings = settings
        self.cluster = open_cluster(ALPHA, self._profile(self._root), settings)

    def stage(self) -> None:
        with self.apart():
            super().stage()

    def collect(self) -> None:
        with self.apart():
            super().collect()

    def clean(self) -> None:
        with self.apart():
            super().clean()

    def attend(self) -> RunRecord:
        return Courier(self.client, self.run).attend(self.record)

    @property
    def mirror(self) -> Path:
        return Path(self.cluster.root, ".jobferry", "depot", self.run, "files")

    def objects(self) -> list[str]:
        return sorted(path.name for path in self.depot.glob("objects/*/*"))
