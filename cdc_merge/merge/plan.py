"""Plans the merge of one staged batch: labelled statements, as data, that a warehouse runs in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from cdc_merge.errors import AlreadyMerged, QuarantineMoved, SchemaMoved, WarehouseUnavailable
from cdc_merge.layout import Layout
from cdc_merge.merge.altering import alter_columns
from cdc_merge.merge.creating import CreationPlan
from cdc_merge.merge.guarding import GuardPlan, RowsTwice
from cdc_merge.merge.history import HistoryPlan
from cdc_merge.merge.masking import hide
from cdc_merge.merge.planned import KeyRange, PlannedTarget, Planner
from cdc_merge.model import Kind, Ordering
from cdc_merge.names import history_table
from cdc_merge.render import Sql, name, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.catalog import MARK
from cdc_merge.schema.stored import TargetSchema
from cdc_merge.warehouses import LEDGER_LABEL, Dialect, Row, Statement


@dataclass(frozen=True)
class Batch:
    """The facts of one batch that its statements write down."""

    id: str
    source: str
    worker: str
    merged_at: datetime
    newest_change_at: datetime | None
    objects: int
    records: int
    superseded: int
    quarantined: int


class MergePlan:
    """Builds the statements of one batch for one engine; pure, no connection needed."""

    def __init__(
        self,
        dialect: Dialect,
        layout: Layout,
        books: Sequence[SchemaBook],
        key_tags: Sequence[str],
        *,
        removed: Mapping[str, TargetSchema] | None = None,
    ) -> None:
        """`removed`: tables of targets that the configuration no longer has (Inspector.left_behind)."""
        self._dialect = dialect
        self._layout = layout
        self._books = tuple(books)
        self._key_tags = tuple(key_tags)
        planner = Planner(dialect, layout, self._key_tags)
        self.targets = [planner.target(i, b) for i, b in enumerate(books)]
        self.removed = [
            planner.removed(number, table, schema)
            for number, (table, schema) in enumerate(sorted((removed or {}).items()), start=len(books))
        ]
        self.creation = CreationPlan(dialect, layout.schema, self.render, self._books)
        self.guard = GuardPlan(dialect, self.render, self.removed)
        self.history = HistoryPlan(dialect, self.render, self._books, self.targets)

    def render(self, template: str, **values: Any) -> str:
        """The SQL of a template of this package, which sees all tables by name."""
        metadata = self._layout.metadata
        names = {k: v for k, v in metadata.items() if k not in ("targets", "sources")}
        return render(
            f"{template}.sql",
            self._dialect,
            **{
                **names,
                "targets_table": metadata["targets"],
                "sources": metadata["sources"],
                "targets": self.targets,
                "tables": [*self.targets, *self.removed],
                "row_address": Sql(address) if (address := self._dialect.row_address) else None,
                "mark": MARK,
                "key_range": None,
                "is_picked": any(t.is_picked for t in self.targets),
                "has_soft": any(t.is_soft for t in self.targets),
                "metadata_json": Sql(self._dialect.metadata_json),
                "rescued": Sql(self._dialect.read_rescued("s.rescued")),
                **values,
            },
        )

    def ddl(self, *, schema_exists: bool) -> list[Statement]:
        """What must be created or altered before rows can go in.

        A schema that is there is not asked for: Postgres wants the right to create it even so.
        """
        statements: list[Statement] = []
        if not schema_exists and any(b.stored is None for b in self._books):
            statements.append(self.creation.schema())
        for book, target in zip(self._books, self.targets, strict=True):
            if book.stored is None:
                statements.append(self.creation.target(target))
                if self._dialect.ddl_commits:
                    statements.append(self.creation.look_into(target))
                continue
            if book.schema.has_deleted_at and not book.stored.has_deleted_at:
                timestamp = Sql(self._dialect.types[Kind.TIMESTAMP])
                sql = self.render("merge/sql/add_deleted_at", target=target, timestamp=timestamp)
                statements.append(Statement(f"add {target.label}._cdc_deleted_at", sql))
            added, widened = {c.name for c in book.new_columns}, {c.name for c in book.widened_columns}
            statements += alter_columns(self.render, target, target.label, added=added, widened=widened)
        return [*statements, *self.history_ddl()]

    def history_ddl(self) -> list[Statement]:
        """What must be created or altered of histories."""
        kept = [t for t in self.targets if t.history]
        return self.history.ddl({t.number: self.creation.history(t) for t in kept})

    def record_schema(self, source: str) -> list[Statement]:
        """The metadata rows of targets that are new or have new columns."""
        statements = []
        for book, target in zip(self._books, self.targets, strict=True):
            if book.grew:
                template = "merge/sql/record_target" if book.stored is None else "merge/sql/update_target"
                sql = self.render(template, target=target, source=source, columns=book.schema.to_json())
                statements.append(Statement(f"record columns of {target.label}", sql))
        return statements

    def hide(self, source: str) -> list[Statement]:
        """Hides what new masks reach of what is there. Comes after all that finds rows by their address."""
        statements = []
        for book, target in zip(self._books, self.targets, strict=True):
            if book.hidden is None:
                continue
            label = f"mask what was rescued in {target.label}"
            statements.append(hide(self.render, self._dialect, label=label, table=target.table, hidden=book.hidden))
            statements += self.hide_in_history(book)
            samples = self.render("merge/sql/erase_samples", target=target, source=source)
            statements.append(Statement(f"erase samples of {target.label}", samples))
        return statements

    def hide_in_history(self, book: SchemaBook) -> list[Statement]:
        """The same in a target's history, if there is one."""
        hidden, label = book.hidden, book.target.table
        if hidden is None or not hidden.has_history:
            return []
        table = name(self._layout.schema, history_table(label))
        step = f"mask history of {label}"
        return [hide(self.render, self._dialect, label=step, table=table, hidden=hidden, columns=hidden.columns)]

    def hold_schemas(self, source: str) -> Statement:
        """Insists that the targets' columns are still those the books were opened with."""
        known = {b.target.table: b.stored.to_json() if b.stored else None for b in self._books}

        def compare(rows: list[Row]) -> None:
            there: dict[str, str] = dict(rows)
            for table, columns in known.items():
                if there.get(table) != columns:
                    raise SchemaMoved(
                        "its columns changed while this batch was decoded",
                        where=f"target {table}",
                        hint="nothing to do: it is decoded anew",
                    )

        return Statement("hold schemas", self.render("merge/sql/hold_schemas", source=source), inspect=compare)

    def record_source(
        self, source: str, ordering: Ordering | None, *, table_arn: str | None, is_known: bool = False
    ) -> Statement:
        """What is learned from the first data of a source; `is_known`: an export has shown its key already."""
        template = "merge/sql/update_source" if is_known else "merge/sql/record_source"
        sql = self.render(
            template,
            source=source,
            ordering=ordering.value if ordering else "",
            key_types=" ".join(self._key_tags),
            table_arn=table_arn,
        )
        return Statement("record source", sql)

    def record_table(self, source: str, table_arn: str) -> Statement:
        """Which DynamoDB table the source is, where no record had said so."""
        sql = self.render("merge/sql/record_table", source=source, table_arn=table_arn)
        return Statement("record table", sql)

    def record_objects(self, batch: Batch, *, again: bool) -> list[Statement]:
        """The ledger rows; `again`: the objects may be in the ledger already (replay)."""
        statements = []
        if again:
            sql = self.render("merge/sql/forget_objects", source=batch.source)
            statements.append(Statement("forget objects", sql))
        sql = self.render("merge/sql/record_objects", source=batch.source, batch_id=batch.id, merged_at=batch.merged_at)
        record = Statement(LEDGER_LABEL, sql)
        if not self._dialect.enforces_keys:
            record = replace(record, expect_rows=batch.objects, mismatch=lambda: _merged_by_another(batch))
        return [*statements, record]

    def release_quarantine(self, ids: Sequence[str]) -> Statement:
        """Takes entries out that are tried again, and insists that they are still there: one that was discarded, or

        whose item was forgotten meanwhile, must not be merged.
        """
        sql = self.render("merge/sql/release_quarantine", ids=list(ids))
        return Statement("release quarantine", sql, expect_rows=len(ids), mismatch=_left_quarantine)

    def record_quarantine(self, batch: Batch) -> Statement:
        sql = self.render(
            "merge/sql/record_quarantine", source=batch.source, batch_id=batch.id, merged_at=batch.merged_at
        )
        return Statement("record quarantine", sql)

    def record_notices(self, batch: Batch, *, unmatched: bool, misfits: bool) -> list[Statement]:
        """What decoding noticed beside the rows, added to what earlier batches noticed; all that is staged of it."""
        noticed = [n for n, is_there in (("unmatched", unmatched), ("misfits", misfits)) if is_there]
        return [
            Statement(
                f"{verb} {notice}",
                self.render(f"merge/sql/{verb}_{notice}", source=batch.source, merged_at=batch.merged_at),
            )
            for notice in noticed
            for verb in ("add", "insert")
        ]

    def record_export_misfits(
        self, source: str, merged_at: datetime, *, misfits: bool, is_rebuild: bool
    ) -> list[Statement]:
        """What an export's values did not fit: of new tables, and of columns of which nothing was known.

        Nothing is added to counts: a reconcile reads the same items again and again.
        """
        statements = []
        if is_rebuild:
            statements.append(Statement("forget misfits", self.render("merge/sql/forget_misfits", source=source)))
        if misfits:
            sql = self.render("merge/sql/insert_misfits", source=source, merged_at=merged_at)
            statements.append(Statement("insert misfits", sql))
        return statements

    def record_empty(self, batch: Batch) -> Statement:
        """The books of a batch that had no usable record."""
        return Statement("record batch", self.render("merge/sql/record_empty_batch", **_books(batch)))

    def merge(self, batch: Batch, *, key_range: KeyRange | None = None) -> list[Statement]:
        """Guard, delete, insert, tombstones and books, from the staging tables.

        `key_range`: of the staged keys; None: not known, or of no use to the engine.
        """
        source = batch.source
        delete_rows = partial(self.render, "merge/sql/delete_rows", key_range=key_range)
        twice = RowsTwice()
        statements = [
            Statement("drop resolved", "DROP TABLE IF EXISTS _cdc_resolved"),
            *self.guard.resolve(source, self.targets, key_range=key_range, twice=twice),
        ]
        for target in self.targets:
            delete = self._delete(target, delete_rows(target=target))
            copies = []
            if self.guard.looks_for_rows_twice and not target.is_each:
                sql = self.render("merge/sql/delete_copies", target=target)
                copies = [Statement(f"delete copies from {target.label}", sql, only_if=twice)]
            sql = self.render("merge/sql/insert_rows", target=target, merged_at=batch.merged_at)
            insert = Statement(f"insert into {target.label}", sql)
            # Copies are found by their key, so before there are new rows.
            statements += [*copies, insert, *delete] if target.deletes_last else [*delete, *copies, insert]
            if target.is_soft:
                sql = self.render("merge/sql/mark_rows", target=target, merged_at=batch.merged_at)
                statements.append(Statement(f"mark rows of {target.label}", sql))
        kind = "raised" if any(t.is_picked for t in self.targets) else "tombstones"
        return [
            *statements,
            Statement("delete tombstones", self.render(f"merge/sql/delete_{kind}", source=source)),
            Statement("insert tombstones", self.render(f"merge/sql/insert_{kind}", source=source)),
            *self.history.record(source, batch.merged_at),
            *self.count_up(batch, self.targets),
        ]

    def _delete(self, target: PlannedTarget, sql: str) -> list[Statement]:
        """Where an update by hand moves a row, one that was looked at is not found any more: it is tried again."""
        delete = Statement(f"delete from {target.label}", sql)
        if not self._dialect.rows_move or target.is_each:
            return [delete]
        number, counted = target.number, list[Row]()
        count = f"SELECT count(*) FROM _cdc_resolved AS r WHERE r.accepted_{number} AND r.row_{number} IS NOT NULL"
        return [
            Statement(f"count rows of {target.label}", count, inspect=counted.extend),
            replace(delete, expect_rows=lambda: int(counted[-1][0]), mismatch=lambda: row_moved(target.label)),
        ]

    def count_up(self, batch: Batch, targets: Sequence[PlannedTarget]) -> list[Statement]:
        """The books of what is resolved."""
        template = "record_outcomes" if any(t.is_picked for t in targets) else "record_batch"
        return [
            Statement("record batch", self.render(f"merge/sql/{template}", **_books(batch))),
            *(
                Statement(
                    f"record {target.label}",
                    self.render("merge/sql/record_batch_target", target=target, batch_id=batch.id),
                )
                for target in targets
            ),
        ]


def row_moved(label: str) -> WarehouseUnavailable:
    """What is raised where a row that was looked at is not in its place any more."""
    return WarehouseUnavailable("somebody altered a row meanwhile", where=f"target {label}")


def _left_quarantine() -> QuarantineMoved:
    return QuarantineMoved(
        "entries were tried again, discarded or forgotten meanwhile", hint="see what is left: cdc-merge quarantine list"
    )


def _merged_by_another(batch: Batch) -> AlreadyMerged:
    return AlreadyMerged("another worker has merged one of the objects", where=f"source {batch.source}")


def _books(batch: Batch) -> dict[str, Any]:
    """What the templates of the books print. `objects` is a count here, elsewhere the ledger's table."""
    return {
        "batch_id": batch.id,
        "source": batch.source,
        "worker": batch.worker,
        "merged_at": batch.merged_at,
        "newest_change_at": batch.newest_change_at,
        "objects": batch.objects,
        "records": batch.records,
        "superseded": batch.superseded,
        "quarantined": batch.quarantined,
    }
