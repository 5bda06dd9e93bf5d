"""Workers under way, and what ends them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from cdc_merge.errors import CdcMergeError
from cdc_merge.worker import Worker
from tests.live.runs import current_run
from tests.properties.story import FIRST, LATER, put, shop
from tests.support.harness import Harness
from tests.support.proxy import Proxy
from tests.support.records import Record


def after_the_first(url: str, folder: Path) -> Harness:
    harness = shop(url, folder)
    put(harness, FIRST)
    harness.run()
    put(harness, LATER)
    return harness


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")).geturl()


def end_merges(url: str) -> None:
    """End the server's side of every connection that is in a transaction, and wait until it is gone."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchall() == [(True,)]


PATIENCE = 60.0 if current_run() is None else 600.0  # seconds until a worker that does not get there fails the test


@contextmanager
def running(harness: Harness, count: int = 2) -> Iterator[list[Worker]]:
    """Workers that run in threads, until the end of the block."""
    workers = [harness.worker() for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        runs = [pool.submit(worker.run) for worker in workers]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.stop.request()
        for run in runs:
            run.result()


def ledger(harness: Harness) -> int:
    try:
        ((count,),) = harness.query(f"SELECT count(*) FROM {harness.metadata}.objects")
    except CdcMergeError:  # not migrated yet, or another process has the file
        return 0
    return int(count)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def deliver_slowly(harness: Harness, objects: Sequence[Sequence[Record]]) -> None:
    for each in objects:
        put(harness, [each])
        time.sleep(0.05)
