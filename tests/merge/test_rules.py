"""The rules of order, one story each, on every engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import MixedFeed, SchemaConflict, SourceStopped, UnknownAttributes, UnusableFeed
from cdc_merge.model import Column, ColumnType, Condition, Deletes, Evolve, Kind, Ordering, Source, Target
from tests.support.harness import Harness
from tests.support.merging import T0, deliver, put, remove, values
from tests.support.records import kinesis_record, stream_record

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order",)),))
SOURCE = Source("shop", "", ("PK",), (CUSTOMERS, ORDERS))
ALL = Source("shop", "", ("PK",), (Target("items"),))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, SOURCE, tmp_path / "feed")


@pytest.fixture
def items(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, ALL, tmp_path / "feed")


def test_a_late_modify_loses_to_a_newer_row(items: Harness) -> None:
    deliver(items, put("a", 2, v="new"))
    counts = deliver(items, put("a", 1, v="old"))
    assert counts.stale == 1
    assert values(items, "items") == {"a": {"PK": "a", "v": "new"}}


def test_a_late_modify_loses_to_a_newer_remove(items: Harness) -> None:
    deliver(items, put("a", 1, v="x"))
    deliver(items, remove("a", 3))
    counts = deliver(items, put("a", 2, v="y"))
    assert counts.stale == 1
    assert values(items, "items") == {}


def test_a_remove_of_a_key_never_seen_is_remembered(items: Harness) -> None:
    assert deliver(items, remove("a", 3)).applied == 1
    assert deliver(items, put("a", 2, v="y")).stale == 1
    assert values(items, "items") == {}
    assert deliver(items, put("a", 4, v="z")).applied == 1
    assert values(items, "items") == {"a": {"PK": "a", "v": "z"}}
    assert items.tombstones() == {}


def test_within_a_batch_the_newest_wins_whatever_the_order(items: Harness) -> None:
    counts = deliver(items, put("a", 3, v="c"), put("a", 1, v="a"), put("a", 2, v="b"), put("a", 3, v="c"))
    assert (counts.applied, counts.superseded) == (1, 3)
    assert values(items, "items") == {"a": {"PK": "a", "v": "c"}}


def test_sequence_numbers_of_any_length_compare_as_numbers(items: Harness) -> None:
    deliver(items, put("a", 1300, v="long"))
    items.put_records([dict_with(put("a", 1, v="short"), "9" * 21), dict_with(put("a", 1, v="longer"), "1" + "0" * 21)])
    items.put_records([dict_with(put("a", 1, v="longest"), "1" + "0" * 39)])
    items.run()
    assert values(items, "items")["a"]["v"] == "longest"
    assert deliver(items, dict_with(put("a", 1, v="shorter"), "2" + "0" * 38)).stale == 1


def dict_with(record: dict[str, Any], sequence: str) -> dict[str, Any]:
    return {**record, "dynamodb": {**record["dynamodb"], "SequenceNumber": sequence}}


def test_a_replay_changes_nothing_and_counts_as_stale(items: Harness) -> None:
    deliver(items, put("a", 1, v="x"), remove("b", 1))
    before = items.tables(), items.tombstones()
    counts = deliver(items, put("a", 1, v="x"), remove("b", 1))
    assert (counts.applied, counts.stale) == (0, 2)
    assert (items.tables(), items.tombstones()) == before


def test_an_item_created_again_with_fewer_attributes_has_null_for_the_missing(items: Harness) -> None:
    deliver(items, put("a", 1, v="x", w="y"))
    deliver(items, remove("a", 2), put("a", 3, v="z"))
    assert values(items, "items") == {"a": {"PK": "a", "v": "z"}}


def test_a_column_without_a_type_has_its_value_though_the_first_items_had_none_and_another_column_holds_it_all(
    items: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.feed.rows._SAMPLE", 2)
    address = Column("address", ("address",), ColumnType(Kind.JSON))
    items.source = replace(
        items.source, targets=(replace(items.source.targets[0], columns=(address, Column("zip", ("address", "zip")))),)
    )
    several = [put(f"k{n}", n, address={"city": "x"}) for n in range(1, 9)]
    items.put_records([*several, put("last", 9, address={"city": "x", "zip": "12345"})])
    items.run()
    assert items.query(f"SELECT zip FROM {items.schema}.items WHERE pk = 'last'") == [("12345",)]


def test_an_item_that_changes_its_type_moves_to_the_other_table(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"))
    deliver(shop, put("a", 2, Type="Order"))
    assert (values(shop, "customers"), list(values(shop, "orders"))) == ({}, ["a"])


def test_a_late_change_of_an_item_that_moved_stays_without_effect(shop: Harness) -> None:
    deliver(shop, put("a", 3, Type="Order"))
    counts = deliver(shop, put("a", 2, Type="Customer"))
    assert counts.stale == 1
    assert (values(shop, "customers"), list(values(shop, "orders"))) == ({}, ["a"])


def test_a_late_change_of_an_item_that_left_all_tables_stays_without_effect(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"))
    assert deliver(shop, put("a", 3, Type="Other")).targets["customers"]["deleted"] == 1
    assert deliver(shop, put("a", 2, Type="Customer")).stale == 1
    assert values(shop, "customers") == {}


def test_an_item_no_target_takes_is_ignored_but_remembered(shop: Harness) -> None:
    assert deliver(shop, put("a", 2, Type="Other")).ignored == 1
    assert deliver(shop, put("a", 1, Type="Customer")).stale == 1
    assert values(shop, "customers") == {}


def test_a_key_that_shows_that_no_target_could_take_it_leaves_no_tombstone(warehouse_url: str, tmp_path: Path) -> None:
    source = replace(SOURCE, targets=(Target("customers", where=(Condition(("PK",), prefix="CUSTOMER#"),)),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    counts = deliver(harness, put("ORDER#1", 1), remove("ORDER#2", 2), remove("CUSTOMER#1", 3))
    assert (counts.ignored, counts.applied) == (2, 1)
    assert set(harness.tombstones()) == {("CUSTOMER#1",)}


@pytest.mark.parametrize(("wanted", "key"), [(1, 1), (1, "1"), ("1", "1"), ("1", 1)], ids=repr)
def test_a_key_of_another_type_than_asked_for_shows_that_no_target_could_take_it(
    warehouse_url: str, tmp_path: Path, wanted: str | int, key: str | int
) -> None:
    source = replace(SOURCE, targets=(Target("ones", where=(Condition(("PK",), any_of=(wanted,)),)),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    counts = deliver(harness, stream_record({"PK": key}, None, sequence=1, at=T0))
    could = type(wanted) is type(key)
    assert (counts.applied, counts.ignored) == (int(could), int(not could))
    assert set(harness.tombstones()) == ({("1",)} if could else set())


@pytest.mark.parametrize("deletes", Deletes)
def test_a_remove_counts_by_the_row_it_finds_also_where_the_key_cannot_be_taken_any_more(
    warehouse_url: str, tmp_path: Path, deletes: Deletes
) -> None:
    wide = Target("items", deletes=deletes)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (wide,)), tmp_path / "feed")
    deliver(harness, put("B#1", 1, v="x"), put("B#2", 5, v="x"))
    narrow = replace(wide, where=(Condition(("PK",), prefix="A#"),))
    harness.source = replace(harness.source, targets=(narrow,))

    counts = deliver(harness, remove("B#1", 3), remove("B#2", 4), remove("B#3", 6))

    is_followed = deletes is not Deletes.IGNORE
    assert counts.targets["items"]["deleted"] == is_followed
    assert (counts.applied, counts.stale, counts.ignored) == (is_followed, 1, 2 - is_followed)
    left = {key for key, row in harness.tables()["items"].items() if row.deleted_at is None}
    assert left == ({("B#2",)} if is_followed else {("B#1",), ("B#2",)})
    assert set(harness.tombstones()) == {("B#1",)}

    harness.source = replace(harness.source, targets=(wide,))
    deliver(harness, put("B#1", 2, v="late"))

    assert {key for key, row in harness.tables()["items"].items() if row.deleted_at is None} == left


@pytest.mark.parametrize("deletes", Deletes)
def test_what_is_known_of_a_removed_item_grows_also_while_no_target_could_take_its_key(
    warehouse_url: str, tmp_path: Path, deletes: Deletes
) -> None:
    wide = Target("items", deletes=deletes)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (wide,)), tmp_path / "feed")
    deliver(harness, remove("B#1", 10))
    harness.source = replace(harness.source, targets=(replace(wide, where=(Condition(("PK",), prefix="A#"),)),))
    deliver(harness, remove("B#1", 12))
    harness.source = replace(harness.source, targets=(wide,))

    deliver(harness, put("B#1", 11, v="late"))

    there = {key for key, row in harness.tables()["items"].items() if row.deleted_at is None}
    assert there == ({("B#1",)} if deletes is Deletes.IGNORE else set())


def test_a_target_added_later_is_filled_by_replay(warehouse_url: str, tmp_path: Path) -> None:
    harness = Harness(warehouse_url, replace(SOURCE, targets=(CUSTOMERS,)), tmp_path / "feed")
    deliver(harness, put("a", 1, Type="Customer"), put("b", 2, Type="Order"), put("c", 1, Type="Order"))
    deliver(harness, remove("c", 3))
    harness.source = replace(harness.source, targets=(CUSTOMERS, ORDERS))
    harness.run()
    replay(harness)
    assert list(values(harness, "customers")) == ["a"]
    assert list(values(harness, "orders")) == ["b"]


@pytest.mark.parametrize("deletes", list(Deletes))
def test_a_target_added_later_also_gets_the_items_that_others_have(
    warehouse_url: str, tmp_path: Path, deletes: Deletes
) -> None:
    customers, orders = replace(CUSTOMERS, deletes=deletes), replace(ORDERS, deletes=deletes)
    harness = Harness(warehouse_url, replace(SOURCE, targets=(customers,)), tmp_path / "feed")
    deliver(harness, put("a", 1, Type="Customer"), put("a", 2, Type="Customer", v="x"), put("b", 3, Type="Order"))
    everything = Target("everything", deletes=deletes)
    harness.source = replace(harness.source, targets=(customers, orders, everything))
    replay(harness)
    assert list(values(harness, "customers")) == ["a"]
    assert list(values(harness, "orders")) == ["b"]
    assert {key: item.get("v") for key, item in values(harness, "everything").items()} == {"a": "x", "b": None}


def replay(harness: Harness) -> None:
    """Every object again, as `cdc-merge replay` does."""
    from cdc_merge.preparing import Job

    worker = harness.worker()
    try:
        worker.prepare()
        for source in worker.sources:
            page = source.store.list_page(start_after=None)
            source.merge_job(Job(page.objects, again=True))
    finally:
        worker.close()


def test_changes_at_or_before_the_floor_are_stale(items: Harness) -> None:
    deliver(items, put("a", 10, v="x"))
    floor = (T0 + timedelta(seconds=20)).isoformat()
    execute(items, f"UPDATE {items.metadata}.targets SET floor_at = CAST('{floor}' AS TIMESTAMP WITH TIME ZONE)")
    counts = deliver(items, put("a", 20, v="at"), put("b", 19, v="before"), remove("c", 20), put("d", 21, v="after"))
    assert (counts.stale, counts.applied) == (3, 1)
    assert {k: v["v"] for k, v in values(items, "items").items()} == {"a": "x", "d": "after"}
    assert items.tombstones() == {}


def execute(harness: Harness, sql: str) -> None:
    from cdc_merge.warehouses import Statement

    warehouse = harness.open()
    try:
        with warehouse.session() as session:
            session.run([Statement("test", sql)])
    finally:
        warehouse.close()


@pytest.mark.parametrize(
    ("left", "right"),
    [("a,b", "a|b"), ("a", "a "), ("a", "A"), ("a", "ä"), ("ä", "a\u0308"), ("1", "01"), ("-", "--"), (" ", "\t")],
)
def test_keys_that_look_alike_stay_apart(items: Harness, left: str, right: str) -> None:
    if items.dialect.ignores_trailing_blanks and (left + right).count(" "):
        # They would be one key: the one with the blank waits in quarantine.
        deliver(items, put(left, 1, v="left"), put(right, 2, v="right"))
        assert list(values(items, "items")) == [key for key in (left, right) if not key.endswith(" ")]
        assert items.query(f"SELECT reason FROM {items.metadata}.quarantine") == [("key_ends_in_blank",)]
        return
    deliver(items, put(left, 1, v="left"), put(right, 2, v="right"))
    deliver(items, remove(left, 3))
    assert list(values(items, "items")) == [right]


def test_keys_of_two_parts_do_not_run_together(warehouse_url: str, tmp_path: Path) -> None:
    harness = Harness(warehouse_url, replace(ALL, key=("PK", "SK")), tmp_path / "feed")
    for number, (pk, sk) in enumerate([("a,b", "c"), ("a", "b,c"), ('a"', "b"), ("a", '"b')]):
        keys = {"PK": pk, "SK": sk}
        harness.put_records([stream_record(keys, keys, sequence=number, at=T0)])
    harness.run()
    assert set(harness.tables()["items"]) == {("a,b", "c"), ("a", "b,c"), ('a"', "b"), ("a", '"b')}


def test_kinesis_changes_at_one_time_are_ordered_delete_last(items: Harness) -> None:
    upsert = kinesis_record({"PK": "a"}, {"PK": "a", "v": "x"}, at=T0, event_id="z")
    delete = kinesis_record({"PK": "a"}, None, at=T0, event_id="a")
    deliver(items, delete, upsert)
    assert values(items, "items") == {}
    assert deliver(items, upsert).stale == 1


def test_times_of_any_length_compare_as_numbers(items: Harness) -> None:
    """Microseconds since 1970 had 15 digits until 2001."""
    for value, micros in (("later", 10**15), ("earlier", 10**15 - 1)):
        record = kinesis_record({"PK": "a"}, {"PK": "a", "v": value}, at=micros, precision="MICROSECOND")
        deliver(items, record)
    assert values(items, "items") == {"a": {"PK": "a", "v": "later"}}


def test_positions_compare_byte_by_byte_whatever_the_collation_of_the_database(items: Harness) -> None:
    """In English, a sorts before B; by bytes after it."""
    for event_id in ("a", "B"):
        deliver(items, kinesis_record({"PK": "k"}, {"PK": "k", "v": event_id}, at=T0, event_id=event_id))
    assert values(items, "items") == {"k": {"PK": "k", "v": "a"}}


def test_records_of_another_feed_stop_the_source_before_anything_is_merged(items: Harness) -> None:
    deliver(items, put("a", 1, v="x"))
    items.put_records([put("b", 2, v="y"), kinesis_record({"PK": "c"}, {"PK": "c"}, at=T0)])
    with pytest.raises(MixedFeed, match=r"Kinesis.*"):
        items.run()
    assert list(values(items, "items")) == ["a"]


def test_a_stream_without_new_images_is_a_clear_error(items: Harness) -> None:
    record = put("a", 1, v="x")
    del record["dynamodb"]["NewImage"]
    record["dynamodb"]["StreamViewType"] = "KEYS_ONLY"
    items.put_records([record])
    with pytest.raises(UnusableFeed, match="KEYS_ONLY"):
        items.run()


def test_a_key_that_the_records_do_not_have_is_a_clear_error(warehouse_url: str, tmp_path: Path) -> None:
    harness = Harness(warehouse_url, replace(ALL, key=("id",)), tmp_path / "feed")
    harness.put_records([put("a", 1, v="x")])
    with pytest.raises(SourceStopped, match="PK"):
        harness.run()


def test_an_unusable_newest_change_gives_way_to_the_one_before(items: Harness) -> None:
    broken = put("a", 3, v="z")
    del broken["dynamodb"]["NewImage"]
    odd = {**put("a", 4, v="q"), "eventName": "UPSERT"}
    counts = deliver(items, put("a", 1, v="x"), put("a", 2, v="y"), broken, odd, put("b", 1, v="b"))
    assert (counts.quarantined, counts.applied, counts.superseded) == (2, 2, 1)
    assert {k: v["v"] for k, v in values(items, "items").items()} == {"a": "y", "b": "b"}


def test_evolve_freeze_rescues_new_attributes_and_fail_stops(warehouse_url: str, tmp_path: Path) -> None:
    columns = (Column("v", ("v",), ColumnType(Kind.TEXT)),)
    frozen = replace(ALL, targets=(Target("items", columns=columns, evolve=Evolve.FREEZE),))
    harness = Harness(warehouse_url, frozen, tmp_path / "feed")
    deliver(harness, put("a", 1, v="x", w="y"))
    assert values(harness, "items") == {"a": {"PK": "a", "v": "x", "w": "y"}}
    assert harness.query(f"SELECT count(*) FROM {harness.schema}.items WHERE _cdc_rescued IS NOT NULL") == [(1,)]
    harness.source = replace(harness.source, targets=(Target("items", columns=columns, evolve=Evolve.FAIL),))
    harness.put_records([put("b", 2, v="x", w="y")])
    with pytest.raises(UnknownAttributes, match=r"without a column: w \(record 1 of \S+, for one\)"):
        harness.run()
    assert list(values(harness, "items")) == ["a"]


def test_evolve_fail_lets_an_attribute_without_a_value_pass(warehouse_url: str, tmp_path: Path) -> None:
    columns = (Column("v", ("v",), ColumnType(Kind.TEXT)),)
    source = replace(ALL, targets=(Target("items", columns=columns, evolve=Evolve.FAIL),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    deliver(harness, put("a", 1, v="x", w=None))
    assert values(harness, "items") == {"a": {"PK": "a", "v": "x"}}


def test_evolve_fail_with_a_history_names_an_item_of_before(warehouse_url: str, tmp_path: Path) -> None:
    columns = (Column("v", ("v",), ColumnType(Kind.TEXT)),)
    target = Target("items", columns=columns, evolve=Evolve.FAIL, has_history=True)
    harness = Harness(warehouse_url, replace(ALL, targets=(target,)), tmp_path / "feed")
    harness.put_records([put("b", 1, v="x"), put("a", 1, v="x", w="y"), put("a", 2, v="x")])
    with pytest.raises(UnknownAttributes, match=r"record 2 of .*, for one"):
        harness.run()


def test_a_batch_without_a_usable_record_keeps_the_books_and_the_tables(items: Harness) -> None:
    deliver(items, put("a", 1, v="x"))
    items.put(b"not json\n")
    counts = items.run().counts
    assert (counts.records, counts.quarantined) == (1, 1)
    assert list(values(items, "items")) == ["a"]


def table_of(harness: Harness, *columns: Column) -> Harness:
    harness.source = replace(harness.source, targets=(Target("items", columns=columns, evolve=Evolve.FREEZE),))
    return harness


def test_two_columns_of_one_attribute_hide_no_other_attribute(items: Harness) -> None:
    name = ("Name",)
    table_of(items, Column("a", name, ColumnType(Kind.TEXT)), Column("b", name, ColumnType(Kind.JSON)))
    deliver(items, put("a", 1, Name="n", X="kept"))
    assert items.query(f"SELECT a, {items.rescued} FROM {items.schema}.items") == [("n", '{"X":{"S":"kept"}}')]


def test_a_renamed_column_hides_no_other_attribute(items: Harness) -> None:
    deliver(table_of(items, Column("name", ("Name",), ColumnType(Kind.TEXT))), put("a", 1, Name="n", X="kept"))
    table_of(items, Column("full_name", ("Name",), ColumnType(Kind.TEXT)))
    deliver(items, put("a", 2, Name="m", X="kept"))
    rows = items.query(f"SELECT full_name, {items.rescued} FROM {items.schema}.items")
    assert rows == [("m", '{"X":{"S":"kept"}}')]


def test_an_image_without_its_key_hides_no_other_attribute(items: Harness) -> None:
    record = put("a", 1, Name="n", X="kept")
    del record["dynamodb"]["NewImage"]["PK"]
    deliver(table_of(items, Column("name", ("Name",), ColumnType(Kind.TEXT))), record)
    assert items.query(f"SELECT {items.rescued} FROM {items.schema}.items") == [('{"X":{"S":"kept"}}',)]


def test_a_path_is_read_with_care_also_where_its_parent_is_a_column(items: Harness) -> None:
    table_of(
        items,
        Column("address", ("Address",), ColumnType(Kind.JSON)),
        Column("zip", ("Address", "Zip"), ColumnType(Kind.TEXT)),
    )
    deliver(items, put("a", 1, Address={"Zip": 12345}))
    assert items.query(f"SELECT zip FROM {items.schema}.items") == [("12345",)]


def test_another_ordering_than_the_rows_have_is_refused(items: Harness) -> None:
    deliver(items, put("a", 1, v="x"))
    items.source = replace(items.source, ordering=Ordering.TIME)
    items.put_records([put("a", 2, v="y")])
    with pytest.raises(MixedFeed, match="ordering"):
        items.run()


def test_another_key_than_the_rows_have_is_refused(warehouse_url: str, tmp_path: Path) -> None:
    harness = Harness(warehouse_url, replace(ALL, key=("PK", "SK")), tmp_path / "feed")
    keys = {"PK": "a", "SK": "b"}
    harness.put_records([stream_record(keys, keys, sequence=1, at=T0)])
    harness.run()
    for key in (("SK", "PK"), ("PK",)):
        harness.source = replace(harness.source, key=key)
        harness.put_records([stream_record(keys, keys, sequence=2, at=T0)])
        with pytest.raises(SchemaConflict, match="key"):
            harness.run()


def test_a_binary_key_that_is_no_base64_is_quarantined(items: Harness) -> None:
    good, bad = put("a", 1), put("b", 2)
    for record, text in ((good, "YQ=="), (bad, "!!!")):
        record["dynamodb"]["Keys"] = record["dynamodb"]["NewImage"] = {"PK": {"B": text}}
    counts = deliver(items, good, bad)
    assert (counts.applied, counts.quarantined) == (1, 1)


def test_an_item_of_many_attributes_lands_whole(items: Harness) -> None:
    attributes = {f"a{i}": i for i in range(1100)}
    deliver(items, put("k", 1, **attributes))
    item = values(items, "items")["k"]
    assert {k: int(v) for k, v in item.items() if k != "PK"} == attributes
