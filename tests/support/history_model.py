"""The slow, obviously right history: every distinct change of a key in order, and what each did to one target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def expected_history(deliveries: Iterable[Mapping[str, Any]], source: Source, target: Target) -> list[Version]:
    """What the history of a target holds after these records were delivered, in any order, any number of times."""
    found = []
    for changes in expected(deliveries, source).changes.values():
        if could_take(target, changes[0].keys, source.key):
            found += _versions(changes, target)
    return sorted(found, key=lambda v: (v.key, v.position.encode()))


def _versions(changes: tuple[Change, ...], target: Target) -> list[Version]:
    kept: list[tuple[Change, Mapping[str, Any] | None]] = []
    is_in = False
    for change in changes:
        taken = change.image is not None and takes(target, change.image)
        if taken:
            assert change.image is not None
            item = plain_item(change.image, change.base64_layers)
            kept.append((change, {name: value for name, value in item.items() if value is not None}))
        elif is_in:
            kept.append((change, None))
        is_in = taken
    ends = [*(change.changed_at for change, _ in kept[1:]), None]
    return [
        Version(change.key, change.position, change.changed_at, end, item)
        for (change, item), end in zip(kept, ends, strict=False)
    ]
