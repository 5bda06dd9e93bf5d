"""What goes wrong between a stream and its objects: records that come twice, out of order, or late."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

_TWICE_WITHIN = 2_000  # records: a retry of Firehose sends the same records again, into a later object as a rule


@dataclass(frozen=True)
class Delivery:
    """`duplicates`: the share of records that come twice. `disorder`: among how many records order is lost.

    `lateness`: the share of records that are held back for `late_by` records.
    """

    duplicates: float = 0.0
    disorder: int = 1
    lateness: float = 0.0
    late_by: int = 10_000


PROMPT = Delivery()


def delivered(records: Iterator[bytes], delivery: Delivery, *, total: int, seed: int) -> Iterator[bytes]:
    """`total` of the endless `records` as they arrive, duplicates counted. Memory: those that are on their way."""
    rng = Random(seed + 2)
    if delivery.duplicates:
        records = _twice(records, delivery.duplicates, total, rng)
    records = islice(records, total)
    if delivery.lateness:
        records = _late(records, delivery.lateness, delivery.late_by, rng)
    if delivery.disorder > 1:
        records = _shuffled(records, delivery.disorder, rng)
    return records


def _twice(records: Iterator[bytes], share: float, total: int, rng: Random) -> Iterator[bytes]:
    again: list[tuple[int, bytes]] = []
    given = 0
    while given + len(again) < total:
        record = next(records)
        yield record
        given += 1
        if given + len(again) < total and rng.random() < share:
            heapq.heappush(again, (given + 1 + rng.randrange(_TWICE_WITHIN), record))
        while again and again[0][0] <= given:
            yield heapq.heappop(again)[1]
            given += 1
    while again:
        yield heapq.heappop(again)[1]


def _late(records: Iterator[bytes], share: float, late_by: int, rng: Random) -> Iterator[bytes]:
    held: list[tuple[int, bytes]] = []
    for n, record in enumerate(records):
        if rng.random() < share:
            heapq.heappush(held, (n + late_by, record))
        else:
            yield record
        while held and held[0][0] <= n:
            yield heapq.heappop(held)[1]
    while held:
        yield heapq.heappop(held)[1]


def _shuffled(records: Iterator[bytes], window: int, rng: Random) -> Iterator[bytes]:
    waiting = list(islice(records, window))
    for record in records:
        place = rng.randrange(window)
        yield waiting[place]
        waiting[place] = record
    rng.shuffle(waiting)
    yield from waiting
