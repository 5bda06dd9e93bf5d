"""The goals in short: what was to be reached, what was found at best and at worst, and where it is said why not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure
from bench.runs import Taking, sections

_ROOT = Path(__file__).parents[1]
# Where it is said what stands in the way; a goal that is missed and not here is missed without a word.
_WHY = dict.fromkeys(
    (
        "duckdb",
        "postgres",
        "decode",
        "reconcile",
        "peers-duckdb",
        "peers-postgres",
        "disorder",
        "growth-postgres",
        "shape",
    ),
    "docs/decisions/0013-where-the-time-goes.md",
) | dict.fromkeys(("scale", "scale-postgres", "scale-databend"), "docs/scale.md")


@dataclass(frozen=True)
class Judged:
    """A goal of a measure, and what its cases came to. None: a case has no such figure."""

    measure: str
    most: float
    unit: str
    best: float | None
    worst: float | None
    met: int
    cases: int
    why: str

    def link(self, folder: Path) -> str:
        """The page that says why not, from a file in this folder; nothing if there is none."""
        return os.path.relpath(_ROOT / self.why, folder) if self.why else ""


def judged(takings: Sequence[Taking]) -> list[Judged]:
    """The goals of each measure, in the order of the measures."""
    return [
        _of(measure, most, unit, [f for f, _ in section if f.goal and (f.goal.most, f.goal.unit) == (most, unit)])
        for measure, section in sections(takings).items()
        for most, unit in dict.fromkeys((f.goal.most, f.goal.unit) for f, _ in section if f.goal)
    ]


def _of(measure: str, most: float, unit: str, figures: Sequence[Figure]) -> Judged:
    values = [figure.judged for figure in figures]
    known = [value for value in values if value is not None]
    met = sum(1 for figure in figures if figure.is_met)
    return Judged(
        measure,
        most,
        unit,
        min(known, default=None),
        max(known) if len(known) == len(values) else None,
        met,
        len(figures),
        _WHY.get(measure, "") if met < len(figures) else "",
    )
