"""How an engine says in SQL what looks and values are made of: what it reads JSON with, and what it casts texts by."""

from __future__ import annotations

from dataclasses import dataclass

from cdc_merge.warehouses.dialect import Dialect

_SECOND = 1_000_000  # microseconds


@dataclass(frozen=True)
class Kinds:
    """What an engine calls the kinds of JSON values. `integer`: all whole numbers are of it, perhaps others, too."""

    string: str
    boolean: str
    integer: str
    object: str
    array: str
    null: str


@dataclass(frozen=True)
class Words:
    """Expressions, with their arguments in braces.

    `settings`: of a session, which must be on while it decodes.
    `parsed`: a document of a JSON {text}.
    `member`, `element`: a part of a {value}, by its name (an identifier, {name}, or a text, {literal}) or its {place}.
    `kind`: the kind of a {value}, one of `kinds`; NULL or `kinds.null` if there is none.
    `text`: a JSON text as text. `measure`: what tells whether that is all of it, with a name of its own; `is_whole`:
        whether it does ({text}, {measure}). `lost`: characters that show that something of a text may be gone.
    `json`: a {value} as JSON text. `size`: the bytes of that; None: it always fits a text. `has_number`: whether such a
        text ({json}) has a number outside of texts, which may be spelled otherwise in the record; None: it is not.
    `width`: how many members an object has.
    `matches`: whether a {pattern} is one of a whole {text}.
    `integer`, `double`, `date`, `time`, `binary`: what a {text} says, which was tested before. `time` may have no part
        but the day, and ends in Z or in nothing.
    `moment`: the time of so many {micros} since 1970; up to `last_second`.
    """

    parsed: str
    member: str
    element: str
    kind: str
    kinds: Kinds
    text: str
    measure: tuple[str, str]
    is_whole: str
    json: str
    size: str | None
    width: str
    matches: str
    integer: str
    double: str
    date: str
    time: str
    binary: str
    moment: str
    last_second: int
    has_number: str | None = None
    lost: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


# The characters that JSON writes with a backslash before them. No literal may have one (redshift_dialect.py).
_ESCAPED = "'\"' || CHR(92) || CHR(8) || CHR(9) || CHR(10) || CHR(12) || CHR(13)"

# https://docs.aws.amazon.com/redshift/latest/dg/query-super.html
REDSHIFT = Words(
    # https://docs.aws.amazon.com/redshift/latest/dg/super-configurations.html
    settings=("enable_case_sensitive_identifier", "enable_case_sensitive_super_attribute"),
    parsed="JSON_PARSE({text})",
    # Names are quoted, and the session keeps their case.
    member="{value}.{name}",
    element="{value}[{place}]",
    kind="JSON_TYPEOF({value})",
    kinds=Kinds(string="string", boolean="boolean", integer="number", object="object", array="array", null="null"),
    text="CAST({value} AS VARCHAR(65535))",
    # A cast could cut a text off, or drop U+0000 from it. Then it has not the bytes that its JSON accounts for: two
    # quotes, and a backslash for each character that needs one.
    measure=("z", "JSON_SIZE({value})"),
    is_whole="{measure} = 2 + 2 * OCTET_LENGTH({text}) - OCTET_LENGTH(TRANSLATE({text}, 'a' || " + _ESCAPED + ", 'a'))",
    json="JSON_SERIALIZE({value})",
    size="JSON_SIZE({value})",
    width="GET_NUMBER_ATTRIBUTES({value})",
    matches="{text} ~ {pattern}",
    integer="CAST({text} AS BIGINT)",
    double="CAST({text} AS DOUBLE PRECISION)",
    date="CAST({text} AS DATE)",
    time="CAST(REPLACE(REPLACE({text}, 'T', ' '), 'Z', '+00') AS TIMESTAMP WITH TIME ZONE)",
    binary="TO_VARBYTE({text}, 'base64')",
    # DATEADD's numbers are of 32 bits: https://docs.aws.amazon.com/redshift/latest/dg/r_DATEADD_function.html
    moment="CAST("
    f"DATEADD(microsecond, CAST({{micros}} % {_SECOND} AS INTEGER), "
    f"DATEADD(second, CAST({{micros}} / {_SECOND} AS INTEGER), CAST('1970-01-01' AS TIMESTAMP WITHOUT TIME ZONE)))"
    " AS TIMESTAMP WITH TIME ZONE)",
    last_second=2_147_483_647,
)

_PARTS = ((12, 3_600 * _SECOND), (15, 60 * _SECOND), (18, _SECOND))  # where hour, minute and second stand in a time


def _integer(text: str) -> str:
    """TRY_ gives NULL where it would fail, whatever the order in which a statement is computed.

    https://docs.snowflake.com/en/sql-reference/functions-conversion#label-try-conversion-functions
    """
    return f"TRY_CAST({text} AS NUMERIC(38, 0))"


def _micros(time: str) -> str:
    """The microseconds of a time's text since 1970, in whole numbers of its parts; it may end after any of them."""
    day = f"TRY_TO_DATE(LEFT({time}, 10), 'YYYY-MM-DD')"
    days = f"DATEDIFF(day, TO_DATE('1970-01-01', 'YYYY-MM-DD'), {day})"
    parts = [f"coalesce({_integer(f'SUBSTR({time}, {at}, 2)')}, 0) * {each}" for at, each in _PARTS]
    fraction = f"RPAD(REPLACE(SUBSTR({time}, 21), 'Z', ''), 6, '0')"
    return " + ".join([f"{days} * {86_400 * _SECOND}", *parts, _integer(fraction)])


# What U+0000 becomes no page says, and U+FFFD stands where something could not be read.
_LOST = ("chr(0)", "'\N{REPLACEMENT CHARACTER}'")

# https://docs.snowflake.com/en/user-guide/querying-semistructured
SNOWFLAKE = Words(
    parsed="PARSE_JSON({text})",
    # Case counts, and what is no object, or no array, has no part: .../sql-reference/functions/get
    member="GET({value}, {literal})",
    element="GET({value}, {place})",
    # .../sql-reference/functions/typeof . A number with digits after the point is a DECIMAL, one with an exponent or of
    # more than 38 digits a DOUBLE: .../sql-reference/functions/parse_json
    kind="TYPEOF({value})",
    kinds=Kinds(
        string="VARCHAR", boolean="BOOLEAN", integer="INTEGER", object="OBJECT", array="ARRAY", null="NULL_VALUE"
    ),
    text="CAST({value} AS VARCHAR)",
    # What a cast gives must be the same value in a VARIANT again.
    measure=("j", "TO_JSON({value})"),
    is_whole="TO_JSON(TO_VARIANT({text})) = {measure}"
    + "".join(f" AND POSITION({lost} IN {{text}}) = 0" for lost in _LOST),
    lost=_LOST,
    # .../sql-reference/functions/to_json ; VARCHAR holds 16 MB, a record of Firehose 1,000 KiB.
    json="TO_JSON({value})",
    size=None,
    # A VARIANT keeps numbers, not their digits. No typed value of DynamoDB has one.
    has_number=r"""REGEXP_LIKE(REGEXP_REPLACE({json}, '"([^"\\\\]|\\\\.)*"'), '.*[0-9].*', 's')""",
    width="ARRAY_SIZE(OBJECT_KEYS({value}))",
    # The whole text must match, line ends included: .../sql-reference/functions-regexp
    matches="REGEXP_LIKE({text}, {pattern})",
    integer=_integer("{text}"),
    double="TRY_CAST({text} AS FLOAT)",
    date="TRY_TO_DATE({text}, 'YYYY-MM-DD')",
    # As the worker's times are made (snowflake_files.py).
    time=f"TO_TIMESTAMP_TZ({_micros('{text}')}, 6)",
    binary="TRY_TO_BINARY({text}, 'BASE64')",
    # .../sql-reference/functions/to_timestamp
    moment="TO_TIMESTAMP_TZ({micros}, 6)",
    last_second=253_402_300_799,  # of the year 9999
)

_BY_ENGINE = {"redshift": REDSHIFT, "snowflake": SNOWFLAKE}


def words_of(dialect: Dialect) -> Words:
    """Raises KeyError for an engine that decodes nothing (`raw_loading`)."""
    return _BY_ENGINE[dialect.name]


__all__ = ["REDSHIFT", "SNOWFLAKE", "Kinds", "Words", "words_of"]
