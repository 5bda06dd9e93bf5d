"""The helpers of the tests do what their names say; what they build has the shapes AWS documents."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import socket
import struct
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import cramjam
import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.changes import generate
from bench.objects import write_objects
from cdc_merge.config import load_config
from cdc_merge.model import Condition, Ordering, Source, Target
from example import make_data
from tests.support.histories import NUMBER_KEYS, deliveries, flatten, histories
from tests.support.model import Expected, expected, key_text, plain_item, position_of
from tests.support.postgres import Databases, PostgresServer, drop_database, fresh_database
from tests.support.proxy import Proxy, proxy_to
from tests.support.records import compress, frame, kinesis_record, stream_record, to_dynamodb

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
TYPE = Condition(("Type",), any_of=("Customer",))
SHOP = Source(
    name="ecommerce",
    changes="file:///feed",
    key=("PK", "SK"),
    targets=(
        Target("customers", (TYPE,)),
        Target("orders", (Condition(("Type",), any_of=("Order",)),)),
    ),
)
KEY = ("k", "s")


def change(sequence: int | str, kind: str | None, **options: Any) -> dict[str, Any]:
    image = None if kind is None else {"Type": kind}
    return stream_record({"PK": "k", "SK": "s"}, image, **{"sequence": sequence, "at": NOON, **options})


def tables_of(outcome: Expected) -> dict[str, list[str]]:
    return {
        table: [row.position.rpartition("/")[2].lstrip("0") for row in rows.values()]
        for table, rows in outcome.tables.items()
    }


# --- Postgres --------------------------------------------------------------------------------------------


def one(url: str, sql: str) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_a_server_compares_text_by_a_language_unless_it_has_none(postgres: PostgresServer) -> None:
    locale = one(postgres.url, "SELECT datcollate FROM pg_database WHERE datname = current_database()")
    assert one(postgres.url, "SELECT 'a' < 'B'") is (locale not in ("C", "C.UTF-8"))
    assert one(postgres.url, "SHOW server_encoding") == "UTF8"


def test_databases_of_two_tests_are_apart(postgres: PostgresServer, postgres_url: str) -> None:
    one(postgres_url, "CREATE TABLE t ()")
    other = fresh_database(postgres)
    assert one(other, "SELECT to_regclass('t')") is None
    drop_database(postgres, other)
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        one(other, "SELECT 1")


def test_a_database_that_is_lent_again_is_empty_and_nobody_of_before_finds_it(postgres: PostgresServer) -> None:
    databases = Databases(postgres)
    with databases.lent() as first, closing(psycopg2.connect(first)) as left_open:
        left_open.cursor().execute("CREATE TEMPORARY TABLE u ()")
        one(first, "CREATE SCHEMA s CREATE TABLE t () CREATE VIEW v AS SELECT 1 AS a")
    with databases.lent() as second:
        number = one(second, "SELECT oid FROM pg_database WHERE datname = current_database()")
        assert one(second, "SELECT count(*) FROM pg_namespace WHERE nspname = 's'") == 0
        with pytest.raises(psycopg2.OperationalError, match="does not exist"):
            one(first, "SELECT 1")
        one(second, "CREATE TABLE public.t ()")  # what is there without being asked for is not emptied
    with databases.lent() as third:
        assert one(third, "SELECT to_regclass('public.t')") is None
        assert one(third, "SELECT oid FROM pg_database WHERE datname = current_database()") != number


def test_a_crashed_server_keeps_what_was_committed(postgres: PostgresServer, postgres_url: str) -> None:
    one(postgres_url, "CREATE TABLE t AS SELECT 7 AS n")
    postgres.crash()
    assert not postgres.is_running()
    postgres.restart()
    assert one(postgres_url, "SELECT n FROM t") == 7


def test_a_connection_through_the_proxy_ends_when_it_is_cut(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    with proxy_to(parts.port or 5432) as proxy:
        url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")).geturl()
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            proxy.cut()
            with pytest.raises(psycopg2.OperationalError):
                cursor.execute("SELECT 1")
        assert one(url, "SELECT 1") == 1


# --- the proxy -------------------------------------------------------------------------------------------


@contextmanager
def echo() -> Iterator[int]:
    """A server that answers what it gets."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echo() as port, proxy_to(port) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def test_a_stalled_proxy_holds_data_until_it_heals(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.stall()
        client.sendall(b"a")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.delay(0.001)
        proxy.heal()
        client.settimeout(5)
        assert client.recv(1) == b"a"


def test_a_refusing_proxy_keeps_old_connections_and_takes_no_new_ones(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        client.sendall(b"b")
        assert client.recv(1) == b"b"
    proxy.heal()
    with connect(proxy) as client:
        client.sendall(b"c")
        assert client.recv(1) == b"c"


# --- records ---------------------------------------------------------------------------------------------


def test_values_get_their_dynamodb_types() -> None:
    assert to_dynamodb({"a": [None, True, 1, Decimal("1E+2"), "x", b"\x00"]}) == {
        "M": {"a": {"L": [{"NULL": True}, {"BOOL": True}, {"N": "1"}, {"N": "1E+2"}, {"S": "x"}, {"B": "AA=="}]}}
    }
    assert to_dynamodb({"x"}) == {"SS": ["x"]}
    assert to_dynamodb({Decimal("0.5")}) == {"NS": ["0.5"]}
    assert to_dynamodb({b"\x00"}) == {"BS": ["AA=="]}
    with pytest.raises(TypeError):
        to_dynamodb(1.5)


def test_a_streams_record_has_whole_seconds_and_both_images() -> None:
    record = change(7, "Customer", old_image={"Type": "Order"})
    assert record["eventName"] == "MODIFY"
    assert record["dynamodb"]["ApproximateCreationDateTime"] == int(NOON.timestamp())
    assert record["dynamodb"]["NewImage"] == {"PK": {"S": "k"}, "SK": {"S": "s"}, "Type": {"S": "Customer"}}
    assert "OldImage" not in change(7, "Customer", old_image={}, view="NEW_IMAGE")["dynamodb"]


def test_a_kinesis_record_has_no_sequence_and_binary_in_base64_twice() -> None:
    record = kinesis_record({"PK": b"placeholder_bytes"}, None, at=NOON)
    # The bytes of a captured record: https://github.com/crate/commons-codec
    assert record["dynamodb"]["Keys"] == {"PK": {"B": "Y0d4aFkyVm9iMnhrWlhKZllubDBaWE09"}}
    assert record["dynamodb"]["ApproximateCreationDateTime"] == 1767355200123
    assert record["userIdentity"] is None
    assert not {"eventSourceARN", "eventVersion"} & set(record)
    assert not {"SequenceNumber", "StreamViewType"} & set(record["dynamodb"])
    exact = kinesis_record({"PK": "k"}, None, at=NOON, precision="MICROSECOND")["dynamodb"]
    assert exact["ApproximateCreationDateTime"] == 1767355200123456


def test_every_framing_holds_the_same_records() -> None:
    records = [change(n, "Customer") for n in (1, 2)]
    for style in ("ndjson", "concatenated", "crlf", "pretty"):
        text, found = frame(records, style).decode(), []
        while text.strip():
            record, end = json.JSONDecoder().raw_decode(text.lstrip())
            found.append(record)
            text = text.lstrip()[end:]
        assert found == records, style
    assert json.loads(frame(records, "lambda")) == {"Records": records}
    assert frame([b"{broken"], "ndjson") == b"{broken\n"


def test_every_codec_can_be_undone() -> None:
    data = b"some bytes " * 100_000
    assert compress(data, "none") == data
    assert gzip.decompress(compress(data, "gzip")) == data
    with zipfile.ZipFile(io.BytesIO(compress(data, "zip"))) as archive:
        assert archive.read(archive.namelist()[0]) == data
    assert bytes(cramjam.zstd.decompress(compress(data, "zstd"))) == data
    assert bytes(cramjam.snappy.decompress(compress(data, "snappy"))) == data
    assert bytes(cramjam.snappy.decompress_raw(compress(data, "raw_snappy"))) == data
    packed, plain = compress(data, "hadoop_snappy"), b""
    while packed:
        length, size = struct.unpack(">II", packed[:8])
        block = bytes(cramjam.snappy.decompress_raw(packed[8 : 8 + size]))
        assert len(block) == length
        plain, packed = plain + block, packed[8 + size :]
    assert plain == data


# --- the model -------------------------------------------------------------------------------------------


def test_the_last_change_wins_however_many_digits_its_sequence_number_has() -> None:
    outcome = expected(
        [change("13021600000000001596893679", "Customer"), change("200000000003218256412", "Order")], SHOP
    )
    assert tables_of(outcome) == {"customers": ["13021600000000001596893679"], "orders": []}


def test_a_later_stream_wins_over_a_greater_sequence_number() -> None:
    outcome = expected([change(5, "Customer", arn_label="2026-02"), change(9, "Order", arn_label="2026-01")], SHOP)
    assert tables_of(outcome) == {"customers": ["5"], "orders": []}


def test_a_remove_and_an_item_no_target_takes_leave_tombstones() -> None:
    assert expected([change(2, None), change(1, "Customer")], SHOP).tombstones == {KEY: change_position(2)}
    outcome = expected([change(1, "Customer"), change(2, "Other")], SHOP)
    assert outcome.tombstones == {KEY: change_position(2)}
    assert tables_of(outcome) == {"customers": [], "orders": []}


def change_position(sequence: int) -> str | None:
    return position_of(change(sequence, None))


def test_a_key_that_no_target_could_ever_take_leaves_no_tombstone() -> None:
    prefixed = Target("customers", (TYPE, Condition(("PK",), prefix="CUSTOMER#")))
    source = Source(name="s", changes="file:///feed", key=("PK", "SK"), targets=(prefixed,))
    assert expected([change(1, None)], source).tombstones == {}


def test_of_kinesis_changes_at_one_time_the_remove_is_the_last() -> None:
    records = [kinesis_record({"PK": "k", "SK": "s"}, image, at=NOON) for image in (None, {"Type": "Customer"})]
    outcome = expected(records, SHOP)
    assert outcome.tombstones[KEY].startswith("00001767355200123000/1/")
    assert len(outcome.changes[KEY]) == 2


def test_changes_at_or_before_the_floor_of_a_target_do_not_reach_it() -> None:
    floors = {"customers": NOON}
    outcome = expected([change(1, "Customer")], SHOP, floors=floors)
    assert tables_of(outcome) == {"customers": [], "orders": []}
    assert outcome.tombstones == {KEY: change_position(1)}  # orders, whose floor is lower, has accepted it
    assert expected([change(1, "Customer")], SHOP, floors={**floors, "orders": NOON}).tombstones == {}


def test_keys_are_told_by_value_not_by_spelling() -> None:
    assert {key_text({"N": n}) for n in ("1E+2", "100", "100.0", "1.00E2")} == {"100"}
    assert key_text({"N": "-0.50"}) == "-0.5"
    assert key_text({"B": base64.b64encode(b"AA==").decode()}, base64_layers=2) == "AA=="


# --- histories -------------------------------------------------------------------------------------------


def replay(records: list[dict[str, Any]], *names: str) -> dict[tuple[str, ...], dict[str, Any] | None]:
    """What is there after a history, told from its order alone."""
    state: dict[tuple[str, ...], dict[str, Any] | None] = {}
    for record in records:
        layers = 1 if "SequenceNumber" in record["dynamodb"] else 2
        key = tuple(key_text(record["dynamodb"]["Keys"][name], layers) for name in names)
        image = record["dynamodb"].get("NewImage")
        assert (record["eventName"] == "INSERT") is (state.get(key) is None), "INSERT only where nothing is"
        state[key] = None if image is None else plain_item(image, layers)
    return state


ALL = Source(name="s", changes="file:///feed", key=("PK", "SK"), targets=(Target("all"),))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_model_gives_the_end_of_a_history_however_it_is_delivered(data: st.DataObject) -> None:
    records = data.draw(histories())
    delivered = flatten(data.draw(deliveries(records)))
    assert {json.dumps(r) for r in delivered} == {json.dumps(r) for r in records}
    outcome, end = expected(delivered, ALL), replay(records, "PK", "SK")
    assert {k: row.attributes for k, row in outcome.tables["all"].items()} == {
        k: v for k, v in end.items() if v is not None
    }
    assert set(outcome.tombstones) == {k for k, v in end.items() if v is None}


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_kinesis_histories_have_numbers_as_keys_too_and_end_alike_in_any_order(data: st.DataObject) -> None:
    source = Source(name="s", changes="file:///feed", key=("Id",), targets=(Target("all"),))
    records = data.draw(histories(key={"Id": NUMBER_KEYS}, ordering=Ordering.TIME))
    replay(records, "Id")
    delivered = flatten(data.draw(deliveries(records)))
    assert expected(delivered, source) == expected(records, source)


# --- the bench's feed and the example --------------------------------------------------------------------


def test_the_generated_feed_is_a_stream_that_could_have_been() -> None:
    raw = list(generate(800, 2000, seed=3))
    assert raw == list(generate(800, 2000, seed=3))
    there: dict[str, Any] = {}
    before = 0
    for record in map(json.loads, raw):
        changed = record["dynamodb"]
        key, old, new = json.dumps(changed["Keys"]), changed.get("OldImage"), changed.get("NewImage")
        assert old == there.get(key)
        assert record["eventName"] == ("REMOVE" if new is None else "MODIFY" if old else "INSERT")
        assert new is None or changed["Keys"].items() <= new.items()
        assert int(changed["SequenceNumber"]) > before
        there[key], before = new, int(changed["SequenceNumber"])
    names = Counter(json.loads(r)["eventName"] for r in raw)
    assert 0.05 < names["REMOVE"] / len(raw) < 0.09
    assert len(there) == pytest.approx(674, rel=0.05)


@pytest.mark.parametrize(("codec", "framing"), [("gzip", "ndjson"), ("none", "concatenated")])
def test_generated_objects_hold_all_records_and_are_named_by_firehose(tmp_path: Path, codec: Any, framing: Any) -> None:
    records = list(generate(100, 250))
    paths = write_objects(tmp_path, records, total=250, objects=3, codec=codec, framing=framing)
    plain = [p.read_bytes() if codec == "none" else gzip.decompress(p.read_bytes()) for p in paths]
    delimiter = b"\n" if framing == "ndjson" else b""
    assert b"".join(plain) == b"".join(r + delimiter for r in records)
    firehose = r"2026/01/02/03/ecommerce-1-2026-01-02-03-00-0\d-[0-9a-f-]{36}" + (r"\.gz" if codec == "gzip" else "")
    assert all(re.fullmatch(firehose, p.relative_to(tmp_path).as_posix()) for p in paths)


def test_the_example_is_what_its_script_writes() -> None:
    files = [p for p in make_data.FEED.rglob("*") if p.is_file()]
    assert {
        p.relative_to(make_data.FEED).as_posix(): gzip.decompress(p.read_bytes()) for p in files
    } == make_data.build()


def test_the_example_has_a_column_for_every_attribute_of_its_tables() -> None:
    (source,) = load_config(make_data.ROOT / "cdc-merge.yaml", environ={}).sources
    outcome = expected(make_data.morning(Random(2026)), source)
    for target in source.targets:
        if target.each:
            continue
        columns = {str(column.path[0]) for column in target.columns or ()}
        rows = outcome.tables[target.table]
        assert rows
        assert {name for row in rows.values() for name in row.attributes} == columns | {"PK", "SK", "Type"}
    assert any(key[0].startswith("CUSTOMEREMAIL#") for key in outcome.tombstones)
