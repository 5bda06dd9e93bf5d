"""Tidies the tables of a source once in each window of hours, beside its merges, where the engine asks for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import perf_counter

from cdc_merge.errors import CdcMergeError
from cdc_merge.logs import get_logger
from cdc_merge.metrics import Metrics
from cdc_merge.model import Source
from cdc_merge.names import history_table
from cdc_merge.unforeseen import UNFORESEEN
from cdc_merge.warehouses.tidying import Tidying

_LONGEST_WAIT = 60.0  # seconds between looks at the clock, which may be set
_TRY_AGAIN_SECONDS = 900.0

log = get_logger("cdc_merge.worker")


class Housekeeping:
    """One table after the other, for as long as this worker holds the source's lease and the window is open.

    Whatever comes of it, merging goes on: a table that fails is logged, and tried again within the window.
    """

    def __init__(
        self,
        source: Source,
        tidying: Tidying,
        *,
        schema: str,
        metrics: Metrics,
        clock: Callable[[], datetime],
        holds_lease: Callable[[], bool],
        check: Callable[[], None],
    ) -> None:
        """`check` raises Stopping when the worker is to end."""
        self._source = source
        self._tidying = tidying
        self._schema = schema
        self._metrics = metrics
        self._clock = clock
        self._holds_lease = holds_lease
        self._check = check
        self._window: datetime | None = None  # the one whose tables `_left` has
        self._left: list[str] = []

    def attend(self) -> float:
        """Tidy what is left of this window; the seconds until it is worth looking again. Raises Stopping."""
        now = self._clock()
        opened = self._tidying.window.opened_at(now)
        if opened is None:
            return min(_LONGEST_WAIT, (self._tidying.window.opens_at(now) - now).total_seconds())
        if not self._holds_lease():
            return 1.0
        if opened != self._window:
            self._window, self._left = opened, self._tables()
        failed = [table for table in self._left if self._is_time_for(table, opened) and not self._tidy(table)]
        self._left = failed
        return _TRY_AGAIN_SECONDS if failed else _LONGEST_WAIT

    def _is_time_for(self, table: str, opened: datetime) -> bool:
        self._check()
        is_open = self._holds_lease() and self._tidying.window.opened_at(self._clock()) == opened
        if not is_open:
            log.info("table_not_tidied", source=self._source.name, table=table)
        return is_open

    def _tidy(self, table: str) -> bool:
        name, began = self._source.name, perf_counter()
        try:
            self._tidying.tidy(self._schema, table)
        except (CdcMergeError, *UNFORESEEN) as error:
            self._check()  # it was broken off
            kind = type(error).__name__
            traceback = None if isinstance(error, CdcMergeError) else error
            self._metrics.retried(name, kind)
            log.warning("tidying_failed", source=name, table=table, error=str(error), kind=kind, exc_info=traceback)
            return False
        log.info("table_tidied", source=name, table=table, seconds=round(perf_counter() - began, 3))
        return True

    def _tables(self) -> list[str]:
        tables = [t.table for t in self._source.targets]
        return [*tables, *(history_table(t.table) for t in self._source.targets if t.has_history)]


__all__ = ["Housekeeping"]
