"""Packs the bytes of many objects into chunks of lines, in reused buffers, as Arrow arrays DuckDB reads without a copy.

Where the images of the winners are not looked at with the envelopes of all records, a chunk is read again for
them. That costs less than keeping the bytes: isal inflates 3 GB/s into a warm buffer, while fresh memory pages cost
several times that (docs/decisions/0003-read-twice.md).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc_merge.errors import UnreadableObject
from cdc_merge.feed.compression import Reader, open_plain
from cdc_merge.feed.framing import Piece, is_blank, scan, split
from cdc_merge.model import ObjectRef

CHUNK_BYTES = 64 * 2**20  # the most: beyond, statements no longer cost less by the line
_READ_BYTES = 2**20
_LEAST_CHUNK_BYTES = 4 * 2**20
_SPARE_BUFFERS = 1  # besides those in use: one being filled

# DuckDB parses a vector of lines into one arena. At its full 2,048 rows that is some 6 MB, fresh pages from the
# system each time; short vectors keep to memory that is warm. A join or a Python function wants them full.
SHORT_VECTOR = 256
FULL_VECTOR = 2048

Offsets = npt.NDArray[np.int64]

Splitter = Callable[[npt.NDArray[np.uint8]], Offsets]
"""Where the pieces of a buffer end, exclusive."""


@dataclass(frozen=True)
class LocalObject:
    """An object of the batch whose bytes are in a local file. `number` is its place in the batch."""

    number: int
    ref: ObjectRef
    path: Path


@dataclass(frozen=True)
class Segment:
    """The part of a chunk that comes from one object: bytes [start, end) of the chunk."""

    object_number: int
    start: int
    end: int
    offset: int  # of `start` in the uncompressed object
    first_record: int  # ordinal, in the object, of the segment's first record


@dataclass(frozen=True)
class Chunk:
    """Lines from one or more objects. Valid until `release`: then the buffer is used again.

    `ends[i]` is where line i ends (exclusive) and line i + 1 begins.
    """

    number: int
    buffer: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int32]
    segments: tuple[Segment, ...]
    free: queue.SimpleQueue[npt.NDArray[np.uint8]]

    def release(self) -> None:
        """Give the buffer back. Arrow arrays made from it must be gone by then."""
        self.free.put(self.buffer)

    def __len__(self) -> int:
        return len(self.ends)

    def lines(self) -> pa.StringArray:
        """The lines as one Arrow array over the chunk's buffer, not copied and not checked to be UTF-8."""
        offsets = np.zeros(len(self.ends) + 1, dtype=np.int32)
        offsets[1:] = self.ends
        return pa.StringArray.from_buffers(len(self.ends), pa.py_buffer(offsets), pa.py_buffer(self.buffer))

    def object_numbers(self) -> npt.NDArray[np.int32]:
        """Which object each line belongs to."""
        ends = np.array([s.end for s in self.segments], dtype=np.int64)
        numbers = np.array([s.object_number for s in self.segments], dtype=np.int32)
        return numbers[np.searchsorted(ends, self.ends - 1, side="right")]

    def place(self, line: int) -> tuple[int, int, int]:
        """(object number, record ordinal from 1, byte offset in the uncompressed object) of a line."""
        end = int(self.ends[line])
        segment = next(s for s in self.segments if s.start < end <= s.end)
        start = max(int(self.ends[line - 1]) if line else 0, segment.start)
        text = self.buffer[start:end].tobytes()
        start += len(text) - len(text.lstrip())  # blank lines before it
        first_line = int(np.searchsorted(self.ends, segment.start, side="right"))
        return (
            segment.object_number,
            segment.first_record + line - first_line + 1,
            segment.offset + start - segment.start,
        )

    def raw(self, line: int) -> bytes:
        """The bytes of a line, without white space around them."""
        start = int(self.ends[line - 1]) if line else 0
        return self.buffer[start : int(self.ends[line])].tobytes().strip()


def table_of(columns: dict[str, pa.Array] | pa.Table, *, rows: int = FULL_VECTOR) -> pa.Table:
    """A table in slices of so many rows, each of which becomes a vector of DuckDB's."""
    whole = pa.table(columns)
    return pa.Table.from_batches(whole.to_batches(max_chunksize=rows), whole.schema)


@dataclass(frozen=True)
class Unreadable:
    """An object that cannot be read to its end; none of its lines count."""

    object_number: int
    error: UnreadableObject


@dataclass(frozen=True)
class Unframed:
    """An object with a record larger than a chunk: only the exact scanner can tell what it holds."""

    object_number: int


Event = Chunk | Unreadable | Unframed


class _Packer:
    """Fills buffers with the bytes of objects, cutting at candidate boundaries between records."""

    def __init__(
        self,
        size: int,
        free: queue.SimpleQueue[npt.NDArray[np.uint8]],
        known: dict[int, npt.NDArray[np.int32]],
        splitter: Splitter,
    ) -> None:
        """`known`: the ends of each chunk's lines, as an earlier reading found them; filled by the first."""
        self._split = splitter
        self._known = known
        self._size = size
        self._free = free
        self._buffer = free.get()
        self._fill = 0
        self._segments: list[Segment] = []
        self._chunks = 0

    def pack(self, obj: LocalObject, limit: int) -> Iterator[Event]:
        start, offset, records = self._fill, 0, 0
        try:
            with open_plain(obj.path, limit=limit) as reader:
                while True:
                    if self._fill == self._size:
                        cut = self._last_boundary(start)
                        if cut is None and start == 0:
                            self._fill = 0
                            yield Unframed(obj.number)
                            return
                        if cut is not None:
                            self._segments.append(Segment(obj.number, start, cut, offset, records))
                            offset += cut - start
                        tail = self._buffer[start if cut is None else cut : self._fill]
                        previous = self._buffer
                        self._buffer = self._free.get()
                        self._buffer[: len(tail)] = tail
                        chunk = self._seal(previous)
                        if chunk is not None:
                            records += _count(chunk, obj.number)
                            yield chunk
                        start, self._fill = 0, len(tail)
                    view = memoryview(self._buffer.data)[self._fill : min(self._fill + _READ_BYTES, self._size)]
                    count = reader.readinto(view)
                    if not count:
                        break
                    self._fill += count
        except UnreadableObject as error:
            self._fill = start
            yield Unreadable(obj.number, error)
            return
        if self._fill > start:
            self._segments.append(Segment(obj.number, start, self._fill, offset, records))

    def flush(self) -> Iterator[Chunk]:
        previous, self._buffer = self._buffer, np.empty(0, dtype=np.uint8)
        chunk = self._seal(previous)
        if chunk is not None:
            yield chunk

    def _last_boundary(self, start: int) -> int | None:
        """The end of the last candidate piece at or after `start`; looks at the end of the buffer first."""
        window = 2**16
        while True:
            low = max(start, self._fill - window)
            ends = self._split(self._buffer[low : self._fill])
            if len(ends):
                return low + int(ends[-1])
            if low == start:
                return None
            window *= 8

    def _seal(self, buffer: npt.NDArray[np.uint8]) -> Chunk | None:
        segments, self._segments, self._fill = tuple(self._segments), [], 0
        if not segments:
            self._free.put(buffer)
            return None
        number, self._chunks = self._chunks, self._chunks + 1
        if number not in self._known:
            self._known[number] = self._find_ends(buffer, segments).astype(np.int32)
        return Chunk(number, buffer, self._known[number], segments, self._free)

    def _find_ends(self, buffer: npt.NDArray[np.uint8], segments: Sequence[Segment]) -> Offsets:
        filled = buffer[: segments[-1].end]
        bounds = np.array([s.end for s in segments], dtype=np.int64)
        ends = _with(self._split(filled), bounds)
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1]))
        # A blank piece joins the line after it (white space before a JSON text is no harm); a blank piece at
        # the end of an object joins the line before it.
        blank = is_blank(filled, starts, ends)
        if blank.any():
            ends = _without_blanks(ends, blank, bounds)
        return ends


def _with(ends: Offsets, bounds: Offsets) -> Offsets:
    """The ends and the bounds in order, each once. Both are in order, and the bounds are few."""
    places = np.searchsorted(ends, bounds)
    is_new = np.append(ends, -1)[places] != bounds
    return np.insert(ends, places[is_new], bounds[is_new])


def _without_blanks(ends: Offsets, blank: npt.NDArray[np.bool_], bounds: Offsets) -> Offsets:
    kept: Offsets = ends[~blank]
    segment_of_kept = np.searchsorted(bounds, kept - 1, side="right")
    for segment, bound in enumerate(bounds.tolist()):
        inside = np.flatnonzero(segment_of_kept == segment)
        if len(inside):
            kept[inside[-1]] = bound
    return kept


def _count(chunk: Chunk, object_number: int) -> int:
    return int((chunk.object_numbers() == object_number).sum())


def chunk_size(*, memory: int, users: int) -> int:
    """Bytes of a chunk, so that the buffers of so many users together take no more than `memory` bytes."""
    return max(_LEAST_CHUNK_BYTES, min(CHUNK_BYTES, memory // (users + _SPARE_BUFFERS)))


class ChunkReader:
    """Reads a fixed list of objects as chunks, the same ones each time, one thread ahead of its users.

    `limit`: the most uncompressed bytes of an object; `users`: how many chunks may be in use at once; `splitter`:
    how records are told apart.
    """

    def __init__(
        self,
        objects: Sequence[LocalObject],
        *,
        limit: int,
        size: int = CHUNK_BYTES,
        users: int = 1,
        splitter: Splitter = split,
    ) -> None:
        self._splitter = splitter
        self._count = users + _SPARE_BUFFERS
        self._known: dict[int, npt.NDArray[np.int32]] = {}
        self._objects = tuple(objects)
        self._limit = limit
        self._size = size
        self._buffers: list[npt.NDArray[np.uint8]] = []

    def read(self) -> Iterator[Event]:
        """Every chunk in order, each to be released, and word of every object that cannot be read as lines."""
        free: queue.SimpleQueue[npt.NDArray[np.uint8]] = queue.SimpleQueue()
        for number in range(self._count):
            if len(self._buffers) <= number:
                self._buffers.append(np.empty(self._size, dtype=np.uint8))
            free.put(self._buffers[number])
        ready: queue.Queue[Event | BaseException | None] = queue.Queue(maxsize=1)
        stop = threading.Event()

        def produce() -> None:
            try:
                for event in self._events(free):
                    if not _put(ready, event, stop):
                        return
                _put(ready, None, stop)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads
                _put(ready, error, stop)

        thread = threading.Thread(target=produce, name="chunk-reader", daemon=True)
        thread.start()
        try:
            while (event := ready.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            stop.set()
            free.put(np.empty(self._size if thread.is_alive() else 0, dtype=np.uint8))
            thread.join()

    def _events(self, free: queue.SimpleQueue[npt.NDArray[np.uint8]]) -> Iterator[Event]:
        packer = _Packer(self._size, free, self._known, self._splitter)
        for obj in self._objects:
            yield from packer.pack(obj, self._limit)
        yield from packer.flush()


def _put(
    ready: queue.Queue[Event | BaseException | None],
    event: Event | BaseException | None,
    stop: threading.Event,
) -> bool:
    while not stop.is_set():
        try:
            ready.put(event, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


@dataclass(frozen=True)
class ExactChunk:
    """Records found one by one by the exact scanner, and the pieces it could not read."""

    obj: LocalObject
    pieces: tuple[Piece, ...]
    first_record: int


def read_exactly(obj: LocalObject, *, limit: int, size: int = CHUNK_BYTES) -> Iterator[ExactChunk]:
    """The pieces of one object, in portions of about `size` bytes. Raises UnreadableObject."""
    with open_plain(obj.path, limit=limit) as reader:
        yield from _portions(obj, reader, size)


def _portions(obj: LocalObject, reader: Reader, size: int) -> Iterator[ExactChunk]:
    pieces: list[Piece] = []
    held, first = 0, 0
    for piece in scan(reader):
        pieces.append(piece)
        held += len(piece.data)
        if held >= size:
            yield ExactChunk(obj, tuple(pieces), first)
            first += len(pieces)
            pieces, held = [], 0
    if pieces:
        yield ExactChunk(obj, tuple(pieces), first)
