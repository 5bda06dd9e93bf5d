"""What is DuckDB's own: the file, and who has it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pytest

from cdc_merge.errors import BatchTooLarge, UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.model import Settings, Source, Target
from cdc_merge.open_warehouse import OpenWarehouse
from cdc_merge.warehouses import Statement, duckdb_instance, open_warehouse
from cdc_merge.warehouses.duckdb import DuckDBWarehouse
from cdc_merge.warehouses.duckdb_instance import DuckDBInstance

HOLD_THE_FILE = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_the_file_and_its_folders_are_made_and_keep_what_was_committed(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/deep/folder/file%20with%20spaces.duckdb"
    with DuckDBWarehouse(url).session() as session:
        session.run([Statement("create", "CREATE TABLE t AS SELECT 1 AS a")])
    assert (tmp_path / "deep/folder/file with spaces.duckdb").is_file()
    with DuckDBWarehouse(url).session() as session:
        assert session.query("SELECT a FROM t") == [(1,)]


def test_a_relative_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with DuckDBWarehouse("duckdb:///here.duckdb").session():
        assert Path("here.duckdb").is_file()


def test_a_file_that_another_process_has_open_is_unavailable_until_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.warehouses.duckdb.LOCK_PATIENCE", 0.0)
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")
    command = [sys.executable, "-c", HOLD_THE_FILE, str(tmp_path / "w.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(WarehouseUnavailable, match=f"PID {other.pid}") as caught, warehouse.session():
            raise AssertionError("two processes had the file")
        assert "close the program" in (caught.value.hint or "")
        other.communicate()
    with warehouse.session() as session:
        assert session.query("SELECT 1") == [(1,)]


def test_a_file_that_another_process_has_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.warehouses.duckdb.LOCK_PATIENCE", 60.0)
    command = [sys.executable, "-c", HOLD_THE_FILE, str(tmp_path / "w.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin
        assert other.stdout
        other.stdout.readline()
        threading.Timer(0.2, other.stdin.close).start()
        with DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb").session() as session:
            assert session.query("SELECT 1") == [(1,)]


def test_between_sessions_other_processes_have_the_file(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")
    with warehouse.session() as session:
        session.run([Statement("create", "CREATE TABLE t AS SELECT 42 AS a")])
    command = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('SELECT a FROM t').fetchone()[0])"
    answer = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path / "w.duckdb")], capture_output=True, check=True
    )
    assert answer.stdout.strip() == b"42"


def test_sessions_and_warehouses_of_the_same_settings_share_an_instance_until_all_are_closed(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/w.duckdb"
    one, two, other = DuckDBWarehouse(url), DuckDBWarehouse(url), DuckDBWarehouse(f"{url}?threads=1")
    asked = "SELECT current_setting('default_null_order')"
    with one.session() as session:
        first = session.query(asked)
        session.query("SET GLOBAL default_null_order = 'NULLS_FIRST'")
    for warehouse, is_same in ((one, True), (two, True), (other, False)):
        with warehouse.session() as session:
            assert (session.query(asked) != first) == is_same
    one.close()
    two.close()
    with one.session() as session:
        assert session.query(asked) == first


@pytest.mark.parametrize("stem", ["memory", "main", "temp", "a.b", "sp ace", 'qu"ote', "it's", "pg_catalog"])
def test_a_file_of_any_name_has_the_catalog_that_duckdb_gives_it(stem: str, tmp_path: Path) -> None:
    file = tmp_path / f"{stem}.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE t AS SELECT current_catalog() AS a")
    with DuckDBWarehouse(f"duckdb:///{quote(str(file))}").session() as session:
        assert session.query("SELECT a = current_catalog(), current_schema() FROM t") == [(True, "main")]
        assert session.query("SELECT count(*) FROM duckdb_databases() WHERE NOT internal AND path IS NOT NULL") == [
            (1,)
        ]


@pytest.mark.parametrize("options", ["", "?threads=3"])
def test_threads_that_have_merged_are_ended_and_there_are_as_many_in_the_next_session(
    options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    end = duckdb_instance._end_threads

    def noted(connection: duckdb.DuckDBPyConnection) -> None:
        ended.append(1)
        end(connection)

    monkeypatch.setattr(duckdb_instance, "_end_threads", noted)
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb{options}")
    asked = "SELECT current_setting('threads')"
    with warehouse.session() as session:
        threads = session.query(asked)
    assert not ended
    with warehouse.session() as session:
        session.load("staged", pa.table({"a": [1]}).to_reader())
    assert len(ended) == 1
    with warehouse.session() as session:
        assert session.query(asked) == threads
    assert len(ended) == 1
    assert not options or threads == [(3,)]


def test_links_and_other_spellings_are_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.duckdb").symlink_to("real.duckdb")
    with DuckDBWarehouse(f"duckdb:///{tmp_path}/real.duckdb").session() as one:
        one.run([Statement("create", "CREATE TABLE t AS SELECT 1 AS a")])
        for path in (f"{tmp_path}/link.duckdb", f"{tmp_path}/x/../real.duckdb", "real.duckdb"):
            with DuckDBWarehouse(f"duckdb:///{path}").session() as two:
                assert two.query("SELECT a, current_catalog() FROM real.main.t") == [(1, "real")]
    relative = DuckDBWarehouse("duckdb:///real.duckdb")
    monkeypatch.chdir("/")
    assert relative.is_there()


OPEN_IT = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('CREATE TABLE IF NOT EXISTS mine (a int)')"


@pytest.mark.parametrize("where", ["_files", "register_functions", "_SETTINGS"])
def test_a_session_that_is_cut_short_as_it_begins_lets_go_of_the_file(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> list[str]:
        if not cuts:
            return there(*_)
        raise cuts.pop()

    class Interrupting:
        def __iter__(self) -> Iterator[str]:
            interrupted()
            return iter(())

    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")
    cuts = [KeyboardInterrupt()]
    there = getattr(duckdb_instance, where)
    with monkeypatch.context() as patched:
        patched.setattr(duckdb_instance, where, Interrupting() if where == "_SETTINGS" else interrupted)
        with pytest.raises(KeyboardInterrupt), warehouse.session():
            raise AssertionError("it began")
    subprocess.run([sys.executable, "-c", OPEN_IT, str(tmp_path / "w.duckdb")], check=True)
    with warehouse.session() as session:
        assert session.query("SELECT count(*) FROM mine") == [(0,)]


def test_a_connection_that_nobody_let_go_of_does_not_keep_the_file_from_later_ones(tmp_path: Path) -> None:
    instance = duckdb_instance.DuckDBInstance.of(tmp_path / "w.duckdb", None, {})
    lost = instance.connect()
    lost.execute("CREATE TABLE mine (a int)")
    del lost
    connection = instance.connect()
    assert connection.execute("SELECT count(*) FROM mine").fetchall() == [(0,)]
    instance.let_go(connection)
    subprocess.run([sys.executable, "-c", OPEN_IT, str(tmp_path / "w.duckdb")], check=True)


def test_what_the_last_session_could_not_write_to_the_file_is_there_in_the_next(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")
    with warehouse.session() as session:
        session.run([Statement("create", "CREATE TABLE t AS SELECT 1 AS a")])
        session.query("SET GLOBAL debug_checkpoint_abort = 'before_header'")
    assert (tmp_path / "w.duckdb.wal").exists()
    with warehouse.session() as session:
        assert session.query("SELECT a, current_setting('debug_checkpoint_abort') FROM t") == [(1, "NONE")]


def test_a_file_that_a_session_could_not_write_to_is_unavailable_until_that_ends(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")
    with warehouse.session() as session:
        session.run([Statement("create", "CREATE TABLE t AS SELECT 1 AS a")])
        session.query("SET GLOBAL debug_checkpoint_abort = 'before_header'")
        with pytest.raises(WarehouseUnavailable):
            session.query("CHECKPOINT")
        with pytest.raises(WarehouseUnavailable, match="invalidated"), warehouse.session():
            raise AssertionError("a file that is not whole was opened")
    with warehouse.session() as session:
        assert session.query("SELECT a FROM t") == [(1,)]


def test_sessions_of_one_process_share_the_file_and_a_write_conflict_is_tried_again(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/w.duckdb"
    update = Statement("update", "UPDATE t SET a = a + 1")

    def interfere(_label: str, _seconds: float) -> None:
        two.run([update])  # while the transaction of session one is open

    with DuckDBWarehouse(url).session() as two, DuckDBWarehouse(url, observer=interfere).session() as one:
        two.run([Statement("create", "CREATE TABLE t AS SELECT 1 AS a")])
        with pytest.raises(WarehouseUnavailable) as caught:
            one.run([update])
        assert caught.value.where == "update"
        assert two.query("SELECT a FROM t") == [(1,)]


def test_a_session_that_loads_leaves_the_merging_of_row_groups_to_the_next_that_writes(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")

    def row_groups() -> int:
        with warehouse.session() as session:
            return int(session.query("SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('t')")[0][0])

    with warehouse.session() as session:
        session.run([Statement("create", "CREATE TABLE t AS SELECT range AS a, 0 AS b FROM range(1_000_000)")])
    many = row_groups()
    with warehouse.session() as session:
        session.load("staged", pa.table({"a": [1]}).to_reader())
        session.run([Statement("delete", "DELETE FROM t WHERE a % 10 <> 0")])
    assert row_groups() == many
    with warehouse.session():  # which keeps the instance
        with warehouse.session() as session:
            session.load("staged", pa.table({"a": [1]}).to_reader())
        with warehouse.session() as session:
            assert session.query("SELECT current_setting('max_vacuum_tasks')") == [(100,)]
    with warehouse.session() as session:
        session.run([Statement("update", "UPDATE t SET b = 1 WHERE a = 0")])
    assert row_groups() < many


def test_what_is_staged_has_full_row_groups_and_a_merge_leaves_them_full(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")
    # Wide enough for several threads to be at work.
    rows = pa.table({"a": list(range(300_000))} | {f"t{i}": [f"some text {i}"] * 300_000 for i in range(12)})

    def sizes(table: str) -> list[int]:
        found = session.query(
            f"SELECT sum(count) FROM pragma_storage_info('{table}') WHERE column_id = 0 AND segment_type <> 'VALIDITY' "
            "GROUP BY row_group_id"
        )
        return sorted(int(size) for (size,) in found)

    with warehouse.session() as session:
        # As they come from tables in parts.
        session.load("staged", rows.to_reader(max_chunksize=7_000))
        assert sizes("staged") == [300_000 - 2 * 122_880, 122_880, 122_880]
        session.run([Statement("insert", "CREATE TABLE t AS FROM staged")])
        assert sizes("t") == sizes("staged")
        assert session.query("SELECT sum(a) FROM t") == [(sum(range(300_000)),)]


def test_what_is_no_duckdb_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").write_text("hello " * 10_000)
    with (
        pytest.raises(WarehouseRefused, match="not a valid DuckDB"),
        DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb").session(),
    ):
        pass
    with pytest.raises(WarehouseRefused), DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb/below.duckdb").session():
        pass


@pytest.mark.parametrize("url", ["duckdb://", "duckdb:///", "duckdb:///:memory:", "duckdb://host/w.duckdb"])
def test_a_url_without_a_file_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="names no file"):
        DuckDBWarehouse(url)


def test_options_reach_duckdb_and_others_are_usage_errors(tmp_path: Path) -> None:
    with DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb?memory_limit=100MiB&threads=1").session() as session:
        settings = "SELECT current_setting('memory_limit'), current_setting('threads'), current_setting('TimeZone')"
        assert session.query(settings) == [("100.0 MiB", 1, "UTC")]
    with pytest.raises(WarehouseRefused), DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb?catalog=").session():
        raise AssertionError("a file cannot be called nothing")
    with pytest.raises(UsageError, match="memory_lmt"):
        DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb?memory_lmt=1GB")


@pytest.mark.parametrize(
    ("memory", "limit"), [(256 * 10**6, "305.1 MiB"), (10**9, "305.1 MiB"), (4 * 10**9, "1.1 GiB")]
)
def test_a_third_of_the_memory_is_the_warehouses_unless_its_url_says_otherwise(
    tmp_path: Path, memory: int, limit: str
) -> None:
    setting = "SELECT current_setting('memory_limit')"
    url = f"duckdb:///{tmp_path}/w.duckdb"
    for at, expected in ((url, limit), (f"{url}?memory_limit=100MiB", "100.0 MiB")):
        with open_warehouse(at, memory=memory).session() as session:
            assert session.query(setting) == [(expected,)]


def test_a_worker_gives_the_warehouse_its_share_of_the_largest_memory_of_a_source(tmp_path: Path) -> None:
    sources = tuple(
        Source(name, f"file://{tmp_path}", ("PK",), (Target(name),), memory=memory)
        for name, memory in (("small", 10**9), ("large", 4 * 10**9))
    )
    settings = Settings(f"duckdb:///{tmp_path}/w.duckdb", "analytics", "cdc_merge", sources)
    with OpenWarehouse.of(settings).session() as session:
        assert session.query("SELECT current_setting('memory_limit')") == [("1.1 GiB",)]


def test_a_file_under_another_catalog_is_the_same_file_and_its_sessions_share_it(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/w.duckdb"
    with DuckDBWarehouse(f"{url}?catalog=c").session() as one, DuckDBWarehouse(f"{url}?catalog=c").session() as two:
        one.run([Statement("schema", "CREATE SCHEMA w"), Statement("create", "CREATE TABLE w.t AS SELECT 1 AS a")])
        assert two.query("SELECT a, current_catalog() FROM w.t") == [(1, "c")]
        with pytest.raises(WarehouseUnavailable, match="already attached") as caught, DuckDBWarehouse(url).session():
            raise AssertionError("the file was opened under two names")
        assert "other connection" in (caught.value.hint or "")
    with DuckDBWarehouse(url).session() as session:
        assert session.query("SELECT a, current_catalog() FROM w.w.t") == [(1, "w")]


def test_what_takes_too_much_memory_is_for_a_smaller_batch_or_says_where_to_give_more(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb?memory_limit=10MB&threads=1")
    with warehouse.session() as session, pytest.raises(BatchTooLarge) as caught:
        session.query("SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000)")
    assert "memory_limit" in (caught.value.hint or "")


def test_interrupt_breaks_off_a_running_statement(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb")
    done = threading.Event()

    def keep_interrupting() -> None:
        while not done.wait(0.02):
            warehouse.interrupt()

    interrupter = threading.Thread(target=keep_interrupting)
    with warehouse.session() as session:
        interrupter.start()
        with pytest.raises(WarehouseUnavailable):
            session.query("SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range + b.range = 3")
        done.set()
        interrupter.join()
        assert session.query("SELECT 1") == [(1,)]


def test_a_key_that_another_transaction_wrote_first_is_a_passing_fault(tmp_path: Path) -> None:
    insert = Statement("insert", "INSERT INTO t VALUES ('a')")
    with DuckDBWarehouse(f"duckdb:///{tmp_path}/w.duckdb").session() as session:
        session.run([Statement("create", "CREATE TABLE t (k text PRIMARY KEY)"), insert])
        with pytest.raises(WarehouseUnavailable):
            session.run([insert])


def test_a_file_that_cannot_be_opened_as_its_disk_is_full_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: DuckDBInstance) -> None:
        raise duckdb.IOException(f'IO Error: Could not write file "w.duckdb": {os.strerror(errno.ENOSPC)}')

    monkeypatch.setattr(DuckDBInstance, "connect", refuse)
    with (
        closing(open_warehouse(f"duckdb:///{tmp_path}/w.duckdb")) as warehouse,
        pytest.raises(WarehouseUnavailable, match="No space left") as raised,
        warehouse.session(),
    ):
        pass
    assert "make room" in (raised.value.hint or "")
