"""Tries again what a busy warehouse or store may refuse for a moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from cdc_merge.errors import Transient
from cdc_merge.logs import get_logger

_TRIES = 9  # about a minute of backing off: a file or a row may be kept by a long merge
_LONGEST_WAIT_SECONDS = 15.0

Result = TypeVar("Result")

log = get_logger("cdc_merge.items")


def patiently(work: Callable[[], Result], *, source: str, sleep: Callable[[float], None] = time.sleep) -> Result:
    """Do work that may fail in passing; raises the ninth Transient error."""
    for attempt in range(1, _TRIES + 1):
        try:
            return work()
        except Transient as error:
            if attempt == _TRIES:
                raise
            log.warning("will_retry", source=source, error=str(error), kind=type(error).__name__)
        sleep(min(_LONGEST_WAIT_SECONDS, 0.25 * 2.0**attempt) * (0.5 + random.random() / 2))
    raise AssertionError("the loop returns or raises")
