"""Opens an object as plain bytes, whatever it was compressed with; told by its first bytes, never by its name."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import cramjam
import pyarrow as pa
from isal import igzip, isal_zlib

from cdc_merge.errors import UnreadableObject
from cdc_merge.feed import snappy

_HEAD = 64  # bytes to tell a format by
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZIP_ENCRYPTED = 0x1

# The OpenX SerDe lowercases names unless told not to, so Price and price meet in one column and images are lost.
# https://docs.aws.amazon.com/firehose/latest/APIReference/API_OpenXJsonSerDe.html
_COLUMNAR_CURE = (
    "Firehose's format conversion lowercases attribute names, so that Price and price collide; "
    "turn record format conversion off for this stream"
)

# What the codecs raise on bytes they cannot read.
_CODEC_ERRORS: tuple[type[Exception], ...] = (
    cramjam.DecompressionError,
    cast(type[Exception], isal_zlib.error),
    igzip.BadGzipFile,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    pa.ArrowException,
)


class Reader(Protocol):
    """A source of plain bytes."""

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        """Fills the beginning of `buffer`; returns how many bytes, 0 at the end. Raises UnreadableObject."""


@contextmanager
def open_plain(path: Path, *, limit: int | None = None) -> Iterator[Reader]:
    """The plain bytes of an object: gzip, zip, Snappy (framed, Hadoop's, raw), Zstandard, or as they are.

    Decodes as it is read, in bounded memory, and stops when more than `limit` plain bytes come out.
    Raises UnreadableObject, with reason parquet, orc, encrypted, unsupported, corrupt or too_large; from
    `readinto` too, so nothing of an object may be taken for good before its end.
    """
    with path.open("rb", buffering=0) as file:
        try:
            decoder = _decoder(file)
        except UnreadableObject as error:
            error.where = path.name
            raise
        yield _Guarded(decoder, path.name, limit)


class _Guarded:
    """Counts what comes out, and names the object in what goes wrong."""

    def __init__(self, decoder: Reader, where: str, limit: int | None) -> None:
        self._decoder = decoder
        self._where = where
        self._limit = limit
        self._count = 0

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        try:
            count = self._decoder.readinto(buffer)
        except UnreadableObject as error:
            error.where = self._where
            raise
        except _CODEC_ERRORS as error:
            raise _corrupt(str(error), where=self._where) from error
        self._count += count
        if self._limit is not None and self._count > self._limit:
            raise UnreadableObject(
                f"more than {self._limit:,} uncompressed bytes",
                reason="too_large",
                where=self._where,
                hint="if the object is no mistake, raise batch.bytes of the source",
            )
        return count


def _corrupt(detail: str, *, where: str | None = None) -> UnreadableObject:
    return UnreadableObject(
        f"the compressed data is damaged or cut off ({detail})",
        reason="corrupt",
        where=where,
        hint="copy the object to its bucket again, or discard it from the quarantine",
    )


def _decoder(file: io.FileIO) -> Reader:
    size = os.fstat(file.fileno()).st_size
    head = file.read(_HEAD)
    file.seek(0)
    if head.startswith((b"PAR1", b"PARE", b"ORC")):
        name = "ORC" if head.startswith(b"ORC") else "Parquet"
        raise UnreadableObject(f"the object is {name}, not JSON", reason=name.lower(), hint=_COLUMNAR_CURE)
    if head.startswith(b"\x1f\x8b"):
        return igzip.IGzipFile(fileobj=file, mode="rb")  # type: ignore[no-any-return]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _Joined(_zip_entries(file))
    if head.startswith(_ZSTD) or _is_zstd_skippable(head):
        return _Zstd(file)
    if head.startswith(snappy.STREAM):
        return _Blocks(snappy.framed(file))
    if snappy.is_hadoop(head, size):
        return _Blocks(snappy.hadoop(file))
    if (block := snappy.raw(file, head, size)) is not None:
        return _Blocks(iter([block]))
    return file


class _Joined:
    """Several readers, one after the other."""

    def __init__(self, readers: Iterator[Reader]) -> None:
        self._readers = readers
        self._current: Reader | None = None

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        while True:
            if self._current is not None and (count := self._current.readinto(buffer)):
                return count
            self._current = next(self._readers, None)
            if self._current is None:
                return 0


def _zip_entries(file: io.FileIO) -> Iterator[Reader]:
    """The entries in the order of the archive's directory."""
    try:
        archive = zipfile.ZipFile(file)
        for entry in archive.infolist():
            if entry.flag_bits & _ZIP_ENCRYPTED:
                raise UnreadableObject(
                    "the zip archive is encrypted", reason="encrypted", hint="write the object again without a password"
                )
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UnreadableObject(
                    f"the zip archive uses compression method {entry.compress_type}",
                    reason="unsupported",
                    hint="write the object again with the deflate method, as Firehose does",
                )
            yield cast(Reader, archive.open(entry))
    except (ValueError, struct.error, NotImplementedError, OverflowError) as error:  # a senseless directory
        raise _corrupt(str(error)) from error


class _Zstd:
    """Zstandard by Arrow, which streams; frames that need more than 128 MiB of memory are refused by the format."""

    def __init__(self, file: io.FileIO) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        try:
            return self._stream.readinto(buffer)  # type: ignore[no-any-return]
        except OSError as error:
            if error.errno:
                raise
            raise _corrupt(str(error)) from error  # Arrow has no class of its own for this


def _is_zstd_skippable(head: bytes) -> bool:
    """https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2"""
    return head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F


class _Blocks:
    """A reader of plain blocks, each small enough to be held."""

    def __init__(self, blocks: Iterator[bytes | bytearray]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
