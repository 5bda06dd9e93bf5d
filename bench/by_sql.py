"""The newest change of each key by one query of DuckDB, as an expert writes it by hand: nothing of ours is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from bench.checks import HOME, Digest, digest, value_by_hand
from bench.child import Step, Watch
from bench.feed import COLUMNS
from cdc_merge.model import Column, Kind

NAMES = ("pk", "sk", *(column.name for column in COLUMNS))

_ADDRESSES = f"STRUCT(M STRUCT(Home STRUCT(M STRUCT({', '.join(f'{part} STRUCT(S VARCHAR)' for part in HOME)}))))"


def newest(paths: Sequence[Path | str]) -> str:
    """SELECT of pk, sk, all of COLUMNS, the sequence number, and whether the item is removed."""
    image = ", ".join(f'"{c.path[0]}" {_struct(c)}' for c in COLUMNS)
    keys = "STRUCT(PK STRUCT(S VARCHAR), SK STRUCT(S VARCHAR))"
    change = f"STRUCT(Keys {keys}, NewImage STRUCT({image}), SequenceNumber VARCHAR)"
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    values = ", ".join(f"{value_by_hand(column, 'd.NewImage')} AS {column.name}" for column in COLUMNS)
    return f"""
        SELECT d.Keys.PK.S AS pk, d.Keys.SK.S AS sk, {values},
            CAST(d.SequenceNumber AS HUGEINT) AS sequence, eventName = 'REMOVE' AS removed
        FROM (
            SELECT eventName, dynamodb AS d
            FROM read_json([{listed}], format = 'newline_delimited',
                columns = {{eventName: 'VARCHAR', dynamodb: '{change}'}})
        )
        QUALIFY row_number() OVER (PARTITION BY pk, sk ORDER BY sequence DESC) = 1
    """


def digest_after(loads: Sequence[Sequence[Path | str]]) -> Digest:
    """What `digest` must say of a table with all of COLUMNS after these loads."""
    with duckdb.connect() as connection:
        _fill(connection, loads)
        return digest(connection, "rows_after", COLUMNS)


def digest_by_sql(*, loads: dict[str, list[str]]) -> dict[str, Step]:
    """What a table must hold after these loads: of all columns, and of the keys alone."""
    watch = Watch()
    with duckdb.connect() as connection:
        _fill(connection, list(loads.values()))
        table, keys = (digest(connection, "rows_after", columns) for columns in (COLUMNS, ()))
    return {"digest": watch.step(counts={"rows": table[0], "table": table[1], "keys": keys[1]})}


def _fill(connection: duckdb.DuckDBPyConnection, loads: Sequence[Sequence[Path | str]]) -> None:
    """Make `rows_after`, the rows that there must be after these loads."""
    each = " UNION ALL ".join(f"({newest(paths)})" for paths in loads)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"""
        CREATE TABLE rows_after AS
        SELECT {", ".join(NAMES)} FROM (
            SELECT * FROM ({each}) QUALIFY row_number() OVER (PARTITION BY pk, sk ORDER BY sequence DESC) = 1
        ) WHERE NOT removed
    """)


def decode_by_sql(*, paths: list[str]) -> dict[str, Step]:
    """The query into a table in memory, with all of the machine's memory and cores."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        watch = Watch()
        connection.execute(f"CREATE TABLE newest AS {newest(paths)}")
        step = watch.step()
        counted = connection.execute("SELECT count(*), count(*) FILTER (NOT removed) FROM newest").fetchone()
        keys, rows = counted or (0, 0)
        found = digest(connection, "(SELECT * FROM newest WHERE NOT removed)", COLUMNS)
    return {"decode": replace(step, counts={"keys": keys, "rows": rows, "digest": found[1]})}


def _struct(column: Column) -> str:
    kind = column.type.kind if column.type else Kind.TEXT
    if kind is Kind.JSON:
        return _ADDRESSES
    return "STRUCT(N VARCHAR)" if kind in (Kind.INTEGER, Kind.NUMERIC) else "STRUCT(S VARCHAR)"


PROBES: dict[str, Callable[..., dict[str, Step]]] = {"decode_by_sql": decode_by_sql, "digest_by_sql": digest_by_sql}
