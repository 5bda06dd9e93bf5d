"""Merges one batch of a source: fetch → decode → stage → one transaction → the books."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter

import pyarrow as pa

from cdc_merge.errors import AlreadyMerged, WarehouseUnavailable
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import Decoded, decode
from cdc_merge.feed.envelopes import FeedFacts
from cdc_merge.feed.store import ObjectStore
from cdc_merge.feed.workbench import Workbench
from cdc_merge.ledger import Counts, Ledger, SourceState
from cdc_merge.merge.plan import Batch, Layout, MergePlan
from cdc_merge.merge.schema import open_book
from cdc_merge.model import ObjectRef, Source
from cdc_merge.warehouses import Session, Statement, Warehouse

_FETCH_THREADS = 16  # small objects cost a round trip each, and the network waits more than it works
# Of the memory a source may use, the share of DuckDB's decoding; line buffers, Arrow and the warehouse's
# driver take the rest.
_WORKBENCH_SHARE = 0.35
_COMMIT_TRIES = 2

Phase = Callable[[str, float], None]
"""Told (phase, seconds) when a phase of a batch ends: fetch, decode, load, merge."""


@dataclass(frozen=True)
class Job:
    """What to merge, and how.

    `again`: the objects are in the ledger already (replay). `release`: quarantine ids that leave in the same
    transaction. `places`: for single records taken out of quarantine, (record, byte offset) in their object.
    """

    refs: tuple[ObjectRef, ...]
    again: bool = False
    release: tuple[str, ...] = ()
    places: tuple[tuple[int | None, int | None], ...] | None = None


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
        self._worker = worker
        self._clock = clock
        self._check = check
        self._phase = phase
        self._ledger = Ledger(layout.metadata, warehouse.dialect)
        self.inflation = 10.0  # uncompressed bytes per stored byte, as in the batch before; at first a guess

    def merge(self, job: Job, fence: Sequence[Statement]) -> Counts:
        """Merge a batch exactly once; `fence` opens its transaction and proves that the lease is ours.

        Raises Transient errors with nothing committed, and SourceStopped errors for a person.
        """
        with tempfile.TemporaryDirectory(prefix="cdc-merge-") as folder:
            began = perf_counter()
            objects = self._fetch(job.refs, Path(folder))
            self._phase("fetch", perf_counter() - began)
            with self._warehouse.session() as session:
                state = self._ledger.state(session, self._source.name, schema=self._layout.schema)
            return self._merge_local(job, objects, state, fence)

    def merge_files(self, job: Job, files: Sequence[Path], fence: Sequence[Statement]) -> Counts:
        """Merge files that are no objects of the feed (quarantined records), as the job's refs."""
        with self._warehouse.session() as session:
            state = self._ledger.state(session, self._source.name, schema=self._layout.schema)
        objects = [LocalObject(i, r, f) for i, (r, f) in enumerate(zip(job.refs, files, strict=True))]
        return self._merge_local(job, objects, state, fence, is_feed=False)

    def _merge_local(
        self,
        job: Job,
        objects: Sequence[LocalObject],
        state: SourceState,
        fence: Sequence[Statement],
        *,
        is_feed: bool = True,
    ) -> Counts:
        dialect, source = self._warehouse.dialect, self._source
        books = [open_book(t, source.key, dialect, state.schemas.get(t.table)) for t in source.targets]
        with Workbench(memory=int(source.memory * _WORKBENCH_SHARE)) as workbench:
            began = perf_counter()
            decoded = decode(
                workbench,
                objects,
                source=source,
                facts=FeedFacts(state.ordering, state.key_tags),
                books=books,
                dialect=dialect,
                check=self._check,
            )
            if is_feed:
                self._learn_inflation(objects, decoded)
                for obj in objects:
                    self._store.verify(obj.ref, obj.path)
            self._phase("decode", perf_counter() - began)
            batch = Batch(
                id=uuid.uuid4().hex,
                source=source.name,
                worker=self._worker,
                merged_at=self._clock(),
                newest_change_at=decoded.newest_change_at,
                objects=len(objects) if is_feed else 0,
                records=decoded.records,
                superseded=decoded.superseded,
                quarantined=decoded.quarantined,
            )
            plan = MergePlan(
                dialect,
                self._layout,
                books,
                [state.floors.get(t.table) for t in source.targets],
                decoded.facts.key_tags or tuple("S" for _ in source.key),
            )
            statements = [*fence, *self._statements(job, state, decoded, plan, batch, is_feed=is_feed)]
            return self._commit(workbench, job, objects, decoded, statements, batch, len(books))

    def _statements(
        self, job: Job, state: SourceState, decoded: Decoded, plan: MergePlan, batch: Batch, *, is_feed: bool
    ) -> list[Statement]:
        statements: list[Statement] = []
        if job.release:
            statements.append(plan.release_quarantine(job.release))
        if is_feed:
            statements += plan.record_objects(batch, again=job.again)
        if decoded.quarantined:
            statements.append(plan.record_quarantine(batch))
        facts = decoded.facts
        if facts.ordering is None or facts.key_tags is None:
            # Not one usable record: there is no target to make yet, but the books are kept.
            return [*statements, plan.record_empty(batch)]
        if state.ordering is None:
            statements.append(plan.record_source(batch.source, facts.ordering))
        return [
            *statements,
            *plan.ddl(schema_exists=state.schema_exists),
            *plan.merge(batch),
            *plan.record_schema(batch.source),
        ]

    def _commit(
        self,
        workbench: Workbench,
        job: Job,
        objects: Sequence[LocalObject],
        decoded: Decoded,
        statements: Sequence[Statement],
        batch: Batch,
        targets: int,
    ) -> Counts:
        """Stage and merge. A connection that breaks at COMMIT leaves in doubt what happened: the books tell."""
        for attempt in range(1, _COMMIT_TRIES + 1):
            self._check()
            with self._warehouse.session() as session:
                if attempt > 1 and (counts := self._ledger.counts(session, batch.id)):
                    return counts
                try:
                    began = perf_counter()
                    self._load(session, workbench, job, objects, decoded, targets)
                    self._phase("load", perf_counter() - began)
                    self._check()
                    began = perf_counter()
                    session.run(statements)
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
                    continue
                if counts is None:
                    raise AlreadyMerged(f"batch {batch.id} is not in the books", where=f"source {batch.source}")
                return counts
        raise AssertionError("the loop returns or raises")

    def _load(
        self,
        session: Session,
        workbench: Workbench,
        job: Job,
        objects: Sequence[LocalObject],
        decoded: Decoded,
        targets: int,
    ) -> None:
        session.load("_cdc_objects", self._ledger_rows(objects, decoded).to_reader())
        if decoded.quarantined:
            session.load("_cdc_quarantine", self._quarantine_rows(workbench, job, objects).to_reader())
        session.load("_cdc_keys", workbench.reader("FROM stage_keys"))
        for number in range(targets):
            session.load(f"_cdc_rows_{number}", workbench.reader(f"FROM stage_rows_{number}"))

    def _fetch(self, refs: Sequence[ObjectRef], folder: Path) -> list[LocalObject]:
        def fetch(numbered: tuple[int, ObjectRef]) -> LocalObject:
            number, ref = numbered
            self._check()
            own = folder / str(number)
            own.mkdir()
            return LocalObject(number, ref, self._store.fetch(ref, own))

        with ThreadPoolExecutor(_FETCH_THREADS, thread_name_prefix="fetch") as pool:
            return list(pool.map(fetch, enumerate(refs)))

    def _learn_inflation(self, objects: Sequence[LocalObject], decoded: Decoded) -> None:
        stored = sum(o.ref.size for o in objects)
        if stored and decoded.plain_bytes:
            self.inflation = max(1.0, decoded.plain_bytes / stored)

    def _ledger_rows(self, objects: Sequence[LocalObject], decoded: Decoded) -> pa.Table:
        return pa.table(
            {
                "bucket": pa.array([self._store.bucket] * len(objects), pa.string()),
                "object_key": pa.array([o.ref.key for o in objects], pa.string()),
                "version": pa.array([o.ref.version for o in objects], pa.string()),
                "bytes": pa.array([o.ref.size for o in objects], pa.int64()),
                "modified_at": pa.array([o.ref.modified for o in objects], pa.timestamp("us", "UTC")),
                "records": pa.array([decoded.records_of.get(o.number, 0) for o in objects], pa.int64()),
            }
        )

    def _quarantine_rows(self, workbench: Workbench, job: Job, objects: Sequence[LocalObject]) -> pa.Table:
        refs = {o.number: o.ref for o in objects}
        rejected = workbench.table("SELECT object_number, record, byte_offset, reason, detail, raw FROM rejected")
        numbers = rejected.column("object_number").to_pylist()
        mine = [refs[n] for n in numbers]
        if job.places is not None:
            records = [job.places[n][0] for n in numbers]
            offsets = [job.places[n][1] for n in numbers]
        else:
            records = rejected.column("record").to_pylist()
            offsets = rejected.column("byte_offset").to_pylist()
        ids = [self._quarantine_id(r, o) for r, o in zip(mine, offsets, strict=True)]
        return pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "bucket": pa.array([self._store.bucket] * len(mine), pa.string()),
                "object_key": pa.array([r.key for r in mine], pa.string()),
                "version": pa.array([r.version for r in mine], pa.string()),
                "record": pa.array(records, pa.int64()),
                "byte_offset": pa.array(offsets, pa.int64()),
            }
            | {name: rejected.column(name) for name in ("reason", "detail", "raw")}
        )

    def _quarantine_id(self, ref: ObjectRef, offset: int | None) -> str:
        """The same record of the same object version has the same id, however often it is read."""
        place = "\n".join((self._source.name, self._store.bucket, ref.key, ref.version, str(offset)))
        return hashlib.sha256(place.encode()).hexdigest()[:16]
