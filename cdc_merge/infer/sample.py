"""Which objects a sample reads, and how much of each; and the heads of objects as files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from cdc_merge.feed.compression import open_plain
from cdc_merge.feed.framing import split
from cdc_merge.feed.heads import HEAD_LENGTH, RECORD_START

DEFAULT_RECORDS = 200_000
_MOST_OBJECTS = 200  # that a sample is spread over, if they have enough records
_READ_BYTES = 2**20
_LONGEST_HELD = 64 * 2**20  # without the end of a record; then the object is read whole

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """How to sample: so many records in all, and at most so many of each object. None: all there are."""

    records: int | None
    of_each: int | None


def plan_sample(objects: int, *, records: int | None) -> Plan:
    """An even share of `records` for each object; more where there are so many objects that few would be read."""
    if records is None:
        return Plan(None, None)
    return Plan(records, -(-records // min(max(objects, 1), _MOST_OBJECTS)))


def spread(objects: Sequence[T]) -> list[T]:
    """All of them, so ordered that the first n, whatever n is, lie evenly between the first and the last."""
    count = len(objects)
    bits = max(count - 1, 1).bit_length()
    places = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(2**bits))
    return [objects[i] for i in places if i < count]


def cut_head(path: Path, records: int, into: Path) -> Path:
    """A file with the first records of an object, uncompressed: about so many. `path` itself if it has no more.

    Cut where the next record surely begins. Raises UnreadableObject.
    """
    found, seen = 0, 0  # ends of records: before `held`, and those of its bytes that were looked at before
    held = b""
    block = memoryview(bytearray(_READ_BYTES))
    with open_plain(path) as reader, into.open("wb") as out:
        while (count := reader.readinto(block)) and len(held) < _LONGEST_HELD:
            held += block[:count]
            text = np.frombuffer(held, dtype=np.uint8)
            ends = split(text)
            ends = ends[(ends > seen) & (ends <= len(held) - HEAD_LENGTH)]
            ends = ends[text[ends] == ord("{")]  # records printed over many lines have line ends inside
            for end in ends[max(records - found - 1, 0) :].tolist():
                if RECORD_START.match(held, end):
                    out.write(held[:end])
                    return into
            if len(ends):
                # The pattern looks at the byte before a record, so that one is kept.
                keep = int(ends[-1]) - 1
                out.write(held[:keep])
                held, seen = held[keep:], 1
                found += len(ends)
    into.unlink()
    return path
