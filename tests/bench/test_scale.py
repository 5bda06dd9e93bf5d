"""The measures of scale run at any size, and hand-written SQL ends with the same table as ours."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from bench.child import run_probe
from bench.figures import NOT_RUN, Options
from bench.measures import MEASURES
from bench.scale_items import staged_batches
from bench.scaling import fill_scale, merge_staged_by_hand

ROWS, BATCHES = 2_000, (200, 1_000)


@pytest.fixture
def options(options: Options) -> Options:
    return replace(options, scale_rows=(ROWS,), scale_postgres_rows=(ROWS,), scale_batches=(*BATCHES, ROWS))


def held(folder: Path, sql: str) -> list[tuple[int, ...]]:
    with duckdb.connect() as connection:
        return connection.sql(f"SELECT {sql} FROM '{folder / 'keys.parquet'}' AS k").fetchall()


def test_a_batch_has_rows_of_each_fate_and_no_key_twice(data: Path) -> None:
    for batch in staged_batches(ROWS, BATCHES, below=data):
        found = held(
            batch.folder,
            "count(*), count(DISTINCT (partition_key, sort_key)), count_if(removed), "
            "count_if(partition_key >= 'ITEM#000000002' OR sort_key <> 'v'), count_if(position < concat('2026-01-01T', "
            "'00:00:00.000/', repeat('0', 24), '1000000000000000'))",
        )
        changes = batch.changes
        assert found == [(changes, changes, changes * 8 // 100, changes * 20 // 100, changes * 2 // 100)]


def test_recent_keys_are_the_last_of_the_table_and_any_keys_are_of_all_of_it(data: Path) -> None:
    places = "SELECT CAST(substr(partition_key, 6) AS BIGINT) AS n FROM '{}' WHERE sort_key = 'v'"
    with duckdb.connect() as connection:
        recent, spread = (
            connection.sql(
                f"SELECT max(n) - min(n) FROM ({places.format(batch.folder / 'keys.parquet')}) WHERE n < {ROWS}"
            ).fetchall()[0][0]
            for batch in staged_batches(ROWS, BATCHES, below=data)[:2]
        )
    assert recent < BATCHES[0] and spread > ROWS * 0.9


def test_no_batch_is_larger_than_half_of_the_table(data: Path) -> None:
    assert {batch.changes for batch in staged_batches(ROWS, (*BATCHES, ROWS), below=data)} == set(BATCHES)


@pytest.mark.parametrize("measure", ["scale", "scale-postgres", pytest.param("scale-databend", marks=pytest.mark.long)])
def test_each_batch_is_merged_and_held_against_sql_by_hand(options: Options, measure: str) -> None:
    if measure == "scale-databend":
        if find_spec("databend") is None:
            pytest.skip("there is no databend: `make test-long` installs it")
        options = replace(options, probe=run_probe)  # a process of its own: it can have one engine
    figures = [figure for figure in MEASURES[measure](replace(options, judge=True)) if figure.goal]
    amounts = 2 if measure == "scale" else 1  # of memory
    assert len(figures) == amounts * 2 * len(BATCHES)
    assert sum("memory: 4GB" in figure.case for figure in figures) == (amounts - 1) * 2 * len(BATCHES)
    for figure in figures:
        assert f"{ROWS:,} rows" in figure.case and figure.baseline_seconds
        assert set(figure.phases) == set(figure.baseline_phases) == {"load", "merge"}
        assert {"resolve", "delete from items", "insert into items"} <= set(figure.statements)


def test_into_large_tables_the_sql_by_hand_has_all_memory_and_runs_once(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.measures_scale._FITS", ROWS - 1)
    figures = [figure for figure in MEASURES["scale"](options) if figure.baseline_seconds]
    assert figures and all(figure.baseline.endswith("all memory") for figure in figures)
    for default, plenty in zip(figures[::2], figures[1::2], strict=True):
        assert default.baseline_seconds == plenty.baseline_seconds and "memory: 4GB" in plenty.case


def test_the_sql_by_hand_has_the_memory_that_it_is_given(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.scaling.memory_for_merges", lambda memory: memory)
    warehouse, batch = f"duckdb:///{tmp_path}/filled.duckdb", staged_batches(ROWS, BATCHES, below=data)[0]
    fill_scale(warehouse=warehouse, rows=ROWS)

    assert merge_staged_by_hand(warehouse=warehouse, batches=[str(batch.folder)])["merge 0"].counts["rows"]
    with pytest.raises(duckdb.OutOfMemoryException):
        merge_staged_by_hand(warehouse=warehouse, batches=[str(batch.folder)], memory=100_000)


def test_where_databend_is_not_installed_its_measure_says_so(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measures_scale.find_spec", lambda _name: None)
    (figure,) = MEASURES["scale-databend"](options)
    assert figure.note.startswith(NOT_RUN) and figure.is_met is None
