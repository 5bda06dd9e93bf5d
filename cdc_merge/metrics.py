"""What the worker counts and measures, in Prometheus form, in a registry of its own.

Names and units follow https://prometheus.io/docs/practices/naming/; labels have few values: never a key, an
object or a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from cdc_merge.clock import utc_now
from cdc_merge.model import Outcome

Clock = Callable[[], datetime]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PHASES = ("fetch", "decode", "load", "merge")
DECODERS = ("worker", "warehouse")
CHANGES = ("inserted", "updated", "deleted")
DRIFTS = ("missing", "extra", "different")
RECONCILES = ("done", "refused", "failed")
SAMPLES = ("equal", "drifted", "changed")
BOUNDS = ("estimate", "lower", "upper")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What `render` returns: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""

# A small batch takes tens of milliseconds, the largest one allowed by default (512 MB) about a minute.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """The worker's metrics; every method may be called from any thread.

    Declare each source first, so that its counters start at zero instead of with their first event:
    https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
    """

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._records = self._counter("records", "Change records read, by what became of them.", "outcome")
        self._rows = self._counter("rows", "Rows changed in a target.", "target", "change")
        self._objects = self._counter("objects", "Objects merged.")
        self._batches = self._counter("batches", "Batches committed.")
        self._decoded = self._counter("decoded_batches", "Batches merged, by who decoded them.", "by")
        self._retries = self._counter("retries", "Attempts that failed and were made again.", "error")
        self._store_requests = self._counter("store_requests", "Requests made to the object store.")
        self._phase_seconds = Histogram(
            "cdc_merge_batch_seconds",
            "Time a batch spent in a phase.",
            ("source", "phase"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._last_merge = self._gauge("last_merge_timestamp_seconds", "When a batch was last committed.")
        self._freshness = self._gauge("freshness_seconds", "Age of the newest change merged.")
        self._backlog = self._gauge("backlog_objects", "Objects found and not merged yet.")
        self._stopped = self._gauge("source_stopped", "1 while the source waits for a person to decide.")
        self._quarantined = self._gauge("quarantined_records", "Records in quarantine now.")
        self._lease_held = self._gauge("lease_held", "1 while this worker may merge the source.")
        self._reconciled = self._gauge("reconciled_timestamp_seconds", "When a reconcile was last finished.")
        self._verified = self._gauge("verified_through_timestamp_seconds", "Time up to which it is verified.", "target")
        self._drift_rows = self._gauge("drift_rows", "Rows the last reconcile found drifted.", "target", "verdict")
        self._reconciles = self._counter("reconciles", "Reconciles this worker made by itself.", "outcome")
        self._drift_ratio = self._gauge("drift_ratio", "Share of rows that have drifted, by the drift meter.", "bound")
        self._drift_samples = self._counter("drift_samples", "Rows the drift meter has compared.", "outcome")
        self._newest: dict[str, datetime] = {}

    def declare(self, source: str, targets: Iterable[str]) -> None:
        """Shows the counters of a source and its targets at zero."""
        for outcome in OUTCOMES:
            self._records.labels(source, outcome)
        for target in targets:
            for change in CHANGES:
                self._rows.labels(source, target, change)
        for phase in PHASES:
            self._phase_seconds.labels(source, phase)
        for decoder in DECODERS:
            self._decoded.labels(source, decoder)
        for end in RECONCILES:
            self._reconciles.labels(source, end)
        for reading in SAMPLES:
            self._drift_samples.labels(source, reading)
        for metric in (self._objects, self._batches, self._store_requests):
            metric.labels(source)
        for gauge in (self._stopped, self._lease_held, self._backlog, self._quarantined):
            gauge.labels(source)

    def batch_merged(
        self,
        source: str,
        counts: Mapping[str, int],
        targets: Mapping[str, Mapping[str, int]],
        objects: int,
        newest: datetime | None,
    ) -> None:
        """A batch was committed: records by outcome, rows by target and change, its newest change's time.

        What is missing counts as 0. `newest`: None if the batch had no usable change.
        """
        for outcome in OUTCOMES:
            self._records.labels(source, outcome).inc(counts.get(outcome, 0))
        for target, changes in targets.items():
            for change in CHANGES:
                self._rows.labels(source, target, change).inc(changes.get(change, 0))
        self._objects.labels(source).inc(objects)
        self._batches.labels(source).inc()
        self._last_merge.labels(source).set(self._clock().timestamp())
        if newest is not None:
            self.merged_up_to(source, newest)

    def merged_up_to(self, source: str, newest: datetime) -> None:
        """The newest change known to be merged, from a batch or from the ledger; only moves forward."""
        self._newest[source] = max(newest, self._newest.get(source, newest))
        self._freshness.labels(source).set_function(lambda: self._age(source))

    def phase(self, source: str, name: str, seconds: float) -> None:
        """A batch spent `seconds` in one of `PHASES`."""
        self._phase_seconds.labels(source, name).observe(seconds)

    def batch_decoded(self, source: str, by: str) -> None:
        """A batch was merged that one of `DECODERS` had decoded."""
        self._decoded.labels(source, by).inc()

    def retried(self, source: str, error: str) -> None:
        """An attempt failed and is made again; `error` is the class of the error, never its message."""
        self._retries.labels(source, error).inc()

    def store_requested(self, source: str, requests: int = 1) -> None:
        """The object store was asked."""
        self._store_requests.labels(source).inc(requests)

    def backlog(self, source: str, objects: int) -> None:
        """So many objects are found and not merged yet."""
        self._backlog.labels(source).set(objects)

    def quarantine_holds(self, source: str, records: int) -> None:
        """So many records are in quarantine now."""
        self._quarantined.labels(source).set(records)

    def source_stopped(self, source: str, stopped: bool) -> None:
        """The source waits for a person, or goes on."""
        self._stopped.labels(source).set(stopped)

    def reconcile_ended(self, source: str, outcome: str) -> None:
        """A reconcile that the worker made by itself came to one of `RECONCILES`."""
        self._reconciles.labels(source, outcome).inc()

    def reconciled(self, source: str, at: datetime, drifts: Mapping[str, Mapping[str, int]]) -> None:
        """What the last reconcile found, whoever made it: rows by target and verdict (`DRIFTS`)."""
        self._reconciled.labels(source).set(at.timestamp())
        for target, verdicts in drifts.items():
            for verdict in DRIFTS:
                self._drift_rows.labels(source, target, verdict).set(verdicts[verdict])

    def verified_through(self, source: str, target: str, floor: datetime) -> None:
        """The target is verified up to that time."""
        self._verified.labels(source, target).set(floor.timestamp())

    def sampled(self, source: str, outcomes: Mapping[str, int]) -> None:
        """The drift meter has settled so many samples, by outcome (`SAMPLES`)."""
        for outcome, count in outcomes.items():
            self._drift_samples.labels(source, outcome).inc(count)

    def drift_estimated(self, source: str, estimate: float, lower: float, upper: float) -> None:
        """The drift meter's newest estimate, and the bounds of its 95 % confidence interval."""
        for bound, ratio in zip(BOUNDS, (estimate, lower, upper), strict=True):
            self._drift_ratio.labels(source, bound).set(ratio)

    def lease_held(self, source: str, held: bool) -> None:
        """This worker may merge the source, or stands by."""
        self._lease_held.labels(source).set(held)

    def render(self) -> bytes:
        """All metrics as `CONTENT_TYPE`; ages are as of now."""
        return generate_latest(self._registry)

    def _age(self, source: str) -> float:
        return (self._clock() - self._newest[source]).total_seconds()

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"cdc_merge_{name}_total", help, ("source", *labels), registry=self._registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"cdc_merge_{name}", help, ("source", *labels), registry=self._registry)
