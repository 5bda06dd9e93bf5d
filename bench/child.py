"""Runs a probe in a process of its own, and watches the memory of it and its children."""

from __future__ import annotations

import json
import os
import resource
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
    than the clock. `note`: what a reader must know. `peak`: the most memory the process has held so far.
    """

    seconds: float
    cpu: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    statements: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    peak: int = 0


class Watch:
    """Reads the clock and the processor's time since it was made."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), _busy()

    def step(self, **more: Any) -> Step:
        """A step that ends now."""
        return Step(time.perf_counter() - self._began, _busy() - self._cpu, peak=most_resident(), **more)


def most_resident() -> int:
    """The most resident bytes of this process until now."""
    if sys.platform == "linux":
        # Not getrusage's: a new program starts with the maximum of the process that started it.
        # https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere: getrusage(2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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


def run_probe(name: str, **arguments: Any) -> Result:
    """Run the probe `name` of bench.probes to its end.

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
    return Result(steps, max(peak, found["peak"]))


def _watch(process: subprocess.Popen[bytes]) -> int:
    """The most resident bytes of the process and its children at one moment, while it has children; until it ends."""
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
        if children := parent.children(recursive=True):
            for one in (parent, *children):
                total += one.memory_info().rss
    except psutil.NoSuchProcess:
        return total  # it ended meanwhile
    return total
