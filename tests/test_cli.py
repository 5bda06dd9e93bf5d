"""The commands as a user types them: what they print, what they change, and how they exit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import duckdb
import pytest

from cdc_merge.cli import cli
from cdc_merge.errors import WarehouseUnavailable
from cdc_merge.quarantine import retry
from tests.support.commands import Command, invoke
from tests.support.records import compress, frame, kinesis_record, stream_record

EXAMPLE = Path(__file__).parent.parent / "example"
TABLES = ["ecommerce_customers", "ecommerce_order_items", "ecommerce_order_lines", "ecommerce_orders"]
COUNTS = ["objects", "records", "applied", "superseded", "stale", "ignored", "quarantined"]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True)
class Shop(Command):
    """A copy of the example, and its commands."""

    @property
    def folder(self) -> Path:
        return self.config.parent

    @property
    def file(self) -> Path:
        return self.folder / "warehouse.duckdb"

    @property
    def feed(self) -> Path:
        return self.folder / "firehose" / "ecommerce"

    def put(self, *records: dict[str, Any], name: str = "2026/11/24/10/later") -> str:
        (self.feed / name).parent.mkdir(parents=True, exist_ok=True)
        (self.feed / name).write_bytes(compress(frame(records)))
        return name

    def objects(self) -> list[str]:
        return sorted(str(p.relative_to(self.feed)) for p in self.feed.rglob("*") if p.is_file())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file)) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def fresh(tmp_path: Path) -> Shop:
    """The example before its first run."""
    shutil.copytree(EXAMPLE, tmp_path / "shop", ignore=shutil.ignore_patterns("*.duckdb*", "*.py"))
    return Shop(tmp_path / "shop" / "cdc-merge.yaml")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "shop"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.duckdb*", "*.py"))
    subprocess.run(
        [sys.executable, "-m", "cdc_merge.cli", "run", "--once", "-q", "--config", str(folder / "cdc-merge.yaml")],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def merged(template: Path, tmp_path: Path) -> Shop:
    """The example after its first run."""
    shutil.copytree(template, tmp_path / "shop")
    shop = Shop(tmp_path / "shop" / "cdc-merge.yaml")
    with duckdb.connect(str(shop.file)) as connection:  # it lies in another place now, which is part of identities
        connection.execute("UPDATE cdc_merge.objects SET bucket = $1", [str(shop.feed)])
        connection.execute(
            "UPDATE cdc_merge.quarantine SET bucket = $1, id = left(sha256(concat_ws(chr(10), "
            "source, $1, object_key, version, byte_offset)), 16)",
            [str(shop.feed)],
        )
    return shop


def customer(name: str, sequence: int) -> dict[str, Any]:
    keys = {"PK": f"CUSTOMER#{name}", "SK": f"CUSTOMER#{name}"}
    image = {"Type": "Customer", "Username": name, "TotalOrders": 1}
    return stream_record(keys, image, sequence=f"9{sequence:039}", at=datetime.now(UTC))


# --- run --------------------------------------------------------------------------------------------------


def test_run_once_prints_the_promised_document(fresh: Shop) -> None:
    document = fresh.json("run", "--once")
    assert list(document) == [*COUNTS, "seconds", "targets"]
    assert document["objects"] == len(fresh.objects())
    assert document["records"] == sum(document[n] for n in COUNTS[2:])
    assert document["quarantined"] == 1
    assert sorted(document["targets"]) == TABLES
    for table, changes in document["targets"].items():
        assert list(changes) == ["inserted", "updated", "deleted"]
        items = fresh.query(f"SELECT count(DISTINCT (pk, sk)) FROM {table}")
        assert items == [(changes["inserted"] - changes["deleted"],)]
    again = fresh.json("run", "--once")
    assert {n: again[n] for n in COUNTS} == dict.fromkeys(COUNTS, 0)
    assert again["targets"] == {}


def test_run_once_tells_people_in_a_sentence_and_a_table(fresh: Shop) -> None:
    result = fresh("run", "--once")
    assert re.search(r"5 objects, \d+ records in [\d.]+ s: \d+ applied, \d+ superseded", result.stdout)
    assert all(table in result.stdout for table in TABLES)
    assert "cdc-merge quarantine list" in result.stdout
    assert "\x1b" not in result.output
    assert "batch_merged" in result.stderr
    assert "batch_merged" not in result.stdout


def test_a_source_that_must_stop_fails_the_run_and_the_counts_are_still_told(merged: Shop) -> None:
    merged.put(kinesis_record({"PK": "a", "SK": "b"}, {"Type": "Customer"}, at=datetime.now(UTC)))
    result = merged("run", "--once", "--format", "json", exits=1)
    assert json.loads(result.stdout)["objects"] == 0
    assert "source ecommerce is stopped" in result.stderr
    assert "hint:" in result.stderr
    assert "Traceback" not in result.stderr


def test_run_without_migrate_insists_on_the_metadata_tables(fresh: Shop) -> None:
    result = fresh("run", "--once", "--no-migrate", exits=1)
    assert "cdc-merge migrate" in result.stderr


def test_the_log_goes_to_standard_error_in_the_form_and_depth_asked_for(merged: Shop) -> None:
    merged.put(customer("bob", 1))
    result = merged("run", "--once", "--format", "json", "--log-format", "json", "-v")
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert {e["event"] for e in events} >= {"batch_merged", "statement"}
    assert json.loads(result.stdout)["applied"] == 1
    merged.put(customer("bob", 2))
    assert merged("run", "--once", "-q").stderr == ""


def test_a_running_worker_serves_its_numbers_and_stops_in_order(merged: Shop) -> None:
    command = [sys.executable, "-m", "cdc_merge.cli", "run", "--listen", "127.0.0.1:0", "--format", "json"]
    with subprocess.Popen(
        [*command, "--log-format", "json", "--config", str(merged.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr
            events = iter(json.loads(line) for line in process.stderr)
            port = next(e["port"] for e in events if e["event"] == "listening")
            started = next(e for e in events if e["event"] == "started")
            assert (started["config"], started["sources"]) == (str(merged.config), ["ecommerce"])
            assert started["warehouse"] == f"duckdb:///{merged.file}"
            merged.put(customer("bob", 1), customer("eve", 1))
            next(e for e in events if e["event"] == "batch_merged")
            metrics = _until(
                port, "/metrics", lambda text: re.search(r"^cdc_merge_records_total.* 2(\.0)?$", text, re.M)
            )
            assert re.search(r'^cdc_merge_records_total\{[^}]*source="ecommerce"[^}]*\} 2', metrics, re.M)
            health = json.loads(_until(port, "/health", lambda text: '"ok"' in text))
            assert health["sources"]["ecommerce"]["state"] == "running"
            process.send_signal(signal.SIGTERM)
            output, log = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert json.loads(log.splitlines()[-1])["event"] == "stopped"
    assert json.loads(output)["applied"] == 2
    assert merged.query("SELECT count(*) FROM cdc_merge.leases WHERE expires_at > now()") == [(0,)]


def _until(port: int, path: str, is_there: Callable[[str], Any]) -> str:
    deadline = time.monotonic() + 30
    while True:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            text: str = reply.read().decode()
        if is_there(text) or time.monotonic() > deadline:
            return text
        time.sleep(0.05)


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_that_is_none_is_wrong_usage(fresh: Shop, listen: str) -> None:
    result = fresh("run", "--once", "--listen", listen, exits=2)
    assert "HOST:PORT" in result.stderr
    assert fresh.objects()
    assert not fresh.file.exists()


@pytest.mark.parametrize(
    ("file", "schema"), [("arcade.duckdb", "arcade"), ("Arcade.v2.db", "arcade"), ("cdc_merge.duckdb", "main")]
)
def test_a_duckdb_file_may_be_named_like_a_schema(fresh: Shop, file: str, schema: str) -> None:
    text = fresh.config.read_text().replace("duckdb:///warehouse.duckdb", f"duckdb:///{file}\nschema: {schema}")
    fresh.config.write_text(text)
    assert "CREATE TABLE" in fresh("plan").stdout
    assert fresh.json("run", "--once")["objects"] == len(fresh.objects())
    assert fresh.json("run", "--once")["objects"] == 0
    fresh("reconcile", "--dry-run")
    fresh("reconcile", "--rebuild")
    assert all(t["exists"] for t in fresh.json("status")["sources"][0]["targets"])
    with duckdb.connect(str(fresh.folder / file)) as connection:
        catalog = file.partition(".")[0]
        assert connection.execute(f"SELECT count(*) FROM {catalog}.{schema}.ecommerce_orders").fetchone() == (34,)


# --- status -----------------------------------------------------------------------------------------------


def test_status_tells_freshness_backlog_and_counts(merged: Shop) -> None:
    merged.put(customer("bob", 1))
    document = merged.json("status")
    assert document["config"] == str(merged.config)
    (source,) = document["sources"]
    assert source["source"] == "ecommerce"
    assert source["backlog"] == 1
    assert MOMENT.fullmatch(source["last_merge"])
    assert MOMENT.fullmatch(source["newest_change"])
    assert MOMENT.fullmatch(source["oldest_waiting"])
    totals = source["totals"]
    assert totals["records"] == sum(count for name, count in totals.items() if name != "records")
    assert source["objects"] == len(merged.objects()) - 1
    assert source["waiting_in_quarantine"] == 1
    assert [t["table"] for t in source["targets"]] == [
        "ecommerce_customers",
        "ecommerce_orders",
        "ecommerce_order_items",
        "ecommerce_order_lines",
    ]
    text = merged("status").stdout
    assert text.startswith(f"configuration {merged.config}\nsource ecommerce\n")
    assert "1 objects" in text or "1 object" in text
    assert "not counted" in merged("status", "--no-backlog").stdout
    assert merged.json("status", "--no-backlog")["sources"][0]["backlog"] is None


def test_status_check_finds_an_object_that_has_waited_too_long(merged: Shop) -> None:
    assert merged("status", "--check").exit_code == 0
    name = merged.put(customer("bob", 1))
    assert merged("status", "--check").exit_code == 0
    old = time.time() - 3600
    os.utime(merged.feed / name, (old, old))
    assert "(stale)" in merged("status", "--check", exits=4).stdout
    assert merged.json("status", "--check", exits=4)["sources"][0]["stale"] is True
    assert merged.json("status")["sources"][0]["stale"] is True
    merged("run", "--once")
    assert merged("status", "--check").exit_code == 0


def test_status_tells_what_the_last_reconcile_found_and_since_when_nothing_is_proven(merged: Shop) -> None:
    assert "last reconcile  never" in merged("status").stdout
    every = merged.config.read_text().replace("    exports:", "    reconcile: {every: 1h}\n    exports:")
    merged.config.write_text(every)
    assert merged.json("status", "--check")["sources"][0]["unverified"] is False
    merged.query("UPDATE cdc_merge.batches SET merged_at = merged_at - INTERVAL '3 hours'")
    assert merged.json("status", "--check", exits=4)["sources"][0]["unverified"] is True
    merged.query("DELETE FROM ecommerce_customers WHERE username = 'hugoh'")
    merged("reconcile")
    (source,) = merged.json("status", "--check")["sources"]
    assert source["last_reconcile"]["export"].endswith("01795518000000-f9e85e27")
    assert (source["last_reconcile"]["method"], source["last_reconcile"]["as_of"]) == ("export", "2026-11-24T11:00:00Z")
    customers = source["targets"][0]
    assert customers["verified_through"] == "2026-11-24T10:58:00Z"
    assert customers["drift"] == {"equal": 10, "missing": 1, "extra": 0, "different": 0, "newer": 0, "repaired": 1}
    assert source["probe"] is None
    merged.query("UPDATE cdc_merge.reconciliations SET finished_at = finished_at - INTERVAL '3 hours'")
    text = merged("status", "--check", exits=4).stdout
    assert "(unverified)" in text
    assert re.search(r"last reconcile  3h ago, export file:///.*, as of \S+ ago\n", text)
    assert re.search(r"ecommerce_customers +2026-11-24 10:58:00 UTC +1 +0 +0 +0 +1", text)


def test_status_tells_the_estimate_of_the_drift_meter(merged: Shop) -> None:
    merged.query(
        "INSERT INTO cdc_merge.probes VALUES ('ecommerce', 4800, 12, 0.0025, 0.00143, 0.00437, "
        "now() - INTERVAL '1 day', now() - INTERVAL '3 minutes', 'host:1')"
    )
    probe = merged.json("status")["sources"][0]["probe"]
    assert (probe["samples"], probe["drifted"], probe["estimate"]) == (4800, 12, 0.0025)
    shown = "0.25 % of rows drifted (95 %: 0.14 to 0.44 %), 4800 samples, the last 3m ago"
    assert shown in merged("status").stdout


def test_status_says_how_far_ahead_of_this_clock_the_newest_change_is(merged: Shop) -> None:
    assert re.search(r"newest change \d+[smhd] (ago|in the future)\n", merged("status").stdout)
    for ahead, said in ((30, "0s ago"), (7201, "2h in the future")):
        moment = datetime.now(UTC) + timedelta(seconds=ahead)
        merged.query(f"UPDATE cdc_merge.batches SET newest_change_at = TIMESTAMPTZ '{moment.isoformat()}'")
        assert f"newest change {said}\n" in merged("status").stdout


def test_status_before_the_first_run_says_what_to_do(fresh: Shop) -> None:
    result = fresh("status", exits=1)
    assert "cdc-merge migrate" in result.stderr or "cdc-merge run" in result.stderr


# --- plan, migrate, check ---------------------------------------------------------------------------------


def schema_of(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.query(
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL"
    )


def test_plan_before_the_first_run_shows_the_ddl_and_makes_nothing(fresh: Shop) -> None:
    text = fresh("plan").stdout
    assert "-- migration" in text
    assert all(re.search(rf'CREATE TABLE[^;]*"{table}"', text) for table in TABLES)
    assert "MERGE" not in text and "DELETE" not in text
    document = fresh.json("plan", "--sql")
    assert document["migrations"]
    (source,) = document["sources"]
    keys = ["source", "stopped", "waiting", "rows", "differences", "ddl", "unknown", "worker_decodes", "merge", "views"]
    assert list(source) == keys
    assert {(d["change"], d["command"]) for d in source["differences"]} == {("new table", "cdc-merge run")}
    assert source["waiting"]["objects"] == len(fresh.objects())
    assert all(list(s) == ["label", "sql", "is_conditional"] for s in [*source["ddl"], *source["merge"]])
    conditional = {s["label"]: s["is_conditional"] for s in source["merge"]}
    assert conditional["resolve copies"] and not conditional["resolve"]
    assert not fresh.file.exists()


def test_plan_after_a_run_has_nothing_to_create_and_changes_nothing(merged: Shop) -> None:
    schema, tables = schema_of(merged), {t: merged.query(f"FROM {t} ORDER BY ALL") for t in TABLES}
    before = merged.file.read_bytes()
    text = merged("plan", "--sql").stdout
    assert "the tables are as the configuration asks" in text
    assert "CREATE TABLE" not in text.replace("CREATE TABLE IF NOT EXISTS", "")
    assert merged.file.read_bytes() == before
    assert (schema_of(merged), {t: merged.query(f"FROM {t} ORDER BY ALL") for t in TABLES}) == (schema, tables)


def test_migrate_applies_what_is_missing_once(fresh: Shop) -> None:
    assert fresh.json("migrate")["applied"]
    assert fresh.json("migrate") == {"applied": []}
    assert "up to date" in fresh("migrate").stdout
    assert fresh("run", "--once", "--no-migrate").exit_code == 0


def test_check_finds_nothing_wrong_where_nothing_is(merged: Shop) -> None:
    assert all(f["cure"] is None for f in merged.json("check")["findings"])
    assert "✗" not in merged("check").stdout


def test_check_before_the_first_run_names_configuration_migrations_and_targets(fresh: Shop) -> None:
    text = fresh("check").stdout
    assert f"✓ configuration: {fresh.config}, 1 source\n" in text
    assert re.search(r"✓ metadata: 0001_metadata to \d+_\w+ are due; `run` does it, or: cdc-merge migrate\n", text)
    assert all(f"✓ target {table}: will be created by the first batch\n" in text for table in TABLES)
    assert "?" not in text and "✗" not in text


def test_check_reads_records_and_finds_a_key_that_they_do_not_have(fresh: Shop) -> None:
    fresh.config.write_text(fresh.config.read_text().replace("key: [PK, SK]", "key: [pk, sk]"))
    text = fresh("check", exits=1).stdout
    assert "✗ records of ecommerce: the records have the key PK and SK, the configuration says pk and sk\n" in text
    assert "cure: write key: [PK, SK]" in text
    fresh.config.write_text(fresh.config.read_text().replace("key: [pk, sk]", "key: [SK, PK]"))
    text = fresh("check").stdout  # no record tells which is which
    assert "? records of ecommerce: the configuration has SK as the partition key" in text


def test_check_doubts_targets_and_columns_that_find_nothing_in_the_records(fresh: Shop) -> None:
    text = fresh.config.read_text().replace("TotalSpent", "TotalSpend").replace("username: Username", "username: User")
    text = text.replace("Type: OrderItem", "Type: Orderitem").replace('match: "CUSTOMER#{}"', 'match: "CUSTMER#{}"')
    fresh.config.write_text(text)
    said = fresh("check").stdout
    for doubt in (
        r"\? target ecommerce_customers: no value in \d+ items read: username \(from User\), total_spent",
        r"\? target ecommerce_order_items: takes none of the \d+ items read",
        r"\? target ecommerce_order_lines: no value in \d+ items read: username \(from \^PK\)",
    ):
        assert re.search(doubt, said)


def test_check_doubts_a_piece_of_keys_that_is_not_of_its_type(fresh: Shop) -> None:
    text = fresh.config.read_text().replace('match: "CUSTOMER#{}"', 'match: "CUSTOMER#{}", type: integer')
    fresh.config.write_text(text)
    doubt = r"\? target ecommerce_order_lines: username \(from \^PK\): \d+ keys have pieces that are no integer"
    assert re.search(doubt, fresh("check").stdout)


def test_check_doubts_attributes_at_which_a_target_would_stop(fresh: Shop) -> None:
    strict = fresh.config.read_text().replace(
        "table: ecommerce_customers\n", "table: ecommerce_customers\n        evolve: fail\n"
    )
    fresh.config.write_text(strict.replace("total_spent:", "# total_spent:"))
    assert re.search(r"\? target ecommerce_customers: attributes without a column.*TotalSpent", fresh("check").stdout)


def test_check_says_so_where_no_change_record_lies(fresh: Shop) -> None:
    (fresh.folder / "other").mkdir()
    (fresh.folder / "other" / "readme.txt").write_text("hello\n")
    fresh.config.write_text(fresh.config.read_text().replace("firehose/ecommerce/", "other/"))
    assert "? records of ecommerce: no change record was found; read: 1 record of 1 object" in fresh("check").stdout


@pytest.mark.parametrize(("setting", "subject"), [("changes", "source ecommerce"), ("exports", "exports of ecommerce")])
def test_check_names_the_directory_that_is_not_there(fresh: Shop, setting: str, subject: str) -> None:
    fresh.config.write_text(re.sub(rf"{setting}: \S+", f"{setting}: nowhere", fresh.config.read_text()))
    text = fresh("check", exits=1).stdout
    assert f"✗ {subject}: file://{fresh.folder}/nowhere: there is no such directory\n" in text
    assert f"correct `{setting}`" in text


def test_check_names_each_problem_with_its_cure(fresh: Shop) -> None:
    fresh.config.write_text(fresh.config.read_text().replace("firehose/ecommerce/", "nowhere/"))
    found = {f["subject"]: f for f in fresh.json("check", exits=1)["findings"]}
    assert found["source ecommerce"]["cure"]
    assert found["warehouse"]["cure"] is None
    assert "cure:" in fresh("check", exits=1).stdout


def test_check_finds_a_table_that_the_configuration_no_longer_fits(merged: Shop) -> None:
    text = merged.config.read_text().replace("{from: TotalOrders, type: integer}", "{from: TotalOrders, type: text}")
    merged.config.write_text(text)
    found = {f["subject"]: f for f in merged.json("check", exits=1)["findings"]}
    assert "total_orders" in found["target ecommerce_customers"]["message"]
    assert found["target ecommerce_orders"]["cure"] is None


def test_check_of_a_warehouse_that_is_not_there_still_reports(fresh: Shop) -> None:
    text = fresh.config.read_text().replace("duckdb:///warehouse.duckdb", "postgresql://nobody@127.0.0.1:1/none")
    fresh.config.write_text(text)
    found = {f["subject"]: f for f in fresh.json("check", exits=1)["findings"]}
    assert found["source ecommerce"]["cure"] is None
    assert found["warehouse"]["cure"]


# --- replay -----------------------------------------------------------------------------------------------


def test_replay_merges_everything_again_and_changes_nothing(merged: Shop) -> None:
    before = {t: merged.query(f"FROM {t} ORDER BY ALL") for t in TABLES}
    tombstones = merged.query("FROM cdc_merge.tombstones ORDER BY ALL")
    document = merged.json("replay")
    assert list(document) == [*COUNTS, "seconds", "targets"]
    assert document["objects"] == len(merged.objects())
    assert document["applied"] == 0
    assert {t: merged.query(f"FROM {t} ORDER BY ALL") for t in TABLES} == before
    assert merged.query("FROM cdc_merge.tombstones ORDER BY ALL") == tombstones
    assert merged.json("quarantine", "list")["entries"][0]["reason"] == "truncated"
    assert len(merged.json("quarantine", "list")["entries"]) == 1


def test_replay_brings_back_a_row_that_somebody_has_deleted(merged: Shop) -> None:
    before = merged.query("SELECT pk, sk, username FROM ecommerce_customers ORDER BY ALL")
    merged.query("DELETE FROM ecommerce_customers")
    assert merged.json("replay")["targets"]["ecommerce_customers"]["inserted"] == len(before)
    assert merged.query("SELECT pk, sk, username FROM ecommerce_customers ORDER BY ALL") == before


def test_replay_takes_the_objects_asked_for(merged: Shop) -> None:
    first, second, *_ = merged.objects()
    assert merged.json("replay", "--object", first)["objects"] == 1
    assert merged.json("replay", "--object", first, "--object", second)["objects"] == 2
    moments = {first: datetime(2026, 1, 1, tzinfo=UTC), second: datetime(2026, 1, 2, tzinfo=UTC)}
    for number, name in enumerate(merged.objects()):
        moment = (moments.get(name) or datetime(2026, 1, 3, tzinfo=UTC) + timedelta(days=number)).timestamp()
        os.utime(merged.feed / name, (moment, moment))
    assert merged.json("replay", "--to", "2026-01-02")["objects"] == 2
    assert merged.json("replay", "--from", "2026-01-02T00:00:00", "--to", "2026-01-02T00:00:00Z")["objects"] == 1
    assert merged.json("replay", "--from", "2026-01-01T00:00:01")["objects"] == len(merged.objects()) - 1
    merged.config.write_text(merged.config.read_text() + "\n  - {name: other, changes: ., key: [id]}\n")
    assert merged.json("replay", "--source", "ecommerce", "--object", first)["objects"] == 1
    result = merged("replay", "--object", "no/such", exits=2)
    assert "no/such" in result.stderr
    merged("replay", "--from", "yesterday", exits=2)


# --- quarantine -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--format", "json"]], ids=["table", "json"])
def test_a_terminal_without_all_letters_is_told_them_as_escapes(fresh: Shop, options: list[str]) -> None:
    strange = fresh.put({"no": "record"}, name="2026/11/24/10/ä😀")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "cdc_merge.cli"]
    run = [*command, "run", "--once", "-v", "--log-format", "json", "--config", str(fresh.config)]
    log = subprocess.run(run, env=environment, check=True, capture_output=True).stderr
    assert all(json.loads(line) for line in log.decode("ascii").splitlines())
    listed = [*command, "quarantine", "list", *options, "--config", str(fresh.config)]
    out = subprocess.run(listed, env=environment, check=True, capture_output=True).stdout.decode("ascii")
    if options:
        assert strange in {entry["object_key"] for entry in json.loads(out)["entries"]}
    else:
        assert strange.encode("ascii", "backslashreplace").decode() in out


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_command_does_its_work_also_where_a_standard_stream_is_closed(fresh: Shop, closed: str, form: str) -> None:
    command = f"{sys.executable} -m cdc_merge.cli run --once --format {form} --log-format {form}"
    subprocess.run(f"{command} --config '{fresh.config}' {closed}", shell=True, check=True, capture_output=True)
    assert fresh.query("SELECT count(*) FROM cdc_merge.objects") == [(len(fresh.objects()),)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk can be filled: only Linux has /dev/full")
@pytest.mark.parametrize("words", ["plan", "plan --format json", "plan --sql"])
def test_what_cannot_be_printed_as_the_disk_is_full_is_told_without_a_traceback(fresh: Shop, words: str) -> None:
    command = f"{sys.executable} -m cdc_merge.cli {words} --config '{fresh.config}' > /dev/full"
    ended = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert (
        ended.stderr == "error: [Errno 28] No space left on device\n  hint: make room on the disk that this writes to\n"
    )


def test_the_quarantine_is_listed_shown_and_discarded(merged: Shop) -> None:
    (entry,) = merged.json("quarantine", "list")["entries"]
    assert set(entry) >= {"id", "source", "object_key", "record", "byte_offset", "reason", "detail", "quarantined_at"}
    assert "raw" not in entry
    assert entry["object_key"] in merged.objects()
    listed = merged("quarantine", "list").stdout
    assert entry["id"] in listed
    (shown,) = merged.json("quarantine", "show", entry["id"][:6])["entries"]
    assert shown["raw"].startswith("{")
    assert {k: v for k, v in shown.items() if k != "raw"} == entry
    text = merged("quarantine", "show", entry["id"]).stdout
    assert entry["detail"] in text and shown["raw"] in text
    assert f"  cure    {entry['cure']}\n" in text
    merged("quarantine", "discard", exits=2)
    merged("quarantine", "discard", entry["id"], "--all", exits=2)
    assert merged.json("quarantine", "discard", entry["id"][:6]) == {"discarded": 1}
    assert merged.json("quarantine", "list") == {"entries": []}
    assert merged("quarantine", "list").stdout == "the quarantine is empty\n"


def test_a_retry_prints_the_books_and_keeps_what_still_fails(merged: Shop) -> None:
    before = merged.json("quarantine", "list")["entries"]
    document = merged.json("quarantine", "retry")
    assert list(document) == [*COUNTS, "seconds", "targets"]
    assert (document["objects"], document["records"], document["quarantined"]) == (0, 1, 1)
    after = merged.json("quarantine", "list")["entries"]
    assert [(e["id"], e["record"], e["byte_offset"]) for e in after] == [
        (e["id"], e["record"], e["byte_offset"]) for e in before
    ]
    assert "1 quarantined" in merged("quarantine", "retry").stdout
    assert "1 waiting; replays and retries count again above" in merged("status").stdout


def test_a_retry_waits_for_a_warehouse_that_is_busy(merged: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def busy_at_first(*arguments: Any) -> Any:
        tries.append(arguments)
        if len(tries) < 3:
            raise WarehouseUnavailable("busy")
        return retry(*arguments)

    monkeypatch.setattr("cdc_merge.cli.again.retry", busy_at_first)
    monkeypatch.setattr("cdc_merge.patience.LONGEST_WAIT_SECONDS", 0.01)
    assert merged.json("quarantine", "retry")["quarantined"] == 1
    assert len(tries) == 3


def test_a_retry_goes_on_after_an_object_that_is_gone_and_names_it(merged: Shop) -> None:
    broken, mended = (merged.feed / "2099/01/01/00" / name for name in ("broken.gz", "mended.gz"))
    broken.parent.mkdir(parents=True)
    for path in (broken, mended):
        path.write_bytes(b"\x1f\x8b not gzip")
    assert merged.json("run", "--once")["quarantined"] == 2
    broken.unlink()
    mended.write_bytes(compress(frame([customer("Zoe", 10**30)])))
    result = merged("quarantine", "retry", "--format", "json", exits=1)
    document = json.loads(result.stdout)
    assert (document["records"], document["applied"], document["quarantined"]) == (2, 1, 1)
    assert "broken.gz: the object is no longer there" in result.stderr and "quarantine discard" in result.stderr
    left = [e["object_key"] for e in merged.json("quarantine", "list")["entries"]]
    assert len(left) == 2 and "2099/01/01/00/broken.gz" in left


@pytest.mark.parametrize("name", ["f" * 16, "ZZZ", "", "%", "_"])
def test_an_id_that_no_entry_has_is_wrong_usage(merged: Shop, name: str) -> None:
    for verb in ("show", "retry", "discard"):
        assert "cdc-merge quarantine list" in merged("quarantine", verb, name, exits=2).stderr


# --- usage and configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["run", "--once"], ["status"], ["plan"], ["check"], ["replay"], ["quarantine", "list"]], ids=" ".join
)
def test_a_source_that_is_not_configured_is_wrong_usage(merged: Shop, command: list[str]) -> None:
    result = merged(*command, "--source", "nosuch", exits=2)
    assert "nosuch" in result.stderr
    assert "ecommerce" in result.stderr
    assert result.stdout == ""


def test_a_configuration_is_refused_with_all_its_mistakes_at_their_places(fresh: Shop) -> None:
    fresh.config.write_text(
        "warehouse: mysql://x\n"
        "sources:\n"
        "  - name: a\n"
        "    changes: 5\n"
        "    key: []\n"
        "    targets:\n"
        "      - table: t\n"
        "        colums: {a: A}\n"
    )
    result = fresh("run", "--once", exits=2)
    for place in ("cdc-merge.yaml:1:", "cdc-merge.yaml:4:", "cdc-merge.yaml:5:", "cdc-merge.yaml:8:"):
        assert place in result.stderr
    assert result.stdout == ""


def test_a_configuration_that_is_not_there_is_wrong_usage(fresh: Shop) -> None:
    assert "nosuch.yaml" in Command(fresh.folder / "nosuch.yaml")("status", exits=2).stderr


def test_the_configuration_is_found_in_the_environment_and_in_the_current_directory(
    merged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(merged.folder)
    found = f"configuration {merged.config}"
    assert found in invoke("status").stdout
    monkeypatch.chdir("/")
    invoke("status", env={"CDC_MERGE_CONFIG": ""}, exits=2)
    assert found in invoke("status", env={"CDC_MERGE_CONFIG": str(merged.config)}).stdout


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["run", "--nosuch"], ["run", "--format", "xml"], ["quarantine", "show"]]
)
def test_what_is_no_command_is_wrong_usage(arguments: list[str]) -> None:
    invoke(*arguments, exits=2)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["reconcile", "arcade"], "to name a source: cdc-merge reconcile --source arcade"),
        (["--config", "x.yaml", "run"], "options stand after the command: cdc-merge COMMAND --config …"),
        (["quarantine", "--source", "a", "list"], "after the command: cdc-merge quarantine COMMAND --source …"),
        (["replay", "--from", "yesterday"], "write 2026-11-24 or 2026-11-24T10:58:00Z (UTC)"),
    ],
)
def test_what_is_often_mistyped_is_told_how_to_write(arguments: list[str], hint: str) -> None:
    assert hint in invoke(*arguments, exits=2, prog_name="cdc-merge").output


def test_every_command_explains_itself() -> None:
    told = dict(re.findall(r"^  ([a-z]+) +(.+)", invoke("--help").stdout.partition("Commands:")[2], re.M))
    assert set(told) == set(cli.commands)
    for name, summary in told.items():
        assert summary.removesuffix("...")[:30] in " ".join(invoke(name, "--help").stdout.split())
    assert "cdc-merge" in invoke("--version").stdout
