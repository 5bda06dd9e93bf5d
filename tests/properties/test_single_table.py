"""Whatever a single table holds, however its schema moves, whatever targets ask for: each row is as the model says."""

from __future__ import annotations

import base64
import itertools
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cdc_merge import Reconciler
from cdc_merge.model import (
    Column,
    ColumnType,
    Condition,
    Evolve,
    Kind,
    Mask,
    Ordering,
    ReconcilePolicy,
    Source,
    Target,
    Template,
)
from cdc_merge.schema.stored import TYPE_OF_TAG, TargetSchema
from tests.support.columns_model import TargetModel, WantedRow, has_known_type
from tests.support.decoding import vary
from tests.support.exports import write_export
from tests.support.harness import Harness, RowKey, TableRow, fresh
from tests.support.histories import Batches, deliveries, flatten, histories
from tests.support.model import Change, Expected, Row, elements, expected, find, takes
from tests.support.reconcile_model import MARGIN, START
from tests.support.records import Record, kinesis_record, stream_record, to_item
from tests.support.single_table import KEY, KEYS, every_target, every_value, images, targets
from tests.support.telling import jumbled
from tests.support.values_model import DUCKDB, POSTGRES, rescued

Rows = dict[RowKey, tuple[Row, WantedRow]]


@st.composite
def sources(draw: st.DrawFn) -> Source:
    count = draw(st.sampled_from([2, 3, 4, 4]))
    policy = ReconcilePolicy(margin=MARGIN.total_seconds(), max_delete=1.0)
    return Source("shop", "", KEY, tuple(draw(targets(table=f"t{n}")) for n in range(count)), reconcile=policy)


@st.composite
def stories(draw: st.DrawFn, ordering: Ordering) -> list[Record]:
    """A history in which the schema moves at some change."""
    turn = draw(st.sampled_from([0, 0, 10, 20]))
    # Many items at once: what a case takes is the run of workers, not the rows.
    return draw(
        histories(
            key=KEYS,
            ordering=ordering,
            image=lambda n: images(has_moved=n >= turn),
            min_keys=10,
            max_keys=14,
            min_changes=30,
            max_changes=40,
        )
    )


def alone(url: str, source: Source, folder: Path) -> Harness:
    """A harness of its own; where the database is only a file, in one of its own, too."""
    harness = fresh(url, source, folder)
    harness.url = url.replace("warehouse.duckdb", f"warehouse-{harness.schema}.duckdb")
    return harness


def deliver(harness: Harness, batches: Batches) -> None:
    """A new worker for each batch; its books must tell of all records, and of the items that are in each table."""
    items = Counter[str]()
    for batch in batches:
        for records in batch:
            harness.put_records(records)
        counts = harness.run().counts
        assert counts.records == sum(map(len, batch))
        for table, changed in counts.targets.items():
            items[table] += changed["inserted"] - changed["deleted"]
    landed = harness.rows()
    assert {table: items[table] for table in landed} == {
        table: len({key for key, _ in rows}) for table, (_, rows) in landed.items()
    }


def compare(harness: Harness, model: Expected, *, is_repaired: bool = False) -> None:
    """Every table against the model, column by column; `is_repaired`: where the rows came from is not asked."""
    landed = harness.rows()
    for target in harness.source.targets:
        if target.table not in landed:
            assert not model.tables[target.table], f"there is no {target.table}"
            continue
        schema, rows = landed[target.table]
        columns = typed_columns(target, schema, model)
        wanted = wanted_rows(harness, target, columns, model)
        assert rows.keys() == wanted.keys(), target.table
        for key, row in rows.items():
            known, values = wanted[key]
            where = f"{target.table} {key}"
            if not is_repaired:
                assert (row.position, row.changed_at) == (known.position, known.changed_at), where
            assert_same_row(row, values, where)


def wanted_rows(harness: Harness, target: Target, columns: tuple[Column, ...], model: Expected) -> Rows:
    engine = DUCKDB if harness.url.startswith("duckdb") else POSTGRES
    found: Rows = {}
    for key, row in model.tables[target.table].items():
        last = model.changes[key][-1]
        assert last.image is not None
        of_target = TargetModel(target, KEY, columns, engine, last.base64_layers)
        for place, values in enumerate(of_target.rows(last.image)):
            found[key, None if target.each is None else place] = row, values
    return found


def assert_same_row(row: TableRow, wanted: WantedRow, where: str) -> None:
    assert row.element_key == wanted.element_key, where
    assert row.values.keys() == wanted.values.keys(), where
    for name, value in wanted.values.items():
        assert is_same(row.values[name], value), f"{where}: {name} is {row.values[name]!r}, not {value!r}"
    left = {name: rescued(typed, 1) for name, typed in row.rescued.items()}
    for name in wanted.excused & left.keys():
        assert left.pop(name) == {"NULL": True}, where
    assert left == wanted.rescued, where


def is_same(found: Any, wanted: Any) -> bool:
    """Equal, and of one type all the way down: 1 is not True, and "1" is not 1."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(is_same(found[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(is_same, found, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


# --- the columns of a table ------------------------------------------------------------------------------


def typed_columns(target: Target, schema: TargetSchema, model: Expected) -> tuple[Column, ...]:
    """The table's columns, each with its type: those that were asked for, and those of attributes that were seen.

    The types that values decide are taken as they are, if they are those of values that were seen there.
    """
    found = tuple(Column(c.name, c.path, c.type, c.template, c.mask, c.of_parent) for c in schema.columns)
    if target.is_document:
        return found
    asked = {c.name: c for c in target.columns or () if not is_key(target, c)}
    assert {c.name for c in found if has_known_type(asked.get(c.name, c))} >= {
        name for name, c in asked.items() if has_known_type(c)
    }
    for column in found:
        wanted = asked.get(column.name)
        if wanted is not None and has_known_type(wanted):
            assert column == replace(wanted, type=wanted.type or ColumnType(Kind.TEXT)), target.table
            continue
        if wanted is not None:
            assert replace(column, type=None) == wanted, target.table
        else:
            assert target.evolve is Evolve.ADD
            assert len(column.path) == 1
            assert column == Column(column.name, column.path, column.type)
        assert column.type in types_seen(target, column, model), (target.table, column)
    return found


def types_seen(target: Target, column: Column, model: Expected) -> set[ColumnType]:
    """The types of the values a column could have been made for."""
    seen = set()
    for change in itertools.chain.from_iterable(model.changes.values()):
        if change.image is not None and takes(target, change.image):
            for typed in values_at(target, column, change):
                seen.add(TYPE_OF_TAG.get(next(iter(typed))))
    return {kind for kind in seen if kind}


def values_at(target: Target, column: Column, change: Change) -> list[Any]:
    image = change.image
    assert image is not None
    if target.each is None or column.of_parent:
        found = [find(image, column.path)]
    else:
        parts = [part for _, part in elements(image, target.each)]
        found = [find(part.get("M", {}), column.path) if column.path else part for part in parts]
    return [typed for typed in found if typed is not None]


def is_key(target: Target, column: Column) -> bool:
    is_item = column.of_parent or target.each is None
    return is_item and column.path in [(name,) for name in KEY] and column.template is None


# --- the properties --------------------------------------------------------------------------------------


def reconcile(harness: Harness, state: Sequence[Any], seed: int) -> int:
    """With an export of these items, written in another order; returns how many rows had drifted."""
    items = [jumbled(item, Random(seed)) for item in state]
    folder = write_export(harness.directory.parent / "exports", items, as_of=START + timedelta(hours=1) + 2 * MARGIN)
    try:
        with Reconciler(harness.settings) as reconciler:
            return reconciler.reconcile("shop", str(folder)).drifted
    finally:
        shutil.rmtree(harness.directory.parent / "exports")


@pytest.mark.parametrize("what", sorted(every_target()))
def test_every_value_is_in_every_kind_of_column_as_the_model_says(
    warehouse_url: str, tmp_path: Path, what: str
) -> None:
    harness = alone(warehouse_url, Source("shop", "", KEY, every_target()[what]), tmp_path)
    keys = itertools.cycle(itertools.product(("CUSTOMER#a", "x"), ("ORDER#", "007", "-")))
    records = [
        stream_record({"PK": f"{pk}{n}", "SK": sk}, image, sequence=n, at=START)
        for n, ((pk, sk), image) in enumerate(zip(keys, every_value(), strict=False))
    ]
    deliver(harness, [[records]])
    compare(harness, expected(records, harness.source))


def test_an_item_that_becomes_another_entity_leaves_its_former_tables(warehouse_url: str, tmp_path: Path) -> None:
    def of(entity: str) -> tuple[Condition, ...]:
        return (Condition(("Type",), any_of=(entity,)),)

    sku = (Column("sku", ("Sku",)),)
    lines = Target("lines", where=of("Order"), each=("Items",), columns=sku, evolve=Evolve.FREEZE)
    documents = Target("documents", where=of("Customer"), is_document=True)
    source = Source("shop", "", KEY, (Target("orders", where=of("Order")), lines, documents))
    harness = alone(warehouse_url, source, tmp_path)
    keys = [{"PK": f"ORDER#{n}", "SK": "-"} for n in range(4)]
    order = {"Type": "Order", "Items": [{"Sku": "a"}, {"Sku": "b"}]}
    entities = ({"Type": "Customer"}, {"Type": "Uniqueness"}, None, {**order, "Items": "gone"})
    first = [stream_record(key, order, sequence=n, at=START) for n, key in enumerate(keys)]
    then = [
        stream_record(key, image, old_image=order, sequence=10 + n, at=START)
        for n, (key, image) in enumerate(zip(keys, entities, strict=True))
    ]
    deliver(harness, [[first], [then], [first]])

    assert {table: sorted(rows) for table, (_, rows) in harness.rows().items()} == {
        "orders": [(("ORDER#3", "-"), None)],
        "lines": [(("ORDER#3", "-"), 0)],
        "documents": [(("ORDER#0", "-"), None)],
    }
    compare(harness, expected([*first, *then], harness.source))


@pytest.mark.parametrize("ordering", list(Ordering))
def test_every_row_of_a_single_table_is_as_the_model_says(
    warehouse_url: str, tmp_path: Path, ordering: Ordering, examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A case has a source of its own and up to four tables, and is reconciled, too: it takes as long as three elsewhere.
    @settings(
        max_examples=max(1, examples // 3),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        vary(monkeypatch, data)
        source, history = data.draw(sources()), data.draw(stories(ordering))
        is_lossy = data.draw(st.integers(0, 3)) == 0
        batches = data.draw(deliveries(history, lossy=is_lossy))
        harness = alone(warehouse_url, source, tmp_path)
        note(str(harness.directory))
        try:
            deliver(harness, batches)
            model = expected(flatten(batches), harness.source)
            compare(harness, model)
            assert harness.tombstones() == model.tombstones
            state = expected(history, harness.source)
            items = [single(h[-1]) for h in state.changes.values() if h[-1].image is not None]
            if items:  # an export of nothing is refused
                drifted = reconcile(harness, items, seed=len(history))
                assert is_lossy or drifted == 0
                compare(harness, state, is_repaired=True)
        finally:
            shutil.rmtree(harness.directory)

    run()


def single(change: Change) -> Any:
    """The item as an export has it: binary values in base64 once."""
    assert change.image is not None
    return change.image if change.base64_layers == 1 else once(change.image)


def once(typed: Any) -> Any:
    """Typed values with binary in base64 once instead of twice."""
    match typed:
        case {"B": str(text)}:
            return {"B": base64.b64decode(text).decode()}
        case {"BS": [*texts]}:
            return {"BS": [base64.b64decode(text).decode() for text in texts]}
        case dict():
            return {name: once(value) for name, value in typed.items()}
        case list():
            return [once(value) for value in typed]
    return typed


# --- what the random cases have found ------------------------------------------------------------------


def merged(url: str, folder: Path, target: Target, *images: dict[str, Any]) -> Harness:
    harness = alone(url, Source("shop", "", KEY, (target,), reconcile=ReconcilePolicy(max_delete=1.0)), folder)
    for number, image in enumerate(images):
        harness.put_records([stream_record({"PK": str(number), "SK": ""}, image, sequence=number, at=START)])
    harness.run()
    return harness


def test_the_members_of_a_number_set_are_sorted_by_value(tmp_path: Path) -> None:
    columns = (Column("tag", (), ColumnType(Kind.INTEGER)),)
    target = Target("t", each=("Tags",), columns=columns, evolve=Evolve.FREEZE)
    harness = merged(f"duckdb:///{tmp_path}/w", tmp_path, target, {"Tags": {10, 9, -1}})
    assert harness.query(f"SELECT _cdc_index, tag FROM {harness.schema}.t ORDER BY 1") == [(0, -1), (1, 9), (2, 10)]


def test_the_members_of_a_binary_set_have_one_order_in_a_feed_and_an_export(tmp_path: Path) -> None:
    columns = (Column("tag", (), ColumnType(Kind.BINARY)),)
    target = Target("t", each=("Tags",), columns=columns, evolve=Evolve.FREEZE)
    source = Source("shop", "", KEY, (target,), reconcile=ReconcilePolicy(max_delete=1.0))
    harness = alone(f"duckdb:///{tmp_path}/w", source, tmp_path)
    image = {"PK": "1", "SK": "", "Tags": {bytes([n]) for n in range(0, 256, 15)}}
    harness.put_records([kinesis_record({"PK": "1", "SK": ""}, image, at=START)])
    harness.run()
    assert reconcile(harness, [to_item(image)], seed=0) == 0


@pytest.mark.parametrize("nul", ["a\0b", "\\u0000"], ids=["U+0000", "its escape as text"])
def test_an_attribute_that_was_null_before_it_had_a_column_is_no_drift_beside_a_text_with_nul(
    warehouse_url: str, tmp_path: Path, nul: str
) -> None:
    source = Source("shop", "", KEY, (Target("t"),), reconcile=ReconcilePolicy(max_delete=1.0))
    harness = alone(warehouse_url, source, tmp_path)
    first = {"PK": "1", "SK": "", "Text": nul, nul: {"a": nul}, "Email": None}
    second = {"PK": "2", "SK": "", "Text": "x", "Email": "a@b.c"}
    for image in (first, second):
        keys = {"PK": image["PK"], "SK": image["SK"]}
        harness.put_records([kinesis_record(keys, image, at=START)])
        harness.run()
    assert reconcile(harness, [to_item(first), to_item(second)], seed=0) == 0
    assert reconcile(harness, [to_item({**first, nul: {"a": nul + "!"}}), to_item(second)], seed=0) == 1


def test_a_map_has_one_hash_in_whatever_order_its_keys_come(tmp_path: Path) -> None:
    target = Target("t", columns=(Column("hash", ("Address",), mask=Mask.HASH),), evolve=Evolve.FREEZE)
    address = {"City": "Bern", "Zip": "3000"}
    images = ({"Address": address}, {"Address": dict(reversed(address.items()))})
    harness = merged(f"duckdb:///{tmp_path}/w", tmp_path, target, *images)
    assert harness.query(f"SELECT count(DISTINCT hash) FROM {harness.schema}.t") == [(1,)]


def test_an_attribute_gets_a_column_of_its_own_beside_that_of_a_piece(tmp_path: Path) -> None:
    piece = Column("c1", ("Ref",), template=Template(("ORDER#", "#ITEM#", ""), 0))
    target = Target("t", columns=(piece,), evolve=Evolve.ADD)
    harness = merged(f"duckdb:///{tmp_path}/w", tmp_path, target, {"Ref": "ORDER#1#ITEM#2"})
    assert harness.query(f"SELECT c1, ref FROM {harness.schema}.t") == [("1", "ORDER#1#ITEM#2")]


def test_an_elements_attribute_gets_a_column_beside_that_of_the_item_around(tmp_path: Path) -> None:
    around = Column("around", ("Status",), ColumnType(Kind.TEXT), of_parent=True)
    target = Target("t", each=("Items",), columns=(around,), evolve=Evolve.ADD)
    harness = merged(f"duckdb:///{tmp_path}/w", tmp_path, target, {"Status": "a", "Items": [{"Status": "b"}]})
    assert harness.query(f"SELECT around, status FROM {harness.schema}.t") == [("a", "b")]


def test_an_attribute_becomes_a_column_also_where_a_part_of_it_waits_for_a_value(tmp_path: Path) -> None:
    target = Target("t", columns=(Column("city", ("Address", "City")),), evolve=Evolve.ADD)
    harness = merged(f"duckdb:///{tmp_path}/w", tmp_path, target, {"Address": {"Zip": "1"}})
    assert harness.query(f"SELECT address, _cdc_rescued FROM {harness.schema}.t") == [('{"Zip":"1"}', None)]


def test_an_element_itself_may_wait_for_its_type(tmp_path: Path) -> None:
    target = Target("t", each=("Tags",), columns=(Column("tag", ()),), evolve=Evolve.ADD)
    harness = merged(f"duckdb:///{tmp_path}/w", tmp_path, target, {"Tags": [None]})
    assert harness.query(f"SELECT _cdc_index, _cdc_rescued FROM {harness.schema}.t") == [(0, None)]
