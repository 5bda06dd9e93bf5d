"""Erases items, and looks for what is left of them."""

from __future__ import annotations

from cdc_merge.forget import Forgetter, Forgotten
from cdc_merge.migrate import METADATA_TABLES
from tests.support.harness import Harness


def forget(harness: Harness, *words: str, keep_tombstone: bool = False) -> Forgotten:
    forgetter = Forgetter(harness.settings, "shop", words, sleep=lambda _seconds: None)
    try:
        return forgetter.erase(forgetter.look(find_newest=keep_tombstone), keep_tombstone=keep_tombstone)
    finally:
        forgetter.close()


def all_that_is_kept(harness: Harness) -> str:
    """Every value of every table of the warehouse, as text."""
    tables = harness.query(
        "SELECT table_schema, table_name FROM information_schema.tables "
        f"WHERE lower(table_schema) IN ('{harness.schema}', '{harness.metadata}')"
    )
    assert len(tables) > len(METADATA_TABLES)
    return "\n".join(str(row) for schema, table in tables for row in harness.query(f'SELECT * FROM {schema}."{table}"'))
