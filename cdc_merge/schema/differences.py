"""Lists every difference between the configuration and the warehouse, and which command brings it about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cdc_merge.model import Column, Deletes, Evolve, Source, Target
from cdc_merge.names import choose_column, history_table, spelled
from cdc_merge.schema.conditions import are_same, told
from cdc_merge.schema.opening import REBUILD, Asked, Contradiction, DifferenceKind, is_by_rebuild, is_widened
from cdc_merge.schema.stored import DELETED_AT, DOCUMENT, TYPE_OF_TAG, TargetSchema, TypedColumn
from cdc_merge.schema.tables import Inspector
from cdc_merge.warehouses import Dialect

RUN = "cdc-merge run"
RECONCILE = "cdc-merge reconcile"
_WITHOUT_EXPORTS = "as the source has no `exports`, add them, or say --export PLACE or --scan"


@dataclass(frozen=True)
class Difference:
    """One difference. `target` is a table; `column` None: it is one of the whole table.

    `command` brings it about; None: there is nothing to be done, or not by a command of ours. `cure` says it in a
    sentence. `stops`: the source does not merge until then.
    """

    target: str
    column: str | None
    change: DifferenceKind
    message: str
    command: str | None
    cure: str
    stops: bool = False

    @property
    def where(self) -> str:
        return f"{self.target}.{self.column}" if self.column else self.target


def differences(source: Source, there: Inspector) -> list[Difference]:
    """All of a source: its targets in the configuration's order, then tables that no target has any more."""
    found: list[Difference] = []
    for target in source.targets:
        found += _of_target(target, source.key, there)
    for table in sorted(there.unconfigured(source)):
        found += _of_unconfigured(table, source, there)
    if source.exports is None:
        needing = [is_by_rebuild(d.cure, d.change) or d.command == RECONCILE for d in found]
        found = [
            replace(d, cure=f"{d.cure}; {_WITHOUT_EXPORTS}") if is_needed else d
            for d, is_needed in zip(found, needing, strict=True)
        ]
    return found


def _of_target(target: Target, key: tuple[str, ...], there: Inspector) -> Iterator[Difference]:
    stored = there.schemas.get(target.table)
    if stored is None:
        yield _of_no_table(target, there)
        return
    stopping = list(there.contradictions(target, key))
    yield from (_that_stops(target.table, c, stored) for c in stopping)
    if target.table not in there.tables:
        return
    told = frozenset(c.column for c in stopping if c.column)
    new, dropped = _matched(target, key, stored, there.dialect, told)
    yield from (_renamed(target.table, before, c) if before else _new(target.table, c) for c, before in new)
    yield from _of_wider_types(target, key, stored, there.dialect, told)
    yield from _of_where(target, stored)
    if target.deletes is Deletes.SOFT and not stored.has_deleted_at:
        cure = "the next batch adds it; rows of items that were deleted before do not come back"
        message = "it is to say when an item was deleted"
        yield Difference(target.table, DELETED_AT, DifferenceKind.NEW_COLUMN, message, RUN, cure)
    yield from _of_columns_not_asked(target.table, dropped, there, told)
    yield from _of_room(target, stored, there.dialect)
    if target.has_history:
        yield from _of_history(target.table, stored, there)


def _of_no_table(target: Target, there: Inspector) -> Difference:
    taken = next(there.name_contradictions(target), None)
    if taken:
        return Difference(target.table, None, taken.change, taken.message, None, taken.cure, stops=True)
    cure = "the first batch makes it"
    if there.key_tags is not None:
        cure = "the next batch makes it; cdc-merge reconcile fills it with what was merged before"
    return Difference(target.table, None, DifferenceKind.NEW_TABLE, "there is no table yet", RUN, cure)


def _that_stops(table: str, contradiction: Contradiction, stored: TargetSchema) -> Difference:
    c = contradiction
    command = REBUILD if is_by_rebuild(c.cure, c.change) else None
    cure = c.cure
    if c.change is DifferenceKind.MASK and stored.has_history:
        cure = f"{cure}. {REBUILD} masks the values of before in {history_table(table)} too"
    return Difference(table, c.column, c.change, c.message, command, cure, stops=True)


def _matched(
    target: Target, key: tuple[str, ...], stored: TargetSchema, dialect: Dialect, told: frozenset[str]
) -> tuple[list[tuple[Column, str | None]], dict[str, TypedColumn]]:
    """Columns that are asked for anew, each with the name of one that holds the same; and those that are left over.

    `told`: columns that stop the source, which says enough of them.
    """
    left = {c.name: c for c in _not_asked(target, key, stored, dialect)}
    there = {c.name for c in stored.columns}
    new: list[tuple[Column, str | None]] = []
    for column in Asked.of(target, key).columns:
        if column.name in there or column.name in told:
            continue
        before = next((name for name, c in left.items() if _is_same_content(column, c)), None)
        if before:
            del left[before]
        new.append((column, before))
    return new, left


def _of_wider_types(
    target: Target, key: tuple[str, ...], stored: TargetSchema, dialect: Dialect, told: frozenset[str]
) -> Iterator[Difference]:
    there = {c.name: c for c in stored.columns}
    for column in Asked.of(target, key).columns:
        have = there.get(column.name)
        if have and column.name not in told and is_widened(column, have, dialect):
            yield _to_be_widened(target.table, column)


def _of_columns_not_asked(
    table: str, dropped: Mapping[str, TypedColumn], there: Inspector, told: frozenset[str]
) -> Iterator[Difference]:
    taken = {there.dialect.folded(name) for name in told}
    for name, column in dropped.items():
        if there.dialect.folded(name) not in taken:
            message = f"it holds {_content(column)}, which the configuration does not ask for"
            cure = f"it stays, and is still filled; {REBUILD} takes it away"
            yield Difference(table, name, DifferenceKind.DROPPED, message, REBUILD, cure)
    for name in sorted(there.others(table)):
        if there.dialect.folded(name) not in taken:
            cure = f"it is left alone; {REBUILD} takes it away"
            yield Difference(table, name, DifferenceKind.BY_HAND, "the column was added by hand", None, cure)


def _of_room(target: Target, stored: TargetSchema, dialect: Dialect) -> Iterator[Difference]:
    adds = target.evolve is Evolve.ADD and not target.is_document
    if adds and len(stored.columns) >= dialect.max_added_columns:
        message = f"it has {len(stored.columns):,} columns: new attributes add no more, and go to _cdc_rescued"
        cure = "name the columns that are wanted, or take `columns: document`"
        yield Difference(target.table, None, DifferenceKind.FULL, message, None, cure)


def _of_where(target: Target, stored: TargetSchema) -> Iterator[Difference]:
    if stored.where is not None and not are_same(stored.where, target.where):
        message = f"its rows are of {told(stored.where)}, the configuration says {told(target.where)}"
        cure = (
            f"changes follow it from now on, and rows that are there stay; {RECONCILE} deletes those that do not "
            "match any more (beyond max_delete with --force only), and inserts those that match now"
        )
        yield Difference(target.table, None, DifferenceKind.WHERE, message, RECONCILE, cure)
    elif stored.has_other_where:
        message = "batches were merged under another `where` since its last reconcile"
        cure = (
            f"{RECONCILE} deletes the rows of it that are left, and inserts those that it kept away, with a new export"
        )
        yield Difference(target.table, None, DifferenceKind.WHERE, message, RECONCILE, cure)
    elif stored.where_since:
        message = "rows that changed just before its last reconcile may be of the `where` of before that"
        since = stored.where_since.isoformat(timespec="seconds").replace("+00:00", "Z")
        cure = f"{RECONCILE} judges them with an export as of {since} plus the `margin`, or later"
        yield Difference(target.table, None, DifferenceKind.WHERE, message, RECONCILE, cure)


def _of_history(table: str, stored: TargetSchema, there: Inspector) -> Iterator[Difference]:
    label = history_table(table)
    if not stored.has_history or label not in there.tables:
        cure = "the next batch makes it; cdc-merge replay fills it with the changes that the objects still hold"
        yield Difference(label, None, DifferenceKind.NEW_TABLE, "there is no history yet", RUN, cure)
        return
    for c in there.history_contradictions(label, stored):
        yield Difference(label, c.column, c.change, c.message, None, c.cure, stops=True)
    for name in sorted(there.history_others(label, stored)):
        message = "nothing fills it: it is from before a rebuild, or was added by hand; masks do not reach it"
        quoted = there.dialect.quote(there.schema, label), there.dialect.quote(name)
        cure = f"it stays; if its values are to go: ALTER TABLE {quoted[0]} DROP COLUMN {quoted[1]}"
        yield Difference(label, name, DifferenceKind.DROPPED, message, None, cure)


def _new(table: str, column: Column) -> Difference:
    when = "the next batch adds it" if _is_certain(column) else "it is added when a value first shows its type"
    cure = f"{when}, and changes fill it from then on; cdc-merge reconcile fills it in older rows"
    return Difference(table, column.name, DifferenceKind.NEW_COLUMN, f"it is to hold {_content(column)}", RUN, cure)


def _to_be_widened(table: str, column: Column) -> Difference:
    cure = (
        "the next batch widens it in place; values that did not fit stay in _cdc_rescued until cdc-merge reconcile. "
        f"Where a view uses the column the engine refuses that, and stops the source: {REBUILD} instead"
    )
    return Difference(table, column.name, DifferenceKind.WIDENED, "its type is to hold more digits", RUN, cure)


def _renamed(table: str, before: str, column: Column) -> Difference:
    message = f"{_content(column)} is in the column {before}, which the configuration calls {column.name}"
    cure = f"a batch adds {column.name} and goes on filling {before} too; {REBUILD} leaves the new name only"
    return Difference(table, column.name, DifferenceKind.RENAMED, message, REBUILD, cure)


def _not_asked(target: Target, key: tuple[str, ...], stored: TargetSchema, dialect: Dialect) -> Iterator[TypedColumn]:
    """Columns that the configuration does not name, and that new attributes would not have added."""
    asked = {c.name for c in Asked.of(target, key).columns}
    taken_whole = {c.path for c in Asked.of(target, key).columns if c.template is None}
    adds = not target.is_document and target.evolve is Evolve.ADD
    for column in stored.columns:
        if column.name in asked:
            continue
        if adds and column.path not in taken_whole and _is_of_attribute(column, dialect):
            continue
        yield column


def _is_of_attribute(column: TypedColumn, dialect: Dialect) -> bool:
    """Whether a column is as a new attribute adds one."""
    if len(column.path) != 1 or column != TypedColumn(column.name, column.path, column.type):
        return False
    if column.type not in TYPE_OF_TAG.values():
        return False
    attribute, reserved, most = str(column.path[0]), dialect.reserved_columns, dialect.max_identifier_bytes
    plain = choose_column(attribute, taken={}, reserved=reserved, max_bytes=most)
    suffixed = choose_column(attribute, taken={plain: ""}, reserved=reserved, max_bytes=most)
    return column.name in (plain, suffixed)


def _is_same_content(column: Column, have: TypedColumn) -> bool:
    kind = have.type if column.type is None else column.type
    same = TypedColumn(have.name, column.path, kind, column.template, column.mask, column.of_parent)
    return same == have


def _content(column: Column | TypedColumn) -> str:
    if not column.path:
        return "the whole item" if column.name == DOCUMENT.name else "the element as a whole"
    return spelled(column.path, of_parent=column.of_parent)


def _is_certain(column: Column) -> bool:
    return column.type is not None or column.template is not None or column.mask is not None


def _of_unconfigured(table: str, source: Source, there: Inspector) -> Iterator[Difference]:
    if table not in there.tables:
        return
    if there.schemas[table].key == source.key:
        for c in there.contradictions_left_behind(table):
            yield Difference(table, c.column, c.change, c.message, None, c.cure, stops=True)
    message = "no target has this table any more"
    cure = "it stays as it is, and its rows still show which late changes are stale"
    yield Difference(table, None, DifferenceKind.DROPPED, message, None, cure)
