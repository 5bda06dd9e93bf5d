"""What every warehouse keeps of the protocol: one body, run on every engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pytest

from cdc_merge.errors import AlreadyMerged, CdcMergeError, LeaseLost, UnreadableObject, WarehouseRefused
from cdc_merge.layout import Layout
from cdc_merge.merge.plan import Batch, MergePlan
from cdc_merge.migrate import metadata_names
from cdc_merge.model import ColumnType, Kind
from cdc_merge.warehouses import Row, Session, Statement, Warehouse, open_warehouse
from cdc_merge.warehouses.dialect import DUCKDB
from cdc_merge.warehouses.transaction import LEDGER_LABEL
from tests.support.names import names_of

MOMENT = datetime(1969, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)

EVERY_TYPE = pa.schema(
    {
        "n": pa.int32(),
        "words": pa.string(),
        "long_words": pa.large_string(),
        "big": pa.int64(),
        "flag": pa.bool_(),
        "moment": pa.timestamp("us", "UTC"),
        "day": pa.date32(),
        "ratio": pa.float64(),
        "raw": pa.binary(),
        "long_raw": pa.large_binary(),
    }
)


@pytest.fixture
def warehouse(warehouse_url: str) -> Iterator[Warehouse]:
    warehouse = open_warehouse(warehouse_url)
    yield warehouse
    warehouse.close()


def reader(**columns: list[object]) -> pa.RecordBatchReader:
    return pa.table(columns).to_reader()


def do(session: Session, *sql: str) -> list[int]:
    return session.run([Statement(f"step {n}", text) for n, text in enumerate(sql)])


Place = Callable[[str], str]


@pytest.fixture
def place(warehouse: Warehouse, warehouse_url: str) -> Place:
    """A table of that name where people have theirs, as SQL."""
    return partial(warehouse.dialect.quote, names_of(warehouse_url).own or warehouse.dialect.default_schema)


def test_every_staged_type_arrives_exactly(warehouse: Warehouse) -> None:
    full = (1, "ü 😀\n\\.\t", "", 2**63 - 1, True, MOMENT, date(1, 1, 1), 0.1, b"\x00\xff", b"")
    least = (
        2,
        "",
        "\u2028\x7f",
        -(2**63),
        False,
        datetime(9999, 12, 31, tzinfo=UTC),
        date(9999, 12, 31),
        -0.0,
        b"",
        b"a",
    )
    none = (3, *(None for _ in EVERY_TYPE.names[1:]))
    rows = [full, least, none]
    table = pa.Table.from_pylist([dict(zip(EVERY_TYPE.names, r, strict=True)) for r in rows], schema=EVERY_TYPE)
    with warehouse.session() as session:
        assert session.load("staged", table.to_reader()) == 3
        assert session.query("SELECT * FROM staged ORDER BY n") == rows


def test_times_come_back_aware_and_in_utc(warehouse: Warehouse) -> None:
    with warehouse.session() as session:
        session.load("staged", pa.table({"m": pa.array([MOMENT], pa.timestamp("us", "America/New_York"))}).to_reader())
        [(moment,)] = session.query("SELECT m FROM staged")
        assert moment.isoformat() == "1969-12-31T23:59:59.123456+00:00"


def test_json_comes_back_as_text(warehouse: Warehouse) -> None:
    dialect = warehouse.dialect
    value = dialect.read_json.format(value=dialect.literal('{"n": 1.10}'), type=dialect.types[Kind.JSON])
    with warehouse.session() as session:
        [(text,)] = session.query(f"SELECT {value}")
        assert json.loads(text, parse_float=Decimal) == {"n": Decimal("1.10")}


def test_a_text_of_a_megabyte_arrives_whole(warehouse: Warehouse) -> None:
    text = "ä€" * 200_000
    # Where no text can be so long it comes as its bytes, for what reads JSON.
    length = 1_000_000 if warehouse.dialect.max_text_bytes else 400_000
    with warehouse.session() as session:
        session.load("staged", reader(t=[text, None, text]))
        assert session.query("SELECT length(t), count(*) FROM staged GROUP BY t ORDER BY 2") == [
            (None, 1),
            (length, 2),
        ]


def test_many_batches_arrive_whole_whatever_their_size(warehouse: Warehouse) -> None:
    schema = pa.schema({"n": pa.int64(), "t": pa.string()})

    def batches() -> Iterator[pa.RecordBatch]:
        for start, length in ((0, 70_000), (70_000, 0), (70_000, 1), (70_001, 29_999)):
            numbers = range(start, start + length)
            yield pa.record_batch([list(numbers), [f"{n:0300d}" for n in numbers]], schema=schema)

    with warehouse.session() as session:
        assert session.load("staged", pa.RecordBatchReader.from_batches(schema, batches())) == 100_000
        expected = [(100_000, 0, 99_999, 100_000)]
        assert (
            session.query("SELECT count(*), min(n), max(n), count(DISTINCT t) FROM staged WHERE CAST(t AS bigint) = n")
            == expected
        )


def test_a_slice_of_a_batch_arrives_as_that_slice(warehouse: Warehouse) -> None:
    batch = pa.record_batch({"n": range(100), "t": [None if n % 3 == 0 else str(n) for n in range(100)]})
    with warehouse.session() as session:
        session.load("staged", pa.RecordBatchReader.from_batches(batch.schema, iter([batch.slice(30, 3)])))
        assert session.query("SELECT n, t FROM staged ORDER BY n") == [(30, None), (31, "31"), (32, "32")]


@pytest.mark.parametrize("batches", [[], [pa.RecordBatch.from_pylist([], schema=EVERY_TYPE)]])
def test_a_reader_without_rows_makes_an_empty_table(warehouse: Warehouse, batches: list[pa.RecordBatch]) -> None:
    with warehouse.session() as session:
        assert session.load("staged", pa.RecordBatchReader.from_batches(EVERY_TYPE, iter(batches))) == 0
        assert session.query("SELECT words, moment FROM staged") == []


def test_a_column_of_nulls_only_can_be_staged(warehouse: Warehouse) -> None:
    with warehouse.session() as session:
        session.load("staged", reader(n=[1], nothing=[None]))
        assert session.query("SELECT CAST(nothing AS bigint) FROM staged") == [(None,)]


def test_loading_again_replaces_the_staging_table(warehouse: Warehouse) -> None:
    with warehouse.session() as session:
        session.load('Odd "name', reader(a=[1]))
        session.load('Odd "name', reader(b=["x", "y"]))
        table = warehouse.dialect.quote('Odd "name')
        assert session.query(f"SELECT b FROM {table} ORDER BY b") == [("x",), ("y",)]


def test_what_a_reader_raises_comes_out_unchanged_and_the_session_goes_on(warehouse: Warehouse) -> None:
    schema = pa.schema({"a": pa.int64()})

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([[1]], schema=schema)
        raise UnreadableObject("corrupt gzip", reason="gzip", where="object x")

    with warehouse.session() as session:
        with pytest.raises(UnreadableObject, match="corrupt gzip"):
            session.load("staged", pa.RecordBatchReader.from_batches(schema, batches()))
        assert session.load("staged", reader(a=[2])) == 1
        assert session.query("SELECT a FROM staged") == [(2,)]


def test_staging_tables_go_with_their_session(warehouse: Warehouse) -> None:
    with warehouse.session() as session:
        session.load("staged", reader(a=[1]))
        session.run([Statement("made in a merge", "CREATE TEMPORARY TABLE resolved AS SELECT a FROM staged")])
    with warehouse.session() as session:
        for table in ("staged", "resolved"):
            with pytest.raises(WarehouseRefused):
                session.query(f"SELECT * FROM {table}")


def test_a_staging_table_hides_a_users_table_of_its_name_and_leaves_it_alone(
    warehouse: Warehouse, place: Place
) -> None:
    theirs = place("staged")
    with warehouse.session() as session:
        do(session, f"CREATE TABLE {theirs} (a integer)", f"INSERT INTO {theirs} VALUES (7)")
        session.load("staged", reader(a=[1]))
        session.load("staged", reader(a=[2]))
        assert session.query("SELECT a FROM staged") == [(2,)]
    with warehouse.session() as session:
        assert session.query(f"SELECT a FROM {theirs}") == [(7,)]


def test_run_tells_how_many_rows_each_statement_touched(warehouse: Warehouse, place: Place) -> None:
    t = place("t")
    with warehouse.session() as session:
        session.load("staged", reader(a=[1, 2, 3]))
        touched = do(
            session,
            f"CREATE TABLE {t} (a bigint)",
            f"INSERT INTO {t} SELECT a FROM staged",
            f"UPDATE {t} SET a = a + 10 WHERE a > 1",
            f"DELETE FROM {t} USING staged AS s WHERE {t}.a = s.a",
            f"DELETE FROM {t} WHERE a = 99",
        )
        assert touched[1:] == [3, 2, 1, 0]
    with warehouse.session() as session:
        assert session.query(f"SELECT a FROM {t} ORDER BY a") == [(12,), (13,)]


def test_a_statement_that_fails_undoes_all_before_it_even_tables(warehouse: Warehouse, place: Place) -> None:
    t = place("t")
    if warehouse.dialect.ddl_commits:
        t = f"IF NOT EXISTS {t}"  # it stays, and nothing comes of it
    with warehouse.session() as session:
        with pytest.raises(WarehouseRefused) as caught:
            session.run(
                [Statement("create t", f"CREATE TABLE {t} (a bigint)"), Statement("fill u", "INSERT INTO u VALUES (1)")]
            )
        assert caught.value.where == "fill u"
        assert caught.value.hint
        do(session, f"CREATE TABLE {t} (a bigint)")


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "SELECT nowhere.a FROM nowhere", "SELECT CAST('x' AS integer)", "SELECT b FROM (SELECT 1 AS a) AS q"],
)
def test_a_statement_that_can_never_work_is_refused_with_its_label(warehouse: Warehouse, sql: str) -> None:
    with warehouse.session() as session:
        with pytest.raises(WarehouseRefused) as caught:
            session.run([Statement("the label", sql)])
        assert caught.value.where == "the label"
        with pytest.raises(WarehouseRefused):
            session.query(sql)
        assert session.query("SELECT 1") == [(1,)]


def test_other_rows_than_expected_undo_everything_and_raise_what_the_statement_says(
    warehouse: Warehouse, place: Place
) -> None:
    t = place("t")
    statement = Statement(
        "fence", f"UPDATE {t} SET a = 2 WHERE a = 9", expect_rows=1, mismatch=lambda: LeaseLost("gone", where="s")
    )
    with warehouse.session() as session:
        do(session, f"CREATE TABLE {t} (a bigint)")
        with pytest.raises(LeaseLost, match="gone"):
            session.run([Statement("insert", f"INSERT INTO {t} VALUES (1)"), statement])
        with pytest.raises(WarehouseRefused, match="touched 0 rows instead of 1"):
            session.run([Statement("fence", statement.sql, expect_rows=1)])
        assert session.query(f"SELECT * FROM {t}") == []


def test_a_statement_that_is_not_needed_when_its_turn_comes_is_passed_over(warehouse: Warehouse, place: Place) -> None:
    t, found = place("t"), list[Row]()
    statements = [
        Statement("look", f"SELECT a FROM {t}", inspect=found.extend),
        Statement("never", "no SQL at all", only_if=lambda: not found, expect_rows=9),
        Statement("insert", f"INSERT INTO {t} VALUES (2)", only_if=lambda: bool(found)),
    ]
    with warehouse.session() as session:
        do(session, f"CREATE TABLE {t} (a bigint)", f"INSERT INTO {t} VALUES (1)")
        assert session.run(statements) == [1, 0, 1]
        assert session.query(f"SELECT a FROM {t} ORDER BY a") == [(1,), (2,)]


def test_what_an_engine_says_of_a_value_does_not_quote_it(warehouse: Warehouse, place: Place) -> None:
    t = place("t")
    text = warehouse.dialect.type_name(ColumnType(Kind.TEXT))
    wrong = (
        f"INSERT INTO {t} SELECT CAST(s.v AS BIGINT), s.v FROM said AS s",
        f"INSERT INTO {t} SELECT CAST(s.v AS DATE), s.v FROM said AS s",
        f"INSERT INTO {t} SELECT NULL, s.v FROM said AS s",
        "SELECT s.nothing FROM said AS s WHERE s.v = 'tom@example.com'",
    )
    with warehouse.session() as session:
        do(session, f"CREATE TABLE {t} (a BIGINT NOT NULL, v {text})")
        session.load("said", pa.table({"v": ["'' \"tom@example.com' of 'Tom"]}).to_reader())
        for sql in wrong:
            with pytest.raises(CdcMergeError) as caught:
                session.run([Statement("insert", sql)])
            assert "insert" in str(caught.value) and "tom" not in str(caught.value).lower()


def test_a_key_that_is_in_the_ledger_already_means_already_merged(warehouse: Warehouse, place: Place) -> None:
    if not warehouse.dialect.enforces_keys:
        pytest.skip("no key is enforced: the statement looks before it inserts")
    t = place("objects")
    with warehouse.session() as session:
        do(session, f"CREATE TABLE {t} (a bigint PRIMARY KEY, b bigint)", f"INSERT INTO {t} VALUES (1, 1)")
        with pytest.raises(AlreadyMerged):
            session.run(
                [
                    Statement("first", f"INSERT INTO {t} VALUES (2, 1)"),
                    Statement(LEDGER_LABEL, f"INSERT INTO {t} VALUES (1, 2)"),
                ]
            )
        assert session.query(f"SELECT a, b FROM {t}") == [(1, 1)]


def test_the_plan_labels_its_ledger_statement_so() -> None:
    batch = Batch("b", "s", "w", MOMENT, None, objects=1, records=1, superseded=0, quarantined=0)
    plan = MergePlan(DUCKDB, Layout(schema="main", metadata_schema="meta", metadata=metadata_names("meta")), [], [])
    assert plan.record_objects(batch, again=True)[-1].label == LEDGER_LABEL


def test_the_observer_hears_every_label_and_can_cut_the_transaction_after_any_statement(
    warehouse_url: str, place: Place
) -> None:
    heard: list[str] = []
    cut_after = "third"

    def observe(label: str, seconds: float) -> None:
        assert seconds >= 0
        heard.append(label)
        if label == cut_after:
            raise KeyboardInterrupt

    warehouse = open_warehouse(warehouse_url, observer=observe)
    t = place("t")
    plan = [
        Statement("first", f"CREATE TABLE {'IF NOT EXISTS ' if warehouse.dialect.ddl_commits else ''}{t} (a bigint)"),
        Statement("second", f"INSERT INTO {t} VALUES (1)"),
        Statement("third", f"INSERT INTO {t} VALUES (2)"),
    ]
    with warehouse.session() as session:
        with pytest.raises(KeyboardInterrupt):
            session.run(plan)
        assert heard == ["first", "second", "third"]
        cut_after = ""
        session.run(plan)
        assert session.query(f"SELECT count(*) FROM {t}") == [(2,)]
    warehouse.close()


def test_an_error_in_a_session_leaves_the_warehouse_usable(warehouse: Warehouse) -> None:
    with pytest.raises(ZeroDivisionError), warehouse.session() as session:
        session.load("staged", reader(a=[1]))
        raise ZeroDivisionError
    with warehouse.session() as session:
        assert session.query("SELECT 1") == [(1,)]


def test_percent_signs_and_comments_pass_through(warehouse: Warehouse) -> None:
    with warehouse.session() as session:
        assert session.query("-- 100 % 's\nSELECT '%s %% {}' /* ? */") == [("%s %% {}",)]
