"""What some engines want done to their tables now and then, and in which hours of the day."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from cdc_merge.errors import UsageError

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """Hours of each day, in UTC, from `start` to just before `end`; past midnight where `end` is the earlier."""

    start: time
    end: time

    def opened_at(self, now: datetime) -> datetime | None:
        """When the window opened that is open now; None: none is."""
        opened = self._last_start(now)
        length = (datetime.combine(opened, self.end) - datetime.combine(opened, self.start)) % _DAY
        return opened if now - opened < length else None

    def opens_at(self, now: datetime) -> datetime:
        """When the next one opens."""
        return self._last_start(now) + _DAY

    def _last_start(self, now: datetime) -> datetime:
        today = now.replace(hour=self.start.hour, minute=self.start.minute, second=0, microsecond=0)
        return today if today <= now else today - _DAY


def read_window(text: str) -> Window:
    """`01:00-05:30`. Raises UsageError."""
    found = _HOURS.fullmatch(text)
    if not found or text[:5] == text[6:]:
        raise UsageError(f"{text!r} are no hours of the day", hint="write them as vacuum=01:00-05:30, in UTC")
    start_hour, start_minute, end_hour, end_minute = map(int, found.groups())
    return Window(time(start_hour, start_minute), time(end_hour, end_minute))


@dataclass(frozen=True)
class Tidying:
    """`tidy` does all that a table (schema, name) needs, outside of any transaction; it may take hours.

    It raises WarehouseUnavailable and WarehouseRefused.
    """

    window: Window
    tidy: Callable[[str, str], None]


__all__ = ["Tidying", "Window", "read_window"]
