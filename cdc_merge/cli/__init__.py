"""The commands: the one place that prints and exits."""

from __future__ import annotations

from cdc_merge.cli import again, infer, inspect, items, reconcile, run
from cdc_merge.cli.common import cli


def main() -> None:
    """The console script."""
    cli(prog_name="cdc-merge")


__all__ = ["again", "cli", "infer", "inspect", "items", "main", "reconcile", "run"]
