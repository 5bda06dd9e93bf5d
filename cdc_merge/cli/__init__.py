"""The commands: the one place that prints and exits."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from cdc_merge.cli import again, infer, inspect, items, reconcile, run
from cdc_merge.cli.common import cli


def main() -> None:
    """The console script."""
    for name in ("stdout", "stderr"):  # None where whoever began this has closed it
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - until the process ends
    if isinstance(sys.stdout, TextIOWrapper):  # keys of items may have letters that a terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="cdc-merge")


__all__ = ["again", "cli", "infer", "inspect", "items", "main", "reconcile", "run"]
