"""What all commands share: their options, the one place where errors become exit codes, and how results are printed."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cdc_merge import logs
from cdc_merge.cli.usage import Commands
from cdc_merge.config import find_config, load_config
from cdc_merge.errors import CdcMergeError
from cdc_merge.model import Settings, Source
from cdc_merge.open_warehouse import warehouse_of
from cdc_merge.scratch import scratch_folder
from cdc_merge.shortage import is_of_disk
from cdc_merge.warehouses import Dialect, Warehouse, open_warehouse
from cdc_merge.words import count
from cdc_merge.worker import RunTotals

EXIT_FOUND = 4
_CLOCKS_DIFFER = 60  # seconds, of which nothing is said


class Context:
    """The common options of one invocation."""

    def __init__(self, *, config: str | None, source: tuple[str, ...], output: str) -> None:
        self._config = config
        self._names = source
        self.output = output

    @functools.cached_property
    def config(self) -> Path:
        """The file of the configuration."""
        return find_config(self._config, environ=os.environ, cwd=Path.cwd())

    @functools.cached_property
    def settings(self) -> Settings:
        settings = load_config(self.config, environ=os.environ)
        for name in self._names:
            settings.source_named(name)
        return settings

    @property
    def sources(self) -> list[Source]:
        """The sources asked for, or all."""
        return self._asked_for(self.settings)

    def on_engine(self, dialect: Dialect) -> tuple[Settings, list[Source]]:
        """The settings and the sources asked for, as if the warehouse were of this engine."""
        settings = load_config(self.config, environ=os.environ, dialect=dialect)
        return settings, self._asked_for(settings)

    def _asked_for(self, settings: Settings) -> list[Source]:
        return [s for s in settings.sources if not self._names or s.name in self._names]

    @property
    def config_option(self) -> str:
        """What a command that someone is told to run needs to find the same configuration."""
        return f" --config {shlex.quote(self._config)}" if self._config else ""

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        warehouse = warehouse_of(self.settings)
        try:
            yield warehouse
        finally:
            warehouse.close()

    @contextmanager
    def warehouse_as_it_is(self) -> Iterator[Warehouse]:
        """The warehouse, for a command that changes nothing: an empty one stands for a file that is not there yet."""
        with self.warehouse() as warehouse:
            if warehouse.is_there():
                yield warehouse
                return
            held = ExitStack()
            try:
                folder = held.enter_context(scratch_folder())
                yield open_warehouse(f"duckdb:///{folder}/empty.duckdb?catalog=_cdc_file")
            finally:
                held.close()  # what the command could not print is no matter of the folder

    @property
    def is_json(self) -> bool:
        return self.output == "json"


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """The common options of every command; also the one place where errors become messages and exit codes."""

    @click.option(
        "--config",
        metavar="PATH",
        help="The configuration (default: $CDC_MERGE_CONFIG, else ./cdc-merge.yaml).",
    )
    @click.option("--source", multiple=True, metavar="NAME", help="Only this source; may be repeated.")
    @click.option(
        "--format",
        "output",
        type=click.Choice(["text", "json"]),
        default="text",
        help="json: one document on standard output.",
    )
    @click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Form of the log on standard error.",
    )
    @click.option("-v", "verbose", count=True, help="Log each SQL statement; -vv: what libraries say too.")
    @click.option("-q", "quiet", is_flag=True, help="Log warnings and errors only.")
    @functools.wraps(function)
    def wrapped(
        *,
        config: str | None,
        source: tuple[str, ...],
        output: str,
        log_format: logs.Format,
        verbose: int,
        quiet: bool,
        **options: Any,
    ) -> None:
        logs.configure(log_format, -1 if quiet else verbose)
        try:
            function(Context(config=config, source=source, output=output), **options)
        except CdcMergeError as error:
            click.secho(f"error: {error}", fg="red", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            if not is_of_disk(error):
                raise
            click.secho(f"error: {error}\n  hint: make room on the disk that this writes to", fg="red", err=True)
            sys.exit(CdcMergeError.exit_code)

    return wrapped


def emit(document: object) -> None:
    """Print the one JSON document of a command."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=not logs.is_unicode(sys.stdout), default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"no JSON form for {type(value).__name__}")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; plain when not on a terminal."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(title=title, title_justify="left", box=None if not sys.stdout.isatty() else Table().box)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if v is None else str(v) for v in row))
    console.print(table)


def age(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    if seconds <= -_CLOCKS_DIFFER:
        return f"{_span(-seconds)} in the future"
    return f"{_span(max(seconds, 0))} ago"


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="cdc-merge", prog_name="cdc-merge")
def cli() -> None:
    """Keep warehouse tables true to a DynamoDB table, from the change objects Firehose writes to S3."""


def report_run(context: Context, totals: RunTotals, seconds: float) -> None:
    document = totals.counts.as_dict()
    targets = document.pop("targets")
    if context.is_json:
        emit({**document, "seconds": round(seconds, 3), "targets": targets})
    else:
        c = totals.counts
        click.echo(
            f"{count(c.objects, 'object')}, {count(c.records, 'record')} in {seconds:.1f} s: {c.applied:,} applied, "
            f"{c.superseded:,} superseded, {c.stale:,} stale, {c.ignored:,} ignored, {c.quarantined:,} quarantined"
        )
        rows = [(t, n["inserted"], n["updated"], n["deleted"]) for t, n in c.targets.items()]
        if rows:
            print_table("", ("target", "inserted", "updated", "deleted"), rows)
        if c.quarantined:
            click.echo(f"see what could not be used: cdc-merge quarantine list{context.config_option}")
    for name, error in totals.stopped.items():
        click.secho(f"error: source {name} is stopped: {error}", fg="red", err=True)
