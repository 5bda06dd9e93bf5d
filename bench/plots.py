"""Plots of figures as SVG, drawn by hand: bars of ours beside what it is held against, and curves over size."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from textwrap import wrap

from bench.figures import NOT_RUN, Figure
from bench.report import told

OURS, THEIRS, GOAL = "#1f6feb", "#9aa4b2", "#cf222e"
_WIDTH, _LABEL, _BAR, _GAP = 960, 400, 13, 12
_LINE = 15  # of a label
_LETTERS = 58  # of a label's line
_PLOT_HEIGHT, _MARGIN = 320, 60
_TEXT = 'font-family="sans-serif" font-size="12" fill="#24292f"'
_UNITS = {"memory": "bytes", "poll": "requests", "cost": "requests"}  # what these measures are about; others: seconds


def bars(figures: Sequence[Figure]) -> str:
    """Two bars a figure: ours, and the baseline below it if it has one; a dashed line where the goal is."""
    drawn = [(figure, _UNITS.get(figure.measure, "s")) for figure in figures]
    values = [value for f, unit in drawn for value in (_ours(f, unit), _theirs(f, unit), _goal(f, unit)) if value]
    most = max(values, default=1.0)
    room = _WIDTH - _LABEL - 110
    parts, y = [], float(_GAP)
    for figure, unit in drawn:
        pairs: list[tuple[str, float | None, str]] = [(figure.case, _ours(figure, unit), OURS)]
        if figure.baseline:
            pairs.append((figure.baseline, _theirs(figure, unit), THEIRS))
        top = y
        for name, value, colour in pairs:
            length = room * (value or 0.0) / most
            parts.append(f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>')
            unknown = "not run" if figure.note.startswith(NOT_RUN) else ""
            parts.append(_text(_LABEL + length + 6, y + _BAR - 2, unknown if value is None else told(value, unit)))
            for line in wrap(name, _LETTERS):
                parts.append(_text(_LABEL - 8, y + _BAR - 2, line, anchor="end"))
                y += _LINE + 1
        if goal := _goal(figure, unit):
            x = _LABEL + room * goal / most
            parts.append(_rule(x, top - 3, x, y, colour=GOAL, dashes="4 3"))
        y += _GAP
    return _svg(y, parts)


def _ours(figure: Figure, unit: str) -> float | None:
    return {"s": figure.seconds, "bytes": figure.peak, "requests": figure.counts.get("requests")}[unit]


def _theirs(figure: Figure, unit: str) -> float | None:
    return {"s": figure.baseline_seconds, "bytes": None, "requests": figure.baseline_counts.get("requests")}[unit]


def _goal(figure: Figure, unit: str) -> float | None:
    """The most that may be, in what is drawn; None: there is no goal, or it is of something else."""
    if figure.goal is None:
        return None
    if figure.goal.unit == "x" and unit == "s" and figure.baseline_seconds:
        return figure.goal.most * figure.baseline_seconds
    return figure.goal.most if figure.goal.unit == unit else None


def curve(figures: Sequence[Figure]) -> str:
    """Seconds over size, both by powers of ten: ours, and the baseline. Figures without a size are left out."""
    shown = sorted((figure for figure in figures if figure.size), key=lambda figure: figure.size or 0)
    lines: dict[str, list[tuple[float, float]]] = {OURS: [(f.size or 0, f.seconds) for f in shown]}
    if theirs := [(float(f.size or 0), f.baseline_seconds) for f in shown if f.baseline_seconds]:
        lines[THEIRS] = theirs
    points = [(log10(x), log10(max(y, 1e-4))) for line in lines.values() for x, y in line]
    left, right = floor(min(x for x, _ in points)), ceil(max(x for x, _ in points) + 1e-9)
    low, high = floor(min(y for _, y in points)), ceil(max(y for _, y in points) + 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - left) / max(1, right - left)
        up = (log10(max(y, 1e-4)) - low) / max(1, high - low)
        return _MARGIN + across * (_WIDTH - 2 * _MARGIN), _MARGIN + (1 - up) * (_PLOT_HEIGHT - 2 * _MARGIN)

    parts = []
    for power in range(left, right + 1):
        x, _ = place(10**power, 10**low)
        parts.append(_rule(x, _MARGIN, x, _PLOT_HEIGHT - _MARGIN))
        parts.append(_text(x, _PLOT_HEIGHT - _MARGIN + 18, f"{10**power:,}", anchor="middle"))
    for power in range(low, high + 1):
        _, y = place(10**left, 10.0**power)
        parts.append(_rule(_MARGIN, y, _WIDTH - _MARGIN, y))
        parts.append(_text(_MARGIN - 6, y + 4, f"{10.0**power:g} s", anchor="end"))
    for (colour, line), name in zip(lines.items(), ("cdc-merge", shown[0].baseline), strict=False):
        places = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
        parts.append(_text(_MARGIN + (0 if colour == OURS else 140), 24, f"● {name}", colour=colour))
    return _svg(_PLOT_HEIGHT, parts)


def _svg(height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str | None = None) -> str:
    style = _TEXT.replace("#24292f", colour) if colour else _TEXT
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, *, colour: str = "#e5e8ec", dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'
