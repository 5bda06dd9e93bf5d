"""One session of the Data API, in use: a transaction in it is begun and ended in words, one statement a request."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from cdc_merge.warehouses import Observer, Row, Statement
from cdc_merge.warehouses.redshift_data_api import MAX_STATEMENT_BYTES, MAX_STATEMENTS, DataApi, Ended
from cdc_merge.warehouses.redshift_data_errors import (
    DataApiError,
    Denied,
    GivenUp,
    SessionGone,
    SqlFailed,
    asks_for,
    is_of_connection,
)
from cdc_merge.warehouses.redshift_data_proof import Proof
from cdc_merge.warehouses.redshift_session import SETTINGS
from cdc_merge.warehouses.transaction import StatementFailed, run_in_order

KEPT_SECONDS = 3600
"""How long a session lasts without a statement: staging tables are in it, and files for the next are on their way."""

LONGEST_SECONDS = 12 * 3600
"""A session is not used for longer: after 24 hours it would be closed, whatever runs in it."""

OPEN_SECONDS = 60
"""The same while a transaction is open. It is how long the locks of a worker that is gone hold up the others."""

# Whose rows the service counts: of others (LOCK, CREATE TABLE AS) nobody says what the number means.
_COUNTED = re.compile(r"(?:\s|--[^\n]*\n)*(?:INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


class DataLink:
    """A session. `is_lost`: nothing more can be said in it, and what is open in it ends by itself."""

    max_statement_bytes = MAX_STATEMENT_BYTES

    def __init__(
        self,
        api: DataApi,
        proof: Proof,
        *,
        observer: Observer | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._proof = proof
        self._observer = observer
        self._monotonic = monotonic
        self._session = ""
        self._begun_at = self._used_at = 0.0
        self._may_have_ended = False
        self._was_given_up = False
        self.is_lost = False

    # --- the session ---------------------------------------------------------------------------------------

    def open(self, where: str) -> None:
        """Begin a session of the service. Raises what the error asks for, with `where` as its place."""
        try:
            self._begin_session()
        except DataApiError as error:
            raise asks_for(error, where) from error

    def _begin_session(self) -> None:
        self._may_have_ended = False
        self._session = self._api.run(SETTINGS, session=None, keep=KEPT_SECONDS).session
        self._begun_at = self._used_at = self._monotonic()

    def take_up(self) -> bool:
        """Use it again after a pause; False: it will have ended, or soon. Whether it did the next statement shows."""
        self._may_have_ended = True
        now = self._monotonic()
        return now - self._used_at < KEPT_SECONDS / 2 and now - self._begun_at < LONGEST_SECONDS

    def let_go(self) -> None:
        """Use it no more."""
        if not self.is_lost:
            self._api.let_go(self._session)

    # --- statements ----------------------------------------------------------------------------------------

    def run(self, statements: Iterable[Statement], *, begin: str) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown)."""
        try:
            self._proof.of_transactions(self)
            self._say([begin], keep=OPEN_SECONDS)
        except DataApiError as error:
            self._roll_back()
            raise asks_for(error, "begin") from error
        try:
            touched = run_in_order(
                statements,
                execute=self.affected,
                fetch=self.fetch,
                driver_error=DataApiError,
                observer=self._observer,
            )
        except StatementFailed as failure:
            self._roll_back()
            assert isinstance(failure.__cause__, DataApiError)
            raise asks_for(failure.__cause__, failure.label) from failure.__cause__
        except BaseException:
            self._roll_back()
            raise
        # If this breaks nobody knows whether it committed; whoever asked looks into the ledger.
        try:
            self._say(["COMMIT"], keep=KEPT_SECONDS)
        except DataApiError as error:
            self._roll_back()  # what was given up, and perhaps never ran
            raise asks_for(error, "commit") from error
        return touched

    def query(self, sql: str, label: str = "query") -> list[Row]:
        """Rows of one reading statement."""
        try:
            return self.fetch(sql)
        except DataApiError as error:
            raise asks_for(error, label) from error

    def execute_all(self, sqls: Sequence[str], label: str) -> None:
        """Run statements one after the other, as few transactions and requests as they fit into."""
        try:
            for batch in _batches(sqls):
                self._say(batch)
        except DataApiError as error:
            raise asks_for(error, label) from error

    def fetch(self, sql: str) -> list[Row]:
        """Rows; raises DataApiError."""
        return self._api.rows(self._say([sql]), varbyte=lambda: self._proof.of_varbyte(self))

    def fetch_as_it_comes(self, sql: str) -> list[Row]:
        """Rows in which a VARBYTE is the text that the service gives; raises DataApiError."""
        return self._api.rows(self._say([sql]), varbyte=lambda: str)

    def affected(self, sql: str) -> int:
        """How many rows a statement touched; raises DataApiError."""
        ended = self._say([sql])
        return self._api.touched(ended) if _COUNTED.match(sql) else -1

    def begin(self) -> None:
        """Open a transaction; raises DataApiError."""
        self._say(["BEGIN"], keep=OPEN_SECONDS)

    def roll_back(self) -> None:
        """End it without a trace; raises DataApiError."""
        self._say(["ROLLBACK"], keep=KEPT_SECONDS)

    def _roll_back(self) -> None:
        if self.is_lost and not self._was_given_up:
            return  # the transaction ends with the session
        try:
            if self.is_lost:
                # Once the cancelled statement has ended, its locks go with this, and the session soon after.
                self._api.run(["ROLLBACK"], session=self._session, keep=1)
            else:
                self.roll_back()
        except DataApiError:
            self.is_lost = True

    def _say(self, sqls: Sequence[str], *, keep: int | None = None) -> Ended:
        try:
            return self._said(sqls, keep)
        except SqlFailed as error:
            self.is_lost = is_of_connection(error)  # else it goes on
            raise
        except Denied:
            raise
        except BaseException as error:
            # Perhaps the statement still runs in it, or it has ended.
            self.is_lost, self._was_given_up = True, isinstance(error, GivenUp)
            raise
        finally:
            self._used_at = self._monotonic()
            self._may_have_ended = False

    def _said(self, sqls: Sequence[str], keep: int | None) -> Ended:
        try:
            return self._api.run(sqls, session=self._session, keep=keep)
        except SessionGone:
            if not self._may_have_ended:
                raise
        self._begin_session()  # nothing was in the old one
        return self._api.run(sqls, session=self._session, keep=keep)


def _batches(sqls: Sequence[str]) -> Iterator[list[str]]:
    """Statements together, as many as one request takes."""
    batch: list[str] = []
    size = 0
    for sql in sqls:
        bytes_ = len(sql.encode())
        if batch and (len(batch) == MAX_STATEMENTS or size + bytes_ > MAX_STATEMENT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(sql)
        size += bytes_
    if batch:
        yield batch


__all__ = ["KEPT_SECONDS", "OPEN_SECONDS", "DataLink"]
