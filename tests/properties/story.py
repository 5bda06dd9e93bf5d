"""A story of two batches in which every statement of a merge has something to do, and what must be true at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cdc_merge.model import BatchLimits, Condition, Source, Target
from tests.properties.same import assert_same_item
from tests.support.harness import Harness
from tests.support.model import expected
from tests.support.records import Record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = Source(
    "shop",
    "",
    ("PK",),
    (
        Target("customers", where=(Condition(("Type",), any_of=("Customer",)),)),
        Target("orders", where=(Condition(("Type",), any_of=("Order",)),)),
    ),
)


def change(key: str, sequence: int, **attributes: Any) -> Record:
    """An upsert; a REMOVE if there are no attributes."""
    image = {"PK": key, **attributes} if attributes else None
    return stream_record({"PK": key}, image, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def broken(key: str, sequence: int) -> Record:
    """An upsert without its image, which goes into quarantine."""
    record = change(key, sequence, Type="Order")
    del record["dynamodb"]["NewImage"]
    return record


FIRST = [
    [change("stays", 1, Type="Customer", v="1"), change("moves", 2, Type="Customer"), change("goes", 3, Type="Order")],
    [
        change("comes back", 4),
        change("other", 5, Type="Other"),
        broken("broken", 6),
        change("stays", 7, Type="Customer"),
    ],
]
LATER = [
    [change("moves", 12, Type="Order", v="2"), change("goes", 13), change("comes back", 14, Type="Customer", new="x")],
    [change("other", 1, Type="Customer"), broken("broken", 16), change("new", 17, Type="Order", new={"a": 1})],
    [
        change("moves", 11, Type="Customer"),
        change("new", 17, Type="Order", new={"a": 1}),
        change("nobody's", 18, Type="?"),
    ],
]


def many(objects: int, *, keys: int = 7) -> list[list[Record]]:
    """Objects of three changes each, in which keys come again and again, move, go and come back."""
    sequence = iter(range(1, 3 * objects + 1))
    kinds = ({"Type": "Customer"}, {"Type": "Order"}, {}, {"Type": "Other"})
    return [[_nth(n, keys, kinds) for n in (next(sequence), next(sequence), next(sequence))] for _ in range(objects)]


def _nth(number: int, keys: int, kinds: Sequence[Mapping[str, Any]]) -> Record:
    kind = kinds[number * 5 // 3 % len(kinds)]
    return change(f"k{number % keys}", number, **({**kind, "v": str(number)} if kind else {}))


def put(harness: Harness, objects: Iterable[Sequence[Record]]) -> None:
    for records in objects:
        harness.put_records(records)


def contents(harness: Harness) -> dict[str, list[str]]:
    """All that is in the warehouse, leases apart: every column and every row of every table.

    Where DDL commits by itself, an empty table and a column without a value are as good as none.
    """
    warehouse = harness.open()
    dialect = warehouse.dialect
    schemas = " OR ".join(
        f"table_schema = '{dialect.in_catalog(schema)}'" for schema in (harness.schema, harness.metadata)
    )
    columns = (
        f"SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE {schemas} ORDER BY 1, 2, 3"
    )
    with warehouse.session() as session:
        found: dict[str, list[str]] = {}
        for schema, table, column in session.query(columns):
            found.setdefault(dialect.from_catalog(f"{schema}.{table}"), []).append(column)
        for table, names in found.items():
            if table != f"{harness.metadata}.leases":
                listed = ", ".join(f'"{name}"' for name in names)
                rows = session.query(f"SELECT {listed} FROM {table}")
                if dialect.ddl_commits:
                    used = [i for i in range(len(names)) if any(row[i] is not None for row in rows)]
                    names[:] = [names[i] for i in used]
                    rows = [tuple(row[i] for i in used) for row in rows]
                names += sorted(map(repr, rows))
    warehouse.close()
    return {table: told for table, told in found.items() if told or not dialect.ddl_commits}


def assert_merged_once(harness: Harness, objects: Sequence[Sequence[Record]]) -> None:
    """The tables are as the model says after these objects, and the books count each object and record once."""
    records = [record for each in objects for record in each]
    assert_as_the_model(harness, records)
    m = harness.metadata
    ledger = harness.query(f"SELECT object_key, records, batch_id FROM {m}.objects")
    assert len(ledger) == len({key for key, _, _ in ledger}) == len(objects)
    batches = harness.query(
        f"SELECT batch_id, objects, records, applied + superseded + stale + ignored + quarantined FROM {m}.batches"
    )
    for batch, count, read, accounted in batches:
        mine = [number for _, number, of in ledger if of == batch]
        assert (count, read) == (len(mine), sum(mine))
        assert accounted == read
    assert sum(read for _, _, read, _ in batches) == len(records)
    unusable = [r for r in records if r["eventName"] != "REMOVE" and "NewImage" not in r["dynamodb"]]
    assert harness.query(f"SELECT count(*) FROM {m}.quarantine") == [(len(unusable),)]


def assert_as_the_model(harness: Harness, records: Sequence[Record]) -> None:
    model = expected(records, harness.source)
    for table, rows in harness.tables().items():
        assert {k: r.position for k, r in rows.items()} == {k: r.position for k, r in model.tables[table].items()}, (
            table
        )
        for key, row in rows.items():
            assert_same_item(row.item, model.tables[table][key].item)
    assert harness.tombstones() == model.tombstones


def shop(url: str, folder: Path, *, objects: int = 1000, poll: float = 5.0) -> Harness:
    """The story's source; `objects`: the most in one batch, `poll`: seconds."""
    return Harness(url, replace(SOURCE, batch=BatchLimits(objects=objects), poll=poll), folder / "feed")
