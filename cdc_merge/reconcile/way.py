"""How a reconcile is to be made, as whoever wants it says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """`dry_run`: compare and report only. `force`: lift those safety limits that can be.

    `rebuild`: fill new tables, with the columns that the configuration asks for now, and put them in the place of the
    old ones; changes since then are merged once more where they are needed.
    """

    dry_run: bool = False
    force: bool = False
    rebuild: bool = False


REPAIR = Way()
