"""A rebuild on Snowflake, where tables change places after the transaction: cut anywhere, the next one goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cdc_merge import Reconciler
from cdc_merge.errors import Refused, SchemaConflict, WarehouseRefused, WarehouseUnavailable
from cdc_merge.model import Column, ReconcilePolicy
from cdc_merge.warehouses import open_warehouse
from tests.properties.story import contents
from tests.support.faults import Faults, FaultyWarehouse
from tests.support.forgetting import forget
from tests.support.harness import Harness
from tests.support.rebuilding import (  # noqa: F401
    AFTER,
    EXPORTED,
    METADATA,
    Export,
    change,
    columns,
    counts,
    execute,
    export_by_key,
    image,
    merged,
    rebuild,
    rows,
    wants,
)
from tests.support.reconciling import reconcile
from tests.test_plan import plan

FOUND = [("a", "n1", "c1"), ("b", "n2", "c2"), ("newer", "n4", "c4")]
STEPS = ["take over orders", "comment on orders", "exchange orders", "drop old orders", "record exchange of orders"]
STEPS_EACH_TIME = [s if s == "exchange orders" else pytest.param(s, marks=pytest.mark.long) for s in STEPS]
HANGING = ("COMMENT ON TABLE {t} IS 'all ''orders'''", "COMMENT ON COLUMN {t}.name IS 'who'")


class CutHere(Exception):
    """The process ends here."""


@pytest.fixture
def shop(snowflake_url: str, tmp_path: Path) -> Harness:
    return merged(snowflake_url, tmp_path)


def cut_after(label: str, at: int = 1) -> Callable[[str, float], None]:
    """Ends the process when a statement has run for the `at`th time."""
    seen: list[str] = []

    def cut(done: str, _seconds: float) -> None:
        seen.append(done)
        if seen.count(label) == at and done == label:
            raise CutHere

    return cut


def cut_short(harness: Harness, folder: str, step: str) -> None:
    with closing(open_warehouse(harness.url, observer=cut_after(step))) as warehouse, pytest.raises(CutHere):
        rebuild(harness, folder, warehouse=warehouse)


def tables(harness: Harness) -> list[str]:
    found = harness.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ANALYTICS' ORDER BY 1"
    )
    return [name for (name,) in found]


def comments(harness: Harness) -> dict[str | None, str]:
    of_table = "SELECT NULL, comment FROM information_schema.tables WHERE table_name = 'ORDERS'"
    of_columns = "SELECT column_name, comment FROM information_schema.columns WHERE table_name = 'ORDERS'"
    return {column: text for column, text in harness.query(f"{of_table} UNION ALL {of_columns}") if text}


# --- what the new table is given -------------------------------------------------------------------------------------


def test_privileges_comments_and_clustering_are_kept(shop: Harness, export: Export) -> None:
    execute(
        shop,
        *HANGING,
        "COMMENT ON COLUMN {t}.note IS 'gone'",
        "GRANT SELECT ON TABLE {t} TO ROLE analyst",
        "ALTER TABLE {t} CLUSTER BY (pk)",
    )

    report = rebuild(wants(shop, AFTER), export(EXPORTED))

    assert counts(report) == (2, 0, 1, 0, 2)
    assert shop.query("SHOW GRANTS ON TABLE analytics.orders") == [
        ("OWNERSHIP", "TABLE", "LOADER"),
        ("SELECT", "TABLE", "ANALYST"),
    ]
    kept = comments(shop)
    assert kept.pop("_CDC_POSITION").startswith("cdc-merge rebuild ")
    assert kept == {None: "all 'orders'", "FULL_NAME": "who"}
    clustered = "SELECT clustering_key FROM information_schema.tables WHERE table_name = 'ORDERS'"
    assert shop.query(clustered) == [("LINEAR(PK)",)]
    assert tables(shop) == ["ORDERS"]


@pytest.mark.long
def test_a_clustering_key_of_a_column_that_goes_is_not_kept(shop: Harness, export: Export) -> None:
    execute(shop, "ALTER TABLE {t} CLUSTER BY (note)")
    rebuild(wants(shop, AFTER), export(EXPORTED))
    clustered = "SELECT clustering_key FROM information_schema.tables WHERE table_name = 'ORDERS'"
    assert shop.query(clustered) == [(None,)]


@pytest.mark.long
def test_a_view_that_needs_a_column_that_goes_is_told(shop: Harness, export: Export) -> None:
    execute(shop, "CREATE VIEW {s}.notes AS SELECT pk, note FROM {t}", "CREATE VIEW {s}.ids AS SELECT pk FROM {t}")

    report = rebuild(wants(shop, AFTER), export(EXPORTED))

    assert any("view NOTES" in note and "note" in note for note in report.notes)
    assert not any("view IDS" in note for note in report.notes)
    assert shop.query("SELECT pk FROM analytics.ids ORDER BY 1") == [("a",), ("b",), ("newer",)]


# --- cut anywhere ----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_rebuild_cut_after_each_statement_of_its_transaction_leaves_the_old_table_and_books(
    shop: Harness, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.patience.TRIES", 100)
    monkeypatch.setattr("cdc_merge.patience.LONGEST_WAIT_SECONDS", 0.0)
    before, after = contents(shop), wants(shop, AFTER)
    done: list[str] = []
    cuts: list[str] = []

    def cut(label: str, _seconds: float) -> None:
        if label in ("take lease", "lock lease", "release lease", "look into the books"):
            return
        if label == "fence":
            done.clear()
        done.append(label)
        if len(done) > len(cuts) and "record orders" not in cuts:
            cuts.append(label)
            assert contents(shop) == before, label
            raise WarehouseUnavailable("cut", where=label)

    with closing(open_warehouse(shop.url, observer=cut)) as warehouse:
        report = rebuild(after, export(EXPORTED), warehouse=warehouse)

    assert {"fill orders", "carry over in orders", "record columns of orders", "forget objects"} <= set(cuts)
    assert cuts[-1] == "record orders"
    assert counts(report) == (2, 0, 1, 0, 2)
    assert rows(after, "full_name", "city") == FOUND


@pytest.mark.parametrize("step", STEPS_EACH_TIME)
def test_a_worker_goes_on_with_what_was_cut_short_before_it_merges(shop: Harness, export: Export, step: str) -> None:
    execute(shop, *HANGING)
    after = wants(shop, AFTER)
    cut_short(after, export(EXPORTED), step)

    after.put_records([change("late", 30, image(7), minute=61), change("b", 31, None, minute=62)])
    after.run()

    assert columns(after) == ["pk", "full_name", "total", "city", *METADATA]
    assert rows(after, "full_name", "city") == [FOUND[0], ("late", "n7", "c7"), FOUND[2]]
    assert {None: "all 'orders'", "FULL_NAME": "who"}.items() <= comments(after).items()
    assert tables(after) == ["ORDERS"]
    assert after.run().counts.records == 0


@pytest.mark.long
def test_a_rebuild_whose_process_ends_before_its_commit_leaves_an_empty_table_and_the_next_one_goes_through(
    shop: Harness, export: Export
) -> None:
    before, folder = contents(shop), export(EXPORTED)
    cut_short(wants(shop, AFTER), folder, "record orders")
    assert contents(shop) == before

    shop.put_records([change("late", 30, image(7), minute=61)])
    shop.run()
    rebuild(wants(shop, AFTER), folder)

    assert rows(shop, "full_name", "city") == [*FOUND[:2], ("late", "n7", "c7"), FOUND[2]]


def test_where_the_answer_to_commit_is_lost_the_table_that_was_filled_is_the_one_that_is_put_in_place(
    shop: Harness, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another try makes tables anew before it begins its transaction: it must not get as far as that."""
    monkeypatch.setattr("cdc_merge.patience.LONGEST_WAIT_SECONDS", 0.0)
    lost: list[str] = []

    def lose(labels: Sequence[str]) -> None:
        if labels[-1] == "record orders" and not lost:
            lost.append(labels[-1])
            raise WarehouseUnavailable("connection lost", where="commit")

    after = wants(shop, AFTER)
    with closing(FaultyWarehouse(open_warehouse(shop.url), Faults(committed=lose))) as warehouse:
        report = rebuild(after, export(EXPORTED), warehouse=warehouse)

    assert lost and counts(report) == (2, 0, 1, 0, 2)
    assert rows(after, "full_name", "city") == FOUND
    assert after.query("SELECT count(*) FROM cdc_merge.reconciliations") == [(1,)]


# --- others meanwhile ------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS_EACH_TIME[:-1])
def test_two_that_go_on_with_it_at_once_do_not_exchange_the_tables_twice(
    shop: Harness, export: Export, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr("cdc_merge.patience.LONGEST_WAIT_SECONDS", 0.0)
    execute(shop, *HANGING)
    after = wants(shop, AFTER)
    after.put_records([change("late", 30, image(7), minute=61)])
    others: list[int] = []

    def overtake(label: str, _seconds: float) -> None:
        if label == step and not others:
            others.append(0)
            others.append(after.run().counts.records)

    with closing(open_warehouse(shop.url, observer=overtake)) as warehouse:
        rebuild(after, export(EXPORTED), warehouse=warehouse)

    assert len(others) == 2
    after.run()
    assert rows(after, "full_name", "city") == [*FOUND[:2], ("late", "n7", "c7"), FOUND[2]]
    assert tables(after) == ["ORDERS"]


@pytest.mark.long
def test_an_exchange_that_was_still_on_its_way_when_another_process_went_on_finds_no_table(
    shop: Harness, export: Export
) -> None:
    execute(shop, *HANGING)
    after, folder = wants(shop, AFTER), export(EXPORTED)
    cut_short(after, folder, "comment on orders")
    (side,) = [name for name in tables(after) if name != "ORDERS"]
    with closing(open_warehouse(after.url, observer=cut_after("exchange orders"))) as warehouse, pytest.raises(CutHere):
        Reconciler(after.settings, warehouse=warehouse).reconcile("shop", folder)

    with pytest.raises(WarehouseRefused, match="does not exist"):  # and would have put the old table back
        execute(after, f'ALTER TABLE {{t}} SWAP WITH {{s}}."{side}"')

    after.run()
    assert rows(after, "full_name", "city") == FOUND


@pytest.mark.long
def test_until_it_is_done_plan_tells_a_dry_run_stops_and_nothing_is_written(shop: Harness, export: Export) -> None:
    after, folder = wants(shop, AFTER), export(EXPORTED)
    cut_short(after, folder, "record orders")
    cut_short(after, folder, "take over orders")
    before = contents(after)

    for options in ({"dry_run": True}, {"dry_run": True, "rebuild": True}):
        with pytest.raises(SchemaConflict, match="not in the old one's place yet"):
            reconcile(after, folder, **options)

    assert contents(after) == before
    told = [(d.target, str(d.change), d.stops) for d in plan(after).differences]
    assert ("orders", "being rebuilt", True) in told


@pytest.mark.long
def test_an_item_that_is_forgotten_does_not_come_back_with_the_old_table(shop: Harness, export: Export) -> None:
    after = wants(shop, AFTER)
    cut_short(after, export(EXPORTED), "exchange orders")
    assert forget(after, "a").rows == {"orders": 1}
    assert [key for key, _ in rows(after, "city")] == ["b", "newer"]
    assert tables(after) == ["ORDERS"]


@pytest.mark.long
def test_an_item_is_found_and_forgotten_while_its_key_column_has_two_names(shop: Harness, export: Export) -> None:
    after = wants(shop, replace(AFTER, columns=(*(AFTER.columns or ()), Column("id", ("PK",)))))
    cut_short(after, export(EXPORTED), "take over orders")
    assert forget(after, "a").rows == {"orders": 1}
    assert after.query("SELECT id FROM analytics.orders ORDER BY id") == [("b",), ("newer",)]


@pytest.mark.long
def test_a_new_table_that_someone_dropped_stops_the_source_and_either_cure_of_the_hint_goes(
    shop: Harness, export: Export
) -> None:
    after, folder = wants(shop, AFTER), export(EXPORTED)
    cut_short(after, folder, "take over orders")
    (side,) = [name for name in tables(after) if name != "ORDERS"]
    execute(after, f'DROP TABLE {{s}}."{side}"')
    for act in (after.run, lambda: rebuild(after, folder)):
        with pytest.raises(SchemaConflict, match="neither in its place nor beside it") as stopped:
            act()
    assert 'DROP TABLE "ANALYTICS"."ORDERS"' in (stopped.value.hint or "")
    execute(after, "DROP TABLE {t}")
    assert_gone_and_rebuilt(after, folder)


@pytest.mark.parametrize("step", [pytest.param("exchange orders", marks=pytest.mark.long), "drop old orders"])
def test_a_table_that_someone_dropped_once_it_was_in_its_place_is_gone_as_any_other(
    shop: Harness, export: Export, step: str
) -> None:
    after, folder = wants(shop, AFTER), export(EXPORTED)
    cut_short(after, folder, step)
    execute(after, "DROP TABLE {t}")
    assert_gone_and_rebuilt(after, folder)


def test_a_rebuild_of_a_table_that_is_gone_leaves_no_empty_one_in_its_place_where_it_is_cut_short(
    shop: Harness, export: Export
) -> None:
    after, folder = wants(shop, AFTER), export(EXPORTED)
    execute(after, "DROP TABLE {t}")
    cut_short(after, folder, "record orders")
    assert "ORDERS" not in tables(after)
    assert_gone_and_rebuilt(after, folder)


def assert_gone_and_rebuilt(after: Harness, folder: str) -> None:
    """The source stops until a rebuild, and has every row then."""
    after.put_records([change("nobody", 40, None, minute=63)])
    with pytest.raises(SchemaConflict, match="is gone") as stopped:
        after.run()
    assert "--rebuild" in (stopped.value.hint or "")
    rebuild(after, folder)
    after.run()
    assert rows(after, "full_name", "city") == FOUND


@pytest.mark.long
def test_an_old_table_that_someone_dropped_meanwhile_is_not_needed(shop: Harness, export: Export) -> None:
    after = wants(shop, AFTER)
    cut_short(after, export(EXPORTED), "take over orders")
    execute(after, "DROP TABLE {t}")
    after.run()
    assert rows(after, "full_name", "city") == FOUND


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_table_with_a_masking_policy_is_not_replaced_by_one_without(shop: Harness, export: Export) -> None:
    execute(shop, "ALTER TABLE {t} MODIFY COLUMN name SET MASKING POLICY hidden")
    before, there = contents(shop), tables(shop)
    with pytest.raises(Refused, match="masking policy HIDDEN on NAME"):
        rebuild(wants(shop, AFTER), export(EXPORTED))
    assert (contents(shop), tables(shop)) == (before, there)


def test_a_table_that_belongs_to_another_role_is_not_rebuilt_for_it_could_not_be_exchanged(
    shop: Harness, export: Export
) -> None:
    execute(shop, "GRANT OWNERSHIP ON TABLE {t} TO ROLE another")
    before, there = contents(shop), tables(shop)
    with pytest.raises(Refused, match="the table belongs to ANOTHER"):
        rebuild(wants(shop, AFTER), export(EXPORTED))
    assert (contents(shop), tables(shop)) == (before, there)


@pytest.mark.long
def test_a_dry_run_and_a_refusal_leave_no_table_behind(shop: Harness, export: Export) -> None:
    after, before = wants(shop, AFTER), tables(shop)
    rebuild(after, export(EXPORTED), dry_run=True)
    assert tables(shop) == before
    after.source = replace(after.source, reconcile=ReconcilePolicy(max_delete=0.1))
    with pytest.raises(Refused, match="max_delete"):
        rebuild(after, export(EXPORTED))
    assert tables(shop) == before
