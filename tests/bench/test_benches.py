"""The benches run, their books balance, and what they write can be read; no time is judged here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import psycopg2
import pytest

from bench.__main__ import main
from bench.baselines import handwritten_upsert
from bench.checks import digest, require
from bench.child import run_probe
from bench.export import shop_export, write_export
from bench.feed import shop
from bench.figures import Figure, Goal, Options, expected_of
from bench.goals import judged
from bench.keeping import read_json, write_json
from bench.loading import merge_loads
from bench.measures import MEASURES
from bench.page import write_page
from bench.plots import bars
from bench.probes import MODULES, probe_of
from bench.report import BEGIN, END, goal_table, in_words, table, write_readme
from bench.runs import Taking, load_now, this_run, together
from cdc_merge.exports.finder import find_export
from cdc_merge.model import Column, ColumnType, Kind
from tests.bench.probing import RECORDS
from tests.support.postgres import GIVEN, fresh_database, postgres_server

AT = datetime(2026, 1, 2, tzinfo=UTC)
FIGURE = Figure("duckdb", "a case", 5.0, 4.0, 6.0, 7.0, 2**20, 3, goal=Goal(2.5, "x"), baseline_seconds=2.0)


def taken(*figures: Figure, command: str = "python -m bench", at: datetime = AT) -> Taking:
    """A measure's figures, as of a run on this machine."""
    return Taking(figures[0].measure, this_run(command, at), at, load_now(), figures)


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
    *loads, alone, alone_again = MEASURES["postgres"](replace(options, judge=True))
    figures = {figure.case: figure for figure in loads}
    for case in ("typed columns", "every attribute"):
        second = figures[f"{case}, second load"]
        assert figures[f"{case}, first load"].counts["updated"] == 0 < second.counts["updated"]
        assert set(second.baseline_phases) == {"decode", "copy", "upsert"}
    with_goal = [figure for figure in figures.values() if figure.goal]
    assert {figure.baseline for figure in with_goal} == {"decode + COPY + ON CONFLICT"}
    assert all(set(merge.baseline_phases) == {"query", "copy", "merge"} for merge in (alone, alone_again))


def test_the_rows_written_by_hand_are_as_many_as_ours(options: Options) -> None:
    feed = shop(RECORDS, below=options.data)
    loads = {"first": feed.refs(feed.first)}
    asked: dict[str, Any] = {"loads": loads, "columns": True}
    with postgres_server() as server:
        by_hand = handwritten_upsert(warehouse=fresh_database(server), **asked)["first"].counts
        expected = expected_of(options, loads)
        ours = merge_loads(warehouse=fresh_database(server), one_batch=True, expected=expected, **asked)["first"].counts
    assert by_hand["rows"] == ours["inserted"] > 0


@pytest.mark.parametrize("columns", [True, False])
def test_a_result_that_is_wrong_has_no_time(options: Options, columns: bool) -> None:
    feed = shop(RECORDS, below=options.data)
    expected = expected_of(options, {"first": feed.refs(feed.first)})
    part = {"first": feed.refs(feed.first[1:])}
    with pytest.raises(RuntimeError, match="rows and digest of the table: "):
        merge_loads(warehouse=None, loads=part, columns=columns, one_batch=True, expected=expected)


def test_the_backlog_of_the_memory_measure_is_three_loads(options: Options) -> None:
    for figure in MEASURES["memory"](options):
        assert figure.counts["objects"] == 24 and figure.counts["records"] == 3 * RECORDS
        assert figure.counts["quarantined"] == figure.counts["ignored"] == 0


def test_the_server_of_a_measure_waits_for_the_disk_and_is_told_of(options: Options) -> None:
    met: list[str] = []
    MEASURES["latency"](replace(options, latency_times=1, meet=met.append))
    (server,) = met
    assert re.match(r"Postgres \d+", server) and (os.environ.get(GIVEN) or "fsync=on, shared_buffers=512MB" in server)


def test_each_poll_of_the_latency_measure_merges_its_one_object(options: Options) -> None:
    assert [figure.runs for figure in MEASURES["latency"](options)] == [2, 2]


def test_tiny_objects_are_merged_one_record_each_from_a_directory_and_from_s3(options: Options) -> None:
    for figure in MEASURES["tiny"](options):
        assert figure.counts["objects"] == figure.counts["records"] == 12


def test_an_export_is_made_once_and_has_the_items_its_manifest_says(data: Path) -> None:
    made = shop_export(1_200, below=data)
    again = shop_export(1_200, below=data)
    found = find_export(None, str(made.folder), source="ecommerce")
    assert found.items == 1_200 == sum(file.items for file in found.files)
    assert [path.stat().st_ino for path in made.files] == [path.stat().st_ino for path in again.files]


def test_the_same_arguments_give_the_same_export(tmp_path: Path) -> None:
    write_export(tmp_path / "a", 100)
    write_export(tmp_path / "b", 100)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 9
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)


@pytest.mark.parametrize("measure", ["reconcile", "reconcile-postgres"])
def test_reconcile_loads_an_empty_target_finds_nothing_and_then_repairs_what_was_planted(
    options: Options, measure: str
) -> None:
    load, equal, repair = MEASURES[measure](options)
    assert load.counts["repaired"] == equal.counts["equal"] == 1_200
    assert repair.counts["repaired"] > 0 and repair.counts["newer"] == 0
    assert all(figure.baseline_seconds and set(figure.phases) == PHASES for figure in (load, equal, repair))


PHASES = {"decode", "stage", "compare", "repair"}


def test_the_digest_of_a_table_tells_a_single_value_that_differs(data: Path) -> None:
    columns = (Column("name", ("Name",), ColumnType(Kind.TEXT)), Column("at", ("At",), ColumnType(Kind.TIMESTAMP)))
    with duckdb.connect() as connection:
        row = "(SELECT 'a' AS pk, 'b' AS sk, {} AS name, TIMESTAMPTZ '2026-01-02T00:00:00Z' AS at)"
        found = [digest(connection, row.format(name), columns) for name in ("'x'", "'y'", "NULL", "'x'")]
    assert found[0] == found[3] and len({tuple(each) for each in found}) == 3
    with pytest.raises(RuntimeError, match="rows: "):
        require("rows", found[0], found[1])


def test_postgres_and_duckdb_agree_on_a_digest() -> None:
    columns = (
        Column("at", ("At",), ColumnType(Kind.TIMESTAMP)),
        Column("cost", ("Cost",), ColumnType(Kind.NUMERIC, 12, 2)),
        Column("name", ("Name",), ColumnType(Kind.TEXT)),
    )
    row = (
        "(SELECT 'é' AS pk, 'b' AS sk, CAST('2026-01-02 03:04:05+00' AS timestamptz) AS at, "
        "CAST(12.5 AS decimal(12, 2)) AS cost, NULL AS name)"
    )
    with duckdb.connect() as here, postgres_server() as server, closing(psycopg2.connect(server.url)) as there:
        assert digest(here, row, columns) == digest(there, row, columns)


def test_three_tables_hold_what_one_table_holds(options: Options) -> None:
    (figure,) = MEASURES["targets"](options)
    assert figure.counts["rows customers"] > 0 and figure.counts["rows order_items"] > 0
    assert figure.baseline_seconds and figure.counts["ignored"] > 0  # e-mail items are in no table


def test_each_order_has_its_five_lines_in_a_table_of_their_own(options: Options) -> None:
    _, whole = MEASURES["each"](options)
    assert whole.counts["rows order_lines"] == 5 * whole.counts["rows orders"] > 0


def test_a_probe_has_a_process_of_its_own_whose_memory_is_watched(data: Path) -> None:
    result = run_probe("bare_read", paths=[str(path) for path in shop(RECORDS, below=data).first])
    assert result.steps["read"].counts == {"records": RECORDS}
    assert result.peak > 10 * 2**20


def test_the_memory_of_a_probe_is_its_own_and_not_that_of_who_started_it(data: Path) -> None:
    ballast = bytearray(b"x") * (400 * 2**20)
    result = run_probe("bare_read", paths=[str(path) for path in shop(RECORDS, below=data).first])
    assert result.peak < len(ballast)


def test_every_probe_is_found_by_its_name() -> None:
    for module, names in MODULES.items():
        assert set(import_module(module).PROBES) == set(names)
        assert all(callable(probe_of(name)) for name in names)


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
    header, rule, line = table([taken(missed)]).splitlines()
    assert header.count("|") == rule.count("|") == line.count("|")
    assert "| 2.50" in line and "≤ 2 ×" in line and "| NO " in line


def test_the_readme_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{BEGIN}\nold figures\n{END}\n\nafter\n")
    for _ in range(2):
        write_readme(readme, [taken(FIGURE)])
    text = readme.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n") and text.endswith(f"{END}\n\nafter\n")
    assert "old figures" not in text and text.count("a case") == 1 and "`python -m bench` on 2026-01-02" in text


def test_the_committed_readme_has_the_block() -> None:
    text = (Path(__file__).parents[2] / "bench" / "README.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1


def test_the_json_has_machine_versions_and_figures(tmp_path: Path) -> None:
    path = tmp_path / "results" / "day.json"
    write_json(path, [taken(FIGURE)])
    document = json.loads(path.read_text())
    ((run,), (measure,)) = document["runs"], document["measures"]
    assert run["versions"]["duckdb"] and run["machine"]["cores"] >= 1 and run["at"] == "2026-01-02T00:00:00+00:00"
    assert measure["figures"][0]["ratio"] == 2.5 and measure["figures"][0]["is_met"] is True


def test_a_run_that_was_kept_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "day.json"
    other = replace(FIGURE, measure="cost", goal=None, size=10, note="a note", counts={"requests": 3})
    takings = [taken(FIGURE), taken(other)]
    write_json(path, takings)
    assert read_json(path) == takings


def test_runs_taken_after_one_another_are_one_report_that_says_what_came_from_which() -> None:
    again = replace(FIGURE, case="another case")
    newer = replace(FIGURE, seconds=4.5)
    first = taken(FIGURE, again, command="python -m bench --only duckdb")
    later = taken(newer, command="python -m bench --repeat 5", at=AT + timedelta(days=1))
    later = replace(later, run=replace(later.run, commit="another"))
    found = together([later, first])
    assert [figure for taking in found for figure in taking.figures] == [again, newer]
    text = in_words(found, Path("bench"))
    assert "1. `python -m bench --only duckdb` on 2026-01-02" in text and "2. `python -m bench --repeat 5`" in text
    assert "Commits differ" in text and "| from |" in text
    assert [line.split("|")[-2].strip() for line in text.splitlines() if "case" in line][-2:] == ["1", "2"]


def test_a_peer_that_ran_later_is_no_longer_one_that_could_not_be_run() -> None:
    failed = replace(FIGURE, case="records", baseline="a peer", note="NOT RUN: no wheel")
    ran = replace(FIGURE, case="records, first load", baseline="a peer")
    found = together([taken(failed), taken(ran, at=AT + timedelta(days=1))])
    assert [figure for taking in found for figure in taking.figures] == [ran]


def test_runs_of_two_machines_are_not_mixed() -> None:
    elsewhere = taken(FIGURE)
    elsewhere = replace(elsewhere, run=replace(elsewhere.run, machine=replace(elsewhere.run.machine, cores=64)))
    with pytest.raises(ValueError, match="2 machines cannot be mixed"):
        together([taken(FIGURE), elsewhere])


def test_the_goals_are_told_in_short_with_the_page_that_says_why_one_is_missed() -> None:
    figures = [FIGURE, replace(FIGURE, case="slow", seconds=8.0), replace(FIGURE, case="no goal", goal=None)]
    _, _, line = goal_table([taken(*figures)], Path(__file__).parents[2] / "bench").splitlines()
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:4] == ["duckdb", "≤ 2.5 ×", "2.5 × – 4 ×", "1 of 2"]
    assert cells[4] == "[why](../docs/decisions/0013-where-the-time-goes.md)"


def test_every_page_that_says_why_is_there() -> None:
    missed = [replace(FIGURE, measure=name, seconds=50.0) for name in MEASURES]
    linked = [each for figure in missed for each in judged([taken(figure)]) if each.why]
    folder = Path(__file__).parents[2] / "bench"
    assert linked and all((folder / each.link(folder)).exists() for each in linked)


def test_the_page_needs_nothing_beside_it_and_tells_of_goals_and_of_peers_that_did_not_run(tmp_path: Path) -> None:
    growth = replace(FIGURE, measure="growth", case="small", size=1_000)
    large = replace(growth, case="large", size=1_000_000, seconds=9.0, baseline_seconds=3.0)
    peer = replace(
        FIGURE, measure="peers", goal=None, baseline="a <peer>", baseline_seconds=None, note="NOT RUN: no wheel"
    )
    path = tmp_path / "report.html"
    about = {"growth": "How it grows."}
    write_page(path, [taken(FIGURE), taken(growth, large), taken(peer)], about=about)
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"src=|@import|url\(", text)
    assert "Goals: 2 of 3 cases meet theirs" in text and "How it grows." in text and "NOT RUN: no wheel" in text
    assert text.count("<details open>") == 1 and text.count("<details>") == 2
    plots = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text)]
    lines = [len(list(plot.iter("{http://www.w3.org/2000/svg}polyline"))) for plot in plots]
    assert lines == [0, 2, 0]


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (replace(FIGURE, measure="memory", goal=Goal(2**30, "bytes"), peak=2**29), ["512 MiB"]),
        (replace(FIGURE, measure="poll", counts={"requests": 4}, baseline_counts={"requests": 90}), ["4 requests"]),
        (replace(FIGURE, case="word " * 30), ["5 s", "2 s"]),
    ],
)
def test_a_plot_is_of_what_its_measure_is_about_with_the_goal_and_labels_that_fit(
    figure: Figure, words: list[str]
) -> None:
    plot = ElementTree.fromstring(bars([replace(figure, baseline="another")]))
    texts = [text.text or "" for text in plot.iter("{http://www.w3.org/2000/svg}text")]
    assert set(words) <= set(texts) and max(map(len, texts)) < 60
    dashed = [line for line in plot.iter("{http://www.w3.org/2000/svg}line") if line.get("stroke-dasharray")]
    assert len(dashed) == (0 if figure.measure == "poll" else 1)


def test_the_command_runs_a_measure_at_smoke_size_and_reports_it_again_from_what_it_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--smoke", "--only", "decode", "--records", "200", "--results", str(tmp_path / "first")])
    first = capsys.readouterr().out
    (kept,) = (tmp_path / "first").glob("*.json")
    main(["--kept", str(kept), "--results", str(tmp_path / "again")])
    assert capsys.readouterr().out == first and "| decode" in first and kept.stem.count("-") == 3
    assert len(list((tmp_path / "again").glob("*.html"))) == 1


def test_the_peers_can_be_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def measure(name: str) -> Callable[[Options], list[Figure]]:
        def found(_options: Options) -> list[Figure]:
            """One figure."""
            return [replace(FIGURE, measure=name)]

        return found

    measures = {name: measure(name) for name in MEASURES}
    monkeypatch.setattr("bench.__main__.MEASURES", measures)
    main(["--smoke", "--without-peers", "--results", str(tmp_path)])
    (kept,) = tmp_path.glob("*.json")
    found = [taking.measure for taking in read_json(kept)]
    assert found == [name for name in measures if not name.startswith("peers-")]
