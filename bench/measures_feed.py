"""The measures of the feed: decoding alone, small objects, polls of what is merged, and what a million changes cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.checks import require
from bench.child import Result, workspace
from bench.feed import shop, shop_as, tiny
from bench.figures import Figure, Options, baseline_of, database, expected_of, figure_of, goal_of, interleaved, warm
from bench.polling import merged_shelf
from bench.s3 import BUCKET, Shelf, entry_of, quick_s3
from bench.server import durable_postgres
from tests.support.s3 import moto_s3

_TINY_SECONDS_EACH = 20 / 10_000
_REQUEST_SECONDS = 0.005
_POLL_REQUESTS = 7  # of a poll that finds nothing, at most: the head of cdc_merge/feed/discovery.py
_MILLION = 1_000_000


def decoding(options: Options) -> list[Figure]:
    """Decoding alone, against one query of DuckDB that reads typed structs and keeps the newest change of each key."""
    feed = shop(options.records, below=options.data)
    others = {
        "uncompressed": shop_as(options.records, codec="none", below=options.data),
        "records run together": shop_as(options.records, framing="concatenated", below=options.data),
    }
    warm((*feed.first, *(path for paths in others.values() for path in paths)))

    def probe(name: str, paths: Sequence[Path], **more: bool) -> Callable[[], Result]:
        return lambda: options.probe(name, paths=[str(path) for path in paths], **more)

    taken = interleaved(
        options,
        {
            "by hand": probe("decode_by_sql", feed.first),
            "bare read": probe("bare_read", feed.first),
            "typed columns": probe("decode_alone", feed.first, columns=True),
            "every attribute": probe("decode_alone", feed.first, columns=False),
            **{f"typed columns, {name}": probe("decode_alone", paths, columns=True) for name, paths in others.items()},
        },
    )
    expected = taken["by hand"][0].steps["decode"].counts
    for name in taken:
        if name.startswith("typed"):
            for result in taken[name]:
                found = result.steps["decode"].counts
                require(f"rows of {name}", {n: found[n] for n in expected}, dict(expected))
    by_hand = baseline_of("one query by hand", taken["by hand"], "decode")
    floor = baseline_of("read_ndjson_objects", taken["bare read"], "read")
    ours = [name for name in taken if name not in ("by hand", "bare read")]
    return [
        *(figure_of("decode", name, taken[name], "decode", **by_hand) for name in ours),
        figure_of("decode", "typed columns", taken["typed columns"], "decode", **floor),
    ]


def small(options: Options) -> list[Figure]:
    """Many objects of 1 KB: from a directory, from S3 (moto), and from a double of S3 at 5 ms a request."""
    paths = tiny(options.tiny_objects, below=options.data)
    warm(paths)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # the server's line for every request
    objects = {"/".join(path.parts[-5:]): path.read_bytes() for path in paths}
    listed = [str(path) for path in paths]
    with workspace() as folder:
        # As one file of many gzip members: DuckDB takes a minute for 10,000 files.
        joined = folder / "all.gz"
        joined.write_bytes(b"".join(path.read_bytes() for path in paths))
        expected = expected_of(options, {"tiny": [str(joined)]})
    shelf = Shelf()
    shelf.fill({key: entry_of(body) for key, body in objects.items()})
    with moto_s3() as s3:
        bucket = s3.create_bucket()
        for key, body in objects.items():
            s3.client.put_object(Bucket=bucket, Key=key, Body=body)

        def slow(probe: str, **arguments: object) -> Callable[[], Result]:
            def run() -> Result:
                with quick_s3(shelf, delay=_REQUEST_SECONDS):
                    return options.probe(probe, changes=f"s3://{BUCKET}/", **arguments)

            return run

        taken = interleaved(
            options,
            {
                "directory": lambda: options.probe("merge_tiny", changes=None, paths=listed, expected=expected),
                "bare GETs": lambda: options.probe("bare_gets", changes=f"s3://{bucket}/"),
                "S3": lambda: options.probe("merge_tiny", changes=f"s3://{bucket}/", paths=[], expected=expected),
                "bare GETs, 5 ms": slow("bare_gets"),
                "S3, 5 ms": slow("merge_tiny", paths=[], expected=expected),
            },
        )
    goal = goal_of(options, _TINY_SECONDS_EACH * len(paths), "s")
    many = f"{len(paths):,} objects"
    bare = "boto3 LIST + GETs"
    moto, late = (baseline_of(bare, taken[name], "get") for name in ("bare GETs", "bare GETs, 5 ms"))
    return [
        figure_of("tiny", f"{many}, directory", taken["directory"], "tiny", goal=goal),
        figure_of("tiny", f"{many}, S3 (moto)", taken["S3"], "tiny", **moto),
        figure_of("tiny", f"{many}, S3 (a double, 5 ms a request)", taken["S3, 5 ms"], "tiny", goal=goal, **late),
    ]


def poll(options: Options) -> list[Figure]:
    """Polls of a prefix whose objects are all merged, against listing it: requests follow what is new."""
    newer = str(shop(options.records, below=options.data).second[0])
    figures = []
    for objects in (options.merged_objects // 10, options.merged_objects):

        def ours(objects: int = objects) -> Result:
            with quick_s3(merged_shelf(objects)) as endpoint:  # anew each time: the polls add to it
                return options.probe(
                    "poll_merged", endpoint=endpoint, objects=objects, newer=newer, times=options.latency_times
                )

        def whole(objects: int = objects) -> Result:
            with quick_s3(merged_shelf(objects)) as endpoint:
                return options.probe("list_all", endpoint=endpoint)

        taken = interleaved(options, {f"LIST {objects:,}": whole, f"polls of {objects:,}": ours})
        listing = baseline_of("boto3 LIST of all", taken[f"LIST {objects:,}"], "list")
        results = taken[f"polls of {objects:,}"]
        goal = goal_of(options, _POLL_REQUESTS, "requests")
        many = f"{objects:,} merged objects"
        figures += [
            figure_of("poll", f"{many}, the first after a start", results, "start", **listing),
            figure_of("poll", f"{many}, nothing new", results, "nothing", goal=goal, **listing),
            figure_of("poll", f"{many}, one new, merged", results, "one", **listing),
        ]
    return figures


def cost(options: Options) -> list[Figure]:
    """What a million changes cost: S3 requests, bytes fetched and staged, statements, transactions."""
    feed = shop(options.records, below=options.data)
    more = {"expected": expected_of(options, {"first": feed.refs(feed.first)})}
    shelf = Shelf()
    shelf.fill({"/".join(path.parts[-5:]): entry_of(path.read_bytes()) for path in feed.first})
    with durable_postgres(options) as server, quick_s3(shelf) as endpoint:

        def on_postgres(*, one_batch: bool) -> Result:
            with database(server) as url:
                return options.probe("merge_metered", warehouse=url, endpoint=endpoint, one_batch=one_batch, **more)

        def on_duckdb(*, one_batch: bool) -> Result:
            return options.probe("merge_metered", warehouse=None, endpoint=endpoint, one_batch=one_batch, **more)

        taken = interleaved(
            options,
            {
                "DuckDB, default batch": lambda: on_duckdb(one_batch=False),
                "DuckDB, one batch": lambda: on_duckdb(one_batch=True),
                "Postgres, default batch": lambda: on_postgres(one_batch=False),
                "Postgres, one batch": lambda: on_postgres(one_batch=True),
            },
        )
    # Requests are what can be compared: it reads and does nothing.
    asked = {"requests": round((1 + len(feed.first)) * _MILLION / options.records)}
    bare = {"baseline": "boto3 LIST + GETs", "baseline_counts": asked}
    return [figure_of("cost", name, results, "merge", **bare) for name, results in taken.items()]


MEASURES: Mapping[str, Callable[[Options], list[Figure]]] = {
    "decode": decoding,
    "tiny": small,
    "poll": poll,
    "cost": cost,
}
