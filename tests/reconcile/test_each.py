"""Rows from the elements of items, reconciled: by item and place, on every engine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cdc_merge.exports.manifest import ExportKind
from cdc_merge.model import Column, ColumnType, Kind, ReconcilePolicy, Source, Target
from tests.support.harness import Harness
from tests.support.merging import by_hand
from tests.support.order_lines import LINES, ORDERS, T0, change, item, lines
from tests.support.reconciling import AS_OF, FLOOR, Export, counts, reconcile
from tests.support.records import to_item

SOURCE = Source("shop", "", ("PK",), (ORDERS, LINES), reconcile=ReconcilePolicy(max_delete=1.0))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, SOURCE, tmp_path / "feed")


def order(key: str, *elements: object) -> dict[str, object]:
    return to_item({"PK": key, "Type": "Order", "Items": list(elements)})


def test_elements_are_compared_one_by_one_and_repaired(shop: Harness, export: Export) -> None:
    shop.put_records(
        [
            change("ORDER#1", 1, {"Items": [item("a"), item("b"), item("c")]}),
            change("ORDER#2", 2, {"Items": [item("x")]}),
            change("ORDER#3", 3, {"Items": [item("y")]}),
        ]
    )
    shop.run()
    folder = export(
        [
            order("ORDER#1", item("a"), item("B")),
            order("ORDER#3", item("y"), item("z")),
            order("ORDER#4", item("n")),
        ]
    )

    report = reconcile(shop, folder)

    assert counts(report, "lines") == (2, 2, 2, 1, 0, 5)
    assert report.targets["lines"].columns == {"sku": 1}
    assert {(s.verdict, s.key, s.cause) for s in report.targets["lines"].samples} == {
        ("extra", ("ORDER#1", "2"), "update_lost_or_altered"),
        ("different", ("ORDER#1", "1"), "update_lost_or_altered"),
        ("missing", ("ORDER#3", "1"), "update_lost_or_altered"),
        ("missing", ("ORDER#4", "0"), "never_arrived"),
        ("extra", ("ORDER#2", "0"), "delete_lost"),
    }
    assert [(o, i, sku) for o, i, sku, *_ in lines(shop)] == [
        ("1", 0, "a"),
        ("1", 1, "B"),
        ("3", 0, "y"),
        ("3", 1, "z"),
        ("4", 0, "n"),
    ]
    assert counts(reconcile(shop, folder), "lines") == (5, 0, 0, 0, 0, 0)


def test_elements_that_swapped_their_places_are_found_among_many_rows(
    tmp_path: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Harness(f"duckdb:///{tmp_path}/w.duckdb", SOURCE, tmp_path / "feed")
    monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_OF_BUCKET", 0.02)
    folder = export([order(f"ORDER#{number}", item("a"), item("b")) for number in range(9)])
    reconcile(shop, folder)
    by_hand(shop, f"UPDATE {shop.schema}.lines SET _cdc_index = 1 - _cdc_index WHERE order_id = '4'")

    report = reconcile(shop, folder)

    assert counts(report, "lines") == (16, 0, 0, 2, 0, 2)
    assert report.targets["lines"].columns == {"sku": 2}
    assert counts(reconcile(shop, folder), "lines")[0] == 18


def test_items_that_changed_since_are_left_alone_with_all_their_elements(shop: Harness, export: Export) -> None:
    late = change("ORDER#1", 9, {"Items": [item("new"), item("newer")]})
    late["dynamodb"]["ApproximateCreationDateTime"] = int((AS_OF - timedelta(seconds=5)).timestamp())
    shop.put_records([late])
    shop.run()

    report = reconcile(shop, export([order("ORDER#1", item("old"), item("old"), item("old"))]))

    assert counts(report, "lines")[:5] == (0, 0, 0, 0, 3)
    assert [row[2] for row in lines(shop)] == ["new", "newer"]


def test_the_feed_replaces_elements_from_an_export_together(shop: Harness, export: Export) -> None:
    reconcile(shop, export([order("ORDER#1", item("a"), item("b"))]))
    later = change("ORDER#1", 9, {"Items": [item("c")]})
    later["dynamodb"]["ApproximateCreationDateTime"] = int((AS_OF + timedelta(minutes=1)).timestamp())
    shop.put_records([later, change("ORDER#1", 2, {"Items": [item("old")]})])
    shop.run()

    assert [row[2] for row in lines(shop)] == ["c"]


def test_an_incremental_export_takes_elements_away_that_are_gone(shop: Harness, export: Export) -> None:
    reconcile(shop, export([order("ORDER#1", item("a"), item("b")), order("ORDER#2", item("c"))]))
    key = to_item({"PK": "ORDER#1"})
    micros = int((AS_OF + timedelta(minutes=3)).timestamp() * 1e6)
    folder = export(
        [],
        kind=ExportKind.INCREMENTAL,
        since=FLOOR - timedelta(minutes=2),
        as_of=AS_OF + timedelta(minutes=30),
        changes=[(key, order("ORDER#1", item("A")), micros)],
    )

    report = reconcile(shop, folder)

    assert counts(report, "lines")[:5] == (0, 0, 1, 1, 0)
    assert [row[2] for row in lines(shop)] == ["A", "c"]


def test_elements_survive_a_rebuild(shop: Harness, export: Export) -> None:
    late = change("ORDER#2", 9, {"Items": [item("new"), item("newer")]})
    late["dynamodb"]["ApproximateCreationDateTime"] = int((AS_OF - timedelta(seconds=5)).timestamp())
    shop.put_records([change("ORDER#1", 1, {"Items": [item("x")]}), late])
    shop.run()

    reconcile(shop, export([order("ORDER#1", item("a"), item("b")), order("ORDER#2", item("old"))]), rebuild=True)

    assert [(o, i, sku) for o, i, sku, *_ in lines(shop)] == [
        ("1", 0, "a"),
        ("1", 1, "b"),
        ("2", 0, "new"),
        ("2", 1, "newer"),
    ]
    assert T0 < FLOOR


def test_the_keys_of_map_entries_are_compared(warehouse_url: str, tmp_path: Path, export: Export) -> None:
    target = Target("entries", each=("L",), columns=(Column("q", ("q",), ColumnType(Kind.INTEGER)),))
    shop = Harness(
        warehouse_url, Source("shop", "", ("PK",), (target,), reconcile=ReconcilePolicy()), tmp_path / "feed"
    )
    shop.put_records([change("1", 1, {"L": {"x": {"q": 1}, "y": {"q": 2}}})])
    shop.run()

    report = reconcile(shop, export([to_item({"PK": "1", "L": {"z": {"q": 1}, "zz": {"q": 2}}})]))

    assert counts(report, "entries") == (0, 0, 0, 2, 0, 2)
    assert report.targets["entries"].columns == {"_cdc_key": 2}
    assert shop.query(f"SELECT _cdc_key FROM {shop.schema}.entries ORDER BY 1") == [("z",), ("zz",)]
