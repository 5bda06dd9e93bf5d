"""The tables of a DuckDB file, read a portion at a time for engines that cannot attach it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from cdc_merge.warehouses.dialect import DUCKDB

_MEMORY = "256MB"
_PORTION_ROWS = 65_536


def staged_tables(path: Path, tables: Mapping[str, str]) -> Iterator[tuple[str, pa.RecordBatchReader]]:
    """For each `{staging name: its name in the file}` the staging name and its rows, one after the other."""
    with duckdb.connect(str(path), read_only=True, config={"memory_limit": _MEMORY}) as file:
        file.execute("SET TimeZone = 'UTC'")
        for staged, there in tables.items():
            yield staged, file.sql(f"FROM {DUCKDB.quote(there)}").to_arrow_reader(_PORTION_ROWS)
