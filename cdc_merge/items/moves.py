"""Follows an item through the targets: what each change is to each of them, and which changes count there; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from cdc_merge.items.changes import Change


@dataclass(frozen=True)
class Moves:
    """What a change does to an item's rows, by target, as far as its order goes.

    `into`, `out_of`: the item enters or leaves; `marked`, `revived`: its row is marked as deleted, or is no more;
    `spared`: its row stays, since a REMOVE like this one is nothing to the target.
    """

    into: tuple[str, ...] = ()
    out_of: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    revived: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()


def follow(changes: Iterable[Change], *, soft: frozenset[str]) -> list[Moves]:
    """What each change does, if all took effect in order of position; `soft`: the targets that mark their rows."""
    there: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    told = []
    for change in changes:
        if change.unusable:
            told.append(Moves())
            continue
        stays = there & change.spares
        gone = there - change.takes - change.spares
        # A marked row is still in its table, and no longer the item's.
        told.append(
            Moves(
                into=_sorted(change.takes - there - marks),
                out_of=_sorted(gone - soft),
                marked=_sorted(gone & soft),
                revived=_sorted(change.takes & marks),
                spared=_sorted(stays),
            )
        )
        marks = (marks | (gone & soft)) - change.takes
        there = change.takes | stays
    return told


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


class Counting:
    """Which changes count in a target. A row is made of the newest that counts, and gives way to no other.
    See "Targets that do not follow every delete" in docs/semantics.md.
    """

    def __init__(self, changes: Sequence[Change], *, soft: frozenset[str]) -> None:
        self._changes = changes
        self._soft = soft
        self._of = cache(self._find)

    def beside(self, number: int, table: str) -> tuple[int, ...]:
        """The changes that a change is held against in a target: in a soft one a row gives way to rows only."""
        return self._of(table, table in self._soft and table in self._changes[number].takes)

    def judges(self, number: int, targets: Sequence[str]) -> list[str]:
        """The targets that tell what became of a change: those that take it, else all to which it is something."""
        change = self._changes[number]
        return sorted(change.takes) or [t for t in targets if t not in change.spares]

    def _find(self, table: str, is_of_takes: bool) -> tuple[int, ...]:
        return tuple(
            n for n, c in enumerate(self._changes) if (table in c.takes if is_of_takes else table not in c.spares)
        )


__all__ = ["Counting", "Moves", "follow"]
