"""The page on single-table designs: its items, merged by its configuration, give what it says, and its SQL runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from cdc_merge import Config, Worker
from cdc_merge.config.templates import written_template
from cdc_merge.feed.convert import piece_of
from cdc_merge.feed.workbench import Workbench
from tests.support.records import stream_record

PAGE = (Path(__file__).parent.parent / "docs" / "single-table.md").read_text(encoding="utf-8")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = """
warehouse: {url}
sources:
  - name: shop
    changes: {feed}
    key: [PK, SK]
    targets:
"""


def blocks(language: str, *, after: str = "") -> list[str]:
    """The page's blocks of a language, below a heading or a line of text."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.partition(after)[2] if after else PAGE, re.M | re.S)


def items() -> Iterator[dict[str, Any]]:
    """The items that the page shows."""
    (text,) = blocks("json")
    rest = text.strip()
    while rest:
        item, end = json.JSONDecoder(parse_float=Decimal).raw_decode(rest)
        yield item
        rest = rest[end:].strip()


class Shop:
    """The page's items, merged by its targets."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        feed = folder / "feed"
        feed.mkdir()
        records = [
            stream_record({name: item[name] for name in ("PK", "SK")}, item, sequence=n, at=T0 + timedelta(seconds=n))
            for n, item in enumerate(items(), start=1)
        ]
        (feed / "one").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        targets = "".join(f"      {line}\n" for block in blocks("yaml") for line in block.splitlines())
        config = folder / "cdc-merge.yaml"
        config.write_text(HEADER.format(url=url, feed=feed.as_uri()) + targets, encoding="utf-8")
        self.totals = Worker(Config.load(config)).run_once()
        assert not self.totals.stopped

    def query(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement, run as anyone would."""
        if self.url.startswith("duckdb"):
            with duckdb.connect(self.url.removeprefix("duckdb:///")) as connection:
                return [connection.execute(statement) for statement in statements][-1].fetchall()
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        return sorted(self.query(f"SELECT {', '.join(columns)} FROM {table}"))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Shop:
    return Shop(warehouse_url, tmp_path)


def test_the_targets_of_the_page_take_the_items_it_shows(shop: Shop) -> None:
    assert {table: target["inserted"] for table, target in shop.totals.counts.targets.items()} == {
        "customers": 1,
        "open_orders": 1,
        "all_orders": 1,
        "french_customers": 0,
        "order_items": 1,
        "orders_by_customer": 1,
        "order_lines": 1,
        "customer_addresses": 1,
        "customer_interests": 1,
        "people": 1,
        "shop_documents": 4,
        "customer_documents": 1,
    }
    order_id = "CAST(placed_at AS text)"
    ((*order, placed),) = shop.rows("orders_by_customer", "username", "order_id", "CAST(total AS text)", order_id)
    assert (order, placed[:10]) == (["ada", "17", "29.90"], "2025-11-24")
    assert shop.rows("order_items", "order_id", "item_id", "description") == [("17", 4, "Enamel mug")]
    lines = shop.rows("order_lines", "order_id", "_cdc_index", "sku", "amount", "coalesce(gift, FALSE)", "status")
    assert lines == [("17", 0, "mug", 2, True, "PLACED"), ("17", 1, "pen", 1, False, "PLACED")]
    assert shop.rows("customer_addresses", "_cdc_index", "_cdc_key", "city") == [
        (0, "Home", "Hamburg"),
        (1, "Work", "Lyon"),
    ]
    assert [interest for (interest,) in shop.rows("customer_interests", "interest")] == ["chess", "tea"]
    ((email, phone, addresses, rescued),) = shop.rows("people", "email", "phone", "addresses", "_cdc_rescued")
    assert (len(email), phone, addresses, rescued) == (64, "redacted", None, None)


def test_the_sql_of_the_page_runs(shop: Shop) -> None:
    marker = "on DuckDB:" if shop.url.startswith("duckdb") else "The same on Postgres:"
    view, *queries = (text for text in blocks("sql", after=marker)[0].split(";\n") if text.strip())
    orders, lines, cities = (shop.query(view.replace("VIEW", "TEMP VIEW"), query) for query in queries)

    assert [(username, status, str(total)) for username, status, total in orders] == [("ada", "PLACED", "29.90")]
    assert lines == [("#ORDER#17", "mug", 2), ("#ORDER#17", "pen", 1)]
    assert cities == [("CUSTOMER#ada", "Home", "Hamburg"), ("CUSTOMER#ada", "Work", "Lyon")]
    assert shop.query(blocks("sql")[0]) == [(0,)]


def test_templates_take_what_the_page_says() -> None:
    cases = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (?:`([^`]+)`|NULL.*) \|$", PAGE, re.MULTILINE)

    assert len(cases) == 7
    with Workbench(memory=10**9) as workbench:
        for template, text, expected in cases:
            piece = piece_of(written_template(template).for_column(""), "$text")
            found = workbench.connection.execute(f"SELECT {piece}", {"text": text}).fetchone()
            assert found == (expected or None,), (template, text)
