"""What the warehouse keeps of one item: rows, tombstone, quarantined records, and what reconciles noted of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cdc_merge.items.changes import Place
from cdc_merge.items.key import ItemKey, is_storable, sql_value
from cdc_merge.items.whose import Recognizer, Whose
from cdc_merge.layout import Layout
from cdc_merge.ledger import SourceState
from cdc_merge.model import Kind, Source
from cdc_merge.names import history_table
from cdc_merge.render import Name, Sql, name, render
from cdc_merge.staging import key_document
from cdc_merge.warehouses import Dialect, Row

_OF_THE_ROW = (
    *("_cdc_position", "_cdc_changed_at", "_cdc_merged_at", "_cdc_deleted_at"),
    *("_cdc_operation", "_cdc_valid_from", "_cdc_valid_to"),
)
PORTION_BYTES = 16 * 2**20  # of quarantined records, in memory at once
_FEW = 500  # names in one statement

FORGOTTEN = "/forgotten"
"""What a tombstone that outlives a forgotten item has behind the newest position: a change of an equal position is no
older, so it would bring the item back. Longer than that position, it is before every one that comes after.
"""

Query = Callable[[str], list[Row]]
"""Runs a reading statement, inside a transaction or by itself."""


@dataclass(frozen=True)
class ItemTable:
    """A table that may hold rows of the item. `columns`: all it has now; `is_left_behind`: the configuration has no
    such target any more.
    """

    target: str
    table: Name
    key_names: tuple[str, ...]
    columns: tuple[str, ...]
    is_left_behind: bool
    is_history: bool = False

    @property
    def label(self) -> str:
        return self.table.parts[-1]


def tables_of_item(source: Source, state: SourceState, schema: str) -> list[ItemTable]:
    """Every table that may hold rows of an item of the source, in the configuration's order, then those left behind.

    One table a target and its history, as the metadata table `targets` knows them; those that were dropped are left
    out. Whatever more a target keeps of an item goes in here, and is explained and forgotten with it.
    """
    configured = [t.table for t in source.targets]
    known = [t for t in configured if t in state.schemas] + sorted(set(state.schemas) - set(configured))
    found = []
    for target in known:
        stored = state.schemas[target]
        tables = [target, history_table(target)] if stored.has_history else [target]
        found += [
            ItemTable(
                target=target,
                table=name(schema, table),
                key_names=stored.key_names,
                columns=tuple(state.columns[table]),
                is_left_behind=target not in configured,
                is_history=table != target,
            )
            for table in tables
            if table in state.columns and stored.key == source.key
        ]
    return found


@dataclass(frozen=True)
class ItemRow:
    """The item's row in a table, or rows. `columns`: those with a value; `rows`: how many there are."""

    position: str
    changed_at: datetime | None
    merged_at: datetime
    deleted_at: datetime | None
    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Tombstone:
    position: str
    changed_at: datetime | None


@dataclass(frozen=True)
class Merged:
    """When an object version was last merged, and in which batch."""

    at: datetime
    batch: str


@dataclass(frozen=True)
class Quarantined:
    """A record in quarantine that is the item's, or (`is_doubtful`) may be."""

    id: str
    place: Place
    reason: str
    detail: str
    is_doubtful: bool


@dataclass(frozen=True)
class Reconciled:
    """One reconcile of a target."""

    id: str
    export: str
    method: str
    as_of: datetime
    floor: datetime
    finished_at: datetime


@dataclass(frozen=True)
class Noted:
    """A sample that a reconcile kept of the item."""

    reconciliation: str
    target: str
    verdict: str
    cause: str
    columns: tuple[str, ...]


class ItemReader:
    """Reads what the warehouse keeps of one item of a source."""

    def __init__(
        self, source: Source, key: ItemKey, state: SourceState, *, layout: Layout, dialect: Dialect, tags: Sequence[str]
    ) -> None:
        self._source = source.name
        self._key = key
        self._tags = tuple(tags)
        self._metadata = {k: v for k, v in layout.metadata.items() if k not in ("targets", "sources")}
        self._dialect = dialect
        self.partition_key, self.sort_key = key.texts(tags)
        self.tables = tables_of_item(source, state, layout.schema)
        self._recognizer = Recognizer(key)

    @property
    def is_storable(self) -> bool:
        """Whether the engine's text can hold the key at all."""
        return all(is_storable(self._dialect, text) for text in (self.partition_key, self.sort_key))

    def say(self, template: str, **values: Any) -> str:
        """The SQL of a template of this package, which sees the metadata tables and the key by name."""
        return render(
            f"items/sql/{template}.sql",
            self._dialect,
            source=self._source,
            partition_key=self.partition_key,
            sort_key=self.sort_key,
            **self._metadata,
            **values,
        )

    def _values(self) -> list[str | None]:
        texts = (self.partition_key, self.sort_key)
        return [sql_value(self._dialect, tag, text) for tag, text in zip(self._tags, texts, strict=False)]

    def condition(self, table: ItemTable) -> Sql:
        """Which rows of a table are the item's."""
        values = self._values()
        if None in values:
            return Sql("FALSE")
        pairs = zip(table.key_names, values, strict=True)
        return Sql(" AND ".join(f"{self._dialect.quote(column)} = {value}" for column, value in pairs))

    def row(self, query: Query, table: ItemTable) -> ItemRow | None:
        """The newest of the item's rows in a table, with the columns in which any of them has a value."""
        shown = [c for c in table.columns if c not in _OF_THE_ROW]
        deleted_at = "_cdc_deleted_at" if "_cdc_deleted_at" in table.columns else "NULL"
        rows = query(
            self.say(
                "rows",
                table=table.table,
                changed_at=name("_cdc_valid_from" if table.is_history else "_cdc_changed_at"),
                deleted_at=Sql(deleted_at),
                columns=[name(c) for c in shown],
                condition=self.condition(table),
            )
        )
        if not rows:
            return None
        position, changed_at, merged_at, deleted, *_ = rows[0]
        given = [any(row[4 + i] for row in rows) for i in range(len(shown))]
        columns = tuple(c for c, has_value in zip(shown, given, strict=True) if has_value)
        return ItemRow(position, changed_at, merged_at, deleted, columns, len(rows))

    def tombstone(self, query: Query) -> Tombstone | None:
        rows = query(self.say("tombstone")) if self.is_storable else []
        return Tombstone(*rows[0]) if rows else None

    def merged(self, query: Query, bucket: str, object_keys: Iterable[str]) -> dict[tuple[str, str], Merged]:
        """The ledger of some objects, by key and version."""
        found = {}
        for keys in _portions(sorted(set(object_keys))):
            for key, version, at, batch in query(self.say("merged", bucket=bucket, object_keys=keys)):
                found[key, version] = Merged(at, batch)
        return found

    def quarantined(self, query: Query) -> Iterator[Quarantined]:
        """The records in quarantine that are the item's, or may be."""
        for ids in _by_size(query(self.say("quarantine_sizes"))):
            for number, key, version, record, offset, reason, detail, raw in query(self.say("quarantine_raw", ids=ids)):
                whose = self._recognizer.whose(bytes(raw))
                if whose is not Whose.OTHERS:
                    place = Place(key, int(offset or 0), int(record or 0), version)
                    yield Quarantined(number, place, reason, detail, whose is Whose.DOUBTFUL)

    @property
    def key_document(self) -> str:
        """The key as the samples of `misfits` have it."""
        return key_document((self.partition_key, self.sort_key)[: len(self._tags)])

    def misfits(self, query: Query) -> list[tuple[str, str]]:
        """(target, column) of those whose sample of a value that did not fit is the item's."""
        return [(target, column) for target, column in query(self.say("misfits", key=self.key_document))]

    def reconciled(self, query: Query) -> dict[str, list[Reconciled]]:
        """All reconciles of each target, oldest first."""
        found: dict[str, list[Reconciled]] = {}
        for target, *values in query(self.say("reconciliations")):
            found.setdefault(target, []).append(Reconciled(*values))
        return found

    def samples(self, query: Query) -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
        """(reconciliation, target, details, its samples of the item) for each reconcile that kept some."""
        wanted = self._sampled_key(query)
        if wanted is None:
            return
        for reconciliation, target, text in query(self.say("samples")):
            details = json.loads(text)
            mine = [s for s in details.get("samples", ()) if s.get("key", [])[: len(wanted)] == wanted]
            if mine:
                yield reconciliation, target, details, mine

    def noted(self, query: Query) -> list[Noted]:
        return [
            Noted(reconciliation, target, s["verdict"], s["cause"], tuple(s.get("columns", ())))
            for reconciliation, target, _, samples in self.samples(query)
            for s in samples
        ]

    def _sampled_key(self, query: Query) -> list[str] | None:
        """The key as a sample has it: the engine's own text of the values."""
        values = self._values()
        if None in values:
            return None
        text = self._dialect.types[Kind.TEXT]
        return list(map(str, query("SELECT " + ", ".join(f"CAST({v} AS {text})" for v in values))[0]))


def _by_size(sizes: Iterable[Row]) -> Iterator[list[str]]:
    """Ids put together up to PORTION_BYTES, or a single one."""
    held: list[str] = []
    size = 0
    for number, length in sizes:
        if held and (size + length > PORTION_BYTES or len(held) == _FEW):
            yield held
            held, size = [], 0
        held.append(number)
        size += length
    if held:
        yield held


def _portions(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _FEW):
        yield items[start : start + _FEW]


__all__ = [
    "FORGOTTEN",
    "ItemReader",
    "ItemRow",
    "ItemTable",
    "Merged",
    "Noted",
    "Quarantined",
    "Query",
    "Reconciled",
    "Tombstone",
    "tables_of_item",
]
