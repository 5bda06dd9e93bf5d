"""Soft, ignored and kept deletes beside hard ones: any delivery ends in the tables and histories the model says."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cdc_merge.model import Condition, Deletes, Expired, Ordering, Source, Target
from tests.properties.same import assert_same_item
from tests.support.decoding import vary
from tests.support.harness import Harness, fresh
from tests.support.histories import Batches, deliveries, flatten, histories
from tests.support.history_model import expected_history
from tests.support.model import expected
from tests.support.records import TTL_IDENTITY, Record

KEY = ("PK",)
ITEMS = Target("items")
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order", "Other")),))
SOFT, IGNORE, KEEP = Deletes.SOFT, Deletes.IGNORE, Expired.KEEP

SOURCES = {
    "soft and moves": (replace(CUSTOMERS, deletes=SOFT), replace(ORDERS, deletes=SOFT)),
    "ignore beside hard": (replace(CUSTOMERS, deletes=IGNORE), ORDERS),
    "all of them": (
        replace(CUSTOMERS, deletes=SOFT),
        replace(ORDERS, deletes=IGNORE),
        replace(CUSTOMERS, table="kept", expired=KEEP),
        replace(ORDERS, table="soft_kept", deletes=SOFT, expired=KEEP),
        replace(ITEMS, table="everything"),
        replace(CUSTOMERS, table="hard_customers"),
    ),
    "histories of them": (
        replace(CUSTOMERS, deletes=SOFT, has_history=True),
        replace(ORDERS, deletes=IGNORE, has_history=True),
        replace(ITEMS, expired=KEEP, has_history=True),
        replace(CUSTOMERS, table="hard_customers"),
    ),
}


@st.composite
def aging(draw: st.DrawFn, history: list[Record]) -> list[Record]:
    """The history, where time to live removed some of what was removed."""
    dice = draw(st.lists(st.booleans(), min_size=len(history), max_size=len(history)))
    return [
        {**r, "userIdentity": TTL_IDENTITY} if r["eventName"] == "REMOVE" and is_expiry else r
        for r, is_expiry in zip(history, dice, strict=True)
    ]


def check(harness: Harness, batches: Batches) -> None:
    """Deliver each batch and run a new worker on it; then compare with the model."""
    for batch in batches:
        for records in batch:
            harness.put_records(records)
        harness.run()
    model = expected(flatten(batches), harness.source)
    for table, rows in harness.tables().items():
        wanted = model.tables[table]
        assert {k: (r.position, r.changed_at, r.deleted_at) for k, r in rows.items()} == {
            k: (r.position, r.changed_at, r.deleted_at) for k, r in wanted.items()
        }, table
        for key, row in rows.items():
            assert_same_item(row.item, wanted[key].item)
    for target in harness.source.targets:
        if target.has_history:
            assert harness.history(target.table) == expected_history(flatten(batches), harness.source, target)
    assert harness.tombstones() == model.tombstones


@pytest.mark.parametrize("targets", SOURCES.values(), ids=SOURCES)
def test_every_delivery_ends_in_the_same_rows_and_marks(
    warehouse_url: str, tmp_path: Path, targets: tuple[Target, ...], examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source("shop", "", KEY, targets)
    images = st.sampled_from(["Customer", "Order", "Else"]).flatmap(
        lambda kind: st.integers(0, 9).map(lambda n: {"Type": kind, "n": n})
    )

    @settings(
        max_examples=max(1, examples // 2),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        vary(monkeypatch, data)
        keys = {"PK": st.sampled_from(["a", "b"])}
        ordering = data.draw(st.sampled_from(list(Ordering)))
        history = data.draw(histories(key=keys, ordering=ordering, image=images, max_keys=2, max_changes=10))
        batches = data.draw(deliveries(data.draw(aging(history)), lossy=data.draw(st.booleans())))
        # Also as if there were many tables, so that they are looked into one by one.
        monkeypatch.setattr("cdc_merge.merge.guarding.MOST_AT_ONCE", data.draw(st.sampled_from([0, 3])))
        harness = fresh(warehouse_url, source, tmp_path)
        note(str(harness.directory))
        try:
            check(harness, batches)
        finally:
            shutil.rmtree(harness.directory)

    run()
