"""One worker merges a source at a time, and one that lost its lease commits nothing, whether it noticed or not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from cdc_merge.beside import beside_merges
from cdc_merge.errors import LeaseLost, WarehouseUnavailable
from cdc_merge.lease import Lease, Leases, process_is_alive
from cdc_merge.migrate import Migrator, metadata_names
from cdc_merge.warehouses import Session, Statement, Warehouse, open_warehouse

SCHEMA = "cdc_merge"
METADATA = metadata_names(SCHEMA)
EXPIRED_AT_ONCE = 0.0


def migrated(url: str, **options: object) -> Warehouse:
    warehouse = open_warehouse(url, **options)  # type: ignore[arg-type]
    with warehouse.session() as session:
        Migrator(warehouse, SCHEMA).apply(session)
    return warehouse


@pytest.fixture
def warehouse(warehouse_url: str) -> Iterator[Warehouse]:
    warehouse = migrated(warehouse_url)
    yield warehouse
    warehouse.close()


def leases(
    warehouse: Warehouse, holder: str, *, ttl: float = 60.0, alive: bool = True, token: str | None = None
) -> Leases:
    options = {"new_token": lambda: token} if token else {}
    return Leases(METADATA, warehouse.dialect, ttl=ttl, holder=holder, is_alive=lambda _holder: alive, **options)


def held(session: Session, warehouse: Warehouse) -> list[tuple[str, str]]:
    table = warehouse.dialect.quote(*METADATA["leases"].parts)
    return [(s, h) for s, h in session.query(f"SELECT source, holder FROM {table} ORDER BY source")]


def taken(leases: Leases, session: Session, source: str = "orders") -> Lease:
    lease = leases.acquire(session, source)
    assert lease is not None
    return lease


def test_a_free_source_is_taken_and_a_held_one_is_not(warehouse: Warehouse) -> None:
    a, b = leases(warehouse, "one:1"), leases(warehouse, "two:1")
    with warehouse.session() as session:
        lease = taken(a, session)
        assert b.acquire(session, "orders") is None
        assert a.acquire(session, "orders") is None
        assert taken(b, session, "customers")
        assert a.renew(session, lease) == lease
        assert held(session, warehouse) == [("customers", "two:1"), ("orders", "one:1")]


def test_a_released_source_is_free(warehouse: Warehouse) -> None:
    a, b = leases(warehouse, "one:1"), leases(warehouse, "two:1")
    with warehouse.session() as session:
        lease = taken(a, session)
        a.release(session, lease)
        assert held(session, warehouse) == []
        mine = taken(b, session)
        a.release(session, lease)
        b.renew(session, mine)


def test_an_expired_lease_is_taken_over_and_its_holder_learns_it(warehouse: Warehouse) -> None:
    a, b = leases(warehouse, "one:1", ttl=EXPIRED_AT_ONCE), leases(warehouse, "two:1")
    with warehouse.session() as session:
        lease = taken(a, session)
        taken(b, session)
        with pytest.raises(LeaseLost) as caught:
            a.renew(session, lease)
        assert caught.value.where == "source orders"
        assert held(session, warehouse) == [("orders", "two:1")]


def test_renewing_puts_the_expiry_off(warehouse: Warehouse) -> None:
    brief, long = leases(warehouse, "one:1", ttl=EXPIRED_AT_ONCE), leases(warehouse, "one:1")
    with warehouse.session() as session:
        long.renew(session, taken(brief, session))
        assert leases(warehouse, "two:1").acquire(session, "orders") is None


def test_a_lease_of_a_process_that_is_gone_is_taken_over_on_its_own_host_only(warehouse: Warehouse) -> None:
    with warehouse.session() as session:
        taken(leases(warehouse, "one:11"), session)
        assert leases(warehouse, "two:12", alive=False).acquire(session, "orders") is None
        assert leases(warehouse, "one:12", alive=True).acquire(session, "orders") is None
        taken(leases(warehouse, "one:12", alive=False), session)
        assert held(session, warehouse) == [("orders", "one:12")]


def test_a_restarted_container_takes_back_what_its_former_life_held(warehouse: Warehouse) -> None:
    """Same host name and pid 1 again, but the token is none that this process knows."""
    table = warehouse.dialect.quote(*METADATA["leases"].parts)
    hour = "CURRENT_TIMESTAMP + INTERVAL '1 hour'"
    former = f"INSERT INTO {table} VALUES ('orders', 'pod:1', 'former', CURRENT_TIMESTAMP, {hour})"
    with warehouse.session() as session:
        session.run([Statement("former life", former)])
        taken(leases(warehouse, "pod:1"), session)


def test_two_workers_in_one_process_do_not_take_each_other_for_a_former_life(warehouse: Warehouse) -> None:
    with warehouse.session() as session:
        taken(leases(warehouse, "one:1"), session)
        assert leases(warehouse, "one:1").acquire(session, "orders") is None


def test_a_process_that_has_ended_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert not process_is_alive(f"host:{child.pid}")
    assert process_is_alive(f"host:{os.getpid()}")
    assert process_is_alive("ho:st:1")


def test_a_merge_whose_lease_was_taken_over_commits_nothing(warehouse: Warehouse) -> None:
    rows = warehouse.dialect.quote(warehouse.dialect.default_schema, "merged")
    stalled, other = leases(warehouse, "one:1", ttl=EXPIRED_AT_ONCE), leases(warehouse, "two:1")

    def merge(session: Session, of: Leases, lease: Lease, worker: str) -> None:
        session.run([of.fence(lease), Statement("insert", f"INSERT INTO {rows} VALUES ('{worker}')")])

    with warehouse.session() as session:
        session.run([Statement("create", f"CREATE TABLE {rows} (worker text)")])
        lease = taken(stalled, session)
        merge(session, stalled, lease, "before it stalled")
        merge(session, other, taken(other, session), "the new one")
        with pytest.raises(LeaseLost):
            merge(session, stalled, lease, "the stalled one")
        assert session.query(f"SELECT worker FROM {rows} ORDER BY worker") == [("before it stalled",), ("the new one",)]


def test_a_takeover_while_the_lease_is_given_back_does_not_lose_its_row(tmp_path: Path) -> None:
    """On DuckDB, where an UPDATE and a DELETE of one row do not conflict."""
    url = f"duckdb:///{tmp_path}/w.duckdb"
    plain = migrated(url)
    outcomes: list[object] = []

    def take_over(label: str, _seconds: float) -> None:
        with plain.session() as session:
            if label == "release lease":
                with suppress(WarehouseUnavailable):
                    outcomes.append(leases(plain, "one:2", alive=False).acquire(session, "orders"))

    releasing = open_warehouse(url, observer=take_over)
    a = leases(releasing, "one:1")
    with releasing.session() as session:
        a.release(session, taken(a, session))
        assert outcomes == []
        assert held(session, plain) == []


def test_two_racing_for_a_free_or_expired_source_get_it_once(postgres_url: str) -> None:
    at_the_gate = threading.Barrier(4)
    warehouse = migrated(postgres_url)

    def race(worker: int, source: str) -> Lease | None:
        with warehouse.session() as session:
            at_the_gate.wait()
            return leases(warehouse, f"host{worker}:1").acquire(session, source)

    with ThreadPoolExecutor(4) as pool:
        for n in range(5):
            with warehouse.session() as session:
                taken(leases(warehouse, "former:1", ttl=EXPIRED_AT_ONCE), session, f"expired {n}")
            for source in (f"free {n}", f"expired {n}"):
                won = [lease for lease in pool.map(race, range(4), [source] * 4) if lease]
                assert len(won) == 1
    warehouse.close()


@pytest.mark.parametrize("ending", ["commits", "breaks off"])
def test_a_takeover_waits_for_the_open_merge_and_never_overlaps_it(postgres_url: str, ending: str) -> None:
    """A expired while its merge is open: B's takeover waits for A's row, then finds it renewed, or gets it."""
    in_merge, may_end = threading.Event(), threading.Event()

    def stall(label: str, _seconds: float) -> None:
        if label == "insert":
            in_merge.set()
            may_end.wait()
            if ending == "breaks off":
                raise KeyboardInterrupt

    plain = migrated(postgres_url)
    stalling = open_warehouse(postgres_url, observer=stall)
    b = leases(plain, "two:1")

    def merge_of_a() -> None:
        with stalling.session() as session:
            lease = taken(leases(stalling, "one:1", ttl=EXPIRED_AT_ONCE), session)
            insert = Statement("insert", "INSERT INTO public.merged VALUES ('a')")
            session.run([leases(stalling, "one:1").fence(lease), insert])

    def takeover_by_b() -> Lease | None:
        with plain.session() as session:
            return b.acquire(session, "orders")

    with ThreadPoolExecutor(2) as pool:
        with plain.session() as session:
            session.run([Statement("create", "CREATE TABLE public.merged (worker text)")])
        merging = pool.submit(merge_of_a)
        in_merge.wait()
        taking = pool.submit(takeover_by_b)
        with plain.session() as session:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            while not session.query(waiting):
                assert not taking.done()
            may_end.set()
            if ending == "commits":
                merging.result()
                assert taking.result() is None
                assert session.query("SELECT worker FROM public.merged") == [("a",)]
            else:
                assert isinstance(merging.exception(), KeyboardInterrupt)
                assert taking.result() is not None
                assert session.query("SELECT worker FROM public.merged") == []
    plain.close()
    stalling.close()


def test_a_lease_is_given_back_though_another_locks_it_for_a_moment(tmp_path: Path) -> None:
    """On DuckDB that is a conflict, where others wait."""
    url = f"duckdb:///{tmp_path}/w.duckdb"
    warehouse, locked, refused = migrated(url), threading.Event(), threading.Event()

    class Watched(Leases):
        def release(self, session: Session, lease: Lease) -> None:
            try:
                super().release(session, lease)
            except WarehouseUnavailable:
                refused.set()
                raise

    def hold_on(label: str, _seconds: float) -> None:
        if label == "lock":
            locked.set()
            assert refused.wait(10)

    def lock_for_a_moment() -> None:
        with open_warehouse(url, observer=hold_on).session() as other:
            other.run([Statement("lock", "UPDATE cdc_merge.leases SET renewed_at = now()")])

    watched = Watched(METADATA, warehouse.dialect, ttl=60.0, holder="one:1", is_alive=lambda _holder: True)
    with ThreadPoolExecutor(1) as pool, warehouse.session() as session:
        with beside_merges(warehouse, watched, "orders", session=session):
            locking = pool.submit(lock_for_a_moment)
            assert locked.wait(10)
        locking.result()
        assert held(session, warehouse) == []
    warehouse.close()
