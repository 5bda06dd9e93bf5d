"""People read and alter the tables while a reconcile compares, also where it has columns to add."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from cdc_merge import Reconciler, Report
from cdc_merge.model import ReconcilePolicy, Source, Target
from cdc_merge.warehouses import open_warehouse
from tests.properties.story import contents
from tests.support.harness import Harness
from tests.support.rebuilding import Export, change, columns, counts, export_by_key, rows  # noqa: F401

SOURCE = Source("shop", "", ("PK",), (Target("orders"),), reconcile=ReconcilePolicy(max_delete=1.0))
# `City` is new, `same` is not: it has no attribute that is new.
EXPORTED = {"same": {"Name": "n"}, "more": {"Name": "n", "City": "c"}, "missing": {"City": "d"}}


def merged(url: str, folder: Path) -> Harness:
    harness = Harness(url, SOURCE, folder / "feed")
    harness.put_records([change(key, 10 + i, {"Name": "n"}) for i, key in enumerate(("same", "more", "extra"))])
    harness.run()
    return harness


def reconcile(harness: Harness, folder: str, *, dry_run: bool = False) -> tuple[Report, list[str]]:
    """The report, and the labels of all statements in order."""
    labels: list[str] = []
    with closing(open_warehouse(harness.url, observer=lambda label, _seconds: labels.append(label))) as warehouse:
        report = Reconciler(harness.settings, warehouse=warehouse).reconcile("shop", folder, dry_run=dry_run)
    return report, labels


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_column_is_added_after_the_comparison_and_by_no_dry_run(
    warehouse_url: str,
    tmp_path: Path,
    export: Export,
    dry_run: bool,
) -> None:
    shop = merged(warehouse_url, tmp_path)
    before = contents(shop)

    report, labels = reconcile(shop, export(EXPORTED), dry_run=dry_run)

    assert counts(report) == (1, 1, 1, 1, 0)
    assert report.targets["orders"].columns == {"city": 1}
    if dry_run:
        assert not any(label.startswith(("add ", "create ", "record ")) for label in labels)
        assert contents(shop) == before
    else:
        assert labels.index("count orders") < labels.index("add orders.city") < labels.index("delete from orders")
        assert rows(shop, "name", "city") == [("missing", None, "d"), ("more", "n", "c"), ("same", "n", None)]
        assert counts(reconcile(shop, export(EXPORTED))[0]) == (3, 0, 0, 0, 0)


@pytest.mark.parametrize("dry_run", [True, False])
def test_tables_that_are_not_there_yet_lack_everything(
    warehouse_url: str,
    tmp_path: Path,
    export: Export,
    dry_run: bool,
) -> None:
    each = Target("lines", each=("Lines",))
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (Target("orders"), each)), tmp_path / "feed")
    shop.directory.mkdir(exist_ok=True)
    shop.run()  # with nothing to merge: only the metadata tables are made
    folder = export({"a": {"Name": "n", "Lines": [{"S": "x"}, {"S": "y"}]}, "b": {"Name": "m"}})

    report, labels = reconcile(shop, folder, dry_run=dry_run)

    assert (counts(report), counts(report, "lines")) == ((0, 2, 0, 0, 0), (0, 2, 0, 0, 0))
    assert columns(shop) == ([] if dry_run else ["pk", *columns(shop)[1:]])
    assert ("create orders" in labels) != dry_run
    if not dry_run:
        assert counts(reconcile(shop, folder)[0], "lines") == (2, 0, 0, 0, 0)


@pytest.mark.parametrize("dry_run", [True, False])
def test_on_postgres_readers_are_let_in_for_the_whole_comparison(
    postgres_url: str,
    tmp_path: Path,
    export: Export,
    dry_run: bool,
) -> None:
    shop = merged(postgres_url, tmp_path)
    asked: list[str] = []

    def read(label: str, _seconds: float) -> None:
        if label == "take samples of orders":
            asked.append(label)
            with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '2s'")
                cursor.execute(f"SELECT count(*) FROM {shop.schema}.orders")

    with closing(open_warehouse(postgres_url, observer=read)) as warehouse:
        Reconciler(shop.settings, warehouse=warehouse).reconcile("shop", export(EXPORTED), dry_run=dry_run)
    assert asked


@pytest.mark.parametrize("rebuild", [False, True], ids=["repair", "rebuild"])
def test_on_postgres_rows_that_somebody_updates_after_the_comparison_are_neither_lost_nor_left_over(
    postgres_url: str, tmp_path: Path, export: Export, rebuild: bool
) -> None:
    shop = merged(postgres_url, tmp_path)
    shop.put_records([change("newer", 20, {"Name": "n"}, minute=59)])
    shop.run()
    updated: list[str] = []

    def interfere(label: str, _seconds: float) -> None:
        if label == "take samples of orders" and not updated:
            updated.append(label)
            with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
                cursor.execute(f"UPDATE {shop.schema}.orders SET name = 'by hand' WHERE pk IN ('extra', 'newer')")

    exported = {"same": "n", "more": "m", "missing": "d", "newer": "o"}
    folder = export({key: {"Name": name} for key, name in exported.items()})
    with closing(open_warehouse(postgres_url, observer=interfere)) as warehouse:
        Reconciler(shop.settings, warehouse=warehouse).reconcile("shop", folder, rebuild=rebuild)

    assert updated
    assert rows(shop, "name") == [("missing", "d"), ("more", "m"), ("newer", "by hand"), ("same", "n")]
