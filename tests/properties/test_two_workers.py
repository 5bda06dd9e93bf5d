"""Two workers on one source: each object is merged once, whether the lease keeps them apart or fails to."""

from __future__ import annotations

import signal
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cdc_merge.errors import Transient
from cdc_merge.lease import Lease, Leases
from cdc_merge.preparing import Job
from cdc_merge.warehouses import Session, Statement, open_warehouse
from tests.properties.story import assert_merged_once, change, many, put, shop
from tests.support.faults import start_worker
from tests.support.working import PATIENCE, deliver_slowly, ledger, running, wait_until

OBJECTS = many(12)


def test_two_workers_merge_each_object_once(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, objects=2, poll=0.02)
    with running(harness):
        deliver_slowly(harness, OBJECTS)
        wait_until(lambda: ledger(harness) == len(OBJECTS))
    assert_merged_once(harness, OBJECTS)


def test_two_processes_merge_each_object_once(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, objects=4, poll=0.1)
    processes = [start_worker(harness.settings, once=False) for _ in range(2)]
    deliver_slowly(harness, OBJECTS)
    wait_until(lambda: ledger(harness) == len(OBJECTS))
    for process in processes:
        process.kill()
        process.join()
    assert_merged_once(harness, OBJECTS)


def test_a_standby_takes_over_at_once_when_the_holder_is_killed(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, objects=2, poll=0.1)
    put(harness, OBJECTS[:4])
    holder = start_worker(harness.settings, once=False)
    wait_until(lambda: ledger(harness) == 4)
    with running(harness, 1):
        holder.kill()
        holder.join()
        assert holder.exitcode == -signal.SIGKILL
        put(harness, OBJECTS[4:])
        wait_until(lambda: ledger(harness) == len(OBJECTS))
    assert_merged_once(harness, OBJECTS)


def test_a_standby_takes_over_when_the_holder_has_stopped(warehouse_url: str, tmp_path: Path) -> None:
    harness = shop(warehouse_url, tmp_path, objects=2, poll=0.02)
    with running(harness, 2) as workers:
        put(harness, OBJECTS[:4])
        wait_until(lambda: ledger(harness) == 4)
        ((token,),) = harness.query(f"SELECT token FROM {harness.metadata}.leases")
        (holder,) = [w for w in workers if w.sources[0].held.lease and w.sources[0].held.lease.token == token]
        holder.stop.request()
        put(harness, OBJECTS[4:])
        wait_until(lambda: ledger(harness) == len(OBJECTS))
    assert_merged_once(harness, OBJECTS)


# --- the lease fails -----------------------------------------------------------------------------------------


class TakenAtOnce(Leases):
    """Whoever asks gets the lease, held or not."""

    def acquire(self, session: Session, source: str) -> Lease | None:
        session.run([Statement("drop lease", f"DELETE FROM {self._table} WHERE {self._is_of(source)}")])
        return super().acquire(session, source)


class NeverWritten(Leases):
    """Whoever asks is told yes, and nothing is written."""

    def acquire(self, session: Session, source: str) -> Lease | None:
        return Lease(source, self._holder, self._new_token())


class Shared(Leases):
    """Whoever asks has the lease of whoever asked before."""

    def acquire(self, session: Session, source: str) -> Lease | None:
        self._new_token = lambda: "one for all"
        return super().acquire(session, source) or Lease(source, self._holder, "one for all")


@pytest.mark.parametrize(("leases", "poll"), [(TakenAtOnce, 0.3), (Shared, 0.02)])
def test_two_workers_that_both_believe_they_hold_the_lease_merge_each_object_once(
    warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leases: type[Leases], poll: float
) -> None:
    harness = shop(warehouse_url, tmp_path, objects=4, poll=poll)
    put(harness, OBJECTS[:4])
    harness.run()  # the tables are there: two that create one do collide, and one of them stops with an error
    monkeypatch.setattr("cdc_merge.open_warehouse.Leases", leases)
    with running(harness):
        deliver_slowly(harness, OBJECTS[4:])
        wait_until(lambda: ledger(harness) == len(OBJECTS))
    assert_merged_once(harness, OBJECTS)


def test_merges_of_two_workers_never_overlap_even_if_both_hold_the_lease(
    warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A has looked and found nothing of the key; B must not commit its REMOVE before A writes the older row."""
    objects = [[change("first", 1, Type="Customer")], [change("k", 2, Type="Customer")], [change("k", 3)]]
    harness = shop(warehouse_url, tmp_path)
    put(harness, objects[:1])
    harness.run()
    put(harness, objects[1:])
    monkeypatch.setattr("cdc_merge.open_warehouse.Leases", Shared)

    def merge_the_remove() -> None:
        with suppress(Transient):  # DuckDB refuses where Postgres waits
            b.sources[0].merge_job(Job((remove,)))

    def let_b_try(label: str, _seconds: float) -> None:
        if label == "resolve":
            trying.start()
            trying.join(1.0)

    trying = threading.Thread(target=merge_the_remove)
    with closing(open_warehouse(warehouse_url, observer=let_b_try)) as warehouse:
        a, b = harness.worker(warehouse=warehouse), harness.worker()
        _, upsert, remove = a.sources[0].store.list_page(start_after=None).objects
        a.sources[0].merge_job(Job((upsert,)))
        trying.join()
        a.close()
        b.close()
    harness.run()
    assert_merged_once(harness, objects)


def test_a_worker_whose_lease_was_never_written_merges_nothing(
    warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = shop(warehouse_url, tmp_path, poll=0.02)
    put(harness, OBJECTS)
    lost = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr("cdc_merge.open_warehouse.Leases", NeverWritten)
        patched.setattr("cdc_merge.health.Health.standing_by", lambda *_: lost.set())
        with running(harness, 1):
            assert lost.wait(PATIENCE)
    assert ledger(harness) == 0
    harness.run()
    assert_merged_once(harness, OBJECTS)
