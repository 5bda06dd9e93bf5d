"""Orders with lists of lines, and the rows that the lines become."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Target, Template
from tests.support.harness import Harness
from tests.support.records import Record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)

ORDERS = Target(
    "orders",
    where=(Condition(("Type",), any_of=("Order",)),),
    columns=(Column("status", ("Status",), ColumnType(Kind.TEXT)), Column("items", ("Items",), ColumnType(Kind.JSON))),
    evolve=Evolve.FREEZE,
)

LINES = Target(
    "lines",
    where=(Condition(("Type",), any_of=("Order",)),),
    each=("Items",),
    columns=(
        Column("sku", ("Sku",)),
        Column("quantity", ("Qty",), ColumnType(Kind.INTEGER)),
        Column("colour", ("Options", "Colour"), ColumnType(Kind.TEXT)),
        Column("status", ("Status",), ColumnType(Kind.TEXT), of_parent=True),
        Column("order_id", ("PK",), template=Template(("ORDER#", ""), 0), of_parent=True),
    ),
    evolve=Evolve.FREEZE,
)


def change(key: str, sequence: int, image: Mapping[str, Any] | None = None) -> Record:
    whole = None if image is None else {"PK": key, "Type": "Order", **image}
    return stream_record({"PK": key}, whole, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def lines(harness: Harness, table: str = "lines") -> list[tuple[Any, ...]]:
    return harness.query(
        f"SELECT order_id, _cdc_index, sku, quantity, colour, status, {harness.rescued} "
        f"FROM {harness.schema}.{table} ORDER BY pk, _cdc_index"
    )


def item(sku: str, quantity: Any = 1, **more: Any) -> dict[str, Any]:
    return {"Sku": sku, "Qty": quantity, **more}
