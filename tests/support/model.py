"""The slow, obviously right merge: what targets and tombstones must be, by docs/semantics.md and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cdc_merge.model import Condition, Deletes, Expired, Path, Scalar, Source, Target

Key = tuple[str, ...]
Typed = Mapping[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UPSERTS = ("INSERT", "MODIFY")


@dataclass(frozen=True)
class Change:
    """One distinct change: `keys` and `image` typed as in the record; `image` None is a REMOVE."""

    key: Key
    position: str
    changed_at: datetime | None
    keys: Typed
    image: Typed | None
    base64_layers: int
    is_expiry: bool = False


@dataclass(frozen=True)
class Row:
    """What a target must hold of one item; `attributes` is the whole item, key and NULLs included, as plain values.

    N Decimal, S str, BOOL bool, NULL None, B bytes, M dict, L list, sets sorted lists.
    """

    position: str
    changed_at: datetime | None
    attributes: dict[str, Any]
    deleted_at: datetime | None = None

    @property
    def item(self) -> dict[str, Any]:
        """The attributes that a table can tell from missing ones: all but DynamoDB NULLs."""
        return {name: value for name, value in self.attributes.items() if value is not None}


@dataclass(frozen=True)
class Expected:
    """The end of a history: rows by table and key, the tombstones' positions by key, the changes by key."""

    tables: dict[str, dict[Key, Row]]
    tombstones: dict[Key, str]
    changes: dict[Key, tuple[Change, ...]]  # in order of position


def expected(
    deliveries: Iterable[Mapping[str, Any]], source: Source, *, floors: Mapping[str, datetime] | None = None
) -> Expected:
    """The targets and tombstones after these records were delivered, in any order, any number of times.

    `floors`: by table, the time up to which changes are stale there. Records that cannot be used (no key, no
    position, an upsert without an image) count for nothing.
    """
    floors = floors or {}
    by_key: dict[Key, dict[str, Change]] = {}
    for record in deliveries:
        change = _change(record, source)
        if change is not None:
            by_key.setdefault(change.key, {})[change.position] = change
    histories = {key: tuple(each[p] for p in sorted(each, key=_bytes)) for key, each in by_key.items()}
    tables: dict[str, dict[Key, Row]] = {target.table: {} for target in source.targets}
    tombstones: dict[Key, str] = {}
    for key, history in histories.items():
        last = history[-1]
        open_targets = [t for t in source.targets if not is_below(last, floors.get(t.table))]
        takers = [t for t in open_targets if last.image is not None and takes(t, last.image)]
        for target in source.targets:
            row = row_after(None, [c for c in history if not is_below(c, floors.get(target.table))], target)
            if row is not None:
                tables[target.table][key] = row
        is_conceivable = any(could_take(target, last.keys, source.key) for target in source.targets)
        if open_targets and not takers and is_conceivable:
            tombstones[key] = last.position
    return Expected(tables, tombstones, histories)


def row_after(row: Row | None, changes: Sequence[Change], target: Target) -> Row | None:
    """What becomes of a target's row of a key by changes that come after it, in order."""
    counting = [c for c in changes if not _is_void(c, target)]
    if not counting:
        return row
    taken = [c for c in counting if c.image is not None and takes(target, c.image)]
    is_gone = not taken or taken[-1] is not counting[-1]
    if is_gone and target.deletes is not Deletes.SOFT:
        return None
    if taken:
        newest = taken[-1]
        assert newest.image is not None
        row = Row(newest.position, newest.changed_at, plain_item(newest.image, newest.base64_layers))
    return replace(row, deleted_at=counting[-1].changed_at) if row and is_gone else row


def _is_void(change: Change, target: Target) -> bool:
    """Whether a REMOVE means nothing to a target."""
    is_spared = change.is_expiry and target.expired is Expired.KEEP
    return change.image is None and (target.deletes is Deletes.IGNORE or is_spared)


def takes(target: Target, image: Typed) -> bool:
    """Whether every line of the target's `where` holds for a typed image, and there is a row to be made of it."""
    has_rows = target.each is None or bool(elements(image, target.each))
    return has_rows and all(_holds(condition, find(image, condition.path)) for condition in target.where)


def could_take(target: Target, keys: Typed, key: tuple[str, ...]) -> bool:
    """Whether the lines of `where` that are about the key hold; the others might."""
    return all(
        _holds(condition, find(keys, condition.path))
        for condition in target.where
        if len(condition.path) == 1 and condition.path[0] in key
    )


def find(image: Typed, path: Path) -> Typed | None:
    """The typed value a path leads to; None if it leads nowhere."""
    first, *rest = path
    found: Typed | None = image.get(str(first))
    for step in rest:
        if found is None:
            return None
        if isinstance(step, int):
            elements = found.get("L", [])
            found = elements[step] if step < len(elements) else None
        else:
            found = found.get("M", {}).get(step)
    return found


def elements(image: Typed, each: Path) -> list[tuple[str | None, Typed]]:
    """What becomes a row each: a list's elements, a map's values by their keys, a set's members sorted.

    Anything else is its own only element; there is none in NULL and in what is not there. The first of the pair is
    the key in a map. Binary values sort as they are written.
    """
    found = find(image, each)
    if found is None or "NULL" in found:
        return []
    ((tag, payload),) = found.items()
    match tag:
        case "L":
            return [(None, element) for element in payload]
        case "M":
            return [(key, payload[key]) for key in sorted(payload, key=_bytes)]
        case "SS" | "NS" | "BS":
            return [(None, {tag[0]: member}) for member in sorted(payload, key=_set_order(tag))]
    return [(None, found)]


def position_of(record: Mapping[str, Any]) -> str | None:
    """The position as text, compared by its bytes; None if the record has none."""
    change = record["dynamodb"]
    if "SequenceNumber" in change:
        _, found, label = (record.get("eventSourceARN") or "").partition("/stream/")
        sequence: str = change["SequenceNumber"]
        usable = sequence.isascii() and sequence.isdigit() and len(sequence) <= 40
        return f"{label if found else ''}/{sequence:0>40}" if usable else None
    micros = micros_of(change)
    if micros is None or micros < 0:
        return None
    return f"{micros:020d}/{1 if record['eventName'] == 'REMOVE' else 0}/{record.get('eventID', '')}"


def micros_of(change: Mapping[str, Any]) -> int | None:
    """ApproximateCreationDateTime in microseconds since 1970: seconds, milli- or microseconds, or ISO 8601."""
    moment = change.get("ApproximateCreationDateTime")
    if moment is None:
        return None
    if isinstance(moment, str):
        at = datetime.fromisoformat(moment)
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH) // datetime.resolution
    number = Decimal(str(moment))
    match change.get("ApproximateCreationDateTimePrecision"):
        case "MICROSECOND":
            return int(number)
        case "MILLISECOND":
            return int(number * 1000)
    if number >= 10**14:
        return int(number)
    return int(number * 1000) if number >= 10**11 else int(number * 1_000_000)


def plain_item(image: Typed, base64_layers: int = 1) -> dict[str, Any]:
    """A typed image as plain values."""
    return {name: plain_value(value, base64_layers) for name, value in image.items()}


def plain_value(typed: Typed, base64_layers: int = 1) -> Any:
    """A typed value as a plain one; see Row."""
    ((tag, payload),) = typed.items()
    match tag:
        case "S" | "BOOL":
            return payload
        case "NULL":
            return None
        case "N":
            return Decimal(payload)
        case "B":
            return _binary(payload, base64_layers)
        case "M":
            return plain_item(payload, base64_layers)
        case "L":
            return [plain_value(each, base64_layers) for each in payload]
        case "SS":
            return sorted(payload, key=_bytes)
        case "NS":
            return sorted(Decimal(each) for each in payload)
        case "BS":
            return sorted(_binary(each, base64_layers) for each in payload)
    raise ValueError(f"unknown type {tag}")


def key_text(typed: Typed, base64_layers: int = 1) -> str:
    """The canonical text of one key attribute: S itself, N in plain digits, B in base64 once."""
    value = plain_value(typed, base64_layers)
    match value:
        case Decimal():
            text = format(value, "f")
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return "0" if text == "-0" else text
        case bytes():
            return base64.b64encode(value).decode()
        case str():
            return value
    raise ValueError(f"{value!r} is no key")


def _change(record: Mapping[str, Any], source: Source) -> Change | None:
    change = record.get("dynamodb")
    if not isinstance(change, Mapping) or record.get("eventName") not in (*UPSERTS, "REMOVE"):
        return None
    layers = 1 if "SequenceNumber" in change else 2
    keys = change.get("Keys", {})
    if any(name not in keys for name in source.key):
        return None
    position = position_of(record)
    image = change.get("NewImage") if record["eventName"] in UPSERTS else None
    if position is None or (image is None and record["eventName"] in UPSERTS):
        return None
    micros = micros_of(change)
    at = None if micros is None else EPOCH + timedelta(microseconds=micros)
    key = tuple(key_text(keys[name], layers) for name in source.key)
    identity = record.get("userIdentity") or {}
    made_by = {name.lower(): who for name, who in identity.items()}
    is_expiry = made_by.get("type") == "Service" and made_by.get("principalid") == "dynamodb.amazonaws.com"
    return Change(key, position, at, keys, image, layers, is_expiry)


def is_below(change: Change, floor: datetime | None) -> bool:
    """Whether a floor makes the change stale."""
    return floor is not None and change.changed_at is not None and change.changed_at <= floor


def _holds(condition: Condition, found: Typed | None) -> bool:
    if condition.exists is not None:
        return (found is not None) == condition.exists
    if found is None:
        return False
    if condition.prefix is not None:
        return "S" in found and bool(found["S"].startswith(condition.prefix))
    return any(_equals(found, wanted) for wanted in condition.any_of or ())


def _equals(found: Typed, wanted: Scalar) -> bool:
    if isinstance(wanted, bool):
        return "BOOL" in found and found["BOOL"] is wanted
    if isinstance(wanted, str):
        return "S" in found and found["S"] == wanted
    return "N" in found and Decimal(found["N"]) == Decimal(str(wanted))


def _set_order(tag: str) -> Callable[[str], Any]:
    return Decimal if tag == "NS" else _bytes


def _binary(text: str, layers: int) -> bytes:
    data = text.encode()
    for _ in range(layers):
        data = base64.b64decode(data)
    return data


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")
