"""The measures: which probes run, how often and in what order, and what their medians are held against."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.child import Result, Step, run_probe
from bench.feed import DATA, shop, tiny
from tests.support.postgres import PostgresServer, drop_database, fresh_database, postgres_server
from tests.support.s3 import moto_s3

MEMORY_GOAL = 2**30
_TINY_SECONDS_EACH = 20 / 10_000


@dataclass(frozen=True)
class Options:
    """How much is measured. `say` is told what goes on."""

    records: int = 1_000_000
    repeat: int = 3
    tiny_objects: int = 2_000
    latency_times: int = 20
    data: Path = DATA
    judge: bool = True  # by the goals: they are for the full size
    say: Callable[[str], None] = print
    probe: Callable[..., Result] = run_probe  # the one that gives each probe a process


@dataclass(frozen=True)
class Goal:
    """The most a figure may be: a ratio to the baseline, seconds, or bytes."""

    most: float
    unit: str  # "x", "s" or "bytes"


@dataclass(frozen=True)
class Figure:
    """One line of the table. Seconds are medians; `least` and `greatest` are those of the single runs.

    `cpu` is the worker's processor time (not a
    server's), `peak` the most resident memory of any run. Phases and statements are those of the median run.
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
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.seconds / self.baseline_seconds if self.baseline_seconds else None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None: there is none."""
        if self.goal is None:
            return None
        value = {"x": self.ratio, "s": self.seconds, "bytes": self.peak}[self.goal.unit]
        return value is not None and value <= self.goal.most


Taken = Mapping[str, list[Result]]


def _interleaved(options: Options, probes: Mapping[str, Callable[[], Result]]) -> Taken:
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


def _median_step(results: list[Result], step: str) -> Step:
    ranked = sorted((result.steps[step] for result in results), key=lambda s: s.seconds)
    return ranked[(len(ranked) - 1) // 2]


def _figure(measure: str, case: str, results: list[Result], step: str, **more: Any) -> Figure:
    seconds = [result.steps[step].seconds for result in results]
    middle = _median_step(results, step)
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


def _baseline(name: str, results: list[Result], step: str) -> dict[str, Any]:
    """The fields of a figure that tell what it is held against."""
    return {
        "baseline": name,
        "baseline_seconds": median(result.steps[step].seconds for result in results),
        "baseline_cpu": median(result.steps[step].cpu for result in results),
        "baseline_phases": _median_step(results, step).phases,
    }


def _goal(options: Options, most: float, unit: str) -> Goal | None:
    return Goal(most, unit) if options.judge else None


# --- DuckDB ------------------------------------------------------------------------------------------------------


def duckdb(options: Options) -> list[Figure]:
    """Objects in a directory to a merged DuckDB table, against DuckDB's bare read of the same lines."""
    feed = shop(options.records, below=options.data)
    _warm(feed.first)
    first = {"first": feed.refs(feed.first)}

    def merge(*, columns: bool, one_batch: bool) -> Callable[[], Result]:
        return lambda: options.probe(
            "merge_loads", warehouse=None, loads=first, columns=columns, one_batch=one_batch, replay=one_batch
        )

    taken = _interleaved(
        options,
        {
            "bare read": lambda: options.probe("bare_read", paths=first["first"]),
            "typed columns, one batch": merge(columns=True, one_batch=True),
            "every attribute, one batch": merge(columns=False, one_batch=True),
            "typed columns, default batch": merge(columns=True, one_batch=False),
            "every attribute, default batch": merge(columns=False, one_batch=False),
        },
    )
    floor = _baseline("read_ndjson_objects", taken["bare read"], "read")
    goal = _goal(options, 2.5, "x")
    names = [name for name in taken if name != "bare read"]
    figures = [_figure("duckdb", name, taken[name], "first", goal=goal, **floor) for name in names]
    replayed = [name for name in names if "replay" in taken[name][0].steps]
    return figures + [_figure("duckdb", f"{n}, replay", taken[n], "replay", **floor) for n in replayed]


# --- Postgres ----------------------------------------------------------------------------------------------------


def postgres(options: Options) -> list[Figure]:
    """The same to Postgres, twice, against decoding + hand-written COPY + INSERT … ON CONFLICT."""
    feed = shop(options.records, below=options.data)
    _warm((*feed.first, *feed.second))
    loads = {"first": feed.refs(feed.first), "second": feed.refs(feed.second)}
    with postgres_server() as server:

        def on_fresh(probe: str, **arguments: Any) -> Callable[[], Result]:
            def run() -> Result:
                with _database(server) as url:
                    return options.probe(probe, warehouse=url, loads=loads, **arguments)

            return run

        taken = _interleaved(
            options,
            {
                "by hand, typed columns": on_fresh("handwritten_upsert", columns=True),
                "typed columns": on_fresh("merge_loads", columns=True, one_batch=True),
                "by hand, every attribute": on_fresh("handwritten_upsert", columns=False),
                "every attribute": on_fresh("merge_loads", columns=False, one_batch=True),
                "every attribute, default batch": on_fresh("merge_loads", columns=False, one_batch=False),
            },
        )
    figures = []
    for case in ("typed columns", "every attribute", "every attribute, default batch"):
        by_hand = taken[f"by hand, {case.removesuffix(', default batch')}"]
        for load in ("first", "second"):
            figures.append(
                _figure(
                    "postgres",
                    f"{case}, {load} load",
                    taken[case],
                    load,
                    goal=_goal(options, 1.25, "x"),
                    **_baseline("decode + COPY + ON CONFLICT", by_hand, load),
                )
            )
    return figures


@contextmanager
def _database(server: PostgresServer) -> Iterator[str]:
    url = fresh_database(server)
    try:
        yield url
    finally:
        drop_database(server, url)


# --- memory, latency, small objects ------------------------------------------------------------------------------


def memory(options: Options) -> list[Figure]:
    """A backlog of three loads with default limits: how much memory the worker holds at most."""
    feed = shop(options.records, below=options.data)
    backlog = {"a": feed.refs(feed.first), "b": feed.refs(feed.second), "c": feed.refs(feed.first)}
    taken = _interleaved(
        options,
        {
            "typed columns": lambda: options.probe("merge_backlog", loads=backlog, columns=True),
            "every attribute": lambda: options.probe("merge_backlog", loads=backlog, columns=False),
        },
    )
    goal = _goal(options, MEMORY_GOAL, "bytes")
    return [_figure("memory", f"backlog, {name}", results, "backlog", goal=goal) for name, results in taken.items()]


def latency(options: Options) -> list[Figure]:
    """One new small object, seen by an idle worker: from the start of the poll to the commit."""
    feed = shop(options.records, below=options.data)
    arguments = {
        "filled_with": feed.refs(feed.first[:1]),
        "newer": str(feed.second[0]),
        "times": options.latency_times,
    }
    with postgres_server() as server, _database(server) as url:
        results = {
            "DuckDB": options.probe("latency", warehouse=None, **arguments),
            "Postgres": options.probe("latency", warehouse=url, **arguments),
        }
    figures = []
    for engine, result in results.items():
        single = [Result({"poll": step}, result.peak) for step in result.steps.values()]
        figures.append(_figure("latency", f"one new object, {engine}", single, "poll", goal=_goal(options, 0.3, "s")))
    return figures


def small(options: Options) -> list[Figure]:
    """Many objects of 1 KB, from a directory and from S3 (moto's server on this machine)."""
    paths = tiny(options.tiny_objects, below=options.data)
    _warm(paths)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # the server's line for every request
    with moto_s3() as s3:
        bucket = s3.create_bucket()
        for path in paths:
            s3.client.put_object(Bucket=bucket, Key="/".join(path.parts[-5:]), Body=path.read_bytes())
        taken = _interleaved(
            options,
            {
                "directory": lambda: options.probe("merge_tiny", changes=None, paths=[str(p) for p in paths]),
                "bare GETs": lambda: options.probe("bare_gets", changes=f"s3://{bucket}/"),
                "S3": lambda: options.probe("merge_tiny", changes=f"s3://{bucket}/", paths=[]),
            },
        )
    goal = _goal(options, _TINY_SECONDS_EACH * len(paths), "s")
    return [
        _figure("tiny", f"{len(paths):,} objects, directory", taken["directory"], "tiny", goal=goal),
        _figure(
            "tiny",
            f"{len(paths):,} objects, S3 (moto)",
            taken["S3"],
            "tiny",
            goal=goal,
            **_baseline("boto3 LIST + GETs", taken["bare GETs"], "get"),
        ),
    ]


def _warm(paths: tuple[Path, ...]) -> None:
    """Read the objects once, so that no run pays for the disk."""
    for path in paths:
        path.read_bytes()


MEASURES: Mapping[str, Callable[[Options], list[Figure]]] = {
    "duckdb": duckdb,
    "postgres": postgres,
    "memory": memory,
    "latency": latency,
    "tiny": small,
}
