"""How many of the objects that wait go into the next batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdc_merge.model import BatchLimits, ObjectRef


class Waiting:
    """Objects that wait, found page by page, only as many as are needed. `len`: how many are found so far."""

    def __init__(self, pages: Iterable[Sequence[ObjectRef]], limits: BatchLimits) -> None:
        self._pages = iter(pages)
        self._limits = limits
        self._most = limits.objects
        self._found: list[ObjectRef] = []
        self.fill()

    def __len__(self) -> int:
        return len(self._found)

    def fill(self) -> None:
        """Find enough for the next batch, if there are so many. Raises what finding them raises."""
        while len(self._found) <= self._limits.objects:
            page = next(self._pages, None)
            if page is None:
                return
            self._found += page

    def take(self, *, inflation: float) -> tuple[ObjectRef, ...]:
        """The next batch, of what is found so far: one object at least, if there is one.

        `inflation`: uncompressed bytes for a stored one; a guess, from the batches before.
        """
        size, count = 0.0, 0
        for ref in self._found[: self._most]:
            size += ref.size * inflation
            if count and size > self._limits.bytes:
                break
            count += 1
        batch, self._found = tuple(self._found[:count]), self._found[count:]
        return batch

    def give_back(self, refs: Sequence[ObjectRef]) -> None:
        """Objects that were too much for one batch: they come first again, and from now on half as many at a time."""
        self._found = [*refs, *self._found]
        self._most = max(1, len(refs) // 2)
