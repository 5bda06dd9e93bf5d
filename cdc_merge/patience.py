"""Tries again what a busy warehouse or store may refuse for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from cdc_merge.errors import Transient
from cdc_merge.logs import get_logger

TRIES = 9  # about a minute of backing off: a file or a row may be kept by a long merge
LONGEST_WAIT_SECONDS = 15.0

Result = TypeVar("Result")

log = get_logger("cdc_merge.patience")


def patiently(
    work: Callable[[], Result],
    *,
    source: str,
    wait: Callable[[float], None] = time.sleep,
    again: type[Transient] = Transient,
    never: type[Transient] | None = None,
) -> Result:
    """Do work that may fail in passing: errors `again` are tried anew, except for their kind `never`.

    `wait`: for so many seconds; may raise to stop. Raises the error of the last try.
    """

    def may_pass(error: BaseException) -> bool:
        return isinstance(error, again) and not (never and isinstance(error, never))

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("will_retry", source=source, error=str(error), kind=type(error).__name__)

    retrying = Retrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_SECONDS),
        before_sleep=tell,
        sleep=wait,
        reraise=True,
    )
    return retrying(work)
