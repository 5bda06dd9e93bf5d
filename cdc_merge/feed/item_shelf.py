"""The DuckDB file that exported items are decoded into: each is written once, with the columns of all targets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from cdc_merge.feed import shape
from cdc_merge.feed.portions import Portion
from cdc_merge.feed.reading import ITEM_BYTES, vector_rows
from cdc_merge.feed.shelf import MOST_LACKED, Filled, Types, lacked
from cdc_merge.feed.texts import Rows
from cdc_merge.feed.unusable import key_tests
from cdc_merge.feed.values import staged_columns, staged_definition
from cdc_merge.feed.where import any_could_take
from cdc_merge.feed.wide import Look, WideTable
from cdc_merge.feed.workbench import Bench
from cdc_merge.model import Source
from cdc_merge.render import Sql, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses.dialect import DUCKDB, Dialect

# What an INSERT brings is packed at once, by its own thread, if it fills a row group: a portion has some 100,000 items
# of 400 bytes. Otherwise it goes into the transaction's rows first (decision 13).
_ROW_GROUP = 16_384

_LINE_BITS = 32
_PORTION_BITS = 16
GROUP_BITS = _LINE_BITS + _PORTION_BITS
"""Of an item's number, those that tell it from others in its group of files."""


@dataclass
class ItemTables:
    """The file's tables. Portions that were told of the same columns share one, and in the end views have them all:
    `keys` as the workbench's `stage_keys`, `rows_<i>` as its `stage_rows_<i>`, and `keyed_<i>`, which has both.
    """

    path: Path
    books: Sequence[SchemaBook]
    dialect: Dialect
    _making: threading.Lock = field(default_factory=threading.Lock)
    _items: dict[tuple[int, ...], str] = field(default_factory=dict)  # by how many columns each target has
    _odd: dict[tuple[int, tuple[str, ...]], str] = field(default_factory=dict)  # by target and columns

    @contextmanager
    def at_hand(self, bench: Bench) -> Iterator[None]:
        """Inside, the file is the bench's database `snapshot`."""
        # Packing texts into dictionaries takes a fifth of the whole decoding, for a file that is read once. Where items
        # have no value in most columns it takes hardly anything, and the file is a half to a quarter as large. Putting
        # row groups together that are not full would write their neighbours anew.
        # https://duckdb.org/docs/stable/configuration/overview
        if lacked(len(b.schema.columns) for b in self.books if b.target.each is None) <= MOST_LACKED:
            bench.execute("SET disabled_compression_methods = 'dict_fsst'")
        bench.execute("SET max_vacuum_tasks = 0")
        bench.execute(f"ATTACH {DUCKDB.literal(str(self.path))} AS snapshot (ROW_GROUP_SIZE {_ROW_GROUP})")
        yield
        bench.execute("DETACH snapshot")  # not after an error: other threads may still write

    def items(self, bench: Bench, counts: tuple[int, ...]) -> str:
        """The table of items of which so many columns of each target are known."""
        with self._making:
            if counts not in self._items:
                table = f"items_{len(self._items)}"
                columns = [
                    *("n BIGINT", "partition_key VARCHAR NOT NULL", "sort_key VARCHAR NOT NULL"),
                    *("removed BOOLEAN", "could BOOLEAN", "unusable VARCHAR"),
                ]
                for i, book in enumerate(self.books):
                    columns += [f"takes_{i} BOOLEAN", f"clean_{i} BOOLEAN"]
                    known = staged_columns(book, self.dialect)[: counts[i]]
                    columns += [f"t{i}_{staged} {kind}" for staged, kind in known]
                bench.execute(f"CREATE TABLE snapshot.{table} ({', '.join(columns)})")
                self._items[counts] = table
            return f"snapshot.{self._items[counts]}"

    @property
    def keys(self) -> str:
        """All keys so far, by `n`, as a FROM clause."""
        with self._making:
            each = [f"SELECT n, partition_key, sort_key FROM snapshot.{table}" for table in self._items.values()]
        return f"({' UNION ALL '.join(each)})"

    def add(self, bench: Bench, number: int, select: str, columns: Sequence[str]) -> None:
        """Put rows of a target into the file that were looked at one by one."""
        with self._making:
            if (number, tuple(columns)) not in self._odd:
                table = f"odd_{len(self._odd)}"
                bench.execute(f"CREATE TABLE snapshot.{table} AS {select} LIMIT 0")
                self._odd[number, tuple(columns)] = table
            table = self._odd[number, tuple(columns)]
        bench.execute(f"INSERT INTO snapshot.{table} BY NAME {select}")

    def finish(self, bench: Bench) -> dict[str, int]:
        """Make the views, of all columns that the books have by now; returns how many items are unusable, by reason."""
        if not self._items:
            self.items(bench, tuple(len(book.schema.columns) for book in self.books))
        # Whoever attaches the file calls it otherwise, so views name its tables alone.
        flags = "".join(f", takes_{i}" for i in range(len(self.books)))
        keys = (
            "SELECT n, partition_key, sort_key, '' AS position, CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS changed_at, "
            f"removed, could{flags} FROM {table} WHERE unusable IS NULL"
            for table in self._items.values()
        )
        bench.execute(f"CREATE VIEW snapshot.keys AS {' UNION ALL '.join(keys)}")
        for i, book in enumerate(self.books):
            bench.execute(f"CREATE TABLE snapshot.bare_{i} ({staged_definition(book, self.dialect)})")
            # The first decides the order of columns; what another lacks is NULL in its rows.
            rows = [f"FROM bare_{i}", *self._clean(i, book), *(f"FROM {table}" for table in self._left(i))]
            bench.execute(f"CREATE VIEW snapshot.rows_{i} AS {' UNION ALL BY NAME '.join(rows)}")
            # Rows that were looked at one by one are few, so that few keys are looked for.
            bare = f"SELECT '' AS partition_key, '' AS sort_key, * FROM bare_{i}"
            left = (
                f"SELECT k.partition_key, k.sort_key, o.* FROM {table} AS o JOIN keys AS k ON k.n = o.n"
                for table in self._left(i)
            )
            rows = [bare, *self._clean(i, book, keys="partition_key, sort_key, "), *left]
            bench.execute(f"CREATE VIEW snapshot.keyed_{i} AS {' UNION ALL BY NAME '.join(rows)}")
        whole = " UNION ALL ".join(f"SELECT unusable FROM snapshot.{table}" for table in self._items.values())
        return dict(
            bench.rows(f"SELECT unusable, count(*) FROM ({whole}) WHERE unusable IS NOT NULL GROUP BY unusable")
        )

    def _clean(self, number: int, book: SchemaBook, *, keys: str = "") -> Iterator[str]:
        if book.target.each is not None:
            return
        names = [staged for staged, _ in staged_columns(book, self.dialect)]
        for counts, table in self._items.items():
            columns = "".join(f", t{number}_{staged} AS {staged}" for staged in names[: counts[number]])
            test = f"takes_{number} AND clean_{number} AND unusable IS NULL"
            yield f"SELECT {keys}n{columns} FROM {table} WHERE {test}"

    def _left(self, number: int) -> Iterator[str]:
        yield from (table for (target, _), table in self._odd.items() if target == number)


class ItemShelf:
    """Puts the items of one group of files into the file; see Shelf."""

    lines = "lines AS l"

    def __init__(
        self, tables: ItemTables, source: Source, form: shape.Form, key_tags: Sequence[str], *, group: int
    ) -> None:
        self._tables = tables
        self._source = source
        self._form = form
        self._key_tags = key_tags
        self._first = group << GROUP_BITS

    def key_texts(self, value: Callable[[str], str]) -> list[Sql]:
        """The texts of partition and sort key; `value` gives the SQL of the text at a pointer."""
        keys = [
            shape.key_text(value(f"{self._form.keys}/{shape.escape(a)}/{t}"), t, 1)
            for a, t in zip(self._source.key, self._key_tags, strict=True)
        ]
        return [Sql(keys[0]), Sql(keys[1] if len(keys) > 1 else "''")]

    def fill(self, bench: Bench, portion: Portion, wide: WideTable, look: Look) -> Filled:
        books, tags = self._tables.books, self._key_tags
        table = self._tables.items(bench, tuple(0 if books[i].target.each else len(c) for i, c in look.columns.items()))
        first = self._first + (portion.number << _LINE_BITS)

        def more(pointers: shape.Pointers) -> Mapping[str, object]:
            partition_key, sort_key = self.key_texts(pointers.value)
            tests = [f"WHEN {test} THEN '{reason}'" for test, reason, _ in key_tests(self._tables.dialect, tags)]
            return {
                "table": Sql(table),
                "first": first,
                "partition_key": partition_key,
                "sort_key": sort_key,
                "could": Sql(any_could_take([b.target for b in books], self._source.key, tags)),
                "unusable": Sql(f"CASE {' '.join(tests)} END" if tests else "NULL"),
            }

        lines = portion.lines()
        rows = Rows(
            lines=lines,
            source=self.lines,
            columns="l.idx",
            given=pa.table({"idx": pa.array(np.arange(len(lines), dtype=np.int32))}),
            vector=vector_rows(lines, ITEM_BYTES),
        )
        layouts = wide.fill(bench, "feed/sql/items.sql", look, rows, more)
        bench.execute(
            render("feed/sql/items_at_hand.sql", DUCKDB, table=Sql(table), first=first, last=first + 2**_LINE_BITS - 1)
        )
        return Filled(layouts, table)

    def keep(self, bench: Bench, filled: Filled, types: Types, *, clean: Sequence[int]) -> None:
        """It is kept already."""

    def add(self, bench: Bench, number: int, select: str, columns: Sequence[str]) -> None:
        self._tables.add(bench, number, select, columns)

    def finish(self) -> None:
        """Its views have all rows."""

    def show(self, number: int, definition: str) -> None:
        """The file's views are made when the last group is in it."""
