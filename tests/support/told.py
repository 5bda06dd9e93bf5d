"""What tables, histories and tombstones must be, told from what was delivered and exported alone, by docs/semantics.md.

It keeps no state of its own but what each reconcile left: everything above that is worked out anew from the set of
changes, so neither order nor grouping nor repetition can make a difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cdc_merge.model import Deletes, Expired, Source, Target
from tests.support.history_model import Repair, Version, expected_history
from tests.support.model import (
    Change,
    Key,
    Row,
    Typed,
    could_take,
    elements,
    expected,
    is_below,
    plain_item,
    row_after,
    takes,
)
from tests.support.reconcile_model import (
    FROM_EXPORT,
    MARGIN,
    REPAIRED,
    Tombstone,
    Verdict,
    Verdicts,
    floor_of,
    is_same,
    key_of,
)
from tests.support.records import Record

Rows = dict[Key, Row]
"""Of a table. Where the rows are elements (`each`) the key ends with the place among them."""


@dataclass
class Told:
    """A source's warehouse after merges and reconciles. Targets with `each` are of lists, and follow every delete."""

    source: Source
    records: list[Record] = field(default_factory=list)
    floors: dict[str, datetime] = field(default_factory=dict)
    _verified: dict[str, Rows] = field(default_factory=dict)  # by table, what its last reconcile left
    _altered: dict[str, dict[Key, Row | None]] = field(default_factory=dict)  # by hand, since then
    _repairs: dict[str, list[Repair]] = field(default_factory=dict)

    def merge(self, records: Iterable[Record]) -> None:
        self.records += records

    @property
    def tables(self) -> dict[str, Rows]:
        changes = self._changes()
        return {target.table: self._rows(target, changes) for target in self.source.targets}

    @property
    def tombstones(self) -> dict[Key, Tombstone]:
        """Of each key the newest change, where no row bears its position and a target would take an older one."""
        tables, changes = self.tables, self._changes()
        positions = {
            (key[: len(self.source.key)], row.position) for rows in tables.values() for key, row in rows.items()
        }
        return {
            key: Tombstone(newest.position, newest.changed_at)
            for key, (*_, newest) in changes.items()
            if (key, newest.position) not in positions
            and any(could_take(target, newest.keys, self.source.key) for target in self.source.targets)
            and any(not is_below(newest, self.floors.get(target.table)) for target in self.source.targets)
        }

    def history(self, target: Target) -> list[Version]:
        return expected_history(self.records, self.source, target, repairs=self._repairs.get(target.table, ()))

    def reconcile(
        self,
        items: Iterable[Typed],
        *,
        as_of: datetime,
        margin: timedelta = MARGIN,
        tables: Collection[str] | None = None,
        anew: bool = False,
    ) -> Verdicts:
        """As ModelWarehouse.reconcile: compare with an export and repair, all targets or those of `tables`."""
        floor = floor_of(as_of, margin, self.floors)
        exported = {key_of(item, self.source): item for item in items}
        changes = self._changes()
        verdicts: Verdicts = {}
        for target in self.source.targets:
            if tables is None or target.table in tables:
                rows = self._rows(target, changes)
                wanted = _wanted(target, exported, floor)
                verdicts[target.table] = {verdict: set() for verdict in Verdict}
                for key in rows.keys() | wanted.keys():
                    item_key = key[: len(self.source.key)]
                    is_newer = any(not is_below(change, floor) for change in changes.get(item_key, ()))
                    is_there = item_key in exported
                    verdict = _judge(target, rows.get(key), wanted.get(key), is_newer=is_newer, is_there=is_there)
                    if verdict is not None:
                        verdicts[target.table][verdict].add(key)
                rows |= {key: wanted[key] for key in verdicts[target.table][Verdict.EQUAL] if anew}
                self._repair(target, rows, wanted, verdicts[target.table], floor)
        return verdicts

    def _repair(
        self, target: Target, rows: Rows, wanted: Rows, verdicts: Mapping[Verdict, set[Key]], floor: datetime
    ) -> None:
        repairs = self._repairs.setdefault(target.table, [])
        for key in set[Key]().union(*(verdicts[v] for v in REPAIRED)):
            if key in wanted:
                rows[key] = wanted[key]
            elif target.deletes is Deletes.SOFT:
                rows[key] = replace(rows[key], deleted_at=floor)
            else:
                del rows[key]
            repairs.append(Repair(key, floor, wanted[key].item if key in wanted else None))
        self._verified[target.table] = rows
        self._altered.pop(target.table, None)
        self.floors[target.table] = floor

    def alter(self, table: str, key: Key, row: Row | None) -> None:
        """Somebody changed a row by hand, or deleted it: right before a reconcile that judges it."""
        self._altered.setdefault(table, {})[key] = row

    def alterable(self, as_of: datetime) -> list[tuple[str, Key]]:
        """The rows that an export as of this time judges."""
        newer = {k for k, changes in self._changes().items() if any(not is_below(c, as_of - MARGIN) for c in changes)}
        return [
            (table, key)
            for table, rows in self.tables.items()
            for key in rows
            if key[: len(self.source.key)] not in newer
        ]

    def _changes(self) -> dict[Key, tuple[Change, ...]]:
        return expected(self.records, self.source).changes

    def _rows(self, target: Target, changes: Mapping[Key, tuple[Change, ...]]) -> Rows:
        """What the last reconcile left of each item, and on it the item's changes above the floor."""
        rows = dict(self._verified.get(target.table, {}))
        for key, of_key in changes.items():
            above = [change for change in of_key if not is_below(change, self.floors.get(target.table))]
            if target.each is None:
                row = row_after(rows.pop(key, None), above, target)
                rows |= {} if row is None else {key: row}
            elif above:
                rows = {each: row for each, row in rows.items() if each[:-1] != key}
                last = above[-1]
                if last.image is not None and takes(target, last.image):
                    rows |= _of_elements(target, key, last.image, last.position, last.changed_at)
        for key, altered in self._altered.get(target.table, {}).items():
            rows.pop(key)
            rows |= {} if altered is None else {key: altered}
        return rows


def _wanted(target: Target, exported: Mapping[Key, Typed], floor: datetime) -> Rows:
    """The rows of an export's items."""
    rows: Rows = {}
    for key, item in exported.items():
        if takes(target, item):
            if target.each is None:
                rows[key] = Row(FROM_EXPORT, floor, plain_item(item))
            else:
                rows |= _of_elements(target, key, item, FROM_EXPORT, floor)
    return rows


def _of_elements(target: Target, key: Key, image: Typed, position: str, at: datetime | None) -> Rows:
    assert target.each is not None
    return {
        (*key, str(place)): Row(position, at, plain_item(element["M"]))
        for place, (_, element) in enumerate(elements(image, target.each))
    }


def _judge(target: Target, row: Row | None, wanted: Row | None, *, is_newer: bool, is_there: bool) -> Verdict | None:
    """None: no drift, and in none of the counts. `is_there`: the export has the item, whoever takes it."""
    if is_newer:
        return Verdict.NEWER
    if wanted is not None:
        if row is None:
            return Verdict.MISSING
        is_equal = row.deleted_at is None and is_same(row.item, wanted.item)
        return Verdict.EQUAL if is_equal else Verdict.DIFFERENT
    assert row is not None
    if row.deleted_at is not None:
        return None
    may_stay = target.deletes is Deletes.IGNORE or target.expired is Expired.KEEP
    return None if may_stay and not is_there else Verdict.EXTRA


def plain(rows: Rows) -> dict[Key, dict[str, Any]]:
    """Only what the rows say."""
    return {key: row.item for key, row in rows.items()}
