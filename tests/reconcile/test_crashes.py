"""Cut a reconcile anywhere, or let others work beside it: all of it happens, once, or nothing does."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cdc_merge import Reconciler, Report
from cdc_merge.errors import Refused, Transient, WarehouseUnavailable
from cdc_merge.lease import Leases
from cdc_merge.model import ReconcilePolicy
from cdc_merge.preparing import Job
from cdc_merge.warehouses import Observer, Warehouse, open_warehouse
from tests.properties.same import assert_same_item
from tests.properties.story import contents, many, put
from tests.support.exports import TypedItem, write_export
from tests.support.faults import COMMITTED, Faults, FaultyWarehouse, start_reconcile, start_worker
from tests.support.harness import Harness
from tests.support.model import expected
from tests.support.proxy import Cut, proxy_to
from tests.support.reconcile_model import ModelWarehouse
from tests.support.reconciling import AS_OF, CUSTOMER, MINUTE, ORDER, SOURCE, T0, change, counts, item
from tests.support.records import Record
from tests.support.working import deliver_slowly, end_merges, ledger, running, through, wait_until

RECORDS = [
    change("equal", 1, CUSTOMER),
    change("different", 2, CUSTOMER),
    change("extra", 3, CUSTOMER),
    change("newer", 4, CUSTOMER, minute=59),
    change("gone", 5),
    change("gone later", 6, minute=59),
    change("moved", 7, CUSTOMER),
]
ITEMS = [
    item("equal", CUSTOMER),
    item("different", {**CUSTOMER, "Name": "Bo"}),
    item("newer", {**CUSTOMER, "Name": "old"}),
    item("gone later", CUSTOMER),
    item("moved", ORDER),
    item("missing", {**CUSTOMER, "Age": 7}),
]
# Of the columns that are there: a table that is altered is locked by that alone.
PLAIN = [*ITEMS[:-1], item("missing", CUSTOMER)]
# In the order of a reconcile that repairs; of each kind one.
KINDS = [
    "fence",
    "look at floors",
    "hold schemas",
    "find newer",
    "compare customers",
    "count customers",
    "find causes in customers",
    "add customers.age",
    "record columns of customers",
    "delete from customers",
    "insert into customers",
    "insert into orders",
    "raise floor of customers",
    "collect tombstones",
    "record customers",
    "record orders",
]
LAST = KINDS[-1]
FOUND = (1, 1, 2, 1, 2, 4)  # in customers: equal, missing, extra, different, newer, repaired
OWN = {"take lease", "release lease", "lock lease"}  # statements with a transaction of their own


class CutHere(Exception):
    """Raised in mid-transaction."""


@pytest.fixture
def drifted(warehouse_url: str, tmp_path: Path) -> Harness:
    """Every verdict, a column to add and a tombstone to collect wait for a reconcile."""
    return drift(warehouse_url, tmp_path)


def drift(url: str, folder: Path) -> Harness:
    harness = Harness(url, SOURCE, folder / "feed")
    harness.put_records(RECORDS)
    harness.run()
    return harness


@pytest.fixture
def export(tmp_path: Path) -> str:
    return str(write_export(tmp_path / "exports", ITEMS, as_of=AS_OF, key=("PK",)))


@pytest.fixture
def plain_export(tmp_path: Path) -> str:
    return str(write_export(tmp_path / "plain", PLAIN, as_of=AS_OF, key=("PK",)))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reconcile tries again at once, as often as it takes."""
    monkeypatch.setattr("cdc_merge.patience.TRIES", 1_000)
    monkeypatch.setattr("cdc_merge.patience.LONGEST_WAIT_SECONDS", 0.05)


def reconcile(
    harness: Harness,
    export: str,
    *,
    observer: Observer | None = None,
    warehouse: Warehouse | None = None,
    **options: Any,
) -> Report:
    with closing(warehouse or open_warehouse(harness.url, observer=observer)) as mine:
        return Reconciler(harness.settings, warehouse=mine, **options).reconcile(harness.source.name, export)


def assert_reconciled(
    harness: Harness,
    *,
    items: Sequence[TypedItem] = ITEMS,
    later: Sequence[Sequence[Record]] = (),
    times: int = 1,
) -> None:
    """All is as after one reconcile and the batches of `later`, the books too; nobody has the lease."""
    model = ModelWarehouse(harness.source)
    model.merge(RECORDS)
    model.reconcile(items, as_of=AS_OF)
    for batch in later:
        model.merge(batch)
    for table, rows in harness.tables().items():
        wanted = model.tables[table]
        assert {k: (r.position, r.changed_at) for k, r in rows.items()} == {
            k: (r.position, r.changed_at) for k, r in wanted.items()
        }, table
        for key, row in rows.items():
            assert_same_item(row.item, wanted[key].item)
    assert harness.tombstones() == {key: known.position for key, known in model.tombstones.items()}
    m = harness.metadata
    assert dict(harness.query(f"SELECT target, floor_at FROM {m}.targets")) == model.floors
    written = harness.query(f"SELECT target, count(*), sum(repaired) FROM {m}.reconciliations GROUP BY 1 ORDER BY 1")
    assert [(t, int(n), int(r)) for t, n, r in written] == [("customers", times, 4), ("orders", times, 1)]
    assert_free(harness)


def assert_free(harness: Harness) -> None:
    assert harness.query(f"SELECT source FROM {harness.metadata}.leases") == []


# --- cut in mid-transaction ----------------------------------------------------------------------------------


def test_a_reconcile_that_loses_the_warehouse_after_any_of_its_statements_leaves_everything_as_it_was(
    drifted: Harness, export: str
) -> None:
    before = contents(drifted)
    done: list[str] = []
    cut_after = 0

    def cut_ever_later(label: str, _seconds: float) -> None:
        nonlocal cut_after
        if label in OWN:
            return
        if label == "fence":
            assert contents(drifted) == before, f"after {done[-1:]}"
            done.clear()
        done.append(label)
        if len(done) > cut_after:
            cut_after += 1
            raise WarehouseUnavailable("cut", where=label)

    report = reconcile(drifted, export, observer=cut_ever_later)

    assert sorted(label for label in done if label in KINDS) == sorted(KINDS)
    assert cut_after == len(done)
    assert counts(report, "customers") == FOUND
    assert_reconciled(drifted)


@pytest.mark.parametrize("kind", ["add customers.age", LAST])
def test_a_reconcile_that_ends_in_mid_transaction_leaves_nothing_and_gives_its_lease_back(
    drifted: Harness, export: str, kind: str
) -> None:
    before = contents(drifted)

    def cut(label: str, _seconds: float) -> None:
        if label == kind:
            raise CutHere

    with pytest.raises(CutHere):
        reconcile(drifted, export, observer=cut)
    assert contents(drifted) == before
    assert_free(drifted)
    reconcile(drifted, export)
    assert_reconciled(drifted)


@pytest.mark.parametrize("kind", ["take lease", "release lease"])
def test_a_reconcile_that_ends_beside_its_transaction_stands_in_nobodys_way(
    drifted: Harness, export: str, kind: str
) -> None:
    before = contents(drifted)

    def cut(label: str, _seconds: float) -> None:
        if label == kind:
            raise CutHere

    with pytest.raises(CutHere):
        reconcile(drifted, export, observer=cut)
    if kind == "take lease":
        assert contents(drifted) == before
    reconcile(drifted, export)
    assert_reconciled(drifted, times=1 if kind == "take lease" else 2)


@pytest.mark.parametrize("tries", [1, 3])
def test_a_reconcile_that_loses_the_warehouse_while_it_stages_stages_anew(
    drifted: Harness, export: str, tries: int
) -> None:
    before = contents(drifted)
    left = tries

    def cut(_table: str) -> None:
        nonlocal left
        if left:
            left -= 1
            assert contents(drifted) == before
            raise WarehouseUnavailable("cut", where="stage")

    report = reconcile(drifted, export, warehouse=FaultyWarehouse(open_warehouse(drifted.url), Faults(staged=cut)))
    assert left == 0
    assert counts(report, "customers") == FOUND
    assert_reconciled(drifted)


def test_a_reconcile_that_ends_while_it_stages_leaves_nothing(drifted: Harness, export: str) -> None:
    before = contents(drifted)

    def cut(_table: str) -> None:
        raise CutHere

    with pytest.raises(CutHere):
        reconcile(drifted, export, warehouse=FaultyWarehouse(open_warehouse(drifted.url), Faults(staged=cut)))
    assert contents(drifted) == before
    assert_free(drifted)
    reconcile(drifted, export)
    assert_reconciled(drifted)


# --- the process is killed -----------------------------------------------------------------------------------


def check_killed(harness: Harness, export: str, moments: Sequence[str]) -> None:
    """Killed at each moment: nothing is left but by the last, and one plain reconcile goes on at once."""
    before = contents(harness)
    for moment in moments:
        process = start_reconcile(harness.settings, export, killed_after=moment)
        process.join()
        assert process.exitcode == -signal.SIGKILL, moment
        assert (contents(harness) == before) == (moment != COMMITTED), moment
    reconcile(harness, export)
    assert_reconciled(harness, times=2 if COMMITTED in moments else 1)


def test_a_reconcile_whose_process_is_killed_leaves_nothing_and_the_next_one_goes_on_at_once(
    drifted: Harness, export: str
) -> None:
    check_killed(
        drifted,
        export,
        ["staged _cdc_rows_1", "take lease", "compare customers", "insert into orders", LAST, COMMITTED],
    )


@pytest.mark.long
def test_a_reconcile_killed_after_any_kind_of_statement_leaves_nothing(drifted: Harness, export: str) -> None:
    check_killed(drifted, export, KINDS)


# --- the answer to COMMIT is lost ----------------------------------------------------------------------------


class LosesAnswers:
    """Commits a reconcile, does not say so, and then is away for so many more sessions."""

    def __init__(self, *, away: int) -> None:
        self._absence = away
        self._away = 0
        self.lost = 0

    def opening(self) -> None:
        if self._away:
            self._away -= 1
            raise WarehouseUnavailable("still away", where="connect")

    def committed(self, labels: Sequence[str]) -> None:
        if labels[-1] == LAST:
            self._away = self._absence
            self.lost += 1
            raise WarehouseUnavailable("connection lost", where="commit")


@pytest.mark.parametrize("away", [0, 3], ids=["back at once", "away for a while"])
def test_when_the_answer_to_commit_is_lost_the_books_tell_what_happened(
    drifted: Harness, export: str, away: int
) -> None:
    losses = LosesAnswers(away=away)
    faults = Faults(opening=losses.opening, committed=losses.committed)
    report = reconcile(drifted, export, warehouse=FaultyWarehouse(open_warehouse(drifted.url), faults))
    assert losses.lost == 1
    assert counts(report, "customers") == FOUND
    assert_reconciled(drifted)


def test_a_try_that_is_cut_short_after_the_answer_was_lost_does_not_speak_for_the_one_before(
    drifted: Harness, export: str
) -> None:
    losses, again = LosesAnswers(away=0), list[str]()

    def ambush(label: str, _seconds: float) -> None:
        if losses.lost and label == "fence" and not again:
            again.append(label)
            raise WarehouseUnavailable("lost again", where=label)

    faults = Faults(committed=losses.committed)
    report = reconcile(drifted, export, warehouse=FaultyWarehouse(open_warehouse(drifted.url, observer=ambush), faults))
    assert losses.lost == 1 and again
    assert counts(report, "customers") == FOUND
    assert_reconciled(drifted)


@pytest.mark.parametrize("moment", list(Cut))
def test_a_connection_cut_at_commit_reconciles_once(
    postgres_url: str, tmp_path: Path, export: str, moment: Cut
) -> None:
    harness = drift(postgres_url, tmp_path)
    cuts: list[Cut] = []
    with proxy_to(urlsplit(postgres_url).port or 5432) as proxy:

        def ambush(label: str, _seconds: float) -> None:
            if label == LAST and not cuts:
                cuts.append(moment)
                proxy.cut_at(b"COMMIT", moment)

        with closing(open_warehouse(through(proxy, postgres_url), observer=ambush)) as warehouse:
            report = reconcile(harness, export, warehouse=warehouse)
        assert proxy.accepted > 1
    assert counts(report, "customers") == FOUND
    assert_reconciled(harness)


def test_a_reconcile_that_loses_its_connection_for_good_gives_its_lease_back(
    postgres_url: str, tmp_path: Path, export: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.patience.TRIES", 1)
    harness = drift(postgres_url, tmp_path)
    before = contents(harness)

    def cut(label: str, _seconds: float) -> None:
        if label == "compare customers":
            end_merges(postgres_url)

    with pytest.raises(WarehouseUnavailable):
        reconcile(harness, export, observer=cut)
    assert contents(harness) == before
    assert_free(harness)


# --- others work at the same time ----------------------------------------------------------------------------


def beside(
    harness: Harness, at: str, work: Callable[[], object], *, patience: float = 30.0
) -> tuple[Observer, threading.Thread]:
    """Begins the work in another thread when a reconcile has done `at`, and lets it go on until it ends or waits."""
    thread = threading.Thread(target=work)

    def observe(label: str, _seconds: float) -> None:
        if label == at and thread.ident is None:
            thread.start()
            deadline = time.monotonic() + patience
            while thread.is_alive() and not is_waiting(harness) and time.monotonic() < deadline:
                thread.join(0.02)

    return observe, thread


def is_waiting(harness: Harness) -> bool:
    """Whether a session waits for a lock; DuckDB has no locks, it refuses."""
    return harness.url.startswith("postgres") and bool(
        harness.query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    )


def test_two_reconciles_at_the_same_time_repair_once(drifted: Harness, plain_export: str) -> None:
    reports: list[Report] = []
    observe, other = beside(
        drifted, "find newer", lambda: reports.append(reconcile(drifted, plain_export)), patience=1.0
    )

    mine = reconcile(drifted, plain_export, observer=observe)
    other.join()

    (theirs,) = reports
    assert counts(mine, "customers") == FOUND
    assert theirs.drifted == 0
    assert_reconciled(drifted, items=PLAIN, times=2)


def test_a_reconcile_that_was_overtaken_by_a_newer_one_is_refused(
    drifted: Harness, export: str, tmp_path: Path
) -> None:
    """Its floors were fine when it began to read the export."""
    for minute, items in ((3, ITEMS), (2, ITEMS[1:])):  # the first of them adds the column
        write_export(tmp_path / str(minute), items, as_of=AS_OF - minute * MINUTE, key=("PK",))
    reconcile(drifted, str(tmp_path / "3"))
    after: list[dict[str, list[str]]] = []

    def overtake(_read: int, _whole: int) -> None:
        reconcile(drifted, export)
        after.append(contents(drifted))

    with pytest.raises(Refused, match="older than what is verified"):
        reconcile(drifted, str(tmp_path / "2"), progress=overtake)
    assert [contents(drifted)] == after
    assert_free(drifted)


def test_columns_that_a_worker_adds_while_an_export_is_read_are_compared_too(drifted: Harness, export: str) -> None:
    new = [change("equal", 20, {**CUSTOMER, "Mood": "good"}, minute=30)]
    reads: list[int] = []

    def merge(_read: int, _whole: int) -> None:
        if not reads:
            drifted.put_records(new)
            drifted.run()
        reads.append(1)

    report = reconcile(drifted, export, progress=merge)

    assert len(reads) == 2  # it was decoded anew
    assert report.targets["customers"].columns == {"name": 1, "mood": 1}
    assert drifted.tables()["customers"][("equal",)].item == {"PK": "equal", **CUSTOMER}


# The first batch writes no row that the reconcile writes, so that nothing but the lease tells them of each other.
LATER = [
    [change("missing", 13, minute=61), change("never", 15, minute=2)],
    [
        change("different", 12, minute=61),
        change("missing", 11, CUSTOMER, minute=1),
        change("extra", 14, {**CUSTOMER, "Name": "late"}, minute=61),
        change("new", 16, ORDER, minute=62),
    ],
]


class Impatient(Leases):
    """Whoever asks takes the lease over, as if it had expired."""

    def _is_gone(self, holder: str, token: str) -> bool:
        return True


@pytest.mark.parametrize("holder", ["reconcile", "worker", "both"])
def test_a_worker_that_merges_in_the_midst_of_a_reconcile_comes_after_it(
    drifted: Harness, plain_export: str, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    """The reconcile has looked for newer changes and found none of these keys: none may be committed before it."""
    if holder == "both":
        monkeypatch.setattr("cdc_merge.open_warehouse.Leases", Impatient)
    put(drifted, LATER)
    worker = drifted.worker()
    worker.prepare()
    mine = worker.sources[0]
    _, *objects = mine.store.list_page(start_after=None).objects
    if holder == "worker":
        assert mine.hold_lease()

    def merge() -> None:
        with suppress(Transient):  # the reconcile has the lease; or DuckDB refuses where Postgres waits
            mine.merge_job(Job((objects[0],)))

    observe, other = beside(drifted, "find newer", merge)
    report = reconcile(drifted, plain_export, observer=observe)
    other.join()
    with suppress(Transient):
        mine.release_lease()
    worker.close()
    drifted.run()

    assert counts(report, "customers") == FOUND
    assert_reconciled(drifted, items=PLAIN, later=LATER)


# Changes 1 to 18 are at or before the export, which is exact, so there need be no margin.
OBJECTS = many(12)
HALF = 18
EXACT = replace(
    SOURCE, reconcile=ReconcilePolicy(margin=0.0, max_delete=1.0), batch=replace(SOURCE.batch, objects=2), poll=0.02
)


def state(records: Sequence[Record]) -> list[TypedItem]:
    """The items as they are after these changes."""
    items: dict[str, TypedItem | None] = {}
    for record in records:
        items[record["dynamodb"]["Keys"]["PK"]["S"]] = record["dynamodb"].get("NewImage")
    return [each for each in items.values() if each is not None]


@pytest.fixture
def half(tmp_path: Path) -> str:
    records = [record for each in OBJECTS for record in each][:HALF]
    at = T0.timestamp() + HALF
    return str(write_export(tmp_path / "half", state(records), as_of=T0.fromtimestamp(at, T0.tzinfo), key=("PK",)))


def assert_as_the_whole_history(harness: Harness) -> None:
    truth = expected([record for each in OBJECTS for record in each], harness.source)
    for table, rows in harness.tables().items():
        assert set(rows) == set(truth.tables[table])
        for key, row in rows.items():
            assert_same_item(row.item, truth.tables[table][key].item)


DELIVERED = [*OBJECTS[6:], *OBJECTS[3:6]]  # the first half came late, or never


def test_reconciles_and_workers_in_threads_end_in_the_truth(warehouse_url: str, tmp_path: Path, half: str) -> None:
    harness = Harness(warehouse_url, EXACT, tmp_path / "feed")
    with running(harness), ThreadPoolExecutor(2) as pool:
        delivering = pool.submit(partial(deliver_slowly, harness, DELIVERED))
        reports = [pool.submit(reconcile, harness, half) for _ in range(3)]
        delivering.result()
        wait_until(lambda: ledger(harness) == len(DELIVERED))
        assert len({report.result().as_of for report in reports}) == 1
    assert_as_the_whole_history(harness)
    assert_free(harness)


def test_reconciles_and_a_worker_of_another_process_end_in_the_truth(
    postgres_url: str, tmp_path: Path, half: str
) -> None:
    harness = Harness(postgres_url, EXACT, tmp_path / "feed")
    put(harness, DELIVERED[:1])
    process = start_worker(harness.settings, once=False)
    wait_until(lambda: ledger(harness) == 1)  # it has the lease
    with ThreadPoolExecutor(1) as pool:
        delivering = pool.submit(partial(deliver_slowly, harness, DELIVERED[1:]))
        while not delivering.done():
            reconcile(harness, half)
    reconcile(harness, half)
    wait_until(lambda: ledger(harness) == len(DELIVERED))
    process.kill()
    process.join()
    assert_as_the_whole_history(harness)
