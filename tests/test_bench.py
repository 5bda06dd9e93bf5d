"""The benches run, their books balance, and what they write can be read; no time is judged here."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.baselines import handwritten_upsert
from bench.child import Result, run_probe
from bench.feed import shop
from bench.measures import MEASURES, Figure, Goal, Options
from bench.probes import PROBES, merge_loads
from bench.report import BEGIN, END, table, this_machine, write_json, write_readme
from tests.support.postgres import fresh_database, postgres_server

RECORDS = 400
AT = datetime(2026, 1, 2, tzinfo=UTC)
FIGURE = Figure("duckdb", "a case", 5.0, 4.0, 6.0, 7.0, 2**20, 3, goal=Goal(2.5, "x"), baseline_seconds=2.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def here(probe: str, **arguments: Any) -> Result:
    """Run a probe in this process: a smoke run need not be clean."""
    return Result(PROBES[probe](**arguments), peak=1)


@pytest.fixture
def options(data: Path) -> Options:
    return Options(
        records=RECORDS,
        repeat=1,
        tiny_objects=12,
        latency_times=2,
        data=data,
        judge=False,
        say=lambda _line: None,
        probe=here,
    )


def test_the_feed_is_made_once_and_is_two_loads(data: Path) -> None:
    feed = shop(RECORDS, below=data)
    made = [path.stat().st_mtime_ns for path in (*feed.first, *feed.second)]
    again = shop(RECORDS, below=data)
    assert len(feed.first) == len(feed.second) == 8
    assert made == [path.stat().st_mtime_ns for path in (*again.first, *again.second)]


def test_the_duckdb_measure_merges_every_record_and_the_replay_none(options: Options) -> None:
    figures = {figure.case: figure for figure in MEASURES["duckdb"](options)}
    first = figures["every attribute, one batch"]
    assert first.counts["records"] == RECORDS
    assert first.counts["applied"] + first.counts["superseded"] == RECORDS
    assert set(first.phases) == {"fetch", "decode", "load", "merge"}
    assert first.baseline_seconds and first.cpu > 0 and first.is_met is None
    replay = figures["every attribute, one batch, replay"]
    assert replay.counts["applied"] == 0 and replay.counts["stale"] == first.counts["applied"]


def test_the_postgres_measure_takes_both_loads_and_its_baseline_too(options: Options) -> None:
    figures = {figure.case: figure for figure in MEASURES["postgres"](options)}
    for case in ("typed columns", "every attribute"):
        second = figures[f"{case}, second load"]
        assert figures[f"{case}, first load"].counts["updated"] == 0 < second.counts["updated"]
        assert set(second.baseline_phases) == {"decode", "copy", "upsert"}


def test_the_rows_written_by_hand_are_as_many_as_ours(data: Path) -> None:
    feed = shop(RECORDS, below=data)
    loads = {"first": feed.refs(feed.first)}
    with postgres_server() as server:
        by_hand = handwritten_upsert(warehouse=fresh_database(server), loads=loads, columns=True)["first"].counts
        ours = merge_loads(warehouse=fresh_database(server), loads=loads, columns=True, one_batch=True)["first"].counts
    assert by_hand["rows"] == ours["inserted"] > 0


def test_the_backlog_of_the_memory_measure_is_three_loads(options: Options) -> None:
    for figure in MEASURES["memory"](options):
        assert figure.counts["objects"] == 24 and figure.counts["records"] == 3 * RECORDS
        assert figure.counts["quarantined"] == figure.counts["ignored"] == 0


def test_each_poll_of_the_latency_measure_merges_its_one_object(options: Options) -> None:
    assert [figure.runs for figure in MEASURES["latency"](options)] == [2, 2]


def test_tiny_objects_are_merged_one_record_each_from_a_directory_and_from_s3(options: Options) -> None:
    for figure in MEASURES["tiny"](options):
        assert figure.counts["objects"] == figure.counts["records"] == 12


def test_a_probe_has_a_process_of_its_own_whose_memory_is_watched(data: Path) -> None:
    result = run_probe("bare_read", paths=[str(path) for path in shop(RECORDS, below=data).first])
    assert result.steps["read"].counts == {"records": RECORDS}
    assert result.peak > 10 * 2**20


def test_a_probe_that_fails_is_an_error(data: Path) -> None:
    with pytest.raises(RuntimeError, match="bare_read failed"):
        run_probe("bare_read", paths=[str(data / "nothing.gz")])


@pytest.mark.parametrize(
    ("goal", "is_met"),
    [
        (Goal(2.5, "x"), True),
        (Goal(2.4, "x"), False),
        (Goal(5, "s"), True),
        (Goal(4, "s"), False),
        (Goal(2**20, "bytes"), True),
        (Goal(1, "bytes"), False),
        (None, None),
    ],
)
def test_a_goal_is_a_ratio_seconds_or_memory(goal: Goal | None, is_met: bool | None) -> None:
    assert replace(FIGURE, goal=goal).is_met is is_met


def test_a_ratio_without_its_baseline_does_not_meet_its_goal() -> None:
    assert replace(FIGURE, baseline_seconds=None).is_met is False


def test_the_table_says_that_a_goal_is_missed() -> None:
    missed = replace(FIGURE, goal=Goal(2, "x"))
    header, rule, line = table([missed]).splitlines()
    assert header.count("|") == rule.count("|") == line.count("|")
    assert "| 2.50" in line and "≤ 2 ×" in line and "| NO " in line


def test_the_readme_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{BEGIN}\nold figures\n{END}\n\nafter\n")
    for _ in range(2):
        write_readme(readme, this_machine(), [FIGURE], command="python -m bench", at=AT)
    text = readme.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n") and text.endswith(f"{END}\n\nafter\n")
    assert "old figures" not in text and text.count("a case") == 1 and "`python -m bench` on 2026-01-02" in text


def test_the_committed_readme_has_the_block() -> None:
    text = (Path(__file__).parents[1] / "bench" / "README.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1


def test_the_json_has_machine_versions_and_figures(tmp_path: Path) -> None:
    path = tmp_path / "results" / "day.json"
    write_json(path, this_machine(), [FIGURE], command="python -m bench", at=AT)
    document = json.loads(path.read_text())
    assert document["machine"]["versions"]["duckdb"] and document["machine"]["cores"] >= 1
    assert document["figures"][0]["ratio"] == 2.5 and document["figures"][0]["is_met"] is True
    assert document["at"] == "2026-01-02T00:00:00+00:00"
