"""Counts and lists as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 object`, `2 objects`, `1,000 entries`; `many`: the plural where it takes more than an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """`PK`, `PK and SK`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


__all__ = ["count", "listed"]
