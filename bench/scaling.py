"""Probes of scale: batches as decoding leaves them, merged into large tables of each engine, by ours and by hand."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from bench.child import Step, workspace
from bench.scale_engines import LAST_FILLED, Databend, DuckDB, Engine, Postgres, stopwatch
from bench.scale_items import KEY_TAGS, SOURCE
from cdc_merge.feed.values import staged_columns
from cdc_merge.layout import layout_for
from cdc_merge.merge.plan import Batch, MergePlan
from cdc_merge.merge.planned import KeyRange
from cdc_merge.migrate import Migrator
from cdc_merge.model import DEFAULT_MEMORY, Ordering, Settings
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses import Dialect, open_warehouse
from cdc_merge.warehouses.duckdb import memory_for_merges

_SETTINGS = Settings("", "analytics", "cdc_merge", (SOURCE,))


def fill_scale(*, warehouse: str, rows: int) -> dict[str, Step]:
    """Make the tables and fill the target. `warehouse`: a URL, or `databend:` and a folder."""
    with _opened(warehouse) as (url, engine):
        with closing(open_warehouse(url)) as opened, opened.session() as session:
            Migrator(opened, _SETTINGS.metadata_schema).apply(session)
            plan = _plan(opened.dialect, stored=False)
            known = plan.record_source(SOURCE.name, Ordering.SEQUENCE, table_arn=None)
            session.run([*plan.ddl(schema_exists=False), known, *plan.record_schema(SOURCE.name)])
        step = stopwatch(lambda: None, lambda: engine.fill(rows))
        return {"fill": replace(step, counts={"rows": engine.found("")[0]})}


def merge_staged(*, warehouse: str, batches: list[str], memory: int = DEFAULT_MEMORY) -> dict[str, Step]:
    """Load and merge the batches of these folders by the product's statements: `merge <n>` each, without the books.

    `memory`: what a source is given, in bytes.
    """
    return _each(warehouse, batches, partial(_ours, memory=memory))


def merge_staged_by_hand(
    *, warehouse: str, batches: list[str], apart: bool = False, memory: int | None = None
) -> dict[str, Step]:
    """The same rows by the SQL an expert would write, which lets no late change win: no tombstones, no books.

    `apart`: by DELETE and INSERT, also where MERGE is what an expert would use. `memory`: what a source would be given:
    DuckDB may take as much of it as for a merge of ours; None: all of the machine's.
    """

    def merge(_url: str, engine: Engine, folder: Path) -> Step:
        return engine.by_hand(_joined(folder, engine.dialect), apart=apart, memory=memory and memory_for_merges(memory))

    return _each(warehouse, batches, merge)


def _each(warehouse: str, batches: list[str], merge: Callable[[str, Engine, Path], Step]) -> dict[str, Step]:
    with workspace() as folder, _opened(_own(warehouse, folder)) as (url, engine):
        steps = {f"merge {number}": merge(url, engine, Path(batch)) for number, batch in enumerate(batches)}
        last = list(steps)[-1]
        found = dict(zip(("rows", "changed", "digest"), engine.found(LAST_FILLED), strict=True))
        return steps | {last: replace(steps[last], counts=dict(steps[last].counts) | found)}


def _own(warehouse: str, folder: Path) -> str:
    """A copy of a file or folder; a database of Postgres is a copy already."""
    if warehouse.startswith("duckdb:"):
        shutil.copyfile(warehouse.removeprefix("duckdb:///"), folder / "warehouse.duckdb")
        return f"duckdb:///{folder / 'warehouse.duckdb'}"
    if warehouse.startswith("databend:"):
        shutil.copytree(warehouse.removeprefix("databend:"), folder / "databend")
        return f"databend:{folder / 'databend'}"
    return warehouse


# --- ours ---------------------------------------------------------------------------------------------------------


def _ours(url: str, _engine: Engine, folder: Path, *, memory: int = DEFAULT_MEMORY) -> Step:
    statements: dict[str, float] = {}

    def observe(label: str, seconds: float) -> None:
        statements[label] = statements.get(label, 0.0) + seconds

    with closing(open_warehouse(url, observer=observe, memory=memory)) as warehouse:
        keys, rows = _staged(folder, warehouse.dialect)
        plan = _plan(warehouse.dialect, stored=True)
        now = datetime.now(UTC)
        batch = Batch(uuid.uuid4().hex, SOURCE.name, "bench:1", now, now, 1, keys.num_rows, 0, 0)
        key_range = _key_range(keys) if warehouse.dialect.prunes_by_literals else None
        objects = _objects(now, keys.num_rows)
        with warehouse.session() as session:

            def load() -> None:
                session.load("_cdc_objects", objects.to_reader())
                session.load("_cdc_keys", _in_order(keys, warehouse.dialect).to_reader(65_536))
                session.load("_cdc_rows_0", rows.to_reader(65_536))

            def merge() -> None:
                ledger = plan.record_objects(batch, again=False)
                session.run([*ledger, plan.hold_schemas(SOURCE.name), *plan.merge(batch, key_range=key_range)])

            step = stopwatch(load, merge)
    return replace(step, statements=statements, counts={"staged": keys.num_rows})


def _plan(dialect: Dialect, *, stored: bool) -> MergePlan:
    return MergePlan(dialect, layout_for(_SETTINGS, dialect), [_book(dialect, stored=stored)], KEY_TAGS)


def _book(dialect: Dialect, *, stored: bool) -> SchemaBook:
    (target,) = SOURCE.targets
    fresh = open_book(target, SOURCE.key, dialect, None)
    return open_book(target, SOURCE.key, dialect, fresh.schema) if stored else fresh


def _staged(folder: Path, dialect: Dialect) -> tuple[pa.Table, pa.Table]:
    """What the decoder stages for an engine: the keys, and the rows with values of the types that its road takes."""
    values = ", ".join(
        f"CAST({c} AS {kind}) AS {c}" for c, kind in staged_columns(_book(dialect, stored=True), dialect)
    )
    keys = _read(f"FROM '{folder / 'keys.parquet'}'")
    return keys, _read(f"SELECT n, rescued, {values} FROM '{folder / 'rows.parquet'}'")


def _joined(folder: Path, dialect: Dialect) -> pa.Table:
    """The same as one table, as an expert would stage it: key, values, position, time, removed."""
    values = ", ".join(
        f"CAST({c} AS {kind}) AS {c}" for c, kind in staged_columns(_book(dialect, stored=True), dialect)
    )
    return _read(
        f"SELECT partition_key, sort_key, {values}, position, changed_at, removed FROM '{folder / 'keys.parquet'}' "
        f"LEFT JOIN '{folder / 'rows.parquet'}' USING (n) ORDER BY n"
    )


def _read(sql: str) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(sql).to_arrow_table()


def _in_order(keys: pa.Table, dialect: Dialect) -> pa.Table:
    """As the worker stages them."""
    if not dialect.indexes_key:
        return keys
    with duckdb.connect() as connection:
        return connection.sql("FROM keys ORDER BY partition_key, sort_key").to_arrow_table()


def _key_range(keys: pa.Table) -> KeyRange:
    least, greatest = pc.min_max(keys["partition_key"]).as_py().values()
    return KeyRange(least, greatest)


def _objects(now: datetime, records: int) -> pa.Table:
    number = uuid.uuid4().hex
    return pa.table(
        {
            "bucket": ["bench"],
            "object_key": [number],
            "version": ["1"],
            "bytes": pa.array([records], pa.int64()),
            "modified_at": pa.array([now], pa.timestamp("us", "UTC")),
            "records": pa.array([records], pa.int64()),
        }
    )


@contextmanager
def _opened(warehouse: str) -> Iterator[tuple[str, Engine]]:
    """A URL for the product, and the engine for what is done by hand."""
    if warehouse.startswith("databend:"):
        with Databend.at(Path(warehouse.removeprefix("databend:"))) as engine:
            yield engine.url, engine
    elif warehouse.startswith("duckdb:"):
        yield warehouse, DuckDB(warehouse)
    else:
        yield warehouse, Postgres(warehouse)


PROBES: dict[str, Callable[..., dict[str, Step]]] = {
    "fill_scale": fill_scale,
    "merge_staged": merge_staged,
    "merge_staged_by_hand": merge_staged_by_hand,
}
