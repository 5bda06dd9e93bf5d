"""The double as a process: prints its port, then serves until it is ended."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import secrets
import socket
from typing import Any

import fakesnow.server
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.doubles.snowflake.strict import StrictConnection, StrictSnow
from tests.doubles.snowflake.translation import parse_one

account = StrictSnow()
fakesnow.server.logger.setLevel(logging.CRITICAL)  # it tells of each statement that is refused
fakesnow.server.parse_one = parse_one
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


async def log_in(request: Request) -> JSONResponse:
    """A session. Whoever the user is may come in; a database that does not exist is not made."""
    body = await _body(request)
    database, schema = request.query_params.get("databaseName"), request.query_params.get("schemaName")
    token = secrets.token_urlsafe(16)
    session = account.connect(database, schema, parameters=body["data"].get("SESSION_PARAMETERS"))
    fakesnow.server.sessions[token] = session
    return JSONResponse(
        {
            "data": {
                "token": token,
                "masterToken": secrets.token_urlsafe(16),
                "sessionId": session.session_id,
                "serverVersion": "10.0.0",
                "parameters": [{"name": "AUTOCOMMIT", "value": True}, {"name": "TIMEZONE", "value": "Etc/UTC"}],
                "sessionInfo": {"databaseName": database, "schemaName": schema},
            },
            "success": True,
        }
    )


async def end_session(request: Request) -> JSONResponse:
    token = request.headers.get("Authorization", "")[17:-1]
    session = fakesnow.server.sessions.get(token)
    if request.query_params.get("delete") and isinstance(session, StrictConnection):
        del fakesnow.server.sessions[token]
        await run_in_threadpool(session.leave)
    return JSONResponse({"data": None, "code": None, "message": None, "success": True})


async def _body(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    found: dict[str, Any] = json.loads(body)
    return found


routes = [
    Route("/session/v1/login-request", log_in, methods=["POST"]),
    Route("/session", end_session, methods=["POST"]),
    *(r for r in fakesnow.server.routes if r.path not in ("/session/v1/login-request", "/session")),
]


def serve() -> None:
    with socket.socket() as listening:
        # An answer's head and body are written apart, and the kernel would hold the body back for 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(f"port {listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off")
        asyncio.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    serve()
