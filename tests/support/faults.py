"""Worker processes that die, and warehouses that break, at a chosen moment of a merge or a reconcile."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NoReturn

from cdc_merge import Reconciler
from cdc_merge.model import Settings
from cdc_merge.warehouses import Dialect, Session, Statement, Tidying, Warehouse, open_warehouse
from cdc_merge.worker import Worker

COMMITTED = "committed"
"""The moment right after COMMIT, as if it were the label of one more statement."""
STAGED = "staged "
"""With the name of a staging table: the moment when it is there."""

OnMerge = Callable[[Callable[[], list[int]]], list[int]]
"""Given the run of a merge's transaction; returns what it returns, or raises what it does not."""


@dataclass(frozen=True)
class Faults:
    """What breaks, and when; each may raise.

    `opening`: asked before a session opens. `staged`: told each table that is staged. `merging`: see OnMerge.
    `committed`: told the labels of every transaction that has committed.
    """

    opening: Callable[[], None] = lambda: None
    staged: Callable[[str], None] = lambda _table: None
    merging: OnMerge = lambda run: run()
    committed: Callable[[Sequence[str]], None] = lambda _labels: None


class FaultyWarehouse:
    """A warehouse with faults; the rest is as it is."""

    def __init__(self, inner: Warehouse, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    @property
    def dialect(self) -> Dialect:
        return self._inner.dialect

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def tidying(self) -> Tidying | None:
        return self._inner.tidying

    def is_there(self) -> bool:
        return self._inner.is_there()

    @contextmanager
    def session(self) -> Iterator[Session]:
        self._faults.opening()
        with self._inner.session() as session:
            yield _FaultySession(session, self._faults)

    def interrupt(self) -> None:
        self._inner.interrupt()

    def close(self) -> None:
        self._inner.close()


@dataclass(frozen=True)
class _FaultySession:
    inner: Session
    faults: Faults

    def load(self, table: str, reader: Any) -> int:
        rows = self.inner.load(table, reader)
        self.faults.staged(table)
        return rows

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        self.inner.stage(path, tables)
        for table in tables:
            self.faults.staged(table)

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        # A merge is a list. A reconcile is a generator, which can be had only once: each of its statements is decided
        # by what the ones before it found.
        if isinstance(statements, Sequence) and any(s.label == "record batch" for s in statements):
            return self.faults.merging(lambda: self._run(statements, statements))
        return self._run(statements, [*foreseen, *(statements if isinstance(statements, Sequence) else ())])

    def _run(self, statements: Iterable[Statement], foreseen: Sequence[Statement]) -> list[int]:
        labels: list[str] = []

        def noted() -> Iterator[Statement]:
            for statement in statements:
                labels.append(statement.label)
                yield statement

        touched = self.inner.run(noted(), foreseen=foreseen)
        self.faults.committed(labels)
        return touched

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.inner.query(sql)


# Processes are forked from a server that has imported everything, so each starts in a moment; it reaps them at once,
# so a killed one is gone and no zombie, whose lease would count as held.
# https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["__main__", "tests.support.faults"])


def start_worker(settings: Settings, *, once: bool = True, killed_after: str | None = None) -> ForkServerProcess:
    """A worker in a process of its own; with `killed_after` it kills itself (SIGKILL) after the statement of that
    label, or at one of the moments above."""
    return _started(_work, settings, once, killed_after)


def start_reconcile(settings: Settings, export: str, *, killed_after: str | None = None) -> ForkServerProcess:
    """A reconcile of the only source, in a process of its own that may kill itself likewise."""
    return _started(_reconcile, settings, export, killed_after)


def _started(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    process = _processes.Process(target=_in_environment, args=(dict(os.environ), work, *arguments), daemon=True)
    process.start()
    return process


def _in_environment(environment: Mapping[str, str], work: Callable[..., None], *arguments: Any) -> None:
    """The server from which processes are forked has the environment of the test that came first."""
    os.environ.clear()
    os.environ.update(environment)
    work(*arguments)


def _work(settings: Settings, once: bool, killed_after: str | None) -> None:
    worker = Worker(settings, warehouse=_deadly(settings, killed_after))
    totals = worker.run_once() if once else worker.run()
    for error in totals.stopped.values():
        raise error


def _reconcile(settings: Settings, export: str, killed_after: str | None) -> None:
    (source,) = settings.sources
    with Reconciler(settings, warehouse=_deadly(settings, killed_after)) as reconciler:
        reconciler.reconcile(source.name, export)


def _deadly(settings: Settings, killed_after: str | None) -> Warehouse:
    """A warehouse that kills this process at a moment."""

    def reach(moment: str) -> None:
        if moment == killed_after:
            _die()

    def committed(labels: Sequence[str]) -> None:
        if labels[:1] == ["fence"] and len(labels) > 1:  # not the lease alone
            reach(COMMITTED)

    inner = open_warehouse(settings.warehouse, observer=lambda label, _seconds: reach(label))
    return FaultyWarehouse(inner, Faults(staged=lambda table: reach(STAGED + table), committed=committed))


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")
