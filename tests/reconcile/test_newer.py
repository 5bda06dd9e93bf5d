"""What a source knows of a key beside its row in one table: rows elsewhere, tombstones, floors of other targets."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from cdc_merge.model import Source, Target
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.reconciling import (
    AS_OF,
    CUSTOMER,
    FLOOR,
    MINUTE,
    ORDER,
    SOURCE,
    T0,
    change,
    counts,
    item,
    keys,
    reconcile,
)
from tests.support.records import Record, stream_record

CUSTOMERS_ONLY = replace(SOURCE, targets=SOURCE.targets[:1])


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, SOURCE, tmp_path / "feed")


def merge(harness: Harness, *records: Record) -> None:
    harness.put_records(records)
    harness.run()


def export(folder: Path, *items: str, as_of: datetime = AS_OF) -> str:
    """One of customers with these keys."""
    return str(write_export(folder, [item(key, CUSTOMER) for key in items], as_of=as_of, key=("PK",)))


def without_orders(harness: Harness) -> Harness:
    """The same warehouse, after the orders were taken out of the configuration."""
    return replace(harness, source=replace(CUSTOMERS_ONLY, changes=harness.source.changes))


def floors(harness: Harness) -> dict[str, datetime | None]:
    return dict(harness.query(f"SELECT target, floor_at FROM {harness.metadata}.targets"))


def timeless(key: str, sequence: int, *, removed: bool = False) -> Record:
    return stream_record({"PK": key}, None if removed else {"PK": key, **CUSTOMER}, sequence=sequence, at=None)


def test_a_key_with_a_newer_row_in_another_table_is_left_alone(shop: Harness, tmp_path: Path) -> None:
    merge(shop, change("moved", 1, CUSTOMER), change("moved back", 1, ORDER), change("stays", 1, CUSTOMER))
    merge(shop, change("moved", 2, ORDER, minute=59), change("moved back", 2, CUSTOMER, minute=59))

    report = reconcile(shop, export(tmp_path / "exports", "moved", "stays"))

    assert counts(report, "customers") == (1, 0, 0, 0, 2, 0)
    assert counts(report, "orders") == (0, 0, 0, 0, 1, 0)
    assert keys(shop) == {"customers": {"moved back", "stays"}, "orders": {"moved"}}


@pytest.mark.parametrize("rows_at_once", [2_000_000, 2], ids=["few", "many"])
def test_a_key_that_was_deleted_since_is_left_alone_also_where_the_table_is_empty(
    shop: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_AT_ONCE", rows_at_once)
    merge(shop, change("gone", 1, CUSTOMER), change("gone", 2, minute=59))

    report = reconcile(shop, export(tmp_path / "exports", "gone", "a", "b", "c"))

    assert counts(report, "customers") == (0, 3, 0, 0, 1, 3)
    assert {s.key[0] for s in report.targets["customers"].samples} == {"a", "b", "c"}
    assert keys(shop)["customers"] == {"a", "b", "c"}


def test_a_key_with_a_newer_row_in_a_table_that_is_no_target_any_more_is_left_alone(
    shop: Harness, tmp_path: Path
) -> None:
    merge(shop, change("moved", 1, CUSTOMER), change("stays", 1, CUSTOMER))
    merge(shop, change("moved", 2, ORDER, minute=59))
    left = without_orders(shop)

    report = reconcile(left, export(tmp_path / "exports", "moved", "stays"))

    assert counts(report, "customers") == (1, 0, 0, 0, 1, 0)
    assert keys(shop) == {"customers": {"stays"}, "orders": {"moved"}}


def test_what_changed_at_an_unknown_time_may_be_newer_and_is_left_alone_for_ever(shop: Harness, tmp_path: Path) -> None:
    merge(shop, change("stays", 1, CUSTOMER), timeless("row", 2), timeless("tombstone", 3, removed=True))

    report = reconcile(shop, export(tmp_path / "exports", "stays", "tombstone"))

    assert counts(report, "customers") == (1, 0, 0, 0, 2, 0)
    assert keys(shop)["customers"] == {"stays", "row"}
    assert report.tombstones_collected == 0
    assert set(shop.tombstones()) == {("tombstone",)}


def test_tombstones_stay_while_a_table_that_may_come_back_is_verified_up_to_nothing(
    shop: Harness, tmp_path: Path
) -> None:
    merge(shop, change("stays", 1, CUSTOMER), change("order", 2, ORDER), change("gone", 3))
    left = without_orders(shop)

    report = reconcile(left, export(tmp_path / "exports", "stays"))

    assert floors(left) == {"customers": FLOOR, "orders": None}
    assert report.tombstones_collected == 0
    assert set(left.tombstones()) == {("gone",)}


def test_tombstones_stay_while_a_table_that_may_come_back_is_verified_up_to_less(shop: Harness, tmp_path: Path) -> None:
    merge(shop, change("stays", 1, CUSTOMER), change("gone", 2, minute=1), change("gone too", 3, minute=30))
    first = reconcile(shop, export(tmp_path / "first", "stays", as_of=T0 + 22 * MINUTE))
    left = without_orders(shop)

    second = reconcile(left, export(tmp_path / "second", "stays"))

    assert (first.tombstones_collected, second.tombstones_collected) == (1, 0)
    assert floors(left) == {"customers": FLOOR, "orders": T0 + 20 * MINUTE}
    assert set(left.tombstones()) == {("gone too",)}


def test_a_tombstone_at_the_floor_itself_is_collected(shop: Harness, tmp_path: Path) -> None:
    merge(shop, change("stays", 1, CUSTOMER), change("at", 2, minute=58), change("after", 3, minute=58 + 1 / 60))
    report = reconcile(shop, export(tmp_path / "exports", "stays"))
    assert report.tombstones_collected == 1
    assert set(shop.tombstones()) == {("after",)}


def test_a_change_at_the_floor_itself_is_not_newer(shop: Harness, tmp_path: Path) -> None:
    merge(shop, change("row", 1, CUSTOMER, minute=58), change("extra", 2, CUSTOMER, minute=58))
    merge(shop, change("tombstone", 3, minute=58), change("later", 4, minute=58 + 1 / 60))

    report = reconcile(shop, export(tmp_path / "exports", "row", "tombstone", "later"))

    assert counts(report, "customers") == (1, 1, 1, 0, 1, 2)
    assert keys(shop)["customers"] == {"row", "tombstone"}


def test_a_tombstone_of_another_source_is_no_cause(shop: Harness, tmp_path: Path) -> None:
    kiosk = Harness(shop.url, Source("kiosk", "", ("PK",), (Target("kiosk"),)), tmp_path / "kiosk")
    merge(kiosk, change("lost", 1, minute=1))
    merge(shop, change("stays", 1, CUSTOMER))

    report = reconcile(shop, export(tmp_path / "exports", "stays", "lost"))

    assert report.targets["customers"].causes == {"missing": {"never_arrived": 1}}


def test_nothing_of_another_source_is_touched(shop: Harness, tmp_path: Path) -> None:
    """They share a warehouse; one has a key and a target of the same name as the other."""
    kiosk = Harness(shop.url, Source("kiosk", "", ("PK",), (Target("kiosk"),)), tmp_path / "kiosk")
    merge(
        kiosk,
        change("stays", 1, CUSTOMER, minute=59),
        change("gone", 2),
        change("stays too", 4, minute=59),
        change("theirs", 3, CUSTOMER),
    )
    merge(shop, change("stays", 1, CUSTOMER), change("gone", 2), change("stays too", 3, CUSTOMER))
    before = kiosk.tables()

    report = reconcile(shop, export(tmp_path / "exports", "stays", "stays too"))

    assert counts(report, "customers") == (2, 0, 0, 0, 0, 0)
    assert report.tombstones_collected == 1
    assert kiosk.tables() == before
    assert shop.query(f"SELECT source, partition_key FROM {shop.metadata}.tombstones ORDER BY 2") == [
        ("kiosk", "gone"),
        ("kiosk", "stays too"),
    ]
    assert floors(shop) == {"customers": FLOOR, "orders": FLOOR, "kiosk": None}
