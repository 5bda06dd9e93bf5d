"""Plans the guard: what the warehouse knows of each staged key, and with that whether its change is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from cdc_merge.merge.altering import Render
from cdc_merge.merge.planned import KeyRange, PlannedTarget, RemovedTarget
from cdc_merge.render import Sql
from cdc_merge.warehouses import Dialect, Row, Statement

MOST_AT_ONCE = 3
"""Tables that one statement looks into, where it has a share of a process's memory.

For each it has all keys in memory: ten tables of a million rows and 300,000 keys do not fit the 320 MB of the default.
"""


class RowsTwice:
    """Whether the guard has found rows that are there twice by hand; told anew in each transaction."""

    def __init__(self) -> None:
        self._are_there = False

    def told(self, rows: list[Row]) -> None:
        """The answer of `look_for_copies`."""
        ((are_there,),) = rows
        self._are_there = bool(are_there)

    def __call__(self) -> bool:
        return self._are_there


class GuardPlan:
    """Builds the statements that resolve a batch, for one engine."""

    def __init__(self, dialect: Dialect, render: Render, removed: Sequence[RemovedTarget]) -> None:
        """`removed`: tables that the configuration no longer has, whose rows can show that a change is stale."""
        self._dialect = dialect
        self._render = render
        self._removed = tuple(removed)

    @property
    def looks_for_rows_twice(self) -> bool:
        """Where rows are deleted by their address and no key keeps them from being there twice by hand.

        There hardly ever are any, and grouping rows by their key takes up to two fifths of the guard's time; so that is
        done only where a first look without it finds more rows than keys.
        """
        return self._dialect.row_address is not None and not self._dialect.indexes_key

    def resolve(
        self,
        source: str,
        targets: Sequence[PlannedTarget],
        *,
        key_range: KeyRange | None = None,
        twice: RowsTwice | None = None,
    ) -> list[Statement]:
        """For each staged key, whether its change is accepted, into a temporary table; `targets`: what is looked at.

        `twice`: is told whether rows were found that are there twice by hand.
        """
        look = partial(self._look, source, targets, key_range)
        if not self.looks_for_rows_twice:
            analyze = [Statement("analyze resolved", "ANALYZE _cdc_resolved")] if self._dialect.analyze_staging else []
            return [*look(groups=not self._dialect.indexes_key), *analyze]
        twice = twice or RowsTwice()
        return [
            *look(groups=False),
            Statement("look for copies", self._render("merge/sql/look_for_copies"), inspect=twice.told),
            Statement("drop resolved copies", "DROP TABLE _cdc_resolved", only_if=twice),
            *(replace(s, label=f"{s.label} copies", only_if=twice) for s in look(groups=True)),
        ]

    def _look(
        self, source: str, targets: Sequence[PlannedTarget], key_range: KeyRange | None, *, groups: bool
    ) -> list[Statement]:
        """`groups`: one row of each key comes out, though several be there; of elements it always does."""
        tables: list[PlannedTarget | RemovedTarget] = [*targets, *self._removed]
        by_key = [t for t in tables if t.is_each or not self._dialect.indexes_key]
        rows = {
            t.number: self._render("merge/sql/find_rows", table=t, key_range=key_range, groups=groups) for t in by_key
        }
        first: list[Statement] = []
        if self.looks_for_rows_twice and len(tables) > MOST_AT_ONCE:
            keep = partial(self._render, "merge/sql/keep_found")
            first = [Statement(f"find rows {n}", keep(number=n, rows=Sql(sql))) for n, sql in rows.items()]
            found = {n: Sql(f"_cdc_found_{n}") for n in rows}
        else:
            # Not indented here: a key in it may have what Python takes for an end of line, such as U+2028.
            found = {n: Sql(f"(\n        {sql}\n    )") for n, sql in rows.items()}
        sql = self._render(
            "merge/sql/resolve",
            source=source,
            targets=targets,
            tables=tables,
            key_range=key_range,
            groups=groups,
            found=found,
            is_checked=self.looks_for_rows_twice and not groups,  # else a key that is there twice would hide others
        )
        return [*first, Statement("resolve", sql)]
