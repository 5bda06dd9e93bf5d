"""The measure of a feed as it is on a bad day: changes that come late, twice and out of order, most to few items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.child import Result
from bench.feed import disordered
from bench.figures import Figure, Options, baseline_of, database, expected_of, figure_of, interleaved, warm
from bench.server import durable_postgres

_CASES = {"DuckDB, one batch": True, "DuckDB, default batch": False, "Postgres, default batch": False}
_FEEDS = ("in order", "late")


def disorder(options: Options) -> list[Figure]:
    """A skewed load whose changes come late, twice and out of order, against the same items' changes in order."""
    feeds = {name: disordered(options.records, is_calm=name == "in order", below=options.data) for name in _FEEDS}
    probes: dict[str, Callable[[], Result]] = {}
    with durable_postgres(options) as server:

        def merge(given: Mapping[str, Any], *, on_postgres: bool) -> Callable[[], Result]:
            def run() -> Result:
                if not on_postgres:
                    return options.probe("merge_loads", warehouse=None, columns=True, **given)
                with database(server) as url:
                    return options.probe("merge_loads", warehouse=url, columns=True, **given)

            return run

        for name, paths in feeds.items():
            warm(paths)
            loads = {"load": [str(path) for path in paths]}
            expected = expected_of(options, loads)
            for case, one_batch in _CASES.items():
                given = {"loads": loads, "expected": expected, "one_batch": one_batch}
                probes[f"{case}, {name}"] = merge(given, on_postgres=case.startswith("Postgres"))
        taken = interleaved(options, probes)
    figures = []
    for case in _CASES:
        calm = baseline_of("in order", taken[f"{case}, in order"], "load")
        figures.append(figure_of("disorder", case, taken[f"{case}, late"], "load", **calm))
    return figures


MEASURES: Mapping[str, Callable[[Options], list[Figure]]] = {"disorder": disorder}
