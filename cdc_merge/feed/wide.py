"""The table `wide`: what one look into lines tells of each target, and its columns where they surely fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cdc_merge.feed import shape
from cdc_merge.feed.texts import Rows, Texts
from cdc_merge.feed.values import Extracted, Values
from cdc_merge.feed.where import takes
from cdc_merge.feed.workbench import Bench
from cdc_merge.model import Column
from cdc_merge.render import Sql, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import TypedColumn, holders, takes_whole
from cdc_merge.warehouses.dialect import DUCKDB

Columns = tuple[TypedColumn, ...]
More = Callable[[shape.Pointers], Mapping[str, object]]
"""What else a template takes, of other pointers."""


@dataclass(frozen=True)
class Look:
    """What a portion is asked for: each target's columns, as they were known then. `pending`: those without a type."""

    columns: Mapping[int, Columns]
    pending: Mapping[int, Sequence[Column]]


@dataclass(frozen=True)
class TargetLayout:
    """A target in `wide`: whether it takes a row, and its columns there.

    `belongs`: whether an item is the target's, though it may have no element to be a row; None: as `takes` says.
    """

    number: int
    takes: Sql
    clean: Sql
    columns: tuple[Extracted, ...]
    belongs: Sql | None = None

    @property
    def flag(self) -> str:
        """The column that tells whether an item is the target's."""
        return f"takes_{self.number}" if self.belongs is None else f"belongs_{self.number}"


class WideTable:
    """Looks into lines, for all targets at once."""

    def __init__(
        self,
        books: Mapping[int, SchemaBook],
        values: Values,
        form: shape.Form,
        *,
        key_tags: Sequence[str],
        is_picked: bool,
    ) -> None:
        """`is_picked`: whether lines were chosen for single targets, too."""
        self._books = books
        self._values = values
        self._form = form
        self._key_tags = key_tags
        self.is_picked = is_picked
        self._texts = Texts()

    def fill(
        self, bench: Bench, template: str, look: Look, rows: Rows, more: More = lambda _pointers: {}
    ) -> list[TargetLayout]:
        """Run a template over what the rows say; returns how each target's columns stand in what it makes."""
        pointers = shape.Pointers(self._form)
        columns, pending = look.columns, look.pending
        layouts = [self._layout(i, self._books[i], mine, pending[i], pointers) for i, mine in columns.items()]
        values = {
            "targets": layouts,
            "is_picked": self.is_picked,
            "event_name": Sql(self._form.event or pointers.value(shape.EVENT_NAME)),
            "created_at": Sql(self._form.created_at or pointers.value(shape.CREATED_AT)),
            "precision": Sql(self._form.created_at or pointers.value(shape.PRECISION)),
            **more(pointers),
        }
        with self._texts.looked(bench, rows, pointers, counted=self._form.image) as looked:
            bench.execute(render(template, DUCKDB, **values, looked=looked))
        return layouts

    def _layout(
        self, number: int, book: SchemaBook, columns: Columns, pending: Sequence[Column], pointers: shape.Pointers
    ) -> TargetLayout:
        if book.target.each is not None:
            count = f"element_count({pointers.value(shape.pointer(book.target.each))})"
            belongs = takes(book.target, pointers.value)
            return TargetLayout(
                number=number,
                takes=Sql(f"({belongs}) AND {count} > 0"),
                clean=Sql("FALSE"),
                columns=(),
                belongs=Sql(belongs),
            )
        values = [self._values.sure(f"t{number}_c{i}", c, pointers) for i, c in enumerate(columns)]
        return TargetLayout(
            number=number,
            takes=Sql(takes(book.target, pointers.value)),
            clean=Sql(self._clean(book, columns, values, pending, pointers)),
            columns=tuple(values),
        )

    def _clean(
        self,
        book: SchemaBook,
        columns: Columns,
        values: Sequence[Extracted],
        pending: Sequence[Column],
        pointers: shape.Pointers,
    ) -> str:
        """Whether the columns hold as many attributes as the image has, and every path that leads somewhere.

        An attribute counts once, however many columns take it, and only if all of them hold it.
        """
        if book.target.is_document:
            return f"{values[0].name.parts[0]} IS NOT NULL"
        held_by: dict[str, list[str]] = {}
        # A value that shows the type of a column is looked at with care, also where another column holds it whole.
        astray = [f"({pointers.value(shape.pointer(column.path))} IS NOT NULL)" for column in pending]
        holding = holders(columns)
        for attribute, mine in holding.items():
            if attribute not in book.key:
                held_by[attribute] = [self._values.holds(columns[i], values[i], pointers) for i in mine]
        for i, (column, value) in enumerate(zip(columns, values, strict=True)):
            # Beside a masked column, one that takes the attribute in the clear is to have it all the same.
            is_beside = takes_whole(column) and i not in holding[str(column.path[0])]
            if is_beside or (len(column.path) != 1 and column.mask is None):
                given = pointers.value(shape.pointer(column.path))
                astray.append(f"({value.name.parts[0]} IS NULL AND {given} IS NOT NULL)")
        for attribute, tag in zip(book.key, self._key_tags, strict=True):
            given = pointers.value(f"{shape.pointer((attribute,))}/{tag}")
            held_by[attribute] = [f"{given} IS NOT NULL"]
        pinned = len(book.pinned_attributes() - set(held_by))
        held = [f"CAST({_joined('AND', tests)} AS INTEGER)" for tests in held_by.values()]
        is_clean = f"width = {_joined('+', [str(pinned), *held])}"
        return f"({is_clean}) AND NOT {_joined('OR', astray)}" if astray else is_clean


def _joined(operator: str, parts: Sequence[str]) -> str:
    """The parts with an operator between, as a balanced tree: parsers limit how deep an expression nests."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({_joined(operator, parts[:half])} {operator} {_joined(operator, parts[half:])})"
