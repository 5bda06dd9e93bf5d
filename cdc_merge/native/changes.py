"""The changes of a batch: of each its key, its position and where it lies; and the newest of each key."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc_merge.native.library import (
    AddedView,
    ChangesView,
    GivenTexts,
    Integers,
    Lent,
    LinesView,
    Measures,
    NativeFailed,
    integers,
    library,
    texts,
)
from cdc_merge.native.looker import Found

_SLICE = 200_000  # rows that are handed over at once: each is in memory twice then


def _table(rows: Lent) -> pa.Table:
    view = ChangesView()
    rows.library.rows_view(rows.handle, ctypes.byref(view))
    partition_key, sort_key, position = (texts(each, view.rows, rows) for each in view.texts)
    return pa.table(
        {
            "chunk": pa.array(integers(view.chunks, view.rows, rows)),
            "idx": pa.array(integers(view.idxs, view.rows, rows)),
            "object_number": pa.array(integers(view.objects, view.rows, rows)),
            "n": pa.array(integers(view.numbers, view.rows, rows).view(np.uint32).astype(np.int64)),
            "partition_key": partition_key,
            "sort_key": sort_key,
            "position": position,
        }
    )


@dataclass(frozen=True)
class Added:
    """What became of the rows of a look. `left`: those that are no plain changes, which were left out.

    `rows`: those whose changes are the newest of their keys so far; `numbers`: of these changes, from 1 on.
    `count`: how many changes were added.
    """

    left: Integers
    rows: Integers
    numbers: npt.NDArray[np.int64]
    count: int


class Changes:
    """A store of changes. Several threads may add to it at once. Whatever is done with it may raise NativeFailed."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handle = library.changes_new()
        # At the end of the process other threads may be at work with it.
        weakref.finalize(self, library.changes_free, self._handle).atexit = False

    def add_records(
        self, found: Found, *, has_sort_key: bool, chunk: int, lines: Integers | None, objects: Integers
    ) -> Added:
        """Add what a look found of a stream's records: partition key, sort key (if there is one), sequence number, ARN.

        `lines`: the number of each row's line, None: as they come; `objects`: the number of its object.
        """
        view = _lines_view(chunk, lines, objects)
        added = self._library.changes_add_records(self._handle, found.handle, has_sort_key, ctypes.byref(view))
        if not added:
            raise NativeFailed
        newest = AddedView()
        self._library.added_view(added, ctypes.byref(newest))
        rows, numbers = (integers(each, newest.count, self).copy() for each in (newest.rows, newest.numbers))
        self._library.added_free(added)
        left = found.unsure
        return Added(left, rows, numbers.view(np.uint32).astype(np.int64), count=len(objects) - len(left))

    def add(self, changes: pa.Table, *, chunk: int) -> None:
        """Add changes of a chunk: idx, object_number, partition_key, sort_key, position; none of them is NULL."""
        for batch in changes.combine_chunks().to_batches():
            columns = [batch.column(name).cast(pa.string()) for name in ("partition_key", "sort_key", "position")]
            given = (GivenTexts * 3)(*map(_given, columns))  # valid as long as `columns` are there
            lines, objects = (np.asarray(batch.column(name), np.int32) for name in ("idx", "object_number"))
            view = _lines_view(chunk, lines, objects)
            if not self._library.changes_add_texts(self._handle, given, ctypes.byref(view)):
                raise NativeFailed

    def forget(self, objects: Sequence[int]) -> None:
        """Leave out all that came from some objects."""
        numbers = np.array(objects, np.int32)
        if not self._library.changes_forget(self._handle, numbers.ctypes.data, len(numbers)):
            raise NativeFailed

    @property
    def size(self) -> int:
        """Bytes of memory that they take."""
        return int(self._measures().bytes)

    @property
    def given(self) -> int:
        """The last number that a change was given."""
        return int(self._measures().given)

    @property
    def keys(self) -> int:
        """How many keys there ever were: forgetting changes drops none."""
        return int(self._measures().keys)

    def _measures(self) -> Measures:
        measures: Measures = self._library.changes_measure(self._handle)
        if measures.bytes < 0:
            raise NativeFailed
        return measures

    def newest(self) -> Iterator[pa.Table]:
        """The newest change of each key, in slices, one at least."""
        count = self._library.changes_settle(self._handle)
        if count < 0:
            raise NativeFailed
        return self._slices(count, only_newest=True)

    def all(self) -> Iterator[pa.Table]:
        """All changes, in slices, one at least."""
        return self._slices(self._measures().changes, only_newest=False)

    def _slices(self, count: int, *, only_newest: bool) -> Iterator[pa.Table]:
        start = 0
        while True:
            handle = self._library.changes_rows(self._handle, only_newest, start, min(count, start + _SLICE))
            if not handle:
                raise NativeFailed
            rows = _table(Lent(self._library, handle, "rows_free"))
            yield rows
            start += len(rows)  # fewer where keys are long
            if start >= count:
                return

    def counts(self, objects: int) -> dict[int, int]:
        """How many changes came from each of so many objects, of those that have any."""
        counts = np.zeros(objects, np.int64)
        if not self._library.changes_count(self._handle, objects, counts.ctypes.data):
            raise NativeFailed
        return {number: count for number, count in enumerate(counts.tolist()) if count}


def changes() -> Changes | None:
    """An empty store; None where the native program is not there."""
    loaded = library()
    return Changes(loaded) if loaded else None


def _lines_view(chunk: int, lines: Integers | None, objects: Integers) -> LinesView:
    """Valid as long as the arrays are."""
    if chunk >= 2**31:
        raise NativeFailed  # of hundreds of thousands of objects read exactly, in one batch
    objects = np.ascontiguousarray(objects, np.int32)
    lines = None if lines is None else np.ascontiguousarray(lines, np.int32)
    view = LinesView(chunk, None if lines is None else lines.ctypes.data, objects.ctypes.data, len(objects))
    view.kept = (lines, objects)
    return view


def _given(texts: pa.StringArray) -> GivenTexts:
    _, offsets, data = texts.buffers()
    return GivenTexts(offsets.address + texts.offset * 4, data.address if data else None, data.size if data else 0)
