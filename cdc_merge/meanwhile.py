"""Keeps a worker's lease, its health and its ears open while the warehouse is busy with one long statement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CHECK_SECONDS = 5.0


@contextmanager
def checking(check: Callable[[], None], *, every: float = CHECK_SECONDS) -> Iterator[None]:
    """Calls `check` now and then, from a thread, until the block has ended; then raises what it raised."""
    is_over, raised = threading.Event(), list[BaseException]()

    def keep() -> None:
        while not is_over.wait(every):
            try:
                check()
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                raised.append(error)
                return

    thread = threading.Thread(target=keep, name="meanwhile", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if raised:
        raise raised[0]


__all__ = ["checking"]
