"""Where a pass puts the rows that it stages: tables of the workbench, or of a file (item_shelf.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from cdc_merge.feed.parts import Parts
from cdc_merge.feed.portions import Portion
from cdc_merge.feed.wide import Look, TargetLayout, WideTable
from cdc_merge.feed.workbench import Bench, Workbench

Types = Mapping[int, Sequence[tuple[str, str]]]
"""(name, type) of each target's columns in staging; there may be more by now than a portion was told of."""


class Shelf(Protocol):
    """`lines`: those at hand, as a FROM clause that calls them `l`. `keys`: a table of the keys by `n`."""

    @property
    def lines(self) -> str: ...
    @property
    def keys(self) -> str: ...

    def fill(self, bench: Bench, portion: Portion, wide: WideTable, look: Look) -> list[TargetLayout]:
        """Look into the lines at hand: what they say is in the bench's `wide` then."""

    def keep(self, bench: Bench, layouts: Sequence[TargetLayout], types: Types, *, clean: Sequence[int]) -> None:
        """Keep what `wide` has, of clean rows all; `clean`: how many each target has."""

    def add(self, bench: Bench, number: int, select: str, columns: Sequence[str]) -> None:
        """Keep rows of a target that were looked at one by one."""

    def show(self, number: int, definition: str) -> None:
        """Let all rows of a target be seen; `definition`: their columns."""


class BenchShelf:
    """Tables of the workbench: one of what each change is, and one of rows for each target."""

    lines = "chosen AS c JOIN lines AS l ON l.idx = c.idx"
    keys = "latest"

    def __init__(
        self, workbench: Workbench, targets: Iterable[int], *, facts: str = "facts", rows: str = "stage_rows"
    ) -> None:
        """`targets`: their places."""
        self._facts = facts
        self._parts = {number: Parts(workbench, f"{rows}_{number}") for number in targets}
        flags = "".join(f", takes_{number} BOOLEAN" for number in self._parts)
        workbench.execute(
            f"CREATE TABLE {facts} (n BIGINT, changed_at TIMESTAMP WITH TIME ZONE, removed BOOLEAN{flags})"
        )

    def fill(self, bench: Bench, portion: Portion, wide: WideTable, look: Look) -> list[TargetLayout]:
        query, layouts = wide.query("feed/sql/images.sql", look)
        bench.execute(query)
        return layouts

    def keep(self, bench: Bench, layouts: Sequence[TargetLayout], types: Types, *, clean: Sequence[int]) -> None:
        flags = "".join(f", takes_{t.number}" for t in layouts)
        bench.execute(f"INSERT INTO {self._facts} SELECT n, changed_at, removed{flags} FROM wide")
        for layout, rows in zip(layouts, clean, strict=True):
            if not rows:
                continue
            number = layout.number
            # The book may have more columns by now, from another thread. They come after these, and this portion was
            # told nothing of them: the view has them NULL.
            values = "".join(
                f", CAST({column.name.parts[0]} AS {kind}) AS {staged}"
                for column, (staged, kind) in zip(layout.columns, types[number], strict=False)
            )
            self._parts[number].add_unnamed(
                bench, f"SELECT n{values} FROM wide WHERE takes_{number} AND clean_{number}"
            )

    def add(self, bench: Bench, number: int, select: str, columns: Sequence[str]) -> None:
        self._parts[number].add_unnamed(bench, select)

    def show(self, number: int, definition: str) -> None:
        self._parts[number].show(definition)
