"""Locks of whole tables, held from the first UPDATE, DELETE or MERGE of a table to the end of the transaction.

https://docs.snowflake.com/en/sql-reference/transactions#resource-locking
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from tests.doubles.snowflake.refusals import refuse

Table = tuple[str, str, str]

TIMED_OUT = 625
DEADLOCK = 660
CANCELED = 604


class Holder(Protocol):
    """A session."""

    def give_up_if_idle(self) -> None:
        """Roll back what keeps others waiting while nothing is done."""


class Locks:
    """Who holds which table; one for all sessions."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: dict[Table, Holder] = {}
        self._waits: dict[Holder, Table] = {}

    def take(self, table: Table, holder: Holder, *, patience: float, is_canceled: Callable[[], bool]) -> None:
        """Wait until no one else holds the table.

        Raises the service's errors: lock timeout, deadlock (the statement that waits last gives up), canceled.
        """
        deadline = time.monotonic() + patience
        with self._changed:
            self._waits[holder] = table
            try:
                while self._holders.get(table, holder) is not holder:
                    if self._is_circle(holder):
                        refuse(DEADLOCK, "40001", "Deadlock detected: the statement was aborted")
                    if is_canceled():
                        refuse(CANCELED, "57014", "SQL execution canceled")
                    if time.monotonic() >= deadline:
                        name = ".".join(table)
                        refuse(TIMED_OUT, "57014", f"Statement was aborted: the lock of {name} was not released")
                    self._holders[table].give_up_if_idle()
                    self._changed.wait(0.05)
            finally:
                del self._waits[holder]
            self._holders[table] = holder

    def release(self, holder: Holder) -> None:
        """Let go of all that a session holds."""
        with self._changed:
            self._holders = {t: h for t, h in self._holders.items() if h is not holder}
            self._changed.notify_all()

    def _is_circle(self, holder: Holder) -> bool:
        seen = set()
        at: Holder | None = holder
        while at is not None and id(at) not in seen:
            seen.add(id(at))
            waited_for = self._waits.get(at)
            at = self._holders.get(waited_for) if waited_for else None
            if at is holder:
                return True
        return False
