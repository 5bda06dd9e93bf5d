"""The road of a batch that the warehouse loads and decodes itself, up to where its rows are staged."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType

from cdc_merge.errors import WarehouseRefused, WarehouseUnavailable
from cdc_merge.feed.decode import Decoded
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.notices import Notices
from cdc_merge.feed.store import ObjectStore
from cdc_merge.layout import Layout
from cdc_merge.ledger import Ledger, SourceState
from cdc_merge.logs import get_logger
from cdc_merge.meanwhile import checking
from cdc_merge.merge.plan import Batch, MergePlan
from cdc_merge.model import ObjectRef, Source
from cdc_merge.preparing import Job, merge_statements
from cdc_merge.raw.decoding import RAW, Decoding, InDoubt
from cdc_merge.raw.fitness import why_not, why_not_yet
from cdc_merge.schema.book import SchemaBook
from cdc_merge.staging import ledger_rows, unmatched_rows
from cdc_merge.unforeseen import UNFORESEEN
from cdc_merge.warehouses import Dialect, Session, Statement
from cdc_merge.warehouses.raw import LoadsRaw, Packing, RawObject

log = get_logger("cdc_merge.worker")

_PEEK_THREADS = 16  # one small request for each object
_HEAD = 16  # bytes to tell a packing by
_GZIP = b"\x1f\x8b"
_MOST_PATIENCE = 32  # batches


@dataclass
class Unread:
    """A batch whose objects the warehouse may read. Use it as a decoded one; there is nothing to let go of.

    `state` and `books`: what its decoding rests on. `packings`: of the objects, in their order; None: one is empty.
    """

    job: Job
    state: SourceState
    books: tuple[SchemaBook, ...]
    plan: MergePlan
    packings: tuple[Packing | None, ...]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    teaches: bool = False
    is_closed: bool = False

    def close(self) -> None:
        """As a decoded batch is closed."""
        self.is_closed = True

    def __enter__(self) -> Unread:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RawRoad:
    """Plans and stages batches of one source that asks for it.

    After a batch in doubt the next one is decoded by the worker at once, after a second one two, then four …: to load
    what cannot be decoded costs as much as to decode it.
    """

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
        check: Callable[[], None],
    ) -> None:
        """As Preparer's."""
        self._source = source
        self._store = store
        self._dialect = dialect
        self._layout = layout
        self._worker = worker
        self._clock = clock
        self._read_state = read_state
        self._check = check
        self._never = why_not(source, dialect)
        self._patience = self._left_out = 0
        if self._never:
            log.warning("worker_decodes", source=source.name, why="; ".join(self._never))

    def plan(self, job: Job, *, check: Callable[[], None] | None = None) -> Unread | None:
        """A batch that the warehouse may decode; None: the worker does. Raises Transient errors and StoreDenied."""
        if self._never or job.release or job.places is not None:
            return None
        if self._left_out:
            self._left_out -= 1
            self._leave("the batch before was in doubt")
            return None
        state = self._read_state()
        there = state.inspector(self._dialect, self._layout.schema)
        books, removed = tuple(there.open_books(self._source)), there.left_behind(self._source)
        reasons = why_not_yet(self._source, books, ordering=state.ordering, key_tags=state.key_tags)
        if reasons or state.key_tags is None:
            self._leave("; ".join(reasons))
            return None
        packings = self._packings(job.refs, check or self._check)
        if packings is None or not any(packings):
            self._doubt()
            self._leave("objects that are neither JSON nor gzip, or nothing but empty ones")
            return None
        plan = MergePlan(self._dialect, self._layout, books, state.key_tags, removed=removed)
        return Unread(job, state, books, plan, packings)

    def stage(self, session: Session, unread: Unread, ledger: Ledger) -> Sequence[Statement]:
        """Load and decode a batch into the session's staging tables; returns the statements that merge it.

        Raises InDoubt and WarehouseRefused where the worker must decode it, ObjectChanged and WarehouseUnavailable.
        """
        try:
            return self._stage(session, unread, ledger)
        except WarehouseUnavailable:  # perhaps it always takes too long, or too much, for what it decodes
            self._doubt()
            raise

    def merged(self) -> None:
        """A batch of this road is in the books: the next one may be, too."""
        self._patience = 0

    def leave(self, error: InDoubt | WarehouseRefused) -> None:
        """A batch is the worker's, for what was found while it was staged, or as its merge was refused."""
        self._doubt()
        self._leave(error.why if isinstance(error, InDoubt) else f"{error.where}: {error.message}")

    def _stage(self, session: Session, unread: Unread, ledger: Ledger) -> Sequence[Statement]:
        state, refs = unread.state, unread.job.refs
        assert state.ordering and state.key_tags and isinstance(session, LoadsRaw)
        urls = [self._store.describe(ref) for ref in refs]
        objects = [
            RawObject(url, ref.version, packing)
            for url, ref, packing in zip(urls, refs, unread.packings, strict=True)
            if packing
        ]
        decoding = Decoding(self._source, unread.books, self._dialect, ordering=state.ordering, key_tags=state.key_tags)
        try:
            with checking(self._check):  # COPY and what decodes may take longer than the lease lasts
                loaded = session.load_raw(RAW, objects)
            if loaded is None:
                raise InDoubt("how many records each object has the warehouse does not tell")
            # An object that is again as it was listed was so meanwhile, but for one that was rewritten twice.
            self._begin([ref for url, ref in zip(urls, refs, strict=True) if url in loaded.unproven], self._check)
            with checking(self._check):
                session.run(decoding.statements(), foreseen=decoding.foreseen())
        except UNFORESEEN as error:  # such as what it tells of its own work
            raise InDoubt(f"{type(error).__name__}: {error}") from error
        found = decoding.found
        records_of = {number: loaded.documents.get(url, 0) for number, url in enumerate(urls)}
        if sum(records_of.values()) != found.records:
            raise InDoubt("records that are none")
        notices = Notices()
        notices.add_unmatched(found.unmatched)
        decoded = Decoded(
            facts=FeedFacts(state.ordering, state.key_tags),
            records=found.records,
            latest=found.latest,
            quarantined=0,
            records_of=records_of,
            newest_change_at=found.newest_change_at,
            plain_bytes=0,
            unmatched=notices.unmatched,
        )
        session.load("_cdc_objects", ledger_rows(refs, bucket=self._store.bucket, records_of=records_of).to_reader())
        if decoded.unmatched:
            known = ledger.unmatched_entities(session, self._source.name)
            session.load("_cdc_unmatched", unmatched_rows(decoded.unmatched, known=known).to_reader())
        batch = Batch(
            id=unread.id,
            source=self._source.name,
            worker=self._worker,
            merged_at=self._clock(),
            newest_change_at=decoded.newest_change_at,
            objects=len(refs),
            records=decoded.records,
            superseded=decoded.superseded,
            quarantined=0,
        )
        # Without the range of its keys: such batches are large, and have keys from everywhere.
        return merge_statements(unread.job, state, decoded, unread.plan, batch, None, is_feed=True)

    def _packings(self, refs: Sequence[ObjectRef], check: Callable[[], None]) -> tuple[Packing | None, ...] | None:
        """Of each object, None for an empty one; None if one is of another kind."""
        found: list[Packing | None] = []
        for head in self._begin(refs, check):
            if head.startswith(_GZIP):
                found.append(Packing.GZIP)
            elif head.lstrip()[:1] == b"{":
                found.append(Packing.NONE)
            elif not head:
                found.append(None)
            else:
                return None
        return tuple(found)

    def _begin(self, refs: Sequence[ObjectRef], check: Callable[[], None]) -> list[bytes]:
        """The first bytes of each object. Raises ObjectChanged for one that is not as it was listed."""

        def begin(ref: ObjectRef) -> bytes:
            check()
            return self._store.begin(ref, _HEAD)

        with ThreadPoolExecutor(_PEEK_THREADS, thread_name_prefix="peek") as pool:
            return list(pool.map(begin, refs))

    def _doubt(self) -> None:
        self._patience = min(max(1, 2 * self._patience), _MOST_PATIENCE)
        self._left_out = self._patience

    def _leave(self, why: str) -> None:
        log.info("worker_decodes", source=self._source.name, why=why)


__all__ = ["InDoubt", "RawRoad", "Unread"]
