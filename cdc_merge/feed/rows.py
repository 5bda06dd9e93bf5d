"""Turns chosen lines into typed rows for each target: those that fit at once, and those that need a second look."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from cdc_merge.errors import SchemaConflict
from cdc_merge.feed import shape
from cdc_merge.feed.elements import ElementStage
from cdc_merge.feed.entities import entity
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.notices import failed_attributes
from cdc_merge.feed.picks import PICKED_FROM, Picks
from cdc_merge.feed.plain import attributes_seen
from cdc_merge.feed.portions import Portion
from cdc_merge.feed.rescue import as_six_characters, rescue
from cdc_merge.feed.row_notices import RowNotices
from cdc_merge.feed.shelf import BenchShelf, Filled, Shelf
from cdc_merge.feed.unusable import UNUSABLE
from cdc_merge.feed.values import Values, part_columns, staged_columns, staged_definition, whole_columns
from cdc_merge.feed.where import any_could_take, takes
from cdc_merge.feed.wide import Columns, Look, WideTable
from cdc_merge.feed.workbench import Bench
from cdc_merge.model import Column, Source
from cdc_merge.render import Sql, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses.dialect import DUCKDB, Dialect

_SAMPLE = 2_000  # rows looked at for new attributes before a whole portion is


@dataclass(frozen=True)
class _Counted:
    """What was looked at. `clean`: how many rows of each target fit at once; `odd`: the targets with others, by place.

    `belongs`: SQL, whether some target has a row's item; `has_unmatched`: whether there are items that none has.
    """

    filled: Filled
    clean: Sequence[int]
    odd: Sequence[int]
    belongs: str
    has_unmatched: bool


@dataclass(frozen=True)
class _Odd:
    """Rows of a target that are looked at one by one; `elements`: of a target with `each`."""

    number: int
    book: SchemaBook
    found: pa.Table
    elements: ElementStage | None = None


@dataclass(frozen=True)
class _Known:
    """What a book knows at one moment."""

    columns: Columns
    held: frozenset[str]
    touched: frozenset[str]

    @staticmethod
    def of(book: SchemaBook) -> _Known:
        return _Known(book.schema.columns, book.held_attributes(), book.touched_attributes())


def _copy(book: SchemaBook) -> SchemaBook:
    """One that may learn alone."""
    return replace(book, crowded=set(book.crowded))


class RowStage:
    """Puts what lines say on a shelf, target by target, from several threads."""

    def __init__(
        self,
        shelf: Shelf,
        source: Source,
        facts: FeedFacts,
        books: Sequence[SchemaBook],
        dialect: Dialect,
        *,
        unusable: Callable[[Bench, str], None] | None,
        form: shape.Form = shape.CHANGE,
        notices: RowNotices | None = None,
        picks: Picks = Picks(),  # noqa: B008 - frozen
        only: Collection[int] | None = None,
    ) -> None:
        """`unusable`: is told of a bench's table that has changes without a usable image, and takes them out; None: no
        line can be without one.

        `notices` takes note of items that no target takes, and of values that do not fit; None: nobody asks.
        `picks`: the targets that lines of their own are chosen for. `only`: the targets, by place, whose rows are
        wanted; None: all.
        """
        self._unusable = unusable
        self._picks = picks
        self._form = form
        self._notices = notices
        self._shelf = shelf
        # Guards the books: one thread adds columns to them while others ask which there are.
        self._staging = threading.RLock()
        self._source = source
        self._facts = facts
        self._books = {i: b for i, b in enumerate(books) if only is None or i in only}
        self._dialect = dialect
        self._values = Values(dialect, facts.base64_layers)
        self._wide = WideTable(self._books, self._values, form, key_tags=facts.key_tags or (), is_picked=bool(picks))

    @property
    def numbers(self) -> list[int]:
        """The targets whose rows are staged, by place."""
        return list(self._books)

    def could_take(self) -> Sql:
        """Whether a key alone shows that some target could take its item."""
        targets = [book.target for book in self._books.values()]
        return Sql(any_could_take(targets, self._source.key, self._facts.key_tags or ()))

    @property
    def lines(self) -> str:
        """The lines at hand, as a FROM clause that calls them `l`."""
        return self._shelf.lines

    def stage(self, bench: Bench, portion: Portion) -> None:
        """Stage the lines at hand, which are of this portion. The books learn what is new in them."""
        with self._staging:
            for number, book in self._books.items():
                if book.target.each is None and (book.pending or not book.schema.columns):
                    self._get_acquainted(bench, number, book)
            look = self._look()
        counted = self._fill(bench, portion, look)
        self._keep(bench, counted)
        for number in counted.odd:
            self._stage_odd(bench, number)

    def stage_known(self, bench: Bench, portion: Portion) -> bool:
        """Stage changes, unless the books would learn from them: then nothing is staged, and it returns False.

        Only while nobody else lets the books learn.
        """
        assert isinstance(self._shelf, BenchShelf)  # exported items are written where they stay
        if any(book.target.each is None and not book.schema.columns for book in self._books.values()):
            return False
        counted = self._fill(bench, portion, self._look())
        found = [self._find_odd(bench, number, _copy(self._books[number])) for number in counted.odd]
        if any(self._learns(bench, odd) for odd in found):
            self._shelf.drop(bench, counted.filled)
            return False
        self._keep(bench, counted)
        for odd in found:
            self._add_odd(bench, odd, _Known.of(odd.book))
        return True

    def _look(self) -> Look:
        return Look(
            columns={number: book.schema.columns for number, book in self._books.items()},
            pending={number: tuple(book.pending) for number, book in self._books.items()},
        )

    def _fill(self, bench: Bench, portion: Portion, look: Look) -> _Counted:
        """Look into the lines; changes without a usable image are taken out."""
        filled = self._shelf.fill(bench, portion, self._wide, look)
        layouts = filled.layouts
        by_target = ", ".join(
            f"count(*) FILTER (takes_{t.number} AND clean_{t.number}), "
            f"count(*) FILTER (takes_{t.number} AND clean_{t.number} IS NOT TRUE)"
            for t in layouts
        )
        belongs = " OR ".join(t.flag for t in layouts)
        unusable = f"count(*) FILTER ({UNUSABLE})" if self._unusable else "0"
        unmatched = "0"
        if self._notices and self._notices.counts_unmatched:
            # Only the newest of a key tells what an item is, not one that was picked for a single target.
            unmatched = f"count(*) FILTER (NOT removed AND NOT ({belongs}) AND NOT {UNUSABLE} AND n < {PICKED_FROM})"
        doubted, strangers, *counts = bench.rows(f"SELECT {unusable}, {unmatched}, {by_target} FROM wide")[0]
        if doubted and self._unusable:
            self._unusable(bench, filled.table)
        odd = [t.number for t, rows in zip(layouts, counts[1::2], strict=True) if rows]
        return _Counted(filled, clean=counts[::2], odd=odd, belongs=belongs, has_unmatched=strangers > 0)

    def _keep(self, bench: Bench, counted: _Counted) -> None:
        if counted.has_unmatched and self._notices:
            self._note_unmatched(bench, self._notices, counted.belongs)
        types = {number: staged_columns(book, self._dialect) for number, book in self._books.items()}
        self._shelf.keep(bench, counted.filled, types, clean=counted.clean)

    def _get_acquainted(self, bench: Bench, number: int, book: SchemaBook) -> None:
        """Look at some lines that the target takes, for the attributes they have."""
        pointers = shape.Pointers(self._form)
        taken = takes(book.target, pointers.value)
        event = self._form.event or pointers.value(shape.EVENT_NAME)
        pointers.value("/")  # never an empty list
        mine = f" WHERE coalesce(c.target = {number}, TRUE)" if self._picks else ""
        images = bench.table(
            f"SELECT image FROM (SELECT json_extract(line, '{self._form.image}') AS image, "
            f"len(json_keys(line, '{self._form.image}')) AS width, "
            f"json_extract_string(line, {pointers.as_list()}) AS v "
            f"FROM (SELECT l.line FROM {self.lines}{mine} LIMIT {_SAMPLE})) "
            f"WHERE image IS NOT NULL AND {event} IN ('INSERT', 'MODIFY') AND {taken}"
        )
        with bench.naming(odd=images):
            self._settle_pending(bench, book)
        book.meet(attributes_seen(images.column("image")))

    def _settle_pending(self, bench: Bench, book: SchemaBook) -> None:
        """Find the type tags, in the images of `odd`, of columns that were asked for without a type."""
        found: dict[Column, dict[str, int]] = {}
        for column in book.pending:
            at = shape.literal(shape.pointer(column.path, below=""))
            found[column] = dict(
                bench.rows(
                    f"SELECT tag, count(*) FROM (SELECT json_keys(image, {at})[1] AS tag FROM odd) "
                    "WHERE tag IS NOT NULL GROUP BY tag"
                )
            )
        book.settle_pending(found)

    def _note_unmatched(self, bench: Bench, notices: RowNotices, belongs: str) -> None:
        pointers = shape.Pointers(self._form)
        expression = entity(self._source, self._facts.key_tags or (), self._form, pointers.value)
        pointers.value("/")  # never an empty list
        notices.add_unmatched(
            bench,
            render(
                "feed/sql/unmatched.sql",
                DUCKDB,
                entity=Sql(expression),
                belongs=Sql(belongs),
                picked_from=PICKED_FROM,
                pointers=Sql(pointers.as_list()),
            ),
        )

    def _note_misfits(self, bench: Bench, number: int, rows: pa.Table, columns: Columns) -> None:
        """Take note of the rows (n, image, misfits), if anybody asks."""
        if self._notices:
            self._notices.add_misfits(bench, number, rows, columns, base64_layers=self._facts.base64_layers)

    def _stage_odd(self, bench: Bench, number: int) -> None:
        book = self._books[number]
        if book.target.each is not None:
            with self._staging:  # what is asked for may become known meanwhile: then the pointers would not fit
                odd = self._find_odd(bench, number, book)
                self._meet(bench, odd)
                self._add_odd(bench, odd, _Known.of(book))
            return
        odd = self._find_odd(bench, number, book)
        with self._staging:
            self._meet(bench, odd)
            known = _Known.of(book)
        self._add_odd(bench, odd, known)

    def _find_odd(self, bench: Bench, number: int, book: SchemaBook) -> _Odd:
        """Rows with something that did not simply fit: new attributes, other types, values to be rescued.

        With `each`, all elements of the taken items.
        """
        if book.target.each is not None:
            elements = ElementStage(number, book, self._values, self._form)
            return _Odd(number, book, elements.find(bench), elements)
        found = bench.table(
            f"SELECT w.n, json_extract(l.line, '{self._form.image}') AS image "
            "FROM wide AS w JOIN lines AS l ON l.idx = w.idx "
            f"WHERE w.takes_{number} AND w.clean_{number} IS NOT TRUE"
        )
        return _Odd(number, book, found)

    def _meet(self, bench: Bench, odd: _Odd) -> None:
        if odd.elements:
            with bench.naming(found=odd.found):
                odd.elements.meet(bench, odd.found)
            return
        with bench.naming(odd=odd.found):
            self._settle_pending(bench, odd.book)
        odd.book.meet(attributes_seen(odd.found.column("image")))

    def _learns(self, bench: Bench, odd: _Odd) -> bool:
        """Whether the rows' book, which is a copy, changes by them, or refuses them."""
        before = _copy(odd.book)
        try:
            self._meet(bench, odd)
        except SchemaConflict:
            return True
        learned = odd.book
        return (learned.schema, learned.pending, learned.crowded) != (before.schema, before.pending, before.crowded)

    def _add_odd(self, bench: Bench, odd: _Odd, known: _Known) -> None:
        if odd.elements:
            with bench.naming(found=odd.found):
                rows, misfits = odd.elements.rows(bench)
            if len(misfits):
                self._note_misfits(bench, odd.number, misfits, known.columns)
            self._add_part(bench, odd.number, rows)
            return
        columns = known.columns
        pointers = shape.Pointers()
        values = [self._values.careful(i, c, pointers) for i, c in enumerate(columns)]
        pointers.value("/")  # never an empty list
        whole = whole_columns(columns, odd.book.key)
        with bench.naming(odd=odd.found):
            rows = bench.table(
                render(
                    "feed/sql/odd.sql",
                    DUCKDB,
                    columns=values,
                    watched=[values[i] for i in (*whole, *part_columns(columns))],
                    pointers=Sql(pointers.as_list()),
                )
            )
        failed = failed_attributes(rows, [str(c.path[0]) if i in whole else None for i, c in enumerate(columns)])
        if failed is not None:
            self._note_misfits(bench, odd.number, rows, columns)
        rescued = rescue(
            rows.column("image"),
            held=known.held,
            touched=known.touched,
            failed=failed,
            base64_layers=self._facts.base64_layers,
        )
        if not self._dialect.rescues_nul:
            rescued = as_six_characters(rescued)
        rows = rows.drop_columns(["image", "misfits"]).append_column("rescued", rescued)
        self._add_part(bench, odd.number, rows)

    def _add_part(self, bench: Bench, number: int, rows: pa.Table) -> None:
        """Rows that were looked at one by one, as their columns' types in staging have them."""
        types = dict(staged_columns(self._books[number], self._dialect))
        values = (f"CAST({DUCKDB.quote(n)} AS {types[n]}) AS {n}" if n in types else n for n in rows.column_names)
        with bench.naming(careful=rows):
            self._shelf.add(bench, number, f"SELECT {', '.join(values)} FROM careful", rows.column_names)

    def finish(self) -> None:
        """The merge names every column, also of a table without rows."""
        for number, book in self._books.items():
            book.settle_as_before()
            self._shelf.show(number, staged_definition(book, self._dialect))
        self._shelf.finish()
