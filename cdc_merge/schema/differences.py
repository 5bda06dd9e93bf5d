"""Lists every difference between the configuration and the warehouse, and which command brings it about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cdc_merge.model import Column, Deletes, Evolve, Source, Target
from cdc_merge.names import choose_column, history_table, spelled
from cdc_merge.schema.conditions import are_same, told
from cdc_merge.schema.opening import REBUILD, Asked, Change, is_widened
from cdc_merge.schema.stored import DELETED_AT, DOCUMENT, TYPE_OF_TAG, TargetSchema, TypedColumn
from cdc_merge.schema.tables import Inspector
from cdc_merge.warehouses import Dialect

RUN = "cdc-merge run"
RECONCILE = "cdc-merge reconcile"
_WITHOUT_EXPORTS = "as the source has no `exports`, add them, or say --export PLACE or --scan"
_WITHOUT_REBUILD = "{} has no rebuild: name another table in the configuration instead, and cdc-merge reconcile"


@dataclass(frozen=True)
class Difference:
    """One difference. `target` is a table; `column` None: it is one of the whole table.

    `command` brings it about; None: there is nothing to be done, or not by a command of ours. `cure` says it in a
    sentence. `stops`: the source does not merge until then.
    """

    target: str
    column: str | None
    change: Change
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
    if not there.dialect.rebuilds:
        other = _WITHOUT_REBUILD.format(there.dialect.name)
        return [replace(d, command=None, cure=f"{d.cure}; {other}") if REBUILD in d.cure else d for d in found]
    if source.exports is None:
        needing = [REBUILD in d.cure or d.command == RECONCILE for d in found]
        found = [
            replace(d, cure=f"{d.cure}; {_WITHOUT_EXPORTS}") if is_needed else d
            for d, is_needed in zip(found, needing, strict=True)
        ]
    return found


def _of_target(target: Target, key: tuple[str, ...], there: Inspector) -> Iterator[Difference]:
    table, stored = target.table, there.schemas.get(target.table)
    if stored is None:
        for c in there.name_contradictions(target):
            yield Difference(table, None, c.change, c.message, None, c.cure, stops=True)
            return
        cure = "the first batch makes it"
        if there.key_tags is not None:
            cure = "the next batch makes it; cdc-merge reconcile fills it with what was merged before"
        yield Difference(table, None, Change.NEW_TABLE, "there is no table yet", RUN, cure)
        return
    stopping = list(there.contradictions(target, key))
    for c in stopping:
        command = REBUILD if REBUILD in c.cure and c.change is not Change.KEY else None
        cure = c.cure
        if c.change is Change.MASK and stored.has_history:
            cure = f"{cure}. {REBUILD} masks the values of before in {history_table(table)} too"
        yield Difference(table, c.column, c.change, c.message, command, cure, stops=True)
    if table not in there.tables:
        return
    named = {c.column for c in stopping}
    new = [c for c in Asked.of(target, key).columns if c.name not in {s.name for s in stored.columns}]
    old = {c.name: c for c in _not_asked(target, key, stored, there.dialect)}
    for column in new:
        if column.name in named:
            continue
        before = next((name for name, c in old.items() if _is_same_content(column, c)), None)
        if before:
            del old[before]
            yield _renamed(table, before, column)
        else:
            yield _new(table, column)
    for column in Asked.of(target, key).columns:
        have = next((s for s in stored.columns if s.name == column.name), None)
        if have and column.name not in named and is_widened(column, have, there.dialect):
            yield _to_be_widened(table, column)
    yield from _of_where(target, stored)
    if target.deletes is Deletes.SOFT and not stored.has_deleted_at:
        cure = "the next batch adds it; rows of items that were deleted before do not come back"
        yield Difference(table, DELETED_AT, Change.NEW_COLUMN, "it is to say when an item was deleted", RUN, cure)
    taken = {there.dialect.folded(name) for name in named if name}
    for name, dropped in old.items():
        if there.dialect.folded(name) in taken:
            continue
        message = f"it holds {_content(dropped)}, which the configuration does not ask for"
        cure = f"it stays, and is still filled; {REBUILD} takes it away"
        yield Difference(table, name, Change.DROPPED, message, REBUILD, cure)
    for name in sorted(there.others(table)):
        if there.dialect.folded(name) in taken:
            continue
        message = "the column was added by hand"
        yield Difference(table, name, Change.BY_HAND, message, None, f"it is left alone; {REBUILD} takes it away")
    most = there.dialect.max_added_columns
    if target.evolve is Evolve.ADD and not target.is_document and len(stored.columns) >= most:
        message = f"it has {len(stored.columns):,} columns: new attributes add no more, and go to _cdc_rescued"
        cure = "name the columns that are wanted, or take `columns: document`"
        yield Difference(table, None, Change.NEW_COLUMN, message, None, cure)
    if target.has_history:
        yield from _of_history(table, stored, there)


def _of_where(target: Target, stored: TargetSchema) -> Iterator[Difference]:
    if stored.where is not None and not are_same(stored.where, target.where):
        message = f"its rows are of {told(stored.where)}, the configuration says {told(target.where)}"
        cure = (
            f"changes follow it from now on, and rows that are there stay; {RECONCILE} deletes those that do not "
            "match any more (beyond max_delete with --force only), and inserts those that match now"
        )
        yield Difference(target.table, None, Change.WHERE, message, RECONCILE, cure)
    elif stored.has_other_where:
        message = "batches were merged under another `where` since its last reconcile"
        cure = (
            f"{RECONCILE} deletes the rows of it that are left, and inserts those that it kept away, with a new export"
        )
        yield Difference(target.table, None, Change.WHERE, message, RECONCILE, cure)
    elif stored.where_since:
        message = "rows that changed just before its last reconcile may be of the `where` of before that"
        since = stored.where_since.isoformat(timespec="seconds").replace("+00:00", "Z")
        cure = f"{RECONCILE} judges them with an export as of {since} plus the `margin`, or later"
        yield Difference(target.table, None, Change.WHERE, message, RECONCILE, cure)


def _of_history(table: str, stored: TargetSchema, there: Inspector) -> Iterator[Difference]:
    label = history_table(table)
    if not stored.has_history or label not in there.tables:
        cure = "the next batch makes it; cdc-merge replay fills it with the changes that the objects still hold"
        yield Difference(label, None, Change.NEW_TABLE, "there is no history yet", RUN, cure)
        return
    for c in there.history_contradictions(label, stored):
        yield Difference(label, c.column, c.change, c.message, None, c.cure, stops=True)
    for name in sorted(there.history_others(label, stored)):
        message = "nothing fills it: it is from before a rebuild, or was added by hand; masks do not reach it"
        quoted = there.dialect.quote(there.schema, label), there.dialect.quote(name)
        cure = f"it stays; if its values are to go: ALTER TABLE {quoted[0]} DROP COLUMN {quoted[1]}"
        yield Difference(label, name, Change.DROPPED, message, None, cure)


def _new(table: str, column: Column) -> Difference:
    when = "the next batch adds it" if _is_certain(column) else "it is added when a value first shows its type"
    cure = f"{when}, and changes fill it from then on; cdc-merge reconcile fills it in older rows"
    return Difference(table, column.name, Change.NEW_COLUMN, f"it is to hold {_content(column)}", RUN, cure)


def _to_be_widened(table: str, column: Column) -> Difference:
    cure = (
        "the next batch widens it in place; values that did not fit stay in _cdc_rescued until cdc-merge reconcile. "
        f"Where a view uses the column the engine refuses that, and stops the source: {REBUILD} instead"
    )
    return Difference(table, column.name, Change.WIDENED, "its type is to hold more digits", RUN, cure)


def _renamed(table: str, before: str, column: Column) -> Difference:
    message = f"{_content(column)} is in the column {before}, which the configuration calls {column.name}"
    cure = f"a batch adds {column.name} and goes on filling {before} too; {REBUILD} leaves the new name only"
    return Difference(table, column.name, Change.RENAMED, message, REBUILD, cure)


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
    return ("^" if column.of_parent else "") + spelled(column.path)


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
    yield Difference(table, None, Change.DROPPED, message, None, cure)
