"""Input that is odd, broken or ill-meant, on every engine: a clear outcome, and good neighbours are merged."""

from __future__ import annotations

import base64
import json
import random
import shutil
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest

from cdc_merge.config.values import LONGEST_SOURCE_NAME
from cdc_merge.errors import MixedFeed
from cdc_merge.ledger import Counts
from cdc_merge.model import BatchLimits, Column, ColumnType, Kind, Settings, Source, Target
from cdc_merge.warehouses.dialect import POSTGRES
from cdc_merge.worker import Worker
from tests.support.harness import Harness, untyped
from tests.support.records import Codec, Record, Style, compress, encode, frame, kinesis_record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Source("shop", "", ("PK",), (Target("items"),))


@pytest.fixture
def items(warehouse_url: str, tmp_path: Path) -> Harness:
    """One target that takes every item, every attribute a column."""
    return Harness(warehouse_url, ALL, tmp_path / "feed")


def put(key: Any, sequence: int, **attributes: Any) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def with_image(record: Record, image: dict[str, Any]) -> Record:
    """The record with an image of typed values, as they are."""
    change = record["dynamodb"]
    return {**record, "dynamodb": {**change, "NewImage": {**change["Keys"], **image}}}


def good(count: int = 3, *, first: int = 1) -> list[Record]:
    """Records that must be merged whatever lies beside them."""
    return [put(f"good{n}", n, v=f"fine{n}") for n in range(first, first + count)]


def rows(harness: Harness) -> dict[Any, dict[str, Any]]:
    return {key[0] if len(key) == 1 else key: landed.item for key, landed in harness.tables()["items"].items()}


def is_postgres(harness: Harness) -> bool:
    return harness.url.startswith("postgres")


def quarantined(harness: Harness) -> list[tuple[str, int | None, str]]:
    """(object key, record, reason) of every entry, in order."""
    return harness.query("SELECT object_key, record, reason FROM cdc_merge.quarantine ORDER BY object_key, byte_offset")


def assert_good(harness: Harness, count: int = 3, *, first: int = 1) -> None:
    found = rows(harness)
    for n in range(first, first + count):
        assert found[f"good{n}"]["v"] == f"fine{n}"


# --- names ------------------------------------------------------------------------------------------------

NAMES = [
    *[
        "a.b",
        'quo"te',
        "it's",
        "two words",
        "'; DROP TABLE items; --",
        "{{ n }}",
        "{0}",
        "%s",
        "a%b",
        "$.a",
        "[0]",
        "*",
    ],
    *["a/b", "a~b", "a~1b", "a\\b", "tab\t", "new\nline", "nul\0inside", "", " ", "-", "--", "1", "😀", "é", "e\u0301"],
    *["select", "user", "table", "order", "Price", "price", "PRICE", "pk", "Pk", "S", "N", "M", "NULL"],
    *["_cdc_position", "_cdc_rescued", "_CDC_Changed_At", "_cdc_merged_at", "_cdc_index"],
    *["n", "rescued", "position", "partition_key", "v", "line", "image", "c0", "c1"],
    *["xmin", "ctid", "tableoid", "rowid", "oid"],
    *["x" * 100, "y" * 70, "y" * 71, "ü" * 40, "ü" * 41, "z" * 5000],
]


def test_attributes_of_any_name_keep_their_values_apart(items: Harness) -> None:
    first = {name: f"first {number}" for number, name in enumerate(NAMES)}
    second = {name: f"second {number}" for number, name in enumerate(NAMES)}
    items.put_records([put("a", 1, **first), *good()])
    items.run()
    items.put_records([put("b", 2, **second)])
    items.put_records([put("c", 3, **dict(list(first.items())[::2]))])
    assert items.run().counts.applied == 2
    found = rows(items)
    assert found["a"] == {"PK": "a", **first}
    assert found["b"] == {"PK": "b", **second}
    assert found["c"] == {"PK": "c", **dict(list(first.items())[::2])}
    assert items.query("SELECT count(*) FROM analytics.items WHERE _cdc_rescued IS NOT NULL") == [(0,)]
    assert_good(items)


@pytest.mark.parametrize("key", ["xmin", "Or der'\"\\/~", "_cdc_position", "键" * 30])
def test_a_key_attribute_may_have_any_name(warehouse_url: str, tmp_path: Path, key: str) -> None:
    harness = Harness(warehouse_url, replace(ALL, key=(key, "rescued")), tmp_path / "feed")
    keys = {key: "a", "rescued": "b"}
    harness.put_records([stream_record(keys, {"v": "x"}, sequence=1, at=T0)])
    harness.put_records([stream_record({**keys, "rescued": "c"}, None, sequence=2, at=T0)])
    harness.run()
    assert rows(harness) == {("a", "b"): {**keys, "v": "x"}}
    assert list(harness.tombstones()) == [("a", "c")]


# --- values -----------------------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "core"}
    for level in range(levels):
        value = {"M": {"m": value}} if level % 2 else {"L": [value]}
    return value


VALUES: dict[str, dict[str, Any]] = {
    "digits38": {"N": "12345678901234567890123456789012345678"},
    "decimals38": {"N": "0.12345678901234567890123456789012345678"},
    "huge": {"N": "1E125"},
    "plus": {"N": "9.9999999999999999999999999999999999999E+125"},
    "tiny": {"N": "1E-130"},
    "minus_tiny": {"N": "-1E-130"},
    "minus_zero": {"N": "-0"},
    "zero": {"N": "0"},
    "trailing": {"N": "1.500"},
    "fraction": {"N": "19.99"},
    "empty": {"S": ""},
    "nul": {"S": "a\0b"},
    "quotes": {"S": "\"\\'`${}{}}{ \n\r\t\u2028\u2029\ufeff\x7f\x01"},
    "looks_null": {"S": "null"},
    "looks_copy_null": {"S": "\\N"},
    "surrogates": {"S": "😀𝄞\U0010ffff"},
    "empty_binary": {"B": ""},
    "binary": {"B": base64.b64encode(bytes(range(256))).decode()},
    "true": {"BOOL": True},
    "false": {"BOOL": False},
    "null": {"NULL": True},
    "empty_map": {"M": {}},
    "empty_list": {"L": []},
    "nul_inside": {"M": {"deep": {"L": [{"S": "a\0b"}]}}},
    "nul_name_inside": {"M": {"na\0me": {"S": "x"}}},
    "backslash_u": {"M": {"text": {"S": "\\u0000"}}},
    "strings": {"SS": ["b", "a", "ä", "Z", '"']},
    "numbers": {"NS": ["10", "9", "-1.5", "1E-130"]},
    "binaries": {"BS": ["/w==", "AA=="]},
    "mixed": {"L": [{"N": "1E+2"}, {"NULL": True}, {"M": {"NULL": {"NULL": True}}}, {"SS": ["x"]}, {"BOOL": False}]},
    "deep": nested(32),
}


def as_column(value: dict[str, Any]) -> Any:
    """The value as its column has it; JSON has no binary, only base64."""
    return sorted(value["BS"], key=base64.b64decode) if "BS" in value else untyped(value)


def test_every_kind_of_value_arrives_exactly_in_its_column_or_rescued(items: Harness) -> None:
    items.put_records([with_image(put("all", 1), VALUES), *good()])
    items.put_records([with_image(put(name, 2), {"v": value, "w": value}) for name, value in VALUES.items()])
    items.run()
    found = rows(items)
    expected = {name: plain for name, value in VALUES.items() if (plain := as_column(value)) is not None}
    assert found["all"] == {"PK": "all", **expected}
    for name in VALUES:  # all in the same two columns, of whatever type those have become
        plain = expected.get(name)
        wanted = {"PK": name} if plain is None else {"PK": name, "v": plain, "w": plain}
        assert found[name].keys() == wanted.keys(), name
        assert all(same(found[name][column], value) for column, value in wanted.items()), (name, found[name])
    assert_good(items)


def same(found: Any, wanted: Any) -> bool:
    """A number or boolean may also be in a text column, as it is written, and binary in JSON is base64."""
    if isinstance(found, list) and found and isinstance(found[0], bytes):
        found = [base64.b64encode(each).decode() for each in found]
    if isinstance(found, str) and isinstance(wanted, Decimal):
        return Decimal(found) == wanted
    return bool(found == wanted or (found, wanted) in (("true", True), ("false", False)))


def test_a_time_without_a_zone_is_one_of_utc_wherever_it_is_read(warehouse_url: str, tmp_path: Path) -> None:
    assert datetime.now().astimezone().utcoffset(), "tests are to run in a zone that is not UTC"
    seen = Column("seen", ("seen",), ColumnType(Kind.TIMESTAMP))
    source = replace(ALL, targets=(Target("items", columns=(seen,)),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    times = {"bare": "2026-07-01T12:00:00", "utc": "2026-07-01T12:00:00Z", "zone": "2026-07-01T14:00:00+02:00"}
    harness.put_records([put(name, 1, seen=text) for name, text in times.items()])
    harness.run()
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert {key: row["seen"] for key, row in rows(harness).items()} == dict.fromkeys(times, noon)


def test_numbers_the_engine_cannot_hold_are_rescued_digit_by_digit(items: Harness) -> None:
    items.put_records([with_image(put("a", 1), {"v": {"N": "1"}})])
    items.put_records([with_image(put(n, 2), {"v": {"N": n}}) for n in ("1E125", "1E-130", "-0", "0.1", "1" * 38)])
    items.run()
    rescued = dict(items.query("SELECT pk, CAST(_cdc_rescued AS text) FROM analytics.items"))
    held = {n for n, left in rescued.items() if left is None}
    if is_postgres(items):
        assert held == {"a", "1E125", "1E-130", "-0", "0.1", "1" * 38}
    else:
        assert held == {"a", "-0", "0.1"}
        assert json.loads(rescued["1E125"]) == {"v": {"N": "1E125"}}


def test_a_nul_is_rescued_where_text_cannot_hold_it(items: Harness) -> None:
    items.put_records([put("a", 1, text="a\0b", nested={"x": ["a\0b"]}), put("b", 2, text="fine", nested={"x": []})])
    items.run()
    (rescued,) = items.query("SELECT CAST(_cdc_rescued AS text) FROM analytics.items WHERE pk = 'a'")[0]
    if is_postgres(items):
        assert json.loads(rescued) == {"text": {"S": "a\0b"}, "nested": {"M": {"x": {"L": [{"S": "a\0b"}]}}}}
    else:
        assert rescued is None
    assert rows(items)["a"] == {"PK": "a", "text": "a\0b", "nested": {"x": ["a\0b"]}}


# What no DynamoDB writes, but a Lambda on the way might.
MALFORMED: list[Any] = [
    *[{"S": 5}, {"N": "ten"}, {"N": ""}, {"B": "!"}, {"BOOL": "true"}, {"X": 1}, {"S": "a", "N": "1"}],
    *[
        {},
        "bare",
        7,
        None,
        [],
        {"SS": []},
        {"SS": "x"},
        {"NS": ["x"]},
        {"M": []},
        {"M": {"m": {}}},
        {"L": [{"N": "x"}]},
    ],
    *[{"NULL": False}, {"S": {"S": "x"}}, {"M": {"m": {"S": "x", "N": "1"}}}],
]


def test_a_malformed_value_is_never_lost_without_a_trace(items: Harness) -> None:
    typed = {"text": {"S": "x"}, "number": {"N": "1"}, "map": {"M": {}}, "bool": {"BOOL": True}, "binary": {"B": ""}}
    items.put_records([with_image(put("typed", 1), typed), *good()])
    items.run()
    items.put_records(
        [with_image(put(f"{n}", 2), dict.fromkeys((*typed, f"only{n}"), value)) for n, value in enumerate(MALFORMED)]
    )
    counts = items.run().counts
    assert (counts.applied, counts.quarantined) == (len(MALFORMED), 0)
    nulls = ", ".join(f'"{name}" IS NULL' for name in typed)
    for pk, rescued, *missing in items.query(
        f"SELECT pk, CAST(_cdc_rescued AS text), {nulls} FROM analytics.items WHERE length(pk) <= 2"
    ):
        left = json.loads(rescued or "{}")
        for name, is_missing in zip(typed, missing, strict=True):
            assert not is_missing or left.get(name) == MALFORMED[int(pk)], (pk, name)  # JSON's null is a NULL


def test_a_record_of_more_than_a_megabyte_is_merged_like_any(items: Harness) -> None:
    noise = random.Random(1)
    text = "".join(noise.choices(string.printable + "äöü😀", k=450_000))
    record = stream_record(
        {"PK": "big"}, {"text": text, "list": [text[:1000]] * 300}, old_image={"text": text}, sequence=1, at=T0
    )
    assert len(encode(record)) > 1_300_000
    items.put(frame([*good(), record, *good(first=4)], "concatenated"))
    items.run()
    assert rows(items)["big"] == {"PK": "big", "text": text, "list": [text[:1000]] * 300}
    assert_good(items, 6)


def deep_text(levels: int) -> str:
    return '{"M":{"m":' * levels + '{"S":"core"}' + "}}" * levels


@pytest.mark.parametrize("levels", [1_500, 20_000])
def test_nesting_without_end_harms_nobody(items: Harness, levels: int) -> None:
    deep = deep_text(levels).encode()
    records: list[Record | bytes] = [
        encode(put("value", 1, v="DEEP", w="x")).replace(b'{"S":"DEEP"}', deep),
        encode(put("malformed", 1, v="DEEP", w="x")).replace(
            b'{"S":"DEEP"}', deep.replace(b'"S":"core"', b'"X":"core"')
        ),
        encode(put("key", 1)).replace(b'{"S":"key"}', deep),
        deep,
        b'{"a":' * levels + b"1" + b"}" * levels,
        b'{"dynamodb":' + b"[" * levels + b"]" * levels + b"}",
    ]
    items.put(frame([*good(), *records], "concatenated"), "1")
    items.put(frame([*good(), b"[" * levels + b"]" * levels, *good(first=4)]), "2")
    items.put(frame([*good(), b"[" * levels, *good(first=7)]), "3")
    items.put(frame([*good(), b'{"a":' * levels, *good(first=10)]), "4")
    counts = items.run().counts
    held = items.query("SELECT pk FROM analytics.items WHERE pk NOT LIKE 'good%' ORDER BY pk")
    if levels < 2_000:
        assert held == [("malformed",), ("value",)]
    else:
        assert held == []
        assert ("1", 4, "too_deep") in quarantined(items)
    assert {key for key, _, _ in quarantined(items)} >= {"1", "4"}
    assert counts.applied == 12 + len(held)
    fine = items.query("SELECT pk, v FROM analytics.items WHERE pk LIKE 'good%'")
    assert {(pk, str(v).strip('"')) for pk, v in fine} == {(f"good{n}", f"fine{n}") for n in range(1, 13)}


# --- objects ----------------------------------------------------------------------------------------------


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"keys": ["a"]}), sink)
    return bytes(sink.getvalue())


def orc() -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.orc.write_table(pa.table({"keys": ["a"]}), sink)
    return bytes(sink.getvalue())


def test_each_unreadable_object_is_one_entry_and_the_rest_is_merged(items: Harness) -> None:
    items.source = replace(items.source, batch=BatchLimits(bytes=100_000))
    packed = compress(frame(good(50, first=100)))
    corrupt = bytearray(packed)
    corrupt[len(corrupt) // 2] ^= 0xFF
    items.put(frame(good()), "1-good")
    items.put(compress(b"\n" * 900_000), "2-bomb")
    items.put(compress(frame(good(2, first=100)) + b" " * 900_000), "3-bomb")
    items.put(bytes(corrupt), "4-corrupt")
    items.put(packed[:-20], "5-truncated")
    items.put(packed[:30], "6-truncated")
    items.put(parquet(), "7-parquet")
    items.put(orc(), "8-orc")
    items.put(compress(frame(good(3, first=4))), "9-good")
    counts = items.run().counts
    assert (counts.objects, counts.records, counts.applied, counts.quarantined) == (9, 13, 6, 7)
    assert quarantined(items) == [
        ("2-bomb", None, "too_large"),
        ("3-bomb", None, "too_large"),
        ("4-corrupt", None, "corrupt"),
        ("5-truncated", None, "corrupt"),
        ("6-truncated", None, "corrupt"),
        ("7-parquet", None, "parquet"),
        ("8-orc", None, "orc"),
    ]
    assert set(rows(items)) == {f"good{n}" for n in range(1, 7)}
    assert items.run().counts.objects == 0


def test_objects_without_records_are_merged_with_none(items: Harness) -> None:
    for number, data in enumerate(
        [b"", b"\n", b" \r\n\t \n" * 5, b" " * 10_000, compress(b""), compress(b"\n\n"), b"[]", b'{"Records":[]}']
    ):
        items.put(data, f"{number}-empty")
    counts = items.run().counts
    assert (counts.objects, counts.records) == (8, 0)
    items.put(frame(good()))
    counts = items.run().counts
    assert (counts.objects, counts.records) == (1, 3)
    assert_good(items)


STYLES: list[Style] = ["ndjson", "concatenated", "crlf", "pretty", "lambda"]
CODECS: list[Codec] = ["none", "gzip", "zip", "zstd", "snappy", "raw_snappy", "hadoop_snappy"]


def test_every_framing_in_every_codec_gives_the_same_rows(items: Harness) -> None:
    number = 0
    for style in STYLES:
        for codec in CODECS:
            number += 1
            tricky = put(f"{style}-{codec}", number, v='}{\n"}\n{', m={"}{": ["}{", "\\"]}, old="x")
            items.put(compress(frame([*good(), tricky, *good()], style), codec), f"{style}/{codec}.parquet")
    counts = items.run().counts
    assert (counts.objects, counts.records, counts.quarantined) == (35, 35 * 7, 0)
    assert counts.applied == 3 + 35
    found = rows(items)
    for style in STYLES:
        for codec in CODECS:
            assert found[f"{style}-{codec}"]["m"] == {"}{": ["}{", "\\"]}, (style, codec)
    assert_good(items)


def test_forty_thousand_records_without_separators_over_several_chunks(items: Harness) -> None:
    line = (
        encode(put("KEY", 0, v="VALUE", padding="x" * 400))
        .decode()
        .replace('"SequenceNumber":"0"', '"SequenceNumber":"VALUE"')
    )
    data = "".join(line.replace("KEY", f"k{n % 30_000}").replace("VALUE", str(n)) for n in range(40_000)).encode()
    assert len(data) > 2 * 16 * 2**20
    items.put(compress(data))
    counts = items.run().counts
    assert (counts.records, counts.applied, counts.superseded) == (40_000, 30_000, 10_000)
    found = items.query("SELECT count(*), sum(CAST(v AS bigint)) FROM analytics.items")
    assert [tuple(map(int, row)) for row in found] == [(30_000, sum(range(10_000, 40_000)))]


def test_a_record_longer_than_a_chunk_is_quarantined_and_its_neighbours_are_not(items: Harness) -> None:
    long = encode(put("long", 9, v="x" * (17 * 2**20)))
    items.put(frame([*good(), long, *good(first=4)]), "long")
    items.put(frame(good(first=7)))
    counts = items.run().counts
    assert (counts.records, counts.quarantined) == (10, 1)
    assert quarantined(items) == [("long", 4, "too_long")]
    assert_good(items, 9)


def test_two_sources_may_read_the_same_objects(items: Harness) -> None:
    items.put_records([put("a", 1, v="x")])
    assert items.run().counts.objects == 1
    copy = replace(items.source, name="copy", targets=(Target("copies"),))
    assert Harness(items.url, copy, items.directory).run().counts.applied == 1
    assert items.query("SELECT v FROM analytics.copies") == [("x",)]


def test_an_object_of_the_same_name_and_version_elsewhere_is_another_one(items: Harness, tmp_path: Path) -> None:
    items.put_records([put("a", 1, v="x")])
    items.run()
    moved = shutil.copytree(items.directory, tmp_path / "moved")  # with its times
    assert Harness(items.url, items.source, Path(moved)).run().counts.objects == 1
    assert items.run().counts.objects == 0


def test_an_object_rewritten_under_its_key_is_read_again(items: Harness) -> None:
    key = items.put_records([put("a", 1, v="x")])
    items.run()
    items.put_records([put("a", 1, v="x"), put("b", 2, v="added later")], key)
    counts = items.run().counts
    assert (counts.objects, counts.records, counts.applied, counts.stale) == (1, 2, 1, 1)
    assert set(rows(items)) == {"a", "b"}


# --- keys -------------------------------------------------------------------------------------------------


def test_the_longest_legal_key_is_held_or_quarantined(warehouse_url: str, tmp_path: Path) -> None:
    harness = Harness(warehouse_url, replace(ALL, key=("PK", "SK")), tmp_path / "feed")
    noise = random.Random(2)
    partition, sort = ("".join(noise.choices(string.printable, k=size)) for size in (2048, 1024))
    harness.put_records(
        [
            stream_record({"PK": "a", "SK": "b"}, {"v": "x"}, sequence=1, at=T0),
            stream_record({"PK": partition, "SK": sort}, {"v": "x"}, sequence=1, at=T0),
            stream_record({"PK": partition, "SK": sort}, {"v": "y"}, sequence=2, at=T0),
            stream_record({"PK": partition, "SK": sort[:-500]}, {"v": "z"}, sequence=3, at=T0),
            stream_record({"PK": partition[:1500], "SK": sort}, None, sequence=3, at=T0),
        ]
    )
    counts = harness.run().counts
    found = {key: landed.item["v"] for key, landed in harness.tables()["items"].items()}
    short = {("a", "b"): "x", (partition, sort[:-500]): "z"}
    if is_postgres(harness):
        assert (counts.applied, counts.quarantined) == (3, 2)
        assert found == short
        assert [r for _, _, r in quarantined(harness)] == ["key_too_long"] * 2
    else:
        assert (counts.applied, counts.superseded, counts.quarantined) == (4, 1, 0)
        assert found == {**short, (partition, sort): "y"}
    assert list(harness.tombstones()) == [(partition[:1500], sort)]


def test_the_longest_key_fits_beside_the_longest_name_of_a_source(postgres_url: str, tmp_path: Path) -> None:
    """The tombstones' index holds both."""
    source = replace(ALL, name="s" * LONGEST_SOURCE_NAME, key=("PK", "SK"))
    harness = Harness(postgres_url, source, tmp_path / "feed")
    noise = random.Random(3)
    partition = "".join(noise.choices(string.ascii_letters + string.digits, k=2_048))
    sort = partition[::-1][: (POSTGRES.max_key_bytes or 0) - 2_048]
    harness.put_records([stream_record({"PK": partition, "SK": sort}, None, sequence=1, at=T0)])
    assert (harness.run().counts.quarantined, list(harness.tombstones())) == (0, [(partition, sort)])


def test_a_key_with_a_nul_is_held_or_quarantined(items: Harness) -> None:
    items.put_records([put("a\0b", 1, v="x"), put("a\0b", 2, v="y"), *good(), put("a", 1, v="z")])
    counts = items.run().counts
    if is_postgres(items):
        assert (counts.applied, counts.quarantined) == (4, 2)
        assert {r for _, _, r in quarantined(items)} == {"key_has_nul"}
        raw = items.query("SELECT raw FROM cdc_merge.quarantine ORDER BY byte_offset")
        assert [json.loads(bytes(r))["dynamodb"]["Keys"]["PK"]["S"] for (r,) in raw] == ["a\0b", "a\0b"]
    else:
        assert (counts.applied, counts.superseded, counts.quarantined) == (5, 1, 0)
        assert rows(items)["a\0b"]["v"] == "y"
    assert rows(items)["a"]["v"] == "z"
    assert_good(items)


def numeric(key: str, sequence: int, v: str) -> Record:
    """A record whose key is a number written so."""
    record = put("?", sequence, v=v)
    record["dynamodb"]["Keys"] = {"PK": {"N": key}}
    return with_image(record, {"v": {"S": v}})


def test_a_numeric_key_is_one_key_however_it_is_written(items: Harness) -> None:
    spellings = ["1", "1.0", "1E0", "10E-1", "+1", "01", "0.1e1"]
    items.put_records([numeric(key, n, f"v{n}") for n, key in enumerate(spellings, 1)])
    items.put_records(
        [numeric("-0", 1, "minus"), numeric("0", 2, "zero"), numeric("100", 1, "x"), numeric("1E2", 2, "y")]
    )
    counts = items.run().counts
    assert (counts.applied, counts.superseded, counts.quarantined) == (3, 8, 0)
    assert {k: i["v"] for k, i in rows(items).items()} == {"1": "v7", "0": "zero", "100": "y"}
    items.put_records([numeric("1.00", 5, "late"), numeric("1.000", 9, "new")])
    assert items.run().counts.targets["items"] == {"inserted": 0, "updated": 1, "deleted": 0}
    assert rows(items)["1"]["v"] == "new"


def test_numeric_keys_of_38_digits_are_held_or_quarantined(items: Harness) -> None:
    digits = "12345678901234567890123456789012345678"
    keys = [digits, digits[:-1] + "9", f"0.{digits}", "1E125", "1E-130", "-9.9E+125", "7"]
    items.put_records([numeric(key, n, key) for n, key in enumerate(keys, 1)])
    counts = items.run().counts
    found = {item["v"] for item in rows(items).values()}
    if is_postgres(items):
        assert (counts.applied, counts.quarantined) == (7, 0)
        assert found == set(keys)
    else:
        assert (counts.applied, counts.quarantined) == (1, 6)
        assert found == {"7"}
        assert {r for _, _, r in quarantined(items)} == {"key_too_precise"}


def test_binary_keys_of_both_feeds_name_the_same_item(warehouse_url: str, tmp_path: Path) -> None:
    data = bytes(range(256))
    keys, found = {"PK": data, "SK": b"\0"}, []
    for number, record in enumerate(
        [
            stream_record(keys, {"b": data, "bs": {b"\xff", b"\0"}, "m": {"b": data}}, sequence=1, at=T0),
            kinesis_record(keys, {"b": data, "bs": {b"\xff", b"\0"}, "m": {"b": data}}, at=T0),
        ]
    ):
        source = replace(ALL, key=("PK", "SK"), targets=(Target(f"items{number}"),), name=f"s{number}")
        harness = Harness(warehouse_url, source, tmp_path / f"feed{number}")
        harness.put_records([record])
        harness.run()
        ((key, landed),) = harness.tables()[f"items{number}"].items()
        found.append((key, landed.item))
        assert harness.query(f"SELECT count(*) FROM analytics.items{number} WHERE _cdc_rescued IS NULL") == [(1,)]
    assert found[0] == found[1]
    assert found[0][1]["PK"] == found[0][1]["b"] == data


LACKING: list[tuple[dict[str, Any], str]] = [
    ({"Keys": {}}, "no_key"),
    ({"Keys": None}, "no_key"),
    ({"Keys": [1]}, "no_key"),
    ({"Keys": {"SK": {"S": "x"}}}, "no_key"),
    ({"Keys": {"PK": {"S": ""}}}, "no_key"),
    ({"Keys": {"PK": {}}}, "no_key"),
    ({"Keys": {"PK": "bare"}}, "no_key"),
    ({"Keys": {"PK": {"N": "1"}}}, "key_type"),
    ({"Keys": {"PK": {"M": {}}}}, "key_type"),
    ({"SequenceNumber": "12a"}, "no_position"),
    ({"SequenceNumber": "-1"}, "no_position"),
    ({"SequenceNumber": "+1"}, "no_position"),
    ({"SequenceNumber": " 1"}, "no_position"),
    ({"SequenceNumber": "1 "}, "no_position"),
    ({"SequenceNumber": "1\n"}, "no_position"),
    ({"SequenceNumber": "1.0"}, "no_position"),
    ({"SequenceNumber": "1" * 41}, "no_position"),
    ({"SequenceNumber": ""}, "no_position"),
    ({"SequenceNumber": {"N": "1"}}, "no_position"),
    ({"NewImage": {}}, "no_image"),
    ({"NewImage": "text"}, "no_image"),
    ({"NewImage": None}, "no_image"),
    ({"NewImage": [{"v": {"S": "x"}}]}, "no_image"),
]


def test_a_record_without_what_it_needs_is_quarantined_with_its_reason(items: Harness) -> None:
    records = []
    for number, (change, _) in enumerate(LACKING):
        record = put(f"bad{number}", 9, v="x")
        records += [*good(1, first=number), {**record, "dynamodb": {**record["dynamodb"], **change}}]
    items.put_records(records)
    counts = items.run().counts
    assert (counts.applied, counts.quarantined) == (len(LACKING), len(LACKING))
    assert [(n, reason) for _, n, reason in quarantined(items)] == [
        (2 * number, reason) for number, (_, reason) in enumerate(LACKING, 1)
    ]
    assert_good(items, len(LACKING), first=0)


def test_records_of_strangers_do_not_stop_a_source_whose_key_is_known(items: Harness) -> None:
    items.put_records(good())
    items.run()
    items.put_records([stream_record({"id": "x"}, {"v": "y"}, sequence=1, at=T0)])
    odd = put("x", 1)
    odd["dynamodb"]["Keys"] = {"PK": {"M": {}}}
    items.put_records([odd])
    assert items.run().counts.quarantined == 2
    assert [reason for _, _, reason in quarantined(items)] == ["no_key", "key_type"]


def test_a_stream_record_that_lost_its_sequence_number_is_no_record_of_kinesis(items: Harness) -> None:
    lost = put("lost", 1, v="x")
    del lost["dynamodb"]["SequenceNumber"]
    items.put_records([lost, *good()])
    assert items.run().counts.quarantined == 1
    items.put_records([lost])
    assert items.run().counts.quarantined == 1
    assert {reason for _, _, reason in quarantined(items)} == {"no_position"}
    assert_good(items)


# --- positions and times ----------------------------------------------------------------------------------


def test_the_test_events_of_the_console_are_merged(items: Harness) -> None:
    record = put("a", 111, v="x")
    del record["dynamodb"]["ApproximateCreationDateTime"], record["eventSourceARN"]
    items.put_records([record, *good()])
    counts = items.run().counts
    assert (counts.applied, counts.quarantined) == (4, 0)
    assert items.tables()["items"][("a",)].changed_at is None
    assert_good(items)


TIMES: list[tuple[Any, datetime]] = [
    (1_767_225_600, T0),
    (1_767_225_600.0, T0),
    (1_767_225_600.5, T0 + timedelta(seconds=0.5)),
    ("1767225600", T0),
    ("2026-01-01T00:00:00Z", T0),
    ("2026-01-01T01:00:00+01:00", T0),
    ("2026-01-01 00:00:00+00:00", T0),
    ("2026-01-01T00:00:00.250000+00:00", T0 + timedelta(seconds=0.25)),
    (1_767_225_600_000, T0),
    (1_767_225_600_000_000, T0),
    (1_767_225_600_000_001, T0 + timedelta(microseconds=1)),
]


def test_a_creation_time_is_read_in_every_form(items: Harness) -> None:
    items.put_records([stream_record({"PK": f"{n}"}, {}, sequence=1, at=at) for n, (at, _) in enumerate(TIMES)])
    items.run()
    found = {int(key[0]): landed.changed_at for key, landed in items.tables()["items"].items()}
    assert found == {n: expected for n, (_, expected) in enumerate(TIMES)}


ODD_TIMES = [
    *["infinity", "-infinity", "epoch", "now", "290000-01-01", "0044-03-15 (BC)", "9999-12-31T23:59:59Z", "", "soon"],
    *[9_999_999_999_999_999, 99_999_999_999, 10**30, 1e300, -1, -(10**15), True, [], {"N": "1"}],
]


@pytest.mark.parametrize("feed", ["streams", "kinesis"])
def test_creation_times_beyond_reason_harm_nobody(items: Harness, feed: str) -> None:
    def record(key: str, n: int, at: Any) -> Record:
        if feed == "streams":
            return stream_record({"PK": key}, {"v": f"fine{n}"}, sequence=n + 1, at=at)
        return kinesis_record({"PK": key}, {"v": f"fine{n}"}, at=at, precision="MILLISECOND")

    items.put_records([record(f"good{n}", n, T0) for n in range(1, 4)])
    items.put_records([record(f"odd{n}", n, at) for n, at in enumerate(ODD_TIMES)])
    counts = items.run().counts
    assert_good(items)
    odd = {key for key in rows(items) if key.startswith("odd")}
    assert len(odd) + counts.quarantined == len(ODD_TIMES)
    if feed == "streams":
        assert counts.quarantined == 0


def test_a_creation_time_of_few_digits_is_in_the_unit_that_it_names(items: Harness) -> None:
    times: list[tuple[int, Literal["MILLISECOND", "MICROSECOND"] | None, timedelta]] = [
        (1_767_225_600, None, timedelta(seconds=1_767_225_600)),
        (1_767_225_600, "MILLISECOND", timedelta(milliseconds=1_767_225_600)),
        (1_767_225_600, "MICROSECOND", timedelta(microseconds=1_767_225_600)),
        (7, "MILLISECOND", timedelta(milliseconds=7)),
    ]
    items.put_records(
        [kinesis_record({"PK": f"{n}"}, {}, at=at, precision=unit) for n, (at, unit, _) in enumerate(times)]
    )
    items.run()
    found = {int(key[0]): landed.changed_at for key, landed in items.tables()["items"].items()}
    assert found == {n: datetime(1970, 1, 1, tzinfo=UTC) + since for n, (*_, since) in enumerate(times)}


def test_kinesis_times_in_milli_and_microseconds_are_ordered_together(items: Harness) -> None:
    def at(key: str, micros: int, v: str, precision: Any) -> Record:
        moment = T0 + timedelta(microseconds=micros)
        return kinesis_record({"PK": key}, {"v": v}, at=moment, precision=precision)

    records = [
        at("a", 1_000, "1", "MILLISECOND"),
        at("a", 2_000, "2", None),
        at("a", 2_500, "3", "MICROSECOND"),
        at("b", 2_500, "2", "MICROSECOND"),
        at("b", 3_000, "3", None),
        at("b", 1_999, "1", "MICROSECOND"),
    ]
    random.Random(3).shuffle(records)
    for half in (records[:3], records[3:]):
        items.put_records(half)
        items.run()
    assert {k: i["v"] for k, i in rows(items).items()} == {"a": "3", "b": "3"}
    assert items.tables()["items"][("a",)].changed_at == T0 + timedelta(microseconds=2_500)


def test_a_clock_that_jumps_does_not_disturb_the_order_of_sequence_numbers(items: Harness) -> None:
    jumps = [0, 3600, -7200, 86_400, -86_400 * 300, 5]
    items.put_records(
        [
            stream_record({"PK": "a"}, {"v": str(n)}, sequence=n, at=T0 + timedelta(seconds=s))
            for n, s in enumerate(jumps)
        ]
    )
    items.run()
    assert rows(items)["a"]["v"] == "5"
    items.put_records([stream_record({"PK": "a"}, {"v": "6"}, sequence=6, at=T0 - timedelta(days=900))])
    items.run()
    assert rows(items)["a"]["v"] == "6"


def test_a_user_identity_of_null_is_nobody(items: Harness) -> None:
    items.put_records([{**put("a", 1, v="x"), "userIdentity": None}, *good()])
    assert items.run().counts.applied == 4


# --- records that are none --------------------------------------------------------------------------------


def firehose_error(record: Record) -> Record:
    """https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html"""
    return {
        "attemptsMade": 4,
        "arrivalTimestamp": 1_767_225_600_000,
        "errorCode": "Lambda.FunctionError",
        "errorMessage": "The Lambda function returned an error.",
        "attemptEndingTimestamp": 1_767_225_700_000,
        "rawData": base64.b64encode(encode(record)).decode(),
        "lambdaArn": "arn:aws:lambda:eu-central-1:123456789012:function:f:$LATEST",
    }


def test_what_is_no_record_is_quarantined_among_its_neighbours(items: Harness) -> None:
    strays: list[tuple[bytes, str]] = [
        (encode(firehose_error(put("e", 1))), "firehose_error"),
        (b"{}", "unknown_shape"),
        (b"null", "unknown_shape"),
        (b"42", "unknown_shape"),
        (b'"text"', "unknown_shape"),
        (b'{"Item":{"PK":{"S":"x"}}}', "unknown_shape"),
        (b'{"dynamodb":null}', "unknown_shape"),
        (b'{"dynamodb":[]}', "unknown_shape"),
        (b'{"dynamodb":{"NewImage":{}}}', "no_key"),
        (encode({**put("op", 1), "eventName": "TRUNCATE"}), "unknown_event"),
        (encode({**put("op2", 1), "eventName": None}), "unknown_event"),
    ]
    records: list[Record | bytes] = []
    for number, (stray, _) in enumerate(strays):
        records += [stray, *good(1, first=number)]
    items.put(frame(records))
    counts = items.run().counts
    assert (counts.applied, counts.quarantined) == (len(strays), len(strays))
    assert [(n, r) for _, n, r in quarantined(items)] == [(2 * n + 1, r) for n, (_, r) in enumerate(strays)]
    assert_good(items, len(strays), first=0)


def test_damage_within_an_object_costs_the_damaged_record_only(items: Harness) -> None:
    whole = encode(put("cut", 50, v="x"))
    damaged: list[tuple[bytes, str]] = [
        (whole[:100], "truncated"),
        (whole.replace(b'"cut"', b'"\xff\xfe"'), "not_utf8"),
        (b"garbage", "not_json"),
        (b"\0\0\0\0", "not_json"),
        (whole.replace(b":", b";", 5), "not_json"),
        (whole[50:], "not_json"),
        (whole.replace(b'"cut"', b'"\\ud83d"'), "not_json"),
    ]
    for number, (bad, _) in enumerate(damaged):
        items.put(frame([*good(2, first=4 * number), bad, *good(2, first=4 * number + 2)]), f"{number}")
    counts = items.run().counts
    assert counts.applied == 4 * len(damaged)
    assert_good(items, 4 * len(damaged), first=0)
    assert [(key, n) for key, n, _ in quarantined(items)] == [(str(n), 3) for n in range(len(damaged))]
    assert {r for _, _, r in quarantined(items)} <= {"truncated", "not_utf8", "not_json"}


def test_of_a_json_key_given_twice_one_wins_and_nobody_is_harmed(items: Harness) -> None:
    plain = encode(put("a", 1, v="x"))
    items.put(
        frame(
            [
                plain.replace(b'"v":{"S":"x"}', b'"v":{"S":"x"},"v":{"S":"y"},"w":{"S":"1"},"w":{"S":"2"}'),
                encode(put("b", 1, v="x")).replace(
                    b'"eventName":"INSERT"', b'"eventName":"INSERT","eventName":"REMOVE"'
                ),
                encode(put("c", 1, v="x")).replace(b'"Keys":', b'"Keys":{"PK":{"S":"d"}},"Keys":'),
                *good(),
            ]
        )
    )
    counts = items.run().counts
    assert (counts.applied, counts.quarantined) == (6, 0)
    found = rows(items)
    assert found["a"]["v"] in ("x", "y")
    assert found["b"]["v"] == "x"
    assert_good(items)


def test_records_of_the_other_feed_stop_their_source_and_no_other(warehouse_url: str, tmp_path: Path) -> None:
    sick = Harness(warehouse_url, replace(ALL, name="sick", targets=(Target("sick"),)), tmp_path / "sick")
    well = Harness(warehouse_url, replace(ALL, name="well"), tmp_path / "well")
    sick.put_records([put("a", 1, v="x"), kinesis_record({"PK": "b"}, {"v": "y"}, at=T0)])
    well.put_records(good())
    settings = Settings(warehouse_url, "analytics", "cdc_merge", (sick.source, well.source))
    totals = Worker(settings).run_once()
    assert isinstance(totals.stopped["sick"], MixedFeed)
    assert "prefix" in (totals.stopped["sick"].hint or "")
    assert totals.by_source.keys() == {"well"}
    assert_good(well)
    assert well.query("SELECT count(*) FROM cdc_merge.objects WHERE source = 'sick'") == [(0,)]


def test_a_batch_of_everything_at_once_merges_all_that_is_good(items: Harness) -> None:
    items.source = replace(items.source, batch=BatchLimits(bytes=1_000_000, objects=7))
    noise = random.Random(5)
    bad = [
        *[
            compress(b"\n" * 9_000_000),
            parquet(),
            compress(frame(good()))[:-9],
            b"",
            b"\n\n",
            b"\xff\xfe\xfd",
            b"PK\x03\x04nonsense",
        ],
        *[encode(firehose_error(put("e", 1))), b'{"a":' * 10_000, encode(put("cut", 1))[:-30]],
        *[
            b"\x1f\x8b" + noise.randbytes(500),
            noise.randbytes(5_000),
            b"PAR1" + noise.randbytes(50),
            b"ORC" + noise.randbytes(50),
        ],
    ]
    for number, data in enumerate(bad):
        items.put(data, f"{number:02}-bad")
        items.put(
            compress(frame([put(f"key{number}", 1, v=f"value{number}")], STYLES[number % 5])), f"{number:02}-good"
        )
    counts: Counts = items.run().counts
    assert counts.objects == 2 * len(bad)
    assert {k: i["v"] for k, i in rows(items).items()} == {f"key{n}": f"value{n}" for n in range(len(bad))}
    assert {key for key, _, _ in quarantined(items)} == {f"{n:02}-bad" for n in range(len(bad)) if bad[n].strip()}
