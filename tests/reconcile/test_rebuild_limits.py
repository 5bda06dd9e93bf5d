"""A rebuild is held to `max_delete` also where the old table cannot be compared row by row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cdc_merge.errors import Refused
from cdc_merge.model import Column, ColumnType, Kind, ReconcilePolicy, Source, Target
from tests.support.harness import Harness
from tests.support.rebuilding import (  # noqa: F401
    BEFORE,
    METADATA,
    Export,
    change,
    columns,
    execute,
    export_by_key,
    image,
    rebuild,
    rows,
    wants,
)

SOURCE = Source("shop", "", ("PK",), (BEFORE,), reconcile=ReconcilePolicy(max_delete=0.5))
ONE = {"a": image(1)}
MOST = {"a": image(1), "b": image(2), "c": image(3)}
ALTERED = "ALTER TABLE {t} ALTER COLUMN _cdc_merged_at TYPE DATE"
UNKEYED = "ALTER TABLE {t} RENAME COLUMN pk TO id"


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    """Four rows that are older than the export, and one that changed since."""
    harness = Harness(warehouse_url, SOURCE, tmp_path / "feed")
    harness.put_records([change(key, 10 + i, image(i + 1)) for i, key in enumerate("abcd")])
    harness.put_records([change("newer", 20, image(9), minute=59)])
    harness.run()
    return harness


def elements(harness: Harness) -> Harness:
    lines = Target("orders", columns=(Column("sku", ("S",), ColumnType(Kind.TEXT)),), each=("Lines",))
    return wants(harness, lines)


def count(harness: Harness) -> int:
    ((found,),) = harness.query(f"SELECT count(*) FROM {harness.schema}.orders")
    return int(found)


def test_keys_that_the_export_lacks_are_held_against_the_limit(shop: Harness, export: Export) -> None:
    execute(shop, ALTERED)

    with pytest.raises(Refused, match=r"3 of 5 rows \(60.0 %\) would be deleted, more than max_delete"):
        rebuild(shop, export(ONE))
    assert count(shop) == 5
    dry = rebuild(shop, export(ONE), dry_run=True)
    assert any("without --force it will be refused" in n for n in dry.notes)

    report = rebuild(shop, export(MOST))

    assert [r[0] for r in rows(shop, "name")] == ["a", "b", "c", "newer"]
    assert any("1 of its 5 keys go" in n for n in report.notes)


def test_what_is_forced_is_done_and_said(shop: Harness, export: Export) -> None:
    execute(shop, ALTERED)

    report = rebuild(shop, export(ONE), force=True)

    assert [r[0] for r in rows(shop, "name")] == ["a", "newer"]
    assert any("max_delete" in lifted for lifted in report.overridden)


def test_where_times_were_altered_too_every_key_that_the_export_lacks_counts(
    shop: Harness,
    export: Export,
) -> None:
    execute(shop, "ALTER TABLE {t} DROP COLUMN _cdc_changed_at")

    with pytest.raises(Refused, match=r"4 of 5 rows"):
        rebuild(shop, export(ONE))


def test_rows_that_become_elements_are_held_against_the_limit(shop: Harness, export: Export) -> None:
    after = elements(shop)
    with pytest.raises(Refused, match=r"3 of 5 rows"):
        rebuild(after, export({"a": {"Lines": [{"S": "x"}, {"S": "y"}]}}))
    assert count(shop) == 5

    most = {key: {"Lines": [{"S": key}, {"S": key}]} for key in "abc"}
    rebuild(after, export(most))

    assert columns(after) == ["pk", "_cdc_index", "_cdc_key", "sku", *METADATA]
    assert count(after) == 6


def test_a_table_whose_keys_cannot_be_compared_is_not_replaced_unless_forced(
    shop: Harness,
    export: Export,
) -> None:
    execute(shop, UNKEYED)
    lenient = replace(shop)
    lenient.source = replace(shop.source, reconcile=ReconcilePolicy(max_delete=1.0))

    with pytest.raises(Refused, match=r"its 5 rows would go"):
        rebuild(lenient, export(MOST))
    assert count(shop) == 5
    assert any("its 5 rows would go" in n for n in rebuild(lenient, export(MOST), dry_run=True).notes)

    report = rebuild(lenient, export(MOST), force=True)

    assert [r[0] for r in rows(shop, "name")] == ["a", "b", "c", "newer"]
    assert any("its 5 rows would go" in lifted for lifted in report.overridden)
