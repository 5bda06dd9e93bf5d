"""Measures cdc-merge beside its baselines, prints one table and keeps the figures: python -m bench."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, Options
from bench.measures import MEASURES
from bench.report import describe, table, this_machine, write_json, write_readme

_HERE = Path(__file__).parent
_SMOKE = Options(
    records=2_000, repeat=1, tiny_objects=30, latency_times=3, items=4_000, postgres_items=2_000, judge=False
)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: argparse.Namespace) -> Options:
    options = replace(_SMOKE if arguments.smoke else Options(), say=_say)
    if arguments.records is not None:
        options = replace(options, records=arguments.records)
    if arguments.repeat is not None:
        options = replace(options, repeat=arguments.repeat)
    if arguments.full:
        options = replace(options, tiny_objects=10_000, items=30_000_000, postgres_items=5_000_000)
    if arguments.items is not None:
        options = replace(options, items=arguments.items, postgres_items=arguments.items)
    return options


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--records", type=int, help="change records of a load (default: 1,000,000)")
    parser.add_argument("--repeat", type=int, help="runs of which the median is taken (default: 3)")
    parser.add_argument(
        "--only", action="append", choices=list(MEASURES), metavar="NAME", help=f"one of: {', '.join(MEASURES)}"
    )
    parser.add_argument("--items", type=int, help="items of an export (default: 2,000,000, on Postgres 500,000)")
    parser.add_argument(
        "--full", action="store_true", help="10,000 tiny objects; exports of 30,000,000 items, on Postgres 5,000,000"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once: does it run at all?")
    parser.add_argument("--write-readme", action="store_true", help="put the figures into bench/README.md")
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where the JSON goes")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parse(given)
    options = _options(arguments)
    command = shlex.join(["python", "-m", "bench", *given])
    machine, at = this_machine(), datetime.now(UTC)
    figures: list[Figure] = []
    for name in arguments.only or MEASURES:
        options.say(f"{name}: {(MEASURES[name].__doc__ or '').splitlines()[0]}")
        figures += MEASURES[name](options)
        # After each measure, so that a run that is broken off leaves what it had.
        write_json(arguments.results / f"{at:%Y-%m-%d}.json", machine, figures, command=command, at=at)
    print(f"{describe(machine, command=command, at=at)}\n\n{table(figures)}")
    if arguments.write_readme:
        write_readme(_HERE / "README.md", machine, figures, command=command, at=at)


if __name__ == "__main__":
    main()
