"""The report as one HTML file that needs nothing beside it: the goals, what was measured, plots, and every figure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from bench.figures import NOT_RUN, Figure
from bench.goals import judged
from bench.plots import bars, curve
from bench.report import GOAL_HEADINGS, HEADINGS, cells, goal_cells, origin, setting
from bench.runs import Taking, sections

_STYLE = """
body { font: 15px/1.5 sans-serif; color: #24292f; max-width: 1180px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-size: 12px; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #e5e8ec; padding: 3px 8px; text-align: left; vertical-align: top }
.no { background: #ffebe9 } .missing { background: #fff8c5 } svg { max-width: 100%; height: auto }
"""


def write_page(path: Path, takings: Sequence[Taking], *, about: Mapping[str, str]) -> None:
    """Write the report; `about`: the sentence of each measure."""
    parts = "".join(
        _section(measure, section, about.get(measure, "")) for measure, section in sections(takings).items()
    )
    every = [figure for taking in takings for figure in taking.figures if figure.is_met is not None]
    met = sum(1 for figure in every if figure.is_met)
    runs = "".join(f"<li>{_code(line)}</li>" for line in origin(takings))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>cdc-merge: benches</title>'
        f"<style>{_STYLE}</style></head><body><h1>cdc-merge: benches</h1><p>{escape(setting(takings))}</p>"
        f"{_goals(takings, path.parent)}"
        f"<p>Goals: {met} of {len(every)} cases meet theirs. Blue is ours, grey what it is held against in the same "
        "run, a dashed line the goal; seconds are medians. A red row misses its goal; a yellow one names a peer that "
        f"could not be run.</p><h2>Runs</h2><ol>{runs}</ol>{parts}</body></html>\n",
        encoding="utf-8",
    )


def _goals(takings: Sequence[Taking], folder: Path) -> str:
    rows = ""
    for each in judged(takings):
        link = each.link(folder)
        why = f'<a href="{escape(link)}">where the time goes</a>' if link else ""
        kind = "" if each.met == each.cases else "no"
        rows += f'<tr class="{kind}">{_cells(goal_cells(each))}<td>{why}</td></tr>'
    return f"<h2>Goals</h2><table><tr>{_heads(GOAL_HEADINGS)}</tr>{rows}</table>" if rows else ""


def _section(measure: str, section: Sequence[tuple[Figure, int]], about: str) -> str:
    figures = [figure for figure, _ in section]
    sized = [figure for figure in figures if figure.size]
    drawn = [figure for figure in figures if figure not in sized] if len(sized) > 1 else figures
    plot = (curve(sized) if len(sized) > 1 else "") + (bars(drawn) if drawn else "")
    rows = "".join(_row(figure, number) for figure, number in section)
    is_open = " open" if any(figure.is_met is False for figure in figures) else ""
    return (
        f"<h2>{escape(measure)}</h2><p>{escape(about)}</p>{plot}"
        f"<details{is_open}><summary>figures</summary><table><tr>{_heads((*HEADINGS[1:], 'from run'))}</tr>{rows}"
        "</table></details>"
    )


def _row(figure: Figure, number: int) -> str:
    kind = "no" if figure.is_met is False else "missing" if figure.note.startswith(NOT_RUN) else ""
    return f'<tr class="{kind}">{_cells((*cells(figure)[1:], str(number)))}</tr>'


def _heads(headings: Sequence[str]) -> str:
    return "".join(f"<th>{escape(heading)}</th>" for heading in headings)


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _code(line: str) -> str:
    """What is between backticks, as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(line))
