"""`cdc-merge reconcile` as a user types it: what it prints, what it changes, and how it exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.commands import Command
from tests.support.exports import TABLE_ARN, write_export
from tests.support.reconciling import AS_OF, CUSTOMER, FLOOR, MINUTE, ORDER, change, item
from tests.support.records import frame, to_item

CONFIG = """
warehouse: duckdb:///warehouse.duckdb
sources:
  - name: shop
    changes: feed/shop/
    exports: exports/shop/
    key: [PK]
    reconcile: {max_delete: 50%}
    targets:
      - table: customers
        where: {Type: Customer}
      - table: orders
        where: {Type: Order}
  - name: kiosk
    changes: feed/kiosk/
    exports: exports/kiosk/
    key: [PK]
"""
ITEMS = [item("equal", CUSTOMER), item("different", {**CUSTOMER, "Name": "Bo"}), item("o1", ORDER)]
KIOSK = [item("k", {"Name": "x"})]
COUNTS = ["equal", "missing", "extra", "different", "newer", "repaired"]


@dataclass(frozen=True)
class Shops(Command):
    """A folder with a configuration, a feed and exports."""

    @property
    def folder(self) -> Path:
        return self.config.parent

    def export(
        self, items: Sequence[Mapping[str, Any]] = ITEMS, *, of: str = "shop", as_of: datetime = AS_OF, **options: Any
    ) -> Path:
        return write_export(self.folder / "exports" / of, items, as_of=as_of, key=("PK",), **options)

    def rows(self, table: str) -> set[str]:
        with duckdb.connect(str(self.folder / "warehouse.duckdb")) as connection:
            return {key for (key,) in connection.execute(f"SELECT pk FROM {table}").fetchall()}

    def file(self) -> bytes:
        return (self.folder / "warehouse.duckdb").read_bytes()


@pytest.fixture
def command(tmp_path: Path) -> Shops:
    """The shop has drifted from ITEMS: a customer each is equal, different and extra, and an order is missing."""
    (tmp_path / "cdc-merge.yaml").write_text(CONFIG)
    for source in ("shop", "kiosk"):
        (tmp_path / "feed" / source).mkdir(parents=True)
        (tmp_path / "exports" / source).mkdir(parents=True)
    records = [change("equal", 1, CUSTOMER), change("different", 2, CUSTOMER), change("extra", 3, CUSTOMER)]
    (tmp_path / "feed" / "shop" / "1").write_bytes(frame(records))
    command = Shops(tmp_path / "cdc-merge.yaml")
    command("run", "--once", "-q")
    return command


def test_the_document_is_as_promised(command: Shops) -> None:
    folder = command.export()

    document = command.json("reconcile", "--source", "shop")

    promised = {"source": "shop", "export": f"file://{folder}", "as_of": "2026-01-01T01:00:00Z", "items": 3}
    assert promised.items() <= document.items()
    assert document["verified_through"] == FLOOR.isoformat().replace("+00:00", "Z")
    assert (document["dry_run"], document["overridden"], document["method"]) == (False, [], "export")
    found = {table: {name: counts[name] for name in COUNTS} for table, counts in document["targets"].items()}
    assert found == {
        "customers": dict(zip(COUNTS, (1, 0, 1, 1, 0, 2), strict=True)),
        "orders": dict(zip(COUNTS, (0, 1, 0, 0, 0, 1), strict=True)),
    }
    assert {"key": ["different"], "verdict": "different", "cause": "update_lost_or_altered", "columns": ["name"]} in (
        document["targets"]["customers"]["samples"]
    )
    assert command.rows("customers") == {"equal", "different"}
    assert command.rows("orders") == {"o1"}


def test_people_are_told_what_had_drifted_and_how(command: Shops) -> None:
    folder = command.export()

    text = command("reconcile", "--source", "shop").stdout

    assert f"shop: 3 items of file://{folder}" in text
    assert "verified through 2026-01-01T00:58:00+00:00" in text
    for line in (
        "customers: different different (name), update lost or altered",
        "customers: extra extra, delete lost",
        "orders: empty before; this is its first load, of 1 row",
    ):
        assert line in text
    assert "\x1b" not in text
    assert "dry run" not in text


def test_what_is_missing_from_a_table_with_rows_is_named_and_the_rest_counted(command: Shops) -> None:
    command.export([*ITEMS, *(item(f"c{n:02}", CUSTOMER) for n in range(13))])

    dry = command("reconcile", "--source", "shop", "--dry-run", exits=4).stdout

    assert "orders: empty before; this would be its first load, of 1 row" in dry
    assert dry.count("customers: missing c") == 10
    assert "customers: missing c00, never arrived" in dry
    assert "customers: and 3 more missing" in dry


def test_a_dry_run_that_finds_drift_exits_4_and_writes_nothing(command: Shops) -> None:
    command.export()
    before = command.file()

    document = command.json("reconcile", "--source", "shop", "--dry-run", exits=4)
    text = command("reconcile", "--source", "shop", "--dry-run", exits=4).stdout

    assert document["dry_run"] is True
    assert [document["targets"]["customers"][name] for name in COUNTS] == [1, 0, 1, 1, 0, 2]
    assert "nothing was written (dry run)" in text
    assert command.file() == before


def test_a_dry_run_after_a_repair_exits_0(command: Shops) -> None:
    command.export()
    command("reconcile", "--source", "shop")
    document = command.json("reconcile", "--source", "shop", "--dry-run")
    assert [document["targets"]["customers"][name] for name in COUNTS] == [2, 0, 0, 0, 0, 0]


def test_too_many_deletes_are_refused_with_exit_3_shown_by_a_dry_run_and_forced(command: Shops) -> None:
    command.export(ITEMS[2:])

    refusal = command("reconcile", "--source", "shop", exits=3)
    assert "3 of 3 rows (100.0 %) would be deleted" in refusal.stderr
    assert "hint: look at them: cdc-merge reconcile --dry-run" in refusal.stderr
    assert refusal.stdout == ""
    assert command.rows("customers") == {"equal", "different", "extra"}

    shown = command("reconcile", "--source", "shop", "--dry-run", exits=4).stdout
    assert "without --force it will be refused" in shown
    assert "customers: extra equal, delete lost" in shown

    forced = command("reconcile", "--source", "shop", "--force").stdout
    assert "forced: target customers" in forced
    assert command.rows("customers") == set()


def test_several_sources_are_reconciled_one_after_the_other(command: Shops) -> None:
    command.export()
    command.export(KIOSK, of="kiosk", table_arn=TABLE_ARN + "-kiosk")

    document = command.json("reconcile")

    assert [each["source"] for each in document["sources"]] == ["shop", "kiosk"]
    assert command.rows("kiosk") == {"k"}
    text = command("reconcile").stdout
    assert text.index("shop: 3 items") < text.index("kiosk: 1 item of ")


def test_a_source_that_is_refused_hides_nothing_of_the_others(command: Shops) -> None:
    command.export()
    damaged = command.export(KIOSK, of="kiosk", table_arn=TABLE_ARN + "-kiosk")
    (Path(damaged) / "manifest-files.json").write_text("")

    result = command("reconcile", exits=3)

    assert "shop: 3 items" in result.stdout
    assert command.rows("customers")


def test_drift_of_any_source_makes_a_dry_run_exit_4(command: Shops) -> None:
    command.export()
    command.export(KIOSK, of="kiosk")
    command("reconcile", "--source", "shop")
    command("reconcile", "--dry-run", exits=4)
    command("reconcile", "--source", "kiosk")
    command("reconcile", "--dry-run")


# --- which export --------------------------------------------------------------------------------------------


def test_an_export_is_named_by_path_url_id_or_arn(command: Shops) -> None:
    older = command.export(ITEMS[:2], as_of=AS_OF - 10 * MINUTE)
    command.export()
    arn = f"{TABLE_ARN}/export/{older.name}"

    for wanted in (str(older), f"file://{older}", older.name, arn):
        document = command.json("reconcile", "--source", "shop", "--export", wanted, "--dry-run", exits=4)
        assert document["export"] == f"file://{older}", wanted
        assert document["items"] == 2


def test_the_newest_complete_export_of_the_table_is_taken_without_a_name(command: Shops) -> None:
    command.export(as_of=AS_OF - 10 * MINUTE)
    newest = command.export()
    unfinished = command.export(ITEMS[:1], as_of=AS_OF + 10 * MINUTE)
    for manifest in unfinished.glob("manifest-*"):
        manifest.unlink()
    command.export(ITEMS[:1], as_of=AS_OF + 20 * MINUTE, table_arn=TABLE_ARN + "-other")

    for wanted in ([], ["--export", str(command.folder / "exports" / "shop")]):
        document = command.json("reconcile", "--source", "shop", *wanted, "--dry-run", exits=4)
        assert document["export"] == f"file://{newest}"


def test_an_export_is_refused_with_exit_3(command: Shops) -> None:
    before = command.file()
    soon = datetime.now(UTC) + timedelta(days=1)
    unfinished = command.export(as_of=AS_OF + MINUTE)
    for manifest in unfinished.glob("manifest-*"):
        manifest.unlink()
    for wanted, says in (
        (unfinished, "unfinished"),
        (command.export([], as_of=AS_OF + 2 * MINUTE), "no items at all"),
        (command.export(as_of=soon), "in the future"),
        (command.export(table_arn=TABLE_ARN + "-other"), "by what was merged before the source is"),
    ):
        refusal = command("reconcile", "--source", "shop", "--export", str(wanted), exits=3)
        assert says in refusal.stderr
        assert "hint: " in refusal.stderr
        assert refusal.stdout == ""
    assert command.file() == before


# --- used wrongly --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--export", "x", "--request"], "--export and --request contradict each other"),
        (["--scan", "--request"], "--request and --scan contradict each other"),
        (["--export", "x"], "an export is of one table, the configuration has several sources"),
        (["--source", "nobody"], "nobody"),
        (["--source", "shop", "--export", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--source", "kiosk", "--scan"], "it is not known which DynamoDB table this is"),
        (["--source", "shop", "--scan", "--scan-rate", "0"], "0"),
        (["--scan", "--copy-from-dynamodb"], "--scan and --copy-from-dynamodb contradict each other"),
        (["--source", "shop", "--copy-from-dynamodb"], "duckdb cannot read a DynamoDB table by itself"),
        (["--source", "shop", "--copy-from-dynamodb", "--read-ratio", "201"], "201"),
        (["--source", "shop", "--scan", "--empty-as-null"], "add --copy-from-dynamodb"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_wrong_usage_exits_2(command: Shops, arguments: list[str], says: str) -> None:
    before = command.file()
    result = command("reconcile", *arguments, exits=2)
    assert says in result.stderr
    assert command.file() == before


def test_without_a_place_for_exports_one_must_be_named(command: Shops) -> None:
    path = command.folder / "cdc-merge.yaml"
    path.write_text(CONFIG.replace("    exports: exports/shop/\n", ""))
    folder = command.export()
    assert "has no `exports`" in command("reconcile", "--source", "shop", exits=2).stderr
    command("reconcile", "--source", "shop", "--export", str(folder))


def test_a_dry_run_makes_no_file(command: Shops) -> None:
    command.export()
    file = command.folder / "warehouse.duckdb"
    file.unlink()

    result = command("reconcile", "--source", "shop", "--dry-run", exits=1)

    assert "there is no warehouse yet" in result.stderr
    assert not file.exists()


def test_keys_do_not_command_the_terminal(command: Shops) -> None:
    command.export([to_item({"PK": "evil\x1b]0;owned\x07\nt: equal", **CUSTOMER})])
    shown = command("reconcile", "--source", "shop", "--dry-run", exits=4).stdout
    assert "\x1b" not in shown
    assert "evil\\x1b]0;owned\\x07\\nt: equal" in shown
