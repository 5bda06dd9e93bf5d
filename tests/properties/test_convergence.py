"""Whatever the order, duplication, grouping and restarts: the tables end as the model says, on every engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cdc_merge.model import Column, Condition, Evolve, Ordering, Source, Target
from tests.properties.same import assert_same_item
from tests.support.decoding import vary
from tests.support.harness import Harness, fresh
from tests.support.histories import Batches, deliveries, flatten, histories
from tests.support.model import expected

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target(
    "orders",
    where=(Condition(("Type",), any_of=("Order", "Other")),),
    columns=(Column("first", ("a",)), Column("type", ("Type",))),
    evolve=Evolve.FREEZE,
)
EVERYTHING = Target("items")
KEY = ("PK", "SK")
ONE_TABLE = Source("shop", "", KEY, (EVERYTHING,))
TWO_TABLES = Source("shop", "", KEY, (CUSTOMERS, ORDERS))


def check(harness: Harness, batches: Batches) -> None:
    """Deliver each batch and run a new worker on it; then compare with the model."""
    counted = 0
    for batch in batches:
        for records in batch:
            harness.put_records(records)
        counted += harness.run().counts.records
    delivered = flatten(batches)
    assert counted == len(delivered)
    model = expected(delivered, harness.source)
    for table, rows in harness.tables().items():
        wanted = model.tables[table]
        assert {k: (r.position, r.changed_at) for k, r in rows.items()} == {
            k: (r.position, r.changed_at) for k, r in wanted.items()
        }, table
        for key, row in rows.items():
            assert_same_item(row.item, wanted[key].item)
    assert harness.tombstones() == model.tombstones
    assert harness.run().counts.records == 0


@pytest.mark.parametrize("ordering", list(Ordering))
@pytest.mark.parametrize("source", [ONE_TABLE, TWO_TABLES], ids=["one table", "two tables"])
def test_every_delivery_of_a_history_ends_in_the_same_tables(
    warehouse_url: str,
    tmp_path: Path,
    source: Source,
    ordering: Ordering,
    examples: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each case runs real workers, so a failing case is shown as it was found rather than shrunk for minutes.
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        history = data.draw(histories(ordering=ordering))
        batches = data.draw(deliveries(history, lossy=data.draw(st.booleans())))
        vary(monkeypatch, data)
        # Also as if there were many tables, so that they are looked into one by one.
        monkeypatch.setattr("cdc_merge.merge.guarding.MOST_AT_ONCE", data.draw(st.sampled_from([0, 3])))
        harness = fresh(warehouse_url, source, tmp_path)
        note(str(harness.directory))
        try:
            check(harness, batches)
        finally:
            shutil.rmtree(harness.directory)

    run()
