"""What Redshift refuses and Postgres takes: patterns over the words of a statement, each with its reason and source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.doubles.redshift.tokens import Is, Token, said, spelled

_DOCS = "https://docs.aws.amazon.com/redshift/latest/dg"
_UNSUPPORTED = f"{_DOCS}/c_unsupported-postgresql-features.html"


class Refused(Exception):
    """What the double answers instead of running a statement; `code`: an SQLSTATE."""

    def __init__(self, message: str, code: str = "42601") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Refusal:
    pattern: re.Pattern[str]
    message: str
    source: str


def _refusal(pattern: str, message: str, source: str) -> Refusal:
    return Refusal(re.compile(pattern), message, source)


# The patterns see words in capitals, one blank after each token, '' for a text and "" for a quoted name.
REFUSALS = (
    _refusal(r"\bON CONFLICT\b", 'syntax error at or near "ON CONFLICT"', f"{_DOCS}/r_INSERT_30.html"),
    _refusal(r"\bRETURNING\b", 'syntax error at or near "RETURNING"', _UNSUPPORTED),
    _refusal(r"\bWHEN (NOT )?MATCHED AND\b", 'syntax error at or near "AND"', f"{_DOCS}/r_MERGE.html"),
    _refusal(r"\bMATCHED BY SOURCE\b", 'syntax error at or near "BY"', f"{_DOCS}/r_MERGE.html"),
    _refusal(r"\bDISTINCT FROM\b", 'syntax error at or near "DISTINCT"', f"{_DOCS}/r_comparison_condition.html"),
    _refusal(r"\bFILTER \( ", 'syntax error at or near "FILTER"', f"{_DOCS}/c_Aggregate_Functions.html"),
    _refusal(r"\bLATERAL\b", 'syntax error at or near "LATERAL"', f"{_DOCS}/r_FROM_clause30.html"),
    _refusal(r"\bDISTINCT ON\b", "DISTINCT ON is not supported", _UNSUPPORTED),
    _refusal(r"\bDISTINCT \( [^)]*,", "DISTINCT of a row is not supported", f"{_DOCS}/r_COUNT.html"),
    _refusal(r"\bARRAY \[ |\[ \] ", "arrays are not supported", _UNSUPPORTED),
    _refusal(r"\b(CREATE|DROP|ALTER) (UNIQUE )?INDEX\b|\bCLUSTER ON\b", "indexes are not supported", _UNSUPPORTED),
    _refusal(
        r"\b(CREATE|DROP) (SEQUENCE|TRIGGER|RULE|DOMAIN|TYPE|EXTENSION|STATISTICS)\b", "not supported", _UNSUPPORTED
    ),
    _refusal(r"\bDISCARD\b", 'syntax error at or near "DISCARD"', f"{_DOCS}/c_SQL_commands.html"),
    _refusal(r"->>? |#>>? ", "operators of json are not supported", f"{_DOCS}/json-functions.html"),
    _refusal(
        r"\b(JSONB?|JSONB?_\w+) (?!\()|\bTO_JSONB?\b|\bJSONB?_(BUILD|EACH|OBJECT|AGG|ARRAY_ELEMENTS)\w*",
        "types and functions of json are not supported",
        _UNSUPPORTED,
    ),
    _refusal(
        r"\bGENERATE_SERIES\b.*\bJOIN\b|\bJOIN\b.*\bGENERATE_SERIES\b",
        "generate_series is of the leader node",
        _UNSUPPORTED,
    ),
    _refusal(r"\bFROM \( VALUES\b", "VALUES is no constant table", _UNSUPPORTED),
    _refusal(r"\bNULLS (FIRST|LAST)\b", "NULLS is not supported in window functions", _UNSUPPORTED),
    _refusal(
        r"\b(CURRENT_TIMESTAMP|CURRENT_TIME|LOCALTIME|LOCALTIMESTAMP|NOW \( |AGE \( |CLOCK_TIMESTAMP)",
        "of the leader node only",
        f"{_DOCS}/Date_functions_header.html",
    ),
    _refusal(
        r"\b(STRING_AGG|CONCAT_WS|ARRAY_AGG|FORMAT|REGEXP_MATCH\w*|TO_TIMESTAMP_TZ|OVERLAY) \( ",
        "function does not exist",
        f"{_DOCS}/c_SQL_functions.html",
    ),
    _refusal(r"\bFOR (UPDATE|SHARE)\b", "FOR UPDATE is not supported", _UNSUPPORTED),
    _refusal(r"\b(CTID|XMIN|XMAX|CMIN|CMAX|TABLEOID)\b", "rows have no address", f"{_DOCS}/r_names.html"),
    _refusal(
        r"^DELETE FROM \S+ (\. \S+ )?(AS )?(?!USING|WHERE)\w",
        "a table to delete from takes no alias",
        f"{_DOCS}/r_DELETE.html",
    ),
    _refusal(r"^UPDATE \S+ (\. \S+ )?(AS )?(?!SET)\w", "a table to update takes no alias", f"{_DOCS}/r_UPDATE.html"),
    _refusal(r"\bTEXT\b", "TEXT is VARCHAR(256), which loses what is longer", f"{_DOCS}/r_Character_types.html"),
    _refusal(
        r"\bVARCHAR (?!\()",
        "VARCHAR alone is VARCHAR(256), which loses what is longer",
        f"{_DOCS}/r_Character_types.html",
    ),
    _refusal(r"\b(BYTEA|UUID|INET|HSTORE|SERIAL|BIGSERIAL|MONEY|XML)\b", "type does not exist", _UNSUPPORTED),
    _refusal(
        r"\b(DECIMAL|NUMERIC) (?!\()",
        "DECIMAL alone is (18, 0), which loses fractions",
        f"{_DOCS}/r_Numeric_types201.html",
    ),
    _refusal(
        r"\b(DECIMAL|NUMERIC) \( 19 ,",
        "DECIMAL(19) holds no more than 9223372036854775807",
        f"{_DOCS}/r_Numeric_types201.html",
    ),
    _refusal(
        r"\bALTER COLUMN \S+ (SET DATA )?TYPE (?!VARCHAR)",
        "only the size of a VARCHAR can be changed",
        f"{_DOCS}/r_ALTER_TABLE.html",
    ),
    _refusal(r"\b(UNLOGGED|TABLESPACE|INHERITS|FILLFACTOR)\b", "not supported", _UNSUPPORTED),
    _refusal(
        r"\bFULL (OUTER )?JOIN\b.*\. \*|\. \*.*\bFULL (OUTER )?JOIN\b",
        "a full join takes no SUPER",
        f"{_DOCS}/limitations-super.html",
    ),
    _refusal(
        r"\bRIGHT (OUTER )?JOIN\b",
        "the double lets no right join pass: it takes no SUPER",
        f"{_DOCS}/limitations-super.html",
    ),
    _refusal(r"\bISOLATION LEVEL\b", "the level is the database's", f"{_DOCS}/r_BEGIN.html"),
    _refusal(r"\bREGCLASS\b|\bPG_RELATION_SIZE\b|\bPG_ADVISORY\w*", "does not exist", _UNSUPPORTED),
)

# Words that must be quoted where they are names: https://docs.aws.amazon.com/redshift/latest/dg/r_pg_keywords.html
# Only those that are no words of Postgres' own, or are words there that may be names.
RESERVED = frozenset(
    {
        *("AES128", "AES256", "ALLOWOVERWRITE", "BACKUP", "BLANKSASNULL", "BYTEDICT", "BZIP2", "CREDENTIALS"),
        *("CURRENT_USER_ID", "DEFLATE", "DEFRAG", "DELTA", "DELTA32K", "DISABLE", "EMPTYASNULL", "ENABLE", "ENCRYPT"),
        *("ENCRYPTION", "EXPLICIT", "GLOBALDICT256", "GLOBALDICT64K", "GZIP", "IDENTITY", "IGNORE", "LUN", "LUNS"),
        *("LZO", "LZOP", "MINUS", "MOSTLY16", "MOSTLY32", "MOSTLY8", "NEW", "OFF", "OFFLINE", "OID", "OLD", "OPEN"),
        *("PARALLEL", "PERCENT", "PERMISSIONS", "RAW", "READRATIO", "RECOVER", "REJECTLOG", "RESORT", "RESPECT"),
        *("RESTORE", "SNAPSHOT", "SYSTEM", "TAG", "TDES", "TEXT255", "TEXT32K", "TOP", "TRUNCATECOLUMNS"),
        *("UNNEST", "WALLET", "WITHOUT"),
    }
)
_NO_NAMES = re.compile(r"\bWITHOUT TIME ZONE\b")
MAX_NAME_BYTES = 127  # r_names.html
RESERVED_COLUMNS = frozenset({"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})  # even quoted: r_names.html
MAX_STATEMENT_BYTES = 16 * 2**20  # https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-sql.html


def refuse(parts: Sequence[Token]) -> None:
    """Raises Refused for a statement that Redshift would not run."""
    text = spelled(parts)
    for refusal in REFUSALS:
        if refusal.pattern.search(text):
            raise Refused(f"{refusal.message} [{refusal.source}]", "0A000")
    for token in said(parts):
        if token.kind is Is.WORD and token.word in RESERVED and not _is_said_as_a_word(token, text):
            raise Refused(f'syntax error at or near "{token.text}": a reserved word')
        if token.kind is Is.TEXT and "\\" in token.text:
            raise Refused("a backslash in a literal: no page of AWS says whether it is an escape")
        if token.kind is Is.NAME:
            name = token.text[1:-1].replace('""', '"')
            if not name or len(name.encode()) > MAX_NAME_BYTES:
                raise Refused(f"a name has 1 to {MAX_NAME_BYTES} bytes: {name!r}", "42622")
            if name.lower() in RESERVED_COLUMNS:
                raise Refused(f'column name "{name}" conflicts with a system column name', "42701")


def _is_said_as_a_word(token: Token, text: str) -> bool:
    return token.word == "WITHOUT" and _NO_NAMES.search(text) is not None
