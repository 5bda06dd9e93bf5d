"""The slow, obviously right history: every distinct change of a key in order, and what each did to one target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cdc_merge.model import Source, Target
from tests.support.model import Change, Key, could_take, expected, plain_item, takes


@dataclass(frozen=True)
class Version:
    """A row of a history; `item` None: the item left the target."""

    key: Key
    position: str
    valid_from: datetime | None
    valid_to: datetime | None
    item: Mapping[str, Any] | None


@dataclass(frozen=True)
class Repair:
    """What a reconcile made of a row, as of its floor: `item`, or None where the row was extra."""

    key: Key
    at: datetime
    item: Mapping[str, Any] | None


@dataclass(frozen=True)
class _Event:
    position: str
    at: datetime | None
    item: Mapping[str, Any] | None  # None: whatever happened, the item is not in the target


def expected_history(
    deliveries: Iterable[Mapping[str, Any]], source: Source, target: Target, *, repairs: Iterable[Repair] = ()
) -> list[Version]:
    """What the history of a target holds after these records were delivered, in any order, any number of times.

    `repairs`: what reconciles did to the target, in their order.
    """
    events = {
        key: [_event(change, target) for change in changes]
        for key, changes in expected(deliveries, source).changes.items()
        if could_take(target, changes[0].keys, source.key)
    }
    for repair in repairs:
        of_key = events.setdefault(repair.key, [])
        earlier = [place for place, event in enumerate(of_key) if event.at is not None and event.at <= repair.at]
        of_key.insert(max(earlier, default=-1) + 1, _Event("", repair.at, repair.item))
    found = [version for key, of_key in events.items() for version in _versions(key, of_key)]
    return sorted(found, key=lambda v: (v.key, v.position.encode()))


def _event(change: Change, target: Target) -> _Event:
    item = None
    if change.image is not None and takes(target, change.image):
        plain = plain_item(change.image, change.base64_layers)
        item = {name: value for name, value in plain.items() if value is not None}
    return _Event(change.position, change.changed_at, item)


def _versions(key: Key, events: Sequence[_Event]) -> list[Version]:
    """Each version, and of what is none only the first that follows one."""
    before = [None, *events[:-1]]
    kept = [e for e, last in zip(events, before, strict=True) if e.item is not None or (last and last.item is not None)]
    ends = [*(event.at for event in kept[1:]), None]
    return [Version(key, e.position, e.at, end, e.item) for e, end in zip(kept, ends, strict=False)]
