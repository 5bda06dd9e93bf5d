"""Fetches and decodes a batch, and plans its merge: all that comes before the warehouse is written to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from types import TracebackType

from cdc_merge.errors import BatchTooLarge
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import Decoded, Pace, decode
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.store import ObjectStore
from cdc_merge.feed.workbench import WORKBENCH_SHARE, Workbench
from cdc_merge.key_range import key_range
from cdc_merge.layout import Layout
from cdc_merge.ledger import SourceState
from cdc_merge.logs import get_logger
from cdc_merge.merge.plan import Batch, MergePlan
from cdc_merge.merge.planned import KeyRange
from cdc_merge.model import ObjectRef, Source
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import key_column_type
from cdc_merge.scratch import scratch_folder
from cdc_merge.staging import Place
from cdc_merge.unforeseen import stopping_at_the_unforeseen
from cdc_merge.warehouses import Dialect, Statement

log = get_logger("cdc_merge.worker")

_FETCH_THREADS = 16  # small objects cost a round trip each, and the network waits more than it works

FIRST_GUESS = 10.0
"""Uncompressed bytes for a stored one, where nothing is known yet."""

Phase = Callable[[str, float], None]
"""Told (phase, seconds) when a phase of a batch ends: fetch, decode, load, merge."""


@dataclass(frozen=True)
class Job:
    """What to merge, and how.

    `again`: the objects are in the ledger already (replay). `release`: quarantine ids that leave in the same
    transaction. `places`: for single records taken out of quarantine, where they lay.
    """

    refs: tuple[ObjectRef, ...]
    again: bool = False
    release: tuple[str, ...] = ()
    places: tuple[Place, ...] | None = None


@dataclass
class Prepared:
    """A decoded batch, ready to be staged and merged. Use as a context manager, or close it.

    `books`: the targets' columns. `teaches`: its merge makes tables or columns, or the first facts of the source, so
    that a batch which is decoded before that would have to be decoded again.
    """

    job: Job
    objects: tuple[LocalObject, ...]
    decoded: Decoded
    workbench: Workbench
    batch: Batch
    books: tuple[SchemaBook, ...]
    plan: MergePlan
    statements: tuple[Statement, ...]
    teaches: bool
    resources: ExitStack
    is_closed: bool = False

    @property
    def id(self) -> str:
        """The batch's, in the books."""
        return self.batch.id

    @property
    def key_tags(self) -> tuple[str, ...] | None:
        """The types of the key attributes; None: there is not one usable record, so no table could be made."""
        facts = self.decoded.facts
        return facts.key_tags if facts.ordering else None

    @property
    def histories(self) -> tuple[int, ...]:
        """The numbers of the targets that keep one."""
        return tuple(i for i, book in enumerate(self.books) if book.target.has_history)

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


class Preparer:
    """Prepares batches of one source. Writes to temporary files only."""

    def __init__(
        self,
        *,
        source: Source,
        store: ObjectStore,
        dialect: Dialect,
        layout: Layout,
        worker: str,
        clock: Callable[[], datetime],
        read_state: Callable[[], SourceState],
        check: Callable[[], None] = lambda: None,
        phase: Phase = lambda _name, _seconds: None,
    ) -> None:
        """`read_state`: what is known of the source, asked for each batch; `check` is called often and may raise."""
        self._source = source
        self._store = store
        self._dialect = dialect
        self._layout = layout
        self._worker = worker
        self._clock = clock
        self._read_state = read_state
        self._check = check
        self._phase = phase
        self.inflation = FIRST_GUESS  # as in the batch before

    def prepare(self, job: Job, *, check: Callable[[], None] | None = None) -> Prepared:
        """Fetch and decode a batch; `check` as in the constructor.

        Raises Transient errors, and SourceStopped errors for a person. The result holds memory and files until it is
        closed.
        """
        check = check or self._check
        with ExitStack() as resources, stopping_at_the_unforeseen(self._source.name, job.refs):
            folder = resources.enter_context(scratch_folder())
            began = perf_counter()
            objects = self._fetch(job.refs, folder, check)
            self._phase("fetch", perf_counter() - began)
            return self._decode_if_it_fits(job, objects, resources, check=check, is_feed=True)

    def prepare_files(self, job: Job, files: Sequence[Path]) -> Prepared:
        """Decode files that are no objects of the feed (quarantined records), as the job's refs."""
        objects = [LocalObject(i, r, f) for i, (r, f) in enumerate(zip(job.refs, files, strict=True))]
        with ExitStack() as resources:
            return self._decode_if_it_fits(job, objects, resources, check=self._check, is_feed=False)

    def _decode_if_it_fits(
        self,
        job: Job,
        objects: Sequence[LocalObject],
        resources: ExitStack,
        *,
        check: Callable[[], None],
        is_feed: bool,
    ) -> Prepared:
        """What does not fit memory or disk is decoded in halves by whoever asked; a single object slowly, at once."""
        try:
            return self._decode(job, objects, resources, check=check, is_feed=is_feed)
        except BatchTooLarge:
            if len(objects) > 1:
                raise
        return self._decode(job, objects, resources, check=check, is_feed=is_feed, pace=Pace.NARROW)

    def _decode(
        self,
        job: Job,
        objects: Sequence[LocalObject],
        resources: ExitStack,
        *,
        check: Callable[[], None],
        is_feed: bool,
        pace: Pace = Pace.FULL,
    ) -> Prepared:
        dialect, source, state = self._dialect, self._source, self._read_state()
        there = state.inspector(dialect, self._layout.schema)
        books, removed = there.open_books(source), there.left_behind(source)
        workbench = resources.enter_context(Workbench(memory=int(source.memory * WORKBENCH_SHARE)))
        began = perf_counter()
        with stopping_at_the_unforeseen(source.name, job.refs), _closing_if_it_fails(workbench):
            decoded = decode(
                workbench,
                objects,
                source=source,
                facts=FeedFacts(state.ordering, state.key_tags),
                books=books,
                dialect=dialect,
                check=check,
                pace=pace,
            )
        if is_feed:
            self._learn_inflation(objects, decoded)
            for obj in objects:
                self._store.verify(obj.ref, obj.path)
        self._phase("decode", perf_counter() - began)
        _warn_if_crowded(source.name, books)
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
        tags = decoded.facts.key_tags or tuple("S" for _ in source.key)
        plan = MergePlan(dialect, self._layout, books, tags, removed=removed)
        decimal = dialect.type_name(key_column_type("N")) if dialect.decimal_digits else None
        keys = None
        if dialect.prunes_by_literals:
            keys = key_range(workbench, tags[0], decimal=decimal, is_utf8=dialect.is_utf8)
        return Prepared(
            job=job,
            objects=tuple(objects),
            decoded=decoded,
            workbench=workbench,
            batch=batch,
            books=tuple(books),
            plan=plan,
            statements=tuple(merge_statements(job, state, decoded, plan, batch, keys, is_feed=is_feed)),
            teaches=state.ordering is None or any(book.teaches for book in books),
            resources=resources.pop_all(),
        )

    def _fetch(self, refs: Sequence[ObjectRef], folder: Path, check: Callable[[], None]) -> list[LocalObject]:
        def fetch(numbered: tuple[int, ObjectRef]) -> LocalObject:
            number, ref = numbered
            check()
            return LocalObject(number, ref, self._store.fetch(ref, folder))

        with ThreadPoolExecutor(_FETCH_THREADS, thread_name_prefix="fetch") as pool:
            return list(pool.map(fetch, enumerate(refs)))

    def _learn_inflation(self, objects: Sequence[LocalObject], decoded: Decoded) -> None:
        stored = sum(o.ref.size for o in objects)
        if stored and decoded.plain_bytes:
            self.inflation = max(1.0, decoded.plain_bytes / stored)


def merge_statements(
    job: Job,
    state: SourceState,
    decoded: Decoded,
    plan: MergePlan,
    batch: Batch,
    keys: KeyRange | None,
    *,
    is_feed: bool,
) -> list[Statement]:
    """The transaction that merges what is staged, but for its fence.

    `keys`: of the batch, as MergePlan.merge has it. `is_feed`: the objects go into the ledger.
    """
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
        *plan.merge(batch, key_range=keys),
        *plan.record_notices(batch, unmatched=bool(decoded.unmatched), misfits=bool(decoded.misfits)),
        *plan.hide(batch.source),
        *plan.record_schema(batch.source),
    ]


def _warn_if_crowded(source: str, books: Sequence[SchemaBook]) -> None:
    for book in books:
        if book.crowded:
            log.warning(
                "no_room_for_columns",
                source=source,
                target=book.target.table,
                most=book.dialect.max_added_columns,
                rescued=sorted(book.crowded)[:5],
            )


@contextmanager
def _closing_if_it_fails(workbench: Workbench) -> Iterator[None]:
    """Its memory is needed for the next attempt."""
    try:
        yield
    except BaseException:
        workbench.close()
        raise
