"""What `run` does beside merging: each source's reconciles, probes and tidying, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Self

from cdc_merge.housekeeping import Housekeeping
from cdc_merge.layout import Layout
from cdc_merge.logs import get_logger
from cdc_merge.metrics import Metrics
from cdc_merge.model import Settings
from cdc_merge.reconcile.probe import Probe
from cdc_merge.reconcile.probing import Probing
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.reconcile.schedule import ScheduledReconciles
from cdc_merge.source_worker import SourceWorker
from cdc_merge.stopping import STOP_GRACE_SECONDS, NotOurs, Stop, Stopping
from cdc_merge.warehouses import Tidying, Warehouse

_JOIN_SECONDS = STOP_GRACE_SECONDS + 2.0  # told to stop: a transaction's grace, then it is broken off

log = get_logger("cdc_merge.worker")

Attend = Callable[[], float]
"""Does what is due, and returns the seconds until it is worth asking again."""


class Upkeep:
    """Runs while its block does; at the end its threads are told to stop, and waited for, for some seconds."""

    def __init__(
        self,
        settings: Settings,
        workers: Sequence[SourceWorker],
        *,
        warehouse: Warehouse,
        layout: Layout,
        metrics: Metrics,
        stop: Stop,
        clock: Callable[[], datetime],
        migrate: bool,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._warehouse = warehouse
        self._layout = layout
        self._metrics = metrics
        self._stop = stop
        self._clock = clock
        self._migrate = migrate
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for worker in self._workers:
            self._start("reconcile", worker, self._reconciles(worker).attend)
            if probing := self._probing(worker):
                self._start("probe", worker, probing.attend)
            if tidying := self._warehouse.tidying:
                self._start("tidying", worker, self._housekeeping(worker, tidying).attend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.request()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("still_running", thread=thread.name)

    def _start(self, task: str, worker: SourceWorker, attend: Attend) -> None:
        def keep() -> None:
            try:
                while not self._stop.is_requested:
                    try:
                        wait = attend()
                    except NotOurs:
                        wait = 1.0
                    self._stop.wait(wait)
            except Stopping:
                log.debug("stopped", task=task, source=worker.source.name)

        # A daemon: what hangs in a driver must not keep the process from its end.
        thread = threading.Thread(target=keep, name=f"{task} {worker.source.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _reconciles(self, worker: SourceWorker) -> ScheduledReconciles:
        return ScheduledReconciles(
            worker.source,
            reconciler=Reconciler(
                self._settings, warehouse=self._warehouse, stop=self._stop, clock=self._clock, migrate=self._migrate
            ),
            warehouse=self._warehouse,
            layout=self._layout,
            metrics=self._metrics,
            stop=self._stop,
            clock=self._clock,
            holds_lease=worker.holds_lease,
            turn=worker.hold_back_merges,
        )

    def _housekeeping(self, worker: SourceWorker, tidying: Tidying) -> Housekeeping:
        return Housekeeping(
            worker.source,
            tidying,
            schema=self._layout.schema,
            metrics=self._metrics,
            clock=self._clock,
            holds_lease=worker.holds_lease,
            check=self._stop.check,
        )

    def _probing(self, worker: SourceWorker) -> Probing | None:
        source = worker.source
        rate, table = source.reconcile.probe, source.table
        if not rate or table is None:
            return None

        probe = Probe(
            source,
            table,
            warehouse=self._warehouse,
            layout=self._layout,
            clock=self._clock,
            wait=self._stop.pause,
            check=self._stop.check,
            random=Random(),
        )
        return Probing(
            source,
            rate,
            probe,
            warehouse=self._warehouse,
            layout=self._layout,
            metrics=self._metrics,
            clock=self._clock,
            holds_lease=worker.holds_lease,
            caught_up_at=lambda: worker.caught_up_at,
        )
