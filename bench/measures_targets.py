"""The measures of single-table designs: what a table more costs, and a row from an element."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.checks import require
from bench.child import Result, Step
from bench.feed import order_book, shop
from bench.figures import Figure, Options, Taken, baseline_of, figure_of, goal_of, interleaved, warm

_MILLION = 1_000_000
_ORDER_BOOK_SHARE = 0.25  # of the records: such an order is several times as long


def targets(options: Options) -> list[Figure]:
    """One load to three tables of DuckDB, against the same rows and columns in one."""
    feed = shop(options.records, below=options.data)
    taken = _shapes(options, feed.first, "one table", "three tables")
    found = [result.steps["merge"].counts for results in taken.values() for result in results]
    for counts in found:
        # Each table's rows and their digest; the one table's are those of the entity.
        require("rows and digests of entities", _digests(counts), _digests(found[0]))
    return [
        figure_of(
            "targets",
            "three targets, one feed",
            taken["three tables"],
            "merge",
            goal=goal_of(options, 1.4, "x"),
            **baseline_of("one target", taken["one table"], "merge"),
        )
    ]


def each(options: Options) -> list[Figure]:
    """What a row from a list's element costs, against a row of the order around it."""
    paths = order_book(max(16, int(options.records * _ORDER_BOOK_SHARE)), below=options.data)
    taken = _shapes(options, paths, "orders", "orders and lines")
    alone, both = taken["orders"], taken["orders and lines"]
    figures = []
    for result in both:
        require("orders", _rows(result, "orders"), _rows(alone[0], "orders"))
    # Per million rows, so that the two can be held against each other: what the lines add, and what orders cost.
    orders = [_per_row(r.steps["merge"], _rows(r, "orders"), r.peak) for r in alone]
    lines = [
        _per_row(_less(b.steps["merge"], a.steps["merge"]), _rows(b, "order_lines"), b.peak)
        for a, b in zip(alone, both, strict=True)
    ]
    figures.append(
        figure_of(
            "each",
            "a million order lines more",
            lines,
            "rows",
            goal=goal_of(options, 1.5, "x"),
            **baseline_of("a million orders", orders, "rows"),
        )
    )
    whole = figure_of("each", "orders and their lines", both, "merge", **baseline_of("orders alone", alone, "merge"))
    return [*figures, whole]


def _shapes(options: Options, paths: Sequence[Path], *shapes: str) -> Taken:
    warm(paths)
    refs = [str(path) for path in paths]

    probes = {shape: partial(options.probe, "merge_shape", shape=shape, paths=refs) for shape in shapes}
    return interleaved(options, probes)


def _digests(counts: object) -> dict[str, int]:
    assert isinstance(counts, dict)
    return {name: count for name, count in counts.items() if name.startswith(("rows ", "digest "))}


def _rows(result: Result, table: str) -> int:
    return result.steps["merge"].counts[f"rows {table}"]


def _less(step: Step, other: Step) -> Step:
    phases = {name: step.phases[name] - other.phases.get(name, 0.0) for name in step.phases}
    return Step(step.seconds - other.seconds, step.cpu - other.cpu, phases)


def _per_row(step: Step, rows: int, peak: int) -> Result:
    """A step for a million rows, as one of a result of its own."""
    by = _MILLION / rows
    phases = {name: seconds * by for name, seconds in step.phases.items()}
    return Result({"rows": Step(step.seconds * by, step.cpu * by, phases, counts={"rows": rows})}, peak)
