"""Sessions and the statements in them: a session is a connection, and one statement at a time runs in it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import psycopg2.extensions

from tests.doubles.redshift_data.requests import Refused, invalid
from tests.doubles.redshift_data.values import AS_TEXT, RowTooLarge, columns_of, records_of

Connection = psycopg2.extensions.connection

MAX_SESSIONS = 500  # https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html
ENDED = frozenset({"FINISHED", "FAILED", "ABORTED"})


@dataclass
class Part:
    """One statement of SQL."""

    id: str
    sql: str
    status: str = "SUBMITTED"
    error: str | None = None
    rows: int = -1
    columns: list[dict[str, Any]] | None = None
    records: list[list[dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0

    def described(self) -> dict[str, Any]:
        told: dict[str, Any] = {"Id": self.id, "QueryString": self.sql, "Status": self.status}
        told |= {"ResultRows": self.rows, "HasResultSet": self.columns is not None}
        told |= {"Duration": int(self.seconds * 1e9)}
        return told | ({"Error": self.error} if self.error else {})


@dataclass
class Work:
    """What one request handed in: a statement, or several as one transaction."""

    id: str
    session: Session
    parts: list[Part]
    is_batch: bool
    status: str = "SUBMITTED"
    error: str | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def described(self) -> dict[str, Any]:
        if not self.is_batch:
            return {**self.parts[0].described(), "SessionId": self.session.id}
        told: dict[str, Any] = {"Id": self.id, "Status": self.status, "SessionId": self.session.id, "ResultRows": -1}
        told |= {"HasResultSet": any(p.columns is not None for p in self.parts)}
        told |= {"SubStatements": [p.described() for p in self.parts]}
        return told | ({"Error": self.error} if self.error else {})


class Session:
    """`keep`: seconds that it lasts without a statement."""

    def __init__(self, connect: Callable[[], Connection], keep: float) -> None:
        connection = connect()
        self._connect = connect
        self.id = str(uuid.uuid4())
        self.keep = keep
        self.ends_at: float | None = None  # while a statement runs it does not end
        self._connection = connection
        connection.autocommit = True  # transactions are begun and ended in words
        psycopg2.extensions.register_type(AS_TEXT, connection)
        self._is_cancelled = False

    @property
    def is_busy(self) -> bool:
        return self.ends_at is None

    def work(self, work: Work) -> None:
        """Run it; each statement's end is written into it."""
        self._is_cancelled = False
        work.status = "STARTED"
        parts = [Part("", "BEGIN"), *work.parts, Part("", "COMMIT")] if work.is_batch else work.parts
        for part in parts:
            if work.error is not None:
                part.status = "ABORTED"
                continue
            self._run(part)
            work.error = part.error
        if work.is_batch and work.error is not None:
            self._run(Part("", "ROLLBACK"))
        failed = "ABORTED" if self._is_cancelled else "FAILED"
        work.status = "FINISHED" if work.error is None else failed
        if not work.is_batch:
            work.parts[0].status = work.status

    def _run(self, part: Part) -> None:
        began, part.status = time.perf_counter(), "STARTED"
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(part.sql)
                if cursor.description is not None:
                    part.columns = columns_of(cursor.description)
                    part.records = records_of(cursor.description, cursor.fetchall())
                # What the number means where no rows are counted no page says.
                part.rows = max(cursor.rowcount, 0)
            part.status = "FINISHED"
        except psycopg2.Error as error:
            part.status, part.error = "FAILED", _words(error)
        except RowTooLarge as error:
            part.status, part.error, part.columns = "FAILED", str(error), None
        part.seconds = time.perf_counter() - began

    @property
    def is_in_transaction(self) -> bool:
        return self._connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE

    def cancel(self) -> None:
        """By another connection: the driver's own cancel keeps all threads of this process from running meanwhile."""
        self._is_cancelled = True
        with closing(self._connect()) as other, other.cursor() as cursor:
            cursor.execute(f"SELECT pg_cancel_backend({self._connection.info.backend_pid})")

    def close(self) -> None:
        self._connection.close()


def _words(error: psycopg2.Error) -> str:
    """The service gives no code: "ERROR: relation … does not exist", and what the engine says besides."""
    if error.pgcode is None:
        return f"connection to the database was lost: {error}"
    place = f"\n  Position: {error.diag.statement_position};" if error.diag.statement_position else ""
    return f"ERROR: {error.diag.message_primary}{place}"


class Sessions:
    """All sessions of the service. `haste`: how many times faster they end than they should, for tests."""

    def __init__(self, *, haste: float) -> None:
        self.haste = haste
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}
        self._ended: set[str] = set()
        self._is_closed = threading.Event()
        threading.Thread(target=self._reap, name="redshift-data-sessions", daemon=True).start()

    def begin(self, connect: Callable[[], Connection], keep: float) -> Session:
        """A new session, at work. Raises Refused."""
        with self._lock:
            if len(self._open) >= MAX_SESSIONS:
                raise Refused("ActiveSessionsExceededException", "the maximum number of active sessions exceeded")
        session = Session(connect, keep)
        with self._lock:
            self._open[session.id] = session
        return session

    def take(self, number: str, keep: float | None) -> Session:
        """A session for the next statement. Raises Refused."""
        with self._lock:
            if number in self._ended:
                raise invalid("Session is not available", "https://github.com/awslabs/mcp/issues/4587")
            session = self._open.get(number)
            if session is None:
                raise invalid(f"Session with Id: {number} is invalid", "https://github.com/awslabs/mcp/issues/4587")
            if session.is_busy:
                # "The Data API can't queue queries for a given session."
                raise invalid("Session is busy: another statement runs in it")
            session.ends_at = None
            session.keep = session.keep if keep is None else keep
            return session

    def insist_on_free(self, number: str) -> None:
        """Raises Refused while a statement runs in the session."""
        with self._lock:
            if (session := self._open.get(number)) and session.is_busy:
                raise invalid("Session is busy: another statement runs in it")

    def put_back(self, session: Session) -> None:
        session.ends_at = time.monotonic() + session.keep / self.haste

    def _reap(self) -> None:
        while not self._is_closed.wait(0.05):
            now = time.monotonic()
            with self._lock:
                over = [s for s in self._open.values() if s.ends_at is not None and s.ends_at < now]
                for session in over:
                    del self._open[session.id]
                    self._ended.add(session.id)
            for session in over:
                session.close()

    @property
    def count(self) -> int:
        return len(self._open)

    def end_all(self) -> None:
        """As when the cluster restarts."""
        with self._lock:
            for session in self._open.values():
                session.ends_at = 0.0

    def close(self) -> None:
        self._is_closed.set()
        with self._lock:
            sessions: Sequence[Session] = list(self._open.values())
            self._open.clear()
        for session in sessions:
            session.close()


__all__ = ["ENDED", "Part", "Session", "Sessions", "Work"]
