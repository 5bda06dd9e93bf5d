"""Probes of a worker that merges what there is: loads, a backlog, tiny objects, several tables, one new object."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from bench import checks
from bench.checks import Digest, require_rows
from bench.child import Step, Watch, workspace
from bench.feed import COLUMNS, ONE_BATCH, link, settings, settings_for
from bench.shapes import SHAPES, tables_of
from bench.working import Watched, all_of, merge_again, timed
from cdc_merge.worker import Worker

Steps = dict[str, Step]


def merge_loads(
    *,
    warehouse: str | None,
    loads: dict[str, list[str]],
    columns: bool,
    one_batch: bool,
    expected: Mapping[str, Digest],
    replay: bool = False,
) -> Steps:
    """Merge each load by the worker's `run_once`; `replay`: then merge the last one's objects again.

    `warehouse` None: a DuckDB file that is thrown away. `expected`: what the table must hold then.
    """
    with workspace() as folder:
        feed = folder / "feed"
        feed.mkdir()
        url = warehouse or f"duckdb:///{folder / 'warehouse.duckdb'}"
        chosen = settings(
            warehouse=url,
            changes=f"file://{feed}",
            columns=COLUMNS if columns else None,
            batch=ONE_BATCH if one_batch else None,
        )
        steps: Steps = {}
        for label, paths in loads.items():
            link(map(Path, paths), feed)
            steps[label] = timed(chosen, all_of)
        if replay:
            steps["replay"] = timed(chosen, merge_again)
        require_rows(url, expected, typed=columns)
        return steps


def merge_backlog(*, loads: dict[str, list[str]], columns: bool) -> Steps:
    """Merge loads that lie there all at once, the same objects under other keys among them."""
    with workspace() as folder:
        feed = folder / "feed"
        for label, paths in loads.items():
            link(map(Path, paths), feed / label)
        chosen = settings(
            warehouse=f"duckdb:///{folder / 'warehouse.duckdb'}",
            changes=f"file://{feed}",
            columns=COLUMNS if columns else None,
        )
        return {"backlog": timed(chosen, all_of)}


def merge_tiny(*, changes: str | None, paths: list[str], expected: Mapping[str, Digest]) -> Steps:
    """Merge many small objects into DuckDB, from a directory, or from where `changes` says they lie.

    `expected`: what the table must hold then.
    """
    with workspace() as folder:
        if changes is None:
            link(map(Path, paths), folder / "feed")
            changes = f"file://{folder / 'feed'}"
        warehouse = f"duckdb:///{folder / 'warehouse.duckdb'}"
        chosen = settings(warehouse=warehouse, changes=changes, columns=None)
        step = timed(chosen, all_of)
        require_rows(warehouse, expected, typed=False)
        return {"tiny": step}


def merge_shape(*, shape: str, paths: list[str]) -> Steps:
    """Merge one load into DuckDB, into the tables of a shape, and look whether all rows are in them."""
    with workspace() as folder:
        link(map(Path, paths), folder / "feed")
        url = f"duckdb:///{folder / 'warehouse.duckdb'}"
        chosen = settings_for(SHAPES[shape], warehouse=url, changes=f"file://{folder / 'feed'}", batch=ONE_BATCH)
        step = timed(chosen, all_of)
        with closing(checks.connect(url)) as connection:
            found = tables_of(connection, shape)
        return {"merge": replace(step, counts=dict(step.counts) | found)}


def latency(*, warehouse: str | None, filled_with: list[str], newer: str, times: int) -> Steps:
    """How long an idle worker takes from the start of a poll that meets one new small object to its commit."""
    with workspace() as folder, gzip.open(newer) as records:
        feed = folder / "feed"
        link(map(Path, filled_with), feed)
        metrics = Watched()
        worker = Worker(
            settings(
                warehouse=warehouse or f"duckdb:///{folder / 'warehouse.duckdb'}",
                changes=f"file://{feed}",
                columns=None,
            ),
            metrics=metrics,
        )
        (source,) = worker.sources
        worker.prepare()

        def poll() -> int:
            if not source.hold_lease():
                raise RuntimeError("another worker holds the source")
            return sum(counts.objects for counts in source.merge_new())

        steps: Steps = {}
        try:
            poll()
            poll()
            for number, record in enumerate(islice(records, times)):
                place = feed / "2027/01/01/00" / f"ecommerce-1-{number:04d}.gz"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(gzip.compress(record))
                metrics.seconds = {}
                watch = Watch()
                objects = poll()
                steps[f"{number:04d}"] = watch.step(phases=metrics.seconds)
                if objects != 1:
                    raise RuntimeError(f"the poll merged {objects} objects, not the new one")
        finally:
            worker.close()
        return steps


PROBES: dict[str, Callable[..., Steps]] = {
    "merge_loads": merge_loads,
    "merge_backlog": merge_backlog,
    "merge_tiny": merge_tiny,
    "merge_shape": merge_shape,
    "latency": latency,
}
