"""What is noticed of rows as they are staged: of exported items at once, of changes once the newest are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.feed.notices import Misfit, Notices, typed_at
from cdc_merge.feed.parts import Parts
from cdc_merge.feed.typed import single_base64
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.model import Source, Target
from cdc_merge.names import spelled
from cdc_merge.render import render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import TypedColumn
from cdc_merge.warehouses.dialect import DUCKDB

_LONGEST_VALUE = 200  # characters of a sample
_SAMPLES = 20  # of a portion's misfits in a column: some may be outdated, and then another one is told


class RowNotices(Protocol):
    """Is told of rows by `n`, as they are staged, from any thread."""

    @property
    def counts_unmatched(self) -> bool:
        """Whether anybody asks for items that no target takes."""

    def add_unmatched(self, bench: Bench, select: str) -> None:
        """Items that no target takes: a query (n, entity)."""

    def add_misfits(
        self, bench: Bench, number: int, rows: pa.Table, columns: Sequence[TypedColumn], *, base64_layers: int
    ) -> None:
        """Rows of a target (n, image, misfits: the numbers of columns that have no value though there is one)."""


class ItemNotices:
    """Of an export's items. `keys`: gives the table of keys by `n`."""

    counts_unmatched = False

    def __init__(self, notices: Notices, source: Source, books: Sequence[SchemaBook], keys: Callable[[], str]) -> None:
        self._notices = notices
        self._source = source
        self._books = books
        self._keys = keys

    def add_unmatched(self, bench: Bench, select: str) -> None:
        """Nobody asks."""

    def add_misfits(
        self, bench: Bench, number: int, rows: pa.Table, columns: Sequence[TypedColumn], *, base64_layers: int
    ) -> None:
        target = self._books[number].target
        for found in _by_column(rows):
            column = columns[found.number]
            key, value = (), None
            if not self._notices.knows(target.table, column.name):
                first = f"SELECT partition_key, sort_key FROM {self._keys()} WHERE n = {found.ns[0].as_py()}"
                key = bench.rows(first)[0][: len(self._source.key)]
                (value,) = found.values(column, at_most=1, base64_layers=base64_layers)
            self._notices.add_misfit(_misfit(target, column, len(found.ns), key, value))


class ChangeNotices:
    """Of a batch's changes. A newer one of the same key may still come, so they are kept in the workbench."""

    counts_unmatched = True

    def __init__(self, workbench: Workbench, source: Source, books: Sequence[SchemaBook]) -> None:
        self._workbench = workbench
        self._source = source
        self._books = books
        self._unmatched = Parts(workbench, "unmatched_rows")
        self._misfits = Parts(workbench, "misfit_rows")

    def add_unmatched(self, bench: Bench, select: str) -> None:
        self._unmatched.add_unnamed(bench, select)

    def add_misfits(
        self, bench: Bench, number: int, rows: pa.Table, columns: Sequence[TypedColumn], *, base64_layers: int
    ) -> None:
        for found in _by_column(rows):
            values = found.values(columns[found.number], at_most=_SAMPLES, base64_layers=base64_layers)
            unknown = pa.nulls(len(found.ns) - len(values), pa.string())
            misfits = pa.table({"n": found.ns, "value": pa.chunked_array([pa.array(values, pa.string()), unknown])})
            with bench.naming(misfits=misfits):
                select = f"SELECT {number} AS target, {found.number} AS number, n, value FROM misfits"
                self._misfits.add_unnamed(bench, select)

    def settle(self) -> Notices:
        """What is to be said of the changes that `latest` has."""
        notices = Notices()
        self._unmatched.show("n BIGINT, entity VARCHAR")
        unmatched = "SELECT entity, count(*) FROM unmatched_rows SEMI JOIN latest USING (n) GROUP BY entity"
        notices.add_unmatched(self._workbench.rows(unmatched))
        self._misfits.show("target INTEGER, number INTEGER, n BIGINT, value VARCHAR")
        for number, column, rows, value, *key in self._workbench.rows(render("feed/sql/misfits.sql", DUCKDB)):
            book = self._books[number]
            of_key = tuple(key[: len(self._source.key)])
            notices.add_misfit(_misfit(book.target, book.schema.columns[column], rows, of_key, value))
        return notices


@dataclass(frozen=True)
class _ColumnMisfits:
    """The rows whose values a column, by its number, does not take: `ns` and images, as many of each."""

    number: int
    ns: pa.Int64Array
    images: pa.ChunkedArray

    def values(self, column: TypedColumn, *, at_most: int, base64_layers: int) -> list[str | None]:
        """The first rows' typed values, as JSON."""
        values = (typed_at(image, column.path) for image in self.images.slice(0, at_most).to_pylist())
        if base64_layers == 2:
            values = (single_base64(value) if value is not None else None for value in values)
        return [value[:_LONGEST_VALUE] if value is not None else None for value in values]


def _by_column(rows: pa.Table) -> Iterator[_ColumnMisfits]:
    lists = rows.column("misfits").combine_chunks()
    numbers, parents = pc.list_flatten(lists), pc.list_parent_indices(lists)
    for number in pc.unique(numbers).to_pylist():
        mine = rows.take(parents.filter(pc.equal(numbers, number)))
        yield _ColumnMisfits(number, mine.column("n").combine_chunks(), mine.column("image"))


def _misfit(target: Target, column: TypedColumn, rows: int, key: tuple[str, ...], value: str | None) -> Misfit:
    attribute = spelled(column.path, of_parent=column.of_parent)
    return Misfit(target.table, column.name, attribute=attribute, rows=rows, key=key, value=value)
