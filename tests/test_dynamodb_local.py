"""The whole road from a real DynamoDB: its stream's records in objects as Firehose writes them, its items by reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from cdc_merge import Reconciler, Report
from cdc_merge.forget import Forgetter
from cdc_merge.layout import layout_of
from cdc_merge.model import Condition, Deletes, ReconcilePolicy, Source, Target
from cdc_merge.reconcile.meter import Verdict
from cdc_merge.reconcile.probe import Probe
from cdc_merge.reconcile.way import REPAIR, Way
from cdc_merge.warehouses import Statement
from tests.properties.same import assert_same_item
from tests.support.dynamodb import StreamedTable, dynamodb_local, typed_key
from tests.support.harness import Harness
from tests.support.histories import NASTY
from tests.support.model import Row, expected, key_text, plain_item
from tests.support.records import Record, compress, frame

pytestmark = pytest.mark.long

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order",)),))
EVER = Target("ever", deletes=Deletes.SOFT)
# A reconcile judges all that was read from the stream by the second before it.
SOURCE = Source(
    "shop", "", ("PK", "SK"), (CUSTOMERS, ORDERS, EVER), reconcile=ReconcilePolicy(margin=0.0, max_delete=1.0)
)

# Each of a type of its own, numbers as nobody would write them.
VALUES: list[dict[str, Any]] = [
    {"S": ""},
    {"S": "Grüße, \u0000 and 日本語"},
    {"N": "1.00"},
    {"N": "100"},
    {"N": "1E2"},
    {"N": "-0.0"},
    {"N": "0.10"},
    {"N": "12345678901234567890123456789012345678"},
    {"N": "1E-130"},
    {"N": "9.9999999999999999999999999999999999999E+125"},
    {"B": b"\x00\xff"},
    {"B": b""},
    {"BOOL": True},
    {"NULL": True},
    {"SS": ["b", "a", "ä"]},
    {"NS": ["10.0", "9"]},
    {"BS": [b"b", b"a"]},
    {"M": {"a": {"N": "1.50"}, "b": {"B": b"x"}}},
    {"L": [{"N": "2.0"}, {"NULL": True}, {"M": {}}]},
]


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with dynamodb_local():
        yield


class Shop(Harness):
    """A table, its stream, the objects of its records, and a warehouse."""

    table: StreamedTable
    records: list[Record]

    def flow(self, *, lost: bool = False) -> list[Record]:
        """Put what is new in the stream into an object, gzipped and with nothing between records; or lose it."""
        records = self.table.new_records()
        if records and not lost:
            self.put(compress(frame(records, "concatenated"), "gzip"))
            self.records += records
        return records

    def assert_as_the_table(self) -> None:
        """The rows are the items that are there now, and only they, but for the marked ones."""
        there = {tuple(key_text(item[name]) for name in ("PK", "SK")): plain_item(item) for item in self.table.items()}
        for table, rows in self.tables().items():
            wanted = {
                key: item
                for key, item in there.items()
                if table == "ever" or item.get("Type") == {"customers": "Customer", "orders": "Order"}[table]
            }
            alive = {key: row for key, row in rows.items() if row.deleted_at is None}
            assert alive.keys() == wanted.keys(), table
            for key, row in alive.items():
                assert_same_item(row.item, Row("", None, wanted[key]).item)


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Shop:
    name = f"shop-{uuid4()}"
    shop = Shop(warehouse_url, replace(SOURCE, table=name), tmp_path / "feed")
    shop.table, shop.records = StreamedTable(name), []
    shop.table.create()
    return shop


def customer(key: str, **attributes: dict[str, Any]) -> dict[str, Any]:
    return {**typed_key(key), "Type": {"S": "Customer"}, **attributes}


def scan(shop: Shop, way: Way = REPAIR) -> Report:
    time.sleep(1.1)  # what was read from the stream has times of an earlier second
    with Reconciler(shop.settings) as reconciler:
        report = reconciler.reconcile_scanned("shop", rate=None, way=way)
    time.sleep(1.1)  # and what comes later those of a later one
    return report


def write_at_random(shop: Shop, random: Random, *, writes: int) -> None:
    keys = [typed_key(p, s) for p in random.sample(NASTY, 4) for s in ("-", "é")]
    for _ in range(writes):
        key = random.choice(keys)
        dice = random.random()
        if dice < 0.25:
            shop.table.client.delete_item(TableName=shop.table.name, Key=key)
        elif dice < 0.4:  # an item that is there only half, or the same once more, which is no change
            shop.table.client.update_item(
                TableName=shop.table.name,
                Key=key,
                UpdateExpression="SET a = :a REMOVE b",
                ExpressionAttributeValues={":a": random.choice(VALUES[:3])},
            )
        else:
            kind = {"Type": {"S": random.choice(("Customer", "Order", "?"))}}
            shop.table.put({**key, **kind, **{name: random.choice(VALUES) for name in random.sample("abcd", 2)}})
        if random.random() < 0.3:
            shop.flow()
    shop.flow()


def test_the_rows_are_the_items_whatever_was_written_in_whatever_order_objects_come(shop: Shop) -> None:
    random = Random(1)
    write_at_random(shop, random, writes=60)
    again = [*shop.records]
    random.shuffle(again)
    objects = sorted(shop.directory.rglob("*-*"))
    held_back = {path: path.read_bytes() for path in random.sample(objects, len(objects) // 2)}
    for path in held_back:
        path.unlink()
    shop.run()
    for path, data in held_back.items():
        path.write_bytes(data)
    shop.put(compress(frame(again[: len(again) // 2]), "gzip"))
    shop.run()

    shop.assert_as_the_table()
    model = expected(shop.records, shop.source)
    for table, rows in shop.tables().items():
        assert {k: (r.position, r.deleted_at) for k, r in rows.items()} == {
            k: (r.position, r.deleted_at) for k, r in model.tables[table].items()
        }
    assert shop.tombstones() == model.tombstones
    report = scan(shop)
    assert report.drifted == 0
    assert report.items == len(shop.table.items())


def test_a_stream_that_is_switched_off_and_on_again_goes_on(shop: Shop) -> None:
    shop.table.put(customer("kept", v={"N": "1"}))
    shop.table.put(customer("gone"))
    shop.flow()
    shop.table.renew_stream()
    shop.table.put(customer("kept", v={"N": "2"}))
    shop.table.delete("gone", "-")
    (first,) = shop.directory.rglob("feed-*")
    held_back = first.read_bytes()
    first.unlink()
    shop.flow()
    assert len({r["eventSourceARN"] for r in shop.records}) == 2
    shop.run()
    shop.assert_as_the_table()
    first.write_bytes(held_back)  # the older stream's changes come late
    counts = shop.run().counts
    assert (counts.stale, counts.applied) == (1, 1)  # `ever` has the deleted item now, marked
    shop.assert_as_the_table()


def test_a_scan_finds_and_repairs_exactly_what_the_feed_lost(shop: Shop) -> None:
    for key in ("equal", "updated", "deleted", "moved", "altered"):
        shop.table.put(customer(key, n={"N": "1.50"}))
    shop.flow()
    shop.run()
    shop.table.put(customer("updated", n={"N": "2"}))
    shop.table.put(customer("inserted"))
    shop.table.delete("deleted", "-")
    shop.table.put({**customer("moved"), "Type": {"S": "Order"}})
    shop.flow(lost=True)
    with closing(shop.open()) as warehouse, warehouse.session() as session:
        session.run([Statement("alter", f"UPDATE {shop.schema}.customers SET n = 7 WHERE pk = 'altered'")])

    found = scan(shop, Way(dry_run=True))
    report = scan(shop)

    for each in (found, report):
        v = each.targets["customers"]
        assert (v.equal, v.missing, v.extra, v.different, v.newer) == (1, 1, 2, 2, 0)
        assert {s.key[0] for s in v.samples} == {"inserted", "deleted", "moved", "updated", "altered"}
    shop.assert_as_the_table()
    assert scan(shop).drifted == 0
    shop.table.put(customer("updated", n={"N": "3"}))
    shop.table.delete("inserted", "-")
    shop.flow()
    shop.run()
    shop.assert_as_the_table()
    assert scan(shop).drifted == 0


def test_numbers_have_one_spelling_in_streams_and_reads_so_rescued_ones_are_no_drift(shop: Shop) -> None:
    """A column of text: each number is rescued, of which a reconcile compares the text."""
    shop.table.put(customer("first", a={"S": "text"}))
    numbers = [value for value in VALUES if "N" in value or "NS" in value or "L" in value or "M" in value]
    for n, value in enumerate(numbers):
        shop.table.put(customer(str(n), a=value))
    shop.flow()
    shop.run()
    rescued = shop.query(f"SELECT count(*) FROM {shop.schema}.customers WHERE _cdc_rescued IS NOT NULL")
    report = scan(shop)
    assert rescued[0][0] > 0
    assert report.drifted == 0
    assert report.targets["customers"].equal == len(numbers) + 1


def test_the_drift_meter_reads_rows_beside_their_items(shop: Shop) -> None:
    for n, value in enumerate(VALUES):
        shop.table.put(customer(f"k{n}", a=value))
    shop.table.put(customer("updated"))
    shop.table.put(customer("deleted"))
    shop.flow()
    shop.run()
    shop.table.put(customer("updated", a={"S": "new"}))
    shop.table.delete("deleted", "-")
    shop.flow(lost=True)

    with closing(shop.open()) as warehouse:
        probe = Probe(
            shop.source,
            shop.table.name,
            warehouse=warehouse,
            layout=layout_of(shop.settings, warehouse),
            clock=lambda: datetime.now(UTC),
            wait=time.sleep,
            check=lambda: None,
            random=Random(1),
        )
        readings = probe.read(probe.sample(1000))

    found = {(row.target, row.key[0]): reading.verdict for row, reading in readings.items()}
    assert len(found) == 2 * (len(VALUES) + 2)  # customers and ever
    assert {key: v for key, v in found.items() if v is not Verdict.EQUAL} == {
        (0, "updated"): Verdict.DIFFERENT,
        (0, "deleted"): Verdict.EXTRA,
        (2, "updated"): Verdict.DIFFERENT,
        (2, "deleted"): Verdict.EXTRA,
    }


def test_a_forgotten_item_is_nowhere_and_a_scan_does_not_bring_it_back(shop: Shop) -> None:
    shop.table.put(customer("alice@example.com", a={"S": "secret"}))
    shop.table.put(customer("bob"))
    shop.flow()
    shop.table.delete("alice@example.com", "-")
    shop.flow()
    shop.run()
    with closing(Forgetter(shop.settings, "shop", ("alice@example.com", "-"))) as forgetter:
        forgotten = forgetter.erase(forgetter.look(find_newest=False), keep_tombstone=False)
    assert len(forgotten.held) == 2
    assert scan(shop).drifted == 0
    rows = shop.query(
        f"SELECT pk FROM {shop.schema}.ever UNION ALL SELECT partition_key FROM {shop.metadata}.tombstones"
    )
    assert rows == [("bob",)]
