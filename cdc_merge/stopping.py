"""A request to stop, and how work that is under way hears of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

STOP_GRACE_SECONDS = 5.0  # how long a transaction may still take once we are told to stop
_OVERDUE_SECONDS = 0.25


class Stopping(Exception):
    """We were told to stop: whatever is open is rolled back."""


class NotOurs(Exception):
    """The source has passed to another worker meanwhile: what was being done beside the merges is dropped."""


class Stop:
    """A request to stop, from another thread. Not for a signal's handler: it may hold the very lock it waits for."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._event = threading.Event()
        self._monotonic = monotonic
        self._deadline = float("inf")
        self._cut_offs: list[Callable[[], None]] = []

    def when_overdue(self, cut_off: Callable[[], None]) -> None:
        """Have this called, in a thread of its own, some time after the grace: for a statement that hangs."""
        self._cut_offs.append(cut_off)

    def request(self) -> None:
        """Ask to stop; what runs now may finish within the grace."""
        if self._event.is_set():
            return
        self._deadline = self._monotonic() + STOP_GRACE_SECONDS
        self._event.set()
        # After the deadline no statement begins; what still runs a moment later is one that does not end.
        timer = threading.Timer(STOP_GRACE_SECONDS + _OVERDUE_SECONDS, self._cut_off)
        timer.daemon = True
        timer.start()

    def _cut_off(self) -> None:
        for cut_off in self._cut_offs:
            cut_off()

    @property
    def is_requested(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise Stopping as soon as a stop is requested: for work that costs nothing to drop."""
        if self._event.is_set():
            raise Stopping

    def check_deadline(self) -> None:
        """Raise Stopping once the grace is over: for a transaction that is better finished."""
        if self._event.is_set() and self._monotonic() > self._deadline:
            raise Stopping

    def wait(self, seconds: float) -> None:
        """Until a stop is requested, but no longer than that."""
        self._event.wait(seconds)

    def pause(self, seconds: float) -> None:
        """The same; raises Stopping if it is requested."""
        self.wait(seconds)
        self.check()
