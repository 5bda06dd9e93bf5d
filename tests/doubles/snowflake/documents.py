"""VARIANT as the service reads it: parts by name and place, kinds, keys, texts; and the functions that go with it.

Each function is one of the engine's or of this module's (`register`), so that nothing is read as DuckDB would read it.
https://docs.snowflake.com/en/sql-reference/functions-semistructured
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from tests.doubles.snowflake.refusals import UnknownForm

_TEXTS = {exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT}


def translate(statement: exp.Expression) -> exp.Expression:
    """The statement with these functions in the engine's words; parts are translated before what they are part of."""
    for node in reversed(list(statement.walk())):
        made = _translated(node)
        if made is node:
            continue
        if node is statement:
            return made
        node.replace(made)
    return statement


def _translated(node: exp.Expression) -> exp.Expression:
    match node:
        case exp.GetExtract():
            return _part(node.this, node.expression)
        case exp.Cast() if not isinstance(node, exp.TryCast) and (part := _is_part(node.this)) is not None:
            return _cast(part, node.to)
        case exp.Typeof():
            return _call("variant_type", exp.cast(node.this, "VARCHAR"))
        case exp.JSONKeys():
            return exp.cast(_call("variant_keys", exp.cast(node.this, "VARCHAR")), "JSON")
        case exp.ArraySize():
            return _call("variant_size", exp.cast(node.this, "VARCHAR"))
        case exp.ToVariant():
            return exp.cast(_call("variant_of", exp.cast(node.this, "VARCHAR")), "JSON")
        case exp.ByteLength():  # of a text, or of bytes
            return exp.IntDiv(this=_call("length", _call("hex", node.this)), expression=exp.Literal.number(2))
        case exp.RegexpLike():
            flags = [node.args["flag"]] if node.args.get("flag") else []
            return _call("regexp_full_match", node.this, node.expression, *flags)
        case exp.ToBinary() if node.args.get("safe"):
            if node.args.get("format") is None or node.args["format"].name.upper() != "BASE64":
                raise UnknownForm(node.sql())
            return _call("try_base64", node.this)
        case exp.TsOrDsToDate() if node.args.get("safe"):
            return exp.TryCast(this=_call("try_day", node.this), to=exp.DataType.build("DATE"))
        case exp.DateDiff() if node.unit is not None and node.unit.name.upper() == "DAY":
            return _call("date_diff", exp.Literal.string("day"), node.expression, node.this)
        case exp.Trim() if node.expression is not None and node.args.get("position"):
            side = {"LEADING": "ltrim", "TRAILING": "rtrim"}[str(node.args["position"]).upper()]
            return _call(side, node.this, node.expression)
    return node


def _call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[a.copy() for a in arguments])


def _part(value: exp.Expression, step: exp.Expression) -> exp.Expression:
    """GET(value, step): a way of several steps is one call."""
    if (inner := _is_part(value)) is not None:
        root, way = inner.expressions
        steps = [*way.this.expressions, step]
    else:
        root, steps = exp.cast(value, "VARCHAR"), [step]
    way = exp.cast(_call("json_array", *steps), "VARCHAR")
    return exp.cast(_call("variant_get", root, way), "JSON")


def _is_part(value: exp.Expression) -> exp.Anonymous | None:
    """The call of a value that `_part` made."""
    inner = value.this if isinstance(value, exp.Cast) and value.to.this is exp.DataType.Type.JSON else None
    return inner if isinstance(inner, exp.Anonymous) and inner.name == "variant_get" else None


def _cast(part: exp.Anonymous, to: exp.DataType) -> exp.Expression:
    if to.this in _TEXTS:
        return _call("variant_text", part)
    if to.this is exp.DataType.Type.BOOLEAN:
        return _call("variant_truth", part)
    if to.this is exp.DataType.Type.JSON:
        return exp.cast(part.copy(), "JSON")
    raise UnknownForm(f"CAST of a part of a VARIANT as {to.sql()}")


# --- what the engine calls ----------------------------------------------------------------------------------


def get(value: str, way: str) -> str | None:
    """NULL where the way leads to nothing: https://docs.snowflake.com/en/sql-reference/functions/get"""
    found: Any = _read(value)
    for step in json.loads(way):
        if isinstance(step, str) and not step:
            raise ValueError("GET of an empty name")
        is_member = isinstance(found, dict) and isinstance(step, str) and step in found
        is_element = isinstance(found, list) and isinstance(step, int) and 0 <= step < len(found)
        if not (is_member or is_element):
            return None
        found = found[step]
    return _write(found)


def type_of(value: str) -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/typeof"""
    match _read(value):
        case None:
            return "NULL_VALUE"
        case bool():
            return "BOOLEAN"
        case str():
            return "VARCHAR"
        case dict():
            return "OBJECT"
        case list():
            return "ARRAY"
        case Decimal() as number:
            return "INTEGER" if number == number.to_integral_value() else "DECIMAL"
    return "DOUBLE"


def text_of(value: str) -> str:
    """A text is without its quotation marks, all else is JSON."""
    found = _read(value)
    return found if isinstance(found, str) else value


def truth_of(value: str) -> bool:
    found = _read(value)
    if not isinstance(found, bool):
        raise ValueError(f"Failed to cast variant value {value} to BOOLEAN")
    return found


def keys_of(value: str) -> str:
    found = _read(value)
    if not isinstance(found, dict):
        raise ValueError("Invalid argument types for function 'OBJECT_KEYS'")
    return json.dumps(list(found), ensure_ascii=False)


def size_of(value: str) -> int | None:
    found = _read(value)
    return len(found) if isinstance(found, list) else None


def day_of(text: str) -> str | None:
    """A day as YYYY-MM-DD, or nothing."""
    return text if len(text) == 10 and text[4] == text[7] == "-" and text.replace("-", "").isdecimal() else None


def base64_of(text: str) -> bytes | None:
    """White space does not count: https://docs.snowflake.com/en/sql-reference/binary-input-output"""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _read(value: str) -> Any:
    return json.loads(value, parse_float=_number, parse_int=Decimal)


def _number(text: str) -> Decimal | float:
    """An exact number is kept without a needless zero (values.py), so what has one is a double."""
    return float(text) if "e" in text.lower() or text.endswith(".0") else Decimal(text)


def _write(value: Any) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_write(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_write, value)) + "]"
        case Decimal():
            return format(value, "f")
        case _:
            return json.dumps(value, ensure_ascii=False)


_ONE_TEXT: dict[str, tuple[Callable[[str], Any], str, pa.DataType]] = {
    "variant_type": (type_of, "VARCHAR", pa.string()),
    "variant_text": (text_of, "VARCHAR", pa.string()),
    "variant_truth": (truth_of, "BOOLEAN", pa.bool_()),
    "variant_keys": (keys_of, "VARCHAR", pa.string()),
    "variant_size": (size_of, "BIGINT", pa.int64()),
    "variant_of": (lambda text: json.dumps(text, ensure_ascii=False), "VARCHAR", pa.string()),
    "try_base64": (base64_of, "BLOB", pa.binary()),
    "try_day": (day_of, "VARCHAR", pa.string()),
}


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the engine the functions that the translations call."""
    options: Any = {"type": "arrow", "null_handling": "special"}
    for name, (function, returned, arrow) in _ONE_TEXT.items():
        connection.create_function(name, _each(function, arrow), ["VARCHAR"], returned, **options)
    connection.create_function("variant_get", _parts, ["VARCHAR", "VARCHAR"], "VARCHAR", **options)


def _each(function: Callable[[str], Any], arrow: pa.DataType) -> Callable[[pa.ChunkedArray], pa.Array]:
    def apply(texts: pa.ChunkedArray) -> pa.Array:
        return pa.array([None if text is None else function(text) for text in texts.to_pylist()], arrow)

    return apply


def _parts(values: pa.ChunkedArray, ways: pa.ChunkedArray) -> pa.Array:
    pairs = zip(values.to_pylist(), ways.to_pylist(), strict=True)
    return pa.array([None if value is None else get(value, way) for value, way in pairs], pa.string())


__all__ = ["register", "translate"]
