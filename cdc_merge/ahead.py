"""Prepares the next batch in a thread of its own, while the warehouse merges the one before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol

from cdc_merge.preparing import Job, Prepared
from cdc_merge.raw_road import Unread


class _Abandoned(Exception):
    """Nobody will take the batch that is being prepared."""


class Prepare(Protocol):
    """Prepares a batch; `check` is called often, and may raise."""

    def __call__(self, job: Job, *, check: Callable[[], None]) -> Prepared | Unread: ...


class Ahead:
    """At most one batch on its way. Use as a context manager: what nobody took is dropped at the end."""

    def __init__(self, prepare: Prepare, check: Callable[[], None]) -> None:
        """`check` is called often while a batch is decoded, and may raise."""
        self._prepare = prepare
        self._check = check
        self._crew = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._is_over = threading.Event()
        self._coming: Future[Prepared | Unread] | None = None
        self.job: Job | None = None

    def begin(self, job: Job) -> None:
        """Have a batch prepared."""
        self.job = job
        self._coming = self._crew.submit(self._prepare, job, check=self._look)

    def _look(self) -> None:
        if self._is_over.is_set():
            raise _Abandoned
        self._check()

    def take(self) -> tuple[Job, Prepared | Unread]:
        """The batch that was begun, when it is ready. Raises what preparing it raised."""
        assert self.job is not None and self._coming is not None
        job, coming = self.job, self._coming
        self.job = self._coming = None
        return job, coming.result()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        coming, self._coming, self.job = self._coming, None, None
        self._crew.shutdown(wait=True)
        if coming is not None and not coming.cancelled() and coming.exception() is None:
            coming.result().close()
