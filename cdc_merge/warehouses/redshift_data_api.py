"""The requests of the Redshift Data API: a statement is handed in, waited for, read, or given up."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cdc_merge.aws import client_config, code_of
from cdc_merge.warehouses import Row
from cdc_merge.warehouses.redshift_data_errors import (
    DataApiError,
    Denied,
    GivenUp,
    SessionGone,
    SqlFailed,
    of_request,
)
from cdc_merge.warehouses.redshift_data_url import RedshiftDataUrl
from cdc_merge.warehouses.redshift_data_values import FromText, read_records

if TYPE_CHECKING:
    from mypy_boto3_redshift_data import RedshiftDataAPIServiceClient

# https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html ; whether it is of a statement or of all in a request
# no page says, and whether KB are 1,000 or 1,024 bytes neither, so it is the least that it can be.
MAX_STATEMENT_BYTES = 200_000
MAX_STATEMENTS = 40
_WIDE = "the table has too many columns for the Data API: use redshift://, or give it fewer"

_ENDED = frozenset({"FINISHED", "FAILED", "ABORTED"})

# A request waits for the statement's end, no longer than that: meanwhile nobody can break it off.
# https://docs.aws.amazon.com/redshift/latest/mgmt/data-api-calling-considerations-long-polling.html
_FIRST_WAIT_SECONDS = 1
_WAIT_SECONDS = 2
_LONGEST_PAUSE_SECONDS = 2.0  # between requests that may not wait

# A session may still be said to be at work for a moment after its statement has ended: "the Data API can't queue
# queries for a given session".
_SESSION_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5)


@dataclass(frozen=True)
class Ended:
    """A statement, or a batch, that ended well. `touched`: rows; None: it was not asked for yet."""

    id: str
    session: str
    touched: int | None


@dataclass(eq=False)
class _Running:
    """A statement under way. `id`: None until the service has taken it."""

    id: str | None = None
    is_given_up: bool = False


class DataApi:
    """A client for one cluster or workgroup; safe to use from several threads."""

    def __init__(
        self,
        url: RedshiftDataUrl,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = Lock()
        self._running: list[_Running] = []

    @cached_property
    def _client(self) -> RedshiftDataAPIServiceClient:
        # Shorter than for objects, so that a worker without a network can still be stopped.
        patience = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 4})
        with _told():
            return boto3.session.Session().client(
                "redshift-data", region_name=self._url.options.region, config=client_config().merge(patience)
            )

    def run(self, sqls: Sequence[str], *, session: str | None, keep: int | None = None) -> Ended:
        """Run one statement, or several as one transaction; returns when they have ended well.

        `session`: where; None: in a new one. `keep`: seconds it lasts without a statement, from this one's end; None:
        as before. Raises DataApiError.
        """
        if sum(len(sql.encode()) for sql in sqls) > MAX_STATEMENT_BYTES:
            raise Denied(f"a statement of more than {MAX_STATEMENT_BYTES:,} bytes", hint=_WIDE)
        request: dict[str, Any] = {"SessionId": session} if session else dict(self._url.target)
        if keep is not None:
            request["SessionKeepAliveSeconds"] = keep
        request["WaitTimeSeconds"] = _FIRST_WAIT_SECONDS
        with self._noted() as running:
            reply = self._hand_in(sqls, request)
            running.id = reply["Id"]
            touched = self._wait(running, reply)
        return Ended(running.id, reply.get("SessionId") or session or "", touched)

    def _hand_in(self, sqls: Sequence[str], request: dict[str, Any]) -> dict[str, Any]:
        pauses = iter(_SESSION_PAUSES_SECONDS if "SessionId" in request else ())
        # Whatever becomes of an answer, the next try of the same request does not run it again, be it boto3's
        # or ours: the session may be busy with that very statement.
        # https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html#data-api-calling-considerations-idempotency
        request["ClientToken"] = str(uuid.uuid4())
        while True:
            try:
                with _told():
                    if len(sqls) == 1:
                        return dict(self._client.execute_statement(Sql=sqls[0], **request))
                    # As one transaction, unless asked for another mode.
                    return dict(self._client.batch_execute_statement(Sqls=sqls, **request))
            except SessionGone:
                pause = next(pauses, None)
                if pause is None:
                    raise
                self._sleep(pause)

    def _wait(self, running: _Running, reply: dict[str, Any]) -> int | None:
        """Wait for the end; returns the rows touched if they are known by then."""
        assert running.id
        deadline = self._monotonic() + self._url.timeout
        described = False
        try:
            while reply.get("Status") not in _ENDED:
                if running.is_given_up:
                    raise GivenUp("the statement was broken off")
                if self._monotonic() > deadline:
                    hint = "if it has to, let it run longer: &timeout=… in the URL, in seconds"
                    raise GivenUp(f"the statement ran for more than {self._url.timeout} seconds", hint=hint)
                reply, described = self._look(running.id), True
        except BaseException:
            self._cancel(running.id)
            raise
        if reply["Status"] == "FINISHED":
            return int(reply.get("ResultRows", -1)) if described else None
        if not described:
            reply = self._look(running.id)
        # Of a batch, the statement that failed; those after it are aborted.
        parts = [*reply.get("SubStatements", ()), reply]
        raise SqlFailed(next((p["Error"] for p in parts if p.get("Error")), "the statement was canceled"))

    def _look(self, statement: str) -> dict[str, Any]:
        """What has become of a statement by now, or by the end of a short wait."""
        try:
            return dict(self._client.describe_statement(Id=statement, WaitTimeSeconds=_WAIT_SECONDS))
        except ClientError as error:
            if code_of(error) != "ActiveWaitingRequestsExceededException":
                raise of_request(error) from error
        except BotoCoreError as error:
            raise of_request(error) from error
        self._sleep(_LONGEST_PAUSE_SECONDS)
        with _told():
            return dict(self._client.describe_statement(Id=statement))

    def touched(self, ended: Ended) -> int:
        """How many rows a statement touched; -1: the service does not know."""
        if ended.touched is not None:
            return ended.touched
        with _told():
            return int(self._client.describe_statement(Id=ended.id).get("ResultRows", -1))

    def rows(self, ended: Ended, *, varbyte: Callable[[], FromText]) -> list[Row]:
        """All rows of a query, page by page."""
        rows: list[Row] = []
        more: dict[str, Any] = {}
        while True:
            with _told():
                page = self._client.get_statement_result(Id=ended.id, **more)
            rows += read_records(page.get("ColumnMetadata", ()), page["Records"], varbyte=varbyte)
            if not page.get("NextToken"):
                return rows
            more = {"NextToken": page["NextToken"]}

    @contextmanager
    def _noted(self) -> Iterator[_Running]:
        running = _Running()
        with self._lock:
            self._running.append(running)
        try:
            yield running
        finally:
            with self._lock:
                self._running.remove(running)

    def interrupt(self) -> None:
        """Give up what runs now, from any thread."""
        with self._lock:
            given_up = list(self._running)
        for running in given_up:
            running.is_given_up = True
        for running in given_up:
            if running.id is not None:
                self._cancel(running.id)

    def _cancel(self, statement: str) -> None:
        """It may have ended meanwhile, and then there is nothing to cancel."""
        with suppress(DataApiError), _told():
            self._client.cancel_statement(Id=statement)

    def let_go(self, session: str) -> None:
        """Have a session end soon; there is no request that ends one at once."""
        with suppress(DataApiError), _told():
            self._client.execute_statement(Sql="SELECT 1", SessionId=session, SessionKeepAliveSeconds=1)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what boto3 raises into what it means."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise of_request(error) from error


__all__ = ["MAX_STATEMENTS", "MAX_STATEMENT_BYTES", "DataApi", "Ended"]
