"""Prepares a reconcile: items become staged rows, and a plan of what to do with them."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cdc_merge.layout import Layout
from cdc_merge.ledger import SourceState
from cdc_merge.merge.plan import MergePlan
from cdc_merge.model import Source
from cdc_merge.reconcile.copying import CopiedTable, Copying
from cdc_merge.reconcile.plan import ReconcilePlan
from cdc_merge.reconcile.rebuild import RebuildPlan
from cdc_merge.reconcile.replacing import know_stored, open_new_books, plan_changes
from cdc_merge.reconcile.snapshot import Items, Progress, Snapshot, take_snapshot
from cdc_merge.reconcile.transaction import Prepared
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.tables import Inspector
from cdc_merge.warehouses import Dialect, Session, Statement, Warehouse


@dataclass(frozen=True)
class Preparation:
    """What a source's items are prepared with, as its `state` was when the reconcile began.

    `table_arn`: of the items' table, if it is the source's. `folder`: for files, until the reconcile is over.
    `check` and `wait` may raise to stop.
    """

    source: Source
    items: Items
    state: SourceState
    _: KW_ONLY
    warehouse: Warehouse
    layout: Layout
    table_arn: str | None
    folder: Path
    clock: Callable[[], datetime]
    check: Callable[[], None]
    wait: Callable[[float], None]
    progress: Progress

    def take(self, *, rebuild: bool) -> Prepared:
        """Decode the items' files."""
        there = self._look()
        books = open_new_books(self.source, there) if rebuild else there.open_books(self.source)
        snapshot = take_snapshot(
            self.items,
            self._own_folder(),
            source=self.source,
            key_tags=self.state.key_tags,
            books=books,
            dialect=self._dialect,
            check=self.check,
            progress=self.progress,
        )
        if rebuild:
            books = know_stored(books, there, mark=uuid.uuid4().hex[:12])
        return self._plan(there, books, snapshot, rebuild=rebuild)

    def copy(self, table: CopiedTable, session: Session) -> Prepared:
        """Let the warehouse copy the table, for this session alone."""
        there = self._look()
        books = there.open_books(self.source)
        copying = Copying(table, self.source, self._dialect, check=self.check, wait=self.wait)
        taken = copying.take(
            session, self._own_folder(), books=books, schema=self.layout.schema, known=self.state.key_tags
        )
        return replace(self._plan(there, books, taken.snapshot, rebuild=False), filling=taken.filling)

    @property
    def _dialect(self) -> Dialect:
        return self.warehouse.dialect

    def _look(self) -> Inspector:
        return self.state.inspector(self._dialect, self.layout.schema)

    def _own_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))  # what a try left half done is in the way of the next

    def _plan(self, there: Inspector, books: Sequence[SchemaBook], snapshot: Snapshot, *, rebuild: bool) -> Prepared:
        source, state, dialect = self.source, self.state, self._dialect
        merge = MergePlan(dialect, self.layout, books, snapshot.key_tags, removed=there.left_behind(source))
        make: list[Statement] = []
        if state.key_tags is None:
            make.append(merge.record_source(source.name, source.ordering, table_arn=self.table_arn))
        elif state.table_arn is None and self.table_arn:
            make.append(merge.record_table(source.name, self.table_arn))
        if rebuild:
            changes = plan_changes(merge, books, there, self.layout, snapshot.key_tags)
            # The floor, and once more the margin: the clocks of the store and of the stream may differ.
            since = self.items.as_of - 2 * timedelta(seconds=source.reconcile.margin)
            is_fed = state.ordering is not None
            plan: ReconcilePlan = RebuildPlan(merge, books, dialect, changes, replay_from=since, is_fed=is_fed)
        else:
            plan = ReconcilePlan(merge, books, dialect, is_partial=self.items.since is not None)
        setup = [merge.hold_schemas(source.name), *plan.prepare(schema_exists=state.schema_exists)]
        make += plan.create(schema_exists=state.schema_exists)
        make += merge.record_schema(source.name)
        make += merge.record_export_misfits(
            source.name, self.clock(), misfits=bool(snapshot.misfits), is_rebuild=rebuild
        )
        return Prepared(snapshot, len(books), plan, setup, make)


__all__ = ["Preparation"]
