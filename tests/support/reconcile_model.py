"""The slow, obviously right warehouse of a source, by docs/semantics.md alone, and random stories to try one on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

from cdc_merge.errors import Refused
from cdc_merge.model import Ordering, Source, Target
from tests.support.model import Change, Key, Row, Typed, could_take, expected, key_text, plain_item, takes
from tests.support.records import TTL_IDENTITY, Record, kinesis_record, stream_record, to_item

FROM_EXPORT = ""  # the position of rows that came from an export
MARGIN = timedelta(minutes=2)
# "can vary by one minute": https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
FUZZ_SECONDS = 60.0


class Rule(StrEnum):
    """The rules that a mutation check leaves out, to see that they are needed."""

    SIBLINGS = "a newer row in another target makes a change stale"
    IGNORED = "a change that no target takes leaves a tombstone"
    FLOOR = "a change at or before the floor is stale"
    LAST_OVER_ALL = "the last change of a key is looked for in all targets"
    LOWEST_FLOOR = "tombstones wait for the lowest floor"
    TRACES = "a repaired row whose time is above the lowest floor leaves its position behind"


class Verdict(StrEnum):
    EQUAL = "equal"
    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    NEWER = "newer"


REPAIRED = (Verdict.MISSING, Verdict.EXTRA, Verdict.DIFFERENT)
Verdicts = dict[str, dict[Verdict, set[Key]]]
"""The keys of each verdict, by table."""


@dataclass(frozen=True)
class Tombstone:
    position: str
    changed_at: datetime | None


def floor_of(as_of: datetime, margin: timedelta, known: Mapping[str, datetime]) -> datetime:
    """The floor that a reconcile raises. Raises Refused for an export older than what a target is verified up to."""
    floor = as_of - margin
    if any(floor < floor_known for floor_known in known.values()):
        raise Refused("the export is older than a floor")
    return floor


@dataclass
class ModelWarehouse:
    """What a source's tables, tombstones and floors are after merges and reconciles, one after the other."""

    source: Source
    without: frozenset[Rule] = frozenset()
    tables: dict[str, dict[Key, Row]] = field(default_factory=dict)
    tombstones: dict[Key, Tombstone] = field(default_factory=dict)
    floors: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for target in self.source.targets:
            self.tables.setdefault(target.table, {})

    # --- one batch ---------------------------------------------------------------------------------------

    def merge(self, records: Iterable[Record]) -> None:
        """One batch: the newest change of each key, where it is not stale."""
        for history in expected(records, self.source).changes.values():
            self._merge(history[-1])

    def _merge(self, change: Change) -> None:
        accepting = [t for t in self.source.targets if self._accepts(t, change)]
        if not accepting:
            return
        self.tombstones.pop(change.key, None)
        for target in accepting:
            self.tables[target.table].pop(change.key, None)
            if change.image is not None and takes(target, change.image):
                item = plain_item(change.image, change.base64_layers)
                self.tables[target.table][change.key] = Row(change.position, change.changed_at, item)
        has_trace = any(row.position == change.position for row in self._rows(change.key))
        is_conceivable = any(could_take(t, change.keys, self.source.key) for t in self.source.targets)
        is_kept = change.image is None or Rule.IGNORED not in self.without
        if not has_trace and is_conceivable and is_kept:
            self.tombstones[change.key] = Tombstone(change.position, change.changed_at)

    def _accepts(self, target: Target, change: Change) -> bool:
        floor = self.floors.get(target.table)
        if floor and change.changed_at and change.changed_at <= floor and Rule.FLOOR not in self.without:
            return False
        own = self.tables[target.table].get(change.key)
        if own is not None and own.position >= change.position:
            return False
        others = [] if Rule.SIBLINGS in self.without else self._rows(change.key)
        return not any(known.position > change.position for known in others + self._tombstone(change.key))

    def _rows(self, key: Key) -> list[Row | Tombstone]:
        """The rows of a key in all tables, also of targets that are no longer there."""
        return [rows[key] for rows in self.tables.values() if key in rows]

    def _tombstone(self, key: Key) -> list[Row | Tombstone]:
        return [self.tombstones[key]] if key in self.tombstones else []

    # --- by hand -----------------------------------------------------------------------------------------

    def alterable(self, as_of: datetime) -> list[tuple[str, Key]]:
        """The rows that somebody may change, right before a reconcile as of this time: any."""
        return [(table, key) for table, rows in self.tables.items() for key in rows]

    def alter(self, table: str, key: Key, row: Row | None) -> None:
        """Change a row by hand, or delete it."""
        del self.tables[table][key]
        if row is not None:
            self.tables[table][key] = row

    # --- reconcile ---------------------------------------------------------------------------------------

    def reconcile(
        self,
        items: Iterable[Typed],
        *,
        as_of: datetime,
        margin: timedelta = MARGIN,
        tables: Collection[str] | None = None,
        anew: bool = False,
    ) -> Verdicts:
        """Compare with the typed items of an export and repair; `tables`: only these targets.

        `anew`: a rebuild, in which rows that are equal come from the export, too.

        Raises Refused, with nothing changed, if the export is older than what a target is verified up to.
        """
        floor = floor_of(as_of, margin, self.floors)
        exported = {key_of(item, self.source): item for item in items}
        chosen = [t for t in self.source.targets if tables is None or t.table in tables]
        taken = {t.table: {k: plain_item(i) for k, i in exported.items() if takes(t, i)} for t in chosen}
        verdicts: Verdicts = {}
        for target in chosen:
            verdicts[target.table] = {verdict: set() for verdict in Verdict}
            for key in self.tables[target.table].keys() | taken[target.table].keys():
                verdict = self._judge(target, key, taken[target.table].get(key), floor)
                verdicts[target.table][verdict].add(key)
        self.floors |= {t.table: floor for t in chosen}
        for table, by_verdict in verdicts.items():
            written = (*REPAIRED, Verdict.EQUAL) if anew else REPAIRED
            for key in set[Key]().union(*(by_verdict[v] for v in written)):
                self._repair(self.tables[table], key, taken[table].get(key), floor)
        self._collect_tombstones()
        return verdicts

    def _judge(self, target: Target, key: Key, item: Mapping[str, Any] | None, floor: datetime) -> Verdict:
        row = self.tables[target.table].get(key)
        is_own_only = Rule.LAST_OVER_ALL in self.without
        last = [known for known in self._rows(key) if not is_own_only or known is row]
        if any(k.changed_at is None or k.changed_at > floor for k in last + self._tombstone(key)):
            return Verdict.NEWER
        if item is None:
            return Verdict.EXTRA
        if row is None:
            return Verdict.MISSING
        return Verdict.EQUAL if is_same(row.item, Row("", None, dict(item)).item) else Verdict.DIFFERENT

    def _repair(self, rows: dict[Key, Row], key: Key, item: dict[str, Any] | None, floor: datetime) -> None:
        old = rows.pop(key, None)
        if item is not None:
            rows[key] = Row(FROM_EXPORT, floor, item)
        if old is None or old.position == FROM_EXPORT or self._is_settled(old) or Rule.TRACES in self.without:
            return
        if all(known.position < old.position for known in self._tombstone(key)):
            self.tombstones[key] = Tombstone(old.position, old.changed_at)

    def _collect_tombstones(self) -> None:
        self.tombstones = {key: known for key, known in self.tombstones.items() if not self._is_settled(known)}

    def _is_settled(self, known: Row | Tombstone) -> bool:
        """Whether no target would accept a change as old as this one any more."""
        floors = [self.floors.get(target.table) for target in self.source.targets]
        if Rule.LOWEST_FLOOR in self.without:
            floors = [max((f for f in floors if f), default=None)]
        return known.changed_at is not None and all(f is not None and known.changed_at <= f for f in floors)


def key_of(item: Typed, source: Source) -> Key:
    """The canonical key of a typed item."""
    return tuple(key_text(item[name]) for name in source.key)


def is_same(one: Any, other: Any) -> bool:
    """Whether two plain values are the same, of the same type; 1 and 1.0 are."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


# --- stories -----------------------------------------------------------------------------------------------

START = datetime(2026, 1, 1, tzinfo=UTC)
Image = dict[str, Any]
STEPS = (0.001, 0.5, 1, 20, 59, 61, 119, 121, 300)  # seconds between changes
DELAYS = (0, 1, 30, 70, 130, 400, 1500)  # seconds until a change is delivered
LAGS = (60, 61, 125, 400)  # seconds from an export's time until it is complete


@dataclass(frozen=True)
class Event:
    """One change of the DynamoDB table: the item with its key is `image` from then on; None: it is gone."""

    at: datetime
    keys: Image
    image: Image | None
    record: Record


@dataclass(frozen=True)
class Deliver:
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Reconcile:
    as_of: datetime
    items: tuple[Typed, ...]


@dataclass(frozen=True)
class Story:
    """What happened in the DynamoDB table, and what the warehouse is told of it, in order."""

    events: tuple[Event, ...]
    steps: tuple[Deliver | Reconcile, ...]

    @property
    def after_all(self) -> datetime:
        """A time of which an export holds the end of every change, margin and fuzz included."""
        return self.events[-1].at + 2 * MARGIN

    def export(self, as_of: datetime, random: Random | None = None) -> Reconcile:
        """The items as of some moment within a minute of `as_of`, of each its own; as of `as_of` without `random`."""
        items: dict[str, Image | None] = {}
        cuts: dict[str, datetime] = {}
        for event in self.events:
            key = repr(event.keys)
            fuzz = random.uniform(-FUZZ_SECONDS, FUZZ_SECONDS) if random else 0.0
            if event.at <= cuts.setdefault(key, as_of + timedelta(seconds=fuzz)):
                items[key] = event.image
        present = [to_item(item) for item in items.values() if item is not None]
        if random:
            random.shuffle(present)
        return Reconcile(as_of, tuple(present))


def random_story(
    random: Random,
    *,
    keys: Sequence[Image],
    image: Callable[[Random], Image],
    ordering: Ordering = Ordering.SEQUENCE,
    min_changes: int = 2,
    max_changes: int = 10,
    max_reconciles: int = 3,
    together: float = 0.5,
    expiring: float = 0.0,
) -> Story:
    """Items that come, change, go and come back; a feed that loses, delays and repeats; exports of random times.

    `together`: how likely what is delivered next is in the same batch. `expiring`: the share of what goes that time
    to live takes.

    The first of `keys` is there from the start on and for good, so that no export is empty.
    """
    events = _events(random, keys, image, ordering, random.randint(min_changes, max_changes), expiring)
    story = Story(events, ())
    due: list[tuple[datetime, float, Record | Reconcile]] = []
    for event in events:
        for _ in range(random.choice((0, 1, 1, 1, 2))):
            due.append((event.at + timedelta(seconds=random.choice(DELAYS)), random.random(), event.record))
    milliseconds = (events[-1].at - START) // timedelta(milliseconds=1)
    for _ in range(random.randint(1, max_reconciles)):
        as_of = START + timedelta(seconds=FUZZ_SECONDS, milliseconds=random.randint(1, milliseconds + 120_000))
        ready = as_of + timedelta(seconds=random.choice(LAGS))
        due.append((ready, random.random(), story.export(as_of, random)))
    steps: list[Deliver | Reconcile] = []
    for _, dice, what in sorted(due, key=lambda each: each[:2]):
        last = steps[-1] if steps else None
        if isinstance(what, Reconcile):
            steps.append(what)
        elif isinstance(last, Deliver) and dice < together:
            steps[-1] = Deliver((*last.records, what))
        else:
            steps.append(Deliver((what,)))
    return Story(events, tuple(steps))


def _events(
    random: Random,
    keys: Sequence[Image],
    image: Callable[[Random], Image],
    ordering: Ordering,
    count: int,
    expiring: float,
) -> tuple[Event, ...]:
    events: list[Event] = []
    alive: dict[int, Image] = {}
    at = START
    for number in range(count):
        which = random.randrange(len(keys)) if number else 0
        old = alive.pop(which, None)
        is_removed = which > 0 and old is not None and random.random() < 0.35
        new = None if is_removed else {**keys[which], **image(random)}
        if new is not None:
            alive[which] = new
        if ordering is Ordering.SEQUENCE:
            record = stream_record(keys[which], new, old_image=old, sequence=10**21 + number * 7, at=at)
        else:
            event_id = f"00000000-0000-4000-8000-{number:012d}"
            record = kinesis_record(keys[which], new, old_image=old, at=at, event_id=event_id)
        if new is None and expiring and random.random() < expiring:
            record["userIdentity"] = TTL_IDENTITY
        events.append(Event(at, keys[which], new, record))
        at += timedelta(seconds=random.choice(STEPS))
    return tuple(events)
