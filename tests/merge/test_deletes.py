"""What deletes and expiries do to a target that does not simply follow them, one story each, on every engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.model import Condition, Deletes, Expired, Source, Target
from tests.support.forgetting import forget
from tests.support.harness import Harness
from tests.support.merging import by_hand, deliver, put, remove, values
from tests.support.records import TTL_IDENTITY, Record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT = "TIMESTAMP WITH TIME ZONE"
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order",)),))


def expire(key: str, sequence: int) -> Record:
    """A REMOVE by time to live."""
    return {**remove(key, sequence), "userIdentity": TTL_IDENTITY}


def second(count: int) -> datetime:
    return T0 + timedelta(seconds=count)


def shop(url: str, folder: Path, *targets: Target) -> Harness:
    return Harness(url, Source("shop", "", ("PK",), targets), folder / "feed")


def marks(harness: Harness, table: str = "items") -> dict[str, tuple[Any, datetime | None]]:
    """Of each row, its value and when its item was deleted."""
    return {key[0]: (row.item.get("v"), row.deleted_at) for key, row in harness.tables()[table].items()}


@pytest.fixture
def soft(warehouse_url: str, tmp_path: Path) -> Harness:
    return shop(warehouse_url, tmp_path, Target("items", deletes=Deletes.SOFT))


@pytest.fixture
def ignoring(warehouse_url: str, tmp_path: Path) -> Harness:
    """One table that ignores deletes, beside one that follows them."""
    items = Target("items")
    return shop(warehouse_url, tmp_path, replace(items, deletes=Deletes.IGNORE), replace(items, table="hard"))


@pytest.fixture
def keeping(warehouse_url: str, tmp_path: Path) -> Harness:
    return shop(warehouse_url, tmp_path, Target("items", expired=Expired.KEEP))


def test_a_soft_delete_keeps_the_row_and_says_when(soft: Harness) -> None:
    deliver(soft, put("a", 1, v="x"))
    counts = deliver(soft, remove("a", 3))
    assert marks(soft) == {"a": ("x", second(3))}
    assert (counts.applied, counts.targets["items"]["deleted"]) == (1, 1)


def test_a_row_that_is_there_twice_is_marked_and_revived_as_one(soft: Harness) -> None:
    if "postgres" in soft.url:
        pytest.skip("the primary key does not let a row be there twice")
    deliver(soft, put("a", 1, v="x"), put("b", 1, v="x"))
    by_hand(soft, f"INSERT INTO {soft.schema}.items SELECT * FROM {soft.schema}.items")
    assert dict(deliver(soft, remove("a", 3)).targets["items"]) == {"inserted": 0, "updated": 0, "deleted": 1}
    gone = soft.query(f"SELECT pk, _cdc_deleted_at FROM {soft.schema}.items ORDER BY pk")
    assert gone == [("a", second(3)), ("a", second(3)), ("b", None), ("b", None)]
    assert dict(deliver(soft, put("a", 5, v="y")).targets["items"]) == {"inserted": 0, "updated": 1, "deleted": 0}
    assert soft.query(f"SELECT pk, v FROM {soft.schema}.items ORDER BY pk") == [("a", "y"), ("b", "x"), ("b", "x")]


def test_a_newer_change_revives_a_row(soft: Harness) -> None:
    deliver(soft, put("a", 1, v="x"), remove("a", 3))
    deliver(soft, put("a", 5, v="y"))
    assert marks(soft) == {"a": ("y", None)}
    assert soft.tombstones() == {}


def test_a_row_that_was_inserted_and_deleted_in_one_batch_is_there(soft: Harness) -> None:
    counts = deliver(soft, put("a", 1, v="x"), put("a", 2, v="y"), remove("a", 3))
    assert marks(soft) == {"a": ("y", second(3))}
    assert (counts.records, counts.applied, counts.superseded) == (3, 1, 2)


def test_a_late_image_of_a_deleted_item_becomes_a_deleted_row(soft: Harness) -> None:
    deliver(soft, remove("a", 3))
    deliver(soft, put("a", 2, v="y"))
    assert marks(soft) == {"a": ("y", second(3))}
    assert deliver(soft, put("a", 1, v="x")).stale == 1
    assert marks(soft) == {"a": ("y", second(3))}


def test_a_replay_of_a_soft_delete_changes_nothing(soft: Harness) -> None:
    records = [put("a", 1, v="x"), remove("a", 3)]
    deliver(soft, *records)
    merged = soft.query(f"SELECT _cdc_merged_at FROM {soft.schema}.items")
    counts = deliver(soft, *records)
    assert (counts.applied, counts.stale, counts.superseded) == (0, 1, 1)
    assert soft.query(f"SELECT _cdc_merged_at FROM {soft.schema}.items") == merged


def test_an_item_that_moves_away_leaves_a_deleted_row(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, replace(CUSTOMERS, deletes=Deletes.SOFT), ORDERS)
    deliver(harness, put("a", 1, Type="Customer", v="x"))
    deliver(harness, put("a", 3, Type="Order", v="y"))
    assert marks(harness, "customers") == {"a": ("x", second(3))}
    deliver(harness, put("a", 2, Type="Customer", v="late"))
    assert marks(harness, "customers") == {"a": ("late", second(3))}
    assert list(values(harness, "orders")) == ["a"]


def test_an_ignored_delete_leaves_the_row_as_it_is(ignoring: Harness) -> None:
    deliver(ignoring, put("a", 1, v="x"))
    counts = deliver(ignoring, remove("a", 3))
    assert {k: v["v"] for k, v in values(ignoring, "items").items()} == {"a": "x"}
    assert values(ignoring, "hard") == {}
    assert (counts.applied, counts.targets["items"]["deleted"], counts.targets["hard"]["deleted"]) == (1, 0, 1)


def test_a_late_upsert_older_than_an_ignored_delete_counts(ignoring: Harness) -> None:
    deliver(ignoring, put("a", 1, v="x"), remove("a", 3))
    assert deliver(ignoring, put("a", 2, v="y")).applied == 1
    assert {k: v["v"] for k, v in values(ignoring, "items").items()} == {"a": "y"}
    assert values(ignoring, "hard") == {}
    assert len(ignoring.tombstones()) == 1


def test_a_late_upsert_loses_to_one_whose_own_row_was_deleted(warehouse_url: str, tmp_path: Path) -> None:
    """The item had moved away before it was deleted; no row tells of that any more, only the tombstone does."""
    harness = shop(warehouse_url, tmp_path, replace(CUSTOMERS, deletes=Deletes.IGNORE), ORDERS)
    deliver(harness, put("a", 5, Type="Order"))
    deliver(harness, remove("a", 6))
    assert deliver(harness, put("a", 3, Type="Customer")).stale == 1
    assert values(harness, "customers") == {}


def test_an_item_that_moves_away_goes_also_where_deletes_are_ignored(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, replace(CUSTOMERS, deletes=Deletes.IGNORE), ORDERS)
    deliver(harness, put("a", 1, Type="Customer"))
    deliver(harness, put("a", 2, Type="Order"), remove("a", 3))
    assert (values(harness, "customers"), values(harness, "orders")) == ({}, {})


@pytest.mark.parametrize(
    "target",
    [Target("items", deletes=Deletes.IGNORE), Target("items", expired=Expired.KEEP)],
    ids=["deletes ignored", "expiries kept"],
)
def test_a_replay_changes_nothing_where_an_item_outlives_its_end(
    warehouse_url: str, tmp_path: Path, target: Target
) -> None:
    harness = shop(warehouse_url, tmp_path, target)
    records = [put("a", 1, v="x"), put("a", 2, v="y"), expire("a", 3)]
    deliver(harness, *records)
    merged = harness.query(f"SELECT v, _cdc_merged_at FROM {harness.schema}.items")
    counts = deliver(harness, *records)
    assert (counts.applied, counts.stale, counts.superseded) == (0, 1, 2)
    assert harness.query(f"SELECT v, _cdc_merged_at FROM {harness.schema}.items") == merged
    assert counts.targets["items"] == {"inserted": 0, "updated": 0, "deleted": 0}


def test_an_expired_item_is_kept_and_a_deleted_one_is_not(keeping: Harness) -> None:
    deliver(keeping, put("a", 1, v="x"), put("b", 1, v="x"), expire("a", 2), remove("b", 2))
    assert list(values(keeping, "items")) == ["a"]
    deliver(keeping, remove("b", 3), expire("b", 4), put("b", 2, v="late"))
    assert list(values(keeping, "items")) == ["a"]


@pytest.mark.parametrize("expiries", [(40,), (40, 50)], ids=["once", "twice"])
def test_what_moved_away_before_it_expired_does_not_come_back(
    warehouse_url: str, tmp_path: Path, expiries: tuple[int, ...]
) -> None:
    """The expiry itself means nothing to `customers`. The tombstone knows what the row that it took away knew."""
    harness = shop(warehouse_url, tmp_path, replace(CUSTOMERS, expired=Expired.KEEP), Target("all_items"))
    deliver(harness, put("a", 30, Type="Order"))
    for sequence in expiries:
        deliver(harness, expire("a", sequence))
    assert deliver(harness, put("a", 20, Type="Customer")).stale == 1
    assert (values(harness, "customers"), values(harness, "all_items")) == ({}, {})


@pytest.mark.parametrize("batches", [1, 2], ids=["one batch", "two batches"])
def test_a_late_image_is_marked_as_of_the_change_that_counts_not_of_the_expiry(
    warehouse_url: str, tmp_path: Path, batches: int
) -> None:
    kept = replace(ORDERS, deletes=Deletes.SOFT, expired=Expired.KEEP)
    harness = shop(warehouse_url, tmp_path, kept, Target("all_items"))
    records = [put("a", 10, Type="Customer"), put("a", 30, Type="Customer"), expire("a", 40)]
    for batch in [records] if batches == 1 else [records[:2], records[2:]]:
        deliver(harness, *batch)
    deliver(harness, put("a", 20, Type="Order", v="x"))
    assert marks(harness, "orders") == {"a": ("x", second(30))}


def test_an_expiry_is_told_in_the_spelling_of_get_records_too(keeping: Harness) -> None:
    spelled = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    deliver(keeping, put("a", 1, v="x"), {**remove("a", 2), "userIdentity": spelled})
    assert set(values(keeping, "items")) == {"a"}


def test_only_the_service_expires_items(keeping: Harness) -> None:
    person = {**remove("a", 2), "userIdentity": {"type": "User", "principalId": "dynamodb.amazonaws.com"}}
    deliver(keeping, put("a", 1, v="x"), person)
    assert values(keeping, "items") == {}


@pytest.mark.parametrize(
    "target",
    [
        Target("items", deletes=Deletes.SOFT),
        Target("items", deletes=Deletes.IGNORE),
        Target("items", expired=Expired.KEEP),
    ],
    ids=["soft", "deletes ignored", "expiries kept"],
)
def test_nothing_at_or_before_the_floor_changes_or_marks_a_row_or_leaves_a_tombstone(
    warehouse_url: str, tmp_path: Path, target: Target
) -> None:
    harness = shop(warehouse_url, tmp_path, target)
    deliver(harness, *(put(key, 10, v="x") for key in "abc"))
    before = marks(harness)
    floor = f"CAST('{second(20).isoformat()}' AS {MOMENT})"
    by_hand(harness, f"UPDATE {harness.metadata}.targets SET floor_at = {floor}")
    stale = [put("a", 20, v="at"), remove("b", 20), expire("c", 19), put("d", 19, v="before"), remove("e", 20)]
    assert deliver(harness, *stale).stale == len(stale)
    assert (marks(harness), harness.tombstones()) == (before, {})
    deliver(harness, put("a", 21, v="after"), remove("e", 21))
    assert (marks(harness), set(harness.tombstones())) == (before | {"a": ("after", None)}, {("e",)})


def test_an_unusable_image_is_not_what_a_row_is_made_of(soft: Harness) -> None:
    broken = put("a", 4, v="z")
    del broken["dynamodb"]["NewImage"]
    counts = deliver(soft, put("a", 1, v="x"), put("a", 2, v="y"), remove("a", 3), broken)
    assert (counts.quarantined, counts.applied, counts.superseded) == (1, 1, 2)
    assert marks(soft) == {"a": ("y", second(3))}


@pytest.mark.parametrize("deletes", [Deletes.SOFT, Deletes.IGNORE])
def test_a_forgotten_item_does_not_come_back(warehouse_url: str, tmp_path: Path, deletes: Deletes) -> None:
    harness = shop(warehouse_url, tmp_path, Target("items", deletes=deletes))
    records = [put("a", 1, v="x"), put("a", 2, v="y"), remove("a", 3)]
    deliver(harness, *records)
    forget(harness, "a", keep_tombstone=True)
    assert deliver(harness, *records).stale == 1
    assert deliver(harness, remove("a", 5)).applied == 1
    assert deliver(harness, records[1]).stale == 1
    assert values(harness, "items") == {}


def test_a_forgotten_item_does_not_come_back_when_it_begins_anew_in_another_table(
    warehouse_url: str, tmp_path: Path
) -> None:
    """A soft target takes what is older than the rows of others, but not what was to be forgotten."""
    harness = shop(warehouse_url, tmp_path, replace(CUSTOMERS, deletes=Deletes.SOFT), ORDERS)
    forgotten = put("a", 2, Type="Customer", v="x")
    deliver(harness, forgotten)
    forget(harness, "a", keep_tombstone=True)
    deliver(harness, put("a", 6, Type="Order"))
    assert deliver(harness, forgotten).stale == 1
    deliver(harness, remove("a", 7))
    deliver(harness, forgotten)
    assert (values(harness, "customers"), values(harness, "orders")) == ({}, {})


def test_a_table_becomes_soft_and_hard_again(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, Target("items"))
    deliver(harness, put("a", 1, v="x"), put("b", 1, v="x"))
    harness.source = replace(harness.source, targets=(Target("items", deletes=Deletes.SOFT),))
    deliver(harness, remove("a", 2))
    assert marks(harness) == {"a": ("x", second(2)), "b": ("x", None)}
    harness.source = replace(harness.source, targets=(Target("items"),))
    deliver(harness, remove("b", 2), put("a", 3, v="y"))
    assert marks(harness) == {"a": ("y", None)}


def test_tombstones_of_before_count_whole_where_deletes_are_ignored_now(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, Target("items"))
    deliver(harness, remove("a", 3))
    harness.source = replace(harness.source, targets=(Target("items", deletes=Deletes.IGNORE),))
    assert deliver(harness, put("a", 2, v="late")).stale == 1
    assert values(harness, "items") == {}


@pytest.mark.parametrize("deletes", [Deletes.SOFT, Deletes.IGNORE])
def test_targets_that_take_items_by_their_key_need_not_follow_every_delete(
    warehouse_url: str, tmp_path: Path, deletes: Deletes
) -> None:
    by_key = Target("items", where=(Condition(("PK",), prefix="A#"),), deletes=deletes, has_history=True)
    harness = shop(warehouse_url, tmp_path, by_key)

    counts = deliver(harness, put("A#1", 1, v="x"), put("B#1", 2, v="y"), remove("A#1", 3), remove("B#1", 4))

    assert list(marks(harness)) == ["A#1"]
    assert (counts.applied, counts.ignored) == (1, 1)
