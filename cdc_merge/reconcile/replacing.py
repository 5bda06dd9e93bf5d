"""What becomes of each table in a rebuild: what is there, what comes in its place, and what both have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cdc_merge.errors import SchemaConflict
from cdc_merge.exchange import side_name
from cdc_merge.layout import Layout
from cdc_merge.merge.plan import MergePlan
from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.model import Source
from cdc_merge.reconcile.hangings import Relation
from cdc_merge.render import Name, name
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.opening import open_book
from cdc_merge.schema.stored import DELETED_AT, METADATA_COLUMNS, Exchange, TargetSchema, TypedColumn, all_columns
from cdc_merge.schema.tables import Inspector


@dataclass(frozen=True)
class CarriedColumn:
    """A column that both tables have, by its names in the old one and in the new one."""

    old: Name
    new: Name


@dataclass(frozen=True)
class Overlap:
    """What an old table and a new one have in common.

    `pairs`: columns that hold the same, old and new, whatever their names. `kept`: every old column that stays, and
    its name then; `alike`: those whose type stays as well. `is_whole`: all values of the one are in the other.
    """

    pairs: tuple[tuple[TypedColumn, TypedColumn], ...]
    kept: Mapping[str, str]
    alike: Mapping[str, str]
    is_whole: bool

    @staticmethod
    def of(stored: TargetSchema, schema: TargetSchema, *, there: Sequence[str], intact: frozenset[str]) -> Overlap:
        """`there`: the columns of the old table; `intact`: those that are as they were made."""
        pairs = []
        for column in schema.columns:
            same = [c for c in stored.columns if _content(c) == _content(column) and c.name in intact]
            if same:
                pairs.append((next((c for c in same if c.name == column.name), same[0]), column))
        kept = dict(zip(stored.key_names, schema.key_names, strict=True))
        for old, new in sorted(pairs, key=lambda pair: pair[0].name != pair[1].name):
            kept.setdefault(old.name, new.name)
        stays = set(all_columns(schema))
        kept |= {c: c for c in there if c not in kept and c in stays}
        is_same = set(map(_content, stored.columns)) == set(map(_content, schema.columns))
        own = {*stored.key_names, *METADATA_COLUMNS, *(old.name for old, _ in pairs)}
        alike = {old: new for old, new in kept.items() if old in own & intact}
        return Overlap(tuple(pairs), kept, alike, is_same and intact.issuperset(all_columns(stored)))


def _content(column: TypedColumn) -> TypedColumn:
    return replace(column, name="")


def _masked(stored: TargetSchema, schema: TargetSchema) -> frozenset[str]:
    """The old columns of attributes that the new table has masked."""
    attributes = {c.path[:1] for c in schema.columns if c.mask}
    return frozenset(c.name for c in stored.columns if c.path[:1] in attributes)


def _has_same_rows(stored: TargetSchema, schema: TargetSchema) -> bool:
    return (stored.key, stored.each) == (schema.key, schema.each)


@dataclass(frozen=True)
class Replacement:
    """One target of a rebuild.

    `new`: the table that is filled. `found`: what the export is compared with: the old table, or where there is none
    that can be compared, the new one, which is empty then, or what stands in for it. `before`: the old table by its own
    columns; `columns`: all it has, of which `intact` are as they were made. `by_hand`: those that people added;
    `masked`: those of attributes that are masked from now on.
    """

    target: PlannedTarget
    new: PlannedTarget
    found: PlannedTarget
    old: Relation | None
    overlap: Overlap | None
    before: PlannedTarget | None = None
    columns: tuple[str, ...] = ()
    intact: frozenset[str] = frozenset()
    by_hand: tuple[str, ...] = ()
    masked: frozenset[str] = frozenset()
    was_known: bool = False

    @property
    def has_its_keys(self) -> bool:
        """Whether at least the keys of the old table can be compared."""
        return self.before is not None and self.intact.issuperset(k.name.parts[0] for k in self.before.keys)

    @property
    def lost_columns(self) -> list[str]:
        """Columns of the old table whose values no new one takes over. Those of masked attributes are meant to go."""
        if self.before is None or self.overlap is None:
            return []
        taken = {old.name for old, _ in self.overlap.pairs}
        return [c for c in (c.name.parts[0] for c in self.before.columns) if c not in taken and c not in self.masked]

    @property
    def is_compared(self) -> bool:
        return self.before is not None and self.found.table == self.before.table


def open_new_books(source: Source, there: Inspector) -> list[SchemaBook]:
    """The books of tables as the configuration asks for them now.

    Raises SchemaConflict for another key, and for a new table whose name the engine takes for another one's.

    A column without a type, of which the items to come have no value, is as the old table has it.
    """
    for target in source.targets:
        for contradiction in there.name_contradictions(target):
            raise contradiction.error(target.table)
        stored = there.schemas.get(target.table)
        if stored and stored.key != source.key:
            raise SchemaConflict(
                f"its rows have the key {list(stored.key)}, the source says {list(source.key)}",
                where=f"target {target.table}",
                hint="what is known of deleted items has the old key too: begin with another metadata_schema",
            )
    books = [open_book(target, source.key, there.dialect, None) for target in source.targets]
    return [replace(book, former=there.schemas.get(book.target.table)) for book in books]


def know_stored(books: Sequence[SchemaBook], there: Inspector, *, mark: str) -> list[SchemaBook]:
    """The books of new tables, with what is stored of the old ones. A history stays: it is not built anew.

    `mark`: of the rebuild, for tables that change places after its transaction. Raises SchemaConflict where the
    history cannot hold the new columns.
    """
    known = []
    for book in books:
        stored = there.schemas.get(book.target.table)
        history = None
        if stored and stored.has_history:
            book = replace(book, schema=replace(book.schema, has_history=True))
            if book.target.has_history:
                history = there.open_history(book.target.table, book.schema)
        hidden = there.find_hidden(book.target.table, book.schema)
        book = replace(book, stored=stored, history=history, hidden=hidden)
        if there.dialect.ddl_commits and stored:
            overlap = _overlap(book, there)
            renamed = {old: new for old, new in overlap.kept.items() if old != new} if overlap else {}
            book = replace(book, schema=replace(book.schema, exchange=Exchange(mark, renamed)))
        known.append(book)
    return known


def _overlap(book: SchemaBook, there: Inspector) -> Overlap | None:
    """None: there is no old table."""
    table = book.target.table
    intact = there.intact_columns(table)
    if book.stored is None or intact is None:
        return None
    return Overlap.of(book.stored, book.schema, there=tuple(there.tables[table]), intact=intact)


def plan_changes(
    merge: MergePlan,
    books: Sequence[SchemaBook],
    there: Inspector,
    layout: Layout,
    key_tags: Sequence[str],
) -> list[Replacement]:
    """What becomes of each target; `books` know what is stored."""
    before = [replace(b, schema=b.stored or b.schema) for b in books]
    olds = MergePlan(there.dialect, layout, before, key_tags).targets
    changes = []
    for target, old, book in zip(merge.targets, olds, books, strict=True):
        intact, overlap, exchange = there.intact_columns(target.label), _overlap(book, there), book.schema.exchange
        stand_in = _stand_in(target) if there.dialect.ddl_commits else None
        side = side_name(target.label, exchange.mark if exchange else None)
        new = replace(target, table=name(layout.schema, side))
        if book.stored is None or intact is None or overlap is None:
            # Where DDL commits by itself, an empty one in the place of a table that is gone would pass for it.
            new = new if exchange else target
            changes.append(Replacement(target, new, stand_in or target, None, None, was_known=book.stored is not None))
            continue
        columns = tuple(there.tables[target.label])
        needed = {*book.stored.key_names, *METADATA_COLUMNS}
        needed |= {DELETED_AT} if book.stored.has_deleted_at else set()
        changes.append(
            Replacement(
                target,
                new,
                old if needed <= intact and _has_same_rows(book.stored, book.schema) else stand_in or new,
                (layout.schema, target.label),
                overlap,
                before=old,
                columns=columns,
                intact=intact,
                by_hand=tuple(c for c in columns if c not in all_columns(book.stored)),
                masked=_masked(book.stored, book.schema),
                was_known=True,
            )
        )
    return changes


def _stand_in(target: PlannedTarget) -> PlannedTarget:
    """An empty temporary table, where the new one must not be made before it is known that it is wanted."""
    return replace(target, table=name(f"_cdc_absent_{target.number}"), has_deleted_at=False)
