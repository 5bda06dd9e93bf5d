"""Whose turn it is at a source: its merges', or that of the transaction of a reconcile beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_SECONDS = 0.25


class Turns:
    """Lets merges and a reconcile of one source take turns within a process.

    The fence would keep them apart too, but by failing one of them, and with it what it had decoded. Merges do not
    wait for a turn, so that other sources have theirs; a reconcile waits, and is not overtaken while it does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_wanted = False

    @contextmanager
    def merge(self) -> Iterator[bool]:
        """Whether it is the merges' turn now; if so, until the end of the block."""
        is_theirs = not self._is_wanted and self._lock.acquire(blocking=False)
        try:
            yield is_theirs
        finally:
            if is_theirs:
                self._lock.release()

    @contextmanager
    def reconcile(self, check: Callable[[], None]) -> Iterator[None]:
        """Wait until no merge runs; `check` is called meanwhile, and may raise to give up."""
        self._is_wanted = True
        try:
            while not self._lock.acquire(timeout=_LOOK_SECONDS):
                check()
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._is_wanted = False
