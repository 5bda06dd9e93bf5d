"""Runs a probe in a process of its own, and watches the memory of it and its children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_SAMPLE_SECONDS = 0.02
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Step:
    """One timed step of a probe. `phases` and `statements`: seconds by name; `counts`: the books.

    `cpu`: seconds that all threads of the process and its children were busy, which a loaded machine changes less
    than the clock. `note`: what a reader must know.
    """

    seconds: float
    cpu: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    statements: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


class Watch:
    """Reads the clock and the processor's time since it was made."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), _busy()

    def step(self, **more: Any) -> Step:
        """A step that ends now."""
        return Step(time.perf_counter() - self._began, _busy() - self._cpu, **more)


def _busy() -> float:
    """Processor time of this process, and of its children that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="cdc-merge-bench-") as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Result:
    """What a probe measured, step by step, and the most memory it held: resident bytes, children included."""

    steps: Mapping[str, Step]
    peak: int
    facts: Mapping[str, Any] = field(default_factory=dict)


def run_probe(name: str, **arguments: Any) -> Result:
    """Run the probe `name` of bench.probes or bench.baselines to its end.

    Raises RuntimeError when it fails; its own words are on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="cdc-merge-bench-") as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        request.write_text(json.dumps(arguments))  # thousands of paths are too much for a command line
        command = [sys.executable, "-m", "bench.probes", name, str(request), str(answer)]
        process = subprocess.Popen(command, cwd=_ROOT, env={**os.environ, "TMPDIR": folder})
        peak = _watch(process)
        if process.returncode:
            raise RuntimeError(f"the probe {name} failed with exit code {process.returncode}")
        found = json.loads(answer.read_text())
    steps = {label: Step(**step) for label, step in found["steps"].items()}
    return Result(steps, max(peak, found["peak"]), found["facts"])


def _watch(process: subprocess.Popen[bytes]) -> int:
    """The most resident bytes of the process and its children at one moment, until it ends."""
    peak = 0
    try:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(parent))
            time.sleep(_SAMPLE_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return peak


def _resident(parent: psutil.Process) -> int:
    total = 0
    try:
        for one in (parent, *parent.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        return total  # it ended meanwhile
    return total
