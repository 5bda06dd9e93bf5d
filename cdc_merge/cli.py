"""The commands: the one place that prints and exits."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cdc_merge import logs
from cdc_merge.config import find_config, load_config
from cdc_merge.errors import CdcMergeError, SourceStopped, Transient, UsageError
from cdc_merge.feed.discovery import Discovery
from cdc_merge.health import Health, HealthServer
from cdc_merge.ledger import Counts, Ledger
from cdc_merge.merge.preview import preview
from cdc_merge.metrics import Metrics
from cdc_merge.migrate import Migrator
from cdc_merge.model import ObjectRef, Settings, Source
from cdc_merge.quarantine import Entry, Quarantine, retry
from cdc_merge.status import SourceStatus, StatusReader, allowed_delay, check
from cdc_merge.warehouses import Warehouse, open_warehouse
from cdc_merge.worker import RunTotals, SourceWorker, Stop, Worker, layout_of, utc_now

EXIT_FOUND = 4
_KILL_AFTER_SECONDS = 9  # told to stop, we are gone before the ten seconds that orchestrators allow are over


# --- what all commands share ---------------------------------------------------------------------------------


class Context:
    """The common options of one invocation."""

    def __init__(self, *, config: str | None, source: tuple[str, ...], output: str) -> None:
        self._config = config
        self._names = source
        self.output = output

    @functools.cached_property
    def settings(self) -> Settings:
        path = find_config(self._config, environ=os.environ, cwd=Path.cwd())
        settings = load_config(path, environ=os.environ)
        known = {s.name for s in settings.sources}
        for name in self._names:
            if name not in known:
                raise UsageError(
                    f"no source is named {name!r}", hint=f"the configuration has: {', '.join(sorted(known))}"
                )
        return settings

    @property
    def sources(self) -> list[Source]:
        """The sources asked for, or all."""
        return [s for s in self.settings.sources if not self._names or s.name in self._names]

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        warehouse = open_warehouse(self.settings.warehouse)
        try:
            yield warehouse
        finally:
            warehouse.close()

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
    @click.option("-v", "verbose", count=True, help="Log more: batches, then statements.")
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

    return wrapped


def emit(document: object) -> None:
    """Print the one JSON document of a command."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


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


def _age(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{max(seconds, 0)}s ago"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="cdc-merge", prog_name="cdc-merge")
def cli() -> None:
    """Keep warehouse tables true to a DynamoDB table, from the change objects Firehose writes to S3."""


def main() -> None:
    """The console script."""
    cli(prog_name="cdc-merge")


# --- run -------------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--once", is_flag=True, help="Merge everything there is, then exit.")
@click.option("--listen", metavar="HOST:PORT", help="Serve /metrics and /health there.")
@click.option("--no-migrate", is_flag=True, help="Do not create or upgrade the metadata tables.")
@command
def run(context: Context, *, once: bool, listen: str | None, no_migrate: bool) -> None:
    """Merge what arrives, until stopped."""
    stop, metrics, health = Stop(), Metrics(), Health()
    _stop_on_signals(stop)
    server = HealthServer(listen, metrics=metrics, health=health) if listen else None
    began = time.perf_counter()
    try:
        with _progress(shown=once and not context.is_json and sys.stderr.isatty()) as progress:
            worker = Worker(
                context.settings,
                sources=[s.name for s in context.sources],
                migrate=not no_migrate,
                metrics=metrics,
                health=health,
                stop=stop,
                progress=progress,
            )
            totals = worker.run_once() if once else worker.run()
    finally:
        if server:
            server.close()
    _report_run(context, totals, time.perf_counter() - began)
    if totals.stopped:
        sys.exit(1)


def _stop_on_signals(stop: Stop) -> None:
    """On SIGTERM or SIGINT, request the stop; when that does not end the process in time, end it.

    Python runs handlers in the main thread and between its steps only: never while a driver waits for the server.
    So they do nothing, and the byte that each signal writes at once wakes a thread.
    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    bell, button = socket.socketpair()
    button.setblocking(False)
    signal.set_wakeup_fd(button.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)

    def listen() -> None:
        with bell, button:
            bell.recv(1)
            # Whatever hangs by then is cut off; an open transaction rolls back with its connection.
            killer = threading.Timer(_KILL_AFTER_SECONDS, os._exit, (0,))
            killer.daemon = True
            killer.start()
            stop.request()
            while bell.recv(64):  # the first signal was enough
                pass

    threading.Thread(target=listen, name="signals", daemon=True).start()


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[Counts, int], None]]:
    if not shown:
        yield lambda _counts, _left: None
        return
    columns = (
        TextColumn("merging"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("objects"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("merge", total=None)
        done = 0

        def advance(counts: Counts, left: int) -> None:
            nonlocal done
            done += counts.objects
            bar.update(task, completed=done, total=done + left)

        yield advance


def _report_run(context: Context, totals: RunTotals, seconds: float) -> None:
    document = totals.counts.as_dict()
    targets = document.pop("targets")
    if context.is_json:
        emit({**document, "seconds": round(seconds, 3), "targets": targets})
    else:
        c = totals.counts
        click.echo(
            f"{c.objects} objects, {c.records} records in {seconds:.1f} s: {c.applied} applied, "
            f"{c.superseded} superseded, {c.stale} stale, {c.ignored} ignored, {c.quarantined} quarantined"
        )
        rows = [(t, n["inserted"], n["updated"], n["deleted"]) for t, n in c.targets.items()]
        if rows:
            print_table("", ("target", "inserted", "updated", "deleted"), rows)
        if c.quarantined:
            click.echo("see what could not be used: cdc-merge quarantine list")
    for name, error in totals.stopped.items():
        click.secho(f"error: source {name} is stopped: {error}", fg="red", err=True)


# --- status, check, plan, migrate ------------------------------------------------------------------------------


@cli.command()
@click.option("--check", "is_check", is_flag=True, help="Exit 4 when an object has waited too long.")
@click.option("--no-backlog", is_flag=True, help="Do not list the feed to count what waits.")
@command
def status(context: Context, *, is_check: bool, no_backlog: bool) -> None:
    """Freshness, backlog and counts of each source and target."""
    with context.warehouse() as warehouse:
        layout = layout_of(context.settings, warehouse)
        with warehouse.session() as session:
            Migrator(warehouse, layout.metadata_schema).require(session)
            reader = StatusReader(warehouse, layout)
            found = [reader.read(session, s, count_backlog=is_check or not no_backlog) for s in context.sources]
    now = utc_now()
    stale = [
        s.source for s, source in zip(found, context.sources, strict=True) if s.is_stale(now, allowed_delay(source))
    ]
    if context.is_json:
        emit({"sources": [{**asdict(s), "stale": s.source in stale} for s in found]})
    else:
        _print_status(found, stale, now)
    if is_check and stale:
        sys.exit(EXIT_FOUND)


def _print_status(found: Sequence[SourceStatus], stale: Sequence[str], now: datetime) -> None:
    for s in found:
        waiting = "not counted" if s.backlog is None else f"{s.backlog} objects"
        if s.oldest_waiting:
            waiting += f", the oldest written {_age(s.oldest_waiting, now)}"
        click.echo(f"source {s.source}" + (" (stale)" if s.source in stale else ""))
        click.echo(f"  last merge      {_age(s.last_merge, now)}; newest change {_age(s.newest_change, now)}")
        click.echo(f"  waiting         {waiting}")
        click.echo(
            f"  merged          {s.objects} objects, {s.totals['records']} records: "
            + ", ".join(f"{count} {name}" for name, count in s.totals.items() if name != "records")
        )
        click.echo(f"  quarantine      {s.waiting_in_quarantine} waiting")
        click.echo(f"  tombstones      {s.tombstones}")
        click.echo(f"  worker          {s.holder or 'none'}")
        rows = [(t.table, "yes" if t.exists else "not yet", t.inserted, t.updated, t.deleted) for t in s.targets]
        print_table("", ("target", "exists", "inserted", "updated", "deleted"), rows)


@cli.command("check")
@command
def check_command(context: Context) -> None:
    """Try the configuration, the feeds, the warehouse and the targets; each finding with its cure."""
    with context.warehouse() as warehouse:
        findings = check(context.settings, warehouse, layout_of(context.settings, warehouse))
    if context.is_json:
        emit({"findings": [asdict(f) for f in findings]})
    else:
        for f in findings:
            click.echo(
                f"{'✗' if f.is_problem else '✓'} {f.subject}: {f.message}" + (f"\n  cure: {f.cure}" if f.cure else "")
            )
    if any(f.is_problem for f in findings):
        sys.exit(1)


@cli.command()
@click.option("--sql", "with_sql", is_flag=True, help="Print the statements of a merge too.")
@command
def plan(context: Context, *, with_sql: bool) -> None:
    """The DDL and the SQL that would run, changing nothing."""
    with context.warehouse() as warehouse:
        layout = layout_of(context.settings, warehouse)
        with warehouse.session() as session:
            migrator = Migrator(warehouse, layout.metadata_schema)
            pending = migrator.pending(session)
            ledger = Ledger(layout.metadata, warehouse.dialect)
            previews = []
            for source in context.sources:
                state = None if pending else ledger.state(session, source.name, schema=layout.schema)
                previews.append(preview(source, warehouse.dialect, layout, state))
    if context.is_json:
        emit(
            {
                "migrations": [m.name for m in pending],
                "sources": [p.as_dict(with_sql=with_sql) for p in previews],
            }
        )
        return
    for migration in pending:
        click.echo(f"-- migration {migration.name} would be applied")
    for p in previews:
        click.echo(p.as_text(with_sql=with_sql))


@cli.command()
@command
def migrate(context: Context) -> None:
    """Create or upgrade the metadata tables."""
    with context.warehouse() as warehouse:
        layout = layout_of(context.settings, warehouse)
        with warehouse.session() as session:
            applied = Migrator(warehouse, layout.metadata_schema).apply(session)
    if context.is_json:
        emit({"applied": [m.name for m in applied]})
    else:
        click.echo("\n".join(f"applied {m.name}" for m in applied) or "the metadata tables are up to date")


# --- replay and quarantine -------------------------------------------------------------------------------------


@contextmanager
def _worker(context: Context) -> Iterator[Worker]:
    """A worker of the sources asked for, for one piece of work outside the loop."""
    worker = Worker(context.settings, sources=[s.name for s in context.sources])
    try:
        worker.prepare()
        yield worker
    finally:
        worker.close()


@cli.command()
@click.option(
    "--from",
    "since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="T",
    help="Objects written at or after this time (UTC).",
)
@click.option(
    "--to",
    "until",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="T",
    help="Objects written at or before this time (UTC).",
)
@click.option("--object", "keys", multiple=True, metavar="KEY", help="This object; may be repeated.")
@command
def replay(context: Context, *, since: datetime | None, until: datetime | None, keys: tuple[str, ...]) -> None:
    """Merge objects again; harmless by design, since older changes never win."""
    began = time.perf_counter()

    def find(worker: SourceWorker) -> list[ObjectRef]:
        discovery = Discovery(worker.store, lambda _refs: set(), utc_now)
        return [r for page in discovery.full() for r in page if _is_wanted(r, keys, since, until)]

    with _worker(context) as worker:
        wanted = {w.source.name: find(w) for w in worker.sources}
        if missing := set(keys) - {r.key for refs in wanted.values() for r in refs}:
            raise UsageError(f"no such object: {sorted(missing)[0]}", where=f"source {', '.join(wanted)}")
        totals = worker.replay(wanted, find)
    _report_run(context, totals, time.perf_counter() - began)
    if totals.stopped:
        sys.exit(1)


def _is_wanted(ref: ObjectRef, keys: tuple[str, ...], since: datetime | None, until: datetime | None) -> bool:
    if keys and ref.key not in keys:
        return False
    if since and ref.modified < since.replace(tzinfo=UTC):
        return False
    return not (until and ref.modified > until.replace(tzinfo=UTC))


@cli.group()
def quarantine() -> None:
    """Records that could not be used, and their second chance."""


def _entries(context: Context, ids: Sequence[str] = (), *, with_raw: bool = False) -> list[Entry]:
    with context.warehouse() as warehouse:
        layout = layout_of(context.settings, warehouse)
        with warehouse.session() as session:
            Migrator(warehouse, layout.metadata_schema).require(session)
            return Quarantine(layout.metadata, warehouse.dialect).entries(
                session, sources=[s.name for s in context.sources], ids=ids, with_raw=with_raw
            )


def _entry_document(entry: Entry) -> dict[str, object]:
    document = asdict(entry)
    document["raw"] = None if entry.raw is None else entry.raw.decode("utf-8", "backslashreplace")
    return document


@quarantine.command("list")
@command
def quarantine_list(context: Context) -> None:
    """What waits, oldest first."""
    entries = _entries(context)
    if context.is_json:
        emit({"entries": [{k: v for k, v in _entry_document(e).items() if k != "raw"} for e in entries]})
    elif not entries:
        click.echo("the quarantine is empty")
    else:
        print_table("", ("id", "source", "reason", "place"), [(e.id, e.source, e.reason, e.place) for e in entries])


@quarantine.command("show")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@command
def quarantine_show(context: Context, *, ids: tuple[str, ...]) -> None:
    """An entry with its reason and its bytes."""
    entries = _entries(context, ids, with_raw=True)
    if context.is_json:
        emit({"entries": [_entry_document(e) for e in entries]})
        return
    for e in entries:
        click.echo(f"{e.id}  {e.source}\n  object  {e.bucket}/{e.object_key} ({e.version})")
        if not e.is_object:
            click.echo(f"  record  {e.record}, at byte {e.byte_offset} of the uncompressed object")
        click.echo(f"  reason  {e.reason}: {e.detail}\n  since   {e.quarantined_at.isoformat()}")
        if e.raw is not None:
            click.echo(e.raw.decode("utf-8", "backslashreplace"))


@quarantine.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@command
def quarantine_retry(context: Context, *, ids: tuple[str, ...]) -> None:
    """Merge entries again (all, unless ids are given); what still cannot be used stays."""
    began = time.perf_counter()
    entries = _entries(context, ids, with_raw=True)
    totals = RunTotals()
    missing: list[Entry] = []
    with _worker(context) as worker:
        for source in worker.sources:
            if mine := [e for e in entries if e.source == source.source.name]:
                try:
                    counts, gone = retry(source, mine)
                except (SourceStopped, Transient) as error:
                    totals.stopped[source.source.name] = error
                    continue
                totals.add(source.source.name, counts)
                missing += gone
    _report_run(context, totals, time.perf_counter() - began)
    for entry in missing:
        complaint = CdcMergeError(
            "the object is no longer there",
            where=entry.object_key,
            hint=f"put it back, or run: cdc-merge quarantine discard {entry.id}",
        )
        click.secho(f"error: {complaint}", fg="red", err=True)
    if missing or totals.stopped:
        sys.exit(1)


@quarantine.command("discard")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--all", "everything", is_flag=True, help="Discard all entries of the sources asked for.")
@command
def quarantine_discard(context: Context, *, ids: tuple[str, ...], everything: bool) -> None:
    """Let entries go for good."""
    if bool(ids) == everything:
        raise UsageError("say which entries to discard", hint="cdc-merge quarantine discard ID…, or --all")
    entries = _entries(context, ids)
    with context.warehouse() as warehouse:
        layout = layout_of(context.settings, warehouse)
        with warehouse.session() as session:
            Quarantine(layout.metadata, warehouse.dialect).discard(session, entries)
    if context.is_json:
        emit({"discarded": len(entries)})
    else:
        click.echo(f"{len(entries)} discarded")


if __name__ == "__main__":
    main()
