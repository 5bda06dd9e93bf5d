"""One load to Postgres with nothing of ours: a query of DuckDB by hand, binary COPY, DELETE and ON CONFLICT."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from time import perf_counter
from typing import Any

import duckdb
import pyarrow as pa

from bench.baselines import copy_rows
from bench.by_sql import NAMES, newest
from bench.checks import connect, digest, require
from bench.child import Step, Watch
from bench.feed import COLUMNS, TABLE
from cdc_merge.model import Column, Kind

_TYPES = {
    Kind.TEXT: 'text COLLATE "C"',
    Kind.INTEGER: "bigint",
    Kind.NUMERIC: "numeric(12, 2)",
    Kind.TIMESTAMP: "timestamptz",
    Kind.JSON: "jsonb",
}
_REMOVED = f"v{len(NAMES)}"  # what is copied has no other names
_SAME_KEY = 't.pk = s.v0 COLLATE "C" AND t.sk = s.v1 COLLATE "C"'


def upsert_by_sql(*, warehouse: str, loads: dict[str, list[str]], expected: list[int]) -> dict[str, Step]:
    """Each load in turn; then the table must have the digest `expected`. It guards against no late change.

    Decoding has all of the machine's memory.
    """
    steps = {}
    with closing(connect(warehouse)) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        for label, paths in loads.items():
            steps[label] = _load(cursor, paths)
        require("rows and digest of the table by SQL alone", digest(connection, TABLE, COLUMNS), expected)
    return steps


def _load(cursor: Any, paths: list[str]) -> Step:
    watch, marks = Watch(), [perf_counter()]
    with duckdb.connect() as decoder:
        decoder.execute("SET TimeZone = 'UTC'")
        decoder.execute("SET preserve_insertion_order = false")
        rows = decoder.sql(f"SELECT {_copied()}, removed FROM ({newest(paths)})").to_arrow_table()
        marks.append(perf_counter())
        cursor.execute(_table())
        copy_rows(cursor, pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches()))
        cursor.execute("ANALYZE staged")
        marks.append(perf_counter())
        for statement in _merge():
            cursor.execute(statement)
        cursor.connection.commit()
        marks.append(perf_counter())
    phases = dict(zip(("query", "copy", "merge"), (b - a for a, b in pairwise(marks)), strict=True))
    return watch.step(phases=phases, counts={"rows": rows.num_rows})


def _copied() -> str:
    """The columns in types that a binary COPY by Arrow knows."""
    texts = (Kind.NUMERIC, Kind.JSON)
    values = [f"CAST({c.name} AS VARCHAR) AS {c.name}" if _kind(c) in texts else c.name for c in COLUMNS]
    return ", ".join(("pk", "sk", *values))


def _table() -> str:
    text = _TYPES[Kind.TEXT]
    columns = ", ".join(f"{column.name} {_TYPES[_kind(column)]}" for column in COLUMNS)
    return f"CREATE TABLE IF NOT EXISTS {TABLE} (pk {text}, sk {text}, {columns}, PRIMARY KEY (pk, sk))"


def _merge() -> tuple[str, str]:
    types = ["text", "text", *(_TYPES[_kind(column)].partition(" COLLATE")[0] for column in COLUMNS)]
    values = ", ".join(f"CAST(v{n} AS {kind})" for n, kind in enumerate(types))
    changes = ", ".join(f"{column.name} = EXCLUDED.{column.name}" for column in COLUMNS)
    delete = f"DELETE FROM {TABLE} AS t USING staged AS s WHERE s.{_REMOVED} AND {_SAME_KEY}"
    insert = f"INSERT INTO {TABLE} ({', '.join(NAMES)}) SELECT {values} FROM staged WHERE NOT {_REMOVED}"
    return delete, f"{insert} ON CONFLICT (pk, sk) DO UPDATE SET {changes}"


def _kind(column: Column) -> Kind:
    return column.type.kind if column.type else Kind.TEXT


PROBES: dict[str, Callable[..., dict[str, Step]]] = {"upsert_by_sql": upsert_by_sql}
