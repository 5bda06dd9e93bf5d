"""Merges one batch of a source: prepare → stage → one transaction → the books."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter

from cdc_merge.errors import AlreadyMerged, WarehouseUnavailable
from cdc_merge.exchange import settled_state
from cdc_merge.feed.store import ObjectStore
from cdc_merge.layout import Layout
from cdc_merge.ledger import Counts, Ledger, SourceState
from cdc_merge.merge.plan import Batch
from cdc_merge.model import Source
from cdc_merge.preparing import Job, Phase, Prepared, Preparer
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
    ) -> None:
        """`check` is called often while decoding and may raise to stop; nothing is committed then."""
        self._source = source
        self._store = store
        self._warehouse = warehouse
        self._layout = layout
        self._check = check
        self._phase = phase
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

    def _read_state(self) -> SourceState:
        with self._warehouse.session() as session:
            return settled_state(
                session, self._source, ledger=self._ledger, layout=self._layout, dialect=self._warehouse.dialect
            )

    def merge(self, job: Job, fence: Sequence[Statement]) -> Counts:
        """Merge a batch exactly once; `fence` opens its transaction and proves that the lease is ours.

        Raises Transient errors with nothing committed, and SourceStopped errors for a person.
        """
        with self.preparer.prepare(job) as prepared:
            return self.commit(prepared, fence)

    def merge_files(self, job: Job, files: Sequence[Path], fence: Sequence[Statement]) -> Counts:
        """Merge files that are no objects of the feed (quarantined records), as the job's refs."""
        with self.preparer.prepare_files(job, files) as prepared:
            return self.commit(prepared, fence)

    def commit(
        self,
        prepared: Prepared,
        fence: Sequence[Statement],
        *,
        loaded: Callable[[], None] | None = None,
    ) -> Counts:
        """Stage and merge. A connection that breaks at COMMIT leaves in doubt what happened: the books tell.

        `loaded`: told when all is in the warehouse's staging, and what was decoded has been let go of.
        """
        batch = prepared.batch
        for attempt in range(1, _COMMIT_TRIES + 1):
            self._check()
            with self._warehouse.session() as session:
                if attempt > 1 and (counts := self._ledger.counts(session, batch.id)):
                    return counts
                try:
                    began = perf_counter()
                    with stopping_at_the_unforeseen(self._source.name, prepared.job.refs):  # it is still being read
                        self._load(session, prepared)
                    self._phase("load", perf_counter() - began)
                    self._check()
                    if loaded:
                        prepared.close()
                        loaded()
                    began = perf_counter()
                    session.run([*fence, *prepared.statements])
                    self._phase("merge", perf_counter() - began)
                    counts = self._ledger.counts(session, batch.id)
                except AlreadyMerged:
                    # By ourselves, if the COMMIT in doubt was still under way when the books were read.
                    if attempt > 1 and (counts := self._ledger.counts(session, batch.id)):
                        return counts
                    raise
                except WarehouseUnavailable:
                    if attempt == _COMMIT_TRIES:
                        raise
                    if prepared.is_closed:
                        return self._counts_in_doubt(batch)
                    continue
                if counts is None:
                    raise AlreadyMerged(f"batch {batch.id} is not in the books", where=f"source {batch.source}")
                return counts
        raise AssertionError("the loop returns or raises")

    def _counts_in_doubt(self, batch: Batch) -> Counts:
        """The books of a batch whose connection broke, if it did commit. Raises WarehouseUnavailable: do it anew."""
        with self._warehouse.session() as session:
            if counts := self._ledger.counts(session, batch.id):
                return counts
        raise WarehouseUnavailable(
            "the connection broke before the batch was merged",
            where=f"source {batch.source}",
            hint="nothing to do: it is decoded and merged anew",
        )

    def _load(self, session: Session, prepared: Prepared) -> None:
        name, bucket = self._source.name, self._store.bucket
        objects, decoded, workbench = prepared.objects, prepared.decoded, prepared.workbench
        in_ledger = ledger_rows(objects, bucket=bucket, records_of=decoded.records_of)
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
        session.load("_cdc_keys", workbench.reader("FROM stage_keys"))
        for number in range(len(prepared.books)):
            session.load(f"_cdc_rows_{number}", workbench.reader(f"FROM stage_rows_{number}"))
        if prepared.histories:
            session.load("_cdc_events", workbench.reader("FROM stage_events"))
        for number in prepared.histories:
            session.load(f"_cdc_history_{number}", workbench.reader(f"FROM history_rows_{number}"))
