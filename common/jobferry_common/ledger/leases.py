"""Leases: one worker at a time acts on an account.

fence = ledger.acquire("alice@hpc1", "worker-7", timedelta(seconds=30))
if fence and ledger.renew("alice@hpc1", fence, timedelta(seconds=30)): ...
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from jobferry_common.ledger.records import Fence, Lease
from jobferry_common.ledger.store import Store, fence_arguments

if TYPE_CHECKING:
    from datetime import timedelta

    from jobferry_common.names import ClusterName, RunId


class LeasesPart(Store):
    """Leases of accounts, and what is remembered of an account."""

    def broker(self) -> str:
        """Return the run id of the server's process: another one after a restart or a failover."""
        return str(self.ask("INFO", "server")["run_id"])

    def acquire(
        self, account: str, holder: str, limit: timedelta, *, displace: Fence | None = None
    ) -> Fence | None:
        """Take the lease of an account; None while somebody holds it.

        Args:
            account: whose lease.
            holder: who takes it, for people.
            limit: it ends by itself after this time.
            displace: a lease that may be taken away, because its holder is known to be dead.
        """
        taken = displace.number if displace else ""
        nonce = secrets.token_hex(8)
        answer = self.call("acquire", account, holder, _milliseconds(limit), nonce, taken)
        if answer is None:
            return None
        return Fence(broker=answer[0], number=int(answer[1]), account=account)

    def renew(self, account: str, fence: Fence, limit: timedelta) -> bool:
        """Make a lease last `limit` from now; False if it is no longer ours."""
        return self._extend(account, fence, _milliseconds(limit))

    def release(self, account: str, fence: Fence) -> bool:
        """End a lease; False if it was no longer ours."""
        return self._extend(account, fence, 0)

    def lease(self, account: str) -> Lease | None:
        """Return who holds an account."""
        key = self.key("lease", account)
        fields, left = self.batch([("HGETALL", key), ("PTTL", key)])
        if not fields or left < 0:
            return None
        fence = Fence(broker=fields["broker"], number=int(fields["number"]), account=account)
        return Lease(holder=fields["holder"], fence=fence, left_seconds=left / 1000)

    def remembered(self, account: str) -> str | None:
        """Return the broker's run id under which an account was last read back."""
        found = self.ask("HGET", self.key("accounts"), account)
        return None if found is None else str(found)

    def remember(self, account: str, *, broker: str) -> None:
        """Note that an account was read back, and the ledger agrees with it, under this broker."""
        self.ask("HSET", self.key("accounts"), account, broker)

    def doubt(self, cluster: ClusterName, run: RunId, *, read: bool) -> None:
        """Note that steps of an open run may be forgotten; `read`: the cluster was asked about them.

        It ends with the run.
        """
        self.ask("HSET", self.key("doubted", cluster), run, "read" if read else "unread")

    def doubt_of(self, cluster: ClusterName, run: RunId) -> str | None:
        """Return "read" or "unread" for a run that is doubted, None for any other."""
        found = self.ask("HGET", self.key("doubted", cluster), run)
        return None if found is None else str(found)

    def _extend(self, account: str, fence: Fence, milliseconds: int) -> bool:
        _, broker, number = fence_arguments(fence)
        return bool(self.call("renew", account, broker, number, milliseconds))


def _milliseconds(limit: timedelta) -> int:
    return int(limit.total_seconds() * 1000)
