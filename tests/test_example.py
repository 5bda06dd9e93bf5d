"""The example's exports, and what the README has a newcomer do with them."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdc_merge import Config, Reconciler, Worker
from cdc_merge.infer.inferrer import Options, infer
from cdc_merge.infer.write import write_yaml
from cdc_merge.model import Settings
from cdc_merge.warehouses import open_warehouse
from example import damage, make_data, show
from tests.support.harness import untyped

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example, with no warehouse yet, beside an environment that runs this checkout."""
    shutil.copytree(ROOT / "example", tmp_path / "example", ignore=shutil.ignore_patterns("*.duckdb*"))
    bin = tmp_path / ".venv" / "bin"
    bin.mkdir(parents=True)
    (bin / "activate").write_text(f'PATH="{bin}:{Path(sys.executable).parent}:$PATH"\n')
    (bin / "cdc-merge").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cdc_merge.cli "$@"\n')
    (bin / "cdc-merge").chmod(0o755)
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    """Every file of the exports. Manifests tell of compressed bytes, which differ between versions of zlib."""
    return {
        path.relative_to(root).as_posix(): gzip.decompress(path.read_bytes()) for path in root.rglob("*.json.gz")
    } | {path.relative_to(root).as_posix(): b"" for path in root.rglob("manifest-*")}


def test_the_exports_are_what_their_script_writes(tmp_path: Path) -> None:
    make_data.write_exports(tmp_path)

    assert contents(tmp_path)
    assert contents(make_data.EXPORTS) == contents(tmp_path)


def test_the_feed_brings_the_tables_to_what_the_export_says(folder: Path) -> None:
    settings = Config.load(folder / "example" / "cdc-merge.yaml")
    Worker(settings).run_once()
    reconciler = Reconciler(settings)
    report = reconciler.reconcile("ecommerce")
    reconciler.close()

    found = {table: (v.equal, v.drifted, v.newer) for table, v in report.targets.items()}
    assert found == {
        "ecommerce_customers": (11, 0, 0),
        "ecommerce_orders": (34, 0, 0),
        "ecommerce_order_items": (41, 0, 0),
        "ecommerce_order_lines": (23, 0, 0),
    }


def blocks(language: str, heading: str = "Drift") -> list[str]:
    """The blocks of a section of the README."""
    section = re.split(r"^## ", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    (found,) = (text for text in section if text.startswith(f"{heading}\n"))
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", found, re.MULTILINE | re.DOTALL)
    return [text for marked, text in fenced if marked == language]


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_what_the_readme_says_of_drift_can_be_pasted_and_comes_out_as_shown(folder: Path) -> None:
    (shown,) = blocks("")
    pasted = subprocess.run(
        ["bash", "-c", "".join(f'{block}echo "exit $?"\n' for block in blocks("sh"))],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    outputs = re.split(
        r"^exit (\d)\n", pasted.stdout.replace(folder.resolve().as_uri(), "file:///…"), flags=re.MULTILINE
    )

    assert outputs[1::2] == ["0", "4", "0"], pasted.stderr
    assert words(outputs[2]) == words(shown)
    repair, again = outputs[4].split("ecommerce: 97 items")[1:]
    assert re.findall(r"^ (\w+) .* (\d+) *$", repair, re.MULTILINE) == [
        ("ecommerce_customers", "1"),
        ("ecommerce_orders", "1"),
        ("ecommerce_order_items", "2"),
        ("ecommerce_order_lines", "1"),
    ]
    assert re.findall(r"^ (\w+) +(\d+) +0 +0 +0 +0 +0 *$", again, re.MULTILINE) == [
        ("ecommerce_customers", "11"),
        ("ecommerce_orders", "34"),
        ("ecommerce_order_items", "41"),
        ("ecommerce_order_lines", "23"),
    ]


def test_the_demo_does_the_damage_that_the_readme_does() -> None:
    assert [statement for statement in damage.DAMAGE if statement not in "".join(blocks("sh"))] == []


TABLES = "One table in, four out"


def cells(text: str) -> list[list[str]]:
    return [re.split(r" {2,}", line) for line in text.splitlines()]


def test_the_two_questions_of_the_readme_have_the_answers_shown(folder: Path) -> None:
    Worker(Config.load(folder / "example" / "cdc-merge.yaml")).run_once()
    tables = blocks("", TABLES)

    assert len(tables) == 2
    with duckdb.connect(str(folder / "example" / "warehouse.duckdb")) as warehouse:
        for query, answer in zip(blocks("sql", TABLES), tables, strict=True):
            found = warehouse.execute(query)
            names = [column[0] for column in found.description or ()]
            assert [names, *([str(value) for value in row] for row in found.fetchall())] == cells(answer)


def answers(settings: Settings, queries: Iterable[str]) -> list[list[list[str]]]:
    """What each query finds in the tables of the feed."""
    totals = Worker(settings).run_once()
    assert totals.stopped == {}
    with closing(open_warehouse(settings.warehouse)) as warehouse, warehouse.session() as session:
        return [[[str(value) for value in row] for row in session.query(query.strip(";\n"))] for query in queries]


def shown() -> list[list[list[str]]]:
    """The answers of the README, without the names of the columns."""
    return [cells(answer)[1:] for answer in blocks("", TABLES)]


def test_the_answers_of_the_readme_are_what_the_items_themselves_say() -> None:
    """Told from the export of the moment after the last change, by Python alone."""
    lines = [
        json.loads(line)["Item"]
        for path in make_data.EXPORTS.rglob(f"*{int(make_data.EXPORTED_AT[1].timestamp() * 1000)}*/data/*.json.gz")
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    items = [{name: untyped(value) for name, value in line.items()} for line in lines]
    names = {item["Username"]: item["Name"] for item in items if item.get("Type") == "Customer"}
    orders = [item for item in items if item.get("Type") == "Order"]
    made_at = {order["OrderId"]: datetime.fromisoformat(order["CreatedAt"]) for order in orders}
    spent: dict[str, list[Decimal]] = {}
    for order in orders:
        if order["Status"] != "CANCELLED" and made_at[order["OrderId"]] > max(made_at.values()) - timedelta(days=30):
            spent.setdefault(order["Username"], []).append(order["TotalAmount"])
    sold: dict[str, list[dict[str, Any]]] = {}
    of_the_app = [line for order in orders if order["Status"] != "CANCELLED" for line in order.get("Items", ())]
    for line in [*of_the_app, *(item for item in items if item.get("Type") == "OrderItem")]:
        sold.setdefault(line["Description"], []).append(line)

    most = sorted(spent.items(), key=lambda each: (-sum(each[1]), each[0]))
    best = [(d, sum(o["Amount"] for o in of), sum(o["TotalCost"] for o in of)) for d, of in sold.items()]
    assert shown() == [
        [[user, names[user], str(len(of)), f"{sum(of):.2f}"] for user, of in most[:5]],
        [[d, str(n), f"{cost:.2f}"] for d, n, cost in sorted(best, key=lambda each: (-each[1], -each[2]))[:5]],
    ]


def test_the_two_questions_have_one_answer_on_every_engine(folder: Path, warehouse_url: str) -> None:
    settings = replace(Config.load(folder / "example" / "cdc-merge.yaml"), warehouse=warehouse_url, schema="shop")
    queries = [query.replace("ecommerce_", "shop.ecommerce_") for query in blocks("sql", TABLES)]
    assert answers(settings, queries) == shown()


def test_the_two_questions_can_be_asked_of_what_infer_proposes(folder: Path) -> None:
    """The first as it stands. A proposal does not repeat an order's status in each line, so the second joins."""
    proposal = infer(str(folder / "example/firehose/ecommerce"), Options(warehouse="duckdb:///proposed.duckdb"))
    (folder / "proposed.yaml").write_text(write_yaml(proposal), encoding="utf-8")
    spent, sold = (query.replace("ecommerce_", "") for query in blocks("sql", TABLES))
    of_lines = "FROM order_lines"
    assert of_lines in sold
    sold = sold.replace(
        of_lines, "FROM items_in_orders JOIN (SELECT order_id, status FROM orders) AS o USING (order_id)"
    )
    assert answers(Config.load(folder / "proposed.yaml"), [spent, sold]) == shown()


def test_the_demo_asks_what_the_readme_asks() -> None:
    assert [query.strip() for _, query in show.questions()] == [query.strip() for query in blocks("sql", TABLES)]


def test_what_the_readme_shows_of_the_configuration_is_in_it() -> None:
    lines = {line.partition(" # ")[0].strip() for line in (make_data.ROOT / "cdc-merge.yaml").read_text().splitlines()}

    (shown,) = blocks("yaml", TABLES)
    assert [line for line in shown.splitlines() if line.strip() not in lines] == []


def test_every_column_of_the_example_holds_what_there_is_to_hold(folder: Path) -> None:
    Worker(Config.load(folder / "example" / "cdc-merge.yaml")).run_once()
    with duckdb.connect(str(folder / "example" / "warehouse.duckdb")) as warehouse:
        for table in ("customers", "orders", "order_items", "order_lines"):
            query = f"SELECT count(*) FROM ecommerce_{table} WHERE _cdc_rescued IS NOT NULL"
            assert warehouse.execute(query).fetchall() == [(0,)]
