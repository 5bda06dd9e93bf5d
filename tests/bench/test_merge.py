"""The measures of the merge alone run at any size, and hand-written SQL ends with the same table as ours."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench.checks import connect, rows_of
from bench.figures import Options
from bench.growing import fill_lineitems
from bench.lineitems import lineitem_feed, shares_of
from bench.measures import MEASURES
from bench.tpch import Lineitems

ROWS = 2_000


@pytest.fixture
def options(options: Options) -> Options:
    return replace(
        options,
        growth_changes=300,
        growth_rows=(500, ROWS),
        growth_postgres_rows=(500, ROWS),
        batch_rows=ROWS,
        batch_postgres_rows=ROWS,
        shape_scale=0.0001,
    )


def test_filled_rows_have_the_keys_that_changes_come_with(data: Path, tmp_path: Path) -> None:
    feed = lineitem_feed(ROWS, [], below=data)
    url = f"duckdb:///{tmp_path / 'filled.duckdb'}"
    fill_lineitems(warehouse=url, rows=ROWS, seed=[str(path) for path in feed.seed])
    with closing(connect(url)) as connection:
        found = rows_of(connection, "SELECT pk, sk, l_orderkey, l_linenumber FROM analytics.lineitem")
    items = [json.loads(f"{{{''.join(Lineitems(ROWS, 1).item(n, 1))}}}") for n in range(ROWS)]
    keys = [(i["PK"]["S"], i["SK"]["S"], int(i["l_orderkey"]["N"]), int(i["l_linenumber"]["N"])) for i in items]
    assert sorted(found) == sorted(keys) and found != keys


def test_batches_grow_from_a_millionth_to_a_tenth_of_the_table() -> None:
    assert list(shares_of(30_000_000).values()) == [30, 300, 3_000, 30_000, 300_000, 3_000_000]
    assert min(shares_of(1_000).values()) == 1


@pytest.mark.parametrize("measure", ["growth", "growth-postgres"])
def test_growth_holds_the_largest_target_against_one_of_a_tenth_of_it_and_each_against_sql_by_hand(
    options: Options, measure: str
) -> None:
    small, large, grown = MEASURES[measure](replace(options, judge=True))
    assert [figure.size for figure in (small, large, grown)] == [500, ROWS, None]
    assert all(
        figure.baseline_seconds and set(figure.baseline_phases) == {"load", "merge"} for figure in (small, large)
    )
    assert grown.baseline_seconds == small.seconds and grown.seconds == large.seconds and grown.goal


def test_the_goal_of_growth_is_for_ten_times_the_rows(options: Options) -> None:
    *_, grown = MEASURES["growth"](replace(options, growth_rows=(100, 200, 2_000), judge=True))
    assert "2,000 rows for 200 rows" in grown.case


@pytest.mark.parametrize("measure", ["batch", "batch-postgres"])
def test_each_batch_of_the_ladder_is_merged_and_held_against_sql_by_hand(options: Options, measure: str) -> None:
    figures = MEASURES[measure](options)
    assert [figure.size for figure in figures] == list(shares_of(ROWS).values())
    assert figures[-1].counts["records"] == ROWS / 10
    assert all(figure.baseline_seconds for figure in figures)


def test_the_published_shape_is_judged_at_full_size_only(options: Options) -> None:
    figures = MEASURES["shape"](replace(options, judge=True))
    assert [figure.goal for figure in figures] == [None] * 4
    assert figures[0].counts["records"] == 180 and figures[0].seconds < figures[1].seconds
