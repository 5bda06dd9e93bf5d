"""What Snowflake refuses of a statement, and what it takes without enforcing it, told from the parsed statement."""

from __future__ import annotations

import re
from typing import NoReturn

import snowflake.connector.errors
from sqlglot import exp
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.tokens import TokenType

# https://docs.snowflake.com/en/sql-reference/reserved-keywords
RESERVED = frozenset(
    [
        "ALL",
        "ALTER",
        "AND",
        "ANY",
        "AS",
        "BETWEEN",
        "BY",
        "CASE",
        "CAST",
        "CHECK",
        "COLUMN",
        "CONNECT",
        "CONSTRAINT",
        "CREATE",
        "CROSS",
        "CURRENT",
        "DELETE",
        "DISTINCT",
        "DROP",
        "ELSE",
        "EXISTS",
        "FALSE",
        "FOLLOWING",
        "FOR",
        "FROM",
        "FULL",
        "GRANT",
        "GROUP",
        "HAVING",
        "ILIKE",
        "IN",
        "INCREMENT",
        "INNER",
        "INSERT",
        "INTERSECT",
        "INTO",
        "IS",
        "JOIN",
        "LATERAL",
        "LEFT",
        "LIKE",
        "MINUS",
        "NATURAL",
        "NOT",
        "NULL",
        "OF",
        "ON",
        "OR",
        "ORDER",
        "QUALIFY",
        "REGEXP",
        "REVOKE",
        "RIGHT",
        "RLIKE",
        "ROW",
        "ROWS",
        "SAMPLE",
        "SCHEMA",
        "SELECT",
        "SET",
        "SOME",
        "START",
        "TABLE",
        "TABLESAMPLE",
        "THEN",
        "TO",
        "TRIGGER",
        "TRUE",
        "TRY_CAST",
        "UNION",
        "UNIQUE",
        "UPDATE",
        "USING",
        "VALUES",
        "VIEW",
        "WHEN",
        "WHENEVER",
        "WHERE",
        "WITH",
    ]
)

# Functions that Snowflake has and that someone here calls; any other is refused until it was looked up.
# https://docs.snowflake.com/en/sql-reference/functions-all
FUNCTIONS = frozenset(
    [
        "ABS",
        "ARRAY_CONSTRUCT",
        "ARRAY_CONSTRUCT_COMPACT",
        "ARRAY_SIZE",
        "ARRAY_TO_STRING",
        "ASCII",
        "AVG",
        "CAST",
        "CEIL",
        "CHR",
        "COALESCE",
        "CONCAT",
        "CONCAT_WS",
        "COUNT",
        "COUNT_IF",
        "CURRENT_DATABASE",
        "CURRENT_SCHEMA",
        "CURRENT_SESSION",
        "CURRENT_TIMESTAMP",
        "DATEADD",
        "DATEDIFF",
        "EQUAL_NULL",
        "FLATTEN",
        "FLOOR",
        "GET",
        "GREATEST",
        "GREATEST_IGNORE_NULLS",
        "HASH",
        "HEX_ENCODE",
        "IFF",
        "IS_ROLE_IN_SESSION",
        "LAG",
        "LEAD",
        "LEAST",
        "LEFT",
        "LENGTH",
        "LISTAGG",
        "LOWER",
        "LPAD",
        "LTRIM",
        "MAX",
        "MIN",
        "MOD",
        "NULLIF",
        "OBJECT_CONSTRUCT",
        "OBJECT_DELETE",
        "OBJECT_KEYS",
        "OCTET_LENGTH",
        "PARSE_JSON",
        "POSITION",
        "RANK",
        "REGEXP_LIKE",
        "REGEXP_REPLACE",
        "REPLACE",
        "ROUND",
        "RPAD",
        "RTRIM",
        "ROW_NUMBER",
        "SHA2",
        "SPLIT_PART",
        "SUBSTR",
        "SUBSTRING",
        "SUM",
        "SYSTEM$CANCEL_ALL_QUERIES",
        "TO_BINARY",
        "TO_CHAR",
        "TO_DATE",
        "TO_DECIMAL",
        "TO_DOUBLE",
        "TO_JSON",
        "TO_NUMBER",
        "TO_TIMESTAMP_TZ",
        "TO_VARCHAR",
        "TO_VARIANT",
        "TRY_CAST",
        "TRY_PARSE_JSON",
        "TRY_TO_BINARY",
        "TRY_TO_DATE",
        "TRY_TO_NUMBER",
        "TYPEOF",
        "UPPER",
    ]
)

# Words that a bracket may follow without a call.
_NOT_CALLED = RESERVED | frozenset(
    [
        "NUMBER",
        "NUMERIC",
        "DECIMAL",
        "VARCHAR",
        "CHAR",
        "TEXT",
        "BINARY",
        "TIMESTAMP_TZ",
        "TIMESTAMP_NTZ",
        "TIMESTAMP_LTZ",
        "TIMESTAMP",
        "FILES",
        "FILE_FORMAT",
        "OVER",
        "KEY",
        "IF",
        "END",
        "PARTITION",
    ]
)

_FOREIGN_TYPES = {
    exp.DataType.Type.JSON,
    exp.DataType.Type.JSONB,
    exp.DataType.Type.INT128,
    exp.DataType.Type.UINT,
    exp.DataType.Type.UBIGINT,
    exp.DataType.Type.UUID,
    exp.DataType.Type.BIT,
}

SYNTAX = (1003, "42000")


class UnknownForm(Exception):
    """A form that nobody here sends: what the service does with it has not been looked up, so the double refuses it."""


def refuse(errno: int, sqlstate: str, message: str) -> NoReturn:
    """Raise what the service answers."""
    raise snowflake.connector.errors.ProgrammingError(msg=message, errno=errno, sqlstate=sqlstate)


def refuse_foreign_words(sql: str) -> None:
    """Functions that the service does not have, or of which nobody has looked up whether it has them."""
    tokens = list(Snowflake().tokenize(sql))
    for before, token, after in zip([None, *tokens], tokens, tokens[1:], strict=False):
        is_call = after.token_type is TokenType.L_PAREN and token.token_type is not TokenType.IDENTIFIER
        if not is_call or not re.fullmatch(r"[A-Za-z_][\w$]*", token.text):
            continue
        word = token.text.upper()
        if before is not None and (before.token_type is TokenType.INTO or before.text.upper() in ("TABLE", "EXISTS")):
            continue  # the columns of an INSERT or a CREATE TABLE
        if word not in FUNCTIONS and word not in _NOT_CALLED and not _names_table(tokens, token):
            refuse(2140, "42601", f"SQL compilation error:\nUnknown function {word}")


def _names_table(tokens: list[object], token: object) -> bool:
    """Whether the word before a bracket is the last part of `INSERT INTO a.b.c (`, or a table's alias with columns."""
    place = tokens.index(token)
    while place >= 2 and tokens[place - 1].token_type is TokenType.DOT:  # type: ignore[attr-defined]
        place -= 2
    before = tokens[place - 1] if place else None
    return before is not None and (
        before.token_type in (TokenType.INTO, TokenType.ALIAS)  # type: ignore[attr-defined]
        or before.text.upper() in ("TABLE", "EXISTS")  # type: ignore[attr-defined]
    )


def refuse_foreign_grammar(statement: exp.Expression) -> None:
    """What sqlglot reads as Snowflake's and the service does not."""
    for node in statement.walk():
        match node:
            case exp.Filter():
                refuse(*SYNTAX, "SQL compilation error:\nsyntax error: unexpected 'FILTER'")
            case exp.OnConflict():
                refuse(*SYNTAX, "SQL compilation error:\nsyntax error: unexpected 'CONFLICT'")
            case exp.Returning():
                refuse(*SYNTAX, "SQL compilation error:\nsyntax error: unexpected 'RETURNING'")
            case exp.Distinct() if any(isinstance(e, exp.Tuple) for e in node.expressions):
                refuse(*SYNTAX, "SQL compilation error:\nCOUNT(DISTINCT) takes columns, not a row")
            case exp.DataType() if node.this in _FOREIGN_TYPES:
                refuse(2040, "42601", f"SQL compilation error:\nUnsupported data type '{node.this.value}'")
            case exp.Identifier() if not node.quoted and str(node.this).upper() in RESERVED:
                refuse(*SYNTAX, f"SQL compilation error:\nsyntax error: unexpected '{node.this}'")
            case exp.Identifier() if node.quoted and node.this != node.this.upper() and node.this.isascii():
                refuse(90_001, "0A000", f"the double takes no quoted name in lower case: {node.this}")
    if isinstance(statement, exp.Create) and statement.kind == "INDEX":
        refuse(*SYNTAX, "SQL compilation error:\nsyntax error: unexpected 'INDEX'")
    if isinstance(statement, exp.Command) and statement.this.upper() in ("ANALYZE", "VACUUM", "LOCK", "ATTACH"):
        refuse(*SYNTAX, f"SQL compilation error:\nsyntax error: unexpected '{statement.this}'")


def without_keys(statement: exp.Expression) -> exp.Expression:
    """Keys are taken down and not enforced. https://docs.snowflake.com/en/sql-reference/constraints-overview"""
    for node in list(statement.find_all(exp.PrimaryKey, exp.ForeignKey)):
        node.pop()
    for node in list(statement.find_all(exp.UniqueColumnConstraint)):
        if not isinstance(node.parent, exp.ColumnConstraint):
            node.pop()
    for node in list(statement.find_all(exp.ColumnConstraint)):
        if isinstance(node.kind, exp.PrimaryKeyColumnConstraint | exp.UniqueColumnConstraint):
            node.pop()
    return statement


def column_comments(statement: exp.Expression) -> dict[str, str]:
    """COMMENT '…' of each column that the statement makes; taken out of it."""
    found = {}
    for definition in list(statement.find_all(exp.ColumnDef)):
        for constraint in list(definition.constraints):
            if isinstance(constraint.kind, exp.CommentColumnConstraint):
                name = definition.name
                found[name if definition.this.args.get("quoted") else name.upper()] = constraint.kind.name
                constraint.pop()
    return found
