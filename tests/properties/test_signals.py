"""SIGTERM and SIGINT: the command exits with 0 within ten seconds, and its transaction is there whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cdc_merge.errors import WarehouseUnavailable
from tests.properties.story import FIRST, LATER, assert_merged_once, contents, many, put, shop
from tests.support.harness import Harness
from tests.support.working import PATIENCE, after_the_first

ALLOWED = 10.0  # seconds from the signal to the end
BOTH = [signal.SIGTERM, signal.SIGINT]


@dataclass
class Command:
    """`cdc-merge run` as a process; its log is JSON, one event a line."""

    process: subprocess.Popen[str]

    def wait_for(self, is_it: Callable[[dict[str, Any]], bool]) -> None:
        """Read the log up to such an event."""
        assert self.process.stderr
        end = threading.Timer(PATIENCE, self.process.kill)
        end.start()
        try:
            for line in self.process.stderr:
                if is_it(json.loads(line)):
                    return
        finally:
            end.cancel()
        raise AssertionError("the command ended without it, or was idle for too long")

    def stop(self, number: int) -> float:
        """Send the signal; returns the seconds until the process ended. It must exit with 0."""
        began = time.monotonic()
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=3 * ALLOWED)
        took = time.monotonic() - began
        assert self.process.returncode == 0, log
        assert took < ALLOWED, log
        return took


@contextmanager
def command(harness: Harness, *options: str) -> Iterator[Command]:
    arguments = [sys.executable, "-m", "cdc_merge.cli", "run", "-v", "--log-format", "json", "--config"]
    with subprocess.Popen(
        [*arguments, str(configuration(harness)), *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Command(process)
        finally:
            process.kill()


def configuration(harness: Harness) -> Path:
    source = harness.source
    document = {
        "warehouse": harness.url,
        "schema": harness.schema,
        "metadata_schema": harness.metadata,
        "sources": [
            {
                "name": source.name,
                "changes": source.changes,
                "key": list(source.key),
                "poll": f"{source.poll:g}s",
                "batch": {"objects": source.batch.objects},
                "targets": [
                    {"table": t.table, "where": {str(c.path[0]): list(c.any_of or ()) for c in t.where}}
                    for t in source.targets
                ],
            }
        ],
    }
    path = harness.directory.parent / "cdc-merge.yaml"
    path.write_text(json.dumps(document))  # JSON is YAML
    return path


def is_event(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == name


def is_statement(label: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "statement" and event["label"] == label


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_in_mid_transaction_leaves_it_whole_or_absent(
    warehouse_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    objects = many(6)
    harness = shop(warehouse_url, tmp_path, objects=1)
    put(harness, objects)
    with command(harness) as run:
        run.wait_for(is_event("batch_merged"))
        run.wait_for(is_statement("resolve"))
        run.stop(number)
    ((merged,),) = harness.query(f"SELECT count(*) FROM {harness.metadata}.objects")
    assert 1 <= merged < len(objects)
    assert harness.query(f"SELECT count(*) FROM {harness.metadata}.leases") == [(0,)]
    with command(harness, "--once", "--format", "json") as rest:
        out, log = rest.process.communicate(timeout=PATIENCE)
        assert rest.process.returncode == 0, log
    assert json.loads(out)["objects"] == len(objects) - merged
    assert_merged_once(harness, objects)


def test_an_idle_command_leaves_the_file_to_others_and_stops_at_once(warehouse_url: str, tmp_path: Path) -> None:
    """On DuckDB no other process could open the file if the idle one had not let go of it."""
    harness = after_the_first(warehouse_url, tmp_path)
    with command(harness) as run:
        run.wait_for(is_event("batch_merged"))
        deadline = time.monotonic() + ALLOWED
        while not is_readable(harness):  # it logs before it lets go
            assert time.monotonic() < deadline
        run.stop(signal.SIGTERM)
    assert harness.query(f"SELECT count(*) FROM {harness.metadata}.leases") == [(0,)]


def is_readable(harness: Harness) -> bool:
    try:
        return harness.query(f"SELECT count(*) FROM {harness.metadata}.objects") == [(5,)]
    except WarehouseUnavailable:
        return False


def test_a_signal_while_a_statement_hangs_ends_the_command_all_the_same(postgres_url: str, tmp_path: Path) -> None:
    harness = after_the_first(postgres_url, tmp_path)
    before = contents(harness)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor, command(harness) as run:
        cursor.execute("LOCK TABLE analytics.customers")
        while not harness.query(waiting):
            assert run.process.poll() is None
        run.stop(signal.SIGTERM)
        other.rollback()
        assert contents(harness) == before
        assert harness.query(f"SELECT count(*) FROM {harness.metadata}.leases") == [(0,)]
        harness.run()
    assert_merged_once(harness, FIRST + LATER)
