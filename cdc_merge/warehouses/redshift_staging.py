"""Writes Arrow batches as Parquet files below a staging prefix of S3, with the manifest that COPY reads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as arrow

from cdc_merge.scratch import scratch_folder
from cdc_merge.warehouses.arrow_types import is_binary, is_moment_in_microseconds, is_text
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_options import RedshiftOptions
from cdc_merge.warehouses.staging_prefix import StagingPrefix

# Slices load files side by side; a megabyte to a gigabyte each, once compressed:
# https://docs.aws.amazon.com/redshift/latest/dg/c_best-practices-use-multiple-files.html
FILE_BYTES = 64 * 2**20
"""Of Arrow data in a file, about."""

_PIECE_ROWS = 65_536  # a batch may be the whole of a batch of changes


_TEXT = f"VARCHAR({REDSHIFT.max_text_bytes}) {REDSHIFT.byte_order}"
_BINARY = f"VARBYTE({REDSHIFT.max_binary_bytes})"

# What each Arrow type is in a file, and in the table that COPY fills: the types must agree.
# https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-columnar.html
_STAGED: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType, str], ...] = (
    (is_text, pa.string(), _TEXT),
    (arrow.is_int64, pa.int64(), "BIGINT"),
    (arrow.is_int32, pa.int32(), "INTEGER"),
    (arrow.is_boolean, pa.bool_(), "BOOLEAN"),
    # Parquet has no time zone; `StagedColumn.value` gives it back.
    (is_moment_in_microseconds, pa.timestamp("us"), "TIMESTAMP WITHOUT TIME ZONE"),
    (arrow.is_date32, pa.date32(), "DATE"),
    (arrow.is_float64, pa.float64(), "DOUBLE PRECISION"),
    (is_binary, pa.binary(), _BINARY),
)


@dataclass(frozen=True)
class StagedColumn:
    """A column of a staging table: as COPY fills it, and as it is meant."""

    name: str
    type: str
    is_moment: bool

    @property
    def value(self) -> str:
        quoted = REDSHIFT.quote(self.name)
        return f"CAST({quoted} AS TIMESTAMP WITH TIME ZONE) AS {quoted}" if self.is_moment else quoted


@dataclass(frozen=True)
class Staged:
    """What lies on S3. `manifest`: its URL; None: there are no rows, and no files."""

    columns: tuple[StagedColumn, ...]
    manifest: str | None
    rows: int


class Stage:
    """The staging prefix of a warehouse; each load has a folder of its own below it."""

    def __init__(self, options: RedshiftOptions) -> None:
        self._s3 = StagingPrefix(options.bucket, options.prefix, options.region, "docs/redshift.md")

    @contextmanager
    def put(self, reader: pa.RecordBatchReader) -> Iterator[Staged]:
        """All of the reader's rows on S3, for the time of the block.

        Raises what the reader raises, TypeError for a column of a type that is never staged, WarehouseUnavailable
        when S3 does not take the files. Files that cannot be removed are left to the bucket's lifecycle rule.
        """
        kept: list[str] = []
        try:
            folder = _new_folder()
            with scratch_folder() as local:
                files = _Files(reader.schema, local)
                files.write(reader)
                sizes = self._upload(folder, files.finish(), kept)
            manifest = self._put_manifest(folder, sizes, kept) if sizes else None
            yield Staged(files.columns, manifest, files.rows)
        finally:
            self._s3.remove(kept)

    @contextmanager
    def put_manifest(self, urls: Sequence[str]) -> Iterator[str]:
        """A manifest of objects that lie elsewhere, for the time of the block; its URL."""
        kept: list[str] = []
        try:
            entries = [{"url": url, "mandatory": True} for url in urls]
            yield self._put_entries(_new_folder(), entries, kept)
        finally:
            self._s3.remove(kept)

    def _upload(self, folder: str, paths: list[Path], kept: list[str]) -> dict[str, int]:
        sizes = {}
        for path in paths:
            key = folder + path.name
            kept.append(key)
            sizes[key] = path.stat().st_size
            self._s3.put(path, key)
            path.unlink()
        return sizes

    def _put_manifest(self, folder: str, sizes: dict[str, int], kept: list[str]) -> str:
        # A file that is not mandatory may be missing without a word; columnar files need their length.
        # https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html
        entries = [
            {"url": self._s3.url(key), "mandatory": True, "meta": {"content_length": size}}
            for key, size in sizes.items()
        ]
        return self._put_entries(folder, entries, kept)

    def _put_entries(self, folder: str, entries: Sequence[Mapping[str, object]], kept: list[str]) -> str:
        key = f"{folder}manifest"
        kept.append(key)
        self._s3.put_bytes(json.dumps({"entries": list(entries)}).encode(), key)
        return self._s3.url(key)


def _new_folder() -> str:
    return f"{uuid.uuid4().hex}/"


class _Files:
    """Parquet files in a local folder, of FILE_BYTES of Arrow data each."""

    def __init__(self, schema: pa.Schema, folder: Path) -> None:
        self._folder = folder
        self._forms = [_form(field) for field in schema]
        self._schema = pa.schema([(f.name, form) for f, (form, _) in zip(schema, self._forms, strict=True)])
        self._longest = dict.fromkeys((f.name for f in self._schema if arrow.is_string(f.type)), 0)
        self._paths: list[Path] = []
        self.rows = 0

    @property
    def columns(self) -> tuple[StagedColumn, ...]:
        """Once all is written: a text that is longer than text may be is staged as its bytes, for JSON_PARSE."""
        long = set(self._long())
        return tuple(
            StagedColumn(f.name, _BINARY if f.name in long else kind, arrow.is_timestamp(f.type))
            for f, (_, kind) in zip(self._schema, self._forms, strict=True)
        )

    def write(self, reader: pa.RecordBatchReader) -> None:
        writer: pq.ParquetWriter | None = None
        held = 0
        for batch in reader:
            for start in range(0, batch.num_rows, _PIECE_ROWS):
                piece = pa.Table.from_batches([batch.slice(start, _PIECE_ROWS)]).cast(self._schema)
                self._measure(piece)
                writer = writer or self._open()
                writer.write_table(piece)
                held += piece.nbytes
                self.rows += piece.num_rows
                if held >= FILE_BYTES:
                    writer.close()
                    writer, held = None, 0
        if writer:
            writer.close()

    def _open(self) -> pq.ParquetWriter:
        self._paths.append(self._folder / f"{len(self._paths):05d}.parquet")
        return pq.ParquetWriter(self._paths[-1], self._schema)

    def _measure(self, piece: pa.Table) -> None:
        for name, longest in self._longest.items():
            self._longest[name] = max(longest, pc.max(pc.binary_length(piece[name])).as_py() or 0)

    def _long(self) -> list[str]:
        assert REDSHIFT.max_text_bytes is not None
        return [name for name, longest in self._longest.items() if longest > REDSHIFT.max_text_bytes]

    def finish(self) -> list[Path]:
        """The files, in which columns of long texts are bytes."""
        if long := self._long():
            schema = pa.schema([f.with_type(pa.binary()) if f.name in long else f for f in self._schema])
            for path in self._paths:
                pq.write_table(pq.read_table(path).cast(schema), path)
        return self._paths


def staged_types(schema: pa.Schema) -> list[str]:
    """The types of columns that are filled without a file. Raises TypeError for what is never staged."""
    moment = "TIMESTAMP WITH TIME ZONE"
    return [moment if is_moment_in_microseconds(field.type) else _form(field)[1] for field in schema]


def _form(field: pa.Field) -> tuple[pa.DataType, str]:
    for takes, form, kind in _STAGED:
        if takes(field.type):
            return form, kind
    raise TypeError(f"column {field.name!r} has a type that is not staged: {field.type}")


__all__ = ["FILE_BYTES", "Stage", "Staged", "StagedColumn", "staged_types"]
