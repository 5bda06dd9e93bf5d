"""What status tells of what found no place: items that no target takes, and values that their column did not take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge import Reconciler
from cdc_merge.errors import SchemaConflict
from cdc_merge.feed.entities import discriminator
from cdc_merge.feed.notices import fold, typed_at
from cdc_merge.forget import Forgetter
from cdc_merge.layout import layout_of
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Mask, Source, Target, Template
from cdc_merge.names import spelled
from cdc_merge.staging import unmatched_rows
from cdc_merge.status import MisfitStatus, SourceStatus, StatusReader
from tests.support.commands import command_of
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.merging import by_hand
from tests.support.records import kinesis_record, stream_record, to_item

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order", "Return")), Condition(("Total",), exists=True)))
KEY = ("PK", "SK")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def item(key: str, sequence: int, **attributes: Any) -> dict[str, Any]:
    keys = {"PK": key, "SK": "1"}
    return stream_record(keys, {**keys, **attributes}, sequence=sequence, at=T0 + timedelta(seconds=sequence))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, Source("shop", "", KEY, (CUSTOMERS, ORDERS)), tmp_path / "feed")


def with_targets(shop: Harness, *targets: Target) -> None:
    shop.source = replace(shop.source, targets=targets)


def deliver(shop: Harness, *records: dict[str, Any]) -> None:
    shop.put_records(records)
    shop.run()


def status(shop: Harness) -> SourceStatus:
    warehouse = shop.open()
    try:
        with warehouse.session() as session:
            return StatusReader(warehouse, layout_of(shop.settings, warehouse)).read(session, shop.source)
    finally:
        warehouse.close()


def unmatched(shop: Harness) -> dict[str, int]:
    return {u.entity: u.items for u in status(shop).unmatched}


def misfits(shop: Harness) -> dict[str, MisfitStatus]:
    return {f"{m.target}.{m.column}": m for m in status(shop).misfits}


# --- items that no target takes --------------------------------------------------------------------------


def test_items_that_no_target_takes_are_counted_by_the_attribute_that_tells_entities_apart(shop: Harness) -> None:
    deliver(
        shop,
        item("a", 1, Type="Customer"),
        item("b", 2, Type="Email"),
        item("c", 3, Type="Email"),
        item("d", 4, Type=7),
        item("e", 5, Type=True),
        stream_record({"PK": "f", "SK": "1"}, None, sequence=6, at=T0),
    )
    assert unmatched(shop) == {"Email": 2, "7": 1, "true": 1}
    (first,) = {u.last_seen_at for u in status(shop).unmatched}
    deliver(shop, item("g", 7, Type="Email"), item("h", 8, Type="Coupon"))
    assert unmatched(shop) == {"Email": 3, "7": 1, "true": 1, "Coupon": 1}
    seen = {u.entity: u.last_seen_at for u in status(shop).unmatched}
    assert seen["Email"] > first
    assert seen["7"] == first


def test_without_the_attribute_the_beginning_of_the_partition_key_tells_the_entity(shop: Harness) -> None:
    deliver(shop, item("EMAIL#a@b#c", 1), item("EMAIL#d", 2), item("plain", 3), item("it's\0#", 4, Total=1))
    assert unmatched(shop) == {"EMAIL#": 2, "(no prefix)": 1} | (
        {"it's?#": 1} if "duckdb" in shop.url else {}  # Postgres cannot hold that key: it is in quarantine
    )


def test_where_no_target_compares_an_attribute_only_keys_tell_entities_apart(shop: Harness) -> None:
    with_targets(shop, Target("orders", where=(Condition(("PK",), prefix="ORDER#"),)))
    deliver(shop, item("ORDER#1", 1), item("USER#1", 2, Type="User"), item("x", 3, Type="Note"))
    assert unmatched(shop) == {"USER#": 1, "(no prefix)": 1}


def test_an_item_of_another_targets_entity_that_lacks_what_it_asks_is_counted_too(shop: Harness) -> None:
    deliver(shop, item("a", 1, Type="Order"), item("b", 2, Type="Order", Total=1))
    assert unmatched(shop) == {"Order": 1}


def test_an_entity_that_a_target_takes_later_stays_with_its_count(shop: Harness) -> None:
    deliver(shop, item("a", 1, Type="Email"))
    before = status(shop).unmatched
    with_targets(shop, CUSTOMERS, Target("emails", where=(Condition(("Type",), any_of=("Email",)),)))
    deliver(shop, item("b", 2, Type="Email"))
    assert status(shop).unmatched == before


def test_an_item_without_elements_belongs_to_its_target_all_the_same(shop: Harness) -> None:
    with_targets(shop, Target("lines", where=(Condition(("Type",), any_of=("Order",)),), each=("Lines",)))
    deliver(shop, item("a", 1, Type="Order", Lines=[]), item("b", 2, Type="Email", Lines=[1]))
    assert unmatched(shop) == {"Email": 1}


def test_a_kinesis_feed_with_numbers_as_keys_is_counted_too(shop: Harness) -> None:
    keys = {"PK": 1, "SK": "1"}
    shop.put_records([kinesis_record(keys, keys, at=T0)])
    shop.run()
    assert unmatched(shop) == {"(no prefix)": 1}


def test_of_many_entities_the_rarest_of_a_batch_count_together(shop: Harness) -> None:
    deliver(shop, *(item(f"{n}#", n + 1) for n in range(120)))
    found = unmatched(shop)
    assert len(found) == 101
    assert found["(others)"] == 20
    assert sum(found.values()) == 120


def test_folding_keeps_the_greatest_counts() -> None:
    assert fold({"a": 1, "b": 5, "c": 1, "(others)": 9}, most=2) == {"b": 5, "a": 1, "(others)": 10}
    assert fold({}, most=2) == {}


def test_a_table_full_of_entities_takes_no_new_ones() -> None:
    staged = unmatched_rows({"a": 3, "b": 2, "c": 1}, known={"a", "x"}, most=3).to_pylist()
    assert staged == [
        {"entity": "a", "items": 3},
        {"entity": "b", "items": 2},
        {"entity": "(others)", "items": 1},
    ]


def test_the_attribute_that_most_targets_compare_tells_entities_apart() -> None:
    by_kind = Condition(("Kind",), any_of=("a",))
    by_type = Condition(("Type", "Name"), any_of=("b", "c"))
    most = [Target("1", (by_kind,)), Target("2", (by_type,)), Target("3", (by_type,))]
    assert discriminator(most, ("PK",)) == by_type.path
    assert discriminator([Target("1", (by_kind,)), Target("2", (by_type,))], ("PK",)) == by_kind.path
    assert discriminator([Target("1", (Condition(("Kind",), prefix="a"),)), Target("2")], ("PK",)) is None


def test_no_value_of_a_key_attribute_stands_for_an_entity(shop: Harness) -> None:
    by_key = Target("profiles", where=(Condition(("SK",), any_of=("PROFILE",)), Condition(("PK",), prefix="USER#")))
    shop.source = replace(shop.source, key=("PK", "SK"), targets=(by_key,))
    address = "EMAIL#ada@example.com"
    keys = [{"PK": address, "SK": sort} for sort in (address, "x")]
    deliver(shop, *(stream_record(k, k, sequence=n, at=T0) for n, k in enumerate(keys)))
    assert unmatched(shop) == {"EMAIL#": 2}


# --- sources that cannot merge ---------------------------------------------------------------------------


def test_a_source_that_its_tables_stop_is_said_to_be_stopped(shop: Harness) -> None:
    deliver(shop, item("a#", 1, Type="Customer", Age=1))
    assert status(shop).stopped_by == ()
    (target, *others) = shop.source.targets
    shop.source = replace(shop.source, targets=(target, *others, Target("new")))
    assert status(shop).stopped_by == ()  # it will be made
    other = replace(target, each=("Lines",))
    shop.source = replace(shop.source, targets=(other, *others))
    assert status(shop).stopped_by == (f"{target.table}: its rows come from whole items, the configuration says Lines",)


def test_a_source_that_was_renamed_is_told_whose_its_table_is(shop: Harness) -> None:
    deliver(shop, item("a#", 1, Type="Customer", Age=1))
    shop.source = replace(shop.source, name="renamed")
    (reason, *_) = status(shop).stopped_by
    assert "in the books is of the source shop" in reason
    shop.put_records([item("b#", 2, Type="Customer", Age=1)])
    with pytest.raises(SchemaConflict, match="in the books is of the source shop") as stopped:
        shop.run()
    assert "cannot be renamed" in str(stopped.value.hint)
    # Once the table is gone, its name is free.
    for target in shop.source.targets:
        by_hand(shop, f"DROP TABLE IF EXISTS {shop.schema}.{target.table}")
    shop.run()
    assert status(shop).stopped_by == ()


def test_a_table_of_somebodys_own_is_not_taken_for_a_target(shop: Harness) -> None:
    deliver(shop, item("a#", 1, Type="Customer", Age=1))
    by_hand(shop, f"CREATE TABLE {shop.schema}.mine (x integer)")
    by_hand(shop, f"CREATE TABLE {shop.schema}.customers_history (x integer)")
    kept = replace(CUSTOMERS, has_history=True)
    shop.source = replace(shop.source, targets=(kept, ORDERS, replace(CUSTOMERS, table="mine")))
    assert status(shop).stopped_by == (
        "customers: there is a table customers_history already",
        "mine: there is a table mine already",
    )
    shop.put_records([item("b#", 2, Type="Customer", Age=1)])
    with pytest.raises(SchemaConflict, match="there is a table customers_history already"):
        shop.run()


def test_status_checked_exits_with_4_where_the_tables_stop_a_source(shop: Harness) -> None:
    deliver(shop, item("a#", 1, Type="Customer", Age=1))
    fits, differs = "table: customers, where: {Type: Customer}", "table: customers, each: Lines, columns: {sku: Sku}"
    command_of(shop, fits)("status", "--check")
    assert "(stopped)" in command_of(shop, differs)("status", "--check", exits=4).output


def test_an_attribute_with_a_nul_in_its_name_that_does_not_fit_is_counted(shop: Harness) -> None:
    with_targets(shop, replace(CUSTOMERS, columns=(Column("n", ("a\0b",), ColumnType(Kind.INTEGER)),)))
    deliver(shop, item("a#", 1, Type="Customer", **{"a\0b": "text"}))
    (misfit,) = misfits(shop).values()
    assert "a?b" in misfit.attribute


# --- values that their column did not take ---------------------------------------------------------------

TYPED = Target(
    "items",
    evolve=Evolve.FREEZE,
    columns=(
        Column("spent", ("Spent",), ColumnType(Kind.NUMERIC, 6, 2)),
        Column("age", ("Age",), ColumnType(Kind.INTEGER)),
        Column("zip", ("Address", "Zip"), ColumnType(Kind.INTEGER)),
        Column("order_id", ("Ref",), ColumnType(Kind.TEXT), template=Template(("ORDER#", ""), 0)),
        Column("secret", ("Secret",), ColumnType(Kind.INTEGER), mask=Mask.HASH),
    ),
)


def test_values_that_do_not_fit_are_counted_by_column_with_the_first_of_them(shop: Harness) -> None:
    with_targets(shop, TYPED)
    deliver(
        shop,
        item("a", 1, Spent=1, Age=5, Address={"Zip": 1}, Ref="ORDER#7", Secret="x", New="no column, no misfit"),
        item("b", 2, Spent="much", Age=None),
    )
    found = misfits(shop)
    assert list(found) == ["items.spent"]
    assert (found["items.spent"].attribute, found["items.spent"].rows) == ("Spent", 1)
    assert (found["items.spent"].first_key, found["items.spent"].first_value) == ('["b", "1"]', '{"S":"much"}')
    deliver(
        shop,
        item("c", 3, Spent="x" * 300, Age="old", Address={"Zip": "80331 M"}, Ref="INVOICE#7"),
        item("d", 4, Spent=1, Secret={"a": "hidden"}),
    )
    later = misfits(shop)
    assert {c: m.rows for c, m in later.items()} == {
        "items.spent": 2,
        "items.age": 1,
        "items.zip": 1,
        "items.order_id": 1,
    }
    assert later["items.spent"].first_value == '{"S":"much"}'
    assert later["items.spent"].first_seen_at == found["items.spent"].first_seen_at
    assert later["items.spent"].last_seen_at == later["items.age"].last_seen_at > found["items.spent"].last_seen_at
    assert (later["items.zip"].attribute, later["items.zip"].first_value) == ("Address.Zip", '{"S":"80331 M"}')
    assert "hidden" not in str(later)


def test_a_sample_is_cut(shop: Harness) -> None:
    with_targets(shop, TYPED)
    deliver(shop, item("c", 3, Age="x" * 300))
    assert len(misfits(shop)["items.age"].first_value or "") == 200


def test_elements_that_do_not_fit_are_counted_too(shop: Harness) -> None:
    columns = (
        Column("quantity", ("Qty",), ColumnType(Kind.INTEGER)),
        Column("plain", (), ColumnType(Kind.INTEGER)),
        Column("whose", ("Customer",), ColumnType(Kind.TEXT), of_parent=True),
    )
    with_targets(shop, Target("lines", each=("Lines",), columns=columns))
    deliver(shop, item("a", 1, Customer="c", Lines=[{"Qty": 1}, {"Qty": "two"}, 3, "four", None]))
    found = misfits(shop)
    assert {c: (m.attribute, m.rows, m.first_value) for c, m in found.items()} == {
        "lines.plain": (".", 1, '{".":{"S":"four"}}'),
        "lines.quantity": ("Qty", 1, '{"S":"two"}'),
    }
    assert {m.first_key for m in found.values()} == {'["a", "1"]'}


def test_a_map_among_elements_that_are_no_maps_does_not_fit(shop: Harness) -> None:
    plain = Column("plain", (), ColumnType(Kind.INTEGER))
    with_targets(shop, Target("numbers", each=("Numbers",), evolve=Evolve.FREEZE, columns=(plain,)))
    deliver(shop, item("a", 1, Numbers=[3, {"Sku": "x"}]))
    (misfit,) = misfits(shop).values()
    assert (misfit.column, misfit.rows, misfit.first_value) == ("plain", 1, '{"Sku":{"S":"x"}}')


def test_a_forgotten_item_is_no_sample_any_more(shop: Harness) -> None:
    with_targets(shop, TYPED)
    deliver(shop, item("a", 1, Age="old"))
    holdings = Forgetter(shop.settings, "shop", ["b", "1"]).look()
    assert Forgetter(shop.settings, "shop", ["b", "1"]).erase(holdings).misfits == 0
    assert misfits(shop)["items.age"].first_key == '["a", "1"]'
    forgotten = Forgetter(shop.settings, "shop", ["a", "1"]).erase(holdings)
    assert (forgotten.samples, forgotten.misfits) == (0, 1)
    found = misfits(shop)["items.age"]
    assert (found.rows, found.first_key, found.first_value) == (1, None, None)
    deliver(shop, item("b", 2, Age="older"))
    assert misfits(shop)["items.age"].first_value == '{"S":"older"}'


def test_what_an_export_has_that_does_not_fit_is_counted_once_and_anew_by_a_rebuild(
    shop: Harness, tmp_path: Path
) -> None:
    with_targets(shop, TYPED)
    items = [{"PK": "a", "SK": "1", "Age": "old"}, {"PK": "b", "SK": "1", "Age": "older", "Spent": "much"}]
    export = write_export(tmp_path / "exports", map(to_item, items), as_of=T0)

    def reconcile(**options: Any) -> dict[str, int]:
        reconciler = Reconciler(shop.settings)
        try:
            reconciler.reconcile("shop", str(export), **options)
        finally:
            reconciler.close()
        return {column: m.rows for column, m in misfits(shop).items()}

    assert reconcile() == {"items.age": 2, "items.spent": 1}
    assert reconcile() == {"items.age": 2, "items.spent": 1}
    masked = tuple(replace(c, mask=Mask.HASH, type=None) if c.name == "age" else c for c in TYPED.columns or ())
    with_targets(shop, replace(TYPED, columns=masked))
    assert reconcile(rebuild=True) == {"items.spent": 1}


def test_binary_samples_are_of_one_layer_of_base64(shop: Harness) -> None:
    with_targets(shop, TYPED)
    keys = {"PK": "a", "SK": "1"}
    shop.put_records([kinesis_record(keys, {**keys, "Age": b"\x01\x02"}, at=T0)])
    shop.run()
    assert misfits(shop)["items.age"].first_value == '{"B":"AQI="}'


def test_paths_are_spelled_and_followed() -> None:
    assert [spelled(p) for p in ((), ("A",), ("A", "b.c", 0, 'x"y'))] == [".", "A", 'A."b.c"[0]."x""y"']
    image = '{"A":{"M":{"b":{"L":[{"N":"1"},{"S":"x"}]}}}}'
    assert typed_at(image, ("A", "b", 1)) == '{"S":"x"}'
    for nowhere in (("A", "b", 7), ("A", "c"), ("B", "c"), ("A", 0), ("A", "b", 0, "c")):
        assert typed_at(image, nowhere) is None


# --- the command -----------------------------------------------------------------------------------------


def test_the_command_shows_both(shop: Harness) -> None:
    run = command_of(shop, "table: customers, where: {Type: Customer}, columns: {age: {from: Age, type: integer}}")
    shop.put_records([item("a", 1, Type="Customer", Age="old"), item("b", 2, Type="Email")])

    run("run", "--once")
    text = run("status").stdout
    assert "items that no target takes" in text
    assert "values that did not fit" in text
    (source,) = run.json("status")["sources"]
    assert [(u["entity"], u["items"]) for u in source["unmatched"]] == [("Email", 1)]
    (misfit,) = source["misfits"]
    assert (misfit["target"], misfit["column"], misfit["attribute"], misfit["rows"]) == ("customers", "age", "Age", 1)
    assert (misfit["first_key"], misfit["first_value"]) == ('["a", "1"]', '{"S":"old"}')


# --- columns without a value -----------------------------------------------------------------------------


def test_columns_that_no_row_has_a_value_in_are_named(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    number = Template(("CUSTMER#", ""), 0)
    columns = (
        Column("name", ("Name",)),
        Column("title", ("Titel",)),  # no value ever shows its type
        Column("city", ("Address", "Town"), ColumnType(Kind.TEXT)),
        Column("number", ("PK",), template=number),
        Column("secret", ("Name",), mask=Mask.DROP),
    )
    lines = Target(
        "lines",
        each=("Lines",),
        columns=(Column("sku", ("Sku",)), Column("of", ("Nme",), ColumnType(Kind.TEXT), of_parent=True)),
        evolve=Evolve.FREEZE,
    )
    with_targets(shop, Target("customers", columns=columns, evolve=Evolve.FREEZE), lines)
    deliver(shop, item("CUSTOMER#1", 1, Name="a", Address={"City": "b"}, Lines=[{"Sku": "c"}, {"Sku": "d"}]))
    found = [(f"{b.target}.{b.column}", b.attribute, b.rows, b.is_all) for b in status(shop).blanks]
    assert found == [
        ("customers.title", "Titel", 1, True),
        ("customers.city", "Address.Town", 1, True),
        ("customers.number", "PK", 1, True),
        ("lines.of", "^Nme", 2, True),
    ]
    monkeypatch.setattr("cdc_merge.blanks._ROWS", 1)
    assert [(b.column, b.rows, b.is_all) for b in status(shop).blanks][-1] == ("of", 1, False)
