"""The double of Snowflake refuses what the service refuses, and does as the service does where fakesnow does not."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.doubles.snowflake import SnowflakeDouble
from tests.doubles.snowflake.loading import LoadHistory

connector = pytest.importorskip("snowflake.connector")

Session = Any
Open = Callable[..., Session]

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def open_session(snowflake: SnowflakeDouble) -> Iterator[Open]:
    """Opens sessions on one empty database."""
    database, opened = snowflake.fresh_database(), []

    def open_one(**parameters: object) -> Session:
        session = snowflake.connect(database=database, schema="PUBLIC", session_parameters=parameters)
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.close()
    snowflake.drop_database(database)


@pytest.fixture
def session(open_session: Open) -> Session:
    return open_session()


def do(session: Session, *statements: str) -> list[tuple[Any, ...]]:
    """Run all; the rows of the last."""
    cursor = session.cursor()
    for sql in statements:
        cursor.execute(sql)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE u (a NUMBER)",
        "CREATE TEMPORARY TABLE u AS SELECT * FROM t",
        "ALTER TABLE t ADD COLUMN b NUMBER",
        "DROP TABLE IF EXISTS nothing",
    ],
)
def test_ddl_commits_the_open_transaction(session: Session, open_session: Open, ddl: str) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "BEGIN", "INSERT INTO t VALUES (1)", ddl, "ROLLBACK")
    assert do(open_session(), "SELECT a FROM t") == [(1,)]


def test_a_transaction_without_ddl_rolls_back(session: Session) -> None:
    assert (
        do(session, "CREATE TABLE t (a NUMBER)", "BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK", "SELECT * FROM t")
        == []
    )


def test_an_ambiguous_merge_fails(session: Session) -> None:
    do(session, "CREATE TABLE t (a NUMBER, b NUMBER)", "INSERT INTO t VALUES (1, 0), (2, 0)")
    source = "SELECT 1 AS a, 1 AS n UNION ALL SELECT {}, 2"
    merge = f"MERGE INTO t USING ({source}) AS s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = s.n"
    with pytest.raises(connector.errors.ProgrammingError, match="Duplicate row"):
        do(session, merge.format(1))
    do(session, merge.format(2))
    assert do(session, "SELECT a, b FROM t ORDER BY a") == [(1, 1), (2, 2)]


def test_keys_are_not_enforced_but_not_null_is(session: Session) -> None:
    do(session, "CREATE TABLE t (a NUMBER NOT NULL PRIMARY KEY, b NUMBER UNIQUE, PRIMARY KEY (a))")
    do(session, "INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (1, 1)")
    assert do(session, "SELECT count(*) FROM t") == [(2,)]
    with pytest.raises(connector.errors.Error, match="NULL result in a non-nullable column"):
        do(session, "INSERT INTO t VALUES (NULL, 1)")


def test_numbers_of_38_digits_stay_exact_and_longer_ones_fail(session: Session) -> None:
    most = "9" * 38
    do(session, "CREATE TABLE t (a NUMBER(38, 0), b NUMBER(38, 37))", f"INSERT INTO t VALUES ({most}, 1.{'1' * 37})")
    assert do(session, "SELECT a, b FROM t") == [(int(most), Decimal(f"1.{'1' * 37}"))]
    with pytest.raises(connector.errors.Error):
        do(session, f"INSERT INTO t (a) VALUES ('{most}9')")


def test_numbers_beyond_38_digits_become_double_in_a_variant(session: Session) -> None:
    assert do(session, f"""SELECT TO_JSON(PARSE_JSON('{{"b": {"1" * 38}, "a": {"1" * 39}, "c": 1.50}}'))""") == [
        (f'{{"a":1.111111111111111e+38,"b":{"1" * 38},"c":1.5}}',)
    ]
    with pytest.raises(connector.errors.Error, match="parsing JSON"):
        do(session, "SELECT PARSE_JSON('{')")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FILTER (WHERE a > 1) FROM t",
        "SELECT string_agg(a) FROM t",
        "SELECT arg_max(a, b) FROM t",
        "SELECT count(DISTINCT (a, b)) FROM t",
        "SELECT CAST(a AS json) FROM t",
        "SELECT rows FROM t",
        'SELECT "a" FROM t',
        "INSERT INTO t VALUES (1, 2) ON CONFLICT (a) DO NOTHING",
        "INSERT INTO t VALUES (1, 2) RETURNING a",
        "CREATE INDEX i ON t (a)",
        "ANALYZE t",
        "SELECT a FROM nowhere",
    ],
)
def test_what_the_service_does_not_know_is_refused(session: Session, sql: str) -> None:
    do(session, "CREATE TABLE t (a NUMBER, b NUMBER)")
    with pytest.raises(connector.errors.ProgrammingError):
        do(session, sql)


def test_two_tables_swap_their_names(session: Session) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "CREATE TABLE u (b NUMBER)", "INSERT INTO t VALUES (1)")
    do(session, "ALTER TABLE t SWAP WITH u")
    assert do(session, "SELECT a FROM u") == [(1,)]
    assert do(session, "SELECT b FROM t") == []


def test_a_temporary_table_swaps_with_no_other_and_a_table_that_is_not_there_with_none(session: Session) -> None:
    do(session, "CREATE TEMPORARY TABLE t (a NUMBER)", "CREATE TABLE u (b NUMBER)")
    with pytest.raises(connector.errors.Error, match="temporary"):
        do(session, "ALTER TABLE t SWAP WITH u")
    with pytest.raises(connector.errors.Error, match="does not exist"):
        do(session, "ALTER TABLE u SWAP WITH nothing")


def test_what_belongs_to_a_table_goes_where_the_table_goes(session: Session) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "CREATE TABLE u (a NUMBER)", "COMMENT ON TABLE t IS 'it''s'")
    do(session, "ALTER TABLE t CLUSTER BY (a)", "GRANT SELECT ON TABLE t TO ROLE r", "ALTER TABLE t SWAP WITH u")
    do(session, "ALTER TABLE u RENAME TO v")
    told = "SELECT comment, clustering_key FROM information_schema.tables WHERE table_name = '{}'"
    assert do(session, told.format("V")) == [("it's", "LINEAR(A)")]
    assert do(session, told.format("T")) == [(None, None)]
    assert do(session, "SHOW GRANTS ON TABLE v") == [("OWNERSHIP", "TABLE", "LOADER"), ("SELECT", "TABLE", "R")]
    assert do(session, "SHOW GRANTS ON TABLE t") == [("OWNERSHIP", "TABLE", "LOADER")]


def test_privileges_are_copied_only_where_that_is_asked_for(session: Session) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "GRANT SELECT ON TABLE t TO ROLE r")
    do(session, "CREATE OR REPLACE TABLE u LIKE t COPY GRANTS", "CREATE OR REPLACE TABLE u (b VARCHAR) COPY GRANTS")
    assert ("SELECT", "TABLE", "R") in do(session, "SHOW GRANTS ON TABLE u")
    do(session, "CREATE OR REPLACE TABLE u (b VARCHAR)")
    assert do(session, "SHOW GRANTS ON TABLE u") == [("OWNERSHIP", "TABLE", "LOADER")]
    with pytest.raises(connector.errors.Error, match="COPY GRANTS without"):
        do(session, "CREATE TABLE w (b VARCHAR) COPY GRANTS")


@pytest.mark.parametrize(
    "sql",
    [
        "COPY INTO t FROM @s FILES = ('f') FILE_FORMAT = (TYPE = PARQUET)",
        "COPY INTO t FROM (SELECT $1 FROM @s) FILES = ('f') FILE_FORMAT = (TYPE = CSV)",
        "COPY INTO t FROM (SELECT $1 FROM @s) FILES = ('f') FILE_FORMAT = (TYPE = JSON)",
        "COPY INTO t FROM (SELECT $1 FROM @s) FILES = ('f') FILE_FORMAT = (TYPE = PARQUET) ON_ERROR = CONTINUE",
        "SELECT CAST(GET(PARSE_JSON('1'), 'a') AS NUMBER)",
        "COPY INTO t FROM (SELECT $1 FROM @s) FILE_FORMAT = (TYPE = PARQUET)",
        "COPY INTO t FROM (SELECT $1 FROM @s) FILES = ('f') FILE_FORMAT = (TYPE = PARQUET) TRUNCATECOLUMNS = TRUE",
        "SELECT TO_TIMESTAMP_TZ(1, 3)",
    ],
)
def test_a_form_that_nobody_has_looked_up_is_refused(session: Session, sql: str) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "CREATE TEMPORARY STAGE s")
    with pytest.raises(connector.errors.Error, match="the double does not know this: UnknownForm") as caught:
        do(session, sql)
    assert caught.value.sqlstate == "0A000"


def test_an_update_waits_for_the_transaction_that_changed_the_table(session: Session, open_session: Open) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "INSERT INTO t VALUES (1)", "BEGIN", "UPDATE t SET a = a + 1")
    other, done = open_session(), []
    waiting = threading.Thread(target=lambda: done.append(do(other, "UPDATE t SET a = a * 10", "SELECT a FROM t")))
    waiting.start()
    time.sleep(0.5)
    assert not done
    do(session, "COMMIT")
    waiting.join(20)
    assert done == [[(20,)]]


def test_a_lock_is_waited_for_only_so_long(session: Session, open_session: Open) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "INSERT INTO t VALUES (1)", "BEGIN", "UPDATE t SET a = 2")
    with pytest.raises(connector.errors.Error) as caught:
        do(open_session(LOCK_TIMEOUT=1), "DELETE FROM t")
    assert caught.value.sqlstate == "57014"
    do(open_session(LOCK_TIMEOUT=1), "INSERT INTO t VALUES (3)")  # inserts wait for no one


def test_the_last_of_a_circle_of_waiting_transactions_gives_up(session: Session, open_session: Open) -> None:
    other = open_session()
    do(session, "CREATE TABLE t (a NUMBER)", "CREATE TABLE u (a NUMBER)", "BEGIN", "UPDATE t SET a = 1")
    do(other, "BEGIN", "UPDATE u SET a = 1")
    waiting = threading.Thread(target=lambda: do(session, "UPDATE u SET a = 2", "COMMIT"))
    waiting.start()
    time.sleep(0.5)
    with pytest.raises(connector.errors.Error, match="Deadlock"):
        do(other, "UPDATE t SET a = 2")
    do(other, "ROLLBACK")
    waiting.join(20)


def test_an_idle_transaction_that_keeps_others_waiting_is_rolled_back(open_session: Open) -> None:
    session = open_session(DOUBLE_IDLE_SECONDS=0.5)
    do(session, "CREATE TABLE t (a NUMBER)", "INSERT INTO t VALUES (1)", "BEGIN", "UPDATE t SET a = 2")
    assert do(open_session(), "UPDATE t SET a = a + 10", "SELECT a FROM t") == [(11,)]


def test_a_running_statement_can_be_canceled_from_another_thread(session: Session, open_session: Open) -> None:
    do(session, "CREATE TABLE t (a NUMBER)", "BEGIN", "UPDATE t SET a = 2")
    other, caught = open_session(), []

    def wait() -> None:
        try:
            do(other, "DELETE FROM t")
        except connector.errors.Error as error:
            caught.append(error.errno)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    do(other, f"SELECT SYSTEM$CANCEL_ALL_QUERIES({other.session_id})")
    waiting.join(20)
    assert caught == [604]


def test_copy_transforms_the_listed_files_each_once(session: Session, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        pq.write_table(pa.table({"Word": [name, None], "N": [1, 2**62]}), tmp_path / f"{name}.parquet")
    do(session, "CREATE TEMPORARY STAGE s", "CREATE TEMPORARY TABLE t (w VARCHAR, n NUMBER)")
    do(session, f"PUT 'file://{tmp_path}/*.parquet' @s/x/ AUTO_COMPRESS = FALSE")
    copy = (
        'COPY INTO t (w, n) FROM (SELECT $1:"Word"::VARCHAR, $1:"N"::NUMBER(38, 0) FROM @s/x/) '
        "FILES = ({}) FILE_FORMAT = (TYPE = PARQUET) {}"
    )
    do(session, copy.format("'one.parquet', 'two.parquet'", ""))
    everything = "SELECT w, n FROM t ORDER BY w, n"
    once = [("one", 1), ("two", 1), (None, 2**62), (None, 2**62)]
    assert do(session, everything) == once
    do(session, copy.format("'one.parquet'", ""))
    assert do(session, everything) == once
    do(session, copy.format("'one.parquet'", "FORCE = TRUE"))
    assert do(session, "SELECT count(*) FROM t") == [(6,)]
    with pytest.raises(connector.errors.Error, match="was not found"):
        do(session, copy.format("'four.parquet'", ""))
    do(session, "REMOVE @s/x/")
    with pytest.raises(connector.errors.Error, match="was not found"):
        do(session, copy.format("'three.parquet'", ""))
    do(
        session,
        "CREATE OR REPLACE TEMPORARY TABLE t (w VARCHAR, n NUMBER)",
        f"PUT 'file://{tmp_path}/one.parquet' @s/x/",
    )
    do(session, copy.format("'one.parquet'", ""))
    assert do(session, "SELECT count(*) FROM t") == [(2,)], "a new table has no load history"


DOCUMENT = """'{"S":"it","a":{"b":[1,"x",1.5,1e2,null,true]},"A":"","N":12345678901234567890123456789012345678}'"""


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("TYPEOF(d), TYPEOF(GET(d, 'a')), TYPEOF(GET(GET(d, 'a'), 'b'))", ("OBJECT", "OBJECT", "ARRAY")),
        ("TYPEOF(GET(d, 'S')), TYPEOF(GET(d, 'N')), TYPEOF(GET(d, 'none'))", ("VARCHAR", "INTEGER", None)),
        ("CAST(GET(d, 'S') AS VARCHAR), CAST(GET(d, 'A') AS VARCHAR), TO_JSON(GET(d, 'A'))", ("it", "", '""')),
        ("GET(d, 0), GET(GET(d, 'a'), 'B'), GET(GET(GET(d, 'a'), 'b'), '0')", (None, None, None)),
        ("ARRAY_SIZE(OBJECT_KEYS(d)), ARRAY_SIZE(GET(d, 'a')), ARRAY_SIZE(GET(GET(d, 'a'), 'b'))", (4, None, 6)),
        (
            "TO_JSON(TO_VARIANT('a\"/ä')), CAST(GET(GET(d, 'a'), 'b') AS VARCHAR)",
            ('"a\\"/ä"', '[1,"x",1.5,100.0,null,true]'),
        ),
    ],
)
def test_parts_of_a_variant_are_as_they_are(session: Session, asked: str, answer: tuple[object, ...]) -> None:
    assert do(session, f"SELECT {asked} FROM (SELECT PARSE_JSON({DOCUMENT}) AS d)") == [answer]


def test_kinds_of_numbers_and_nothing_in_a_variant(session: Session) -> None:
    kinds = ", ".join(f"TYPEOF(GET(GET(GET(d, 'a'), 'b'), {n}))" for n in (0, 2, 3, 4, 5))
    assert do(session, f"SELECT {kinds} FROM (SELECT PARSE_JSON({DOCUMENT}) AS d)") == [
        ("INTEGER", "DECIMAL", "DOUBLE", "NULL_VALUE", "BOOLEAN")
    ]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (
            "REGEXP_LIKE('12', '[0-9]'), REGEXP_LIKE('12', '[0-9]+'), REGEXP_LIKE('1' || CHR(10), '^[0-9]+$')",
            (False, True, False),
        ),
        ("TRY_TO_DATE('2026-02-28', 'YYYY-MM-DD'), TRY_TO_DATE('2026-02-30', 'YYYY-MM-DD')", (date(2026, 2, 28), None)),
        ("TRY_TO_DATE('2026-2-3', 'YYYY-MM-DD')", (None,)),
        ("DATEDIFF(day, CAST('2026-01-01' AS DATE), CAST('2025-12-31' AS DATE))", (-1,)),
        ("TRY_TO_BINARY('AP8Q', 'BASE64'), TRY_TO_BINARY('AP8', 'BASE64')", (b"\x00\xff\x10", None)),
        (
            "TRY_CAST('12' AS NUMERIC(38, 0)), TRY_CAST('x' AS NUMERIC(38, 0)), TRY_CAST('0.25' AS FLOAT)",
            (12, None, 0.25),
        ),
        ("LTRIM(RTRIM('00x00', '0'), '0'), LTRIM(' x')", ("x", "x")),
        ("RPAD('12', 6, '0'), LEFT('abc', 2), SUBSTR('abc', 3), SUBSTR('abc', 4)", ("120000", "ab", "c", "")),
        ("POSITION('b' IN 'abc'), POSITION('B' IN 'abc'), POSITION(CHR(0) IN 'abc')", (2, 0, 0)),
    ],
)
def test_functions_of_texts_give_what_the_service_gives(
    session: Session, asked: str, answer: tuple[object, ...]
) -> None:
    assert do(session, f"SELECT {asked}") == [answer]


def test_the_members_of_an_object_are_rows(session: Session) -> None:
    do(session, "CREATE TABLE t (d VARIANT)", f"INSERT INTO t SELECT PARSE_JSON({DOCUMENT})")
    flat = "SELECT DISTINCT f.key FROM t AS s, LATERAL FLATTEN(INPUT => s.d, MODE => 'OBJECT') AS f ORDER BY 1"
    assert do(session, flat) == [("A",), ("N",), ("S",), ("a",)]


def test_copy_loads_the_documents_of_json_files_or_none_of_them(session: Session, tmp_path: Path) -> None:
    options = (
        "ENABLE_OCTAL = FALSE ALLOW_DUPLICATE = FALSE STRIP_OUTER_ARRAY = FALSE STRIP_NULL_VALUES = FALSE "
        "REPLACE_INVALID_CHARACTERS = FALSE SKIP_BYTE_ORDER_MARK = FALSE"
    )
    copy = (
        "COPY INTO t (d, n, k) FROM (SELECT $1, METADATA$FILENAME, METADATA$FILE_CONTENT_KEY FROM @s/x/) FILES = ({}) "
        f"FILE_FORMAT = (TYPE = JSON COMPRESSION = NONE {options}) ON_ERROR = ABORT_STATEMENT"
    )
    (tmp_path / "one").write_bytes(b'{"b":1,"a":2}{"a":null}\n[1],"x"')
    (tmp_path / "bad").write_bytes(b'{"a":1,"a":2}')
    do(session, "CREATE TEMPORARY STAGE s", "CREATE TEMPORARY TABLE t (d VARIANT, n VARCHAR, k VARCHAR)")
    do(session, f"PUT 'file://{tmp_path}/*' @s/x/ AUTO_COMPRESS = FALSE")
    with pytest.raises(connector.errors.Error, match="Error parsing JSON: duplicate"):
        do(session, copy.format("'one', 'bad'"))
    assert do(session, "SELECT count(*) FROM t") == [(0,)]
    assert do(session, copy.format("'one'"))[0][1:4] == ("LOADED", 4, 4)
    found = do(session, "SELECT TO_JSON(d), n, k FROM t ORDER BY 1")
    assert [row[0] for row in found] == ['"x"', "[1]", '{"a":2,"b":1}', '{"a":null}']
    assert {row[1:] for row in found} == {("one", hashlib.md5((tmp_path / "one").read_bytes()).hexdigest())}


def test_the_load_history_forgets_after_64_days() -> None:
    history, days = LoadHistory(), timedelta(days=1)
    history.remember("a", "e1", now=NOW)
    assert history.is_skipped("a", "e1", NOW, now=NOW + 64 * days, take_uncertain=False)
    assert not history.is_skipped("a", "e2", NOW, now=NOW + days, take_uncertain=False), "it was changed since"
    late = NOW + 65 * days
    assert history.is_skipped("a", "e1", NOW, now=late, take_uncertain=False), "nobody can tell any more"
    assert not history.is_skipped("a", "e1", NOW, now=late, take_uncertain=True)
    assert not history.is_skipped("b", "e1", late, now=late, take_uncertain=False)


def test_a_result_has_no_more_rows_than_the_session_may_see(open_session: Open) -> None:
    rows = "SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3"
    assert [len(do(open_session(ROWS_PER_RESULTSET=most), rows)) for most in (0, 2, 5)] == [3, 2, 3]


def test_counting_no_rows_gives_zero(session: Session) -> None:
    assert do(session, "CREATE TABLE t (a NUMBER)", "SELECT count_if(a > 1) FROM t") == [(0,)]


def test_create_schema_makes_it_the_current_one(session: Session) -> None:
    assert do(session, "CREATE SCHEMA other", "SELECT CURRENT_SCHEMA()") == [("OTHER",)]
