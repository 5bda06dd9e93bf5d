"""The statements of a rebuild: a new table beside each old one is filled from the export, and takes its place."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from cdc_merge.errors import Refused, SchemaConflict
from cdc_merge.layout import Layout
from cdc_merge.merge.masking import hide
from cdc_merge.merge.plan import MergePlan
from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.model import Source
from cdc_merge.names import history_table
from cdc_merge.reconcile import swap
from cdc_merge.reconcile.hangings import Catalog, Hangings, Relation
from cdc_merge.reconcile.plan import ComparedColumn, Findings, Limits, ReconcilePlan, Tally, Undertaking
from cdc_merge.reconcile.snapshot import Items
from cdc_merge.render import Name, name
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.opening import open_book
from cdc_merge.schema.stored import DELETED_AT, METADATA_COLUMNS, TargetSchema, TypedColumn, all_columns
from cdc_merge.schema.tables import Inspector
from cdc_merge.warehouses import Dialect, Row, Statement
from cdc_merge.words import count


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


def _has_same_rows(stored: TargetSchema, schema: TargetSchema) -> bool:
    return (stored.key, stored.each) == (schema.key, schema.each)


@dataclass(frozen=True)
class Change:
    """One target of a rebuild.

    `new`: the table that is filled. `found`: what the export is compared with: the old table, or where there is none
    that can be compared, the new one, which is empty then. `before`: the old table by its own columns;
    `columns`: all it has, of which `intact` are as they were made. `by_hand`: columns of the old one that people added.
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
    was_known: bool = False

    @property
    def has_its_keys(self) -> bool:
        """Whether at least the keys of the old table can be compared."""
        return self.before is not None and self.intact.issuperset(k.name.parts[0] for k in self.before.keys)

    @property
    def is_compared(self) -> bool:
        return self.found.table != self.new.table


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


def know_stored(books: Sequence[SchemaBook], there: Inspector) -> list[SchemaBook]:
    """The books of new tables, with what is stored of the old ones. A history stays: it is not built anew.

    Raises SchemaConflict where the history cannot hold the new columns.
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
        known.append(replace(book, stored=stored, history=history, hidden=hidden))
    return known


def refuse_engine(dialect: Dialect) -> None:
    """Raises Refused where a new table cannot take the place of an old one in the transaction that fills it."""
    if not dialect.rebuilds:
        raise Refused(
            f"{dialect.name} exchanges tables by DDL, which commits apart from the rows and the books",
            where="reconcile --rebuild",
            hint="name another table in the configuration, cdc-merge reconcile fills it; then drop the old one",
        )


def refuse_partial(items: Items) -> None:
    """Raises Refused for what does not have all items of the table."""
    if items.since is not None:
        raise Refused(
            "it has only what changed, which makes no whole table",
            where=items.label,
            hint="rebuild from a full export: cdc-merge reconcile --rebuild --request",
        )


def plan_changes(
    merge: MergePlan,
    books: Sequence[SchemaBook],
    there: Inspector,
    layout: Layout,
    key_tags: Sequence[str],
) -> list[Change]:
    """What becomes of each target; `books` know what is stored."""
    before = [replace(b, schema=b.stored or b.schema) for b in books]
    olds = MergePlan(there.dialect, layout, before, key_tags).targets
    changes = []
    for target, old, book in zip(merge.targets, olds, books, strict=True):
        intact = there.intact_columns(target.label)
        if book.stored is None or intact is None:
            known = book.stored is not None
            changes.append(Change(target, target, target, None, None, was_known=known))
            continue
        new = replace(target, table=name(layout.schema, side_name(target.label)))
        columns = tuple(there.tables[target.label])
        needed = {*book.stored.key_names, *METADATA_COLUMNS}
        needed |= {DELETED_AT} if book.stored.has_deleted_at else set()
        changes.append(
            Change(
                target,
                new,
                old if needed <= intact and _has_same_rows(book.stored, book.schema) else new,
                (layout.schema, target.label),
                Overlap.of(book.stored, book.schema, there=columns, intact=intact),
                before=old,
                columns=columns,
                intact=intact,
                by_hand=tuple(c for c in columns if c not in all_columns(book.stored)),
                was_known=True,
            )
        )
    return changes


def side_name(table: str) -> str:
    """What a new table is called until it takes the place of `table`."""
    return f"_cdc_new_{sha256(table.encode()).hexdigest()[:8]}"


class RebuildPlan(ReconcilePlan):
    """As a reconcile's, but the rows go into new tables."""

    def __init__(
        self,
        merge: MergePlan,
        books: Sequence[SchemaBook],
        dialect: Dialect,
        changes: Sequence[Change],
        *,
        replay_from: datetime,
        is_fed: bool,
    ) -> None:
        """`replay_from`: when the oldest objects were written that may hold changes which the export lacks.

        `is_fed`: whether changes were ever merged, so that there are some to merge once more.
        """
        super().__init__(merge, books, dialect, is_partial=False)
        self._changes = tuple(changes)
        self._replay_from = replay_from
        self._is_fed = is_fed
        self._found = [c.found for c in changes]
        self._catalog = Catalog(dialect, merge.render)

    def prepare(self, *, schema_exists: bool) -> list[Statement]:
        """The new tables, empty."""
        statements = [] if schema_exists else [self._merge.create_schema()]
        return [*statements, *(self._merge.create_target(c.new) for c in self._changes)]

    def create(self, *, schema_exists: bool) -> list[Statement]:
        """Nothing more but histories: the old tables stay as they are until they go."""
        return self._merge.history_ddl()

    def compared(self, target: PlannedTarget, book: SchemaBook) -> list[ComparedColumn]:
        change = self._changes[target.number]
        if change.overlap is None or not change.is_compared:
            return super().compared(change.new, book)
        staged = dict(zip((c.name for c in book.schema.columns), change.new.columns, strict=True))
        columns = [
            self.same(new.name, old.name, new.type, staged[new.name].staged) for old, new in change.overlap.pairs
        ]
        rescued = [self.same_rescued()] if change.overlap.is_whole else []
        return [*columns, *rescued, *self.unmarked(change.found)]

    def columns_asked_since(self, book: SchemaBook) -> list[str]:
        """None: columns that the old table has not are not compared."""
        return []

    def _foresee(
        self, undertaking: Undertaking, limits: Limits, findings: Findings, *, dry_run: bool
    ) -> Iterator[Statement]:
        for change in self._changes:
            label = change.target.label
            if change.is_compared:
                if not self._lacks_values(change):
                    continue
                rows: list[Row] = []
                yield self._say(f"count newer of {label}", "rebuild_count", target=change.found, inspect=rows.extend)
                if rows[0][0]:
                    findings.notes.append(
                        f"{label}: {rows[0][0]:,} rows that changed since the export lack values in the new columns"
                    )
                    findings.replay_from = self._replay_from
            elif self._is_fed:
                findings.replay_from = self._replay_from
            if change.was_known and change.old is None:
                findings.notes.append(f"{label}: its table was gone")
            elif change.before and not change.is_compared:
                yield from self._count_what_goes(change, change.before, undertaking.floor, limits, findings)
        for change in self._changes:
            hidden = self._books[change.target.number].hidden
            if hidden and hidden.has_history:
                which = ", ".join(c.name for c in hidden.columns)
                masked = f"{which} masked in the versions of before, too" if which else "_cdc_rescued masked, too"
                findings.notes.append(f"{history_table(change.target.label)}: {masked}")
            if change.old and change.overlap:
                yield from self._look(change, findings, dry_run=dry_run)

    def _count_what_goes(
        self, change: Change, before: PlannedTarget, floor: datetime, limits: Limits, findings: Findings
    ) -> Iterator[Statement]:
        """Holds against the limits what goes with an old table that cannot be compared row by row."""
        label, found = change.target.label, list[Row]()
        if change.has_its_keys:
            yield self._say(
                f"count keys that go from {label}",
                "rebuild_keys",
                target=before,
                floor=floor,
                knows_times="_cdc_changed_at" in change.intact,
                inspect=found.extend,
            )
            keys, gone = map(int, found[0])
            findings.overridden += limits.deletes(label, Tally(keys, 0, 0, gone, 0, 0))
            lost = f"{gone:,} of its {count(keys, 'key')} go"
        else:
            sql = f"SELECT count(*) FROM {self._dialect.quote(*before.table.parts)}"
            yield Statement(f"count rows that go from {label}", sql, inspect=found.extend)
            rows = int(found[0][0])
            findings.overridden += limits.unseen(label, rows)
            lost = f"all of it goes, {count(rows, 'row')}"
        findings.notes.append(f"{label}: the old table is not of the kind any more that can be compared; {lost}")

    def _look(self, change: Change, findings: Findings, *, dry_run: bool) -> Iterator[Statement]:
        """Whether the old table can go, and what goes with it."""
        label = change.target.label
        assert change.old and change.overlap
        hangings = yield from self._catalog.look(change.old)
        try:
            swap.refuse_obstacles(label, hangings, change.overlap.kept)
        except Refused as refusal:
            if not dry_run:
                raise
            findings.notes.append(f"this would be refused: {refusal}")
        findings.notes += swap.notes(label, hangings, change.overlap.kept)
        findings.notes += swap.setting_notes(label, hangings, change.overlap.kept, change.overlap.alike)
        if dry_run:
            findings.notes += swap.doubts(label, hangings, change.columns, change.overlap.kept)
        if gone := [c for c in change.by_hand if c not in change.overlap.kept]:
            findings.notes.append(f"{label}: columns that were added by hand go: {', '.join(gone)}")
        if not dry_run:
            yield from swap.settings(self._relation(change.new), hangings, change.overlap.alike, self._dialect)
        if not dry_run and hangings.storage:
            yield from swap.shape(self._relation(change.new), hangings.storage, self._dialect)

    def _lacks_values(self, change: Change) -> bool:
        return change.overlap is not None and not change.overlap.is_whole

    def _relation(self, target: PlannedTarget) -> Relation:
        schema, table = target.table.parts
        return schema, table

    def _repair(self, undertaking: Undertaking, findings: Findings, *, merged_at: datetime) -> Iterator[Statement]:
        for change in self._changes:
            label = change.target.label
            yield self._say(
                f"fill {label}",
                "rebuild_fill",
                target=change.new,
                table=change.new.table,
                floor=undertaking.floor,
                merged_at=merged_at,
            )
            if change.is_compared and change.overlap:
                yield self._say(
                    f"carry over in {label}",
                    "rebuild_carry",
                    target=change.new,
                    table=change.new.table,
                    found=change.found,
                    carried=[CarriedColumn(name(old.name), name(new.name)) for old, new in change.overlap.pairs],
                    lacks_values=self._lacks_values(change),
                    floor=undertaking.floor,
                )
                if hidden := self._books[change.target.number].hidden:
                    step = f"mask what came over in {label}"
                    yield hide(self._merge.render, self._dialect, label=step, table=change.new.table, hidden=hidden)
            yield from self._merge.hide_in_history(self._books[change.target.number])
            if change.target.history and findings.targets[label].repaired:
                yield from self._record_history(change.target, undertaking, merged_at)
            yield from self._analyze(self._dialect.quote(*change.new.table.parts))
        # Now only, so that people can read the old tables until all new ones are filled.
        hanging: list[Hangings] = []
        for change in self._changes:
            if change.old and change.overlap:
                hanging.append((yield from self._swap(change, change.old, change.overlap.kept)))
        for hangings in hanging:
            findings.bound += swap.bind(hangings, self._dialect)
        yield from findings.bound
        if since := findings.replay_from:
            yield self._say("forget objects", "rebuild_forget_objects", source=undertaking.source, since=since)

    def _swap(self, change: Change, old: Relation, kept: swap.Kept) -> Generator[Statement, None, Hangings]:
        catalog, dialect, label = self._catalog, self._dialect, change.target.label
        yield from catalog.lock(old, change.target.table)
        hangings: Hangings = yield from catalog.look(old)
        swap.refuse_obstacles(label, hangings, kept)
        yield from swap.swap(old, self._relation(change.new), hangings, kept, dialect)
        constraints = yield from catalog.ask("constraints", old)
        taken = yield from catalog.ask("names", old)
        fresh: dict[str, str] = {}
        if dialect.max_identifier_bytes:
            fresh = swap.fresh_names(
                label,
                [(name, kind, column) for name, kind, column in constraints],
                {name for (name,) in taken},
                max_bytes=dialect.max_identifier_bytes,
            )
            for made, wanted in fresh.items():
                sql = f"RENAME CONSTRAINT {dialect.quote(made)} TO {dialect.quote(wanted)}"
                yield Statement(f"rename {made}", f"ALTER TABLE {dialect.quote(*old)} {sql}")
        primary = next((fresh.get(name, name) for name, kind, _ in constraints if kind == "p"), None)
        yield from swap.cluster(old, hangings, kept, primary, dialect)
        present = yield from catalog.grants([old, *(v.relation for v in hangings.views)])
        yield from swap.grant_changes(swap.wanted_grants(old, hangings, kept), present, dialect)
        return hangings


__all__ = [
    "Change",
    "Overlap",
    "RebuildPlan",
    "know_stored",
    "open_new_books",
    "plan_changes",
    "refuse_engine",
    "refuse_partial",
    "side_name",
]
