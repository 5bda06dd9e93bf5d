"""Opens the book of a target, or says where the configuration and the warehouse contradict each other, and the cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from cdc_merge.errors import SchemaConflict
from cdc_merge.model import Column, ColumnType, Deletes, Kind, Path, Target, Template
from cdc_merge.names import choose_column, spelled
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.conditions import are_same, in_order
from cdc_merge.schema.masking import hides
from cdc_merge.schema.stored import DOCUMENT, TargetSchema, TypedColumn
from cdc_merge.warehouses.dialect import Dialect


class DifferenceKind(StrEnum):
    """How the configuration and the warehouse can differ."""

    NEW_TABLE = "new table"
    NEW_COLUMN = "new column"
    RENAMED = "renamed"
    DROPPED = "no longer configured"
    KEY = "key"
    KEY_COLUMN = "key column"
    EACH = "each"
    FROM = "from"
    TYPE = "type"
    WIDENED = "wider type"
    FULL = "full"
    MATCH = "match"
    MASK = "mask"
    WHERE = "where"
    OCCUPIED = "name taken"
    BY_HAND = "altered by hand"
    REBUILDING = "being rebuilt"


@dataclass(frozen=True)
class Contradiction:
    """A difference with which a source cannot go on; `cure` says what a person can do."""

    change: DifferenceKind
    message: str
    cure: str
    column: str | None = None

    def error(self, table: str) -> SchemaConflict:
        where = f"target {table}.{self.column}" if self.column else f"target {table}"
        return SchemaConflict(self.message, where=where, hint=self.cure)


REBUILD = "cdc-merge reconcile --rebuild"
_REBUILT = f"{REBUILD} makes the table anew, with items read again"


def is_by_rebuild(cure: str, change: DifferenceKind) -> bool:
    """Whether a rebuild is one of the ways out: it is not where it could not take away tombstones of another key."""
    return REBUILD in cure and change is not DifferenceKind.KEY


@dataclass(frozen=True)
class Asked:
    """What the configuration asks of a target: columns beside the key's, and names for key columns by attribute."""

    columns: tuple[Column, ...]
    key_names: Mapping[str, str]

    @staticmethod
    def of(target: Target, key: tuple[str, ...]) -> Asked:
        asked = (DOCUMENT,) if target.is_document else target.columns or ()
        is_each = target.each is not None
        return Asked(
            tuple(c for c in asked if not _is_key(c, key, is_each=is_each)),
            {str(c.path[0]): c.name for c in asked if _is_key(c, key, is_each=is_each)},
        )


def contradictions(
    target: Target,
    key: tuple[str, ...],
    dialect: Dialect,
    stored: TargetSchema,
    *,
    others: frozenset[str] = frozenset(),
) -> Iterator[Contradiction]:
    """Where what the configuration asks cannot be had by adding or widening columns of the table. See open_book."""
    asked = Asked.of(target, key)
    if stored.each != target.each:
        what = f"its rows come from {_said(stored.each)}, the configuration says {_said(target.each)}"
        yield Contradiction(DifferenceKind.EACH, what, _REBUILT)
    if stored.key != key:
        # A rebuild would keep tombstones of the old key: reconcile/rebuild.py refuses it.
        cure = (
            f"begin with another metadata_schema and new tables: not even {REBUILD} changes what is known of old keys"
        )
        yield Contradiction(
            DifferenceKind.KEY, f"its rows have the key {list(stored.key)}, the source says {list(key)}", cure
        )
    else:
        for attribute, name in zip(key, stored.key_names, strict=True):
            if (wanted := asked.key_names.get(attribute, name)) != name:
                what = f"the key column of {attribute} is to be {wanted}"
                yield Contradiction(DifferenceKind.KEY_COLUMN, what, f"name it {name}, or: {_REBUILT}", name)
    existing = {dialect.folded(c.name): c for c in stored.columns}
    by_hand = {dialect.folded(name): name for name in others}
    keys = {dialect.folded(name): name for name in stored.key_names}
    for column in asked.columns:
        folded = dialect.folded(column.name)
        if have := existing.get(folded):
            if have.name == column.name:
                yield from _column_contradictions(column, have, dialect)
            else:
                what = f"there is a column {have.name} already, and {dialect.name} takes the two names for one"
                cure = f"keep the name {have.name}, or take one that differs by more than capitals, or: {_REBUILT}"
                yield Contradiction(DifferenceKind.RENAMED, what, cure, column.name)
        elif there := by_hand.get(folded) or keys.get(folded):
            whose = "was added by hand" if folded in by_hand else "is a key column"
            what = f"there is a column {there} already, which {whose}"
            cure = f"give the new column another name{f', or: {_REBUILT}' if folded in by_hand else ''}"
            yield Contradiction(DifferenceKind.OCCUPIED, what, cure, column.name)
    yield from _clear_contradictions(asked, stored, dialect)


def _clear_contradictions(asked: Asked, stored: TargetSchema, dialect: Dialect) -> Iterator[Contradiction]:
    """Columns that are still filled though nobody asks for them, with what another column masks from now on."""
    names = {dialect.folded(c.name) for c in asked.columns}
    masked = [c for c in asked.columns if c.mask is not None]
    for have in stored.columns:
        if dialect.folded(have.name) in names or have.mask is not None:
            continue
        for column in masked:
            if hides(column, have, stored.each):
                held = spelled(have.path, of_parent=have.of_parent) if have.path else "the whole"
                what = f"it holds {held} in the clear, which {column.name} is to mask"
                # A document cannot be configured beside other columns.
                cure = f"{_REBUILT}; or configure {have.name} too" if have.path else _REBUILT
                yield Contradiction(DifferenceKind.MASK, what, cure, have.name)
                break


def _column_contradictions(column: Column, have: TypedColumn, dialect: Dialect) -> Iterator[Contradiction]:
    cure = f"{_REBUILT}; or give the changed column a new name, which the next batch adds"
    kind = _known_type(column)
    is_same_place = (have.path, have.of_parent) == (column.path, column.of_parent)
    if not is_same_place:
        held, wanted = (spelled(c.path, of_parent=c.of_parent) for c in (have, column))
        what = f"it holds {held}, is to hold {wanted}"
        yield Contradiction(DifferenceKind.FROM, what, cure, column.name)
    if kind not in (None, have.type) and not is_widened(column, have, dialect):
        yield Contradiction(
            DifferenceKind.TYPE, f"it is {_typed(have.type)}, is to be {_typed(kind)}", cure, column.name
        )
    if have.template != column.template:
        what = f"it takes {_matched(have.template)}, is to take {_matched(column.template)}"
        yield Contradiction(DifferenceKind.MATCH, what, cure, column.name)
    if have.mask != column.mask:
        what = f"its mask is {have.mask or 'none'}, is to be {column.mask or 'none'}"
        # Under a new name a masked column would leave the one in the clear.
        yield Contradiction(DifferenceKind.MASK, what, _REBUILT if column.mask else cure, column.name)


def is_widened(column: Column, have: TypedColumn, dialect: Dialect) -> bool:
    """Whether the configuration asks for a type that the column's own can be widened to in place."""
    kind = _known_type(column)
    return kind is not None and dialect.widens(have.type, kind)


def open_book(
    target: Target,
    key: tuple[str, ...],
    dialect: Dialect,
    stored: TargetSchema | None,
    *,
    others: frozenset[str] = frozenset(),
    history: Mapping[str, str] | None = None,
) -> SchemaBook:
    """The book of a target, from what the warehouse has and what the configuration asks.

    `others`: columns of the table that are not in `stored`; `history`: those of its history, folded, with their types,
    if there is one. Raises SchemaConflict where the two contradict each other.
    """
    asked = Asked.of(target, key)
    if stored is None:
        key_names: dict[str, str] = {}
        for attribute in key:
            taken = {c.name: str(c.path[0]) if c.path else "" for c in asked.columns}
            taken |= {n: a for a, n in key_names.items()}
            key_names[attribute] = asked.key_names.get(attribute) or choose_column(
                attribute,
                taken=taken,
                reserved=dialect.reserved_columns,
                max_bytes=dialect.max_identifier_bytes,
            )
        schema = TargetSchema(tuple(key_names[a] for a in key), key=key, each=target.each)
    else:
        schema = stored
    for contradiction in contradictions(target, key, dialect, schema, others=others):
        raise contradiction.error(target.table)
    existing = {c.name for c in schema.columns}
    asked_by_name = {c.name: c for c in asked.columns}
    kept = tuple(_widened(c, asked_by_name.get(c.name), dialect) for c in schema.columns)
    added = []
    pending = []
    for column in asked.columns:
        if column.name in existing:
            continue
        if (kind := _known_type(column)) is None:
            pending.append(column)
        else:
            added.append(TypedColumn(column.name, column.path, kind, column.template, column.mask, column.of_parent))
    schema = replace(
        schema,
        columns=(*kept, *added),
        has_deleted_at=schema.has_deleted_at or target.deletes is Deletes.SOFT,
        has_history=schema.has_history or target.has_history,
        where=in_order(target.where) if schema.where is None else schema.where,
        has_other_where=schema.has_other_where
        or (schema.where is not None and not are_same(schema.where, target.where)),
    )
    book = SchemaBook(target, key, dialect, schema, tuple(pending), stored, others, history)
    for new in added:
        book.insist_on_history(new)
    return book


def _widened(have: TypedColumn, asked: Column | None, dialect: Dialect) -> TypedColumn:
    if asked is None or asked.type is None or not is_widened(asked, have, dialect):
        return have
    return replace(have, type=asked.type)


def _is_key(column: Column, key: tuple[str, ...], *, is_each: bool) -> bool:
    """Whether it only gives a key column another name."""
    is_item = column.of_parent or not is_each
    is_plain = column.template is None and column.mask is None
    return len(column.path) == 1 and column.path[0] in key and is_item and is_plain


def _known_type(column: Column) -> ColumnType | None:
    """The type that is certain before a value is seen: masks and pieces of a text are text unless it says otherwise."""
    if column.mask is not None:
        return ColumnType(Kind.TEXT)
    if column.template is not None:
        return column.type or ColumnType(Kind.TEXT)
    return column.type


def _said(each: Path | None) -> str:
    return spelled(each) if each is not None else "whole items"


def _typed(kind: ColumnType | None) -> str:
    if kind is None:
        return "of its values' own type"
    size = f"({kind.precision},{kind.scale or 0})" if kind.precision is not None else ""
    return f"{kind.kind}{size}{f' from {kind.unit}' if kind.unit else ''}"


def _matched(template: Template | None) -> str:
    if template is None:
        return "the whole value"
    return f"hole {template.hole + 1} of {'{}'.join(template.literals)!r}"
