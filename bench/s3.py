"""A double of S3 on this machine that answers at once, or as late as it is told.

It is there because moto's server takes longer than a client, and would be what is measured. It knows ListObjectsV2
without delimiter, GET (whole, or from an offset on), HEAD, and a bare PUT, and refuses anything else; a test holds its
answers against moto's. It counts what it is asked: GET /-/counts.
"""

from __future__ import annotations

import asyncio
import json
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import md5
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.support.s3 import s3_environment

COUNTS = "/-/counts"
BUCKET = "lake"
_LARGEST_PAGE = 1000


class Entry(NamedTuple):
    """An object; many may share one body."""

    body: bytes
    etag: str
    modified: datetime


class Answer(NamedTuple):
    """What goes back to a client."""

    status: str
    body: bytes
    headers: Mapping[str, str] = {}


@dataclass
class Shelf:
    """The objects of the one bucket, and what was asked of them."""

    entries: dict[str, Entry] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)  # sorted: by code points, which is the order of their UTF-8
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("LIST", "GET", "HEAD", "bytes"), 0))

    def fill(self, entries: Mapping[str, Entry]) -> None:
        """Put many at once."""
        self.entries.update(entries)
        self.keys = sorted(self.entries)

    def put(self, key: str, entry: Entry) -> None:
        if key not in self.entries:
            insort(self.keys, key)
        self.entries[key] = entry


def entry_of(body: bytes, modified: datetime | None = None) -> Entry:
    """An object with this body, written now unless said otherwise."""
    return Entry(body, md5(body, usedforsecurity=False).hexdigest(), modified or datetime.now(UTC))


@contextmanager
def quick_s3(shelf: Shelf, *, delay: float = 0.0) -> Iterator[str]:
    """Serve the shelf, each answer `delay` seconds late; AWS_ENDPOINT_URL and fake credentials are set meanwhile.

    Gives the endpoint.
    """
    started: Future[tuple[int, Callable[[], object]]] = Future()

    async def serve() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        server = await asyncio.start_server(lambda r, w: _converse(shelf, delay, r, w), "127.0.0.1", 0, backlog=256)
        started.set_result((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(over.set)))
        await over.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)  # run() cancels what is still open
    thread.start()
    port, stop = started.result()
    endpoint = f"http://127.0.0.1:{port}"
    try:
        with s3_environment(endpoint):
            yield endpoint
    finally:
        stop()
        thread.join()


async def _converse(shelf: Shelf, delay: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, request after request."""
    with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if delay and target != COUNTS:
                await asyncio.sleep(delay)
            answer = _answer(shelf, method, target, headers, body)
            lines = {"Content-Length": str(len(answer.body)), **answer.headers}
            shown = b"" if method == "HEAD" else answer.body
            text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"HTTP/1.1 {answer.status}\r\n{text}\r\n".encode("latin-1") + shown)
            await writer.drain()
    writer.close()


def _answer(shelf: Shelf, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
    if target == COUNTS:
        return Answer("200 OK", json.dumps(shelf.counts).encode())
    parts = urlsplit(target)
    _, bucket, key = (*unquote(parts.path).split("/", 2), "")[:3]
    asked = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if bucket != BUCKET:
        return _error("404 Not Found", "NoSuchBucket")
    if method == "GET" and not key and asked.get("list-type") == "2" and "delimiter" not in asked:
        shelf.counts["LIST"] += 1
        return _list(shelf, asked)
    if method in ("GET", "HEAD") and key:
        shelf.counts[method] += 1
        return _get(shelf, key, headers)
    if method == "PUT" and key:
        shelf.put(key, entry_of(body))
        return Answer("200 OK", b"")
    return _error("501 Not Implemented", "NotImplemented")


def _get(shelf: Shelf, key: str, headers: Mapping[str, str]) -> Answer:
    entry = shelf.entries.get(key)
    if entry is None:
        return _error("404 Not Found", "NoSuchKey")
    if headers.get("if-match", entry.etag).strip('"') != entry.etag:
        return _error("412 Precondition Failed", "PreconditionFailed")
    begin = int(headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    body = entry.body[begin:]
    shelf.counts["bytes"] += len(body)
    size = len(entry.body)
    part = {"Content-Range": f"bytes {begin}-{size - 1}/{size}"} if begin else {}
    modified = format_datetime(entry.modified, usegmt=True)
    return Answer(
        "206 Partial Content" if begin else "200 OK",
        body,
        {"ETag": f'"{entry.etag}"', "Last-Modified": modified, "Accept-Ranges": "bytes", **part},
    )


def _list(shelf: Shelf, asked: Mapping[str, str]) -> Answer:
    prefix, limit = asked.get("prefix", ""), min(int(asked.get("max-keys", _LARGEST_PAGE)), _LARGEST_PAGE)
    after = asked.get("continuation-token") or asked.get("start-after") or ""
    begin = max(bisect_left(shelf.keys, prefix), bisect_right(shelf.keys, after) if after else 0)
    page = [key for key in shelf.keys[begin : begin + limit + 1] if key.startswith(prefix)]
    is_truncated, page = len(page) > limit, page[:limit]
    more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if is_truncated else ""
    contents = "".join(_contents(key, shelf.entries[key]) for key in page)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{quote(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"
        f"<KeyCount>{len(page)}</KeyCount><EncodingType>url</EncodingType>"
        f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>{more}{contents}</ListBucketResult>"
    )
    return Answer("200 OK", text.encode(), {"Content-Type": "application/xml"})


def _contents(key: str, entry: Entry) -> str:
    return (
        f"<Contents><Key>{quote(key)}</Key><LastModified>{entry.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Size>{len(entry.body)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _error(status: str, code: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})
