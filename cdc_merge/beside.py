"""Opens a transaction that must not run beside a merge of its source, whoever merges it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from cdc_merge.errors import LeaseLost, WarehouseUnavailable
from cdc_merge.lease import Lease, Leases
from cdc_merge.logs import get_logger
from cdc_merge.warehouses import Session, Statement, Warehouse

log = get_logger("cdc_merge.lease")

_PATIENCE = 1.0  # seconds; a lease that is not given back runs out by itself


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

    def release() -> None:
        with warehouse.session() as another:
            leases.release(another, lease)

    # On DuckDB it fails while somebody else tries to lock the row, as does who waits for this to end.
    trying = Retrying(
        retry=retry_if_exception_type(WarehouseUnavailable),
        stop=stop_after_delay(_PATIENCE),
        wait=wait_random(max=_PATIENCE / 10),
        reraise=True,
    )
    try:
        trying(release)
    except (LeaseLost, WarehouseUnavailable) as error:
        log.warning("lease_not_released", source=lease.source, error=str(error))
