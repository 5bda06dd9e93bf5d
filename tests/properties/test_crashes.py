"""Kill the merge, the process, the connection or the server at any moment: nothing is lost, nothing counted twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from cdc_merge.errors import Transient, WarehouseUnavailable
from cdc_merge.warehouses import open_warehouse
from tests.properties.story import FIRST, LATER, assert_merged_once, contents, many, put, shop
from tests.support.faults import COMMITTED, STAGED, Faults, FaultyWarehouse, start_worker
from tests.support.harness import Harness
from tests.support.merging import by_hand
from tests.support.postgres import PostgresServer
from tests.support.proxy import Cut, proxy_to
from tests.support.working import after_the_first, end_merges, through

# One statement of each kind, in their order; a new column and a quarantined record are in LATER.
KINDS = (
    "staged _cdc_objects",
    "staged _cdc_rows_1",
    "fence",
    "record objects",
    "record quarantine",
    "add customers.new",
    "resolve",
    "delete from customers",
    "insert into orders",
    "delete tombstones",
    "insert tombstones",
    "record batch",
    "record customers",
    "record columns of customers",
    COMMITTED,
)
SOME_KINDS = (
    "staged _cdc_keys",
    "fence",
    "record objects",
    "insert into orders",
    "record columns of customers",
    COMMITTED,
)


class CutHere(Exception):
    """Raised in mid-transaction."""


@pytest.fixture
def later(warehouse_url: str, tmp_path: Path) -> Harness:
    """A source whose first batch is merged and whose second one waits."""
    return after_the_first(warehouse_url, tmp_path)


@contextmanager
def striking(
    harness: Harness, at: str, strike: Callable[[], None], *, once: bool = True, url: str | None = None
) -> Iterator[dict[str, Any]]:
    """Options of a worker that is struck after the statement `at`, once or each time."""
    struck = False

    def observe(label: str, _seconds: float) -> None:
        nonlocal struck
        if label == at and not (once and struck):
            struck = True
            strike()

    with closing(open_warehouse(url or harness.url, observer=observe)) as warehouse:
        yield {"warehouse": warehouse}
    assert struck


# --- the transaction is cut ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["first", "later", "of rows that are there twice"])
def test_a_merge_cut_after_any_of_its_statements_leaves_everything_as_it_was(
    warehouse_url: str, tmp_path: Path, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = shop(warehouse_url, tmp_path)
    put(harness, FIRST)
    if batch != "first":
        harness.run()
        put(harness, LATER)
    if "twice" in batch:
        if "postgres" in warehouse_url:
            pytest.skip("the primary key does not let a row be there twice")
        monkeypatch.setattr("cdc_merge.merge.guarding.MOST_AT_ONCE", 1)  # more statements to be cut after
        for table, key in (("customers", "moves"), ("orders", "goes")):
            by_hand(
                harness,
                f"INSERT INTO {harness.schema}.{table} SELECT * FROM {harness.schema}.{table} WHERE pk = '{key}'",
            )
    done: list[str] = []
    merged: list[str] = []
    cut_after = 0

    def cut(label: str, _seconds: float) -> None:
        done.append(label)
        if len(done) == cut_after:
            raise CutHere

    def cut_ever_later(run: Callable[[], list[int]]) -> list[int]:
        nonlocal cut_after
        before = contents(harness)
        while True:
            cut_after += 1
            done.clear()
            try:
                rows = run()
            except CutHere:
                assert contents(harness) == before, f"after {done[-1]!r}"
            else:
                merged.extend(done)
                cut_after = -1
                return rows

    with closing(open_warehouse(warehouse_url, observer=cut)) as warehouse:
        harness.run(warehouse=FaultyWarehouse(warehouse, Faults(merging=cut_ever_later)))
    assert merged[0] == "fence"
    assert {k for k in KINDS if not k.startswith(STAGED)} - {COMMITTED} <= {*merged} or batch == "first"
    assert harness.run().counts.records == 0
    assert_merged_once(harness, FIRST if batch == "first" else FIRST + LATER)


@pytest.mark.parametrize("lost", [WarehouseUnavailable("cut", where="load"), None], ids=["lost", "ended"])
def test_a_merge_cut_while_it_stages_leaves_everything_as_it_was(
    later: Harness, lost: WarehouseUnavailable | None
) -> None:
    """Whichever of its tables it has staged: with the warehouse lost it goes on by itself, else with the next run."""
    before = contents(later)
    staged: list[str] = []
    cut_after = 0

    def cut_ever_later(table: str) -> None:
        nonlocal cut_after
        if table in ("_cdc_listed", "_cdc_objects"):  # of the discovery, and the first of the merge
            staged.clear()
        staged.append(table)
        if len(staged) > cut_after and table != "_cdc_listed":
            cut_after += 1
            assert contents(later) == before
            raise lost or CutHere

    with closing(open_warehouse(later.url)) as warehouse:
        faulty = FaultyWarehouse(warehouse, Faults(staged=cut_ever_later))
        while True:
            try:
                later.run(warehouse=faulty)
            except (CutHere, WarehouseUnavailable):
                continue
            break
    assert staged == ["_cdc_" + t for t in ("objects", "quarantine", "unmatched", "keys", "rows_0", "rows_1")]
    assert cut_after == len(staged)
    assert_merged_once(later, FIRST + LATER)


# --- the process is killed -----------------------------------------------------------------------------------


LEFT_OPEN = pytest.mark.double(
    "it ends a dead worker's transaction after 10 seconds, Snowflake after 5 minutes", "snowflake"
)


def check_killed(harness: Harness, kinds: tuple[str, ...]) -> None:
    before = contents(harness)
    for kind in kinds:
        process = start_worker(harness.settings, killed_after=kind)
        process.join()
        assert process.exitcode == -signal.SIGKILL, kind
        assert (contents(harness) == before) == (kind != COMMITTED), kind
    assert harness.run().counts.records == (0 if COMMITTED in kinds else 9)
    assert_merged_once(harness, FIRST + LATER)


@LEFT_OPEN
def test_a_process_killed_in_mid_merge_leaves_nothing_and_the_next_one_goes_on_at_once(later: Harness) -> None:
    check_killed(later, SOME_KINDS)


def test_the_temporary_folders_of_a_killed_worker_go_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = after_the_first(f"duckdb:///{tmp_path}/warehouse.duckdb", tmp_path)
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    start_worker(harness.settings, killed_after="resolve").join()
    left = set(temporary.iterdir())
    assert left

    (following := start_worker(harness.settings)).join()

    assert following.exitcode == 0
    assert not left & set(temporary.iterdir())
    assert_merged_once(harness, FIRST + LATER)


@LEFT_OPEN
@pytest.mark.long
def test_a_process_killed_after_any_kind_of_statement_leaves_nothing(later: Harness) -> None:
    check_killed(later, KINDS)


@LEFT_OPEN
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.long]) for k in KINDS if k != COMMITTED])
def test_after_a_kill_one_plain_run_brings_the_tables_up_to_date(later: Harness, kind: str) -> None:
    check_killed(later, (kind,))


@LEFT_OPEN
def test_a_process_killed_at_random_moments_loses_nothing(warehouse_url: str, tmp_path: Path, examples: int) -> None:
    random = Random(examples)
    harness = shop(warehouse_url, tmp_path, objects=2)
    delivered = []
    took = 1.0
    for n in range(max(3, examples // 3)):
        objects = many(3 * (n + 1))[3 * n :]
        put(harness, objects)
        delivered += objects
        began = time.monotonic()
        process = start_worker(harness.settings)
        process.join(random.uniform(0, took) if n else None)  # the first one shows how long it takes
        process.kill()
        process.join()
        if process.exitcode == 0:
            took = time.monotonic() - began
        assert process.exitcode in (0, -signal.SIGKILL)
    harness.run()
    assert_merged_once(harness, delivered)


# --- the connection is lost at COMMIT ------------------------------------------------------------------------


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "not committed"])
def test_when_commit_fails_the_books_tell_whether_it_did(later: Harness, commits: bool) -> None:
    tries = []

    def in_doubt(run: Callable[[], list[int]]) -> list[int]:
        tries.append(run)
        if commits or len(tries) > 1:
            rows = run()
        if len(tries) == 1:
            raise WarehouseUnavailable("connection lost", where="commit")
        return rows

    with closing(open_warehouse(later.url)) as warehouse:
        counts = later.run(warehouse=FaultyWarehouse(warehouse, Faults(merging=in_doubt))).counts
    assert len(tries) == (1 if commits else 2)
    assert (counts.objects, counts.records) == (3, 9)
    assert_merged_once(later, FIRST + LATER)


@pytest.mark.parametrize("moment", list(Cut))
def test_a_connection_cut_at_commit_merges_once(postgres_url: str, tmp_path: Path, moment: Cut) -> None:
    harness = after_the_first(postgres_url, tmp_path)
    with proxy_to(urlsplit(postgres_url).port or 5432) as proxy:
        ambush = partial(proxy.cut_at, b"COMMIT", moment)
        url = through(proxy, postgres_url)
        with striking(harness, "record columns of customers", ambush, url=url) as options:
            counts = harness.run(**options).counts
        assert proxy.accepted > 1
    assert (counts.objects, counts.records) == (3, 9)
    assert_merged_once(harness, FIRST + LATER)


# --- the server's side ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["fence", "insert into orders", "record columns of customers"])
def test_a_worker_whose_backend_is_ended_tries_again_by_itself(postgres_url: str, tmp_path: Path, at: str) -> None:
    harness = after_the_first(postgres_url, tmp_path)
    with striking(harness, at, lambda: end_merges(postgres_url)) as options:
        counts = harness.run(**options).counts
    assert (counts.objects, counts.records) == (3, 9)
    assert_merged_once(harness, FIRST + LATER)


def test_a_worker_whose_backend_is_ended_each_time_gives_up_and_the_next_run_recovers(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.worker._ONCE_TRIES", 0)
    harness = after_the_first(postgres_url, tmp_path)
    before = contents(harness)
    with (
        striking(harness, "record batch", lambda: end_merges(postgres_url), once=False) as options,
        pytest.raises(WarehouseUnavailable),
    ):
        harness.run(**options)
    assert contents(harness) == before
    assert harness.run().counts.records == 9
    assert_merged_once(harness, FIRST + LATER)


@pytest.mark.parametrize("at", ["insert into orders", "record columns of customers"])
def test_a_worker_outlives_a_crash_of_the_server(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, at: str
) -> None:
    def crash() -> None:
        postgres.crash()
        postgres.restart()

    harness = after_the_first(postgres_url, tmp_path)
    with striking(harness, at, crash) as options:
        counts = harness.run(**options).counts
    assert (counts.objects, counts.records) == (3, 9)
    assert_merged_once(harness, FIRST + LATER)


def test_after_a_crash_of_the_server_that_lasted_the_next_run_recovers(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.worker._ONCE_TRIES", 0)
    harness = after_the_first(postgres_url, tmp_path)
    with striking(harness, "insert tombstones", postgres.crash) as options, pytest.raises(Transient):
        harness.run(**options)
    postgres.restart()
    assert harness.run().counts.records == 9
    assert_merged_once(harness, FIRST + LATER)
