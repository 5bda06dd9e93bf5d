"""The worker: gives each source its turn, tries again what may pass, goes on past what stops, until told to stop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from cdc_merge.clock import utc_now
from cdc_merge.errors import CdcMergeError, LeaseLost, ObjectChanged, SourceStopped, Transient
from cdc_merge.health import Health
from cdc_merge.ledger import Counts
from cdc_merge.logs import get_logger
from cdc_merge.metrics import Metrics
from cdc_merge.migrate import Migrator
from cdc_merge.model import ObjectRef, Settings
from cdc_merge.open_warehouse import OpenWarehouse
from cdc_merge.source_worker import SourceWorker
from cdc_merge.stopping import Stop, Stopping
from cdc_merge.upkeep import Upkeep
from cdc_merge.warehouses import Warehouse

_LONGEST_WAIT_SECONDS = 60.0
_RECONCILE_LOOK_SECONDS = 0.5  # between looks whether a reconcile has let go of the source
_ONCE_TRIES = 9  # about three minutes of backing off

log = get_logger("cdc_merge.worker")


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

        Raises UsageError for an unknown warehouse scheme, and for a source that is not configured.
        """
        mine = [settings.source_named(name) for name in dict.fromkeys(sources)] or settings.sources
        self.stop = stop or Stop()
        self.metrics = metrics or Metrics()
        self.health = health or Health([s.name for s in mine])
        self._migrate = migrate
        self._opened = OpenWarehouse.of(settings, warehouse, observer=self._observe)
        self.warehouse, self.layout = self._opened.warehouse, self._opened.layout
        if self._opened.is_ours:
            self.stop.when_overdue(self.warehouse.interrupt)
        self.sources = [
            SourceWorker(
                source,
                warehouse=self.warehouse,
                layout=self.layout,
                leases=self._opened.leases,
                metrics=self.metrics,
                stop=self.stop,
                clock=clock,
                progress=progress,
                beat=self.health.beat,
                overlaps=len(mine) == 1,  # two batches at once, of several sources, would take too much memory
            )
            for source in mine
        ]
        for worker in self.sources:
            self.metrics.declare(worker.source.name, [t.table for t in worker.source.targets])
        self._paces = {w.source.name: _Pace() for w in self.sources}
        self._upkeep = Upkeep(
            settings,
            self.sources,
            warehouse=self.warehouse,
            layout=self.layout,
            metrics=self.metrics,
            stop=self.stop,
            clock=clock,
            migrate=migrate,
        )
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
                self.stop.pause(_backoff(pace.failures))

    def run(self) -> RunTotals:
        """Merge what arrives until `stop` is requested. A source that must stop waits for a person; the rest go on.

        Beside the merges, sources are reconciled and probed where they ask for it.
        """
        totals = RunTotals()
        try:
            with self._upkeep:
                while True:
                    self.stop.check()
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
        """One turn of a source, if it is due and no reconcile of it has the turn. Then the others have theirs."""
        pace = self._paces[worker.source.name]
        if time.monotonic() < pace.due:
            return
        with worker.turns.merge() as is_theirs:
            if is_theirs:
                self._take_turn(worker, pace, totals)
            else:
                pace.due = time.monotonic() + min(worker.source.poll, _RECONCILE_LOOK_SECONDS)
                self.health.beat(worker.source.name)

    def _take_turn(self, worker: SourceWorker, pace: _Pace, totals: RunTotals) -> None:
        """Look for objects, or merge one batch of those found."""
        name = worker.source.name
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
        self._opened.close()


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
