"""What Snowflake can do and how it says things, each fact with its page of Snowflake's documentation."""

from __future__ import annotations

from cdc_merge.model import Kind
from cdc_merge.warehouses.dialect import Capitals, Dialect, Limit, RawLoading

# Snowflake: https://docs.snowflake.com/en/sql-reference/intro-summary-data-types
SNOWFLAKE = Dialect(
    name="snowflake",
    sqlglot="snowflake",
    forms=("snowflake", "by_key"),
    default_schema="public",
    types={
        Kind.TEXT: "VARCHAR",
        # All integers are NUMBER(38, 0): https://docs.snowflake.com/en/sql-reference/data-types-numeric
        Kind.INTEGER: "NUMERIC(38, 0)",
        # As on DuckDB: 20 whole digits hold every 64-bit id, 18 decimals money and rates. What does not fit is rescued.
        Kind.NUMERIC: "NUMERIC(38, 18)",
        Kind.DOUBLE: "FLOAT",
        Kind.BOOLEAN: "BOOLEAN",
        Kind.TIMESTAMP: "TIMESTAMP_TZ",
        Kind.DATE: "DATE",
        Kind.JSON: "VARIANT",
        Kind.BINARY: "BINARY",
    },
    # Text, which is kept as it is sent; a VARIANT is not.
    metadata_json="VARCHAR",
    # Text is compared by its bytes unless a collation is asked for, and trailing spaces count.
    # https://docs.snowflake.com/en/sql-reference/collation
    # https://docs.snowflake.com/en/sql-reference/identifiers-syntax
    capitals=Capitals.RAISED,
    max_identifier_bytes=255,
    # https://docs.snowflake.com/en/sql-reference/data-types-text#escape-sequences-in-single-quoted-string-constants
    backslash="chr(92)",
    # https://docs.snowflake.com/en/sql-reference/transactions#ddl
    ddl_commits=True,
    decimal_digits=38,
    decimal_scale=18,
    stages_decimals=False,
    row_address=None,
    # https://docs.snowflake.com/en/sql-reference/constraints-overview
    enforces_keys=False,
    has_upsert=False,
    # https://docs.snowflake.com/en/sql-reference/functions/count_if
    count_where="count_if({})",
    # https://docs.snowflake.com/en/sql-reference/functions/greatest_ignore_nulls
    greatest="greatest_ignore_nulls",
    # A number that VARIANT would keep as a double (an exponent, or more than 38 digits; `""` is what is left of texts)
    # keeps its digits in a text of the whole value. https://docs.snowflake.com/en/sql-reference/functions/parse_json
    read_json=r"""CASE WHEN REGEXP_LIKE(REGEXP_REPLACE({value}, '"([^"\\\\]|\\\\.)*"'), """
    "'.*[0-9]([eE]|[0-9.]{{38}}).*', 's') THEN TO_VARIANT({value}) ELSE PARSE_JSON({value}) END",
    written_json="TO_JSON({value})",
    # https://docs.snowflake.com/en/sql-reference/functions/sha2
    sha256="SHA2({}, 256)",
    binary_as_text="HEX_ENCODE({value})",
    decode_base64="TO_BINARY({}, 'BASE64')",
    # The order of keys says nothing in an object. https://docs.snowflake.com/en/sql-reference/data-types-semistructured
    same_rescued="CASE WHEN {a} IS NOT DISTINCT FROM {b} THEN TRUE "
    "ELSE coalesce(PARSE_JSON({a}) = PARSE_JSON({b}), FALSE) END",
    # https://docs.snowflake.com/en/sql-reference/constructs/sample
    sample="SELECT {keys} FROM {table} SAMPLE ({count} ROWS)",
    # From stages that the URL names: https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
    raw_loading=RawLoading.BY_COPY,
    raw_places=(),
    limits=(
        Limit(
            "DDL commits by itself: new tables and columns are there before the batch that needs them, and stay",
            "https://docs.snowflake.com/en/sql-reference/transactions#ddl",
        ),
        Limit(
            "merges of all sources of a metadata schema wait for each other: an update locks its table",
            "https://docs.snowflake.com/en/sql-reference/transactions#resource-locking",
        ),
        Limit(
            "a transaction that a lost worker left open keeps others waiting for five minutes, then it is rolled back",
            "https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions",
        ),
        Limit(
            "each statement of a transaction sees a moment of its own: a dry run beside merges can take one for drift",
            "https://docs.snowflake.com/en/sql-reference/transactions#isolation-level",
        ),
        Limit(
            "after reconcile --rebuild the new table takes the old one's place in steps, which the next run ends",
            "https://docs.snowflake.com/en/sql-reference/sql/alter-table",
        ),
        Limit(
            "an unconstrained numeric is NUMBER(38, 18); a number it cannot hold exactly is kept in _cdc_rescued",
            "https://docs.snowflake.com/en/sql-reference/data-types-numeric",
        ),
        Limit(
            "a JSON value with a number of more than 38 digits, or with an exponent, is a text in its VARIANT",
            "https://docs.snowflake.com/en/sql-reference/functions/parse_json",
        ),
        Limit(
            "no key is enforced: rows that someone inserts twice by hand are found by the next merge or reconcile",
            "https://docs.snowflake.com/en/sql-reference/constraints-overview",
        ),
        Limit(
            "the drift meter reads the key columns of a whole table for each sample",
            "https://docs.snowflake.com/en/sql-reference/constructs/sample",
        ),
    ),
)

__all__ = ["SNOWFLAKE"]
