"""`reconcile`: compare with an export, report the drift, repair it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from cdc_merge.cli.common import EXIT_FOUND, Context, cli, command, emit, print_table
from cdc_merge.errors import UsageError
from cdc_merge.model import Source
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.reconcile.report import Report

_SHOWN_COLUMNS = 5


@cli.command()
@click.option("--export", metavar="PATH|ID|ARN", help="This export (default: the newest complete one).")
@click.option("--dry-run", is_flag=True, help="Compare and report only; exit 4 if there is drift.")
@click.option("--force", is_flag=True, help="Lift max_delete, and refusals of an empty export or another table's.")
@command
def reconcile(context: Context, *, export: str | None, dry_run: bool, force: bool) -> None:
    """Compare every target with a full export, report what had drifted, and repair it."""
    sources = context.sources
    if export and len(sources) > 1:
        raise UsageError(
            "an export is of one table, the configuration has several sources",
            hint=f"say which: --source {sources[0].name}",
        )
    reports = []
    with _progress(shown=not context.is_json and sys.stderr.isatty()) as progress:
        reconciler = Reconciler(context.settings, progress=progress)
        try:
            for source in sources:
                reports.append(_one(reconciler, source, export, dry_run=dry_run, force=force))
        finally:
            reconciler.close()
    if context.is_json:
        documents = [report.as_dict() for report in reports]
        emit(documents[0] if len(documents) == 1 else {"sources": documents})
    else:
        for report in reports:
            _print(report)
    if dry_run and any(report.drifted for report in reports):
        sys.exit(EXIT_FOUND)


def _one(reconciler: Reconciler, source: Source, export: str | None, *, dry_run: bool, force: bool) -> Report:
    return reconciler.reconcile(source.name, export, dry_run=dry_run, force=force)


def _print(report: Report) -> None:
    click.echo(
        f"{report.source}: {report.items:,} items of {report.export}\n"
        f"as of {report.as_of.isoformat()}, verified through {report.floor.isoformat()}"
    )
    rows = [
        (table, v.equal, v.missing, v.extra, v.different, v.newer, 0 if report.is_dry_run else v.repaired)
        for table, v in report.targets.items()
    ]
    print_table("", ("target", "equal", "missing", "extra", "different", "newer", "repaired"), rows)
    for table, verdicts in report.targets.items():
        for sample in verdicts.samples:
            columns = f" ({', '.join(sample.columns[:_SHOWN_COLUMNS])})" if sample.columns else ""
            click.echo(f"  {table}: {sample.verdict} {' / '.join(sample.key)}{columns}, {_words(sample.cause)}")
    for reason, count in report.unusable.items():
        click.echo(f"  {count:,} items left out, whose keys the warehouse cannot hold: {reason}")
    for lifted in report.overridden:
        click.secho(f"forced: {lifted}", fg="yellow")
    for note in report.notes:
        click.echo(note)
    if report.is_dry_run:
        click.echo("nothing was written (dry run)")


def _words(code: str) -> str:
    return code.replace("_", " ")


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar over the bytes of the export, on a terminal."""
    if not shown:
        yield lambda _read, _all: None
        return
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda read, whole: bar.update(task, completed=read, total=whole)
