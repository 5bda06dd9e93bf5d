"""The tables people read: the goals, all figures, where they come from, and the block of them in bench/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures import MEMORY_GOAL, Figure, Goal
from bench.goals import Judged, judged
from bench.runs import Taking, number_of, runs_of, sections

BEGIN, END = "<!-- figures: written by --write -->", "<!-- end of figures -->"
HEADINGS = (
    *("measure", "case", "seconds", "least – most", "runs", "cpu s", "baseline", "seconds", "cpu s", "ratio"),
    *("goal", "met", "peak MiB", "≤ 1 GiB", "counted", "phases", "note"),
)
GOAL_HEADINGS = ("measure", "goal", "found", "met", "why not")
_COUNTED = ("requests", "statements", "transactions", "staged_rows", "fetched_bytes", "staged_bytes")


def table(takings: Sequence[Taking]) -> str:
    """All figures as one Markdown table, in columns that line up; `from`, where there are several runs: which one."""
    is_mixed = len(runs_of(takings)) > 1
    headings = (*HEADINGS, "from") if is_mixed else HEADINGS
    rows = [
        (*cells(figure), str(number)) if is_mixed else cells(figure)
        for section in sections(takings).values()
        for figure, number in section
    ]
    return _markdown(headings, rows)


def goal_table(takings: Sequence[Taking], folder: Path) -> str:
    """What was to be reached, and whether it is; links are those of a file in this folder."""
    rows = []
    for each in judged(takings):
        link = each.link(folder)
        rows.append((*goal_cells(each), f"[why]({link})" if link else ""))
    return _markdown(GOAL_HEADINGS, rows)


def goal_cells(goal: Judged) -> tuple[str, ...]:
    """What a row of the table of goals says, but for the last of GOAL_HEADINGS."""
    met = "yes" if goal.met == goal.cases else "NO" if not goal.met else f"{goal.met} of {goal.cases}"
    found = told(goal.best, goal.unit)
    if goal.best != goal.worst:
        found = f"{found} – {told(goal.worst, goal.unit)}"
    return goal.measure, goal_text(Goal(goal.most, goal.unit)), found, met


def goal_text(goal: Goal | None) -> str:
    return f"≤ {told(goal.most, goal.unit)}" if goal else ""


def told(value: float | None, unit: str) -> str:
    """A ratio, seconds, bytes or requests, in words."""
    if value is None:
        return "nothing"
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB"
    if unit == "requests":
        return f"{value:,g} request{'' if value == 1 else 's'}"
    return f"{value:.3g} {'×' if unit == 'x' else 's'}"


def cells(figure: Figure) -> tuple[str, ...]:
    """What a row of the table says, under HEADINGS."""
    return (
        figure.measure,
        figure.case,
        _seconds(figure.seconds),
        f"{_seconds(figure.least)} – {_seconds(figure.greatest)}",
        str(figure.runs),
        f"{figure.cpu:.2f}" if figure.cpu else "",
        figure.baseline,
        _seconds(figure.baseline_seconds) if figure.baseline_seconds else "",
        f"{figure.baseline_cpu:.2f}" if figure.baseline_cpu else "",
        f"{figure.ratio:.2f}" if figure.ratio else "",
        goal_text(figure.goal),
        {True: "yes", False: "NO", None: ""}[figure.is_met],
        f"{figure.peak / 2**20:.0f}",
        "yes" if figure.peak <= MEMORY_GOAL else "NO",
        _beside(_counted(figure.counts), _counted(figure.baseline_counts)),
        _beside(_phases(figure.phases), _phases(figure.baseline_phases)),
        figure.note,
    )


def origin(takings: Sequence[Taking]) -> list[str]:
    """Each run in words: the command, when, on which commit, and which measures came from it, at which load."""
    lines = []
    runs = runs_of(takings)
    for number, run in enumerate(runs, start=1):
        own = [taking for taking in takings if number_of(taking, runs) == number]
        measures = ", ".join(f"{taking.measure} ({taking.at:%H:%M}, load {taking.load:g})" for taking in own)
        lines.append(f"`{run.command}` on {run.at:%Y-%m-%d}, commit {run.commit}: {measures}.")
    return lines


def setting(takings: Sequence[Taking]) -> str:
    """The machine and what was on it, and whether all figures are of the same state of the code."""
    runs = runs_of(takings)
    machine = runs[-1].machine
    packages = ", ".join(f"{name} {number}" for name, number in runs[-1].versions.items())
    servers = ", ".join(dict.fromkeys(run.postgres for run in runs if run.postgres))
    words = (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.system}; "
        f"Python {runs[-1].python}, {packages}{f'; {servers}' if servers else ''}. "
        "The load is that of the machine just before a measure, as a number of busy cores; a measure's own work is "
        "in that of the next."
    )
    if len(commits := list(dict.fromkeys(run.commit for run in runs))) > 1:
        words += f" Commits differ ({', '.join(commits)}): hold figures of one run against each other only."
    if len({(run.python, *run.versions.items()) for run in runs}) > 1:
        words += " Versions of packages differ; those of the last run are named."
    return words


def in_words(takings: Sequence[Taking], folder: Path) -> str:
    """The whole report as Markdown, for a file in this folder."""
    goals = f"{goal_table(takings, folder)}\n\n" if judged(takings) else ""
    runs = "\n".join(f"{number}. {line}" for number, line in enumerate(origin(takings), start=1))
    return f"{setting(takings)}\n\n{goals}{table(takings)}\n\n{runs}"


def write_readme(path: Path, takings: Sequence[Taking]) -> None:
    """Put the report in place of the block of figures. Raises ValueError if the file has no such block."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n\n{in_words(takings, path.parent)}\n\n{END}{after}", encoding="utf-8")


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every = [headings, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(headings))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in every]
    rule = "| " + " | ".join("-" * w for w in widths) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _beside(ours: str, baseline: str) -> str:
    return f"{ours} (baseline: {baseline})" if ours and baseline else ours


def _counted(counts: Mapping[str, int]) -> str:
    """What a figure counted beside its time."""
    texts = []
    for name in _COUNTED:
        if name in counts:
            is_size = name.endswith("_bytes")
            text = f"{counts[name] / 2**20:,.0f} MiB" if is_size else f"{counts[name]:,}"
            texts.append(f"{name.removesuffix('_bytes').replace('_', ' ')} {text}")
    return ", ".join(texts)


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _phases(phases: Mapping[str, float]) -> str:
    return " ".join(f"{name} {seconds:.2f}" for name, seconds in phases.items())
