"""Runs the contract tests on the services whose URLs are in the environment; the words after it go to pytest."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest

from cdc_merge.errors import CdcMergeError
from tests.live.clean import clean, is_over
from tests.live.discreet import discreetly
from tests.live.runs import VARIABLE, new_run
from tests.live.services import NOTHING_SET, Service, services

_ROOT = Path(__file__).parents[2]


def run(arguments: list[str], found: Mapping[str, Service]) -> int:
    """Drop what earlier runs left, run the tests, drop all of this run; returns the exit code."""
    name = os.environ[VARIABLE] = new_run(datetime.now(UTC))
    print(f"{name} on {' and '.join(found)}", flush=True)
    clean(found, is_it=is_over)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _as_an_interrupt)
    try:
        with TemporaryDirectory(prefix="cdc-merge-live-") as folder:  # files of a test may hold the URL
            options = ("-p", "no:cacheprovider", "--durations=10", f"--basetemp={folder}/tests")
            return int(pytest.main([*options, *arguments]))
    finally:
        clean(found, is_it=lambda run: run == name)


def _as_an_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    found = services()
    if not found:
        print(NOTHING_SET, file=sys.stderr)
        return 2
    os.chdir(_ROOT)
    with discreetly(service.url for service in found.values()):
        try:
            return run(arguments, found)
        except CdcMergeError as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
