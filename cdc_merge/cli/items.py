"""`explain` and `forget`: one item, what is known of it, and erasing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cdc_merge.cli.common import Context, cli, command, emit
from cdc_merge.cli.usage import Moment
from cdc_merge.errors import UsageError
from cdc_merge.explain import Explanation, TableExplained, explain
from cdc_merge.forget import Forgetter, Forgotten, Holdings
from cdc_merge.items.changes import Change
from cdc_merge.items.fates import Fate
from cdc_merge.items.key import parse_key
from cdc_merge.items.moves import Moves
from cdc_merge.words import count


@contextmanager
def _progress(context: Context) -> Iterator[Callable[[int, int], None]]:
    """A bar of objects searched, on a terminal."""
    if context.is_json or not sys.stderr.isatty():
        yield lambda _objects, _all: None
        return
    columns = (
        TextColumn("searching"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("objects"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("search", total=None)
        yield lambda objects, whole: bar.update(task, completed=objects, total=whole)


@cli.command("explain")
@click.argument("name", metavar="SOURCE")
@click.argument("words", nargs=-1, required=True, metavar="KEY...")
@click.option("--from", "since", type=Moment(), metavar="T", help="Objects written at or after this time (UTC).")
@click.option("--to", "until", type=Moment(), metavar="T", help="Objects written at or before this time (UTC).")
@command
def explain_command(
    context: Context, *, name: str, words: tuple[str, ...], since: datetime | None, until: datetime | None
) -> None:
    """Every change that touched one item, with object and record, and why the row is what it is."""
    with _progress(context) as progress:
        explanation = explain(
            context.settings,
            name,
            words,
            since=since,
            until=until,
            progress=progress,
        )
    if context.is_json:
        emit(explanation.as_dict())
    else:
        _print_explanation(explanation)
    if not explanation.found_anything:
        sys.exit(1)


def _print_explanation(explanation: Explanation) -> None:
    changes = list(zip(explanation.changes, explanation.fates, strict=True))
    held = len({c.place.object_key for c, _ in changes})
    click.echo(
        f"{explanation.source} {' / '.join(explanation.key.words)}: {count(len(changes), 'change')} in {held:,} of "
        f"{count(explanation.objects, 'object')}"
    )
    if not explanation.found_anything:
        order = " and then ".join(explanation.key.attributes)
        click.echo(f"nothing is known of it; the words are the value of {order}")
    for number, (change, fate) in enumerate(changes, start=1):
        _print_change(explanation, number, change, fate)
    for entry in explanation.quarantined:
        may = " (perhaps of another item)" if entry.is_doubtful else ""
        click.echo(f"in quarantine{may}: {entry.id}, {entry.reason}, {entry.place.object_key}")
    for table in explanation.tables:
        _print_table(explanation, table)
    for target in explanation.absent:
        click.echo(f"{target}: there is no table yet")
    if tombstone := explanation.standing.tombstone:
        click.echo(f"tombstone: position {tombstone.position}, {_time(tombstone.changed_at)}")
    for object_key, trouble in explanation.troubles.items():
        click.secho(f"not searched: {object_key}: {trouble}", fg="yellow")


def _print_change(explanation: Explanation, number: int, change: Change, fate: Fate) -> None:
    merged = explanation.standing.merged.get((change.place.object_key, change.place.version))
    event = f"{change.event} (time to live)" if change.is_expiry else change.event
    may = " (perhaps of another item)" if change.is_doubtful else ""
    click.secho(f"{number}. {event} {_time(change.changed_at)}{may}", bold=True)
    click.echo(f"   {change.place.object_key}, record {change.place.record}, byte {change.place.offset}")
    if change.position:
        click.echo(f"   position {change.position}")
    if merged:
        click.echo(f"   merged {_time(merged.at)}")
    for words in _told_moves(fate.moves):
        click.echo(f"   {words}")
    click.echo(f"   {fate.became}: {fate.why}")


def _told_moves(moves: Moves) -> Iterator[str]:
    taken = [f"out of {', '.join(moves.out_of)}"] if moves.out_of else []
    taken += [f"into {', '.join(moves.into)}"] if moves.into else []
    if taken:
        yield f"took the item {' and '.join(taken)}"
    if moves.marked:
        yield f"marked the row in {', '.join(moves.marked)} as deleted"
    if moves.revived:
        yield f"revived the row in {', '.join(moves.revived)}"
    if moves.spared:
        yield f"left the row in {', '.join(moves.spared)} as it was"


def _print_table(explanation: Explanation, explained: TableExplained) -> None:
    table = explained.table
    left = " (no longer in the configuration)" if table.is_left_behind else ""
    click.secho(f"{table.label}{left}: {explained.why}", bold=True)
    if row := explanation.standing.rows.get(table.label):
        click.echo(f"   position {row.position or 'none'}, changed {_time(row.changed_at)}, {count(row.rows, 'row')}")
        click.echo(f"   values in {', '.join(row.columns)}")
    if versions := explanation.versions.get(table.target):
        click.echo(f"   {count(versions, 'row')} in its history")
    floor = explanation.standing.floors.get(table.target)
    if floor:
        by = f", raised by reconcile {floor.by.id} with {floor.by.export}" if floor.by else ""
        click.echo(f"   verified through {_time(floor.at)}{by}")
    for noted in explained.noted:
        click.echo(f"   the last reconcile {explanation.told_of(noted)}")


def _time(moment: datetime | None) -> str:
    return "at an unknown time" if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def is_terminal() -> bool:
    """Whether someone can be asked."""
    return sys.stdin.isatty()


@cli.command("forget")
@click.argument("name", metavar="SOURCE")
@click.argument("words", nargs=-1, required=True, metavar="KEY...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--keep-tombstone",
    is_flag=True,
    help="Keep the key with its newest position, so that late changes do not bring the item back.",
)
@command
def forget_command(context: Context, *, name: str, words: tuple[str, ...], yes: bool, keep_tombstone: bool) -> None:
    """Erase one item everywhere, and list the objects that still hold it."""
    parse_key(context.settings.source_named(name), words, None)
    if not yes and not is_terminal():
        raise UsageError("there is no terminal to ask on whether to erase the item", hint="add --yes")
    forgetter = Forgetter(context.settings, name, words)
    try:
        with _progress(context) as progress:
            holdings = forgetter.look(find_newest=keep_tombstone, progress=progress)
        if not yes:
            _print_holdings(holdings)
            click.confirm(
                f"Erase {' / '.join(words)} of {name} from the warehouse? It cannot be undone.", abort=True, err=True
            )
        forgotten = forgetter.erase(holdings, keep_tombstone=keep_tombstone)
    finally:
        forgetter.close()
    if context.is_json:
        emit(forgotten.as_dict())
    else:
        _print_forgotten(forgotten)
    if not forgotten.found_anything:
        sys.exit(1)


def _print_holdings(holdings: Holdings) -> None:
    for what in holdings.words():
        click.echo(what, err=True)


def _print_forgotten(forgotten: Forgotten) -> None:
    if not forgotten.found_anything:
        click.echo(f"nothing was found, in the warehouse or in {count(forgotten.objects, 'object')}")
    elif not forgotten.erased_anything:
        click.echo("nothing of it was in the warehouse")
    for table, rows in forgotten.rows.items():
        click.echo(f"{table}: {count(rows, 'row')} erased")
    if forgotten.tombstone:
        click.echo("tombstone erased")
    if forgotten.quarantined:
        click.echo(f"quarantine: {len(forgotten.quarantined)} erased")
    if forgotten.samples:
        click.echo(f"reconciliations: {count(forgotten.samples, 'sample')} erased")
    if forgotten.misfits:
        click.echo(f"misfits: {count(forgotten.misfits, 'sample')} erased")
    if forgotten.kept_position:
        click.echo(f"a tombstone keeps the key, at position {forgotten.kept_position}")
    if forgotten.doubtful:
        click.secho(
            f"in quarantine, perhaps of the item: {', '.join(forgotten.doubtful)}; see: cdc-merge quarantine show",
            fg="yellow",
        )
    if forgotten.held:
        click.secho("these objects still hold it, and are yours to delete or rewrite:", fg="yellow")
    for held in forgotten.held:
        may = " (perhaps)" if held.is_doubtful else ""
        waits = "" if held.is_merged else ", not merged yet"
        click.echo(f"  {held.object_key}, record {held.record}, byte {held.offset}{waits}{may}")
    for hint in forgotten.hints:
        click.secho(hint, fg="yellow")
