"""The engines of the measures of scale: how each is filled, and what an expert would write to merge a batch into it.

By hand no late change wins over a newer row, and nothing else is done: no tombstones, no floor, no books.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Protocol

import duckdb
import pyarrow as pa

from bench.baselines import copy_rows
from bench.checks import KEY, connect, digest, rows_of
from bench.child import Step, Watch
from bench.scale_items import COLUMNS, TABLE, fill_sql
from cdc_merge.warehouses import Dialect, Statement, open_warehouse
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE

_TARGET = f"analytics.{TABLE}"
_NAMES = tuple(column.name for column in COLUMNS)
_VALUES = (*KEY, *_NAMES, "_cdc_position", "_cdc_changed_at")

LAST_FILLED = f"2026-01-01T00:00:00.000/{19 * 10**14:040d}"
"""No position of a row that was filled in is greater, and each of a change that is not late is."""

Found = tuple[int, int, int]
"""Rows of the table, changed rows, and a digest of these."""


class Engine(Protocol):
    """`dialect`: of the product's SQL for it."""

    dialect: Dialect
    url: str

    def fill(self, rows: int) -> None:
        """Rows as they would be there after years: in the order of their keys, and all that is written settled."""

    def by_hand(self, staged: pa.Table, *, apart: bool, memory: int | None) -> Step:
        """Load and merge rows of: key, values, position, time, removed. `apart`: as DELETE and INSERT in any case.

        `memory`: the bytes that an engine in this process may take; None: as it likes.
        """

    def found(self, after: str) -> Found:
        """What the table has; rows with a position greater than this are changed."""


def stopwatch(load: Callable[[], object], merge: Callable[[], object]) -> Step:
    """The two as phases of a step."""
    watch, began = Watch(), perf_counter()
    load()
    loaded = perf_counter()
    merge()
    return watch.step(phases={"load": loaded - began, "merge": perf_counter() - loaded})


class DuckDB:
    """A file."""

    dialect = DUCKDB

    def __init__(self, url: str) -> None:
        self.url = url

    def fill(self, rows: int) -> None:
        with self._connected() as connection:
            connection.execute(fill_sql(rows, table=_TARGET, numbers=f"(SELECT range AS n FROM range({rows})) AS r"))
            connection.execute("CHECKPOINT")

    def by_hand(self, staged: pa.Table, *, apart: bool = False, memory: int | None = None) -> Step:
        named = staged.rename_columns([*_VALUES, "removed"])
        names = ", ".join(_VALUES)
        is_row = "t.pk = s.pk AND t.sk = s.sk"
        with self._connected() as connection:
            if memory is not None:
                connection.execute(f"SET memory_limit = '{memory // 1000}KB'")
            # As ours, and as its makers advise: https://duckdb.org/docs/stable/guides/performance/how_to_tune_workloads
            connection.execute("SET preserve_insertion_order = false")
            connection.register("incoming", named)

            def merge() -> None:
                connection.execute("BEGIN")
                connection.execute(
                    f"DELETE FROM {_TARGET} AS t USING staged AS s WHERE {is_row} AND s._cdc_position > t._cdc_position"
                )
                connection.execute(
                    f"INSERT INTO {_TARGET} ({names}, _cdc_merged_at) SELECT {names}, now() FROM staged AS s "
                    f"WHERE NOT removed AND NOT EXISTS (SELECT 1 FROM {_TARGET} AS t WHERE {is_row})"
                )
                connection.execute("COMMIT")

            return stopwatch(lambda: connection.execute("CREATE TEMPORARY TABLE staged AS FROM incoming"), merge)

    def found(self, after: str) -> Found:
        return _found(self.url, after)

    def _connected(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(self.url.removeprefix("duckdb:///"))
        connection.execute("SET TimeZone = 'UTC'")
        return connection


class Postgres:
    """A database."""

    dialect = POSTGRES

    def __init__(self, url: str) -> None:
        self.url = url

    def fill(self, rows: int) -> None:
        numbers = f"generate_series(CAST(0 AS bigint), CAST({rows - 1} AS bigint)) AS r(n)"
        with closing(connect(self.url)) as connection, connection.cursor() as cursor:
            # An index is made faster than it is kept up to date.
            cursor.execute(f"ALTER TABLE {_TARGET} DROP CONSTRAINT {TABLE}_pkey")
            cursor.execute(fill_sql(rows, table=_TARGET, numbers=numbers))
            cursor.execute(f"ALTER TABLE {_TARGET} ADD CONSTRAINT {TABLE}_pkey PRIMARY KEY (pk, sk)")
            cursor.execute(f"VACUUM (ANALYZE) {_TARGET}")
            cursor.execute("CHECKPOINT")

    def by_hand(self, staged: pa.Table, *, apart: bool = False, memory: int | None = None) -> Step:
        kinds = ("text", "text", *(POSTGRES.type_name(c.type) for c in COLUMNS if c.type), "text", "timestamptz")
        names, removed = ", ".join(_VALUES), f"v{len(_VALUES)}"
        values = ", ".join(f"CAST(v{i} AS {kind})" for i, kind in enumerate(kinds))
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in (*_VALUES[2:], "_cdc_merged_at"))
        position = f"s.v{_VALUES.index('_cdc_position')}"
        is_row = 't.pk = s.v0 COLLATE "C" AND t.sk = s.v1 COLLATE "C"'
        with closing(connect(self.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = False

            def load() -> None:
                copy_rows(cursor, staged.to_reader(65_536))
                cursor.execute("ANALYZE staged")

            def merge() -> None:
                cursor.execute(
                    f"DELETE FROM {_TARGET} AS t USING staged AS s WHERE s.{removed} "
                    f'AND {is_row} AND t._cdc_position < {position} COLLATE "C"'
                )
                cursor.execute(
                    f"INSERT INTO {_TARGET} AS t ({names}, _cdc_merged_at) SELECT {values}, now() FROM staged "
                    f"WHERE NOT {removed} ON CONFLICT (pk, sk) DO UPDATE SET {changes} "
                    "WHERE t._cdc_position < EXCLUDED._cdc_position"
                )
                connection.commit()

            return stopwatch(load, merge)

    def found(self, after: str) -> Found:
        return _found(self.url, after)


class Databend:
    """A folder, spoken to as Snowflake is (tests/databend); staged files go by way of S3."""

    dialect = SNOWFLAKE

    def __init__(self, url: str) -> None:
        self.url = url

    @staticmethod
    @contextmanager
    def at(folder: Path) -> Iterator[Databend]:
        """The engine of this process, with its state in this folder. Raises ImportError if it is not installed."""
        from tests.databend.engine import databend_engine
        from tests.support.s3 import moto_s3

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        folder.mkdir(exist_ok=True)
        with (
            moto_s3() as s3,
            databend_engine(s3.endpoint, s3.client, s3.create_bucket(), folder=folder) as engine,
            engine.behind_the_driver(),
        ):
            yield Databend(engine.url("bench"))

    def fill(self, rows: int) -> None:
        self._said(fill_sql(rows, table=_TARGET, numbers=f"(SELECT CAST(number AS bigint) AS n FROM numbers({rows}))"))

    def by_hand(self, staged: pa.Table, *, apart: bool = False, memory: int | None = None) -> Step:
        kinds = (
            "VARCHAR",
            "VARCHAR",
            *(SNOWFLAKE.type_name(c.type) for c in COLUMNS if c.type),
            "VARCHAR",
            "TIMESTAMP_TZ",
        )
        named = staged.rename_columns([f"v{i}" for i in range(len(_VALUES))] + ["removed"])
        values = [f"CAST(s.v{i} AS {kind})" for i, kind in enumerate(kinds)]
        is_row, names = f"{TABLE}.pk = s.v0 AND {TABLE}.sk = s.v1", ", ".join(_VALUES)
        is_newer = f"s.v{_VALUES.index('_cdc_position')} > {TABLE}._cdc_position"
        changes = ", ".join(f"{name} = {value}" for name, value in list(zip(_VALUES, values, strict=True))[2:])
        merged = f"""
            MERGE INTO {_TARGET} USING staged AS s ON {is_row}
            WHEN MATCHED AND {is_newer} AND s.removed THEN DELETE
            WHEN MATCHED AND {is_newer} THEN UPDATE SET {changes}, _cdc_merged_at = CURRENT_TIMESTAMP
            WHEN NOT MATCHED AND NOT s.removed THEN INSERT ({names}, _cdc_merged_at)
                VALUES ({", ".join(values)}, CURRENT_TIMESTAMP)
        """
        deleted = f"DELETE FROM {_TARGET} USING staged AS s WHERE {is_row} AND {is_newer}"
        inserted = f"""
            INSERT INTO {_TARGET} ({names}, _cdc_merged_at)
            SELECT {", ".join(values)}, CURRENT_TIMESTAMP FROM staged AS s
            WHERE NOT s.removed AND NOT EXISTS (SELECT 1 FROM {_TARGET} WHERE {is_row})
        """
        said = [deleted, inserted] if apart else [merged]
        with closing(open_warehouse(self.url)) as warehouse, warehouse.session() as session:
            return stopwatch(
                lambda: session.load("staged", named.to_reader(65_536)),
                lambda: session.run([Statement("by hand", sql.strip()) for sql in said]),
            )

    def found(self, after: str) -> Found:
        texts = ", ".join(f"coalesce(CAST({name} AS VARCHAR), '')" for name in _VALUES)
        changed = f"_cdc_position > '{after}'"
        with closing(open_warehouse(self.url)) as warehouse, warehouse.session() as session:
            ((rows, number, total),) = session.query(
                f"SELECT count(*), count_if({changed}), "
                f"coalesce(sum(CASE WHEN {changed} THEN siphash64(concat_ws('|', {texts})) % 4294967296 END), 0) "
                f"FROM {_TARGET}"
            )
        return int(rows), int(number), int(total)

    def _said(self, sql: str) -> None:
        with closing(open_warehouse(self.url)) as warehouse, warehouse.session() as session:
            session.run([Statement("by hand", sql.strip())])


def _found(url: str, after: str) -> Found:
    with closing(connect(url)) as connection:
        ((rows,),) = rows_of(connection, f"SELECT count(*) FROM {_TARGET}")
        changed = digest(connection, f"(SELECT * FROM {_TARGET} WHERE _cdc_position > '{after}')", COLUMNS)
    return int(rows), changed[0], changed[1]


__all__ = ["LAST_FILLED", "Databend", "DuckDB", "Engine", "Found", "Postgres", "stopwatch"]
