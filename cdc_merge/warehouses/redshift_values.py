"""A few rows as the VALUES of an INSERT: what COPY takes seconds for, whatever the size."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa

from cdc_merge.warehouses.redshift_dialect import REDSHIFT

# Each file of a COPY goes through S3 and Spectrum. For a few rows AWS too advises a multi-row insert:
# https://docs.aws.amazon.com/redshift/latest/dg/c_best-practices-multi-row-inserts.html
SMALL_ROWS = 100
SMALL_BYTES = 32 * 2**10


def few_rows(reader: pa.RecordBatchReader) -> tuple[pa.Table | None, pa.RecordBatchReader]:
    """All rows of a reader if they are few, else None; and a reader of all rows still."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in reader:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > SMALL_ROWS or size > SMALL_BYTES:
            break
    else:
        table = pa.Table.from_batches(held, reader.schema)
        return table, table.to_reader()

    def everything() -> object:
        yield from held
        yield from reader

    return None, pa.RecordBatchReader.from_batches(reader.schema, everything())


def values(table: pa.Table) -> str:
    """The rows as `(…), (…)`."""
    return ",\n".join(f"({', '.join(map(_literal, row.values()))})" for row in table.to_pylist())


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float():
            return f"CAST('{value!r}' AS DOUBLE PRECISION)"
        case str():
            return REDSHIFT.literal(value)
        case bytes():
            return f"TO_VARBYTE('{value.hex()}', 'hex')"
        case datetime():
            # Text, not a format of Python's: that leaves out zeros of years before 1000.
            return f"CAST('{value.isoformat(sep=' ', timespec='microseconds')}' AS TIMESTAMP WITH TIME ZONE)"
        case date():
            return f"CAST('{value.isoformat()}' AS DATE)"
    raise TypeError(f"a value that is not staged: {type(value).__name__}")


def columns(schema: pa.Schema, types: Sequence[str]) -> str:
    """The definition of a table for such rows."""
    return ", ".join(f"{REDSHIFT.quote(f.name)} {kind}" for f, kind in zip(schema, types, strict=True))


__all__ = ["SMALL_BYTES", "SMALL_ROWS", "columns", "few_rows", "values"]
