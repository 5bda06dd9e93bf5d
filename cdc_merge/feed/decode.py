"""Turns the objects of one batch into staged rows: objects → lines → newest change of each key → typed columns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

import duckdb

from cdc_merge.errors import BatchTooLarge
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.envelopes import EnvelopePass
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.history import leave_out, stage_histories
from cdc_merge.feed.images import ImagePass
from cdc_merge.feed.notices import Misfit
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.picks import PICKED_FROM, Picks
from cdc_merge.feed.portions import BUFFER_SHARE, Portions
from cdc_merge.feed.reading import Rereading
from cdc_merge.feed.rejects import Rejects
from cdc_merge.feed.row_notices import ChangeNotices
from cdc_merge.feed.rows import RowStage
from cdc_merge.feed.shelf import BenchShelf
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import Source
from cdc_merge.render import render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.shortage import cure, more_than
from cdc_merge.warehouses.dialect import DUCKDB, Dialect

# An object may be larger than a batch, but not by this much: more is a compression bomb, not a feed.
# Firehose buffers at most 128 MiB: https://docs.aws.amazon.com/firehose/latest/APIReference/API_BufferingHints.html
_BOMB_FACTOR = 8
_MOST_THREADS = 8  # each holds a chunk's buffer
_MEMORY_PER_THREAD = 150_000_000  # bytes; what DuckDB takes at most to decode a chunk, as measured


@dataclass(frozen=True)
class Decoded:
    """What decoding found. The rows themselves are in the workbench: `stage_keys`, `stage_rows_<i>`, `rejected`,
    and for targets with a history `stage_events` and `history_rows_<i>`.

    `records` counts every record, and each unreadable object as one; `records_of` is per object number. `unmatched`:
    items that no target takes, by entity. `misfits`: columns that did not take some values.
    """

    facts: FeedFacts
    records: int
    latest: int
    quarantined: int
    records_of: dict[int, int]
    newest_change_at: datetime | None
    plain_bytes: int
    unmatched: Mapping[str, int] = field(default_factory=dict)
    misfits: tuple[Misfit, ...] = ()

    @property
    def superseded(self) -> int:
        """Records that lost to a newer change, or to themselves, within the batch."""
        return self.records - self.latest - self.quarantined


class Pace(Enum):
    """How much of a batch is decoded at once. NARROW: few lines, one portion after the other, for very large items."""

    FULL = auto()
    NARROW = auto()


def decoding_threads(workbench: Workbench) -> int:
    """How many portions to decode at once: one a core, as far as the memory goes."""
    return max(1, min(os.cpu_count() or 1, _MOST_THREADS, workbench.memory // _MEMORY_PER_THREAD))


def decode(
    workbench: Workbench,
    objects: Sequence[LocalObject],
    *,
    source: Source,
    facts: FeedFacts,
    books: Sequence[SchemaBook],
    dialect: Dialect,
    check: Callable[[], None] = lambda: None,
    pace: Pace = Pace.FULL,
) -> Decoded:
    """Decode a batch on a fresh workbench; `books` grow by the columns it needs; `check` may raise to stop.

    Raises BatchTooLarge, SourceStopped and its kind when the feed as a whole cannot be used; nothing for a bad record.
    """
    try:
        return _decode(workbench, objects, source, facts, books, dialect, check, pace)
    except duckdb.OutOfMemoryException as error:
        raise BatchTooLarge(
            f"decoding a batch takes {more_than(workbench.memory, error)}",
            where=f"source {source.name}",
            hint=cure(error, of_memory="raise `memory` of the source, or lower its `batch`"),
        ) from error


def _decode(
    workbench: Workbench,
    objects: Sequence[LocalObject],
    source: Source,
    facts: FeedFacts,
    books: Sequence[SchemaBook],
    dialect: Dialect,
    check: Callable[[], None],
    pace: Pace,
) -> Decoded:
    threads = 1 if pace is Pace.NARROW else decoding_threads(workbench)
    workbench.execute(f"SET threads = {threads}")
    crew = Crew(workbench, size=threads)
    portions = Portions(
        tuple(objects),
        limit=source.batch.bytes * _BOMB_FACTOR,
        memory=0 if pace is Pace.NARROW else int(source.memory * BUFFER_SHARE),
        users=crew.size,
        check=check,
    )
    rejects = Rejects(workbench)
    picks = Picks.of([b.target for b in books])
    noted = ChangeNotices(workbench, source, books)
    images = ImagePass(workbench, crew, portions, rejects, source, books, dialect, notices=noted, picks=picks)
    early = None if pace is Pace.NARROW else images.stage_early
    envelopes = EnvelopePass(workbench, crew, portions, rejects, source, facts, picks, early=early)
    envelopes.run()
    plain_bytes = portions.plain_bytes
    workbench.execute(
        "CREATE TABLE rejected_early AS SELECT object_number, count(*) AS records FROM rejected GROUP BY ALL"
    )
    changes = envelopes.changes
    if picks:
        changes.show()
        for template in ("newest", "latest_picks"):
            workbench.execute(render(f"feed/sql/{template}.sql", DUCKDB, picks=picks.each()))
    else:
        changes.make_latest()
    facts = envelopes.facts
    images.run(facts, changes)
    notices = noted.settle()
    if with_history := [i for i, book in enumerate(books) if book.target.has_history]:
        rows = RowStage(
            BenchShelf(workbench, with_history, facts="history_facts", rows="history_rows"),
            source,
            facts,
            books,
            dialect,
            unusable=leave_out,
            only=with_history,
        )
        reading = Rereading(workbench, crew, portions, rejects)
        changes.show()
        stage_histories(workbench, reading, rows, source, portions.object_key)
        images.finish()  # older images may have brought columns
    # Changes that the second pass rejected are in both tables, so each record is counted where pass one left it.
    records_of = Counter(changes.counts(len(objects)))
    records_of.update(dict(workbench.rows("SELECT object_number, records FROM rejected_early")))
    latest, newest = workbench.rows(
        f"SELECT count(*) FILTER (WHERE n < {PICKED_FROM}), max(changed_at) FROM facts SEMI JOIN latest USING (n)"
    )[0]
    return Decoded(
        facts=facts,
        records=sum(records_of.values()),
        latest=latest,
        quarantined=rejects.count(),
        records_of=records_of,
        newest_change_at=newest,
        plain_bytes=plain_bytes,
        unmatched=notices.unmatched,
        misfits=notices.misfits,
    )
