"""Says what became of each change of an item, and why each target has the row it has, from what is known; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cdc_merge.items.changes import Change, Place
from cdc_merge.items.moves import Counting, Moves, follow
from cdc_merge.items.tables import FORGOTTEN, ItemRow, Merged, Quarantined, Reconciled, Tombstone


class Became(StrEnum):
    """What became of a change."""

    CURRENT = "current"  # a row bears it
    REMOVED = "removed"  # the tombstone bears it
    SPARED = "spared"  # the tombstone bears it, and no target follows such a REMOVE
    UNTAKEN = "untaken"  # the newest, and no target takes it
    SUPERSEDED = "superseded"  # a newer one of its batch, or of a later one, took its place
    STALE = "stale"  # when it came, something newer was known
    DUPLICATE = "duplicate"  # the same change again
    WAITING = "waiting"  # its object is not merged yet
    QUARANTINED = "quarantined"
    UNUSABLE = "unusable"  # neither used nor in quarantine
    LOST = "lost"  # merged, and nothing bears it


@dataclass(frozen=True)
class Floor:
    """Up to when a target is verified, and the reconcile that raised the floor so far, if it is still in the books."""

    at: datetime
    by: Reconciled | None = None


@dataclass(frozen=True)
class Standing:
    """What the warehouse has. `rows` and `floors` by table; `targets`: those of the configuration; `soft`: those of
    them that mark rows as deleted.
    """

    targets: tuple[str, ...]
    soft: frozenset[str] = frozenset()
    rows: Mapping[str, ItemRow] = field(default_factory=dict)
    tombstone: Tombstone | None = None
    floors: Mapping[str, Floor] = field(default_factory=dict)
    merged: Mapping[tuple[str, str], Merged] = field(default_factory=dict)  # by object key and version
    quarantined: tuple[Quarantined, ...] = ()
    origins: Mapping[str, Reconciled] = field(default_factory=dict)  # by table: where a row without position came from
    could: frozenset[str] = frozenset()  # the targets that the key does not rule out

    def is_forgotten_at(self, position: str) -> bool:
        """Whether a tombstone says that the item was forgotten, with all changes up to a position."""
        tombstone = self.tombstone
        return tombstone is not None and tombstone.position.endswith(FORGOTTEN) and position < tombstone.position


@dataclass(frozen=True)
class Fate:
    """`by`: the place in the list, from 0, of the change that this one gave way to, or is a copy of."""

    became: Became
    why: str
    by: int | None = None
    moves: Moves = field(default_factory=Moves)


_Outcome = tuple[Became, str, int | None]


def judge(changes: Sequence[Change], standing: Standing) -> list[Fate]:
    """What became of each change; `changes` are in order of position."""
    judge_one = _Judge(changes, standing)
    return [judge_one.fate(number) for number in range(len(changes))]


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


class _Judge:
    def __init__(self, changes: Sequence[Change], standing: Standing) -> None:
        self._changes = changes
        self._standing = standing
        self._merged = [standing.merged.get((c.place.object_key, c.place.version)) for c in changes]
        self._quarantined = {(q.place.object_key, q.place.version, q.place.offset): q for q in standing.quarantined}
        self._moves = follow(changes, soft=standing.soft)
        self._counting = Counting(changes, soft=standing.soft)
        # Of the copies of a change, the one that was merged and stands first is told as the change itself.
        self._firsts: dict[str, int] = {}
        for number, (change, merged) in enumerate(zip(changes, self._merged, strict=True)):
            if merged is not None and not change.unusable:
                self._firsts.setdefault(change.position, number)
        self._outdoers: dict[tuple[int, ...], dict[int, int | None]] = {}

    def fate(self, number: int) -> Fate:
        change = self._changes[number]
        merged = self._merged[number]
        place = change.place
        if entry := self._quarantined.get((place.object_key, place.version, place.offset)):
            return Fate(Became.QUARANTINED, f"entry {entry.id}: {entry.reason}, {entry.detail}")
        if merged is None:
            also = f"; it cannot be used ({change.unusable})" if change.unusable else ""
            return Fate(Became.WAITING, f"its object is not merged yet{also}", None, self._moves[number])
        if change.unusable:
            return Fate(
                Became.UNUSABLE,
                f"{change.unusable}; not in quarantine: a newer change was in its batch, or it was discarded",
            )
        if (first := self._firsts[change.position]) != number:
            return Fate(Became.DUPLICATE, f"the same position as {first + 1}", first)
        became, why, by = self._outcome(number, change, merged)
        return Fate(became, why, by, self._moves[number])

    def _outcome(self, number: int, change: Change, merged: Merged) -> _Outcome:
        standing = self._standing
        if standing.is_forgotten_at(change.position):
            return Became.STALE, "the item was forgotten with a tombstone kept", None
        bearers = [t for t, row in standing.rows.items() if row.position == change.position]
        if bearers:
            return Became.CURRENT, f"the row in {_list(bearers)} bears it", None
        if standing.tombstone and standing.tombstone.position == change.position:
            return self._remembered(number, "the newest known")
        if outdone := self._outdone(number, merged):
            return outdone
        if unseen := self._outdone_by_unseen(change):
            return Became.STALE, unseen, None
        if floor := self._below_floors(change):
            return Became.STALE, floor, None
        if not change.is_remove and not change.takes:
            return Became.UNTAKEN, "matches no target" + self._by_key_alone(), None
        if change.is_remove and not standing.could:
            return Became.UNTAKEN, "matches no target" + self._by_key_alone(), None
        return Became.LOST, _LOST, None

    def _by_key_alone(self) -> str:
        return "" if self._standing.could else ": the key alone shows that none could"

    def _remembered(self, number: int, newest: str) -> _Outcome:
        """A change that is in the tombstone."""
        change = self._changes[number]
        if not change.is_remove:
            return Became.UNTAKEN, f"{newest}, and matches no target; a tombstone remembers it", None
        if change.spares and not self._counting.judges(number, self._standing.targets):
            return Became.SPARED, f"{newest}, and no target follows it; a tombstone remembers it", None
        return Became.REMOVED, f"{newest}; a tombstone remembers it", None

    def _outdone(self, number: int, merged: Merged) -> _Outcome | None:
        """By a newer change that was merged, too; where targets differ, each is told."""
        everything = tuple(range(len(self._changes)))
        judges = self._counting.judges(number, self._standing.targets)
        found: dict[_Outcome, list[str]] = {}
        for table in judges:
            if outcome := self._outdone_in(number, merged, self._counting.beside(number, table)):
                found.setdefault(outcome, []).append(table)
            elif not self._changes[number].takes and self._outdone_in(number, merged, everything):
                found.setdefault(self._remembered(number, f"the newest that counts in {table}"), []).append(table)
        if not judges and (outcome := self._outdone_in(number, merged, everything)):
            return outcome
        if len(found) < 2:
            return next(iter(found), None)
        (became, _, by), *_ = sorted(found, key=lambda outcome: list(Became).index(outcome[0]))
        return became, "; ".join(f"{why} ({', '.join(tables)})" for (_, why, _), tables in found.items()), by

    def _outdone_in(self, number: int, merged: Merged, counting: tuple[int, ...]) -> _Outcome | None:
        if counting not in self._outdoers:
            self._outdoers[counting] = self._find_outdoers(counting)
        by = self._outdoers[counting].get(number)
        if by is None:
            return None
        other = self._merged[by]
        if other is None or other.batch == merged.batch:
            return Became.SUPERSEDED, f"by the newer {by + 1} in the same batch", by
        if other.at < merged.at:
            trace = self._trace(by, self._changes[number])
            return Became.STALE, f"when it was merged, {trace} of the newer {by + 1} was there", by
        return Became.SUPERSEDED, f"by the newer {by + 1}, merged later", by

    def _find_outdoers(self, counting: tuple[int, ...]) -> dict[int, int | None]:
        """For each first change of a position, of those that count, the newer one it gave way to.

        That is the newest of its own batch; else the newest that had been merged before; else the first merged after.
        """
        found: dict[int, int | None] = {}
        newest_of_batch: dict[str, int] = {}
        # Of the newer changes, from the newest on, those merged before all that are newer still: times fall.
        falling: list[datetime] = []
        earlier: list[int] = []
        for number in sorted(set(self._firsts.values()).intersection(counting), reverse=True):
            merged = self._merged[number]
            assert merged is not None  # by what a first change is
            before = bisect_right(falling, -_seconds(merged.at), key=lambda at: -_seconds(at))
            if merged.batch in newest_of_batch:
                found[number] = newest_of_batch[merged.batch]
            elif before < len(earlier):
                found[number] = earlier[before]
            else:
                found[number] = earlier[-1] if earlier else None
            newest_of_batch.setdefault(merged.batch, number)
            if not falling or merged.at < falling[-1]:
                falling.append(merged.at)
                earlier.append(number)
        return found

    def _trace(self, number: int, stale: Change) -> str:
        """What a newer change had left, by which another was found stale."""
        newer = self._changes[number]
        if newer.is_remove or not newer.takes:
            return "the tombstone"
        if own := newer.takes & stale.takes:
            return f"the row in {_list(sorted(own))}"
        return f"the row in {_list(sorted(newer.takes))}, a sibling,"

    def _outdone_by_unseen(self, change: Change) -> str | None:
        """By something newer in the warehouse whose change is in none of the objects."""
        standing = self._standing
        # Rows that are marked as deleted give way to rows of their own table only.
        is_marking = bool(change.takes) and change.takes <= standing.soft
        for table, row in standing.rows.items():
            if row.position > change.position and not (is_marking and table not in change.takes):
                whose = "" if table in change.takes else ", a sibling,"
                return f"the row in {table}{whose} is newer; its change is in no object that was read"
        if standing.tombstone and standing.tombstone.position > change.position and not is_marking:
            return "the tombstone is newer; its change is in no object that was read"
        return None

    def _below_floors(self, change: Change) -> str | None:
        asked = sorted(change.takes) or list(self._standing.targets)
        floors = [self._standing.floors.get(t) for t in asked]
        if change.changed_at is None or not all(f and change.changed_at <= f.at for f in floors):
            return None
        floor = next(f for f in floors if f)
        return f"at or before the floor of {_list(asked)}, {_time(floor.at)}: what counts there is {_export(floor.by)}"


def explain_row(table: str, changes: Sequence[Change], fates: Sequence[Fate], standing: Standing) -> str:
    """Why a table has the row of the item that it has, or none, in a sentence."""
    row = standing.rows.get(table)
    if row is not None:
        return _explain_present(table, row, changes, fates, standing)
    usable = [n for n, f in enumerate(fates) if f.became in _SETTLED]
    if not usable:
        if any(f.became is Became.WAITING for f in fates):
            return "no row: nothing of the item is merged yet"
        if any(f.became is Became.QUARANTINED for f in fates):
            return "no row: what there is of the item is in quarantine"
        return "no row: no change of the item was found"
    last = _last_that_counts(table, usable, changes, standing)
    if last is None:
        return f"no row: {usable[-1] + 1}, the newest found, has no effect here"
    change, fate = changes[last], fates[last]
    if fate.became in (Became.STALE, Became.LOST) and change.takes and table not in change.takes:
        return f"no row: {last + 1}, the newest found, belongs to {_list(sorted(change.takes))}"
    if fate.became is Became.STALE:
        return f"no row: {last + 1}, the newest found, was stale"
    if fate.became is Became.LOST:
        return f"no row: {last + 1}, the newest found, has left no trace"
    if change.is_remove:
        by = "by time to live" if change.is_expiry else "by a REMOVE"
        return f"no row: the item was removed {by} ({last + 1})"
    if change.takes and table not in change.takes:
        return f"no row: the item belongs to {_list(sorted(change.takes))} now ({last + 1})"
    if not change.takes:
        return f"no row: the item matches no target now ({last + 1})"
    floor = standing.floors.get(table)
    if floor and change.changed_at is not None and change.changed_at <= floor.at:
        return (
            f"no row, though {last + 1} belongs here: {_export(floor.by)} judged the item since, and has no row for it"
        )
    return f"no row, though {last + 1} belongs here: the target was added since, or its `where` was another one"


def _last_that_counts(table: str, numbers: Sequence[int], changes: Sequence[Change], standing: Standing) -> int | None:
    """Of the changes that were used; a table that marks its rows keeps the newest that it took."""
    taken = [n for n in numbers if table in changes[n].takes] if table in standing.soft else []
    counting = taken or [n for n in numbers if table not in changes[n].spares]
    return counting[-1] if counting else None


_LOST = (
    "merged, but neither a row nor a tombstone bears it: it was forgotten or changed by hand (its key, too), or the "
    "target was added since (cdc-merge replay)"
)
_SETTLED = (
    *(Became.CURRENT, Became.REMOVED, Became.SPARED, Became.UNTAKEN),
    *(Became.SUPERSEDED, Became.STALE, Became.LOST),
)


def _explain_present(
    table: str, row: ItemRow, changes: Sequence[Change], fates: Sequence[Fate], standing: Standing
) -> str:
    since = [n for n, f in enumerate(fates) if f.became in _SETTLED and changes[n].position > row.position]
    deleted = ""
    if row.deleted_at:
        by = [n for n in since if table not in changes[n].takes | changes[n].spares]
        by = [n for n in by if changes[n].changed_at == row.deleted_at][-1:]
        deleted = f"; marked as deleted at {_time(row.deleted_at)}" + "".join(f" ({n + 1})" for n in by)
    if spared := [str(n + 1) for n in since if table in changes[n].spares]:
        deleted += f"; {_list(spared)} {'leaves' if len(spared) == 1 else 'leave'} it as it is"
    if row.position == "":
        return f"the row came from {_export(standing.origins.get(table))}, and no newer change has been merged{deleted}"
    bearer = next((n for n, c in enumerate(changes) if c.position == row.position and not c.unusable), None)
    if bearer is None:
        return (
            "the row bears a change that is in no object that was read: the object is gone, was not asked for, or came "
            f"only just now{deleted}"
        )
    return f"the row bears {bearer + 1}{deleted}"


def _export(by: Reconciled | None) -> str:
    if by is None:
        return "a reconcile that is no longer in the books"
    return f"the reconcile with {by.export} as of {_time(by.as_of)} ({by.id})"


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


__all__ = ["Became", "Fate", "Floor", "Place", "Standing", "explain_row", "judge"]
