"""Counts what a merge asks of a warehouse and of S3: statements, rows and bytes that are staged, requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from bench.checks import Digest, require_rows
from bench.child import Step, workspace
from bench.feed import COLUMNS, ONE_BATCH, settings
from bench.polling import counted
from bench.s3 import BUCKET
from bench.working import all_of, timed
from cdc_merge.warehouses import Dialect, Row, Session, Statement, Tidying, Warehouse

_MILLION = 1_000_000


@dataclass
class Meter:
    """What was counted so far."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, **more: int) -> None:
        for name, number in more.items():
            self.counts[name] = self.counts.get(name, 0) + number


class MeteredSession:
    """A session that counts what goes through it."""

    def __init__(self, session: Session, meter: Meter) -> None:
        self._session, self._meter = session, meter

    def load(self, table: str, reader: pa.RecordBatchReader) -> int:
        def counted_batches() -> Iterator[pa.RecordBatch]:
            for batch in reader:
                self._meter.add(staged_rows=batch.num_rows, staged_bytes=batch.nbytes)
                yield batch

        self._meter.add(statements=1)
        return self._session.load(table, pa.RecordBatchReader.from_batches(reader.schema, counted_batches()))

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        self._meter.add(statements=len(tables), staged_bytes=path.stat().st_size)
        self._session.stage(path, tables)

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        touched = self._session.run(statements, foreseen=foreseen)
        self._meter.add(statements=len(touched), transactions=1)
        return touched

    def query(self, sql: str) -> list[Row]:
        self._meter.add(statements=1)
        return self._session.query(sql)


class MeteredWarehouse:
    """A warehouse whose sessions are counted."""

    def __init__(self, warehouse: Warehouse, meter: Meter) -> None:
        self._warehouse, self._meter = warehouse, meter

    @property
    def dialect(self) -> Dialect:
        return self._warehouse.dialect

    @property
    def name(self) -> str:
        return self._warehouse.name

    @property
    def tidying(self) -> Tidying | None:
        return self._warehouse.tidying

    def is_there(self) -> bool:
        return self._warehouse.is_there()

    @contextmanager
    def session(self) -> Iterator[Session]:
        self._meter.add(sessions=1)
        with self._warehouse.session() as session:
            yield MeteredSession(session, self._meter)

    def interrupt(self) -> None:
        self._warehouse.interrupt()

    def close(self) -> None:
        self._warehouse.close()


def merge_metered(
    *, warehouse: str | None, endpoint: str, one_batch: bool, expected: Mapping[str, Digest]
) -> dict[str, Step]:
    """Merge all objects of the double of S3, and count; everything per million changes but records and objects.

    `warehouse` None: a DuckDB file that is thrown away. `expected`: what the table must hold then.
    """
    with workspace() as folder:
        url = warehouse or f"duckdb:///{folder / 'warehouse.duckdb'}"
        chosen = settings(
            warehouse=url,
            changes=f"s3://{BUCKET}/",
            columns=COLUMNS,
            batch=ONE_BATCH if one_batch else None,
        )
        meter, before = Meter(), counted(endpoint)
        step = timed(chosen, all_of, meter=lambda plain: MeteredWarehouse(plain, meter))
        asked = {name: number - before[name] for name, number in counted(endpoint).items()}
        require_rows(url, expected, typed=True)
    requests = {"requests": asked["LIST"] + asked["GET"] + asked["HEAD"], "fetched_bytes": asked["bytes"]}
    by = _MILLION / step.counts["records"]
    scaled = {name: round(number * by) for name, number in (requests | meter.counts).items()}
    books = {name: step.counts[name] for name in ("records", "objects")}
    return {"merge": replace(step, counts=books | scaled)}


PROBES: dict[str, Callable[..., dict[str, Step]]] = {"merge_metered": merge_metered}
