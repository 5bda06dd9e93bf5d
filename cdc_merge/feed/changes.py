"""The changes of a batch, by key and position: in the native program's memory while that suffices, else in tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc_merge.feed.chunks import table_of
from cdc_merge.feed.parts import Parts
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.native.changes import Added
from cdc_merge.native.changes import Changes as Store
from cdc_merge.native.changes import changes as native_store
from cdc_merge.native.looker import Found
from cdc_merge.render import render
from cdc_merge.warehouses.dialect import DUCKDB

STORE_SHARE = 0.2
"""Of the memory that a source may use, what changes may take outside of DuckDB, which then holds none of them."""

_JOINED_BYTES = 2**26  # of rows on their way from the store

Numbers = npt.NDArray[np.int32]

_COLUMNS = (
    "chunk INTEGER, idx INTEGER, object_number INTEGER, partition_key VARCHAR, sort_key VARCHAR, position VARCHAR, "
    "n BIGINT"
)


@dataclass(frozen=True)
class LeftOut:
    """Lines that became no changes: without a position, and those that were refused."""

    unplaced: Sequence[int] = ()
    refused: Sequence[int] = ()


class Changes:
    """What the first pass found. The workbench's table `changes` is there from `show` on."""

    def __init__(self, workbench: Workbench, *, memory: int, more: str = "") -> None:
        """`memory`: bytes that the native program may take; `more`: further columns, which it cannot keep."""
        self._workbench = workbench
        self._memory = memory
        self._more = more
        self._parts = Parts(workbench, "changes")
        self._store: Store | None = None if more else native_store()
        self._adding = threading.Lock()
        self._is_shown = False
        self._given = 0  # numbers of changes, from 1 on, by the store

    @property
    def are_native(self) -> bool:
        """Whether `add_records` may be asked; another thread may be the one to end that."""
        return self._store is not None

    def add_records(
        self, found: Found, *, has_sort_key: bool, chunk: int, lines: Numbers | None, objects: Numbers
    ) -> Added | None:
        """Add records of a stream, as the native store does; what it leaves is for `add`. None: all is."""
        with self._adding:
            if self._store is None:
                return None
            added = self._store.add_records(found, has_sort_key=has_sort_key, chunk=chunk, lines=lines, objects=objects)
            self._move_if_large()
            return added

    def outdated(self, rows: int) -> int:
        """At least so many of some rows, each of a change that was the newest of its key, are not any more."""
        with self._adding:
            return rows - self._store.keys if self._store is not None else 0

    def add(self, bench: Bench, select: str, *, chunk: int, refused: Sequence[int]) -> LeftOut:
        """Add the rows of a query (chunk, idx, object_number, partition_key, sort_key, position …).

        `refused`: lines that are left out.
        """
        if self._store is not None:
            bench.execute(f"CREATE OR REPLACE TEMP TABLE added AS {select}")
            left_out = _leave_out(bench, "added", refused)
            with self._adding:
                if self._store is not None:
                    self._store.add(bench.table("FROM added"), chunk=chunk)
                    self._move_if_large()
                    return left_out
            self._parts.add(bench, "FROM added")
            return left_out
        return _leave_out(bench, self._parts.add(bench, select), refused)

    def _move_if_large(self) -> None:
        """Tables can be spilled to disk."""
        if self._store is not None and self._store.size > self._memory:
            store, self._store = self._store, None
            self._copy(store)

    def _copy(self, store: Store) -> None:
        self._given = store.given
        bench = self._workbench.bench()
        for rows in store.all():
            with bench.naming(rows=rows):
                self._parts.add(bench, "FROM rows")

    def forget(self, objects: Sequence[int]) -> None:
        """Leave out all that came from objects."""
        if self._store is not None:
            self._store.forget(objects)
        self._parts.delete(f"object_number IN ({', '.join(map(str, objects))})")

    def show(self) -> None:
        """Make the view `changes`; nothing is added afterwards."""
        if self._is_shown:
            return
        self._is_shown = True
        store, self._store = self._store, None
        if store is not None:
            self._copy(store)
        self._parts.show(_COLUMNS + self._more)

    def make_latest(self) -> None:
        """Make the table `latest`, of the newest change of each key."""
        if self._store is None:
            self.show()
            self._workbench.execute(render("feed/sql/latest.sql", DUCKDB, given=self._given))
            return
        columns = "n, partition_key, sort_key, position, chunk, idx"
        is_made = False
        for rows in _joined(self._store.newest()):
            with self._workbench.naming(rows=table_of(rows)):
                # What an INSERT brings is set down twice: see Parts.
                how = "INSERT INTO latest" if is_made else "CREATE TABLE latest AS"
                self._workbench.execute(f"{how} SELECT {columns} FROM rows")
            is_made = True

    def counts(self, objects: int) -> dict[int, int]:
        """How many changes came from each of so many objects, of those that have any."""
        if self._store is not None:
            return self._store.counts(objects)
        self.show()
        return dict(self._workbench.rows("SELECT object_number, count(*) FROM changes GROUP BY ALL"))


def _joined(slices: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Slices put together, up to some size."""
    held: list[pa.Table] = []
    size = 0
    for rows in slices:
        if size > _JOINED_BYTES:
            yield pa.concat_tables(held)
            held, size = [], 0
        held.append(rows)
        size += rows.nbytes
    yield pa.concat_tables(held)


def _leave_out(bench: Bench, table: str, refused: Sequence[int]) -> LeftOut:
    unplaced = [line for (line,) in bench.rows(f"SELECT idx FROM {table} WHERE position IS NULL")]
    if unplaced:
        bench.execute(f"DELETE FROM {table} WHERE position IS NULL")
    found = []
    if refused:
        condition = f"idx IN ({', '.join(map(str, refused))})"
        found = [line for (line,) in bench.rows(f"SELECT idx FROM {table} WHERE {condition}")]
        bench.execute(f"DELETE FROM {table} WHERE {condition}")
    return LeftOut(unplaced, found)
