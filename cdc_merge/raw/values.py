"""The typed values of a target's columns as SQL: exactly what they are, or NULL in any doubt.

The tests are those of feed/convert.py or stricter: what passes here is the same value there, and what does not pass
is decided there.
"""

from __future__ import annotations

from cdc_merge.feed.convert import usual_tag
from cdc_merge.model import ColumnType, Kind, TimeUnit
from cdc_merge.raw.looks import Looks, Steps
from cdc_merge.raw.words import Words
from cdc_merge.warehouses.dialect import Dialect

KEY_NUMBER = "'^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)[.][0-9]*[1-9])$'"
"""A number in its one plain form, by which it is known as a key."""

_MOST_DIGITS = 130  # characters: DynamoDB has 38 digits, and exponents up to 125
_INTEGER = "'^-?0{0,20}[0-9]{1,18}$'"
_TICKS = "'^([0-9]{1,15}|[1-8][0-9]{15})$'"
_EPOCH = "'^[0-9]{1,16}$'"
_PLAIN = "'^-?[0-9]+([.][0-9]+)?$'"
_DAY = (
    "((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"  # a day that every month has
    "|(0[13-9]|1[0-2])-(29|30)"
    "|(0[13578]|1[02])-31)"
)
_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?"
_DATE = f"'^{_YEAR}-{_DAY}$'"
_MOMENT = f"'^{_YEAR}-{_DAY}([T ]{_TIME}Z?)?$'"
# The last character before the padding has no bits that are left over: the one spelling of these bytes.
_BASE64 = "'^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)$'"
_PER_SECOND = {TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1_000_000}


def staged_type(column_type: ColumnType, dialect: Dialect) -> str:
    """The type of a column in staging: what the merge casts from, whoever staged it."""
    match column_type.kind:
        case Kind.NUMERIC | Kind.JSON | Kind.TEXT:
            return f"{dialect.types[Kind.TEXT]} {dialect.byte_order}".strip()
        case kind:
            return dialect.types[kind]


def sure(column_type: ColumnType, steps: Steps, looks: Looks, *, base64_layers: int) -> str:
    """The value of a typed value if it is of the usual type; NULL in any doubt."""
    dialect, words, kind = looks.dialect, looks.words, column_type.kind
    null = f"CAST(NULL AS {dialect.types[kind]})"
    tag = usual_tag(column_type)
    if tag is None or (kind is Kind.BINARY and base64_layers > 1):
        return null
    if kind is Kind.BOOLEAN:
        return looks.truth((*steps, tag))
    text = looks.text((*steps, tag))
    match kind:
        case Kind.TEXT:
            return text
        case Kind.INTEGER:
            return _when(looks.matches(text, _INTEGER), words.integer.format(text=text))
        case Kind.NUMERIC:
            return _when(f"{looks.matches(text, _decimal(column_type, dialect))} AND {_is_short(text)}", text)
        case Kind.DOUBLE:
            digits = f"LTRIM(RTRIM(REPLACE(REPLACE({text}, '-', ''), '.', ''), '0'), '0')"
            fits = f"{looks.matches(text, _PLAIN)} AND {_is_short(text)} AND OCTET_LENGTH({digits}) <= 15"
            return _when(fits, words.double.format(text=text))
        case Kind.DATE:
            return _when(looks.matches(text, _DATE), words.date.format(text=text))
        case Kind.TIMESTAMP if column_type.unit:
            return _epoch(text, _PER_SECOND[column_type.unit], looks)
        case Kind.TIMESTAMP:
            return _when(looks.matches(text, _MOMENT), words.time.format(text=text))
        case Kind.BINARY:
            return _when(looks.matches(text, _BASE64), words.binary.format(text=text))
    return null


def moment(micros: str, words: Words) -> str:
    """The time of so many microseconds since 1970, as far as the engine computes it."""
    return _when(f"{micros} BETWEEN 0 AND {words.last_second * 1_000_000}", words.moment.format(micros=micros))


def ticks(digits: str, looks: Looks) -> str:
    """The whole number that a record says its time by; up to 16 digits."""
    return _when(looks.matches(digits, _TICKS), looks.words.integer.format(text=digits))


def key_text(tag: str, text: str, looks: Looks) -> str:
    """The one text by which a key is known; NULL if it is not written so, or the engine cannot hold it."""
    match tag:
        case "N":
            whole = _whole_digits(ColumnType(Kind.NUMERIC), looks.dialect)
            fits = f"'^-?[0-9]{{1,{whole}}}([.][0-9]{{1,18}})?$'"
            return _when(f"{looks.matches(text, KEY_NUMBER)} AND {looks.matches(text, fits)}", text)
        case "B":
            return _when(looks.matches(text, _BASE64), text)
    if looks.dialect.ignores_trailing_blanks:
        return _when(f"OCTET_LENGTH(RTRIM({text})) = OCTET_LENGTH({text})", text)
    return text


def _when(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _is_short(text: str) -> str:
    return f"OCTET_LENGTH({text}) <= {_MOST_DIGITS}"


def _epoch(text: str, per_second: int, looks: Looks) -> str:
    words = looks.words
    whole = _when(looks.matches(text, _EPOCH), words.integer.format(text=text))
    micros = moment(f"({whole} * {1_000_000 // per_second})", words)
    return f"CASE WHEN {whole} <= {words.last_second * per_second} THEN {micros} END"


def _whole_digits(column_type: ColumnType, dialect: Dialect) -> int:
    precision, scale = _size(column_type, dialect)
    return precision - scale


def _size(column_type: ColumnType, dialect: Dialect) -> tuple[int, int]:
    if column_type.precision is not None:
        return column_type.precision, column_type.scale or 0
    return dialect.decimal_digits or 38, dialect.decimal_scale or 0


def _decimal(column_type: ColumnType, dialect: Dialect) -> str:
    """A pattern of the numbers that a decimal holds exactly, however many zeros stand before them."""
    whole, scale = _whole_digits(column_type, dialect), _size(column_type, dialect)[1]
    digits = f"0*[0-9]{{1,{whole}}}" if whole else "0+"
    return f"'^-?{digits}([.][0-9]{{1,{scale}}})?$'" if scale else f"'^-?{digits}$'"


__all__ = ["KEY_NUMBER", "key_text", "moment", "staged_type", "sure", "ticks"]
