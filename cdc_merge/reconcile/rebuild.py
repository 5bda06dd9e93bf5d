"""The statements of a rebuild: a new table beside each old one is filled from the export, and takes its place."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime

from cdc_merge.errors import Refused
from cdc_merge.exchange import mark_of
from cdc_merge.merge.masking import hide
from cdc_merge.merge.plan import MergePlan
from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.names import history_table
from cdc_merge.reconcile import swap
from cdc_merge.reconcile.comparing import ComparedColumn
from cdc_merge.reconcile.findings import Findings, Limits, Tally, Undertaking
from cdc_merge.reconcile.hangings import Catalog, Hangings, Relation
from cdc_merge.reconcile.plan import ReconcilePlan
from cdc_merge.reconcile.replacing import CarriedColumn, Replacement
from cdc_merge.reconcile.snapshot import Items
from cdc_merge.render import name
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses import Dialect, Row, Statement
from cdc_merge.words import count


def refuse_partial(items: Items) -> None:
    """Raises Refused for what does not have all items of the table."""
    if items.since is not None:
        raise Refused(
            "it has only what changed, which makes no whole table",
            where=items.label,
            hint="rebuild from a full export: cdc-merge reconcile --rebuild --request",
        )


class RebuildPlan(ReconcilePlan):
    """As a reconcile's, but the rows go into new tables.

    Where DDL commits by itself, the tables are made before the transaction and change places after it (exchange.py).
    """

    def __init__(
        self,
        merge: MergePlan,
        books: Sequence[SchemaBook],
        dialect: Dialect,
        changes: Sequence[Replacement],
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
        if self._dialect.ddl_commits:
            return [self._stand_in(c.found) for c in self._changes if not c.is_compared]
        statements = [] if schema_exists else [self._merge.creation.schema()]
        return [*statements, *(self._merge.creation.target(c.new) for c in self._changes)]

    def create(self, *, schema_exists: bool) -> list[Statement]:
        """Histories: the old tables stay as they are until they go. And the new ones, if they are not there yet."""
        if not self._dialect.ddl_commits:
            return self._merge.history_ddl()
        statements = [] if schema_exists else [self._merge.creation.schema()]
        for change in self._changes:
            exchange = self._books[change.target.number].schema.exchange
            if exchange:
                like = change.target if change.old else None
                statements += self._merge.creation.beside(like, change.new, mark=mark_of(exchange))
            else:
                statements += [self._merge.creation.target(change.new), self._merge.creation.look_into(change.new)]
        return [*statements, *self._merge.history_ddl()]

    def discard(self) -> list[Statement]:
        if not self._dialect.ddl_commits:
            return []
        beside = [c for c in self._changes if c.new.table != c.target.table]
        news = [(c.target.label, self._dialect.quote(*c.new.table.parts)) for c in beside]
        return [Statement(f"drop what was made for {label}", f"DROP TABLE IF EXISTS {new}") for label, new in news]

    def compared(self, target: PlannedTarget, book: SchemaBook) -> list[ComparedColumn]:
        change = self._changes[target.number]
        if self._dialect.ddl_commits and not change.is_compared:  # with what stands in, which has not even the columns
            columns = zip(book.schema.columns, change.new.columns, strict=True)
            lacking = [self._comparing.lacking(c.name, c.type, p.staged) for c, p in columns]
            return [*lacking, self._comparing.same_rescued()]
        if change.overlap is None or not change.is_compared:
            return super().compared(change.new, book)
        staged = dict(zip((c.name for c in book.schema.columns), change.new.columns, strict=True))
        compared = [
            self._comparing.same(new.name, old.name, new.type, staged[new.name].staged)
            for old, new in change.overlap.pairs
        ]
        rescued = [self._comparing.same_rescued()] if change.overlap.is_whole else []
        return [*compared, *rescued, *self._comparing.unmarked(change.found)]

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
                yield self._say(
                    f"count newer of {label}",
                    "rebuild_count",
                    target=change.found,
                    floor=undertaking.floor,
                    inspect=rows.extend,
                )
                newer, kept = map(int, rows[0])
                findings.overridden += limits.kept(label, kept, change.lost_columns)
                if newer:
                    findings.notes.append(
                        f"{label}: {newer:,} rows that changed since the export lack values in the new columns"
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
        self, change: Replacement, before: PlannedTarget, floor: datetime, limits: Limits, findings: Findings
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

    def _look(self, change: Replacement, findings: Findings, *, dry_run: bool) -> Iterator[Statement]:
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
        are_bound = not self._dialect.ddl_commits
        if dry_run or not are_bound:
            findings.notes += swap.doubts(label, hangings, change.columns, change.overlap.kept, are_bound=are_bound)
        if gone := [c for c in change.by_hand if c not in change.overlap.kept]:
            findings.notes.append(f"{label}: columns that were added by hand go: {', '.join(gone)}")
        if not dry_run:
            yield from swap.settings(self._relation(change.new), hangings, change.overlap.alike, self._dialect)
        if not dry_run and hangings.storage:
            yield from swap.shape(self._relation(change.new), hangings.storage, self._dialect)

    def _lacks_values(self, change: Replacement) -> bool:
        return change.overlap is not None and not change.overlap.is_whole

    def _relation(self, target: PlannedTarget) -> Relation:
        schema, table = target.table.parts
        return schema, table

    def _repair(self, undertaking: Undertaking, findings: Findings, *, merged_at: datetime) -> Iterator[Statement]:
        for change in self._changes:
            label = change.target.label
            found = findings.targets[label]
            rows = found.equal + found.missing + found.different + found.newer
            yield from self.fill(f"fill {label}", change.new, rows=rows, floor=undertaking.floor, merged_at=merged_at)
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
            if samples := self._dialect.own_samples:  # people's queries are planned with what these tell
                yield Statement("take whole samples", samples)
            yield from self._analyze(self._dialect.quote(*change.new.table.parts))
        if not self._dialect.ddl_commits:
            yield from self._exchange(findings)
        if since := findings.replay_from:
            yield self._say("forget objects", "rebuild_forget_objects", source=undertaking.source, since=since)

    def _exchange(self, findings: Findings) -> Iterator[Statement]:
        """Now only, so that people can read the old tables until all new ones are filled."""
        hanging: list[Hangings] = []
        for change in self._changes:
            if change.old and change.overlap:
                hanging.append((yield from self._swap(change, change.old, change.overlap.kept)))
        for hangings in hanging:
            findings.bound += swap.bind(hangings, self._dialect)
        yield from findings.bound

    def _swap(self, change: Replacement, old: Relation, kept: swap.Kept) -> Generator[Statement, None, Hangings]:
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
