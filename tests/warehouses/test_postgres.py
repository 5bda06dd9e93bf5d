"""What is Postgres's own: the connection, and what its errors ask for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import psycopg2
import pyarrow as pa
import pytest

from cdc_merge.errors import UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.model import Source, Target
from cdc_merge.render import render
from cdc_merge.schema.masking import Hidden
from cdc_merge.warehouses import Session, Statement, open_warehouse
from cdc_merge.warehouses.copy import PIECE, CopyStream
from cdc_merge.warehouses.dialect import POSTGRES
from cdc_merge.warehouses.discreet import without_values
from cdc_merge.warehouses.postgres import PostgresWarehouse, make_room, room_for_staging
from tests.support.harness import Harness
from tests.support.merging import deliver, put, remove, values
from tests.support.postgres import PostgresServer, drop_database, fresh_database


@pytest.fixture
def warehouse(postgres_url: str) -> Iterator[PostgresWarehouse]:
    warehouse = PostgresWarehouse(postgres_url)
    yield warehouse
    warehouse.close()


def backend(session: Session) -> int:
    pid: int = session.query("SELECT pg_backend_pid()")[0][0]
    return pid


def terminate(session: Session, pid: int) -> None:
    session.query(f"SELECT pg_terminate_backend({pid}, 5000)")


def test_a_connection_is_kept_between_sessions_and_not_shared_by_open_ones(warehouse: PostgresWarehouse) -> None:
    with warehouse.session() as session:
        first = backend(session)
        with warehouse.session() as other:
            assert backend(other) != first
    with warehouse.session() as session, warehouse.session() as other:
        assert first in (backend(session), backend(other))
        application = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        assert session.query(application) == [("cdc-merge",)]


def test_a_connection_that_broke_between_sessions_is_replaced(warehouse: PostgresWarehouse, postgres_url: str) -> None:
    with warehouse.session() as session:
        pid = backend(session)
    with PostgresWarehouse(postgres_url).session() as other:
        terminate(other, pid)
    with warehouse.session() as session:
        assert backend(session) != pid


def test_a_connection_that_breaks_in_a_merge_leaves_nothing_and_the_next_session_has_a_new_one(
    warehouse: PostgresWarehouse, postgres_url: str
) -> None:
    def cut(label: str, _seconds: float) -> None:
        if label == "insert":
            terminate(other, pid)

    merging = PostgresWarehouse(postgres_url, observer=cut)
    plan = [Statement("insert", "INSERT INTO public.t VALUES (1)"), Statement("next", "SELECT 1")]
    with warehouse.session() as other:
        other.run([Statement("create", "CREATE TABLE public.t (a int)")])
        with merging.session() as session:
            pid = backend(session)
            with pytest.raises(WarehouseUnavailable):
                session.run(plan)
        with pytest.raises(WarehouseUnavailable) as caught, merging.session() as session:
            pid = backend(session)
            session.run(plan[:1])  # now it is COMMIT that finds the connection broken
        assert caught.value.where == "commit"
        assert other.query("SELECT * FROM public.t") == []
        with merging.session() as session:
            assert session.query("SELECT 1") == [(1,)]
    merging.close()


def test_a_server_that_cannot_be_reached_is_unavailable_and_no_message_has_the_password() -> None:
    warehouse = PostgresWarehouse("postgresql://someone:s3cret@127.0.0.1:1/db?sslmode=disable")
    assert warehouse.name == "postgresql://someone@127.0.0.1:1/db"
    with pytest.raises(WarehouseUnavailable, match=r"127\.0\.0\.1") as caught, warehouse.session():
        pass
    assert "s3cret" not in str(caught.value)
    with pytest.raises(UsageError) as unreadable:
        PostgresWarehouse("postgresql://someone:s3cr%et@host/db")
    assert "s3cr" not in str(unreadable.value)


def test_what_the_url_says_wins_over_our_defaults(postgres_url: str) -> None:
    warehouse = PostgresWarehouse(f"{postgres_url}{'&' if '?' in postgres_url else '?'}application_name=mine")
    with warehouse.session() as session:
        assert session.query("SHOW application_name") == [("mine",)]
    warehouse.close()


def test_keys_of_a_hundredth_of_a_table_are_found_by_its_index(postgres_url: str) -> None:
    with closing(PostgresWarehouse(postgres_url)) as warehouse, warehouse.session() as session:
        session.run(
            Statement("prepare", sql)
            for sql in (
                "CREATE TEMP TABLE large AS SELECT md5(i::text) AS key, 'x' AS note FROM generate_series(1, 200000) i",
                "ALTER TABLE large ADD PRIMARY KEY (key)",
                "ANALYZE large",
                "CREATE TEMP TABLE staged AS SELECT key FROM large LIMIT 2000",
                "ANALYZE staged",
            )
        )
        plan = session.query("EXPLAIN SELECT note FROM staged LEFT JOIN large USING (key)")
    assert any("Index Scan" in line for (line,) in plan), plan


@pytest.mark.parametrize(
    ("shared_buffers", "room"),
    [("16MB", "128MB"), ("128MB", "128MB"), ("512MB", "256MB"), ("1GB", "512MB"), ("64GB", "512MB")],
)
def test_staging_tables_have_half_of_what_all_tables_have_within_bounds(shared_buffers: str, room: str) -> None:
    assert room_for_staging(in_bytes(shared_buffers)) == in_bytes(room)


def in_bytes(text: str) -> int:
    number, unit = int(text[:-2]), text[-2:]
    return int(number * {"kB": 2**10, "MB": 2**20, "GB": 2**30}[unit])


def test_a_session_has_room_for_a_batch(warehouse: PostgresWarehouse) -> None:
    with warehouse.session() as session:
        names = ("temp_buffers", "shared_buffers", "work_mem", "hash_mem_multiplier")
        room, shared, work, times = (session.query(f"SHOW {name}")[0][0] for name in names)
    assert in_bytes(room) == room_for_staging(in_bytes(shared))
    assert (work, times) == ("256MB", "1")


def test_a_session_does_not_depend_on_what_the_database_has_set(
    postgres_url: str, warehouse: PostgresWarehouse
) -> None:
    expected = {
        "TimeZone": "UTC",
        "bytea_output": "hex",
        "datestyle": "ISO",
        "extra_float_digits": "1",
        "quote_all_identifiers": "off",
        "row_security": "off",
        "statement_timeout": "0",
        "transaction_isolation": "read committed",
    }
    with closing(psycopg2.connect(postgres_url)) as plain, plain.cursor() as cursor:
        for name, mine in expected.items():
            cursor.execute(f"SHOW {name}")
            ((odd,),) = cursor.fetchall()
            assert name == "datestyle" or odd != mine  # which the driver sets, too
        later = "SELECT setting FROM pg_settings WHERE name = 'transaction_timeout'"  # from version 17 on
        cursor.execute(later)
        if has_timeout := bool(cursor.fetchall()):
            cursor.execute("SELECT format('ALTER DATABASE %I SET transaction_timeout = 300000', current_database())")
            ((alter,),) = cursor.fetchall()
            cursor.execute(alter)
            plain.commit()
    with warehouse.session() as session:
        assert {name: session.query(f"SHOW {name}")[0][0].split(",")[0] for name in expected} == expected
        assert session.query(later) == ([("0",)] if has_timeout else [])


def test_a_table_whose_policies_hide_rows_is_refused(superuser_url: str) -> None:
    owner, role = open_warehouse(superuser_url), "sees_no_rows"
    setup = (
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'",
        f"CREATE SCHEMA hidden CREATE TABLE t (a int) GRANT SELECT ON t TO {role}",
        f"GRANT USAGE ON SCHEMA hidden TO {role}",
        "ALTER TABLE hidden.t ENABLE ROW LEVEL SECURITY",
    )
    try:
        with owner.session() as session:
            session.run([Statement("set up", sql) for sql in setup])
        mine = open_warehouse(f"{superuser_url}{'&' if '?' in superuser_url else '?'}user={role}&password=secret")
        with mine.session() as session, pytest.raises(WarehouseRefused, match="row-level security"):
            session.query("SELECT * FROM hidden.t")
        mine.close()
    finally:
        with owner.session() as session:
            session.run([Statement("owned", f"DROP OWNED BY {role} CASCADE"), Statement("role", f"DROP ROLE {role}")])
        owner.close()


@pytest.mark.parametrize("quoted", ["»4111«", "«4111»", "“4111”", "„4111“", "「4111」", "'4111'", '"4111"', "»41"])
def test_values_are_left_out_of_messages_in_any_language(quoted: str) -> None:
    assert without_values(f"invalid input: {quoted}") == "invalid input: …"


def test_a_pooled_session_that_has_had_temporary_tables_keeps_the_room_it_has(postgres_url: str) -> None:
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SET temp_buffers = '1MB'")
        cursor.execute("CREATE TEMP TABLE before (a int); INSERT INTO before VALUES (1); DISCARD TEMP")
        make_room(connection)
        cursor.execute("SHOW temp_buffers")
        assert cursor.fetchall() == [("1MB",)]


def fault(code: str) -> Statement:
    return Statement("raise", f"DO $$ BEGIN RAISE 'a fault' USING ERRCODE = '{code}'; END $$")


def test_errors_that_time_may_cure_are_unavailable(warehouse: PostgresWarehouse) -> None:
    lost = ["08006", "57P01", "25P03"]
    undone = ["40001", "40P01", "23505", "57014", "55P03"]
    elsewhere = ["53100", "53300", "58030", "25006"]
    with warehouse.session() as session:
        for code in (*lost, *undone, *elsewhere):
            with pytest.raises(WarehouseUnavailable) as caught:
                session.run([fault(code)])
            assert caught.value.where == "raise"


def test_errors_for_a_person_are_refused_with_a_hint(warehouse: PostgresWarehouse) -> None:
    with warehouse.session() as session:
        for code, hint in (("42501", "GRANT"), ("42P01", "plan"), ("42703", "plan"), ("3F000", "plan"), ("XX001", "")):
            with pytest.raises(WarehouseRefused) as caught:
                session.run([fault(code)])
            assert hint in (caught.value.hint or "")


def test_values_that_postgres_cannot_hold_are_refused_by_the_load(warehouse: PostgresWarehouse) -> None:
    with warehouse.session() as session:
        with pytest.raises(WarehouseRefused, match="0x00") as caught:
            session.load("staged", pa.table({"t": ["a\0b"]}).to_reader())
        assert caught.value.where == "load staged"


def test_types_that_are_never_staged_are_a_type_error(warehouse: PostgresWarehouse) -> None:
    with warehouse.session() as session, pytest.raises(TypeError, match="'d'"):
        session.load("staged", pa.table({"d": [Decimal("1.5")]}).to_reader())


def test_a_load_encodes_a_piece_at_a_time() -> None:
    table = pa.table({"t": ["x" * 1000] * 50_000})  # 50 MB in one batch
    stream = CopyStream(table.to_reader())
    most = total = 0
    while chunk := stream.read(1000):
        most = max(most, len(chunk) + len(stream._piece))
        total += len(chunk)
    assert total > 50_000 * 1000
    assert most < PIECE * 1.1


def test_a_removed_item_goes_also_where_somebody_updates_its_row_at_that_moment(
    postgres_url: str, tmp_path: Path
) -> None:
    shop = Harness(postgres_url, Source("shop", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    deliver(shop, put("a", 1, v="x"), put("b", 1, v="x"))
    update = Statement("update", f"UPDATE {shop.schema}.items SET v = 'by hand'")
    updated = []

    def interfere(label: str, _seconds: float) -> None:
        if label == "resolve" and not updated:
            updated.append(label)
            with PostgresWarehouse(postgres_url).session() as other:
                other.run([update])

    shop.put_records([remove("a", 2)])  # alone: an upsert would fail by its key, and heal all of the batch
    with closing(PostgresWarehouse(postgres_url, observer=interfere)) as warehouse:
        totals = shop.run(warehouse=warehouse)
    assert updated and totals.counts.targets["items"] == {"inserted": 0, "updated": 0, "deleted": 1}
    assert values(shop, "items") == {"b": {"PK": "b", "v": "by hand"}}


def test_text_is_compared_byte_by_byte_in_staging(warehouse: PostgresWarehouse) -> None:
    with warehouse.session() as session:
        session.load("staged", pa.table({"t": ["a", "B", "á", "b"]}).to_reader())
        assert session.query("SELECT t FROM staged ORDER BY t") == [("B",), ("a",), ("b",), ("á",)]


def test_dropping_a_staging_table_that_is_not_there_spares_a_users_table(warehouse: PostgresWarehouse) -> None:
    with warehouse.session() as session:
        create = Statement("create", "CREATE TABLE public.resolved (a int)")
        session.run([create, Statement("drop", "DROP TABLE IF EXISTS resolved")])
        assert session.query("SELECT * FROM public.resolved") == []


def test_interrupt_breaks_off_a_running_statement(warehouse: PostgresWarehouse) -> None:
    done = threading.Event()

    def keep_interrupting() -> None:
        while not done.wait(0.02):
            warehouse.interrupt()

    interrupter = threading.Thread(target=keep_interrupting)
    with warehouse.session() as session:
        interrupter.start()
        with pytest.raises(WarehouseUnavailable):
            session.query("SELECT pg_sleep(60)")
        done.set()
        interrupter.join()


HARD = {
    "n\0": {"S": "a\0b"},
    "n\x01cdc": {"S": "\x01n\x01s\0"},
    "\x01n": {"S": "1"},
    "\0": {"S": "2"},
    "\\u0000": {"S": "\\u0000\\u0001n"},
    "é\"'\n": {"M": {"\0\\": {"N": "1"}}},
}


@pytest.fixture(params=["UTF8", "LATIN9"])
def asked(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session of a database in that encoding."""
    url = fresh_database(postgres, encoding=request.param)
    with closing(PostgresWarehouse(url)) as warehouse, warehouse.session() as session:
        yield session
    drop_database(postgres, url)


@pytest.mark.parametrize("gone", [*HARD, "plain"])
def test_what_a_mask_hides_is_taken_out_and_nothing_else_is_altered(asked: Session, gone: str) -> None:
    there = {"plain": {"S": "x"}, **HARD}
    hidden = Hidden(columns=(), attributes=(gone,), is_all=False, has_history=False)
    without = render("merge/sql/unrescued.sql", POSTGRES, spelled=hidden.spelled)
    text = POSTGRES.literal(json.dumps(there, ensure_ascii=False))
    ((found,),) = asked.query(f"SELECT CAST({without} AS text) FROM (SELECT CAST({text} AS json)) AS t (_cdc_rescued)")
    assert json.loads(found) == {name: value for name, value in there.items() if name != gone}


def test_what_is_rescued_is_compared_by_what_it_says(asked: Session) -> None:
    def is_same(a: object, b: object) -> bool:
        texts = (POSTGRES.literal(json.dumps(x, ensure_ascii=False, separators=(",", ":"))) for x in (a, b))
        ((found,),) = asked.query(
            f"SELECT {POSTGRES.same_rescued.format(**dict(zip('ab', texts, strict=True)), column='NULL')}"
        )
        return bool(found)

    assert is_same(HARD, dict(reversed(HARD.items())) | {"gone": {"NULL": True}})
    for name in HARD:
        assert not is_same(HARD, {n: v for n, v in HARD.items() if n != name})
        assert not is_same(HARD, HARD | {name: {"S": "else"}})
    for a, b in (("\0", "\x01n"), ("\0", "\x01cdc-merge-nul"), ("\0", "\\u0000"), ("\x01", "\x01s"), ("\0", "")):
        assert not is_same({"v": {"S": a}, "w": {"S": "\0"}}, {"v": {"S": b}, "w": {"S": "\0"}})
        assert not is_same({f"v{a}": {"S": ""}}, {f"v{b}": {"S": ""}})
    assert not is_same({"a": {"S": "x"}, "b": {"S": "y"}}, {'a{"S":"x"}\nb': {"S": "y"}})
