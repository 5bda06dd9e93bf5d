"""Plants drift in a table: rows that are missing, rows too many, and rows with another value, 1 % in all."""

from __future__ import annotations

from contextlib import closing

import duckdb

from bench.checks import connect, rows_of

_MEMORY = "4GB"  # DuckDB holds what was deleted in a table of 30 million rows

# A row's place in 400 by its key's hash: one is lost, one gets a key that no item has, two get another value.
# Not by the hash that ours tells buckets by, for then what drifted would crowd into few of them.
_PLACES = {
    "duckdb": "hash(md5(concat(pk, ' ', sk))) % 400",
    "postgresql": "abs(mod(hashtextextended(pk || ' ' || sk, 0), 400))",
}


def plant_drift(warehouse: str, table: str) -> dict[str, int]:
    """Damage the table as someone with SQL would; returns how many rows are missing, extra and different now."""
    with closing(connect(warehouse, memory=_MEMORY)) as connection:
        place = _PLACES["duckdb" if isinstance(connection, duckdb.DuckDBPyConnection) else "postgresql"]
        ((missing, extra, different),) = rows_of(
            connection,
            f"SELECT count(*) FILTER (WHERE p = 0), count(*) FILTER (WHERE p = 1), count(*) FILTER (WHERE p IN (2, 3)) "
            f"FROM (SELECT {place} AS p FROM {table}) AS t",
        )
        cursor = connection.cursor()
        for statement in (
            f"CREATE TEMPORARY TABLE damaged AS SELECT * FROM {table} WHERE {place} IN (1, 2, 3)",
            f"DELETE FROM {table} WHERE {place} IN (0, 2, 3)",
            f"UPDATE damaged SET type = concat(type, '?') WHERE {place} IN (2, 3)",
            f"UPDATE damaged SET pk = 'GONE#' || pk WHERE {place} = 1",
            f"INSERT INTO {table} SELECT * FROM damaged",
        ):
            cursor.execute(statement)
        return {"missing": missing, "extra": extra, "different": different}
