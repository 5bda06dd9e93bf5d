"""Says over HTTP whether every source makes progress: GET /health, /live and /metrics."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from cdc_merge.errors import UsageError
from cdc_merge.logs import get_logger
from cdc_merge.metrics import CONTENT_TYPE, Metrics

log = get_logger(__name__)


class State(StrEnum):
    """What a source is doing, as /health says it."""

    RUNNING = "running"
    STANDING_BY = "standing by"
    STOPPED = "stopped"
    STUCK = "stuck"


@dataclass(frozen=True)
class _Sign:
    """The last sign of life of a source: seconds of the monotonic clock, and what it said then."""

    at: float
    state: State
    reason: str | None = None


@dataclass(frozen=True)
class SourceHealth:
    """How a source is now; `reason` says why it is stopped or stuck."""

    state: State
    seconds_since_progress: float
    reason: str | None = None


class Health:
    """The last sign of life of every source; every method may be called from any thread.

    A source that gives no sign for `limit` seconds is stuck. `clock` is monotonic, in seconds: a corrected
    wall clock must not make a worker look stuck.
    """

    def __init__(
        self,
        sources: Iterable[str] = (),
        *,
        limit: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Expects a sign of `sources` from now on; others join with their first one."""
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._signs: dict[str, _Sign] = {}
        for source in sources:
            self.beat(source)

    def beat(self, source: str) -> None:
        """The source's loop went on: it looked for objects, or finished a phase of a batch."""
        self._note(source, State.RUNNING)

    def standing_by(self, source: str) -> None:
        """Another worker holds the source, and this one looked whether it is free: that is healthy."""
        self._note(source, State.STANDING_BY)

    def stopped(self, source: str, reason: str) -> None:
        """The source cannot go on until a person decides; the next `beat` takes it back."""
        self._note(source, State.STOPPED, reason)

    def report(self) -> dict[str, SourceHealth]:
        """How each source is now."""
        with self._lock:
            signs = dict(self._signs)
        now = self._clock()
        return {source: self._judge(sign, now - sign.at) for source, sign in signs.items()}

    def _judge(self, sign: _Sign, seconds: float) -> SourceHealth:
        health = SourceHealth(sign.state, round(seconds, 1), sign.reason)
        if sign.state is State.STOPPED or seconds <= self._limit:
            return health
        return replace(health, state=State.STUCK, reason=f"no progress for more than {self._limit:g} seconds")

    def _note(self, source: str, state: State, reason: str | None = None) -> None:
        with self._lock:
            self._signs[source] = _Sign(self._clock(), state, reason)


class HealthServer:
    """Serves until `close`, from threads that do not keep the process alive.

    /health is 200 while no source is stuck or stopped, else 503. /live is 503 for a stuck source only: a
    restart may cure that one, but not a source that waits for a person, so liveness probes ask /live:
    https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
    """

    def __init__(self, listen: str, *, metrics: Metrics, health: Health) -> None:
        host, port = parse_address(listen)
        self._server = _listen(listen, host, port)
        self._server.metrics = metrics
        self._server.health = health
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True
        )
        self._thread.start()
        log.info("listening", host=self.host, port=self.port)

    @property
    def host(self) -> str:
        """The address that is bound."""
        return str(self._server.server_address[0])

    @property
    def port(self) -> int:
        """The port that is bound, also when 0 (any) was asked for."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stops listening and frees the port; twice is no harm."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def parse_address(listen: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPV6]:PORT` or `:PORT` (every interface); raises UsageError for anything else."""
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_bracketed = host != bare and host == f"[{bare}]"
    is_port = port.isascii() and port.isdecimal() and int(port) <= 65535
    if not colon or not is_port or (":" in bare) != is_bracketed or any(c in bare for c in "[]/ "):
        raise UsageError(
            f"{listen!r} is not an address to listen on",
            where="--listen",
            hint="write HOST:PORT, for example 127.0.0.1:9090, or :9090 for every interface",
        )
    return bare, int(port)


def _listen(listen: str, host: str, port: int) -> _Server:
    try:
        family, *_, address = socket.getaddrinfo(
            host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _Server(family, (str(address[0]), int(address[1])))
    except OSError as error:
        raise UsageError(
            f"cannot listen on {listen}: {error.strerror or error}",
            where="--listen",
            hint="choose a free port and an address of this machine",
        ) from error


class _Server(ThreadingHTTPServer):
    """One thread per request; never shares its port with another process."""

    metrics: Metrics
    health: Health
    allow_reuse_port = False

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int]) -> None:
        self.address_family = family
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up the host's name here, which can hang where there is no reverse DNS:
        # https://github.com/python/cpython/blob/3.13/Lib/http/server.py (server_bind)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if isinstance(error, ConnectionError | TimeoutError):
            log.debug("client_gone", client=client_address[0], error=str(error))
        else:
            log.error("request_failed", client=client_address[0], exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Server
    timeout = 10.0  # seconds until an idle client loses its thread
    server_version = "cdc-merge"
    sys_version = ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE, self.server.metrics.render())
            case "/health":
                self._answer_health(unwell={State.STUCK, State.STOPPED})
            case "/live":
                self._answer_health(unwell={State.STUCK})
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/health, /live, /metrics\n")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("request_answered", client=self.client_address[0], answer=format % args)

    def _answer_health(self, *, unwell: set[State]) -> None:
        sources = self.server.health.report()
        is_well = all(source.state not in unwell for source in sources.values())
        body = {
            "status": "ok" if is_well else "failing",
            "sources": {
                name: {
                    "state": source.state,
                    "seconds_since_progress": source.seconds_since_progress,
                    **({"reason": source.reason} if source.reason else {}),
                }
                for name, source in sources.items()
            },
        }
        status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(body, ensure_ascii=False).encode() + b"\n")

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
