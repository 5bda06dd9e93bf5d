"""Where a pass puts the rows that it stages: tables of the workbench, or of a file (item_shelf.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cdc_merge.feed.parts import FEW_ROWS, Parts
from cdc_merge.feed.portions import Portion
from cdc_merge.feed.texts import Rows
from cdc_merge.feed.wide import Look, TargetLayout, WideTable
from cdc_merge.feed.workbench import Bench, Workbench
from cdc_merge.render import Sql

Types = Mapping[int, Sequence[tuple[str, str]]]
"""(name, type) of each target's columns in staging; there may be more by now than a portion was told of."""


# With more, rows are mostly of columns that other targets have, each of which takes some 4 bytes.
MOST_LACKED = 50


def lacked(columns: Iterable[int]) -> int:
    """In how many columns an item has no value, since they are of other targets than its own: so many each has."""
    counts = list(columns)
    return sum(counts) - max(counts, default=0)


@dataclass(frozen=True)
class Filled:
    """What a look filled: `wide` is a view of `table`; `stays`: whether the table is there until the end."""

    layouts: Sequence[TargetLayout]
    table: str
    stays: bool = True


class Shelf(Protocol):
    """`lines`: those at hand, as a FROM clause that calls them `l`."""

    @property
    def lines(self) -> str: ...

    def fill(self, bench: Bench, portion: Portion, wide: WideTable, look: Look) -> Filled:
        """Look into the lines at hand: what they say is in the bench's `wide` then."""

    def keep(self, bench: Bench, filled: Filled, types: Types, *, clean: Sequence[int]) -> None:
        """Keep what `wide` has, of clean rows all; `clean`: how many each target has."""

    def add(self, bench: Bench, number: int, select: str, columns: Sequence[str]) -> None:
        """Keep rows of a target that were looked at one by one."""

    def show(self, number: int, definition: str) -> None:
        """Let all rows of a target be seen; `definition`: their columns."""

    def finish(self) -> None:
        """Let all that is kept besides be seen; more may be kept afterwards."""


class BenchShelf:
    """Tables of the workbench: one of what each change is, and one of rows for each target."""

    lines = "chosen AS c JOIN lines AS l ON l.idx = c.idx"

    def __init__(
        self, workbench: Workbench, targets: Iterable[int], *, facts: str = "facts", rows: str = "stage_rows"
    ) -> None:
        """`targets`: their places."""
        self._facts = Parts(workbench, facts)
        self._rows = {number: Parts(workbench, f"{rows}_{number}") for number in targets}
        self._wide = Parts(workbench, f"{rows}_wide")
        self._only = ""
        self.show_facts()

    def show_facts(self) -> None:
        """Let what the changes are be seen; of keys that have newer changes by now, too."""
        flags = "".join(f", takes_{number} BOOLEAN" for number in self._rows)
        self._facts.show(f"n BIGINT, changed_at TIMESTAMP WITH TIME ZONE, removed BOOLEAN{flags}")

    def fill(self, bench: Bench, portion: Portion, wide: WideTable, look: Look) -> Filled:
        columns = ("n", "idx", "target") if wide.is_picked else ("n", "idx")
        chosen = bench.table(f"SELECT {', '.join(columns)} FROM chosen")
        rows = Rows(
            lines=portion.lines(),
            source=self.lines,
            columns=", ".join(f"c.{column}" for column in columns),
            given=chosen,
            are_text=True,  # the first pass saw to it
        )
        # Few rows are put together with others: each column of a table takes some 4 KB.
        stays = len(chosen) >= FEW_ROWS and lacked(map(len, look.columns.values())) <= MOST_LACKED
        table = self._wide.new_name() if stays else "wide_now"
        kind = "TABLE" if stays else "TEMP TABLE"
        layouts = wide.fill(
            bench, "feed/sql/images.sql", look, rows, lambda _pointers: {"table": Sql(f"{kind} {table}")}
        )
        bench.execute(f"CREATE OR REPLACE TEMP VIEW wide AS FROM {table}")
        return Filled(layouts, table, stays)

    def drop(self, bench: Bench, filled: Filled) -> None:
        """Let go of what a look filled, instead of keeping it."""
        bench.execute("DROP VIEW wide")
        bench.execute(f"DROP TABLE {filled.table}")

    def keep(self, bench: Bench, filled: Filled, types: Types, *, clean: Sequence[int]) -> None:
        def add(parts: Parts, select: str) -> None:
            parts.refer(select) if filled.stays else parts.add_unnamed(bench, select)

        flags = "".join(f", takes_{t.number}" for t in filled.layouts)
        add(self._facts, f"SELECT n, changed_at, removed{flags} FROM {filled.table}")
        for layout, rows in zip(filled.layouts, clean, strict=True):
            if not rows:
                continue
            number = layout.number
            # The book may have more columns by now, from another thread. They come after these, and this portion was
            # told nothing of them: the view has them NULL.
            values = "".join(
                f", CAST({column.name.parts[0]} AS {kind}) AS {staged}"
                for column, (staged, kind) in zip(layout.columns, types[number], strict=False)
            )
            test = f"takes_{number} AND clean_{number}"
            add(self._rows[number], f"SELECT n{values} FROM {filled.table} WHERE {test}")

    def add(self, bench: Bench, number: int, select: str, columns: Sequence[str]) -> None:
        self._rows[number].add_unnamed(bench, select)

    def show(self, number: int, definition: str) -> None:
        self._rows[number].show(definition, only=self._only)

    def leave_out_outdated(self) -> None:
        """Show no rows of changes that `latest` does not have (any more)."""
        self._only = "SEMI JOIN latest USING (n)"

    def finish(self) -> None:
        self.show_facts()
