"""Merges one batch of a source: prepare → stage → one transaction → the books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import perf_counter

import duckdb

from cdc_merge.errors import AlreadyMerged, WarehouseRefused, WarehouseUnavailable
from cdc_merge.exchange import settled_state
from cdc_merge.feed.store import ObjectStore
from cdc_merge.feed.workbench import Workbench
from cdc_merge.layout import Layout
from cdc_merge.ledger import Counts, Ledger, SourceState
from cdc_merge.model import Load, Source
from cdc_merge.preparing import Job, Phase, Prepared, Preparer
from cdc_merge.raw_road import InDoubt, RawRoad, Unread
from cdc_merge.staging import ledger_rows, misfit_rows, quarantine_rows, unmatched_rows
from cdc_merge.unforeseen import stopping_at_the_unforeseen
from cdc_merge.warehouses import Session, Statement, Warehouse

_COMMIT_TRIES = 2


class Merger:
    """Merges batches of one source. Holds no connection between batches."""

    def __init__(
        self,
        *,
        source: Source,
        store: ObjectStore,
        warehouse: Warehouse,
        layout: Layout,
        worker: str,
        clock: Callable[[], datetime],
        check: Callable[[], None] = lambda: None,
        phase: Phase = lambda _name, _seconds: None,
        decoded: Callable[[str], None] = lambda _by: None,
    ) -> None:
        """`check` is called often while decoding and may raise to stop; nothing is committed then.

        `decoded` is told who decoded each batch that was merged: worker, or warehouse.
        """
        self._source = source
        self._store = store
        self._warehouse = warehouse
        self._layout = layout
        self._check = check
        self._phase = phase
        self._decoded = decoded
        self._ledger = Ledger(layout.metadata, warehouse.dialect)
        self.preparer = Preparer(
            source=source,
            store=store,
            dialect=warehouse.dialect,
            layout=layout,
            worker=worker,
            clock=clock,
            read_state=self._read_state,
            check=check,
            phase=phase,
        )
        self._road: RawRoad | None = None
        if source.load is Load.WAREHOUSE:
            self._road = RawRoad(
                source=source,
                store=store,
                dialect=warehouse.dialect,
                layout=layout,
                worker=worker,
                clock=clock,
                read_state=self._read_state,
                check=check,
            )

    def prepare(self, job: Job, *, check: Callable[[], None] | None = None) -> Prepared | Unread:
        """A batch that is decoded, or one that the warehouse may decode; `check` as in the constructor."""
        unread = self._road.plan(job, check=check) if self._road else None
        return unread or self.preparer.prepare(job, check=check)

    def _read_state(self) -> SourceState:
        with self._warehouse.session() as session:
            return settled_state(
                session, self._source, ledger=self._ledger, layout=self._layout, dialect=self._warehouse.dialect
            )

    def merge(self, job: Job, fence: Sequence[Statement]) -> Counts:
        """Merge a batch exactly once; `fence` opens its transaction and proves that the lease is ours.

        Raises Transient errors with nothing committed, and SourceStopped errors for a person.
        """
        with self.prepare(job) as prepared:
            return self.commit(prepared, fence)

    def merge_files(self, job: Job, files: Sequence[Path], fence: Sequence[Statement]) -> Counts:
        """Merge files that are no objects of the feed (quarantined records), as the job's refs."""
        with self.preparer.prepare_files(job, files) as prepared:
            return self.commit(prepared, fence)

    def commit(
        self,
        prepared: Prepared | Unread,
        fence: Sequence[Statement],
        *,
        loaded: Callable[[], None] | None = None,
    ) -> Counts:
        """Stage and merge. What the warehouse cannot decode exactly is decoded here.

        `loaded`: told when all is in the warehouse's staging, and what was decoded has been let go of.
        """
        try:
            counts = self._commit(prepared, fence, loaded)
        except (InDoubt, WarehouseRefused) as error:
            if not (isinstance(prepared, Unread) and self._road):
                raise
            self._road.leave(error)
            if prepared.is_closed:  # it was all staged, and `loaded` told
                loaded = None
            with self.preparer.prepare(prepared.job) as decoded:
                return self.commit(decoded, fence, loaded=loaded)
        if self._road and isinstance(prepared, Unread):
            self._road.merged()
        self._decoded("warehouse" if isinstance(prepared, Unread) else "worker")
        return counts

    def _commit(
        self, prepared: Prepared | Unread, fence: Sequence[Statement], loaded: Callable[[], None] | None
    ) -> Counts:
        """A connection that breaks at COMMIT leaves in doubt what happened: the books tell."""
        for attempt in range(1, _COMMIT_TRIES + 1):
            self._check()
            with self._warehouse.session() as session:
                if attempt > 1 and (counts := self._ledger.counts(session, prepared.id)):
                    return counts
                try:
                    began = perf_counter()
                    with stopping_at_the_unforeseen(self._source.name, prepared.job.refs):  # it is still being read
                        statements = self._stage(session, prepared)
                    self._phase("load", perf_counter() - began)
                    self._check()
                    if loaded:
                        prepared.close()
                        loaded()
                    began = perf_counter()
                    session.run([*fence, *statements])
                    self._phase("merge", perf_counter() - began)
                    counts = self._ledger.counts(session, prepared.id)
                except AlreadyMerged:
                    # By ourselves, if the COMMIT in doubt was still under way when the books were read.
                    if attempt > 1 and (counts := self._ledger.counts(session, prepared.id)):
                        return counts
                    raise
                except WarehouseUnavailable as error:
                    if attempt == _COMMIT_TRIES:
                        raise
                    if prepared.is_closed:
                        return self._counts_in_doubt(prepared.id, error)
                    continue
                if counts is None:
                    raise AlreadyMerged(f"batch {prepared.id} is not in the books", where=f"source {self._source.name}")
                return counts
        raise AssertionError("the loop returns or raises")

    def _counts_in_doubt(self, batch_id: str, error: WarehouseUnavailable) -> Counts:
        """The books of a batch whose transaction broke, if it did commit. Raises the error: then all is done anew."""
        with self._warehouse.session() as session:
            if counts := self._ledger.counts(session, batch_id):
                return counts
        raise error

    def _stage(self, session: Session, prepared: Prepared | Unread) -> Sequence[Statement]:
        """Stage a batch; returns the statements that merge it."""
        if isinstance(prepared, Unread):
            assert self._road
            return self._road.stage(session, prepared, self._ledger)
        self._load(session, prepared)
        return prepared.statements

    def _load(self, session: Session, prepared: Prepared) -> None:
        name, bucket = self._source.name, self._store.bucket
        objects, decoded, workbench = prepared.objects, prepared.decoded, prepared.workbench
        in_ledger = ledger_rows([o.ref for o in objects], bucket=bucket, records_of=decoded.records_of)
        session.load("_cdc_objects", in_ledger.to_reader())
        if decoded.quarantined:
            places = prepared.job.places
            rejected = quarantine_rows(workbench, objects, source=name, bucket=bucket, places=places)
            session.load("_cdc_quarantine", rejected)
        if decoded.unmatched:
            known = self._ledger.unmatched_entities(session, name)
            session.load("_cdc_unmatched", unmatched_rows(decoded.unmatched, known=known).to_reader())
        if decoded.misfits:
            session.load("_cdc_misfits", misfit_rows(decoded.misfits).to_reader())
        self._load_keys(session, workbench)
        for number in range(len(prepared.books)):
            session.load(f"_cdc_rows_{number}", workbench.reader(f"FROM stage_rows_{number}"))
        if prepared.histories:
            session.load("_cdc_events", workbench.reader("FROM stage_events"))
        for number in prepared.histories:
            session.load(f"_cdc_history_{number}", workbench.reader(f"FROM history_rows_{number}"))

    def _load_keys(self, session: Session, workbench: Workbench) -> None:
        if self._warehouse.dialect.indexes_key:
            # The guard looks into the key's index once for each: in its order, neighbours are on the page at hand.
            # Long keys may not fit the memory at once, and a batch can do without their order.
            with suppress(duckdb.OutOfMemoryException):
                session.load("_cdc_keys", workbench.reader("FROM stage_keys ORDER BY partition_key, sort_key"))
                return
        session.load("_cdc_keys", workbench.reader("FROM stage_keys"))
