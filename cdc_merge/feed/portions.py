"""The lines of a batch in portions, from the fast chunks and the exact scanner alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc_merge.errors import UnreadableObject
from cdc_merge.feed.chunks import (
    Chunk,
    ChunkReader,
    ExactChunk,
    LocalObject,
    Splitter,
    Unframed,
    Unreadable,
    chunk_size,
    read_exactly,
)
from cdc_merge.feed.framing import split

BUFFER_SHARE = 0.12
"""Of the memory that decoding may use with all that is beside it: lines on their way into DuckDB.

With the workbench's share, and a warehouse in the process that merges meanwhile, the worker stays below 1 GiB.
"""

# Portions the exact scanner made are numbered by object, so that one that breaks off shifts no other's numbers.
_EXACT_FROM = 1_000_000
_EXACT_PER_OBJECT = 10_000


class Portion(Protocol):
    """Some lines of one or more objects. Valid until `release`."""

    @property
    def number(self) -> int: ...
    @property
    def is_exact(self) -> bool:
        """Whether the lines are known to be whole records, or only cut where records seem to end."""

    def lines(self) -> pa.StringArray: ...
    def object_numbers(self) -> npt.NDArray[np.int32]: ...
    def place(self, line: int) -> tuple[int, int, int]:
        """(object number, record ordinal from 1, byte offset in the uncompressed object)."""

    def raw(self, line: int) -> bytes: ...
    def release(self) -> None: ...


@dataclass(frozen=True)
class FastPortion:
    chunk: Chunk
    is_exact: bool = False

    @property
    def number(self) -> int:
        return self.chunk.number

    def lines(self) -> pa.StringArray:
        return self.chunk.lines()

    def object_numbers(self) -> npt.NDArray[np.int32]:
        return self.chunk.object_numbers()

    def place(self, line: int) -> tuple[int, int, int]:
        return self.chunk.place(line)

    def raw(self, line: int) -> bytes:
        return self.chunk.raw(line)

    def release(self) -> None:
        self.chunk.release()


@dataclass(frozen=True)
class ExactPortion:
    number: int
    chunk: ExactChunk
    is_exact: bool = True

    def lines(self) -> pa.StringArray:
        """One line per piece; damaged pieces are empty lines."""
        texts = [b"" if p.damage else p.data for p in self.chunk.pieces]
        return pa.array(texts, pa.binary()).cast(pa.string())

    def object_numbers(self) -> npt.NDArray[np.int32]:
        return np.full(len(self.chunk.pieces), self.chunk.obj.number, dtype=np.int32)

    def place(self, line: int) -> tuple[int, int, int]:
        return self.chunk.obj.number, self.chunk.first_record + line + 1, self.chunk.pieces[line].offset

    def raw(self, line: int) -> bytes:
        return self.chunk.pieces[line].data

    def release(self) -> None:
        """Nothing to give back."""

    def damage(self, line: int) -> str | None:
        return self.chunk.pieces[line].damage


class Portions:
    """Reads a batch as portions: all objects fast, then the ones marked `exact` one by one."""

    def __init__(
        self,
        objects: tuple[LocalObject, ...],
        *,
        limit: int,
        memory: int,
        users: int,
        check: Callable[[], None],
        splitter: Splitter = split,
    ) -> None:
        """`limit`: the most uncompressed bytes of one object; `memory`: bytes for buffers; `users`: how many
        portions may be in use at once; `check` is called before each portion and may raise to stop;
        `splitter`: how records are told apart at first.
        """
        self._check = check
        self._objects = objects
        self._limit = limit
        size = chunk_size(memory=memory, users=users)
        # Names begin with times: what the last ones say is rarely outdated by what comes after them here.
        last_first = objects[::-1]
        begun = list(itertools.accumulate(max(1, obj.ref.size) for obj in last_first))
        self._reader = ChunkReader(last_first, limit=limit, users=users, size=size, splitter=splitter)
        self._begun_with = {obj.number: size / begun[-1] for obj, size in zip(last_first, begun, strict=True)}
        self.plain_bytes = 0  # of the last reading
        self._exact: dict[int, LocalObject] = {}
        self.unreadable: dict[int, UnreadableObject] = {}

    def must_read_exactly(self, object_number: int) -> None:
        """The guess at an object's records failed: the exact scanner reads it, after the fast portions."""
        self._exact.setdefault(object_number, next(o for o in self._objects if o.number == object_number))

    def share_begun(self, portion: Portion) -> float:
        """How much of the batch had been begun with, up to a portion: by the sizes of whole objects."""
        if portion.is_exact:  # after all others
            return 1.0
        return self._begun_with[int(portion.object_numbers().min())]

    def object_key(self, object_number: int) -> str:
        return next(o.ref.key for o in self._objects if o.number == object_number)

    def given_up(self) -> list[int]:
        """The objects whose fast lines do not count."""
        return sorted({*self._exact, *self.unreadable})

    def is_given_up(self, object_number: int) -> bool:
        """Whether the fast lines of an object do not count."""
        return object_number in self._exact or object_number in self.unreadable

    def read_fast(self) -> Generator[Portion | Unreadable | Unframed]:
        """The lines of all objects, cut where records seem to end."""
        self.plain_bytes = 0
        for event in self._reader.read():
            self._check()
            if isinstance(event, Chunk):
                self.plain_bytes += event.segments[-1].end
                yield FastPortion(event)
            else:
                yield event

    def read_exact(self) -> Iterator[Portion | Unreadable | Unframed]:
        """The records of the objects where that guess failed."""
        for obj in list(self._exact.values()):
            if obj.number in self.unreadable:
                continue
            try:
                self._check()
                for count, chunk in enumerate(read_exactly(obj, limit=self._limit)):
                    yield ExactPortion(_EXACT_FROM + obj.number * _EXACT_PER_OBJECT + count, chunk)
            except UnreadableObject as error:
                yield Unreadable(obj.number, error)
