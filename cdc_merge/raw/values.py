"""The typed values of a target's columns as SQL of Redshift: exactly what they are, or NULL in any doubt.

The tests are those of feed/convert.py or stricter: what passes here is the same value there, and what does not pass
is decided there.
"""

from __future__ import annotations

from cdc_merge.feed.convert import usual_tag
from cdc_merge.model import ColumnType, Kind, TimeUnit
from cdc_merge.raw.looks import Looks, Steps
from cdc_merge.warehouses.dialect import Dialect

KEY_NUMBER = "'^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)[.][0-9]*[1-9])$'"
"""A number in its one plain form, by which it is known as a key."""

_MOST_DIGITS = 130  # characters: DynamoDB has 38 digits, and exponents up to 125
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
# Of DATEADD's whole numbers, and of 64 bits: https://docs.aws.amazon.com/redshift/latest/dg/r_DATEADD_function.html
_MOST_SECONDS = 2_147_483_647


def staged_type(column_type: ColumnType, dialect: Dialect) -> str:
    """The type of a column in staging: what the merge casts from, whoever staged it."""
    match column_type.kind:
        case Kind.NUMERIC | Kind.JSON | Kind.TEXT:
            return f"{dialect.types[Kind.TEXT]} {dialect.byte_order}".strip()
        case kind:
            return dialect.types[kind]


def sure(column_type: ColumnType, steps: Steps, looks: Looks, *, base64_layers: int) -> str:
    """The value of a typed value if it is of the usual type; NULL in any doubt."""
    dialect, kind = looks.dialect, column_type.kind
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
            return _when(f"{text} ~ '^-?0{{0,20}}[0-9]{{1,18}}$'", f"CAST({text} AS BIGINT)")
        case Kind.NUMERIC:
            return _when(f"{text} ~ {_decimal(column_type, dialect)} AND {_is_short(text)}", text)
        case Kind.DOUBLE:
            digits = f"BTRIM(REPLACE(REPLACE({text}, '-', ''), '.', ''), '0')"
            fits = f"{text} ~ {_PLAIN} AND {_is_short(text)} AND OCTET_LENGTH({digits}) <= 15"
            return _when(fits, f"CAST({text} AS DOUBLE PRECISION)")
        case Kind.DATE:
            return _when(f"{text} ~ {_DATE}", f"CAST({text} AS DATE)")
        case Kind.TIMESTAMP if column_type.unit:
            return _epoch(text, _PER_SECOND[column_type.unit])
        case Kind.TIMESTAMP:
            spelled = f"REPLACE(REPLACE({text}, 'T', ' '), 'Z', '+00')"
            return _when(f"{text} ~ {_MOMENT}", f"CAST({spelled} AS TIMESTAMP WITH TIME ZONE)")
        case Kind.BINARY:
            return _when(f"{text} ~ {_BASE64}", dialect.decode_base64.format(text))
    return null


def moment(micros: str) -> str:
    """The time of so many microseconds since 1970: up to 2038, as no part of it may have more than 32 bits."""
    seconds = f"DATEADD(second, CAST({micros} / 1000000 AS INTEGER), CAST('1970-01-01' AS TIMESTAMP WITHOUT TIME ZONE))"
    exact = f"DATEADD(microsecond, CAST({micros} % 1000000 AS INTEGER), {seconds})"
    return _when(f"{micros} BETWEEN 0 AND {_MOST_SECONDS * 1_000_000}", f"CAST({exact} AS TIMESTAMP WITH TIME ZONE)")


def key_text(tag: str, text: str, dialect: Dialect) -> str:
    """The one text by which a key is known; NULL if it is not written so, or the engine cannot hold it."""
    match tag:
        case "N":
            fits = f"'^-?[0-9]{{1,{_whole_digits(ColumnType(Kind.NUMERIC), dialect)}}}([.][0-9]{{1,18}})?$'"
            return _when(f"{text} ~ {KEY_NUMBER} AND {text} ~ {fits}", text)
        case "B":
            return _when(f"{text} ~ {_BASE64}", text)
    # Trailing blanks do not count in comparisons: https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html
    return _when(f"OCTET_LENGTH(RTRIM({text})) = OCTET_LENGTH({text})", text)


def _when(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _is_short(text: str) -> str:
    return f"OCTET_LENGTH({text}) <= {_MOST_DIGITS}"


def _epoch(text: str, per_second: int) -> str:
    whole = f"CASE WHEN {text} ~ '^[0-9]{{1,16}}$' THEN CAST({text} AS BIGINT) END"
    return (
        f"CASE WHEN {whole} <= {_MOST_SECONDS * per_second} THEN {moment(f'({whole} * {1_000_000 // per_second})')} END"
    )


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


__all__ = ["KEY_NUMBER", "key_text", "moment", "staged_type", "sure"]
