"""One batch decoded, without a warehouse: what is staged, what is counted, what is learned of the feed."""

from __future__ import annotations

import gc
import gzip
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import MixedFeed, Refused, SchemaConflict, SourceStopped, UnknownAttributes, UnusableFeed
from cdc_merge.feed import shape
from cdc_merge.feed.chunks import ChunkReader, LocalObject
from cdc_merge.feed.decode import Decoded, decode
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.item_shelf import ItemTables
from cdc_merge.feed.items import decode_items
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import (
    Column,
    ColumnType,
    Condition,
    Evolve,
    Kind,
    Mask,
    ObjectRef,
    Ordering,
    Source,
    Target,
)
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses.dialect import DUCKDB, Dialect
from tests.support.decoding import READERS, choose, local_objects
from tests.support.records import Record, compress, encode, frame, kinesis_record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TABLE_ARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/ecommerce"
ALL = Source("shop", "", ("PK",), (Target("items"),))


@pytest.fixture(autouse=True, params=READERS)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the lines."""
    choose(monkeypatch, request.param)


def put(key: Any, sequence: int, **attributes: Any) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def remove(key: Any, sequence: int) -> Record:
    return stream_record({"PK": key}, None, sequence=sequence, at=T0 + timedelta(seconds=sequence))


@dataclass
class Staged:
    """A decoded batch and the workbench it lies on."""

    decoded: Decoded
    books: list[SchemaBook]
    bench: Workbench

    def keys(self) -> dict[str, dict[str, Any]]:
        """`stage_keys`, by partition key."""
        table = self.bench.table("FROM stage_keys").to_pylist()
        return {row["partition_key"]: row for row in table}

    def rows(self, target: int = 0) -> dict[str, dict[str, Any]]:
        """The rows of a target by partition key, with its column names, and `rescued`."""
        columns = [f'r.c{i} AS "{c.name}"' for i, c in enumerate(self.books[target].schema.columns)]
        sql = f"SELECT {', '.join(['k.partition_key', 'r.rescued', *columns])} FROM stage_rows_{target} AS r JOIN stage_keys AS k USING (n)"  # noqa: E501
        rows = self.bench.table(sql).to_pylist()
        assert len({row["partition_key"] for row in rows}) == len(rows)
        return {row.pop("partition_key"): row for row in rows}

    def rejected(self) -> list[tuple[int, int | None, str]]:
        return self.bench.rows("SELECT object_number, record, reason FROM rejected ORDER BY ALL")


Decode = Callable[..., Staged]


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Decode]:
    benches: list[Workbench] = []

    def run(
        *bodies: Sequence[Record] | bytes,
        source: Source = ALL,
        facts: FeedFacts = FeedFacts(),  # noqa: B008 - a frozen value
        dialect: Dialect = DUCKDB,
        check: Callable[[], None] = lambda: None,
    ) -> Staged:
        books = [open_book(t, source.key, dialect, None) for t in source.targets]
        bench = Workbench(memory=200_000_000)
        benches.append(bench)
        return Staged(
            decode(
                bench,
                local_objects(tmp_path, bodies),
                source=source,
                facts=facts,
                books=books,
                dialect=dialect,
                check=check,
            ),
            books,
            bench,
        )

    yield run
    for bench in benches:
        bench.close()


# --- counting ---------------------------------------------------------------------------------------------


def test_every_record_is_counted_once_and_by_its_object(staged: Decode) -> None:
    damaged = {**put("x", 1), "dynamodb": {}}
    batch = staged(
        [put("a", 1), put("a", 2), put("b", 1)],
        [remove("a", 3), damaged],
        b"",
        b"\x1f\x8b broken",
        compress(frame([put("c", 1)] * 5, "concatenated")),
    )
    d = batch.decoded
    assert d.records_of == {0: 3, 1: 2, 3: 1, 4: 5}
    assert (d.records, d.latest, d.quarantined, d.superseded) == (11, 3, 2, 6)
    assert batch.rejected() == [(1, 2, "no_key"), (3, None, "corrupt")]
    assert d.newest_change_at == T0 + timedelta(seconds=3)
    assert d.plain_bytes >= len(frame([put("c", 1)] * 5, "concatenated"))


def test_an_unusable_change_is_counted_where_it_was_read_and_gives_way_to_the_one_before(staged: Decode) -> None:
    no_image = put("a", 3)
    del no_image["dynamodb"]["NewImage"]
    batch = staged([put("a", 1, v="x"), put("a", 2, v="y")], [no_image, {**put("b", 1), "eventName": "X"}])
    d = batch.decoded
    assert d.records_of == {0: 2, 1: 2}
    assert (d.records, d.latest, d.quarantined, d.superseded) == (4, 1, 2, 1)
    assert batch.rejected() == [(1, 1, "no_image"), (1, 2, "unknown_event")]
    assert batch.rows()["a"]["v"] == "y"


def test_a_batch_without_a_record_is_empty(staged: Decode) -> None:
    d = staged(b"", b"\n").decoded
    assert (d.records, d.latest, d.quarantined, d.records_of, d.newest_change_at) == (0, 0, 0, {}, None)
    assert d.facts == FeedFacts()
    assert staged().decoded.records == 0


# --- staging ----------------------------------------------------------------------------------------------


def test_the_newest_change_of_each_key_is_staged_with_its_position_and_time(staged: Decode) -> None:
    batch = staged([put("a", 2, v="new"), put("b", 5, v="x"), put("a", 1, v="old")], [remove("b", 7), put("c", 9)])
    keys = batch.keys()
    assert {k: (row["position"][-4:], row["removed"], row["takes_0"]) for k, row in keys.items()} == {
        "a": ("0002", False, True),
        "b": ("0007", True, False),
        "c": ("0009", False, True),
    }
    assert keys["a"]["position"].startswith("2026-01-01T00:00:00.000/")
    assert keys["b"]["changed_at"] == T0 + timedelta(seconds=7)
    assert len({row["n"] for row in keys.values()}) == 3
    assert batch.rows() == {"a": {"v": "new", "rescued": None}, "c": {"v": None, "rescued": None}}


def test_each_target_gets_the_items_it_takes(staged: Decode) -> None:
    by_type = [Target(t, where=(Condition(("Type",), any_of=(t.title(),)),)) for t in ("order", "customer")]
    big = Target("big", where=(Condition(("Total",), any_of=(100, 200)), Condition(("Type",), prefix="Ord")))
    hidden = Target("hidden", where=(Condition(("Hidden",), exists=True),))
    source = replace(ALL, targets=(*by_type, big, hidden))
    batch = staged(
        [
            put("o1", 1, Type="Order", Total=100),
            put("o2", 1, Type="Order", Total=150),
            put("c1", 1, Type="Customer", Hidden=False),
            put("x", 1, Type="Else"),
            remove("r", 1),
        ],
        source=source,
    )
    assert [set(batch.rows(n)) for n in range(4)] == [{"o1", "o2"}, {"c1"}, {"o1"}, {"c1"}]
    keys = batch.keys()
    assert [keys["x"][f"takes_{n}"] for n in range(4)] == [False] * 4
    assert all(row["could"] for row in keys.values())  # no condition is on the key


def test_whether_a_removed_item_could_have_been_in_a_target_is_told_from_its_key(staged: Decode) -> None:
    source = replace(ALL, targets=(Target("orders", where=(Condition(("PK",), prefix="ORDER#"),)),))
    keys = staged(
        [remove("ORDER#1", 1), remove("USER#1", 1), put("ORDER#2", 1), put("USER#2", 1)], source=source
    ).keys()
    assert {k: row["could"] for k, row in keys.items()} == {
        "ORDER#1": True,
        "USER#1": False,
        "ORDER#2": True,
        "USER#2": False,
    }


def test_columns_come_from_paths_and_the_rest_is_rescued_where_the_table_is_frozen(staged: Decode) -> None:
    columns = (
        Column("city", ("Address", "City"), ColumnType(Kind.TEXT)),
        Column("first", ("Lines", 0, "Sku"), ColumnType(Kind.TEXT)),
        Column("paid", ("Paid",)),
    )
    source = replace(ALL, targets=(Target("items", columns=columns, evolve=Evolve.FREEZE),))
    batch = staged(
        [
            put("a", 1, Address={"City": "Ulm"}, Lines=[{"Sku": "x"}, {"Sku": "y"}], Paid=True),
            put("b", 1, Address="none", Paid=["yes"]),
            put("c", 1),
        ],
        source=source,
    )
    rows = batch.rows()
    assert (rows["a"]["city"], rows["a"]["first"], rows["a"]["paid"]) == ("Ulm", "x", True)
    assert '"Lines"' in rows["a"]["rescued"] and '"Address"' in rows["a"]["rescued"]
    assert rows["b"]["rescued"] == '{"Address":{"S":"none"},"Paid":{"L":[{"S":"yes"}]}}'
    assert rows["c"] == {"city": None, "first": None, "paid": None, "rescued": None}


def test_a_new_attribute_stops_a_target_that_says_so(staged: Decode) -> None:
    columns = (Column("v", ("v",), ColumnType(Kind.TEXT)),)
    source = replace(ALL, targets=(Target("items", columns=columns, evolve=Evolve.FAIL),))
    assert staged([put("a", 1, v="x")], source=source).rows()["a"]["v"] == "x"
    with pytest.raises(SchemaConflict, match="surprise"):
        staged([put("a", 1, v="x", surprise=1)], source=source)


def test_a_portion_of_every_thread_fills_the_same_tables(staged: Decode) -> None:
    bodies = [frame([put(f"k{o}-{n}", n, **{f"a{o}": "x" * 2_000}) for n in range(3_000)]) for o in range(6)]
    batch = staged(*bodies)
    assert batch.decoded.latest == 18_000
    assert batch.bench.rows("SELECT count(*), count(DISTINCT n) FROM stage_rows_0") == [(18_000, 18_000)]
    assert {c.name for c in batch.books[0].schema.columns} == {f"a{o}" for o in range(6)}
    assert batch.bench.rows("SELECT count(*) FROM stage_rows_0 WHERE rescued IS NOT NULL") == [(0,)]


# --- what is learned of the feed --------------------------------------------------------------------------


def test_the_feed_and_the_types_of_its_key_are_learned_from_the_records(staged: Decode) -> None:
    assert staged([put("a", 1)]).decoded.facts == FeedFacts(Ordering.SEQUENCE, ("S",), False, TABLE_ARN)
    source = replace(ALL, key=("PK", "SK"))
    record = kinesis_record({"PK": 1, "SK": b"x"}, {"v": "y"}, at=T0)
    batch = staged([record], source=source)
    assert batch.decoded.facts == FeedFacts(Ordering.TIME, ("N", "B"), True)
    assert list(batch.keys()) == ["1"]
    assert batch.keys()["1"]["sort_key"] == "eA=="


def test_the_keys_of_most_records_count_and_the_others_are_quarantined(staged: Decode) -> None:
    batch = staged([put(1, 1), put("a", 1), put("b", 1)])
    assert batch.decoded.facts.key_tags == ("S",)
    assert batch.rejected() == [(0, 1, "key_type")]
    batch = staged([put("a", 1), put("b", 1), put(1, 1)], facts=FeedFacts(Ordering.SEQUENCE, ("N",)))
    assert batch.decoded.facts.key_tags == ("N",)
    assert list(batch.keys()) == ["1"]


def test_a_stream_can_be_ordered_by_time_where_the_configuration_says_so(staged: Decode) -> None:
    batch = staged([put("a", 2, v="x"), put("a", 1, v="y")], source=replace(ALL, ordering=Ordering.TIME))
    assert batch.decoded.facts.ordering is Ordering.TIME
    assert batch.keys()["a"]["position"].startswith(f"{int(T0.timestamp() + 2) * 1_000_000:020}/0/")


@pytest.mark.parametrize(
    ("records", "facts"),
    [
        ([put("a", 1), kinesis_record({"PK": "b"}, {}, at=T0)], FeedFacts()),
        ([kinesis_record({"PK": "b"}, {}, at=T0)], FeedFacts(Ordering.SEQUENCE, ("S",))),
        ([put("a", 1)], FeedFacts(Ordering.TIME, ("S",))),
        ([kinesis_record({"PK": "b"}, {}, at=T0)] * 2 + [put("a", 1)], FeedFacts()),
    ],
)
def test_two_feeds_under_one_prefix_stop_the_source(staged: Decode, records: list[Record], facts: FeedFacts) -> None:
    with pytest.raises(MixedFeed) as raised:
        staged(records, facts=facts)
    assert raised.value.hint


def test_a_stream_of_keys_only_stops_the_source_and_names_the_record(staged: Decode) -> None:
    record = stream_record({"PK": "a"}, {}, sequence=1, at=T0, view="KEYS_ONLY")
    with pytest.raises(UnusableFeed, match="KEYS_ONLY") as raised:
        staged([put("b", 1), record])
    assert "record 2 of object0" in (raised.value.where or "")


def test_the_wrong_key_in_the_configuration_stops_the_source_and_names_the_right_one(staged: Decode) -> None:
    with pytest.raises(SourceStopped, match="PK") as raised:
        staged([put("a", 1)], source=replace(ALL, key=("id",)))
    assert "key" in (raised.value.hint or "")
    assert not isinstance(raised.value, MixedFeed)


@pytest.mark.parametrize(
    "stranger",
    [
        {"a": "record of something else"},
        stream_record({"id": "x"}, {}, sequence=1, at=T0),
        stream_record({"PK": True}, {}, sequence=1, at=T0),
    ],
)
def test_what_most_records_of_a_feed_are_like_is_learned_though_a_few_looks_meet_strangers(
    staged: Decode, stranger: Record
) -> None:
    records = [stranger if n % 2 == 0 else put(n, n) for n in range(2_000)]  # of which each other is looked at
    batch = staged(records)
    assert batch.decoded.facts == FeedFacts(Ordering.SEQUENCE, ("N",), is_kinesis=False, table_arn=TABLE_ARN)
    assert (batch.decoded.latest, batch.decoded.quarantined) == (1_000, 1_000)


def test_beside_a_masked_column_one_in_the_clear_takes_values_of_every_type_it_can_hold(staged: Decode) -> None:
    text, hidden = Column("text", ("V",), ColumnType(Kind.TEXT)), Column("hidden", ("V",), mask=Mask.DROP)
    source = replace(ALL, targets=(Target("items", columns=(text, hidden)),))
    batch = staged(
        [put("a", 1, V="x"), put("b", 2, V=7), put("c", 3, V=None), put("d", 4, V={"no": "text"})], source=source
    )
    rows = batch.rows()
    assert {key: row["text"] for key, row in rows.items()} == {"a": "x", "b": "7", "c": None, "d": None}
    assert {row["rescued"] for row in rows.values()} == {None}


def test_lines_that_are_left_to_duckdb_for_several_reasons_keep_their_keys(staged: Decode) -> None:
    records = [put(key, 1, v=f"image of {key}") for key in "bac"]
    for record in (records[0], records[2]):
        record["eventSourceARN"] = TABLE_ARN + "/stream/2026/x"
    deep: Any = {"d": []}
    for _ in range(300):
        deep = [deep]
    records[1]["deep"] = deep

    batch = staged(records)

    assert {key: row["v"] for key, row in batch.rows().items()} == {key: f"image of {key}" for key in "abc"}
    assert (batch.decoded.latest, batch.decoded.quarantined) == (3, 0)


def test_an_attribute_that_stops_the_source_is_told_beside_a_line_that_is_no_json(staged: Decode) -> None:
    columns = (Column("v", ("v",), ColumnType(Kind.TEXT)),)
    source = replace(ALL, targets=(Target("items", columns=columns, evolve=Evolve.FAIL),))

    with pytest.raises(UnknownAttributes, match="record 1 of object1"):
        staged(frame([put("a", 1, v="x")]) + b"garbage\n", [put("b", 1, Unknown="x")], source=source)


# --- stopping ---------------------------------------------------------------------------------------------


class Enough(Exception):
    """Raised by `check` in these tests."""


@pytest.mark.parametrize("calls", [0, 1])
def test_decoding_stops_in_either_pass_when_it_is_told_to(
    staged: Decode, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.feed.effort.MOST_IN_VAIN", -1)  # so that there is a second pass
    left = calls

    def check() -> None:
        nonlocal left
        if left == 0:
            raise Enough
        left -= 1

    with pytest.raises(Enough):
        staged(frame([put(f"k{n}", n, v="x" * 1_000) for n in range(30_000)]), check=check)
    assert not [t for t in threading.enumerate() if t.name.startswith(("chunk-reader", "decode"))]


@pytest.mark.parametrize("cores", [2, 8])
def test_a_batch_larger_than_its_memory_is_decoded_by_as_many_threads_as_it_allows(
    tmp_path: Path, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert decode_within(120_000_000, tmp_path) == 60_000


@pytest.mark.parametrize("is_cut", [False, True], ids=["damaged record", "object breaks off"])
def test_what_was_read_of_an_object_before_it_was_given_up_does_not_count(staged: Decode, *, is_cut: bool) -> None:
    """It lies in several chunks, and only the last one shows what is the matter."""
    small = replace(ALL, memory=20_000_000)
    lines = [encode(put(f"k{n}", n, v="x" * 2_000)) for n in range(1, 6_001)]
    body = b"\n".join([*lines, b'{"half a rec', encode(put("last", 9_000))])
    assert len(body) > 3 * 4 * 2**20
    batch = staged(gzip.compress(body, 1)[: -100 if is_cut else None], [put("other", 1)], source=small)

    whole = {"other"} if is_cut else {"other", "last", *(f"k{n}" for n in range(1, 6_001))}
    assert set(batch.keys()) == whole
    found = batch.decoded
    assert (found.records, found.latest, found.superseded) == (len(whole) + 1, len(whole), 0)
    assert found.quarantined == 1


def test_too_little_memory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceStopped, match="takes more than") as raised:
        decode_within(8_000_000, tmp_path)
    assert "memory" in (raised.value.hint or "")


def decode_within(memory: int, folder: Path) -> int:
    """Decode 60,000 records of more than 1 KB each; how many keys were staged."""
    line = encode(put("KEY", 0, v="VALUE")).decode().replace('"SequenceNumber":"0"', '"SequenceNumber":"1"')
    body = "".join(line.replace("KEY", f"{n:040}").replace("VALUE", f"{n:0900}") for n in range(60_000)).encode()
    (folder / "x").write_bytes(body)
    obj = LocalObject(0, ObjectRef("x", "v", len(body), T0), folder / "x")
    books = [open_book(ALL.targets[0], ALL.key, DUCKDB, None)]
    with Workbench(memory=memory) as bench:
        decode(bench, [obj], source=ALL, facts=FeedFacts(), books=books, dialect=DUCKDB)
        ((count, shortest),) = bench.rows("SELECT count(*), min(length(c0)) FROM stage_rows_0")
    assert shortest == 900
    return int(count)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collector meanwhile, as if it had not come by yet."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def buffers() -> int:
    """How many passes over objects still hold their line buffers, a quarter of the source's memory each."""
    return sum(isinstance(thing, ChunkReader) for thing in gc.get_objects())


@pytest.mark.usefixtures("uncollected")
def test_a_decoded_batch_lets_go_of_its_buffers_at_once(tmp_path: Path) -> None:
    decode_within(350_000_000, tmp_path)
    assert buffers() == 0


@pytest.mark.usefixtures("uncollected")
def test_decoded_exported_files_let_go_of_their_buffers_at_once(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"Item":{"PK":{"S":"a"}}}\n')
    files = [LocalObject(0, ObjectRef("x", "v", 1, T0), tmp_path / "x")]
    books = [open_book(ALL.targets[0], ALL.key, DUCKDB, None)]
    with Workbench(memory=350_000_000) as bench:
        tables = ItemTables(tmp_path / "items.duckdb", books, DUCKDB)
        found = decode_items(bench, files, source=ALL, form=shape.EXPORTED, key_tags=None, tables=tables)
    assert (found.items_of, buffers()) == ({0: 1}, 0)


def test_an_exported_item_without_the_key_is_refused_for_that_whatever_else_it_has(tmp_path: Path) -> None:
    lines = '{"Item":{"PK":{"S":"a"}}}\n{"Item":{"Id":{"S":"b"},"Stranger":{"S":"c"}}}\n'
    (tmp_path / "x").write_text(lines)
    files = [LocalObject(0, ObjectRef("x", "v", 1, T0), tmp_path / "x")]
    target = replace(ALL.targets[0], evolve=Evolve.FAIL)
    source = replace(ALL, targets=(target,))
    tables = ItemTables(tmp_path / "items.duckdb", [open_book(target, ALL.key, DUCKDB, None)], DUCKDB)
    with (
        Workbench(memory=350_000_000) as bench,
        pytest.raises(Refused, match=r"line 2 has no key PK \(S\)"),
    ):
        decode_items(bench, files, source=source, form=shape.EXPORTED, key_tags=None, tables=tables)


def test_exported_items_of_many_kilobytes_fit_the_memory(tmp_path: Path) -> None:
    text = " ".join(f"word {number}" for number in range(3_000))
    with (tmp_path / "x").open("w") as file:
        for number in range(3_000):
            file.write(f'{{"Item":{{"PK":{{"S":"{number}"}},"Text":{{"S":"{number} {text}"}}}}}}\n')
    files = [LocalObject(0, ObjectRef("x", "v", 1, T0), tmp_path / "x")]
    tables = ItemTables(tmp_path / "items.duckdb", [open_book(ALL.targets[0], ALL.key, DUCKDB, None)], DUCKDB)
    with Workbench(memory=350_000_000) as bench:
        found = decode_items(bench, files, source=ALL, form=shape.EXPORTED, key_tags=None, tables=tables)
    assert found.items_of == {0: 3_000}


def test_columns_of_other_targets_take_little_room_in_the_file_of_exported_items(tmp_path: Path) -> None:
    columns = tuple(Column(f"c{number}", (f"A{number}",), ColumnType(Kind.TEXT)) for number in range(10))
    targets = tuple(
        Target(
            f"t{number}", where=(Condition(("Type",), any_of=(f"T{number}",)),), columns=columns, evolve=Evolve.FREEZE
        )
        for number in range(20)
    )
    with (tmp_path / "x").open("w") as file:
        for number in range(20_000):
            file.write(
                f'{{"Item":{{"PK":{{"S":"{number}"}},"Type":{{"S":"T{number % 20}"}},"A0":{{"S":"{number}"}}}}}}\n'
            )
    files = [LocalObject(0, ObjectRef("x", "v", 1, T0), tmp_path / "x")]
    source = replace(ALL, targets=targets)
    tables = ItemTables(tmp_path / "items.duckdb", [open_book(t, ALL.key, DUCKDB, None) for t in targets], DUCKDB)
    with Workbench(memory=350_000_000) as bench:
        decode_items(bench, files, source=source, form=shape.EXPORTED, key_tags=None, tables=tables)
    assert tables.path.stat().st_size < 300 * 20_000
