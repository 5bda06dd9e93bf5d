"""Compares a target with an export by hashes of rows, in steps that each fit a little memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from math import ceil
from typing import Any, Protocol

from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.reconcile.comparing import ComparedColumn, Comparing
from cdc_merge.render import Sql
from cdc_merge.warehouses import Row, Statement

ROWS_AT_ONCE = 2_000_000  # that one statement joins or inserts, where the engine has little memory
ROWS_OF_BUCKET = 8  # about: what has drifted takes so many rows along into the comparison
MOST_BUCKETS = 2**21  # their sums take some 50 bytes each


class Say(Protocol):
    """Makes the statement of a template; what it is told besides is for the template."""

    def __call__(self, label: str, template: str, **values: Any) -> Statement: ...


class HashComparison:
    """Builds the statements for one engine, the row of the table being t, the staged one s.

    In steps: a query that joins so often at once takes more memory than there may be, whatever it spills.
    """

    def __init__(self, comparing: Comparing, *, is_partial: bool) -> None:
        """`is_partial`: see ReconcilePlan."""
        self._comparing = comparing
        self._is_partial = is_partial

    def compare(
        self, target: PlannedTarget, columns: Sequence[ComparedColumn], say: Say, items: int
    ) -> Iterator[Statement]:
        """Puts what differs into the target's verdicts. `items`: how many are in the snapshot."""
        label, hashed = target.label, self._comparing.hashed
        say = partial(
            say,
            row_hash=hashed(*(c.here.text for c in columns)),
            staged_key_hash=hashed(*_staged_keys(target)),
            row_key_hash=hashed(*self._row_keys(target)),
        )
        buckets, rows = 0, items
        if items > ROWS_AT_ONCE and not self._is_partial:
            buckets = min(MOST_BUCKETS, ceil(items / ROWS_OF_BUCKET))
            if not (yield from self._sum_rows(target, columns, say, buckets)):
                yield say(f"compare {label}", "verdicts_of_empty")  # a first load
                return
            rows = yield from self._find_buckets(target, columns, say, buckets)
        hashed_rows = self._hashed_rows(target, columns, buckets=buckets)
        yield say(f"hash the export for {label}", "hashed", buckets=buckets, hashed_rows=hashed_rows)
        parts = ceil(max(1, rows) / ROWS_AT_ONCE)
        for part in range(parts):
            yield say(f"find suspects in {label}", "suspects", buckets=buckets, parts=parts, part=part)
        yield say(f"compare {label}", "verdicts_by_hash")
        yield say(f"find what differs in {label}", "differing_by_hash")

    def _sum_rows(
        self, target: PlannedTarget, columns: Sequence[ComparedColumn], say: Say, buckets: int
    ) -> Generator[Statement, None, bool]:
        """Sums up the target's buckets; returns whether it has any row."""
        here = [*self._row_keys(target), *(["CAST(t._cdc_index AS BIGINT)"] if target.is_each else [])]
        values = self._comparing.hashed(*(c.here.text for c in columns))
        assert values
        whole = self._comparing.combined(*here, values.text)
        yield say(f"sum up {target.label}", "sum_rows", buckets=buckets, whole_row=whole)
        found: list[Row] = []
        count = f"SELECT count(*) FROM _cdc_here_{target.number}"
        yield Statement(f"count buckets of {target.label}", count, inspect=found.extend)
        return int(found[0][0]) > 0

    def _find_buckets(
        self, target: PlannedTarget, columns: Sequence[ComparedColumn], say: Say, buckets: int
    ) -> Generator[Statement, None, int]:
        """Finds the buckets of keys that are not the same on both sides; returns the rows that a join would hold."""
        label = target.label
        staged = [*_staged_keys(target), *(["CAST(s.place AS BIGINT)"] if target.is_each else [])]
        whole = self._comparing.combined(*staged, "s.h")
        say = partial(say, buckets=buckets)
        hashed_rows = self._hashed_rows(target, columns)
        yield say(f"sum up the export for {label}", "sum_export", whole_staged=whole, hashed_rows=hashed_rows)
        newer = self._comparing.hashed(*(f"w.k{i}" for i in range(len(target.keys))))
        yield say(f"find buckets of {label}", "find_buckets", newer_key_hash=newer)
        rows: list[Row] = []
        count = f"SELECT coalesce(sum(rows), 0) FROM _cdc_buckets_{target.number}"
        yield Statement(f"count rows in buckets of {label}", count, inspect=rows.extend)
        return int(rows[0][0])

    def _hashed_rows(self, target: PlannedTarget, columns: Sequence[ComparedColumn], *, buckets: int = 0) -> Sql:
        """A query of the export's rows, as their keys and a hash of all else: of the buckets that differ, or all."""
        return Sql(
            self._comparing.render(
                "reconcile/sql/hashed_rows",
                target=target,
                is_partial=self._is_partial,
                buckets=buckets,
                staged_key_hash=self._comparing.hashed(*_staged_keys(target)),
                staged_hash=self._comparing.hashed(*(c.staged.text for c in columns)),
            )
        )

    def _row_keys(self, target: PlannedTarget) -> list[str]:
        return [f"t.{self._comparing.dialect.quote(*key.name.parts)}" for key in target.keys]


def _staged_keys(target: PlannedTarget) -> list[str]:
    return [f"s.k{i}" for i in range(len(target.keys))]


__all__ = ["MOST_BUCKETS", "ROWS_AT_ONCE", "ROWS_OF_BUCKET", "HashComparison"]
