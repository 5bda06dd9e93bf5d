"""Reconciles that `run` makes by itself: when they are due, with what, and that merging never suffers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc_merge.errors import LeaseLost, StoreDenied, StoreUnavailable
from cdc_merge.exports.finder import find_export
from cdc_merge.metrics import Metrics
from cdc_merge.model import ReconcilePolicy, Source, Target
from cdc_merge.reconcile.history import Reconciled
from cdc_merge.reconcile.inputs import items_of
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.reconcile.schedule import Schedule, ScheduledReconciles
from cdc_merge.reconcile.snapshot import Items
from cdc_merge.stopping import NotOurs, Stop
from cdc_merge.turns import Turns
from cdc_merge.warehouses import Statement
from cdc_merge.worker import Worker
from tests.support.exports import write_export
from tests.support.harness import Harness
from tests.support.records import stream_record, to_item

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVERY = 3600.0
POLICY = ReconcilePolicy(every=EVERY, max_delete=0.5)
SOURCE = Source("shop", "", ("PK",), (Target("shop"),), poll=0.02, reconcile=POLICY)


@dataclass
class Scene:
    """A source with exports, and a worker that holds its lease; the clock stands until it is moved."""

    shop: Harness
    exports: Path
    now: datetime = T0 + 2 * HOUR
    metrics: Metrics = field(default_factory=Metrics)
    _worker: Worker | None = None

    def clock(self) -> datetime:
        return self.now

    def put(self, *keys: str, sequence: int = 1) -> None:
        self.shop.put_records([stream_record({"PK": k}, {"PK": k}, sequence=sequence, at=T0) for k in keys])

    def export(self, *keys: str, as_of: datetime) -> Path:
        self.exports.mkdir(exist_ok=True)
        return write_export(self.exports, [to_item({"PK": k}) for k in keys], as_of=as_of, key=("PK",))

    def worker(self, **options: Any) -> Worker:
        self._worker = self.shop.worker(metrics=self.metrics, clock=self.clock, **options)
        return self._worker

    def reconciles(self, policy: ReconcilePolicy = POLICY) -> ScheduledReconciles:
        """As a worker has them that holds the lease."""
        worker = self.worker()
        worker.prepare()
        assert worker.sources[0].hold_lease()
        return ScheduledReconciles(
            replace(self.shop.source, reconcile=policy),
            reconciler=Reconciler(self.shop.settings, warehouse=worker.warehouse, stop=worker.stop, clock=self.clock),
            warehouse=worker.warehouse,
            layout=worker.layout,
            metrics=self.metrics,
            stop=worker.stop,
            clock=self.clock,
            holds_lease=worker.sources[0].holds_lease,
            turn=worker.sources[0].hold_back_merges,
        )

    def close(self) -> None:
        if self._worker:
            self._worker.close()

    def books(self) -> list[datetime]:
        """The times of the exports that were reconciled with."""
        rows = self.shop.query(f"SELECT as_of FROM {self.shop.metadata}.reconciliations ORDER BY finished_at")
        return [as_of for (as_of,) in rows]

    def metric(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(self.metrics.render().decode()):
            for sample in family.samples:
                if sample.name == f"cdc_merge_{name}" and sample.labels == {"source": "shop", **labels}:
                    return float(sample.value)
        return None


@pytest.fixture
def scene(warehouse_url: str, tmp_path: Path) -> Any:
    source = replace(SOURCE, exports=f"file://{tmp_path}/exports")
    scene = Scene(Harness(warehouse_url, source, tmp_path / "feed"), tmp_path / "exports")
    yield scene
    scene.close()


@pytest.fixture
def local(tmp_path: Path) -> Any:
    """The same on DuckDB alone, for what the engine has no part in."""
    source = replace(SOURCE, exports=f"file://{tmp_path}/exports")
    scene = Scene(Harness(f"duckdb:///{tmp_path}/w.duckdb", source, tmp_path / "feed"), tmp_path / "exports")
    yield scene
    scene.close()


# --- when it is due ---------------------------------------------------------------------------------------


def reconciled(finished_at: datetime) -> Reconciled:
    return Reconciled("", "export", finished_at - HOUR, finished_at, {})


def test_it_is_due_at_once_at_first_and_then_when_the_time_has_passed_since_the_last_in_the_books() -> None:
    schedule = Schedule(EVERY)
    assert schedule.due(None) is None
    assert schedule.due(reconciled(T0)) == T0 + HOUR


@pytest.mark.parametrize(
    ("error", "wait"),
    [(StoreDenied("no"), HOUR), (StoreUnavailable("busy"), HOUR / 4)],
)
def test_after_a_failure_it_waits_as_long_as_the_error_asks(error: Exception, wait: timedelta) -> None:
    schedule = Schedule(EVERY)
    schedule.failed(T0, error)
    assert schedule.due(None) == T0 + wait
    assert schedule.due(reconciled(T0 + HOUR)) == T0 + 2 * HOUR


# --- what it reconciles with ------------------------------------------------------------------------------


def test_the_newest_export_is_taken_once_and_a_restart_repeats_nothing(scene: Scene) -> None:
    scene.put("a", "b")
    scene.shop.run()
    scene.export("a", "c", as_of=T0 + HOUR)
    reconciles = scene.reconciles()
    assert reconciles.attend() == 0.0
    assert scene.books() == [T0 + HOUR]
    assert {key for (key,) in scene.shop.tables()["shop"]} == {"a", "c"}
    assert reconciles.attend() == 60.0
    scene.close()
    scene.export("d", "a", "c", as_of=T0 + HOUR + HOUR / 2)
    again = scene.reconciles()
    assert again.attend() == 60.0
    assert scene.books() == [T0 + HOUR]
    scene.now += HOUR
    again.attend()
    assert scene.books() == [T0 + HOUR, T0 + HOUR + HOUR / 2]


def test_the_metrics_tell_what_the_last_reconcile_found_whoever_made_it(scene: Scene) -> None:
    scene.put("a", "b")
    scene.shop.run()
    folder = scene.export("a", "c", "d", as_of=T0 + HOUR)
    other = Reconciler(scene.shop.settings, clock=scene.clock)
    other.reconcile("shop", str(folder))
    other.close()
    assert scene.reconciles().attend() == 60.0
    assert scene.metric("reconciled_timestamp_seconds") == scene.now.timestamp()
    floor = T0 + HOUR - timedelta(minutes=2)
    assert scene.metric("verified_through_timestamp_seconds", target="shop") == floor.timestamp()
    found = {v: scene.metric("drift_rows", target="shop", verdict=v) for v in ("missing", "extra", "different")}
    assert found == {"missing": 2, "extra": 1, "different": 0}


def test_without_a_newer_export_it_looks_again_soon(local: Scene) -> None:
    local.export("a", as_of=T0 + HOUR)
    reconciles = local.reconciles()
    reconciles.attend()
    local.now += 2 * HOUR
    assert reconciles.attend() == 0.0
    assert reconciles.attend() == 60.0
    local.export("a", as_of=T0 + 2 * HOUR)
    local.now += timedelta(minutes=5)
    reconciles.attend()
    assert local.books() == [T0 + HOUR, T0 + 2 * HOUR]


def test_without_every_it_only_tells_the_metrics(local: Scene) -> None:
    local.export("a", as_of=T0 + HOUR)
    assert local.reconciles(ReconcilePolicy()).attend() == 60.0
    assert local.books() == []


def requested(scene: Scene, tokens: list[str], *, error: Exception | None = None) -> Callable[..., Items]:
    def stand_in(source: Source, table: str, *, token: str, **_: Any) -> Items:
        tokens.append(token)
        if error:
            raise error
        folder = scene.export("r", as_of=scene.now - timedelta(minutes=10))
        return items_of(find_export(None, str(folder), source=source.name))

    return stand_in


def asking(scene: Scene) -> ScheduledReconciles:
    scene.shop.source = replace(scene.shop.source, table="ecommerce")
    return scene.reconciles(replace(POLICY, request=True))


def test_an_export_is_requested_where_none_is_newer(local: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[str] = []
    monkeypatch.setattr("cdc_merge.reconcile.schedule.requested_items", requested(local, tokens))
    local.export("r", as_of=T0 + HOUR)
    reconciles = asking(local)
    reconciles.attend()
    assert tokens == []
    local.now += HOUR
    reconciles.attend()
    assert len(tokens) == 1
    assert local.books() == [T0 + HOUR, local.now - timedelta(minutes=10)]


def test_an_interrupted_request_is_taken_up_and_a_failed_one_is_made_anew(
    local: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: list[str] = []
    reconciles = asking(local)
    for error in (StoreUnavailable("busy"), StoreUnavailable("busy"), StoreDenied("FAILED"), None):
        monkeypatch.setattr("cdc_merge.reconcile.schedule.requested_items", requested(local, tokens, error=error))
        reconciles.attend()
        local.now += HOUR
        if len(tokens) == 1:  # a restart
            local.close()
            reconciles = asking(local)
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]
    assert len(local.books()) == 1


# --- refused, failed, not ours ----------------------------------------------------------------------------


def test_a_refused_reconcile_is_told_and_tried_again_when_it_is_due_again(
    local: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    local.put("a", "b", "c")
    local.shop.run()
    local.export("z", as_of=T0 + HOUR)
    reconciles = local.reconciles()
    for _ in range(3):
        reconciles.attend()
    assert local.metric("reconciles_total", outcome="refused") == 1
    assert [r.getMessage() for r in caplog.records if "reconcile_refused" in r.getMessage()]
    assert len(local.shop.tables()["shop"]) == 3
    local.export("a", "b", "c", as_of=T0 + HOUR + HOUR / 2)
    local.now += HOUR
    reconciles.attend()
    assert local.metric("reconciles_total", outcome="done") == 1


def test_instead_of_a_refused_export_a_new_one_is_requested(local: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[str] = []
    monkeypatch.setattr("cdc_merge.reconcile.schedule.requested_items", requested(local, tokens))
    local.put("a", "b", "r")
    local.shop.run()
    local.export("z", as_of=T0 + HOUR)
    reconciles = asking(local)
    reconciles.attend()
    assert tokens == []
    local.now += HOUR
    reconciles.attend()
    assert len(tokens) == 1


def lose_a_data_file(folder: Path) -> None:
    sorted((folder / "data").iterdir())[0].unlink()


def damage_summary(folder: Path) -> None:
    (folder / "manifest-summary.json").write_bytes(b"{")


@pytest.mark.parametrize("harm", [lose_a_data_file, damage_summary])
@pytest.mark.parametrize("asks", [True, False])
def test_instead_of_a_broken_export_the_next_newest_is_taken(
    local: Scene, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None], asks: bool
) -> None:
    local.export("a", as_of=T0)
    local.export("a", as_of=T0 + HOUR / 2)
    broken = local.export("a", as_of=T0 + HOUR)
    harm(broken)
    (asking(local) if asks else local.reconciles()).attend()
    assert local.books() == [T0 + HOUR / 2]
    assert any("export_passed_over" in r.getMessage() and broken.name in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize("harm", [lose_a_data_file, damage_summary])
def test_instead_of_exports_that_are_all_broken_a_new_one_is_requested(
    local: Scene, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    tokens: list[str] = []
    for error in (StoreUnavailable("busy"), None):
        harm(local.export("a", as_of=T0 + HOUR))
        monkeypatch.setattr("cdc_merge.reconcile.schedule.requested_items", requested(local, tokens, error=error))
        if error:
            reconciles = asking(local)
        reconciles.attend()
        local.now += HOUR / 4
    assert len(tokens) == 2
    assert local.books() == [T0 + 2 * HOUR + HOUR / 4 - timedelta(minutes=10)]


@pytest.mark.parametrize("harm", [lose_a_data_file, damage_summary])
def test_a_broken_export_is_refused_until_it_is_whole(local: Scene, harm: Callable[[Path], None]) -> None:
    folder = local.export("a", as_of=T0 + HOUR)
    harm(folder)
    reconciles = local.reconciles()
    reconciles.attend()
    assert local.metric("reconciles_total", outcome="refused") == 1
    local.export("a", as_of=T0 + HOUR)  # copied again
    local.now += HOUR
    reconciles.attend()
    assert local.books() == [T0 + HOUR]


def test_the_export_of_the_last_reconcile_is_not_read_again(local: Scene) -> None:
    folder = local.export("a", as_of=T0 + HOUR)
    reconciles = local.reconciles()
    reconciles.attend()
    damage_summary(folder)
    local.now += 2 * HOUR
    reconciles.attend()
    assert local.metric("reconciles_total", outcome="refused") in (None, 0)


@pytest.mark.parametrize("error", [StoreDenied("no such bucket"), StoreUnavailable("busy"), KeyError("itemCount")])
def test_a_fault_is_told_and_counted(local: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("cdc_merge.reconcile.schedule.newest_complete", failing)
    reconciles = local.reconciles()
    assert reconciles.attend() == 0.0
    assert reconciles.attend() == 60.0
    assert local.metric("reconciles_total", outcome="failed") == 1


def test_a_standby_reconciles_nothing(local: Scene) -> None:
    local.export("a", as_of=T0 + HOUR)
    reconciles = local.reconciles()
    local.close()
    assert reconciles.attend() == 1.0
    assert local.books() == []


def test_a_worker_that_loses_the_source_meanwhile_drops_its_reconcile(
    local: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.export("a", as_of=T0 + HOUR)
    reconciles = local.reconciles()
    fetched = find_export

    def taken_over(*arguments: Any, **options: Any) -> Any:
        local.close()
        return fetched(*arguments, **options)

    monkeypatch.setattr("cdc_merge.reconcile.schedule.find_export", taken_over)
    with pytest.raises(NotOurs):
        reconciles.attend()
    assert local.books() == []


def test_the_transaction_of_a_worker_whose_source_was_taken_over_fails(scene: Scene) -> None:
    scene.reconciles()
    assert scene._worker
    source, warehouse = scene._worker.sources[0], scene._worker.warehouse
    with warehouse.session() as session:
        session.run([Statement("by hand", f"UPDATE {scene.shop.metadata}.leases SET token = 'theirs'")])
    with pytest.raises(LeaseLost), source.hold_back_merges() as fence, warehouse.session() as session:
        session.run([fence])


# --- beside the merges ------------------------------------------------------------------------------------


def running(worker: Worker) -> threading.Thread:
    thread = threading.Thread(target=worker.run)
    thread.start()
    return thread


class Bell(Metrics):
    """Metrics that ring when a reconcile has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.rung = threading.Event()

    def reconciled(self, source: str, at: datetime, drifts: Mapping[str, Mapping[str, int]]) -> None:
        super().reconciled(source, at, drifts)
        self.rung.set()


def test_run_reconciles_beside_its_merges(scene: Scene) -> None:
    scene.metrics = bell = Bell()
    scene.put("a", "b")
    scene.export("a", "b", "c", as_of=T0 + HOUR)
    worker = scene.worker()
    thread = running(worker)
    assert bell.rung.wait(30)
    scene.put("late", sequence=2)  # it is of before the floor
    worker.stop.request()
    thread.join()
    assert {key for (key,) in scene.shop.tables()["shop"]} == {"a", "b", "c"}
    assert scene.shop.run().counts.stale == 1
    assert scene.metric("reconciles_total", outcome="done") == 1


def test_run_once_only_merges(local: Scene) -> None:
    local.put("a")
    local.export("a", as_of=T0 + HOUR)
    local.shop.run()
    assert local.books() == []


def test_a_stop_drops_a_reconcile_that_is_being_decoded(local: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    local.export("a", as_of=T0 + HOUR)
    worker = local.worker()
    dropped = threading.Event()

    def decoding(*_: Any, check: Callable[[], None], **__: Any) -> None:
        worker.stop.request()
        try:
            check()
        finally:
            dropped.set()

    monkeypatch.setattr("cdc_merge.reconcile.preparation.take_snapshot", decoding)
    thread = running(worker)
    thread.join(30)
    assert not thread.is_alive()
    assert dropped.is_set()
    assert local.books() == []


def test_a_stop_breaks_off_a_reconcile_whose_transaction_hangs(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.stopping.STOP_GRACE_SECONDS", 0.1)
    source = replace(SOURCE, exports=f"file://{tmp_path}/exports")
    scene = Scene(Harness(postgres_url, source, tmp_path / "feed"), tmp_path / "exports")
    scene.put("a")
    scene.shop.run()
    scene.export("a", as_of=T0 + HOUR)
    worker = scene.worker()
    with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {scene.shop.schema}.shop IN ACCESS EXCLUSIVE MODE")
        thread = running(worker)
        while not scene.shop.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert thread.is_alive()
        worker.stop.request()
        thread.join(30)
        assert not thread.is_alive()
    assert scene.books() == []


def test_merges_and_a_reconcile_take_turns() -> None:
    turns, stop, has_turn = Turns(), Stop(), threading.Event()

    def reconcile() -> None:
        with turns.reconcile(stop.check):
            has_turn.set()
            stop.wait(30)

    with turns.merge() as is_theirs:
        assert is_theirs
        thread = threading.Thread(target=reconcile)
        thread.start()
        while True:  # no merge overtakes a reconcile that waits
            with turns.merge() as is_another:
                if not is_another and turns._is_wanted:
                    break
        assert not has_turn.is_set()
    assert has_turn.wait(30)
    with turns.merge() as is_theirs:
        assert not is_theirs
    stop.request()
    thread.join()
    with turns.merge() as is_theirs:
        assert is_theirs
