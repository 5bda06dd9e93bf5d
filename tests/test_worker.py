"""The worker's loop: one source's fault, backlog or slowness is that source's own."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from cdc_merge.errors import (
    BatchTooLarge,
    DecodingFailed,
    LeaseLost,
    ObjectChanged,
    StoreUnavailable,
    UnknownAttributes,
    UsageError,
    WarehouseUnavailable,
)
from cdc_merge.feed.decode import decode
from cdc_merge.feed.directory import DirectoryStore
from cdc_merge.lease import LEASE_SECONDS
from cdc_merge.merger import Merger
from cdc_merge.model import BatchLimits, Column, ColumnType, Evolve, Kind, ObjectRef, Settings, Source, Target
from cdc_merge.preparing import Prepared
from cdc_merge.source_worker import SourceWorker
from cdc_merge.warehouses import Statement
from cdc_merge.warehouses.duckdb import DuckDBSession
from cdc_merge.warehouses.transaction import LEDGER_LABEL
from cdc_merge.worker import Worker
from tests.support.harness import Harness
from tests.support.records import Record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
FETCH = DirectoryStore.fetch


def put(key: str, sequence: int = 1, **attributes: Any) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0 + timedelta(seconds=sequence))


class Shop:
    """Two sources, `first` and `second`, of one warehouse."""

    def __init__(self, url: str, folder: Path, **options: Any) -> None:
        self.first, self.second = (
            Harness(url, replace(Source(name, "", ("PK",), (Target(name),)), **options), folder / name)
            for name in ("first", "second")
        )

    @property
    def settings(self) -> Settings:
        return replace(self.first.settings, sources=(self.first.source, self.second.source))

    def worker(self) -> Worker:
        return Worker(self.settings)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(f"duckdb:///{tmp_path}/w.duckdb", tmp_path, poll=0.02)


def failing(error: Exception) -> Callable[..., Any]:
    """`decode`, with an error that nobody foresaw in the source `first`."""

    def stand_in(*arguments: Any, source: Source, **options: Any) -> Any:
        if source.name == "first":
            raise error
        return decode(*arguments, source=source, **options)

    return stand_in


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (duckdb.OutOfMemoryException("too little"), "memory"),
        (duckdb.IOException("no space left on device"), "TMPDIR"),
        (duckdb.ConversionException("what is this: 'tom@example.com"), "report"),
        (pa.ArrowInvalid("offset overflow"), "report"),
        (KeyError("NewImage"), "report"),
        (ValueError(), "report"),
    ],
)
def test_an_error_nobody_foresaw_stops_its_source_and_no_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, hint: str
) -> None:
    key = shop.first.put_records([put("a")])
    shop.second.put_records([put("b")])
    monkeypatch.setattr("cdc_merge.preparing.decode", failing(error))
    totals = shop.worker().run_once()
    stopped = totals.stopped["first"]
    assert isinstance(stopped, DecodingFailed) and stopped.__cause__ is error
    assert type(error).__name__ in stopped.message and hint in (stopped.hint or "")
    assert stopped.where == f"source first, {key}" and "tom" not in str(stopped)
    assert totals.by_source["second"].applied == 1
    assert any(r.exc_info and r.exc_info[1] is error for r in caplog.records)


def test_what_stops_at_an_attribute_names_the_record_in_the_log_and_in_health_and_no_key(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    strict = Target("first", columns=(Column("v", ("v",), ColumnType(Kind.TEXT)),), evolve=Evolve.FAIL)
    shop.first.source = replace(shop.first.source, targets=(strict,))
    key = shop.first.put_records([put("a", v="x"), put("tom@example.com", 2, w="secret")])
    worker = shop.worker()
    error = worker.run_once().stopped["first"]
    health = worker.health.report()["first"]
    assert isinstance(error, UnknownAttributes) and error.attributes == ("w",)
    assert health.reason == str(error) and f"record 2 of {key}" in health.reason
    assert "source_stopped" in caplog.text and f"record 2 of {key}" in caplog.text
    for told in (health.reason, caplog.text):
        assert "tom@example.com" not in told and "secret" not in told


def holding(most: int) -> Callable[..., Any]:
    """`decode`, with memory for so many objects and no more."""

    def stand_in(workbench: Any, objects: Sequence[Any], **options: Any) -> Any:
        if len(objects) > most:
            raise BatchTooLarge("too little memory")
        return decode(workbench, objects, **options)

    return stand_in


def test_a_batch_that_the_warehouse_has_no_memory_for_is_merged_in_halves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Merger.commit

    def stand_in(self: Merger, prepared: Prepared, fence: Any, **options: Any) -> Any:
        if len(prepared.objects) > 2:
            raise BatchTooLarge("failed to pin block")
        return commit(self, prepared, fence, **options)

    monkeypatch.setattr(Merger, "commit", stand_in)
    for number in range(7):
        shop.first.put_records([put(f"k{number}"), put("both", number)])
    totals = shop.worker().run_once()
    assert (totals.stopped, totals.counts.objects, totals.counts.records) == ({}, 7, 14)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_batch_that_does_not_fit_the_memory_is_merged_in_halves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    for number in range(7):
        shop.first.put_records([put(f"k{number}"), put("both", number)])
    monkeypatch.setattr("cdc_merge.preparing.decode", holding(most))
    totals = shop.worker().run_once()
    assert not totals.stopped
    assert (totals.counts.objects, totals.counts.records) == (7, 14)
    assert len(shop.first.query("SELECT 1 FROM analytics.first")) == 8


def fetching(most: int) -> Callable[..., Path]:
    """`fetch` of a directory's objects as of one on S3, onto a disk with room for so many objects and no more."""

    def stand_in(store: DirectoryStore, ref: ObjectRef, folder: Path) -> Path:
        if len(list(folder.iterdir())) == most:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Path(shutil.copy(FETCH(store, ref, folder), folder))

    return stand_in


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_batch_that_does_not_fit_the_disk_is_merged_in_halves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    for number in range(7):
        shop.first.put_records([put(f"k{number}"), put("both", number)])
    monkeypatch.setattr(DirectoryStore, "fetch", fetching(most))
    totals = shop.worker().run_once()
    assert not totals.stopped
    assert (totals.counts.objects, totals.counts.records) == (7, 14)


def test_one_object_that_does_not_fit_the_disk_stops_its_source_until_there_is_room(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.first.put_records([put("a")])
    shop.second.put_records([put("b")])
    with monkeypatch.context() as full:
        full.setattr(DirectoryStore, "fetch", fetching(0))
        totals = shop.worker().run_once()
    stopped = totals.stopped["first"]
    assert isinstance(stopped, BatchTooLarge) and {*totals.stopped} == {"first", "second"}
    assert "no room for temporary files in" in stopped.message and "$TMPDIR" in (stopped.hint or "")

    assert shop.worker().run_once().counts.applied == 2


def test_a_transaction_that_breaks_when_all_is_staged_is_told_by_its_own_reason(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.first.source = replace(shop.first.source, batch=BatchLimits(objects=1))
    shop.first.put_records([put("a")])
    shop.first.run()
    for number in range(3):  # of one source: the first is let go of for the second, once it is staged
        shop.first.put_records([put(f"k{number}")])
    run = DuckDBSession.run

    def break_off(session: DuckDBSession, statements: Iterable[Statement], **options: Any) -> list[int]:
        statements = list(statements)
        if any(statement.label == LEDGER_LABEL for statement in statements):
            raise WarehouseUnavailable("the disk is full", hint="make room there")
        return run(session, statements, **options)

    monkeypatch.setattr("cdc_merge.worker._ONCE_TRIES", 0)
    with monkeypatch.context() as broken:
        broken.setattr(DuckDBSession, "run", break_off)
        stopped = shop.first.worker().run_once().stopped["first"]
    assert isinstance(stopped, WarehouseUnavailable) and stopped.message == "the disk is full"
    assert shop.first.worker().run_once().counts.applied == 3


def test_a_temporary_folder_that_cannot_be_had_stops_no_worker(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.first.put_records([put("a")])
    with closing(shop.worker()) as worker, monkeypatch.context() as broken:
        worker.prepare()
        broken.setattr("cdc_merge.tmpdir._USUAL", ())
        for name in ("TEMP", "TMP"):
            broken.delenv(name, raising=False)
        broken.setenv("TMPDIR", "/not/there")
        stopped = worker.run_once().stopped["first"]
    assert isinstance(stopped, BatchTooLarge) and "$TMPDIR" in (stopped.hint or "")


def test_one_object_of_the_largest_items_is_decoded_with_the_default_memory(shop: Shop) -> None:
    shop.first.put_records([put(f"k{number}", v=f"{number:0380000}") for number in range(60)])
    totals = shop.worker().run_once()
    assert (totals.stopped, totals.counts.applied) == ({}, 60)


def test_one_object_that_does_not_fit_the_memory_stops_its_source(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.first.put_records([put("a")])
    shop.first.put_records([put("b")])
    monkeypatch.setattr("cdc_merge.preparing.decode", holding(0))
    totals = shop.worker().run_once()
    assert isinstance(totals.stopped["first"], BatchTooLarge)
    assert totals.counts.records == 0


def test_an_error_while_the_rows_are_still_read_stops_the_source(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.first.put_records([put("a"), {"not": "a record"}])

    def broken(*_: Any, **__: Any) -> pa.RecordBatchReader:
        def batches() -> Any:
            raise pa.ArrowInvalid("half-way")
            yield

        return pa.RecordBatchReader.from_batches(pa.schema([("id", pa.string())]), batches())

    monkeypatch.setattr("cdc_merge.merger.quarantine_rows", broken)
    totals = shop.worker().run_once()
    assert "half-way" in str(totals.stopped["first"])
    assert totals.counts.records == 0


# --- each source has its turn -----------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries, and no waiting between them."""
    monkeypatch.setattr("cdc_merge.worker._ONCE_TRIES", 1)
    monkeypatch.setattr("cdc_merge.worker._backoff", lambda _failures: 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_store_that_stays_away_does_not_hold_up_the_other_sources(shop: Shop) -> None:
    shop.second.put_records([put("b")])
    worker = shop.worker()

    def away(**_: Any) -> Any:
        raise StoreUnavailable("no answer")

    worker.sources[0].store.list_page = away  # type: ignore[method-assign]
    totals = worker.run_once()
    assert isinstance(totals.stopped["first"], StoreUnavailable)
    assert totals.by_source["second"].applied == 1


def test_a_worker_of_some_sources_leaves_the_others_alone(shop: Shop) -> None:
    for harness in (shop.first, shop.second):
        harness.put_records([put("a")])
    totals = Worker(shop.settings, sources=(name for name in ["second", "second"])).run_once()
    assert totals.by_source.keys() == {"second"} and totals.by_source["second"].applied == 1
    with pytest.raises(UsageError, match="no source is named 'secnod'"):
        Worker(shop.settings, sources=["secnod"])


@pytest.mark.usefixtures("impatient")
def test_a_source_that_another_worker_holds_does_not_hold_up_the_others(shop: Shop) -> None:
    for harness in (shop.first, shop.second):
        harness.put_records([put("a")])
    other = shop.worker()
    other.prepare()
    assert other.sources[0].hold_lease()
    totals = shop.worker().run_once()
    assert isinstance(totals.stopped["first"], LeaseLost)
    assert totals.by_source["second"].applied == 1
    other.close()
    assert shop.worker().run_once().by_source["first"].applied == 1


def test_a_long_backlog_leaves_the_others_their_turns(tmp_path: Path) -> None:
    shop = Shop(f"duckdb:///{tmp_path}/w.duckdb", tmp_path, poll=0.02, batch=BatchLimits(objects=1))
    for number in range(4):
        shop.first.put_records([put("a", number + 1)])
    for number in range(2):
        shop.second.put_records([put("b", number + 1)])
    worker = shop.worker()
    merged: list[str] = []

    def note(source: str, merge: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **options: Any) -> Any:
            merged.append(source)
            if len(merged) == 6:
                worker.stop.request()
            return merge(*arguments, **options)

        return noting

    for source in worker.sources:
        source.merger.commit = note(source.source.name, source.merger.commit)  # type: ignore[method-assign]
    worker.run()
    assert merged == ["first", "second", "first", "second", "first", "first"]


# --- the lease in a long batch ----------------------------------------------------------------------------


class Slow:
    """A source's fetches, each of which takes half of the time that a lease lasts, one after another."""

    def __init__(self, worker: Worker, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
        self._seconds = 0.0
        self._meanwhile = meanwhile
        store = worker.sources[0].store
        self._fetch = store.fetch
        store.fetch = self.fetch  # type: ignore[method-assign]
        monkeypatch.setattr("cdc_merge.preparing._FETCH_THREADS", 1)
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + self._seconds)
        monkeypatch.setattr("cdc_merge.held_lease.time", clock)

    def fetch(self, ref: ObjectRef, folder: Path) -> Path:
        self._meanwhile()
        self._seconds += LEASE_SECONDS / 2
        return self._fetch(ref, folder)


def test_the_lease_is_renewed_as_long_as_a_batch_takes(
    warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(warehouse_url, tmp_path)
    for number in range(5):
        shop.first.put_records([put("a", number + 1)])
    renewed: list[datetime] = []
    worker = shop.worker()
    Slow(
        worker,
        monkeypatch,
        lambda: renewed.append(shop.first.query("SELECT renewed_at FROM cdc_merge.leases")[0][0]),
    )
    assert worker.run_once().by_source["first"].objects == 5
    assert len(set(renewed)) == 5 and renewed == sorted(renewed)


def test_a_lease_that_cannot_be_renewed_for_a_moment_costs_no_batch(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        shop.first.put_records([put("a", number + 1)])
    worker = shop.worker()
    session = worker.warehouse.session

    @contextmanager
    def locked() -> Any:
        raise WarehouseUnavailable("the file is locked")
        yield

    fetched = []

    def meanwhile() -> None:
        fetched.append(1)
        worker.warehouse.session = locked if len(fetched) < 3 else session  # type: ignore[method-assign]

    Slow(worker, monkeypatch, meanwhile)
    totals = worker.run_once()
    assert (totals.by_source["first"].objects, len(fetched)) == (3, 3)


@pytest.mark.usefixtures("impatient")
def test_a_batch_whose_source_was_taken_over_is_dropped_before_it_is_decoded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        shop.first.put_records([put("a", number + 1)])
    worker = shop.worker()
    fetched: list[threading.Thread] = []

    def take_over() -> None:
        fetched.append(threading.current_thread())
        with worker.warehouse.session() as session:
            session.run([Statement("by hand", "UPDATE cdc_merge.leases SET holder = 'another:1', token = 'theirs'")])

    Slow(worker, monkeypatch, take_over)
    monkeypatch.setattr("cdc_merge.preparing.decode", failing(AssertionError("decoded")))
    assert isinstance(worker.run_once().stopped["first"], LeaseLost)
    assert len(fetched) == 1


# --- replay -----------------------------------------------------------------------------------------------


def every_object(worker: SourceWorker) -> list[ObjectRef]:
    return list(worker.store.list_page(start_after="", limit=1000).objects)


def replay(worker: Worker) -> Any:
    try:
        worker.prepare()
        return worker.replay({w.source.name: every_object(w) for w in worker.sources}, every_object)
    finally:
        worker.close()


def test_a_replay_keeps_to_the_size_of_a_batch(tmp_path: Path) -> None:
    shop = Shop(f"duckdb:///{tmp_path}/w.duckdb", tmp_path, batch=BatchLimits(bytes=1_000))
    for number in range(4):
        shop.first.put_records([put("a", number + 1, v="x" * 2_000)])
    shop.worker().run_once()
    worker, sizes = shop.worker(), []
    commit = worker.sources[0].merger.commit

    def noting(prepared: Any, fence: Sequence[Statement], **options: Any) -> Any:
        sizes.append(len(prepared.job.refs))
        return commit(prepared, fence, **options)

    worker.sources[0].merger.commit = noting  # type: ignore[method-assign]
    assert replay(worker).counts.objects == 4
    assert sizes == [1, 1, 1, 1]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("error", [StoreUnavailable("busy"), ObjectChanged("rewritten")])
def test_a_replay_tries_again_and_merges_each_object_once(tmp_path: Path, error: Exception) -> None:
    shop = Shop(f"duckdb:///{tmp_path}/w.duckdb", tmp_path, batch=BatchLimits(objects=1))
    keys = [shop.first.put_records([put("a", number + 1)]) for number in range(3)]
    shop.worker().run_once()
    worker, fetched = shop.worker(), []
    fetch = worker.sources[0].store.fetch

    def flaky(ref: ObjectRef, folder: Path) -> Path:
        fetched.append(ref.key)
        if len(fetched) == 2:
            if isinstance(error, ObjectChanged):
                shop.first.put_records([put("a", 9)], ref.key)
            raise error
        return fetch(ref, folder)

    worker.sources[0].store.fetch = flaky  # type: ignore[method-assign]
    totals = replay(worker)
    assert fetched == [keys[0], keys[1], keys[1], keys[2]]
    assert (totals.counts.objects, totals.stopped) == (3, {})
