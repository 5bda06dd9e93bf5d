"""Reads a whole table by parallel Scan into files like those of an export.

A Scan is no snapshot: each item is as it was when its page was read, somewhere between start and end. It
costs read capacity, where an export costs none.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-query-scan.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from isal import igzip

from cdc_merge.aws import CONNECTIONS
from cdc_merge.errors import UsageError
from cdc_merge.exports.dynamodb import Item, describe_table, open_client, reacting
from cdc_merge.exports.rate import ReadRate
from cdc_merge.logs import get_logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_FAST = 1  # of isal's gzip levels 0 to 3
_CLOCKS_AGREE = timedelta(seconds=30)

log = get_logger("cdc_merge.exports")


@dataclass(frozen=True)
class ScannedTable:
    """What a Scan has read: gzip files of `{"Item": {...}}` lines, one per segment, in order of the segments.

    Each item is as it was at `started_at`, by this machine's clock or by DynamoDB's, whichever is earlier, or at some
    time after it. `key`: the partition key, then the sort key if there is one.
    """

    table_arn: str
    started_at: datetime
    items: int
    files: tuple[Path, ...]
    key: tuple[str, ...]


def scan_table(
    table: str,
    directory: Path,
    *,
    segments: int,
    rate: float | None,
    client: DynamoDBClient | None = None,
    clock: Callable[[], datetime],
    check: Callable[[], None],
    progress: Callable[[int], None],
    monotonic: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> ScannedTable:
    """Read the table (name or ARN) into `directory`, several segments side by side.

    `rate`: the most read capacity units a second, of all segments together; None: as fast as DynamoDB
    answers. `check` is called before each page, from several threads, and raises to stop. `progress` gets the
    items read so far, one call at a time. `monotonic` (seconds) and `wait(seconds)` serve the rate.

    Raises UsageError, StoreDenied, StoreUnavailable, and what `check` raises.
    """
    if segments < 1:
        raise UsageError("a scan has at least one segment", where=f"segments {segments}", hint="write 4")
    limit = ReadRate(rate, monotonic=monotonic, wait=wait) if rate is not None else None
    client = client or open_client(table)
    facts = describe_table(table, client)
    scan = _Scan(table, client, segments=segments, limit=limit, check=check, progress=progress)
    files = tuple(directory / f"segment-{segment:06}.json.gz" for segment in range(segments))
    started_at = beginning(table, clock(), facts.told_at)
    scan.run(files)
    return ScannedTable(facts.arn, started_at, scan.items, files, facts.key)


def beginning(table: str, ours: datetime, theirs: datetime | None) -> datetime:
    """When a reading of a table begins: never later than by DynamoDB's clock, which gives the feed's changes times.

    A later start would take changes that are made after it for older ones.
    """
    if theirs is None:
        return ours
    if abs(ours - theirs) > _CLOCKS_AGREE:
        log.warning("clock_differs", table=table, ours=ours.isoformat(), theirs=theirs.isoformat())
    return min(ours, theirs)


class _Scan:
    """One Scan under way: what its threads share."""

    def __init__(
        self,
        table: str,
        client: DynamoDBClient,
        *,
        segments: int,
        limit: ReadRate | None,
        check: Callable[[], None],
        progress: Callable[[int], None],
    ) -> None:
        self._table = table
        self._client = client
        self._segments = segments
        self._limit = limit
        self._check_caller = check
        self._progress = progress
        self._counting = threading.Lock()
        self._abandoned = threading.Event()
        self.items = 0

    def run(self, files: tuple[Path, ...]) -> None:
        """Read every segment into its file; the first error ends them all."""
        with ThreadPoolExecutor(min(len(files), CONNECTIONS), thread_name_prefix="scan") as pool:
            try:
                running = [pool.submit(self._read, segment, file) for segment, file in enumerate(files)]
                done, _ = wait_for(running, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                self._abandoned.set()  # no-op when all is read
                pool.shutdown(cancel_futures=True)

    def _read(self, segment: int, path: Path) -> None:
        encode = msgspec.json.Encoder().encode_lines  # bytes become base64, as DynamoDB JSON has them
        onward: dict[str, Any] = {}
        with igzip.open(path, "wb", compresslevel=_FAST) as file:
            while True:
                reply = self._page(segment, onward)
                items = reply["Items"]
                file.write(encode([{"Item": item} for item in items]))
                self._count(len(items))
                if "LastEvaluatedKey" not in reply:  # a page may be empty and not the last
                    return
                onward = {"ExclusiveStartKey": reply["LastEvaluatedKey"]}

    def _page(self, segment: int, onward: dict[str, Any]) -> Any:
        """At most 1 MB of items: docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html"""
        self._check()
        reserved = self._limit.reserve(self._check) if self._limit else 0.0
        with reacting(self._table):
            reply = self._client.scan(
                TableName=self._table,
                Segment=segment,
                TotalSegments=self._segments,
                ConsistentRead=True,  # with every write that was complete before; costs twice as much
                ReturnConsumedCapacity="TOTAL",
                **onward,
            )
        if self._limit:
            self._limit.settle(reserved, reply.get("ConsumedCapacity", {}).get("CapacityUnits", reserved))
        return reply

    def _check(self) -> None:
        self._check_caller()
        if self._abandoned.is_set():
            raise _Abandoned

    def _count(self, items: int) -> None:
        with self._counting:
            self.items += items
            self._progress(self.items)


def write_items(items: Sequence[Item], path: Path) -> None:
    """As the file of a segment has them."""
    with igzip.open(path, "wb", compresslevel=_FAST) as file:
        file.write(msgspec.json.Encoder().encode_lines([{"Item": item} for item in items]))


class _Abandoned(Exception):
    """Another segment has failed: its error is the one to tell."""
