"""Reads the records that were found as the feed does: their position, event and time, and which targets take them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cdc_merge.feed import shape
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import decoding_threads
from cdc_merge.feed.envelopes import EnvelopePass
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.parallel import Crew
from cdc_merge.feed.portions import BUFFER_SHARE, Portion, Portions
from cdc_merge.feed.reading import numbered
from cdc_merge.feed.rejects import Rejects
from cdc_merge.feed.where import could_take, takes
from cdc_merge.feed.workbench import WORKBENCH_SHARE, Bench, Workbench
from cdc_merge.items.key import ItemKey
from cdc_merge.items.search import Find, Searched
from cdc_merge.model import Source, Target
from cdc_merge.render import Sql, render
from cdc_merge.warehouses import Row
from cdc_merge.warehouses.dialect import DUCKDB

_EVENTS = ("INSERT", "MODIFY", "REMOVE")
_NO_LIMIT = 2**62  # the objects' size was judged when they were searched


@dataclass(frozen=True, order=True)
class Place:
    """Where a record lies; `offset` counts in the uncompressed object."""

    object_key: str
    offset: int
    record: int
    version: str


@dataclass(frozen=True)
class Change:
    """One record of the item, in its object.

    `takes`: the targets that take its image; `spares`: those whose row a REMOVE leaves. `unusable`: the reason code
    where the feed cannot use it; its position is empty if it has none. `is_doubtful`: it may be another item's.
    """

    place: Place
    event: str
    position: str
    changed_at: datetime | None
    is_expiry: bool = False
    takes: frozenset[str] = frozenset()
    spares: frozenset[str] = frozenset()
    unusable: str | None = None
    is_doubtful: bool = False

    @property
    def is_remove(self) -> bool:
        return self.event == "REMOVE"


@dataclass(frozen=True)
class History:
    """All changes of an item that were found, by position; `could`: the targets that its key does not rule out."""

    changes: tuple[Change, ...]
    could: frozenset[str]
    key_tags: tuple[str, ...] | None


def read_history(searched: Sequence[Searched], *, source: Source, key: ItemKey, facts: FeedFacts) -> History:
    """The changes of the item in the objects that were found to hold it.

    Raises what a merge would: MixedFeed, SourceStopped and their like.
    """
    held = [s for s in searched if s.path]
    damaged = [_damaged(s.ref.key, s.ref.version, f) for s in searched for f in s.finds if f.damage]
    with Workbench(memory=int(source.memory * WORKBENCH_SHARE)) as workbench:
        reading = _Reading(workbench, held, source, key, facts)
        changes = reading.run() if held else []
        could = reading.could()
    changes = sorted([*changes, *damaged], key=lambda c: (c.position, c.place))
    return History(tuple(changes), could, reading.facts.key_tags)


def _damaged(object_key: str, version: str, find: Find) -> Change:
    place = Place(object_key, find.offset, find.record, version)
    return Change(place, "unknown", "", None, unusable=find.damage, is_doubtful=find.is_doubtful)


class _Reading:
    """The two passes of the feed over what was found: envelopes, then the images of the item."""

    def __init__(
        self, workbench: Workbench, held: Sequence[Searched], source: Source, key: ItemKey, facts: FeedFacts
    ) -> None:
        threads = decoding_threads(workbench)
        workbench.execute(f"SET threads = {threads}")
        self._workbench = workbench
        self._source = source
        self._key = key
        self.facts = facts
        self._crew = Crew(workbench, size=threads)
        self._objects = dict(enumerate(held))
        self._finds = {n: [f for f in s.finds if f.damage is None] for n, s in self._objects.items()}
        self._portions = Portions(
            tuple(LocalObject(n, s.ref, s.path) for n, s in self._objects.items() if s.path),
            limit=_NO_LIMIT,
            memory=int(source.memory * BUFFER_SHARE),
            users=threads,
            check=lambda: None,
        )
        self._lock = threading.Lock()
        self._changes: list[Change] = []

    def run(self) -> list[Change]:
        rejects = Rejects(self._workbench)
        envelopes = EnvelopePass(self._workbench, self._crew, self._portions, rejects, self._source, self.facts)
        envelopes.run()
        envelopes.changes.show()
        self.facts = envelopes.facts
        for number, record, reason in self._workbench.rows(
            "SELECT object_number, record, reason FROM rejected WHERE record IS NOT NULL"
        ):
            is_doubtful = self._find(number, record).is_doubtful
            place = self._place(number, record)
            self._changes.append(Change(place, "unknown", "", None, unusable=reason, is_doubtful=is_doubtful))
        if self.facts.key_tags and self._key.is_known(self.facts.key_tags):
            partition_key, sort_key = self._key.texts(self.facts.key_tags)
            self._workbench.execute(
                render("items/sql/wanted.sql", DUCKDB, partition_key=partition_key, sort_key=sort_key)
            )
            self._crew.work(self._portions.read_fast(), self._read_images)
            self._crew.work(self._portions.read_exact(), self._read_images)
        return self._changes

    def could(self) -> frozenset[str]:
        """The targets that could take an item of this key."""
        tags = self.facts.key_tags
        if not tags or not self._key.is_known(tags):
            return frozenset(t.table for t in self._source.targets)
        partition_key, sort_key = map(shape.literal, self._key.texts(tags))
        asked = ", ".join(could_take(t, self._source.key, tags) for t in self._source.targets)
        row = self._workbench.rows(
            f"SELECT {asked} FROM (SELECT {partition_key} AS partition_key, {sort_key} AS sort_key) AS l"
        )[0]
        return frozenset(t.table for t, possible in zip(self._source.targets, row, strict=True) if possible)

    def _read_images(self, bench: Bench, portion: Portion) -> None:
        pointers = shape.Pointers()
        values = {
            "event_name": pointers.value(shape.EVENT_NAME),
            "created_at": pointers.value(shape.CREATED_AT),
            "precision": pointers.value(shape.PRECISION),
            "is_expiry": shape.is_expiry(pointers.value),
        }
        taken = [Sql(_takes(target, pointers)) for target in self._source.targets]
        sql = render(
            "items/sql/images.sql",
            DUCKDB,
            chunk=portion.number,
            image=shape.NEW_IMAGE,
            takes=taken,
            pointers=Sql(pointers.as_list()),
            **{name: Sql(value) for name, value in values.items()},
        )
        with bench.naming(lines=numbered(portion)):
            rows = bench.rows(sql)
        changes = [self._change(portion, row) for row in rows]
        with self._lock:
            self._changes += changes

    def _change(self, portion: Portion, row: Row) -> Change:
        line, position, event, changed_at, is_expiry, has_image, *taken = row
        number, record, _ = portion.place(line)
        is_remove = event == "REMOVE"
        unusable = None
        if event not in _EVENTS:
            unusable = "unknown_event"
        elif not is_remove and not has_image:
            unusable = "no_image"
        targets = self._source.targets
        return Change(
            place=self._place(number, record),
            event=event or "unknown",
            position=position,
            changed_at=changed_at,
            is_expiry=is_remove and is_expiry,
            takes=frozenset(t.table for t, is_taken in zip(targets, taken, strict=True) if is_taken),
            spares=frozenset(t.table for t in targets if is_remove and t.spares(is_expiry=is_expiry)),
            unusable=unusable,
        )

    def _find(self, number: int, record: int) -> Find:
        return self._finds[number][record - 1]

    def _place(self, number: int, record: int) -> Place:
        """The place in its own object of a record in the file of what was found there."""
        ref, find = self._objects[number].ref, self._find(number, record)
        return Place(ref.key, find.offset, find.record, ref.version)


def _takes(target: Target, pointers: shape.Pointers) -> str:
    """Whether a target takes an image; one with `each` does if that gives rows."""
    taken = takes(target, pointers.value)
    if target.each is None:
        return taken
    return f"({taken}) AND element_count({pointers.value(shape.pointer(target.each))}) > 0"


__all__ = ["Change", "History", "Place", "read_history"]
