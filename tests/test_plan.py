"""What plan tells: how configuration and tables differ, what brings it about, what waits, and views of documents."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cdc_merge.backlog import count_waiting
from cdc_merge.cli import cli
from cdc_merge.errors import SchemaConflict
from cdc_merge.layout import layout_of
from cdc_merge.model import Column, ColumnType, Condition, Deletes, Evolve, Kind, Mask, Source, Target, Template
from cdc_merge.planning.preview import Preview
from cdc_merge.planning.reader import PlanReader
from cdc_merge.planning.typed_view import attributes_of_types
from cdc_merge.schema.opening import DifferenceKind
from cdc_merge.warehouses import Statement
from tests.support.commands import Command, command_of
from tests.support.harness import Harness
from tests.support.records import stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TEXT, INTEGER = ColumnType(Kind.TEXT), ColumnType(Kind.INTEGER)
COLUMNS = (
    Column("name", ("Name",), TEXT),
    Column("age", ("Age",), INTEGER),
    Column("order_id", ("Ref",), TEXT, template=Template(("ORDER#", ""), 0)),
    Column("email", ("Email",), mask=Mask.HASH),
    Column("note", ("Note",), TEXT),
)
ITEMS = Target("items", evolve=Evolve.FREEZE, columns=COLUMNS)
REBUILD = "cdc-merge reconcile --rebuild"


def put(key: str, sequence: int, **attributes: Any) -> dict[str, Any]:
    keys = {"PK": key}
    return stream_record(keys, {**keys, **attributes}, sequence=sequence, at=T0 + timedelta(seconds=sequence))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    """A table `items` with one row."""
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (ITEMS,)), tmp_path / "feed")
    harness.put_records([put("a", 1, Name="Ada", Age=1, Note="x")])
    harness.run()
    return harness


@pytest.fixture
def documents(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, Source("shop", "", ("PK",), (Target("items", is_document=True),)), tmp_path / "feed")


def plan(harness: Harness) -> Preview:
    warehouse = harness.open()
    try:
        with warehouse.session() as session:
            reader = PlanReader(warehouse, layout_of(harness.settings, warehouse), ())
            return reader.read(session, harness.source, with_views=True)
    finally:
        warehouse.close()


def by_hand(harness: Harness, *statements: str) -> None:
    warehouse = harness.open()
    try:
        with warehouse.session() as session:
            session.run([Statement("by hand", sql) for sql in statements])
    finally:
        warehouse.close()


def configure(harness: Harness, *targets: Target) -> None:
    harness.source = replace(harness.source, targets=targets)


def with_column(name: str, **changes: Any) -> Target:
    return replace(ITEMS, columns=tuple(replace(c, **changes) if c.name == name else c for c in COLUMNS))


def found(harness: Harness) -> list[tuple[str, str, str | None, bool]]:
    return [(d.where, str(d.change), d.command, d.stops) for d in plan(harness).differences]


# --- what differs ----------------------------------------------------------------------------------------


def test_where_nothing_differs_nothing_is_said(shop: Harness) -> None:
    seen = plan(shop)
    assert (seen.differences, seen.ddl, seen.unknown) == ((), (), ())
    assert seen.merge
    assert "as the configuration asks" in seen.as_text(with_sql=False)


def test_new_tables_and_columns_come_with_the_next_batch(shop: Harness) -> None:
    more = (*COLUMNS, Column("seen", ("Seen",), INTEGER), Column("any", ("Any",)))
    configure(shop, replace(ITEMS, columns=more), Target("others"))
    assert found(shop) == [
        ("items.seen", "new column", "cdc-merge run", False),
        ("items.any", "new column", "cdc-merge run", False),
        ("others", "new table", "cdc-merge run", False),
    ]
    assert [s.label for s in plan(shop).ddl] == ["add items.seen", "create others"]
    shop.put_records([put("b", 2, Any=1)])
    shop.run()
    assert found(shop) == []


def test_what_new_attributes_do_beside_configured_columns_is_told(shop: Harness) -> None:
    configure(shop, replace(ITEMS, evolve=Evolve.FAIL))
    assert [told.startswith("items: an attribute without a column stops") for told in plan(shop).unknown] == [True]
    configure(shop, replace(ITEMS, evolve=Evolve.ADD), Target("others"))
    assert plan(shop).unknown == (
        "items: every attribute that no column has becomes a column as it is first seen",
        "others: every attribute becomes a column as it is first seen",
    )


def test_a_document_is_told_as_the_whole_item(shop: Harness) -> None:
    configure(shop, Target("items", is_document=True))
    told = {d.where: d.message for d in plan(shop).differences}
    assert told["items.document"] == "it is to hold the whole item"


def test_a_target_that_becomes_soft_gets_the_column_for_it(shop: Harness) -> None:
    configure(shop, replace(ITEMS, deletes=Deletes.SOFT))
    assert found(shop) == [("items._cdc_deleted_at", "new column", "cdc-merge run", False)]
    assert [s.label for s in plan(shop).ddl] == ["add items._cdc_deleted_at"]
    shop.put_records([put("b", 2)])
    shop.run()
    assert found(shop) == []


def test_a_column_that_the_configuration_drops_or_renames_stays_until_a_rebuild(shop: Harness) -> None:
    kept = tuple(replace(c, name="full_name") if c.name == "name" else c for c in COLUMNS if c.name != "note")
    configure(shop, replace(ITEMS, columns=kept))
    assert found(shop) == [
        ("items.full_name", "renamed", REBUILD, False),
        ("items.note", "no longer configured", REBUILD, False),
    ]
    shop.put_records([put("b", 2, Name="Bob", Note="y")])
    shop.run()
    assert shop.query("SELECT name, full_name, note FROM analytics.items WHERE pk = 'b'") == [("Bob", "Bob", "y")]
    assert [where for where, *_ in found(shop)] == ["items.name", "items.note"]


def test_columns_that_new_attributes_added_are_not_missed(shop: Harness) -> None:
    evolving = replace(ITEMS, evolve=Evolve.ADD)
    configure(shop, evolving)
    shop.put_records([put("b", 2, HTTPServer="x", Tags={"a"})])
    shop.run()
    assert found(shop) == []
    # Named later, under another name, it is in two columns.
    configure(shop, replace(evolving, columns=(*COLUMNS, Column("server", ("HTTPServer",), TEXT))))
    assert found(shop) == [("items.server", "renamed", REBUILD, False)]
    configure(shop, replace(evolving, columns=(Column("name", ("Name",), TEXT),)))
    assert {where for where, *_ in found(shop)} == {"items.age", "items.order_id", "items.email"}


@pytest.mark.parametrize(
    ("target", "where", "change"),
    [
        (with_column("age", type=TEXT), "items.age", "type"),
        (with_column("age", type=ColumnType(Kind.NUMERIC, 5, 2)), "items.age", "type"),
        (with_column("name", path=("FullName",)), "items.name", "from"),
        (with_column("order_id", template=Template(("O#", ""), 0)), "items.order_id", "match"),
        (with_column("email", mask=Mask.REDACT), "items.email", "mask"),
        (replace(ITEMS, each=("Lines",)), "items", "each"),
        (replace(ITEMS, columns=(*COLUMNS, Column("id", ("PK",)))), "items.pk", "key column"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_only_a_rebuild_changes_stops_the_source(shop: Harness, target: Target, where: str, change: str) -> None:
    configure(shop, target)
    assert found(shop) == [(where, change, REBUILD, True)]
    seen = plan(shop)
    assert (seen.is_stopped, seen.ddl, seen.merge) == (True, (), ())
    shop.put_records([put("b", 2)])
    with pytest.raises(SchemaConflict, match=f"target {where}") as stopped:
        shop.run()
    assert REBUILD in str(stopped.value.hint)


def test_a_new_name_that_differs_by_capitals_alone_stops_where_they_tell_no_names_apart(shop: Harness) -> None:
    renamed = tuple(replace(c, name="Name") if c.name == "name" else c for c in COLUMNS)
    configure(shop, replace(ITEMS, columns=renamed))
    stops = shop.url.startswith("duckdb")
    assert found(shop) == [("items.Name", "renamed", REBUILD, stops)]
    shop.put_records([put("b", 2, Name="Bob")])
    if stops:
        with pytest.raises(SchemaConflict, match=r"target items\.Name: there is a column name already") as stopped:
            shop.run()
        assert REBUILD in str(stopped.value.hint)
    else:
        shop.run()
        assert shop.query("SELECT name, \"Name\" FROM analytics.items WHERE pk = 'b'") == [("Bob", "Bob")]


def test_a_table_whose_name_differs_by_capitals_alone_stops_where_they_tell_no_names_apart(shop: Harness) -> None:
    configure(shop, replace(ITEMS, table="Items"))
    stops = shop.url.startswith("duckdb")
    told = ("Items", "renamed", None, True) if stops else ("Items", "new table", "cdc-merge run", False)
    assert found(shop) == [told, ("items", "no longer configured", None, False)]
    shop.put_records([put("b", 2, Name="Bob")])
    if stops:
        with pytest.raises(SchemaConflict, match="target Items: there is a table items already"):
            shop.run()
    else:
        shop.run()
        assert shop.query('SELECT pk FROM analytics."Items"') == [("b",)]


def test_a_column_that_was_renamed_by_capitals_is_the_same_where_they_tell_no_names_apart(shop: Harness) -> None:
    by_hand(shop, 'ALTER TABLE analytics.items RENAME COLUMN name TO "Name"')
    if shop.url.startswith("duckdb"):
        assert found(shop) == []
        shop.put_records([put("b", 2, Name="Bob")])
        shop.run()
        assert shop.query("SELECT name FROM analytics.items WHERE pk = 'b'") == [("Bob",)]
    else:
        assert ("items.name", "altered by hand", REBUILD, True) in found(shop)


def test_the_cure_for_a_mask_does_not_leave_the_column_in_the_clear(shop: Harness) -> None:
    configure(shop, with_column("name", mask=Mask.HASH, type=None))
    (difference,) = plan(shop).differences
    assert difference.change == "mask" and REBUILD in difference.cure and "new name" not in difference.cure


def test_another_key_is_not_cured_by_a_rebuild(shop: Harness) -> None:
    shop.source = replace(shop.source, key=("ID",))
    assert found(shop) == [("items", "key", None, True)]


def test_all_differences_are_told_at_once(shop: Harness) -> None:
    other = Target("others", where=(Condition(("Type",), any_of=("Other",)),))
    configure(shop, ITEMS, other)
    shop.put_records([put("b", 2, Type="Other", V=1)])
    shop.run()
    by_hand(
        shop,
        "ALTER TABLE analytics.items DROP COLUMN name",
        "ALTER TABLE analytics.items ALTER COLUMN age TYPE text",
        "ALTER TABLE analytics.items ADD COLUMN mine text",
        "DROP TABLE analytics.others",
    )
    columns = tuple(replace(c, mask=None) if c.name == "email" else c for c in COLUMNS)
    configure(shop, replace(ITEMS, columns=(*columns, Column("mine", ("Mine",), TEXT))), other, Target("third"))
    assert found(shop) == [
        ("items.name", "altered by hand", REBUILD, True),
        ("items.age", "altered by hand", REBUILD, True),
        ("items.email", "mask", REBUILD, True),
        ("items.mine", "name taken", REBUILD, True),
        ("others", "altered by hand", REBUILD, True),
        ("third", "new table", "cdc-merge run", False),
    ]
    text = plan(shop).as_text(with_sql=True)
    assert (
        "STOPPED: nothing is merged until what is marked with ! is mended; as nothing waits, a run has nothing" in text
    )
    assert "as the source has no `exports`, add them, or say --export PLACE or --scan" in text
    assert "! items.email: mask: its mask is hash, is to be none" in text
    assert all(line.startswith("--") for line in text.splitlines())


def test_columns_of_peoples_own_are_told_and_left_alone(shop: Harness) -> None:
    by_hand(shop, "ALTER TABLE analytics.items ADD COLUMN mine text")
    assert found(shop) == [("items.mine", "altered by hand", None, False)]


def test_a_table_that_no_target_has_any_more_is_told(shop: Harness) -> None:
    configure(shop, Target("others"))
    assert found(shop) == [
        ("others", "new table", "cdc-merge run", False),
        ("items", "no longer configured", None, False),
    ]
    by_hand(shop, "ALTER TABLE analytics.items DROP COLUMN _cdc_position")
    assert ("items._cdc_position", "altered by hand", None, True) in found(shop)


# --- what waits ------------------------------------------------------------------------------------------


def test_what_waits_is_counted_as_far_as_that_is_cheap(shop: Harness) -> None:
    assert plan(shop).waiting is not None
    assert (plan(shop).waiting.objects, plan(shop).waiting.is_all) == (0, True)  # type: ignore[union-attr]
    shop.put_records([put("b", 2)])
    shop.put_records([put("c", 3)])
    assert "2 objects" in plan(shop).as_text(with_sql=False)
    few = count_waiting(shop.source, lambda _store, _refs: set(), most_pages=0)
    assert (few.objects, few.is_all, few.trouble) == (0, False, None)


def test_a_feed_that_cannot_be_listed_keeps_nothing_else_back(shop: Harness) -> None:
    shop.source = replace(shop.source, changes="file:///nowhere/at/all")
    seen = plan(shop)
    assert seen.waiting is not None
    assert seen.waiting.trouble
    assert seen.merge


# --- views of documents ----------------------------------------------------------------------------------


def test_the_view_of_documents_gives_typed_columns(documents: Harness) -> None:
    documents.put_records(
        [
            put("a", 1, Name="Ada", Price=Decimal("1.25"), Paid=True, Tags=["x"], Mixed=1, Odd="7", Gone=None),
            put("b", 2, **{"Name": "it's", "Mixed": "two", "a/b~c \"d'": "x", "Big": 10**19}),
        ]
    )
    documents.run()
    (view,) = plan(documents).views
    assert view.label == "view items_typed"
    by_hand(documents, view.sql)
    rows = documents.query("SELECT pk, name, price, paid, odd, a_b_c_d, big FROM analytics.items_typed ORDER BY pk")
    assert rows == [
        ("a", "Ada", Decimal("1.25"), True, "7", None, None),
        ("b", "it's", None, None, None, "x", Decimal(10**19)),
    ]
    assert documents.query("SELECT min(_cdc_changed_at) FROM analytics.items_typed") == [(T0 + timedelta(seconds=1),)]
    texts = documents.query("SELECT CAST(tags AS text), CAST(mixed AS text) FROM analytics.items_typed ORDER BY pk")
    assert [tuple(json.loads(v) if v else None for v in row) for row in texts] == [(["x"], 1), (None, "two")]
    columns = documents.query(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'items_typed' ORDER BY ordinal_position"
    )
    assert "gone" not in {c for (c,) in columns}
    assert columns[0] == ("pk",)


def test_the_view_of_documents_that_outlive_their_items_says_when_they_went(documents: Harness) -> None:
    configure(documents, replace(documents.source.targets[0], deletes=Deletes.SOFT))
    documents.put_records([put("a", 1, Name="Ada"), stream_record({"PK": "a"}, None, sequence=2, at=T0)])
    documents.run()
    (view,) = plan(documents).views
    by_hand(documents, view.sql)
    assert documents.query("SELECT name, _cdc_deleted_at FROM analytics.items_typed") == [("Ada", T0)]


def test_a_value_of_another_type_is_null_in_the_view(documents: Harness) -> None:
    documents.put_records([put("a", 1, Price=1, Paid=True, Name="Ada")])
    documents.run()
    by_hand(documents, plan(documents).views[0].sql)
    documents.put_records([put("b", 2, Price="2", Paid="true", Name=7)])
    documents.run()
    assert documents.query("SELECT pk, price, paid, name FROM analytics.items_typed ORDER BY pk") == [
        ("a", Decimal(1), True, "Ada"),
        ("b", None, None, None),
    ]


def test_of_two_numbers_of_one_name_that_are_nearly_the_same_the_view_takes_neither_for_the_other(
    documents: Harness,
) -> None:
    near = [
        ("12345678901234567.89", "12345678901234567.91"),
        ("0.12345678901234568", "0.12345678901234567890"),
    ]
    same = Decimal("0.5")
    pairs = [*((Decimal(old), Decimal(new)) for old, new in near), (same, same)]
    documents.put_records([put(str(n), n, Old={"Amount": old}, Amount=new) for n, (old, new) in enumerate(pairs)])
    documents.run()
    by_hand(documents, plan(documents).views[0].sql)
    amounts = [amount for (amount,) in documents.query("SELECT amount FROM analytics.items_typed ORDER BY pk")]
    is_any = documents.url.startswith("postgres")
    assert amounts == [*(new if is_any else None for _, new in pairs[:-1]), same]


def test_a_number_is_exact_in_the_view_or_null_where_the_engine_cannot_hold_it(documents: Harness) -> None:
    held = [
        "7",
        "-0.25",
        "0.1",
        "99999999999999999999",
        "12345678901234567.123456789012345678",
        "-18446744073709551617",
    ]
    too_much = ["12345678901234567890123456789012345678", "0.1234567890123456789", "1E-120", "1E+30"]
    too_much.append("0.9999999999999999999999999999")  # as a double it is 1
    attribute = 'V "(a.b'  # and something deeper of that name does not count
    documents.put_records(
        [
            put(f"{i:02}", i + 1, M={attribute: Decimal("1.5")}, **{attribute: Decimal(number)}, Z=1)
            for i, number in enumerate([*held, *too_much])
        ]
    )
    documents.run()
    by_hand(documents, plan(documents).views[0].sql)
    seen = [v for (v,) in documents.query("SELECT v_a_b FROM analytics.items_typed ORDER BY pk")]
    is_any = documents.url.startswith("postgres")
    assert seen == [*map(Decimal, held), *(Decimal(n) if is_any else None for n in too_much)]


def test_where_no_document_is_known_the_view_is_a_template(documents: Harness) -> None:
    documents.put_records([put("a", 1, Type="Other")])
    documents.source = replace(
        documents.source, targets=(Target("items", where=(Condition(("Type",), any_of=("x",)),), is_document=True),)
    )
    documents.run()
    (view,) = plan(documents).views
    assert "'Attribute'" in view.sql or "'/Attribute'" in view.sql
    by_hand(documents, view.sql)
    assert documents.query("SELECT * FROM analytics.items_typed") == []


def test_the_view_of_elements_has_their_place(documents: Harness) -> None:
    lines = Target("items", each=("Lines",), is_document=True)
    configure(documents, lines)
    documents.put_records([put("a", 1, Lines=[{"Sku": "x", "PK": "own"}, "scalar"])])
    documents.run()
    by_hand(documents, plan(documents).views[0].sql)
    rows = documents.query("SELECT _cdc_index, sku FROM analytics.items_typed ORDER BY _cdc_index")
    assert rows == [(0, "x"), (1, None)]


def test_a_target_with_columns_has_no_view(shop: Harness) -> None:
    assert plan(shop).views == ()


def test_attributes_of_several_types_are_json() -> None:
    types = [("a", "VARCHAR"), ("a", "NULL"), ("b", "DOUBLE"), ("b", "UBIGINT"), ("c", "string"), ("c", "number")]
    assert attributes_of_types([*types, ("d", "null"), ("e", "object")]) == {
        "a": Kind.TEXT,
        "b": Kind.NUMERIC,
        "c": Kind.JSON,
        "e": Kind.JSON,
    }


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def command(shop: Harness) -> Command:
    return command_of(shop, "table: items, columns: {name: Name, age: {from: Age, type: text}}")


def test_the_command_lists_what_stops_a_source_and_exits_0(command: Command) -> None:
    text = command("plan", "--sql").stdout
    assert "! items.age: type: it is integer, is to be text" in text
    (source,) = command.json("plan")["sources"]
    assert source["stopped"] is True
    assert source["waiting"] == {"objects": 0, "bytes": 0, "is_all": True, "trouble": None}
    assert [(d["target"], d["column"], d["change"], d["command"], d["stops"]) for d in source["differences"]] == [
        ("items", "age", "type", REBUILD, True),
        ("items", "order_id", "no longer configured", REBUILD, False),
        ("items", "email", "no longer configured", REBUILD, False),
        ("items", "note", "no longer configured", REBUILD, False),
    ]


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "redshift", "snowflake"])
def test_the_sql_for_an_engine_is_printed_without_a_connection(tmp_path: Path, dialect: str) -> None:
    config = tmp_path / "cdc-merge.yaml"
    config.write_text(
        "warehouse: postgresql://nobody@127.0.0.1:1/none\nsources:\n  - {name: shop, changes: feed, key: [PK]}\n"
    )
    done = CliRunner().invoke(cli, ["plan", "--sql", "--dialect", dialect, "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "CREATE TABLE" in done.output and ("DISTKEY" in done.output) == (dialect == "redshift")
    assert ("TIMESTAMP_TZ" in done.output) == (dialect == "snowflake")


def test_names_that_an_engine_does_not_take_are_refused_for_it_alone(tmp_path: Path) -> None:
    config = tmp_path / "cdc-merge.yaml"
    config.write_text(
        "warehouse: postgresql://nobody@127.0.0.1:1/none\n"
        "sources:\n  - {name: shop, changes: feed, key: [PK], targets: [{table: Items}]}\n"
    )
    done = [
        CliRunner().invoke(cli, ["plan", "--dialect", d, "--config", str(config)]) for d in ("postgres", "redshift")
    ]
    assert [d.exit_code for d in done] == [0, 2]
    assert "write items" in done[1].output and f"{config}:3" in done[1].output


def test_a_table_that_has_no_room_for_more_columns_is_named_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Harness(
        f"duckdb:///{tmp_path}/warehouse.duckdb", Source("shop", "", ("PK",), (Target("t"),)), tmp_path / "f"
    )
    many = {f"a{i:04}": "x" for i in range(1_002)}
    shop.put_records([put("1", 1, **many)])
    shop.run()

    assert "no_room_for_columns" in caplog.text and "a1000" in caplog.text
    ((rescued,),) = shop.query(f"SELECT _cdc_rescued FROM {shop.schema}.t")
    assert json.loads(rescued) == {"a1000": {"S": "x"}, "a1001": {"S": "x"}}
    (difference,) = plan(shop).differences
    assert difference.change is DifferenceKind.FULL and "1,000 columns" in difference.message
    assert difference.command is None and not difference.stops
