"""Whatever the order, duplication, grouping and restarts: a history ends as the model says, on every engine."""

from __future__ import annotations

import shutil
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Ordering, Source, Target
from cdc_merge.warehouses import open_warehouse
from tests.properties.same import assert_same_item
from tests.support.decoding import vary
from tests.support.harness import Harness, fresh
from tests.support.histories import BINARY_KEYS, NUMBER_KEYS, Batches, deliveries, flatten, histories
from tests.support.history_model import expected_history
from tests.support.model import expected

CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),), has_history=True)
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order", "Other")),))
EVERYTHING = Target(
    "items",
    columns=(Column("first", ("a",)), Column("type", ("Type",), ColumnType(Kind.TEXT))),
    evolve=Evolve.FREEZE,
    has_history=True,
)
KEY = ("PK", "SK")
ONE_TABLE = Source("shop", "", KEY, (EVERYTHING,))
TWO_TABLES = Source("shop", "", KEY, (CUSTOMERS, ORDERS, EVERYTHING))


class CutHere(Exception):
    """Raised in mid-transaction."""


def crash(harness: Harness, dice: Random) -> None:
    """Run a worker that dies after a random statement of its merge."""
    left = dice.randrange(40)

    def observe(_label: str, _seconds: float) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise CutHere

    with closing(open_warehouse(harness.url, observer=observe)) as warehouse, suppress(CutHere):
        harness.run(warehouse=warehouse)


def deliver(harness: Harness, batches: Batches, dice: Random) -> None:
    for batch in batches:
        for records in batch:
            harness.put_records(records)
        if dice.random() < 0.3:
            crash(harness, dice)
        harness.run()


def check(harness: Harness, batches: Batches) -> None:
    """Compare histories, tables and tombstones with the models."""
    delivered = flatten(batches)
    model = expected(delivered, harness.source)
    tables = harness.tables()
    for target in harness.source.targets:
        wanted_rows = model.tables[target.table]
        assert {k: r.position for k, r in tables[target.table].items()} == {
            k: r.position for k, r in wanted_rows.items()
        }
        if not target.has_history:
            continue
        found, wanted = harness.history(target.table), expected_history(delivered, harness.source, target)
        assert [(v.key, v.position, v.valid_from, v.valid_to, v.item is None) for v in found] == [
            (v.key, v.position, v.valid_from, v.valid_to, v.item is None) for v in wanted
        ], target.table
        for version, right in zip(found, wanted, strict=True):
            if version.item is not None and right.item is not None:
                assert_same_item(version.item, right.item)
    assert harness.tombstones() == model.tombstones


@pytest.mark.parametrize("ordering", list(Ordering))
@pytest.mark.parametrize("source", [ONE_TABLE, TWO_TABLES], ids=["one table", "some tables"])
def test_every_delivery_of_changes_ends_in_the_same_history(
    warehouse_url: str,
    tmp_path: Path,
    source: Source,
    ordering: Ordering,
    examples: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        vary(monkeypatch, data)
        records = data.draw(histories(ordering=ordering))
        batches = data.draw(deliveries(records, lossy=data.draw(st.booleans())))
        harness = fresh(warehouse_url, source, tmp_path)
        note(str(harness.directory))
        dice = Random(data.draw(st.integers(0, 999)))
        try:
            deliver(harness, batches, dice)
            check(harness, batches)
            if dice.random() < 0.3:
                harness.put_records(flatten(batches))
            harness.run()
            check(harness, batches)
        finally:
            shutil.rmtree(harness.directory)

    run()


@pytest.mark.parametrize("keys", [NUMBER_KEYS, BINARY_KEYS], ids=["numbers", "binary"])
def test_keys_of_every_type_have_a_history(
    warehouse_url: str, tmp_path: Path, keys: st.SearchStrategy[object], examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @settings(
        max_examples=max(1, examples // 3),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        vary(monkeypatch, data)
        records = data.draw(histories(key={"PK": keys}))
        batches = data.draw(deliveries(records))
        harness = fresh(warehouse_url, replace(ONE_TABLE, key=("PK",)), tmp_path)
        try:
            deliver(harness, batches, Random(1))
            check(harness, batches)
        finally:
            shutil.rmtree(harness.directory)

    run()
