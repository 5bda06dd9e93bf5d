"""A batch on the warehouse's road leaves what it leaves on the worker's, and goes there only if it surely does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cdc_merge.model import Column, ColumnType, Evolve, Kind, Source, Target, TimeUnit
from tests.support.records import Record, compress, frame, stream_record
from tests.support.two_roads import TwoRoads

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = Target(
    "items",
    columns=(
        Column("name", ("Name",), ColumnType(Kind.TEXT)),
        Column("total", ("Total",), ColumnType(Kind.NUMERIC)),
        Column("count", ("Count",), ColumnType(Kind.INTEGER)),
        Column("share", ("Share",), ColumnType(Kind.DOUBLE)),
        Column("paid", ("Paid",), ColumnType(Kind.BOOLEAN)),
        Column("at", ("At",), ColumnType(Kind.TIMESTAMP)),
        Column("ends", ("Ends",), ColumnType(Kind.TIMESTAMP, unit=TimeUnit.SECONDS)),
        Column("day", ("Day",), ColumnType(Kind.DATE)),
        Column("token", ("Token",), ColumnType(Kind.BINARY)),
        Column("city", ("Address", "City"), ColumnType(Kind.TEXT)),
        Column("sku", ("Lines", 0, "Sku"), ColumnType(Kind.TEXT)),
    ),
    evolve=Evolve.FREEZE,
)
SHOP = Source("shop", "", ("PK", "SK"), (ITEMS,))
FULL: dict[str, Any] = {
    "Name": 'it\'s "a" \\ b\n\t/ä🛒 ',
    "Total": Decimal("12345678901234567890.123456789012345678"),
    "Count": -999_999_999_999_999_999,
    "Share": Decimal("0.123456789012345"),
    "Paid": True,
    "At": "2026-02-28T23:59:59.123456Z",
    "Ends": 1767225600,
    "Day": "2024-12-31",
    "Token": b"\x00\xff\x10",
    "Address": {"City": "Bern", "Zip": "3000"},
    "Lines": [{"Sku": "a"}, {"Sku": "b"}],
}


def put(pk: str, sequence: int, image: dict[str, Any] | None, sk: str = "-") -> Record:
    at = T0 + timedelta(seconds=sequence)
    return stream_record({"PK": pk, "SK": sk}, image, old_image={} if image is None else None, sequence=sequence, at=at)


@pytest.fixture
def roads(redshift_url: str, caplog: pytest.LogCaptureFixture) -> TwoRoads:
    """A source whose first batch, which makes the table, is merged."""
    caplog.set_level("INFO", "cdc_merge.worker")
    roads = TwoRoads.of(redshift_url, SHOP)
    assert roads.merge(frame([put("first", 1, FULL)])) == "worker"
    return roads


def test_plain_records_are_decoded_by_the_warehouse(roads: TwoRoads) -> None:
    plain = frame([put("a", 2, {"Name": "a", "Total": Decimal("12.50")}), put("a", 3, FULL), put("b", 2, {"Name": ""})])
    assert roads.merge(plain, compress(frame([put("b", 1, FULL), put("c", 1, {"Other": {"S": "x"}})]))) == "warehouse"
    assert roads.merge(frame([put("a", 4, None), put("c", 0, FULL), put("d", 5, None)])) == "warehouse"
