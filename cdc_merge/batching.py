"""How many of the objects that wait go into the next batch."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_merge.model import BatchLimits, ObjectRef


def next_batch(
    waiting: Sequence[ObjectRef], limits: BatchLimits, *, inflation: float
) -> tuple[tuple[ObjectRef, ...], list[ObjectRef]]:
    """The next batch, of one object at least, and the rest.

    `inflation`: uncompressed bytes for a stored one; a guess, from the batches before.
    """
    size, count = 0.0, 0
    for ref in waiting[: limits.objects]:
        size += ref.size * inflation
        if count and size > limits.bytes:
            break
        count += 1
    return tuple(waiting[:count]), list(waiting[count:])
