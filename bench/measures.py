"""The measures: which probes run, how often and in what order, and what their medians are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench import measures_disorder, measures_feed, measures_merge, measures_peers, measures_scale
from bench.child import Result
from bench.feed import shop
from bench.figures import (
    MEMORY_GOAL,
    Figure,
    Options,
    baseline_of,
    database,
    expected_of,
    figure_of,
    goal_of,
    interleaved,
    warm,
)
from bench.measures_reconcile import reconcile, reconcile_postgres
from bench.measures_targets import each, targets
from bench.server import durable_postgres

# --- DuckDB ------------------------------------------------------------------------------------------------------


def duckdb(options: Options) -> list[Figure]:
    """Objects in a directory to a merged DuckDB table, against DuckDB's bare read of the same lines."""
    feed = shop(options.records, below=options.data)
    warm(feed.first)
    first = {"first": feed.refs(feed.first)}
    given = {"warehouse": None, "loads": first, "expected": expected_of(options, first)}

    def merge(*, columns: bool, one_batch: bool) -> Callable[[], Result]:
        return lambda: options.probe("merge_loads", columns=columns, one_batch=one_batch, replay=one_batch, **given)

    taken = interleaved(
        options,
        {
            "bare read": lambda: options.probe("bare_read", paths=first["first"]),
            "typed columns, one batch": merge(columns=True, one_batch=True),
            "every attribute, one batch": merge(columns=False, one_batch=True),
            "typed columns, default batch": merge(columns=True, one_batch=False),
            "every attribute, default batch": merge(columns=False, one_batch=False),
        },
    )
    floor = baseline_of("read_ndjson_objects", taken["bare read"], "read")
    goal = goal_of(options, 2.5, "x")
    names = [name for name in taken if name != "bare read"]
    figures = [figure_of("duckdb", name, taken[name], "first", goal=goal, **floor) for name in names]
    replayed = [name for name in names if "replay" in taken[name][0].steps]
    return figures + [figure_of("duckdb", f"{n}, replay", taken[n], "replay", **floor) for n in replayed]


# --- Postgres ----------------------------------------------------------------------------------------------------


def postgres(options: Options) -> list[Figure]:
    """The same to Postgres, twice, against COPY + INSERT … ON CONFLICT by hand: of our decoding, and of a query."""
    feed = shop(options.records, below=options.data)
    warm((*feed.first, *feed.second))
    loads = {"first": feed.refs(feed.first), "second": feed.refs(feed.second)}
    expected = expected_of(options, loads)
    more = {"expected": expected}
    with durable_postgres(options) as server:

        def on_fresh(probe: str, **arguments: Any) -> Callable[[], Result]:
            def run() -> Result:
                with database(server) as url:
                    return options.probe(probe, warehouse=url, loads=loads, **arguments)

            return run

        taken = interleaved(
            options,
            {
                "by hand, typed columns": on_fresh("handwritten_upsert", columns=True),
                "by SQL alone": on_fresh("upsert_by_sql", expected=expected["table"]),
                "typed columns": on_fresh("merge_loads", columns=True, one_batch=True, **more),
                "by hand, every attribute": on_fresh("handwritten_upsert", columns=False),
                "every attribute": on_fresh("merge_loads", columns=False, one_batch=True, **more),
                "every attribute, default batch": on_fresh("merge_loads", columns=False, one_batch=False, **more),
            },
        )
    figures = []
    for case in ("typed columns", "every attribute", "every attribute, default batch"):
        by_hand = taken[f"by hand, {case.removesuffix(', default batch')}"]
        for load in ("first", "second"):
            figures.append(
                figure_of(
                    "postgres",
                    f"{case}, {load} load",
                    taken[case],
                    load,
                    goal=goal_of(options, 1.25, "x"),
                    **baseline_of("decode + COPY + ON CONFLICT", by_hand, load),
                )
            )
    for load in ("first", "second"):
        alone = baseline_of("query by hand + COPY + DELETE + ON CONFLICT", taken["by SQL alone"], load)
        figures.append(figure_of("postgres", f"typed columns, {load} load", taken["typed columns"], load, **alone))
    return figures


# --- memory, latency ---------------------------------------------------------------------------------------------


def memory(options: Options) -> list[Figure]:
    """A backlog of three loads with default limits: how much memory the worker holds at most."""
    feed = shop(options.records, below=options.data)
    backlog = {"a": feed.refs(feed.first), "b": feed.refs(feed.second), "c": feed.refs(feed.first)}
    taken = interleaved(
        options,
        {
            "typed columns": lambda: options.probe("merge_backlog", loads=backlog, columns=True),
            "every attribute": lambda: options.probe("merge_backlog", loads=backlog, columns=False),
        },
    )
    goal = goal_of(options, MEMORY_GOAL, "bytes")
    return [figure_of("memory", f"backlog, {name}", results, "backlog", goal=goal) for name, results in taken.items()]


def latency(options: Options) -> list[Figure]:
    """One new small object, seen by an idle worker: from the start of the poll to the commit."""
    feed = shop(options.records, below=options.data)
    arguments = {
        "filled_with": feed.refs(feed.first[:1]),
        "newer": str(feed.second[0]),
        "times": options.latency_times,
    }
    with durable_postgres(options) as server, database(server) as url:
        results = {
            "DuckDB": options.probe("latency", warehouse=None, **arguments),
            "Postgres": options.probe("latency", warehouse=url, **arguments),
        }
    figures = []
    for engine, result in results.items():
        single = [Result({"poll": step}, result.peak) for step in result.steps.values()]
        figures.append(
            figure_of("latency", f"one new object, {engine}", single, "poll", goal=goal_of(options, 0.3, "s"))
        )
    return figures


MEASURES: Mapping[str, Callable[[Options], list[Figure]]] = {
    "duckdb": duckdb,
    "postgres": postgres,
    "memory": memory,
    "latency": latency,
    **measures_feed.MEASURES,
    **measures_disorder.MEASURES,
    "reconcile": reconcile,
    "reconcile-postgres": reconcile_postgres,
    "targets": targets,
    "each": each,
    **measures_merge.MEASURES,
    **measures_scale.MEASURES,
    **measures_peers.MEASURES,
}
