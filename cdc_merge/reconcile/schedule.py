"""Reconciles a source by itself, when it is due and a newer export is there, beside the merges of `run`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from cdc_merge.errors import CdcMergeError, Refused, Transient, UsageError
from cdc_merge.exports.finder import find_export, newest_complete
from cdc_merge.exports.manifest import Export
from cdc_merge.layout import Layout
from cdc_merge.logs import get_logger
from cdc_merge.metrics import Metrics
from cdc_merge.model import Source
from cdc_merge.reconcile.history import History, Reconciled
from cdc_merge.reconcile.inputs import items_of, requested_items
from cdc_merge.reconcile.reconciler import Reconciler, Turn
from cdc_merge.reconcile.snapshot import Items
from cdc_merge.stopping import Stop
from cdc_merge.unforeseen import UNFORESEEN
from cdc_merge.warehouses import Warehouse

LOOK_SECONDS = 60.0  # between looks at what reconciles have left in the books, whoever made them
_EXPORT_LOOK_SECONDS = 300.0  # between looks for a newer export, once a reconcile is due
_TRY_AGAIN_SECONDS = 900.0  # after a fault that time may cure

log = get_logger("cdc_merge.reconcile")


class Schedule:
    """When a source is due: `every` seconds after the last reconcile in the books, so a restart repeats nothing.

    After one that was refused or failed it waits as long again; after a fault that time may cure, at most a quarter of
    an hour; where no export is newer than the last reconcile's, a few minutes.
    """

    def __init__(self, every: float) -> None:
        """`every`: seconds."""
        self._every = timedelta(seconds=every)
        self._not_before: datetime | None = None

    def due(self, last: Reconciled | None) -> datetime | None:
        """The time from which a reconcile is due; None: now."""
        times = [last.finished_at + self._every] if last else []
        return max([*times, *([self._not_before] if self._not_before else [])], default=None)

    def found_none(self, now: datetime) -> None:
        self._put_off(now, _EXPORT_LOOK_SECONDS)

    def failed(self, now: datetime, error: Exception) -> None:
        """The reconcile came to nothing."""
        self._put_off(now, _TRY_AGAIN_SECONDS if isinstance(error, Transient) else self._every.total_seconds())

    def _put_off(self, now: datetime, seconds: float) -> None:
        self._not_before = now + min(self._every, timedelta(seconds=seconds))


class ScheduledReconciles:
    """Reconciles one source now and then, for as long as this worker holds its lease; tells the metrics what is so.

    Whatever comes of a reconcile, merging goes on: errors are logged and counted.
    """

    def __init__(
        self,
        source: Source,
        *,
        reconciler: Reconciler,
        warehouse: Warehouse,
        layout: Layout,
        metrics: Metrics,
        stop: Stop,
        clock: Callable[[], datetime],
        holds_lease: Callable[[], bool],
        turn: Turn,
    ) -> None:
        """`turn`: holds back the source's merges while it is open; gives the fence. Raises NotOurs (stopping.py)."""
        self._source = source
        self._reconciler = reconciler
        self._warehouse = warehouse
        self._history = History(layout.metadata, warehouse.dialect)
        self._metrics = metrics
        self._stop = stop
        self._clock = clock
        self._holds_lease = holds_lease
        self._turn = turn
        every = source.reconcile.every
        self._schedule = Schedule(every) if every is not None else None
        self._refused: set[str] = set()  # exports that were reconciled with in vain, by their place
        self._untrusted: set[str] = set()  # exports whose files or manifests are not right, by their place
        self._requests = 0

    def attend(self) -> float:
        """Reconcile if it is due; the seconds until it is worth looking again. Raises Stopping and NotOurs."""
        if not self._holds_lease():
            return 1.0
        try:
            last = self._look()
        except (CdcMergeError, *UNFORESEEN) as error:  # merging meets it too, and says what to do
            self._metrics.retried(self._source.name, type(error).__name__)
            log.warning("will_retry", source=self._source.name, error=str(error), kind=type(error).__name__)
            return LOOK_SECONDS
        if self._schedule is None:
            return LOOK_SECONDS
        due = self._schedule.due(last)
        if due is not None and (wait := (due - self._clock()).total_seconds()) > 0:
            return min(wait, LOOK_SECONDS)
        try:
            self._reconcile(self._schedule, last)
        except (CdcMergeError, *UNFORESEEN) as error:
            self._schedule.failed(self._clock(), error)
            self._report(error)
        return 0.0

    def _look(self) -> Reconciled | None:
        """Read the books, and tell the metrics."""
        name = self._source.name
        with self._warehouse.session() as session:
            last = self._history.last(session, name)
            floors = self._history.floors(session, name)
        configured = {target.table for target in self._source.targets}
        if last:
            drifts = {
                table: {"missing": drift.missing, "extra": drift.extra, "different": drift.different}
                for table, drift in last.targets.items()
                if table in configured
            }
            self._metrics.reconciled(name, last.finished_at, drifts)
        for table, floor in floors.items():
            if floor is not None and table in configured:
                self._metrics.verified_through(name, table, floor)
        return last

    def _reconcile(self, schedule: Schedule, last: Reconciled | None) -> None:
        items = self._find(last)
        if items is None:
            schedule.found_none(self._clock())
            return
        try:
            self._reconciler.reconcile_with(self._source, items, turn=self._turn)
        except Refused:
            self._refused.add(items.label)
            raise
        self._metrics.reconcile_ended(self._source.name, "done")

    def _find(self, last: Reconciled | None) -> Items | None:
        """The newest export, if it is newer than the last reconcile's; else one that is asked for."""
        source = self._source
        if source.exports is None:
            raise UsageError(
                "it has no `exports` to reconcile with",
                where=f"source {source.name}",
                hint="set `exports: s3://bucket/prefix/`",
            )
        table = self._reconciler.table_of(source)
        try:
            export = self._newest(source.exports, table, last)
        except Refused:
            if not source.reconcile.request:
                raise
            export = None  # what is wrong was logged
        if export or not source.reconcile.request:
            return items_of(export) if export else None
        table = self._reconciler.known_table(source)
        token = self._token(last)
        log.info("export_requested", source=source.name, table=table)
        try:
            return requested_items(
                source, table, token=token, wait=self._stop.pause, progress=lambda _arn, _status: None
            )
        except CdcMergeError as error:
            if not isinstance(error, Transient):
                self._requests += 1  # the token would give the same failure again, for hours
            raise

    def _newest(self, exports: str, table: str | None, last: Reconciled | None) -> Export | None:
        """The newest export that can be trusted. Raises Refused if there are newer ones than the last, but none such.

        Where exports are requested, none is tried again that was refused: a new one is worth more.
        """
        asks = self._source.reconcile.request
        passed = {last.export} if last else set()
        if asks:
            passed |= self._untrusted
        error: Refused | None = None
        while found := newest_complete(exports, table=table, after=last.as_of if last else None, besides=passed):
            if asks and found.location in self._refused:
                return None
            try:
                return find_export(exports, found.location, source=self._source.name, table=table)
            except Refused as refused:
                log.warning("export_passed_over", location=found.location, error=str(refused))
                passed.add(found.location)
                self._untrusted.add(found.location)
                error = error or refused
        if error:
            raise error
        return None

    def _token(self, last: Reconciled | None) -> str:
        """The same after a restart in the middle: the export under way is joined, instead of paid for twice."""
        since = last.finished_at.isoformat() if last else ""
        text = f"cdc-merge {self._source.name} {since} {self._requests}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _report(self, error: Exception) -> None:
        name, is_refused = self._source.name, isinstance(error, Refused)
        self._metrics.reconcile_ended(name, "refused" if is_refused else "failed")
        if is_refused:
            log.error("reconcile_refused", source=name, error=str(error))
            return
        traceback = None if isinstance(error, CdcMergeError) else error
        log.error("reconcile_failed", source=name, error=str(error), kind=type(error).__name__, exc_info=traceback)


__all__ = ["LOOK_SECONDS", "Schedule", "ScheduledReconciles"]
