"""The schemas of a test: the same names in every warehouse of its own, and names of its own in one that it shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """`schema`: of targets. `metadata`: of the books. `own`: there from the beginning; None: the engine's default.

    `prefix`: what every other schema of the test begins with.
    """

    schema: str = "analytics"
    metadata: str = "cdc_merge"
    own: str | None = None
    prefix: str = ""


_LENT: dict[str, Names] = {}


def lend(url: str, names: Names) -> None:
    """From now on the warehouse of this URL has these names."""
    _LENT[url] = names


def names_of(url: str) -> Names:
    """The names of a warehouse's test."""
    return _LENT.get(url, Names())


__all__ = ["Names", "lend", "names_of"]
