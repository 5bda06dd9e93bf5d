"""A table of orders whose columns were changed, and what a rebuild makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cdc_merge import Reconciler, Report
from cdc_merge.model import Column, ColumnType, Evolve, Kind, ReconcilePolicy, Source, Target
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.records import Record, stream_record, to_item

T0 = datetime(2026, 1, 1, tzinfo=UTC)

MINUTE = timedelta(minutes=1)

AS_OF = T0 + 60 * MINUTE

FLOOR = AS_OF - 2 * MINUTE

TEXT, NUMERIC = ColumnType(Kind.TEXT), ColumnType(Kind.NUMERIC)


def orders(*columns: Column, **options: Any) -> Target:
    return Target("orders", columns=columns, evolve=Evolve.FREEZE, **options)


NAME, TOTAL, NOTE = Column("name", ("Name",), TEXT), Column("total", ("Total",), TEXT), Column("note", ("Note",), TEXT)

BEFORE = orders(NAME, TOTAL, NOTE)

# `name` is renamed, `total` has another type, `note` goes, `city` comes.
AFTER = orders(
    Column("full_name", ("Name",), TEXT),
    Column("total", ("Total",), NUMERIC),
    Column("city", ("City",), TEXT),
)

SOURCE = Source("shop", "", ("PK",), (BEFORE,), reconcile=ReconcilePolicy(max_delete=1.0))


def image(number: int) -> dict[str, Any]:
    return {"Name": f"n{number}", "Total": number, "Note": "x", "City": f"c{number}"}


def change(key: str, sequence: int, attributes: Mapping[str, Any] | None, *, minute: float = 0) -> Record:
    whole = None if attributes is None else {"PK": key, **attributes}
    return stream_record({"PK": key}, whole, sequence=sequence, at=T0 + minute * MINUTE)


Export = Callable[..., str]


@pytest.fixture(name="export")
def export_by_key(tmp_path: Path) -> Export:
    """Writes an export of items by key; returns its folder."""
    count = iter(range(1_000))

    def write(items: Mapping[str, Mapping[str, Any]], *, as_of: datetime = AS_OF, **options: Any) -> str:
        typed = [to_item({"PK": key, **attributes}) for key, attributes in items.items()]
        return str(write_export(tmp_path / f"exports{next(count)}", typed, as_of=as_of, key=("PK",), **options))

    return write


def merged(url: str, folder: Path) -> Harness:
    """Two rows as the export has them, one that changed since, one whose delete was lost, one deleted since."""
    harness = Harness(url, SOURCE, folder / "feed")
    harness.put_records([change("a", 10, image(1)), change("b", 11, image(2)), change("extra", 12, image(3))])
    harness.put_records([change("newer", 20, image(4), minute=59), change("gone", 21, None, minute=59)])
    harness.run()
    return harness


EXPORTED = {"a": image(1), "b": image(2), "newer": image(0), "gone": image(0)}


def wants(harness: Harness, *targets: Target) -> Harness:
    """The same, with other targets in its configuration."""
    other = replace(harness)
    other.source = replace(harness.source, targets=targets)
    return other


def rebuild(harness: Harness, export: str, **options: Any) -> Report:
    made = {k: options.pop(k) for k in ("warehouse", "stop") if k in options}
    with Reconciler(harness.settings, **made) as one:
        return one.reconcile(harness.source.name, export, rebuild=True, **options)


def rows(harness: Harness, *columns: str, table: str = "orders") -> list[tuple[Any, ...]]:
    return harness.query(f"SELECT pk, {', '.join(columns)} FROM {harness.schema}.{table} ORDER BY pk")


def counts(report: Report, table: str = "orders") -> tuple[int, ...]:
    v = report.targets[table]
    return v.equal, v.missing, v.extra, v.different, v.newer


def columns(harness: Harness, table: str = "orders") -> list[str]:
    return list(harness.columns(table))


METADATA = ["_cdc_position", "_cdc_changed_at", "_cdc_merged_at", "_cdc_rescued"]


def execute(harness: Harness, *statements: str) -> None:
    """Run statements as anyone could, each on its own; {t}: the table, {s}: its schema."""
    filled = [s.format(t=f"{harness.schema}.orders", s=harness.schema) for s in statements]
    if not harness.url.startswith("postgres"):
        for statement in filled:
            harness.query(statement)
        return
    with closing(psycopg2.connect(harness.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in filled:
                cursor.execute(statement)
