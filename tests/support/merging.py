"""Changes of items in plain words, delivered an object at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cdc_merge.warehouses import Statement
from tests.support.harness import Harness
from tests.support.records import stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def put(key: str, sequence: int, **attributes: Any) -> dict[str, Any]:
    """An upsert of an item."""
    keys = {"PK": key}
    return stream_record(keys, {**keys, **attributes}, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def remove(key: str, sequence: int) -> dict[str, Any]:
    return stream_record({"PK": key}, None, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def deliver(harness: Harness, *records: dict[str, Any]) -> Any:
    """One object, one batch."""
    harness.put_records(records)
    return harness.run().counts


def values(harness: Harness, table: str) -> dict[str, Any]:
    return {key[0]: landed.item for key, landed in harness.tables()[table].items()}


def by_hand(harness: Harness, sql: str) -> None:
    warehouse = harness.open()
    try:
        with warehouse.session() as session:
            session.run([Statement("by hand", sql)])
    finally:
        warehouse.close()
