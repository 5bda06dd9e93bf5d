"""Plants drift in a table: rows that are missing, rows too many, and rows with another value, 1 % in all."""

from __future__ import annotations

from contextlib import closing

import duckdb

from bench.checks import connect, rows_of

_PORTIONS = 8  # so that a table of any size is damaged within the memory that is measured

# A row's place in 400 by its key's hash: one is lost, one gets a key that no item has, two get another value; and which
# portion it is of.
_PLACES = {
    "duckdb": ("hash(pk, sk) % 400", "hash(pk, sk) // 400 % {portions}"),
    "postgresql": (
        "abs(mod(hashtextextended(pk || ' ' || sk, 0), 400))",
        "abs(mod(hashtextextended(pk || ' ' || sk, 0) / 400, {portions}))",
    ),
}


def plant_drift(warehouse: str, table: str) -> dict[str, int]:
    """Damage the table as someone with SQL would; returns how many rows are missing, extra and different now."""
    with closing(connect(warehouse)) as connection:
        place, portion = _PLACES["duckdb" if isinstance(connection, duckdb.DuckDBPyConnection) else "postgresql"]
        portion = portion.format(portions=_PORTIONS)
        ((missing, extra, different),) = rows_of(
            connection,
            f"SELECT count(*) FILTER (WHERE p = 0), count(*) FILTER (WHERE p = 1), count(*) FILTER (WHERE p IN (2, 3)) "
            f"FROM (SELECT {place} AS p FROM {table}) AS t",
        )
        cursor = connection.cursor()
        for number in range(_PORTIONS):
            mine = f"{portion} = {number} AND pk NOT LIKE 'GONE#%'"  # which an earlier portion left here
            for statement in (
                f"CREATE TEMPORARY TABLE damaged AS SELECT * FROM {table} WHERE {place} IN (1, 2, 3) AND {mine}",
                f"DELETE FROM {table} WHERE {place} IN (0, 2, 3) AND {mine}",
                f"UPDATE damaged SET type = concat(type, '?') WHERE {place} IN (2, 3)",
                f"UPDATE damaged SET pk = 'GONE#' || pk WHERE {place} = 1",
                f"INSERT INTO {table} SELECT * FROM damaged",
                "DROP TABLE damaged",
            ):
                cursor.execute(statement)
        return {"missing": missing, "extra": extra, "different": different}
