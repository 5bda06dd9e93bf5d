"""A worker under the stopwatch: what a merge of everything there is takes, part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.child import Step, Watch
from cdc_merge.clock import utc_now
from cdc_merge.feed.discovery import Discovery
from cdc_merge.ledger import OUTCOMES, Counts
from cdc_merge.metrics import Metrics
from cdc_merge.model import Settings
from cdc_merge.open_warehouse import warehouse_of
from cdc_merge.preparing import Job
from cdc_merge.warehouses import Warehouse
from cdc_merge.worker import Worker


class Watched(Metrics):
    """The worker's metrics, with the seconds of each phase at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}

    def phase(self, source: str, name: str, seconds: float) -> None:
        super().phase(source, name, seconds)
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def timed(
    chosen: Settings, merge: Callable[[Worker], Counts], *, meter: Callable[[Warehouse], Warehouse] = lambda w: w
) -> Step:
    """Build a worker, let it merge, and read off how long each part took; `meter` may stand before the warehouse."""
    statements: dict[str, float] = {}

    def observe(label: str, seconds: float) -> None:
        statements[label] = statements.get(label, 0.0) + seconds

    metrics = Watched()
    watch = Watch()
    warehouse = warehouse_of(chosen, observer=observe)
    try:
        counts = merge(Worker(chosen, metrics=metrics, warehouse=meter(warehouse)))
    finally:
        warehouse.close()
    step = watch.step(phases=metrics.seconds, statements=statements)
    books = {name: getattr(counts, name) for name in ("objects", "records", *OUTCOMES)}
    tables = [dict(changes) for changes in counts.targets.values()]
    return replace(step, counts=books | (tables[0] if len(tables) == 1 else {}))


def all_of(worker: Worker) -> Counts:
    """Merge all there is. Raises what stops the source."""
    totals = worker.run_once()
    for error in totals.stopped.values():
        raise error
    return totals.counts


def merge_again(worker: Worker) -> Counts:
    """What `cdc-merge replay` does."""
    try:
        worker.prepare()
        (source,) = worker.sources
        discovery = Discovery(source.store, lambda _refs: set(), utc_now)
        refs = tuple(ref for page in discovery.full() for ref in page)
        return source.merge_job(Job(refs, again=True))
    finally:
        worker.close()
