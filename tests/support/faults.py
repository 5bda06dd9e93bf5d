"""Worker processes that die, and warehouses that break, at a chosen moment of a merge."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from typing import Any, NoReturn

from cdc_merge.model import Settings
from cdc_merge.warehouses import Dialect, Session, Statement, Warehouse, open_warehouse
from cdc_merge.worker import Worker

COMMITTED = "committed"
"""The moment right after COMMIT, as if it were the label of one more statement."""

OnMerge = Callable[[Callable[[], list[int]]], list[int]]
"""Given the run of a merge's transaction; returns what it returns, or raises what it does not."""


class FaultyWarehouse:
    """A warehouse whose merges go through `on_merge`; the rest is as it is."""

    def __init__(self, inner: Warehouse, on_merge: OnMerge) -> None:
        self._inner = inner
        self._on_merge = on_merge

    @property
    def dialect(self) -> Dialect:
        return self._inner.dialect

    @property
    def name(self) -> str:
        return self._inner.name

    def is_there(self) -> bool:
        return self._inner.is_there()

    @contextmanager
    def session(self) -> Iterator[Session]:
        with self._inner.session() as session:
            yield _FaultySession(session, self._on_merge)

    def interrupt(self) -> None:
        self._inner.interrupt()

    def close(self) -> None:
        self._inner.close()


@dataclass(frozen=True)
class _FaultySession:
    inner: Session
    on_merge: OnMerge

    def load(self, table: str, reader: Any) -> int:
        return self.inner.load(table, reader)

    def run(self, statements: Sequence[Statement]) -> list[int]:
        if any(s.label == "record batch" for s in statements):
            return self.on_merge(lambda: self.inner.run(statements))
        return self.inner.run(statements)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.inner.query(sql)


# Processes are forked from a server that has imported everything, so each starts in a moment; it reaps them at once,
# so a killed one is gone and no zombie, whose lease would count as held.
# https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["__main__", "tests.support.faults"])


def start_worker(settings: Settings, *, once: bool = True, killed_after: str | None = None) -> ForkServerProcess:
    """A worker in a process of its own; with `killed_after` it kills itself (SIGKILL) after the statement of that
    label, or after COMMIT (`COMMITTED`)."""
    process = _processes.Process(target=_work, args=(settings, once, killed_after), daemon=True)
    process.start()
    return process


def _work(settings: Settings, once: bool, killed_after: str | None) -> None:
    def observe(label: str, _seconds: float) -> None:
        if label == killed_after:
            _die()

    def on_merge(run: Callable[[], list[int]]) -> list[int]:
        rows = run()
        if killed_after == COMMITTED:
            _die()
        return rows

    worker = Worker(settings, warehouse=FaultyWarehouse(open_warehouse(settings.warehouse, observer=observe), on_merge))
    totals = worker.run_once() if once else worker.run()
    for error in totals.stopped.values():
        raise error


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")
