"""What a mask that came later hides of what is there already: values in a history, and what was rescued."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from cdc_merge.model import Column, Kind, Mask, Path, Template
from cdc_merge.schema.stored import WHOLE, TargetSchema, TypedColumn


@dataclass(frozen=True)
class HiddenColumn:
    """A column of a history, and the mask that its values get; `drop`: they go."""

    name: str
    mask: Mask


@dataclass(frozen=True)
class Hidden:
    """What new masks hide. `attributes`: those that must not be rescued; `is_all`: nothing of an element may be.

    `columns`: those of a history that have values in the clear, and that the configuration does not ask for so.
    `has_history`: whether a history is there, be it one that is not kept up any more.
    """

    columns: tuple[HiddenColumn, ...]
    attributes: tuple[str, ...]
    is_all: bool
    has_history: bool

    @property
    def spelled(self) -> tuple[str, ...]:
        """The attributes as they stand in JSON."""
        return tuple(json.dumps(a, ensure_ascii=False) for a in self.attributes)

    @property
    def patch(self) -> str:
        """A merge patch (RFC 7396) that takes the attributes away."""
        return json.dumps(dict.fromkeys(self.attributes), ensure_ascii=False)


def find_hidden(
    stored: TargetSchema, schema: TargetSchema, history: Collection[str] | None, *, folded: Callable[[str], str] = str
) -> Hidden | None:
    """What the masks hide that `schema` has and `stored` had not; None: nothing.

    `history`: the columns that the target's history has; None: there is none. `folded`: a name as the engine compares
    it.

    A document of before is not taken apart: `plan` names it as long as the history has it.
    """
    had = {(_content(c), c.mask) for c in stored.columns}
    masked = [c for c in schema.columns if c.mask and (_content(c), c.mask) not in had]
    if not masked:
        return None
    kept = set(map(folded, history or ()))
    clear = {(folded(c.name), _content(c)) for c in schema.columns if c.mask is None}
    columns = []
    for old in stored.columns:
        if folded(old.name) in kept and old.path and (folded(old.name), _content(old)) not in clear:
            mine = [c for c in masked if hides(c, old, schema.each)]
            mask = _mask_of(old, mine, folded)
            columns += [HiddenColumn(old.name, mask)] if mask else []
    own = [c for c in masked if not c.of_parent]
    attributes = sorted(
        {str(c.path[0]) for c in own if c.path} | ({WHOLE} if own and schema.each is not None else set())
    )
    return Hidden(tuple(columns), tuple(attributes), any(not c.path for c in own), history is not None)


def _content(column: TypedColumn) -> tuple[Path, Template | None, bool]:
    """What a column is taken from."""
    return column.path, column.template, column.of_parent


def _mask_of(old: TypedColumn, masked: Sequence[TypedColumn], folded: Callable[[str], str]) -> Mask | None:
    """What becomes of a column's values; None: they stay as they are."""
    if not masked:
        return None
    mine = (folded(old.name), _content(old))
    new = next((c for c in masked if (folded(c.name), _content(c)) == mine), None)
    if new is None or new.mask is None:
        return Mask.DROP if old.mask is None else None
    if old.mask is None:
        return new.mask if old.type.kind is Kind.TEXT else Mask.DROP
    # What a mask has hidden cannot be hashed any more, but be hidden better.
    return None if new.mask is Mask.HASH else new.mask


def hides(masked: Column | TypedColumn, column: TypedColumn, each: Path | None) -> bool:
    """Whether what is masked is in another column, or a part of it. `each`: where the elements lie that are rows.

    The elements' own columns are what a target with `each` is for: a mask over the list, in the item around, leaves
    them as they are.
    """
    if masked.of_parent == column.of_parent:
        return _overlap(masked.path, column.path)
    # One of the item around that has the elements has all of each.
    return column.of_parent and each is not None and _overlap(column.path, each)


def _overlap(one: Path, other: Path) -> bool:
    """Whether the value at one path has the value at the other, or a part of it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


__all__ = ["Hidden", "HiddenColumn", "find_hidden", "hides"]
