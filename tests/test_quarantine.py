"""The quarantine on every engine: what an entry tells, and its second chance under the rules of any change."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import QuarantineMoved, UsageError
from cdc_merge.layout import layout_of
from cdc_merge.ledger import Counts
from cdc_merge.model import BatchLimits, Source, Target
from cdc_merge.quarantine import Entry, Quarantine, retry
from cdc_merge.warehouses import Session, Statement
from tests.support.harness import Harness
from tests.support.records import Record, compress, encode, frame, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Source("shop", "", ("PK",), (Target("items"),))


@pytest.fixture
def items(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, ALL, tmp_path / "feed")


def put(key: str, sequence: int, **attributes: Any) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def numbered(key: str, sequence: int, **attributes: Any) -> Record:
    """A record whose key attribute is a number: of another type than the source's."""
    record = put("?", sequence, **attributes)
    record["dynamodb"]["Keys"] = {"PK": {"N": key}}
    record["dynamodb"]["NewImage"]["PK"] = {"N": key}
    return record


def nameless(key: str, sequence: int, **attributes: Any) -> Record:
    """A record of an event that is none."""
    return {**put(key, sequence, **attributes), "eventName": "UPSERT"}


def values(harness: Harness) -> dict[str, Any]:
    return {key[0]: landed.item.get("v") for key, landed in harness.tables()["items"].items()}


def ask(harness: Harness, question: Callable[[Quarantine, Session], Any]) -> Any:
    warehouse = harness.open()
    try:
        layout = layout_of(harness.settings, warehouse)
        with warehouse.session() as session:
            return question(Quarantine(layout.metadata, warehouse.dialect), session)
    finally:
        warehouse.close()


def entries(harness: Harness, **options: Any) -> list[Entry]:
    found: list[Entry] = ask(harness, lambda q, s: q.entries(s, with_raw=True, **options))
    return found


def try_again(harness: Harness, chosen: Sequence[Entry] | None = None) -> Counts:
    """`quarantine retry`."""
    chosen = entries(harness) if chosen is None else chosen
    worker = harness.worker()
    try:
        worker.prepare()
        counts, gone = retry(worker.sources[0], chosen)
        assert not gone
    finally:
        worker.close()
    assert counts.records == counts.applied + counts.superseded + counts.stale + counts.ignored + counts.quarantined
    return counts


def mend(harness: Harness, find: bytes, put_instead: bytes) -> None:
    """Change the bytes that the entries keep, as an update of the table would."""
    warehouse = harness.open()
    try:
        with warehouse.session() as session:
            for entry in entries_in(session):
                raw = entry[1].replace(find, put_instead).hex()
                literal = f"'\\x{raw}'" if harness.url.startswith("postgres") else f"from_hex('{raw}')"
                session.run(
                    [Statement("mend", f"UPDATE cdc_merge.quarantine SET raw = {literal} WHERE id = '{entry[0]}'")]
                )
    finally:
        warehouse.close()


def entries_in(session: Session) -> list[tuple[str, bytes]]:
    return [
        (i, bytes(raw)) for i, raw in session.query("SELECT id, raw FROM cdc_merge.quarantine WHERE raw IS NOT NULL")
    ]


# --- what an entry tells ----------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [b"\n", b"", b"\r\n\r\n", b",\n"])
def test_an_entry_has_its_place_its_bytes_and_its_reason(items: Harness, separator: bytes) -> None:
    bad = [encode(nameless("b", 2)), encode(numbered("7", 3))]
    parts = [encode(put("a", 1, v="ä")), bad[0], encode(put("c", 1)), encode(put("d", 1, v="日本")), bad[1]]
    body = separator.join(parts)
    key = items.put(compress(body), "2026/01/01/00/feed-1-x.gz")
    items.run()
    found = entries(items)
    assert [(e.object_key, e.record, e.reason) for e in found] == [(key, 2, "unknown_event"), (key, 5, "key_type")]
    for entry, raw in zip(found, bad, strict=True):
        assert entry.raw == raw
        assert entry.byte_offset == body.index(raw)
        assert entry.place == f"{key}, record {entry.record} at byte {body.index(raw)}"
        assert (entry.source, entry.bucket) == ("shop", str(items.directory))
        assert entry.quarantined_at.utcoffset() == timedelta(0)
        assert not entry.is_object
    assert "INSERT, MODIFY, REMOVE" in found[0].detail
    assert "of type N" in found[1].detail


def test_an_object_has_an_entry_without_record_and_bytes(items: Harness) -> None:
    items.put_records([put("a", 1)])
    items.put(b"\x1f\x8b nonsense", "broken.gz")
    assert items.run().counts.quarantined == 1
    (entry,) = entries(items)
    assert (entry.object_key, entry.record, entry.byte_offset, entry.raw, entry.reason) == (
        *("broken.gz", None, None, None),
        "corrupt",
    )
    assert entry.is_object
    assert entry.place == "broken.gz"


def test_bytes_that_no_text_could_hold_are_kept_as_they_came(items: Harness) -> None:
    bad = b'{"dynamodb":"\xff\xfe\x00' + bytes(range(14, 256)) + b'"}'
    items.put(b"\n".join([encode(put("a", 1)), bad, encode(put("b", 1))]))
    items.run()
    (entry,) = entries(items)
    assert entry.raw == bad
    assert set(values(items)) == {"a", "b"}


def test_the_same_record_read_again_is_the_same_entry(items: Harness) -> None:
    key = items.put_records([put("a", 1), nameless("b", 2)])
    items.run()
    before = entries(items)
    worker = items.worker()
    try:
        from cdc_merge.preparing import Job

        worker.prepare()
        refs = worker.sources[0].store.list_page(start_after=None).objects
        counts = worker.sources[0].merge_job(Job(refs, again=True))
    finally:
        worker.close()
    assert counts.quarantined == 1
    assert [(e.id, e.record, e.byte_offset, e.raw) for e in entries(items)] == [
        (e.id, e.record, e.byte_offset, e.raw) for e in before
    ]
    items.put_records([put("a", 1), nameless("b", 2), put("c", 3)], key)  # another version: another entry
    items.run()
    assert len({e.id for e in entries(items)}) == 2


# --- looking ----------------------------------------------------------------------------------------------


def test_entries_are_found_by_source_and_by_the_beginning_of_an_id(items: Harness) -> None:
    items.put_records([nameless(f"k{n}", n) for n in range(20)])
    items.run()
    found = entries(items)
    assert [e.record for e in found] == list(range(1, 21))
    assert entries(items, sources=["shop"]) == found
    assert entries(items, sources=["other"]) == []
    assert entries(items, ids=[found[3].id[:12]]) == [found[3]]
    assert entries(items, ids=[found[3].id, found[1].id]) == [found[1], found[3]]
    shared = next(c for c in "0123456789abcdef" if sum(e.id.startswith(c) for e in found) > 1)
    with pytest.raises(UsageError, match="more than one"):
        entries(items, ids=[shared])
    with pytest.raises(UsageError, match="no quarantine entry"):
        entries(items, ids=[found[0].id + "0"])
    for nonsense in ("", "%", "_", "x'; --", "F"):
        with pytest.raises(UsageError, match="is not a quarantine id"):
            entries(items, ids=[nonsense])
    assert ask(items, lambda q, s: q.counts(s)) == {"shop": 20}


def test_what_is_discarded_is_gone_for_good(items: Harness) -> None:
    key = items.put_records([nameless(f"k{n}", n) for n in range(3)])
    items.run()
    first, second, third = entries(items)
    ask(items, lambda q, s: q.discard(s, [first, third]))
    assert entries(items) == [second]
    assert items.run().counts.objects == 0
    assert entries(items) == [second]
    assert key == second.object_key


# --- the second chance ------------------------------------------------------------------------------------


def test_an_object_that_the_configuration_was_too_strict_for_is_merged_after_mending_it(items: Harness) -> None:
    items.source = replace(items.source, batch=BatchLimits(bytes=200))
    items.put_records([put("a", 1, v="a")])
    items.put(compress(b"\n" * 2_000 + frame([put("big", 1, v="big")])), "big.gz")
    assert items.run().counts.quarantined == 1
    assert [e.reason for e in entries(items)] == ["too_large"]
    items.source = replace(items.source, batch=BatchLimits(bytes=100_000))
    counts = try_again(items)
    assert (counts.objects, counts.applied, counts.quarantined) == (1, 1, 0)
    assert values(items) == {"a": "a", "big": "big"}
    assert entries(items) == []


def test_a_mended_record_is_merged_under_the_rules_of_order(items: Harness) -> None:
    items.put_records([nameless("old", 2, v="older"), put("new", 2, v="older"), nameless("gone", 3, v="back?")])
    items.put_records([nameless("twice", 1, v="first"), nameless("twice", 2, v="second")])
    assert items.run().counts.quarantined == 4
    items.put_records([put("old", 5, v="newer"), stream_record({"PK": "gone"}, None, sequence=9, at=T0)])
    items.put_records([nameless("new", 5, v="newer")])
    counts = items.run().counts
    assert (counts.applied, counts.quarantined) == (2, 1)
    mend(items, b"UPSERT", b"MODIFY")
    counts = try_again(items)
    assert (counts.objects, counts.records) == (0, 5)
    assert (counts.applied, counts.stale, counts.superseded, counts.quarantined) == (2, 2, 1, 0)
    assert values(items) == {"old": "newer", "new": "newer", "twice": "second"}
    assert entries(items) == []


def test_what_fails_again_stays_with_its_id_and_its_place(items: Harness) -> None:
    items.put_records([put("a", 1), nameless("b", 2), put("c", 1), numbered("7", 3), put("d", 1)])
    items.put(frame([put("e", 1), encode(put("cut", 1))[:80], put("f", 1)]))
    items.run()
    before = entries(items)
    assert len(before) == 3
    counts = try_again(items)
    assert (counts.records, counts.quarantined) == (3, 3)
    unchanged = ("id", "source", "bucket", "object_key", "version", "record", "byte_offset", "reason", "detail", "raw")
    after = entries(items)
    assert [[getattr(e, name) for name in unchanged] for e in after] == [
        [getattr(e, name) for name in unchanged] for e in before
    ]


def test_an_entry_that_is_two_records_when_it_is_read_alone_is_two_entries_and_holds_up_no_other(
    items: Harness,
) -> None:
    items.put(encode(put("a", 1)) + b"\n1\n2\n" + b'{"eventID":"x", broken\n' + encode(nameless("b", 2, v="b")))
    items.run()
    mend(items, b"UPSERT", b"INSERT")
    before = entries(items)
    two = next(e for e in before if e.raw == b"1\n2")
    for expected in (4, 3):
        counts = try_again(items)
        assert counts.records == expected
        after = entries(items)
        assert sorted(e.raw or b"" for e in after if e.record == two.record) == [b"1", b"2"]
        assert two.id in {e.id for e in after} and len({e.id for e in after}) == 3
    assert set(values(items)) == {"a", "b"}


def test_an_entry_that_was_discarded_meanwhile_is_not_merged(items: Harness) -> None:
    items.put_records([nameless("a", 1, v="x"), nameless("b", 2, v="y"), put("c", 1)])
    items.run()
    mend(items, b"UPSERT", b"INSERT")
    both = entries(items)
    ask(items, lambda q, s: q.discard(s, both[:1]))
    with pytest.raises(QuarantineMoved):
        try_again(items, both)
    assert set(values(items)) == {"c"} and entries(items) == both[1:]


def test_of_several_entries_what_is_usable_leaves_and_the_rest_stays(items: Harness) -> None:
    items.put_records([nameless("a", 1, v="x"), numbered("7", 2, v="y"), nameless("b", 3, v="z")])
    items.put_records([put("c", 1)])
    items.run()
    mend(items, b"UPSERT", b"INSERT")
    before = entries(items)
    counts = try_again(items)
    assert (counts.applied, counts.quarantined) == (2, 1)
    assert [e.id for e in entries(items)] == [before[1].id]
    assert values(items)["b"] == "z"


def test_one_entry_can_be_tried_alone(items: Harness) -> None:
    items.put_records([nameless("a", 1, v="x"), nameless("b", 2, v="y"), put("c", 1)])
    items.run()
    mend(items, b"UPSERT", b"INSERT")
    first, second = entries(items)
    assert try_again(items, [second]).applied == 1
    assert [e.id for e in entries(items)] == [first.id]
    assert set(values(items)) == {"b", "c"}


def test_a_retry_in_a_source_that_has_never_had_a_usable_record(items: Harness) -> None:
    items.put_records([nameless("a", 1, v="x")])
    assert items.run().counts.quarantined == 1
    assert try_again(items).quarantined == 1
    mend(items, b"UPSERT", b"INSERT")
    assert try_again(items).applied == 1
    assert values(items) == {"a": "x"}


def test_an_object_that_was_replaced_by_a_readable_one_is_merged_from_there(items: Harness) -> None:
    items.put_records([put("a", 5, v="newer")])
    items.put(b"\x1f\x8b broken", "2026/x.gz")
    items.run()
    (entry,) = entries(items)
    body = compress(frame([put("a", 1, v="older"), put("b", 1, v="b"), nameless("c", 1)]))
    items.put(body, "2026/x.gz")
    counts = try_again(items, [entry])
    assert (counts.objects, counts.applied, counts.stale, counts.quarantined) == (1, 1, 1, 1)
    assert values(items) == {"a": "newer", "b": "b"}
    (left,) = entries(items)
    assert (left.reason, left.record) == ("unknown_event", 3)
    assert items.run().counts.objects == 0  # that version is in the ledger now


def test_an_object_that_is_still_broken_stays_with_its_id(items: Harness) -> None:
    items.put_records([put("a", 1)])
    items.put(b"\x1f\x8b broken", "2026/x.gz")
    items.run()
    before = entries(items)
    assert try_again(items).quarantined == 1
    assert [(e.id, e.reason) for e in entries(items)] == [(e.id, e.reason) for e in before]


def test_an_object_is_found_among_any_number_of_others_with_nearly_its_name(items: Harness) -> None:
    items.put(b"\x1f\x8b broken", "2026/x2")
    items.run()
    items.put(frame([put("a", 1, v="a")]), "2026/x2")
    for number in range(1_001):  # more than a page, between the name just before and its own
        items.put(b"", f"2026/x1{number:04}")
    assert try_again(items).applied == 1
    assert values(items) == {"a": "a"}


def test_an_object_that_is_gone_is_named_and_its_entry_stays(items: Harness) -> None:
    key = items.put(b"\x1f\x8b broken", "2026/x.gz")
    items.put_records([put("a", 1)])
    items.run()
    (items.directory / key).unlink()
    worker = items.worker()
    try:
        worker.prepare()
        counts, gone = retry(worker.sources[0], entries(items))
    finally:
        worker.close()
    assert (counts.records, [e.object_key for e in gone]) == (0, [key])
    assert len(entries(items)) == 1


def test_hundreds_of_entries_are_tried_in_one_go(items: Harness) -> None:
    items.put_records([put("good", 1), *[nameless(f"k{n}", n, v=str(n)) for n in range(700)]])
    assert items.run().counts.quarantined == 700
    mend_all = "UPDATE cdc_merge.quarantine SET raw = "
    if items.url.startswith("postgres"):
        mend_all += "convert_to(replace(convert_from(raw, 'UTF8'), 'UPSERT', 'INSERT'), 'UTF8')"
    else:
        mend_all += "encode(replace(decode(raw), 'UPSERT', 'INSERT'))"
    ask(items, lambda _q, session: session.run([Statement("mend", mend_all)]))
    assert try_again(items).applied == 700
    assert entries(items) == []
    assert values(items)["k699"] == "699"
    assert json.dumps(sorted(values(items))).count("k") == 700
