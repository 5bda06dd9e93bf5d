"""The package as a library."""

from __future__ import annotations

import shutil
from pathlib import Path

from cdc_merge import Config, Worker

EXAMPLE = Path(__file__).parent.parent / "example"


def test_a_program_can_load_a_configuration_and_merge(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("*.duckdb*"))
    totals = Worker(Config.load(tmp_path / "example" / "cdc-merge.yaml")).run_once()
    assert totals.counts.applied > 0
    assert set(totals.counts.targets) == {
        "ecommerce_customers",
        "ecommerce_orders",
        "ecommerce_order_items",
        "ecommerce_order_lines",
    }
    assert not totals.stopped
