"""One source: take its lease, find what is new, merge it in batches; all but the waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cdc_merge.ahead import Ahead
from cdc_merge.batching import Waiting
from cdc_merge.clock import utc_now
from cdc_merge.errors import BatchTooLarge, LeaseLost, SchemaMoved
from cdc_merge.feed.discovery import Discovery
from cdc_merge.feed.store import ObjectStore, open_store
from cdc_merge.held_lease import HeldLease
from cdc_merge.layout import Layout
from cdc_merge.lease import Lease, Leases, worker_name
from cdc_merge.ledger import OUTCOMES, Counts, Ledger
from cdc_merge.logs import get_logger
from cdc_merge.merger import Merger
from cdc_merge.metrics import Metrics
from cdc_merge.model import ObjectRef, Source
from cdc_merge.preparing import Job, Prepared
from cdc_merge.raw_road import Unread
from cdc_merge.stopping import NotOurs, Stop
from cdc_merge.turns import Turns
from cdc_merge.warehouses import Session, Statement, Warehouse

log = get_logger("cdc_merge.worker")


class SourceWorker:
    """One source's loop body: everything but the waiting.

    `turns`: whether merges or something beside them may open a transaction. `caught_up_at`: everything that was
    there to be found at that time is merged; None: not yet.
    """

    def __init__(
        self,
        source: Source,
        *,
        warehouse: Warehouse,
        layout: Layout,
        leases: Leases,
        metrics: Metrics,
        stop: Stop,
        clock: Callable[[], datetime] = utc_now,
        store: ObjectStore | None = None,
        progress: Callable[[Counts, int], None] = lambda _counts, _left: None,
        beat: Callable[[str], None] = lambda _source: None,
        overlaps: bool = False,
    ) -> None:
        """`progress` is told the counts of each batch and how many objects wait; `beat` that work goes on."""
        self.source = source
        self._overlaps = overlaps
        self._beat = beat
        self.store = store or open_store(source.changes)
        self._warehouse = warehouse
        self._leases = leases
        self._metrics = metrics
        self._stop = stop
        self._progress = progress
        self._ledger = Ledger(layout.metadata, warehouse.dialect)
        self.held = HeldLease(source.name, leases, warehouse)
        self.turns = Turns()
        self.caught_up_at: datetime | None = None
        self._clock = clock
        self._listed_all = False
        self._is_known = False
        self._requests = 0
        self._discovery = Discovery(self.store, self._is_merged, clock)
        self.merger = Merger(
            source=source,
            store=self.store,
            warehouse=warehouse,
            layout=layout,
            worker=worker_name(),
            clock=clock,
            check=self._check,
            phase=lambda name, seconds: metrics.phase(source.name, name, seconds),
            decoded=lambda by: metrics.batch_decoded(source.name, by),
        )

    def _is_merged(self, refs: Sequence[ObjectRef]) -> set[ObjectRef]:
        with self._warehouse.session() as session:
            return self._ledger.merged(session, self.source.name, self.store.bucket, refs)

    def _check(self) -> None:
        """Called often while a batch is fetched and decoded, from several threads."""
        self._stop.check()
        self._beat(self.source.name)
        self.held.renew_in_time()

    # --- the lease ---------------------------------------------------------------------------------------

    def hold_lease(self) -> bool:
        """Take or renew the lease; False: another worker has it."""
        if self.held.is_fresh:
            return True
        with self._warehouse.session() as session:
            is_ours = self.held.hold(session)
            if is_ours and not self._is_known:
                self._report_standing(session)
        self._metrics.lease_held(self.source.name, is_ours)
        return is_ours

    def _report_standing(self, session: Session) -> None:
        """Tell the metrics what earlier workers left: how fresh the source is, and what waits in quarantine."""
        if newest := self._ledger.newest_change(session, self.source.name):
            self._metrics.merged_up_to(self.source.name, newest)
        self._report_quarantine(session)
        self._is_known = True

    def _report_quarantine(self, session: Session) -> None:
        self._metrics.quarantine_holds(self.source.name, self._ledger.quarantined(session, self.source.name))

    def holds_lease(self) -> bool:
        """Whether this worker has the source, as far as it knows; from any thread."""
        return self.held.lease is not None

    @contextmanager
    def hold_back_merges(self) -> Iterator[Statement]:
        """For a transaction beside the merges, in another thread: its fence. Raises NotOurs, or Stopping."""
        with self.turns.reconcile(self._stop.check):
            if (lease := self.held.lease) is None:
                raise NotOurs
            yield self._leases.fence(lease)

    def release_lease(self) -> None:
        """Let another worker have the source at once."""
        lease = self.held.let_go()
        if lease is None:
            return
        self._leases.forget(lease)
        with self._warehouse.session() as session:
            self._leases.release(session, lease)

    # --- merging -----------------------------------------------------------------------------------------

    def merge_new(self) -> Iterator[Counts]:
        """Merge what is new, batch by batch. The first time the whole prefix is listed, later only polled."""
        began = self._clock()
        pages = self._discovery.full() if not self._listed_all else iter([self._discovery.poll()])
        yield from self._merge(self._counted(pages), again=False)
        self._listed_all = True
        self.caught_up_at = began

    def _counted(self, pages: Iterable[Sequence[ObjectRef]]) -> Iterator[Sequence[ObjectRef]]:
        """Tells the metrics what finding the pages took."""
        for page in pages:
            self._metrics.store_requested(self.source.name, self._discovery.requests - self._requests)
            self._requests = self._discovery.requests
            yield page

    def merge_all(self, refs: Sequence[ObjectRef], *, again: bool = False) -> Iterator[Counts]:
        """Merge objects in batches as large as the source allows; `again`: they may be in the ledger already."""
        return self._merge([refs], again=again)

    def _merge(self, pages: Iterable[Sequence[ObjectRef]], *, again: bool) -> Iterator[Counts]:
        """While the warehouse merges a batch, the next one is decoded, where the worker has but one source."""
        waiting = Waiting(pages, self.source.batch)
        with Ahead(self.merger.prepare, self._check) as ahead:

            def begin_next() -> None:
                if batch := waiting.take(inflation=self.merger.preparer.inflation):
                    ahead.begin(Job(batch, again=again))

            while waiting or ahead.job:
                if ahead.job is None:
                    self._insist_on_lease()
                    begin_next()
                waiting.fill()  # here, for in the midst of a merge is no time to list objects
                coming = ahead.job
                try:
                    job, prepared = ahead.take()
                    self._metrics.backlog(self.source.name, len(job.refs) + len(waiting))
                    may_overlap = self._overlaps and not prepared.teaches
                    counts = self._merge_prepared(job, prepared, begin_next if may_overlap else None)
                except BatchTooLarge as error:
                    if coming is None or len(coming.refs) == 1:
                        raise
                    log.warning("batch_halved", source=self.source.name, objects=len(coming.refs), why=error.message)
                    waiting.give_back(coming.refs)
                    continue
                self._progress(counts, len(waiting) + (len(ahead.job.refs) if ahead.job else 0))
                yield counts
        self._metrics.backlog(self.source.name, 0)

    def _merge_prepared(self, job: Job, prepared: Prepared | Unread, loaded: Callable[[], None] | None) -> Counts:
        with prepared:
            try:
                return self._under_lease(job, lambda fence: self.merger.commit(prepared, fence, loaded=loaded))
            except SchemaMoved:
                # By the batch before it, or a reconcile, while this one was decoded.
                prepared.close()
                return self.merge_job(job)

    def merge_job(self, job: Job) -> Counts:
        """Merge one batch under the lease."""
        return self._under_lease(job, lambda fence: self.merger.merge(job, fence))

    def merge_files(self, job: Job, files: Sequence[Path]) -> Counts:
        """Merge records that lie in local files, under the lease."""
        return self._under_lease(job, lambda fence: self.merger.merge_files(job, files, fence))

    def _insist_on_lease(self) -> Lease:
        """The lease, renewed if it is time. Raises LeaseLost, and Stopping."""
        self._stop.check()
        if not self.hold_lease() or self.held.lease is None:
            raise LeaseLost("another worker holds the source", where=f"source {self.source.name}")
        return self.held.lease

    def _under_lease(self, job: Job, merge: Callable[[list[Statement]], Counts]) -> Counts:
        lease = self._insist_on_lease()
        try:
            counts = merge([self._leases.fence(lease)])
        except LeaseLost:
            self.held.let_go()
            self._metrics.lease_held(self.source.name, False)
            raise
        self.held.note_renewal()
        self._discovery.mark_merged(job.refs)
        name = self.source.name
        self._metrics.batch_merged(
            name,
            {outcome: getattr(counts, outcome) for outcome in OUTCOMES},
            counts.targets,
            objects=counts.objects,
            newest=counts.newest_change_at,
        )
        if counts.quarantined or job.release:
            with self._warehouse.session() as session:
                self._report_quarantine(session)
        self._beat(name)
        log.info(
            "batch_merged",
            source=self.source.name,
            objects=counts.objects,
            records=counts.records,
            applied=counts.applied,
            superseded=counts.superseded,
            stale=counts.stale,
            ignored=counts.ignored,
            quarantined=counts.quarantined,
        )
        return counts
