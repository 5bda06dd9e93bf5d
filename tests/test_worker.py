"""The worker's loop: one source's fault, backlog or slowness is that source's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from cdc_merge.errors import DecodingFailed
from cdc_merge.feed.decode import decode
from cdc_merge.model import Settings, Source, Target
from cdc_merge.worker import Worker
from tests.support.harness import Harness
from tests.support.records import Record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)


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
        (duckdb.ConversionException("what is this"), "report"),
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
    monkeypatch.setattr("cdc_merge.merger.decode", failing(error))
    totals = shop.worker().run_once()
    stopped = totals.stopped["first"]
    assert isinstance(stopped, DecodingFailed) and stopped.__cause__ is error
    assert type(error).__name__ in stopped.message and hint in (stopped.hint or "")
    assert stopped.where == f"source first, {key}"
    assert totals.by_source["second"].applied == 1
    assert any(r.exc_info and r.exc_info[1] is error for r in caplog.records)


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
