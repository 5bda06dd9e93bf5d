"""Each verdict of a reconcile, on every engine: what is found, what is repaired, what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdc_merge.errors import UnknownAttributes
from cdc_merge.exports.manifest import ExportFormat
from cdc_merge.layout import layout_of
from cdc_merge.model import BatchLimits, Column, ColumnType, Condition, Evolve, Kind, Target
from cdc_merge.planning.reader import PlanReader
from cdc_merge.reconcile.comparing import Comparing
from cdc_merge.render import Sql
from cdc_merge.warehouses import Statement
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES
from tests.properties.story import contents
from tests.support.harness import Harness
from tests.support.merging import by_hand
from tests.support.reconciling import (
    AS_OF,
    CUSTOMER,
    FLOOR,
    MINUTE,
    ORDER,
    SOURCE,
    T0,
    Export,
    change,
    counts,
    item,
    keys,
    reconcile,
)
from tests.support.records import stream_record, to_item


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, SOURCE, tmp_path / "feed")


def test_an_empty_warehouse_is_filled_from_an_export(shop: Harness, export: Export) -> None:
    report = reconcile(shop, export([item("a", CUSTOMER), item("b", ORDER), item("c", {"Type": "?"})]))

    assert keys(shop) == {"customers": {"a"}, "orders": {"b"}}
    assert counts(report, "customers") == (0, 1, 0, 0, 0, 1)
    assert counts(report, "orders") == (0, 1, 0, 0, 0, 1)
    row = shop.tables()["customers"][("a",)]
    assert (row.position, row.changed_at, row.item) == ("", FLOOR, {"PK": "a", **CUSTOMER})
    assert shop.query(f"SELECT target, floor_at FROM {shop.metadata}.targets ORDER BY 1") == [
        ("customers", FLOOR),
        ("orders", FLOOR),
    ]


@pytest.mark.parametrize("way", [{}, {"rebuild": True}], ids=["repair", "rebuild"])
def test_what_is_many_rows_is_filled_in_group_by_group_of_files(
    shop: Harness, export: Export, monkeypatch: pytest.MonkeyPatch, way: dict[str, bool]
) -> None:
    monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("cdc_merge.reconcile.snapshot._SMALLEST_GROUP", 1)
    shop.put_records([change("k3", 1, {**CUSTOMER, "Name": "drifted"})])
    shop.run()
    shop.source = replace(shop.source, batch=BatchLimits(bytes=1))
    items = [item(f"k{number}", {**CUSTOMER, "Name": f"n{number}"}) for number in range(40)]

    report = reconcile(shop, export(items, files=4), **way)

    assert counts(report, "customers")[1:3] == (39, 0)
    names = {key[0]: landed.item["Name"] for key, landed in shop.tables()["customers"].items()}
    assert names == {f"k{number}": f"n{number}" for number in range(40)}


def test_columns_that_later_groups_of_files_bring_are_filled_for_their_rows(
    shop: Harness, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.reconcile.snapshot._SMALLEST_GROUP", 1)
    shop.source = replace(shop.source, batch=BatchLimits(bytes=1))
    late = {f"k{number}": {"Late": f"n{number}"} if number >= 20 else {} for number in range(40)}

    report = reconcile(shop, export([item(key, {**CUSTOMER, **more}) for key, more in late.items()], files=4))

    assert counts(report, "customers")[1] == 40
    rows = shop.tables()["customers"]
    assert {key[0]: row.item for key, row in rows.items()} == {k: {"PK": k, **CUSTOMER, **m} for k, m in late.items()}


@pytest.mark.parametrize("rows_of_bucket", [0.02, 1, 8], ids=["alone", "few", "crowded"])
def test_what_drifted_is_found_among_many_rows_whatever_bucket_it_lies_in(
    tmp_path: Path, export: Export, monkeypatch: pytest.MonkeyPatch, rows_of_bucket: float
) -> None:
    shop = Harness(f"duckdb:///{tmp_path}/w.duckdb", SOURCE, tmp_path / "feed")
    monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_OF_BUCKET", rows_of_bucket)
    dump = export([item(f"k{number}", {**CUSTOMER, "Name": f"n{number}"}) for number in range(40)])
    reconcile(shop, dump)
    by_hand(shop, f"UPDATE {shop.schema}.customers SET name = 'x' WHERE pk = 'k3'")
    by_hand(shop, f"UPDATE {shop.schema}.customers SET pk = 'y' WHERE pk = 'k5'")
    shop.put_records([change("k7", 5, {**CUSTOMER, "Name": "n7"}, minute=61)])
    shop.run()

    report = reconcile(shop, dump)

    assert counts(report, "customers") == (37, 1, 1, 1, 1, 3)
    assert {(s.key[0], s.verdict) for s in report.targets["customers"].samples} == {
        ("k3", "different"),
        ("k5", "missing"),
        ("y", "extra"),
    }


def test_what_is_summed_up_of_two_rows_depends_on_which_values_are_whose() -> None:
    def effect(hashed: Callable[..., Sql | None], key: str) -> str:
        """What becomes of a key's hash where one value takes the place of another."""
        one, other = hashed(f"'{key}'", "1::UBIGINT"), hashed(f"'{key}'", "2::UBIGINT")
        assert one and other
        return f"xor({one.text}, {other.text})"

    comparing = Comparing(DUCKDB, lambda *_, **__: "")
    values = (effect(h, key) for h in (comparing.hashed, comparing.combined) for key in ("k1", "k2"))
    ((a, b, c, d),) = duckdb.sql(f"SELECT {', '.join(values)}").fetchall()
    assert a == b, "DuckDB's hash of several values has become better, so it need not be hashed again"
    assert c != d


def test_the_feed_goes_on_after_a_bootstrap(shop: Harness, export: Export) -> None:
    reconcile(shop, export([item("a", CUSTOMER), item("b", ORDER)]))
    shop.put_records([change("a", 5, {**CUSTOMER, "Name": "Bo"}, minute=61), change("b", 4, minute=61)])
    shop.put_records([change("a", 2, {**CUSTOMER, "Name": "old"}, minute=10)])

    totals = shop.run()

    assert (totals.counts.applied, totals.counts.stale) == (2, 0)
    assert keys(shop) == {"customers": {"a"}, "orders": set()}
    assert shop.tables()["customers"][("a",)].item["Name"] == "Bo"


def test_a_row_that_lacks_only_what_the_configuration_asks_for_since_has_a_cause_of_its_own(
    shop: Harness, export: Export
) -> None:
    total = Column("total", ("Total",), ColumnType(Kind.NUMERIC))
    before = Target("orders", columns=(total,), evolve=Evolve.FREEZE)
    shop.source = replace(shop.source, targets=(before,))
    shop.put_records([change("lacks", 1, {**ORDER, "City": "Ulm"}), change("lost", 2, ORDER)])
    shop.run()
    city = Column("city", ("City",), ColumnType(Kind.TEXT))
    shop.source = replace(shop.source, targets=(replace(before, columns=(total, city)),))

    report = reconcile(
        shop, export([item("lacks", {**ORDER, "City": "Ulm"}), item("lost", {**ORDER, "Total": 13, "City": "Bonn"})])
    )

    assert report.targets["orders"].causes == {"different": {"new_column": 1, "update_lost_or_altered": 1}}
    assert {(s.key[0], s.cause) for s in report.targets["orders"].samples} == {
        ("lacks", "new_column"),
        ("lost", "update_lost_or_altered"),
    }


def test_a_column_that_only_the_exports_attributes_bring_is_a_lost_update(shop: Harness, export: Export) -> None:
    shop.put_records([change("a", 1, CUSTOMER)])
    shop.run()

    report = reconcile(shop, export([item("a", {**CUSTOMER, "City": "Ulm"})]))

    assert report.targets["customers"].causes == {"different": {"update_lost_or_altered": 1}}


@pytest.mark.parametrize(("most", "wanted"), [(1, "IN ( SELECT"), (2, "= ANY (ARRAY( SELECT")], ids=["more", "as many"])
def test_on_postgres_rows_are_listed_by_their_places_as_far_as_memory_goes(
    postgres_url: str, tmp_path: Path, export: Export, monkeypatch: pytest.MonkeyPatch, most: int, wanted: str
) -> None:
    shop = Harness(postgres_url, SOURCE, tmp_path / "feed")
    monkeypatch.setitem(vars(POSTGRES), "most_listed", most)
    said: dict[str, str] = {}
    original = Statement.__init__

    def noted(self: Statement, label: str, sql: str, *args: Any, **kwargs: Any) -> None:
        said[label] = " ".join(sql.split())
        original(self, label, sql, *args, **kwargs)

    monkeypatch.setattr(Statement, "__init__", noted)
    reconcile(shop, export([item(key, CUSTOMER) for key in "abc"]))

    reconcile(shop, export([item("a", CUSTOMER), item("b", {**CUSTOMER, "Name": "Bo"})]))

    assert keys(shop)["customers"] == {"a", "b"}
    assert f"t.ctid {wanted}" in said["delete from customers"]


def test_each_drift_is_found_and_repaired(shop: Harness, export: Export) -> None:
    shop.put_records(
        [
            change("equal", 1, CUSTOMER),
            change("extra", 2, CUSTOMER),
            change("different", 3, CUSTOMER),
            change("moved", 4, CUSTOMER),
            change("newer", 5, CUSTOMER, minute=59),
            change("gone later", 6, minute=59),
            change("revived", 7),
        ]
    )
    shop.run()
    folder = export(
        [
            item("equal", CUSTOMER),
            item("different", {**CUSTOMER, "Name": "Bo"}),
            item("moved", ORDER),
            item("newer", {**CUSTOMER, "Name": "old"}),
            item("gone later", CUSTOMER),
            item("revived", CUSTOMER),
            item("missing", CUSTOMER),
        ]
    )

    report = reconcile(shop, folder)

    customers, orders = report.targets["customers"], report.targets["orders"]
    assert counts(report, "customers") == (1, 2, 2, 1, 2, 5)
    assert customers.causes == {
        "missing": {"never_arrived": 1, "insert_after_delete_lost": 1},
        "extra": {"delete_lost": 1, "move_lost": 1},
        "different": {"update_lost_or_altered": 1},
    }
    assert customers.columns == {"name": 1}
    assert {(s.key[0], s.verdict, s.cause) for s in customers.samples} == {
        ("missing", "missing", "never_arrived"),
        ("revived", "missing", "insert_after_delete_lost"),
        ("extra", "extra", "delete_lost"),
        ("moved", "extra", "move_lost"),
        ("different", "different", "update_lost_or_altered"),
    }
    assert counts(report, "orders") == (0, 1, 0, 0, 0, 1)
    assert orders.causes == {"missing": {"move_lost": 1}}
    assert keys(shop) == {"customers": {"equal", "different", "newer", "revived", "missing"}, "orders": {"moved"}}
    assert shop.tables()["customers"][("different",)].item["Name"] == "Bo"
    assert shop.tables()["customers"][("newer",)].item["Name"] == "Ada"


def test_a_row_that_is_missing_beside_one_of_the_same_item_in_another_target_has_not_moved(
    shop: Harness, export: Export
) -> None:
    shop.source = replace(shop.source, targets=(*shop.source.targets, Target("everything")))
    shop.put_records([change("a", 1, CUSTOMER), change("b", 2, CUSTOMER)])
    shop.run()
    by_hand(shop, f"DELETE FROM {shop.schema}.everything WHERE pk = 'a'")

    report = reconcile(shop, export([item("a", CUSTOMER), item("b", CUSTOMER)]))

    assert counts(report, "everything") == (1, 1, 0, 0, 0, 1)
    assert report.targets["everything"].causes == {"missing": {"never_arrived": 1}}


def test_a_second_reconcile_with_the_same_export_finds_nothing(shop: Harness, export: Export) -> None:
    folder = export([item("a", {**CUSTOMER, "M": {"x": [1, {"y": {"q"}}]}}), item("b", {**ORDER, "Other": {"k": 1}})])
    reconcile(shop, folder)
    before = shop.tables()

    report = reconcile(shop, folder)

    assert counts(report, "customers") == (1, 0, 0, 0, 0, 0)
    assert counts(report, "orders") == (1, 0, 0, 0, 0, 0)
    assert shop.tables() == before


def test_a_dry_run_tells_and_writes_nothing(shop: Harness, export: Export) -> None:
    shop.put_records([change("a", 1, CUSTOMER), change("b", 2, CUSTOMER)])
    shop.run()
    before = contents(shop)

    report = reconcile(shop, export([item("a", {**CUSTOMER, "New": 1}), item("o", ORDER)]), dry_run=True)

    assert report.is_dry_run
    assert counts(report, "customers")[:5] == (0, 0, 1, 1, 0)
    assert counts(report, "orders")[:5] == (0, 1, 0, 0, 0)
    assert contents(shop) == before


def test_tombstones_below_the_floor_are_collected_and_late_changes_stay_without_effect(
    shop: Harness, export: Export
) -> None:
    shop.put_records([change("old", 9, minute=1), change("young", 8, minute=59)])
    shop.run()
    report = reconcile(shop, export([item("a", CUSTOMER)]))

    assert report.tombstones_collected == 1
    assert set(shop.tombstones()) == {("young",)}
    shop.put_records([change("old", 3, CUSTOMER), change("young", 4, CUSTOMER)])
    assert shop.run().counts.stale == 2
    assert keys(shop)["customers"] == {"a"}


def test_the_same_values_written_otherwise_are_equal(shop: Harness, export: Export) -> None:
    nested = {"b": {"y", "x"}, "a": [{"q": 1, "p": 2}], "n": 5}
    shop.put_records([change("a", 1, {**CUSTOMER, "J": nested}), change("b", 2, {**ORDER, "Else": nested})])
    shop.run()
    other = to_item({"PK": "a", **CUSTOMER, "J": dict(reversed(nested.items()))})
    other["J"]["M"]["n"]["N"] = "5.0"
    rescued = to_item({"PK": "b", **ORDER, "Else": dict(reversed(nested.items()))})

    report = reconcile(shop, export([dict(reversed(other.items())), dict(reversed(rescued.items()))]))

    assert counts(report, "customers") == (1, 0, 0, 0, 0, 0)
    assert counts(report, "orders") == (1, 0, 0, 0, 0, 0)


def test_an_attribute_only_the_export_has_becomes_a_column(shop: Harness, export: Export) -> None:
    shop.put_records([change("a", 1, CUSTOMER)])
    shop.run()

    report = reconcile(shop, export([item("a", {**CUSTOMER, "Age": 7})]))

    assert report.targets["customers"].columns == {"age": 1}
    assert shop.tables()["customers"][("a",)].item["Age"] == 7


def test_an_attribute_only_the_export_has_is_told_by_its_exported_file_where_it_stops_the_source(
    shop: Harness, export: Export
) -> None:
    name = Column("name", ("Name",), ColumnType(Kind.TEXT))
    strict = Target("strict", columns=(name,), evolve=Evolve.FAIL)
    shop.source = replace(shop.source, targets=(strict,))
    with pytest.raises(UnknownAttributes, match=r"column: Plan \(record [12] of .*\.gz, for one\)") as stopped:
        reconcile(shop, export([item("a", {"Name": "Ada"}), item("tom@example.com", {"Plan": "gold"})]))
    assert "tom@example.com" not in str(stopped.value)


def test_rows_that_are_there_twice_are_healed(tmp_path: Path, export: Export) -> None:
    shop = Harness(f"duckdb:///{tmp_path}/warehouse.duckdb", SOURCE, tmp_path / "feed")
    shop.put_records([change("a", 1, CUSTOMER), change("b", 2, CUSTOMER)])
    shop.run()
    shop.query(f"INSERT INTO {shop.schema}.customers FROM {shop.schema}.customers WHERE pk = 'a'")

    report = reconcile(shop, export([item("a", CUSTOMER), item("b", CUSTOMER)]))

    assert counts(report, "customers") == (2, 0, 1, 0, 0, 1)
    assert report.targets["customers"].causes == {"extra": {"row_twice": 1}}
    assert shop.query(f"SELECT count(*) FROM {shop.schema}.customers") == [(2,)]


def test_what_was_done_is_in_the_books(shop: Harness, export: Export) -> None:
    folder = export([item("a", CUSTOMER)])
    report = reconcile(shop, folder)

    rows = shop.query(
        "SELECT source, target, method, as_of, floor_at, items, missing, repaired, overridden "
        f"FROM {shop.metadata}.reconciliations ORDER BY target"
    )
    assert rows == [
        ("shop", "customers", "export", AS_OF, FLOOR, 1, 1, 1, ""),
        ("shop", "orders", "export", AS_OF, FLOOR, 1, 0, 0, ""),
    ]
    assert report.as_dict()["verified_through"] == FLOOR


def test_the_keys_of_every_type_meet_their_rows(warehouse_url: str, tmp_path: Path, export: Export) -> None:
    source = replace(SOURCE, key=("PK", "SK"), targets=(Target("items"),))
    shop = Harness(warehouse_url, source, tmp_path / "feed")
    rows = [(b"x\x00", 1), (b"x\x00", Decimal("-2.5")), (b"", 10)]
    pairs = [{"PK": p or b"y", "SK": s} for p, s in rows]
    shop.put_records([stream_record(p, {**p, "v": 1}, sequence=i, at=T0) for i, p in enumerate(pairs, start=1)])
    shop.run()

    report = reconcile(shop, export([to_item({**p, "v": 1}) for p in pairs]))

    assert counts(report, "items") == (3, 0, 0, 0, 0, 0)


def test_columns_may_be_called_as_the_comparison_calls_things(shop: Harness, export: Export) -> None:
    names = {n: n for n in ("address", "n", "k0", "k1", "verdict", "rescued", "c0", "cause", "differing", "own")}
    shop.put_records([change("a", 1, {**CUSTOMER, **names}), change("b", 2, {**CUSTOMER, **names})])
    shop.run()

    report = reconcile(shop, export([item("a", {**CUSTOMER, **names}), item("b", {**CUSTOMER, **names, "n": "m"})]))

    assert counts(report, "customers") == (1, 0, 0, 1, 0, 1)
    assert report.targets["customers"].columns == {"n": 1}


def test_a_target_of_very_many_columns_is_compared(shop: Harness, export: Export) -> None:
    wide = {f"a{n}": n for n in range(150)}
    shop.put_records([change("a", 1, {**CUSTOMER, **wide})])
    shop.run()

    report = reconcile(shop, export([item("a", {**CUSTOMER, **wide, "a7": -7, "a120": -120})]))

    assert report.targets["customers"].columns == {"a7": 1, "a120": 1}
    assert report.targets["customers"].samples[0].columns == ("a120", "a7")


def test_true_is_not_1_in_json(shop: Harness, export: Export) -> None:
    shop.put_records(
        [change("a", 1, {**CUSTOMER, "J": {"x": 1, "y": [0]}}), change("b", 2, {**CUSTOMER, "J": {"x": 1}})]
    )
    shop.run()

    report = reconcile(
        shop,
        export([item("a", {**CUSTOMER, "J": {"x": True, "y": [False]}}), item("b", {**CUSTOMER, "J": {"x": 1}})]),
    )

    assert counts(report, "customers") == (1, 0, 0, 1, 0, 1)


@pytest.mark.parametrize("form", list(ExportFormat))
def test_the_longest_numbers_are_no_drift_where_they_are_kept_as_text(
    shop: Harness, export: Export, form: ExportFormat
) -> None:
    """Rescued, or in a column of text: compared as they are spelled, which feeds and exports of any format do alike."""
    text, whole = ColumnType(Kind.TEXT), ColumnType(Kind.INTEGER)
    columns = (Column("text", ("Text",), text), Column("rescued", ("Rescued",), whole))
    shop.source = replace(shop.source, targets=(Target("customers", columns=columns, evolve=Evolve.FREEZE),))
    numbers = ("100", "0.5", "9" * 38 + "0" * 88, "-0." + "0" * 129 + "1")
    records = []
    for sequence, number in enumerate(numbers):
        record = change(str(sequence), sequence, {})
        record["dynamodb"]["NewImage"] |= {"Text": {"N": number}, "Rescued": {"L": [{"N": number}]}}
        records.append(record)
    shop.put_records(records)
    shop.run()

    report = reconcile(shop, export([r["dynamodb"]["NewImage"] for r in records], format=form))

    assert counts(report, "customers") == (len(numbers), 0, 0, 0, 0, 0)
    rescued = shop.query(f"SELECT count(*) FROM {shop.schema}.customers WHERE _cdc_rescued IS NOT NULL")
    assert rescued == [(len(numbers),)]


def where_told(harness: Harness) -> list[tuple[str, str | None, bool]]:
    warehouse = harness.open()
    try:
        with warehouse.session() as session:
            reader = PlanReader(warehouse, layout_of(harness.settings, warehouse), ())
            found = reader.read(session, harness.source, with_views=False).differences
    finally:
        warehouse.close()
    return [(d.message, d.command, d.stops) for d in found if d.change == "where"]


def test_another_where_is_shown_until_a_reconcile_has_judged_every_row(shop: Harness, export: Export) -> None:
    """Also those that it had to leave alone: they wait for one with a later export."""
    kinds = {kind: {**CUSTOMER, "Type": "Customer", "Kind": kind} for kind in ("a", "b")}
    shop.put_records([change("stays", 1, kinds["a"]), change("goes", 2, kinds["b"])])
    shop.put_records([change("late", 3, kinds["b"], minute=59)])
    shop.run()
    customers, orders = shop.source.targets
    narrow = replace(customers, where=(Condition(("Kind",), any_of=("a",)), *customers.where))
    shop.source = replace(shop.source, targets=(narrow, orders))
    shown = [
        ("its rows are of Type: Customer, the configuration says Kind: a, Type: Customer", "cdc-merge reconcile", False)
    ]
    assert where_told(shop) == shown
    shop.put_records([change("other", 4, kinds["b"])])
    shop.run()
    assert where_told(shop) == shown
    assert keys(shop)["customers"] == {"stays", "goes", "late"}

    items = [item("stays", kinds["a"]), item("goes", kinds["b"]), item("late", kinds["b"])]
    report = reconcile(shop, export(items))

    assert counts(report, "customers") == (1, 0, 1, 0, 1, 1)
    assert keys(shop)["customers"] == {"stays", "late"}
    ((message, command, stops),) = where_told(shop)
    assert "may be of the `where` of before" in message and (command, stops) == ("cdc-merge reconcile", False)

    reconcile(shop, export(items, as_of=AS_OF + 10 * MINUTE))
    assert keys(shop)["customers"] == {"stays"}
    assert where_told(shop) == []
    shop.source = replace(shop.source, targets=(replace(narrow, where=tuple(reversed(narrow.where))), orders))
    assert where_told(shop) == []


def test_a_where_that_was_taken_back_is_shown_if_a_batch_was_merged_under_it(shop: Harness, export: Export) -> None:
    kinds = {kind: {**CUSTOMER, "Type": "Customer", "Kind": kind} for kind in ("a", "b")}
    every = shop.source
    customers, orders = every.targets
    everyone = replace(customers, where=())  # which is no condition at all
    shop.source = replace(every, targets=(everyone, orders))
    shop.put_records([change("stays", 1, kinds["a"])])
    shop.run()
    narrow = replace(customers, where=(Condition(("Kind",), any_of=("a",)),))
    shop.source = replace(every, targets=(narrow, orders))
    shop.put_records([change("missed", 2, kinds["b"])])
    shop.run()

    shop.source = replace(every, targets=(everyone, orders))
    shown = [("batches were merged under another `where` since its last reconcile", "cdc-merge reconcile", False)]
    assert where_told(shop) == shown
    shop.put_records([change("other", 3, kinds["b"])])
    shop.run()
    assert where_told(shop) == shown

    reconcile(shop, export([item(key, kinds["b"]) for key in ("missed", "other")] + [item("stays", kinds["a"])]))
    assert keys(shop)["customers"] == {"stays", "missed", "other"}
    assert where_told(shop) == []


def test_a_plain_reconcile_fills_a_column_that_appears_later(shop: Harness, export: Export) -> None:
    """All but rows of items that changed after the floor: these wait for a later export, or for their next change."""
    whole = {**ORDER, "City": "Oslo"}
    shop.put_records([change("old", 1, whole), change("bare", 2, ORDER), change("newer", 3, whole, minute=59)])
    shop.run()
    customers, orders = shop.source.targets
    city = Column("city", ("City",), ColumnType(Kind.TEXT))
    later = replace(orders, columns=(*(orders.columns or ()), city))
    shop.source = replace(shop.source, targets=(customers, later))

    report = reconcile(shop, export([item("old", whole), item("bare", ORDER), item("newer", whole)]))

    assert counts(report, "orders") == (1, 0, 0, 1, 1, 1)
    found = dict(shop.query(f"SELECT pk, city FROM {shop.schema}.orders"))
    assert found == {"old": "Oslo", "bare": None, "newer": None}


def test_an_item_whose_key_the_engine_cannot_hold_is_told_of_and_left_out(tmp_path: Path, export: Export) -> None:
    target = Target("items", columns=(Column("v", ("v",)),))
    url = f"duckdb:///{tmp_path}/w.duckdb"
    shop = Harness(url, replace(SOURCE, targets=(target,)), tmp_path / "feed")
    items = [to_item({"PK": number, "v": "x"}) for number in (Decimal(1), Decimal("1E+40"), Decimal("1E-30"))]

    for equal, missing in ((0, 1), (1, 0)):
        report = reconcile(shop, export(items))
        assert (report.items, sum(report.unusable.values())) == (3, 2)
        assert counts(report, "items")[:2] == (equal, missing)
    assert keys(shop) == {"items": {"1"}}
