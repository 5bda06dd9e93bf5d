"""The service: AWS' JSON protocol over HTTP, and the actions that cdc-merge asks for."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg2

from tests.doubles.redshift.server import BEHIND
from tests.doubles.redshift_data.requests import Refused, check_statements, invalid
from tests.doubles.redshift_data.sessions import ENDED, Connection, Part, Sessions, Work

CLUSTER = "double"
ENDPOINT = "AWS_ENDPOINT_URL_REDSHIFT_DATA"
_PREFIX = "RedshiftData."
_PAGE_ROWS = 100  # the service pages by size

HASTE = 20.0
"""What is a minute to the worker is three seconds here, so that tests of workers that are gone end."""

Fault = Callable[[str, Mapping[str, Any]], None]
"""Told each action and its request before it is answered; may raise Refused, or ConnectionError for no answer."""


class RedshiftDataDouble:
    """Listens on a port of its own. `before`, `after`: faults, before an action is done and before it is answered."""

    def __init__(self, redshift_port: int, *, haste: float = HASTE) -> None:
        self._redshift_port = redshift_port
        self.sessions = Sessions(haste=haste)
        self._work: dict[str, Work] = {}
        self._tokens: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self.before: Fault = lambda _action, _request: None
        self.after: Fault = lambda _action, _request: None
        self.requests: list[tuple[str, Mapping[str, Any]]] = []
        self.users: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="redshift-data-double", daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, postgres_url: str, *, staging: str) -> str:
        """The URL of the database behind `postgres_url`, through the service; `BEHIND` knows it from then on."""
        parts = urlsplit(postgres_url)
        self.users[parts.username or "postgres"] = parts.password or ""
        url = (
            f"redshift+data://{parts.path}?cluster={CLUSTER}&region=us-east-1"
            f"&db_user={quote(parts.username or 'postgres')}&staging={staging}"
            "&iam_role=arn:aws:iam::123456789012:role/reads-staging"
        )
        BEHIND[url] = postgres_url
        return url

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.sessions.close()

    def answer(self, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Refused."""
        actions: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "ExecuteStatement": self._execute,
            "BatchExecuteStatement": self._execute,
            "DescribeStatement": self._describe,
            "GetStatementResult": self._result,
            "CancelStatement": self._cancel,
        }
        self.requests.append((action, request))
        self.before(action, request)
        if action not in actions:
            raise Refused("UnknownOperationException", f"the double knows no {action}")
        answer = actions[action](request)
        self.after(action, request)
        return answer

    # --- actions -------------------------------------------------------------------------------------------

    def _execute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        sqls = check_statements(request)
        token = request.get("ClientToken") or str(uuid.uuid4())
        asked = json.dumps({k: v for k, v in request.items() if k != "WaitTimeSeconds"}, sort_keys=True)
        with self._lock:
            # "any subsequent retries complete successfully without performing any further actions"
            if known := self._tokens.get(token):
                if known[0] != asked:
                    raise invalid("the ClientToken was given to another request")
                if "SessionId" in request:
                    self.sessions.insist_on_free(request["SessionId"])  # no page says which of the two comes first
                work = self._work[known[1]]
            else:
                work = self._begun(request, sqls)
                self._tokens[token] = (asked, work.id)
        if "WaitTimeSeconds" in request:
            work.done.wait(request["WaitTimeSeconds"])
        told = work.described()
        answer = {"Id": work.id, "Status": told["Status"], "HasResultSet": told["HasResultSet"]}
        if work.session.keep:
            answer["SessionId"] = work.session.id
        return answer

    def _begun(self, request: Mapping[str, Any], sqls: list[str]) -> Work:
        keep = request.get("SessionKeepAliveSeconds")
        if "SessionId" in request:
            session = self.sessions.take(request["SessionId"], keep)
        else:
            session = self.sessions.begin(self._connecting(request), keep or 0)
        is_batch = "Sqls" in request
        if is_batch and session.is_in_transaction:
            self.sessions.put_back(session)
            raise invalid("the double: a batch is a transaction, and would end the one that is open")
        number = str(uuid.uuid4())
        parts = [Part(f"{number}:{n}" if is_batch else number, sql) for n, sql in enumerate(sqls, 1)]
        work = Work(number, session, parts, is_batch)
        self._work[number] = work

        def run() -> None:
            try:
                session.work(work)
            finally:
                work.done.set()
                self.sessions.put_back(session)  # last: whether a session is free at once no page says

        threading.Thread(target=run, name=f"statement {number}", daemon=True).start()
        return work

    def _connecting(self, request: Mapping[str, Any]) -> Callable[[], Connection]:
        user = request.get("DbUser")
        if request.get("ClusterIdentifier") != CLUSTER or user not in self.users:
            raise invalid("Redshift endpoint doesn't exist in this region")

        def connect() -> Connection:
            place = {"host": "127.0.0.1", "port": self._redshift_port, "dbname": request["Database"], "user": user}
            try:
                return psycopg2.connect(**place, password=self.users[user], sslmode="disable")
            except psycopg2.OperationalError as error:
                raise Refused("DatabaseConnectionException", str(error), 500) from error

        return connect

    def _describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        work = self._found(request)
        if "WaitTimeSeconds" in request:
            work.done.wait(request["WaitTimeSeconds"])
        part = next((p for p in work.parts if p.id == request["Id"]), None)
        return work.described() if part is None or not work.is_batch else part.described()

    def _result(self, request: Mapping[str, Any]) -> dict[str, Any]:
        work = self._found(request)
        part = next((p for p in work.parts if p.id == request["Id"]), None)
        if part is None or part.columns is None or part.status != "FINISHED":
            raise Refused("ResourceNotFoundException", "Query does not have result. Please check query status.")
        start = int(request.get("NextToken", 0))
        page = part.records[start : start + _PAGE_ROWS]
        answer = {"ColumnMetadata": part.columns, "Records": page, "TotalNumRows": len(part.records)}
        if start + _PAGE_ROWS < len(part.records):
            answer["NextToken"] = str(start + _PAGE_ROWS)
        return answer

    def _cancel(self, request: Mapping[str, Any]) -> dict[str, Any]:
        work = self._found(request)
        if work.status in ENDED:
            raise invalid(f"Could not cancel a query that is already in {work.status} state")
        work.session.cancel()
        return {"Status": True}

    def _found(self, request: Mapping[str, Any]) -> Work:
        work = self._work.get(request["Id"].partition(":")[0])
        if work is None:
            raise Refused("ResourceNotFoundException", "Query does not exist.")
        return work


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # an answer goes out whole

    def __init__(self, double: RedshiftDataDouble, *arguments: Any) -> None:
        self._double = double
        super().__init__(*arguments)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = self.headers["X-Amz-Target"]
        assert target.startswith(_PREFIX), target
        try:
            answer, status = self._double.answer(target.removeprefix(_PREFIX), json.loads(body)), 200
        except Refused as refusal:
            answer, status = {"__type": refusal.code, "Message": str(refusal)}, refusal.status
        except ConnectionError:
            self.close_connection = True
            return
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the double keeps `requests`."""


@contextmanager
def redshift_data_double(redshift_port: int) -> Iterator[RedshiftDataDouble]:
    """A double for the time of the block; boto3 finds it meanwhile."""
    double = RedshiftDataDouble(redshift_port)
    try:
        yield double
    finally:
        double.close()


@contextmanager
def found_by_boto3(double: RedshiftDataDouble) -> Iterator[None]:
    """Point boto3 at it. https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""
    before = os.environ.get(ENDPOINT)
    os.environ[ENDPOINT] = double.endpoint
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENDPOINT]
        else:
            os.environ[ENDPOINT] = before


__all__ = ["CLUSTER", "ENDPOINT", "RedshiftDataDouble", "found_by_boto3", "redshift_data_double"]
