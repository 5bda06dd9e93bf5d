"""What is the same for every server that psycopg2 talks to: a pool of connections, and transactions in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock

import psycopg2
import psycopg2.extensions

from cdc_merge.errors import CdcMergeError
from cdc_merge.warehouses import Observer, Row, Statement
from cdc_merge.warehouses.discreet import without_values
from cdc_merge.warehouses.transaction import StatementFailed, run_in_order

Connection = psycopg2.extensions.connection

# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS ; what the URL says wins.
# Keepalives notice a server that is gone within a minute; without them a read waits for two hours.
CONNECT_DEFAULTS = {
    "application_name": "cdc-merge",
    "connect_timeout": "10",
    "client_encoding": "UTF8",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


class Pool:
    """Connections to one server, kept between uses; each use has one to itself."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = Lock()
        self._idle: list[Connection] = []
        self._active: set[Connection] = set()

    def take(self) -> Connection:
        """A connection that answers: a kept one, or a new one."""
        connection = self._answering()
        self._active.add(connection)
        return connection

    def _answering(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                return connection
            except psycopg2.Error:
                connection.close()  # the server went away meanwhile; the next one, or a new one, may do

    def give_back(self, connection: Connection, *, clean: str | None) -> None:
        """Keep a connection for the next use. `clean`: what to run before that; None: it cannot be used again."""
        self._active.discard(connection)
        if clean is None:
            connection.close()
            return
        try:
            with connection.cursor() as cursor:
                if connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
                    cursor.execute("ROLLBACK")
                if clean:
                    cursor.execute(clean)
        except psycopg2.Error:
            connection.close()  # broken: the server drops what was open
            return
        with self._lock:
            self._idle.append(connection)

    def interrupt(self) -> None:
        """Break off what runs now, from any thread."""
        for connection in list(self._active):
            with suppress(psycopg2.Error):  # closed meanwhile: then nothing runs on it
                connection.cancel()

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


class Link:
    """One connection, in use. `react`: what a driver's error asks for, told with the statement's label."""

    def __init__(
        self,
        connection: Connection,
        *,
        react: Callable[[Connection, psycopg2.Error, str], CdcMergeError],
        observer: Observer | None,
    ) -> None:
        self.connection = connection
        self._react = react
        self._observer = observer

    def run(self, statements: Iterable[Statement], *, begin: str) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown)."""
        self.execute(begin, "begin")
        try:
            touched = run_in_order(
                statements,
                execute=self.affected,
                fetch=self.fetch,
                driver_error=psycopg2.Error,
                observer=self._observer,
            )
        except StatementFailed as failure:
            self._roll_back()
            assert isinstance(failure.__cause__, psycopg2.Error)
            raise self.reaction(failure.__cause__, failure.label) from failure.__cause__
        except BaseException:
            self._roll_back()
            raise
        # If this breaks nobody knows whether it committed; whoever asked looks into the ledger.
        self.execute("COMMIT", "commit")
        return touched

    def query(self, sql: str, label: str = "query") -> list[Row]:
        """Rows of one reading statement."""
        try:
            return self.fetch(sql)
        except psycopg2.Error as error:
            raise self.reaction(error, label) from error

    def execute(self, sql: str, label: str) -> int:
        """Run one statement, outside of `run`."""
        try:
            return self.affected(sql)
        except psycopg2.Error as error:
            raise self.reaction(error, label) from error

    def fetch(self, sql: str) -> list[Row]:
        """Rows; raises the driver's errors."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def affected(self, sql: str) -> int:
        """How many rows a statement touched; raises the driver's errors."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.rowcount

    def reaction(self, error: psycopg2.Error, label: str) -> CdcMergeError:
        """What a driver's error asks for."""
        return self._react(self.connection, error, label)

    def _roll_back(self) -> None:
        try:
            self.affected("ROLLBACK")
        except psycopg2.Error:
            self.connection.close()  # the server rolls back what a lost connection left


def is_lost(error: psycopg2.Error) -> bool:
    """Whether libpq lost the server."""
    return error.pgcode is None and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)


_DATA_EXCEPTION = "22"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def error_text(error: psycopg2.Error) -> str:
    """What the server says first: the detail, the context and the line of SQL that follow may quote rows.

    https://www.postgresql.org/docs/current/error-message-reporting.html
    """
    said = (error.diag.message_primary if error.pgcode else str(error).strip()) or type(error).__name__
    return without_values(said) if (error.pgcode or "").startswith(_DATA_EXCEPTION) else said


__all__ = ["CONNECT_DEFAULTS", "Connection", "Link", "Pool", "error_text", "is_lost"]
