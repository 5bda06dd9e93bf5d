"""Tables that are filled a portion at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from cdc_merge.feed.parts import FEW_ROWS, Parts
from cdc_merge.feed.workbench import Bench, Workbench


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


def test_a_part_may_be_a_query_over_tables_that_stay(workbench: Workbench) -> None:
    parts = Parts(workbench, "rows")
    workbench.execute("CREATE TABLE others AS SELECT range AS n, 'other' AS a, 0 AS rest FROM range(3)")
    parts.add(workbench, "SELECT 7 AS n, 'mine' AS a")
    parts.refer("SELECT n, a FROM others WHERE n > 0")
    parts.show("n BIGINT, a VARCHAR")
    assert sorted(workbench.rows("FROM rows")) == [(1, "other"), (2, "other"), (7, "mine")]


def test_a_join_may_leave_rows_out_of_the_view(workbench: Workbench) -> None:
    parts = Parts(workbench, "rows")
    parts.add(workbench, "SELECT range AS n FROM range(3)")
    parts.refer("SELECT 9 AS n")
    workbench.execute("CREATE TABLE wanted AS SELECT unnest([1, 9]) AS n")
    parts.show("n BIGINT", only="SEMI JOIN wanted USING (n)")
    assert sorted(workbench.rows("FROM rows")) == [(1,), (9,)]


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


def test_parts_of_few_rows_join_and_those_without_any_are_not_kept(workbench: Workbench) -> None:
    parts = Parts(workbench, "rows")
    parts.add_unnamed(workbench, "SELECT 1 AS n FROM range(0)")
    assert workbench.rows("SELECT * FROM duckdb_tables() WHERE table_name LIKE 'rows__%'") == []
    for n in range(40):
        parts.add_unnamed(workbench, f"SELECT {n} AS n, 'x' AS c{n % 3} FROM range({n % 4})")
    parts.add_unnamed(workbench, f"SELECT -1 AS n FROM range({FEW_ROWS})")
    parts.show("n INTEGER, c0 VARCHAR, c1 VARCHAR, c2 VARCHAR")

    counted = dict(workbench.rows("SELECT n, count(*) FROM rows GROUP BY n"))
    assert counted == {-1: FEW_ROWS, **{n: n % 4 for n in range(40) if n % 4}}
    assert workbench.rows("SELECT count(*) FROM rows WHERE n >= 0 AND c0 IS NULL AND c1 IS NULL AND c2 IS NULL") == [
        (0,)
    ]
    assert len(workbench.rows("SELECT * FROM duckdb_tables() WHERE table_name LIKE 'rows__%'")) <= 6


def test_threads_may_add_parts_side_by_side(workbench: Workbench) -> None:
    parts = Parts(workbench, "rows")
    benches = [workbench.bench() for _ in range(4)]

    def add(bench: Bench) -> None:
        for n in range(30):
            parts.add_unnamed(bench, f"SELECT {n} AS n FROM range(10)")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, benches))
    parts.show("n INTEGER")
    assert workbench.rows("SELECT count(*), count(DISTINCT n) FROM rows") == [(1_200, 30)]
