"""Probes of what objects cost that are merged already: polls of a prefix, and the requests they make."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import perf_counter

import boto3
import duckdb

from bench.child import Step, Watch, workspace
from bench.feed import settings
from bench.s3 import BUCKET, COUNTS, Entry, Shelf, entry_of
from bench.working import Watched
from cdc_merge.worker import Worker

_BEGIN = datetime(2023, 1, 1, tzinfo=UTC)
_APART = timedelta(minutes=1)  # as Firehose buffers


def merged_shelf(objects: int) -> Shelf:
    """So many objects that share a body, one a minute, named as Firehose names them."""
    some = entry_of(gzip.compress(b"", mtime=0))
    shelf = Shelf()
    shelf.fill({key_of(number): Entry(some.body, some.etag, _moment(number)) for number in range(objects)})
    return shelf


def key_of(number: int) -> str:
    at = _moment(number)
    return f"{at:%Y/%m/%d/%H}/ecommerce-1-{at:%Y-%m-%d-%H-%M-%S}-{number:032x}.gz"


def _moment(number: int) -> datetime:
    return _BEGIN + number * _APART


def poll_merged(*, endpoint: str, objects: int, newer: str, times: int) -> dict[str, Step]:
    """A worker whose ledger has all objects of the shelf: its start, then polls of nothing, then of one new object.

    Each step is one poll: the mean of `times` polls, and the most requests that one of them made.
    """
    with workspace() as folder, gzip.open(newer) as records:
        file = folder / "warehouse.duckdb"
        chosen = settings(warehouse=f"duckdb:///{file}", changes=f"s3://{BUCKET}/", columns=None)
        metrics = Watched()
        worker = Worker(chosen, metrics=metrics)
        (source,) = worker.sources
        worker.prepare()
        _fill_ledger(str(file), objects)

        def poll() -> int:
            if not source.hold_lease():
                raise RuntimeError("another worker holds the source")
            return sum(counts.objects for counts in source.merge_new())

        def polled(expected: int, prepare: Iterator[None], many: int) -> Step:
            seconds, most, watch = 0.0, 0, Watch()
            for _ in islice(prepare, many):
                before, began = _listed(endpoint), perf_counter()
                if (found := poll()) != expected:
                    raise RuntimeError(f"the poll merged {found} objects, not {expected}")
                seconds += perf_counter() - began
                most = max(most, _listed(endpoint) - before)
            step = watch.step()
            return Step(seconds / many, step.cpu / many, peak=step.peak, counts={"requests": most, "objects": objects})

        with closing(worker):
            steps = {"start": polled(0, iter([None]), 1)}
            steps["nothing"] = polled(0, _nothing(), times)
            steps["one"] = polled(1, _arriving(endpoint, objects, list(islice(records, times))), times)
        return steps


def list_all(*, endpoint: str) -> dict[str, Step]:
    """What a poll costs that lists everything each time: boto3, page by page."""
    client = boto3.session.Session().client("s3")
    before, watch = _listed(endpoint), Watch()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    found = sum(len(page.get("Contents", ())) for page in pages)
    step = watch.step()
    return {"list": replace(step, counts={"requests": _listed(endpoint) - before, "objects": found})}


def counted(endpoint: str) -> dict[str, int]:
    """What the double of S3 was asked so far."""
    with urllib.request.urlopen(endpoint + COUNTS) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def _listed(endpoint: str) -> int:
    return counted(endpoint)["LIST"]


def _nothing() -> Iterator[None]:
    while True:
        yield None


def _arriving(endpoint: str, objects: int, records: list[bytes]) -> Iterator[None]:
    """Put one new object after all others each time."""
    for number, record in enumerate(records):
        request = urllib.request.Request(
            f"{endpoint}/{BUCKET}/{key_of(objects + number)}", data=gzip.compress(record), method="PUT"
        )
        urllib.request.urlopen(request).close()
        yield None


def _fill_ledger(file: str, objects: int) -> None:
    """The ledger's rows of all objects, as merges would have left them; in SQL, for memory is measured, too."""
    body = gzip.compress(b"", mtime=0)
    with duckdb.connect(file, config={"memory_limit": "200MB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "INSERT INTO cdc_merge.objects SELECT 'ecommerce', ?, "
            "strftime(modified, '%Y/%m/%d/%H/ecommerce-1-%Y-%m-%d-%H-%M-%S-') || lpad(lower(to_hex(number)), 32, '0') "
            "|| '.gz', ?, ?, modified, 1, 'long ago', now() "
            "FROM (SELECT range AS number, ? + range * ? AS modified FROM range(?))",
            [BUCKET, entry_of(body).etag, len(body), _BEGIN, _APART, objects],
        )


PROBES: dict[str, Callable[..., dict[str, Step]]] = {"poll_merged": poll_merged, "list_all": list_all}
