"""`status`, `check`, `plan` and `migrate`: what is there, and what would happen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

import click

from cdc_merge.checking import check
from cdc_merge.cli.common import EXIT_FOUND, Context, age, cli, command, emit, print_table
from cdc_merge.clock import utc_now
from cdc_merge.errors import UsageError
from cdc_merge.layout import layout_for, layout_of
from cdc_merge.migrate import Migration, Migrator, migrations
from cdc_merge.planning.preview import Preview, preview_on_empty
from cdc_merge.planning.reader import PlanReader
from cdc_merge.planning.rehearsal import Rehearser
from cdc_merge.status import ProbeStatus, SourceStatus, StatusReader, allowed_delay
from cdc_merge.warehouses.engines import BY_NAME
from cdc_merge.words import count

_MOST_SHOWN = 20  # lines of one table of `status`, for people


@cli.command()
@click.option(
    "--check",
    "is_check",
    is_flag=True,
    help="Exit 4 when a source is stopped, or an object or a reconcile has waited too long.",
)
@click.option("--no-backlog", is_flag=True, help="Do not list the feed to count what waits.")
@command
def status(context: Context, *, is_check: bool, no_backlog: bool) -> None:
    """Freshness, backlog, counts, the last reconcile and drift of each source and target."""
    with context.warehouse() as warehouse:
        layout = layout_of(context.settings, warehouse)
        with warehouse.session() as session:
            Migrator(warehouse, layout.metadata_schema).require(session)
            reader = StatusReader(warehouse, layout)
            found = [reader.read(session, s, count_backlog=is_check or not no_backlog) for s in context.sources]
    now = utc_now()
    judged = [
        (s, s.is_stale(now, allowed_delay(source)), s.is_unverified(now, source.reconcile.every))
        for s, source in zip(found, context.sources, strict=True)
    ]
    if context.is_json:
        sources = [{**asdict(s), "stale": stale, "unverified": unverified} for s, stale, unverified in judged]
        emit({"config": str(context.config), "sources": sources})
    else:
        click.echo(f"configuration {context.config}")
        for s, stale, unverified in judged:
            said = (("stopped", bool(s.stopped_by)), ("stale", stale), ("unverified", unverified))
            words = [word for word, holds in said if holds]
            _print_status(s, ", ".join(words), now)
    if is_check and any(s.stopped_by or stale or unverified for s, stale, unverified in judged):
        sys.exit(EXIT_FOUND)


def _print_status(s: SourceStatus, remark: str, now: datetime) -> None:
    waiting = "not counted" if s.backlog is None else count(s.backlog, "object")
    if s.oldest_waiting:
        waiting += f", the oldest written {age(s.oldest_waiting, now)}"
    click.echo(f"source {s.source}" + (f" ({remark})" if remark else ""))
    click.echo(f"  last merge      {age(s.last_merge, now)}; newest change {age(s.newest_change, now)}")
    click.echo(f"  waiting         {waiting}")
    for reason in s.stopped_by:
        click.echo(f"  stopped         {reason} (cure: cdc-merge plan)")
    click.echo(
        f"  merged          {count(s.objects, 'object')}, {count(s.totals['records'], 'record')}: "
        + ", ".join(f"{records:,} {name}" for name, records in s.totals.items() if name != "records")
    )
    click.echo(f"  quarantine      {_waiting_in_quarantine(s)}")
    click.echo(f"  tombstones      {s.tombstones} held")
    click.echo(f"  worker          {s.holder or 'none'}")
    click.echo(f"  last reconcile  {_last_reconcile(s, now)}")
    if s.probe:
        click.echo(f"  drift meter     {_probe(s.probe, now)}")
    rows = [(t.table, "yes" if t.exists else "not yet", t.inserted, t.updated, t.deleted) for t in s.targets]
    print_table("", ("target", "exists", "inserted", "updated", "deleted"), rows)
    if s.last_reconcile:
        columns = ("missing", "extra", "different", "newer", "repaired")
        verified = [
            (t.table, _second(t.verified_through), *(getattr(t.drift, c) if t.drift else "" for c in columns))
            for t in s.targets
        ]
        print_table("", ("target", "verified through", *columns), verified)
    if s.unmatched:
        strangers = [(u.entity, u.items, age(u.last_seen_at, now)) for u in s.unmatched[:_MOST_SHOWN]]
        click.echo("  items that no target takes")
        print_table("", ("entity", "items", "last"), strangers)
        _print_rest(len(s.unmatched))
    if s.misfits:
        odd = [
            (
                f"{m.target}.{m.column}",
                m.attribute,
                m.rows,
                age(m.last_seen_at, now),
                "" if m.first_key is None else f"{m.first_key}: {m.first_value or ''}",
            )
            for m in s.misfits[:_MOST_SHOWN]
        ]
        click.echo("  values that did not fit their column, of all changes read: stale and replaced ones too")
        print_table("", ("column", "attribute", "times", "last", "first"), odd)
        _print_rest(len(s.misfits))
    if s.blanks:
        empty = [
            (f"{b.target}.{b.column}", b.attribute, f"{b.rows:,}{', all there are' if b.is_all else ''}")
            for b in s.blanks[:_MOST_SHOWN]
        ]
        click.echo("  columns without a value so far")
        print_table("", ("column", "attribute", "rows looked at"), empty)
        _print_rest(len(s.blanks))


def _waiting_in_quarantine(s: SourceStatus) -> str:
    """How many wait. The books count a record whenever it is put there, or a retry or a replay leaves it there."""
    again = s.totals["quarantined"] != s.waiting_in_quarantine
    return f"{s.waiting_in_quarantine} waiting" + ("; replays and retries count again above" if again else "")


def _print_rest(count: int) -> None:
    if count > _MOST_SHOWN:
        click.echo(f"and {count - _MOST_SHOWN} more: --format json shows all")


def _last_reconcile(s: SourceStatus, now: datetime) -> str:
    last = s.last_reconcile
    if last is None:
        return "never"
    return f"{age(last.finished_at, now)}, {last.method} {last.export}, as of {age(last.as_of, now)}"


def _probe(p: ProbeStatus, now: datetime) -> str:
    return (
        f"{100 * p.estimate:.2g} % of rows drifted (95 %: {100 * p.lower:.2g} to {100 * p.upper:.2g} %), "
        f"{p.samples} samples, the last {age(p.last_sample_at, now)}"
    )


def _second(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""


@cli.command("check")
@command
def check_command(context: Context) -> None:
    """Try the configuration, the feeds, the warehouse and the targets; each finding with its cure."""
    with context.warehouse() as warehouse:
        layout = layout_of(context.settings, warehouse)
        findings = check(context.settings, warehouse, layout, config=context.config)
    if context.is_json:
        emit({"findings": [asdict(f) for f in findings]})
    else:
        for f in findings:
            mark = "?" if f.is_doubt else "✗" if f.is_problem else "✓"
            click.echo(f"{mark} {f.subject}: {f.message}" + (f"\n  cure: {f.cure}" if f.cure else ""))
    if any(f.is_problem for f in findings):
        sys.exit(1)


@cli.command()
@click.option("--sql", "with_sql", is_flag=True, help="Print the SQL of a merge too, and views of documents.")
@click.option("--rows", "with_rows", is_flag=True, help="Read the objects that wait first: what would become of them.")
@click.option(
    "--dialect",
    type=click.Choice(sorted(BY_NAME)),
    help="As if for an empty warehouse of this engine; nothing is connected to.",
)
@command
def plan(context: Context, *, with_sql: bool, with_rows: bool, dialect: str | None) -> None:
    """What differs between configuration and tables, the DDL that is due, and the SQL of a merge; changes nothing."""
    if dialect and with_rows:
        raise UsageError("--rows needs the warehouse, and --dialect connects to none", hint="use one of the two")
    if dialect:
        engine = BY_NAME[dialect]
        settings, sources = context.on_engine(engine)
        layout = layout_for(settings, engine)
        _print_plans([preview_on_empty(s, engine, layout) for s in sources], migrations(), context, with_sql)
        return
    with context.warehouse_as_it_is() as warehouse:
        layout = layout_of(context.settings, warehouse)
        with warehouse.session() as session:
            migrator = Migrator(warehouse, layout.metadata_schema)
            pending = migrator.pending(session)
            reader = PlanReader(warehouse, layout, pending)
            previews = [reader.read(session, source, with_views=with_sql) for source in context.sources]
        if with_rows:
            rehearser = Rehearser(warehouse, layout)
            previews = [
                p if p.is_stopped else replace(p, rehearsal=rehearser.rehearse(source))
                for p, source in zip(previews, context.sources, strict=True)
            ]
    _print_plans(previews, pending, context, with_sql)


def _print_plans(previews: Sequence[Preview], pending: Sequence[Migration], context: Context, with_sql: bool) -> None:
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
