"""Decides the type of a column from the values that were counted."""

from __future__ import annotations

from dataclasses import dataclass

from cdc_merge.infer.facts import SET_TAGS, Numbers, Texts, Values
from cdc_merge.model import ColumnType, Kind, TimeUnit
from cdc_merge.names import snake_case

_TIME_WORDS = frozenset(
    {
        *("at", "on", "time", "timestamp", "ts", "date", "datetime", "epoch", "ttl", "moment", "when"),
        *("expires", "expire", "expiry", "expiration", "created", "updated", "modified", "deleted", "since", "until"),
        *("start", "end", "started", "ended", "begin", "last", "seen", "ms", "millis", "us", "micros", "secs"),
    }
)
# From 2000 to 2100: an epoch number that is later or earlier is more likely something else.
_FIRST_SECOND, _LAST_SECOND = 946_684_800, 4_102_444_800
_PER_SECOND = {TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1_000_000}
_MICRO_DIGITS = 6
# Head room: digits beyond those seen, and the least that amounts of money get.
_MORE_DIGITS = 4
_LEAST_WHOLE = 10
_LEAST_SCALE = 2
_MORE_DECIMALS = 2
_MOST_DIGITS = 38  # of DynamoDB's numbers, and of the decimals of DuckDB, Redshift and Snowflake
_TEXTUAL = frozenset({"S", "N", "BOOL"})


@dataclass(frozen=True)
class TypeChoice:
    """The type (None: nothing but NULL was seen), and what a reader should know about it."""

    type: ColumnType | None
    note: str | None = None


def choose_type(values: Values) -> TypeChoice:
    """An explicit type that all values fit."""
    tags = {tag for tag, count in values.tags.items() if count and tag != "NULL"}
    if not tags:
        return TypeChoice(None, "only NULL so far: the first value decides the type")
    if tags == {"S"} and values.texts:
        return _of_text(values.texts)
    if tags == {"N"} and values.numbers:
        return _of_numbers(str(values.path[-1]), values.numbers)
    if tags == {"BOOL"}:
        return TypeChoice(ColumnType(Kind.BOOLEAN))
    if tags == {"B"}:
        return TypeChoice(ColumnType(Kind.BINARY))
    if tags <= {"M", "L", *SET_TAGS}:
        return TypeChoice(ColumnType(Kind.JSON))
    if tags <= _TEXTUAL:
        return TypeChoice(ColumnType(Kind.TEXT), "of several types; text holds them all")
    return TypeChoice(ColumnType(Kind.JSON), "of several types; json holds them all")


def _of_text(texts: Texts) -> TypeChoice:
    if texts.dates == texts.count:
        return TypeChoice(ColumnType(Kind.DATE))
    if texts.times == texts.count:
        note = "times without a zone are read as UTC" if texts.zoneless else None
        return TypeChoice(ColumnType(Kind.TIMESTAMP), note)
    return TypeChoice(ColumnType(Kind.TEXT))


def _of_numbers(attribute: str, numbers: Numbers) -> TypeChoice:
    if numbers.odd:
        return TypeChoice(ColumnType(Kind.TEXT), "some are beyond a decimal of any engine; text holds them as they are")
    if (unit := epoch_unit(attribute, numbers)) is not None:
        return TypeChoice(ColumnType(Kind.TIMESTAMP, unit=unit))
    if numbers.integers == numbers.count:
        return TypeChoice(ColumnType(Kind.INTEGER))
    return _decimal(numbers)


def epoch_unit(attribute: str, numbers: Numbers) -> TimeUnit | None:
    """The unit of numbers that are moments: their attribute is named for time, and all lie between 2000 and 2100."""
    if not _TIME_WORDS & set(snake_case(attribute).split("_")):
        return None
    for unit, scale in _PER_SECOND.items():
        is_inside = _FIRST_SECOND * scale <= numbers.low and numbers.high < _LAST_SECOND * scale
        if is_inside and numbers.decimals <= _MICRO_DIGITS - (len(str(scale)) - 1):
            return unit
    return None


def _decimal(numbers: Numbers) -> TypeChoice:
    """numeric(p,s) with head room on both sides of the point, as far as 38 digits go."""
    scale = numbers.decimals
    if 0 < scale <= _LEAST_SCALE:
        scale = _LEAST_SCALE
    elif scale:
        scale += _MORE_DECIMALS
    whole = max(_LEAST_WHOLE, numbers.whole_digits + _MORE_DIGITS)
    if whole + scale > _MOST_DIGITS:
        scale = max(numbers.decimals, min(scale, _MOST_DIGITS - whole))
        whole = min(whole, _MOST_DIGITS - scale)
    if whole < numbers.whole_digits:
        return TypeChoice(ColumnType(Kind.TEXT), f"more than {_MOST_DIGITS} digits; text holds them as they are")
    return TypeChoice(ColumnType(Kind.NUMERIC, whole + scale, scale))


_PERSONAL = frozenset(
    {
        *("name", "firstname", "lastname", "surname", "email", "mail", "phone", "mobile", "fax", "tel", "address"),
        *("street", "birth", "birthday", "birthdate", "dob", "age", "gender", "ssn", "iban", "bic", "card", "cvv"),
        *("account", "tax", "passport", "license", "licence", "ip", "password", "secret", "token", "pin", "lat"),
        *("lon", "lng", "latitude", "longitude", "salary", "income", "zip", "postal", "postcode", "plate"),
    }
)


def looks_personal(attribute: str) -> bool:
    """Whether the name is one that personal data goes by; ranges of it are not shown."""
    return bool(_PERSONAL & set(snake_case(attribute).split("_")))
