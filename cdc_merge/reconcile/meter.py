"""The drift meter: judges readings of sampled rows, and keeps what the newest of them say; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile

from cdc_merge.reconcile.estimate import Estimate
from cdc_merge.reconcile.sampling import SampledRow

_WINDOW = timedelta(hours=24)
_MOST_SAMPLES = 10_000
_MOST_READINGS = 4  # of a row that is never the same twice, and never as it should be


class Outcome(StrEnum):
    """What became of a sample. `CHANGED`: its row went, or it changed so often that nothing can be said."""

    EQUAL = "equal"
    DRIFTED = "drifted"
    CHANGED = "changed"


class Verdict(StrEnum):
    """A row beside its item. `GONE`: there is no such row any more."""

    EQUAL = "equal"
    DIFFERENT = "different"
    EXTRA = "extra"
    GONE = "gone"


@dataclass(frozen=True)
class Reading:
    """A row and its item at one moment. `row` and `item` tell whether they were others at another."""

    verdict: Verdict
    row: object = None
    item: str | None = None

    @property
    def is_suspect(self) -> bool:
        return self.verdict in (Verdict.DIFFERENT, Verdict.EXTRA)


@dataclass(eq=False)
class _Sample:
    """A sample in the window. While `is_drifted` is None its row is a suspect: it waits for another reading."""

    row: SampledRow
    reading: Reading
    read_at: datetime
    readings: int = 1
    is_drifted: bool | None = None


class DriftMeter:
    """Tells drift from delay: a suspect has drifted only if row and item still differ, unchanged, after a `grace`.

    By then a change of the item that is on its way has arrived; and one that arrived late, or a newer one, begins the
    wait anew. So what is counted is what no change will mend.
    """

    def __init__(self, *, grace: timedelta) -> None:
        self._grace = grace
        self._samples: list[_Sample] = []  # by the time they were drawn

    def due(self, caught_up_at: datetime | None) -> list[SampledRow]:
        """Suspects to be read again, once everything found by `caught_up_at` is merged (None: never yet)."""
        if caught_up_at is None:
            return []
        return [s.row for s in self._samples if s.is_drifted is None and s.read_at + self._grace <= caught_up_at]

    def take(self, readings: Mapping[SampledRow, Reading], now: datetime) -> Counter[Outcome]:
        """Take note of readings, of suspects and of rows drawn anew; what was settled by them."""
        settled: Counter[Outcome] = Counter()
        left = dict(readings)
        for sample in [s for s in self._samples if s.is_drifted is None and s.row in left]:
            self._judge(sample, left.pop(sample.row), now, settled)
        for row, reading in left.items():
            sample = _Sample(row, reading, now)
            self._samples.append(sample)
            if not reading.is_suspect:
                self._settle(sample, reading, now, settled)
        self._forget(now)
        return settled

    def estimate(self) -> Estimate | None:
        """From all samples that were drawn before the first that is unsettled: those after it would flatter."""
        told = list(takewhile(lambda s: s.is_drifted is not None, self._samples))
        if not told:
            return None
        times = [s.read_at for s in told]
        return Estimate(len(told), sum(bool(s.is_drifted) for s in told), min(times), max(times))

    def _judge(self, sample: _Sample, reading: Reading, now: datetime, settled: Counter[Outcome]) -> None:
        before = sample.reading
        if now < sample.read_at + self._grace:
            return  # drawn once more while it waits
        if not reading.is_suspect:
            self._settle(sample, reading, now, settled)
        elif (reading.row, reading.item) == (before.row, before.item):
            sample.is_drifted, sample.read_at = True, now
            settled[Outcome.DRIFTED] += 1
        elif sample.readings == _MOST_READINGS:
            self._drop(sample, settled)
        else:
            sample.reading, sample.read_at, sample.readings = reading, now, sample.readings + 1

    def _settle(self, sample: _Sample, reading: Reading, now: datetime, settled: Counter[Outcome]) -> None:
        if reading.verdict is Verdict.GONE:
            self._drop(sample, settled)
            return
        sample.is_drifted, sample.read_at = False, now
        settled[Outcome.EQUAL] += 1

    def _drop(self, sample: _Sample, settled: Counter[Outcome]) -> None:
        self._samples.remove(sample)
        settled[Outcome.CHANGED] += 1

    def _forget(self, now: datetime) -> None:
        oldest = now - _WINDOW
        self._samples = [s for s in self._samples[-_MOST_SAMPLES:] if s.is_drifted is None or s.read_at >= oldest]
