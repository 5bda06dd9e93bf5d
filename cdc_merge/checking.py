"""Tries what a run needs, and changes nothing: the feeds and exports, the warehouse, its metadata, the targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cdc_merge.blanks import origin
from cdc_merge.errors import CdcMergeError, SchemaConflict
from cdc_merge.exports.finder import newest_complete
from cdc_merge.exports.place import is_missing_directory
from cdc_merge.feed.store import ObjectStore, open_store
from cdc_merge.glimpse import Glimpse, glimpse
from cdc_merge.layout import Layout
from cdc_merge.ledger import READABLE_SINCE, Ledger, SourceState
from cdc_merge.migrate import Migration, Migrator
from cdc_merge.model import Load, Settings, Source
from cdc_merge.raw.fitness import reasons_of
from cdc_merge.warehouses import Dialect, Session, Statement, Warehouse
from cdc_merge.words import count, listed


@dataclass(frozen=True)
class Finding:
    """One thing `check` looked at. `cure` is None when all is well. `is_doubt`: it may be as it should be."""

    subject: str
    message: str
    cure: str | None = None
    is_doubt: bool = False

    @property
    def is_problem(self) -> bool:
        return self.cure is not None and not self.is_doubt


def check(settings: Settings, warehouse: Warehouse, layout: Layout, *, config: Path) -> list[Finding]:
    """All findings, the feeds' first."""
    findings = [Finding("configuration", f"{config}, {count(len(settings.sources), 'source')}")]
    for source in settings.sources:
        findings += _check_feed(source)
        if source.exports is not None:
            findings.append(_check_exports(source, source.exports))
    try:
        with warehouse.session() as session:
            session.run([Statement("try a transaction", "SELECT 1")])  # what a road to it must prove, it proves now
            findings.append(Finding("warehouse", f"connected to {warehouse.name}"))
            findings += [Finding(warehouse.dialect.name, f"{m.words} ({m.link})") for m in warehouse.dialect.limits]
            findings += _check_warehouse(settings, warehouse, layout, session)
    except CdcMergeError as error:
        words = f"{error.where}: {error.message}" if error.where else error.message
        findings.append(Finding("warehouse", words, error.hint or "check the URL and the server"))
    return findings


def _check_warehouse(settings: Settings, warehouse: Warehouse, layout: Layout, session: Session) -> Iterator[Finding]:
    pending = Migrator(warehouse, layout.metadata_schema).pending(session)
    yield Finding("metadata", _due(pending) if pending else f"schema {layout.metadata_schema} is up to date")
    ledger = Ledger(layout.metadata, warehouse.dialect)
    is_known = all(m.version > READABLE_SINCE for m in pending)
    for source in settings.sources:
        state = SourceState()
        if is_known:
            state = ledger.state(session, source.name, schema=layout.schema, targets=source.targets)
        yield from _check_targets(source, warehouse.dialect, layout, state)
        if source.load is Load.WAREHOUSE:
            yield _check_road(source, warehouse.dialect, layout, state)


def _due(pending: Sequence[Migration]) -> str:
    names = [m.name for m in pending]
    what = f"{names[0]} is due" if len(names) == 1 else f"{names[0]} to {names[-1]} are due"
    return f"{what}; `run` does it, or: cdc-merge migrate"


def _check_targets(source: Source, dialect: Dialect, layout: Layout, state: SourceState) -> Iterator[Finding]:
    """Whether the tables are what the configuration and the ledger say."""
    there = state.inspector(dialect, layout.schema)
    for target in source.targets:  # one by one, so that a conflict of one hides none of another
        subject = f"target {target.table}"
        try:
            (book,) = there.open_books(replace(source, targets=(target,)))
        except SchemaConflict as error:
            yield Finding(subject, _message(error, subject), error.hint or "see the configuration")
            continue
        yield Finding(subject, "is there" if book.stored else "will be created by the first batch")


def _check_road(source: Source, dialect: Dialect, layout: Layout, state: SourceState) -> Finding:
    """Who decodes the batches of a source that asks for the warehouse."""
    subject = f"load of {source.name}"
    if reasons := reasons_of(source, dialect, layout, state):
        return Finding(subject, f"the worker decodes its batches: {'; '.join(reasons)}")
    return Finding(subject, "the warehouse decodes its batches, where it surely can")


def _check_exports(source: Source, exports: str) -> Finding:
    subject = f"exports of {source.name}"
    if is_missing_directory(exports):
        return Finding(subject, f"{exports}: there is no such directory", "create it, or correct `exports`")
    try:
        newest = newest_complete(exports, table=source.table)
    except CdcMergeError as error:
        return Finding(subject, _placed(error, exports), error.hint or f"see whether {exports} can be listed")
    if newest is None:
        return Finding(subject, f"{exports} has no complete full export yet")
    return Finding(subject, f"the newest is {newest.location}, as of {newest.as_of.isoformat()}")


def _check_feed(source: Source) -> Iterator[Finding]:
    subject = f"source {source.name}"
    try:
        store: ObjectStore = open_store(source.changes)
        page = store.list_page(start_after=None)
        if not page.objects:
            yield Finding(subject, f"{source.changes} can be listed, but is empty")
            return
        yield Finding(subject, f"{source.changes} has objects")
        seen = glimpse(source, store, page.objects)
    except CdcMergeError as error:
        yield Finding(
            subject, _placed(error, source.changes), error.hint or f"see whether {source.changes} can be read"
        )
        return
    yield from _judge(source, seen)


def _judge(source: Source, seen: Glimpse) -> Iterator[Finding]:
    """What the records that were read say of the configuration."""
    subject = f"records of {source.name}"
    looked = f"{count(seen.records, 'record')} of {count(seen.objects, 'object')}"
    if seen.key is None:
        cure = "name the prefix that Firehose writes to, or see what lies there: cdc-merge infer"
        yield Finding(subject, f"no change record was found; read: {looked}", cure, is_doubt=True)
        return
    if set(seen.key) != set(source.key):
        message = f"the records have the key {listed(seen.key)}, the configuration says {listed(source.key)}"
        yield Finding(subject, message, f"write key: [{', '.join(seen.key)}], the partition key first")
        return
    yield Finding(subject, f"the key is right; read: {looked}")
    if seen.partition_key not in (None, source.key[0]):
        cure = f"write key: [{', '.join(reversed(source.key))}], if {seen.partition_key} is the table's partition key"
        message = f"the configuration has {source.key[0]} as the partition key, and {source.key[1]} is named like one"
        yield Finding(subject, f"{message}; records do not tell", cure, is_doubt=True)
    for found in seen.sightings:
        subject = f"target {found.target.table}"
        if seen.items and not found.items:
            message = f"takes none of the {count(seen.items, 'item')} read"
            yield Finding(subject, message, "see whether its `where` is as the items are", is_doubt=True)
        if found.blank:
            names = ", ".join(f"{c.name} (from {origin(c)})" for c in found.blank)
            message = f"no value in {count(found.items, 'item')} read: {names}"
            yield Finding(subject, message, "see whether the names of the attributes are right", is_doubt=True)
        for column, kind, pieces in found.misread:
            keys = count(pieces, "key has a piece that is", "keys have pieces that are")
            message = f"{column.name} (from {origin(column)}): {keys} no {kind.value}"
            cure = (
                f"as {kind.value} {'it is' if pieces == 1 else 'these are'} NULL and not counted: make the column text"
            )
            yield Finding(subject, message, cure, is_doubt=True)
        if found.unknown:
            message = f"attributes without a column, at which `evolve: fail` stops: {listed(found.unknown)}"
            yield Finding(subject, message, "add them to `columns`, or write evolve: freeze", is_doubt=True)


def _message(error: CdcMergeError, subject: str) -> str:
    """What an error says, with its place where that is not the subject itself."""
    return error.message if error.where in (None, subject) else f"{error.where}: {error.message}"


def _placed(error: CdcMergeError, otherwise: str) -> str:
    return f"{error.where or otherwise}: {error.message}"


__all__ = ["Finding", "check"]
