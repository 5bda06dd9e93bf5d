"""Values as Snowflake keeps them: NUMBER to 38 digits, and VARIANT."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from tests.doubles.snowflake.refusals import UnknownForm

_INTEGERS = {
    exp.DataType.Type.INT,
    exp.DataType.Type.BIGINT,
    exp.DataType.Type.SMALLINT,
    exp.DataType.Type.TINYINT,
}


def exact_numbers(expression: exp.Expression) -> exp.Expression:
    """In the place of fakesnow's transformation, which makes a 64-bit integer of NUMBER(38, 0).

    All integer types are NUMBER(38, 0): https://docs.snowflake.com/en/sql-reference/data-types-numeric
    """
    is_integer = isinstance(expression, exp.DataType) and (
        expression.this in _INTEGERS or (expression.this is exp.DataType.Type.DECIMAL and not expression.expressions)
    )
    return exp.DataType.build("DECIMAL(38, 0)") if is_integer else expression


def parse_json(expression: exp.Expression) -> exp.Expression:
    """PARSE_JSON as the function below."""
    if isinstance(expression, exp.ParseJSON):
        return exp.cast(exp.Anonymous(this="variant", expressions=[expression.this]), "JSON")
    return expression


def regexp_replace(expression: exp.Expression) -> exp.Expression:
    """REGEXP_REPLACE of all places, in the place of fakesnow's, which takes backslashes out of the pattern twice."""
    if not isinstance(expression, exp.RegexpReplace):
        return expression
    replacement = expression.args.get("replacement") or exp.Literal.string("")
    parts = [expression.this, expression.expression, replacement, exp.Literal.string("g")]
    return exp.Anonymous(this="regexp_replace", expressions=parts)


def count_if(expression: exp.Expression) -> exp.Expression:
    """COUNT_IF of no rows is 0; the engine says NULL."""
    if isinstance(expression, exp.CountIf):
        return exp.Coalesce(this=expression.copy(), expressions=[exp.Literal.number(0)])
    return expression


def to_json(expression: exp.Expression) -> exp.Expression:
    """TO_JSON as the text that a VARIANT is kept as."""
    return exp.cast(expression.this, "VARCHAR") if isinstance(expression, exp.JSONFormat) else expression


def object_delete(expression: exp.Expression) -> exp.Expression:
    """OBJECT_DELETE(object, 'name', …) as the function below.

    https://docs.snowflake.com/en/sql-reference/functions/object_delete
    """
    if not (isinstance(expression, exp.Anonymous) and expression.name.upper() == "OBJECT_DELETE"):
        return expression
    given, *names = expression.expressions
    if not isinstance(given, exp.Cast) or given.to.this is not exp.DataType.Type.OBJECT:
        raise UnknownForm(expression.sql())  # the service takes no VARIANT here
    listed = exp.Literal.string(json.dumps([name.name for name in names]))
    made = exp.Anonymous(this="without", expressions=[exp.cast(given.this, "VARCHAR"), listed])
    return exp.cast(made, "JSON")


def to_timestamp_tz(expression: exp.Expression) -> exp.Expression:
    """TO_TIMESTAMP_TZ(number, 6): microseconds since 1970, in UTC.

    https://docs.snowflake.com/en/sql-reference/functions/to_timestamp
    """
    if not isinstance(expression, exp.UnixToTime):
        return expression
    target, scale = expression.args.get("target_type"), expression.args.get("scale")
    if target is None or target.this is not exp.DataType.Type.TIMESTAMPTZ or scale is None or scale.name != "6":
        raise UnknownForm(expression.sql())
    made = exp.Anonymous(this="moment_of", expressions=[expression.this])
    return exp.Anonymous(this="timezone", expressions=[exp.Literal.string("UTC"), made])


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the engine the functions that the translations call."""
    connection.create_function("is_role_in_session", lambda role: role == "LOADER", ["VARCHAR"], "BOOLEAN")
    connection.create_function("variant", _variants, ["VARCHAR"], "VARCHAR", type="arrow", side_effects=False)
    connection.create_function("without", _without, ["VARCHAR", "VARCHAR"], "VARCHAR", type="arrow", side_effects=False)
    connection.create_function("moment_of", _moments, ["DECIMAL(38, 0)"], "TIMESTAMP WITH TIME ZONE", type="arrow")


def _moments(numbers: pa.ChunkedArray) -> pa.Array:
    """Microseconds since 1970 as times."""
    whole = [None if n is None else int(n) for n in numbers.to_pylist()]
    return pa.array(whole, pa.int64()).cast(pa.timestamp("us", "UTC"))


def _without(objects: pa.ChunkedArray, names: pa.ChunkedArray) -> pa.Array:
    """The JSON text of objects without some members."""
    pairs = zip(objects.to_pylist(), map(json.loads, names.to_pylist()), strict=True)
    left = ({k: v for k, v in json.loads(text).items() if k not in gone} if text else None for text, gone in pairs)
    return pa.array([None if members is None else _write(members) for members in left], pa.string())


def _variants(texts: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if t is None else variant(t) for t in texts.to_pylist()], pa.string())


def variant(text: str) -> str:
    """The JSON text of what VARIANT keeps: keys in order, numbers beyond 38 digits as double.

    https://docs.snowflake.com/en/sql-reference/functions/parse_json. Raises ValueError for what is no JSON.
    """
    parsed = json.loads(text, parse_float=_number, parse_int=_number, object_pairs_hook=_object, parse_constant=_refuse)
    return _write(parsed)


def _number(text: str) -> Decimal | float:
    exact = Decimal(text)
    _sign, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    whole = max(0, len(digits) + exponent)
    if "e" in text.lower() or scale > 37 or whole + scale > 38:
        return float(exact)
    return exact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("duplicate object attribute")
    return dict(sorted(pairs))


def _refuse(text: str) -> None:
    raise ValueError(f"no JSON: {text}")


def _write(value: Any) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_write(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_write, value)) + "]"
        case Decimal():
            text = format(value, "f")
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return "0" if text == "-0" else text
        case _:
            return json.dumps(value, ensure_ascii=False)


def narrowed(table: pa.Table) -> pa.Table:
    """Decimals whose digits fit 64 bits go over the wire as integers, as the service sends them."""
    for place, field in enumerate(table.schema):
        if not pa.types.is_decimal(field.type):
            continue
        digits = [None if d is None else int(d.scaleb(field.type.scale)) for d in table.column(place).to_pylist()]
        if all(d is None or -(2**63) <= d < 2**63 for d in digits):
            table = table.set_column(place, field.name, pa.array(digits, pa.int64()))
    return table


def times_over_the_wire(times: pa.Array | pa.ChunkedArray) -> pa.Array:
    """In the place of fakesnow's, which sends NULL as 1970: seconds, nanoseconds, and the offset in minutes + 1440."""
    if isinstance(times, pa.ChunkedArray):
        times = times.combine_chunks()
    whole = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64())
    micros = [None if t is None else divmod(t, 1_000_000) for t in whole.to_pylist()]
    parts = {
        "epoch": pa.array([0 if m is None else m[0] for m in micros], pa.int64()),
        "fraction": pa.array([0 if m is None else m[1] * 1000 for m in micros], pa.int32()),
    }
    if times.type.tz:
        parts["timezone"] = pa.array([1440] * len(micros), pa.int32())
    fields = [pa.field(name, part.type) for name, part in parts.items()]
    return pa.StructArray.from_arrays(list(parts.values()), fields=fields, mask=pa.array([m is None for m in micros]))
