"""The measures of scale: what a batch costs by the rows of the table, the changes and the spread of their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from bench.checks import require
from bench.child import Result, workspace
from bench.figures import (
    NOT_RUN,
    Figure,
    Options,
    Taken,
    baseline_of,
    database,
    database_like,
    figure_of,
    goal_of,
    interleaved,
)
from bench.scale_items import StagedBatch, staged_batches
from bench.server import durable_postgres
from cdc_merge.model import DEFAULT_MEMORY
from tests.support.postgres import PostgresServer

_MOST = 1.15  # of the hand-written merge
_BY_HAND = {
    "scale": "DELETE USING + INSERT, no late change wins",
    "scale-postgres": "COPY + DELETE USING + ON CONFLICT, no late change wins",
    "scale-databend": "COPY INTO + MERGE, no late change wins",
}
_APART = "COPY INTO + DELETE + INSERT, no late change wins"  # what ours says for Snowflake, without its guard and books
_PLENTY = 4 * 10**9  # bytes: nothing is spilled
_FITS = 10_000_000  # rows: by hand, 100 million ran out of the memory that ours has by default


def scale(options: Options) -> list[Figure]:
    """Batches of recent and of any keys into ever larger tables of DuckDB, against DELETE USING + INSERT by hand.

    Both with the memory that a merge has by default, then with plenty, and by hand all there is.
    """
    return _sizes(options, "scale", options.scale_rows, None)


def scale_postgres(options: Options) -> list[Figure]:
    """The same into Postgres, against COPY + DELETE USING + INSERT … ON CONFLICT by hand."""
    with durable_postgres(options) as server:
        return _sizes(options, "scale-postgres", options.scale_postgres_rows, server)


def scale_databend(options: Options) -> list[Figure]:
    """The same into databend by the SQL for Snowflake, against COPY INTO + MERGE by hand."""
    if find_spec("databend") is None:
        why = f"{NOT_RUN}: databend is not installed; `make bench` installs it"
        return [Figure("scale-databend", "all", 0.0, 0.0, 0.0, 0.0, 0, 0, note=why)]
    return _sizes(options, "scale-databend", options.scale_rows, None)


# --- how they are taken ------------------------------------------------------------------------------------------


def _sizes(options: Options, measure: str, sizes: Sequence[int], server: PostgresServer | None) -> list[Figure]:
    return [figure for rows in sizes for figure in _of_size(options, measure, rows, server)]


def _of_size(options: Options, measure: str, rows: int, server: PostgresServer | None) -> list[Figure]:
    batches = staged_batches(rows, tuple(options.scale_batches), below=options.data)
    with _filled(options, measure, rows, server) as filled:
        probe = partial(_probe, options, filled=filled, batches=batches, server=server)
        little = max(DEFAULT_MEMORY, 30 * rows)
        is_embedded = measure == "scale"  # a server has memory of its own
        is_limited = is_embedded and rows <= _FITS
        probes = {
            "ours": probe("merge_staged", memory=little),
            "by hand": probe("merge_staged_by_hand", **({"memory": little} if is_limited else {})),
        }
        if is_embedded:
            probes["ours, plenty"] = probe("merge_staged", memory=max(_PLENTY, little))
        if is_limited:
            probes["by hand, plenty"] = probe("merge_staged_by_hand")
        if measure == "scale-databend":
            probes["by hand, apart"] = probe("merge_staged_by_hand", apart=True)
        taken = interleaved(options, probes)
    _require_equal(taken, last=f"merge {len(batches) - 1}")
    figures = []
    for number, batch in enumerate(batches):
        step, case = f"merge {number}", f"{batch.name} into {rows:,} rows"
        goal, by_hand = goal_of(options, _MOST, "x"), _BY_HAND[measure]
        unlimited = f"{by_hand}; all memory"
        floor = baseline_of(unlimited if is_embedded and not is_limited else by_hand, taken["by hand"], step)
        figures.append(figure_of(measure, case, taken["ours"], step, goal=goal, **floor))
        if plenty := taken.get("ours, plenty"):
            floor = baseline_of(unlimited, taken["by hand, plenty" if is_limited else "by hand"], step)
            figures.append(figure_of(measure, f"{case}, memory: 4GB", plenty, step, goal=goal, **floor))
        if apart := taken.get("by hand, apart"):
            figures.append(figure_of(measure, case, taken["ours"], step, **baseline_of(_APART, apart, step)))
    return figures


@contextmanager
def _filled(options: Options, measure: str, rows: int, server: PostgresServer | None) -> Iterator[str]:
    """A warehouse that is filled, to be copied for each run."""
    with workspace() as folder, _place(measure, str(folder), server) as warehouse:
        step = options.probe("fill_scale", warehouse=warehouse, rows=rows).steps["fill"]
        require("rows that were filled in", step.counts["rows"], rows)
        options.say(f"  filled {rows:,} rows in {step.seconds:.0f} s")
        yield warehouse


@contextmanager
def _place(measure: str, folder: str, server: PostgresServer | None) -> Iterator[str]:
    if server:
        with database(server) as url:
            yield url
    elif measure == "scale-databend":
        yield f"databend:{folder}/databend"
    else:
        yield f"duckdb:///{folder}/filled.duckdb"


def _probe(
    options: Options,
    probe: str,
    *,
    filled: str,
    batches: Sequence[StagedBatch],
    server: PostgresServer | None,
    **more: int,
) -> Callable[[], Result]:
    folders = [str(batch.folder) for batch in batches]

    def run() -> Result:
        if server is None:
            return options.probe(probe, warehouse=filled, batches=folders, **more)  # which works on a copy
        with database_like(server, filled) as url:
            return options.probe(probe, warehouse=url, batches=folders, **more)

    return run


def _require_equal(taken: Taken, *, last: str) -> None:
    """All runs must end with the same table."""
    found = [result.steps[last].counts for results in taken.values() for result in results]
    for each in found:
        for name in ("rows", "changed", "digest"):
            require(f"{name} of the table", each[name], found[0][name])


MEASURES: Mapping[str, Callable[[Options], list[Figure]]] = {
    "scale": scale,
    "scale-postgres": scale_postgres,
    "scale-databend": scale_databend,
}
