"""What decoding a batch notices beside its rows: items that no target takes, and values their columns do not take."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.feed.typed import attributes_of
from cdc_merge.model import Path

OTHERS = "(others)"
_MOST_ENTITIES = 100


@dataclass(frozen=True)
class Misfit:
    """A column that did not take the values of some rows; they are in _cdc_rescued.

    `attribute`: its path as the configuration writes it. `key`: the canonical texts of one such item's key;
    `value`: the typed value there, as JSON, cut to 200 characters; None: it was not kept.
    """

    target: str
    column: str
    attribute: str
    rows: int
    key: tuple[str, ...]
    value: str | None


class Notices:
    """Collects notices of one batch, or of one export, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unmatched: Counter[str] = Counter()
        self._misfits: dict[tuple[str, str], Misfit] = {}

    def add_unmatched(self, counts: Iterable[tuple[str, int]]) -> None:
        """So many items of an entity that no target takes."""
        with self._lock:
            for entity, items in counts:
                self._unmatched[entity] += items

    def knows(self, target: str, column: str) -> bool:
        """Whether there was a misfit of the column."""
        return (target, column) in self._misfits

    def add_misfit(self, misfit: Misfit) -> None:
        """The first one of a column stays, and counts the rows of all."""
        at = misfit.target, misfit.column
        with self._lock:
            known = self._misfits.get(at)
            self._misfits[at] = replace(known, rows=known.rows + misfit.rows) if known else misfit

    @property
    def unmatched(self) -> dict[str, int]:
        """Items that no target takes, by entity; the rarest ones, beyond a hundred, together."""
        return fold(self._unmatched, most=_MOST_ENTITIES)

    @property
    def misfits(self) -> tuple[Misfit, ...]:
        return tuple(self._misfits[at] for at in sorted(self._misfits))


def fold(counts: Mapping[str, int], *, most: int) -> dict[str, int]:
    """The `most` greatest of the counts, and the sum of the rest as `(others)`."""
    ranked = sorted(counts, key=lambda entity: (entity == OTHERS, -counts[entity], entity))
    folded = {entity: counts[entity] for entity in ranked[:most]}
    if rest := sum(counts[entity] for entity in ranked[most:]):
        folded[OTHERS] = folded.get(OTHERS, 0) + rest
    return folded


def failed_attributes(rows: pa.Table, attributes: Sequence[str | None]) -> pa.ListArray | None:
    """For each row the attributes that must be rescued, of `misfits`; None: of no row.

    `attributes`: by number of the column, None where the attribute has no column that holds it whole.
    """
    lists = rows.column("misfits").combine_chunks()
    numbers = pc.list_flatten(lists)
    if len(numbers) == 0:
        return None
    named = pa.array(attributes, pa.string()).take(numbers)
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(lengths).to_pylist()
    return pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), named)


def typed_at(image: str, path: Path) -> str | None:
    """The typed value at a path of an image, as JSON text; None: there is none."""
    if not path:
        return image
    value = attributes_of(image).get(str(path[0]))
    for step in path[1:]:
        if value is None:
            return None
        inner = attributes_of(value.decode()).get("L" if isinstance(step, int) else "M", b"")
        value = _element(inner, step) if isinstance(step, int) else attributes_of(inner.decode()).get(step)
    return value.decode() if value is not None else None


def _element(elements: bytes, place: int) -> bytes | None:
    try:
        found = msgspec.json.decode(elements, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):  # no list, or one too deep to be looked into
        return None
    return bytes(found[place]) if place < len(found) else None
