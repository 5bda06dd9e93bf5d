"""`infer`: propose a configuration from a look at the data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cdc_merge.cli.common import Context, cli, command, emit
from cdc_merge.cli.signals import stop_on_signals
from cdc_merge.errors import CdcMergeError, UsageError
from cdc_merge.infer.inferrer import Options, infer
from cdc_merge.infer.proposal import as_document
from cdc_merge.infer.sample import DEFAULT_RECORDS
from cdc_merge.infer.write import write_yaml
from cdc_merge.stopping import Stop, Stopping
from cdc_merge.words import listed


@cli.command("infer")
@click.argument("path")
@click.option(
    "--records",
    type=click.IntRange(min=1),
    default=DEFAULT_RECORDS,
    show_default=True,
    metavar="N",
    help="Read about so many records, spread evenly over the objects.",
)
@click.option("--all", "everything", is_flag=True, help="Read everything.")
@click.option("--key", metavar="PK[,SK]", help="The key attributes, partition key first (default: found).")
@click.option("--name", metavar="NAME", help="The source's name (default: told from PATH).")
@click.option("--changes", metavar="URL", help="Where the change objects are, if PATH is an export.")
@click.option(
    "--warehouse",
    metavar="URL",
    default="duckdb:///warehouse.duckdb",
    show_default=True,
    help="The warehouse to write into the configuration.",
)
@command
def infer_command(
    context: Context,
    *,
    path: str,
    records: int,
    everything: bool,
    key: str | None,
    name: str | None,
    changes: str | None,
    warehouse: str,
) -> None:
    """Read objects or an export at PATH, and propose a configuration: keys, entities, columns and types."""
    options = Options(
        records=None if everything else records,
        key=_key(key),
        warehouse=warehouse,
        name=name,
        changes=changes,
    )
    with _progress(shown=sys.stderr.isatty()) as progress:
        stop = Stop()
        stop_on_signals(stop, exit_code=1)
        try:
            proposal = infer(path, options, check=stop.check, progress=progress)
        except Stopping:
            raise CdcMergeError("stopped before it was done; nothing was written") from None
    config = write_yaml(proposal)
    if context.is_json:
        emit(as_document(proposal, config))
    else:
        click.echo(config, nl=False)
    if variables := proposal.warehouse.variables:
        click.echo(f"the configuration reads {listed(variables)} from the environment: set it before a run", err=True)


def _key(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(","))
    if not 1 <= len(names) <= 2 or not all(names) or len(set(names)) < len(names):
        raise UsageError(f"{text!r} names no key", where="--key", hint="write one attribute or two: --key PK,SK")
    return names


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """What goes on, on a terminal."""
    if not shown:
        yield lambda _what, _done, _all: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking", total=None)

        def advance(what: str, done: int, whole: int | None) -> None:
            of_all = f"{done:,}" if whole is None else f"{done:,} of {whole:,}"
            bar.update(task, description=f"{what} {of_all}" if done else what, completed=done, total=whole)

        yield advance
