"""Picks rows of a source's targets at random, each row of all targets as likely as any other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any

from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.warehouses import Dialect, Session

_ATTEMPTS = 8
_MOST_PLACES = 4000  # looked at in one attempt
_FEWEST_PLACES = 32  # in the first attempt, and twice as many in each that follows


@dataclass(frozen=True)
class SampledRow:
    """A row: the number of its target, and its key as the engine's driver gives it."""

    target: int
    key: tuple[Any, ...]


@dataclass(frozen=True)
class _Extent:
    """Where a table's rows may lie."""

    pages: int
    slots: int  # a page

    @property
    def places(self) -> int:
        return self.pages * self.slots


def sample_rows(
    session: Session, dialect: Dialect, targets: Sequence[PlannedTarget], count: int, *, random: Random
) -> list[SampledRow]:
    """At most `count` different rows; fewer where the targets have fewer, or hardly a place in them holds a row.

    Places are drawn, each as likely as the next, and those that hold no row are drawn again: so every row of every
    target is equally likely, whatever its size and wherever it lies, and one row says nothing of another. (Postgres'
    TABLESAMPLE SYSTEM takes whole pages, whose rows are alike; BERNOULLI and DuckDB's USING SAMPLE read the table.)

    Postgres reads one page for each place, by address; in tables of short rows two places make a row, in tables of
    long ones up to 291. DuckDB reads the key columns of each row group (122,880 rows) that a place lies in, and counts
    row ids, which it does without reading a column. Where rows have no address, the engine draws, from the key columns
    of all rows.
    """
    if dialect.row_address is None:
        return _drawn_by_the_engine(session, dialect, targets, count, random=random)
    extents = [_extent(session, dialect, target) for target in targets]
    ends = list(accumulate(extent.places for extent in extents))
    whole = ends[-1] if ends else 0
    seen: set[int] = set()
    found: list[SampledRow] = []
    for attempt in range(_ATTEMPTS):
        missing = count - len(found)
        if missing <= 0 or len(seen) == whole:
            break
        share = (len(found) + 1) / (len(seen) + 1)  # of the places, those that hold a row, as it seems
        wanted = max(_FEWEST_PLACES * 2**attempt, math.ceil(missing / share))
        drawn = random.sample(range(whole), min(whole, wanted, _MOST_PLACES))
        fresh = [place for place in drawn if place not in seen]
        seen.update(fresh)
        rows = []
        for target, extent, end in zip(targets, extents, ends, strict=True):
            first = end - extent.places
            own = [place - first for place in fresh if first <= place < end]
            rows += _look(session, dialect, target, extent, own)
        found += random.sample(rows, min(missing, len(rows)))
    return found


def _drawn_by_the_engine(
    session: Session, dialect: Dialect, targets: Sequence[PlannedTarget], count: int, *, random: Random
) -> list[SampledRow]:
    """First how many of each target, as drawing from all rows of all would give; then so many of each."""
    tables = [dialect.quote(*target.table.parts) for target in targets]
    sizes = [int(session.query(f"SELECT count(*) FROM {table}")[0][0]) for table in tables]
    whole = sum(sizes)
    drawn = random.sample(range(whole), min(whole, count))
    found: list[SampledRow] = []
    first = 0
    for target, table, size in zip(targets, tables, sizes, strict=True):
        mine = sum(first <= place < first + size for place in drawn)
        first += size
        if mine:
            keys = ", ".join(dialect.quote(*key.name.parts) for key in target.keys)
            rows = session.query(dialect.sample.format(keys=keys, table=table, count=mine))
            found += [SampledRow(target.number, tuple(row)) for row in rows]
    return found


def _extent(session: Session, dialect: Dialect, target: PlannedTarget) -> _Extent:
    table = dialect.quote(*target.table.parts)
    ((pages, slots),) = session.query(dialect.row_slots.format(table=table, literal=dialect.literal(table)))
    return _Extent(int(pages), int(slots))


def _look(
    session: Session, dialect: Dialect, target: PlannedTarget, extent: _Extent, places: Sequence[int]
) -> list[SampledRow]:
    if not places:
        return []
    addresses = (
        dialect.slot_address.format(page=place // extent.slots, slot=place % extent.slots + 1) for place in places
    )
    keys = ", ".join(dialect.quote(*key.name.parts) for key in target.keys)
    rows = session.query(
        f"SELECT {keys} FROM {dialect.quote(*target.table.parts)} "
        f"WHERE {dialect.row_address} IN ({', '.join(addresses)})"
    )
    return [SampledRow(target.number, tuple(row)) for row in rows]
