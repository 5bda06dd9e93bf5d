"""Plans the merge of one staged batch: labelled statements, as data, that a warehouse runs in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cdc_merge.errors import SchemaMoved
from cdc_merge.merge.schema import SchemaBook, TargetSchema, key_column_type
from cdc_merge.model import ColumnType, Deletes, Expired, Kind, Ordering
from cdc_merge.names import history_table
from cdc_merge.render import Name, Sql, name, render
from cdc_merge.warehouses import Dialect, Row, Statement


@dataclass(frozen=True)
class KeyColumn:
    """A key column in a statement: `staged` and `resolved` are its value in stage_keys and in resolved."""

    name: Name
    type: Sql
    staged: Sql
    resolved: Sql


@dataclass(frozen=True)
class ValueColumn:
    name: Name
    type: Sql
    staged: Sql


@dataclass(frozen=True)
class PlannedTarget:
    """A target as the templates see it. `number` is its place among the source's tables."""

    number: int
    label: str
    table: Name
    keys: tuple[KeyColumn, ...]
    columns: tuple[ValueColumn, ...]
    is_each: bool = False  # its rows are elements of items: many of one key
    history: Name | None = None
    deletes: Deletes = Deletes.HARD
    expired: Expired = Expired.DELETE
    has_deleted_at: bool = False  # its table has the column, whatever `deletes` says now

    @property
    def is_picked(self) -> bool:
        """Whether the newest change of a key need not be the one that counts: then it has columns of its own."""
        return self.deletes is not Deletes.HARD or self.expired is not Expired.DELETE

    @property
    def is_soft(self) -> bool:
        return self.deletes is Deletes.SOFT

    @property
    def spares_extra(self) -> bool:
        """Whether a row may stay though its item is gone, so that an export which lacks it proves nothing."""
        return self.deletes is Deletes.IGNORE or self.expired is Expired.KEEP

    @property
    def suffix(self) -> Sql:
        """What the columns of the change that counts end with: n, position, changed_at."""
        return Sql(f"_{self.number}" if self.is_picked else "")

    @property
    def left(self) -> Sql:
        """The position of the newest change that can end a row."""
        return Sql("position" if self.expired is Expired.DELETE else "kept_position")

    @property
    def left_at(self) -> Sql:
        return Sql("changed_at" if self.expired is Expired.DELETE else "kept_at")

    @property
    def tombstone(self) -> Sql:
        """What of a tombstone counts."""
        if self.deletes is Deletes.IGNORE:
            return Sql("tombstone_upsert")
        return Sql("tombstone" if self.expired is Expired.DELETE else "tombstone_kept")

    @property
    def tombstone_at(self) -> Sql:
        return Sql("tombstone_at" if self.expired is Expired.DELETE else "tombstone_kept_at")


@dataclass(frozen=True)
class RemovedTarget:
    """A table that the configuration no longer has: its rows can show that a change is stale."""

    number: int
    table: Name
    keys: tuple[KeyColumn, ...]
    is_each: bool = False
    is_soft: bool = False  # nothing of it is marked any more


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


@dataclass(frozen=True)
class Layout:
    """Where things are in the warehouse."""

    schema: str
    metadata_schema: str
    metadata: dict[str, Name]


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
        self.targets = [self._planned(i, b) for i, b in enumerate(books)]
        self.removed = [
            RemovedTarget(number, name(layout.schema, table), self._keys(schema), schema.each is not None)
            for number, (table, schema) in enumerate(sorted((removed or {}).items()), start=len(books))
        ]

    def _planned(self, number: int, book: SchemaBook) -> PlannedTarget:
        return PlannedTarget(
            number=number,
            label=book.target.table,
            table=name(self._layout.schema, book.target.table),
            keys=self._keys(book.schema),
            is_each=book.schema.each is not None,
            history=name(self._layout.schema, history_table(book.target.table)) if book.target.has_history else None,
            deletes=book.target.deletes,
            expired=book.target.expired,
            has_deleted_at=book.schema.has_deleted_at,
            columns=tuple(
                ValueColumn(
                    name(c.name),
                    self._type(c.type),
                    Sql(f"CAST(s.c{i} AS {self._dialect.type_name(c.type)})"),
                )
                for i, c in enumerate(book.schema.columns)
            ),
        )

    def _keys(self, schema: TargetSchema) -> tuple[KeyColumn, ...]:
        parts = zip(schema.key_names, self._key_tags, ("partition_key", "sort_key"), strict=False)
        return tuple(self._key(column, tag, staged) for column, tag, staged in parts)

    def _key(self, column: str, tag: str, staged: str) -> KeyColumn:
        column_type = key_column_type(tag)
        if column_type.kind is Kind.BINARY:
            form = self._dialect.decode_base64
        elif column_type.kind is Kind.TEXT:
            form = "{}"
        else:
            form = "CAST({} AS " + self._dialect.type_name(column_type) + ")"
        return KeyColumn(
            name(column),
            self._type(column_type),
            Sql(form.format(f"s.{staged}")),
            Sql(form.format(f"r.{staged}")),
        )

    def _type(self, column_type: ColumnType) -> Sql:
        text = self._dialect.type_name(column_type)
        if column_type.kind is Kind.TEXT:
            text = f"{text} {self._dialect.byte_order}".strip()
        return Sql(text)

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
                "row_address": Sql(self._dialect.row_address),
                "is_picked": any(t.is_picked for t in self.targets),
                "metadata_json": Sql(self._dialect.metadata_json),
                **values,
            },
        )

    def ddl(self, *, schema_exists: bool) -> list[Statement]:
        """What must be created or altered before rows can go in.

        A schema that is there is not asked for: Postgres wants the right to create it even so.
        """
        statements: list[Statement] = []
        if not schema_exists and any(b.stored is None for b in self._books):
            statements.append(self.create_schema())
        for book, target in zip(self._books, self.targets, strict=True):
            if book.stored is None:
                statements.append(self.create_target(target))
                continue
            if book.schema.has_deleted_at and not book.stored.has_deleted_at:
                timestamp = Sql(self._dialect.types[Kind.TIMESTAMP])
                sql = self.render("merge/sql/add_deleted_at", target=target, timestamp=timestamp)
                statements.append(Statement(f"add {target.label}._cdc_deleted_at", sql))
            added = {c.name for c in book.new_columns}
            for column in target.columns:
                if column.name.parts[0] in added:
                    sql = self.render("merge/sql/add_column", target=target, column=column)
                    statements.append(Statement(f"add {target.label}.{column.name.parts[0]}", sql))
        return [*statements, *self.history_ddl()]

    def history_ddl(self) -> list[Statement]:
        """What must be created or altered of histories."""
        statements: list[Statement] = []
        for book, target in zip(self._books, self.targets, strict=True):
            if target.history is None:
                continue
            label = target.history.parts[-1]
            if book.history is None:
                statements.append(Statement(f"create {label}", self._create("merge/sql/create_history", target)))
                if self._dialect.indexes_key:
                    sql = self.render("merge/sql/index_history", target=target)
                    statements.append(Statement(f"index {label}", sql))
                continue
            lacking = {c.name for c in book.history_lacks}
            for column in target.columns:
                if column.name.parts[0] in lacking:
                    kept = replace(target, table=target.history)
                    sql = self.render("merge/sql/add_column", target=kept, column=column)
                    statements.append(Statement(f"add {label}.{column.name.parts[0]}", sql))
        return statements

    def create_schema(self) -> Statement:
        """The schema of the targets."""
        return Statement("create schema", f"CREATE SCHEMA IF NOT EXISTS {self._dialect.quote(self._layout.schema)}")

    def create_target(self, target: PlannedTarget) -> Statement:
        """An empty table, called as `target.table` says, with all columns that the target's book has by now."""
        return Statement(f"create {target.label}", self._create("merge/sql/create_target", target))

    def _create(self, template: str, target: PlannedTarget) -> str:
        return self.render(
            template,
            target=target,
            columns=_as_asked(self._books[target.number], target.columns),
            position_type=Sql(f"{self._dialect.types[Kind.TEXT]} {self._dialect.byte_order}".strip()),
            timestamp=Sql(self._dialect.types[Kind.TIMESTAMP]),
            integer=Sql(self._dialect.types[Kind.INTEGER]),
            text=Sql(self._dialect.types[Kind.TEXT]),
        )

    def record_schema(self, source: str) -> list[Statement]:
        """The metadata rows of targets that are new or have new columns."""
        statements = []
        for book, target in zip(self._books, self.targets, strict=True):
            if book.grew:
                template = "merge/sql/record_target" if book.stored is None else "merge/sql/update_target"
                sql = self.render(template, target=target, source=source, columns=book.schema.to_json())
                statements.append(Statement(f"record columns of {target.label}", sql))
        return statements

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
        return [*statements, Statement("record objects", sql)]

    def release_quarantine(self, ids: Sequence[str]) -> Statement:
        return Statement("release quarantine", self.render("merge/sql/release_quarantine", ids=list(ids)))

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

    def merge(self, batch: Batch) -> list[Statement]:
        """Guard, delete, insert, tombstones and books, from the staging tables."""
        source = batch.source
        statements = [
            Statement("drop resolved", "DROP TABLE IF EXISTS _cdc_resolved"),
            Statement("resolve", self.render("merge/sql/resolve", source=source)),
        ]
        if self._dialect.analyze_staging:
            statements.append(Statement("analyze resolved", "ANALYZE _cdc_resolved"))
        for target in self.targets:
            statements.append(
                Statement(f"delete from {target.label}", self.render("merge/sql/delete_rows", target=target))
            )
            if not self._dialect.indexes_key and not target.is_each:
                sql = self.render("merge/sql/delete_copies", target=target)
                statements.append(Statement(f"delete copies from {target.label}", sql))
            sql = self.render("merge/sql/insert_rows", target=target, merged_at=batch.merged_at)
            statements.append(Statement(f"insert into {target.label}", sql))
            if target.is_soft:
                sql = self.render("merge/sql/mark_rows", target=target, merged_at=batch.merged_at)
                statements.append(Statement(f"mark rows of {target.label}", sql))
        delete, insert, record = "delete_tombstones", "insert_tombstones", "record_batch"
        if any(t.is_picked for t in self.targets):
            delete, insert, record = "delete_raised", "insert_raised", "record_outcomes"
        statements += [
            Statement("delete tombstones", self.render(f"merge/sql/{delete}", source=source)),
            Statement("insert tombstones", self.render(f"merge/sql/{insert}", source=source)),
            *self._record_history(batch),
            Statement("record batch", self.render(f"merge/sql/{record}", **_books(batch))),
        ]
        for target in self.targets:
            sql = self.render("merge/sql/record_batch_target", target=target, batch_id=batch.id)
            statements.append(Statement(f"record {target.label}", sql))
        return statements

    def _record_history(self, batch: Batch) -> list[Statement]:
        """Every change of the batch into the histories, where there are any."""
        targets = [t for t in self.targets if t.history]
        if not targets:
            return []
        source = batch.source
        statements = [
            Statement("leave out forgotten", self.render("merge/sql/history_leave_out", source=source)),
            Statement("record events", self.render("merge/sql/history_events", source=source)),
        ]
        for target in targets:
            sql = self.render("merge/sql/history_versions", target=target, merged_at=batch.merged_at)
            statements.append(Statement(f"insert versions of {target.label}", sql))
            touched = "SELECT DISTINCT s.partition_key, s.sort_key FROM _cdc_events AS s"
            statements += self.order_history(target, source=source, touched=touched, merged_at=batch.merged_at)
        return statements

    def order_history(
        self, target: PlannedTarget, *, source: str, touched: str, merged_at: datetime
    ) -> list[Statement]:
        """From when to when each version of the touched keys is valid. `touched`: a query of their texts."""
        label, timeline = target.label, f"_cdc_timeline_{target.number}"
        order = self.render("merge/sql/history_timeline", target=target, source=source, touched=Sql(touched))
        statements = [
            Statement(f"drop timeline of {label}", f"DROP TABLE IF EXISTS {timeline}"),
            Statement(f"order history of {label}", order),
        ]
        if self._dialect.analyze_staging:
            statements.append(Statement(f"analyze timeline of {label}", f"ANALYZE {timeline}"))
        steps = {"history_close": "close versions", "history_reopen": "reopen versions", "history_ends": "insert ends"}
        for template, what in steps.items():
            sql = self.render(f"merge/sql/{template}", target=target, merged_at=merged_at)
            statements.append(Statement(f"{what} of {label}", sql))
        return statements


def _as_asked(book: SchemaBook, columns: Sequence[ValueColumn]) -> list[ValueColumn]:
    """A new table's columns in the configuration's order, whenever their types became known."""
    places = {c.name: place for place, c in enumerate(book.target.columns or ())}
    return sorted(columns, key=lambda c: places.get(c.name.parts[0], len(places)))


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
