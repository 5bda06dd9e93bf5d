"""DuckDB as a warehouse: one file, taken up for each piece of work and let go of after it."""

from __future__ import annotations

import atexit
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from random import random
from time import monotonic, sleep
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb
import pyarrow as pa

from cdc_merge.errors import CdcMergeError, UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.model import DEFAULT_MEMORY
from cdc_merge.scratch import scratch_folder
from cdc_merge.shortage import ROOM_THERE, is_of_disk
from cdc_merge.warehouses import Observer, Row, Statement
from cdc_merge.warehouses.dialect import DUCKDB, Dialect
from cdc_merge.warehouses.duckdb_errors import IN_USE, first_line, is_broken, is_locked, reaction
from cdc_merge.warehouses.duckdb_instance import DuckDBInstance
from cdc_merge.warehouses.transaction import StatementFailed, run_in_order

MEMORY_SHARE = 0.32
"""Of the memory that the process is meant to take, that of a merge, while the next batch is decoded beside it.

DuckDB takes 80 % of the machine unless told (https://duckdb.org/docs/stable/configuration/overview).
"""

_LEAST_MEMORY = 320 * 10**6  # bytes: with less, DuckDB refuses merges of batches that can be decoded

LOCK_PATIENCE = 3.0
"""Seconds to wait for a file that another process has: a brief query by someone must not cost a decoded batch."""

_OPTIONS = frozenset({"memory_limit", "threads", "temp_directory"})
CATALOG = "catalog"
"""The option that names the catalog. DuckDB names it after the file, and takes no `name.table` where that is also the
name of a schema: https://duckdb.org/docs/stable/sql/statements/attach#name-qualification
"""


def memory_for_merges(memory: int) -> int:
    """The bytes that DuckDB may take for merges in a process that is meant to take `memory` bytes."""
    return max(_LEAST_MEMORY, int(memory * MEMORY_SHARE))


class DuckDBWarehouse:
    """A DuckDB file. Sessions of one process share the file; other processes have it between sessions."""

    def __init__(self, url: str, *, observer: Observer | None = None, memory: int = DEFAULT_MEMORY) -> None:
        """`url`: `duckdb:///relative.duckdb` or `duckdb:////absolute.duckdb`, options as query string.

        Options: `memory_limit` (default: about a third of `memory`, in bytes), `threads` (default: all cores),
        `temp_directory`, `catalog` (default: the file's own name).
        Raises UsageError for a URL without a file or with another option.
        """
        parts = urlsplit(url)
        path = unquote(parts.path.removeprefix("/"))
        if parts.netloc or not path or path == ":memory:":
            raise UsageError(
                f"{url!r} names no file", hint="use duckdb:///file.duckdb or duckdb:////absolute/file.duckdb"
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        catalog = options.pop(CATALOG, None)
        if unknown := sorted(options.keys() - _OPTIONS):
            raise UsageError(
                f"{url!r} has an unknown option: {', '.join(unknown)}",
                hint=f"known: {', '.join(sorted({*_OPTIONS, CATALOG}))}",
            )
        self._given = path
        # Without links: DuckDB names the catalog after the file itself, and takes up no file under two paths.
        self._path = Path(path).resolve()
        self._catalog = catalog
        self._options = options
        self._memory = memory_for_merges(memory)
        self._observer = observer
        self._active: set[duckdb.DuckDBPyConnection] = set()
        self._instance: DuckDBInstance | None = self._of_this_process()

    @property
    def dialect(self) -> Dialect:
        return DUCKDB

    @property
    def name(self) -> str:
        """The URL without its options."""
        return f"duckdb:///{self._given}"

    @property
    def tidying(self) -> None:
        """Nothing: a checkpoint reclaims space. https://duckdb.org/docs/stable/operations_manual/footprint_of_duckdb/reclaiming_space"""

    def is_there(self) -> bool:
        """Whether the file exists."""
        return self._path.exists()

    @contextmanager
    def session(self) -> Iterator[DuckDBSession]:
        """Opens the file and closes it at the end.

        Raises WarehouseUnavailable while another process keeps it, WarehouseRefused if it cannot be opened at all.
        """
        instance = self._instance = self._instance or self._of_this_process()
        connection = self._connect(instance)
        session = DuckDBSession(connection, self._observer)
        try:
            self._active.add(connection)
            yield session
        finally:
            try:
                self._active.discard(connection)
                session.detach()
            finally:
                instance.let_go(connection, has_worked=session.has_staged)

    def _of_this_process(self) -> DuckDBInstance:
        """What others of the same file and settings have, too. It begins with its first connection."""
        config: dict[str, str | bool] = {
            "memory_limit": f"{self._memory // 1000}KB",
            "temp_directory": _spill_directory(),
            # Lets big inserts stream: https://duckdb.org/docs/stable/guides/performance/how_to_tune_workloads
            "preserve_insertion_order": False,
            **self._options,
        }
        return DuckDBInstance.of(self._path, self._catalog, config)

    def _connect(self, instance: DuckDBInstance) -> duckdb.DuckDBPyConnection:
        deadline = monotonic() + LOCK_PATIENCE
        while True:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                return instance.connect()
            except (OSError, duckdb.Error) as error:
                if not is_locked(error) or monotonic() > deadline:
                    raise self._not_opened(error) from error
            sleep(0.05 * (0.5 + random()))

    def _not_opened(self, error: OSError | duckdb.Error) -> CdcMergeError:
        if is_locked(error):
            return WarehouseUnavailable(
                first_line(error),
                where=self.name,
                hint="close the program that has the file open, even for reading",
            )
        if isinstance(error, IN_USE):
            return WarehouseUnavailable(
                first_line(error), where=self.name, hint="close this program's other connection to the file"
            )
        if is_of_disk(error):
            return WarehouseUnavailable(first_line(error), where=self.name, hint=ROOM_THERE)
        if is_broken(error):
            return WarehouseUnavailable(first_line(error), where=self.name)
        return WarehouseRefused(
            first_line(error),
            where=self.name,
            hint="check the path, its permissions, and that it is a DuckDB file",
        )

    def interrupt(self) -> None:
        """Break off what sessions run now, from any thread; they raise WarehouseUnavailable."""
        for connection in list(self._active):
            with suppress(duckdb.ConnectionException):  # closed meanwhile: then nothing runs on it
                connection.interrupt()

    def close(self) -> None:
        """The file is nobody's between sessions; let go of the memory of the instance that had it as well."""
        self._instance = None


class DuckDBSession:
    """One open connection to the file. What is set by `SET GLOBAL` is so for later sessions of the process, too."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, observer: Observer | None) -> None:
        self._connection = connection
        self._observer = observer
        self._attached: list[str] = []
        self.has_staged = False

    def load(self, table: str, reader: pa.RecordBatchReader) -> int:
        """Create or replace the temporary table `table` from the reader, batch by batch; returns the rows."""
        batches = _Batches(reader)
        self.has_staged = True
        try:
            # Each thread that inserts leaves a row group that is not full. A checkpoint puts such together, which takes
            # as long as the merge did; so the next session's does it, a renewal of the lease, not each merge's.
            # https://duckdb.org/docs/stable/operations_manual/footprint_of_duckdb/reclaiming_space
            self._connection.execute("SET max_vacuum_tasks = 0")
            self._connection.register("incoming", pa.RecordBatchReader.from_batches(batches.schema, iter(batches)))
            # Numbering the rows makes one thread of it, so that all row groups but the last are full. (The condition
            # only keeps the numbers from being left out.) A merge makes row groups of its own of each.
            number = f"_cdc_{uuid.uuid4().hex}"  # no column's name
            self._connection.execute(
                f"CREATE OR REPLACE TEMPORARY TABLE {DUCKDB.quote(table)} AS SELECT * EXCLUDE ({number}) "
                f"FROM (SELECT *, row_number() OVER () AS {number} FROM incoming) WHERE {number} > 0"
            )
            return self._count()
        except duckdb.Error as error:
            if batches.error:
                raise batches.error from error
            raise reaction(error, f"load {table}") from error
        finally:
            self._connection.unregister("incoming")

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        """Make tables of a DuckDB file staging tables of this session: the file is attached, nothing is copied."""
        # Sessions of a process share one instance, and with it what is attached.
        name = DUCKDB.quote(f"_cdc_{uuid.uuid4().hex}")
        self.has_staged = True
        try:
            self._connection.execute(f"ATTACH {DUCKDB.literal(str(path))} AS {name} (READ_ONLY)")
            self._attached.append(name)
            for staged, there in tables.items():
                view = f"CREATE OR REPLACE TEMPORARY VIEW {DUCKDB.quote(staged)} AS FROM {name}.{DUCKDB.quote(there)}"
                self._connection.execute(view)
        except duckdb.Error as error:
            raise reaction(error, f"stage {path.name}") from error

    def detach(self) -> None:
        """Let go of staged files."""
        for name in self._attached:
            with suppress(duckdb.Error):  # the instance is broken, and takes what is attached with it
                self._connection.execute(f"DETACH {name}")

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown)."""
        self._execute("BEGIN TRANSACTION", "begin")
        try:
            touched = run_in_order(
                statements,
                execute=self._affected,
                fetch=self._fetch,
                driver_error=duckdb.Error,
                observer=self._observer,
            )
        except StatementFailed as failure:
            self._roll_back()
            assert isinstance(failure.__cause__, duckdb.Error)
            raise reaction(failure.__cause__, failure.label) from failure.__cause__
        except BaseException:
            self._roll_back()
            raise
        self._execute("COMMIT", "commit")
        return touched

    def query(self, sql: str) -> list[Row]:
        """Rows of one reading statement. Times are aware, in UTC; JSON is text."""
        try:
            return self._fetch(sql)
        except duckdb.Error as error:
            raise reaction(error, "query") from error

    def _fetch(self, sql: str) -> list[Row]:
        return list(self._connection.execute(sql).fetchall())

    def _execute(self, sql: str, label: str) -> None:
        try:
            self._connection.execute(sql)
        except duckdb.Error as error:
            raise reaction(error, label) from error

    def _affected(self, sql: str) -> int:
        self._connection.execute(sql)
        return self._count()

    def _count(self) -> int:
        """What the last statement touched: DuckDB answers changes with one BIGINT named Count."""
        description = self._connection.description
        if not description or description[0][0] != "Count" or len(description) != 1:
            return -1
        row = self._connection.fetchone()
        return int(row[0]) if row else -1

    def _roll_back(self) -> None:
        try:
            self._connection.execute("ROLLBACK")
        except duckdb.Error:
            # A broken instance (FatalException) cannot even roll back; what is not committed ends with it.
            self._connection.close()


class _Batches:
    """A reader's batches for DuckDB to pull; keeps what the reader raised, which DuckDB turns into text."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.schema: pa.Schema = reader.schema
        self.error: Exception | None = None
        self._reader = reader

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._reader
        except Exception as error:
            self.error = error
            raise


@cache
def _spill_directory() -> str:
    """A folder only we can read, for what does not fit in memory; the same in the whole process, as connections

    to one file must agree on their settings. $TMPDIR says where.
    """
    held = ExitStack()
    folder = held.enter_context(scratch_folder())
    atexit.register(held.close)
    return str(folder)


__all__ = ["DuckDBSession", "DuckDBWarehouse", "memory_for_merges"]
