"""What the tests of the benches share: small data, made once for each of them, and measures that take moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.figures import Options
from tests.bench.probing import RECORDS, here


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def options(data: Path) -> Options:
    """Each measure once, in this process, with no goals."""
    return Options(
        records=RECORDS,
        repeat=1,
        tiny_objects=12,
        latency_times=2,
        merged_objects=15_000,
        items=1_200,
        postgres_items=1_200,
        data=data,
        judge=False,
        say=lambda _line: None,
        probe=here,
    )
