"""What `run` does for tables in a window of hours, where the engine asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from cdc_merge.errors import UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.housekeeping import Housekeeping
from cdc_merge.metrics import Metrics
from cdc_merge.model import Source, Target
from cdc_merge.stopping import Stopping
from cdc_merge.warehouses import Statement, open_warehouse
from cdc_merge.warehouses.tidying import Tidying, Window, read_window
from tests.support.harness import Harness
from tests.support.records import stream_record

NIGHT = datetime(2026, 1, 2, 1, 0, tzinfo=UTC)
SHOP = Source("shop", "", ("PK",), (Target("items", has_history=True), Target("orders")))


def at(clock: str, *, day: int = 2) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "opened", "opens"),
    [
        ("01:00-05:30", at("00:59"), None, at("01:00")),
        ("01:00-05:30", at("01:00"), at("01:00"), at("01:00", day=3)),
        ("01:00-05:30", at("05:29"), at("01:00"), at("01:00", day=3)),
        ("01:00-05:30", at("05:30"), None, at("01:00", day=3)),
        ("23:00-02:00", at("01:00"), at("23:00", day=1), at("23:00")),
        ("23:00-02:00", at("23:30"), at("23:00"), at("23:00", day=3)),
        ("23:00-02:00", at("02:00"), None, at("23:00")),
    ],
)
def test_a_window_is_open_from_its_start_to_just_before_its_end(
    hours: str, now: datetime, opened: datetime | None, opens: datetime
) -> None:
    window = read_window(hours)
    assert (window.opened_at(now), window.opens_at(now)) == (opened, opens)


@pytest.mark.parametrize("hours", ["", "1:00-2:00", "24:00-01:00", "01:00-01:00", "01:00"])
def test_hours_that_are_none_are_a_usage_error(hours: str) -> None:
    with pytest.raises(UsageError, match="no hours of the day"):
        read_window(hours)


class House:
    """Housekeeping with its clock, its lease and its tables in the hands of a test."""

    def __init__(self) -> None:
        self.now = NIGHT
        self.holds_lease = True
        self.is_stopping = False
        self.tidied: list[str] = []
        self.failing: set[str] = set()
        self.minutes = 1  # that each table takes
        self.keeping = Housekeeping(
            SHOP,
            Tidying(Window(time(1), time(5)), self._tidy),
            schema="analytics",
            metrics=Metrics(),
            clock=lambda: self.now,
            holds_lease=lambda: self.holds_lease,
            check=self._check,
        )

    def _tidy(self, schema: str, table: str) -> None:
        assert schema == "analytics"
        self.now += timedelta(minutes=self.minutes)
        if table in self.failing:
            raise WarehouseUnavailable("VACUUM is running already")
        self.tidied.append(table)

    def _check(self) -> None:
        if self.is_stopping:
            raise Stopping("asked to")


@pytest.fixture
def house() -> Iterator[House]:
    yield House()


def test_all_tables_are_tidied_once_in_each_window(house: House) -> None:
    for _ in range(3):
        house.keeping.attend()
    assert house.tidied == ["items", "orders", "items_history"]
    house.now = NIGHT + timedelta(days=1)
    house.keeping.attend()
    assert house.tidied == ["items", "orders", "items_history"] * 2


def test_by_day_nothing_is_tidied_and_the_clock_is_looked_at_again(house: House) -> None:
    house.now = at("00:59")
    assert house.keeping.attend() == 60.0
    house.now = at("00:59") + timedelta(seconds=50)
    assert house.keeping.attend() == 10.0
    assert house.tidied == []


def test_a_worker_that_stands_by_leaves_the_tables_to_the_one_that_merges(house: House) -> None:
    house.holds_lease = False
    assert house.keeping.attend() == 1.0
    assert house.tidied == []
    house.holds_lease = True
    house.keeping.attend()
    assert len(house.tidied) == 3


def test_a_table_that_fails_is_tried_again_within_the_window_and_the_others_are_not(house: House) -> None:
    house.failing = {"orders"}
    assert house.keeping.attend() == 900.0
    assert house.tidied == ["items", "items_history"]
    house.failing = set()
    house.keeping.attend()
    assert house.tidied == ["items", "items_history", "orders"]


def test_what_the_window_has_no_time_for_waits_for_the_next(house: House) -> None:
    house.minutes = 200
    house.keeping.attend()
    assert house.tidied == ["items", "orders"]
    house.now = NIGHT + timedelta(days=1)
    house.minutes = 1
    house.keeping.attend()
    assert house.tidied[2:] == ["items", "orders", "items_history"]


def test_a_worker_that_is_to_end_begins_no_other_table(house: House) -> None:
    house.is_stopping = True
    with pytest.raises(Stopping):
        house.keeping.attend()
    assert house.tidied == []


@pytest.mark.redshift
def test_redshift_vacuums_and_analyzes_a_table_in_the_hours_of_its_url(redshift_url: str, tmp_path: Path) -> None:
    harness = Harness(redshift_url, Source("shop", "", ("PK",), (Target("it's"),)), tmp_path / "feed")
    for number in (1, 2):
        harness.put_records([stream_record({"PK": "a"}, {"N": number}, sequence=number, at=NIGHT)])
        harness.run()
    with closing(open_warehouse(f"{redshift_url}&vacuum=01:00-05:00")) as warehouse:
        assert warehouse.tidying is not None
        warehouse.tidying.tidy(harness.schema, "it's")
        with warehouse.session() as session, pytest.raises(WarehouseRefused, match="transaction block"):
            session.run([Statement("vacuum", f'VACUUM FULL "{harness.schema}"."it\'s" TO 95 PERCENT')])
        with pytest.raises(WarehouseRefused):
            warehouse.tidying.tidy(harness.schema, "none")
    assert harness.query(f'SELECT n FROM "{harness.schema}"."it\'s"') == [(2,)]
