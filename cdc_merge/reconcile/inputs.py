"""Where the items of a reconcile come from: a finished export, one that is asked for now, or a scan of the table."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from cdc_merge.errors import UsageError
from cdc_merge.exports.finder import fetch_verified, find_export
from cdc_merge.exports.manifest import Export, ExportKind
from cdc_merge.exports.request import request_export
from cdc_merge.exports.scan import ScannedTable, scan_table
from cdc_merge.feed import shape
from cdc_merge.model import Source
from cdc_merge.reconcile.report import Method
from cdc_merge.reconcile.snapshot import ItemFile, Items

_SEGMENTS = 4  # of a parallel scan; the rate limit, not their number, says how fast it goes


def items_of(export: Export) -> Items:
    """The items of a finished export."""
    is_full = export.kind is ExportKind.FULL
    return Items(
        label=export.location,
        method=Method.EXPORT if is_full else Method.INCREMENTAL,
        form=shape.EXPORTED if is_full else shape.EXPORTED_CHANGE,
        as_of=export.as_of,
        since=export.since,
        items=export.items,
        table_arn=export.table_arn,
        files=tuple(ItemFile(f.ref.key, f.ref.size, f.items, partial(fetch_verified, export, f)) for f in export.files),
    )


def requested_items(
    source: Source,
    table: str,
    *,
    wait: Callable[[float], None],
    progress: Callable[[str, str], None],
    token: str | None = None,
) -> Items:
    """Ask DynamoDB for an export to the source's `exports` and wait until it is there.

    `token`: the same one within eight hours joins the export that was asked for with it.
    """
    if source.exports is None:
        raise UsageError(
            "there is no place to export to",
            where=f"source {source.name}",
            hint="set the source's `exports`: s3://bucket/prefix/",
        )
    arn = request_export(table, source.exports, token=token or uuid.uuid4().hex, wait=wait, progress=progress)
    return items_of(find_export(source.exports, arn, source=source.name))


def scanned_items(
    source: Source,
    table: str,
    folder: Path,
    *,
    rate: float | None,
    clock: Callable[[], datetime],
    check: Callable[[], None],
    progress: Callable[[int], None],
) -> Items:
    """Read the whole table, at most `rate` read capacity units a second, into `folder`.

    A scan is no snapshot: each item is as it was at some moment after the scan began. What changed meanwhile is in
    the feed with a later time, so as of its beginning the items are right, or about to be put right by the feed.
    """
    scan = scan_table(table, folder, segments=_SEGMENTS, rate=rate, clock=clock, check=check, progress=progress)
    if scan.key != source.key:
        raise UsageError(
            f"the table's key is {list(scan.key)}, the configuration says {list(source.key)}",
            where=f"source {source.name}",
            hint="correct `key`, or `table`",
        )
    return _items_of_scan(scan)


def _items_of_scan(scan: ScannedTable) -> Items:
    return Items(
        label=f"scan of {scan.table_arn}",
        method=Method.SCAN,
        form=shape.EXPORTED,
        as_of=scan.started_at,
        since=None,
        items=scan.items,
        table_arn=scan.table_arn,
        files=tuple(ItemFile(p.name, p.stat().st_size, None, _itself(p)) for p in scan.files),
    )


def _itself(path: Path) -> Callable[[Path], Path]:
    return lambda _folder: path
