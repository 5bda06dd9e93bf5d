"""Values to column types: held exactly or not at all, on each engine's terms."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from cdc_merge.feed.convert import carefully, staged_type, surely, usual_tag
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import ColumnType, Kind, TimeUnit
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES, Dialect

TEXT, INTEGER, DOUBLE = ColumnType(Kind.TEXT), ColumnType(Kind.INTEGER), ColumnType(Kind.DOUBLE)
NUMERIC, MONEY = ColumnType(Kind.NUMERIC), ColumnType(Kind.NUMERIC, 12, 2)
BOOLEAN, DATE, JSON, BINARY = (ColumnType(k) for k in (Kind.BOOLEAN, Kind.DATE, Kind.JSON, Kind.BINARY))
TIME = ColumnType(Kind.TIMESTAMP)
SECONDS, MILLIS, MICROS = (ColumnType(Kind.TIMESTAMP, unit=unit) for unit in TimeUnit)
ALL = (TEXT, INTEGER, DOUBLE, NUMERIC, MONEY, BOOLEAN, DATE, JSON, BINARY, TIME, SECONDS, MILLIS, MICROS)


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with Workbench(memory=200_000_000) as workbench:
        yield workbench


def careful(bench: Workbench, kind: ColumnType, typed: Any, dialect: Dialect = DUCKDB, *, layers: int = 1) -> Any:
    """What `carefully` makes of a typed value."""
    tags = {tag: f"json_extract_string(d, '/{tag}')" for tag in ("S", "N", "BOOL", "B")}
    value = carefully(kind, tags, "json_extract_string(d, '')", dialect, base64_layers=layers)
    return evaluate(bench, value, json.dumps(typed), kind, dialect)


def sure(bench: Workbench, kind: ColumnType, typed: Any, dialect: Dialect = DUCKDB, *, layers: int = 1) -> Any:
    """What `surely` makes of a typed value."""
    tag = usual_tag(kind)
    at = f"json_extract_string(d, '/{tag}')" if tag else "json_extract_string(d, '')"
    return evaluate(bench, surely(kind, at, dialect, base64_layers=layers), json.dumps(typed), kind, dialect)


def evaluate(bench: Workbench, value: str, document: str, kind: ColumnType, dialect: Dialect) -> Any:
    literal = document.replace("'", "''")
    sql = f"SELECT CAST({value} AS {staged_type(kind, dialect)}) FROM (SELECT CAST('{literal}' AS JSON) AS d)"
    ((found,),) = bench.rows(sql)
    if kind.kind is Kind.NUMERIC and isinstance(found, str):
        return Decimal(found)
    return found.astimezone(UTC) if isinstance(found, datetime) else found


D = Decimal
# (column type, typed value, what both engines hold of it; None: nothing, it is rescued)
CASES: list[tuple[ColumnType, dict[str, Any], Any]] = [
    (TEXT, {"S": ""}, ""),
    (TEXT, {"S": "null"}, "null"),
    (TEXT, {"S": "it's \\ \" 😀"}, "it's \\ \" 😀"),
    (TEXT, {"N": "1.50"}, "1.50"),
    (TEXT, {"BOOL": True}, "true"),
    (TEXT, {"B": "AA=="}, None),
    (TEXT, {"M": {}}, None),
    (TEXT, {"SS": ["a"]}, None),
    (INTEGER, {"N": "0"}, 0),
    (INTEGER, {"N": "-0"}, 0),
    (INTEGER, {"N": "1.0"}, 1),
    (INTEGER, {"N": "1E3"}, 1000),
    (INTEGER, {"N": "9223372036854775807"}, 2**63 - 1),
    (INTEGER, {"N": "-9223372036854775808"}, -(2**63)),
    (INTEGER, {"N": "9223372036854775808"}, None),
    (INTEGER, {"N": "1.5"}, None),
    (INTEGER, {"N": "1E-1"}, None),
    (INTEGER, {"N": "1E125"}, None),
    (INTEGER, {"S": "42"}, 42),
    (INTEGER, {"S": "042"}, None),
    (INTEGER, {"S": " 42"}, None),
    (INTEGER, {"S": ""}, None),
    (INTEGER, {"S": "٤٢"}, None),
    (INTEGER, {"BOOL": True}, None),
    (MONEY, {"N": "9999999999.99"}, D("9999999999.99")),
    (MONEY, {"N": "10000000000"}, None),
    (MONEY, {"N": "0.001"}, None),
    (MONEY, {"N": "0.010"}, D("0.01")),
    (MONEY, {"N": "1E-2"}, D("0.01")),
    (MONEY, {"N": "-0.99"}, D("-0.99")),
    (MONEY, {"S": "19.99"}, D("19.99")),
    (MONEY, {"S": "19.990"}, D("19.99")),
    (MONEY, {"S": "1e1"}, None),
    (NUMERIC, {"N": "12345678901234567890.123456789012345678"}, D("12345678901234567890.123456789012345678")),
    (NUMERIC, {"N": "1E19"}, D("1E19")),
    (DOUBLE, {"N": "0.1"}, 0.1),
    (DOUBLE, {"N": "123456789012345"}, 123456789012345.0),
    (DOUBLE, {"N": "1234567890123456"}, None),
    (DOUBLE, {"N": "-1.5E10"}, -1.5e10),
    (DOUBLE, {"N": "1E125"}, 1e125),
    (DOUBLE, {"N": "0"}, 0.0),
    (BOOLEAN, {"BOOL": False}, False),
    (BOOLEAN, {"S": "true"}, True),
    (BOOLEAN, {"S": "True"}, None),
    (BOOLEAN, {"N": "1"}, None),
    (BOOLEAN, {"S": ""}, None),
    (DATE, {"S": "2024-02-29"}, date(2024, 2, 29)),
    (DATE, {"S": "2023-02-29"}, None),
    (DATE, {"S": "2024-02-29T00:00:00"}, None),
    (DATE, {"S": "2024-2-9"}, None),
    (DATE, {"N": "20240229"}, None),
    (BINARY, {"B": "AAH/"}, b"\x00\x01\xff"),
    (BINARY, {"B": ""}, b""),
    (BINARY, {"B": "!"}, None),
    (BINARY, {"S": "AAH/"}, None),
    (TIME, {"S": "2026-01-02"}, datetime(2026, 1, 2, tzinfo=UTC)),
    (TIME, {"S": "2026-01-02T03:04"}, datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
    (TIME, {"S": "2026-01-02T03:04:05Z"}, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (TIME, {"S": "2026-01-02 03:04:05.123456"}, datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
    (TIME, {"S": "2026-01-02T03:04:05.1+02:00"}, datetime(2026, 1, 2, 1, 4, 5, 100000, tzinfo=UTC)),
    (TIME, {"S": "2026-01-02T03:04:05,5-0330"}, datetime(2026, 1, 2, 6, 34, 5, 500000, tzinfo=UTC)),
    (TIME, {"S": "2026-01-02T03:04:05.1234560Z"}, datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
    (TIME, {"S": "2026-01-02T03:04:05.1234567Z"}, None),
    (TIME, {"S": "2026-13-02T03:04:05Z"}, None),
    (TIME, {"S": "2026-01-02T25:04:05Z"}, None),
    (TIME, {"S": "02.01.2026"}, None),
    (TIME, {"S": "infinity"}, None),
    (TIME, {"S": "now"}, None),
    (TIME, {"S": ""}, None),
    (TIME, {"N": "1767225600"}, datetime(2026, 1, 1, tzinfo=UTC)),
    (SECONDS, {"N": "1767225600.25"}, datetime(2026, 1, 1, 0, 0, 0, 250000, tzinfo=UTC)),
    (SECONDS, {"N": "1.7672256E9"}, datetime(2026, 1, 1, tzinfo=UTC)),
    (SECONDS, {"N": "1767225600.1234567"}, None),
    (SECONDS, {"N": "-1"}, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (SECONDS, {"N": "253402300799"}, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (SECONDS, {"N": "253402300800"}, None),
    (SECONDS, {"N": "-62135596801"}, None),
    (SECONDS, {"N": "1E125"}, None),
    (SECONDS, {"S": "2026-01-02T03:04:05Z"}, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (SECONDS, {"S": "1767225600"}, None),
    (MILLIS, {"N": "1767225600001"}, datetime(2026, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
    (MILLIS, {"N": "1767225600001.001"}, datetime(2026, 1, 1, 0, 0, 0, 1001, tzinfo=UTC)),
    (MILLIS, {"N": "1767225600001.0001"}, None),
    (MICROS, {"N": "1767225600000001"}, datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    (MICROS, {"N": "1767225600000001.5"}, None),
    (JSON, {"S": "x"}, '"x"'),
    (JSON, {"N": "1E+2"}, "1E+2"),
    (JSON, {"NS": ["10", "9"]}, "[9,10]"),
    (JSON, {"M": {"a": {"L": [{"NULL": True}]}}}, '{"a":[null]}'),
    (JSON, {"X": 1}, None),
]


@pytest.mark.parametrize("dialect", [DUCKDB, POSTGRES], ids=lambda d: d.name)
def test_a_value_is_held_exactly_or_not_at_all(bench: Workbench, dialect: Dialect) -> None:
    wrong = [
        (kind, typed, found, expected)
        for kind, typed, expected in CASES
        if (found := careful(bench, kind, typed, dialect)) != expected or type(found) is not type(expected)
    ]
    assert wrong == []


@pytest.mark.parametrize("dialect", [DUCKDB, POSTGRES], ids=lambda d: d.name)
def test_the_quick_look_holds_the_same_or_nothing(bench: Workbench, dialect: Dialect) -> None:
    wrong = [
        (kind, typed, found, expected)
        for kind, typed, expected in CASES
        if (found := sure(bench, kind, typed, dialect)) not in (None, expected)
    ]
    assert wrong == []


USUAL = [
    *[(TEXT, {"S": "x"}), (INTEGER, {"N": "42"})],
    *[(INTEGER, {"N": "-7"}), (DOUBLE, {"N": "1.5"}), (NUMERIC, {"N": "19.99"})],
    *[(MONEY, {"N": "19.99"}), (MONEY, {"N": "20"}), (BOOLEAN, {"BOOL": True}), (DATE, {"S": "2026-01-02"})],
    *[(TIME, {"S": "2026-01-02T03:04:05.678Z"})],
    *[(SECONDS, {"N": "1767225600"}), (JSON, {"L": []}), (BINARY, {"B": "AA=="})],
]


@pytest.mark.parametrize("dialect", [DUCKDB, POSTGRES], ids=lambda d: d.name)
def test_the_quick_look_holds_what_is_usual(bench: Workbench, dialect: Dialect) -> None:
    for kind, typed in USUAL:
        found = sure(bench, kind, typed, dialect)
        assert found is not None, (kind, typed)
        assert found == careful(bench, kind, typed, dialect)


def test_the_widest_decimal_is_the_engines_own(bench: Workbench) -> None:
    for number in ("1E125", "1E-130", "1" * 38, f"0.{'1' * 38}"):
        assert careful(bench, NUMERIC, {"N": number}, POSTGRES) == Decimal(number)
        assert careful(bench, NUMERIC, {"N": number}, DUCKDB) is None
    assert careful(bench, NUMERIC, {"N": "1" * 20}, DUCKDB) == int("1" * 20)
    assert careful(bench, NUMERIC, {"N": "1" * 21}, DUCKDB) is None


def test_a_nul_is_held_only_where_text_can(bench: Workbench) -> None:
    for kind, typed, held in [
        (TEXT, {"S": "a\0b"}, "a\0b"),
        (JSON, {"S": "a\0b"}, '"a\\u0000b"'),
        (JSON, {"M": {"a\0b": {"S": "x"}}}, '{"a\\u0000b":"x"}'),
    ]:
        for look in (careful, sure):
            assert look(bench, kind, typed, DUCKDB) == held
            assert look(bench, kind, typed, POSTGRES) is None


def test_binary_of_kinesis_is_taken_out_of_two_layers(bench: Workbench) -> None:
    data = bytes(range(256))
    once = base64.b64encode(data).decode()
    twice = base64.b64encode(once.encode()).decode()
    for look in (careful, sure):
        assert look(bench, BINARY, {"B": twice}, layers=2) == data
        assert look(bench, BINARY, {"B": once}, layers=2) is None
        assert look(bench, JSON, {"L": [{"B": twice}]}, layers=2) == json.dumps([once], separators=(",", ":"))


def test_every_type_can_be_staged_on_every_engine(bench: Workbench) -> None:
    for dialect in (DUCKDB, POSTGRES):
        for kind in ALL:
            assert bench.rows(f"SELECT CAST(NULL AS {staged_type(kind, dialect)})") == [(None,)]
            assert sure(bench, kind, {"NULL": True}, dialect) in (None, "null")
