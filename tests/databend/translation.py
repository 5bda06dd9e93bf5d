"""The words of Snowflake that databend spells otherwise, each rule once and with its reason; all else is said as it is.

A rule sees a statement without its comments, its names in quotes and its texts, but for a few texts that belong to the
grammar. What no rule knows goes to databend as it is, and databend refuses what it does not know.

Names: Snowflake folds those without quotes to capitals, and we write ours in capitals in quotes; databend folds them to
small letters, so ours become small.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE

_KEPT = re.compile(r"--[^\n]*\n?|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"")
_GRAMMAR = re.compile(
    r"'(?:BASE64|HEX|YYYY-MM-DD|s|\d+ (?:milli|micro)seconds?|\.\*\[0-9\]\(\[eE\]\|\[0-9\.\]\{38\}\)\.\*)'|\"c\d+\""
)
_PLACE = re.compile("\x00(\\d+)\x00")


def _argument(depth: int = 9) -> str:
    """A pattern of a function's argument, with calls in it up to a depth."""
    inside = r"[^()]*"
    for _ in range(depth):
        inside = rf"(?:[^()]|\({inside}\))*"
    return rf"((?:[^(),]|\({inside}\))+)"


_ARGUMENT = _argument()
_TABLE = r"((?:[\w\x00]+\.)?[\w\x00]+)"


@dataclass(frozen=True)
class Rule:
    """`reason`: what databend does not know, or takes for something else. `example`: a statement that needs it."""

    name: str
    reason: str
    pattern: str
    replacement: str
    example: str

    def apply(self, sql: str) -> str:
        return re.sub(self.pattern, self.replacement, sql, flags=re.DOTALL)


RULES = (
    Rule(
        "exact numbers",
        "they are called DECIMAL only",
        r"\bNUMERIC\b",
        "DECIMAL",
        "SELECT CAST('1.5' AS NUMERIC(12, 2))",
    ),
    Rule(
        "doubles",
        "FLOAT has 32 bits there",
        r"\bFLOAT\b",
        "DOUBLE",
        "SELECT 1 WHERE CAST('0.1' AS FLOAT) = CAST('0.1' AS DOUBLE)",
    ),
    Rule(
        "moments of numbers",
        "whether a number is of seconds or less is guessed from its size, so small ones go the long way",
        rf"\bTO_TIMESTAMP_TZ\({_ARGUMENT}, 6\)",
        r"CASE WHEN abs(\1) > 31536000000000 THEN TO_TIMESTAMP(CAST(\1 AS BIGINT)) ELSE TO_TIMESTAMP(concat("
        r"substr(to_string(TO_TIMESTAMP(CAST(floor((\1) / 1000000) AS BIGINT))), 1, 20), "
        r"lpad(to_string((\1) - CAST(floor((\1) / 1000000) AS BIGINT) * 1000000), 6, '0'))) END",
        "SELECT 1 WHERE TO_TIMESTAMP_TZ(1::NUMERIC(38, 0), 6) < TO_TIMESTAMP('1970-01-01 00:00:01')",
    ),
    Rule(
        "kinds of values",
        "the kinds have other names, and one of them is all numbers",
        rf"\bTYPEOF\({_ARGUMENT}\)",
        r"CASE json_typeof(\1) WHEN 'string' THEN 'VARCHAR' WHEN 'null' THEN 'NULL_VALUE' "
        r"WHEN 'number' THEN CASE WHEN REGEXP_LIKE(to_string(\1), '^-?[0-9]+$') THEN 'INTEGER' ELSE 'DECIMAL' END "
        r"ELSE upper(json_typeof(\1)) END",
        "SELECT TYPEOF(GET(PARSE_JSON('{}'), 'a'))",
    ),
    Rule(
        "how many members",
        "an array in JSON has a function of its own",
        rf"\bARRAY_SIZE\(OBJECT_KEYS\({_ARGUMENT}\)\)",
        r"array_length(object_keys(\1))",
        "SELECT ARRAY_SIZE(OBJECT_KEYS(PARSE_JSON('{}')))",
    ),
    Rule(
        "days that may be none",
        "it knows no format but that of the standard",
        rf"\bTRY_TO_DATE\({_ARGUMENT}, 'YYYY-MM-DD'\)",
        r"TRY_CAST(\1 AS DATE)",
        "SELECT TRY_TO_DATE('2026-01-01', 'YYYY-MM-DD')",
    ),
    Rule(
        "bytes that may be none",
        "a function of its own",
        rf"\bTRY_TO_BINARY\({_ARGUMENT}, 'BASE64'\)",
        r"TRY_FROM_BASE64(\1)",
        "SELECT TRY_TO_BINARY('YQ==', 'BASE64')",
    ),
    Rule(
        "what a text ends in",
        "a function of its own",
        rf"\bRTRIM\({_ARGUMENT}, (\x00\d+\x00)\)",
        r"TRIM_TRAILING(\1, \2)",
        "SELECT RTRIM('a0', '0')",
    ),
    Rule(
        "what a text begins with",
        "a function of its own",
        rf"\bLTRIM\({_ARGUMENT}, (\x00\d+\x00)\)",
        r"TRIM_LEADING(\1, \2)",
        "SELECT LTRIM('0a', '0')",
    ),
    Rule(
        "days between days",
        "they are subtracted",
        rf"\bDATEDIFF\(day, {_ARGUMENT}, {_ARGUMENT}\)",
        r"(CAST(\2 AS DATE) - CAST(\1 AS DATE))",
        "SELECT DATEDIFF(day, '2026-01-01', '2026-01-02')",
    ),
    Rule(
        "patterns over several lines",
        "the point matches a line's end by another letter",
        rf"\bREGEXP_LIKE\({_ARGUMENT}, (\x00\d+\x00), 's'\)",
        r"REGEXP_LIKE(\1, \2, 'n')",
        "SELECT REGEXP_LIKE('1', '.*[0-9].*', 's')",
    ),
    Rule(
        "moments",
        "all of them are in UTC, and there is one type",
        r"\b(?:TIMESTAMP_TZ|TIMESTAMP WITH TIME ZONE)\b",
        "TIMESTAMP",
        "SELECT CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMP WITH TIME ZONE)",
    ),
    Rule(
        "later moments",
        "an interval is of seconds at least; a timestamp is a number of microseconds",
        r"(\w+) \+ INTERVAL '(\d+) milliseconds'",
        r"TO_TIMESTAMP(TO_INT64(\1) + \2 * 1000)",
        "SELECT CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds'",
    ),
    Rule(
        "moments just after",
        "the same",
        r"(\w+) \+ INTERVAL '(\d+) microsecond'",
        r"TO_TIMESTAMP(TO_INT64(\1) + \2)",
        "SELECT CURRENT_TIMESTAMP + INTERVAL '1 microsecond'",
    ),
    Rule(
        "days of a file",
        "it knows no format but that of the standard",
        rf"\bTO_DATE\({_ARGUMENT}, 'YYYY-MM-DD'\)",
        r"TO_DATE(\1)",
        "SELECT TO_DATE('2026-01-01', 'YYYY-MM-DD')",
    ),
    Rule(
        "bytes from base64",
        "a function of its own",
        rf"\bTO_BINARY\({_ARGUMENT}, 'BASE64'\)",
        r"FROM_BASE64(\1)",
        "SELECT TO_BINARY('YQ==', 'BASE64')",
    ),
    Rule(
        "bytes from hexadecimal",
        "a function of its own",
        rf"\bTO_BINARY\({_ARGUMENT}, 'HEX'\)",
        r"UNHEX(\1)",
        "SELECT TO_BINARY('61', 'HEX')",
    ),
    Rule(
        "the greatest",
        "greatest() passes over NULL",
        r"\bgreatest_ignore_nulls\(",
        "greatest(",
        "SELECT greatest_ignore_nulls(1, NULL)",
    ),
    Rule(
        "a character",
        "char() gives bytes",
        r"\bchr\((\d+)\)",
        r"to_string(char(\1))",
        "SELECT 'a' || chr(92)",
    ),
    Rule(
        "texts left out",
        "regexp_replace() wants to be told that nothing takes their place",
        r"\bREGEXP_REPLACE\(([\w.\x00]+), (\x00\d+\x00)\)",
        r"REGEXP_REPLACE(\1, \2, '')",
        "SELECT REGEXP_REPLACE('a1', '[0-9]')",
    ),
    Rule(
        "numbers in JSON",
        "a VARIANT holds numbers of 64 bits, not of 38 digits, so longer ones are kept as the text of the whole value; "
        "and the point matches a line's end by another letter",
        r"'\.\*\[0-9\]\(\[eE\]\|\[0-9\.\]\{38\}\)\.\*', 's'",
        "'.*[0-9]([eE]|[0-9.]{16}).*', 'n'",
        "SELECT REGEXP_LIKE('1', '.*[0-9]([eE]|[0-9.]{38}).*', 's')",
    ),
    Rule(
        "JSON as text",
        "a text in a VARIANT comes out without its quotation marks, but not one in an array",
        rf"\bTO_JSON\({_ARGUMENT}\)",
        r"CASE WHEN \1 IS NOT NULL THEN regexp_replace(json_to_string(json_array(\1)), '^.|.$', '') END",
        "SELECT TO_JSON(PARSE_JSON('1'))",
    ),
    Rule(
        "bytes as text",
        "a function of its own, in small letters",
        rf"\bHEX_ENCODE\({_ARGUMENT}\)",
        r"upper(HEX(\1))",
        "SELECT HEX_ENCODE(UNHEX('61'))",
    ),
    Rule(
        "how many bytes",
        "of bytes themselves it cannot say",
        rf"\boctet_length\({_ARGUMENT}\)",
        r"CAST(length(HEX(\1)) DIV 2 AS BIGINT)",
        "SELECT octet_length(UNHEX('61'))",
    ),
    Rule(
        "temporary tables",
        "there are none; transient ones have no history that could be asked for",
        r"\bCREATE (?:OR REPLACE )?TEMPORARY TABLE\b",
        "CREATE OR REPLACE TRANSIENT TABLE",
        "CREATE OR REPLACE TEMPORARY TABLE _t AS SELECT 1 AS a LIMIT 0",
    ),
    Rule(
        "keys of a table",
        "no key can be declared; Snowflake declares them and enforces none",
        r",\s*PRIMARY KEY \([^)]*\)",
        "",
        "CREATE OR REPLACE TABLE _t (a VARCHAR NOT NULL, PRIMARY KEY (a))",
    ),
    Rule(
        "a key column", "the same", r" PRIMARY KEY\b", "", "CREATE OR REPLACE TABLE _t (a VARCHAR NOT NULL PRIMARY KEY)"
    ),
    Rule("a schema in use", "it is a database there", r"\bUSE SCHEMA\b", "USE", 'USE SCHEMA "PUBLIC"'),
    Rule(
        "columns that may be there",
        "it does not look first: engine.py does",
        r"\bADD COLUMN IF NOT EXISTS\b",
        "ADD COLUMN",
        "ALTER TABLE _given ADD COLUMN IF NOT EXISTS b VARCHAR",
    ),
    Rule(
        "rows found by other rows, to delete",
        "DELETE has no USING, and fails on an EXISTS where there are no rows; MERGE does it, if no two rows find one",
        rf"^\s*DELETE FROM {_TABLE}\s+USING {_TABLE} AS (\w+)\s+WHERE (.*)$",
        r"MERGE INTO \1 USING \2 AS \3 ON \4 WHEN MATCHED THEN DELETE",
        "DELETE FROM _given USING _given AS r WHERE _given.a = r.a",
    ),
    Rule(
        "rows found by other rows, to change",
        "UPDATE has no FROM; MERGE does it, if no two rows find one",
        rf"^\s*UPDATE {_TABLE}\s+SET\s+(.*?)\s+FROM {_TABLE} AS (\w+)\s+WHERE (.*)$",
        r"MERGE INTO \1 USING \3 AS \4 ON \5 WHEN MATCHED THEN UPDATE SET \2",
        "UPDATE _given SET a = r.a FROM _given AS r WHERE _given.a = r.a",
    ),
    Rule(
        "fields of a file",
        "they are columns, where Snowflake has one VARIANT a row",
        r"\$1:\"(c\d+)\"",
        r"\1",
        'COPY INTO _given (a) FROM (SELECT $1:"c0"::VARCHAR FROM @_cdc_stage/x/) FILE_FORMAT = (TYPE = PARQUET)',
    ),
    Rule(
        "NULL in a file",
        "Parquet says itself what is NULL, and no text is taken for it",
        r"\(TYPE = PARQUET NULL_IF = \(\)\)",
        "(TYPE = PARQUET)",
        "COPY INTO _given (a) FROM (SELECT c0 FROM @_cdc_stage/x/) FILE_FORMAT = (TYPE = PARQUET NULL_IF = ())",
    ),
    Rule(
        "the catalog of columns",
        "names are small, types have other names, and a comment is in quotation marks",
        r"\bFROM information_schema\.columns\b",
        "FROM (SELECT upper(database) AS table_schema, upper(table) AS table_name, name AS column_name, "
        "CASE WHEN data_type LIKE 'DECIMAL%' THEN 'NUMBER' WHEN data_type = 'VARCHAR' THEN 'TEXT' "
        "WHEN data_type = 'TIMESTAMP' THEN 'TIMESTAMP_TZ' WHEN data_type = 'DOUBLE' THEN 'FLOAT' "
        "ELSE data_type END AS data_type, "
        "TRY_CAST(regexp_substr(data_type, '[0-9]+', 1, 1) AS INT) AS numeric_precision, "
        "TRY_CAST(regexp_substr(data_type, '[0-9]+', 1, 2) AS INT) AS numeric_scale, is_nullable, "
        "CAST(NULL AS VARCHAR) AS column_default, 'NO' AS is_identity, "
        "trim(both '''' from comment) AS comment, 0 AS ordinal_position FROM system.columns) AS columns",
        "SELECT is_identity FROM information_schema.columns",
    ),
    Rule(
        "the catalog of tables",
        "names are in small letters",
        r"\bFROM information_schema\.tables\b",
        "FROM (SELECT upper(table_schema) AS table_schema, upper(table_name) AS table_name "
        "FROM information_schema.tables) AS tables",
        "SELECT 1 FROM information_schema.tables WHERE table_name = '_GIVEN'",
    ),
    Rule(
        "the catalog of schemas",
        "the same",
        r"\bFROM information_schema\.schemata\b",
        "FROM (SELECT upper(schema_name) AS schema_name FROM information_schema.schemata) AS schemata",
        "SELECT 1 FROM information_schema.schemata WHERE schema_name = 'PUBLIC'",
    ),
    Rule(
        "one database",
        "schemas are all there is: a database of several is a tenant, which sees no other",
        r"\s+AND (?:table_catalog|catalog_name) = current_database\(\)"
        r"|(?<=WHERE )table_catalog = current_database\(\)\s+AND ",
        "",
        "SELECT 1 FROM information_schema.schemata WHERE schema_name = 'PUBLIC' AND catalog_name = current_database()",
    ),
)


def translate(sql: str, rules: Sequence[Rule] = RULES, *, told: Callable[[Rule], None] = lambda _rule: None) -> str:
    """A statement in databend's words. `told`: of each rule that had something to do."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith("--"):
            return ""
        if _GRAMMAR.fullmatch(text):
            return text
        kept.append(text)
        return f"\x00{len(kept) - 1}\x00"

    bare = _KEPT.sub(keep, sql)
    for rule in rules:
        changed = rule.apply(bare)
        if changed != bare:
            told(rule)
        bare = changed
    return _PLACE.sub(lambda match: _folded(kept[int(match[1])]), bare)


def _folded(kept: str) -> str:
    return SNOWFLAKE.from_catalog(kept) if kept.startswith('"') else kept


__all__ = ["RULES", "Rule", "translate"]
