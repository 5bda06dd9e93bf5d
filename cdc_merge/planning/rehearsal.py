"""Rehearses the next merge of a source: decodes what waits and judges it by the tables, and writes to none of them.

The statements that judge a batch and count it up are those of a merge. What they would write to are temporary tables
here, and so are tables that are not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from cdc_merge.batching import Waiting
from cdc_merge.clock import utc_now
from cdc_merge.errors import CdcMergeError, ObjectChanged, SchemaMoved, SourceStopped, StoreUnavailable
from cdc_merge.feed.discovery import Discovery
from cdc_merge.feed.store import open_store
from cdc_merge.layout import Layout
from cdc_merge.ledger import Counts, Ledger, SourceState
from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.migrate import Migrator
from cdc_merge.model import Kind, ObjectRef, Source
from cdc_merge.patience import patiently
from cdc_merge.preparing import FIRST_GUESS, Job, Prepared, Preparer
from cdc_merge.render import Name, Sql, name, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses import Session, Statement, Warehouse

_TEXT, _INTEGER, _TIMESTAMP = pa.string(), pa.int64(), pa.timestamp("us", "UTC")

# What a batch is counted up in.
_BOOKS = {
    "batches": {
        "batch_id": _TEXT,
        "source": _TEXT,
        "worker": _TEXT,
        "merged_at": _TIMESTAMP,
        "newest_change_at": _TIMESTAMP,
        **dict.fromkeys(("objects", "records", "applied", "superseded", "stale", "ignored", "quarantined"), _INTEGER),
    },
    "batch_targets": {
        "batch_id": _TEXT,
        "target": _TEXT,
        **dict.fromkeys(("inserted", "updated", "deleted"), _INTEGER),
    },
}
# What a batch is judged by, beside the targets.
_KNOWLEDGE = {
    "targets": {"source": _TEXT, "target": _TEXT, "floor_at": _TIMESTAMP},
    "tombstones": {
        **dict.fromkeys(("source", "partition_key", "sort_key", "position"), _TEXT),
        "changed_at": _TIMESTAMP,
        "upsert_position": _TEXT,
        "kept_position": _TEXT,
        "kept_at": _TIMESTAMP,
    },
    "history_events": dict.fromkeys(("source", "target", "partition_key", "sort_key", "position"), _TEXT),
}
_KEY_TYPES = {"S": _TEXT, "N": pa.float64(), "B": pa.binary()}  # of an empty table: they need only be comparable


@dataclass(frozen=True)
class Rehearsal:
    """What merging the first objects that wait would come to: so many objects and bytes, as stored.

    `counts` None: it cannot be told; `trouble` and its `cure` say why.
    """

    objects: int
    bytes: int
    counts: Counts | None
    trouble: str | None = None
    cure: str | None = None

    def as_dict(self) -> dict[str, object]:
        return {
            **(self.counts.as_dict() if self.counts else {}),
            "objects": self.objects,
            "bytes": self.bytes,
            "trouble": self.trouble,
            "cure": self.cure,
        }


class Rehearser:
    """Rehearses batches as large as the sources allow. Takes no lease; workers merge meanwhile as they will."""

    def __init__(self, warehouse: Warehouse, layout: Layout, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._warehouse = warehouse
        self._layout = layout
        self._clock = clock
        self._ledger = Ledger(layout.metadata, warehouse.dialect)

    def rehearse(self, source: Source) -> Rehearsal:
        """What the next batch of a source would do. Raises WarehouseUnavailable."""
        refs: tuple[ObjectRef, ...] = ()
        try:
            with self._warehouse.session() as session:
                is_empty = Migrator(self._warehouse, self._layout.metadata_schema).has_none(session)
            refs = self._next(source, is_empty=is_empty)
            if not refs:
                return Rehearsal(0, 0, Counts())
            counts = patiently(
                lambda: self._attempt(source, refs, is_empty=is_empty), source=source.name, again=SchemaMoved
            )
        except (SourceStopped, StoreUnavailable, ObjectChanged) as error:
            return _troubled(refs, error)
        return Rehearsal(len(refs), _bytes(refs), counts)

    def _next(self, source: Source, *, is_empty: bool) -> tuple[ObjectRef, ...]:
        """The objects that a worker would merge first."""
        store = open_store(source.changes)

        def is_merged(refs: Sequence[ObjectRef]) -> set[ObjectRef]:
            if is_empty:
                return set()
            with self._warehouse.session() as session:
                return self._ledger.merged(session, source.name, store.bucket, refs)

        return Waiting(Discovery(store, is_merged, self._clock).full(), source.batch).take(inflation=FIRST_GUESS)

    def _attempt(self, source: Source, refs: tuple[ObjectRef, ...], *, is_empty: bool) -> Counts:
        """`is_empty`: there are no metadata tables, so nothing is known of any source."""
        pretended = _BOOKS | _KNOWLEDGE if is_empty else _BOOKS
        layout = replace(
            self._layout, metadata=self._layout.metadata | {table: _in_place_of(table) for table in pretended}
        )

        def read_state() -> SourceState:
            if is_empty:
                return SourceState()
            with self._warehouse.session() as session:
                return self._ledger.state(session, source.name, schema=layout.schema, targets=source.targets)

        preparer = Preparer(
            source=source,
            store=open_store(source.changes),
            dialect=self._warehouse.dialect,
            layout=layout,
            worker="",
            clock=self._clock,
            read_state=read_state,
        )
        with preparer.prepare(Job(refs)) as prepared, self._warehouse.session() as session:
            for table, columns in pretended.items():
                _load_empty(session, _in_place_of(table), columns)
            session.run(
                [*([] if is_empty else [prepared.plan.hold_schemas(source.name)]), *self._judge(session, prepared)]
            )
            counts = Ledger(layout.metadata, self._warehouse.dialect).counts(session, prepared.batch.id)
        assert counts
        return counts

    def _judge(self, session: Session, prepared: Prepared) -> list[Statement]:
        """Loads what is needed, and plans the statements that resolve the batch and count it up."""
        plan, batch = prepared.plan, prepared.batch
        if prepared.key_tags is None:
            return [plan.record_empty(batch)]
        session.load("_cdc_keys", prepared.workbench.reader("FROM stage_keys"))
        targets, views = [], []
        for target, book in zip(plan.targets, prepared.books, strict=True):
            found = _as_found(target, book)
            if book.stored is None:
                _load_empty(session, found.table, _columns_of(book, prepared.key_tags))
            elif found is not target:
                views.append(Statement(f"see {target.label}", self._unmarked(found.table, target.table)))
            targets.append(found)
        return [*views, *plan.guard.resolve(batch.source, targets), *plan.count_up(batch, targets)]

    def _unmarked(self, view: Name, table: Name) -> str:
        dialect = self._warehouse.dialect
        return render(
            "planning/sql/unmarked.sql",
            dialect,
            view=view,
            table=table,
            row_address=Sql(dialect.row_address) if dialect.row_address else None,
            timestamp=Sql(dialect.types[Kind.TIMESTAMP]),
        )


def _as_found(target: PlannedTarget, book: SchemaBook) -> PlannedTarget:
    """The target with something in the place of its table, where that is not there or not yet as it is to be."""
    if book.stored is None or (target.is_soft and not book.stored.has_deleted_at):
        return replace(target, table=_in_place_of(f"target_{target.number}"))
    return target


def _in_place_of(table: str) -> Name:
    return name(f"_cdc_in_place_of_{table}")


def _columns_of(book: SchemaBook, key_tags: Sequence[str]) -> dict[str, pa.DataType]:
    keys = {column: _KEY_TYPES[tag] for column, tag in zip(book.schema.key_names, key_tags, strict=True)}
    return {**keys, "_cdc_position": _TEXT, "_cdc_changed_at": _TIMESTAMP, "_cdc_deleted_at": _TIMESTAMP}


def _load_empty(session: Session, table: Name, columns: dict[str, pa.DataType]) -> None:
    session.load(table.parts[0], pa.schema(columns.items()).empty_table().to_reader())


def _bytes(refs: Sequence[ObjectRef]) -> int:
    return sum(ref.size for ref in refs)


def _troubled(refs: Sequence[ObjectRef], error: CdcMergeError) -> Rehearsal:
    message = f"{error.where}: {error.message}" if error.where else error.message
    return Rehearsal(len(refs), _bytes(refs), None, message, error.hint)
