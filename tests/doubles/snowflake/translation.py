"""Snowflake's SQL as the engine's, for the statements that a warehouse's tests are full of, each text once.

fakesnow walks through a statement some eighty times, for all that Snowflake has. Queries, DML and tables need a few of
these walks, and most statements come again word for word, so theirs are chosen here and the results are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fakesnow import transforms
from fakesnow.dialect import parse_one as parse
from sqlglot import exp

from tests.doubles.snowflake import documents
from tests.doubles.snowflake.values import (
    count_if,
    exact_numbers,
    object_delete,
    parse_json,
    regexp_replace,
    to_json,
    to_timestamp_tz,
)

Translation = Callable[[exp.Expression], exp.Expression]

# What a walk looks for, and what it makes of it; in this order.
_WALKS: tuple[tuple[type[exp.Expression], Translation], ...] = (
    (exp.CountIf, count_if),
    (exp.JSONFormat, to_json),
    (exp.Anonymous, object_delete),
    (exp.ParseJSON, parse_json),
    (exp.RegexpReplace, regexp_replace),
    (exp.UnixToTime, to_timestamp_tz),
    (exp.Identifier, transforms.upper_case_unquoted_identifiers),
    (exp.Table, transforms.information_schema_fs),
    (exp.DataType, transforms.semi_structured_types),
    (exp.ToVariant, transforms.to_variant),
    (exp.DataType, transforms.float_to_double),
    (exp.DataType, exact_numbers),
    (exp.TableSample, transforms.sample),
    (exp.SHA2, transforms.sha256),
    (exp.HexString, transforms.hex_string),
    (exp.ToNumber, transforms.to_decimal),
)

# Whatever else has a translation in fakesnow goes the long way. Of a plain statement all nodes are known to need none.
_OTHERS = (
    *(exp.JSONExtract, exp.Bracket, exp.Split, exp.RegexpSubstr, exp.Lateral, exp.Placeholder, exp.Parameter),
    *(exp.ArrayAgg, exp.ObjectAgg, exp.Rand, exp.DateDiff, exp.Trim, exp.Values, exp.Clone, exp.Command),
)


@lru_cache(2048)
def parse_one(sql: str) -> exp.Expression:
    """The statement as parsed, which nobody may change."""
    found: exp.Expression = parse(sql)
    return found


@lru_cache(2048)
def translated(sql: str) -> exp.Expression | None:
    """The statement in the engine's words, which nobody may change; None: it needs the long way."""
    statement = parse(sql)
    if not _is_plain(statement):
        return None
    statement = documents.translate(statement)
    classes = {type(node) for node in statement.walk()}
    if classes.intersection(_OTHERS):
        return None
    for looked_for, walk in _WALKS:
        if looked_for in classes:
            statement = statement.transform(walk, copy=False)
    return statement


def _is_plain(statement: exp.Expression) -> bool:
    if isinstance(statement, exp.Create):
        return statement.kind == "TABLE" and not (
            isinstance(statement.this, exp.Schema) and isinstance(statement.expression, exp.Query)
        )
    if isinstance(statement, exp.Drop):
        return statement.kind == "TABLE"
    if isinstance(statement, exp.Insert):
        return not statement.args.get("overwrite")
    return isinstance(statement, exp.Select | exp.Union | exp.Update | exp.Delete)


__all__ = ["parse_one", "translated"]
