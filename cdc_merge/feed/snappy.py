"""Decodes the three forms of Snappy in bounded memory: framed, Hadoop's, and a raw block.

Which of them Firehose's format `Snappy` means is not documented, so all are read.
https://docs.aws.amazon.com/firehose/latest/APIReference/API_S3DestinationConfiguration.html
Damage raises cramjam.DecompressionError or EOFError.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import cramjam

# https://github.com/google/snappy/blob/main/framing_format.txt
STREAM = b"\xff\x06\x00\x00sNaPpY"
_CHUNK_STORED = 4 + 32 + 65536 + 65536 // 6  # bytes of a chunk of the framed format, at most

# https://github.com/google/snappy/blob/main/format_description.txt
_RATIO = 32  # three bytes copy at most 64: more than this is no Snappy
_RAW_BLOCK = 128 * 2**20  # plain bytes of a raw block, which must be decoded as a whole: the most Firehose buffers

_BLOCK = 64 * 2**20  # plain bytes of a Hadoop block, at most; Hadoop's own default is 256 KiB
_READ = 2**20


def _exactly(file: io.FileIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = file.read(min(size, _READ))
        if not part:
            raise EOFError("the data ends too early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def framed(file: io.FileIO) -> Iterator[bytes]:
    while header := file.read(4):
        header += _exactly(file, 4 - len(header))
        kind, size = header[0], int.from_bytes(header[1:], "little")
        if kind in (0x00, 0x01):
            if size > _CHUNK_STORED:
                raise cramjam.DecompressionError("a Snappy chunk is larger than the format allows")
            # cramjam checks the chunk's CRC-32C; a chunk with the stream identifier before it is a whole stream.
            yield bytes(cramjam.snappy.decompress(STREAM + header + _exactly(file, size)))
        elif kind >= 0x80:  # skippable, padding, or the stream identifier again
            _exactly(file, size)
        else:
            raise cramjam.DecompressionError(f"Snappy chunk of unknown type {kind}")


def hadoop(file: io.FileIO) -> Iterator[bytearray]:
    """Blocks as Hadoop's BlockCompressorStream writes them: plain length, then chunks of length and raw Snappy.

    https://github.com/apache/hadoop/blob/trunk/hadoop-common-project/hadoop-common/src/main/java/org/apache/hadoop/io/compress/BlockCompressorStream.java
    """
    while header := file.read(4):
        left = int.from_bytes(header + _exactly(file, 4 - len(header)), "big")
        if left > _BLOCK:
            raise cramjam.DecompressionError("a Snappy block is larger than 64 MiB")
        while left:
            size = int.from_bytes(_exactly(file, 4), "big")
            if size > _stored_at_most(left):
                raise cramjam.DecompressionError("a Snappy chunk is larger than its block")
            stored = _exactly(file, size)
            plain = _plain_length(stored)
            if not plain or plain > left or plain > size * _RATIO:
                raise cramjam.DecompressionError("a Snappy chunk does not fit its block")
            yield _decode_raw(stored, plain)
            left -= plain


def is_hadoop(head: bytes, size: int) -> bool:
    """Two lengths that make sense together, which no text has: its first four bytes are a length beyond all."""
    block, chunk = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    if block == 0:
        return bool(head) and size == 4  # an empty file
    plain = _plain_length(head[8:]) if len(head) > 8 else None
    return block <= _BLOCK and 0 < chunk <= _stored_at_most(block) and plain is not None and 0 < plain <= block


def raw(file: io.FileIO, head: bytes, size: int) -> bytearray | None:
    """The whole object as one raw block, if it is one. The format has no magic, so only decoding it tells."""
    plain = _plain_length(head)
    if plain is None or not 0 < plain <= _RAW_BLOCK or not plain // _RATIO <= size <= _stored_at_most(plain):
        return None
    preamble = next(i for i, byte in enumerate(head) if byte < 0x80) + 1
    if head[preamble : preamble + 1] == b"" or head[preamble] & 0b11:  # a block can only begin with a literal
        return None
    stored = _exactly(file, size)
    file.seek(0)
    try:
        return _decode_raw(stored, plain)
    except cramjam.DecompressionError:
        return None


def _plain_length(block: bytes) -> int | None:
    """The plain length a raw block declares: a varint of 32 bits."""
    length = 0
    for index, byte in enumerate(block[:5]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return length if length < 2**32 else None
    return None


def _stored_at_most(plain: int) -> int:
    """The most bytes a raw block of so many plain bytes takes (MaxCompressedLength in Snappy's own code)."""
    return 32 + plain + plain // 6


def _decode_raw(stored: bytes, plain: int) -> bytearray:
    block = bytearray(plain)
    cramjam.snappy.decompress_raw_into(stored, block)
    return block
