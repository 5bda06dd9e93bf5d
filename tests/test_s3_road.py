"""The whole road from S3 to each warehouse, on good days and on bad ones."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config

from cdc_merge.errors import StoreDenied
from cdc_merge.metrics import Metrics
from cdc_merge.model import BatchLimits, Settings, Source, Target
from cdc_merge.quarantine import Entry, Quarantine, retry
from cdc_merge.stopping import Stop
from cdc_merge.worker import Worker
from tests.support.harness import Harness, assert_balanced
from tests.support.proxy import Proxy, proxy_to
from tests.support.records import Record, compress, frame, stream_record
from tests.support.s3 import MotoS3, moto_s3

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Source("shop", "", ("PK",), (Target("items"),))


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoS3]:
    with moto_s3() as server:
        yield server


@dataclass
class Road(Harness):
    """A harness whose objects lie in a bucket, below feed/."""

    moto: MotoS3 | None = None
    bucket: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.moto
        self.bucket = self.moto.create_bucket()
        self.source = replace(self.source, changes=f"s3://{self.bucket}/feed/")

    def put(self, data: bytes, name: str | None = None) -> str:
        self._objects += 1
        key = f"feed/{name or f'2026/01/01/00/feed-1-{self._objects:06d}'}"
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)
        return key

    @property
    def client(self) -> Any:
        assert self.moto
        return self.moto.client

    def values(self) -> dict[str, Any]:
        return {key[0]: landed.item["v"] for key, landed in self.tables()["items"].items()}

    def ledger(self) -> list[tuple[str, int]]:
        """(object key, records) of each version merged."""
        return self.query("SELECT object_key, records FROM cdc_merge.objects ORDER BY object_key, records")


@pytest.fixture
def road(warehouse_url: str, tmp_path: Path, moto: MotoS3) -> Road:
    return Road(warehouse_url, ALL, tmp_path, moto=moto)


def put(key: str, sequence: int, v: str) -> Record:
    return stream_record({"PK": key}, {"v": v}, sequence=sequence, at=T0 + timedelta(seconds=sequence))


class WakingStop(Stop):
    """Does not wait between tries, but something else: what heals the fault."""

    def __init__(self, heal: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._heal = heal
        self.waits = 0

    def wait(self, seconds: float) -> None:
        self.waits += 1
        self._heal()


# --- good days --------------------------------------------------------------------------------------------


def test_objects_are_merged_once_wherever_and_whenever_they_appear(road: Road) -> None:
    road.put(frame([put("a", 1, "a1")]), "2026/01/01/05/s-1-x")
    road.put(compress(frame([put("b", 1, "b1"), put("a", 3, "a3")], "concatenated")), "2026/01/01/06/s-1-y.gz")
    counts = road.run().counts
    assert (counts.objects, counts.records, counts.applied) == (2, 3, 2)
    assert road.run().counts.objects == 0

    road.put(frame([put("a", 2, "late"), put("c", 1, "c1")]), "2026/01/01/04/late-1-z")  # an older hour
    counts = road.run().counts
    assert (counts.objects, counts.applied, counts.stale) == (1, 1, 1)

    road.put(frame([put("a", 1, "a1"), put("d", 1, "rewritten")]), "2026/01/01/05/s-1-x")  # the same key
    counts = road.run().counts
    assert (counts.objects, counts.applied, counts.stale) == (1, 1, 1)
    assert road.values() == {"a": "a3", "b": "b1", "c": "c1", "d": "rewritten"}
    assert [key for key, _ in road.ledger()] == [
        "feed/2026/01/01/04/late-1-z",
        "feed/2026/01/01/05/s-1-x",
        "feed/2026/01/01/05/s-1-x",
        "feed/2026/01/01/06/s-1-y.gz",
    ]


def test_what_firehose_could_not_deliver_is_no_data_and_neither_is_a_neighbouring_prefix(road: Road) -> None:
    road.put(frame([put("a", 1, "a")]), "2026/01/01/05/s-1-x")
    error = b'{"attemptsMade":4,"arrivalTimestamp":1,"errorCode":"x","errorMessage":"y","rawData":"e30="}'
    for folder in ("processing-failed/2026/001/05/", "format-conversion-failed/2026/001/05/"):
        road.put(error, f"{folder}s-1-x")
    road.put(b"", "2026/01/01/")  # a folder marker of the console
    road.client.put_object(Bucket=road.bucket, Key="feed2/x", Body=frame([put("z", 1, "z")]))
    counts = road.run().counts
    assert (counts.objects, counts.records, counts.quarantined) == (1, 1, 0)
    assert road.values() == {"a": "a"}


def test_a_running_worker_finds_late_and_rewritten_objects_as_it_polls(road: Road) -> None:
    road.put(frame([put("a", 1, "a1")]), "2026/01/01/05/s-1-x")
    worker = road.worker()
    source = worker.sources[0]
    try:
        worker.prepare()
        assert sum(c.applied for c in source.merge_new()) == 1
        assert list(source.merge_new()) == []
        road.put(frame([put("b", 1, "b1")]), "2026/01/01/04/late")
        road.put(frame([put("a", 2, "a2")]), "2026/01/01/05/s-1-x")
        road.put(frame([put("c", 1, "c1")]), "2026/01/01/06/s-1-z")
        assert sum(c.applied for _ in range(3) for c in source.merge_new()) == 3
    finally:
        worker.close()
    assert road.values() == {"a": "a2", "b": "b1", "c": "c1"}


def test_an_object_in_quarantine_is_read_again_from_the_bucket(road: Road) -> None:
    broken = compress(frame([put("a", 1, "a")]))[:-10]
    key = road.put(broken, "2026/x.gz")
    road.put(frame([put("b", 1, "b")]))
    assert road.run().counts.quarantined == 1
    road.put(compress(frame([put("a", 1, "mended")])), "2026/x.gz")
    worker = road.worker()
    try:
        worker.prepare()
        with worker.warehouse.session() as session:
            entries: list[Entry] = Quarantine(worker.layout.metadata, worker.warehouse.dialect).entries(session)
        assert [(e.bucket, e.object_key, e.reason) for e in entries] == [(road.bucket, key, "corrupt")]
        assert retry(worker.sources[0], entries)[0].applied == 1
    finally:
        worker.close()
    assert road.values() == {"a": "mended", "b": "b"}


def test_a_bucket_that_is_not_there_stops_its_source_and_no_other(road: Road) -> None:
    road.put(frame([put("a", 1, "a")]))
    lost = replace(ALL, name="lost", targets=(Target("lost"),), changes=f"s3://{road.bucket}-gone/feed/")
    totals = Worker(Settings(road.url, "analytics", "cdc_merge", (lost, road.source))).run_once()
    assert isinstance(totals.stopped["lost"], StoreDenied)
    assert f"{road.bucket}-gone" in (totals.stopped["lost"].hint or "")
    assert totals.counts.applied == 1
    assert road.values() == {"a": "a"}


# --- bad days: the bucket ---------------------------------------------------------------------------------


@pytest.fixture
def s3_proxy(moto: MotoS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Workers reach the bucket through this proxy, and give up at the first error, so that the worker's tries show."""
    with proxy_to(urlsplit(moto.endpoint).port or 80) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        patient = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
        monkeypatch.setattr("cdc_merge.feed.s3.client_config", lambda: patient)
        yield proxy


def test_a_bucket_that_refuses_for_a_while_is_tried_again(road: Road, s3_proxy: Proxy) -> None:
    road.put(frame([put("a", 1, "a")]))
    s3_proxy.refuse()
    tries = 0

    def heal_at_the_third() -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            s3_proxy.heal()

    totals = road.run(stop=WakingStop(heal_at_the_third))
    assert tries == 3
    assert (totals.counts.objects, totals.counts.applied) == (1, 1)
    assert road.values() == {"a": "a"}


def test_a_download_that_is_cut_off_goes_on_and_nothing_is_lost(road: Road, s3_proxy: Proxy) -> None:
    noise = random.Random(4)
    texts = {f"k{n}": noise.randbytes(2_000).hex() for n in range(500)}
    road.put(frame([put(key, 1, text) for key, text in texts.items()]))
    s3_proxy.delay(0.01)  # a 64 KB piece: the 2 MB take a third of a second
    cuts = 0
    done = threading.Event()

    def cut_twice() -> None:
        nonlocal cuts
        seen = 0
        while cuts < 2 and not done.wait(0.002):
            if s3_proxy.accepted > seen:
                seen = s3_proxy.accepted
                time.sleep(0.12)
                s3_proxy.cut()
                cuts += 1
        s3_proxy.delay(0)

    cutter = threading.Thread(target=cut_twice)
    cutter.start()
    try:
        totals = road.run(stop=WakingStop())
    finally:
        done.set()
        cutter.join()
    assert cuts == 2
    assert s3_proxy.accepted >= 2
    assert (totals.counts.objects, totals.counts.applied) == (1, 500)
    assert road.values() == texts


def test_an_object_rewritten_or_removed_while_it_is_fetched_is_listed_again(road: Road) -> None:
    rewritten = road.put(frame([put("a", 1, "old")]), "2026/a")
    removed = road.put(frame([put("b", 1, "b")]), "2026/b")
    road.put(frame([put("c", 1, "c")]), "2026/c")
    stop = WakingStop()
    worker = road.worker(stop=stop)
    store = worker.sources[0].store
    fetch, is_first = store.fetch, True
    lock = threading.Lock()

    def fetch_too_late(ref: Any, directory: Path) -> Path:
        nonlocal is_first
        with lock:
            if is_first:
                is_first = False
                road.put(frame([put("a", 2, "new")]), "2026/a")
                road.client.delete_object(Bucket=road.bucket, Key=removed)
        return fetch(ref, directory)

    store.fetch = fetch_too_late  # type: ignore[method-assign]
    totals = worker.run_once()
    assert_balanced(totals)
    assert stop.waits == 1
    assert road.values() == {"a": "new", "c": "c"}
    assert [key for key, _ in road.ledger()] == [rewritten, "feed/2026/c"]


# --- bad days: the warehouse ------------------------------------------------------------------------------


class CuttingMetrics(Metrics):
    """Cuts all connections when a batch is merged."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy
        self.cuts = 0

    def batch_merged(self, *details: Any, **named: Any) -> None:
        super().batch_merged(*details, **named)
        self.cuts += 1
        self._proxy.cut()


def test_a_postgres_that_is_cut_off_between_batches_is_found_again(
    postgres_url: str, tmp_path: Path, moto: MotoS3
) -> None:
    parts = urlsplit(postgres_url)
    with proxy_to(parts.port or 5432) as proxy:
        through = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")).geturl()
        road = Road(through, replace(ALL, batch=BatchLimits(objects=1)), tmp_path, moto=moto)
        for n in range(6):
            road.put(frame([put(f"k{n}", 1, "x"), put("shared", n, f"v{n}")]))
        metrics = CuttingMetrics(proxy)
        totals = road.run(stop=WakingStop(), metrics=metrics)
        assert metrics.cuts == 6
        assert totals.counts.objects == 6
        assert len(road.ledger()) == 6
        assert road.values() == {**{f"k{n}": "x" for n in range(6)}, "shared": "v5"}
        assert road.query("SELECT count(*), sum(records) FROM cdc_merge.batches") == [(6, 12)]


def test_a_postgres_that_refuses_for_a_while_is_tried_again(postgres_url: str, tmp_path: Path, moto: MotoS3) -> None:
    parts = urlsplit(postgres_url)
    with proxy_to(parts.port or 5432) as proxy:
        through = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")).geturl()
        road = Road(through, ALL, tmp_path, moto=moto)
        road.put(frame([put("a", 1, "a")]))
        proxy.refuse()
        stop = WakingStop(proxy.heal)
        assert road.run(stop=stop).counts.applied == 1
        assert stop.waits == 1
        assert road.values() == {"a": "a"}
