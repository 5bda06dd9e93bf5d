"""The measures of the merge alone: as the target grows, as the batch grows, and the shape that others publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.checks import require
from bench.child import Result, workspace
from bench.figures import Figure, Options, Taken, baseline_of, database, database_like, figure_of, goal_of, interleaved
from bench.lineitems import LineitemFeed, lineitem_feed, shares_of
from bench.server import durable_postgres
from tests.support.postgres import PostgresServer

_BY_HAND = {"DuckDB": "DELETE USING + INSERT", "Postgres": "COPY + DELETE USING + ON CONFLICT"}
_MOST_GROWTH = {"DuckDB": 4, "Postgres": 1.5}  # of the time, as the target grows tenfold
_SHAPE_ROWS, _SHAPE_CHANGES = 30_100_000, 1_800_000
# duckrun, DuckDB with Delta on a runner with 16 GB, publishes 43.3 s for this shape; four times as fast is asked for.
_SHAPE_SECONDS = 43.3 / 4
_SHAPE_MEMORY = 4 * 1000**3  # bytes, a quarter of that runner's: with 1 GB the changes are merged in many portions


def growth(options: Options) -> list[Figure]:
    """As many changes into ever more rows of DuckDB, against DELETE USING + INSERT of the same rows."""
    return _growth(options, "growth", "DuckDB", options.growth_rows, None)


def growth_postgres(options: Options) -> list[Figure]:
    """As many changes into ever more rows of Postgres, against COPY + INSERT … ON CONFLICT of the same rows."""
    with durable_postgres(options) as server:
        return _growth(options, "growth-postgres", "Postgres", options.growth_postgres_rows, server)


def batch(options: Options) -> list[Figure]:
    """Ever more changes, 0.0001 % to 10 % of a DuckDB table, against the same rows by hand."""
    return _batch(options, "batch", "DuckDB", options.batch_rows, None)


def batch_postgres(options: Options) -> list[Figure]:
    """Ever more changes, 0.0001 % to 10 % of a Postgres table, against the same rows by hand."""
    with durable_postgres(options) as server:
        return _batch(options, "batch-postgres", "Postgres", options.batch_postgres_rows, server)


def shape(options: Options) -> list[Figure]:
    """The shape that others publish: 1.8 M changes into the 30.1 M rows of TPC-H's lineitem, on DuckDB."""
    rows, changes = (round(n * options.shape_scale) for n in (_SHAPE_ROWS, _SHAPE_CHANGES))
    feed = lineitem_feed(rows, [changes], below=options.data)
    with _templates(options, [feed], None) as (template,):
        taken = interleaved(
            options,
            {
                "one batch": lambda: _merged(options, template, feed, "merge_batches", memory=_SHAPE_MEMORY),
                "defaults": lambda: _merged(options, template, feed, "merge_batches", one_batch=False),
                "by hand": lambda: _merged(options, template, feed, "merge_batches_by_hand", memory=_SHAPE_MEMORY),
            },
        )
    _require_equal(taken)
    goal = goal_of(options, _SHAPE_SECONDS, "s") if options.shape_scale == 1 else None
    by_hand = baseline_of(_BY_HAND["DuckDB"], taken["by hand"], "merge 0")
    what = f"{changes:,} changes into {rows:,} rows"
    return [
        figure_of("shape", f"{what}, merge alone, 4 GB", taken["one batch"], "merge 0", goal=goal, **by_hand),
        figure_of("shape", f"{what}, from objects, 4 GB", taken["one batch"], "whole 0", goal=goal),
        figure_of("shape", f"{what}, merge alone, defaults", taken["defaults"], "merge 0", **by_hand),
        figure_of("shape", f"{what}, from objects, defaults", taken["defaults"], "whole 0"),
    ]


# --- how they are taken ------------------------------------------------------------------------------------------


def _growth(
    options: Options, measure: str, engine: str, sizes: Sequence[int], server: PostgresServer | None
) -> list[Figure]:
    changes = options.growth_changes
    feeds = [lineitem_feed(rows, [changes], below=options.data) for rows in sizes]
    with _templates(options, feeds, server) as templates:
        probes: dict[str, Callable[[], Result]] = {}
        for feed, template in zip(feeds, templates, strict=True):
            probes[f"{feed.rows:,} rows"] = _probe(options, template, feed, "merge_batches", server)
            probes[f"{feed.rows:,} rows by hand"] = _probe(options, template, feed, "merge_batches_by_hand", server)
        taken = interleaved(options, probes)
    figures = []
    for rows in sizes:
        ours, by_hand = taken[f"{rows:,} rows"], taken[f"{rows:,} rows by hand"]
        _require_equal({"ours": ours, "by hand": by_hand})
        case = f"{changes:,} changes into {rows:,} rows"
        figures.append(
            figure_of(measure, case, ours, "merge 0", size=rows, **baseline_of(_BY_HAND[engine], by_hand, "merge 0"))
        )
    # The goal is for a target that grows tenfold, whatever else is measured.
    tenth = max((rows for rows in sizes if rows * 10 <= sizes[-1]), default=sizes[0])
    least, most = f"{tenth:,} rows", f"{sizes[-1]:,} rows"
    figures.append(
        figure_of(
            measure,
            f"{changes:,} changes, {most} for {least}",
            taken[most],
            "merge 0",
            goal=goal_of(options, _MOST_GROWTH[engine], "x"),
            **baseline_of(f"ours into {least}", taken[least], "merge 0"),
        )
    )
    return figures


def _batch(options: Options, measure: str, engine: str, rows: int, server: PostgresServer | None) -> list[Figure]:
    shares = shares_of(rows)
    feed = lineitem_feed(rows, list(shares.values()), below=options.data)
    with _templates(options, [feed], server) as (template,):
        taken = interleaved(
            options,
            {
                "ours": _probe(options, template, feed, "merge_batches", server),
                "by hand": _probe(options, template, feed, "merge_batches_by_hand", server),
            },
        )
    _require_equal(taken)
    figures = []
    for number, (name, changes) in enumerate(shares.items()):
        step = f"merge {number}"
        floor = baseline_of(_BY_HAND[engine], taken["by hand"], step)
        case = f"{name} of {rows:,} rows: {changes:,} change{'s' if changes > 1 else ''}"
        figures.append(figure_of(measure, case, taken["ours"], step, size=changes, **floor))
    return figures


def _probe(
    options: Options, template: str, feed: LineitemFeed, probe: str, server: PostgresServer | None
) -> Callable[[], Result]:
    def run() -> Result:
        if server is None:
            return _merged(options, template, feed, probe)  # which works on a copy of the file
        with database_like(server, template) as url:
            return _merged(options, url, feed, probe)

    return run


def _merged(options: Options, warehouse: str, feed: LineitemFeed, probe: str, **more: bool | int) -> Result:
    batches = [[str(path) for path in batch] for batch in feed.batches]
    return options.probe(probe, warehouse=warehouse, batches=batches, **more)


@contextmanager
def _templates(options: Options, feeds: Sequence[LineitemFeed], server: PostgresServer | None) -> Iterator[list[str]]:
    """A warehouse for each feed, filled, to be copied for each run."""
    with ExitStack() as stack:
        folder: Path = stack.enter_context(workspace())
        urls = []
        for number, feed in enumerate(feeds):
            url = stack.enter_context(database(server)) if server else f"duckdb:///{folder / f'{number}.duckdb'}"
            seed = [str(path) for path in feed.seed]
            step = options.probe("fill_lineitems", warehouse=url, rows=feed.rows, seed=seed).steps["fill"]
            require("rows that were filled in", step.counts["rows"], feed.rows)
            options.say(f"  filled {feed.rows:,} rows in {step.seconds:.0f} s")
            urls.append(url)
        yield urls


def _require_equal(taken: Taken) -> None:
    """All runs must end with the same table."""
    found = [_found(result) for results in taken.values() for result in results]
    for each in found:
        require("rows, changed rows and their digest", each, found[0])


def _found(result: Result) -> Mapping[str, int]:
    counts = list(result.steps.values())[-1].counts
    return {name: counts[name] for name in ("rows", "changed", "digest")}


MEASURES: Mapping[str, Callable[[Options], list[Figure]]] = {
    "growth": growth,
    "growth-postgres": growth_postgres,
    "batch": batch,
    "batch-postgres": batch_postgres,
    "shape": shape,
}
