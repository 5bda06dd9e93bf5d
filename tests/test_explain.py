"""`explain`: what became of each change of an item, and why the row is what it is."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import UsageError
from cdc_merge.explain import Explanation, explain
from cdc_merge.items.changes import Change, Place
from cdc_merge.items.fates import Became, Floor, Standing, explain_row, judge
from cdc_merge.items.key import parse_key
from cdc_merge.items.tables import ItemRow, Merged, Quarantined, Reconciled, Tombstone
from cdc_merge.items.whose import Recognizer, Whose
from cdc_merge.model import Condition, Deletes, Expired, Source, Target
from cdc_merge.reconcile.reconciler import Reconciler
from tests.support.commands import command_of
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.records import compress, encode, frame, kinesis_record, stream_record, to_item

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = Target("customers", where=(Condition(("Type",), any_of=("Customer",)),))
ORDERS = Target("orders", where=(Condition(("Type",), any_of=("Order",)),))
SHOP = Source("shop", "", ("PK",), (CUSTOMERS, ORDERS))


def put(key: Any, sequence: int, **attributes: Any) -> dict[str, Any]:
    keys = {"PK": key}
    return stream_record(keys, {**keys, **attributes}, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def remove(key: Any, sequence: int, **options: Any) -> dict[str, Any]:
    return stream_record({"PK": key}, None, sequence=sequence, at=T0 + timedelta(seconds=sequence), **options)


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, SHOP, tmp_path / "feed")


@pytest.fixture
def local(tmp_path: Path) -> Harness:
    """On DuckDB only, for what is the same on every engine."""
    return Harness(f"duckdb:///{tmp_path}/warehouse.duckdb", SHOP, tmp_path / "feed")


def deliver(harness: Harness, *records: dict[str, Any]) -> None:
    harness.put_records(records)
    harness.run()


def story(explanation: Explanation) -> list[tuple[str, Became]]:
    return [(c.event, f.became) for c, f in zip(explanation.changes, explanation.fates, strict=True)]


def asked(harness: Harness, *words: str, **options: Any) -> Explanation:
    return explain(harness.settings, "shop", words, **options)


def whys(explanation: Explanation) -> dict[str, str]:
    return {t.table.label: t.why for t in explanation.tables}


def test_a_key_that_a_where_names_can_be_asked_for(local: Harness) -> None:
    prefixed = Target("customers", where=(Condition(("PK",), prefix="C#"),))
    local.source = replace(
        local.source, targets=(prefixed, replace(ORDERS, where=(Condition(("PK",), any_of=("O#1",)),)))
    )
    deliver(local, put("C#1", 1), put("O#1", 2), put("O#2", 3))
    assert story(asked(local, "C#1")) == [("INSERT", Became.CURRENT)]
    assert story(asked(local, "O#1")) == [("INSERT", Became.CURRENT)]
    assert [became for _, became in story(asked(local, "O#2"))] == [Became.UNTAKEN]


# --- whole stories ---------------------------------------------------------------------------------------


def test_the_life_of_an_item_is_told_in_order_of_position(shop: Harness) -> None:
    deliver(shop, put("b", 1, Type="Order"), put("a", 2, Type="Customer"), put("a", 1, Type="Customer"))
    deliver(shop, put("a", 4, Type="Order", Total=Decimal("1.5")), put("a", 4, Type="Order", Total=Decimal("1.5")))
    deliver(shop, put("a", 3, Type="Customer"))
    shop.put_records([remove("a", 5)])
    explanation = asked(shop, "a")
    assert story(explanation) == [
        ("INSERT", Became.SUPERSEDED),
        ("INSERT", Became.SUPERSEDED),
        ("INSERT", Became.STALE),
        ("INSERT", Became.CURRENT),
        ("INSERT", Became.DUPLICATE),
        ("REMOVE", Became.WAITING),
    ]
    first, second, late, current, _, waiting = explanation.fates
    assert first.why == "by the newer 2 in the same batch"
    assert (second.why, second.by) == ("by the newer 4, merged later", 3)
    assert late.why == "when it was merged, the row in orders, a sibling, of the newer 4 was there"
    assert (first.moves.into, current.moves.into, current.moves.out_of) == (("customers",), ("orders",), ("customers",))
    assert waiting.moves.out_of == ("orders",)
    assert [c.place.record for c in explanation.changes[:2]] == [3, 2]
    assert whys(explanation) == {
        "customers": "no row: the item belongs to orders now (4)",
        "orders": "the row bears 4",
    }
    row = explanation.standing.rows["orders"]
    assert (row.columns, row.rows) == (("pk", "type", "total"), 1)


def test_a_removed_item_has_a_tombstone_that_bears_its_remove(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"))
    deliver(shop, remove("a", 3, user_identity={"type": "Service", "principalId": "dynamodb.amazonaws.com"}))
    deliver(shop, put("a", 2, Type="Customer"))
    explanation = asked(shop, "a")
    assert story(explanation)[1:] == [("INSERT", Became.STALE), ("REMOVE", Became.REMOVED)]
    assert explanation.fates[1].why == "when it was merged, the tombstone of the newer 3 was there"
    assert explanation.changes[2].is_expiry
    assert whys(explanation)["customers"] == "no row: the item was removed by time to live (3)"


def test_only_the_service_expires_items(shop: Harness) -> None:
    shop.source = replace(shop.source, targets=(replace(CUSTOMERS, expired=Expired.KEEP), ORDERS))
    person = {"type": "User", "principalId": "dynamodb.amazonaws.com"}
    deliver(shop, put("a", 1, Type="Customer"), remove("a", 2, user_identity=person))
    explanation = asked(shop, "a")
    assert not explanation.changes[1].is_expiry
    assert whys(explanation)["customers"] == "no row: the item was removed by a REMOVE (2)"


def test_an_item_that_no_target_takes_matches_none(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Other"))
    explanation = asked(shop, "a")
    assert story(explanation) == [("INSERT", Became.UNTAKEN)]
    assert whys(explanation)["orders"] == "no row: the item matches no target now (1)"


def test_a_record_in_quarantine_is_named_with_its_entry(shop: Harness) -> None:
    broken = put("a", 2, Type="Customer")
    del broken["dynamodb"]["NewImage"]
    cut = encode(put("a", 3, Type="Customer"))[:-40]
    unplaced = put("a", 4, Type="Customer")
    del unplaced["dynamodb"]["SequenceNumber"]
    shop.put(frame([put("a", 1, Type="Customer"), broken, unplaced, cut]))
    shop.run()
    explanation = asked(shop, "a")
    by_reason = {f.why.split(": ")[1].split(",")[0]: f.became for f in explanation.fates if ": " in f.why}
    assert by_reason == dict.fromkeys(("no_image", "no_position", "truncated"), Became.QUARANTINED)
    assert whys(explanation)["customers"].startswith("the row bears")
    assert explanation.quarantined == ()


def test_a_quarantined_record_whose_object_is_gone_is_still_told(local: Harness) -> None:
    key = local.put(frame([put("b", 1, Type="Customer"), encode(put("a", 3, Type="Customer"))[:-40]]))
    local.run()
    (local.directory / key).unlink()
    explanation = asked(local, "a")
    assert [q.reason for q in explanation.quarantined] == ["truncated"]
    assert explanation.changes == ()


def test_a_row_that_came_from_a_reconcile_says_from_which(shop: Harness, tmp_path: Path) -> None:
    deliver(shop, put("a", 1, Type="Customer", Name="old"), put("b", 1, Type="Customer"))
    export = write_export(
        tmp_path / "exports",
        [to_item({"PK": "a", "Type": "Customer", "Name": "new"})],
        as_of=T0 + timedelta(hours=1),
        key=("PK",),
    )
    reconciler = Reconciler(shop.settings)
    report = reconciler.reconcile("shop", str(export), force=True)
    reconciler.close()
    shop.put_records([put("a", 2, Type="Customer", Name="late")])
    shop.run()
    explanation = asked(shop, "a")
    assert report.floor == explanation.standing.floors["customers"].at
    assert story(explanation) == [("INSERT", Became.SUPERSEDED), ("INSERT", Became.STALE)]
    assert "at or before the floor of customers" in explanation.fates[1].why
    assert f"with {report.export}" in explanation.fates[1].why
    assert whys(explanation)["customers"].startswith(f"the row came from the reconcile with {report.export}")
    noted = explanation.tables[0].noted
    assert [(n.verdict, n.columns) for n in noted] == [("different", ("name",))]


def test_what_a_first_load_brought_is_not_told_as_lost_unless_a_change_of_it_is_there(
    local: Harness, tmp_path: Path
) -> None:
    local.put_records([put("b", 1, Type="Customer")])
    items = [to_item({"PK": key, "Type": "Customer"}) for key in "ab"]
    export = write_export(tmp_path / "exports", items, as_of=T0 + timedelta(hours=1), key=("PK",))
    reconciler = Reconciler(local.settings)
    reconciler.reconcile("shop", str(export), force=True)
    reconciler.close()
    command = command_of(local, *TARGETS)
    loaded = command("explain", "shop", "a").stdout
    assert "customers: the row came from the reconcile with" in loaded
    assert "the last reconcile loaded it: there is no change of it in any object that was read" in loaded
    assert "the last reconcile found it missing: never arrived" in command("explain", "shop", "b").stdout


def test_a_row_that_a_reconcile_took_away_is_missing_because_of_it(shop: Harness, tmp_path: Path) -> None:
    people = replace(CUSTOMERS, table="people", deletes=Deletes.SOFT)  # keeps the row, and with it the change
    shop.source = replace(shop.source, targets=(people, CUSTOMERS))
    deliver(shop, put("a", 1, Type="Customer"), put("b", 1, Type="Customer"))
    moved = [{"PK": "a", "Type": "Order"}, {"PK": "b", "Type": "Customer"}]
    for hour in (1, 2):
        as_of = T0 + timedelta(hours=hour)
        export = write_export(tmp_path / f"exports{hour}", map(to_item, moved), as_of=as_of, key=("PK",))
        reconciler = Reconciler(shop.settings)
        report = reconciler.reconcile("shop", str(export), force=True)
        reconciler.close()

    explanation = asked(shop, "a")

    assert story(explanation) == [("INSERT", Became.CURRENT)]
    judged = f"the reconcile with {report.export} as of 2026-01-01T02:00:00Z"
    assert whys(explanation)["customers"].startswith(f"no row, though 1 belongs here: {judged}")


def test_the_table_of_a_target_that_was_taken_out_is_explained_too(shop: Harness) -> None:
    deliver(shop, put("a", 1, Type="Customer"), put("b", 1, Type="Order"))
    shop.source = replace(shop.source, targets=(ORDERS,))
    explanation = asked(shop, "a")
    assert [(t.table.label, t.table.is_left_behind) for t in explanation.tables] == [
        ("orders", False),
        ("customers", True),
    ]
    assert story(explanation) == [("INSERT", Became.CURRENT)]


def test_an_item_whose_elements_are_rows_counts_them_and_leaves_when_there_are_none(shop: Harness) -> None:
    lines = Target("lines", where=ORDERS.where, each=("Items",))
    shop.source = replace(shop.source, targets=(ORDERS, lines))
    deliver(shop, put("a", 1, Type="Order", Items=[{"Sku": "x"}, {"Sku": "y"}]))
    assert asked(shop, "a").standing.rows["lines"].rows == 2
    deliver(shop, put("a", 2, Type="Order", Items=[]))
    explanation = asked(shop, "a")
    assert explanation.fates[1].moves.out_of == ("lines",)
    assert whys(explanation)["lines"] == "no row: the item belongs to orders now (2)"


def test_an_object_that_is_gone_leaves_a_row_whose_change_is_in_none(local: Harness) -> None:
    deliver(local, put("a", 1, Type="Customer"))
    deliver(local, put("a", 2, Type="Customer"))
    (local.directory / "2026/01/01/00/feed-1-000002").unlink()
    explanation = asked(local, "a")
    assert explanation.fates[0].why == "the row in customers is newer; its change is in no object that was read"
    assert "in no object that was read" in whys(explanation)["customers"]


def test_only_objects_of_the_time_asked_for_are_read(local: Harness) -> None:
    deliver(local, put("a", 1, Type="Customer"))
    assert asked(local, "a", until=T0).objects == 0
    assert asked(local, "a", since=T0).objects == 1


def test_before_the_first_merge_everything_waits(local: Harness) -> None:
    local.run()
    local.put_records([put("5", 1, Type="Customer")])
    explanation = asked(local, "5")
    assert story(explanation) == [("INSERT", Became.WAITING)]
    assert explanation.absent == ("customers", "orders")


# --- targets that do not follow every delete ---------------------------------------------------------------


def expire(key: str, sequence: int) -> dict[str, Any]:
    return remove(key, sequence, user_identity={"type": "Service", "principalId": "dynamodb.amazonaws.com"})


def following(harness: Harness, *targets: Target) -> Harness:
    harness.source = replace(harness.source, targets=targets)
    return harness


def test_a_soft_delete_marks_the_row_and_a_newer_change_revives_it(shop: Harness) -> None:
    following(shop, replace(CUSTOMERS, deletes=Deletes.SOFT))
    deliver(shop, put("a", 1, Type="Customer"))
    deliver(shop, remove("a", 3))

    marked = asked(shop, "a")

    assert story(marked) == [("INSERT", Became.CURRENT), ("REMOVE", Became.REMOVED)]
    assert (marked.fates[1].moves.marked, marked.fates[1].moves.out_of) == (("customers",), ())
    assert whys(marked) == {"customers": "the row bears 1; marked as deleted at 2026-01-01T00:00:03Z (2)"}

    deliver(shop, put("a", 5, Type="Customer"))
    revived = asked(shop, "a")
    assert (revived.fates[2].moves.revived, revived.fates[2].moves.into) == (("customers",), ())
    assert whys(revived) == {"customers": "the row bears 3"}
    assert [f.became for f in revived.fates] == [Became.SUPERSEDED, Became.SUPERSEDED, Became.CURRENT]
    assert (revived.fates[0].why, revived.fates[0].by) == ("by the newer 3, merged later", 2)


def test_a_row_that_is_marked_gives_way_to_a_late_change_older_than_the_delete(shop: Harness) -> None:
    following(shop, replace(CUSTOMERS, deletes=Deletes.SOFT), replace(ORDERS, deletes=Deletes.SOFT))
    deliver(shop, put("a", 1, Type="Customer"))
    deliver(shop, remove("a", 4))
    deliver(shop, put("a", 3, Type="Customer"))
    deliver(shop, put("a", 2, Type="Customer"))

    told = asked(shop, "a")

    first, late, bearer, delete = told.fates
    assert (first.became, first.why) == (Became.SUPERSEDED, "by the newer 3, merged later")
    assert (late.became, late.why) == (
        Became.STALE,
        "when it was merged, the row in customers of the newer 3 was there",
    )
    assert (bearer.became, delete.became) == (Became.CURRENT, Became.REMOVED)
    assert whys(told)["customers"] == "the row bears 3; marked as deleted at 2026-01-01T00:00:04Z (4)"


def test_an_item_that_moves_away_is_marked_where_deletes_are_soft(shop: Harness) -> None:
    following(shop, replace(CUSTOMERS, deletes=Deletes.SOFT), ORDERS)
    deliver(shop, put("a", 1, Type="Customer"))
    deliver(shop, put("a", 2, Type="Order"))
    moved = asked(shop, "a")
    assert [f.became for f in moved.fates] == [Became.CURRENT, Became.CURRENT]
    assert (moved.fates[1].moves.marked, moved.fates[1].moves.into, moved.fates[1].moves.out_of) == (
        ("customers",),
        ("orders",),
        (),
    )


def test_an_ignored_delete_has_no_effect(shop: Harness) -> None:
    following(shop, replace(CUSTOMERS, deletes=Deletes.IGNORE), replace(ORDERS, deletes=Deletes.IGNORE))
    deliver(shop, put("a", 1, Type="Customer"))
    deliver(shop, remove("a", 3))
    deliver(shop, put("a", 2, Type="Customer"))

    told = asked(shop, "a")

    first, late, delete = told.fates
    assert (first.became, first.why) == (Became.SUPERSEDED, "by the newer 2, merged later")
    assert late.became is Became.CURRENT
    assert (delete.became, delete.moves.spared, delete.moves.out_of) == (Became.SPARED, ("customers",), ())
    assert whys(told) == {
        "customers": "the row bears 2; 3 leaves it as it is",
        "orders": "no row: the item belongs to customers now (2)",
    }


def test_what_an_ignored_delete_does_beside_a_target_that_follows_it_is_told_of_each(shop: Harness) -> None:
    following(shop, replace(CUSTOMERS, deletes=Deletes.IGNORE), replace(CUSTOMERS, table="hard"))
    deliver(shop, put("a", 1, Type="Customer"))
    deliver(shop, remove("a", 3))
    deliver(shop, put("a", 2, Type="Customer"))

    told = asked(shop, "a")

    first, late, delete = told.fates
    assert first.why == "by the newer 2, merged later (customers); by the newer 3, merged later (hard)"
    assert (late.became, late.why) == (Became.CURRENT, "the row in customers bears it")
    assert (delete.became, delete.moves.out_of, delete.moves.spared) == (Became.REMOVED, ("hard",), ("customers",))
    assert whys(told) == {
        "customers": "the row bears 2; 3 leaves it as it is",
        "hard": "no row: the item was removed by a REMOVE (3)",
    }


def test_an_expiry_leaves_a_row_that_is_kept_and_a_delete_takes_it(shop: Harness) -> None:
    following(shop, replace(CUSTOMERS, expired=Expired.KEEP))
    deliver(shop, put("a", 1, Type="Customer"), expire("a", 2))
    kept = asked(shop, "a")
    assert [f.became for f in kept.fates] == [Became.CURRENT, Became.SPARED]
    assert whys(kept) == {"customers": "the row bears 1; 2 leaves it as it is"}

    deliver(shop, remove("a", 4))
    deliver(shop, expire("a", 5))
    gone = asked(shop, "a")
    assert [f.became for f in gone.fates][1:] == [Became.SUPERSEDED, Became.REMOVED, Became.SPARED]
    assert gone.fates[2].why == "the newest that counts in customers; a tombstone remembers it"
    assert gone.fates[2].moves.out_of == ("customers",)
    assert whys(gone) == {"customers": "no row: the item was removed by a REMOVE (3)"}


# --- finding records, whatever they look like ------------------------------------------------------------


def test_records_are_found_in_every_framing(local: Harness) -> None:
    styles: tuple[Any, ...] = ("ndjson", "concatenated", "crlf", "pretty", "lambda")
    for style, codec in itertools.product(styles, ("none", "gzip")):
        key = f"{style}-{codec}"
        records = [put("b", 1, Type="Customer"), put(key, 2, Type="Order"), put(key, 3, Type="Customer", Note='{"}{"')]
        local.put(compress(frame(records, style), codec), f"2026/01/01/00/{key}")
    local.run()
    for style, codec in itertools.product(styles, ("none", "gzip")):
        explanation = asked(local, f"{style}-{codec}")
        assert story(explanation) == [("INSERT", Became.SUPERSEDED), ("INSERT", Became.CURRENT)]
        assert [c.place.record for c in explanation.changes] == [2, 3]


def test_text_keys_of_any_spelling_are_found(local: Harness) -> None:
    keys = ("ä/€😀", 'quote"back\\slash', "a}{b", "tab\tnew\nline", "x" * 1500, "' OR 1=1 --", "%")
    for key, ascii_only in itertools.product(keys, (True, False)):
        records = [put(key, 1, Type="Customer"), put(key + "x", 2, Type="Customer"), put("b", 3, Link=key)]
        texts = [json.dumps(r, ensure_ascii=ascii_only).replace("/", "\\/") for r in records]
        local.put("\n".join(texts).encode())
    local.run()
    for key in keys:
        explanation = asked(local, key)
        assert story(explanation) == [("INSERT", Became.CURRENT), ("INSERT", Became.DUPLICATE)]
        assert set(explanation.standing.rows) == {"customers"}


def test_number_keys_of_any_spelling_are_found(local: Harness) -> None:
    spellings = ("15", "15.0", "1.5E1", "+15", "0015", "150e-1")
    for sequence, written in enumerate(spellings, start=1):
        raw = json.dumps(put(15, sequence, Type="Customer")).replace('"15"', f'"{written}"')
        local.put(f"{raw}\n{json.dumps(put(150, sequence, Type='Customer'))}\n".encode())
    local.run()
    for word in ("15", "1.50e1"):
        explanation = asked(local, word)
        assert len(explanation.changes) == len(spellings)
        assert explanation.fates[-1].became is Became.CURRENT


def test_number_keys_below_zero_zero_and_small_are_found(shop: Harness) -> None:
    deliver(shop, *(put(Decimal(n), 1, Type="Customer") for n in ("-2.50", "0", "0.001", "1e15")))
    for word in ("-2.5", "0", "1E-3", "1000000000000000"):
        explanation = asked(shop, word)
        assert story(explanation) == [("INSERT", Became.CURRENT)], word
        assert set(explanation.standing.rows) == {"customers"}


@pytest.mark.parametrize("is_kinesis", [False, True])
def test_binary_keys_are_found_in_either_feed(local: Harness, is_kinesis: bool) -> None:
    def record(value: bytes) -> dict[str, Any]:
        image = {"PK": value, "Type": "Customer"}
        if is_kinesis:
            return kinesis_record({"PK": value}, image, at=T0)
        return stream_record({"PK": value}, image, sequence=1, at=T0)

    keys = (b"a", b"ab", b"\x00\xff binary key", b"longer than a group")
    deliver(local, *map(record, keys), record(b"a!"))
    for key in keys:
        explanation = asked(local, base64.b64encode(key).decode())
        assert story(explanation) == [("INSERT", Became.CURRENT)]
        assert set(explanation.standing.rows) == {"customers"}


def test_a_key_of_two_attributes_is_both(shop: Harness) -> None:
    shop.source = replace(shop.source, key=("PK", "SK"))

    def record(sort: int, sequence: int) -> dict[str, Any]:
        keys = {"PK": "a", "SK": sort}
        return stream_record(keys, {**keys, "Type": "Order"}, sequence=sequence, at=T0)

    deliver(shop, record(1, 1), record(2, 2), record(10, 3))
    explanation = asked(shop, "a", "1.0")
    assert story(explanation) == [("INSERT", Became.CURRENT)]
    assert explanation.standing.rows["orders"].rows == 1


def test_an_object_that_cannot_be_read_is_named(local: Harness) -> None:
    deliver(local, put("a", 1, Type="Customer"))
    key = local.put(compress(frame([put("a", 2, Type="Customer")] * 50), "gzip")[:-20])
    assert set(asked(local, "a").troubles) == {key}


def test_a_key_that_cannot_be_is_refused(local: Harness) -> None:
    deliver(local, put("a", 1, Type="Customer"))
    refused = {("a", "b"): "1 attribute", (): "1 attribute", ("",): "a text of one character"}
    for words, message in refused.items():
        with pytest.raises(UsageError, match=message):
            asked(local, *words)


def test_a_word_that_is_no_number_is_refused_where_keys_are_numbers(local: Harness) -> None:
    deliver(local, put(1, 1, Type="Customer"))
    with pytest.raises(UsageError, match="a number"):
        asked(local, "one")


# --- whose records are ------------------------------------------------------------------------------------


def recognized(raw: bytes, *words: str, key: tuple[str, ...] = ("PK", "SK")) -> Whose:
    return Recognizer(parse_key(Source("s", "", key, ()), words, None)).whose(raw)


def two(partition: str, sort: str, **attributes: Any) -> bytes:
    keys = {"PK": partition, "SK": sort}
    return encode(stream_record(keys, {**keys, **attributes}, sequence=1, at=T0))


def test_a_record_that_only_mentions_a_key_is_anothers() -> None:
    inner = {"PK": "a", "SK": "b"}
    assert recognized(two("c", "d", Parent=inner, Link="a"), "a", "b") is Whose.OTHERS
    assert recognized(two("a", "c"), "a", "b") is Whose.OTHERS
    assert recognized(two("a", "b"), "a", "b") is Whose.ITEMS


def test_what_is_left_of_a_record_tells_by_its_typed_key() -> None:
    whole = two("a", "b")
    assert recognized(whole[: whole.index(b'"SK"') + 20], "a", "b") is Whose.ITEMS
    assert recognized(whole[: whole.index(b'"SK"')], "a", "b") is Whose.DOUBTFUL
    assert recognized(b'{"note": "a and b"', "a", "b") is Whose.OTHERS


def test_complete_keys_of_another_item_tell_that_what_is_left_is_anothers() -> None:
    cut = two("a", "c", Parent={"PK": "a", "SK": "x"})[:-60]
    assert recognized(cut, "a", "c") is Whose.ITEMS
    assert recognized(cut, "a", "b") is Whose.OTHERS
    assert recognized(cut, "a", "x") is Whose.DOUBTFUL  # the whole key is in it: two records may have run together
    assert recognized(cut[: cut.index(b'"SK"')], "a", "b") is Whose.DOUBTFUL
    assert recognized(cut + two("a", "d")[:-60], "a", "b") is Whose.DOUBTFUL


def test_records_inside_events_lists_and_error_records_are_found() -> None:
    record = two("a", "b")
    assert recognized(b'{"Records": [' + two("c", "d") + b"," + record + b"]}", "a", "b") is Whose.ITEMS
    assert recognized(b"[[" + record + b"]]", "a", "b") is Whose.ITEMS
    error = encode({"attemptsMade": 4, "rawData": base64.b64encode(record).decode()})
    assert recognized(error, "a", "b") is Whose.ITEMS
    assert recognized(error, "a", "c") is Whose.OTHERS
    assert recognized(b'{"Item": {"PK": {"S": "a"}, "SK": {"S": "b"}}}', "a", "b") is Whose.ITEMS


# --- the verdicts themselves ------------------------------------------------------------------------------

MERGED = {(f"o{n}", "v"): Merged(T0 + timedelta(minutes=n), f"batch{n}") for n in range(1, 10)}
RECONCILED = Reconciled("r1", "exports/x", "export", T0, T0 + timedelta(seconds=50), T0 + timedelta(minutes=5))


def change(position: str, in_object: int, *takes: str, event: str = "MODIFY", **more: Any) -> Change:
    at = T0 + timedelta(seconds=int(position or 0))
    return Change(Place(f"o{in_object}", 0, 1, "v"), event, position, at, takes=frozenset(takes), **more)


def row(position: str, at: datetime | None = T0) -> ItemRow:
    return ItemRow(position, at, T0, None, ("pk",), 1)


def standing(**more: Any) -> Standing:
    settings: dict[str, Any] = {"targets": ("a", "b"), "merged": MERGED, "could": frozenset("ab")}
    return Standing(**settings | more)


@pytest.mark.parametrize(
    ("changes", "known", "became", "words"),
    [
        ([change("1", 1, "a")], standing(rows={"a": row("1")}), Became.CURRENT, "the row in a bears it"),
        ([change("1", 1, "a")], standing(rows={"a": row("2")}), Became.STALE, "the row in a is newer"),
        ([change("1", 1, "a")], standing(rows={"b": row("2")}), Became.STALE, "the row in b, a sibling, is newer"),
        ([change("1", 1, "a")], standing(tombstone=Tombstone("2", T0)), Became.STALE, "the tombstone is newer"),
        ([change("1", 1, "a")], standing(), Became.LOST, "neither a row nor a tombstone"),
        ([change("1", 1)], standing(could=frozenset()), Became.UNTAKEN, "the key alone shows"),
        ([change("1", 1)], standing(), Became.UNTAKEN, "matches no target"),
        ([change("1", 1, event="REMOVE")], standing(could=frozenset()), Became.UNTAKEN, "the key alone shows"),
        ([change("1", 1, event="REMOVE")], standing(tombstone=Tombstone("1", T0)), Became.REMOVED, "a tombstone"),
        ([change("1", 0, "a")], standing(), Became.WAITING, "not merged yet"),
        ([change("", 1, unusable="no_image")], standing(), Became.UNUSABLE, "no_image"),
        (
            [change("1", 1, "a")],
            standing(quarantined=(Quarantined("id1", Place("o1", 0, 1, "v"), "no_image", "why", False),)),
            Became.QUARANTINED,
            "entry id1: no_image, why",
        ),
        (
            [change("1", 1, "a")],
            standing(floors={"a": Floor(T0 + timedelta(seconds=1), RECONCILED)}, rows={"a": row("")}),
            Became.STALE,
            "at or before the floor of a, 2026-01-01T00:00:01Z: what counts there is the reconcile with exports/x",
        ),
        (
            [change("1", 1, "a"), change("2", 1, "a"), change("3", 2, "a")],
            standing(rows={"a": row("3")}),
            Became.SUPERSEDED,
            "by the newer 2 in the same batch",
        ),
        (
            [change("1", 2, "a"), change("2", 1, event="REMOVE")],
            standing(tombstone=Tombstone("2", T0)),
            Became.STALE,
            "the tombstone of the newer 2",
        ),
        (
            [change("1", 2, "a"), change("2", 1, "b")],
            standing(rows={"b": row("2")}),
            Became.STALE,
            "the row in b, a sibling, of the newer 2",
        ),
    ],
)
def test_the_fate_of_a_change(changes: list[Change], known: Standing, became: Became, words: str) -> None:
    fate = judge(changes, known)[0]
    assert (fate.became, words in fate.why) == (became, True), fate


def test_a_remove_that_a_target_spares_takes_the_item_out_of_the_others_only() -> None:
    changes = [
        change("1", 1, "a", "b"),
        change("2", 2, event="REMOVE", spares=frozenset("a")),
    ]
    assert judge(changes, standing(tombstone=Tombstone("2", T0)))[1].moves.out_of == ("b",)


@pytest.mark.parametrize(
    ("changes", "known", "words"),
    [
        ([], standing(), "no row: no change of the item was found"),
        ([change("1", 0, "a")], standing(), "no row: nothing of the item is merged yet"),
        ([change("1", 1, event="REMOVE")], standing(tombstone=Tombstone("1", T0)), "removed by a REMOVE (1)"),
        ([change("1", 1, "a")], standing(), "1, the newest found, has left no trace"),
        ([change("1", 1, "a")], standing(tombstone=Tombstone("2", T0)), "1, the newest found, was stale"),
        ([change("1", 1, "b")], standing(), "1, the newest found, belongs to b"),
        ([change("1", 1, "b")], standing(tombstone=Tombstone("2", T0)), "1, the newest found, belongs to b"),
        ([], standing(rows={"a": row("")}), "the row came from a reconcile that is no longer in the books"),
        (
            [],
            standing(rows={"a": row("")}, origins={"a": RECONCILED}),
            "with exports/x as of 2026-01-01T00:00:00Z (r1)",
        ),
        ([change("1", 1, "a", "b")], standing(rows={"b": row("1")}), "no row, though 1 belongs here"),
    ],
)
def test_why_a_target_has_its_row_or_none(changes: list[Change], known: Standing, words: str) -> None:
    assert words in explain_row("a", changes, judge(changes, known), known)


# --- the command ------------------------------------------------------------------------------------------


TARGETS = ("table: customers, where: {Type: Customer}", "table: orders, where: {Type: Order}")


def test_the_command_tells_the_story_in_words_and_in_json(local: Harness) -> None:
    deliver(local, put("a", 1, Type="Customer"))
    deliver(local, put("a", 2, Type="Order"))
    command = command_of(local, *TARGETS)
    text = command("explain", "shop", "a").output
    assert "took the item out of customers and into orders" in text
    assert "orders: the row bears 2" in text
    document = command.json("explain", "shop", "a")
    assert [c["became"] for c in document["changes"]] == ["superseded", "current"]
    assert document["targets"]["customers"]["row"] is None
    assert document["targets"]["orders"]["row"]["columns"] == ["pk", "type"]
    assert document["key_types"] == ["S"]


def test_the_command_says_of_which_damaged_records_it_is_not_sure(local: Harness) -> None:
    local.source = replace(local.source, key=("PK", "SK"))
    cut = two("a", "1", Type="Customer")
    local.put(frame([two("a", "1", Type="Customer"), cut[: cut.index(b'"SK"')], two("a", "2", Type="Order")[:-40]]))
    local.run()
    command = command_of(local, *TARGETS)
    document = command.json("explain", "shop", "a", "1")
    assert [c["doubtful"] for c in document["changes"]] == [True, False]
    text = command("explain", "shop", "a", "1").output
    assert text.startswith("shop a / 1: 2 changes in 1 of 1 object\n")
    assert "unknown at an unknown time (perhaps of another item)" in text


def test_the_command_exits_1_where_nothing_is_known_of_the_item(local: Harness) -> None:
    deliver(local, put("a", 1, Type="Customer"))
    command = command_of(local, *TARGETS)
    assert "nothing is known of it; the words are the value of PK\n" in command("explain", "shop", "b", exits=1).output
    assert command.json("explain", "shop", "b", exits=1)["changes"] == []


def test_the_command_refuses_a_source_that_is_not_there(local: Harness) -> None:
    result = command_of(local, *TARGETS)("explain", "shed", "a", exits=2)
    assert "no source is named 'shed'" in result.output
