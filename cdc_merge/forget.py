"""Erases one item from all that the project keeps, in one transaction, and lists the objects that still hold it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cdc_merge.beside import beside_merges
from cdc_merge.errors import SchemaMoved
from cdc_merge.explain import Progress
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.store import open_store
from cdc_merge.items.changes import read_history
from cdc_merge.items.key import parse_key
from cdc_merge.items.search import Search, Searched, list_objects
from cdc_merge.items.tables import FORGOTTEN, ItemReader, Tombstone
from cdc_merge.ledger import SourceState
from cdc_merge.logs import get_logger
from cdc_merge.model import Settings
from cdc_merge.open_warehouse import OpenWarehouse
from cdc_merge.patience import patiently
from cdc_merge.scratch import scratch_folder
from cdc_merge.warehouses import Session, Statement, Warehouse
from cdc_merge.words import count

_PORTION = 500  # quarantined records erased by one statement

Result = TypeVar("Result")

log = get_logger("cdc_merge.forget")


@dataclass(frozen=True)
class Held:
    """A record of the item in an object. `is_doubtful`: a damaged one that may be another item's."""

    object_key: str
    record: int
    offset: int
    is_doubtful: bool
    is_merged: bool


@dataclass(frozen=True)
class Holdings:
    """Where the item is. `newest`: the newest change among the objects; `searched`: how many objects there are."""

    rows: dict[str, int]
    tombstone: bool
    quarantined: int
    held: tuple[Held, ...]
    newest: Tombstone | None
    searched: int
    troubles: dict[str, str]

    def words(self) -> list[str]:
        """What would be erased, a line each."""
        found = [f"{table}: {count(rows, 'row')}" for table, rows in self.rows.items()]
        found += ["tombstone: 1"] if self.tombstone else []
        found += [f"quarantine: {self.quarantined}"] if self.quarantined else []
        return found or ["nothing of it is in the warehouse"]


@dataclass(frozen=True)
class Forgotten:
    """What was erased, and what is not ours to erase. `rows` by table; `quarantined`: ids of entries; `samples`: of
    reconciles; `misfits`: samples of values that did not fit.

    `kept_position`: of the tombstone that stays on request. `doubtful`: entries that may be of the item, left alone.
    """

    source: str
    rows: dict[str, int]
    tombstone: bool
    quarantined: tuple[str, ...]
    samples: int
    misfits: int
    kept_position: str | None
    doubtful: tuple[str, ...]
    held: tuple[Held, ...]
    objects: int
    hints: tuple[str, ...]

    @property
    def found_anything(self) -> bool:
        return self.erased_anything or bool(self.doubtful or self.held)

    @property
    def erased_anything(self) -> bool:
        return bool(self.rows or self.tombstone or self.quarantined or self.samples or self.misfits)

    def as_dict(self) -> dict[str, object]:
        return {
            "source": self.source,
            "erased": {
                "rows": self.rows,
                "tombstone": self.tombstone,
                "quarantine": list(self.quarantined),
                "samples": self.samples,
                "misfits": self.misfits,
            },
            "kept_position": self.kept_position,
            "doubtful": list(self.doubtful),
            "held": [
                {
                    "object": h.object_key,
                    "record": h.record,
                    "offset": h.offset,
                    "doubtful": h.is_doubtful,
                    "merged": h.is_merged,
                }
                for h in self.held
            ],
            "objects": self.objects,
            "hints": list(self.hints),
        }


@dataclass
class _Erased:
    """What the statements of one try found."""

    rows: dict[str, int] = field(default_factory=dict)
    tombstone: bool = False
    quarantined: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    samples: int = 0
    misfits: int = 0
    kept_position: str | None = None

    @property
    def has_found(self) -> bool:
        """Whether there was more than a tombstone."""
        return bool(self.rows or self.quarantined or self.samples or self.misfits)


class Forgetter:
    """Erases one item of a source."""

    def __init__(
        self,
        settings: Settings,
        source_name: str,
        words: Sequence[str],
        *,
        warehouse: Warehouse | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`words`: the key attributes' values. Raises UsageError for an unknown source."""
        self._settings = settings
        self._source = settings.source_named(source_name)
        self._words = tuple(words)
        self._opened = OpenWarehouse.of(settings, warehouse)
        self._sleep = sleep

    def close(self) -> None:
        """Close the connection, if it was opened here."""
        self._opened.close()

    def look(self, *, find_newest: bool = False, progress: Progress = lambda _objects, _all: None) -> Holdings:
        """Where the item is; nothing of it is changed. Searches all objects of the feed.

        `find_newest`: also find out which of its changes in the objects is the newest. Raises UsageError for a key
        that cannot be, and the errors of stores and warehouses.
        """
        self._patiently(self._settle)  # the books speak of the new table before it is in its place
        state = self._patiently(self._state)
        key = parse_key(self._source, self._words, state.key_tags)
        store = open_store(self._source.changes)
        refs = list_objects(store, with_errors=True)
        with scratch_folder() as folder:
            search = Search(store, key, batch_bytes=self._source.batch.bytes)
            found = search.run(refs, folder, progress=lambda objects, _bytes: progress(objects, len(refs)))
            facts = FeedFacts(state.ordering, state.key_tags)
            # Only where it is asked for: a feed that cannot be merged must not keep an item from being forgotten.
            changes = read_history(found, source=self._source, key=key, facts=facts).changes if find_newest else ()
        newest = max((c for c in changes if c.position), key=lambda c: c.position, default=None)

        def read() -> Holdings:
            with self._opened.session() as session:
                reader = self._reader(self._opened.state(session, self._source))
                merged = reader.merged(session.query, store.bucket, (s.ref.key for s in found))
                return Holdings(
                    rows={t.label: row.rows for t in reader.tables if (row := reader.row(session.query, t))},
                    tombstone=reader.tombstone(session.query) is not None,
                    quarantined=sum(not q.is_doubtful for q in reader.quarantined(session.query)),
                    held=tuple(h for s in found for h in _held(s, is_merged=(s.ref.key, s.ref.version) in merged)),
                    newest=Tombstone(newest.position, newest.changed_at) if newest else None,
                    searched=len(refs),
                    troubles={s.ref.key: s.trouble for s in found if s.trouble},
                )

        return self._patiently(read)

    def erase(self, holdings: Holdings, *, keep_tombstone: bool = False) -> Forgotten:
        """Erase the item in one transaction, beside which no merge of the source runs.

        `keep_tombstone`: leave one just after the newest position known, in the warehouse or in the objects.
        Raises Transient errors, with nothing erased, when the warehouse stays busy for about a minute.
        """
        erased = self._persist(holdings.newest, keep_tombstone=keep_tombstone)
        log.info("item_forgotten", source=self._source.name, rows=sum(erased.rows.values()))
        return Forgotten(
            source=self._source.name,
            rows=erased.rows,
            tombstone=erased.tombstone,
            quarantined=tuple(erased.quarantined),
            samples=erased.samples,
            misfits=erased.misfits,
            kept_position=erased.kept_position,
            doubtful=tuple(erased.doubtful),
            held=holdings.held,
            objects=holdings.searched,
            hints=tuple(self._hints(holdings, erased, keep_tombstone=keep_tombstone)),
        )

    def _state(self) -> SourceState:
        with self._opened.session() as session:
            return self._opened.state(session, self._source)

    def _reader(self, state: SourceState) -> ItemReader:
        key = parse_key(self._source, self._words, state.key_tags)
        tags = state.key_tags or tuple(forms[0][0] for forms in key.forms)
        return ItemReader(self._source, key, state, layout=self._opened.layout, dialect=self._opened.dialect, tags=tags)

    def _settle(self) -> None:
        """No row is to come back with a table that a rebuild has yet to put in its place."""
        with self._opened.session() as session:
            self._opened.settled_state(session, self._source)

    def _persist(self, newest: Tombstone | None, *, keep_tombstone: bool) -> _Erased:
        tried: list[_Erased] = []

        def attempt() -> _Erased:
            self._settle()
            erased = _Erased()
            tried.append(erased)
            with (
                self._opened.session() as session,
                beside_merges(
                    self._opened.warehouse, self._opened.leases, self._source.name, session=session
                ) as opening,
            ):
                session.run(self._statements(opening.first, session, erased, newest, keep_tombstone=keep_tombstone))
            return erased

        last = self._patiently(attempt)
        # A connection that broke at COMMIT may have erased it all the same: then the next try found nothing.
        return last if last.has_found else next((e for e in reversed(tried) if e.has_found), last)

    def _patiently(self, work: Callable[[], Result]) -> Result:
        return patiently(work, source=self._source.name, wait=self._sleep)

    def _statements(
        self, first: Statement, session: Session, erased: _Erased, newest: Tombstone | None, *, keep_tombstone: bool
    ) -> Iterator[Statement]:
        """Everything of the transaction. What is asked in between runs inside it, on the same connection."""
        yield first
        query = session.query
        state = self._opened.state(session, self._source)
        if any(schema.exchange for schema in state.schemas.values()):
            raise SchemaMoved("a table was rebuilt meanwhile", where=f"source {self._source.name}")
        reader = self._reader(state)
        known = [newest] if newest else []
        for table in reader.tables:
            if row := reader.row(query, table):
                erased.rows[table.label] = row.rows
                known.append(Tombstone(row.position, row.changed_at))
                sql = reader.say("delete_rows", table=table.table, condition=reader.condition(table))
                yield Statement(f"forget rows of {table.label}", sql)
        if reader.is_storable:
            yield Statement("forget events", reader.say("delete_events"))
        if tombstone := reader.tombstone(query):
            erased.tombstone = True
            known.append(tombstone)
            yield Statement("forget tombstone", reader.say("delete_tombstone"))
        for entry in reader.quarantined(query):
            (erased.doubtful if entry.is_doubtful else erased.quarantined).append(entry.id)
        for start in range(0, len(erased.quarantined), _PORTION):
            sql = reader.say("delete_quarantine", ids=erased.quarantined[start : start + _PORTION])
            yield Statement("forget quarantine", sql)
        for reconciliation, target, details, mine in list(reader.samples(query)):
            erased.samples += len(mine)
            kept = {**details, "samples": [s for s in details["samples"] if s not in mine]}
            text = json.dumps(kept, ensure_ascii=False)
            sql = reader.say("update_details", id=reconciliation, target=target, details=text)
            yield Statement("forget samples", sql)
        if misfits := reader.misfits(query):
            erased.misfits = len(misfits)
            yield Statement("forget misfits", reader.say("erase_misfits", key=reader.key_document))
        last = max(known, key=lambda t: t.position, default=None)
        if keep_tombstone and last and last.position and reader.is_storable:
            erased.kept_position = last.position.removesuffix(FORGOTTEN) + FORGOTTEN
            sql = reader.say("insert_tombstone", position=erased.kept_position, changed_at=last.changed_at)
            yield Statement("keep tombstone", sql)
            sql = reader.say("insert_forgotten", position=erased.kept_position, changed_at=last.changed_at)
            yield Statement("keep out of histories", sql)

    def _hints(self, holdings: Holdings, erased: _Erased, *, keep_tombstone: bool) -> Iterator[str]:
        if keep_tombstone and not erased.kept_position:
            yield "no tombstone was left: no change of the item with a position is known"
        if holdings.held and not erased.kept_position:
            yield "while they are there, a replay of them brings the item back"
        if any(not h.is_merged for h in holdings.held) and not erased.kept_position:
            yield "some of them are not merged yet: the next merge brings the item back"
        if holdings.troubles:
            yield "not searched: " + "; ".join(f"{key}: {why}" for key, why in holdings.troubles.items())
        if self._source.exports:
            yield f"exports below {self._source.exports} may hold it, and a reconcile with one brings it back"


def _held(searched: Searched, *, is_merged: bool) -> Iterator[Held]:
    for find in searched.finds:
        yield Held(searched.ref.key, find.record, find.offset, find.is_doubtful, is_merged)


__all__ = ["Forgetter", "Forgotten", "Held", "Holdings"]
