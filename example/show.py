"""Prints what the example merged: the first rows of each table, what is in quarantine, and answers to two questions."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

WAREHOUSE = Path(__file__).resolve().parent / "warehouse.duckdb"
QUESTIONS = Path(__file__).resolve().parent / "questions.sql"
ROWS = 5
# Left out, so that a row fits a line: the overloaded keys, the list that has a table of its own, and what cdc-merge
# keeps of each row.
HIDDEN = ("pk", "sk", "gsi1pk", "gsi1sk", "items", "_cdc_position", "_cdc_changed_at", "_cdc_merged_at")


def show(warehouse: duckdb.DuckDBPyConnection, console: Console) -> None:
    """Every table of the schema main, the quarantine, then the answers."""
    warehouse.execute("SET TimeZone = 'UTC'")
    tables = warehouse.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' ORDER BY table_name"
    ).fetchall()
    for (table,) in tables:
        show_query(warehouse, console, table, f'SELECT * FROM "{table}" ORDER BY ALL')
    show_query(
        warehouse,
        console,
        "quarantine",
        "SELECT object_key, record, reason, detail FROM cdc_merge.quarantine ORDER BY ALL",
    )
    for question, query in questions():
        show_query(warehouse, console, question, query)


def questions() -> list[tuple[str, str]]:
    """Each question of questions.sql, with its query."""
    parts = QUESTIONS.read_text(encoding="utf-8").split("\n\n")
    return [(title.removeprefix("-- "), query) for title, _, query in (part.partition("\n") for part in parts)]


def show_query(warehouse: duckdb.DuckDBPyConnection, console: Console, name: str, query: str) -> None:
    """The first rows of a query; columns without a value are left out."""
    found = warehouse.execute(query)
    columns = [column[0] for column in found.description or ()]
    rows = found.fetchall()
    shown = [
        i for i, column in enumerate(columns) if column not in HIDDEN and any(row[i] is not None for row in rows[:ROWS])
    ]
    count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    table = Table(title=name if name.endswith("?") else f"{name}: {count}", title_justify="left")
    for i in shown:
        table.add_column(columns[i], no_wrap=True, overflow="ellipsis", max_width=27)
    for row in rows[:ROWS]:
        table.add_row(*(Text("" if row[i] is None else str(row[i])) for i in shown))
    console.print(table if rows else table.title)


def main() -> None:
    """The command."""
    if not WAREHOUSE.exists():
        sys.exit(f"{WAREHOUSE} is not there yet; run: make demo")
    sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have all letters
    with duckdb.connect(WAREHOUSE, read_only=True) as warehouse:
        show(warehouse, Console(width=None if sys.stdout.isatty() else 160))


if __name__ == "__main__":
    main()
