"""`replay` and `quarantine`: merging once more what was merged, or could not be."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial

import click

from cdc_merge.cli.common import Context, cli, command, emit, print_table, report_run
from cdc_merge.cli.usage import Moment
from cdc_merge.cures import CURES
from cdc_merge.errors import CdcMergeError, SourceStopped, Transient, UsageError
from cdc_merge.feed.listing import list_data
from cdc_merge.layout import layout_of
from cdc_merge.ledger import Counts
from cdc_merge.migrate import Migrator
from cdc_merge.model import ObjectRef
from cdc_merge.patience import patiently
from cdc_merge.quarantine import Entry, Quarantine, retry
from cdc_merge.source_worker import SourceWorker
from cdc_merge.worker import RunTotals, Worker


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
    type=Moment(),
    metavar="T",
    help="Objects written at or after this time (UTC).",
)
@click.option(
    "--to",
    "until",
    type=Moment(),
    metavar="T",
    help="Objects written at or before this time (UTC).",
)
@click.option("--object", "keys", multiple=True, metavar="KEY", help="This object; may be repeated.")
@command
def replay(context: Context, *, since: datetime | None, until: datetime | None, keys: tuple[str, ...]) -> None:
    """Merge objects again; harmless by design, since older changes never win."""
    began = time.perf_counter()

    def find(worker: SourceWorker) -> list[ObjectRef]:
        return [r for page in list_data(worker.store) for r in page if _is_wanted(r, keys, since, until)]

    with _worker(context) as worker:
        wanted = {w.source.name: find(w) for w in worker.sources}
        if missing := set(keys) - {r.key for refs in wanted.values() for r in refs}:
            raise UsageError(f"no such object: {sorted(missing)[0]}", where=f"source {', '.join(wanted)}")
        totals = worker.replay(wanted, find)
    report_run(context, totals, time.perf_counter() - began)
    if totals.stopped:
        sys.exit(1)


def _is_wanted(ref: ObjectRef, keys: tuple[str, ...], since: datetime | None, until: datetime | None) -> bool:
    if keys and ref.key not in keys:
        return False
    if since and ref.modified < since:
        return False
    return not (until and ref.modified > until)


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
    document["cure"] = CURES.get(entry.reason)
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
        click.echo(f"  reason  {e.reason}: {e.detail}")
        if not e.is_object and e.reason in CURES:  # what is said of an object has its own hint
            click.echo(f"  cure    {CURES[e.reason]}")
        click.echo(f"  since   {e.quarantined_at.isoformat()}")
        if e.raw is not None:
            click.echo(e.raw.decode("utf-8", "backslashreplace"))


@quarantine.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@command
def quarantine_retry(context: Context, *, ids: tuple[str, ...]) -> None:
    """Merge entries again (all, unless ids are given); what still cannot be used stays."""
    began = time.perf_counter()
    entries = _entries(context, ids)
    totals = RunTotals()
    missing: list[Entry] = []
    with _worker(context) as worker:
        for source in worker.sources:
            if mine := [e.id for e in entries if e.source == source.source.name]:
                try:
                    counts, gone = patiently(partial(_retry, context, source, mine), source=source.source.name)
                except (SourceStopped, Transient) as error:
                    totals.stopped[source.source.name] = error
                    continue
                totals.add(source.source.name, counts)
                missing += gone
    report_run(context, totals, time.perf_counter() - began)
    for entry in missing:
        complaint = CdcMergeError(
            "the object is no longer there",
            where=entry.object_key,
            hint=f"put it back, or run: cdc-merge quarantine discard {entry.id}",
        )
        click.secho(f"error: {complaint}", fg="red", err=True)
    if missing or totals.stopped:
        sys.exit(1)


def _retry(context: Context, source: SourceWorker, ids: Sequence[str]) -> tuple[Counts, list[Entry]]:
    """One try, with what is there now: an entry may have been discarded since, or its item forgotten."""
    there = {e.id for e in _entries(context)}
    left = [i for i in ids if i in there]
    return retry(source, _entries(context, left, with_raw=True)) if left else (Counts(), [])


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
