"""Snowflake as a warehouse: Parquet files through a stage into temporary tables, then one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import snowflake.connector
from snowflake.connector import SnowflakeConnection
from snowflake.connector.constants import FIELD_ID_TO_NAME
from snowflake.connector.errors import Error as DriverError

from cdc_merge.errors import CdcMergeError
from cdc_merge.scratch import scratch_folder
from cdc_merge.warehouses import Observer, Row, Statement
from cdc_merge.warehouses.dialect import Dialect
from cdc_merge.warehouses.foresight import Foresight, makes_schema
from cdc_merge.warehouses.raw import Loaded, RawObject
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE
from cdc_merge.warehouses.snowflake_errors import has_lost_session, reaction
from cdc_merge.warehouses.snowflake_files import MOST_FILES, staged_columns, write_files
from cdc_merge.warehouses.snowflake_raw import load_raw
from cdc_merge.warehouses.snowflake_url import Address, Feed
from cdc_merge.warehouses.staged_file import staged_tables
from cdc_merge.warehouses.staging_prefix import StagingPrefix
from cdc_merge.warehouses.transaction import StatementFailed, run_in_order

# https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#connect ; what the URL says wins.
# Without them the driver tries for ever.
_CONNECT_DEFAULTS: Mapping[str, object] = {
    "application": "cdc_merge",
    "login_timeout": 30,
    "network_timeout": 300,
    # Else each connection first asks the metadata services of three clouds where it runs, for its maker's statistics.
    # https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api
    "platform_detection_timeout_seconds": 0.0,
}

# https://docs.snowflake.com/en/sql-reference/parameters
_PARAMETERS: Mapping[str, object] = {
    "QUERY_TAG": "cdc-merge",
    "TIMEZONE": "UTC",
    # An account may say otherwise, and histories are put in order with times that are not known at the end.
    "DEFAULT_NULL_ORDERING": "LAST",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    # Where an account keeps people from fetching too much, answers would come cut off, without a word.
    "ROWS_PER_RESULTSET": 0,
    "AUTOCOMMIT": True,
    # A merge that waits for someone's lock gives up and is tried again, so that a worker can be stopped.
    "LOCK_TIMEOUT": 30,
    # Names are quoted in the case that the catalog has.
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    # Statements of a worker that is gone do not run on.
    "ABORT_DETACHED_QUERY": True,
    "CLIENT_TELEMETRY_ENABLED": False,
}

_STAGE = "_cdc_stage"
_TIMES = frozenset({"TIMESTAMP_TZ", "TIMESTAMP_LTZ"})


class SnowflakeWarehouse:
    """A Snowflake database. Connections are kept between sessions; each session has one to itself."""

    def __init__(self, url: str, *, observer: Observer | None = None) -> None:
        """`url`: as in snowflake_url.py; its schema is where staging tables live. Raises UsageError for a bad one."""
        self._address = Address.of(url)
        places = tuple(feed.url for feed in self._address.feeds)
        self._dialect = replace(SNOWFLAKE, clusters=self._address.clusters, raw_places=places)
        place = self._address.staging
        self._bucket = StagingPrefix(place.bucket, place.prefix, place.region, "docs/snowflake.md") if place else None
        self._observer = observer
        self._lock = Lock()
        self._idle: list[SnowflakeConnection] = []
        self._active: set[SnowflakeConnection] = set()

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    @property
    def name(self) -> str:
        """The URL without password and options."""
        return self._address.name

    @property
    def tidying(self) -> None:
        """Snowflake sees to its tables: https://docs.snowflake.com/en/user-guide/tables-clustering-micropartitions"""

    def is_there(self) -> bool:
        """A service either is, or says that it is not when it is asked."""
        return True

    @contextmanager
    def session(self) -> Iterator[SnowflakeSession]:
        """A connection to this session alone; staging tables are dropped at the end.

        Raises WarehouseUnavailable when there is no connection, WarehouseRefused when we are not let in.
        """
        connection = self._take()
        self._active.add(connection)
        address = self._address
        session = SnowflakeSession(
            connection, self._observer, stage=address.stage, bucket=self._bucket, feeds=address.feeds
        )
        try:
            yield session
        finally:
            self._active.discard(connection)
            self._give_back(connection, session)

    def _take(self) -> SnowflakeConnection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            if not connection.is_closed() and connection.is_valid():
                return connection
            _close(connection)  # the session has ended meanwhile; the next one, or a new one, may do

    def _give_back(self, connection: SnowflakeConnection, session: SnowflakeSession) -> None:
        try:
            session.clean_up()
        except DriverError:
            _close(connection)  # broken: the service drops what was open
            return
        if connection.is_closed():
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self) -> SnowflakeConnection:
        options = {**_CONNECT_DEFAULTS, **self._address.options}
        try:
            return snowflake.connector.connect(**options, session_parameters=dict(_PARAMETERS))
        except (DriverError, OSError, ValueError) as error:  # a key that cannot be read is no error of the driver's
            raise reaction(error, self.name) from error

    def interrupt(self) -> None:
        """Break off what sessions run now, from any thread; they raise WarehouseUnavailable."""
        for connection in list(self._active):
            with suppress(DriverError):  # closed meanwhile: then nothing runs on it
                # https://docs.snowflake.com/en/sql-reference/functions/system_cancel_all_queries
                connection.cursor().execute(f"SELECT SYSTEM$CANCEL_ALL_QUERIES({connection.session_id})")

    def close(self) -> None:
        """Close the connections that no session uses."""
        with self._lock:
            while self._idle:
                _close(self._idle.pop())


class SnowflakeSession:
    """One connection, in use."""

    def __init__(
        self,
        connection: SnowflakeConnection,
        observer: Observer | None,
        *,
        stage: str | None,
        bucket: StagingPrefix | None = None,
        feeds: Sequence[Feed] = (),
    ) -> None:
        """`stage`: None: a temporary one. `bucket`: where an external one points to; None: it is an internal one.

        `feeds`: the stages that raw objects are loaded from.
        """
        self._connection = connection
        self._observer = observer
        self._stage = stage
        self._bucket = bucket
        self._feeds = feeds
        # Now, for what makes a schema makes it the session's: the driver tells of it in `schema` from then on.
        self._schema = str(connection.schema)
        self._temporary: set[str] = set()
        self._is_in_transaction = False

    def load(self, table: str, reader: pa.RecordBatchReader) -> int:
        """Create or replace the temporary table `table` from the reader by COPY INTO; returns the rows.

        Raises TypeError for a column of a type that is never staged.
        """
        name = SNOWFLAKE.quote(table)
        columns = staged_columns(reader.schema)
        definition = ", ".join(f"{SNOWFLAKE.quote(c.name)} {c.type}" for c in columns)
        try:
            # A new table has no load history, and files are never called the same: no COPY passes over one.
            # https://docs.snowflake.com/en/user-guide/data-load-considerations-load#load-metadata
            self._said(f"CREATE OR REPLACE TEMPORARY TABLE {name} ({definition})")
            self._temporary.add(name)
            rows, prefix, names = 0, uuid.uuid4().hex, list[str]()
            try:
                with scratch_folder() as folder:
                    for path in write_files(reader, columns, folder, prefix=prefix):
                        names.append(path.name)
                        self._put(path, prefix)
                        path.unlink()
                for start in range(0, len(names), MOST_FILES):
                    rows += self._copy(name, columns, prefix, names[start : start + MOST_FILES])
            finally:
                self._remove(prefix, names)
            return rows
        except DriverError as error:
            raise self._reaction(error, f"load {table}") from error

    def load_raw(self, table: str, objects: Sequence[RawObject]) -> Loaded:
        """Create or replace the temporary table `table` of the JSON documents in objects of S3."""
        name = SNOWFLAKE.quote(table)
        self._temporary.add(name)
        try:
            return load_raw(self._feeds, name, objects, execute=self._said, fetch=self._fetch)
        except DriverError as error:
            raise self._reaction(error, f"load {table}") from error

    def _put(self, path: Path, prefix: str) -> None:
        """https://docs.snowflake.com/en/sql-reference/sql/put"""
        if self._bucket:
            self._bucket.put(path, f"{prefix}/{path.name}")
            return
        if self._stage is None and _STAGE not in self._temporary:
            self._said(f"CREATE TEMPORARY STAGE IF NOT EXISTS {_STAGE}")
            self._temporary.add(_STAGE)
        self._said(f"PUT {SNOWFLAKE.literal(f'file://{path}')} @{self._place(prefix)} AUTO_COMPRESS = FALSE")

    def _remove(self, prefix: str, names: Sequence[str]) -> None:
        """https://docs.snowflake.com/en/sql-reference/sql/remove"""
        if self._bucket:
            self._bucket.remove([f"{prefix}/{name}" for name in names])
        elif names:
            with suppress(DriverError):  # what is left of a temporary stage goes with the session
                self._said(f"REMOVE @{self._place(prefix)}")

    def _place(self, prefix: str) -> str:
        return f"{self._stage or _STAGE}/{prefix}/"

    def _copy(self, table: str, columns: Sequence[Any], prefix: str, names: Sequence[str]) -> int:
        """https://docs.snowflake.com/en/sql-reference/sql/copy-into-table"""
        files = ", ".join(SNOWFLAKE.literal(n) for n in names)
        loaded = self._fetch(
            f"COPY INTO {table} ({', '.join(SNOWFLAKE.quote(c.name) for c in columns)})\n"
            f"FROM (SELECT {', '.join(c.read(i) for i, c in enumerate(columns))} FROM @{self._place(prefix)})\n"
            f"FILES = ({files})\n"
            # The default takes a text for NULL.
            "FILE_FORMAT = (TYPE = PARQUET NULL_IF = ())"
        )
        # file, status, rows_parsed, rows_loaded, …
        return sum(int(row[3]) for row in loaded)

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        """Load tables of a DuckDB file into temporary tables."""
        for staged, rows in staged_tables(path, tables):
            self.load(staged, rows)

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown).

        DDL among them goes before it (foresight.py), of a generator only what is `foreseen`.
        """
        if isinstance(statements, Sequence):
            foreseen = (*foreseen, *statements)
        foresight = Foresight.of(foreseen)
        for statement in foresight.before:
            self._define(statement)
        self._temporary |= foresight.temporary
        self._execute("BEGIN", "begin")
        self._is_in_transaction = True
        try:
            touched = run_in_order(
                foresight.within(statements),
                execute=self._affected,
                fetch=self._fetch,
                driver_error=DriverError,
                observer=self._observer,
            )
        except StatementFailed as failure:
            self._roll_back()
            assert isinstance(failure.__cause__, DriverError)
            raise self._reaction(failure.__cause__, failure.label) from failure.__cause__
        except BaseException:
            self._roll_back()
            raise
        # If this breaks nobody knows whether it committed; whoever asked looks into the ledger.
        try:
            self._said("COMMIT")
        except DriverError as error:
            # Nothing may follow in a transaction that is perhaps still open: another BEGIN would be ignored.
            # https://docs.snowflake.com/en/sql-reference/transactions
            _close(self._connection)
            raise self._reaction(error, "commit") from error
        self._is_in_transaction = False
        return touched

    def _define(self, statement: Statement) -> None:
        self._execute(statement.sql, statement.label)
        if makes_schema(statement):
            # It is the session's schema now, but temporary tables are in that of the URL.
            # https://docs.snowflake.com/en/sql-reference/sql/create-schema#usage-notes
            self._execute(f"USE SCHEMA {SNOWFLAKE.quote(self._schema)}", statement.label)

    def query(self, sql: str) -> list[Row]:
        """Rows of one reading statement. Times are aware, in UTC; JSON is text; binary is bytes."""
        try:
            return self._fetch(sql)
        except DriverError as error:
            raise self._reaction(error, "query") from error

    def clean_up(self) -> None:
        """Leave nothing of this session on the connection."""
        if self._connection.is_closed():
            return
        if self._is_in_transaction:
            self._said("ROLLBACK")
        self._temporary.discard(_STAGE)
        for table in sorted(self._temporary):
            self._said(f"DROP TABLE IF EXISTS {table}")

    def _fetch(self, sql: str) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            kinds = [FIELD_ID_TO_NAME[column.type_code] for column in cursor.description]
            rows: list[Row] = cursor.fetchall()
        told_apart = [i for i, kind in enumerate(kinds) if kind in _TIMES or kind == "BINARY"]
        return [_plain(row, told_apart) for row in rows] if told_apart else rows

    def _execute(self, sql: str, label: str) -> None:
        try:
            self._said(sql)
        except DriverError as error:
            raise self._reaction(error, label) from error

    def _affected(self, sql: str) -> int:
        if not sql:  # it went before the transaction
            return -1
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return -1 if cursor.rowcount is None else int(cursor.rowcount)

    def _said(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def _roll_back(self) -> None:
        self._is_in_transaction = False
        try:
            self._said("ROLLBACK")
        except DriverError:
            _close(self._connection)  # the service rolls back what a lost session left

    def _reaction(self, error: DriverError, label: str) -> CdcMergeError:
        if has_lost_session(error):
            _close(self._connection)
        return reaction(error, label)


def _plain(row: Row, places: Sequence[int]) -> Row:
    values = list(row)
    for place in places:
        value = values[place]
        if isinstance(value, datetime):
            values[place] = value.astimezone(UTC)
        elif isinstance(value, bytearray):
            values[place] = bytes(value)
    return tuple(values)


def _close(connection: SnowflakeConnection) -> None:
    with suppress(DriverError, OSError):  # closed it is, whatever the service says
        connection.close()


__all__ = ["SnowflakeSession", "SnowflakeWarehouse"]
