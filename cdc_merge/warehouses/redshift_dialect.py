"""What Amazon Redshift can do and how it says things, each fact with its page of AWS' documentation."""

from __future__ import annotations

from cdc_merge.model import Kind
from cdc_merge.warehouses.dialect import Capitals, Dialect, Limit, RawLoading

_DOCS = "https://docs.aws.amazon.com/redshift/latest/dg"

LIMITS = (
    Limit(
        "a key that ends in a blank goes to quarantine: texts that differ in trailing blanks are equal",
        f"{_DOCS}/r_Character_types.html",
    ),
    Limit("U+0000 in _cdc_rescued is spelled as the six characters \\u0000", f"{_DOCS}/r_SUPER_type.html"),
    Limit("a text of more than 65,535 bytes is kept in _cdc_rescued", f"{_DOCS}/r_Character_types.html"),
    Limit(
        "a JSON value of more than 1,000,000 bytes cannot be parsed in SQL, and stops its source",
        f"{_DOCS}/r_SUPER_type.html",
    ),
    Limit(
        "an unconstrained numeric is DECIMAL(38, 18); a number it cannot hold exactly is kept in _cdc_rescued",
        f"{_DOCS}/r_Numeric_types201.html",
    ),
    Limit(
        "merges of all sources of a metadata schema wait for each other: an update locks its table",
        f"{_DOCS}/c_write_readwrite.html",
    ),
    Limit(
        "no key is enforced: rows that someone inserts twice by hand are found by the next merge or reconcile",
        f"{_DOCS}/c_unsupported-postgresql-features.html",
    ),
    Limit(
        "a column's type cannot be changed but for the size of a VARCHAR: cdc-merge reconcile --rebuild makes it anew",
        f"{_DOCS}/r_ALTER_TABLE.html",
    ),
    Limit("a table that is rebuilt must have no view but those WITH NO SCHEMA BINDING", f"{_DOCS}/r_DROP_TABLE.html"),
    Limit(
        "the drift meter reads the key columns of a whole table for each sample", f"{_DOCS}/r_Examples_of_SELECT.html"
    ),
)

_SAME = "CASE WHEN {a} IS NULL THEN {b} IS NULL ELSE coalesce({a} = {b}, FALSE) END"
_SAME_BYTES = "{a} = {b} AND octet_length({a}) = octet_length({b})"

REDSHIFT = Dialect(
    name="redshift",
    sqlglot="redshift",
    # No row addresses, no enforced keys: c_unsupported-postgresql-features.html
    forms=("redshift", "by_key"),
    default_schema="public",
    types={
        # TEXT, and VARCHAR alone, are VARCHAR(256), in bytes: r_Character_types.html
        Kind.TEXT: "VARCHAR(65535)",
        Kind.INTEGER: "BIGINT",
        # DECIMAL alone is (18, 0): r_Numeric_types201.html
        Kind.NUMERIC: "DECIMAL(38, 18)",
        Kind.DOUBLE: "DOUBLE PRECISION",
        Kind.BOOLEAN: "BOOLEAN",
        # r_Datetime_types.html
        Kind.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
        Kind.DATE: "DATE",
        # r_SUPER_type.html
        Kind.JSON: "SUPER",
        # A record of Firehose has 1,000 KiB at most, an item of DynamoDB 400: r_VARBYTE_type.html
        Kind.BINARY: "VARBYTE(1024000)",
    },
    metadata_json="SUPER",
    # A database may have been made case-insensitive: r_CREATE_TABLE_NEW.html, COLLATE
    byte_order="COLLATE CASE_SENSITIVE",
    decimal_digits=38,
    decimal_scale=18,
    # Of 19 digits or fewer, a decimal has 64 bits, which hold no more than 9,223,372,036,854,775,807:
    # r_Numeric_types201.html
    widened={19: 20},
    # r_names.html
    max_identifier_bytes=127,
    capitals=Capitals.LOWERED,
    reserved_columns=frozenset({"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}),
    # NUL ends a value in COPY, and text cannot hold it: copy-parameters-data-conversion.html
    holds_nul=False,
    # Nothing is said of it in a SUPER: r_SUPER_type.html
    rescues_nul=False,
    ignores_trailing_blanks=True,
    max_text_bytes=65_535,
    max_binary_bytes=1_024_000,
    row_address=None,
    # Keys are informational, and the planner trusts them: c_unsupported-postgresql-features.html
    indexes_key=False,
    enforces_keys=False,
    has_upsert=False,
    # A transaction's moment is that of its first statement, but for LOCK: c_serial_isolation.html, r_LOCK.html
    lock_table="LOCK TABLE {}",
    one_moment=None,
    # No FILTER: c_Aggregate_Functions.html
    count_where="count(CASE WHEN {} THEN 1 END)",
    # The start of the statement, in the time zone of the session, which is UTC: r_GETDATE.html. CURRENT_TIMESTAMP is
    # known to the leader node alone: Date_functions_header.html
    now="CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE)",
    # r_DATEADD_function.html, r_Dateparts_for_datetime_functions.html
    later="CAST(DATEADD({unit}, {amount}, {moment}) AS TIMESTAMP WITH TIME ZONE)",
    # There is no IS NOT DISTINCT FROM: r_comparison_condition.html
    same=f"({_SAME})",
    # Trailing blanks are seen only in the length: r_OCTET_LENGTH.html
    same_text=f"(CASE WHEN {{a}} IS NULL THEN {{b}} IS NULL ELSE coalesce({_SAME_BYTES}, FALSE) END)",
    # Objects and arrays are compared in depth: query-super.html, Dynamic typing
    same_json=f"({_SAME})",
    same_rescued="(CASE WHEN {column} IS NULL THEN {b} IS NULL ELSE coalesce({column} = JSON_PARSE({b}), FALSE) END)",
    # JSON_PARSE.html takes VARCHAR and VARBYTE; JSON_SERIALIZE.html
    read_json="JSON_PARSE({value})",
    written_json="JSON_SERIALIZE({value})",
    # r_TO_VARBYTE.html, r_TO_HEX.html
    decode_base64="TO_VARBYTE({}, 'base64')",
    binary_as_text="TO_HEX({value})",
    # Examples of LIKE and of regular expressions double it, and no page says that literals know escapes:
    # r_patternmatching_condition_like.html. So there is none in any literal.
    backslash="chr(92)",
    # SHA2.html
    sha256="SHA2({}, 256)",
    stages_decimals=False,
    places_rows=True,
    # Blocks are left out by the least and greatest value in each: t_Sorting_data.html. Texts have the order of their
    # bytes, as the workbench's: c_collation_sequences.html
    prunes_by_literals=True,
    # The planner has the statistics of what COPY fills first, and of CREATE TABLE AS: c_Analyzing_tables.html
    analyze_staging=False,
    # A row takes part in joins as wide as it may be: c_best-practices-smallest-column-size.html
    max_added_columns=300,
    schema_exists="SELECT 1 FROM pg_namespace WHERE nspname = {name}",
    # t_Loading-data-from-dynamodb.html
    copies_dynamodb=True,
    # r_COPY.html, query-super.html
    raw_loading=RawLoading.BY_COPY,
    limits=LIMITS,
)

__all__ = ["LIMITS", "REDSHIFT"]
