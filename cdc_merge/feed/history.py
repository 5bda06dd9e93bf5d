"""One more pass over a batch, for targets with a history: every change of an item, not only the newest."""

from __future__ import annotations

from collections.abc import Callable

from cdc_merge.feed.portions import Portion
from cdc_merge.feed.reading import Rereading
from cdc_merge.feed.rows import RowStage
from cdc_merge.feed.strangers import stage_or_locate
from cdc_merge.feed.unusable import UNUSABLE
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.model import Source
from cdc_merge.render import render
from cdc_merge.warehouses.dialect import DUCKDB


def stage_histories(
    workbench: Workbench, reading: Rereading, rows: RowStage, source: Source, object_key: Callable[[int], str]
) -> None:
    """Fill `stage_events`, and the tables of `rows` for each target that keeps a history.

    After the newest changes are staged: the keys in `latest` are known to be usable by then. Raises SchemaConflict on
    `evolve: fail`.
    """
    workbench.execute(render("feed/sql/history.sql", DUCKDB))

    def stage(bench: Bench, portion: Portion) -> None:
        stage_or_locate(rows, bench, portion, source, object_key)

    reading.read("distinct_changes", stage)
    rows.finish()
    workbench.execute(render("feed/sql/stage_events.sql", DUCKDB, could=rows.could_take()))


def leave_out(bench: Bench, table: str) -> None:
    """A change that cannot be used is no part of a history; whether it is rejected was settled before."""
    bench.execute(f"DELETE FROM {table} WHERE {UNUSABLE}")
