"""The slow, obviously right value: what a typed DynamoDB value is in a column of a type, by docs/configuration.md."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Context, Decimal
from typing import Any

from cdc_merge.model import ColumnType, Kind, Mask, Template, TimeUnit

Typed = Mapping[str, Any]

NULL: Typed = {"NULL": True}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = Context(prec=400)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"([T ](?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)([.,](?P<fraction>\d{1,6})0*)?)?"
    r"(?P<zone>Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)?)?",
    re.ASCII,
)
_PER_SECOND = {TimeUnit.SECONDS: 10**6, TimeUnit.MILLISECONDS: 10**3, TimeUnit.MICROSECONDS: 1}


@dataclass(frozen=True)
class Engine:
    """What an engine's types hold. `digits`: of an unbounded numeric, before and after the point; None: any number."""

    digits: tuple[int, int] | None
    holds_nul: bool


DUCKDB = Engine(digits=(20, 18), holds_nul=True)
POSTGRES = Engine(digits=None, holds_nul=False)


def convert(kind: ColumnType, typed: Typed, engine: Engine, *, base64_layers: int = 1) -> Any:
    """The value exactly, or None: str, int, Decimal, float, bool, datetime, date, bytes; of JSON what `plain` gives."""
    ((tag, payload),) = typed.items()
    match kind.kind:
        case Kind.TEXT:
            text = str(payload).lower() if tag == "BOOL" else payload
            return text if tag in ("S", "N", "BOOL") and (engine.holds_nul or "\0" not in text) else None
        case Kind.INTEGER:
            number = _number(typed)
            return int(number) if number is not None and _is_whole(number) and _is_of_64_bits(number) else None
        case Kind.NUMERIC:
            number = _number(typed)
            return number if number is not None and _fits(number, kind, engine) else None
        case Kind.DOUBLE:
            number = _number(typed)
            return float(number) if number is not None and _significant_digits(number) <= 15 else None
        case Kind.BOOLEAN:
            return payload if tag == "BOOL" else {"true": True, "false": False}.get(payload) if tag == "S" else None
        case Kind.TIMESTAMP if tag == "S":
            return _iso_time(payload)
        case Kind.TIMESTAMP:
            return _epoch(Decimal(payload), kind.unit or TimeUnit.SECONDS) if tag == "N" else None
        case Kind.DATE:
            return _date(payload) if tag == "S" else None
        case Kind.JSON:
            return (
                plain(typed, base64_layers)
                if typed != NULL and (engine.holds_nul or "\0" not in repr_of(typed))
                else None
            )
        case Kind.BINARY:
            return _bytes(payload, base64_layers) if tag == "B" else None


def convert_piece(kind: ColumnType, piece: str, engine: Engine) -> Any:
    """A piece of a text as what its column reads; with a unit it is a number of the epoch."""
    if kind.unit is None:
        return convert(kind, {"S": piece}, engine)
    return convert(kind, {"N": piece}, engine) if _NUMBER.fullmatch(piece) else None


def piece_of(template: Template, text: str) -> str | None:
    """What stands in the hole: every way to fill the holes is tried, the shortest pieces first, from the left."""
    found = _fill(text, template.literals)
    return found[template.hole] if found else None


def masked(mask: Mask, text: str) -> str | None:
    """What stands in the place of a value."""
    match mask:
        case Mask.HASH:
            return hashlib.sha256(text.encode()).hexdigest()
        case Mask.REDACT:
            return "redacted"
        case Mask.DROP:
            return None


def text_to_mask(typed: Typed, base64_layers: int) -> str:
    """S itself, the digits of N, else plain JSON without spaces."""
    ((tag, payload),) = typed.items()
    if tag == "S":
        return str(payload)
    if tag == "N":
        return format(Decimal(payload), "f")
    return written(plain(typed, base64_layers))


def plain(typed: Typed, base64_layers: int) -> Any:
    """What plain JSON has: numbers Decimal, binary base64 text, sets as sorted lists."""
    ((tag, payload),) = typed.items()
    match tag:
        case "S" | "BOOL":
            return payload
        case "NULL":
            return None
        case "N":
            return Decimal(payload)
        case "B":
            return base64.b64encode(_bytes(payload, base64_layers)).decode()
        case "M":
            return {name: plain(value, base64_layers) for name, value in payload.items()}
        case "L":
            return [plain(value, base64_layers) for value in payload]
        case "SS":
            return sorted(payload, key=str.encode)
        case "NS":
            return sorted(map(Decimal, payload))
        case "BS":
            return [base64.b64encode(each).decode() for each in sorted(_bytes(p, base64_layers) for p in payload)]
    raise ValueError(tag)


def rescued(typed: Typed, base64_layers: int) -> Any:
    """The typed value as `_cdc_rescued` has it, sets as frozensets: binary in base64 once, the rest as it came."""
    ((tag, payload),) = typed.items()
    match tag:
        case "B":
            return {tag: base64.b64encode(_bytes(payload, base64_layers)).decode()}
        case "M":
            return {tag: {name: rescued(value, base64_layers) for name, value in payload.items()}}
        case "L":
            return {tag: [rescued(value, base64_layers) for value in payload]}
        case "BS":
            return {tag: frozenset(base64.b64encode(_bytes(each, base64_layers)).decode() for each in payload)}
        case "SS" | "NS":
            return {tag: frozenset(payload)}
    return dict(typed)


def written(value: Any) -> str:
    """Plain JSON text without spaces, maps by their keys, for texts that need no escapes."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case Decimal():
            return format(value, "f")
        case str():
            return f'"{value}"'
        case list():
            return f"[{','.join(map(written, value))}]"
        case dict():
            return "{" + ",".join(f'"{name}":{written(each)}' for name, each in sorted(value.items())) + "}"
    raise TypeError(value)


def repr_of(typed: Any) -> str:
    """All the text there is in a typed value, names too."""
    match typed:
        case dict():
            return "".join(name + repr_of(value) for name, value in typed.items())
        case list():
            return "".join(map(repr_of, typed))
    return str(typed)


def _number(typed: Typed) -> Decimal | None:
    """A number, or text that says all of one and nothing else."""
    if "N" in typed:
        return Decimal(typed["N"])
    text = typed.get("S", "")
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _is_whole(number: Decimal) -> bool:
    return _after_the_point(number) == 0


def _is_of_64_bits(number: Decimal) -> bool:
    return -(2**63) <= number < 2**63


def _fits(number: Decimal, kind: ColumnType, engine: Engine) -> bool:
    if kind.precision is not None:
        scale = kind.scale or 0
        before, after = kind.precision - scale, scale
    elif engine.digits is not None:
        before, after = engine.digits
    else:
        return True
    return abs(number) < Decimal(10) ** before and _after_the_point(number) <= after


def _after_the_point(number: Decimal) -> int:
    _, _, digits = format(number, "f").partition(".")
    return len(digits.rstrip("0"))


def _significant_digits(number: Decimal) -> int:
    return len(format(number, "f").replace(".", "").lstrip("-").strip("0"))


def _iso_time(text: str) -> datetime | None:
    found = _TIME.fullmatch(text)
    day = _date(found["date"]) if found else None
    if found is None or day is None:
        return None
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if minute > 59 or second > 59 or hour > 23:
        return None
    micros = int((found["fraction"] or "").ljust(6, "0"))
    local = datetime(
        day.year, day.month, day.day, hour, minute, second, micros, tzinfo=timezone(_offset(found["zone"]))
    )
    try:
        return local.astimezone(UTC)
    except OverflowError:
        return None


def _offset(zone: str | None) -> timedelta:
    if zone in (None, "Z"):
        return timedelta()
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -size if zone[0] == "-" else size


def _epoch(number: Decimal, unit: TimeUnit) -> datetime | None:
    micros = _EXACT.multiply(number, _PER_SECOND[unit])
    if not _is_whole(micros):
        return None
    try:
        return EPOCH + timedelta(microseconds=int(micros))
    except OverflowError:
        return None


def _date(text: str) -> date | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _bytes(text: str, layers: int) -> bytes:
    data = text.encode()
    for _ in range(layers):
        data = base64.b64decode(data)
    return data


def _fill(text: str, literals: tuple[str, ...]) -> list[str] | None:
    first, *rest = literals
    if not text.startswith(first):
        return None
    text = text[len(first) :]
    if not rest:
        return [] if not text else None
    for size in range(1, len(text) + 1):
        is_last = len(rest) == 1
        if is_last and text[size:] != rest[0]:
            continue
        after = _fill(text[size:], tuple(rest))
        if after is not None:
            return [text[:size], *after]
    return None
