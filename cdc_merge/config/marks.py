"""A place in the file, and a mistake there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Mark:
    """A place in the file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Finding:
    """A mistake at a place in the file."""

    mark: Mark
    message: str
    hint: str | None = None


__all__ = ["Finding", "Mark"]
