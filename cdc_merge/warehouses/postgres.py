"""Postgres as a warehouse: binary COPY into temporary tables, then one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import pyarrow as pa

from cdc_merge.errors import AlreadyMerged, CdcMergeError, UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.warehouses import LEDGER_LABEL, Observer, Row, Statement
from cdc_merge.warehouses.copy import CopyStream, staged_columns
from cdc_merge.warehouses.dialect import POSTGRES, Dialect
from cdc_merge.warehouses.driver import CONNECT_DEFAULTS, Connection, Link, Pool, error_text, is_lost
from cdc_merge.warehouses.staged_file import staged_tables

OLDEST_VERSION = 12  # oldest with all we say, and older than the oldest that is still mended

_LEAST_ROOM, _MOST_ROOM = 128 * 2**20, 512 * 2**20

_SETTINGS = {
    "TimeZone": "UTC",
    # A backslash in a literal is one, whatever the database thinks: keys come from outside.
    # https://www.postgresql.org/docs/current/runtime-config-compatible.html#GUC-STANDARD-CONFORMING-STRINGS
    "standard_conforming_strings": "on",
    # The catalog's names of types are compared with ours, which have no quotes.
    # https://www.postgresql.org/docs/current/runtime-config-compatible.html#GUC-QUOTE-ALL-IDENTIFIERS
    "quote_all_identifiers": "off",
    # Doubles are read as text, to their last digit, and bytes in one form of two.
    # https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-EXTRA-FLOAT-DIGITS
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # The fence comes first, and what comes after it must see all that was committed before it.
    # https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
    "default_transaction_isolation": "read committed",
    # A row that a policy hides from the worker would be taken for one that is not there: where policies apply to it,
    # a table is refused.
    # https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-ROW-SECURITY
    "row_security": "off",
    # What the role has for people's queries would end each try of a large merge.
    # https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT
    "statement_timeout": "0",
    # Room for joining and sorting a batch without files.
    # https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-WORK-MEM
    "work_mem": "256MB",
    # How many rows and different keys they have is all that matters of staging tables, and a tenth of the sample tells.
    # https://www.postgresql.org/docs/current/sql-analyze.html
    "default_statistics_target": "10",
    # The default is of disks that turn: with it the guard reads a table of 10 million rows as a whole for 100,000 keys,
    # in 2.9 seconds, where the key's index finds them in 0.2 (recent keys) to 1.1 (any).
    # https://www.postgresql.org/docs/current/runtime-config-query.html#GUC-RANDOM-PAGE-COST
    "random_page_cost": "1.1",
    # Names without a schema are staging tables only, so `DROP TABLE IF EXISTS x` cannot meet a user's table.
    # https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SEARCH-PATH
    "search_path": "pg_temp",
    # A merge that waits for someone's lock gives up and is tried again, so that a worker can be stopped.
    "lock_timeout": "30s",
    # A worker that is stopped in mid-transaction, or whose host is gone, frees its lease's row after this time.
    # https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

# Those that not every version has. A hash may take as much as a sort; transactions last as statements do.
# https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-HASH-MEM-MULTIPLIER (13)
# https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-TRANSACTION-TIMEOUT (17)
_WHERE_KNOWN = (
    "SELECT set_config(name, CASE name WHEN 'hash_mem_multiplier' THEN '1' ELSE '0' END, FALSE) "
    "FROM pg_settings WHERE name IN ('hash_mem_multiplier', 'idle_session_timeout', 'transaction_timeout')"
)

# Classes and codes of errors that time may cure: https://www.postgresql.org/docs/current/errcodes-appendix.html
# connection, rollback (serialization, deadlock), resources (disk, memory, connections), intervention, system
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_PASSING_CODES = frozenset(
    {
        "23505",  # unique violation: another transaction wrote the same key, and will be seen next time
        "25006",  # read only: a standby, until it is promoted or the host name moves
        "25P03",  # idle in transaction for too long
        "25P04",  # transaction timeout
        "55006",  # object in use
        "55P03",  # lock not available
    }
)
_UNIQUE_VIOLATION = "23505"
_HINTS = {
    # Of our statements only the one that widens a column asks for what is not supported: where a view uses it.
    # https://www.postgresql.org/docs/current/sql-altertable.html (ALTER COLUMN TYPE)
    "0A000": "does a view or a rule use the column? cdc-merge reconcile --rebuild makes the table anew and keeps its "
    "views; one of a history is to be dropped, and made again after the next batch",
    "42501": "GRANT the worker's user what the statement needs, or where row-level security applies to it, BYPASSRLS; "
    "see: cdc-merge check",
    "42P07": "rename or drop what has the name, or name another table in the configuration",
    "42P01": "was the table dropped or renamed? see: cdc-merge plan; metadata: cdc-merge migrate",
    "42703": "was the column dropped or renamed? see: cdc-merge plan",
    "3F000": "was the schema dropped or renamed? see: cdc-merge plan; metadata: cdc-merge migrate",
}


def room_for_staging(shared_buffers: int) -> int:
    """How much memory of the server staging tables may take in a session, in bytes: half of what all tables have there.

    That tells how large the server is. A million keys and their rows take 370 MB, and what does not fit is fetched from
    files by each statement that reads it.
    https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-TEMP-BUFFERS
    """
    return max(_LEAST_ROOM, min(shared_buffers // 2, _MOST_ROOM))


def make_room(connection: Connection) -> None:
    """Give the session's staging tables their room, unless it has had temporary tables before, behind a pooler."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_size_bytes(current_setting('shared_buffers'))")
        ((shared_buffers,),) = cursor.fetchall()
        # Then it keeps what it has: https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-TEMP-BUFFERS
        with suppress(psycopg2.errors.InvalidParameterValue):
            cursor.execute(f"SET temp_buffers = '{room_for_staging(shared_buffers) // 1024}kB'")


class PostgresWarehouse:
    """A Postgres database. Connections are kept between sessions; each session has one to itself."""

    def __init__(self, url: str, *, observer: Observer | None = None) -> None:
        """`url`: `postgresql://user:password@host:port/database?…` with the options of libpq.

        A pooler in between must give a connection to a session as a whole. Raises UsageError for a bad URL.
        """
        try:
            given = psycopg2.extensions.parse_dsn(url)
        except psycopg2.ProgrammingError:
            # Without the driver's words: they may quote a piece of the password.
            raise UsageError(
                "the Postgres URL cannot be read",
                hint="use postgresql://user:password@host:port/database, with %40 for an @ in the password",
            ) from None
        self._parameters: dict[str, str] = {**CONNECT_DEFAULTS, **given}
        self._observer = observer
        self._pool = Pool(self._connect)

    @property
    def dialect(self) -> Dialect:
        return POSTGRES

    @property
    def name(self) -> str:
        """The URL without password and options."""
        given = self._parameters
        user = f"{given['user']}@" if "user" in given else ""
        port = f":{given['port']}" if "port" in given else ""
        return f"postgresql://{user}{given.get('host', '')}{port}/{given.get('dbname', '')}"

    @property
    def tidying(self) -> None:
        """Autovacuum sees to its tables: https://www.postgresql.org/docs/current/routine-vacuuming.html"""

    def is_there(self) -> bool:
        """A server either is, or says that it is not when it is asked."""
        return True

    @contextmanager
    def session(self) -> Iterator[PostgresSession]:
        """A connection to this session alone; staging tables are dropped at the end.

        Raises WarehouseUnavailable when there is no connection, WarehouseRefused for too old a server.
        """
        connection = self._pool.take()
        try:
            yield PostgresSession(connection, self._observer)
        finally:
            self._pool.give_back(connection, clean="DISCARD TEMP")

    def _connect(self) -> Connection:
        try:
            connection: Connection = psycopg2.connect(**self._parameters)  # type: ignore[call-overload]
            connection.autocommit = True  # transactions are begun and ended in words
            if connection.server_version < OLDEST_VERSION * 10_000:
                connection.close()
                raise WarehouseRefused(
                    f"the server is Postgres {connection.server_version // 10_000}",
                    where=self.name,
                    hint=f"Postgres {OLDEST_VERSION} or newer is needed",
                )
            with connection.cursor() as cursor:
                cursor.execute("".join(f"SET {key} = '{value}';" for key, value in _SETTINGS.items()))
                cursor.execute(_WHERE_KNOWN)
            make_room(connection)
        except psycopg2.Error as error:
            raise WarehouseUnavailable(
                error_text(error), where=self.name, hint=f"is the server up, and is this right? psql {self.name}"
            ) from error
        # As on the other engines, JSON is text and binary is bytes.
        psycopg2.extras.register_default_json(connection, loads=str)
        psycopg2.extras.register_default_jsonb(connection, loads=str)
        psycopg2.extensions.register_type(_BYTES, connection)
        return connection

    def interrupt(self) -> None:
        """Break off what sessions run now, from any thread; they raise WarehouseUnavailable."""
        self._pool.interrupt()

    def close(self) -> None:
        """Close the connections that no session uses."""
        self._pool.close()


class PostgresSession:
    """One connection, in use."""

    def __init__(self, connection: Connection, observer: Observer | None) -> None:
        self._connection = connection
        self._link = Link(connection, react=_reaction, observer=observer)

    def load(self, table: str, reader: pa.RecordBatchReader) -> int:
        """Create or replace the temporary table `table` from the reader by binary COPY; returns the rows.

        Raises TypeError for a column of a type that is never staged.
        """
        staged = POSTGRES.quote("pg_temp", table)
        columns = staged_columns(reader.schema)
        definition = ", ".join(f"{POSTGRES.quote(name)} {type_name}" for name, type_name in columns)
        stream = CopyStream(reader)
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {staged}")
                cursor.execute(f"CREATE TEMPORARY TABLE {POSTGRES.quote(table)} ({definition})")
                copy = f"COPY {staged} FROM STDIN WITH (FORMAT BINARY)"
                cursor.copy_expert(copy, stream, size=stream.CHUNK)  # type: ignore[arg-type]  # only read() is called
                rows = cursor.rowcount
                if POSTGRES.analyze_staging:
                    cursor.execute(f"ANALYZE {staged}")
        except psycopg2.Error as error:
            if stream.error:
                raise stream.error from error
            raise self._link.reaction(error, f"load {table}") from error
        return rows

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        """Copy tables of a DuckDB file into temporary tables."""
        for staged, rows in staged_tables(path, tables):
            self.load(staged, rows)

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown)."""
        # Each statement must see what others committed before it began, whatever the database's default is.
        # https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
        return self._link.run(statements, begin="BEGIN ISOLATION LEVEL READ COMMITTED")

    def query(self, sql: str) -> list[Row]:
        """Rows of one reading statement. Times are aware, in UTC; JSON is text; binary is bytes."""
        return self._link.query(sql)


def _reaction(connection: Connection, error: psycopg2.Error, label: str) -> CdcMergeError:
    """What a driver's error asks for, with the statement's label as its place."""
    code, message = error.pgcode, error_text(error)
    if code == _UNIQUE_VIOLATION and label == LEDGER_LABEL:
        return AlreadyMerged(message, where=label)
    if is_lost(error):
        connection.close()
        return WarehouseUnavailable(message, where=label)
    if code and (code in _PASSING_CODES or code[:2] in _PASSING_CLASSES):
        return WarehouseUnavailable(message, where=label)
    return WarehouseRefused(message, where=label, hint=_HINTS.get(code or ""))


def _as_bytes(value: str | bytes | None, cursor: psycopg2.extensions.cursor) -> bytes | None:
    view = psycopg2.BINARY(value, cursor)
    return None if view is None else bytes(view)


_BYTES = psycopg2.extensions.new_type(psycopg2.BINARY.values, "BYTES", _as_bytes)


__all__ = ["OLDEST_VERSION", "PostgresSession", "PostgresWarehouse"]
