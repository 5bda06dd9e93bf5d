"""Arrow batches as the byte stream of Postgres's binary COPY, encoded piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.types as arrow
from pgpq import ArrowToPostgresBinaryEncoder

from cdc_merge.warehouses.arrow_types import is_binary, is_moment_in_microseconds, is_text
from cdc_merge.warehouses.dialect import POSTGRES

PIECE = 8 * 1024**2
"""Bytes of Arrow data encoded at a time: what a load takes beside the reader's own batch."""


# The binary form of COPY does not convert: the column must be of the type that pgpq encodes.
# https://www.postgresql.org/docs/current/sql-copy.html and https://github.com/adriangb/pgpq#data-types
_STAGED: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (is_text, f"text {POSTGRES.byte_order}"),
    (arrow.is_int64, "bigint"),
    (arrow.is_int32, "integer"),
    (arrow.is_boolean, "boolean"),
    (is_moment_in_microseconds, "timestamp with time zone"),
    (arrow.is_date32, "date"),
    (arrow.is_float64, "double precision"),
    (is_binary, "bytea"),
)


def staged_columns(schema: pa.Schema) -> list[tuple[str, str]]:
    """(column, Postgres type) of a staging table for the Arrow schema.

    Raises TypeError for types that are never staged; numbers come as text (`stages_decimals` in dialect.py).
    """
    return [(field.name, _staged_type(field)) for field in schema]


def _staged_type(field: pa.Field) -> str:
    for takes, type_name in _STAGED:
        if takes(field.type):
            return type_name
    raise TypeError(f"column {field.name!r} has a type that is not staged: {field.type}")


class CopyStream:
    """The file that COPY … FROM STDIN WITH (FORMAT BINARY) reads.

    `error`: what the reader or the encoder raised, which the driver turns into a cancelled query.
    """

    CHUNK = 256 * 1024
    """Bytes to ask for at a time."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.error: Exception | None = None
        self._pieces = _encode(reader)
        self._piece = memoryview(b"")

    def read(self, size: int = CHUNK) -> bytes:
        """At most `size` bytes; none at the end."""
        while not self._piece:
            try:
                self._piece = memoryview(next(self._pieces))
            except StopIteration:
                return b""
            except Exception as error:
                self.error = error
                raise
        chunk, self._piece = self._piece[:size], self._piece[size:]
        return bytes(chunk)


def _encode(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    schema = pa.schema([f.with_type(pa.string()) if arrow.is_null(f.type) else f for f in reader.schema])
    encoder = ArrowToPostgresBinaryEncoder(schema)
    yield encoder.write_header()
    for batch in reader:
        typed = batch if batch.schema.equals(schema) else batch.cast(schema)
        rows = max(1, typed.num_rows * PIECE // max(1, typed.nbytes))
        for start in range(0, typed.num_rows, rows):
            yield encoder.write_batch(typed.slice(start, rows))
    yield encoder.finish()
