"""A batch on the warehouse's road leaves what it leaves on the worker's, and goes there only if it surely does."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.checking import check
from cdc_merge.errors import BatchTooLarge, WarehouseRefused, WarehouseUnavailable
from cdc_merge.layout import layout_of
from cdc_merge.model import (
    BatchLimits,
    Column,
    ColumnType,
    Condition,
    Deletes,
    Evolve,
    Expired,
    Kind,
    Mask,
    Ordering,
    Source,
    Target,
    Template,
    TimeUnit,
)
from cdc_merge.planning.reader import PlanReader
from cdc_merge.preparing import Job, Prepared, Preparer
from cdc_merge.raw.fitness import why_not, why_not_yet
from cdc_merge.schema.opening import open_book
from cdc_merge.schema.stored import TargetSchema, TypedColumn
from cdc_merge.warehouses import open_warehouse
from cdc_merge.warehouses.dialect import DUCKDB
from cdc_merge.warehouses.raw import Loaded
from cdc_merge.warehouses.redshift import RedshiftSession
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.snowflake import SnowflakeSession
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE
from tests.support.records import Record, compress, frame, stream_record, to_item
from tests.support.two_roads import S3Harness, TwoRoads
from tests.test_s3_road import WakingStop

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = Target(
    "items",
    columns=(
        Column("name", ("Name",), ColumnType(Kind.TEXT)),
        Column("total", ("Total",), ColumnType(Kind.NUMERIC)),
        Column("count", ("Count",), ColumnType(Kind.INTEGER)),
        Column("share", ("Share",), ColumnType(Kind.DOUBLE)),
        Column("paid", ("Paid",), ColumnType(Kind.BOOLEAN)),
        Column("at", ("At",), ColumnType(Kind.TIMESTAMP)),
        Column("ends", ("Ends",), ColumnType(Kind.TIMESTAMP, unit=TimeUnit.SECONDS)),
        Column("day", ("Day",), ColumnType(Kind.DATE)),
        Column("token", ("Token",), ColumnType(Kind.BINARY)),
        Column("city", ("Address", "City"), ColumnType(Kind.TEXT)),
        Column("sku", ("Lines", 0, "Sku"), ColumnType(Kind.TEXT)),
    ),
    evolve=Evolve.FREEZE,
)
SHOP = Source("shop", "", ("PK", "SK"), (ITEMS,))
FULL: dict[str, Any] = {
    "Name": 'it\'s "a" \\ b\n\t/ä🛒 ',
    "Total": Decimal("12345678901234567890.123456789012345678"),
    "Count": -999_999_999_999_999_999,
    "Share": Decimal("0.123456789012345"),
    "Paid": True,
    "At": "2026-02-28T23:59:59.123456Z",
    "Ends": 1767225600,
    "Day": "2024-12-31",
    "Token": b"\x00\xff\x10",
    "Address": {"City": "Bern", "Zip": "3000"},
    "Lines": [{"Sku": "a"}, {"Sku": "b"}],
}


def put(pk: str, sequence: int, image: dict[str, Any] | None, sk: str = "-") -> Record:
    at = T0 + timedelta(seconds=sequence)
    return stream_record({"PK": pk, "SK": sk}, image, old_image={} if image is None else None, sequence=sequence, at=at)


@pytest.fixture
def roads(raw_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> TwoRoads:
    """A source whose first batch, which makes the table, is merged."""
    caplog.set_level("INFO", "cdc_merge.worker")
    roads = TwoRoads.of(raw_url, SHOP, tmp_path)
    assert roads.merge(frame([put("first", 1, FULL)])) == "worker"
    return roads


def test_plain_records_are_decoded_by_the_warehouse(roads: TwoRoads) -> None:
    plain = frame([put("a", 2, {"Name": "a", "Total": Decimal("12.50")}), put("a", 3, FULL), put("b", 2, {"Name": ""})])
    assert roads.merge(plain, compress(frame([put("b", 1, FULL), put("c", 1, {"Other": {"S": "x"}})]))) == "warehouse"
    assert roads.merge(frame([put("a", 4, None), put("c", 0, FULL), put("d", 5, None)])) == "warehouse"


# --- what is in doubt ---------------------------------------------------------------------------------------


def change(**given: Any) -> Record:
    """A plain record with something else in it; None takes a part away."""
    record = put("odd", 5, {"Name": "x"})
    for path, value in given.items():
        *way, last = path.split("__")
        inside = record
        for step in way:
            inside = inside[step]
        if value is None:
            del inside[last]
        else:
            inside[last] = value
    return record


ODD: dict[str, Any] = {
    "no record": {"hello": "world"},
    "no key": change(dynamodb__Keys={}),
    "a key of another type": change(dynamodb__Keys={"PK": {"N": "1"}, "SK": {"S": "-"}}),
    "a key that is empty": put("", 5, {"Name": "x"}),
    "an unknown event": change(eventName="TRUNCATE"),
    "an event with a blank": change(eventName="INSERT "),
    "no sequence number": change(dynamodb__SequenceNumber=None),
    "a sequence number that is none": change(dynamodb__SequenceNumber="12x"),
    "a sequence number that is a number": change(dynamodb__SequenceNumber=5),
    "a sequence number of two lines": change(dynamodb__SequenceNumber="5\nx"),
    "a time that is a fraction": change(dynamodb__ApproximateCreationDateTime=1767225605.5),
    "a precision that ends in a blank": change(dynamodb__ApproximateCreationDateTimePrecision="MICROSECOND "),
    "a time as text": change(dynamodb__ApproximateCreationDateTime="2026-01-01T00:00:05Z"),
    "no image": change(dynamodb__NewImage=None),
    "an image that is empty": change(dynamodb__NewImage={}),
    "an image that is a list": change(dynamodb__NewImage=[1]),
    "damage": b'{"eventName":"INSERT","dynamodb":{"Keys":',
    "no UTF-8": b'{"eventName":"INSERT","x":"\xff"}',
    "the same name twice": b'{"eventName":"INSERT","dynamodb":{"NewImage":{},"NewImage":{}}}',
    "a Lambda event": b'{"Records":[]}',
    "U+0000": put("odd", 5, {"Name": "a\0b"}),
    "U+0000 where no column is": put("odd", 5, {"Else": "a\0b"}),
    "a number with an exponent": put("odd", 5, {"Total": Decimal("1E+20")}),
    "a number that is too precise": put("odd", 5, {"Total": Decimal("0.1234567890123456789")}),
    "a number that is too large": put("odd", 5, {"Count": 2**63}),
    "a number of two lines": change(dynamodb__NewImage={**to_item({"PK": "odd", "SK": "-"}), "Total": {"N": "1\nx"}}),
    "a number as JSON's": change(dynamodb__NewImage={**to_item({"PK": "odd", "SK": "-"}), "Total": {"N": 1}}),
    "a text where a number should be": put("odd", 5, {"Total": "12.50"}),
    "a day that is none": put("odd", 5, {"Day": "2026-02-30"}),
    "a day in February": put("odd", 5, {"Day": "2024-02-29"}),
    "a time with a zone": put("odd", 5, {"At": "2026-01-02T03:04:05+05:30"}),
    "a map where a text should be": put("odd", 5, {"Name": {"a": "b"}}),
    "a number on a path": put("odd", 5, {"Address": {"City": 5}}),
    "a map where a list should be": change(
        dynamodb__NewImage={**to_item({"PK": "odd", "SK": "-"}), "Lines": {"L": {"0": {"M": {"Sku": {"S": "a"}}}}}}
    ),
    "base64 with bits left over": change(
        dynamodb__NewImage={**to_item({"PK": "odd", "SK": "-"}), "Token": {"B": "QR=="}}
    ),
    "a set without a column": put("odd", 5, {"Tags": {"b", "a"}}),
    "an attribute of no name": put("odd", 5, {"": "x"}),
    "an attribute that is no typed value": change(
        dynamodb__NewImage={**to_item({"PK": "odd", "SK": "-"}), "Name": "x"}
    ),
}


def of_redshifts_texts(sequence: int, *, of_the_longest: int) -> dict[str, Any]:
    """There blanks at an end do not count, and a text has 65,535 bytes at most."""
    return {
        "a key that ends in a blank": put("odd ", sequence, {"Name": "x"}),
        "a long text": put("odd", sequence, {"Name": "ä" * 32_767 + "x"}),
        "a text that is too long": put("odd", of_the_longest, {"Name": "ä" * 32_768}),
    }


# U+FFFD stands where Snowflake could not read something.
OF_SNOWFLAKES_TEXTS = {
    "U+FFFD": put("odd", 5, {"Name": "a\ufffdb"}),
    "U+FFFD where no column is": put("odd", 5, {"Else": ["a\ufffdb"]}),
}


@pytest.mark.long
def test_what_is_odd_ends_as_the_worker_has_it(roads: TwoRoads) -> None:
    of_engine = {"redshift": of_redshifts_texts(5, of_the_longest=5), "snowflake": OF_SNOWFLAKES_TEXTS}
    odd = ODD | of_engine[roads.by_warehouse.engine]
    for number, (what, record) in enumerate(odd.items(), start=100):
        merged = roads.merge(frame([put("plain", number, FULL), record]), frame([put("plain", number, FULL)]))
        assert merged in ("worker", "nobody"), what


PLAIN: dict[str, Any] = {
    "a text where a map should be": put("odd", 5, {"Address": "Bern"}),
    "a NULL in a column": put("odd", 6, {"Name": None, "Count": 1}),
    "a NULL on a path": put("odd", 7, {"Address": {"City": None}}),
    "a NULL that only paths lead to": put("odd", 8, {"Address": None}),
    "a NULL without a column": put("odd", 9, {"Else": None}),
    "attributes without a column": put("odd", 10, {'It\'s "a\\b"': ["x", {"y": True}], "Größe": Decimal("1.50")}),
    "an attribute that differs by a capital": put("odd", 11, {"Name": "a", "name": "b", "NAME": "c"}),
    "an older change of another stream": put("odd", 1, {"Name": "old"}),
    "no time": stream_record({"PK": "odd", "SK": "-"}, {"Name": "x"}, sequence=12, at=None),
    "no stream's name": stream_record({"PK": "o", "SK": ""}, {"Name": "x"}, sequence=12, at=T0, arn_label=None),
    "a removal of what is not there": put("none", 13, None),
    "a long text with escapes": put("odd", 14, {"Name": '"\\\n' * 5_000}),
}


@pytest.mark.long
def test_what_is_plain_is_the_warehouses(roads: TwoRoads) -> None:
    plain = PLAIN | (of_redshifts_texts(50, of_the_longest=51) if roads.by_warehouse.engine != "redshift" else {})
    for what, record in plain.items():
        assert roads.merge(frame([record])) == "warehouse", what


def test_copies_of_a_change_are_one_if_they_are_the_same(roads: TwoRoads) -> None:
    once, again = put("a", 5, {"Name": "x"}), put("a", 5, {"Name": "x"})
    assert roads.merge(frame([once, again, once]), frame([again])) == "warehouse"
    assert roads.merge(frame([put("b", 5, {"Name": "x"})]), frame([put("b", 5, {"Name": "y"})])) == "worker"


def test_records_run_together_are_counted_object_by_object(roads: TwoRoads, monkeypatch: pytest.MonkeyPatch) -> None:
    def batch(first: int) -> list[bytes]:
        return [frame([put(f"k{n}", first, FULL), put("a", first + n, FULL)], "concatenated") for n in range(3)]

    assert roads.merge(*batch(10)) == "warehouse"
    monkeypatch.setattr("cdc_merge.warehouses.redshift_raw.MOST_ALONE", 2)
    # Snowflake tells of each document what file it is of.
    assert roads.merge(*batch(20)) == ("worker" if roads.by_warehouse.engine == "redshift" else "warehouse")
    assert roads.merge(frame([put("a", 30, FULL)], "concatenated")) == "warehouse"


@pytest.mark.long
def test_objects_of_any_packing_are_merged(roads: TwoRoads) -> None:
    plain = frame([put("a", 5, FULL)])
    assert roads.merge(plain, compress(plain), b"") == "warehouse"
    assert roads.merge(plain, b"\n" + compress(plain, "zip")) == "worker"
    assert roads.merge(frame([put("b", 5, FULL)]), compress(plain, "zstd")) == "worker"
    assert roads.merge(b"") == "worker"
    assert roads.merge(compress(plain)[:-8]) == "worker"
    assert roads.merge(frame([put("c", 5, FULL), put("d", 5, FULL)], "pretty")) == "warehouse"


def session_of(harness: S3Harness) -> Any:
    return {"redshift": RedshiftSession, "snowflake": SnowflakeSession}[harness.engine]


def test_an_object_that_is_rewritten_meanwhile_is_merged_as_it_was_listed(
    roads: TwoRoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, done = roads.by_warehouse, list[int]()
    key = harness.put(frame([put("a", 5, {"Name": "old"})]))
    session = session_of(harness)
    load = session.load_raw

    def rewrite_first(self: Any, table: str, objects: Any) -> Any:
        if not done:
            done.append(1)
            harness.put(frame([put("a", 6, {"Name": "new"})]), key.removeprefix("feed/"))
        return load(self, table, objects)

    monkeypatch.setattr(session, "load_raw", rewrite_first)
    harness.run(metrics=harness.metrics, stop=WakingStop())
    assert harness.query(f"SELECT name FROM {harness.schema}.items WHERE pk = 'a'") == [("new",)]
    assert harness.query(f"SELECT count(*) FROM {harness.metadata}.objects WHERE object_key = '{key}'") == [(1,)]


def test_objects_whose_version_the_warehouse_does_not_tell_are_looked_at_again(
    roads: TwoRoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, rewritten = session_of(roads.by_warehouse), list[str]()
    load = session.load_raw

    def not_telling(self: Any, table: str, objects: Any) -> Loaded:
        loaded: Loaded = load(self, table, objects)
        for name in rewritten:
            roads.by_warehouse.put(frame([put("a", 9, {"Name": "new"})]), name)
        rewritten.clear()
        return Loaded(loaded.documents, frozenset(loaded.documents))

    monkeypatch.setattr(session, "load_raw", not_telling)
    assert roads.merge(frame([put("a", 5, FULL)]), frame([put("b", 5, FULL)])) == "warehouse"
    rewritten.append("again")
    for harness in (roads.by_worker, roads.by_warehouse):
        harness.put(frame([put("a", 8, {"Name": "old"})]), "again")
    roads.by_warehouse.run(metrics=roads.by_warehouse.metrics, stop=WakingStop())
    roads.by_worker.put(frame([put("a", 9, {"Name": "new"})]), "again")
    roads.by_worker.run()
    roads.compare()


def test_a_batch_in_doubt_that_is_too_large_for_the_worker_is_merged_in_halves(
    roads: TwoRoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, prepare = roads.by_warehouse, Preparer.prepare

    def prepare_one(self: Preparer, job: Job, **options: Any) -> Prepared:
        if len(job.refs) > 1:
            raise BatchTooLarge("too large")
        return prepare(self, job, **options)

    for n in range(3):
        for each in (roads.by_worker, harness):
            each.put(frame([put(f"k{n}", 2, {"Total": Decimal("1E+20")}), put("a", n + 5, FULL)]))
    roads.by_worker.source = replace(roads.by_worker.source, batch=BatchLimits(objects=1))
    roads.by_worker.run()
    monkeypatch.setattr(Preparer, "prepare", prepare_one)
    harness.run(metrics=harness.metrics)
    assert roads.decoders[1:] == ["worker"] * 3
    roads.compare()


STEPS = ("count changes", "fill _cdc_rows_0", "record objects", "record batch")


def test_a_warehouse_that_is_lost_at_any_step_loses_and_doubles_nothing(roads: TwoRoads) -> None:
    harness, struck = roads.by_warehouse, list[str]()

    def observe(label: str, _seconds: float) -> None:
        if len(struck) < len(STEPS) and label == STEPS[len(struck)]:
            struck.append(label)
            raise WarehouseUnavailable("lost", where=label)

    batch = frame([put("a", 10, FULL), put("b", 1, FULL)])
    roads.by_worker.put(batch)
    roads.by_worker.run()
    harness.put(batch)
    with closing(open_warehouse(harness.url, observer=observe)) as warehouse:
        harness.run(warehouse=warehouse, stop=WakingStop(), metrics=harness.metrics)
    assert tuple(struck) == STEPS and roads.decoders[-1] == "warehouse"
    roads.compare()


def test_what_always_takes_the_warehouse_too_long_is_decoded_by_the_worker(roads: TwoRoads) -> None:
    harness = roads.by_warehouse

    def observe(label: str, _seconds: float) -> None:
        if label == "count changes":
            raise WarehouseUnavailable("canceling statement due to statement timeout", where=label)

    batch = frame([put("a", 10, FULL), put("b", 1, FULL)])
    roads.by_worker.put(batch)
    roads.by_worker.run()
    harness.put(batch)
    with closing(open_warehouse(harness.url, observer=observe)) as warehouse:
        harness.run(warehouse=warehouse, stop=WakingStop(), metrics=harness.metrics)
    assert roads.decoders[-1] == "worker"
    roads.compare()


def test_a_merge_that_is_refused_after_the_warehouse_has_decoded_is_tried_with_what_the_worker_decodes(
    roads: TwoRoads,
) -> None:
    harness, struck = roads.by_warehouse, list[str]()
    harness.source = replace(harness.source, batch=BatchLimits(objects=1))

    def observe(label: str, _seconds: float) -> None:
        if label == "insert into items" and not struck:
            struck.append(label)
            raise WarehouseRefused("a value that it does not take", where=label)

    for n in (10, 11, 12):  # while one is merged, the next is got ready
        batch = frame([put(f"n{n}", n, FULL)])
        roads.by_worker.put(batch)
        roads.by_worker.run()
        harness.put(batch)
    done = len(roads.decoders)
    with closing(open_warehouse(harness.url, observer=observe)) as warehouse:
        harness.run(warehouse=warehouse, stop=WakingStop(), metrics=harness.metrics)
    assert struck and len(roads.decoders) == done + 3 and roads.decoders[done] == "worker"
    roads.compare()


# --- which sources and batches go there ---------------------------------------------------------------------


@pytest.mark.long
def test_after_doubts_batches_are_left_to_the_worker_ever_longer(roads: TwoRoads) -> None:
    def odd(n: int) -> bytes:
        return frame([put("odd", n, {"Total": Decimal("1E+20")})])

    harness = roads.by_warehouse
    harness.source = replace(harness.source, batch=BatchLimits(objects=1))
    tried: list[int] = []
    for n in range(12):
        harness.put(odd(n + 10) if n < 8 else frame([put("a", n + 10, FULL)]))
    done = len(roads.decoders)
    harness.run(metrics=harness.metrics)
    tried = [n for n, by in enumerate(roads.decoders[done:]) if by == "warehouse"]
    # In doubt: 0, 2, 5; left out after them: 1; 3, 4; 6 to 9.
    assert tried == [10, 11]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (replace(ITEMS, each=("Lines",)), "its rows are elements"),
        (replace(ITEMS, is_document=True, columns=None), "whole items as JSON"),
        (replace(ITEMS, has_history=True), "it keeps a history"),
        (replace(ITEMS, deletes=Deletes.SOFT), "not every delete counts"),
        (replace(ITEMS, expired=Expired.KEEP), "not every delete counts"),
        (replace(ITEMS, columns=(Column("a", ("A",), mask=Mask.HASH),)), "a is masked"),
        (replace(ITEMS, columns=(Column("a", ("A",), template=Template(("A#", ""), 0)),)), "a is a piece of a text"),
        (replace(ITEMS, columns=(Column("a", ("A",), ColumnType(Kind.JSON)),)), "a is JSON"),
        (replace(ITEMS, columns=(Column("a", ("xmin",), ColumnType(Kind.TEXT)),)), "no path to the attribute 'xmin'"),
        (replace(ITEMS, where=(Condition(("x" * 128,), exists=True),)), "no path to the attribute 'xxx"),
    ],
)
def test_what_sql_cannot_do_exactly_stays_with_the_worker(target: Target, why: str) -> None:
    (reason,) = why_not(replace(SHOP, changes="s3://b/feed/", targets=(target,)), REDSHIFT)
    assert reason.startswith("target items: ") and why in reason
    assert why_not(replace(SHOP, changes="s3://b/feed/"), REDSHIFT) == []
    assert why_not(replace(SHOP, changes="file:///feed"), REDSHIFT) == ["its changes are not on S3"]
    assert why_not(replace(SHOP, changes="s3://b/feed/"), DUCKDB) == ["duckdb does not load it by itself"]


MASKED = Column("secret", ("Name",), mask=Mask.HASH)
PIECE = Column("piece", ("Name",), template=Template(("A#", ""), 0))
COUNT = Column("count", ("Count",), ColumnType(Kind.INTEGER))


@pytest.mark.parametrize("column", [MASKED, PIECE], ids=lambda c: c.name)
def test_a_column_that_nobody_asks_for_any_more_holds_no_more_than_it_did(
    raw_url: str, column: Column, tmp_path: Path
) -> None:
    target = replace(ITEMS, columns=(column, COUNT))
    roads = TwoRoads.of(raw_url, replace(SHOP, targets=(target,)), tmp_path)
    assert roads.merge(frame([put("a", 1, {"Name": "A#1", "Count": 1})])) == "worker"
    for harness in (roads.by_worker, roads.by_warehouse):
        harness.source = replace(harness.source, targets=(replace(target, columns=(COUNT,)),))
    assert roads.merge(frame([put("a", 2, {"Name": "A#2", "Count": 2})])) == "worker"


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (TypedColumn("a", ("A",), ColumnType(Kind.TEXT), mask=Mask.REDACT), "a is masked"),
        (TypedColumn("a", ("A",), ColumnType(Kind.TEXT), Template(("A#", ""), 0)), "a is a piece of a text (match)"),
        (TypedColumn("a", ("A", "xmin"), ColumnType(Kind.TEXT)), "redshift has no path to the attribute of a"),
    ],
)
def test_what_sql_cannot_fill_stays_with_the_worker_though_nobody_asks_for_it(column: TypedColumn, why: str) -> None:
    target = replace(ITEMS, columns=(COUNT,))
    columns = (column, TypedColumn("count", ("Count",), ColumnType(Kind.INTEGER)))
    stored = TargetSchema(("pk", "sk"), columns, key=SHOP.key, where=())
    book = open_book(target, SHOP.key, REDSHIFT, stored)
    source = replace(SHOP, changes="s3://b/feed/", targets=(target,))
    assert why_not(source, REDSHIFT) == []
    reasons = why_not_yet(source, [book], ordering=Ordering.SEQUENCE, key_tags=("S", "S"))
    assert reasons == [f"target items: {why}"]


def test_snowflake_loads_what_a_stage_of_its_url_covers() -> None:
    snowflake = replace(SNOWFLAKE, raw_places=("s3://a/", "s3://b/feed/"))
    assert why_not(replace(SHOP, changes="s3://b/feed/shop/"), snowflake) == []
    assert why_not(replace(SHOP, changes="s3://b/other/"), snowflake) == [
        "the warehouse's URL has no stage for s3://b/other/ (feeds)"
    ]
    assert why_not(replace(SHOP, changes="s3://a/x/"), SNOWFLAKE) != []


@pytest.mark.long
def test_a_new_attribute_is_the_workers_until_it_has_a_column(raw_url: str, tmp_path: Path) -> None:
    roads = TwoRoads.of(raw_url, replace(SHOP, targets=(Target("items"),)), tmp_path)
    assert roads.merge(frame([put("a", 1, {"A": "x"})])) == "worker"
    assert roads.merge(frame([put("a", 2, {"A": "y"})])) == "warehouse"
    assert roads.merge(frame([put("a", 3, {"A": "y", "B": Decimal("1")})])) == "worker"
    assert roads.merge(frame([put("a", 4, {"B": Decimal("2")})])) == "warehouse"
    assert roads.merge(frame([put("a", 5, {"C": {"D": "e"}})])) == "worker"
    assert roads.merge(frame([put("a", 6, {"B": Decimal("3")})])) == "worker"  # c is JSON
    state = f"{roads.by_warehouse.metadata}.targets"
    assert roads.by_warehouse.query(f"SELECT count(*) FROM {state}") == [(1,)]


def test_check_and_plan_say_who_decodes(roads: TwoRoads) -> None:
    def said(harness: S3Harness) -> tuple[list[str], list[str]]:
        with closing(harness.open()) as warehouse, warehouse.session() as session:
            layout = layout_of(harness.settings, warehouse)
            findings = check(harness.settings, warehouse, layout, config=Path("cdc-merge.yaml"))
            plan = PlanReader(warehouse, layout, ()).read(session, harness.source, with_views=False)
        text = plan.as_text(with_sql=False)
        return [f.message for f in findings if f.subject == "load of shop"], re.findall("-- load: .*", text)

    assert said(roads.by_worker) == ([], [])
    assert said(roads.by_warehouse) == (["the warehouse decodes its batches, where it surely can"], [])
    harness = roads.by_warehouse
    harness.source = replace(harness.source, targets=(replace(ITEMS, deletes=Deletes.IGNORE),))
    why = "target items: not every delete counts for it (deletes, expired)"
    assert said(harness) == (
        [f"the worker decodes its batches: {why}"],
        [f"-- load: warehouse: the worker decodes the batches: {why}"],
    )
    assert roads.by_warehouse.run(metrics=roads.by_warehouse.metrics).counts.objects == 0
