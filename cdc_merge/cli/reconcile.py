"""`reconcile`: compare with an export, report the drift, repair it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cdc_merge.cli.common import EXIT_FOUND, Context, cli, command, emit, print_table
from cdc_merge.cli.signals import stop_on_signals
from cdc_merge.errors import CdcMergeError, UsageError
from cdc_merge.model import Source
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.reconcile.report import Report
from cdc_merge.reconcile.way import Way
from cdc_merge.stopping import Stop, Stopping
from cdc_merge.words import count

_SHOWN_COLUMNS = 5


@cli.command()
@click.option("--export", metavar="PATH|ID|ARN", help="This export (default: the newest complete one).")
@click.option("--request", is_flag=True, help="Ask DynamoDB for an export now, and wait for it.")
@click.option("--scan", is_flag=True, help="Read the table itself by a parallel Scan; for small tables.")
@click.option(
    "--scan-rate",
    type=click.FloatRange(min=1),
    default=100.0,
    show_default=True,
    metavar="N",
    help="The most read capacity units a second that a scan takes.",
)
@click.option(
    "--copy-from-dynamodb",
    "copy",
    is_flag=True,
    help="Let Redshift read the table by COPY; for texts and numbers only.",
)
@click.option(
    "--read-ratio",
    type=click.IntRange(1, 200),
    default=50,
    show_default=True,
    metavar="PERCENT",
    help="Of the table's read capacity, what such a COPY takes.",
)
@click.option("--empty-as-null", is_flag=True, help="What COPY does not tell: take empty texts for missing ones.")
@click.option("--dry-run", is_flag=True, help="Compare and report only; exit 4 if there is drift.")
@click.option("--rebuild", is_flag=True, help="Fill new tables, as the configuration says now, and swap them in.")
@click.option(
    "--force",
    is_flag=True,
    help="Lift max_delete, and refusals of an empty export, of another table's, and of a rebuild that loses values.",
)
@command
def reconcile(
    context: Context,
    *,
    export: str | None,
    request: bool,
    scan: bool,
    scan_rate: float,
    copy: bool,
    read_ratio: int,
    empty_as_null: bool,
    dry_run: bool,
    rebuild: bool,
    force: bool,
) -> None:
    """Compare every target with a full export, report what had drifted, and repair it."""
    ways = (("--export", export), ("--request", request), ("--scan", scan), ("--copy-from-dynamodb", copy))
    asked = [name for name, given in ways if given]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} contradict each other", hint="give one of them")
    if empty_as_null and not copy:
        raise UsageError("--empty-as-null says how to take what COPY brings", hint="add --copy-from-dynamodb")
    sources = context.sources
    if export and len(sources) > 1:
        raise UsageError(
            "an export is of one table, the configuration has several sources",
            hint=f"say which: --source {sources[0].name}",
        )
    reports, failures = [], list[CdcMergeError]()
    with _progress(shown=not context.is_json and sys.stderr.isatty()) as progress:
        stop = Stop()
        stop_on_signals(stop, exit_code=1)
        way = Way(dry_run, force, rebuild)
        how = _How(export, asked[0] if asked else None, scan_rate, read_ratio, empty_as_null, way)
        with Reconciler(context.settings, stop=stop, progress=progress.bytes) as reconciler:
            try:
                for source in sources:
                    try:
                        reports.append(_one(reconciler, source, how, progress))
                    except CdcMergeError as error:
                        failures.append(error)
            except Stopping:
                failures.append(CdcMergeError("stopped before it was done; nothing of this source was changed"))
    if context.is_json:
        documents = [report.as_dict() for report in reports]
        if documents:
            emit(documents[0] if len(sources) == 1 else {"sources": documents})
    else:
        for report in reports:
            _print(report)
    # What was done is told also where another source failed; the last failure gives the exit code.
    for failure in failures[:-1]:
        click.secho(f"error: {failure}", fg="red", err=True)
    if failures:
        raise failures[-1]
    if dry_run and any(report.drifted for report in reports):
        sys.exit(EXIT_FOUND)


@dataclass(frozen=True)
class _How:
    """What the command line asks for; `by`: the option that says where the items come from."""

    export: str | None
    by: str | None
    rate: float
    percent: int
    empty_is_missing: bool
    way: Way


def _one(reconciler: Reconciler, source: Source, how: _How, progress: _Shown) -> Report:
    if how.by == "--request":
        return reconciler.reconcile_requested(source.name, way=how.way, progress=progress.status)
    if how.by == "--scan":
        return reconciler.reconcile_scanned(source.name, rate=how.rate, way=how.way, progress=progress.items)
    if how.by == "--copy-from-dynamodb":
        progress.waits("the warehouse copies the table")
        return reconciler.reconcile_copied(
            source.name, percent=how.percent, empty_is_missing=how.empty_is_missing, way=how.way
        )
    return reconciler.reconcile_exported(source.name, how.export, way=how.way)


def _print(report: Report) -> None:
    click.echo(
        f"{report.source}: {count(report.items, 'item')} of {report.export}\n"
        f"as of {report.as_of.isoformat()}, verified through {report.floor.isoformat()}"
    )
    rows = [
        (table, v.equal, v.missing, v.extra, v.different, v.newer, 0 if report.is_dry_run else v.repaired)
        for table, v in report.targets.items()
    ]
    print_table("", ("target", "equal", "missing", "extra", "different", "newer", "repaired"), rows)
    for table, verdicts in report.targets.items():
        if verdicts.is_first_load:
            would = "would be" if report.is_dry_run else "is"
            click.echo(f"  {table}: empty before; this {would} its first load, of {count(verdicts.missing, 'row')}")
            continue
        for sample in verdicts.samples:
            columns = f" ({', '.join(sample.columns[:_SHOWN_COLUMNS])})" if sample.columns else ""
            click.echo(
                f"  {table}: {sample.verdict} {' / '.join(map(_shown, sample.key))}{columns}, {_words(sample.cause)}"
            )
        for verdict, more in verdicts.unsampled.items():
            click.echo(f"  {table}: and {more:,} more {verdict}")
    for reason, items in report.unusable.items():
        click.echo(f"  {count(items, 'item')} left out, whose keys the warehouse cannot hold: {reason}")
    for lifted in report.overridden:
        click.secho(f"forced: {lifted}", fg="yellow")
    for note in report.notes:
        click.echo(note)
    if report.is_dry_run:
        click.echo("nothing was written (dry run)")


def _shown(key: str) -> str:
    """Text from the data as one harmless line: a terminal would obey its control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)


def _words(code: str) -> str:
    return code.replace("_", " ")


class _Shown:
    """Progress as a bar, or not at all."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = bar.add_task("waiting", total=None) if bar else None

    def _update(self, description: str, **values: int | None) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=description, **values)  # type: ignore[arg-type]

    def bytes(self, read: int, whole: int) -> None:
        self._update(f"decoding {100 * read // max(whole, 1)} %", completed=read, total=whole)

    def status(self, arn: str, status: str) -> None:
        self._update(f"export {arn.rpartition('/')[2]}: {status.lower().replace('_', ' ')}")

    def waits(self, what: str) -> None:
        self._update(what)

    def items(self, scanned: int) -> None:
        self._update(f"scanned {count(scanned, 'item')}")


@contextmanager
def _progress(*, shown: bool) -> Iterator[_Shown]:
    """What goes on, on a terminal."""
    if not shown:
        yield _Shown(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Shown(bar)
