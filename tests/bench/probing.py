"""Probes that run in the test's own process: their results are looked at, not their times."""

from __future__ import annotations

from typing import Any

from bench.child import Result
from bench.probes import probe_of

RECORDS = 400
"""Of a load in these tests."""


def here(probe: str, **arguments: Any) -> Result:
    """Run a probe in this process."""
    return Result(probe_of(probe)(**arguments), peak=1)
