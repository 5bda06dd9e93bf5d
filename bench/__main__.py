"""Measures cdc-merge beside its baselines, prints one table and keeps the figures: python -m bench."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Options
from bench.keeping import read_json, write_json
from bench.measures import MEASURES
from bench.measures_peers import MEASURES as PEERS
from bench.page import write_page
from bench.report import in_words, write_readme
from bench.runs import Taking, load_now, this_run, together

_HERE = Path(__file__).parent
_SMOKE = Options(
    records=2_000,
    repeat=1,
    tiny_objects=30,
    latency_times=3,
    items=4_000,
    postgres_items=2_000,
    growth_changes=500,
    growth_rows=(2_000, 10_000),
    growth_postgres_rows=(2_000, 10_000),
    batch_rows=10_000,
    batch_postgres_rows=10_000,
    scale_rows=(10_000,),
    scale_postgres_rows=(10_000,),
    scale_batches=(500, 2_000),
    merged_objects=5_000,
    slow_records=1_000,
    shape_scale=0.001,
    judge=False,
)
_SIZES = {"S": 2_500_000, "M": 25_000_000}  # two loads are the changes, and their items the items, of bench.changes
_FULL_ROWS = (3_000_000, 10_000_000, 30_000_000)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: argparse.Namespace) -> Options:
    options = replace(_SMOKE if arguments.smoke else Options(), say=_say)
    if arguments.size is not None:
        options = replace(options, records=_SIZES[arguments.size])
    if arguments.records is not None:
        options = replace(options, records=arguments.records)
    if arguments.repeat is not None:
        options = replace(options, repeat=arguments.repeat)
    if arguments.full:
        options = replace(
            options,
            tiny_objects=10_000,
            items=30_000_000,
            postgres_items=5_000_000,
            growth_rows=_FULL_ROWS,
            growth_postgres_rows=_FULL_ROWS,
            batch_rows=_FULL_ROWS[-1],
            batch_postgres_rows=_FULL_ROWS[0],
            scale_rows=(1_000_000, 10_000_000, 100_000_000),
            merged_objects=1_000_000,
            shape_scale=1.0,
        )
    if arguments.growth_rows:
        rows = sorted(arguments.growth_rows)
        options = replace(options, growth_rows=rows, growth_postgres_rows=rows)
    if arguments.scale_rows:
        rows = sorted(arguments.scale_rows)
        options = replace(options, scale_rows=rows, scale_postgres_rows=rows)
    if arguments.scale_batches:
        options = replace(options, scale_batches=sorted(arguments.scale_batches))
    if arguments.items is not None:
        options = replace(options, items=arguments.items, postgres_items=arguments.items)
    if arguments.shape_scale is not None:
        options = replace(options, shape_scale=arguments.shape_scale)
    if arguments.peer:
        options = replace(options, peers=tuple(arguments.peer))
    return options


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--records", type=int, help="change records of a load (default: 1,000,000)")
    parser.add_argument("--size", choices=list(_SIZES), help="records of a load: 2.5 or 25 million")
    parser.add_argument("--repeat", type=int, help="runs of which the median is taken (default: 3)")
    parser.add_argument(
        "--only", action="append", choices=list(MEASURES), metavar="NAME", help=f"one of: {', '.join(MEASURES)}"
    )
    parser.add_argument("--items", type=int, help="items of an export (default: 3,000,000, on Postgres 500,000)")
    parser.add_argument("--shape-scale", type=float, help="of 1.8 M changes into 30.1 M rows (default: 0.1)")
    parser.add_argument(
        "--growth-rows", type=int, nargs="+", metavar="N", help="rows of the targets of growth and growth-postgres"
    )
    parser.add_argument("--scale-rows", type=int, nargs="+", metavar="N", help="rows of the targets of scale")
    parser.add_argument("--scale-batches", type=int, nargs="+", metavar="N", help="changes of the batches of scale")
    parser.add_argument("--peer", action="append", help="of the peers this one only; may be repeated")
    parser.add_argument("--without-peers", action="store_true", help="leave out what needs other tools installed")
    parser.add_argument("--full", action="store_true", help="the sizes that the goals are for: see bench/README.md")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once: does it run at all?")
    parser.add_argument(
        "--write", action="store_true", help="put the figures into bench/README.md, bench/report.html and .json"
    )
    parser.add_argument(
        "--kept", type=Path, nargs="+", metavar="JSON", help="measure nothing: report runs that were kept"
    )
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where the JSON goes")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parse(given)
    at = datetime.now(UTC)
    kept = arguments.results / f"{at:%Y-%m-%d-%H%M%S}.json"
    if arguments.kept:
        try:
            takings = together(taking for path in arguments.kept for taking in read_json(path))
        except ValueError as error:
            sys.exit(f"bench: {error}")
    else:
        takings = _measure(arguments, shlex.join(["python", "-m", "bench", *given]), at, kept)
    print(in_words(takings, _HERE))
    about = {name: (measure.__doc__ or "").splitlines()[0] for name, measure in MEASURES.items()}
    for page in (kept.with_suffix(".html"), *([_HERE / "report.html"] if arguments.write else [])):
        write_page(page, takings, about=about)
    if arguments.write:
        write_json(_HERE / "report.json", takings)
        write_readme(_HERE / "README.md", takings)


def _measure(arguments: argparse.Namespace, command: str, at: datetime, kept: Path) -> list[Taking]:
    run, servers = this_run(command, at), list[str]()
    options = replace(_options(arguments), meet=servers.append)
    takings: list[Taking] = []
    for name in arguments.only or [name for name in MEASURES if not (arguments.without_peers and name in PEERS)]:
        options.say(f"{name}: {(MEASURES[name].__doc__ or '').splitlines()[0]}")
        begun, load = datetime.now(UTC), load_now()
        figures = tuple(MEASURES[name](options))
        run = replace(run, postgres=servers[-1] if servers else "")
        takings.append(Taking(name, run, begun, load, figures))
        # After each measure, so that a run that is broken off leaves what it had.
        write_json(kept, takings)
    return takings


if __name__ == "__main__":
    main()
