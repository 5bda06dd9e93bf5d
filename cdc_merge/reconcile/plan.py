"""The statements of a reconcile, one after the other, each decided by what those before it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from cdc_merge.feed.item_shelf import GROUP_BITS
from cdc_merge.merge.plan import MergePlan, row_moved
from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.model import ColumnType, Kind
from cdc_merge.reconcile import by_hash
from cdc_merge.reconcile.comparing import ComparedColumn, Comparing
from cdc_merge.reconcile.findings import CopiesFound, DryRunOver, Findings, Limits, Tally, Undertaking, verdicts_of
from cdc_merge.render import Sql, name
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.conditions import are_same, in_order
from cdc_merge.warehouses import Dialect, Row, Statement

SAMPLES = 10  # keys of each verdict that are kept

_BARING = (
    ("bare_place", "drop the place of copies in"),
    ("bare_copies", "drop the number of copies in"),
)


Portion = tuple[int, int]
"""Rows by their numbers: from the first, to before the second."""


class ReconcilePlan:
    """Builds the statements for one engine from the merge plan of the same targets; pure, no connection needed."""

    def __init__(self, merge: MergePlan, books: Sequence[SchemaBook], dialect: Dialect, *, is_partial: bool) -> None:
        """`is_partial`: the snapshot has only the keys that changed, and were not both inserted and deleted."""
        self._merge = merge
        self._books = tuple(books)
        self._dialect = dialect
        self._comparing = Comparing(dialect, merge.render)
        self._is_partial = is_partial
        self._by_hash = by_hash.HashComparison(self._comparing, is_partial=is_partial)
        # The tables that are compared; an empty temporary one for each that is not there yet.
        self._found: Sequence[PlannedTarget] = [
            replace(target, has_deleted_at=book.stored.has_deleted_at)
            if book.stored
            else replace(target, table=name(f"_cdc_absent_{target.number}"), has_deleted_at=False)
            for target, book in zip(merge.targets, books, strict=True)
        ]

    def prepare(self, *, schema_exists: bool) -> list[Statement]:
        """What is needed to compare, also on a dry run; keeps nobody from a table."""
        return [self._stand_in(t) for t, book in zip(self._found, self._books, strict=True) if not book.stored]

    def _stand_in(self, target: PlannedTarget) -> Statement:
        return self._say(
            f"stand in for {target.label}",
            "absent",
            target=target,
            text=Sql(self._dialect.types[Kind.TEXT]),
            integer=Sql(self._dialect.types[Kind.INTEGER]),
            timestamp=Sql(self._dialect.types[Kind.TIMESTAMP]),
        )

    def create(self, *, schema_exists: bool) -> list[Statement]:
        """What makes tables and columns that are not there. Postgres keeps readers out from here on."""
        return self._merge.ddl(schema_exists=schema_exists)

    def discard(self) -> list[Statement]:
        """What takes away that which is there before the transaction, where DDL commits, and was made in vain."""
        return []

    def statements(
        self,
        undertaking: Undertaking,
        limits: Limits,
        findings: Findings,
        *,
        clock: Callable[[], datetime],
        setup: Sequence[Statement],
        make: Sequence[Statement],
        heal_copies: bool = False,
        dry_run: bool = False,
    ) -> Iterator[Statement]:
        """Everything of one transaction after its lock. `setup` comes before the comparison, `make` before the repair.

        Raises what `limits` raise; CopiesFound, for another try that heals them; DryRunOver at the end of a dry run.
        """
        source, floor = undertaking.source, undertaking.floor
        yield self._floors(source, limits, findings)
        yield from setup
        yield self._newer(source, floor)
        yield from self._analyze("_cdc_newer")
        for target in self._found:
            copies: list[Row] = []
            if heal_copies and not self._dialect.indexes_key:
                yield self._say(f"count copies in {target.label}", "count_copies", target=target, inspect=copies.extend)
                for template, what in self._healing():
                    yield self._say(f"{what} {target.label}", template, target=target)
            yield from self._judge(target, undertaking, limits, findings, copies=int(copies[0][0]) if copies else 0)
        yield from self._foresee(undertaking, limits, findings, dry_run=dry_run)
        if dry_run:
            raise DryRunOver
        yield from make
        yield from self._repair(undertaking, findings, merged_at=clock())
        for target in self._merge.targets:
            yield self._say(f"raise floor of {target.label}", "raise_floor", target=target, source=source, floor=floor)
        if not self._is_partial:
            yield from self._record_where(undertaking, findings, clock())
        count: list[Row] = []
        yield self._say("count tombstones", "count_tombstones", inspect=count.extend, source=source)
        findings.collected = int(count[0][0])
        yield self._say("collect tombstones", "collect_tombstones", source=source)
        for target in self._merge.targets:
            yield self._record(target, undertaking, findings, clock())

    def foreseen(self, undertaking: Undertaking, *, heal_copies: bool = False) -> list[Statement]:
        """Those of `statements` that make temporary tables, in order; what they find may change their literals."""
        source, floor = undertaking.source, undertaking.floor
        found = [self._newer(source, floor)]
        for target in self._found:
            if heal_copies and not self._dialect.indexes_key:
                found += [self._say(f"{what} {target.label}", t, target=target) for t, what in self._healing()]
            found += [*self._compare(target, 0, verified=floor), self._find_causes(target, source)]
        for target in self._merge.targets:
            if target.history:
                found += self._order_history(target, undertaking, merged_at=floor)
        return found

    def _newer(self, source: str, floor: datetime) -> Statement:
        keys = len(self._merge.targets[0].keys)
        return self._say("find newer", "newer", source=source, floor=floor, key_count=keys)

    def _record_where(self, undertaking: Undertaking, findings: Findings, now: datetime) -> Iterator[Statement]:
        """From now on a table's rows are of the `where` that the configuration has, but for those left alone."""
        for target, book in zip(self._merge.targets, self._books, strict=True):
            stored, where = book.stored, book.target.where
            is_same = stored is None or (
                stored.where is not None and are_same(stored.where, where) and not stored.has_other_where
            )
            since = stored.where_since if stored else None
            if is_same and since is None:
                continue
            if not findings.targets[target.label].newer or (is_same and since and since <= undertaking.floor):
                since = None
            elif not is_same:
                since = now
            schema = replace(book.schema, where=in_order(where), where_since=since, has_other_where=False)
            sql = self._merge.render(
                "merge/sql/update_target", target=target, source=undertaking.source, columns=schema.to_json()
            )
            yield Statement(f"record where of {target.label}", sql)

    def _healing(self) -> Sequence[tuple[str, str]]:
        """The templates that leave one row of each key, and what they do."""
        if self._dialect.row_address:
            return [("delete_copies", "delete copies from")]
        return [
            ("keep_copies", "keep one of each copy in"),
            *(() if self._dialect.ddl_commits else _BARING),
            ("delete_copies", "delete copies from"),
            ("restore_copies", "restore one of each copy in"),
        ]

    def _foresee(
        self, undertaking: Undertaking, limits: Limits, findings: Findings, *, dry_run: bool
    ) -> Iterator[Statement]:
        """What must be known before anything is written, also on a dry run."""
        yield from ()

    def _repair(self, undertaking: Undertaking, findings: Findings, *, merged_at: datetime) -> Iterator[Statement]:
        for target in self._merge.targets:
            verdicts = findings.targets[target.label]
            marked = verdicts.extra if target.is_soft else 0
            gone = verdicts.different + verdicts.extra - marked
            if gone and not target.deletes_last:
                yield self._delete(target, rows=gone)
            if marked:
                mark = self._say(
                    f"mark rows of {target.label}",
                    "mark_rows",
                    target=target,
                    floor=undertaking.floor,
                    merged_at=merged_at,
                )
                yield self._insisting(mark, target, rows=marked)
            label, rows = f"insert into {target.label}", verdicts.missing + verdicts.different
            if rows and not verdicts.equal and self._has_keys_beside_rows(target):
                # All that the export has, as in a first load: its rows need no looking up.
                yield from self.fill(label, target, rows=rows, floor=undertaking.floor, merged_at=merged_at)
            elif rows:
                staged = f"_cdc_verdicts_{target.number}"
                for portion in (yield from self._portions(target.label, staged, rows)):
                    yield self._say(
                        label,
                        "insert_rows",
                        target=target,
                        floor=undertaking.floor,
                        merged_at=merged_at,
                        portion=portion,
                    )
            if gone and target.deletes_last:
                yield self._delete(target, rows=gone)
            if target.history and verdicts.repaired:
                yield from self._record_history(target, undertaking, merged_at)
        yield from self._merge.hide(undertaking.source)

    def _delete(self, target: PlannedTarget, *, rows: int) -> Statement:
        return self._insisting(
            self._say(f"delete from {target.label}", "delete_rows", target=target, rows=rows), target, rows=rows
        )

    def _insisting(self, statement: Statement, target: PlannedTarget, *, rows: int) -> Statement:
        """Where an update by hand moves a row, one that was compared is not found any more: all is compared anew."""
        if not self._dialect.rows_move:
            return statement
        return replace(statement, expect_rows=rows, mismatch=lambda: row_moved(target.label))

    def _record_history(
        self, target: PlannedTarget, undertaking: Undertaking, merged_at: datetime
    ) -> Iterator[Statement]:
        """What was repaired, as of the floor."""
        label, source, floor = target.label, undertaking.source, undertaking.floor
        yield self._say(f"record events of {label}", "history_events", target=target, source=source, floor=floor)
        yield self._say(
            f"insert versions of {label}", "history_versions", target=target, floor=floor, merged_at=merged_at
        )
        yield from self._order_history(target, undertaking, merged_at=merged_at)

    def _order_history(
        self, target: PlannedTarget, undertaking: Undertaking, *, merged_at: datetime
    ) -> list[Statement]:
        source, floor = undertaking.source, undertaking.floor
        touched = self._merge.render("reconcile/sql/history_touched", target=target, source=source, floor=floor)
        return self._merge.history.order(target, source=source, touched=touched, merged_at=merged_at)

    def _portions(self, label: str, staged: str, rows: int) -> Generator[Statement, None, list[Portion | None]]:
        """Ranges of the staged rows' numbers, a group of exported files each; None: all of them at once."""
        if not self._dialect.row_hash or rows <= by_hash.ROWS_AT_ONCE:
            return [None]
        groups, size = list[Row](), 2**GROUP_BITS
        divided = f"SELECT DISTINCT n // {size} FROM {staged} WHERE n IS NOT NULL ORDER BY 1"
        yield Statement(f"divide {label}", divided, inspect=groups.extend)
        return [(int(group) * size, (int(group) + 1) * size) for (group,) in groups]

    def fill(
        self, label: str, target: PlannedTarget, *, rows: int, floor: datetime, merged_at: datetime
    ) -> Iterator[Statement]:
        """All of the export's rows, so many, into a table, but for items that changed since."""
        has_keys = self._has_keys_beside_rows(target)  # then nothing is held, and one statement will do
        staged = f"_cdc_rows_{target.number}"
        portions = [None] if has_keys else (yield from self._portions(target.label, staged, rows))
        for portion in portions:
            yield self._say(
                label,
                "fill",
                target=target,
                has_keys=has_keys,
                portion=portion,
                floor=floor,
                merged_at=merged_at,
            )

    def _has_keys_beside_rows(self, target: PlannedTarget) -> bool:
        """Whether the export's rows are read with their keys; those of elements get them by a join."""
        return self._dialect.row_hash is not None and not target.is_each

    def _say(
        self, label: str, template: str, *, inspect: Callable[[list[Row]], None] | None = None, **values: Any
    ) -> Statement:
        tables = [*self._found, *self._merge.removed]
        sql = self._merge.render(f"reconcile/sql/{template}", tables=tables, **values)
        return Statement(label, sql, inspect=inspect)

    def _analyze(self, table: str) -> Iterator[Statement]:
        if self._dialect.analyze_staging:
            yield Statement(f"analyze {table}", f"ANALYZE {table}")

    def _floors(self, source: str, limits: Limits, findings: Findings) -> Statement:
        def look(rows: list[Row]) -> None:
            findings.floors = dict(rows)
            limits.floors(findings.floors)

        return self._say("look at floors", "floors", inspect=look, source=source)

    def _judge(
        self, target: PlannedTarget, undertaking: Undertaking, limits: Limits, findings: Findings, *, copies: int
    ) -> Iterator[Statement]:
        label = target.label
        yield from self._compare(target, findings.items, verified=findings.floors.get(label))
        yield from self._analyze(f"_cdc_verdicts_{target.number}")
        counted: list[Row] = []
        yield self._say(f"count {label}", "tally", target=target, inspect=counted.extend)
        tally = self._tally(counted[0], copies)
        findings.overridden += limits.deletes(label, tally)
        # Where DDL commits, the table is made before it is known.
        has_extra = self._dialect.ddl_commits or tally.extra > 0
        yield self._find_causes(target, undertaking.source, has_extra=has_extra)
        causes: list[Row] = []
        yield self._say(f"count causes in {label}", "count_causes", target=target, inspect=causes.extend)
        differing: list[Row] = []
        yield self._say(f"count columns of {label}", "count_differing", target=target, inspect=differing.extend)
        samples: list[Row] = []
        text = Sql(self._dialect.types[Kind.TEXT])
        yield self._say(
            f"take samples of {label}", "samples", target=target, text=text, samples=SAMPLES, inspect=samples.extend
        )
        if copies:
            causes.append(("extra", "row_twice", copies))
        findings.targets[label] = verdicts_of(tally, causes=causes, differing=differing, samples=samples)

    def _compare(self, target: PlannedTarget, items: int, *, verified: datetime | None) -> Iterator[Statement]:
        """`items`: how many are in the snapshot; `verified`: the target's floor."""
        columns = self.compared(target, self._books[target.number])
        if target.is_each:
            key = ColumnType(Kind.TEXT)
            columns.append(self._comparing.same("_cdc_key", "_cdc_key", key, Sql("s.element_key")))
        say = partial(
            self._say,
            target=target,
            columns=columns,
            differing=self._comparing.differing(columns),
            is_partial=self._is_partial,
            verified=verified,
        )
        if not self._dialect.row_hash:
            yield say(f"compare {target.label}", "verdicts")
            return
        yield from self._by_hash.compare(target, columns, say, items)

    def _find_causes(self, target: PlannedTarget, source: str, *, has_extra: bool = True) -> Statement:
        label, count = f"find causes in {target.label}", len(self._found)
        asked_since = self.columns_asked_since(self._books[target.number])
        return self._say(
            label,
            "causes",
            target=target,
            source=source,
            target_count=count,
            asked_since=asked_since,
            has_extra=has_extra,
        )

    def columns_asked_since(self, book: SchemaBook) -> list[str]:
        """Columns that the table gets from this reconcile since the configuration asks for them.

        One that an attribute of the export brings is none: the feed should have brought it.
        """
        asked = {c.name for c in book.target.columns or ()}
        return [c.name for c in book.new_columns if c.name in asked] if book.stored else []

    def compared(self, target: PlannedTarget, book: SchemaBook) -> list[ComparedColumn]:
        """How each column of a target is compared with the export's."""
        return self._comparing.columns(target, book)

    def _tally(self, row: Row, copies: int) -> Tally:
        """`copies`: rows that were there twice and are gone by now; they count as extra."""
        rows, staged, missing, extra, different, newer, addresses, numbers, distinct = map(int, row)
        equal = staged - distinct
        are_copies = numbers != distinct or (not self._is_partial and rows - addresses != equal)
        if are_copies and not self._dialect.indexes_key:
            raise CopiesFound
        return Tally(rows + copies, equal, missing, extra + copies, different, newer)

    def _record(
        self, target: PlannedTarget, undertaking: Undertaking, findings: Findings, finished_at: datetime
    ) -> Statement:
        verdicts = findings.targets[target.label]
        return self._say(
            f"record {target.label}",
            "record",
            target=target,
            **{
                name: getattr(undertaking, name)
                for name in ("id", "source", "export", "as_of", "floor", "items", "unusable", "worker", "started_at")
            },
            method=undertaking.method.value,
            **{
                name: getattr(verdicts, name)
                for name in ("equal", "missing", "extra", "different", "newer", "repaired")
            },
            collected=findings.collected,
            details=json.dumps(verdicts.details(), ensure_ascii=False),
            overridden="; ".join(findings.overridden),
            finished_at=finished_at,
        )
