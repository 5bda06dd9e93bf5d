"""What a measure gives: figures, from the medians of interleaved runs, beside a baseline and a goal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from bench.child import Result, Step, run_probe
from bench.feed import DATA
from tests.support.postgres import PostgresServer, drop_database, fresh_database

MEMORY_GOAL = 2**30
NOT_RUN = "NOT RUN"
"""How the note of a figure begins whose peer could not be measured."""


@dataclass(frozen=True)
class Options:
    """How much is measured. `say` is told what goes on, `meet` of a server that is used."""

    records: int = 1_000_000
    repeat: int = 3
    tiny_objects: int = 2_000
    latency_times: int = 20
    items: int = 3_000_000  # of an export: more than are compared at once
    postgres_items: int = 500_000
    growth_changes: int = 100_000
    growth_rows: Sequence[int] = (1_000_000, 3_000_000, 10_000_000)
    growth_postgres_rows: Sequence[int] = (300_000, 1_000_000, 3_000_000)
    batch_rows: int = 3_000_000
    batch_postgres_rows: int = 1_000_000
    scale_rows: Sequence[int] = (1_000_000, 10_000_000)
    scale_postgres_rows: Sequence[int] = (1_000_000, 10_000_000)
    scale_batches: Sequence[int] = (10_000, 100_000, 1_000_000)
    merged_objects: int = 100_000
    slow_records: int = 100_000  # for peers that handle rows one by one
    peers: Sequence[str] | None = None  # only these; None: all
    shape_scale: float = 0.1  # of 1.8 M changes into 30.1 M rows
    data: Path = DATA
    judge: bool = True  # by the goals: they are for the full size
    say: Callable[[str], None] = print
    meet: Callable[[str], None] = lambda _server: None
    probe: Callable[..., Result] = run_probe  # the one that gives each probe a process


@dataclass(frozen=True)
class Goal:
    """The most a figure may be: a ratio to the baseline, seconds, bytes, or requests."""

    most: float
    unit: str  # "x", "s", "bytes" or "requests"


@dataclass(frozen=True)
class Figure:
    """One line of the table. Seconds are medians; `least` and `greatest` are those of the single runs.

    `cpu` is the worker's processor time (not a server's; 0: not known), `peak` the most resident memory of any run.
    Phases and statements are those of the median run. `size`: rows or changes, of figures that make a curve.
    `note`: what a reader must know of the comparison.
    """

    measure: str
    case: str
    seconds: float
    least: float
    greatest: float
    cpu: float
    peak: int
    runs: int
    goal: Goal | None = None
    baseline: str = ""
    baseline_seconds: float | None = None
    baseline_cpu: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    statements: Mapping[str, float] = field(default_factory=dict)
    baseline_phases: Mapping[str, float] = field(default_factory=dict)
    baseline_counts: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    size: int | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.seconds / self.baseline_seconds if self.baseline_seconds else None

    @property
    def judged(self) -> float | None:
        """What the goal judges; None: there is no goal, or no such figure."""
        if self.goal is None:
            return None
        return {
            "x": self.ratio,
            "s": self.seconds,
            "bytes": self.peak,
            "requests": self.counts.get("requests"),
        }[self.goal.unit]

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None: there is none."""
        if self.goal is None:
            return None
        return self.judged is not None and self.judged <= self.goal.most


Taken = Mapping[str, list[Result]]


def interleaved(options: Options, probes: Mapping[str, Callable[[], Result]]) -> Taken:
    """Every probe once, then every probe again …: a machine that slows down slows all of them."""
    taken: dict[str, list[Result]] = {name: [] for name in probes}
    for turn in range(options.repeat):
        for name, probe in probes.items():
            result = probe()
            taken[name].append(result)
            steps = ", ".join(
                f"{label} {step.seconds:.2f} s (cpu {step.cpu:.2f})" for label, step in list(result.steps.items())[:3]
            )
            options.say(f"  {name} [{turn + 1}/{options.repeat}]: {steps}, {result.peak / 2**20:.0f} MiB")
    return taken


def median_step(results: list[Result], step: str) -> Step:
    ranked = sorted((result.steps[step] for result in results), key=lambda s: s.seconds)
    return ranked[(len(ranked) - 1) // 2]


def figure_of(measure: str, case: str, results: list[Result], step: str, **more: Any) -> Figure:
    seconds = [result.steps[step].seconds for result in results]
    middle = median_step(results, step)
    return Figure(
        measure,
        case,
        median(seconds),
        min(seconds),
        max(seconds),
        median(result.steps[step].cpu for result in results),
        max(result.peak for result in results),
        len(results),
        phases=middle.phases,
        statements=middle.statements,
        counts=middle.counts,
        **more,
    )


def baseline_of(name: str, results: list[Result], step: str) -> dict[str, Any]:
    """The fields of a figure that tell what it is held against."""
    return {
        "baseline": name,
        "baseline_seconds": median(result.steps[step].seconds for result in results),
        "baseline_cpu": median(result.steps[step].cpu for result in results),
        "baseline_phases": median_step(results, step).phases,
        "baseline_counts": median_step(results, step).counts,
    }


def goal_of(options: Options, most: float, unit: str) -> Goal | None:
    return Goal(most, unit) if options.judge else None


def expected_of(options: Options, loads: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """What tables must hold after these loads, by SQL that shares nothing with ours: rows, and a digest.

    `table`: over all columns; `keys`: over the keys alone, for a table whose columns are as they come. A probe finds
    it, as the memory of the process that starts probes would be theirs for a moment.
    """
    counts = options.probe("digest_by_sql", loads=loads).steps["digest"].counts
    return {name: [counts["rows"], counts[name]] for name in ("table", "keys")}


@contextmanager
def database(server: PostgresServer) -> Iterator[str]:
    """A database of its own for the time of the block."""
    url = fresh_database(server)
    try:
        yield url
    finally:
        drop_database(server, url)


@contextmanager
def database_like(server: PostgresServer, template: str) -> Iterator[str]:
    """A copy of a database, for the time of the block; nobody may be connected to the other."""
    url = fresh_database(server)
    name, other = (urlsplit(each).path[1:] for each in (url, template))
    with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f'DROP DATABASE "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{other}" STRATEGY FILE_COPY')
    try:
        yield url
    finally:
        drop_database(server, url)


def warm(paths: Iterable[Path]) -> None:
    """Read the objects once, so that no run pays for the disk."""
    for path in paths:
        path.read_bytes()
