"""`forget`: one item is erased from all that is kept of it, and the objects that still hold it are named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import Transient, WarehouseUnavailable
from cdc_merge.explain import explain
from cdc_merge.forget import Forgetter
from cdc_merge.items.fates import Became
from cdc_merge.layout import layout_of
from cdc_merge.lease import LEASE_SECONDS, Leases
from cdc_merge.model import Column, ColumnType, Condition, Kind, Source, Target
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.warehouses import open_warehouse
from cdc_merge.warehouses.duckdb import DuckDBSession
from tests.support.commands import Command, command_of
from tests.support.exports import write_export
from tests.support.forgetting import all_that_is_kept, forget
from tests.support.harness import Harness
from tests.support.merging import deliver, put, remove
from tests.support.records import encode, frame, stream_record, to_item

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order",)),))
SECRET = "alice@example.com"


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, Source("shop", "", ("PK",), (CUSTOMERS, ORDERS)), tmp_path / "feed")


@pytest.fixture
def local(tmp_path: Path) -> Harness:
    """On DuckDB only, for what is the same on every engine."""
    source = Source("shop", "", ("PK",), (CUSTOMERS, ORDERS))
    return Harness(f"duckdb:///{tmp_path}/warehouse.duckdb", source, tmp_path / "feed")


def test_nothing_of_the_item_is_left_anywhere(shop: Harness, tmp_path: Path) -> None:
    deliver(shop, put(SECRET, 1, Type="Customer", Name="x"), put("b", 1, Type="Customer", Name="x"))
    export = write_export(
        tmp_path / "exports",
        [to_item({"PK": key, "Type": "Customer", "Name": "y"}) for key in (SECRET, "b")],
        as_of=T0 + timedelta(hours=1),
        key=("PK",),
    )
    reconciler = Reconciler(shop.settings)
    reconciler.reconcile("shop", str(export), force=True)
    reconciler.close()
    broken = put(SECRET, 9003, Type="Customer")
    del broken["dynamodb"]["NewImage"]
    shop.put(frame([broken, encode(put(SECRET, 9001, Type="Customer"))[:-40], put(SECRET, 9002, Type="Order", Bad=1)]))
    shop.run()
    assert all_that_is_kept(shop).count(SECRET) > 4
    forgotten = forget(shop, SECRET)
    assert (forgotten.rows, len(forgotten.quarantined), forgotten.samples) == ({"orders": 1}, 2, 1)
    kept = all_that_is_kept(shop)
    assert SECRET not in kept
    assert "{b}" in kept or '"b"' in kept  # the other item's sample
    assert set(shop.tables()["customers"]) == {("b",)}


def test_a_tombstone_goes_too(shop: Harness) -> None:
    deliver(shop, put(SECRET, 1, Type="Customer"))
    deliver(shop, remove(SECRET, 2))
    assert forget(shop, SECRET).tombstone
    assert SECRET not in all_that_is_kept(shop)


def test_the_table_of_a_target_that_was_taken_out_is_searched_too(shop: Harness) -> None:
    deliver(shop, put(SECRET, 1, Type="Customer"), put("b", 2, Type="Order"))
    shop.source = replace(shop.source, targets=(ORDERS,))
    assert forget(shop, SECRET).rows == {"customers": 1}
    assert SECRET not in all_that_is_kept(shop)


def test_the_rows_of_an_items_elements_go_all(shop: Harness) -> None:
    shop.source = replace(shop.source, targets=(ORDERS, Target("lines", each=("Items",))))
    deliver(shop, put(SECRET, 1, Type="Order", Items=[{"Sku": "x"}, {"Sku": "y"}]), put("b", 1, Items=[{"Sku": "x"}]))
    assert forget(shop, SECRET).rows == {"orders": 1, "lines": 2}
    assert SECRET not in all_that_is_kept(shop)


def test_rows_that_were_copied_by_hand_go_all(local: Harness) -> None:
    deliver(local, put(SECRET, 1, Type="Customer"))
    warehouse = local.open()
    with warehouse.session() as session:
        session.run([_statement("INSERT INTO analytics.customers SELECT * FROM analytics.customers")])
    assert forget(local, SECRET).rows == {"customers": 2}


def _statement(sql: str) -> Any:
    from cdc_merge.warehouses import Statement

    return Statement("test", sql)


def test_the_objects_that_still_hold_it_are_named_with_record_and_byte(local: Harness) -> None:
    first = frame([put("b", 1, Type="Customer"), put(SECRET, 1, Type="Customer")])
    key = local.put(first)
    local.run()
    waiting = local.put_records([put(SECRET, 2, Type="Customer")])
    error = local.put(b'{"rawData": ""}', "2026/01/01/00/processing-failed/x")
    forgotten = forget(local, SECRET)
    assert [(h.object_key, h.record, h.offset, h.is_merged) for h in forgotten.held] == [
        (key, 2, first.index(b"\n") + 1, True),
        (waiting, 1, 0, False),
    ]
    assert error not in {h.object_key for h in forgotten.held}
    assert any("the next merge brings the item back" in hint for hint in forgotten.hints)


def test_a_tombstone_can_be_kept_where_a_where_names_the_key(local: Harness) -> None:
    prefixed = Target("customers", where=(Condition(("PK",), prefix=SECRET[:2]),))
    local.source = replace(local.source, targets=(prefixed,))
    deliver(local, put(SECRET, 1))
    forget(local, SECRET, keep_tombstone=True)
    deliver(local, put(SECRET, 1))
    assert local.tables()["customers"] == {}


def test_what_firehose_could_not_deliver_is_searched_too(local: Harness) -> None:
    from base64 import b64encode

    deliver(local, put("b", 1, Type="Customer"))
    record = encode({"rawData": b64encode(encode(put(SECRET, 1))).decode()})
    key = local.put(record, "2026/01/01/00/processing-failed/x")
    assert [h.object_key for h in forget(local, SECRET).held] == [key]


def test_a_tombstone_that_is_kept_stops_all_that_was_known_and_nothing_newer(shop: Harness) -> None:
    deliver(shop, put(SECRET, 1, Type="Customer"))
    shop.put_records([put(SECRET, 2, Type="Customer")])  # waits
    forgotten = forget(shop, SECRET, keep_tombstone=True)
    assert shop.tombstones() == {(SECRET,): forgotten.kept_position}
    assert shop.run().counts.stale == 1
    deliver(shop, put(SECRET, 1, Type="Customer"), put(SECRET, 2, Type="Customer"))
    assert shop.tables()["customers"] == {}
    explanation = explain(shop.settings, "shop", [SECRET])
    assert {f.why for f in explanation.fates if f.became is Became.STALE} == {
        "the item was forgotten with a tombstone kept"
    }
    deliver(shop, put(SECRET, 3, Type="Customer"))
    assert set(shop.tables()["customers"]) == {(SECRET,)}


def test_without_a_tombstone_a_late_change_brings_it_back(local: Harness) -> None:
    deliver(local, put(SECRET, 1, Type="Customer"))
    forget(local, SECRET)
    deliver(local, put(SECRET, 1, Type="Customer"))
    assert set(local.tables()["customers"]) == {(SECRET,)}


def test_a_worker_that_holds_the_source_is_held_back_not_stopped(shop: Harness) -> None:
    deliver(shop, put(SECRET, 1, Type="Customer"))
    warehouse = open_warehouse(shop.url)
    leases = Leases(
        layout_of(shop.settings, warehouse).metadata, warehouse.dialect, ttl=LEASE_SECONDS, holder="elsewhere:1"
    )
    with warehouse.session() as session:
        lease = leases.acquire(session, "shop")
    assert lease
    assert forget(shop, SECRET).rows == {"customers": 1}
    with warehouse.session() as session:
        assert leases.renew(session, lease)
    warehouse.close()


def test_a_warehouse_that_stays_busy_leaves_everything_as_it_was(
    local: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(local, put(SECRET, 1, Type="Customer"))
    forgetter = Forgetter(local.settings, "shop", (SECRET,), sleep=lambda _seconds: None)
    holdings = forgetter.look()

    def lost(*_arguments: object) -> None:
        raise Transient("busy")

    monkeypatch.setattr(Leases, "acquire", lost)
    with pytest.raises(Transient):
        forgetter.erase(holdings)
    assert set(local.tables()["customers"]) == {(SECRET,)}


def test_a_commit_in_doubt_is_told_as_what_it_was(local: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(local, put(SECRET, 1, Type="Customer"))
    run, lost = DuckDBSession.run, []

    def run_and_lose(session: DuckDBSession, statements: Any) -> list[int]:
        seen: list[str] = []

        def noting() -> Any:
            for statement in statements:
                seen.append(statement.label)
                yield statement

        touched = run(session, noting())
        if "forget rows of customers" in seen and not lost:
            lost.append(True)
            raise WarehouseUnavailable("the connection broke at COMMIT")
        return touched

    monkeypatch.setattr(DuckDBSession, "run", run_and_lose)
    assert forget(local, SECRET).rows == {"customers": 1}
    assert lost and local.tables()["customers"] == {}


def test_what_may_be_another_items_is_left_and_named(local: Harness) -> None:
    local.source = replace(local.source, key=("PK", "SK"))
    keys = {"PK": SECRET, "SK": "1"}
    whole = encode(stream_record(keys, {**keys, "Type": "Customer"}, sequence=1, at=T0))
    local.put(frame([whole, whole[: whole.index(b'"SK"')]]))
    local.run()
    forgotten = forget(local, SECRET, "1")
    assert (forgotten.quarantined, len(forgotten.doubtful)) == ((), 1)
    assert [h.is_doubtful for h in forgotten.held] == [False, True]


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def command(local: Harness) -> Command:
    return command_of(local, "table: customers, where: {Type: Customer}", "table: orders, where: {Type: Order}")


def test_without_a_terminal_yes_is_required(local: Harness, command: Command) -> None:
    deliver(local, put(SECRET, 1, Type="Customer"))
    assert "--yes" in command("forget", "shop", SECRET, exits=2).output
    assert "--yes" not in command("forget", "shop", SECRET, "more", exits=2).output  # what is wrong comes first
    assert "--yes" not in command("forget", "other", SECRET, exits=2).output
    assert set(local.tables()["customers"]) == {(SECRET,)}


def test_on_a_terminal_it_asks_first(local: Harness, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(local, put(SECRET, 1, Type="Customer"))
    monkeypatch.setattr("cdc_merge.cli.items.is_terminal", lambda: True)
    assert "customers: 1 row" in command("forget", "shop", SECRET, input="n\n", exits=1).output
    assert set(local.tables()["customers"]) == {(SECRET,)}
    assert "customers: 1 row erased" in command("forget", "shop", SECRET, input="y\n").output
    assert local.tables()["customers"] == {}


def test_samples_are_named_by_the_table_they_are_in(local: Harness, command: Command) -> None:
    columns = (Column("age", ("Age",), ColumnType(Kind.INTEGER)),)
    local.source = replace(local.source, targets=(Target("customers", columns=columns),))
    deliver(local, put(SECRET, 1, Type="Customer", Age="old"))
    said = command("forget", "shop", SECRET, "--yes").output
    assert "misfits: 1 sample erased\n" in said
    assert "reconciliations" not in said


def test_the_exit_code_says_whether_anything_was_found(local: Harness, command: Command) -> None:
    key = local.put_records([put(SECRET, 1, Type="Customer"), put("b", 1, Type="Customer")])
    local.run()
    document = command.json("forget", "shop", SECRET, "--yes")
    assert document["erased"]["rows"] == {"customers": 1}
    assert [h["object"] for h in document["held"]] == [key]
    again = command("forget", "shop", SECRET, "--yes", "-q").output  # the object still holds it
    assert again.startswith("nothing of it was in the warehouse\nthese objects still hold it")
    command("forget", "shop", "nobody", "--yes", exits=1)
