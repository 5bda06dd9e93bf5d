"""The peers of the benches: each is set up apart, checked before it is timed, and told of where it cannot be run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bench import measures_peers
from bench.by_sql import digest_after
from bench.feed import shop
from bench.figures import Options
from bench.measures import MEASURES
from bench.peers import roster
from bench.peers.installs import REQUIREMENTS, PeerMissing, environment_of, last_words, version_of
from bench.peers.job import Job, PeerFailed
from bench.peers.roster import OURS, OURS_BY_DEFAULT, PEERS, Peer, merge_by_peer
from bench.peers.tools import _singer, with_password
from tests.bench.probing import RECORDS


@pytest.fixture
def options(options: Options) -> Options:
    return replace(options, judge=True)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_has_its_release_pinned(peer: Peer) -> None:
    lines = (REQUIREMENTS / f"{peer.packages}.txt").read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))
    assert peer.title.endswith(version_of(peer.packages))


def test_a_peer_that_cannot_be_installed_is_told_of_with_the_reason(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> Path:
        raise PeerMissing(f"cannot be installed: no {name} for this machine")

    monkeypatch.setattr(measures_peers, "environment_of", refuse)
    figures = MEASURES["peers-duckdb"](options)
    assert {figure.baseline for figure in figures} == {p.title for p in PEERS if "DuckDB" in p.engines}
    for figure in figures:
        assert figure.note.startswith("NOT RUN: cannot be installed: no ") and figure.baseline_seconds is None
        assert figure.goal is None


def test_requirements_that_cannot_be_met_are_a_missing_peer(tmp_path: Path) -> None:
    (tmp_path / "nothing.txt").write_text("/nowhere/to/be/found==1\n")
    with pytest.raises(PeerMissing, match="cannot be installed: "):
        environment_of("nothing", below=tmp_path / "made", requirements=tmp_path)


def a_peer(monkeypatch: pytest.MonkeyPatch, load: Any) -> str:
    """Put a peer that does as `load` on the roster; returns its name."""
    monkeypatch.setattr(roster, "PEERS", (Peer("a peer", "dlt", ("DuckDB",), load, ""),))
    return "a peer"


def loads_of(data: Path) -> dict[str, Any]:
    feed = shop(RECORDS, below=data)
    loads = {"first": feed.refs(feed.first), "second": feed.refs(feed.second)}
    return {"warehouse": None, "loads": loads, "expected": digest_after([feed.first, feed.second])}


@pytest.mark.parametrize("ours", [OURS, OURS_BY_DEFAULT])
def test_our_own_table_is_checked_as_those_of_the_peers(data: Path, ours: str) -> None:
    assert list(merge_by_peer(peer=ours, **loads_of(data))) == ["first", "second"]


def test_a_peer_whose_table_is_wrong_is_not_timed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_the_last(job: Job) -> dict[str, float]:
        rows = job.prepare("csv")
        with duckdb.connect(job.file) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS peer")
            connection.execute(f"CREATE OR REPLACE TABLE peer.items AS FROM read_csv('{rows}') WHERE NOT removed")
        return {}

    steps = merge_by_peer(peer=a_peer(monkeypatch, only_the_last), **loads_of(data))
    assert list(steps) == ["failed"] and "its table is not right" in steps["failed"].note


def test_a_peer_that_fails_is_told_of_in_its_own_words(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: Job) -> dict[str, float]:
        job.run("sh", "-c", f"echo some text >&2; echo 'Error: no driver in {job.folder}' >&2; exit 3")
        return {}

    steps = merge_by_peer(peer=a_peer(monkeypatch, fail), **loads_of(data))
    assert steps["failed"].note == "Error: no driver in ~"


def test_singer_messages_are_a_schema_and_a_record_for_each_key(data: Path, tmp_path: Path) -> None:
    feed = shop(RECORDS, below=data)
    job = Job(tmp_path, "duckdb:////nowhere", tmp_path, feed.refs(feed.first))
    with pytest.raises(PeerFailed):
        _singer(job, "nothing", {}, is_hard_delete=True)  # the program is not there, but its input is
    schema = json.loads((tmp_path / "schema.json").read_text())
    records = [json.loads(line) for line in (tmp_path / "rows.json").read_text().splitlines()]
    assert schema["type"] == "SCHEMA" and {record["type"] for record in records} == {"RECORD"}
    assert {record["stream"] for record in records} == {schema["stream"]}
    keys = {(record["record"]["pk"], record["record"]["sk"]) for record in records}
    assert len(keys) == len(records)
    assert set().union(*(record["record"] for record in records)) <= set(schema["schema"]["properties"])
    assert any(record["record"].get("_sdc_deleted_at") for record in records)


@pytest.mark.parametrize(
    ("output", "words"),
    [("", "nothing was said"), ("a\nb\n", "b"), ("ERROR: no\nsee the docs\n", "ERROR: no"), ("x" * 500, "x" * 200)],
)
def test_the_last_words_of_a_program_are_those_of_its_error(output: str, words: str) -> None:
    assert last_words(output) == words


def test_a_url_gets_a_password_if_it_has_none() -> None:
    assert with_password("postgresql://me@host:1/x") == "postgresql://me:none@host:1/x"
    assert with_password("postgresql://me:secret@host:1/x") == "postgresql://me:secret@host:1/x"


@pytest.mark.long
@pytest.mark.parametrize("measure", ["peers-duckdb", "peers-postgres"])
def test_every_peer_is_installed_and_run_or_told_of(options: Options, measure: str) -> None:
    figures = MEASURES[measure](options)
    engine = {"peers-duckdb": "DuckDB", "peers-postgres": "Postgres"}[measure]
    assert {figure.baseline for figure in figures} == {p.title for p in PEERS if engine in p.engines}
    assert all(figure.baseline_seconds or figure.note.startswith("NOT RUN: ") for figure in figures)
