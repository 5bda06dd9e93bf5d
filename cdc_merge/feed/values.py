"""The values of a target's columns as SQL expressions over what was extracted from an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdc_merge.feed import shape
from cdc_merge.feed.convert import carefully, masked, piece_of, staged_type, surely, typed_piece, usual_tag
from cdc_merge.render import Name, Sql, name
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import TypedColumn, holders
from cdc_merge.warehouses.dialect import Dialect


@dataclass(frozen=True)
class Extracted:
    """A column in a template: its quoted name and the expression of its value.

    `given`: whether the item has a value there. `number`: its place among the target's columns.
    """

    name: Name
    value: Sql
    given: Sql | None = None
    number: int = -1


def whole_columns(columns: Sequence[TypedColumn], key: Sequence[str]) -> list[int]:
    """Those (by index) that must have a value if their attribute has one: what else could hold it?"""
    mine = [i for attribute, held_by in holders(columns).items() if attribute not in key for i in held_by]
    return sorted(i for i in mine if columns[i].mask is None)


def part_columns(columns: Sequence[TypedColumn]) -> list[int]:
    """Those (by index) whose value is elsewhere only in _cdc_rescued: parts of what no column holds whole."""
    held = holders(columns)
    return [
        i
        for i, c in enumerate(columns)
        if len(c.path) != 1 and c.mask is None and not c.of_parent and (not c.path or str(c.path[0]) not in held)
    ]


def staged_name(index: int) -> Name:
    """The name a target's column goes by in staging: its own could be any, `n` or `rescued` too."""
    return name(f"c{index}")


def staged_columns(book: SchemaBook, dialect: Dialect) -> list[tuple[str, str]]:
    """(name, type) of a target's columns in staging."""
    return [(staged_name(i).parts[0], staged_type(c.type, dialect)) for i, c in enumerate(book.schema.columns)]


def staged_definition(book: SchemaBook, dialect: Dialect) -> str:
    """The columns of `stage_rows_<i>` as CREATE TABLE wants them."""
    element = [] if book.target.each is None else ["element_place BIGINT", "element_key VARCHAR"]
    columns = [f"{column} {kind}" for column, kind in staged_columns(book, dialect)]
    return ", ".join(["n BIGINT", "rescued VARCHAR", *element, *columns])


@dataclass(frozen=True)
class Values:
    """Builds the expressions for one engine. `base64_layers`: of binary values in the feed."""

    dialect: Dialect
    base64_layers: int

    def sure(self, staged: str, column: TypedColumn, pointers: shape.Pointers) -> Extracted:
        """The value if it is of the usual type; NULL in any doubt."""
        at = shape.pointer(column.path)
        if special := self._special(column, at, pointers):
            return Extracted(name(staged), Sql(special))
        tag = usual_tag(column.type)
        text = pointers.value(f"{at}/{tag}" if tag else at)
        return Extracted(name(staged), Sql(surely(column.type, text, self.dialect, base64_layers=self.base64_layers)))

    def careful(self, index: int, column: TypedColumn, pointers: shape.Pointers, *, below: str = "") -> Extracted:
        """The value of whatever type tag the column's type can take. `below`: where the image lies."""
        at = shape.pointer(column.path, below=below)
        whole = pointers.value(at)
        value = self._special(column, at, pointers)
        if value is None:
            tags = {tag: pointers.value(f"{at}/{tag}") for tag in ("S", "N", "BOOL", "B")}
            value = carefully(column.type, tags, whole, self.dialect, base64_layers=self.base64_layers)
        is_null = f"coalesce({pointers.value(f'{at}/NULL')} = 'true', FALSE)"
        return Extracted(
            staged_name(index),
            Sql(f"CASE WHEN NOT {is_null} THEN {value} END"),
            Sql(f"({whole} IS NOT NULL AND NOT {is_null})"),
            index,
        )

    def holds(self, column: TypedColumn, value: Extracted, pointers: shape.Pointers) -> str:
        """Whether the column has what the image has; a masked one has all it is meant to have."""
        if column.mask is None:
            return f"{value.name.parts[0]} IS NOT NULL"
        return f"{pointers.value(shape.pointer(column.path[:1]))} IS NOT NULL"

    def _special(self, column: TypedColumn, at: str, pointers: shape.Pointers) -> str | None:
        """The value of a column that takes a piece of a text, a mask, or the whole image; None for any other."""
        if not column.path:
            image = f"""'{{"M":' || {pointers.value(at)} || '}}'"""
            return surely(column.type, image, self.dialect, base64_layers=self.base64_layers)
        return self.piece_or_mask(column, lambda tag: pointers.value(at + tag))

    def piece_or_mask(self, column: TypedColumn, text: Callable[[str], str]) -> str | None:
        """The value of a column that takes a piece of a text or a mask; None for any other.

        `text` gives the expression of what lies under a tag, `/S`, or of the whole typed value, ``.
        """
        if column.template is None and column.mask is None:
            return None
        if column.template:
            scalar = piece_of(column.template, text("/S"))
            if column.mask is None:
                return typed_piece(column.type, scalar, self.dialect)
            return masked(column.mask, scalar, None, base64_layers=self.base64_layers)
        assert column.mask is not None
        scalar = f"coalesce({text('/S')}, plain_number({text('/N')}))"
        return masked(column.mask, scalar, text(""), base64_layers=self.base64_layers)
