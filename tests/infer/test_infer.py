"""`infer` on real objects and exports: what it reads, what it counts, and what it proposes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bench.changes import generate
from bench.objects import write_objects
from cdc_merge.config import load_config
from cdc_merge.errors import UsageError
from cdc_merge.infer.inferrer import Options, infer
from cdc_merge.infer.proposal import Proposal, ProposedTable
from cdc_merge.infer.write import write_yaml
from cdc_merge.model import Condition, Kind, Settings
from tests.support.exports import upload, write_export
from tests.support.records import Codec, Record, Style, compress, frame, kinesis_record, stream_record, to_item
from tests.support.s3 import MotoS3, moto_s3

ROOT = Path(__file__).parents[2]
EVERYTHING = Options(records=None)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def user(n: int) -> dict[str, Any]:
    return {"Name": f"user {n}", "Age": n % 50, "Active": n % 2 == 0}


def changes(count: int, first: int = 0) -> list[Record]:
    return [stream_record({"UserId": f"u{n}"}, user(n), sequence=10**20 + n, at=NOON) for n in range(first, count)]


def put(folder: Path, data: bytes, name: str = "2026/01/02/12/users-1") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def settings_of(proposal: Proposal, folder: Path) -> Settings:
    """The configuration as `run` would read it."""
    path = folder / "proposed.yaml"
    path.write_text(write_yaml(proposal), encoding="utf-8")
    return load_config(path, environ={})


def types_of(proposal: Proposal, table: str) -> dict[str, Kind | None]:
    found = next(t for t in proposal.tables if t.table == table)
    return {c.name: c.type.kind if c.type else None for c in found.columns}


def check_shop(proposal: Proposal, emails: int) -> None:
    assert {t.table for t in proposal.tables} == {"customers", "orders", "order_items"}
    assert [t.entity.where for t in proposal.tables] == [
        (Condition(("Type",), any_of=(entity,)),) for entity in ("Customer", "Order", "OrderItem")
    ]
    assert proposal.key.attributes == ("PK", "SK")
    (left_out,) = proposal.entities.left_out
    assert left_out.items == emails
    assert Condition(("PK",), prefix="CUSTOMEREMAIL#") in left_out.where
    orders = types_of(proposal, "orders")
    assert orders["created_at"] is Kind.TIMESTAMP
    assert orders["total_amount"] is Kind.NUMERIC
    assert orders["number_items"] is Kind.INTEGER
    assert types_of(proposal, "customers")["addresses"] is Kind.JSON


def test_the_example_gives_customers_orders_and_order_items_and_leaves_email_items_out(tmp_path: Path) -> None:
    proposal = infer(str(ROOT / "example/firehose/ecommerce"), EVERYTHING)
    emails = proposal.entities.left_out[0].items
    check_shop(proposal, emails)
    assert proposal.extent.unusable == 1
    assert proposal.extent.images == emails + sum(t.entity.items for t in proposal.tables)
    (source,) = settings_of(proposal, tmp_path).sources
    assert source.name == "ecommerce"
    assert {t.table for t in source.targets if t.each is None} == {"customers", "orders", "order_items"}
    assert f"Left out: {emails} items" in write_yaml(proposal)


def test_an_export_gives_the_same_tables(tmp_path: Path) -> None:
    proposal = infer(str(ROOT / "example/exports"), EVERYTHING)
    check_shop(proposal, proposal.entities.left_out[0].items)
    assert proposal.extent.records == proposal.extent.images
    (source,) = settings_of(proposal, tmp_path).sources
    assert source.exports == f"file://{ROOT}/example/exports/"


def test_the_feed_of_the_benches_gives_the_same_tables_from_a_sample(tmp_path: Path) -> None:
    write_objects(tmp_path / "shop", generate(2_000, 6_000), total=6_000, objects=6)
    sampled = infer(str(tmp_path / "shop"), Options(records=3_000))
    assert (sampled.extent.records, sampled.extent.objects, sampled.extent.whole) == (3_000, 6, 0)
    check_shop(sampled, emails=sampled.entities.left_out[0].items)


def test_without_a_type_the_keys_of_the_shop_give_the_same_tables(tmp_path: Path) -> None:
    records = [re.sub(rb'"Type":[{]"S":"[A-Za-z]+"[}],', b"", record) for record in generate(2_000, 2_000)]
    put(tmp_path / "shop", b"".join(records))
    proposal = infer(str(tmp_path / "shop"), EVERYTHING)
    assert {t.table: [c.prefix for c in t.entity.where] for t in proposal.tables} == {
        "customers": ["CUSTOMER#", "CUSTOMER#"],
        "orders": ["CUSTOMER#", "#ORDER#"],
        "order_items": ["ORDER#", "ORDER#"],
    }
    assert [[c.prefix for c in e.where] for e in proposal.entities.left_out] == [["CUSTOMEREMAIL#", "CUSTOMEREMAIL#"]]


def test_a_sample_reads_the_beginning_of_every_object_alike(tmp_path: Path) -> None:
    for n in range(4):
        records = [
            stream_record({"UserId": f"u{n}-{i}"}, {**user(i), f"Only{n}": "x"}, sequence=10**20 + i, at=NOON)
            for i in range(3_000)
        ]
        put(tmp_path / "feed", compress(frame(records, "ndjson" if n % 2 else "concatenated")), f"2026/users-{n}")
    proposal = infer(str(tmp_path / "feed"), Options(records=4_000))
    assert (proposal.extent.objects, proposal.extent.whole) == (4, 0)
    assert proposal.extent.records == 4_000
    assert {"only0", "only1", "only2", "only3"} <= types_of(proposal, proposal.tables[0].table).keys()


def test_an_item_counts_once_by_its_newest_image(tmp_path: Path) -> None:
    records = [
        stream_record({"UserId": "u"}, {"Name": "new", "Level": 5}, sequence=10**21 + 5, at=NOON),
        stream_record({"UserId": "u"}, {"Name": "old", "Level": "five"}, sequence=10**20 + 9, at=NOON),
    ]
    put(tmp_path / "users", frame(records))
    proposal = infer(str(tmp_path / "users"), EVERYTHING)
    assert (proposal.extent.records, proposal.extent.images) == (2, 1)
    (table,) = proposal.tables
    assert {c.attribute: c.values.tags for c in table.columns} == {"Name": {"S": 1}, "Level": {"N": 1}}


def test_a_deleted_item_counts_by_its_last_image_and_a_bare_key_is_no_item(tmp_path: Path) -> None:
    records = [
        stream_record({"UserId": "u"}, None, sequence=1, at=NOON, old_image=user(1)),
        stream_record({"UserId": "v"}, None, sequence=2, at=NOON),
    ]
    put(tmp_path / "users", frame(records))
    extent = infer(str(tmp_path / "users"), EVERYTHING).extent
    assert (extent.images, extent.keys_only) == (1, 1)


STYLES: list[tuple[Style, Codec]] = [
    ("ndjson", "gzip"),
    ("concatenated", "none"),
    ("crlf", "zip"),
    ("pretty", "zstd"),
    ("lambda", "snappy"),
    ("lambda", "hadoop_snappy"),
]


@pytest.mark.parametrize(("style", "codec"), STYLES)
def test_every_framing_and_codec_is_read(tmp_path: Path, style: Style, codec: Codec) -> None:
    put(tmp_path / "users", compress(frame(changes(300), style), codec))
    for options in (EVERYTHING, Options(records=1_000)):
        proposal = infer(str(tmp_path / "users"), options)
        assert (proposal.extent.records, proposal.extent.unusable, proposal.extent.images) == (300, 0, 300)
        assert types_of(proposal, "users") == {
            "name": Kind.TEXT,
            "age": Kind.INTEGER,
            "active": Kind.BOOLEAN,
        }


def test_kinesis_records_are_read_in_the_order_of_their_times(tmp_path: Path) -> None:
    records = [
        kinesis_record({"Id": "a"}, {"Level": Decimal("1.5"), "Raw": b"xyz"}, at=1_767_355_200_002),
        kinesis_record({"Id": "a"}, {"Level": "old"}, at=1_767_355_200_001),
    ]
    put(tmp_path / "things", frame(records))
    proposal = infer(str(tmp_path / "things"), EVERYTHING)
    assert types_of(proposal, "things") == {"level": Kind.NUMERIC, "raw": Kind.BINARY}


def test_damage_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = frame(changes(50)).splitlines()
    put(tmp_path / "users", b"\n".join([*lines[:20], lines[0][:90], b"not a record", *lines[20:]]))
    put(tmp_path / "users", b"PAR1 and so on", "2026/users-2")
    extent = infer(str(tmp_path / "users"), EVERYTHING).extent
    assert extent.images == 50
    assert extent.records == 50 + extent.unusable
    assert extent.unusable > 0
    assert extent.unreadable == {"parquet": 1}


def test_a_single_file_is_read_and_its_folder_becomes_the_feed(tmp_path: Path) -> None:
    path = put(tmp_path / "users", frame(changes(5)), "part-1")
    put(tmp_path / "users", frame(changes(9, 5)), "part-2")
    proposal = infer(str(path), EVERYTHING)
    assert proposal.extent.images == 5
    assert proposal.changes == f"file://{tmp_path}/users/"
    assert proposal.source == "users"


def test_firehose_errors_are_no_data(tmp_path: Path) -> None:
    put(tmp_path / "users", frame(changes(5)))
    put(tmp_path / "users", b'{"errorCode":"x","rawData":"eA=="}', "processing-failed/2026/x")
    extent = infer(str(tmp_path / "users"), EVERYTHING).extent
    assert (extent.objects_there, extent.unusable) == (1, 0)


def exported(count: int) -> list[dict[str, Any]]:
    return [to_item({"Device": f"d{n % 7}", "Seen": n, "Level": Decimal(n) / 4, "Zone": "x"}) for n in range(count)]


def test_the_key_of_an_export_is_what_is_unique_in_all_items(tmp_path: Path) -> None:
    items = [to_item({"Device": f"d{n % 7}", "Seen": n // 7, "Level": n % 3}) for n in range(70)]
    write_export(tmp_path, items, as_of=NOON, key=("Device", "Seen"))
    proposal = infer(str(tmp_path), EVERYTHING)
    assert (proposal.key.attributes, proposal.key.tags) == (("Device", "Seen"), ("S", "N"))
    assert proposal.source == "ecommerce"  # the table, by the export's ARN


def test_the_key_of_an_export_can_be_given(tmp_path: Path) -> None:
    write_export(tmp_path, exported(20), as_of=NOON, key=("Device", "Seen"))
    assert infer(str(tmp_path), Options(key=("Device", "Seen"))).key.attributes == ("Device", "Seen")
    with pytest.raises(UsageError, match="not every item has these"):
        infer(str(tmp_path), Options(key=("Device", "Missing")))


def test_an_export_without_a_key_says_how_to_name_it(tmp_path: Path) -> None:
    write_export(tmp_path, [to_item({"A": "x"}), to_item({"A": "x", "B": "y"})], as_of=NOON, key=("A",))
    with pytest.raises(UsageError, match="--key"):
        infer(str(tmp_path), EVERYTHING)


def test_a_key_that_records_contradict_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "users", frame(changes(5)))
    with pytest.raises(UsageError, match="UserId"):
        infer(str(tmp_path / "users"), Options(key=("PK", "SK")))


def test_an_incremental_export_is_read_as_changes(tmp_path: Path) -> None:
    from cdc_merge.exports.manifest import ExportKind

    key, item = to_item({"Id": "a"}), to_item({"Id": "a", "Level": 5})
    old = to_item({"Id": "a", "Level": "old"})
    folder = write_export(
        tmp_path,
        as_of=NOON,
        kind=ExportKind.INCREMENTAL,
        changes=[(key, item, 1_767_355_200_000_002), (key, old, 1_767_355_200_000_001)],
        key=("Id",),
        files=1,
    )
    proposal = infer(str(folder), EVERYTHING)
    assert proposal.extent.images == 1
    assert types_of(proposal, proposal.tables[0].table) == {"level": Kind.INTEGER}


def test_a_list_of_maps_is_found_worth_rows_of_its_own(tmp_path: Path) -> None:
    records = [
        stream_record(
            {"Id": f"o{n}"},
            {"Lines": [{"Sku": f"s{i}", "Qty": i} for i in range(n % 3)], "Tags": ["a", "b"]},
            sequence=n + 1,
            at=NOON,
        )
        for n in range(30)
    ]
    put(tmp_path / "orders", frame(records))
    (table,) = infer(str(tmp_path / "orders"), EVERYTHING).tables
    (rows,) = table.rows
    assert (rows.path, rows.table, rows.elements.count) == (("Lines",), "order_lines", 30)
    assert {c.name: c.type.kind if c.type else None for c in rows.columns} == {"sku": Kind.TEXT, "qty": Kind.INTEGER}


def test_what_a_key_holds_and_no_attribute_repeats_is_a_piece_worth_a_column(tmp_path: Path) -> None:
    records = [
        stream_record({"PK": f"CUSTOMER#{n % 5}", "SK": f"ORDER#{n}#LINE#{n + 3}"}, {"Qty": n}, sequence=n + 1, at=NOON)
        for n in range(30)
    ]
    put(tmp_path / "orders", frame(records))
    (table,) = infer(str(tmp_path / "orders"), EVERYTHING).tables
    assert [(p.name, p.attribute, p.template) for p in table.pieces] == [
        ("customer_id", "PK", "CUSTOMER#{}"),
        ("order_id", "SK", "ORDER#{order_id}#LINE#{line_id}"),
        ("line_id", "SK", "ORDER#{order_id}#LINE#{line_id}"),
    ]


def test_lists_inside_maps_are_worth_rows_too_unless_the_keys_of_the_map_are_data(tmp_path: Path) -> None:
    lines = [{"Sku": "s", "Qty": 1}]
    images = [
        {
            "Cart": {"a.b": {"Lines": lines, "Deep": {"Lines": lines}}, "Lines": lines * 2, "Tags": ["x"]},
            "ByUser": {f"u{n}": lines, f"v{n}": {"Lines": lines}},
            "Lines": lines if n else "none",
        }
        for n in range(12)
    ]
    records = [stream_record({"Id": f"o{n}"}, image, sequence=n + 1, at=NOON) for n, image in enumerate(images)]
    put(tmp_path / "orders", frame(records))
    proposal = infer(str(tmp_path / "orders"), EVERYTHING)
    (table,) = proposal.tables
    assert {rows.table: (rows.path, rows.elements.count) for rows in table.rows} == {
        "order_lines": (("Lines",), 11),
        "order_cart_lines": (("Cart", "Lines"), 24),
        "order_cart_a_b_lines": (("Cart", "a.b", "Lines"), 12),
    }
    (source,) = settings_of(proposal, tmp_path).sources
    assert {t.each for t in source.targets if t.each} == {rows.path for rows in table.rows}


def put_kinds(folder: Path, *kinds: str) -> str:
    images = [{"Type": kind, f"A{k}": n, f"B{k}": "x"} for n in range(12) for k, kind in enumerate(kinds)]
    records = [stream_record({"Id": f"i{n}"}, image, sequence=n + 1, at=NOON) for n, image in enumerate(images)]
    put(folder / "things", frame(records))
    return str(folder / "things")


def test_an_attribute_called_type_tells_entities_by_long_values_too(tmp_path: Path) -> None:
    kinds = ["E" * 90 + "1", "E" * 90 + "2", "Two"]
    proposal = infer(put_kinds(tmp_path, *kinds), EVERYTHING)
    assert {t.entity.where for t in proposal.tables} == {(Condition(("Type",), any_of=(kind,)),) for kind in kinds}
    assert len({t.table for t in proposal.tables}) == 3


@pytest.mark.parametrize(
    ("kinds", "why_not"),
    [
        (["One", "Two" * 400], "Type has values of more than 1,000 characters"),
        ([f"Kind{n}" for n in range(80)], "Type has more than 50 values"),
    ],
)
def test_an_attribute_called_type_that_cannot_tell_entities_is_named(
    tmp_path: Path, kinds: list[str], why_not: str
) -> None:
    proposal = infer(put_kinds(tmp_path, *kinds), EVERYTHING)
    assert len(proposal.tables) == 1
    assert f"{why_not}, so it does not tell." in write_yaml(proposal)


def propose_orders(folder: Path, *sort_keys: str, **attributes: list[Any]) -> ProposedTable:
    records = [
        stream_record(
            {"PK": f"SHOP#{n}", "SK": key},
            {"Total": n, "ShopId": f"{n}", **{name: values[n] for name, values in attributes.items()}},
            sequence=n + 1,
            at=NOON,
        )
        for n, key in enumerate(sort_keys)
    ]
    put(folder / "orders", frame(records))
    (table,) = infer(str(folder / "orders"), EVERYTHING).tables
    return table


DAYS = [f"2026-11-{n + 1:02d}" for n in range(12)]


@pytest.mark.parametrize(
    ("sort_keys", "pieces"),
    [
        ([f"ORDER#{day}#o{n}" for n, day in enumerate(DAYS)], {"order_date": Kind.DATE, "order_id": Kind.TEXT}),
        (
            [f"ORDER#{n % 3}x#o{n}#{day}T10:00:00Z" for n, day in enumerate(DAYS)],
            {"order_1": Kind.TEXT, "order_2": Kind.TEXT, "order_time": Kind.TIMESTAMP},
        ),
        (
            [f"ORDER#o{n}#ITEM#i{n}#{day}" for n, day in enumerate(DAYS)],
            {"order_id": Kind.TEXT, "item_id": Kind.TEXT, "item_date": Kind.DATE},
        ),
        # The same in all of them, but data: other keys have other dates and numbers.
        ([f"ORDER#2026-11-01#o{n}" for n in range(12)], {"order_date": Kind.DATE, "order_id": Kind.TEXT}),
        (
            [f"ORDER#7#o{n}#{day}" for n, day in enumerate(DAYS)],
            {"order_1": Kind.TEXT, "order_2": Kind.TEXT, "order_date": Kind.DATE},
        ),
    ],
)
def test_pieces_of_a_key_that_share_a_label_are_named_by_what_they_are(
    tmp_path: Path, sort_keys: list[str], pieces: dict[str, Kind]
) -> None:
    table = propose_orders(tmp_path, *sort_keys)
    assert {p.name: p.kind for p in table.pieces} == pieces


def test_a_piece_that_an_attribute_repeats_has_no_column_and_the_others_have(tmp_path: Path) -> None:
    table = propose_orders(tmp_path, *(f"ORDER#{day}#o{n}" for n, day in enumerate(DAYS)), Day=DAYS)
    assert [(p.name, p.template) for p in table.pieces] == [("order_id", "ORDER#{order_date}#{order_id}")]


@pytest.mark.parametrize(
    ("odd", "trouble"),
    [("ORDER#o1", "SK has 2 to 3 pieces between #"), ("ORDER##o1", "SK has pieces that are empty in some items")],
)
def test_keys_that_no_template_fits_are_not_taken_apart_and_that_is_said(
    tmp_path: Path, odd: str, trouble: str
) -> None:
    table = propose_orders(tmp_path, odd, *(f"ORDER#{day}#o{n}" for n, day in enumerate(DAYS)))
    assert (table.pieces, table.uncut) == ((), (trouble,))
    assert f"no template would fit every key: {trouble}." in write_yaml(infer(str(tmp_path / "orders"), EVERYTHING))


def test_keys_in_an_other_order_of_members_are_the_same_key(tmp_path: Path) -> None:
    first = stream_record({"PK": "a", "SK": "b"}, {"Level": 1}, sequence=1, at=NOON)
    second = stream_record({"SK": "b", "PK": "a"}, {"Level": 2}, sequence=2, at=NOON)
    put(tmp_path / "things", frame([first, second]))
    assert infer(str(tmp_path / "things"), EVERYTHING).extent.images == 1


def test_binary_and_number_keys_are_keys(tmp_path: Path) -> None:
    records = [stream_record({"Id": bytes([n]), "No": n}, {"x": n}, sequence=n + 1, at=NOON) for n in range(9)]
    put(tmp_path / "things", frame(records))
    proposal = infer(str(tmp_path / "things"), EVERYTHING)
    assert dict(zip(proposal.key.attributes, proposal.key.tags, strict=True)) == {"Id": "B", "No": "N"}
    assert base64.b64encode(b"\x01").decode() not in write_yaml(proposal)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'{"a": 1}\n', "nothing here is a change record"),
        (b"PAR1 and so on", "no object here can be read"),
        (
            frame([stream_record({"Id": "a"}, {"x": 1}, sequence=1, at=NOON, view="KEYS_ONLY")]),
            "1 record has a key and no image",
        ),
    ],
)
def test_a_place_that_gives_no_tables_says_why(tmp_path: Path, data: bytes, what: str) -> None:
    put(tmp_path / "some", data)
    with pytest.raises(UsageError, match=what):
        infer(str(tmp_path / "some"), EVERYTHING)


def test_an_empty_or_missing_place_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no objects"):
        infer(str(tmp_path), EVERYTHING)
    with pytest.raises(UsageError, match="no such file"):
        infer(str(tmp_path / "missing"), EVERYTHING)
    with pytest.raises(UsageError, match="warehouse"):
        infer(str(tmp_path), Options(warehouse="nothing"))


@pytest.fixture(scope="module")
def s3() -> Iterator[MotoS3]:
    with moto_s3() as server:
        yield server


def test_a_prefix_an_object_and_an_export_on_s3_are_read(s3: MotoS3, tmp_path: Path) -> None:
    bucket = s3.create_bucket()
    for n in range(3):
        body = compress(frame(changes(20 * n + 20, 20 * n)))
        s3.client.put_object(Bucket=bucket, Key=f"firehose/users/2026/01/02/03/users-{n}", Body=body)
    proposal = infer(f"s3://{bucket}/firehose/users/", Options(records=1_000))
    assert (proposal.source, proposal.changes) == ("users", f"s3://{bucket}/firehose/users/")
    assert (proposal.extent.images, proposal.extent.objects) == (60, 3)
    one = infer(f"s3://{bucket}/firehose/users/2026/01/02/03/users-1", EVERYTHING)
    assert (one.extent.images, one.changes) == (20, f"s3://{bucket}/firehose/users/2026/01/02/03/")
    write_export(tmp_path, exported(20), as_of=NOON, key=("Device", "Seen"))
    url = upload(tmp_path, s3.client, bucket, "lake/")
    found = infer(url, Options(key=("Device", "Seen")))
    assert (found.extent.records, found.exports) == (20, url)


def test_a_table_of_elements_is_not_confused_with_a_table_of_items(tmp_path: Path) -> None:
    proposal = infer(str(ROOT / "example/firehose/ecommerce"), EVERYTHING)
    assert [rows.table for table in proposal.tables for rows in table.rows] == ["items_in_orders"]
    assert "pieces of keys" not in write_yaml(proposal)
    few = write_yaml(infer(str(ROOT / "example/firehose/ecommerce"), Options(records=5)))
    assert "# Of at least 10 items the pieces of keys would be proposed too (`match`):" in few
