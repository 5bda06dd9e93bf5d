"""SQL expressions, for the workbench, that turn the text of a DynamoDB value into a column's type or NULL.

Two grades. `surely` reads the one type tag a column usually meets, and gives NULL when in any doubt; rows
with a NULL too many are looked at again by `carefully`, which accepts every tag a type can take. What that
gives NULL for goes to _cdc_rescued. Neither ever rounds: a value is held exactly or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cdc_merge.feed.shape import literal
from cdc_merge.model import ColumnType, Kind, Mask, Template, TimeUnit
from cdc_merge.warehouses.dialect import Dialect

_PLAIN_NUMBER = r"'-?[0-9]+(\.[0-9]+)?'"
_NUMBER_AS_TEXT = r"'-?(0|[1-9][0-9]*)(\.[0-9]+)?'"
_ISO_TIME = (
    r"'[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6}0*)?)?"
    r" ?(Z|z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)?)?'"
)
_NULL = '{"NULL":true}'
_PER_SECOND = {TimeUnit.SECONDS: 1_000_000, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1}
_MOST_REPEATED = 1_000  # times, in a regular expression: https://github.com/google/re2/wiki/Syntax
_WORKBENCH_DIGITS = 38  # of DuckDB's widest decimal
# Years 0001 to 9999: what every engine and driver can hold.
_MICROS_RANGE = "BETWEEN -62135596800000000 AND 253402300799999999"


def usual_tag(column_type: ColumnType) -> str | None:
    """The type tag `surely` reads; None: it reads the whole typed value."""
    match column_type.kind:
        case Kind.TEXT | Kind.DATE:
            return "S"
        case Kind.INTEGER | Kind.NUMERIC | Kind.DOUBLE:
            return "N"
        case Kind.BOOLEAN:
            return "BOOL"
        case Kind.BINARY:
            return "B"
        case Kind.TIMESTAMP:
            return "N" if column_type.unit else "S"
        case Kind.JSON:
            return None


def staged_type(column_type: ColumnType, dialect: Dialect) -> str:
    """The workbench's type for a column's values on their way to the warehouse."""
    match column_type.kind:
        case Kind.NUMERIC if not dialect.stages_decimals:
            return "VARCHAR"
        case Kind.NUMERIC:
            precision, scale = _decimal(column_type, dialect)
            return f"DECIMAL({precision}, {scale})"
        case Kind.JSON:
            return "VARCHAR"
        case Kind.TIMESTAMP:
            return "TIMESTAMP WITH TIME ZONE"
        case _:
            return {
                Kind.TEXT: "VARCHAR",
                Kind.INTEGER: "BIGINT",
                Kind.DOUBLE: "DOUBLE",
                Kind.BOOLEAN: "BOOLEAN",
                Kind.DATE: "DATE",
                Kind.BINARY: "BLOB",
            }[column_type.kind]


def surely(column_type: ColumnType, value: str, dialect: Dialect, *, base64_layers: int) -> str:
    """`value`: the payload text under the usual tag (or the whole typed value, for json)."""
    match column_type.kind:
        case Kind.TEXT:
            return _if_held(value, dialect)
        case Kind.INTEGER:
            return f"CASE WHEN regexp_full_match({value}, '-?[0-9]+') THEN TRY_CAST({value} AS BIGINT) END"
        case Kind.NUMERIC:
            return _numeric(column_type, value, dialect)
        case Kind.DOUBLE:
            digits = f"trim(replace(ltrim({value}, '-'), '.', ''), '0')"
            return (
                f"CASE WHEN regexp_full_match({value}, {_PLAIN_NUMBER}) AND length({digits}) <= 15 "
                f"THEN TRY_CAST({value} AS DOUBLE) END"
            )
        case Kind.BOOLEAN:
            return f"CASE {value} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
        case Kind.TIMESTAMP if column_type.unit:
            return _epoch(value, column_type.unit)
        case Kind.TIMESTAMP:
            return _iso_time(value)
        case Kind.DATE:
            return (
                f"CASE WHEN regexp_full_match({value}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') AND {value} >= '0001' "
                f"THEN TRY_CAST({value} AS DATE) END"
            )
        case Kind.JSON:
            # DynamoDB's NULL is the column's NULL, not a JSON null.
            held = f"{value} <> '{_NULL}'"
            if not dialect.holds_nul:
                held += f" AND NOT contains({value}, '\\u0000')"
            return f"CASE WHEN {held} THEN plain_json_{base64_layers}({value}) END"
        case Kind.BINARY:
            return _binary(value, base64_layers)


def _if_held(text: str, dialect: Dialect) -> str:
    """The text, or NULL where the engine's column cannot hold it."""
    tests = []
    if not dialect.holds_nul:
        tests.append(f"NOT contains({text}, chr(0))")
    if dialect.max_text_bytes is not None:
        tests.append(f"strlen({text}) <= {dialect.max_text_bytes}")
    return f"CASE WHEN {' AND '.join(tests)} THEN {text} END" if tests else text


def carefully(
    column_type: ColumnType, tags: Mapping[str, str], whole: str, dialect: Dialect, *, base64_layers: int
) -> str:
    """`tags`: for S, N, BOOL and B the expression of that payload's text; `whole`: the whole typed value."""
    s, n, boolean, b = tags["S"], tags["N"], tags["BOOL"], tags["B"]
    # Text counts as a number only where the number says all of it: "007" is not 7.
    textual = f"CASE WHEN regexp_full_match({s}, {_NUMBER_AS_TEXT}) THEN {s} END"
    number = f"plain_number(coalesce({n}, {textual}))"
    match column_type.kind:
        case Kind.TEXT:
            value = f"coalesce({s}, {n}, {boolean})"
        case Kind.INTEGER | Kind.NUMERIC | Kind.DOUBLE:
            value = number
        case Kind.BOOLEAN:
            value = f"coalesce({boolean}, {s})"
        case Kind.TIMESTAMP:
            return f"coalesce({_iso_time(s)}, {_epoch(f'plain_number({n})', column_type.unit or TimeUnit.SECONDS)})"
        case Kind.DATE:
            value = s
        case Kind.JSON:
            value = whole
        case Kind.BINARY:
            value = b
    return surely(column_type, value, dialect, base64_layers=base64_layers)


def piece_of(template: Template, value: str) -> str:
    """The piece of a text that stands in the template's hole; NULL where the template does not fit.

    Regular expressions take the leftmost way to match, and `.+?` the shortest piece that lets the rest fit.
    https://duckdb.org/docs/stable/sql/functions/regular_expressions
    """
    *others, last = ["(.+?)"] * (len(template.literals) - 2) + ["(.+)"]
    first, *after = (re.escape(text) for text in template.literals)
    pattern = "^" + first + "".join(hole + text for hole, text in zip([*others, last], after, strict=True)) + "$"
    return f"nullif(regexp_extract({value}, {literal(pattern)}, {template.hole + 1}, 's'), '')"


def typed_piece(column_type: ColumnType, piece: str, dialect: Dialect) -> str:
    """A piece of a text as a column's type. It counts as a number only where the number says all of it."""
    if column_type.kind in (Kind.INTEGER, Kind.NUMERIC, Kind.DOUBLE) or column_type.unit:
        piece = f"plain_number(CASE WHEN regexp_full_match({piece}, {_NUMBER_AS_TEXT}) THEN {piece} END)"
    return surely(column_type, piece, dialect, base64_layers=1)


def masked(mask: Mask, scalar: str, whole: str | None, *, base64_layers: int) -> str:
    """What is staged in a value's place.

    `scalar`: its text if it is S or N, or the piece of it that is masked; `whole`: the whole typed value, None if only
    a piece is masked.
    """
    is_there = f"{whole} IS NOT NULL AND {whole} <> '{_NULL}'" if whole else f"{scalar} IS NOT NULL"
    match mask:
        case Mask.HASH:
            text = f"coalesce({scalar}, plain_json_{base64_layers}(fixed_order({whole})))" if whole else scalar
            return f"CASE WHEN {is_there} THEN sha256({text}) END"
        case Mask.REDACT:
            return f"CASE WHEN {is_there} THEN 'redacted' END"
        case Mask.DROP:
            return "CAST(NULL AS VARCHAR)"


def _decimal(column_type: ColumnType, dialect: Dialect) -> tuple[int, int]:
    if column_type.precision is not None:
        return column_type.precision, column_type.scale or 0
    return dialect.decimal_digits or 38, dialect.decimal_scale or 0


def _numeric(column_type: ColumnType, value: str, dialect: Dialect) -> str:
    if column_type.precision is None and dialect.decimal_digits is None:
        return f"CASE WHEN regexp_full_match({value}, {_PLAIN_NUMBER}) THEN {value} END"
    precision, scale = _decimal(column_type, dialect)
    is_exact = _is_plain_number(value, most_decimals=scale)
    if precision > _WORKBENCH_DIGITS:
        digits = f"length(ltrim(split_part({value}, '.', 1), '-0')) <= {precision - scale}"
        return f"CASE WHEN {is_exact} AND {digits} THEN {value} END"
    fits = f"TRY_CAST({value} AS DECIMAL({precision}, {scale}))"
    if dialect.stages_decimals:
        return f"CASE WHEN {is_exact} THEN {fits} END"
    return f"CASE WHEN {is_exact} AND {fits} IS NOT NULL THEN {value} END"


def _is_plain_number(value: str, *, most_decimals: int) -> str:
    """SQL: whether a text is a plain number with at most so many digits after its point.

    Of one regular expression, which costs half of what looking at the digits by themselves does.
    """
    if most_decimals > _MOST_REPEATED:
        return f"regexp_full_match({value}, {_PLAIN_NUMBER}) AND length(split_part({value}, '.', 2)) <= {most_decimals}"
    decimals = rf"(\.[0-9]{{1,{most_decimals}}})?" if most_decimals else ""
    return f"regexp_full_match({value}, '-?[0-9]+{decimals}')"


def _iso_time(value: str) -> str:
    cast = f"TRY_CAST(replace({value}, ',', '.') AS TIMESTAMP WITH TIME ZONE)"
    return f"CASE WHEN regexp_full_match({value}, {_ISO_TIME}) AND epoch_us({cast}) {_MICROS_RANGE} THEN {cast} END"


def _epoch(value: str, unit: TimeUnit) -> str:
    micros = f"TRY(TRY_CAST({value} AS DECIMAL(38, 9)) * {_PER_SECOND[unit]})"
    is_whole = _is_plain_number(value, most_decimals=len(str(_PER_SECOND[unit])) - 1)
    return f"CASE WHEN {is_whole} AND {micros} {_MICROS_RANGE} THEN make_timestamptz(CAST({micros} AS BIGINT)) END"


def _binary(value: str, base64_layers: int) -> str:
    decoded = f"from_base64({value})"
    for _ in range(base64_layers - 1):
        decoded = f"from_base64(decode({decoded}))"
    return f"TRY({decoded})"
