"""Decoding alone: objects to the staged rows of a batch, with no warehouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb

from bench.checks import digest
from bench.child import Step, Watch, workspace
from bench.feed import COLUMNS, ONE_BATCH, link, settings
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import decode
from cdc_merge.feed.directory import DirectoryStore
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.workbench import WORKBENCH_SHARE, Workbench
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses.dialect import DUCKDB


def decode_alone(*, paths: list[str], columns: bool) -> dict[str, Step]:
    """Decode one batch; `columns` False: every attribute becomes a column."""
    with workspace() as folder:
        link(map(Path, paths), folder)
        chosen = settings(
            warehouse="duckdb:///nowhere",
            changes=f"file://{folder}",
            columns=COLUMNS if columns else None,
            batch=ONE_BATCH,
        )
        (source,) = chosen.sources
        listed = DirectoryStore(folder).list_page(start_after=None).objects
        objects = [LocalObject(number, ref, folder / ref.key) for number, ref in enumerate(listed)]
        book = open_book(source.targets[0], source.key, DUCKDB, None)
        watch = Watch()
        with Workbench(memory=int(source.memory * WORKBENCH_SHARE)) as workbench:
            found = decode(workbench, objects, source=source, facts=FeedFacts(None, None), books=[book], dialect=DUCKDB)
            step = watch.step()
            counts = {"records": found.records, "keys": found.latest}
            if columns:
                counts |= _rows_of(workbench)
    return {"decode": replace(step, counts=counts)}


def _rows_of(workbench: Workbench) -> dict[str, int]:
    names = ", ".join(f"s.c{i} AS {column.name}" for i, column in enumerate(COLUMNS))
    rows = workbench.table(
        f"SELECT k.partition_key AS pk, k.sort_key AS sk, {names} FROM stage_rows_0 AS s JOIN stage_keys AS k USING (n)"
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("decoded", rows)
        connection.execute("CREATE TABLE rows_of_batch AS FROM decoded")
        count, total = digest(connection, "rows_of_batch", COLUMNS)
    return {"rows": count, "digest": total}


PROBES: dict[str, Callable[..., dict[str, Step]]] = {"decode_alone": decode_alone}
