"""The workbench: an in-memory DuckDB where a batch is decoded, with a memory limit and a folder to spill to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from cdc_merge.feed.plain import plain_json, plain_numbers
from cdc_merge.feed.typed import canonical_order
from cdc_merge.scratch import scratch_folder

WORKBENCH_SHARE = 0.35
"""Of the memory that a source may use, that of DuckDB's decoding. Line buffers, Arrow and the driver take the rest."""

_SETTINGS = (
    # A time without an offset is one of UTC, wherever this runs: https://duckdb.org/docs/stable/sql/data_types/timestamp
    "SET TimeZone = 'UTC'",
    # Where Python was started with -m or -c DuckDB would draw one on standard output, into our own.
    # https://duckdb.org/docs/stable/configuration/pragmas#progress-bar
    "SET enable_progress_bar = false",
)
"""Each connection has its own: another one does not take them over."""

_MACROS = Path(__file__).parent / "sql" / "macros.sql"


class Bench:
    """One connection to the workbench; temporary tables and named Arrow tables are its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        for setting in _SETTINGS:
            connection.execute(setting)

    @contextmanager
    def naming(self, **tables: pa.Table) -> Iterator[None]:
        """Inside, the Arrow tables can be named in SQL."""
        for name, table in tables.items():
            self.connection.register(name, table)
        try:
            yield
        finally:
            for name in tables:
                self.connection.unregister(name)

    def execute(self, sql: str) -> None:
        """Run one statement."""
        with _legible_errors():
            self.connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with _legible_errors():
            rows: list[tuple[Any, ...]] = self.connection.execute(sql).fetchall()
            return rows

    def table(self, sql: str) -> pa.Table:
        """The result of a query as an Arrow table."""
        with _legible_errors():
            return self.connection.sql(sql).to_arrow_table()


@contextmanager
def _legible_errors() -> Iterator[None]:
    """DuckDB quotes the beginning of what is no JSON, cut after some bytes: its driver cannot read half a character."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise duckdb.InvalidInputException("DuckDB's message cannot be read") from error


class Workbench(Bench):
    """A DuckDB connection with the project's functions. Use as a context manager."""

    def __init__(self, *, memory: int, threads: int | None = None) -> None:
        """`memory`: bytes DuckDB may hold before it spills."""
        self.memory = memory
        self._spill = ExitStack()
        config: dict[str, Any] = {
            "memory_limit": f"{memory // 1000}KB",
            "temp_directory": str(self._spill.enter_context(scratch_folder())),
            # A batch is a set of rows; keeping their order would only cost memory.
            "preserve_insertion_order": False,
            # Looking for expressions that are there twice takes seconds a portion where an item has 900 numbers, as
            # it grows with the square of their number; what it finds brings nothing with 20 columns.
            # https://duckdb.org/docs/stable/dev/profiling#optimizer-metrics
            "disabled_optimizers": "common_subexpressions",
        }
        if threads:
            config["threads"] = threads
        super().__init__(duckdb.connect(config=config))
        self._others: list[duckdb.DuckDBPyConnection] = []
        self._register()

    def bench(self) -> Bench:
        """Another connection, for another thread."""
        connection = self.connection.cursor()
        self._others.append(connection)
        return Bench(connection)

    def reader(self, sql: str) -> pa.RecordBatchReader:
        """The result of a query as a stream of record batches, on a connection of its own."""
        return self.bench().connection.sql(sql).to_arrow_reader(65_536)

    def _register(self) -> None:
        text = "VARCHAR"
        connection = self.connection
        connection.create_function("plain_json_1", _plain_once, [text], text, type="arrow", null_handling="special")
        connection.create_function("plain_json_2", _plain_twice, [text], text, type="arrow", null_handling="special")
        connection.create_function("fixed_order", _fixed_order, [text], text, type="arrow", null_handling="special")
        connection.create_function("plain_number", _plain_numbers, [text], text, type="arrow", null_handling="special")
        for statement in re.split(r";\s*\n", _MACROS.read_text(encoding="utf-8")):
            if "CREATE" in statement:
                connection.execute(statement)

    def close(self) -> None:
        """Let go of all that it holds: a database lives as long as the last of its connections."""
        for connection in (*self._others, self.connection):
            connection.close()
        self._spill.close()

    def __enter__(self) -> Workbench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _plain_once(values: pa.ChunkedArray) -> pa.Array:
    return plain_json(values, base64_layers=1)


def _plain_twice(values: pa.ChunkedArray) -> pa.Array:
    return plain_json(values, base64_layers=2)


def _fixed_order(values: pa.ChunkedArray) -> pa.Array:
    """Typed values with the keys of their maps sorted, so that the same value has one text."""
    return pa.array([None if v is None else canonical_order(v) for v in values.to_pylist()], pa.string())


def _plain_numbers(values: pa.ChunkedArray) -> pa.Array:
    return plain_numbers(values)
