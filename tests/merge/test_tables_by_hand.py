"""What people do to the tables and the configuration behind our back, one story each, on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.checking import check
from cdc_merge.errors import SchemaConflict, WarehouseRefused
from cdc_merge.layout import layout_of
from cdc_merge.ledger import Ledger, read_tables
from cdc_merge.model import Column, ColumnType, Condition, Kind, Source, Target
from cdc_merge.planning.preview import preview
from cdc_merge.warehouses import Statement, open_warehouse
from tests.support.harness import Harness
from tests.support.merging import by_hand
from tests.support.records import stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LEADS = Target("leads", where=(Condition(("Type",), any_of=("Lead",)),))
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
COLUMNS = (
    Column("spent", ("Spent",), ColumnType(Kind.NUMERIC, 12, 2)),
    Column("name", ("Name",), ColumnType(Kind.TEXT)),
    Column("seen", ("Seen",), ColumnType(Kind.TIMESTAMP)),
    Column("born", ("Born",), ColumnType(Kind.DATE)),
    Column("good", ("Good",), ColumnType(Kind.BOOLEAN)),
    Column("size", ("Size",), ColumnType(Kind.DOUBLE)),
    Column("visits", ("Visits",), ColumnType(Kind.INTEGER)),
    Column("tags", ("Tags",), ColumnType(Kind.JSON)),
    Column("token", ("Token",), ColumnType(Kind.BINARY)),
    Column("rate", ("Rate",), ColumnType(Kind.NUMERIC)),
)


def put(key: Any, sequence: int, **attributes: Any) -> dict[str, Any]:
    keys = {"PK": key}
    return stream_record(keys, {**keys, **attributes}, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def remove(key: Any, sequence: int) -> dict[str, Any]:
    return stream_record({"PK": key}, None, sequence=sequence, at=T0 + timedelta(seconds=sequence))


@pytest.fixture
def crm(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, Source("crm", "", ("PK",), (LEADS, CUSTOMERS)), tmp_path / "feed")


@pytest.fixture
def items(warehouse_url: str, tmp_path: Path) -> Iterator[Harness]:
    """A table `items` that has grown `v`, and in it the row (a, x)."""
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    deliver(harness, put("a", 1, v="x"))
    yield harness


def deliver(harness: Harness, *records: dict[str, Any]) -> Any:
    harness.put_records(records)
    return harness.run().counts


def without_customers(crm: Harness) -> None:
    crm.source = replace(crm.source, targets=(LEADS,))


# --- a target that is no longer configured -------------------------------------------------------------


def test_a_late_change_stays_stale_when_the_table_of_the_newer_row_is_no_longer_configured(crm: Harness) -> None:
    deliver(crm, put("k", 1, Type="Lead"), put("z", 1, Type="Lead"))
    deliver(crm, put("k", 30, Type="Customer"))
    without_customers(crm)
    assert deliver(crm, put("k", 20, Type="Lead")).stale == 1
    assert crm.query("SELECT pk FROM analytics.leads") == [("z",)]
    assert deliver(crm, put("k", 40, Type="Lead")).applied == 1
    assert crm.query("SELECT pk FROM analytics.leads ORDER BY pk") == [("k",), ("z",)]
    assert crm.query("SELECT pk FROM analytics.customers") == [("k",)]  # what is not configured is not touched


def test_a_table_that_is_neither_configured_nor_there_is_not_asked(crm: Harness) -> None:
    deliver(crm, put("k", 1, Type="Lead"), put("c", 30, Type="Customer"))
    without_customers(crm)
    by_hand(crm, "DROP TABLE analytics.customers")
    assert deliver(crm, put("c", 20, Type="Lead")).applied == 1
    assert crm.query("SELECT pk FROM analytics.leads ORDER BY pk") == [("c",), ("k",)]


def test_tables_that_a_worker_makes_between_two_looks_are_no_strangers(
    crm: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm.run()  # makes the metadata tables
    workers = []

    def read_late(*given: Any) -> Any:
        """The catalog is asked after the books: a worker has merged since."""
        if not workers:
            workers.append("one")
            assert deliver(crm, put("k", 1, Type="Lead")).applied == 1
        return read_tables(*given)

    monkeypatch.setattr("cdc_merge.ledger.read_tables", read_late)
    warehouse = crm.open()
    layout = layout_of(crm.settings, warehouse)
    with warehouse.session() as session:
        ledger = Ledger(layout.metadata, warehouse.dialect)
        state = ledger.state(session, "crm", schema="analytics", targets=crm.source.targets)
    warehouse.close()

    assert workers
    there = state.inspector(warehouse.dialect, "analytics")
    assert [book.target.table for book in there.open_books(crm.source)] == ["leads", "customers"]


def test_the_plan_shows_the_table_that_is_no_longer_configured(crm: Harness) -> None:
    deliver(crm, put("k", 1, Type="Lead"), put("c", 30, Type="Customer"))
    without_customers(crm)
    warehouse = crm.open()
    layout = layout_of(crm.settings, warehouse)
    with warehouse.session() as session:
        state = Ledger(layout.metadata, warehouse.dialect).state(session, "crm", schema="analytics")
    warehouse.close()
    merge = {s.label: s.sql for s in preview(crm.source, warehouse.dialect, layout, state).merge}
    assert '"customers"' in merge["resolve"]
    assert not any("customers" in label for label in merge)


# --- rows that are there twice -------------------------------------------------------------------------


def twice(harness: Harness, table: str, *, of: str | None = None) -> None:
    """Every row of the table once more, or that `of` a key, whose primary key is gone."""
    if "postgres" in harness.url and of is None:
        pytest.skip("the primary key does not let a row be there twice")
    key = f" WHERE pk = '{of}'" if of else ""
    by_hand(harness, f"INSERT INTO analytics.{table} SELECT * FROM analytics.{table}{key}")


def test_a_row_that_is_there_twice_is_replaced_as_one_by_its_next_change(items: Harness) -> None:
    deliver(items, put("b", 1, v="x"), put("c", 1, v="x"))
    twice(items, "items")
    counts = deliver(items, put("a", 2, v="y"), remove("b", 2), put("d", 2, v="y"))
    assert (counts.applied, dict(counts.targets["items"])) == (3, {"inserted": 1, "updated": 1, "deleted": 1})
    rows = items.query("SELECT pk, v FROM analytics.items ORDER BY pk")
    assert rows == [("a", "y"), ("c", "x"), ("c", "x"), ("d", "y")]
    assert len(items.tombstones()) == 1


@pytest.mark.parametrize("at_once", [3, 2], ids=["looked for at once", "one by one"])
def test_rows_that_are_there_twice_in_several_tables_are_each_replaced_as_one(
    items: Harness, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("cdc_merge.merge.guarding.MOST_AT_ONCE", at_once)
    items.source = replace(items.source, targets=(Target("items"), Target("copy"), Target("archive")))
    deliver(items, put("a", 2, v="x"), put("b", 2, v="x"), put("c", 2, v="x"))
    for table in ("items", "copy", "copy", "archive"):
        twice(items, table)
    counts = deliver(items, put("a", 3, v="y"), remove("b", 3), put("c", 1, v="late"), put("d", 3, v="y"))
    assert (counts.applied, counts.stale) == (3, 1)
    assert {dict(t)["updated"] for t in counts.targets.values()} == {1}
    for table, copies in (("items", 2), ("copy", 4), ("archive", 2)):
        rows = items.query(f"SELECT pk, v FROM analytics.{table} ORDER BY pk")
        assert rows == [("a", "y"), *[("c", "x")] * copies, ("d", "y")]
    assert len(items.tombstones()) == 1


@pytest.mark.parametrize("is_twice", [False, True])
def test_rows_are_grouped_only_where_one_is_there_twice(items: Harness, is_twice: bool) -> None:
    if not items.url.startswith("duckdb"):
        pytest.skip("there rows are grouped always, or never")
    if is_twice:
        twice(items, "items")
    items.put_records([put("a", 2, v="y")])
    said: list[str] = []
    with closing(open_warehouse(items.url, observer=lambda label, _seconds: said.append(label))) as warehouse:
        items.run(warehouse=warehouse)
    grouped = {"drop resolved copies", "resolve copies", "delete copies from items"}
    assert grouped & {*said} == (grouped if is_twice else set())
    assert {"resolve", "look for copies", "delete from items"} <= {*said}


def test_a_row_that_is_there_twice_hides_no_other_where_the_primary_key_was_taken_away(items: Harness) -> None:
    if "postgres" not in items.url:
        pytest.skip("there is none")
    deliver(items, *[put(key, 1, v="x") for key in "bcd"])
    by_hand(items, "ALTER TABLE analytics.items DROP CONSTRAINT items_pkey")
    for _ in range(3):
        twice(items, "items", of="a")
    with pytest.raises(
        AssertionError, match="4 records have 11 outcomes"
    ):  # the books count a row as often as it is there
        deliver(items, *[put(key, 2, v="y") for key in "abcd"])
    assert {*items.query("SELECT pk, v FROM analytics.items")} == {(key, "y") for key in "abcd"}


def test_rows_that_are_there_twice_where_they_are_not_asked_for_any_more(crm: Harness) -> None:
    """A table that the configuration no longer has: its rows still say what is stale, and stay."""
    deliver(crm, put("k", 1, Type="Lead"), put("c", 5, Type="Customer"))
    without_customers(crm)
    twice(crm, "customers")
    counts = deliver(crm, put("c", 3, Type="Lead"), put("k", 2, Type="Lead", v="y"))
    assert (counts.applied, counts.stale) == (1, 1)
    assert crm.query("SELECT pk, v FROM analytics.leads") == [("k", "y")]
    assert crm.query("SELECT count(*) FROM analytics.customers") == [(2,)]


def test_of_two_rows_of_a_key_the_newer_says_what_is_stale(items: Harness) -> None:
    deliver(items, put("a", 5, v="y"))
    twice(items, "items")
    by_hand(
        items, "UPDATE analytics.items SET _cdc_position = '0' WHERE rowid = (SELECT max(rowid) FROM analytics.items)"
    )
    assert deliver(items, put("a", 4, v="late"), put("a", 3, v="late")).stale == 1
    assert deliver(items, put("a", 6, v="z")).applied == 1
    assert items.query("SELECT pk, v FROM analytics.items") == [("a", "z")]


def test_a_row_that_is_there_twice_leaves_when_its_item_moves(crm: Harness) -> None:
    deliver(crm, put("k", 1, Type="Lead"))
    deliver(crm, put("c", 1, Type="Customer"))
    twice(crm, "leads")
    assert deliver(crm, put("k", 2, Type="Customer")).applied == 1
    assert crm.query("SELECT pk FROM analytics.leads") == []
    assert crm.query("SELECT pk FROM analytics.customers ORDER BY pk") == [("c",), ("k",)]


def test_where_people_let_no_row_be_there_twice_an_old_row_goes_before_the_new_one_comes(items: Harness) -> None:
    by_hand(items, "CREATE UNIQUE INDEX mine ON analytics.items (pk)")
    assert dict(deliver(items, put("a", 2, v="y"), put("b", 2, v="y")).targets["items"]) == {
        "inserted": 1,
        "updated": 1,
        "deleted": 0,
    }
    assert items.query("SELECT pk, v FROM analytics.items ORDER BY pk") == [("a", "y"), ("b", "y")]


# --- altered columns -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("spent", "integer"),
        ("spent", "numeric(12, 1)"),
        ("name", "integer"),
        ("_cdc_changed_at", "date"),
    ],
)
def test_a_column_of_another_type_stops_the_source(warehouse_url: str, tmp_path: Path, column: str, other: str) -> None:
    source = Source("shop", "", ("PK",), (Target("items", columns=COLUMNS),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    deliver(harness, put("a", 1, Spent=1, Seen="2026-01-01"), remove("b", 1))
    cure = " USING NULL" if column == "name" and "postgres" in warehouse_url else ""
    by_hand(harness, f"ALTER TABLE analytics.items ALTER COLUMN {column} TYPE {other}{cure}")
    harness.put_records([put("a", 2, Spent=2)])
    with pytest.raises(SchemaConflict, match=f"target items.{column}") as stopped:
        harness.run()
    assert "ALTER TABLE" in str(stopped.value.hint)
    assert harness.query("SELECT count(*) FROM cdc_merge.batches") == [(1,)]


@pytest.mark.parametrize("key", ["a", 7, b"\x00\xff"], ids=["S", "N", "B"])
def test_the_types_that_the_project_makes_are_the_types_it_finds(
    warehouse_url: str, tmp_path: Path, key: str | int | bytes
) -> None:
    harness = Harness(
        warehouse_url, Source("shop", "", ("PK",), (Target("items", columns=COLUMNS),)), tmp_path / "feed"
    )
    deliver(harness, put(key, 1, Name="x"))
    assert deliver(harness, put(key, 2, Name="y")).applied == 1
    assert harness.query("SELECT name FROM analytics.items") == [("y",)]


# --- columns that the configuration asks for otherwise --------------------------------------------------


def spent(precision: int | None, scale: int | None = None, *, history: bool = False) -> tuple[Target, ...]:
    kind = ColumnType(Kind.NUMERIC, precision, scale)
    return (Target("items", columns=(Column("spent", ("Spent",), kind),), has_history=history),)


@pytest.mark.parametrize("wider", [spent(14, 2, history=True), spent(None, history=True)], ids=["digits", "any number"])
def test_a_decimal_that_is_to_hold_more_is_widened_in_place_where_that_costs_nothing(
    warehouse_url: str, tmp_path: Path, wider: tuple[Target, ...]
) -> None:
    source = Source("shop", "", ("PK",), spent(6, 2, history=True))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    deliver(harness, put("a", 1, Spent=Decimal("1234.56")), put("b", 1, Spent=Decimal("12345.67")))
    harness.source = replace(harness.source, targets=wider)
    harness.put_records([put("a", 2, Spent=Decimal("99999.99"))])
    if "duckdb" in warehouse_url:  # it would write the column anew
        with pytest.raises(SchemaConflict, match=r"target items\.spent: it is numeric"):
            harness.run()
        return

    harness.run()

    assert harness.query("SELECT pk, spent, _cdc_rescued FROM analytics.items ORDER BY pk") == [
        ("a", Decimal("99999.99"), None),
        ("b", None, '{"Spent":{"N":"12345.67"}}'),
    ]
    kept = harness.query("SELECT spent FROM analytics.items_history WHERE pk = 'a' ORDER BY _cdc_position")
    assert kept == [(Decimal("1234.56"),), (Decimal("99999.99"),)]
    assert deliver(harness, put("b", 2, Spent=Decimal("12345.67"))).applied == 1


def test_where_a_view_uses_the_column_the_error_says_that_a_rebuild_widens_it(
    postgres_url: str, tmp_path: Path
) -> None:
    harness = Harness(postgres_url, Source("shop", "", ("PK",), spent(6, 2)), tmp_path / "feed")
    deliver(harness, put("a", 1, Spent=1))
    by_hand(harness, "CREATE VIEW analytics.seen AS SELECT spent FROM analytics.items")
    harness.source = replace(harness.source, targets=spent(14, 2))
    harness.put_records([put("a", 2, Spent=2)])

    with pytest.raises(WarehouseRefused, match=r"widen items\.spent") as refused:
        harness.run()

    assert "cdc-merge reconcile --rebuild" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("before", "other"),
    [
        (spent(6, 2), spent(14, 4)),
        (spent(6, 2), spent(5, 2)),
        (spent(6, 2), spent(6, 0)),
        (spent(None), spent(14, 2)),
    ],
    ids=["scale", "fewer digits", "cut", "a limit"],
)
def test_a_decimal_that_is_to_hold_something_else_stops_the_source(
    warehouse_url: str, tmp_path: Path, before: tuple[Target, ...], other: tuple[Target, ...]
) -> None:
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), before), tmp_path / "feed")
    deliver(harness, put("a", 1, Spent=Decimal("1234.56")))
    harness.source = replace(harness.source, targets=other)
    harness.put_records([put("a", 2, Spent=1)])
    with pytest.raises(SchemaConflict, match=r"target items\.spent: it is numeric"):
        harness.run()


@pytest.mark.parametrize("column", ["v", "_cdc_rescued"])
def test_a_missing_column_stops_the_source_until_it_is_back(items: Harness, column: str) -> None:
    by_hand(items, f"ALTER TABLE analytics.items DROP COLUMN {column}")
    items.put_records([put("a", 2, v="y")])
    with pytest.raises(SchemaConflict, match=f"target items.{column}.*missing") as stopped:
        items.run()
    by_hand(items, str(stopped.value.hint).partition(";")[0])
    items.run()
    assert items.query("SELECT pk, v FROM analytics.items") == [("a", "y")]


def test_a_table_that_was_dropped_stops_the_source(items: Harness) -> None:
    by_hand(items, "DROP TABLE analytics.items")
    items.put_records([put("a", 2, v="y")])
    with pytest.raises(SchemaConflict, match="gone"):
        items.run()


# --- columns of people's own ---------------------------------------------------------------------------


def test_columns_that_people_add_are_left_alone(items: Harness) -> None:
    by_hand(items, "ALTER TABLE analytics.items ADD COLUMN note text")
    by_hand(items, "ALTER TABLE analytics.items ADD COLUMN stars integer DEFAULT 5")
    by_hand(items, "UPDATE analytics.items SET note = 'mine', stars = 1")
    deliver(items, put("b", 2, v="y"))
    assert items.query("SELECT pk, note, stars FROM analytics.items ORDER BY pk") == [("a", "mine", 1), ("b", None, 5)]


def test_a_column_that_people_add_and_that_must_have_a_value_stops_the_source(items: Harness) -> None:
    by_hand(items, "ALTER TABLE analytics.items ADD COLUMN note text")
    by_hand(items, "UPDATE analytics.items SET note = 'mine'")
    by_hand(items, "ALTER TABLE analytics.items ALTER COLUMN note SET NOT NULL")
    items.put_records([put("b", 2, v="y")])
    with pytest.raises(SchemaConflict, match=r"target items\.note") as stopped:
        items.run()
    by_hand(items, str(stopped.value.hint).partition(";")[0])
    assert items.run().counts.applied == 1


def test_a_new_attribute_takes_another_name_where_people_have_its_column(items: Harness) -> None:
    by_hand(items, "ALTER TABLE analytics.items ADD COLUMN note integer")
    by_hand(items, "UPDATE analytics.items SET note = 1")
    deliver(items, put("b", 2, v="y", Note="theirs"))
    assert items.query("SELECT pk, note FROM analytics.items ORDER BY pk") == [("a", 1), ("b", None)]
    assert items.tables()["items"][("b",)].item == {"PK": "b", "v": "y", "Note": "theirs"}
    deliver(items, put("c", 3, Note="again"))
    assert items.tables()["items"][("c",)].item == {"PK": "c", "Note": "again"}


# --- numbers that no warehouse holds -------------------------------------------------------------------


@pytest.mark.parametrize("number", ["1E200000", "1E-20000", "-1.5e+401"])
def test_a_number_beyond_all_use_inside_a_map_is_rescued(items: Harness, number: str) -> None:
    record = put("b", 2, v="y", m={"n": 1}, l=[1])
    image = record["dynamodb"]["NewImage"]
    image["m"], image["l"] = {"M": {"n": {"N": number}}}, {"L": [{"N": number}]}
    assert deliver(items, put("c", 2, m={"n": 1}, l=[1]), record).applied == 2
    rows = items.query(
        "SELECT pk, m IS NULL, l IS NULL, CAST(_cdc_rescued AS text) FROM analytics.items WHERE pk <> 'a'"
    )
    assert {r[0]: r[1:3] for r in rows} == {"b": (True, True), "c": (False, False)}
    assert [number in r[3] for r in rows if r[0] == "b"] == [True]


def test_check_names_a_column_that_was_altered(warehouse_url: str, tmp_path: Path) -> None:
    columns = (Column("n", ("n",), ColumnType(Kind.NUMERIC, 12, 2)),)
    source = Source("shop", "", ("PK",), (Target("items", columns=columns),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    harness.put_records([stream_record({"PK": "a"}, {"n": Decimal("2.5")}, sequence=1, at=None)])
    harness.run()
    warehouse = harness.open()
    try:
        layout = layout_of(harness.settings, warehouse)
        assert not any(f.is_problem for f in check(harness.settings, warehouse, layout, config=Path("cdc-merge.yaml")))
        with warehouse.session() as session:
            session.run([Statement("alter", "ALTER TABLE analytics.items ALTER COLUMN n TYPE integer")])
        problems = [
            f for f in check(harness.settings, warehouse, layout, config=Path("cdc-merge.yaml")) if f.is_problem
        ]
    finally:
        warehouse.close()
    assert len(problems) == 1
    assert problems[0].subject == "target items"
    assert "items.n" in problems[0].message
    assert "ALTER" in (problems[0].cure or "")
