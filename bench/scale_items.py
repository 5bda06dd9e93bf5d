"""The table and the batches of the measures of scale: rows in the order they came, changes of recent or of any keys.

A table that grew has its rows in the order of their keys where keys tell time: numbers of orders, ULIDs. Changes of the
newest keys meet few of its blocks, changes of any keys meet all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import duckdb

from bench.feed import DATA, make_once
from bench.zipf import stride
from cdc_merge.model import Column, ColumnType, Evolve, Kind, Source, Target

TABLE = "items"
COLUMNS = (
    Column("status", ("Status",), ColumnType(Kind.TEXT)),
    Column("quantity", ("Quantity",), ColumnType(Kind.INTEGER)),
    Column("amount", ("Amount",), ColumnType(Kind.NUMERIC, 12, 2)),
    Column("shipped", ("Shipped",), ColumnType(Kind.DATE)),
    Column("note", ("Note",), ColumnType(Kind.TEXT)),
)
TARGET = Target(TABLE, columns=COLUMNS, evolve=Evolve.FREEZE)
SOURCE = Source("scale", "", ("PK", "SK"), (TARGET,))
KEY_TAGS = ("S", "S")

_LABEL = "2026-01-01T00:00:00.000"
_FILLED, _CHANGED, _OF_BATCH = 10**15, 2 * 10**15, 10**10

# What makes a row's values of a number `h` that looks random, in words that all engines have.
_VALUES = {
    "status": "substr('openpaidsentdone', CAST({h} % 4 * 4 + 1 AS integer), 4)",
    "quantity": "{h} % 50 + 1",
    "amount": "CAST({h} % 9000000 AS decimal(12, 2)) / 100",
    "shipped": "DATE '2026-01-01' + CAST({h} % 366 AS integer)",
    "note": "substr('slyly final packages sleep furiously', CAST({h} % 9 + 1 AS integer), 27)",
}
_TYPES = {
    "status": "varchar",
    "quantity": "bigint",
    "amount": "decimal(12, 2)",
    "shipped": "date",
    "note": "varchar",
}


class Spread(Enum):
    """Which keys a batch changes."""

    RECENT = "recent keys"  # the newest of the table, and newer ones
    ANY = "any keys"  # every so many rows one, and new ones between them


@dataclass(frozen=True)
class StagedBatch:
    """A batch as decoding leaves it: `folder` has keys.parquet and rows.parquet."""

    changes: int
    spread: Spread
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.changes:,} changes of {self.spread.value}"


def fill_sql(rows: int, *, table: str, numbers: str) -> str:
    """INSERT of all rows in the order of their keys. `numbers`: a relation with a column n, 0 to rows - 1."""
    hashed = "(n * 2654435761 % 4294967291)"
    values = ", ".join(f"CAST({value.format(h=hashed)} AS {_TYPES[name]})" for name, value in _VALUES.items())
    return f"""
        INSERT INTO {table} (pk, sk, {", ".join(_VALUES)}, _cdc_position, _cdc_changed_at, _cdc_merged_at)
        SELECT {_key("n")}, 'v', {values}, {_position(f"{_FILLED} + n")},
            CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMP WITH TIME ZONE),
            CAST('2026-01-01 00:01:00+00:00' AS TIMESTAMP WITH TIME ZONE)
        FROM {numbers}
    """


def staged_batches(rows: int, sizes: tuple[int, ...], *, below: Path = DATA) -> list[StagedBatch]:
    """Batches of these sizes for a table of so many rows, newest last, of recent keys and of any; made once.

    Of 100 changes 70 are of rows that are there, 20 of new ones, 8 are removals and 2 come too late. No batch has more
    than half as many changes as there are rows.
    """
    folder = below / f"scale-{rows}-{'-'.join(map(str, sizes))}"
    wanted = [(size, spread) for size in sizes if size <= rows // 2 for spread in Spread]
    batches = [StagedBatch(size, spread, folder / str(i)) for i, (size, spread) in enumerate(wanted)]

    def write(place: Path) -> None:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for number, batch in enumerate(batches):
                (place / str(number)).mkdir(parents=True)
                for name, sql in _staged_sql(rows, number, batch):
                    connection.execute(f"COPY ({sql}) TO '{place / str(number) / name}.parquet'")

    make_once(folder, write)
    return batches


def _staged_sql(rows: int, number: int, batch: StagedBatch) -> Iterator[tuple[str, str]]:
    """Names and queries of what the decoder would have staged. What happens to a row is told by its last two digits."""
    if batch.spread is Spread.RECENT:
        place, new = f"{rows - batch.changes} + i", (_key(f"{rows} + {number * _OF_BATCH // 100} + i"), "'v'")
    else:
        place, new = f"i * {stride(rows)} % {rows}", (_key("n"), f"'w{number}'")
    # Late ones are of keys of their own: by hand nothing is remembered of what was removed.
    changes = f"""
        SELECT i + 1 AS n, CASE WHEN h BETWEEN 9 AND 28 THEN {new[0]} ELSE {_key("n")} END AS partition_key,
            CASE WHEN h BETWEEN 9 AND 28 THEN {new[1]} ELSE 'v' END AS sort_key,
            CASE WHEN h % 50 = 0 THEN {_position("n + 1")} ELSE {_position(f"{_CHANGED + number * _OF_BATCH} + i")} END
                AS position,
            TIMESTAMPTZ '2026-01-02T00:00:00Z' AS changed_at, h BETWEEN 1 AND 8 AS removed,
            ({number} + 1) * (n * 2654435761 % 4294967291) % 4294967291 AS x
        FROM (SELECT i, n, n % 100 AS h FROM (SELECT range AS i, CAST({place.replace("i", "range", 1)} AS BIGINT) AS n
            FROM range({batch.changes})) AS placed) AS numbered
    """
    told = "n, partition_key, sort_key, position, changed_at, removed, TRUE AS could, NOT removed AS takes_0"
    yield "keys", f"SELECT {told} FROM ({changes})"
    values = ", ".join(
        f"CAST({value.format(h='x')} AS {_TYPES[name]}) AS c{i}" for i, (name, value) in enumerate(_VALUES.items())
    )
    yield "rows", f"SELECT n, CAST(NULL AS VARCHAR) AS rescued, {values} FROM ({changes}) WHERE NOT removed"


def _key(number: str) -> str:
    return f"concat('ITEM#', lpad(CAST({number} AS varchar), 12, '0'))"


def _position(number: str) -> str:
    return f"concat('{_LABEL}/', lpad(CAST({number} AS varchar), 40, '0'))"
