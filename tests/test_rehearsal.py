"""`plan --rows`: what merging the objects that wait would do, told without a lease and without writing anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cdc_merge.cli import cli
from cdc_merge.layout import layout_of
from cdc_merge.ledger import Counts
from cdc_merge.model import BatchLimits, Condition, Deletes, Evolve, Ordering, Source, Target
from cdc_merge.planning.rehearsal import Rehearsal, Rehearser
from cdc_merge.warehouses import Statement
from tests.properties.test_convergence import TWO_TABLES, fresh
from tests.properties.test_deletes import SOURCES, aging
from tests.support.harness import Harness
from tests.support.histories import deliveries, histories
from tests.support.records import stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order",)),))
LINES = Target("lines", where=ORDERS.where, each=("Lines",))
RULES = SOURCES | {"two tables": TWO_TABLES.targets}


def put(key: str, sequence: int, **attributes: Any) -> dict[str, Any]:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def remove(key: str, sequence: int) -> dict[str, Any]:
    return stream_record({"PK": key}, None, sequence=sequence, at=T0 + timedelta(seconds=sequence))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, Source("shop", "", ("PK",), (CUSTOMERS, ORDERS, LINES)), tmp_path / "feed")


def deliver(harness: Harness, *records: dict[str, Any]) -> None:
    harness.put_records(records)
    harness.run()


def rehearse(harness: Harness) -> Rehearsal:
    with closing(harness.open()) as warehouse:
        return Rehearser(warehouse, layout_of(harness.settings, warehouse)).rehearse(harness.source)


def told(harness: Harness) -> Counts:
    """What is told, which must be what a run then does."""
    foreseen, done = rehearse(harness).counts, harness.run().counts
    assert foreseen == done
    return done


def everything(harness: Harness) -> object:
    """The warehouse to the last byte: its file; or each row of each table, with its place and transaction."""
    if harness.url.startswith("duckdb"):
        path = Path(harness.url.removeprefix("duckdb:///"))
        return path.read_bytes() if path.exists() else None
    tables = harness.query(
        "SELECT quote_ident(nspname) || '.' || quote_ident(relname), c.oid FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = relnamespace "
        "WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    )
    rows = {
        name: harness.query(f"SELECT xmin::text, xmax::text, ctid::text, t::text FROM {name} AS t")
        for name, _ in tables
    }
    return tables, rows


# --- what is told ----------------------------------------------------------------------------------------


def test_every_outcome_and_what_becomes_of_the_rows_is_told(shop: Harness) -> None:
    deliver(
        shop, put("a", 10, Type="Customer"), put("b", 10, Type="Customer"), put("c", 10, Type="Order", Lines=[1, 2])
    )
    broken = {**put("x", 20), "eventName": "UPSERT"}
    shop.put_records(
        [
            *(put("a", 20, Type="Customer", v=1), put("a", 21, Type="Order", Lines=[1]), put("b", 20, Type="Customer")),
            *(put("d", 20, Type="Customer"), put("e", 20, Type="Other"), put("c", 5, Type="Order"), remove("c", 20)),
            *(put("b", 9, Type="Customer"), broken),
        ]
    )
    shop.put_records([put("c", 4, Type="Order")])
    counts = told(shop)
    assert (counts.objects, counts.records, counts.applied) == (2, 10, 4)
    assert (counts.superseded, counts.stale, counts.ignored, counts.quarantined) == (4, 0, 1, 1)
    assert counts.targets == {
        "customers": {"inserted": 1, "updated": 1, "deleted": 1},
        "orders": {"inserted": 1, "updated": 0, "deleted": 1},
        "lines": {"inserted": 1, "updated": 0, "deleted": 1},
    }
    shop.put_records([put("c", 8, Type="Order"), put("b", 15, Type="Customer")])
    assert told(shop).stale == 2


def test_before_the_first_batch_it_is_told_too(shop: Harness) -> None:
    assert rehearse(shop) == Rehearsal(0, 0, Counts())
    shop.put_records([put("a", 1, Type="Customer"), put("a", 2, Type="Customer"), remove("b", 1)])
    assert told(shop).targets["customers"] == {"inserted": 1, "updated": 0, "deleted": 0}


def test_tables_that_are_not_yet_as_the_configuration_asks_are_judged_as_they_will_be(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"), put("b", 1, Type="Customer"))
    soft = replace(CUSTOMERS, deletes=Deletes.SOFT)
    shop.source = replace(
        shop.source, targets=(soft, ORDERS, LINES, Target("everything"), Target("all", has_history=True))
    )
    shop.put_records([put("a", 2, Type="Customer", New="x"), remove("b", 3)])
    counts = told(shop)
    assert counts.targets["customers"] == {"inserted": 0, "updated": 1, "deleted": 1}
    assert counts.targets["everything"] == {"inserted": 1, "updated": 0, "deleted": 0}


def test_a_batch_without_a_usable_record_is_told(shop: Harness) -> None:
    shop.put(b"\x1f\x8b nonsense")
    assert told(shop).quarantined == 1


@pytest.mark.parametrize("rules", RULES)
def test_what_is_told_is_what_a_run_then_does(warehouse_url: str, tmp_path: Path, rules: str, examples: int) -> None:
    @settings(
        max_examples=max(1, examples // 4),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        keys = {"PK": st.sampled_from(["a", "b", "c"])}
        ordering = data.draw(st.sampled_from(list(Ordering)))
        images = st.sampled_from([{"Type": kind} for kind in ("Customer", "Order", "Else")])
        history = data.draw(histories(key=keys, ordering=ordering, image=images, max_keys=3, max_changes=12))
        batches = data.draw(deliveries(data.draw(aging(history))))
        note(f"delivered: {batches}")
        harness = fresh(warehouse_url, Source("shop", "", ("PK",), RULES[rules]), tmp_path)
        for batch in batches:
            for records in batch:
                harness.put_records(records)
            told(harness)

    run()


# --- how much of what waits ------------------------------------------------------------------------------


def test_no_more_than_a_batch_is_read(shop: Harness) -> None:
    shop.source = replace(shop.source, batch=BatchLimits(objects=2))
    for number in range(5):
        shop.put_records([put(f"k{number}", number, Type="Customer")])
    rehearsal = rehearse(shop)
    assert (rehearsal.objects, rehearsal.counts and rehearsal.counts.records) == (2, 2)
    assert shop.run().counts.records == 5
    assert rehearse(shop).objects == 0


def test_what_would_stop_the_source_is_told(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"))
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, evolve=Evolve.FAIL), ORDERS, LINES))
    shop.put_records([put("a", 2, Type="Customer", New="x")])
    rehearsal = rehearse(shop)
    assert (rehearsal.objects, rehearsal.counts) == (1, None)
    assert "New" in (rehearsal.trouble or "")
    assert rehearsal.cure


def test_where_the_metadata_tables_are_of_another_version_it_cannot_be_told(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"))
    with closing(shop.open()) as warehouse, warehouse.session() as session:
        session.run([Statement("by hand", "DELETE FROM cdc_merge.migrations WHERE version > 4")])
    rehearsal = rehearse(shop)
    assert (rehearsal.objects, rehearsal.counts, rehearsal.cure) == (0, None, "cdc-merge migrate")


# --- nothing is written ----------------------------------------------------------------------------------


def test_nothing_is_written_and_no_lease_is_needed(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"), put("b", 1, Type="Customer"), put("c", 1, Type="Other"))
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, deletes=Deletes.SOFT), ORDERS, LINES, Target("new")))
    shop.put_records([put("a", 2, Type="Order", New="x"), remove("b", 2), {"not": "a record"}])
    with closing(shop.worker()) as worker:
        worker.prepare()
        assert worker.sources[0].hold_lease()
        before = everything(shop)
        assert rehearse(shop).counts
        assert everything(shop) == before


def test_nothing_is_made_where_there_is_nothing_yet(shop: Harness, plan: Callable[..., Result]) -> None:
    shop.put_records([put("a", 1, Type="Customer")])
    before = everything(shop)
    assert "1 inserted" in plan("--rows").output
    assert everything(shop) == before


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def plan(shop: Harness, tmp_path: Path) -> Callable[..., Result]:
    config = tmp_path / "cdc-merge.yaml"
    config.write_text(
        f"""
warehouse: {shop.url}
schema: analytics
sources:
  - name: shop
    changes: file://{tmp_path}/feed
    key: [PK]
    batch: {{objects: 2}}
    targets:
      - table: customers
        where: {{Type: Customer}}
"""
    )

    def run(*words: str) -> Result:
        result = CliRunner().invoke(cli, ["plan", *words, "--config", str(config)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    return run


def test_the_command_says_what_part_of_what_waits_it_has_read(shop: Harness, plan: Callable[..., Result]) -> None:
    shop.put_records([put("a", 1, Type="Customer")])
    shop.put_records([put("a", 2, Type="Customer"), put("b", 2, Type="Other")])
    text = plan("--rows").output
    assert "-- they hold 3 records: 1 applied, 1 superseded, 0 stale, 1 ignored, 0 quarantined" in text
    assert "--   customers: 1 inserted, 0 updated, 0 deleted" in text
    shop.put_records([put("c", 3, Type="Customer")])
    assert "-- the first 2 of them (" in plan("--rows").output
    assert "records" not in plan().output


def test_the_command_gives_numbers_as_json(shop: Harness, plan: Callable[..., Result]) -> None:
    shop.put_records([put("a", 1, Type="Customer"), put("b", 2, Type="Other")])
    (source,) = json.loads(plan("--rows", "--format", "json").output)["sources"]
    size = source["waiting"]["bytes"]
    assert source["rows"] == {
        "objects": 1,
        "bytes": size,
        "trouble": None,
        "cure": None,
        "records": 2,
        "applied": 1,
        "superseded": 0,
        "stale": 0,
        "ignored": 1,
        "quarantined": 0,
        "targets": {"customers": {"inserted": 1, "updated": 0, "deleted": 0}},
    }
    (source,) = json.loads(plan("--format", "json").output)["sources"]
    assert source["rows"] is None


def test_where_there_is_trouble_the_command_says_so(shop: Harness, plan: Callable[..., Result]) -> None:
    shop.put_records([stream_record({"PK": "a"}, {"v": 1}, sequence=1, at=T0, view="KEYS_ONLY")])
    assert "-- they cannot be merged:" in plan("--rows").output
