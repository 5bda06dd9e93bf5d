"""SQL of Redshift that turns a copied text into a column's type, or says that it is in doubt.

COPY brings texts and numbers as text, and does not tell them apart. What is taken here is taken by the worker's
decoder alike (feed/convert.py), whichever of the two it was; all else is in doubt, and the worker reads that item.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdc_merge.model import ColumnType, Condition, Kind, TimeUnit
from cdc_merge.warehouses.dialect import Dialect

# No backslash in any pattern: how many it takes depends on where it is written.
# https://docs.aws.amazon.com/redshift/latest/dg/pattern-matching-conditions-posix.html
_DAY = (
    "[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29"
)
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?"
_OFFSET = "[+-](0[0-9]|1[0-4]):[0-5][0-9]"
_EXACT_DIGITS = 15  # that a double holds, whichever they are
_LONGEST_EPOCH = {TimeUnit.SECONDS: 11, TimeUnit.MILLISECONDS: 14, TimeUnit.MICROSECONDS: 17}  # digits; year 5138
_PER_SECOND = {TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1_000_000}
_DATEPART = {TimeUnit.MILLISECONDS: "millisecond", TimeUnit.MICROSECONDS: "microsecond"}


@dataclass(frozen=True)
class Copied:
    """A column's value from a copied text. `is_sure`: whether it is what the item has, and not in doubt."""

    value: str
    is_sure: str


@dataclass(frozen=True)
class CopiedValues:
    """Builds the expressions. A NULL is taken for missing, and may be an empty text: that is for others to ask."""

    dialect: Dialect

    def column(self, column_type: ColumnType, text: str) -> Copied:
        """The value as it is staged for a column of this type; `text`: the expression of what was copied."""
        match column_type.kind:
            case Kind.TEXT:
                return Copied(text, "TRUE")
            case Kind.INTEGER:
                return _cast(text, _matches(text, f"-?{_whole(18)}"), "BIGINT")
            case Kind.NUMERIC:
                fits = _matches(text, self._decimal(column_type))
                return Copied(f"CASE WHEN {fits} THEN {text} END", _or_null(text, fits))
            case Kind.DOUBLE:
                digits = f"LENGTH(REPLACE(REPLACE({text}, '-', ''), '.', ''))"
                plain = _matches(text, f"-?{_whole(_EXACT_DIGITS)}([.][0-9]+)?")
                return _cast(text, f"({plain} AND {digits} <= {_EXACT_DIGITS})", "DOUBLE PRECISION")
            case Kind.DATE:
                return _cast(text, _matches(text, f"({_DAY})"), "DATE")
            case Kind.TIMESTAMP:
                return _moment(text, column_type.unit or TimeUnit.SECONDS)
        raise TypeError(f"no text fills {column_type.kind.value}")

    def key(self, tag: str, text: str) -> Copied:
        """A key's own text as it is staged, and whether the warehouse can hold it as a key."""
        if tag == "N":
            precision, scale = self.dialect.decimal_digits or 38, self.dialect.decimal_scale or 0
            # As DynamoDB writes it, without needless zeros: the text is a part of the books, too.
            fraction = f"([.][0-9]{{0,{scale - 1}}}[1-9])?"
            fits = f"({_matches(text, f'-?{_whole(precision - scale)}{fraction}')} AND {text} <> '-0')"
            return Copied(text, fits)
        return Copied(text, f"({text} IS NOT NULL AND OCTET_LENGTH({text}) = OCTET_LENGTH(RTRIM({text})))")

    def compared_key(self, tag: str, text: str) -> str:
        """The key as the tables have it."""
        if tag != "N":
            return text
        number = self.dialect.type_name(ColumnType(Kind.NUMERIC))
        return f"CASE WHEN {self.key(tag, text).is_sure} THEN CAST({text} AS {number}) END"

    def condition(self, condition: Condition, text: str) -> str:
        """Whether the condition holds."""
        if condition.exists is not None:
            return f"{text} IS {'NOT ' if condition.exists else ''}NULL"
        if condition.prefix is not None:
            return f"coalesce(STRPOS({text}, {self.dialect.literal(condition.prefix)}) = 1, FALSE)"
        literals = [self.dialect.literal(str(wanted)) for wanted in condition.any_of or ()]
        return f"({' OR '.join(self.dialect.same_text.format(a=text, b=literal) for literal in literals)})"

    def _decimal(self, column_type: ColumnType) -> str:
        if column_type.precision is None:
            precision, scale = self.dialect.decimal_digits or 38, self.dialect.decimal_scale or 0
        else:
            precision, scale = column_type.precision, column_type.scale or 0
        return f"-?{_whole(precision - scale)}" + (f"([.][0-9]{{1,{scale}}})?" if scale else "")


def _whole(digits: int) -> str:
    """So many digits at most, without needless zeros."""
    return {0: "0", 1: "[0-9]"}.get(digits, f"(0|[1-9][0-9]{{0,{digits - 1}}})")


def _matches(text: str, pattern: str) -> str:
    """Whether all of the text is as the pattern says; the end of a line is not the end of a text."""
    return f"({text} ~ '^{pattern}$' AND STRPOS({text}, chr(10)) = 0)"


def _or_null(text: str, fits: str) -> str:
    return f"({text} IS NULL OR {fits})"


def _cast(text: str, fits: str, type_name: str) -> Copied:
    return Copied(f"CASE WHEN {fits} THEN CAST({text} AS {type_name}) END", _or_null(text, fits))


def _moment(text: str, unit: TimeUnit) -> Copied:
    """ISO 8601, and numbers since 1970 that are no fractions of their unit."""
    is_epoch = _matches(text, _whole(_LONGEST_EPOCH[unit]))
    # An offset may lead into the year 10000, which not every driver can read.
    with_offset = f"({_matches(text, f'({_DAY})[T ]{_CLOCK}{_OFFSET}')} AND SUBSTRING({text}, 1, 4) <> '9999')"
    is_time = f"({_matches(text, f'({_DAY}|({_DAY})[T ]{_CLOCK}Z?)')} OR {with_offset})"
    moment = f"CASE WHEN {is_epoch} THEN {_since_1970(text, unit)} WHEN {is_time} THEN {_iso(text)} END"
    return Copied(f"CAST({moment} AS TIMESTAMP WITH TIME ZONE)", _or_null(text, f"({is_epoch} OR {is_time})"))


def _since_1970(text: str, unit: TimeUnit) -> str:
    """In steps that fit an INTEGER: https://docs.aws.amazon.com/redshift/latest/dg/r_DATEADD_function.html"""
    number, per_second = f"CAST({text} AS BIGINT)", _PER_SECOND[unit]
    moment = "CAST('1970-01-01 00:00:00' AS TIMESTAMP WITHOUT TIME ZONE)"
    moment = f"DATEADD(day, CAST({number} / {86_400 * per_second} AS INTEGER), {moment})"
    moment = f"DATEADD(second, CAST({number} / {per_second} % 86400 AS INTEGER), {moment})"
    if unit in _DATEPART:
        moment = f"DATEADD({_DATEPART[unit]}, CAST({number} % {per_second} AS INTEGER), {moment})"
    return moment


def _iso(text: str) -> str:
    """The clock's time, less the offset. The session's time zone is UTC."""
    has_offset = f"LENGTH({text}) > 19 AND SUBSTRING({text}, LENGTH({text}) - 5, 1) IN ('+', '-')"
    length = f"LENGTH({text}) - CASE WHEN {has_offset} THEN 6 WHEN RIGHT({text}, 1) = 'Z' THEN 1 ELSE 0 END"
    local = f"CAST(REPLACE(SUBSTRING({text}, 1, {length}), 'T', ' ') AS TIMESTAMP WITHOUT TIME ZONE)"
    hours = f"CAST(SUBSTRING({text}, LENGTH({text}) - 4, 2) AS INTEGER)"
    minutes = f"CAST(RIGHT({text}, 2) AS INTEGER)"
    sign = f"CASE WHEN SUBSTRING({text}, LENGTH({text}) - 5, 1) = '+' THEN -1 ELSE 1 END"
    offset = f"CASE WHEN {has_offset} THEN {sign} * ({hours} * 60 + {minutes}) ELSE 0 END"
    return f"DATEADD(minute, {offset}, {local})"


__all__ = ["Copied", "CopiedValues"]
