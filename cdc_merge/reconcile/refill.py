"""Merges once more what the feed has since a time, so that rows which a rebuild carried over get all their values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cdc_merge.batching import Waiting
from cdc_merge.beside import beside_merges
from cdc_merge.feed.listing import list_data
from cdc_merge.feed.store import ObjectStore, open_store
from cdc_merge.held_lease import HeldLease
from cdc_merge.layout import Layout
from cdc_merge.lease import Leases, worker_name
from cdc_merge.ledger import Counts
from cdc_merge.logs import get_logger
from cdc_merge.merger import Merger
from cdc_merge.model import ObjectRef, Source
from cdc_merge.preparing import Job
from cdc_merge.warehouses import Warehouse

log = get_logger("cdc_merge.reconcile")


class Refill:
    """One replay of a source, which may be tried again: what was merged is not merged a third time."""

    def __init__(
        self,
        source: Source,
        since: datetime,
        *,
        warehouse: Warehouse,
        layout: Layout,
        leases: Leases,
        clock: Callable[[], datetime],
        check: Callable[[], None],
    ) -> None:
        """`since`: objects written at or after it are merged; `check` may raise to stop."""
        self.counts = Counts()
        self._source = source
        self._since = since
        self._warehouse = warehouse
        self._leases = leases
        self._check_outside = check
        self._store: ObjectStore = open_store(source.changes)
        self._merged: set[ObjectRef] = set()
        self._held: HeldLease | None = None
        self._merger = Merger(
            source=source,
            store=self._store,
            warehouse=warehouse,
            layout=layout,
            worker=worker_name(),
            clock=clock,
            check=self._check,
        )

    def run(self) -> Counts:
        """Merge all objects written since. Raises Transient errors, for another try, and SourceStopped ones."""
        mine = (
            [r for r in page if r.modified >= self._since and r not in self._merged] for page in list_data(self._store)
        )
        waiting = Waiting(mine, self._source.batch)
        with beside_merges(self._warehouse, self._leases, self._source.name) as opening:
            self._held = HeldLease(self._source.name, self._leases, self._warehouse, opening.lease)
            try:
                while batch := waiting.take(inflation=self._merger.preparer.inflation):
                    self.counts += self._merger.merge(Job(batch, again=True), [opening.first])
                    self._merged.update(batch)
                    waiting.fill()
            finally:
                self._held = None
        return self.counts

    def _check(self) -> None:
        """Called often while a batch is decoded, from several threads: keeps the lease for as long as that takes."""
        self._check_outside()
        if held := self._held:
            held.renew_in_time()
