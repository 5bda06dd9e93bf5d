"""Arrow batches as Parquet files that COPY INTO reads, and the words that turn their columns into Snowflake's types.

Only what a file says without room for interpretation goes into it: texts, 64-bit integers, doubles and booleans. Times
are microseconds since 1970, dates and bytes are texts; the COPY converts them by functions.
https://docs.snowflake.com/en/user-guide/data-load-transform
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as arrow

from cdc_merge.warehouses.arrow_types import is_binary, is_integer, is_moment, is_text

FILE_BYTES = 128 * 2**20
"""A file is closed at this size: https://docs.snowflake.com/en/user-guide/data-load-considerations-prepare"""

MOST_FILES = 1_000
"""Of one COPY INTO: https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#optional-parameters"""

_PIECE = 16 * 2**20  # of Arrow data, made ready for the file at a time


@dataclass(frozen=True)
class StagedColumn:
    """A column of a staging table: its name, its type, and its {value} in a file, converted."""

    name: str
    type: str
    converted: str
    written: Callable[[pa.Array], pa.Array]

    def read(self, number: int) -> str:
        """The expression of the COPY's query; columns of files are called c0, c1 and so on."""
        return self.converted.format(value=f'$1:"c{number}"')


def _as_is(column: pa.Array) -> pa.Array:
    return column


def _as_text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _as_integer(column: pa.Array) -> pa.Array:
    return column.cast(pa.int64())


def _as_microseconds(column: pa.Array) -> pa.Array:
    return column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())


def _as_hex(column: pa.Array) -> pa.Array:
    return pa.array([None if b is None else b.hex() for b in column.to_pylist()], pa.string())


_Form = tuple[Callable[[pa.DataType], bool], str, str, Callable[[pa.Array], pa.Array]]
_FORMS: tuple[_Form, ...] = (
    (is_text, "VARCHAR", "{value}::VARCHAR", _as_text),
    (is_integer, "NUMERIC(38, 0)", "{value}::NUMERIC(38, 0)", _as_integer),
    (arrow.is_boolean, "BOOLEAN", "{value}::BOOLEAN", _as_is),
    # https://docs.snowflake.com/en/sql-reference/functions/to_timestamp
    (is_moment, "TIMESTAMP_TZ", "TO_TIMESTAMP_TZ({value}::NUMERIC(38, 0), 6)", _as_microseconds),
    (arrow.is_date32, "DATE", "TO_DATE({value}::VARCHAR, 'YYYY-MM-DD')", _as_text),
    (arrow.is_float64, "FLOAT", "{value}::FLOAT", _as_is),
    (is_binary, "BINARY", "TO_BINARY({value}::VARCHAR, 'HEX')", _as_hex),
)


def staged_columns(schema: pa.Schema) -> list[StagedColumn]:
    """How each column is staged. Raises TypeError for types that never are; numbers come as text."""
    return [_staged(field) for field in schema]


def _staged(field: pa.Field) -> StagedColumn:
    for takes, type_name, converted, written in _FORMS:
        if takes(field.type):
            return StagedColumn(field.name, type_name, converted, written)
    raise TypeError(f"column {field.name!r} has a type that is not staged: {field.type}")


def write_files(
    reader: pa.RecordBatchReader, columns: Sequence[StagedColumn], folder: Path, *, prefix: str
) -> Iterator[Path]:
    """Write the batches to files of about FILE_BYTES, and give each when it is whole; none without rows."""
    writer: pq.ParquetWriter | None = None
    path = folder
    count = 0
    try:
        for batch in _pieces(reader):
            written = pa.table({f"c{i}": c.written(batch.column(i)) for i, c in enumerate(columns)})
            if writer is None:
                path = folder / f"{prefix}-{count}.parquet"
                writer = pq.ParquetWriter(path, written.schema, compression="snappy")
                count += 1
            writer.write_table(written)
            if path.stat().st_size >= FILE_BYTES:
                writer.close()
                writer = None
                yield path
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        yield path


def _pieces(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        rows = max(1, batch.num_rows * _PIECE // max(1, batch.nbytes))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


__all__ = ["FILE_BYTES", "MOST_FILES", "StagedColumn", "staged_columns", "write_files"]
