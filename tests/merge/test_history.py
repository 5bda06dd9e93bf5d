"""Histories: every change a target takes is a version, valid until the next change of its item, on every engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import SchemaConflict
from cdc_merge.explain import explain
from cdc_merge.layout import layout_of
from cdc_merge.ledger import Ledger
from cdc_merge.migrate import Migrator
from cdc_merge.model import (
    Column,
    ColumnType,
    Condition,
    Deletes,
    Evolve,
    Expired,
    Kind,
    Mask,
    ReconcilePolicy,
    Source,
    Target,
)
from cdc_merge.planning.preview import Preview, preview
from tests.support.forgetting import all_that_is_kept, forget
from tests.support.harness import Harness
from tests.support.merging import by_hand
from tests.support.reconciling import AS_OF, FLOOR, Export, export, reconcile  # noqa: F401
from tests.support.records import TTL_IDENTITY, Record, stream_record, to_item

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),), has_history=True)
LEADS = Target("leads", where=(Condition(("Type",), any_of=("Lead",)),))
SOURCE = Source("shop", "", ("PK",), (CUSTOMERS, LEADS), reconcile=ReconcilePolicy(max_delete=1.0))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, SOURCE, tmp_path / "feed")


@pytest.fixture
def local(tmp_path: Path) -> Harness:
    """On DuckDB only, for what is the same on every engine."""
    return Harness(f"duckdb:///{tmp_path}/warehouse.duckdb", SOURCE, tmp_path / "feed")


def put(key: str, sequence: int, *, at: datetime | None = None, kind: str = "Customer", **attributes: Any) -> Record:
    when = at or T0 + timedelta(seconds=sequence)
    return stream_record({"PK": key}, {"PK": key, "Type": kind, **attributes}, sequence=sequence, at=when)


def remove(key: str, sequence: int, *, at: datetime | None = None) -> Record:
    return stream_record({"PK": key}, None, sequence=sequence, at=at or T0 + timedelta(seconds=sequence))


def deliver(harness: Harness, *records: Mapping[str, Any]) -> None:
    harness.put_records(records)
    harness.run()


def story(harness: Harness, key: str = "a", table: str = "customers") -> list[tuple[Any, ...]]:
    """(operation, second it is valid from, and to, name) of an item's history."""
    rows = harness.query(
        "SELECT _cdc_operation, _cdc_valid_from, _cdc_valid_to, name "
        f"FROM {harness.schema}.{table}_history WHERE pk = '{key}' ORDER BY _cdc_valid_from, _cdc_position"
    )
    return [(operation, second(start), second(end), name) for operation, start, end, name in rows]


def second(moment: datetime | None) -> int | None:
    return None if moment is None else round((moment - T0).total_seconds())


def test_each_change_is_a_version_also_those_that_one_batch_has_together(shop: Harness) -> None:
    deliver(shop, put("a", 1, Name="one"), put("a", 3, Name="three"), put("a", 2, Name="two"), put("b", 1, Name="x"))

    assert story(shop) == [("upsert", 1, 2, "one"), ("upsert", 2, 3, "two"), ("upsert", 3, None, "three")]
    assert story(shop, "b") == [("upsert", 1, None, "x")]


def test_a_remove_and_a_move_to_another_target_end_a_version(shop: Harness) -> None:
    deliver(shop, put("a", 1, Name="one"), remove("a", 5), put("b", 1, Name="x"), put("b", 4, kind="Lead", Name="y"))
    deliver(shop, remove("b", 6), put("a", 9, Name="again"))

    assert story(shop) == [("upsert", 1, 5, "one"), ("delete", 5, 9, None), ("upsert", 9, None, "again")]
    assert story(shop, "b") == [("upsert", 1, 4, "x"), ("delete", 4, None, None)]


def test_late_changes_are_placed_where_they_belong(shop: Harness) -> None:
    deliver(shop, put("a", 1, Name="one"), remove("a", 9))
    deliver(shop, put("a", 5, Name="late"))
    deliver(shop, remove("a", 3), put("a", 7, kind="Lead"))

    assert story(shop) == [
        ("upsert", 1, 3, "one"),
        ("delete", 3, 5, None),
        ("upsert", 5, 7, "late"),
        ("delete", 7, None, None),
    ]
    assert shop.tables()["customers"] == {}


def timeless(record: Record) -> Record:
    del record["dynamodb"]["ApproximateCreationDateTime"]
    return record


def test_a_change_without_a_time_ends_a_version_at_the_time_of_the_one_before(shop: Harness) -> None:
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, deletes=Deletes.SOFT), LEADS))
    deliver(shop, put("a", 1, Name="one"))
    deliver(shop, timeless(remove("a", 5)))
    marked = f"SELECT name, _cdc_deleted_at = _cdc_merged_at FROM {shop.schema}.customers"
    assert shop.query(marked) == [("one", True)]
    assert set(story(shop)) == {("upsert", 1, 1, "one"), ("delete", 1, None, None)}

    deliver(shop, put("a", 3, Name="late"), timeless(put("a", 2, Name="two")))
    assert shop.query(marked) == [("late", True)]
    told = {("upsert", 1, 1, "one"), ("upsert", 1, 3, "two"), ("upsert", 3, 3, "late"), ("delete", 3, None, None)}
    assert set(story(shop)) == told

    before = shop.query(f"SELECT * FROM {shop.schema}.customers_history ORDER BY _cdc_position")
    deliver(shop, timeless(remove("a", 5)), timeless(put("a", 2, Name="two")))
    assert shop.query(f"SELECT * FROM {shop.schema}.customers_history ORDER BY _cdc_position") == before
    deliver(shop, put("a", 9, Name="again"))
    assert shop.query(marked) == [("again", None)]
    assert set(story(shop)) == told - {("delete", 3, None, None)} | {
        ("delete", 3, 9, None),
        ("upsert", 9, None, "again"),
    }


def test_a_replay_changes_nothing(shop: Harness) -> None:
    records = [put("a", 1, Name="one"), put("a", 2, Name="two"), remove("a", 3)]
    deliver(shop, *records)
    before = shop.query(f"SELECT * FROM {shop.schema}.customers_history ORDER BY _cdc_position")
    deliver(shop, *reversed(records), records[1])

    assert shop.query(f"SELECT * FROM {shop.schema}.customers_history ORDER BY _cdc_position") == before
    assert len(shop.query(f"SELECT * FROM {shop.metadata}.history_events")) == 3


def test_a_change_that_a_batch_has_twice_is_one_version(shop: Harness) -> None:
    twice = [put("a", 1, Name="one"), put("a", 2, Name="two"), remove("a", 3)]
    shop.put_records([*twice, twice[0]])
    shop.put_records(twice)
    shop.run()

    assert story(shop) == [("upsert", 1, 2, "one"), ("upsert", 2, 3, "two"), ("delete", 3, None, None)]
    assert len(shop.query(f"SELECT * FROM {shop.metadata}.history_events")) == 3


def test_the_books_do_not_count_what_only_the_history_takes(shop: Harness) -> None:
    shop.put_records([put("a", 1, Name="one"), put("a", 2, Name="two"), put("a", 2, Name="two")])
    counts = shop.run().counts

    assert (counts.records, counts.applied, counts.superseded) == (3, 1, 2)
    assert counts.targets["customers"] == {"inserted": 1, "updated": 0, "deleted": 0}


def test_only_the_history_that_is_asked_for_is_kept(shop: Harness) -> None:
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, has_history=False), LEADS))
    deliver(shop, put("a", 1, Name="one"), put("a", 2, kind="Lead"))

    assert shop.query(f"SELECT * FROM {shop.metadata}.history_events") == []
    assert not shop.columns("customers_history")


def test_no_event_is_kept_of_a_key_that_no_target_with_a_history_could_take(shop: Harness) -> None:
    keyed = replace(CUSTOMERS, where=(Condition(("PK",), prefix="C#"), *CUSTOMERS.where))
    shop.source = replace(shop.source, targets=(keyed, LEADS))
    deliver(shop, put("C#1", 1, Name="one"), put("C#2", 2, kind="Lead"), put("O#1", 3, kind="Lead"), remove("O#1", 4))

    kept = shop.query(f"SELECT partition_key FROM {shop.metadata}.history_events ORDER BY partition_key")
    assert kept == [("C#1",), ("C#2",)]


def test_what_has_a_key_that_the_engine_cannot_hold_is_in_no_history(postgres_url: str, tmp_path: Path) -> None:
    shop = Harness(postgres_url, SOURCE, tmp_path / "feed")
    shop.put_records([put("a\x00b", 1, Name="lost"), put("a\x00b", 2, Name="too"), put("a", 3, Name="one")])
    assert shop.run().counts.quarantined == 2

    assert story(shop) == [("upsert", 3, None, "one")]
    assert shop.query(f"SELECT partition_key FROM {shop.metadata}.history_events") == [("a",)]


def test_a_history_that_is_asked_for_later_is_filled_by_a_replay(shop: Harness) -> None:
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, has_history=False), LEADS))
    records = [put("a", 1, Name="one"), put("a", 2, Name="two")]
    deliver(shop, *records)
    shop.source = replace(shop.source, targets=(CUSTOMERS, LEADS))
    deliver(shop, *records)
    assert story(shop) == [("upsert", 1, 2, "one"), ("upsert", 2, None, "two")]

    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, has_history=False), LEADS))
    deliver(shop, put("a", 3, Name="three", City="Bonn"))
    shop.source = replace(shop.source, targets=(CUSTOMERS, LEADS))
    deliver(shop, put("a", 3, Name="three", City="Bonn"))
    assert story(shop)[-1] == ("upsert", 3, None, "three")
    assert shop.query(f"SELECT city FROM {shop.schema}.customers_history WHERE name = 'three'") == [("Bonn",)]


def test_new_attributes_are_columns_of_table_and_history(shop: Harness) -> None:
    deliver(shop, put("a", 1, Name="one"))
    deliver(shop, put("a", 2, Name="two", Old=7), put("a", 3, Name="three", New=True))

    old, new = shop.dialect.quote("old"), shop.dialect.quote("new")  # words of Redshift's
    history = f"{shop.schema}.customers_history"
    rows = shop.query(f"SELECT CAST({old} AS integer), {new} FROM {history} ORDER BY _cdc_position")
    assert rows == [(None, None), (7, None), (None, True)]
    assert shop.query(f"SELECT {old}, {new} FROM {shop.schema}.customers") == [(None, True)]


def test_masks_hold_in_the_history_and_what_does_not_fit_is_rescued(shop: Harness) -> None:
    columns = (Column("name", ("Name",), mask=Mask.REDACT), Column("age", ("Age",), ColumnType(Kind.INTEGER)))
    target = replace(CUSTOMERS, columns=columns, evolve=Evolve.FREEZE)
    shop.source = replace(shop.source, targets=(target,))
    deliver(shop, put("a", 1, Name="secret", Age="old"), put("a", 2, Name="secret", Age=3))

    rows = shop.query(f"SELECT name, age, {shop.rescued} FROM {shop.schema}.customers_history ORDER BY _cdc_position")
    assert rows == [("redacted", None, '{"Age":{"S":"old"}}'), ("redacted", 3, None)]
    assert "secret" not in all_that_is_kept(shop)


def test_a_history_of_documents_has_every_image_whole(shop: Harness) -> None:
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, is_document=True, evolve=Evolve.FREEZE),))
    deliver(shop, put("a", 1, Name="one"), put("a", 2, Name="two"))

    rows = shop.query(
        f"SELECT {shop.json_text('document')} FROM {shop.schema}.customers_history ORDER BY _cdc_position"
    )
    assert ["one" in rows[0][0], "two" in rows[1][0], len(rows)] == [True, True, 2]


def test_a_change_that_cannot_be_used_is_no_part_of_the_history(shop: Harness) -> None:
    broken = put("a", 2, Name="two")
    del broken["dynamodb"]["NewImage"]
    deliver(shop, put("a", 1, Name="one"), broken, put("a", 3, Name="three"))

    assert story(shop) == [("upsert", 1, 3, "one"), ("upsert", 3, None, "three")]


def test_what_a_reconcile_repairs_is_a_version_as_of_the_floor(shop: Harness, export: Export) -> None:  # noqa: F811
    deliver(shop, put("a", 1, Name="one"), put("extra", 1, Name="lost"), put("same", 1, Name="same"))
    folder = export(
        [
            to_item({"PK": key, "Type": "Customer", "Name": name})
            for key, name in [("a", "repaired"), ("missing", "found"), ("same", "same")]
        ]
    )
    reconcile(shop, folder)
    floor, later = second(FLOOR), AS_OF + timedelta(hours=1)

    assert story(shop) == [("upsert", 1, floor, "one"), ("reconcile", floor, None, "repaired")]
    assert story(shop, "missing") == [("reconcile", floor, None, "found")]
    assert story(shop, "extra") == [("upsert", 1, floor, "lost"), ("delete", floor, None, None)]
    assert story(shop, "same") == [("upsert", 1, None, "same")]

    deliver(shop, put("a", 3, Name="late"), put("a", 9, at=later, Name="after"), remove("missing", 9, at=later))
    after = second(later)
    assert story(shop) == [
        ("upsert", 1, 3, "one"),
        ("upsert", 3, floor, "late"),
        ("reconcile", floor, after, "repaired"),
        ("upsert", after, None, "after"),
    ]
    assert story(shop, "missing") == [("reconcile", floor, after, "found"), ("delete", after, None, None)]


def test_a_repair_comes_after_the_changes_of_its_very_time(shop: Harness, export: Export) -> None:  # noqa: F811
    deliver(shop, put("a", 1, at=FLOOR, Name="one"))
    reconcile(shop, export([to_item({"PK": "a", "Type": "Customer", "Name": "repaired"})]))
    deliver(shop, put("a", 2, at=FLOOR, Name="late"))
    floor = second(FLOOR)
    rows = shop.query(f"SELECT name, _cdc_valid_to FROM {shop.schema}.customers_history ORDER BY _cdc_valid_to, name")
    assert [(name, second(end)) for name, end in rows] == [("late", floor), ("one", floor), ("repaired", None)]


def test_a_repair_comes_after_a_change_whose_clock_was_ahead(shop: Harness, export: Export) -> None:  # noqa: F811
    """The order is that of positions; a later change before the floor shows that this one was made before it, too."""
    hour = timedelta(hours=1)
    deliver(shop, put("a", 1, at=FLOOR + hour, Name="ahead"), put("a", 2, at=FLOOR - hour, Name="right"))
    reconcile(shop, export([to_item({"PK": "a", "Type": "Customer", "Name": "repaired"})]))

    rows = dict(shop.query(f"SELECT name, _cdc_valid_to FROM {shop.schema}.customers_history"))
    ends = {"ahead": second(FLOOR - hour), "right": second(FLOOR), "repaired": None}
    assert {name: second(end) for name, end in rows.items()} == ends


def test_a_rebuild_leaves_the_history_as_it_is_but_for_new_columns(shop: Harness, export: Export) -> None:  # noqa: F811
    name = Column("name", ("Name",), ColumnType(Kind.TEXT))
    city = Column("city", ("City",), ColumnType(Kind.TEXT))
    frozen = replace(CUSTOMERS, columns=(name,), evolve=Evolve.FREEZE)
    shop.source = replace(shop.source, targets=(frozen,))
    deliver(shop, put("a", 1, Name="one", City="Bonn"), put("a", 2, Name="two", City="Bonn"))
    folder = export([to_item({"PK": "a", "Type": "Customer", "Name": "two", "City": "Bonn"})])
    shop.source = replace(shop.source, targets=(replace(frozen, columns=(name, city)),))
    reconcile(shop, folder, rebuild=True)

    assert story(shop) == [("upsert", 1, 2, "one"), ("upsert", 2, None, "two")]
    deliver(shop, put("a", 9, at=AS_OF + timedelta(hours=1), Name="new", City="Köln"))
    assert shop.query(f"SELECT city FROM {shop.schema}.customers_history ORDER BY _cdc_position") == [
        (None,),
        (None,),
        ("Köln",),
    ]
    shop.source = replace(
        shop.source, targets=(replace(frozen, columns=(replace(name, type=ColumnType(Kind.INTEGER)),)),)
    )
    with pytest.raises(SchemaConflict, match="the history needs"):
        reconcile(shop, folder, rebuild=True)


def test_before_a_rebuild_a_key_column_of_another_name_is_renamed_in_the_history_and_forget_finds_all_versions(
    shop: Harness,
    export: Export,  # noqa: F811
) -> None:
    deliver(shop, put("a", 1, Name="one"), put("b", 1, Name="other"))
    folder = export([to_item({"PK": key, "Type": "Customer", "Name": "two"}) for key in ("a", "b")])
    columns = (Column("id", ("PK",)), Column("name", ("Name",), ColumnType(Kind.TEXT)))
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, columns=columns), LEADS))
    with pytest.raises(SchemaConflict, match="the history has it as pk") as refused:
        reconcile(shop, folder, rebuild=True)
    (statement,) = re.findall("ALTER TABLE .* TO [^,]*", str(refused.value.hint))

    by_hand(shop, statement)
    reconcile(shop, folder, rebuild=True)

    deliver(shop, put("a", 9, at=AS_OF + timedelta(hours=1), Name="new"))
    assert forget(shop, "a").rows == {"customers": 1, "customers_history": 3}
    kept = shop.query(f"SELECT id, name FROM {shop.schema}.customers_history ORDER BY _cdc_valid_from")
    assert kept == [("b", "other"), ("b", "two")]


def test_what_a_rebuild_repairs_is_in_the_history_as_of_the_floor(shop: Harness, export: Export) -> None:  # noqa: F811
    name = Column("name", ("Name",), ColumnType(Kind.TEXT))
    level = Column("level", ("Level",), ColumnType(Kind.INTEGER))
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, columns=(name,)),))
    deliver(shop, put("different", 1, Name="one"), put("equal", 2, Name="same"), put("extra", 3, Name="gone"))
    stated = {"different": "two", "equal": "same", "missing": "found"}
    items = [to_item({"PK": k, "Type": "Customer", "Name": n, "Level": Decimal(7)}) for k, n in stated.items()]
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, columns=(name, level)),))
    for _ in range(2):  # the second finds nothing to repair
        reconcile(shop, export(items), rebuild=True)

    columns = "pk, _cdc_operation, name, level, _cdc_valid_to IS NULL"
    versions = shop.query(f"SELECT {columns} FROM {shop.schema}.customers_history ORDER BY pk, _cdc_valid_from")
    assert versions == [
        ("different", "upsert", "one", None, False),
        ("different", "reconcile", "two", 7, True),
        ("equal", "upsert", "same", None, True),
        ("extra", "upsert", "gone", None, False),
        ("extra", "delete", None, None, True),
        ("missing", "reconcile", "found", 7, True),
    ]
    ends = shop.query(f"SELECT DISTINCT _cdc_valid_from FROM {shop.schema}.customers_history WHERE pk = 'missing'")
    assert ends == [(FLOOR,)]


def test_an_attribute_that_comes_back_with_another_type_gets_a_column_that_the_history_has_not(
    shop: Harness,
    export: Export,  # noqa: F811
) -> None:
    deliver(shop, put("a", 1, Name="one", Level=Decimal("12.5")))
    reconcile(shop, export([to_item({"PK": "a", "Type": "Customer", "Name": "one"})]), rebuild=True)

    deliver(shop, put("a", 9, at=AS_OF + timedelta(hours=1), Name="new", Level="SECRET"))

    (other,) = (c.name for c in shop.rows()["customers"][0].columns if c.path == ("Level",))
    assert other.startswith("level_")
    table, history = f"{shop.schema}.customers", f"{shop.schema}.customers_history"
    assert shop.query(f"SELECT {other} FROM {table}") == [("SECRET",)]
    kept = shop.query(f"SELECT level, {other} FROM {history} ORDER BY _cdc_position")
    assert kept == [(Decimal("12.5"), None), (None, "SECRET")]


def test_an_attribute_that_comes_back_with_its_type_gets_the_column_that_the_history_has(
    shop: Harness,
    export: Export,  # noqa: F811
) -> None:
    deliver(shop, put("a", 1, Name="one", Level=1))
    reconcile(shop, export([to_item({"PK": "a", "Type": "Customer", "Name": "one"})]), rebuild=True)
    deliver(shop, put("a", 9, at=AS_OF + timedelta(hours=1), Name="one", Level=2))

    for table in ("customers", "customers_history"):
        assert (2,) in shop.query(f"SELECT CAST(level AS integer) FROM {shop.schema}.{table}")
    assert {c.name for c in shop.rows()["customers"][0].columns} == {"type", "name", "level"}


def test_a_column_that_is_asked_for_with_another_type_than_the_history_has_stops_the_source_and_quotes_no_value(
    shop: Harness,
    export: Export,  # noqa: F811
) -> None:
    deliver(shop, put("a", 1, Name="one", Level=Decimal("12.5")))
    reconcile(shop, export([to_item({"PK": "a", "Type": "Customer", "Name": "one"})]), rebuild=True)
    name = Column("name", ("Name",), ColumnType(Kind.TEXT))
    later = AS_OF + timedelta(hours=1)
    for kind in (ColumnType(Kind.TEXT), None):  # told, and of its values' own type
        asked = replace(CUSTOMERS, columns=(name, Column("level", ("Level",), kind)))
        shop.source = replace(shop.source, targets=(asked, LEADS))
        shop.put_records([put("a", 9, at=later, Name="new", Level="SECRET")])
        with pytest.raises(SchemaConflict, match=r"customers_history has a level of another type") as stopped:
            shop.run()
        assert "RENAME COLUMN" in str(stopped.value.hint) and "SECRET" not in str(stopped.value)


def test_a_forgotten_item_is_in_no_history_and_stays_out_if_that_is_asked_for(shop: Harness) -> None:
    records = [put("secret", 1, Name="x"), put("secret", 2, Name="y"), put("b", 1, Name="x")]
    deliver(shop, *records)
    assert forget(shop, "secret").rows == {"customers": 1, "customers_history": 2}
    assert "secret" not in all_that_is_kept(shop)

    deliver(shop, *records)
    assert len(story(shop, "secret")) == 2
    forget(shop, "secret", keep_tombstone=True)
    deliver(shop, *records, put("secret", 5, Name="new"))
    deliver(shop, *records)
    assert story(shop, "secret") == [("upsert", 5, None, "new")]
    assert len(story(shop, "b")) == 1


def test_explain_counts_the_versions(local: Harness) -> None:
    deliver(local, put("a", 1, Name="one"), put("a", 2, Name="two"))
    explanation = explain(local.settings, "shop", ("a",))

    assert explanation.versions == {"customers": 2}
    assert [t.table.label for t in explanation.tables] == ["customers", "leads"]


def planned(harness: Harness) -> Preview:
    warehouse = harness.open()
    layout = layout_of(harness.settings, warehouse)
    with warehouse.session() as session:
        Migrator(warehouse, harness.metadata).apply(session)
        state = Ledger(layout.metadata, warehouse.dialect).state(session, "shop", schema=harness.schema)
    warehouse.close()
    return preview(harness.source, warehouse.dialect, layout, state)


def test_plan_shows_the_tables_and_statements_of_a_history(local: Harness) -> None:
    local.source = replace(local.source, targets=(replace(CUSTOMERS, has_history=False), LEADS))
    deliver(local, put("a", 1, Name="one"))
    local.source = replace(local.source, targets=(CUSTOMERS, LEADS))
    plan = planned(local)
    text = plan.as_text(with_sql=True)

    assert "[create customers_history]" in text and "[insert versions of customers]" in text
    assert "leads_history" not in text
    assert ("customers_history", "new table") in [(d.target, d.change) for d in plan.differences]


def test_a_history_altered_by_hand_stops_the_source(shop: Harness) -> None:
    deliver(shop, put("a", 1, Name="one"))
    by_hand(shop, f"ALTER TABLE {shop.schema}.customers_history DROP COLUMN _cdc_valid_to")
    shop.put_records([put("a", 2, Name="two")])

    (stopping,) = (d for d in planned(shop).differences if d.stops)
    assert stopping.where == "customers_history._cdc_valid_to" and "ADD COLUMN" in stopping.cure
    with pytest.raises(SchemaConflict, match="is missing") as caught:
        shop.run()
    assert caught.value.where == "target customers_history._cdc_valid_to"


def test_a_history_that_was_dropped_begins_anew(shop: Harness) -> None:
    deliver(shop, put("a", 1, Name="one"))
    by_hand(shop, f"DROP TABLE {shop.schema}.customers_history")
    deliver(shop, put("a", 2, Name="two"))
    assert story(shop) == [("upsert", 2, None, "two")]


@pytest.mark.parametrize(
    ("spared", "left"),
    [
        ({"deletes": Deletes.SOFT}, {"a", "b"}),
        ({"deletes": Deletes.IGNORE}, {"a", "b"}),
        ({"expired": Expired.KEEP}, {"b"}),
    ],
    ids=["soft", "ignore", "keep"],
)
def test_a_history_records_deletes_that_its_target_does_not_follow(
    warehouse_url: str, tmp_path: Path, spared: Mapping[str, Any], left: set[str]
) -> None:
    source = replace(SOURCE, targets=(replace(CUSTOMERS, **spared), LEADS))
    shop = Harness(warehouse_url, source, tmp_path / "feed")
    deliver(shop, put("a", 1, Name="one"), remove("a", 5), put("b", 1, Name="x"))
    deliver(shop, {**remove("b", 6), "userIdentity": TTL_IDENTITY}, put("a", 3, Name="late"))

    assert story(shop) == [("upsert", 1, 3, "one"), ("upsert", 3, 5, "late"), ("delete", 5, None, None)]
    assert story(shop, "b") == [("upsert", 1, 6, "x"), ("delete", 6, None, None)]
    assert {key for (key,) in shop.tables()["customers"]} == left
    assert "_cdc_deleted_at" not in shop.columns("customers_history")

    deliver(shop, put("a", 9, Name="again"))
    assert story(shop)[2:] == [("delete", 5, 9, None), ("upsert", 9, None, "again")]
    assert shop.tables()["customers"][("a",)].item["Name"] == "again"


def test_a_target_becomes_soft_and_gets_a_history_at_once(warehouse_url: str, tmp_path: Path) -> None:
    plain = replace(SOURCE, targets=(replace(CUSTOMERS, has_history=False), LEADS))
    shop = Harness(warehouse_url, plain, tmp_path / "feed")
    deliver(shop, put("a", 1, Name="one"))
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, deletes=Deletes.SOFT), LEADS))
    deliver(shop, remove("a", 5))

    assert shop.tables()["customers"][("a",)].deleted_at == T0 + timedelta(seconds=5)
    shop.source = replace(shop.source, targets=plain.targets)
    deliver(shop, put("a", 7, Name="seven"))
    assert shop.tables()["customers"][("a",)].deleted_at is None


def test_a_reconcile_that_marks_a_row_ends_its_version(warehouse_url: str, tmp_path: Path, export: Export) -> None:  # noqa: F811
    source = replace(SOURCE, targets=(replace(CUSTOMERS, deletes=Deletes.SOFT), LEADS))
    shop = Harness(warehouse_url, source, tmp_path / "feed")
    deliver(shop, put("a", 1, Name="one"), put("b", 1, Name="x"))
    kept = {"PK": "b", "Type": "Customer", "Name": "x"}
    for _ in range(2):
        reconcile(shop, export([to_item(kept)]))

        assert shop.tables()["customers"][("a",)].deleted_at == FLOOR
        assert story(shop) == [("upsert", 1, second(FLOOR), "one"), ("delete", second(FLOOR), None, None)]
        assert story(shop, "b") == [("upsert", 1, None, "x")]


def test_a_reconcile_makes_a_history_that_is_asked_for_before_it_writes_into_it(
    warehouse_url: str,
    tmp_path: Path,
    export: Export,  # noqa: F811
) -> None:
    plain = replace(SOURCE, targets=(replace(CUSTOMERS, has_history=False, deletes=Deletes.SOFT), LEADS))
    shop = Harness(warehouse_url, plain, tmp_path / "feed")
    deliver(shop, put("a", 1, Name="one"))
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, deletes=Deletes.SOFT), LEADS))
    reconcile(shop, export([to_item({"PK": "a", "Type": "Customer", "Name": "two"})]))

    assert story(shop) == [("reconcile", second(FLOOR), None, "two")]
