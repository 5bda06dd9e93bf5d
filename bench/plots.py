"""Plots of figures as SVG, drawn by hand: bars of ours beside what it is held against, and curves over size."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from bench.figures import Figure

OURS, THEIRS = "#1f6feb", "#9aa4b2"
_WIDTH, _LABEL, _BAR, _GAP = 960, 400, 13, 12
_PLOT_HEIGHT, _MARGIN = 320, 60
_TEXT = 'font-family="sans-serif" font-size="12" fill="#24292f"'


def bars(figures: Sequence[Figure]) -> str:
    """Two bars a figure, seconds: ours, and the baseline below it if it has one."""
    most = max((seconds for f in figures for seconds in (f.seconds, f.baseline_seconds or 0.0)), default=1.0) or 1.0
    room = _WIDTH - _LABEL - 90
    parts, y = [], _GAP
    for figure in figures:
        pairs = [(figure.case, figure.seconds, OURS)]
        if figure.baseline:
            pairs.append((figure.baseline, figure.baseline_seconds, THEIRS))
        for name, seconds, colour in pairs:
            parts.append(_text(_LABEL - 8, y + _BAR - 2, name, anchor="end"))
            length = room * (seconds or 0.0) / most
            parts.append(f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>')
            told = "not run" if seconds is None and figure.note else "" if seconds is None else f"{seconds:.3g} s"
            parts.append(_text(_LABEL + length + 6, y + _BAR - 2, told))
            y += _BAR + 3
        y += _GAP
    return _svg(y, parts)


def curve(figures: Sequence[Figure]) -> str:
    """Seconds over size, both by powers of ten: ours, and the baseline. Figures without a size are left out."""
    shown = sorted((figure for figure in figures if figure.size), key=lambda figure: figure.size or 0)
    lines = {OURS: [(f.size or 0, f.seconds) for f in shown]}
    if theirs := [(f.size or 0, f.baseline_seconds) for f in shown if f.baseline_seconds]:
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


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e5e8ec"/>'
