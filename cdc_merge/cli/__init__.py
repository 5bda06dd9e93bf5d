"""The commands: the one place that prints and exits."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from cdc_merge.cli import again, infer, inspect, items, reconcile, run
from cdc_merge.cli.common import cli


def main() -> None:
    """The console script."""
    if isinstance(sys.stdout, TextIOWrapper):  # keys of items may have letters that a terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="cdc-merge")


__all__ = ["again", "cli", "infer", "inspect", "items", "main", "reconcile", "run"]
