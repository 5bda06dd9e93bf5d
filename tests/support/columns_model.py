"""The slow, obviously right rows of a target: every column's value and what is rescued, by docs/configuration.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_merge.model import Column, ColumnType, Evolve, Kind, Target
from tests.support.model import Typed, elements, find
from tests.support.values_model import NULL, Engine, convert, convert_piece, masked, piece_of, rescued, text_to_mask

DOCUMENT = Column("document", (), ColumnType(Kind.JSON))


@dataclass(frozen=True)
class WantedRow:
    """What a row must hold: columns by name, and `_cdc_rescued` with sets as frozensets.

    `excused`: attributes that are DynamoDB's NULL and have a column that was not asked for: those that came before it
    are rescued.
    """

    values: dict[str, Any]
    rescued: dict[str, Any]
    excused: frozenset[str]
    element_key: str | None = None


@dataclass(frozen=True)
class TargetModel:
    """A target of a source with this key. `columns`: those of its table besides the key's, each with its type."""

    target: Target
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    engine: Engine
    base64_layers: int = 1

    def rows(self, image: Typed) -> list[WantedRow]:
        """The rows of an item that the target takes: its elements in their order, or the item itself."""
        if self.target.each is None:
            return [self._item(image)]
        return [self._element(image, key, element) for key, element in elements(image, self.target.each)]

    def _item(self, image: Typed) -> WantedRow:
        if self.target.is_document:
            document = convert(
                DOCUMENT.type or ColumnType(Kind.JSON), {"M": image}, self.engine, base64_layers=self.base64_layers
            )
            left = image if document is None else {}
            return WantedRow({DOCUMENT.name: document}, self._rescued(left), frozenset())
        values = {c.name: self._value(c, find(image, c.path)) for c in self.columns}
        known = {*self.key, *self._pinned()}
        return self._row(values, {name: typed for name, typed in image.items() if name not in known})

    def _element(self, image: Typed, key: str | None, element: Typed) -> WantedRow:
        own = element.get("M", {})
        values = {}
        for column in self.columns:
            around = own if column.path and not column.of_parent else image
            typed = find(around, column.path) if column.path else element
            values[column.name] = self._value(column, typed)
        is_held = self._is_masked(()) or self._is_held((), values)
        # What is masked in the attributes of maps, an element that is no map may be itself.
        is_held = is_held or ("M" not in element and any(c.mask is not None for c in self._own()))
        attributes = {} if is_held else own if "M" in element else {".": element}
        row = self._row(values, attributes)
        return WantedRow(row.values, row.rescued, row.excused, key)

    def _row(self, values: dict[str, Any], attributes: Typed) -> WantedRow:
        """`attributes`: those that a column has to hold, or else `_cdc_rescued`."""
        left: dict[str, Typed] = {}
        excused = set()
        for name, typed in attributes.items():
            if self._is_masked((name,)):
                continue
            # Also one that is asked for, but that no value has shown the type of yet.
            asked = [c for c in self.target.columns or () if not c.of_parent]
            takers = {c.name for c in (*self._own(), *asked) if c.path[:1] == (name,) or self._is_element(name, c)}
            if typed == NULL and takers:
                excused |= {name} if takers.isdisjoint(c.name for c in self.target.columns or ()) else set()
            elif not self._is_held((name,), values):
                assert self._may_lack_a_column(name, typed), f"{name} has no column in {self.target.table}"
                left[name] = typed
        return WantedRow(values, self._rescued(left), frozenset(excused))

    def _may_lack_a_column(self, name: str, typed: Typed) -> bool:
        is_element = name == "." and self.target.each is not None
        return self.target.evolve is not Evolve.ADD or typed == NULL or is_element or bool(self._holders((name,)))

    def _rescued(self, left: Typed) -> dict[str, Any]:
        return {name: rescued(typed, self.base64_layers) for name, typed in left.items()}

    def _value(self, column: Column, typed: Typed | None) -> Any:
        assert column.type is not None
        if typed is None or typed == NULL:
            return None
        if column.template is not None:
            piece = piece_of(column.template, typed["S"]) if "S" in typed else None
            if piece is None:
                return None
            return masked(column.mask, piece) if column.mask else convert_piece(column.type, piece, self.engine)
        if column.mask is not None:
            return masked(column.mask, text_to_mask(typed, self.base64_layers))
        return convert(column.type, typed, self.engine, base64_layers=self.base64_layers)

    def _is_element(self, name: str, column: Column) -> bool:
        """Whether a column takes something of an element that is no map."""
        return name == "." and self.target.each is not None and not column.path

    def _pinned(self) -> set[str]:
        """Attributes that need no column, and have none, since `where` pins them to one value."""
        if self.target.evolve is Evolve.ADD:
            return set()
        pinning = [c for c in self.target.where if len(c.path) == 1 and c.any_of is not None and len(c.any_of) == 1]
        return {name for c in pinning if not self._holders((name := str(c.path[0]),))}

    def _is_masked(self, path: tuple[str, ...]) -> bool:
        """Whether it, or a part of it, is masked."""
        return any(c.mask is not None and c.path[: len(path) or None] == path for c in self._own())

    def _is_held(self, path: tuple[str, ...], values: Mapping[str, Any]) -> bool:
        ways = self._holders(path)
        # Each column of an attribute has to hold it; of the element itself, which is in `.`, one is enough.
        taking = any if path == () else all
        return bool(ways) and taking(all(values[c.name] is not None for c in way) for way in ways)

    def _holders(self, path: tuple[str, ...]) -> list[list[Column]]:
        """The ways to hold all of an attribute: in one column each, else in the pieces of the first whole template."""
        mine = [c for c in self._own() if c.path == path and c.mask is None]
        whole = [[c] for c in mine if c.template is None]
        templates: dict[tuple[str, ...], list[Column]] = {c.template.literals: [] for c in mine if c.template}
        for column in mine:
            if column.template:
                templates[column.template.literals].append(column)
        pieces = [way for literals, way in templates.items() if _holes(way) == len(literals) - 1]
        return whole + pieces if path == () else whole or pieces[:1]

    def _own(self) -> Iterable[Column]:
        """The columns of the item, or of the element."""
        return [c for c in self.columns if not c.of_parent]


def has_known_type(column: Column) -> bool:
    """Whether no value has to be seen to know a column's type."""
    return column.type is not None or column.template is not None or column.mask is not None


def _holes(columns: Sequence[Column]) -> int:
    return len({c.template.hole for c in columns if c.template})
