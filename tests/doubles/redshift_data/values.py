"""Rows as the Data API gives them: one field of a union for each value, and the type of each column by its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import psycopg2.extensions

_VARBYTE, _SUPER = 6551, 4000

# https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html#data-api-calling-considerations-jdbc
_LONGS = {21: "int2", 23: "int4", 20: "int8", 26: "oid"}
_DOUBLES = {700: "float4", 701: "float8"}
_BOOLEAN = 16
_TEXTS = {
    1700: "numeric",
    1082: "date",
    1114: "timestamp",
    1184: "timestamptz",
    1042: "bpchar",
    1043: "varchar",
    25: "varchar",
    19: "name",
    705: "unknown",
    2278: "void",
    _VARBYTE: "varbyte",
    _SUPER: "super",
}

MAX_ROW_BYTES = 64 * 1024  # https://docs.aws.amazon.com/redshift/latest/mgmt/data-api-troubleshooting.html

AS_TEXT = psycopg2.extensions.new_type((_BOOLEAN, *_LONGS, *_DOUBLES, *_TEXTS), "AS_TEXT", lambda value, _cursor: value)
"""Has a connection give each value as the text that the server sent."""


class RowTooLarge(Exception):
    """A result that the service does not give."""


def columns_of(description: Sequence[Any]) -> list[dict[str, Any]]:
    known = {**_LONGS, **_DOUBLES, **_TEXTS, _BOOLEAN: "bool"}
    return [{"name": column.name, "label": column.name, "typeName": known[column.type_code]} for column in description]


def records_of(description: Sequence[Any], rows: Sequence[Sequence[str | None]]) -> list[list[dict[str, Any]]]:
    """Raises RowTooLarge."""
    for row in rows:
        if sum(len(value.encode()) for value in row if value is not None) > MAX_ROW_BYTES:
            raise RowTooLarge("Packet for query is too large")
    oids = [column.type_code for column in description]
    return [[_field(oid, value) for oid, value in zip(oids, row, strict=True)] for row in rows]


def _field(oid: int, value: str | None) -> dict[str, Any]:
    if value is None:
        return {"isNull": True}
    if oid == _BOOLEAN:
        return {"booleanValue": value == "t"}
    if oid in _LONGS:
        return {"longValue": int(value)}
    if oid in _DOUBLES:
        number = float(value)
        return {"doubleValue": number if math.isfinite(number) else value}
    if oid == 1114 and "." not in value:
        return {"stringValue": f"{value}.0"}  # as the guide shows one
    return {"stringValue": value}


__all__ = ["AS_TEXT", "RowTooLarge", "columns_of", "records_of"]
