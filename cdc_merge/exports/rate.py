"""Holds reads down to so many read capacity units a second: a token bucket that several threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cdc_merge.errors import UsageError

# A page is at most 1 MB, and 4 KB read consistently cost one unit:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
_PAGE_UNITS = 256.0
_LOOK_SECONDS = 1.0  # how long a wait lasts at most before `check` is called


class ReadRate:
    """A bucket of one second's units. What a page costs is known only once it is read: so it reserves what
    the last one cost, may leave the bucket in debt, and settles afterwards; the next waits until that is paid.
    """

    def __init__(self, rate: float, *, monotonic: Callable[[], float], wait: Callable[[float], None]) -> None:
        """`rate`: units a second. `monotonic`: seconds. `wait(seconds)` may return early."""
        if not rate > 0:
            raise UsageError("a rate must be above 0", where=f"rate {rate}", hint="leave it out for no limit")
        self._rate = rate
        self._monotonic = monotonic
        self._wait = wait
        self._lock = threading.Lock()
        self._tokens = 0.0
        self._filled_at = monotonic()
        self._expected = _PAGE_UNITS

    def reserve(self, check: Callable[[], None]) -> float:
        """Wait until a page may be read; what was reserved for it. `check` may raise to end the waiting."""
        while True:
            with self._lock:
                self._fill()
                if self._tokens >= 0:
                    self._tokens -= self._expected
                    return self._expected
                pause = -self._tokens / self._rate
            self._wait(min(pause, _LOOK_SECONDS))
            check()

    def settle(self, reserved: float, cost: float) -> None:
        """Tell what the page has really cost."""
        with self._lock:
            self._tokens += reserved - cost
            self._expected = cost

    def _fill(self) -> None:
        now = self._monotonic()
        self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._rate)
        self._filled_at = now
