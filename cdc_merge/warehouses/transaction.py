"""What every engine does alike: runs labelled statements in order and checks how many rows each touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter

from cdc_merge.errors import WarehouseRefused
from cdc_merge.warehouses import LEDGER_LABEL, Observer, Row, Statement


class StatementFailed(Exception):
    """Carries the driver's error (its cause) and the label of the statement it came from."""

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.label = label


def run_in_order(
    statements: Iterable[Statement],
    *,
    execute: Callable[[str], int],
    fetch: Callable[[str], list[Row]],
    driver_error: type[Exception],
    observer: Observer | None,
) -> list[int]:
    """Execute each statement that is needed; returns the rows each touched. The caller opens and ends the transaction.

    Raises StatementFailed from the driver's error, or what a statement's `mismatch` makes or its `inspect` raises.
    """
    touched = []
    for statement in statements:
        if statement.only_if and not statement.only_if():
            touched.append(0)
            continue
        began = perf_counter()
        found: list[Row] | None = None
        try:
            if statement.lock and execute(statement.lock) == 0:
                raise _nothing_to_lock(statement)
            if statement.inspect:
                found = fetch(statement.sql)
            rows = len(found) if found is not None else execute(statement.sql)
        except driver_error as error:
            raise StatementFailed(statement.label) from error
        if statement.inspect and found is not None:
            statement.inspect(found)
        expected = statement.expect_rows() if callable(statement.expect_rows) else statement.expect_rows
        if expected is not None and rows != expected:
            raise _mismatch(statement, rows, expected)
        touched.append(rows)
        if observer:
            observer(statement.label, perf_counter() - began)
    return touched


def _nothing_to_lock(statement: Statement) -> Exception:
    """Others would not be held back, and nobody would notice."""
    return WarehouseRefused(
        "the row that is updated to hold others back is gone",
        where=statement.label,
        hint=f"insert it: {statement.lock}",
    )


def _mismatch(statement: Statement, rows: int, expected: int) -> Exception:
    if statement.mismatch:
        return statement.mismatch()
    return WarehouseRefused(f"touched {rows} rows instead of {expected}", where=statement.label)


__all__ = ["LEDGER_LABEL", "StatementFailed", "run_in_order"]
