"""Leases of files: one move at a time works on what they name.

with held(ledger, "files:3f2a9c01d5e7-1") as renew:
    if renew is not None:
        ...; renew(); ...
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import LeaseLost
from jobferry_worker.reconcile.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry_common.ledger import Ledger

#: it is renewed between pages
_LEASE: Final = timedelta(seconds=60)


@contextmanager
def held(ledger: Ledger, what: str) -> Iterator[Callable[[], None] | None]:
    """Hold the lease of files; yield what renews it, or None while somebody else has it."""
    lease = Lease.take(ledger, what, _LEASE)
    if lease is None:
        yield None
        return

    def renew() -> None:
        if not ledger.renew(what, lease.fence, _LEASE):
            msg = f"{what} took longer than {_LEASE.seconds} s to move: somebody else goes on"
            raise LeaseLost(msg)

    with lease:
        yield renew


def both(renew: Callable[[], None], other: Callable[[], None]) -> None:
    """Renew two leases."""
    renew()
    other()
