"""Searches the objects of a feed for the records of one item: bytes first, several objects at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.errors import ObjectChanged, UnreadableObject
from cdc_merge.feed.chunks import Chunk, ChunkReader, Event, LocalObject, Unframed, Unreadable
from cdc_merge.feed.compression import open_plain
from cdc_merge.feed.framing import scan
from cdc_merge.feed.listing import list_data
from cdc_merge.feed.store import ObjectStore
from cdc_merge.items.key import ItemKey
from cdc_merge.items.whose import Recognizer, Whose
from cdc_merge.model import ObjectRef
from cdc_merge.scratch import scratch_folder

_THREADS = 8  # an object costs a round trip, and inflating and searching leave Python's lock alone
_AHEAD = 2  # objects begun for each thread
_CHUNK_BYTES = 4 * 2**20
_BOMB_FACTOR = 8  # an object that inflates to more than so many batches is no feed, to a merge either


def list_objects(
    store: ObjectStore, *, since: datetime | None = None, until: datetime | None = None, with_errors: bool = False
) -> list[ObjectRef]:
    """All objects of the feed that were written in that time; `with_errors`: also those in Firehose's error folders."""
    return [
        ref
        for page in list_data(store, with_errors=with_errors)
        for ref in page
        if not (since and ref.modified < since) and not (until and ref.modified > until)
    ]


Progress = Callable[[int, int], None]
"""Told how many objects were searched, and how many stored bytes those have."""


@dataclass(frozen=True)
class Find:
    """A record of the item, or (`is_doubtful`) what may be one. `offset` counts in the uncompressed object.

    `damage`: why the bytes are no JSON document; None: they are one.
    """

    record: int
    offset: int
    damage: str | None
    is_doubtful: bool


@dataclass(frozen=True)
class Searched:
    """One object. `path`: a file with the bytes of the undamaged finds, one after the other, a line between.

    `trouble`: why it could not be searched to its end.
    """

    ref: ObjectRef
    finds: tuple[Find, ...] = ()
    path: Path | None = None
    trouble: str | None = None


class Search:
    """Searches the objects of one store for one item."""

    def __init__(self, store: ObjectStore, key: ItemKey, *, batch_bytes: int) -> None:
        """`batch_bytes`: the source's `batch.bytes`, from which follows how large an object may be."""
        self._store = store
        self._recognizer = Recognizer(key)
        # By the partition key alone: the two may stand in different pieces of a record that is cut wrongly. An error
        # record of Firehose has its change in base64.
        self._pattern = f'{key.value_patterns()[0]}|"rawData"'
        self._scans_all = key.can_be_cut
        self._limit = batch_bytes * _BOMB_FACTOR

    def run(
        self, refs: Sequence[ObjectRef], folder: Path, *, progress: Progress = lambda _objects, _bytes: None
    ) -> list[Searched]:
        """The objects with finds, or trouble, in the order given; what was found lies in `folder`.

        Raises StoreUnavailable and StoreDenied.
        """
        done, size, held = 0, 0, []
        for searched in self._searched(refs, folder):
            done, size = done + 1, size + searched.ref.size
            progress(done, size)
            if searched.finds or searched.trouble:
                held.append(searched)
        return held

    def _searched(self, refs: Sequence[ObjectRef], folder: Path) -> Iterator[Searched]:
        waiting: deque[Future[Searched]] = deque()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="search") as pool:
            try:
                for number, ref in enumerate(refs):
                    if len(waiting) >= _THREADS * _AHEAD:
                        yield waiting.popleft().result()
                    waiting.append(pool.submit(self._search, ref, folder / str(number)))
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _search(self, ref: ObjectRef, kept: Path) -> Searched:
        with scratch_folder() as own:
            try:
                path = self._store.fetch(ref, own)
                finds = None if self._scans_all else self._guess(path, ref, kept)
                if finds is None:
                    finds = self._scan(path, kept)
                self._store.verify(ref, path)
            except UnreadableObject as error:
                return Searched(ref, trouble=error.message)
            except ObjectChanged:
                return Searched(ref, trouble="it was rewritten or removed while it was searched")
        return Searched(ref, tuple(finds), kept if any(f.damage is None for f in finds) else None)

    # --- the fast way: cut where records seem to end ------------------------------------------------------

    def _guess(self, path: Path, ref: ObjectRef, kept: Path) -> list[Find] | None:
        """The finds of an object whose records end where they seem to; None: only the exact scanner can tell."""
        reader = ChunkReader((LocalObject(0, ref, path),), limit=self._limit, size=_CHUNK_BYTES)
        finds: list[Find] = []
        with closing(_events(reader)) as events, kept.open("wb") as file:
            for event in events:
                match event:
                    case Unreadable(_, error):
                        raise error
                    case Unframed():
                        return None
                    case Chunk():
                        found = self._in_chunk(event)
                        if found is None:
                            return None
                        for find, raw in found:
                            finds.append(find)
                            file.write(raw + b"\n")
        return finds

    def _in_chunk(self, chunk: Chunk) -> list[tuple[Find, bytes]] | None:
        try:
            if not _holds(chunk, self._pattern):
                return []
            found = []
            for line in _matching(chunk, self._pattern):
                raw = chunk.raw(line)
                document = _record(raw)
                if document is None:
                    return None  # a piece of a record, or several records in one
                whose = self._recognizer.whose_document(document)
                if whose is not Whose.OTHERS:
                    _, record, offset = chunk.place(line)
                    found.append((Find(record, offset, None, whose is Whose.DOUBTFUL), raw))
            return found
        finally:
            chunk.release()

    # --- the exact way ------------------------------------------------------------------------------------

    def _scan(self, path: Path, kept: Path) -> list[Find]:
        finds = []
        with open_plain(path, limit=self._limit) as reader, kept.open("wb") as file:
            for record, piece in enumerate(scan(reader), start=1):
                whose = self._recognizer.whose(piece.data)
                if whose is Whose.OTHERS:
                    continue
                finds.append(Find(record, piece.offset, piece.damage, whose is Whose.DOUBTFUL))
                if piece.damage is None:
                    file.write(piece.data + b"\n")
        return finds


def _events(reader: ChunkReader) -> Generator[Event]:
    yield from reader.read()


def _record(raw: bytes) -> dict[str, Any] | None:
    """A line that is one record by itself."""
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return document if isinstance(document, dict) and "Records" not in document else None


def _holds(chunk: Chunk, pattern: str) -> bool:
    end = chunk.segments[-1].end
    offsets = np.array([0, end], dtype=np.int32)
    whole = pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(chunk.buffer)])
    return bool(pc.match_substring_regex(whole, pattern)[0].as_py())


def _matching(chunk: Chunk, pattern: str) -> list[int]:
    matches = pc.match_substring_regex(chunk.lines().cast(pa.binary()), pattern)
    found: list[int] = np.flatnonzero(matches.to_numpy(zero_copy_only=False)).tolist()
    return found
