"""A reconcile of targets that keep rows of deleted items: what is marked, revived, and left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cdc_merge.errors import Refused
from cdc_merge.model import Condition, Deletes, Expired, ReconcilePolicy, Source, Target
from tests.support.harness import Harness
from tests.support.reconciling import AS_OF, FLOOR, MINUTE, Export, change, counts, item, reconcile

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
SOFT = replace(CUSTOMERS, deletes=Deletes.SOFT)
IGNORE = replace(CUSTOMERS, deletes=Deletes.IGNORE)
CUSTOMER = {"Type": "Customer", "Name": "Ada"}


def shop(url: str, folder: Path, target: Target, *, max_delete: float = 1.0) -> Harness:
    policy = ReconcilePolicy(max_delete=max_delete)
    return Harness(url, Source("shop", "", ("PK",), (target,), reconcile=policy), folder / "feed")


def marks(harness: Harness) -> dict[str, object]:
    return {key[0]: row.deleted_at for key, row in harness.tables()["customers"].items()}


def fill(harness: Harness) -> None:
    """Rows that are equal, left over, deleted long ago, and deleted where the export still has the item."""
    harness.put_records(
        [
            *(change(key, n, CUSTOMER) for n, key in enumerate(["equal", "extra", "gone", "revived", "newer"])),
            change("gone", 11, minute=5),
            change("revived", 12, minute=5),
            change("newer", 13, minute=59),
        ]
    )
    harness.run()


def test_soft_targets_mark_what_is_extra_and_revive_what_is_there(
    warehouse_url: str, tmp_path: Path, export: Export
) -> None:
    harness = shop(warehouse_url, tmp_path, SOFT)
    fill(harness)
    folder = export([item("equal", CUSTOMER), item("revived", CUSTOMER), item("newer", CUSTOMER)])

    report = reconcile(harness, folder)

    assert counts(report, "customers") == (1, 0, 1, 1, 1, 2)
    assert report.targets["customers"].columns == {"_cdc_deleted_at": 1}
    at = AS_OF - 55 * MINUTE
    after = {"equal": None, "extra": FLOOR, "gone": at, "revived": None, "newer": AS_OF - MINUTE}
    assert marks(harness) == after
    assert counts(reconcile(harness, folder), "customers") == (2, 0, 0, 0, 1, 0)
    assert marks(harness) == after


def test_the_feed_goes_on_with_rows_that_a_reconcile_marked(warehouse_url: str, tmp_path: Path, export: Export) -> None:
    harness = shop(warehouse_url, tmp_path, SOFT)
    fill(harness)
    reconcile(harness, export([item("equal", CUSTOMER)]))
    assert marks(harness)["extra"] == FLOOR
    harness.put_records([change("extra", 20, CUSTOMER, minute=61), change("equal", 21, minute=62)])
    harness.put_records([change("gone", 9, CUSTOMER, minute=3)])
    assert harness.run().counts.stale == 1
    after = marks(harness)
    assert (after["extra"], after["equal"]) == (None, AS_OF + 2 * MINUTE)


@pytest.mark.parametrize("target", [IGNORE, replace(CUSTOMERS, expired=Expired.KEEP)], ids=["ignore", "keep"])
def test_rows_whose_delete_does_not_count_are_no_drift(
    warehouse_url: str, tmp_path: Path, export: Export, target: Target
) -> None:
    harness = shop(warehouse_url, tmp_path, target)
    harness.put_records([change(key, n, CUSTOMER) for n, key in enumerate(["equal", "left", "moved"])])
    harness.run()
    folder = export([item("equal", CUSTOMER), item("moved", {"Type": "Order"})])

    assert counts(reconcile(harness, folder), "customers") == (1, 0, 1, 0, 0, 1)
    assert set(marks(harness)) == {"equal", "left"}
    assert counts(reconcile(harness, folder), "customers") == (1, 0, 0, 0, 0, 0)


def test_rows_that_would_be_marked_count_for_max_delete(warehouse_url: str, tmp_path: Path, export: Export) -> None:
    harness = shop(warehouse_url, tmp_path, SOFT, max_delete=0.1)
    fill(harness)
    with pytest.raises(Refused, match="max_delete"):
        reconcile(harness, export([item("equal", CUSTOMER)]))
    assert marks(harness)["extra"] is None


@pytest.mark.parametrize("target", [SOFT, IGNORE], ids=["soft", "ignore"])
def test_a_rebuild_keeps_the_rows_of_deleted_items(
    warehouse_url: str, tmp_path: Path, export: Export, target: Target
) -> None:
    harness = shop(warehouse_url, tmp_path, target)
    fill(harness)
    folder = export([item("equal", CUSTOMER), item("revived", CUSTOMER), item("newer", CUSTOMER)])
    reconcile(harness, folder)
    before = harness.tables()

    reconcile(harness, folder, rebuild=True)

    after = harness.tables()["customers"]
    assert {k: (r.item, r.deleted_at) for k, r in after.items()} == {
        k: (r.item, r.deleted_at) for k, r in before["customers"].items()
    }
    assert set(after) == {(k,) for k in ("equal", "extra", "gone", "revived", "newer")}


def test_a_rebuild_marks_what_is_extra(warehouse_url: str, tmp_path: Path, export: Export) -> None:
    harness = shop(warehouse_url, tmp_path, SOFT)
    fill(harness)
    reconcile(harness, export([item("equal", CUSTOMER), item("newer", CUSTOMER)]), rebuild=True)
    assert {k: v for k, v in marks(harness).items() if k in ("equal", "extra", "revived")} == {
        "equal": None,
        "extra": FLOOR,
        "revived": AS_OF - 55 * MINUTE,
    }


def test_a_rebuild_of_a_target_that_is_hard_by_now_brings_no_row_of_a_deleted_item_over(
    warehouse_url: str, tmp_path: Path, export: Export
) -> None:
    harness = shop(warehouse_url, tmp_path, SOFT)
    fill(harness)
    harness.source = replace(harness.source, targets=(CUSTOMERS,))
    reconcile(harness, export([item("equal", CUSTOMER), item("newer", CUSTOMER)]), rebuild=True)
    assert set(harness.tables()["customers"]) == {("equal",)}
