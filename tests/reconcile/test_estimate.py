"""The drift meter's arithmetic: what samples say, and when a suspect is told from a delay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cdc_merge.reconcile.estimate import wilson_interval
from cdc_merge.reconcile.meter import DriftMeter, Outcome, Reading, Verdict
from cdc_merge.reconcile.sampling import SampledRow

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GRACE = timedelta(minutes=10)
EQUAL = Reading(Verdict.EQUAL, row=1, item="a")
DIFFERENT = Reading(Verdict.DIFFERENT, row=1, item="b")
GONE = Reading(Verdict.GONE)


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def rows(count: int, first: int = 0) -> list[SampledRow]:
    return [SampledRow(0, (f"key{number}",)) for number in range(first, first + count)]


@pytest.fixture
def meter() -> DriftMeter:
    return DriftMeter(grace=GRACE)


# R. G. Newcombe (1998), "Two-sided confidence intervals for the single proportion", Table I, method 3:
# https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E
@pytest.mark.parametrize(
    ("hits", "trials", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_that_of_the_textbook(hits: int, trials: int, lower: float, upper: float) -> None:
    assert wilson_interval(hits, trials) == pytest.approx((lower, upper), abs=5e-5)


def test_nothing_seen_says_nothing_and_all_seen_leaves_no_room_above() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(20, 20)[1] == 1.0


def test_a_row_that_is_as_it_should_be_counts_at_once(meter: DriftMeter) -> None:
    assert meter.take(dict.fromkeys(rows(3), EQUAL), NOON) == {Outcome.EQUAL: 3}
    estimate = meter.estimate()
    assert estimate and (estimate.samples, estimate.drifted, estimate.ratio) == (3, 0, 0.0)


def test_a_suspect_is_read_again_after_the_grace_and_once_all_is_merged(meter: DriftMeter) -> None:
    (row,) = rows(1)
    assert not meter.take({row: DIFFERENT}, NOON)
    assert meter.due(None) == []
    assert meter.due(minutes(9)) == []
    assert meter.due(minutes(10)) == [row]


def test_a_suspect_that_is_still_the_same_has_drifted(meter: DriftMeter) -> None:
    (row,) = rows(1)
    meter.take({row: DIFFERENT}, NOON)
    assert meter.take({row: DIFFERENT}, minutes(10)) == {Outcome.DRIFTED: 1}
    estimate = meter.estimate()
    assert estimate and (estimate.samples, estimate.drifted) == (1, 1)
    assert meter.due(minutes(99)) == []


def test_a_change_that_was_on_its_way_is_no_drift(meter: DriftMeter) -> None:
    (row,) = rows(1)
    meter.take({row: DIFFERENT}, NOON)
    assert meter.take({row: EQUAL}, minutes(10)) == {Outcome.EQUAL: 1}


def test_a_suspect_that_changes_waits_anew_and_is_given_up_in_the_end(meter: DriftMeter) -> None:
    (row,) = rows(1)
    for number in range(4):
        assert not meter.take({row: Reading(Verdict.DIFFERENT, row=1, item=str(number))}, minutes(10 * number))
    assert meter.due(minutes(39)) == []
    assert meter.take({row: Reading(Verdict.DIFFERENT, row=1, item="other")}, minutes(40)) == {Outcome.CHANGED: 1}
    assert meter.estimate() is None


def test_a_row_that_is_gone_says_nothing(meter: DriftMeter) -> None:
    one, other = rows(2)
    assert meter.take({one: GONE, other: DIFFERENT}, NOON) == {Outcome.CHANGED: 1}
    assert meter.take({other: GONE}, minutes(10)) == {Outcome.CHANGED: 1}
    assert meter.estimate() is None


def test_samples_after_an_unsettled_one_do_not_count_yet(meter: DriftMeter) -> None:
    first, suspect, *later = rows(5)
    meter.take({first: EQUAL}, NOON)
    meter.take({suspect: DIFFERENT}, minutes(1))
    meter.take(dict.fromkeys(later, EQUAL), minutes(2))
    before = meter.estimate()
    meter.take({suspect: DIFFERENT}, minutes(11))
    after = meter.estimate()
    assert before and after
    assert (before.samples, after.samples, after.drifted) == (1, 5, 1)


def test_a_suspect_that_is_drawn_again_while_it_waits_is_not_judged_early(meter: DriftMeter) -> None:
    (row,) = rows(1)
    meter.take({row: DIFFERENT}, NOON)
    assert not meter.take({row: DIFFERENT}, minutes(5))
    assert meter.due(minutes(10)) == [row]


def test_samples_of_more_than_a_day_ago_are_forgotten(meter: DriftMeter) -> None:
    meter.take(dict.fromkeys(rows(3), EQUAL), NOON)
    meter.take(dict.fromkeys(rows(2, first=3), EQUAL), NOON + timedelta(hours=24, minutes=1))
    estimate = meter.estimate()
    assert estimate and estimate.samples == 2
