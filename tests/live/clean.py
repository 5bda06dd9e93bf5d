"""Drops what live runs left behind: of those that began more than a day ago, or with `--all` of every run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from cdc_merge.errors import CdcMergeError
from tests.live.discreet import discreetly
from tests.live.runs import age_of, run_of
from tests.live.services import NOTHING_SET, Service, services

KEPT = timedelta(days=1)
"""A run that began so long ago is over."""


def clean(found: Mapping[str, Service], *, is_it: Callable[[str], bool]) -> None:
    """Drop the schemas and remove the staged files of the runs that `is_it` names, and say so."""

    def of_such_a_run(name: str) -> bool:
        run = run_of(name)
        return run is not None and is_it(run)

    for engine, service in found.items():
        for name in service.drop(of_such_a_run):
            print(f"{engine}: dropped schema {name}")
        for folder in service.empty(of_such_a_run):
            print(f"{engine}: removed staged files of {folder}")


def is_over(run: str) -> bool:
    return age_of(run, now=datetime.now(UTC)) > KEPT


def main(arguments: list[str]) -> int:
    found = services()
    if not found or arguments not in ([], ["--all"]):
        print("python -m tests.live.clean [--all]" if found else NOTHING_SET, file=sys.stderr)
        return 2
    with discreetly(service.url for service in found.values()):
        try:
            clean(found, is_it=is_over if not arguments else lambda _run: True)
        except CdcMergeError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
