"""The lease of one source while work goes on under it: renewed in time by whatever thread notices first."""

from __future__ import annotations

import threading
import time

from cdc_merge.errors import LeaseLost, WarehouseUnavailable
from cdc_merge.lease import LEASE_SECONDS, Lease, Leases
from cdc_merge.logs import get_logger
from cdc_merge.warehouses import Session, Warehouse

_DUE_SECONDS = LEASE_SECONDS / 3  # after which it is renewed
_AGAIN_SECONDS = LEASE_SECONDS / 12  # after which a renewal that failed is tried once more

log = get_logger("cdc_merge.lease")


class HeldLease:
    """What is known of the lease here. `lease` None: it is not ours; for all else the warehouse is asked."""

    def __init__(self, source: str, leases: Leases, warehouse: Warehouse, lease: Lease | None = None) -> None:
        """`lease`: one that was taken just now."""
        self.lease = lease
        self._source = source
        self._leases = leases
        self._warehouse = warehouse
        self._due = time.monotonic() + _DUE_SECONDS
        self._renewing = threading.Lock()

    @property
    def is_fresh(self) -> bool:
        """Whether it is ours, and need not be renewed yet."""
        return self.lease is not None and time.monotonic() < self._due

    def hold(self, session: Session) -> bool:
        """Renew the lease, or take it; False: another worker has it."""
        due = time.monotonic() + _DUE_SECONDS
        if self.lease is not None:
            try:
                self.lease = self._leases.renew(session, self.lease)
            except LeaseLost:
                self.lease = None
        if self.lease is None:
            self.lease = self._leases.acquire(session, self._source)
        self._due = due
        return self.lease is not None

    def renew_in_time(self) -> None:
        """Keep a lease that is ours while something takes longer than it lasts. Raises LeaseLost."""
        with self._renewing:
            if self.lease is None or self.is_fresh:
                return
            try:
                with self._warehouse.session() as session:
                    self.lease = self._leases.renew(session, self.lease)
                self.note_renewal()
            except WarehouseUnavailable as error:
                # No reason to drop what is under way: whether the lease was kept is for the fence to say.
                log.warning("lease_not_renewed", source=self._source, error=str(error))
                self._due = time.monotonic() + _AGAIN_SECONDS

    def note_renewal(self) -> None:
        """A transaction that the fence opened has renewed it."""
        self._due = time.monotonic() + _DUE_SECONDS

    def let_go(self) -> Lease | None:
        """It is ours no more; returns it, to be given back by who knows that it was."""
        lease, self.lease = self.lease, None
        return lease
