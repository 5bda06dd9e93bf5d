"""Explains one item: every change of it, what became of each, and why each target has the row it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime

from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.store import open_store
from cdc_merge.items.changes import Change, History, read_history
from cdc_merge.items.fates import Fate, Floor, Standing, explain_row, judge
from cdc_merge.items.key import ItemKey, parse_key
from cdc_merge.items.search import Search, list_objects
from cdc_merge.items.tables import ItemReader, ItemTable, Noted, Quarantined, Query, Reconciled
from cdc_merge.ledger import SourceState
from cdc_merge.model import Deletes, Settings, Source
from cdc_merge.open_warehouse import OpenWarehouse
from cdc_merge.patience import patiently
from cdc_merge.scratch import scratch_folder
from cdc_merge.warehouses import Warehouse

Progress = Callable[[int, int], None]
"""Told how many objects are searched, of how many."""


@dataclass(frozen=True)
class TableExplained:
    """One table: why its row is what it is, and what its last reconcile noted of the item."""

    table: ItemTable
    why: str
    noted: tuple[Noted, ...]
    reconciled: Reconciled | None


@dataclass(frozen=True)
class Explanation:
    """All that is known of one item. `troubles`: objects that could not be searched, and why."""

    source: str
    key: ItemKey
    key_tags: tuple[str, ...] | None
    changes: tuple[Change, ...]
    fates: tuple[Fate, ...]
    standing: Standing
    tables: tuple[TableExplained, ...]
    absent: tuple[str, ...]  # targets without a table yet
    versions: Mapping[str, int]  # rows of its history, by target
    quarantined: tuple[Quarantined, ...]  # those that are none of `changes`
    objects: int
    bytes: int
    troubles: dict[str, str]

    @property
    def found_anything(self) -> bool:
        """Whether anything is known of the item, in the objects or in the warehouse."""
        standing = self.standing
        noted = any(t.noted for t in self.tables)
        return bool(self.changes or self.quarantined or standing.rows or standing.tombstone or self.versions or noted)

    def told_of(self, noted: Noted) -> str:
        """What the last reconcile found the item to be, in words."""
        if noted.cause == "never_arrived" and not self.changes:
            # As of every item of a first load: nothing says that there ever was a change to arrive.
            return "loaded it: there is no change of it in any object that was read"
        columns = f" ({', '.join(noted.columns)})" if noted.columns else ""
        return f"found it {noted.verdict}{columns}: {noted.cause.replace('_', ' ')}"

    def as_dict(self) -> dict[str, object]:
        standing = self.standing
        tombstone = standing.tombstone
        return {
            "source": self.source,
            "key": list(self.key.words),
            "key_types": list(self.key_tags) if self.key_tags else None,
            "objects": self.objects,
            "bytes": self.bytes,
            "unsearched": self.troubles,
            "changes": [
                self._change(number, c, f) for number, (c, f) in enumerate(zip(self.changes, self.fates, strict=True))
            ],
            "quarantined": [_entry(q) for q in self.quarantined],
            "tombstone": {"position": tombstone.position, "changed_at": tombstone.changed_at} if tombstone else None,
            "targets": {t.table.label: self._target(t) for t in self.tables} | dict.fromkeys(self.absent),
        }

    def _change(self, number: int, change: Change, fate: Fate) -> dict[str, object]:
        merged = self.standing.merged.get((change.place.object_key, change.place.version))
        return {
            "number": number + 1,
            "object": change.place.object_key,
            "version": change.place.version,
            "record": change.place.record,
            "offset": change.place.offset,
            "event": change.event,
            "expired": change.is_expiry,
            "position": change.position or None,
            "changed_at": change.changed_at,
            "merged_at": merged.at if merged else None,
            "takes": sorted(change.takes),
            **{name: list(tables) for name, tables in asdict(fate.moves).items()},
            "became": fate.became.value,
            "why": fate.why,
            "doubtful": change.is_doubtful,
            "by": None if fate.by is None else fate.by + 1,
        }

    def _target(self, explained: TableExplained) -> dict[str, object]:
        table = explained.table
        row = self.standing.rows.get(table.label)
        floor = self.standing.floors.get(table.target)
        last = explained.reconciled
        return {
            "row": {
                "position": row.position,
                "changed_at": row.changed_at,
                "merged_at": row.merged_at,
                "deleted_at": row.deleted_at,
                "columns": list(row.columns),
                "rows": row.rows,
            }
            if row
            else None,
            "versions": self.versions.get(table.target, 0),
            "why": explained.why,
            "left_behind": table.is_left_behind,
            "floor": floor.at if floor else None,
            "floor_raised_by": floor.by.id if floor and floor.by else None,
            "last_reconcile": {
                "id": last.id,
                "export": last.export,
                "as_of": last.as_of,
                "noted": [_note(n) for n in explained.noted],
            }
            if last
            else None,
        }


def _note(noted: Noted) -> dict[str, object]:
    return {"verdict": noted.verdict, "cause": noted.cause, "columns": list(noted.columns)}


def _entry(entry: Quarantined) -> dict[str, object]:
    return {
        "id": entry.id,
        "object": entry.place.object_key,
        "record": entry.place.record,
        "offset": entry.place.offset,
        "reason": entry.reason,
        "detail": entry.detail,
        "doubtful": entry.is_doubtful,
    }


def explain(
    settings: Settings,
    source_name: str,
    words: Sequence[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    warehouse: Warehouse | None = None,
    progress: Progress = lambda _objects, _all: None,
) -> Explanation:
    """Explain the item whose key attributes are written so; `since`, `until`: only objects written in that time.

    Reads the feed and the warehouse, and changes nothing. Raises UsageError for a source or key that cannot be, the
    errors of stores and warehouses, and those that would stop a merge of the item's records.
    """
    source = settings.source_named(source_name)
    with closing(OpenWarehouse.of(settings, warehouse)) as opened:

        def read_state() -> SourceState:
            with opened.session() as session:
                return opened.state(session, source)

        state = patiently(read_state, source=source.name)
        key = parse_key(source, words, state.key_tags)
        store = open_store(source.changes)
        refs = list_objects(store, since=since, until=until)
        with scratch_folder() as folder:
            search = Search(store, key, batch_bytes=source.batch.bytes)
            held = search.run(refs, folder, progress=lambda objects, _bytes: progress(objects, len(refs)))
            facts = FeedFacts(state.ordering, state.key_tags)
            history = read_history(held, source=source, key=key, facts=facts)
        tags = history.key_tags or tuple(forms[0][0] for forms in key.forms)

        def read_item() -> _Found:
            with opened.session() as session:
                now = opened.state(session, source)
                reader = ItemReader(source, key, now, layout=opened.layout, dialect=opened.dialect, tags=tags)
                return _Found(source, now, reader, history, store.bucket, session.query)

        found = patiently(read_item, source=source.name)
        standing, tables, quarantined = found.standing, found.tables, found.others
    fates = judge(history.changes, standing)
    return Explanation(
        source=source.name,
        key=key,
        key_tags=history.key_tags,
        changes=history.changes,
        fates=tuple(fates),
        standing=standing,
        tables=tuple(
            TableExplained(
                table,
                explain_row(table.label, history.changes, fates, standing),
                tuple(n for n in found.noted if last and (n.reconciliation, n.target) == (last.id, table.target)),
                last,
            )
            for table, last in tables
        ),
        absent=tuple(t.table for t in source.targets if t.table not in {table.target for table, _ in tables}),
        versions=found.versions,
        quarantined=quarantined,
        objects=len(refs),
        bytes=sum(ref.size for ref in refs),
        troubles={s.ref.key: s.trouble for s in held if s.trouble},
    )


class _Found:
    """What the warehouse says of the item."""

    def __init__(
        self, source: Source, state: SourceState, reader: ItemReader, history: History, bucket: str, query: Query
    ) -> None:
        mine = {t: row for t in reader.tables if (row := reader.row(query, t))}
        rows = {t.label: row for t, row in mine.items() if not t.is_history}
        self.versions = {t.target: row.rows for t, row in mine.items() if t.is_history}
        quarantined = tuple(reader.quarantined(query))
        reconciled = reader.reconciled(query)
        self.noted = reader.noted(query)
        self.tables = [
            (t, next(reversed(reconciled.get(t.target, [])), None)) for t in reader.tables if not t.is_history
        ]
        self.standing = Standing(
            targets=tuple(t.table for t in source.targets),
            soft=frozenset(t.table for t in source.targets if t.deletes is Deletes.SOFT),
            rows=rows,
            tombstone=reader.tombstone(query),
            floors={
                target: Floor(at, next((r for r in reconciled.get(target, []) if r.floor == at), None))
                for target, at in state.floors.items()
                if at is not None
            },
            merged=reader.merged(query, bucket, (c.place.object_key for c in history.changes)),
            quarantined=quarantined,
            origins={
                table: found
                for table, row in rows.items()
                if (found := next((r for r in reconciled.get(table, []) if r.floor == row.changed_at), None))
            },
            could=history.could,
        )
        places = {(c.place.object_key, c.place.version, c.place.offset) for c in history.changes}
        self.others = tuple(
            q for q in quarantined if (q.place.object_key, q.place.version, q.place.offset) not in places
        )


__all__ = ["Explanation", "explain"]
