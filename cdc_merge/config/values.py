"""How the values of the file are written: durations, rates, sizes, percentages, column types, paths into items."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from cdc_merge.arn import TABLE_ARN, TABLE_NAME, is_arn
from cdc_merge.model import ColumnType, Kind, Path, Scalar


class Mistake(ValueError):
    """A value that cannot be read, and what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")
_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
LONGEST_DURATION = 36500 * 86400
"""Seconds; so that any duration can be added to, and taken from, any time that matters here."""
_BYTES = {"b": 1} | {
    f"{letter}{middle}b": base**power
    for power, letter in enumerate("kmgt", start=1)
    for middle, base in (("", 1000), ("i", 1024))
}


def duration(value: Any) -> float:
    """Seconds of `500ms`, `5s`, `2m`, `24h`, `1d`; more than none."""
    hint = "write a number and a unit: 500ms, 5s, 2m, 24h or 1d"
    match = _NUMBER_AND_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or match[2] not in _SECONDS:
        raise Mistake(f"{shown(value)} is not a duration", hint)
    seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    if not seconds:
        raise Mistake("a duration must be more than nothing", hint)
    if seconds > LONGEST_DURATION:
        raise Mistake(f"{shown(value)} is longer than a hundred years", hint)
    return seconds


LEAST_EVERY = 60.0


def every(value: Any) -> float:
    """Seconds between reconciles, as `duration`; at least LEAST_EVERY."""
    seconds = duration(value)
    if seconds < LEAST_EVERY:
        raise Mistake(f"{shown(value)} is too often: an export takes minutes", "write at least 1m, for example 24h")
    return seconds


# The time of an export is that of a clock of DynamoDB's own, and can be off by a minute. And the time of a change may
# be cut to the second: one that comes after the margin's begin must not look as if it came before.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
LEAST_MARGIN = 61.0


def margin(value: Any) -> float:
    """Seconds before an export's time, as `duration`; at least LEAST_MARGIN."""
    seconds = duration(value)
    if seconds < LEAST_MARGIN:
        raise Mistake(
            f"{shown(value)} is too short: what an export holds is certain only to about a minute of its time",
            "write at least 61s; the default is 2m",
        )
    return seconds


_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*/\s*(s|m|h|d)")


def rate(value: Any) -> float:
    """Items an hour of `200/h`, `5/m`, `0.5/s`, `1000/d`; none at all is a rate too."""
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise Mistake(f"{shown(value)} is not a rate", "write a number of items and a unit: 200/h (also /s, /m, /d)")
    return float(Decimal(match[1]) * _SECONDS["h"] / _SECONDS[match[2]])


def size(value: Any) -> int:
    """Bytes of `512MB` (decimal units) or `64MiB` (binary units), in any case; at least one."""
    hint = "write a number and a unit: 512MB, 1GB or 64MiB"
    match = _NUMBER_AND_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or match[2].lower() not in _BYTES:
        raise Mistake(f"{shown(value)} is not a size", hint)
    count = int(Decimal(match[1]) * _BYTES[match[2].lower()])
    if not count:
        raise Mistake("a size must be at least one byte", hint)
    return count


LEAST_MEMORY = 256 * 10**6
"""A third of it is DuckDB's, which with less cannot decode even a small batch, however much it may spill."""


def memory(value: Any) -> int:
    """Bytes, as `size`; at least LEAST_MEMORY."""
    count = size(value)
    if count < LEAST_MEMORY:
        raise Mistake(f"{shown(value)} is too little to decode a batch in", "write at least 256MB; the default is 1GB")
    return count


# Postgres takes at most 2,704 bytes for an entry of an index, and that of the tombstones holds the name and the key:
# https://www.postgresql.org/docs/current/btree.html
LONGEST_SOURCE_NAME = 64


def source_name(name: str) -> str:
    """The name of a source: at most LONGEST_SOURCE_NAME bytes of UTF-8."""
    length = len(name.encode())
    if length > LONGEST_SOURCE_NAME:
        raise Mistake(f"has {length} bytes; a source's name has at most {LONGEST_SOURCE_NAME}", "shorten it")
    return name


def percentage(value: Any) -> float:
    """The fraction of `5%` or `0.5%`: 0 to 1. A plain number is a mistake, since 0.05 and 5 could mean the same."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*%", value.strip()) if isinstance(value, str) else None
    if not match or Decimal(match[1]) > 100:
        raise Mistake(f"{shown(value)} is not a percentage", "write 0% to 100% with its sign, for example 5%")
    return float(Decimal(match[1]) / 100)


TABLE_PATTERN = rf"^({TABLE_NAME}|{TABLE_ARN})$"


def dynamodb_table(text: str) -> str:
    """The name or the ARN of a DynamoDB table."""
    if re.fullmatch(rf"{TABLE_NAME}|{TABLE_ARN}", text):
        return text
    if re.fullmatch(rf"{TABLE_ARN}/.*", text):
        raise Mistake(
            f"{text!r} is the ARN of a stream, an index or an export of the table",
            "leave out what follows the table's name",
        )
    if is_arn(text):
        raise Mistake(
            f"{text!r} is not the ARN of a DynamoDB table",
            "write arn:aws:dynamodb:REGION:ACCOUNT:table/NAME, or the name alone",
        )
    raise Mistake(
        f"{text!r} cannot be the name of a DynamoDB table",
        "write 3 to 255 of a-z A-Z 0-9 _ . -, or the table's ARN",
    )


def whole_number(value: Any) -> int:
    """A count, at least 1; digits as text too, since environment variables are text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Mistake(f"{shown(value)} is not a whole number of at least 1", "write digits, for example 1000")
    return value


def yes_or_no(value: Any) -> bool:
    """`true` or `false`, as text too."""
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise Mistake(f"{shown(value)} is neither true nor false", "write true or false")
    return value


# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
MAX_DIGITS = 38


def scalar(value: Any) -> Scalar:
    """What `where` compares with: text, an exact number, or a boolean."""
    if value is None:
        raise Mistake("there is no value to compare with", "write {exists: false} for items without the attribute")
    if isinstance(value, float) and not math.isfinite(value):
        raise Mistake(f"DynamoDB has no number {value}", "write a finite number, or put text in quotes")
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise Mistake(f"DynamoDB numbers have at most {MAX_DIGITS} digits", "put text in quotes")
    if not isinstance(value, str | int | float):
        raise Mistake("must be text, a number, true or false", "write a list for any of several values")
    return value


_TYPE = re.compile(r"([a-z]+)\s*(?:\(\s*([0-9]{1,4})\s*(?:,\s*([0-9]{1,4})\s*)?\))?")
MAX_PRECISION = (
    1000  # Postgres; DuckDB has its own, lower: https://www.postgresql.org/docs/current/datatype-numeric.html
)


def column_type(value: Any) -> ColumnType:
    """`text`, `numeric(12,2)`, … without the unit, which has a key of its own."""
    match = _TYPE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or match[1] not in {kind.value for kind in Kind}:
        raise Mistake(f"{shown(value)} is not a type", _type_meant(value))
    kind = Kind(match[1])
    if match[2] is None:
        return ColumnType(kind)
    if kind is not Kind.NUMERIC:
        raise Mistake(f"{kind.value} takes nothing in brackets", f"write {kind.value}")
    precision, scale = int(match[2]), int(match[3] or 0)
    if not 1 <= precision <= MAX_PRECISION or scale > precision:
        raise Mistake(
            f"numeric({precision},{scale}) cannot be",
            "digits in all first, then those after the point, not more: numeric(12,2)",
        )
    return ColumnType(kind, precision, scale)


# Names of other systems for what a column may hold.
_OTHER_NAMES = {
    **dict.fromkeys(("int", "bigint", "smallint", "long", "int64"), Kind.INTEGER),
    **dict.fromkeys(("decimal", "number", "money"), Kind.NUMERIC),
    **dict.fromkeys(("float", "real", "float64"), Kind.DOUBLE),
    **dict.fromkeys(("string", "str", "varchar", "char", "uuid"), Kind.TEXT),
    "bool": Kind.BOOLEAN,
    **dict.fromkeys(("datetime", "timestamptz", "time"), Kind.TIMESTAMP),
    **dict.fromkeys(("jsonb", "map", "list", "object", "array", "variant", "super"), Kind.JSON),
    **dict.fromkeys(("bytes", "bytea", "blob", "varbinary"), Kind.BINARY),
}


def _type_meant(value: Any) -> str:
    word, bracket, rest = value.strip().lower().partition("(") if isinstance(value, str) else ("", "", "")
    kinds = [kind.value for kind in Kind]
    close = get_close_matches(word, kinds, n=1)
    if kind := _OTHER_NAMES.get(word.strip()) or (Kind(close[0]) if close else None):
        digits = f"({rest}" if bracket and kind is Kind.NUMERIC and re.fullmatch(r"[0-9, ]+\)", rest) else ""
        return f"did you mean {kind.value}{digits}?"
    return f"write one of {', '.join(kinds)}; numeric may have its digits: numeric(12,2)"


_STEP = re.compile(
    r"""
    (?P<dot>\.)?
    (?: "(?P<quoted>(?:[^"]|"")*)"      # "any text", a quote inside written twice
      | \[(?P<index>[0-9]{1,9})\]       # a list index, which takes no dot before it
      | (?P<bare>[^."\[\]]+)            # a name without . " [ ]
    )""",
    re.VERBOSE,
)
_PATH_HINT = 'write Attribute, Address.City or Lines[0].Sku; a name with . [ ] or " in double quotes: \'"a.b".c\''


def item_path(value: Any) -> Path:
    """`Address.City` -> ("Address", "City"), `Lines[0]` -> ("Lines", 0), `"a.b".c` -> ("a.b", "c")."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        raise Mistake("must be the name of an attribute, not a list", "write it without [ ]")
    if not isinstance(value, str):
        raise Mistake(
            "must be the name of an attribute",
            f"put it in quotes: {_quoted(value)}" if value is not None else _PATH_HINT,
        )
    if value.startswith("^"):
        raise Mistake(f"{value!r} begins with ^", "write a name that begins with ^ in double quotes: '\"^name\"'")
    steps: list[str | int] = []
    at = 0
    while at < len(value):
        match = _STEP.match(value, at)
        is_index = match is not None and match["index"] is not None
        # A dot parts names; none before the first step nor before an index, one before every other name.
        if not match or bool(match["dot"]) != (bool(steps) and not is_index) or (is_index and not steps):
            raise Mistake(f"{value!r} is not a path", _PATH_HINT)
        if is_index:
            steps.append(int(match["index"]))
        else:
            steps.append(match["bare"] if match["bare"] is not None else match["quoted"].replace('""', '"'))
        at = match.end()
    if not steps or steps[0] == "":
        raise Mistake("an attribute has a name", _PATH_HINT)
    return tuple(steps)


def shown(value: Any) -> str:
    """A value for a message, as YAML has it."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return _quoted(value) if not isinstance(value, str) else repr(value)


def _quoted(value: Any) -> str:
    return (
        f'"{str(value).lower() if isinstance(value, bool) else value}"' if not isinstance(value, dict | list) else '"…"'
    )
