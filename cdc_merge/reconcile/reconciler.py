"""Reconciles a source: find the items → decode them → one transaction that compares, repairs and raises the floor."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self

from cdc_merge.clock import utc_now
from cdc_merge.errors import (
    CdcMergeError,
    MissingMetadata,
    SchemaMoved,
    SourceStopped,
    StoreUnavailable,
    Transient,
    UsageError,
)
from cdc_merge.exports.finder import find_export
from cdc_merge.lease import worker_name
from cdc_merge.ledger import SourceState
from cdc_merge.logs import get_logger
from cdc_merge.migrate import Migrator
from cdc_merge.model import Settings, Source
from cdc_merge.open_warehouse import OpenWarehouse
from cdc_merge.patience import patiently
from cdc_merge.reconcile.copyable import refuse_engine as refuse_no_copies
from cdc_merge.reconcile.copying import NOT_COPIED, CopiedTable, look_at_table
from cdc_merge.reconcile.findings import Undertaking
from cdc_merge.reconcile.inputs import items_of, requested_items, scanned_items
from cdc_merge.reconcile.limits import SafetyLimits
from cdc_merge.reconcile.preparation import Preparation
from cdc_merge.reconcile.rebuild import refuse_partial
from cdc_merge.reconcile.refill import Refill
from cdc_merge.reconcile.report import Method, Report
from cdc_merge.reconcile.snapshot import Items, Progress
from cdc_merge.reconcile.transaction import Prepare, Prepared, Transaction, Turn
from cdc_merge.reconcile.way import REPAIR, Way
from cdc_merge.scratch import scratch_folder
from cdc_merge.stopping import Stop, Stopping
from cdc_merge.warehouses import Session, Warehouse
from cdc_merge.words import count

log = get_logger("cdc_merge.reconcile")


class Reconciler:
    """Compares the targets of a source with an export, and repairs them, while workers go on merging.

    Use as a context manager, or close it.
    """

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
        self._opened = opened = OpenWarehouse.of(settings, warehouse)
        self._warehouse, self._layout = opened.warehouse, opened.layout
        self._ledger, self._leases = opened.ledger, opened.leases
        self._stop = stop or Stop()
        if opened.is_ours:
            self._stop.when_overdue(self._warehouse.interrupt)
        self._clock = clock
        self._migrate = migrate
        self._progress = progress

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

        The rest as Way (way.py) has it. Raises Refused when a safety limit says no (nothing was touched), UsageError
        for an unknown source or export, and the errors of stores and warehouses.
        """
        return self.reconcile_exported(source, export, way=Way(dry_run, force, rebuild))

    def reconcile_exported(self, source: str, export: str | None = None, *, way: Way = REPAIR) -> Report:
        """The same, for who has a Way."""
        mine = self._settings.source_named(source)
        self._prepare(way)
        table = self.table_of(mine)
        items = items_of(find_export(mine.exports, export, source=mine.name, table=table))
        return self.reconcile_with(mine, items, way=way)

    def reconcile_requested(
        self,
        source: str,
        *,
        way: Way = REPAIR,
        progress: Callable[[str, str], None] = lambda _arn, _status: None,
    ) -> Report:
        """Ask DynamoDB for an export, wait until it is there, and reconcile with it.

        `progress`: told the export's ARN and status each time it is looked at. Raises as `reconcile` does, and
        UsageError where the table or the place to export to is not known.
        """
        mine = self._settings.source_named(source)
        self._prepare(way)
        items = requested_items(mine, self.known_table(mine), wait=self._stop.pause, progress=progress)
        return self.reconcile_with(mine, items, way=way)

    def reconcile_scanned(
        self,
        source: str,
        *,
        rate: float | None,
        way: Way = REPAIR,
        progress: Callable[[int], None] = lambda _items: None,
    ) -> Report:
        """Scan the table, at most `rate` read capacity units a second, and reconcile as of the scan's beginning.

        `progress`: told how many items were read. Raises as `reconcile_requested` does.
        """
        mine = self._settings.source_named(source)
        self._prepare(way)
        table = self.known_table(mine)
        with scratch_folder() as folder:
            items = scanned_items(
                mine,
                table,
                folder,
                rate=rate,
                clock=self._clock,
                check=self._stop.check,
                progress=progress,
            )
            return self.reconcile_with(mine, items, way=way)

    def reconcile_copied(
        self, source: str, *, percent: int = 50, empty_is_missing: bool = False, way: Way = REPAIR
    ) -> Report:
        """Let the warehouse read the table by itself, and reconcile as of the beginning: Redshift, by COPY.

        `percent`: of the table's read capacity, 1 to 200. `empty_is_missing`: take a text that is empty or missing for
        missing, as COPY does not tell. Raises as `reconcile_requested` does, and UsageError for another engine, for a
        rebuild, and for tables that texts and numbers alone do not fill.
        """
        mine = self._settings.source_named(source)
        refuse_no_copies(self._warehouse.dialect)
        if way.rebuild:
            raise UsageError(
                "a rebuild takes an export or a scan",
                where="reconcile --copy-from-dynamodb",
                hint="cdc-merge reconcile --rebuild, with --scan, --request or an export",
            )
        self._prepare(way)
        table = self.known_table(mine)

        def look() -> CopiedTable:
            return look_at_table(mine, table, percent=percent, empty_is_missing=empty_is_missing, clock=self._clock)

        def attempt() -> Report:
            copied = patiently(look, source=mine.name, wait=self._stop.pause, again=StoreUnavailable)
            return self._attempt(mine, copied.items, way, None, copied=copied)

        return patiently(attempt, source=mine.name, wait=self._stop.pause, again=SchemaMoved)

    def table_of(self, source: Source) -> str | None:
        """The source's DynamoDB table, as the configuration, its records or an earlier export say."""
        if source.table:
            return source.table
        return self._state(source, settles=False).table_arn

    def _state(self, source: Source, *, settles: bool) -> SourceState:
        """`settles`: what a rebuild before has left to be done is done."""

        def read() -> SourceState:
            with self._warehouse.session() as session:
                return self._opened.settled_state(session, source) if settles else self._opened.state(session, source)

        return patiently(read, source=source.name, wait=self._stop.pause)

    def known_table(self, source: Source) -> str:
        """The same. Raises UsageError if nothing says it."""
        if table := self.table_of(source):
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
        way: Way = REPAIR,
        turn: Turn | None = None,
    ) -> Report:
        """Reconcile with items from anywhere. `turn`: opens the transaction, for a caller that holds the lease."""
        if way.rebuild:
            refuse_partial(items)
        self._prepare(way)

        def attempt() -> Report:
            return self._attempt(source, items, way, turn)

        # What is transient is tried again where it happens; moved columns ask for another decoding.
        return patiently(attempt, source=source.name, wait=self._stop.pause, again=SchemaMoved)

    def close(self) -> None:
        """Close the connection, if it was opened here."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, way: Way) -> None:
        migrator = Migrator(self._warehouse, self._layout.metadata_schema)

        if way.dry_run and not self._warehouse.is_there():
            raise MissingMetadata(
                "there is no warehouse yet to compare anything with",
                where=self._warehouse.name,
                hint="cdc-merge migrate, or: cdc-merge reconcile without --dry-run",
            )

        def prepare() -> None:
            with self._warehouse.session() as session:
                if self._migrate and not way.dry_run:
                    migrator.apply(session)
                else:
                    migrator.require(session)

        patiently(prepare, source="all", wait=self._stop.pause)

    def _attempt(
        self, source: Source, items: Items, way: Way, turn: Turn | None, *, copied: CopiedTable | None = None
    ) -> Report:
        """`copied`: the table whose items the warehouse is to copy by itself."""
        started_at = self._clock()
        limits = SafetyLimits(source, items, way)
        with scratch_folder() as folder:
            state = self._state(source, settles=not way.dry_run)
            limits.judge_items(now=self._clock(), known_arn=state.table_arn)
            limits.judge_floors(state.floors)
            preparation = Preparation(
                source,
                items,
                state,
                warehouse=self._warehouse,
                layout=self._layout,
                table_arn=None if limits.is_of_another_table else items.table_arn,
                folder=folder,
                clock=self._clock,
                check=self._stop.check,
                wait=self._stop.pause,
                progress=self._progress,
            )

            def judged(prepared: Prepared) -> Prepared:
                limits.judge_count(prepared.snapshot.items)
                limits.judge_key(is_known=state.key_tags is not None, count=prepared.snapshot.items)
                return prepared

            def copy(session: Session) -> Prepared:
                assert copied is not None
                return judged(preparation.copy(copied, session))

            prepare: Prepare = copy
            if copied is None:
                take = partial(preparation.take, rebuild=way.rebuild)
                taken = judged(patiently(take, source=source.name, wait=self._stop.pause, again=StoreUnavailable))
                prepare = lambda _session: taken  # noqa: E731
            undertaking = Undertaking(
                id=uuid.uuid4().hex,
                source=source.name,
                export=items.label,
                method=Method.REBUILD if way.rebuild else items.method,
                as_of=items.as_of,
                floor=limits.floor,
                items=0,
                unusable=0,
                worker=worker_name(),
                started_at=started_at,
            )

            transaction = Transaction(
                prepare,
                undertaking,
                limits,
                warehouse=self._warehouse,
                leases=self._leases,
                ledger=self._ledger,
                clock=self._clock,
                check=self._stop.check,
                dry_run=way.dry_run,
                turn=turn,
            )
            findings = patiently(transaction.run, source=source.name, wait=self._stop.pause, never=SchemaMoved)
        if way.rebuild and not way.dry_run:
            self._settle(source)
        notes = [*limits.notes, *findings.notes, *([NOT_COPIED] if copied else [])]
        if findings.replay_from:
            notes.append(self._replay(source, findings.replay_from, dry_run=way.dry_run))
        report = Report(
            source=source.name,
            export=items.label,
            method=undertaking.method,
            as_of=items.as_of,
            floor=limits.floor,
            items=findings.items,
            targets=findings.targets,
            is_dry_run=way.dry_run,
            tombstones_collected=findings.collected,
            unusable=findings.unusable,
            overridden=tuple(findings.overridden),
            notes=tuple(notes),
        )
        log.info("reconciled", source=source.name, export=items.label, drifted=report.drifted, dry_run=way.dry_run)
        return report

    def _settle(self, source: Source) -> None:
        """Put new tables in their places, where that could not be in the transaction that filled them."""
        try:
            self._state(source, settles=True)
        except (Transient, SourceStopped, Stopping) as error:
            raise CdcMergeError(
                f"the tables are rebuilt, but not all in their places yet: {str(error) or 'stopped'}",
                where=f"source {source.name}",
                hint="the next cdc-merge run or reconcile goes on with it",
            ) from error

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
            counts = patiently(refill.run, source=source.name, wait=self._stop.pause)
        except (Transient, SourceStopped, Stopping) as error:
            raise CdcMergeError(
                f"the tables are rebuilt, but newer changes are not all merged once more: {str(error) or 'stopped'}",
                where=f"source {source.name}",
                hint=f"cdc-merge replay --source {source.name} --from {since.strftime('%Y-%m-%dT%H:%M:%SZ')}",
            ) from error
        return f"{count(counts.objects, 'object')} written since {since.isoformat()} merged once more"


__all__ = ["Reconciler", "Turn"]
