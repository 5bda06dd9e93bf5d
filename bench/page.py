"""The report as one HTML file that needs nothing beside it: what was measured, plots, and every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import groupby
from pathlib import Path

from bench.figures import Figure
from bench.plots import bars, curve
from bench.report import HEADINGS, Machine, cells, describe

_STYLE = """
body { font: 15px/1.5 sans-serif; color: #24292f; max-width: 1180px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-size: 12px; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #e5e8ec; padding: 3px 8px; text-align: left; vertical-align: top }
.no { background: #ffebe9 } .missing { background: #fff8c5 } svg { max-width: 100%; height: auto }
"""


def write_page(
    path: Path,
    machine: Machine,
    figures: Sequence[Figure],
    *,
    command: str,
    at: datetime,
    about: Mapping[str, str],
) -> None:
    """Write the report; `about`: the sentence of each measure."""
    sections = "".join(
        _section(measure, list(group), about.get(measure, ""))
        for measure, group in groupby(figures, key=lambda figure: figure.measure)
    )
    judged = [figure for figure in figures if figure.is_met is not None]
    met = sum(1 for figure in judged if figure.is_met)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>cdc-merge: benches</title>'
        f"<style>{_STYLE}</style></head><body><h1>cdc-merge: benches</h1>"
        f"<p>{escape(describe(machine, command=command, at=at)).replace('`', '')}</p>"
        f"<p>Goals: {met} of {len(judged)} are met. Blue is ours, grey what it is held against in the same run; "
        "seconds are medians. A red row misses its goal; a yellow one names a peer that could not be run.</p>"
        f"{sections}</body></html>\n",
        encoding="utf-8",
    )


def _section(measure: str, figures: Sequence[Figure], about: str) -> str:
    plot = curve(figures) if sum(1 for figure in figures if figure.size) > 1 else bars(figures)
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS[1:])
    rows = "".join(_row(figure) for figure in figures)
    return (
        f"<h2>{escape(measure)}</h2><p>{escape(about)}</p>{plot}"
        f"<details><summary>figures</summary><table><tr>{heads}</tr>{rows}</table></details>"
    )


def _row(figure: Figure) -> str:
    kind = "no" if figure.is_met is False else "missing" if figure.note.startswith("NOT RUN") else ""
    return f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells(figure)[1:]) + "</tr>"
