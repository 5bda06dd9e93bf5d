"""Merges one batch of a source: fetch → decode → stage → one transaction → the books."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from types import TracebackType

import duckdb

from cdc_merge.errors import AlreadyMerged, DecodingFailed, WarehouseUnavailable
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import Decoded, decode
from cdc_merge.feed.envelopes import FeedFacts
from cdc_merge.feed.store import ObjectStore
from cdc_merge.feed.workbench import Workbench
from cdc_merge.layout import Layout
from cdc_merge.ledger import Counts, Ledger, SourceState
from cdc_merge.logs import get_logger
from cdc_merge.merge.plan import Batch, MergePlan
from cdc_merge.model import ObjectRef, Source
from cdc_merge.schema.tables import Inspector
from cdc_merge.staging import Place, ledger_rows, misfit_rows, quarantine_rows, unmatched_rows
from cdc_merge.unforeseen import UNFORESEEN
from cdc_merge.warehouses import Session, Statement, Warehouse

_FETCH_THREADS = 16  # small objects cost a round trip each, and the network waits more than it works
# Of the memory a source may use, the share of DuckDB's decoding; line buffers, Arrow and the warehouse's
# driver take the rest.
_WORKBENCH_SHARE = 0.35
_COMMIT_TRIES = 2

log = get_logger("cdc_merge.merger")

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
    places: tuple[Place, ...] | None = None


@dataclass
class Prepared:
    """A decoded batch, ready to be staged and merged. Use as a context manager, or close it.

    `teaches`: its merge makes tables or columns, or the first facts of the source, so that a batch which is decoded
    before that would have to be decoded again.
    """

    job: Job
    objects: tuple[LocalObject, ...]
    decoded: Decoded
    workbench: Workbench
    batch: Batch
    statements: tuple[Statement, ...]
    targets: int
    histories: tuple[int, ...]
    teaches: bool
    resources: ExitStack
    is_closed: bool = False

    def close(self) -> None:
        """Let go of memory and files."""
        self.is_closed = True
        self.resources.close()

    def __enter__(self) -> Prepared:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        with self.prepare(job) as prepared:
            return self.commit(prepared, fence)

    def merge_files(self, job: Job, files: Sequence[Path], fence: Sequence[Statement]) -> Counts:
        """Merge files that are no objects of the feed (quarantined records), as the job's refs."""
        objects = [LocalObject(i, r, f) for i, (r, f) in enumerate(zip(job.refs, files, strict=True))]
        with (
            ExitStack() as resources,
            self._decode(job, objects, resources, check=self._check, is_feed=False) as prepared,
        ):
            return self.commit(prepared, fence)

    def prepare(self, job: Job, *, check: Callable[[], None] | None = None) -> Prepared:
        """Fetch and decode a batch, all but what needs the lease; `check` as in the constructor.

        Raises as `merge` does. The result holds memory and files until it is closed.
        """
        check = check or self._check
        with ExitStack() as resources:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="cdc-merge-")))
            began = perf_counter()
            objects = self._fetch(job.refs, folder, check)
            self._phase("fetch", perf_counter() - began)
            return self._decode(job, objects, resources, check=check, is_feed=True)

    def _decode(
        self,
        job: Job,
        objects: Sequence[LocalObject],
        resources: ExitStack,
        *,
        check: Callable[[], None],
        is_feed: bool,
    ) -> Prepared:
        dialect, source = self._warehouse.dialect, self._source
        with self._warehouse.session() as session:
            state = self._ledger.state(session, source.name, schema=self._layout.schema)
        there = Inspector(dialect, self._layout.schema, state.schemas, state.columns, state.key_tags)
        books, removed = there.open_books(source), there.left_behind(source)
        workbench = resources.enter_context(Workbench(memory=int(source.memory * _WORKBENCH_SHARE)))
        began = perf_counter()
        with self._stopping_at_the_unforeseen(job):
            decoded = decode(
                workbench,
                objects,
                source=source,
                facts=FeedFacts(state.ordering, state.key_tags),
                books=books,
                dialect=dialect,
                check=check,
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
            decoded.facts.key_tags or tuple("S" for _ in source.key),
            removed=removed,
        )
        return Prepared(
            job=job,
            objects=tuple(objects),
            decoded=decoded,
            workbench=workbench,
            batch=batch,
            statements=tuple(self._statements(job, state, decoded, plan, batch, is_feed=is_feed)),
            targets=len(books),
            histories=tuple(i for i, book in enumerate(books) if book.target.has_history),
            teaches=state.ordering is None or any(book.teaches for book in books),
            resources=resources.pop_all(),
        )

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
            is_known = state.key_tags is not None
            statements.append(
                plan.record_source(batch.source, facts.ordering, table_arn=facts.table_arn, is_known=is_known)
            )
        return [
            *statements,
            plan.hold_schemas(batch.source),
            *plan.ddl(schema_exists=state.schema_exists),
            *plan.merge(batch),
            *plan.record_notices(batch, unmatched=bool(decoded.unmatched), misfits=bool(decoded.misfits)),
            *plan.record_schema(batch.source),
        ]

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
                    with self._stopping_at_the_unforeseen(prepared.job):  # what is loaded is still being read
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
        for number in range(prepared.targets):
            session.load(f"_cdc_rows_{number}", workbench.reader(f"FROM stage_rows_{number}"))
        if prepared.histories:
            session.load("_cdc_events", workbench.reader("FROM stage_events"))
        for number in prepared.histories:
            session.load(f"_cdc_history_{number}", workbench.reader(f"FROM history_rows_{number}"))

    @contextmanager
    def _stopping_at_the_unforeseen(self, job: Job) -> Iterator[None]:
        """Make of an error that nobody expected in decoding one that stops the source, and log where it came from."""
        try:
            yield
        except UNFORESEEN as error:
            keys = [r.key for r in job.refs]
            log.error("decoding_failed", source=self._source.name, objects=keys, exc_info=True)
            raise _decoding_failed(error, self._source.name, keys) from error

    def _fetch(self, refs: Sequence[ObjectRef], folder: Path, check: Callable[[], None]) -> list[LocalObject]:
        def fetch(numbered: tuple[int, ObjectRef]) -> LocalObject:
            number, ref = numbered
            check()
            own = folder / str(number)
            own.mkdir()
            return LocalObject(number, ref, self._store.fetch(ref, own))

        with ThreadPoolExecutor(_FETCH_THREADS, thread_name_prefix="fetch") as pool:
            return list(pool.map(fetch, enumerate(refs)))

    def _learn_inflation(self, objects: Sequence[LocalObject], decoded: Decoded) -> None:
        stored = sum(o.ref.size for o in objects)
        if stored and decoded.plain_bytes:
            self.inflation = max(1.0, decoded.plain_bytes / stored)


def _decoding_failed(error: Exception, source: str, keys: Sequence[str]) -> DecodingFailed:
    among = keys[0] if len(keys) == 1 else f"{keys[0]} … {keys[-1]} ({len(keys)} objects)"
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        hint = "raise `memory` of the source, or lower its `batch`"
    elif isinstance(error, duckdb.IOException | OSError):
        hint = "is there room in the temporary folder? $TMPDIR names another"
    else:
        hint = "this is a fault of cdc-merge: please report it with the log; a smaller `batch` narrows down the object"
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return DecodingFailed(f"{type(error).__name__}: {first_line}", where=f"source {source}, {among}", hint=hint)
