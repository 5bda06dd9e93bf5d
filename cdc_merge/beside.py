"""Opens a transaction that must not run beside a merge of its source, whoever merges it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from cdc_merge.errors import LeaseLost, WarehouseUnavailable
from cdc_merge.lease import Lease, Leases
from cdc_merge.logs import get_logger
from cdc_merge.warehouses import Session, Statement, Warehouse

log = get_logger("cdc_merge.lease")


@dataclass(frozen=True)
class Opening:
    """The first statement of the transaction. `lease`: ours meanwhile; None: a worker has it, and is held back."""

    first: Statement
    lease: Lease | None


@contextmanager
def beside_merges(
    warehouse: Warehouse, leases: Leases, source: str, *, session: Session | None = None
) -> Iterator[Opening]:
    """Take the source's lease if it is free, and give it back at the end; else lock out the worker that has it.

    `session`: where to take it; None: one of its own. Raises WarehouseUnavailable, for another try.
    """
    with nullcontext(session) if session else warehouse.session() as taking:
        lease = leases.acquire(taking, source)
    if lease is None:
        yield Opening(leases.lock(source), None)
        return
    try:
        yield Opening(leases.fence(lease), lease)
    finally:
        _give_back(warehouse, leases, lease, session)


def _give_back(warehouse: Warehouse, leases: Leases, lease: Lease, session: Session | None) -> None:
    if session:
        try:
            leases.release(session, lease)
            return
        except (LeaseLost, WarehouseUnavailable):
            log.debug("lease_not_released_yet", source=lease.source)  # the connection broke: over another one
    try:
        with warehouse.session() as another:
            leases.release(another, lease)
    except (LeaseLost, WarehouseUnavailable) as error:
        log.warning("lease_not_released", source=lease.source, error=str(error))
