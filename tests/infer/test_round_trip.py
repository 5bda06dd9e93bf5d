"""Tables of a known structure are found, and the proposal gives the same tables as a configuration written by hand."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cdc_merge.config import load_config
from cdc_merge.exports.manifest import ExportKind
from cdc_merge.infer.inferrer import Options, infer
from cdc_merge.infer.write import write_yaml
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Settings, Source, Target, Template, TimeUnit
from cdc_merge.names import snake_case
from cdc_merge.reconcile.reconciler import Reconciler
from cdc_merge.warehouses import open_warehouse
from cdc_merge.worker import Worker
from tests.support.exports import write_export
from tests.support.records import Codec, Record, Style, compress, frame, kinesis_record, stream_record, to_item

BEGIN = datetime(2026, 1, 2, tzinfo=UTC)
TABLES = {"Customer": "customers", "Invoice": "invoices", "Device": "devices", "Ticket": "tickets", "Box": "boxes"}
WORDS = ("Alpha", "Beta", "Gamma", "Delta", "Kappa", "Sigma", "Omega", "Theta", "Lambda", "Rho", "Tau", "Phi", "Chi")
STYLES: tuple[Style, ...] = ("ndjson", "concatenated", "crlf", "pretty", "lambda")
CODECS: tuple[Codec, ...] = ("none", "gzip", "zip", "zstd", "snappy")
ITEMS = 24  # of each entity
SURE = 4  # of them that have every attribute, and show what it is

Make = Callable[[Random, int], Any]


@dataclass(frozen=True)
class Known:
    """An attribute that was made: what type it is, and how its values are made from their number."""

    name: str
    type: ColumnType
    make: Make
    is_always_there: bool


def some_map(rng: Random, n: int) -> Any:
    return {"City": f"c{n}", "Parts": [n, Decimal(n) / 8], "None": None}


MAKES: Mapping[str, tuple[ColumnType, Make]] = {
    "Count": (ColumnType(Kind.INTEGER), lambda rng, n: rng.randrange(-(10**9), 10**9)),
    "Price": (ColumnType(Kind.NUMERIC, 20, 4), lambda rng, n: Decimal(rng.randrange(1, 10**6) * 2 + 1) / 100),
    "Text": (ColumnType(Kind.TEXT), lambda rng, n: f'text {n} ü " \\ {rng.random()}'),
    "Code": (ColumnType(Kind.TEXT), lambda rng, n: f"{n:05d}"),
    "Flag": (ColumnType(Kind.BOOLEAN), lambda rng, n: rng.random() < 0.5),
    "Day": (ColumnType(Kind.DATE), lambda rng, n: f"{BEGIN + timedelta(days=n):%Y-%m-%d}"),
    "Moment": (ColumnType(Kind.TIMESTAMP), lambda rng, n: f"{BEGIN + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}"),
    "At": (ColumnType(Kind.TIMESTAMP, unit=TimeUnit.SECONDS), lambda rng, n: 1_767_312_000 + n),
    "SeenAt": (ColumnType(Kind.TIMESTAMP, unit=TimeUnit.MILLISECONDS), lambda rng, n: 1_767_312_000_000 + n),
    "Map": (ColumnType(Kind.JSON), some_map),
    "List": (ColumnType(Kind.JSON), lambda rng, n: [f"a{i}" for i in range(n % 4)]),
    "Set": (ColumnType(Kind.JSON), lambda rng, n: {f"a{i}" for i in range(n % 4 + 1)}),
    "Blob": (ColumnType(Kind.BINARY), lambda rng, n: bytes([n % 256, 0, 255])),
    "Lines": (ColumnType(Kind.JSON), lambda rng, n: [{"Sku": f"s{i}", "Qty": i} for i in range(n % 3 + 1)]),
    "Mixed": (ColumnType(Kind.TEXT), lambda rng, n: f"t{n}" if n % 2 else n),
    "Either": (ColumnType(Kind.JSON), lambda rng, n: f"t{n}" if n % 2 else {"n": n}),
}


ROWS = (Column("sku", ("Sku",), ColumnType(Kind.TEXT)), Column("qty", ("Qty",), ColumnType(Kind.INTEGER)))


class KnownTable:
    """A single-table design made at random: entities, how they are told apart, their attributes and items."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.key = rng.choice([("PK", "SK"), ("pk", "sk"), ("partitionKey", "sortKey")])
        self.entities = rng.sample(list(TABLES), rng.randrange(1, 5))
        self.discriminator = rng.choice([None, "Type", "entity", "__typename"]) if len(self.entities) > 1 else None
        self.has_locks = len(self.entities) > 1 and rng.random() < 0.5
        self.attributes = {entity: self._attributes(n) for n, entity in enumerate(self.entities)}

    def _attributes(self, number: int) -> list[Known]:
        words = [f"{word}{number}" for word in self._rng.sample(WORDS, self._rng.randrange(3, 8))]
        shared = ["Owner"] if self._rng.random() < 0.5 else []
        found = []
        for word in [*words, *shared]:
            suffix = "Text" if word == "Owner" else self._rng.choice(list(MAKES))
            kind, make = MAKES[suffix]
            found.append(Known(f"{word}{suffix}", kind, make, self._rng.random() < 0.6))
        return found

    def item(self, entity: str, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The key of an item, and an image of it without the key."""
        prefix = entity.upper()
        keys = dict(zip(self.key, (f"{prefix}#{n}", f"{prefix}#{n}"), strict=True))
        image = {
            a.name: a.make(self._rng, n)
            for a in self.attributes[entity]
            if n < SURE or a.is_always_there or self._rng.random() < 0.6
        }
        if self.discriminator:
            image[self.discriminator] = entity
        return keys, image

    def items(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        found = [self.item(entity, n) for entity in self.entities for n in range(ITEMS)]
        if self.has_locks:
            found += [(dict(zip(self.key, (f"LOCK#{n}", f"LOCK#{n}"), strict=True)), {}) for n in range(ITEMS)]
        return found

    def by_hand(self, folder: Path, warehouse: str) -> Settings:
        """The configuration that somebody who knows the table would write."""
        targets = []
        for entity in self.entities:
            where: tuple[Condition, ...] = ()
            if self.discriminator:
                where = (Condition((self.discriminator,), any_of=(entity,)),)
            elif len(self.entities) > 1:
                where = (Condition((self.key[0],), prefix=f"{entity.upper()}#"),)
            own = Template((f"{entity.upper()}#", ""), 0)
            columns = (
                Column(f"{entity.lower()}_id", (self.key[0],), ColumnType(Kind.TEXT), template=own),
                *(Column(snake_case(a.name), (a.name,), a.type) for a in self.attributes[entity]),
            )
            table = TABLES[entity] if len(self.entities) > 1 else "shop"
            targets.append(Target(table, where=where, columns=columns, evolve=Evolve.FREEZE))
            for lines in (a.name for a in self.attributes[entity] if a.name.endswith("Lines")):
                rows = f"{entity.lower() if len(self.entities) > 1 else 'shop'}_{snake_case(lines)}"
                of_item = replace(columns[0], of_parent=True)
                targets.append(Target(rows, where=where, columns=(of_item, *ROWS), evolve=Evolve.FREEZE, each=(lines,)))
        source = Source("shop", f"file://{folder}", self.key, tuple(targets))
        return Settings(warehouse, None, "cdc_merge", (source,))


def changes(table: KnownTable, rng: Random) -> list[Record]:
    """Every item is put, some are put again, some removed, in an order that delivery does not keep."""
    is_kinesis = rng.random() < 0.3
    records = []
    put: list[tuple[dict[str, Any], dict[str, Any] | None]] = list(table.items())
    again = [(keys, image) for keys, image in put if image and rng.random() < 0.3]
    put += again + [(keys, None) for keys, _ in again if rng.random() < 0.3]
    for n, (keys, image) in enumerate(put):
        if is_kinesis:
            records.append(kinesis_record(keys, image, at=1_767_312_000_000 + n))
        else:
            records.append(stream_record(keys, image, sequence=10**21 - 40 + n, at=BEGIN))
    rng.shuffle(records)
    return records


def deliver(folder: Path, records: list[Record], rng: Random) -> None:
    for n in range(3):
        data = compress(frame(records[n::3], rng.choice(STYLES)), rng.choice(CODECS))
        path = folder / f"2026/01/02/{n:02d}/shop-1-{n}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def proposed(path: Path, folder: Path, name: str, **options: Any) -> Settings:
    """The settings of the configuration that is proposed for a place."""
    proposal = infer(str(path), Options(records=None, warehouse=f"duckdb:///{name}", **options))
    config = folder / f"{name}.yaml"
    config.write_text(write_yaml(proposal), encoding="utf-8")
    return load_config(config, environ={})


Rows = dict[tuple[Any, ...], dict[str, Any]]


def rows_of(settings: Settings) -> dict[str, Rows]:
    """Every target's rows, by key, with plain values."""
    warehouse = open_warehouse(settings.warehouse)
    try:
        found = {}
        with warehouse.session() as session:
            for target in settings.sources[0].targets:
                described = session.query(
                    "SELECT column_name, data_type FROM information_schema.columns "
                    f"WHERE table_name = '{target.table}' ORDER BY ordinal_position"
                )
                names = [name for name, _ in described if name != "_cdc_merged_at"]
                types: dict[str, str] = dict(described)
                listed = ", ".join(f'"{name}"' for name in names)
                rows: Rows = {}
                for row in session.query(f'SELECT {listed} FROM "{target.table}"'):
                    values = {n: plain(v, types[n]) for n, v in zip(names, row, strict=True)}
                    keys = [snake_case(a) for a in settings.sources[0].key] + ["_cdc_index"] * (target.each is not None)
                    rows[tuple(values[k] for k in keys)] = values
                found[target.table] = rows
        return found
    finally:
        warehouse.close()


def plain(value: Any, kind: str) -> Any:
    if kind == "JSON" and value is not None:
        return json.loads(value, parse_float=Decimal, parse_int=Decimal)
    return base64.b64encode(value) if isinstance(value, bytes) else value


def kinds_of(settings: Settings) -> dict[str, dict[str, tuple[Kind, TimeUnit | None] | None]]:
    return {
        t.table: {c.name: (c.type.kind, c.type.unit) if c.type else None for c in t.columns or ()}
        for t in settings.sources[0].targets
    }


def run(settings: Settings) -> None:
    totals = Worker(settings).run_once()
    assert totals.stopped == {}
    assert totals.counts.quarantined == 0


EXAMPLES = int(os.environ.get("CDC_MERGE_EXAMPLES", "12"))


@pytest.mark.parametrize("seed", range(EXAMPLES * 2 // 3))
def test_the_proposal_for_a_feed_gives_the_tables_of_one_written_by_hand(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    table = KnownTable(rng)
    feed = tmp_path / "shop"
    deliver(feed, changes(table, rng), rng)
    by_hand = table.by_hand(feed, f"duckdb:///{tmp_path}/hand.duckdb")
    found = proposed(feed, tmp_path, "proposed.duckdb")
    assert found.sources[0].key == table.key
    assert kinds_of(found) == kinds_of(by_hand)
    run(by_hand)
    run(found)
    rows = rows_of(found)
    assert rows == rows_of(by_hand)
    assert sum(map(len, rows.values())) > 0


@pytest.mark.parametrize("seed", range(1_000, 1_000 + EXAMPLES // 4))
def test_the_proposal_for_an_export_gives_the_tables_of_one_written_by_hand(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    table = KnownTable(rng)
    items = [to_item({**keys, **image}) for keys, image in table.items()]
    arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/shop"
    write_export(tmp_path / "lake", items, as_of=BEGIN, key=table.key, table_arn=arn, kind=ExportKind.FULL)
    by_hand = table.by_hand(tmp_path, f"duckdb:///{tmp_path}/hand.duckdb")
    by_hand = replace(by_hand, sources=(replace(by_hand.sources[0], exports=f"file://{tmp_path}/lake/"),))
    found = proposed(tmp_path / "lake", tmp_path, "proposed.duckdb")
    assert found.sources[0].key == table.key
    assert kinds_of(found) == kinds_of(by_hand)
    for settings in (by_hand, found):
        Reconciler(settings).reconcile("shop")
    assert rows_of(found) == rows_of(by_hand)
