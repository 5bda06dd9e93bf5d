"""Whether a table holds what it should: digests of rows, in any order, that DuckDB and Postgres agree on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg2

from bench.feed import COLUMNS, TABLE
from cdc_merge.model import Column, Kind

Digest = list[int]
"""Rows, and the sum of a hash of each."""

KEY = ("pk", "sk")
_HASHED = {
    "duckdb": "CAST('0x' || substr(md5({}), 1, 8) AS BIGINT)",
    "postgresql": "CAST(CAST('x' || substr(md5({}), 1, 8) AS bit(32)) AS bigint)",
}
_MEMORY = "256MB"  # of DuckDB: the check may not be what needs the most memory
_NOTHING = "'∅'"

# By hand and with nothing of ours: what the table must hold after an export was read.
HOME = ("StreetAddress", "City", "PostalCode", "Country")
_ITEM = {name: {"S": "VARCHAR", "N": "VARCHAR"} for name in ("PK", "SK", *(str(c.path[0]) for c in COLUMNS))} | {
    "Addresses": {"M": {"Home": {"M": {name: {"S": "VARCHAR"} for name in HOME}}}}
}
_LINE = json.dumps({"Item": _ITEM})


def connect(url: str, *, memory: str = _MEMORY) -> Any:
    """A connection to a warehouse: to Postgres, or to a DuckDB file with little memory."""
    if url.startswith("duckdb:"):
        file = url.removeprefix("duckdb:///")
        config = {"memory_limit": memory, "temp_directory": f"{file}.spill", "preserve_insertion_order": False}
        connection = duckdb.connect(file, config=config)
        connection.execute("SET TimeZone = 'UTC'")
        return connection
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def rows_of(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, from either engine."""
    cursor = connection.cursor()
    cursor.execute(sql)
    return list(cursor.fetchall())


def digest(connection: Any, relation: str, columns: Sequence[Column], *, key: Sequence[str] = KEY) -> Digest:
    """The digest of a table, or of a query in parentheses, over its key and these columns.

    Of JSON, the parts of a customer's home address.
    """
    texts = [_text(name, Kind.TEXT) for name in key]
    texts += [text for c in columns for text in _texts(c)]
    engine = "duckdb" if isinstance(connection, duckdb.DuckDBPyConnection) else "postgresql"
    hashed = _HASHED[engine].format(f"concat_ws('|', {', '.join(texts)})")
    ((rows, total),) = rows_of(connection, f"SELECT count(*), coalesce(sum({hashed}), 0) FROM {relation} AS r")
    return [int(rows), int(total)]


def require_rows(url: str, expected: Mapping[str, Digest], *, typed: bool) -> None:
    """Raises RuntimeError unless the table of items holds what it must.

    `expected`: by name, `table` for one with all of COLUMNS, `keys` for one whose columns are as they come.
    """
    with closing(connect(url)) as connection:
        found = digest(connection, f"analytics.{TABLE}", COLUMNS if typed else ())
    require("rows and digest of the table", found, expected["table" if typed else "keys"])


def digest_of_export(files: Sequence[Path | str]) -> Digest:
    """What `digest` must say of a table with all of COLUMNS after these files were read into it."""
    values = ", ".join(f"{value_by_hand(column, 'i')} AS {column.name}" for column in COLUMNS)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET memory_limit = '2GB'")
        paths = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
        return digest(
            connection,
            f"(SELECT i.PK.S AS pk, i.SK.S AS sk, {values} FROM (SELECT from_json(json, '{_LINE}').Item AS i "
            f"FROM read_ndjson_objects([{paths}])))",
            COLUMNS,
        )


def require(what: str, found: object, expected: object) -> None:
    """Raises RuntimeError if a result is wrong: its time would say nothing."""
    if found != expected:
        raise RuntimeError(f"{what}: {found}, expected {expected}")


def _texts(column: Column) -> list[str]:
    kind = column.type.kind if column.type else Kind.TEXT
    if kind is Kind.JSON:
        return [f"coalesce({column.name}->'Home'->>'{part}', {_NOTHING})" for part in HOME]
    return [_text(column.name, kind)]


def _text(name: str, kind: Kind) -> str:
    value = f"CAST(extract(epoch FROM r.{name}) AS bigint)" if kind is Kind.TIMESTAMP else f"r.{name}"
    return f"coalesce(CAST({value} AS varchar), {_NOTHING})"


def value_by_hand(column: Column, image: str) -> str:
    """The value of one of COLUMNS, as DuckDB's SQL, from an image that is a struct."""
    attribute = f'{image}."{column.path[0]}"'
    assert column.type is not None
    if column.type.kind is Kind.JSON:
        parts = ", ".join(f"'{part}': {attribute}.M.Home.M.\"{part}\".S" for part in HOME)
        return f"CASE WHEN {attribute} IS NOT NULL THEN to_json({{'Home': {{{parts}}}}}) END"
    return {
        Kind.TEXT: f"{attribute}.S",
        Kind.TIMESTAMP: f"CAST({attribute}.S AS TIMESTAMPTZ)",
        Kind.INTEGER: f"CAST({attribute}.N AS BIGINT)",
        Kind.NUMERIC: f"CAST({attribute}.N AS DECIMAL(12, 2))",
    }[column.type.kind]
