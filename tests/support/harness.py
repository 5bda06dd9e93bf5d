"""Runs the real worker on objects in a directory, and reads the tables back as the model sees them."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from cdc_merge.layout import layout_of
from cdc_merge.ledger import Ledger
from cdc_merge.model import Evolve, Kind, Settings, Source
from cdc_merge.schema.catalog import read_tables
from cdc_merge.schema.stored import TargetSchema
from cdc_merge.warehouses import Warehouse, open_warehouse
from cdc_merge.warehouses.dialect import Dialect
from cdc_merge.warehouses.engines import BY_SCHEME
from cdc_merge.worker import RunTotals, Worker
from tests.support.history_model import Version
from tests.support.names import names_of


@dataclass
class Landed:
    """A row as it landed: position, and the item put together again from columns, _cdc_rescued and `where`."""

    position: str
    changed_at: datetime | None
    item: dict[str, Any]
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class TableRow:
    """A row as it landed: its columns by name, JSON read with exact numbers, and `_cdc_rescued` as it was read."""

    position: str
    changed_at: datetime | None
    values: dict[str, Any]
    rescued: dict[str, Any]
    element_key: str | None = None


RowKey = tuple[tuple[str, ...], int | None]
"""An item's canonical key, and the place of the element where the rows are elements."""


@dataclass
class Harness:
    """One source, its directory of objects and a warehouse; its schemas are the test's unless others are named."""

    url: str = field(repr=False)  # it may hold a password
    source: Source
    directory: Path
    schema: str = ""
    metadata: str = ""
    _objects: int = 0
    _held: Warehouse | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        names = names_of(self.url)
        self.schema = self.schema or names.schema
        self.metadata = self.metadata or names.metadata
        self.directory.mkdir(parents=True, exist_ok=True)
        self.source = replace(self.source, changes=f"file://{self.directory}")
        # While one refers to it, all others share its DuckDB: 15 ms for each worker of a test.
        self._held = open_warehouse(self.url) if self.url.startswith("duckdb:") else None

    @property
    def settings(self) -> Settings:
        return Settings(warehouse=self.url, schema=self.schema, metadata_schema=self.metadata, sources=(self.source,))

    def put(self, data: bytes, name: str | None = None) -> str:
        """Write an object; returns its key."""
        self._objects += 1
        key = name or f"2026/01/01/00/feed-1-{self._objects:06d}"
        path = self.directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return key

    def put_records(self, records: Sequence[Mapping[str, Any]], name: str | None = None) -> str:
        return self.put(b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records), name)

    def worker(self, **options: Any) -> Worker:
        return Worker(self.settings, **options)

    def run(self, **options: Any) -> RunTotals:
        """`run --once`; the books must balance."""
        totals = self.worker(**options).run_once()
        for error in totals.stopped.values():
            raise error
        assert_balanced(totals)
        return totals

    def open(self) -> Warehouse:
        return open_warehouse(self.url)

    @property
    def dialect(self) -> Dialect:
        return BY_SCHEME[self.url.partition(":")[0]].dialect

    @property
    def rescued(self) -> str:
        """_cdc_rescued as text, in a query of the test's own."""
        return self.dialect.written_rescued("_cdc_rescued")

    def json_text(self, column: str) -> str:
        """A column of JSON as text, in a query of the test's own."""
        return self.dialect.written_json.format(value=column, text=self.dialect.types[Kind.TEXT])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query of the test's own."""
        warehouse = self.open()
        try:
            with warehouse.session() as session:
                rows = session.query(sql)
        finally:
            warehouse.close()
        # SUPER is no text, so nothing says where its blanks are.
        return [tuple(map(_compact, row)) for row in rows] if self.dialect.name == "redshift" else rows

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's columns in the catalog, as we write them."""
        warehouse = self.open()
        try:
            with warehouse.session() as session:
                return tuple(read_tables(session, warehouse.dialect, self.schema, [table]).get(table, ()))
        finally:
            warehouse.close()

    def tables(self) -> dict[str, dict[tuple[str, ...], Landed]]:
        """Every target's rows, by canonical key; but elements of items are in `rows`."""
        warehouse = self.open()
        try:
            layout = layout_of(self.settings, warehouse)
            with warehouse.session() as session:
                state = Ledger(layout.metadata, warehouse.dialect).state(session, self.source.name, schema=self.schema)
                found: dict[str, dict[tuple[str, ...], Landed]] = {t.table: {} for t in self.source.targets}
                for target, schema in state.schemas.items():
                    if schema.each is not None:
                        continue
                    names = [*schema.key_names, *(c.name for c in schema.columns)]
                    columns = ", ".join(warehouse.dialect.quote(n) for n in names)
                    texts = _as_text(warehouse, schema)
                    rescued = warehouse.dialect.written_rescued("_cdc_rescued")
                    rows = session.query(
                        f"SELECT _cdc_position, _cdc_changed_at, {rescued}"
                        f", {'_cdc_deleted_at' if schema.has_deleted_at else 'NULL'}"
                        f", {texts or columns} FROM {warehouse.dialect.quote(self.schema, target)}"
                    )
                    pinned = self._pinned(target)
                    for row in rows:
                        key, landed = _landed(self.source, schema, row)
                        landed.item = {**pinned, **landed.item}
                        assert key not in found[target], f"two rows of {key} in {target}"
                        found[target][key] = landed
                return found
        finally:
            warehouse.close()

    def rows(self) -> dict[str, tuple[TargetSchema, dict[RowKey, TableRow]]]:
        """The columns and the rows of every target that has a table."""
        warehouse = self.open()
        try:
            layout = layout_of(self.settings, warehouse)
            with warehouse.session() as session:
                state = Ledger(layout.metadata, warehouse.dialect).state(session, self.source.name, schema=self.schema)
                found = {}
                for table, schema in state.schemas.items():
                    rescued = warehouse.dialect.written_rescued("_cdc_rescued")
                    element = "NULL, NULL" if schema.each is None else "_cdc_index, _cdc_key"
                    rows = session.query(
                        f"SELECT _cdc_position, _cdc_changed_at, {rescued}, {element}, "
                        f"{_as_text(warehouse, schema)} FROM {warehouse.dialect.quote(self.schema, table)}"
                    )
                    keyed = [_table_row(schema, row) for row in rows]
                    assert len(dict(keyed)) == len(keyed), f"two rows of one key in {table}"
                    found[table] = schema, dict(keyed)
                return found
        finally:
            warehouse.close()

    def history(self, table: str) -> list[Version]:
        """All rows of a target's history, in order of key and position."""
        warehouse = self.open()
        try:
            layout = layout_of(self.settings, warehouse)
            with warehouse.session() as session:
                state = Ledger(layout.metadata, warehouse.dialect).state(session, self.source.name, schema=self.schema)
                if table not in state.schemas:
                    return []
                schema, rescued = state.schemas[table], warehouse.dialect.written_rescued("_cdc_rescued")
                rows = session.query(
                    "SELECT _cdc_operation, _cdc_valid_to, _cdc_position, _cdc_valid_from, "
                    f"{rescued}, NULL, {_as_text(warehouse, schema)} "
                    f"FROM {warehouse.dialect.quote(self.schema, table + '_history')}"
                )
        finally:
            warehouse.close()
        found = []
        for operation, valid_to, *row in rows:
            key, landed = _landed(self.source, schema, row)
            item = None if operation == "delete" else {**self._pinned(table), **landed.item}
            found.append(Version(key, landed.position, landed.changed_at, valid_to, item))
        return sorted(found, key=lambda v: (v.key, v.position.encode()))

    def _pinned(self, table: str) -> dict[str, Any]:
        """What `where` alone says of every row of a table."""
        target = next(t for t in self.source.targets if t.table == table)
        if target.evolve is Evolve.ADD:
            return {}
        return {
            str(c.path[0]): _plain(c.any_of[0])
            for c in target.where
            if len(c.path) == 1 and c.any_of and len(c.any_of) == 1
        }

    def tombstones(self) -> dict[tuple[str, ...], str]:
        rows = self.query(f"SELECT partition_key, sort_key, position FROM {self.metadata}.tombstones")
        keys = len(self.source.key)
        return {(p, s)[:keys]: position for p, s, position in rows}


_numbers = itertools.count()


def fresh(url: str, source: Source, folder: Path) -> Harness:
    """A harness with tables and objects of its own in the same database."""
    number, prefix = next(_numbers), names_of(url).prefix
    return Harness(url, source, folder / f"feed{number}", schema=f"{prefix}s{number}", metadata=f"{prefix}m{number}")


def _compact(value: Any) -> Any:
    """A text of JSON without blanks, as other engines give it."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        with suppress(ValueError):
            return json.dumps(
                json.loads(value, parse_float=Decimal), separators=(",", ":"), ensure_ascii=False, default=str
            )
    return value


def assert_balanced(totals: RunTotals) -> None:
    c = totals.counts
    outcomes = c.applied + c.superseded + c.stale + c.ignored + c.quarantined
    assert c.records == outcomes, f"{c.records} records have {outcomes} outcomes"


def _json_text(warehouse: Warehouse, value: str) -> str:
    return warehouse.dialect.written_json.format(value=value, text=warehouse.dialect.types[Kind.TEXT])


def _as_text(warehouse: Warehouse, schema: TargetSchema) -> str:
    """JSON columns are read as text, so that no driver turns a number into a float."""
    parts = [warehouse.dialect.quote(n) for n in schema.key_names]
    for column in schema.columns:
        name = warehouse.dialect.quote(column.name)
        if column.type.kind is Kind.JSON:
            name = _json_text(warehouse, name)
        parts.append(name)
    return ", ".join(parts)


def _table_row(schema: TargetSchema, row: Sequence[Any]) -> tuple[RowKey, TableRow]:
    position, changed_at, rescued, index, element_key, *rest = row
    keys, values = rest[: len(schema.key_names)], rest[len(schema.key_names) :]
    columns: dict[str, Any] = {}
    for column, value in zip(schema.columns, values, strict=True):
        columns[column.name] = bytes(value) if isinstance(value, memoryview | bytearray) else value
        if column.type.kind is Kind.JSON and value is not None:
            columns[column.name] = _exact_json(value)
    key = tuple(key_text(_plain(k)) for k in keys)
    return (key, index), TableRow(position, changed_at, columns, json.loads(rescued or "{}"), element_key)


def _landed(source: Source, schema: TargetSchema, row: Sequence[Any]) -> tuple[tuple[str, ...], Landed]:
    position, changed_at, rescued, deleted_at, *values = row
    keys = [_plain(v) for v in values[: len(schema.key_names)]]
    item: dict[str, Any] = dict(zip(source.key, keys, strict=True))
    for column, value in zip(schema.columns, values[len(schema.key_names) :], strict=True):
        if value is None:
            continue
        plain = _plain(value)
        if column.type.kind is Kind.JSON:
            plain = _exact_json(value)
        if len(column.path) == 1:
            item[str(column.path[0])] = plain
    for attribute, typed in json.loads(rescued or "{}").items():
        assert attribute not in item, f"{attribute} is in a column and rescued"
        item[attribute] = untyped(typed)
    canonical = tuple(key_text(k) for k in keys)
    return canonical, Landed(position, changed_at, {k: v for k, v in item.items() if v is not None}, deleted_at)


def _exact_json(text: str) -> Any:
    """A JSON value with exact numbers; where an engine would not hold these it has the value's text instead."""
    value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    if isinstance(value, str) and value.startswith(("{", "[")) and re.search(r"[0-9.]{16}|[0-9][eE]", value):
        with suppress(ValueError):
            return json.loads(value, parse_float=Decimal, parse_int=Decimal)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return Decimal(value)
    return value


def key_text(value: Any) -> str:
    """The canonical text of a key value."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def untyped(typed: Mapping[str, Any]) -> Any:
    """A typed DynamoDB value as a plain Python value; sets as sorted lists, binary as bytes."""
    ((tag, payload),) = typed.items()
    match tag:
        case "S" | "BOOL":
            return payload
        case "N":
            return Decimal(payload)
        case "NULL":
            return None
        case "B":
            return base64.b64decode(payload)
        case "M":
            return {k: untyped(v) for k, v in payload.items()}
        case "L":
            return [untyped(v) for v in payload]
        case "SS":
            return sorted(payload, key=lambda s: s.encode())
        case "NS":
            return sorted(Decimal(n) for n in payload)
        case "BS":
            return sorted(base64.b64decode(b) for b in payload)
    raise AssertionError(tag)
