"""Reconciles a source: find the items → decode them → one transaction that compares, repairs and raises the floor."""

from __future__ import annotations

import random
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cdc_merge.clock import utc_now
from cdc_merge.errors import (
    CdcMergeError,
    LeaseLost,
    MissingMetadata,
    SchemaMoved,
    SourceStopped,
    StoreUnavailable,
    Transient,
    UsageError,
    WarehouseRefused,
    WarehouseUnavailable,
)
from cdc_merge.exports.finder import find_export
from cdc_merge.layout import layout_of
from cdc_merge.lease import LEASE_SECONDS, Lease, Leases, worker_name
from cdc_merge.ledger import Ledger, SourceState
from cdc_merge.logs import get_logger
from cdc_merge.merge.plan import Layout, MergePlan
from cdc_merge.merge.schema import SchemaBook
from cdc_merge.merge.tables import Inspector
from cdc_merge.migrate import Migrator
from cdc_merge.model import Settings, Source
from cdc_merge.reconcile import swap
from cdc_merge.reconcile.inputs import items_of, requested_items, scanned_items
from cdc_merge.reconcile.limits import SafetyLimits
from cdc_merge.reconcile.plan import CopiesFound, DryRunOver, Findings, Limits, ReconcilePlan, Undertaking
from cdc_merge.reconcile.rebuild import RebuildPlan, know_stored, open_new_books, plan_changes, refuse_partial
from cdc_merge.reconcile.refill import Refill
from cdc_merge.reconcile.report import Method, Report
from cdc_merge.reconcile.snapshot import Items, Progress, Snapshot, take_snapshot
from cdc_merge.staging import misfit_rows
from cdc_merge.stopping import Stop, Stopping
from cdc_merge.warehouses import Row, Session, Statement, Warehouse, open_warehouse

_TRIES = 9  # about a minute of backing off: a file or a row may be kept by a long merge
_LONGEST_WAIT_SECONDS = 15.0

Result = TypeVar("Result")

log = get_logger("cdc_merge.reconcile")

Turn = Callable[[], AbstractContextManager[Statement]]
"""Open while the transaction runs; gives the statement that opens it. What it raises ends the reconcile."""


class _Committed(Exception):
    """A try before this one did commit, though it never learned it."""


@dataclass(frozen=True)
class _Prepared:
    """What a try works with: the state it was read at, the books and the decoded items."""

    state: SourceState
    books: list[SchemaBook]
    snapshot: Snapshot
    plan: ReconcilePlan
    setup: list[Statement]
    make: list[Statement]


class Reconciler:
    """Compares the targets of a source with an export, and repairs them, while workers go on merging."""

    def __init__(
        self,
        settings: Settings,
        *,
        warehouse: Warehouse | None = None,
        stop: Stop | None = None,
        clock: Callable[[], datetime] = utc_now,
        migrate: bool = True,
        progress: Progress = lambda _read, _all: None,
    ) -> None:
        """`warehouse`: one that is open already and stays so; `progress`: told bytes read and in all, as stored.

        Raises UsageError for an unknown warehouse scheme.
        """
        self._settings = settings
        self._owns_warehouse = warehouse is None
        self._warehouse = warehouse or open_warehouse(settings.warehouse)
        self._stop = stop or Stop()
        if self._owns_warehouse:
            self._stop.when_overdue(self._warehouse.interrupt)
        self._clock = clock
        self._migrate = migrate
        self._progress = progress
        self._layout: Layout = layout_of(settings, self._warehouse)
        self._ledger = Ledger(self._layout.metadata, self._warehouse.dialect)
        self._leases = Leases(self._layout.metadata, self._warehouse.dialect, ttl=LEASE_SECONDS, holder=worker_name())

    def reconcile(
        self,
        source: str,
        export: str | None = None,
        *,
        dry_run: bool = False,
        force: bool = False,
        rebuild: bool = False,
    ) -> Report:
        """Reconcile a source with an export: a path, a URL, an id or an ARN; by default the newest full one.

        `rebuild`: fill new tables, with the columns that the configuration asks for now, and put them in the place of
        the old ones; changes since then are merged once more where they are needed.

        Raises Refused when a safety limit says no (nothing was touched), UsageError for an unknown source or export,
        and the errors of stores and warehouses.
        """
        mine = self._source(source)
        self._prepare(dry_run=dry_run)
        table = self._table(mine)
        items = items_of(find_export(mine.exports, export, source=mine.name, table=table))
        return self.reconcile_with(mine, items, dry_run=dry_run, force=force, rebuild=rebuild)

    def reconcile_requested(
        self,
        source: str,
        *,
        dry_run: bool = False,
        force: bool = False,
        rebuild: bool = False,
        progress: Callable[[str, str], None] = lambda _arn, _status: None,
    ) -> Report:
        """Ask DynamoDB for an export, wait until it is there, and reconcile with it.

        `progress`: told the export's ARN and status each time it is looked at. Raises as `reconcile` does, and
        UsageError where the table or the place to export to is not known.
        """
        mine = self._source(source)
        self._prepare(dry_run=dry_run)
        items = requested_items(mine, self._known_table(mine), wait=self._wait, progress=progress)
        return self.reconcile_with(mine, items, dry_run=dry_run, force=force, rebuild=rebuild)

    def reconcile_scanned(
        self,
        source: str,
        *,
        rate: float | None,
        dry_run: bool = False,
        force: bool = False,
        rebuild: bool = False,
        progress: Callable[[int], None] = lambda _items: None,
    ) -> Report:
        """Scan the table, at most `rate` read capacity units a second, and reconcile as of the scan's beginning.

        `progress`: told how many items were read. Raises as `reconcile_requested` does.
        """
        mine = self._source(source)
        self._prepare(dry_run=dry_run)
        table = self._known_table(mine)
        with tempfile.TemporaryDirectory(prefix="cdc-merge-") as folder:
            items = scanned_items(
                mine,
                table,
                Path(folder),
                rate=rate,
                clock=self._clock,
                check=self._stop.check,
                progress=progress,
            )
            return self.reconcile_with(mine, items, dry_run=dry_run, force=force, rebuild=rebuild)

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._stop.check()

    def _table(self, source: Source) -> str | None:
        """The source's DynamoDB table, as the configuration, its records or an earlier export say."""
        if source.table:
            return source.table
        return self._state(source).table_arn

    def _state(self, source: Source) -> SourceState:
        def read() -> SourceState:
            with self._warehouse.session() as session:
                return self._ledger.state(session, source.name, schema=self._layout.schema)

        return self._persist(read, source.name)

    def _known_table(self, source: Source) -> str:
        if table := self._table(source):
            return table
        raise UsageError(
            "it is not known which DynamoDB table this is",
            where=f"source {source.name}",
            hint="set the source's `table` to the table's name or ARN",
        )

    def reconcile_with(
        self,
        source: Source,
        items: Items,
        *,
        dry_run: bool = False,
        force: bool = False,
        rebuild: bool = False,
        turn: Turn | None = None,
    ) -> Report:
        """Reconcile with items from anywhere. `turn`: opens the transaction, for a caller that holds the lease."""
        if rebuild:
            refuse_partial(items)
        self._prepare(dry_run=dry_run)

        def attempt() -> Report:
            return self._attempt(source, items, dry_run=dry_run, force=force, rebuild=rebuild, turn=turn)

        # What is transient is tried again where it happens; moved columns ask for another decoding.
        return self._persist(attempt, source.name, again=SchemaMoved)

    def _persist(
        self,
        work: Callable[[], Result],
        source: str,
        *,
        again: type[Transient] = Transient,
        never: type[Transient] | None = None,
    ) -> Result:
        """Do work that may fail in passing: `again` is tried anew, except for its kind `never`."""
        for attempt in range(1, _TRIES + 1):
            try:
                return work()
            except again as error:
                if attempt == _TRIES or (never and isinstance(error, never)):
                    raise
                log.warning("will_retry", source=source, error=str(error), kind=type(error).__name__)
                self._wait(min(_LONGEST_WAIT_SECONDS, 0.25 * 2.0**attempt) * (0.5 + random.random() / 2))
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Close the connection, if it was opened here."""
        if self._owns_warehouse:
            self._warehouse.close()

    def _source(self, name: str) -> Source:
        for source in self._settings.sources:
            if source.name == name:
                return source
        names = ", ".join(s.name for s in self._settings.sources)
        raise UsageError(f"no source is named {name!r}", hint=f"the configuration has: {names}")

    def _prepare(self, *, dry_run: bool) -> None:
        migrator = Migrator(self._warehouse, self._layout.metadata_schema)

        if dry_run and not self._warehouse.is_there():
            raise MissingMetadata(
                "there is no warehouse yet to compare anything with",
                where=self._warehouse.name,
                hint="cdc-merge migrate, or: cdc-merge reconcile without --dry-run",
            )

        def prepare() -> None:
            with self._warehouse.session() as session:
                if self._migrate and not dry_run:
                    migrator.apply(session)
                else:
                    migrator.require(session)

        self._persist(prepare, "all")

    def _attempt(
        self, source: Source, items: Items, *, dry_run: bool, force: bool, rebuild: bool, turn: Turn | None
    ) -> Report:
        started_at = self._clock()
        limits = SafetyLimits(source, items, force=force, dry_run=dry_run)
        with tempfile.TemporaryDirectory(prefix="cdc-merge-") as folder:
            state = self._state(source)
            limits.judge_items(now=self._clock(), known_arn=state.table_arn)
            limits.judge_floors(state.floors)
            table_arn = None if limits.is_of_another_table else items.table_arn

            def take() -> _Prepared:
                own = Path(tempfile.mkdtemp(dir=folder))  # what a try left half done is in the way of the next
                return self._take(source, items, state, own, table_arn=table_arn, rebuild=rebuild)

            prepared = self._persist(take, source.name, again=StoreUnavailable)
            limits.judge_count(prepared.snapshot.items)
            limits.judge_key(is_known=state.key_tags is not None, count=prepared.snapshot.items)
            undertaking = Undertaking(
                id=uuid.uuid4().hex,
                source=source.name,
                export=items.label,
                method=Method.REBUILD if rebuild else items.method,
                as_of=items.as_of,
                floor=limits.floor,
                items=prepared.snapshot.items,
                unusable=sum(prepared.snapshot.unusable.values()),
                worker=worker_name(),
                started_at=started_at,
            )

            tried: list[Findings] = []

            def carry_out() -> Findings:
                return self._carry_out(prepared, undertaking, limits, tried, dry_run=dry_run, turn=turn)

            findings = self._persist(carry_out, source.name, never=SchemaMoved)
        notes = [*limits.notes, *findings.notes]
        if findings.replay_from:
            notes.append(self._replay(source, findings.replay_from, dry_run=dry_run))
        report = Report(
            source=source.name,
            export=items.label,
            method=undertaking.method,
            as_of=items.as_of,
            floor=limits.floor,
            items=prepared.snapshot.items,
            targets=findings.targets,
            is_dry_run=dry_run,
            tombstones_collected=findings.collected,
            unusable=prepared.snapshot.unusable,
            overridden=tuple(findings.overridden),
            notes=tuple(notes),
        )
        log.info("reconciled", source=source.name, export=items.label, drifted=report.drifted, dry_run=dry_run)
        return report

    def _take(
        self, source: Source, items: Items, state: SourceState, folder: Path, *, table_arn: str | None, rebuild: bool
    ) -> _Prepared:
        dialect = self._warehouse.dialect
        there = Inspector(dialect, self._layout.schema, state.schemas, state.columns, state.key_tags)
        books = open_new_books(source, dialect, state.schemas) if rebuild else there.open_books(source)
        snapshot = take_snapshot(
            items,
            folder,
            source=source,
            key_tags=state.key_tags,
            books=books,
            dialect=dialect,
            check=self._stop.check,
            progress=self._progress,
        )
        if rebuild:
            books = know_stored(books, there)
        merge = MergePlan(dialect, self._layout, books, snapshot.key_tags, removed=there.left_behind(source))
        make: list[Statement] = []
        if state.key_tags is None:
            make.append(merge.record_source(source.name, source.ordering, table_arn=table_arn))
        elif state.table_arn is None and table_arn:
            make.append(merge.record_table(source.name, table_arn))
        if rebuild:
            changes = plan_changes(merge, books, there, self._layout, snapshot.key_tags)
            # The floor, and once more the margin: the clocks of the store and of the stream may differ.
            since = items.as_of - 2 * timedelta(seconds=source.reconcile.margin)
            is_fed = state.ordering is not None
            plan: ReconcilePlan = RebuildPlan(merge, books, dialect, changes, replay_from=since, is_fed=is_fed)
        else:
            plan = ReconcilePlan(merge, books, dialect, is_partial=items.since is not None)
        setup = [merge.hold_schemas(source.name), *plan.prepare(schema_exists=state.schema_exists)]
        make += plan.create(schema_exists=state.schema_exists)
        make += merge.record_schema(source.name)
        make += merge.record_export_misfits(
            source.name, self._clock(), misfits=bool(snapshot.misfits), is_rebuild=rebuild
        )
        return _Prepared(state, books, snapshot, plan, setup, make)

    def _carry_out(
        self,
        prepared: _Prepared,
        undertaking: Undertaking,
        limits: SafetyLimits,
        tried: list[Findings],
        *,
        dry_run: bool,
        turn: Turn | None,
    ) -> Findings:
        """`tried`: what tries found that lost the warehouse, perhaps at their COMMIT."""
        tables = {"_cdc_keys": "keys"} | {f"_cdc_rows_{i}": f"rows_{i}" for i in range(len(prepared.books))}
        heal_copies = False
        while True:
            findings = Findings(overridden=list(limits.overridden))
            statements = prepared.plan.statements(
                undertaking,
                Limits(limits.judge_floors, limits.judge_deletes, limits.judge_unseen),
                findings,
                clock=self._clock,
                setup=prepared.setup,
                make=prepared.make,
                heal_copies=heal_copies,
                dry_run=dry_run,
            )
            with self._warehouse.session() as session:
                session.stage(prepared.snapshot.path, tables)
                if misfits := prepared.snapshot.misfits:
                    session.load("_cdc_misfits", misfit_rows(misfits).to_reader())
                self._stop.check()
                try:
                    with self._lock(session, undertaking.source, dry_run=dry_run, turn=turn) as first:
                        books = [self._look_into_books(undertaking)] if tried else []
                        session.run(_chain([*first, *books], statements))
                    return findings
                except DryRunOver:
                    return findings
                except _Committed:
                    return tried[-1]
                except CopiesFound:
                    if heal_copies:  # then it is the export that has a key twice, which was looked for
                        raise
                    heal_copies = True
                except WarehouseRefused as error:
                    if refusal := swap.refusal_of(error):
                        for view in findings.bound:  # else the catalog would tell of columns that never came
                            with suppress(WarehouseRefused):
                                session.query(view.sql)
                        raise refusal from error
                    raise
                except WarehouseUnavailable:
                    # A connection that breaks at COMMIT leaves in doubt what happened. The books tell: the next try
                    # looks into them under the lock, for the server may still be at work on the COMMIT.
                    tried.append(findings)
                    raise

    def _replay(self, source: Source, since: datetime, *, dry_run: bool) -> str:
        """Merge what was written since once more; says so."""
        if dry_run:
            return f"the objects written since {since.isoformat()} would be merged once more"
        refill = Refill(
            source,
            since,
            warehouse=self._warehouse,
            layout=self._layout,
            leases=self._leases,
            clock=self._clock,
            check=self._stop.check,
        )
        try:
            counts = self._persist(refill.run, source.name)
        except (Transient, SourceStopped, Stopping) as error:
            raise CdcMergeError(
                f"the tables are rebuilt, but newer changes are not all merged once more: {str(error) or 'stopped'}",
                where=f"source {source.name}",
                hint=f"cdc-merge replay --source {source.name} --from {since.strftime('%Y-%m-%dT%H:%M:%SZ')}",
            ) from error
        return f"{counts.objects:,} objects written since {since.isoformat()} were merged once more"

    def _look_into_books(self, undertaking: Undertaking) -> Statement:
        def look(rows: Sequence[Row]) -> None:
            if rows:
                raise _Committed

        return Statement("look into the books", self._ledger.reconciled(undertaking.id), inspect=look)

    @contextmanager
    def _lock(self, session: Session, source: str, *, dry_run: bool, turn: Turn | None) -> Iterator[list[Statement]]:
        """What opens the transaction, so that no merge of the source runs beside it."""
        if dry_run:
            # A lock is written, too. Instead it sees but one moment, for a merge in between would look like drift.
            sql = self._warehouse.dialect.one_moment
            yield [Statement("see one moment", sql)] if sql else []
            return
        if turn:
            with turn() as fence:
                yield [fence]
            return
        lease: Lease | None = self._leases.acquire(session, source)
        if lease is None:
            yield [self._leases.lock(source)]
            return
        try:
            yield [self._leases.fence(lease)]
        finally:
            self._give_back(session, lease)

    def _give_back(self, session: Session, lease: Lease) -> None:
        try:
            self._leases.release(session, lease)
        except (LeaseLost, WarehouseUnavailable):  # the connection is what broke: over another one
            try:
                with self._warehouse.session() as another:
                    self._leases.release(another, lease)
            except (LeaseLost, WarehouseUnavailable) as error:
                log.warning("lease_not_released", source=lease.source, error=str(error))


def _chain(first: Sequence[Statement], rest: Iterator[Statement]) -> Iterator[Statement]:
    yield from first
    yield from rest


__all__ = ["Reconciler", "Turn"]
