"""Runs the drift meter of one source beside the merges: a few rows each few minutes, at the rate it is allowed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from cdc_merge.errors import CdcMergeError
from cdc_merge.layout import Layout
from cdc_merge.lease import worker_name
from cdc_merge.logs import get_logger
from cdc_merge.metrics import Metrics
from cdc_merge.model import Source
from cdc_merge.reconcile.history import History
from cdc_merge.reconcile.meter import DriftMeter
from cdc_merge.reconcile.probe import Probe
from cdc_merge.unforeseen import UNFORESEEN
from cdc_merge.warehouses import Warehouse

# How long Firehose may hold a record back: IntervalInSeconds is at most 900.
# https://docs.aws.amazon.com/firehose/latest/APIReference/API_BufferingHints.html
_LONGEST_BUFFERING = timedelta(seconds=900)
_ITEMS_A_ROUND = 100  # what one BatchGetItem reads
_SHORTEST_ROUND, _LONGEST_ROUND = 60.0, 300.0

log = get_logger("cdc_merge.reconcile")


def grace_of(source: Source) -> timedelta:
    """How long a change may be on its way before a row that lacks it has drifted."""
    return 2 * timedelta(seconds=source.reconcile.margin) + _LONGEST_BUFFERING


class Allowance:
    """How many items may be read now, at a rate an hour; what is not used is lost after a round."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = 0.0
        self._told_at: datetime | None = None
        self.round_seconds = min(max(_ITEMS_A_ROUND * 3600 / rate, _SHORTEST_ROUND), _LONGEST_ROUND)

    def take(self, now: datetime) -> int:
        """The whole items since the last time, of one round at most; a fraction is kept for the next time."""
        since = self.round_seconds if self._told_at is None else (now - self._told_at).total_seconds()
        self._told_at = now
        self._left = self._left % 1 + self._rate * min(max(since, 0.0), self.round_seconds) / 3600
        return int(self._left)


class Probing:
    """Samples, reads and judges rows of one source, and publishes the estimate in metrics and metadata."""

    def __init__(
        self,
        source: Source,
        rate: float,
        probe: Probe,
        *,
        warehouse: Warehouse,
        layout: Layout,
        metrics: Metrics,
        clock: Callable[[], datetime],
        holds_lease: Callable[[], bool],
        caught_up_at: Callable[[], datetime | None],
    ) -> None:
        """`rate`: items an hour. `caught_up_at`: the time whose findings are all merged; None: none yet."""
        self._source = source
        self._probe = probe
        self._warehouse = warehouse
        self._history = History(layout.metadata, warehouse.dialect)
        self._metrics = metrics
        self._clock = clock
        self._holds_lease = holds_lease
        self._caught_up_at = caught_up_at
        self._allowance = Allowance(rate)
        self._meter = DriftMeter(grace=grace_of(source))

    def attend(self) -> float:
        """One round; the seconds until the next. Raises Stopping."""
        if not self._holds_lease() or self._caught_up_at() is None:
            return 1.0
        try:
            self._go_round()
        except (CdcMergeError, *UNFORESEEN) as error:
            name, kind = self._source.name, type(error).__name__
            traceback = None if isinstance(error, CdcMergeError) else error
            self._metrics.retried(name, kind)
            log.warning("probe_failed", source=name, error=str(error), kind=kind, exc_info=traceback)
        return self._allowance.round_seconds

    def _go_round(self) -> None:
        name = self._source.name
        allowed = self._allowance.take(self._clock())
        rows = self._meter.due(self._caught_up_at())[:allowed]
        rows += self._probe.sample(allowed - len(rows))
        if not rows:
            return
        readings = self._probe.read(list(dict.fromkeys(rows)))
        self._metrics.sampled(name, {o.value: n for o, n in self._meter.take(readings, self._clock()).items()})
        if (estimate := self._meter.estimate()) is None:
            return
        lower, upper = estimate.bounds
        self._metrics.drift_estimated(name, estimate.ratio, lower, upper)
        with self._warehouse.session() as session:
            self._history.record_estimate(session, name, estimate, worker=worker_name())
        log.info(
            "drift_estimated",
            source=name,
            samples=estimate.samples,
            drifted=estimate.drifted,
            lower=round(lower, 6),
            upper=round(upper, 6),
        )


__all__ = ["Allowance", "Probing", "grace_of"]
