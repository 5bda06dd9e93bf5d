"""The worker: for each source, take the lease, find new objects, merge them in batches, until told to stop."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cdc_merge.errors import CdcMergeError, LeaseLost, ObjectChanged, SourceStopped, Transient, WarehouseUnavailable
from cdc_merge.feed.discovery import Discovery
from cdc_merge.feed.store import ObjectStore, open_store
from cdc_merge.health import Health
from cdc_merge.lease import Lease, Leases
from cdc_merge.ledger import OUTCOMES, Counts, Ledger
from cdc_merge.logs import get_logger
from cdc_merge.merge.plan import Layout
from cdc_merge.merger import Job, Merger
from cdc_merge.metrics import Metrics
from cdc_merge.migrate import Migrator, metadata_names
from cdc_merge.model import ObjectRef, Settings, Source
from cdc_merge.warehouses import Session, Statement, Warehouse, open_warehouse

LEASE_SECONDS = 60.0
STOP_GRACE_SECONDS = 5.0  # how long a transaction may still take once we are told to stop
_OVERDUE_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 60.0
_ONCE_TRIES = 9  # about three minutes of backing off

log = get_logger("cdc_merge.worker")


class Stopping(Exception):
    """We were told to stop: whatever is open is rolled back."""


class Stop:
    """A request to stop, from another thread. Not for a signal's handler: it may hold the very lock it waits for."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._event = threading.Event()
        self._monotonic = monotonic
        self._deadline = float("inf")
        self._cut_offs: list[Callable[[], None]] = []

    def when_overdue(self, cut_off: Callable[[], None]) -> None:
        """Have this called, in a thread of its own, some time after the grace: for a statement that hangs."""
        self._cut_offs.append(cut_off)

    def request(self) -> None:
        """Ask to stop; what runs now may finish within the grace."""
        if self._event.is_set():
            return
        self._deadline = self._monotonic() + STOP_GRACE_SECONDS
        self._event.set()
        # After the deadline no statement begins; what still runs a moment later is one that does not end.
        timer = threading.Timer(STOP_GRACE_SECONDS + _OVERDUE_SECONDS, self._cut_off)
        timer.daemon = True
        timer.start()

    def _cut_off(self) -> None:
        for cut_off in self._cut_offs:
            cut_off()

    @property
    def is_requested(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise Stopping as soon as a stop is requested: for work that costs nothing to drop."""
        if self._event.is_set():
            raise Stopping

    def check_deadline(self) -> None:
        """Raise Stopping once the grace is over: for a transaction that is better finished."""
        if self._event.is_set() and self._monotonic() > self._deadline:
            raise Stopping

    def wait(self, seconds: float) -> None:
        self._event.wait(seconds)


@dataclass
class _Pace:
    """When a source has its next turn, and how often it has failed in a row."""

    due: float = 0.0
    next_look: float = 0.0  # when it lists objects again, once those found are merged
    failures: int = 0
    stopped: SourceStopped | None = None
    batches: Iterator[Counts] | None = None  # a backlog that is being merged, one batch each turn


@dataclass
class RunTotals:
    """What a run did, over all sources."""

    counts: Counts = field(default_factory=Counts)
    by_source: dict[str, Counts] = field(default_factory=dict)
    stopped: dict[str, CdcMergeError] = field(default_factory=dict)

    def add(self, source: str, counts: Counts) -> None:
        self.counts += counts
        self.by_source[source] = self.by_source.get(source, Counts()) + counts


def utc_now() -> datetime:
    return datetime.now(UTC)


def worker_name() -> str:
    """`host:pid`: who we are, in leases and in the books."""
    return f"{socket.gethostname()}:{os.getpid()}"


class SourceWorker:
    """One source's loop body: everything but the waiting."""

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
    ) -> None:
        """`progress` is told the counts of each batch and how many objects wait; `beat` that work goes on."""
        self.source = source
        self._beat = beat
        self.store = store or open_store(source.changes)
        self._warehouse = warehouse
        self._leases = leases
        self._metrics = metrics
        self._stop = stop
        self._progress = progress
        self._ledger = Ledger(layout.metadata, warehouse.dialect)
        self._lease: Lease | None = None
        self._lease_renewed = 0.0
        self._renewing = threading.Lock()
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
        )

    def _is_merged(self, refs: Sequence[ObjectRef]) -> set[ObjectRef]:
        with self._warehouse.session() as session:
            return self._ledger.merged(session, self.source.name, self.store.bucket, refs)

    def _check(self) -> None:
        """Called often while a batch is fetched and decoded, from several threads."""
        self._stop.check()
        self._beat(self.source.name)
        self._renew_in_time()

    # --- the lease ---------------------------------------------------------------------------------------

    def hold_lease(self) -> bool:
        """Take or renew the lease; False: another worker has it."""
        now = time.monotonic()
        if self._lease is not None and now - self._lease_renewed < LEASE_SECONDS / 3:
            return True
        with self._warehouse.session() as session:
            if self._lease is not None:
                try:
                    self._lease = self._leases.renew(session, self._lease)
                except LeaseLost:
                    self._lease = None
            if self._lease is None:
                self._lease = self._leases.acquire(session, self.source.name)
            if self._lease is not None and not self._is_known:
                self._report_standing(session)
        self._lease_renewed = now
        self._metrics.lease_held(self.source.name, self._lease is not None)
        return self._lease is not None

    def _renew_in_time(self) -> None:
        """Keep the lease while a batch takes longer than it lasts. Raises LeaseLost: the batch would be refused."""
        with self._renewing:
            if self._lease is None or time.monotonic() < self._lease_renewed + LEASE_SECONDS / 3:
                return
            try:
                with self._warehouse.session() as session:
                    self._lease = self._leases.renew(session, self._lease)
                self._lease_renewed = time.monotonic()
            except WarehouseUnavailable as error:
                # No reason to drop what is decoded: whether the lease was kept is for the fence to say.
                log.warning("lease_not_renewed", source=self.source.name, error=str(error))
                self._lease_renewed = time.monotonic() - LEASE_SECONDS / 4  # once more after a twelfth of it

    def _report_standing(self, session: Session) -> None:
        """Tell the metrics what earlier workers left: how fresh the source is, and what waits in quarantine."""
        if newest := self._ledger.newest_change(session, self.source.name):
            self._metrics.merged_up_to(self.source.name, newest)
        self._report_quarantine(session)
        self._is_known = True

    def _report_quarantine(self, session: Session) -> None:
        self._metrics.quarantine_holds(self.source.name, self._ledger.quarantined(session, self.source.name))

    def release_lease(self) -> None:
        """Let another worker have the source at once."""
        if self._lease is None:
            return
        lease, self._lease = self._lease, None
        self._leases.forget(lease)
        with self._warehouse.session() as session:
            self._leases.release(session, lease)

    # --- merging -----------------------------------------------------------------------------------------

    def merge_new(self) -> Iterator[Counts]:
        """Merge what is new, batch by batch. The first time the whole prefix is listed, later only polled."""
        if self._listed_all:
            found = self._discovery.poll()
            self._count_requests()
            yield from self.merge_all(found)
            return
        waiting: list[ObjectRef] = []
        for page in self._discovery.full():
            self._count_requests()
            waiting += page
            while len(waiting) > self.source.batch.objects:
                batch, waiting = self._cut(waiting)
                yield self.merge_job(Job(batch))
        yield from self.merge_all(waiting)
        self._listed_all = True

    def _count_requests(self) -> None:
        self._metrics.store_requested(self.source.name, self._discovery.requests - self._requests)
        self._requests = self._discovery.requests

    def merge_all(self, refs: Sequence[ObjectRef], *, again: bool = False) -> Iterator[Counts]:
        """Merge objects in batches as large as the source allows; `again`: they may be in the ledger already."""
        waiting = list(refs)
        while waiting:
            batch, waiting = self._cut(waiting)
            self._metrics.backlog(self.source.name, len(batch) + len(waiting))
            counts = self.merge_job(Job(batch, again=again))
            self._progress(counts, len(waiting))
            yield counts
        self._metrics.backlog(self.source.name, 0)

    def _cut(self, refs: list[ObjectRef]) -> tuple[tuple[ObjectRef, ...], list[ObjectRef]]:
        """The next batch and the rest. What an object inflates to is guessed from those before it."""
        size, count = 0.0, 0
        for ref in refs[: self.source.batch.objects]:
            size += ref.size * self.merger.inflation
            if count and size > self.source.batch.bytes:
                break
            count += 1
        return tuple(refs[:count]), refs[count:]

    def merge_job(self, job: Job) -> Counts:
        """Merge one batch under the lease."""
        return self._under_lease(job, lambda fence: self.merger.merge(job, fence))

    def merge_files(self, job: Job, files: Sequence[Path]) -> Counts:
        """Merge records that lie in local files, under the lease."""
        return self._under_lease(job, lambda fence: self.merger.merge_files(job, files, fence))

    def _under_lease(self, job: Job, merge: Callable[[list[Statement]], Counts]) -> Counts:
        self._stop.check()
        if not self.hold_lease() or self._lease is None:
            raise LeaseLost("another worker holds the source", where=f"source {self.source.name}")
        try:
            counts = merge([self._leases.fence(self._lease)])
        except LeaseLost:
            self._lease = None
            self._metrics.lease_held(self.source.name, False)
            raise
        self._lease_renewed = time.monotonic()
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


class Worker:
    """Keeps the sources of a configuration merged: `run_once` until nothing is left, `run` until told to stop."""

    def __init__(
        self,
        settings: Settings,
        *,
        sources: Iterable[str] = (),
        migrate: bool = True,
        metrics: Metrics | None = None,
        health: Health | None = None,
        stop: Stop | None = None,
        clock: Callable[[], datetime] = utc_now,
        warehouse: Warehouse | None = None,
        progress: Callable[[Counts, int], None] = lambda _counts, _left: None,
    ) -> None:
        """`sources`: only these by name (default: all); `migrate`: bring the metadata tables up to date first.

        Raises UsageError for an unknown warehouse scheme.
        """
        self.stop = stop or Stop()
        self.metrics = metrics or Metrics()
        self.health = health or Health([s.name for s in settings.sources if not set(sources) or s.name in set(sources)])
        self._migrate = migrate
        self._owns_warehouse = warehouse is None
        self.warehouse = warehouse or open_warehouse(settings.warehouse, observer=self._observe)
        if self._owns_warehouse:
            self.stop.when_overdue(self.warehouse.interrupt)
        self.layout = layout_of(settings, self.warehouse)
        leases = Leases(self.layout.metadata, self.warehouse.dialect, ttl=LEASE_SECONDS, holder=worker_name())
        wanted = set(sources)
        self.sources = [
            SourceWorker(
                source,
                warehouse=self.warehouse,
                layout=self.layout,
                leases=leases,
                metrics=self.metrics,
                stop=self.stop,
                clock=clock,
                progress=progress,
                beat=self.health.beat,
            )
            for source in settings.sources
            if not wanted or source.name in wanted
        ]
        for worker in self.sources:
            self.metrics.declare(worker.source.name, [t.table for t in worker.source.targets])
        self._paces = {w.source.name: _Pace() for w in self.sources}
        self._is_migrated = False
        self._is_closing = False

    def _observe(self, label: str, seconds: float) -> None:
        log.debug("statement", label=label, seconds=round(seconds, 4))
        if not self._is_closing:  # giving back the lease is the last thing to do, and brief
            self.stop.check_deadline()

    def prepare(self) -> None:
        """Bring the metadata tables up to date, or insist that they are. Raises MissingMetadata, Transient."""
        if self._is_migrated:
            return
        migrator = Migrator(self.warehouse, self.layout.metadata_schema)
        with self.warehouse.session() as session:
            if self._migrate:
                migrator.apply(session)
            else:
                migrator.require(session)
        self._is_migrated = True

    def run_once(self) -> RunTotals:
        """Merge everything there is. Transient faults are tried again for some minutes.

        A source that cannot go on is in `stopped` of the result; the others are merged all the same.
        """
        totals = RunTotals()
        try:
            for worker in self.sources:
                self._attempt(worker, worker.merge_new, totals)
        except Stopping:
            log.info("stopped", reason="requested")
        finally:
            self.close()
        return totals

    def replay(
        self, wanted: Mapping[str, Sequence[ObjectRef]], find: Callable[[SourceWorker], Sequence[ObjectRef]]
    ) -> RunTotals:
        """Merge the `wanted` objects of sources again, as `run_once` merges new ones.

        `find` lists a source's objects anew when one was rewritten since.
        """
        totals = RunTotals()
        for worker in self.sources:
            waiting = list(wanted.get(worker.source.name, ()))
            self._attempt(worker, partial(_merge_again, worker, waiting, find), totals)
        return totals

    def _attempt(self, worker: SourceWorker, merge: Callable[[], Iterator[Counts]], totals: RunTotals) -> None:
        """Merge all there is of a source; what it fails of is in `stopped`, so that the others have their turn."""
        try:
            self._exhaust(worker, merge, totals)
        except (SourceStopped, Transient) as error:
            self._report_stopped(worker, error)
            totals.stopped[worker.source.name] = error

    def _exhaust(self, worker: SourceWorker, merge: Callable[[], Iterator[Counts]], totals: RunTotals) -> None:
        pace = self._paces[worker.source.name]
        while True:
            try:
                self.prepare()
                for counts in merge():
                    pace.failures = 0
                    totals.add(worker.source.name, counts)
                return
            except Transient as error:
                pace.failures += 1
                if pace.failures > _ONCE_TRIES:
                    raise
                self._report_retry(worker, error)
                self.stop.wait(_backoff(pace.failures))
                self.stop.check()

    def run(self) -> RunTotals:
        """Merge what arrives until `stop` is requested. A source that must stop waits for a person; the rest go on."""
        totals = RunTotals()
        try:
            while not self.stop.is_requested:
                for worker in self.sources:
                    self._attend(worker, totals)
                next_due = min(p.due for p in self._paces.values())
                self.stop.wait(max(0.0, next_due - time.monotonic()))
        except Stopping:
            log.info("stopped", reason="requested")
        finally:
            self.close()
        return totals

    def _attend(self, worker: SourceWorker, totals: RunTotals) -> None:
        """One turn of a source: look for objects, or merge one batch of those found. Then the others have theirs."""
        name, pace = worker.source.name, self._paces[worker.source.name]
        if time.monotonic() < pace.due:
            return
        batches, pace.batches = pace.batches, None  # after an error the objects are listed anew
        pace.due = time.monotonic() + worker.source.poll
        if batches is None:
            pace.next_look = pace.due
        try:
            self.prepare()
            if not worker.hold_lease():
                self.health.standing_by(name)
                return
            batches = batches or worker.merge_new()
            counts = next(batches, None)
            if counts is not None:
                totals.add(name, counts)
                pace.batches, pace.failures, pace.due = batches, 0, 0.0
                self.health.beat(name)
                return
            pace.due = pace.next_look
            if pace.stopped:
                log.info("source_resumed", source=name)
            pace.failures, pace.stopped = 0, None
            self.metrics.source_stopped(name, stopped=False)
            self.health.beat(name)
        except LeaseLost as error:
            log.warning("lease_lost", source=name, error=str(error))
            self.health.standing_by(name)
        except Transient as error:
            pace.failures += 1
            pace.due = time.monotonic() + _backoff(pace.failures)
            self._report_retry(worker, error)
        except SourceStopped as error:
            # The same objects would stop it again at once; now and then it looks whether someone has mended them.
            pace.due = time.monotonic() + max(worker.source.poll, _LONGEST_WAIT_SECONDS)
            pace.stopped = error
            self._report_stopped(worker, error)

    def _report_retry(self, worker: SourceWorker, error: Transient) -> None:
        self.metrics.retried(worker.source.name, type(error).__name__)
        log.warning("will_retry", source=worker.source.name, error=str(error), kind=type(error).__name__)

    def _report_stopped(self, worker: SourceWorker, error: SourceStopped | Transient) -> None:
        self.metrics.source_stopped(worker.source.name, stopped=True)
        self.health.stopped(worker.source.name, str(error))
        log.error("source_stopped", source=worker.source.name, error=str(error), kind=type(error).__name__)

    def close(self) -> None:
        """Give back the leases and the connection."""
        self._is_closing = True
        for worker in self.sources:
            try:
                worker.release_lease()
            except Transient as error:
                log.warning("lease_not_released", source=worker.source.name, error=str(error))
        if self._owns_warehouse:
            self.warehouse.close()


def layout_of(settings: Settings, warehouse: Warehouse) -> Layout:
    """Where the targets and the metadata tables of a configuration are."""
    return Layout(
        schema=settings.schema or warehouse.dialect.default_schema,
        metadata_schema=settings.metadata_schema,
        metadata=metadata_names(settings.metadata_schema),
    )


def _merge_again(
    worker: SourceWorker, waiting: list[ObjectRef], find: Callable[[SourceWorker], Sequence[ObjectRef]]
) -> Iterator[Counts]:
    """Merge what waits; `waiting` shrinks with it, so that another try goes on with the rest."""
    try:
        for counts in worker.merge_all(waiting.copy(), again=True):
            del waiting[: counts.objects]
            yield counts
    except ObjectChanged:
        keys = {ref.key for ref in waiting}
        waiting[:] = [ref for ref in find(worker) if ref.key in keys]
        for key in sorted(keys - {ref.key for ref in waiting}):
            log.warning("object_gone", source=worker.source.name, object=key)
        raise


def _backoff(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, with jitter, up to a minute."""
    return min(_LONGEST_WAIT_SECONDS, 0.25 * 2.0 ** min(failures, 10)) * (0.5 + random.random() / 2)
