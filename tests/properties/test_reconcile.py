"""Merges and reconciles of random stories, told to a real warehouse and to the model, end the same on every engine."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cdc_merge import Reconciler
from cdc_merge.model import (
    BatchLimits,
    Column,
    Condition,
    Deletes,
    Evolve,
    Expired,
    Ordering,
    ReconcilePolicy,
    Source,
    Target,
)
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.histories import NASTY
from tests.support.reconcile_model import (
    MARGIN,
    START,
    Deliver,
    ModelWarehouse,
    Reconcile,
    Story,
    random_story,
)
from tests.support.records import stream_record, to_item
from tests.support.telling import Both, Model, by_new_workers, by_one_worker, tell
from tests.support.told import Told

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target(
    "orders",
    where=(Condition(("Type",), any_of=("Order", "Return")),),
    columns=(Column("full_name", ("Name",)), Column("type", ("Type",))),
    evolve=Evolve.FREEZE,
)
ITEMS = Target("items")
SOFT = replace(CUSTOMERS, deletes=Deletes.SOFT)
IGNORING = replace(CUSTOMERS, deletes=Deletes.IGNORE)
LINES = Target("lines", where=ORDERS.where, each=("Lines",), columns=(Column("sku", ("Sku",)),), evolve=Evolve.FREEZE)
ALL = (
    replace(SOFT, has_history=True),
    replace(ORDERS, deletes=Deletes.IGNORE, has_history=True),
    replace(CUSTOMERS, table="kept", expired=Expired.KEEP, has_history=True),
    replace(ORDERS, table="soft_kept", deletes=Deletes.SOFT, expired=Expired.KEEP),
    replace(ITEMS, table="everything"),
    LINES,
)
POLICY = ReconcilePolicy(margin=MARGIN.total_seconds(), max_delete=1.0)
ONE_TABLE = Source("shop", "", ("PK", "SK"), (ITEMS,), reconcile=POLICY, batch=BatchLimits(objects=1))
BY_TYPE = replace(ONE_TABLE, targets=(CUSTOMERS, ORDERS))

# Of each attribute values of one type and of another, but none that are spelled alike in a column of text. NULLs have
# a test of their own below.
VALUES: dict[str, tuple[Any, ...]] = {
    "Name": ("", "x", "a'b", "ä🛒", ["x"]),
    "Total": (
        Decimal("1"),
        Decimal("-12.5"),
        Decimal("12345678901234567890123456789012345678"),
        {"x": "y"},
    ),
    "Email address": ("", "a@example.com"),
    "Tags": (frozenset({"b", "a", "ä"}), frozenset({"b"}), True),
    "Sizes": (frozenset({Decimal("2"), Decimal("10"), Decimal("0.5")}), frozenset({b"b", b"a"})),
    "Deep": ({"a": None, "b": [1, {"c": Decimal("0.1")}]}, {"b": []}, [], [frozenset({"x", "y"})]),
    "Raw": (b"", b"\xff"),
}

_numbers = itertools.count()


def image(random: Random) -> dict[str, Any]:
    kind = {"Type": random.choice(("Customer", "Order", "Return", "Nobody's"))}
    return kind | {name: random.choice(values) for name, values in VALUES.items() if random.random() < 0.4}


def keys(random: Random, count: int = 3) -> list[dict[str, Any]]:
    return [{"PK": p, "SK": random.choice(NASTY)} for p in random.sample(NASTY, count)]


def plain_image(random: Random) -> dict[str, Any]:
    """Of few values, so that items often are what they were; the list of lines may be short, empty or not there."""
    found: dict[str, Any] = {"Type": random.choice(("Customer", "Customer", "Order", "Return", "Nobody's"))}
    if random.random() < 0.5:
        found["Name"] = random.choice(("x", "y"))
    if random.random() < 0.7:
        found["Lines"] = [{"Sku": random.choice("abc")} for _ in range(random.randint(0, 3))]
    return found


def told(random: Random, ordering: Ordering) -> Story:
    """Few changes of any value, each on its own."""
    return random_story(random, keys=keys(random), image=image, ordering=ordering, max_reconciles=2)


def crowded(random: Random, ordering: Ordering) -> Story:
    """Many changes of simple items, in few batches: what such a case takes is the runs, not the rows."""
    return random_story(
        random,
        keys=keys(random, 9),
        image=plain_image,
        ordering=ordering,
        min_changes=25,
        max_changes=40,
        max_reconciles=2,
        together=0.9,
        expiring=0.4,
    )


def of(*targets: Target) -> Source:
    return replace(ONE_TABLE, targets=targets)


@dataclass(frozen=True)
class Case:
    source: Source
    model: Callable[[Source], Model] = Told
    story: Callable[[Random, Ordering], Story] = crowded


CASES = {
    "one table": Case(ONE_TABLE, ModelWarehouse, told),
    "by type": Case(BY_TYPE, ModelWarehouse, told),
    "soft and moves": Case(of(SOFT, replace(ORDERS, deletes=Deletes.SOFT))),
    "ignore beside hard": Case(of(IGNORING, ORDERS)),
    "elements and histories": Case(of(replace(CUSTOMERS, has_history=True), LINES, replace(ITEMS, has_history=True))),
    "all of them": Case(of(*ALL)),
}


@pytest.mark.parametrize("what", CASES)
def test_merges_and_reconciles_of_a_story_end_as_the_model_says(
    warehouse_url: str, tmp_path: Path, what: str, examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[what]
    for seed in range(max(1, examples // 12)):
        random = Random(f"{what} {seed}")
        # Also as if there were millions of rows, so that they are compared and filled in part by part.
        monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_AT_ONCE", (1, 2_000_000, 3)[seed % 3])
        monkeypatch.setattr("cdc_merge.reconcile.by_hash.ROWS_OF_BUCKET", (1, 0.1)[seed % 2])
        ordering = random.choice(list(Ordering))
        merging = random.choice((by_new_workers, by_one_worker))
        story = case.story(random, ordering)
        number = next(_numbers)
        feed = tmp_path / f"feed{number}"
        harness = Harness(warehouse_url, case.source, feed, schema=f"s{number}", metadata=f"m{number}")
        try:
            tell(Both(harness, case.model(case.source), tmp_path / "exports", random), story, merging)
        except Exception as error:
            error.add_note(f"seed {seed}, schema {harness.schema}, objects in {feed}")
            raise
        shutil.rmtree(feed)


def test_every_line_of_the_verdict_table(warehouse_url: str, tmp_path: Path) -> None:
    """Also: what is newer in one target, or deleted, is not brought back in another."""
    old, new = START, START + timedelta(hours=1)
    changes: list[tuple[str, datetime, dict[str, Any] | None]] = [
        ("equal", old, {"Type": "Customer", "Total": 1}),
        ("different", old, {"Type": "Customer", "Total": 1}),
        ("extra", old, {"Type": "Customer"}),
        ("newer row", new, {"Type": "Customer", "Total": 2}),
        ("newer elsewhere", new, {"Type": "Order"}),
        ("newer, nobody's", new, {"Type": "Nobody's"}),
        ("newer delete", new, None),
        ("old delete", old, None),
    ]
    records = [
        stream_record({"PK": key, "SK": "-"}, image, sequence=number, at=at)
        for number, (key, at, image) in enumerate(changes)
    ]
    exported: dict[str, dict[str, Any]] = {
        "equal": {"Total": Decimal("1.0")},
        "different": {"Total": 2},
        "missing": {},
        "newer row": {"Total": 1},
        "newer elsewhere": {},
        "newer, nobody's": {},
        "newer delete": {},
        "old delete": {},
    }
    items = [to_item({"PK": key, "SK": "-", "Type": "Customer", **rest}) for key, rest in exported.items()]
    both = Both(Harness(warehouse_url, BY_TYPE, tmp_path / "feed"), ModelWarehouse(BY_TYPE), tmp_path, Random(0))
    with by_one_worker(both.harness, [Deliver(tuple(records))]) as merge:
        merge()
        both.model.merge(records)
        both.compare()
        both.reconcile(Reconcile(new, tuple(items)))
    assert set(both.harness.tables()["customers"]) == {
        (key, "-") for key in ("equal", "different", "missing", "newer row", "old delete")
    }
    assert set(both.harness.tombstones()) == {("newer, nobody's", "-"), ("newer delete", "-")}


def test_a_null_that_came_before_its_column_is_no_drift(warehouse_url: str, tmp_path: Path) -> None:
    harness = Harness(warehouse_url, ONE_TABLE, tmp_path / "feed")
    items: list[dict[str, Any]] = [
        {"PK": "first", "SK": "", "Name": None},
        {"PK": "second", "SK": "", "Name": "x"},
    ]
    for number, item in enumerate(items):
        harness.put_records([stream_record({"PK": item["PK"], "SK": ""}, item, sequence=number, at=START)])
        harness.run()
    export = write_export(tmp_path / "exports", map(to_item, items), as_of=START + 2 * MARGIN)
    with Reconciler(harness.settings) as reconciler:
        report = reconciler.reconcile("shop", str(export))
    assert report.targets["items"].equal == 2
