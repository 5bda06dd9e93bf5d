"""The merge's SQL in Snowflake's dialect on a real engine of that kind. The stories of tests/merge run on it, too."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snowflake.connector.errors import ProgrammingError

from cdc_merge.layout import layout_of
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Source, Target
from cdc_merge.warehouses import Statement
from cdc_merge.warehouses.snowflake import SnowflakeWarehouse
from tests.databend.engine import Databend, DatabendConnection
from tests.databend.translation import RULES, Rule, translate
from tests.properties.same import assert_same_item
from tests.support.harness import Harness
from tests.support.model import expected
from tests.support.records import Record, stream_record

pytestmark = [pytest.mark.long, pytest.mark.databend]

T0 = datetime(2026, 1, 1, tzinfo=UTC)
FLOOR = T0 + timedelta(seconds=40)
KEY = ("PK", "SK")
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target(
    "orders",
    where=(Condition(("Type",), any_of=("Order",)),),
    columns=(
        Column("total", ("Total",), ColumnType(Kind.NUMERIC, 12, 2)),
        Column("placed_at", ("PlacedAt",), ColumnType(Kind.TIMESTAMP)),
        Column("token", ("Token",), ColumnType(Kind.BINARY)),
        Column("lines", ("Lines",), ColumnType(Kind.JSON)),
    ),
    evolve=Evolve.FREEZE,
)
LINES = Target("order_lines", where=ORDERS.where, each=("Lines",), columns=(Column("sku", ("Sku",)),))
SHOP = Source("shop", "", KEY, (CUSTOMERS, ORDERS, LINES))


class Cut(Exception):
    """A merge that is broken off."""


# --- the translation ----------------------------------------------------------------------------------------------


@pytest.fixture
def connection(databend: Databend) -> Iterator[DatabendConnection]:
    """A session with a table `_given` of one row, and a file with its like on the stage."""
    name = databend.fresh_database()
    with databend.behind_the_driver(), closing(databend.connect(database=name, schema="PUBLIC")) as opened:
        opened.said("CREATE TABLE _given (a VARCHAR)")
        opened.said("INSERT INTO _given VALUES ('x')")
        opened.said(made := databend.stage("_cdc_stage"))
        bucket, _, folder = made.split("'")[1].removeprefix("s3://").partition("/")
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"c0": ["y"]}), sink)
        databend.client.put_object(Bucket=bucket, Key=f"{folder}x/0.parquet", Body=sink.getvalue().to_pybytes())
        yield opened
    databend.drop_database(name)


def answer(connection: DatabendConnection, sql: str, rules: Sequence[Rule]) -> list[tuple[Any, ...]] | None:
    """The rows that databend has of a statement; None: it refuses it."""
    try:
        with connection.cursor() as cursor:
            cursor.ask(translate(sql, rules))
            return cursor.fetchall()
    except ProgrammingError:
        return None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_databend_takes_the_words_of_each_rule_and_nothing_without_it(
    connection: DatabendConnection, rule: Rule
) -> None:
    others = [other for other in RULES if other is not rule]
    without = answer(connection, rule.example, others)
    assert (translated := answer(connection, rule.example, RULES)) is not None
    assert without != translated


def test_the_rules_leave_texts_and_names_alone() -> None:
    said = """SELECT 'NUMERIC FLOAT -- TEMPORARY TABLE', "FLOAT", 'it''s' -- NUMERIC\nFROM t"""
    assert translate(said) == """SELECT 'NUMERIC FLOAT -- TEMPORARY TABLE', "float", 'it''s' FROM t"""


# --- the merge ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(databend_url: str, tmp_path: Path) -> Harness:
    return Harness(databend_url, SHOP, tmp_path / "feed")


def history(items: int, changes: int, *, dice: random.Random) -> list[Record]:
    """Changes of items in their order: they come, change, change their type, go and come back."""
    records: list[Record] = []
    alive: dict[int, dict[str, Any]] = {}
    for number in range(changes):
        which = dice.randrange(items)
        keys = {"PK": f"SHOP#{which % 7}", "SK": f"ITEM#{which}é'"}
        old = alive.pop(which, None)
        image = None
        if old is None or dice.random() < 0.75:
            alive[which] = image = {"Type": dice.choice(["Customer", "Order", "Order", "Other"]), **_attributes(dice)}
        moment = T0 + timedelta(seconds=number // 10)
        records.append(stream_record(keys, image, old_image=old, sequence=10**21 + number, at=moment))
    return records


def _attributes(dice: random.Random) -> dict[str, Any]:
    whole = {
        "Name": dice.choice(["", "Ann", "O'Neil", 'a "b" \\c', "ä🛒"]),
        "Total": dice.choice([1, 250, 10**11]),
        "PlacedAt": dice.choice(["2026-01-02T03:04:05.678901Z", "1970-01-01T00:00:00.000007Z", "soon"]),
        "Token": dice.choice([b"", b"\x00\xff"]),
        "Lines": [{"Sku": f"s{n}", "Price": n} for n in range(dice.randrange(3))],
    }
    return {name: value for name, value in whole.items() if dice.random() < 0.7}


def delivered(records: Sequence[Record], batches: int, *, dice: random.Random) -> list[list[Record]]:
    """In batches of no order: some late by a batch or two, some twice, some never."""
    parted: list[list[Record]] = [[] for _ in range(batches)]
    for number, record in enumerate(records):
        place = number * batches // len(records)
        for _ in range(dice.choice([0, 1, 1, 1, 1, 1, 2])):
            parted[min(batches - 1, place + dice.choice([0, 0, 0, 0, 1, 2]))].append(record)
    for batch in parted:
        dice.shuffle(batch)
    return parted


@pytest.mark.parametrize("seed", range(3))
def test_many_changes_in_any_order_end_as_the_model_says(shop: Harness, databend: Databend, seed: int) -> None:
    dice = random.Random(seed)
    first = [stream_record({"PK": "x", "SK": n}, {"Type": n}, sequence=1, at=T0) for n in ("Customer", "Order")]
    batches = [first, *delivered(history(60, 900, dice=dice), 5, dice=dice)]

    for number, batch in enumerate(batches):
        shop.put_records(batch)
        assert shop.run().counts.records == len(batch)
        if number == 0:
            raise_floors(shop)  # the changes of the first seconds come too late for all targets

    records = [record for batch in batches[1:] for record in batch]
    model = expected(records, shop.source, floors={target.table: FLOOR for target in SHOP.targets})
    forgotten = {("x", "Customer"), ("x", "Order")}  # they were there before the floor
    for table, rows in shop.tables().items():
        if table == LINES.table:
            continue
        wanted = model.tables[table]
        found = {key: row for key, row in rows.items() if key not in forgotten}
        assert {k: (r.position, r.changed_at) for k, r in found.items()} == {
            k: (r.position, r.changed_at) for k, r in wanted.items()
        }, table
        for key, row in found.items():
            item = wanted[key].item
            assert_same_item(row.item, as_landed(item) if table == ORDERS.table else item)
    orders = model.tables[ORDERS.table]
    lines = {(key, index) for key, row in orders.items() for index in range(len(row.attributes.get("Lines", [])))}
    assert set(shop.rows()[LINES.table][1]) == lines
    assert shop.tombstones() == model.tombstones
    assert {"rows found by other rows, to delete", "fields of a file"} <= databend.translated


def as_landed(item: dict[str, Any]) -> dict[str, Any]:
    """An item with its time as its column gives it, if it is one."""
    when = item.get("PlacedAt", "")
    return {**item, "PlacedAt": datetime.fromisoformat(when)} if when.endswith("Z") else item


def raise_floors(harness: Harness) -> None:
    with closing(harness.open()) as warehouse, warehouse.session() as session:
        targets = warehouse.dialect.quote(*layout_of(harness.settings, warehouse).metadata["targets"].parts)
        moment = f"CAST('{FLOOR.isoformat()}' AS TIMESTAMP WITH TIME ZONE)"
        session.run([Statement("raise floors", f"UPDATE {targets} SET floor_at = {moment}")])


def test_a_merge_that_fails_half_way_leaves_all_as_it_was(shop: Harness) -> None:
    records = history(20, 60, dice=random.Random(1))
    shop.put_records(records[:30])
    shop.run()
    before = shop.tables(), shop.rows(), shop.tombstones()
    shop.put_records(records[30:])

    def cut(label: str, _seconds: float) -> None:
        if label == "insert tombstones":
            raise Cut

    with closing(SnowflakeWarehouse(shop.url, observer=cut)) as warehouse, pytest.raises(Cut):
        shop.worker(warehouse=warehouse).run_once()
    assert (shop.tables(), shop.rows(), shop.tombstones()) == before
