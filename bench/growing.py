"""Probes of the merge alone: batches into a table that has rows already, by ours and by hand-written SQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
import pyarrow as pa

from bench.baselines import copy_rows
from bench.checks import connect, digest, rows_of
from bench.child import Step, Watch, workspace
from bench.feed import link
from bench.lineitems import ALL_AT_ONCE, COLUMNS, LAST_FILLED, TABLE, fill_sql, lineitem_settings
from bench.working import all_of, timed
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import decode
from cdc_merge.feed.directory import DirectoryStore
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.workbench import WORKBENCH_SHARE, Workbench
from cdc_merge.model import BatchLimits, Source
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES

_TARGET = f"analytics.{TABLE}"
_VALUES = ("pk", "sk", *(column.name for column in COLUMNS), "_cdc_position", "_cdc_changed_at")


def fill_lineitems(*, warehouse: str, rows: int, seed: list[str]) -> dict[str, Step]:
    """Have a worker make its tables, then fill the target with rows that look as if they were merged long ago."""
    with workspace() as folder:
        link(map(Path, seed), folder / "feed")
        chosen = lineitem_settings(warehouse=warehouse, changes=f"file://{folder / 'feed'}")
        timed(chosen, all_of)
    watch = Watch()
    with closing(connect(warehouse)) as connection:
        is_postgres = not isinstance(connection, duckdb.DuckDBPyConnection)
        cursor = connection.cursor()
        # An index is made faster than it is kept up to date.
        if is_postgres:
            cursor.execute(f"ALTER TABLE {_TARGET} DROP CONSTRAINT {TABLE}_pkey")
        cursor.execute(f"DELETE FROM {_TARGET}")
        cursor.execute(fill_sql(rows))
        if is_postgres:
            cursor.execute(f"ALTER TABLE {_TARGET} ADD CONSTRAINT {TABLE}_pkey PRIMARY KEY (pk, sk)")
            cursor.execute(f"VACUUM (ANALYZE) {_TARGET}")
            cursor.execute("CHECKPOINT")
        ((count,),) = rows_of(connection, f"SELECT count(*) FROM {_TARGET}")
    return {"fill": watch.step(counts={"rows": int(count)})}


def merge_batches(
    *, warehouse: str, batches: list[list[str]], one_batch: bool = True, memory: int = Source.memory
) -> dict[str, Step]:
    """Merge each batch by the worker, newest last: `whole <n>` from objects to commit, `merge <n>` its load and merge.

    `warehouse`: a database of one's own, or a DuckDB file, which is copied first. `memory`: bytes.
    """
    limits = ALL_AT_ONCE if one_batch else BatchLimits()
    with workspace() as folder:
        url = _own(warehouse, folder)
        chosen = lineitem_settings(warehouse=url, changes=f"file://{folder / 'feed'}", batch=limits, memory=memory)
        steps: dict[str, Step] = {}
        for number, paths in enumerate(batches):
            link(map(Path, paths), folder / "feed")
            step = timed(chosen, all_of)
            alone = step.phases["load"] + step.phases["merge"]
            steps[f"whole {number}"] = step
            steps[f"merge {number}"] = replace(step, seconds=alone, cpu=0.0)
        return _with_found(url, steps)


def merge_batches_by_hand(*, warehouse: str, batches: list[list[str]], memory: int = Source.memory) -> dict[str, Step]:
    """The same rows by the SQL an expert would write; decoding is ours and not timed.

    DuckDB: DELETE USING and INSERT, with all of the machine's memory. Postgres: binary COPY, DELETE USING of removed
    items, INSERT ... ON CONFLICT DO UPDATE. No guard against late changes, no tombstones, no books. `memory`: that
    decoding may take, in bytes.
    """
    with workspace() as folder:
        url = _own(warehouse, folder)
        steps: dict[str, Step] = {}
        for number, paths in enumerate(batches):
            feed = folder / f"feed-{number}"
            link(map(Path, paths), feed)
            steps[f"merge {number}"] = _by_hand(url, feed, memory)
        return _with_found(url, steps)


def _own(warehouse: str, folder: Path) -> str:
    if not warehouse.startswith("duckdb:"):
        return warehouse
    copy = folder / "warehouse.duckdb"
    shutil.copyfile(warehouse.removeprefix("duckdb:///"), copy)
    return f"duckdb:///{copy}"


def _with_found(url: str, steps: dict[str, Step]) -> dict[str, Step]:
    """The steps, the last with the number of rows and a digest of those that changed, for comparison."""
    with closing(connect(url)) as connection:
        ((rows,),) = rows_of(connection, f"SELECT count(*) FROM {_TARGET}")
        changed = digest(connection, f"(SELECT * FROM {_TARGET} WHERE _cdc_position > '{LAST_FILLED}')", COLUMNS)
    last = list(steps)[-1]
    found = {"rows": int(rows), "changed": changed[0], "digest": changed[1]}
    return steps | {last: replace(steps[last], counts=dict(steps[last].counts) | found)}


def _by_hand(url: str, feed: Path, memory: int) -> Step:
    (source,) = lineitem_settings(warehouse=url, changes=f"file://{feed}", memory=memory).sources
    with Workbench(memory=int(source.memory * WORKBENCH_SHARE)) as workbench:
        rows = _decoded(workbench, source, feed, is_duckdb=url.startswith("duckdb:"))
        if url.startswith("duckdb:"):
            with duckdb.connect(url.removeprefix("duckdb:///")) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                return _stopwatch(rows, lambda: _duckdb_load(connection, rows), lambda: _duckdb_merge(connection))
        with closing(connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = False

            def merge() -> None:
                _postgres_merge(cursor)
                connection.commit()

            return _stopwatch(rows, lambda: _postgres_load(cursor, rows), merge)


def _stopwatch(rows: pa.Table, load: Callable[[], Any], merge: Callable[[], Any]) -> Step:
    watch, began = Watch(), perf_counter()
    load()
    loaded = perf_counter()
    merge()
    phases = {"load": loaded - began, "merge": perf_counter() - loaded}
    return watch.step(phases=phases, counts={"staged": rows.num_rows})


def _decoded(workbench: Workbench, source: Source, feed: Path, *, is_duckdb: bool) -> pa.Table:
    """The newest change of each key: its values, its position and time, and whether its item was removed."""
    listed = DirectoryStore(feed).list_page(start_after=None).objects
    objects = [LocalObject(number, ref, feed / ref.key) for number, ref in enumerate(listed)]
    dialect = DUCKDB if is_duckdb else POSTGRES
    book = open_book(source.targets[0], source.key, dialect, None)
    decode(workbench, objects, source=source, facts=FeedFacts(None, None), books=[book], dialect=dialect)
    columns = ", ".join(f"s.c{i}" for i in range(len(COLUMNS)))
    return workbench.table(
        f"SELECT k.partition_key, k.sort_key, {columns}, k.position, k.changed_at, s.n IS NULL AS removed "
        "FROM stage_keys AS k LEFT JOIN stage_rows_0 AS s USING (n)"
    )


def _duckdb_load(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    staged = rows.rename_columns([*_VALUES, "removed"])
    connection.register("incoming", staged)
    connection.execute("CREATE TEMPORARY TABLE staged AS FROM incoming")


def _duckdb_merge(connection: duckdb.DuckDBPyConnection) -> None:
    names = ", ".join(_VALUES)
    connection.execute("BEGIN")
    connection.execute(f"DELETE FROM {_TARGET} AS t USING staged AS s WHERE t.pk = s.pk AND t.sk = s.sk")
    connection.execute(
        f"INSERT INTO {_TARGET} ({names}, _cdc_merged_at) SELECT {names}, now() FROM staged WHERE NOT removed"
    )
    connection.execute("COMMIT")


def _postgres_load(cursor: Any, rows: pa.Table) -> None:
    copy_rows(cursor, rows.to_reader())
    cursor.execute("ANALYZE staged")


def _postgres_merge(cursor: Any) -> None:
    names, staged = ", ".join(_VALUES), [f"v{i}" for i in range(len(_VALUES))]
    values = ", ".join(f"CAST({v} AS {kind})" for v, kind in zip(staged, _postgres_types(), strict=True))
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in (*_VALUES[2:], "_cdc_merged_at"))
    is_removed = f"v{len(_VALUES)}"
    cursor.execute(
        f"DELETE FROM {_TARGET} AS t USING staged AS s "
        f'WHERE s.{is_removed} AND t.pk = s.v0 COLLATE "C" AND t.sk = s.v1 COLLATE "C"'
    )
    cursor.execute(
        f"INSERT INTO {_TARGET} ({names}, _cdc_merged_at) SELECT {values}, now() FROM staged WHERE NOT {is_removed} "
        f"ON CONFLICT (pk, sk) DO UPDATE SET {changes}"
    )


def _postgres_types() -> Sequence[str]:
    return ("text", "text", *(POSTGRES.type_name(c.type) for c in COLUMNS if c.type), "text", "timestamptz")


PROBES: dict[str, Callable[..., dict[str, Step]]] = {
    "fill_lineitems": fill_lineitems,
    "merge_batches": merge_batches,
    "merge_batches_by_hand": merge_batches_by_hand,
}
