"""A source of customers and orders, exports of it, and what a reconcile made of the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge import Reconciler, Report
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, ReconcilePolicy, Source, Target
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.records import Record, stream_record, to_item

T0 = datetime(2026, 1, 1, tzinfo=UTC)

MINUTE = timedelta(minutes=1)

AS_OF = T0 + 60 * MINUTE

FLOOR = AS_OF - 2 * MINUTE

SOURCE = Source(
    "shop",
    "",
    ("PK",),
    (
        Target("customers", where=(Condition(("Type",), any_of=("Customer",)),)),
        Target(
            "orders",
            where=(Condition(("Type",), any_of=("Order",)),),
            columns=(Column("total", ("Total",), ColumnType(Kind.NUMERIC)), Column("lines", ("Lines",))),
            evolve=Evolve.FREEZE,
        ),
    ),
    reconcile=ReconcilePolicy(max_delete=1.0),
)


def change(key: str, sequence: int, image: Mapping[str, Any] | None = None, *, minute: float = 0) -> Record:
    """An upsert, or a REMOVE without an image, so many minutes after T0."""
    whole = None if image is None else {"PK": key, **image}
    return stream_record({"PK": key}, whole, sequence=sequence, at=T0 + minute * MINUTE)


def item(key: str, image: Mapping[str, Any]) -> dict[str, Any]:
    return to_item({"PK": key, **image})


Export = Callable[..., str]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Writes an export of items as of a time; returns its folder."""
    count = iter(range(1_000))

    def write(items: Sequence[Mapping[str, Any]], *, as_of: datetime = AS_OF, **options: Any) -> str:
        root = tmp_path / f"exports{next(count)}"
        return str(write_export(root, items, as_of=as_of, key=("PK",), **options))

    return write


def reconcile(harness: Harness, export: str, **options: Any) -> Report:
    reconciler = Reconciler(harness.settings)
    try:
        return reconciler.reconcile(harness.source.name, export, **options)
    finally:
        reconciler.close()


def keys(harness: Harness) -> dict[str, set[str]]:
    return {table: {key[0] for key in rows} for table, rows in harness.tables().items()}


def counts(report: Report, table: str) -> tuple[int, int, int, int, int, int]:
    v = report.targets[table]
    return v.equal, v.missing, v.extra, v.different, v.newer, v.repaired


CUSTOMER = {"Type": "Customer", "Name": "Ada"}

ORDER = {"Type": "Order", "Total": 12}
