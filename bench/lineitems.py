"""TPC-H's lineitem as a target of any size: its columns, its changes, and rows made by SQL to merge them into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path

from bench.changes import Knobs, generate
from bench.feed import DATA, make_once
from bench.objects import write_objects
from bench.tpch import LINE_PLACES, Lineitems
from bench.zipf import stride
from cdc_merge.model import BatchLimits, Column, ColumnType, Condition, Evolve, Kind, Settings, Source, Target

TABLE = "lineitem"
ALL_AT_ONCE = BatchLimits(bytes=16 * 1000**3)
_RECORDS_OF_OBJECT = 125_000
_SEED_CHANGES = 100

_TYPES = {
    "text": ColumnType(Kind.TEXT),
    "integer": ColumnType(Kind.INTEGER),
    "money": ColumnType(Kind.NUMERIC, 12, 2),
    "date": ColumnType(Kind.DATE),
}
# Each column, its type, and what makes its value from the hash `h` and the order's number `o` of a row.
_COLUMNS = (
    ("l_orderkey", "integer", "orderkey"),
    ("l_partkey", "integer", "h % 200000 + 1"),
    ("l_suppkey", "integer", "h % 10000 + 1"),
    ("l_linenumber", "integer", "line"),
    ("l_quantity", "integer", "h % 50 + 1"),
    ("l_extendedprice", "money", "CAST(90000 + h % 9000000 AS double precision) / 100"),
    ("l_discount", "money", "CAST(h % 11 AS double precision) / 100"),
    ("l_tax", "money", "CAST(h % 9 AS double precision) / 100"),
    ("l_returnflag", "text", "substr('RAN', CAST(h % 3 + 1 AS integer), 1)"),
    ("l_linestatus", "text", "substr('OF', CAST(h % 2 + 1 AS integer), 1)"),
    ("l_shipdate", "date", "DATE '1992-01-01' + CAST(o % 2406 + h % 121 AS integer)"),
    ("l_commitdate", "date", "DATE '1992-01-01' + CAST(o % 2406 + 30 + h % 61 AS integer)"),
    ("l_receiptdate", "date", "DATE '1992-01-01' + CAST(o % 2406 + 1 + h % 151 AS integer)"),
    ("l_shipinstruct", "text", "substr('DELIVER IN PERSON', 1, CAST(h % 12 + 6 AS integer))"),
    ("l_shipmode", "text", "substr('REG AIR', 1, CAST(h % 4 + 4 AS integer))"),
    ("l_comment", "text", "substr('slyly final packages sleep furiously', CAST(h % 9 + 1 AS integer), 27)"),
)
COLUMNS = tuple(Column(name, (name,), _TYPES[kind]) for name, kind, _ in _COLUMNS)
TARGET = Target(TABLE, where=(Condition(("Type",), any_of=("Lineitem",)),), columns=COLUMNS, evolve=Evolve.FREEZE)

LAST_FILLED = "2026-01-01T00:00:00.000/" + "0" * 20 + "9" * 20
"""No position of a row made by `fill_sql` is greater, and each of a change is."""


@dataclass(frozen=True)
class LineitemFeed:
    """Changes of lineitems: a few to make the tables with, then batches, each newer than the one before."""

    rows: int
    seed: tuple[Path, ...]
    batches: tuple[tuple[Path, ...], ...]


def lineitem_feed(rows: int, batches: Sequence[int], *, below: Path = DATA) -> LineitemFeed:
    """Batches of so many changes, of any of `rows` items alike; generated if they are not there yet."""
    folder = below / f"lineitem-{rows}-{'-'.join(map(str, batches))}"
    sizes = (min(_SEED_CHANGES, rows), *batches)

    def write(place: Path) -> None:
        records = generate(rows, sum(sizes), kind=Lineitems, knobs=Knobs(skew=0.0))
        for number, size in enumerate(sizes):
            objects = -(-size // _RECORDS_OF_OBJECT)
            stream = f"batch-{number}"
            write_objects(place / stream, islice(records, size), total=size, objects=objects, stream=stream)

    make_once(folder, write)
    found = [tuple(sorted((folder / f"batch-{n}").rglob("*.gz"))) for n in range(len(sizes))]
    return LineitemFeed(rows, found[0], tuple(found[1:]))


def shares_of(rows: int) -> dict[str, int]:
    """Batches from 0.0001 % to 10 % of a table, by their name; each at least one change."""
    return {f"{percent:g} %": max(1, round(rows * percent / 100)) for percent in _percents()}


def _percents() -> list[float]:
    return list(accumulate([0.0001, 10, 10, 10, 10, 10], lambda a, b: a * b))


def lineitem_settings(
    *, warehouse: str, changes: str, batch: BatchLimits = ALL_AT_ONCE, memory: int = Source.memory
) -> Settings:
    """A configuration with lineitem as its one target."""
    source = Source("lineitem", changes, ("PK", "SK"), (TARGET,), batch=batch, memory=memory)
    return Settings(warehouse, "analytics", "cdc_merge", (source,))


def fill_sql(rows: int) -> str:
    """INSERT of all rows, as a merge would have left them long ago; DuckDB and Postgres take the same words.

    They come in no order of their keys, as changes come: else a merge would find its rows side by side.
    """
    places = len(LINE_PLACES)
    values = ", ".join(f"CAST({value} AS {_SQL_TYPES[kind]})" for _, kind, value in _COLUMNS)
    names = ", ".join(name for name, _, _ in _COLUMNS)
    # The p-th of 28 places: order `t` of 7 has t + 1 lines, so the lines before it are a triangular number.
    return f"""
        INSERT INTO analytics.{TABLE} (pk, sk, {names}, _cdc_position, _cdc_changed_at, _cdc_merged_at, _cdc_rescued)
        SELECT concat('ORDER#', orderkey), concat('LINE#', line), {values},
            concat('2026-01-01T00:00:00.000/', lpad(CAST(n AS varchar), 40, '0')),
            TIMESTAMPTZ '2026-01-01T00:00:00Z', TIMESTAMPTZ '2026-01-01T00:01:00Z', NULL
        FROM (
            SELECT n, o, (o - o % 8) * 4 + o % 8 + 1 AS orderkey, CAST(p - t * (t + 1) / 2 + 1 AS bigint) AS line,
                n * 2654435761 % 4294967291 AS h
            FROM (
                SELECT n, p, t, CAST((n - p) / {places} AS bigint) * 7 + t AS o
                FROM (
                    SELECT n, p, CAST(floor((sqrt(8 * p + 1) - 1) / 2) AS bigint) AS t
                    FROM (SELECT n, n % {places} AS p FROM (
                        SELECT i * CAST({stride(rows)} AS bigint) % {rows} AS n
                        FROM generate_series(CAST(0 AS bigint), CAST({rows - 1} AS bigint)) AS g(i)
                    ) AS numbered) AS placed
                ) AS grouped
            ) AS ordered
        ) AS lines
    """


_SQL_TYPES = {"text": "varchar", "integer": "bigint", "money": "decimal(12, 2)", "date": "date"}
