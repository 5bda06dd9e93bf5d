"""Functions that a reconcile needs and DuckDB has not: whether two JSON texts say the same."""

from __future__ import annotations

import json
from decimal import Decimal

import duckdb
import pyarrow as pa


def register_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """`same_json(a, b)` and `same_rescued(a, b)`, for all connections of the instance while this one is open."""
    pair = ["VARCHAR", "VARCHAR"]
    connection.create_function("same_json", _same_json, pair, "BOOLEAN", type="arrow")
    connection.create_function("same_rescued", _same_rescued, pair, "BOOLEAN", type="arrow")


def _same_json(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.Array:
    """Whether two JSON texts say the same: keys in any order, numbers by their value, exactly."""
    pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
    return pa.array([_are_same(a, b) for a, b in pairs], pa.bool_())


def _are_same(first: str, second: str) -> bool:
    try:
        return _told_apart(_parsed(first)) == _told_apart(_parsed(second))
    except RecursionError:  # at some hundred levels; DynamoDB has 32
        return False


def _told_apart(value: object) -> object:
    """The value with its booleans in a box: to Python, True is 1."""
    match value:
        case bool():
            return (value,)
        case dict():
            return {name: _told_apart(each) for name, each in value.items()}
        case list():
            return [_told_apart(each) for each in value]
    return value


def _same_rescued(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.Array:
    """Whether two texts of rescued attributes say the same, but for attributes that are NULL."""
    pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
    return pa.array([_present(a) == _present(b) for a, b in pairs], pa.bool_())


def _present(text: str) -> dict[str, object]:
    return {name: value for name, value in json.loads(text).items() if value != {"NULL": True}}


def _parsed(text: str) -> object:
    return json.loads(text, parse_float=Decimal, parse_constant=str)
