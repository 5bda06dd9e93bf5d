"""Finds columns without any value, which a misspelt attribute or a `match` that never fits leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cdc_merge.ledger import SourceState
from cdc_merge.model import Column, Mask, Source, Target
from cdc_merge.names import spelled
from cdc_merge.warehouses import Dialect, Session

_ROWS = 10_000
"""Rows of a target that are looked at: to find a column without a value takes reading all that is looked at."""


@dataclass(frozen=True)
class Blank:
    """A column without a value in `rows` rows; `is_all`: the table has no more. `attribute`: what the column is of.

    A column that is not made yet, as no value has shown its type, is one too.
    """

    target: str
    column: str
    attribute: str
    rows: int
    is_all: bool


def blanks(session: Session, source: Source, state: SourceState, *, dialect: Dialect, schema: str) -> Iterator[Blank]:
    """Columns of a source's targets that the configuration names, and that no row looked at has a value in."""
    for target in source.targets:
        asked = [c for c in target.columns or () if c.mask is not Mask.DROP and not _is_key(c, source)]
        there = state.columns.get(target.table)
        if not asked or there is None:
            continue
        made = [c for c in asked if c.name in there]
        rows, *values = _count(session, target, made, dialect=dialect, schema=schema)
        counts = dict(zip((c.name for c in made), values, strict=True))
        if rows:
            for column in asked:
                if not counts.get(column.name):
                    yield Blank(target.table, column.name, origin(column), min(rows, _ROWS), rows <= _ROWS)


def _is_key(column: Column, source: Source) -> bool:
    """Whether it is the column of a key attribute by another name."""
    return column.template is None and column.path in {(attribute,) for attribute in source.key}


def _count(session: Session, target: Target, columns: list[Column], *, dialect: Dialect, schema: str) -> list[int]:
    names = [dialect.quote(c.name) for c in columns]
    counts = ", ".join(["count(*)", *(f"count({name})" for name in names)])
    looked_at = f"SELECT {', '.join(names) or '1'} FROM {dialect.quote(schema, target.table)} LIMIT {_ROWS + 1}"
    return list(map(int, session.query(f"SELECT {counts} FROM ({looked_at}) AS looked_at")[0]))


def origin(column: Column) -> str:
    """What a column is of, as the configuration writes it: `OrderId`, `^PK`."""
    return spelled(column.path, of_parent=column.of_parent)


__all__ = ["Blank", "blanks", "origin"]
