"""Tables that are filled a portion at a time."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from cdc_merge.feed.parts import Parts
from cdc_merge.feed.workbench import Workbench


@pytest.fixture
def workbench() -> Iterator[Workbench]:
    with Workbench(memory=100_000_000) as made:
        yield made


def test_the_view_has_the_rows_of_all_parts_under_the_columns_of_the_whole(workbench: Workbench) -> None:
    parts = Parts(workbench, "rows")
    parts.add(workbench, "SELECT 1 AS n, 'one' AS a")
    parts.add(workbench.bench(), "SELECT 'two' AS b, 2 AS n")
    parts.show("n INTEGER, a VARCHAR, b VARCHAR, c DATE")
    columns = [name for name, *_ in workbench.rows("DESCRIBE rows")]
    assert columns == ["n", "a", "b", "c"]
    assert sorted(workbench.rows("FROM rows")) == [(1, "one", None, None), (2, None, "two", None)]


def test_a_part_that_failed_is_none(workbench: Workbench) -> None:
    parts = Parts(workbench, "rows")
    with pytest.raises(duckdb.InvalidInputException):
        parts.add(workbench, "SELECT json_extract_string('{', '/a') AS a")
    parts.add(workbench, "SELECT 'fine' AS a")
    parts.show("a VARCHAR")
    assert workbench.rows("FROM rows") == [("fine",)]


def test_rows_are_deleted_wherever_they_are_and_more_parts_may_come(workbench: Workbench) -> None:
    parts = Parts(workbench, "rows")
    for first in (0, 10):
        parts.add(workbench, f"SELECT CAST(range AS INTEGER) AS n FROM range({first}, {first + 3})")
    parts.delete("n % 10 = 1")
    parts.show("n INTEGER")
    assert sorted(workbench.rows("FROM rows")) == [(0,), (2,), (10,), (12,)]
    parts.add(workbench, "SELECT 20 AS n")
    parts.show("n INTEGER")
    assert sorted(workbench.rows("FROM rows")) == [(0,), (2,), (10,), (12,), (20,)]
