"""Reads single rows beside their items, as both are now: sampled keys → items → decoded → compared in the warehouse."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from cdc_merge.exports.dynamodb import Item, open_client
from cdc_merge.exports.sample import canonical_key, sample_items
from cdc_merge.feed import shape
from cdc_merge.layout import Layout
from cdc_merge.ledger import Ledger, SourceState
from cdc_merge.merge.plan import MergePlan
from cdc_merge.model import Source
from cdc_merge.reconcile.meter import Reading, Verdict
from cdc_merge.reconcile.plan import ReconcilePlan
from cdc_merge.reconcile.report import Method
from cdc_merge.reconcile.sampling import SampledRow, sample_rows
from cdc_merge.reconcile.snapshot import ItemFile, Items, Snapshot, take_snapshot
from cdc_merge.schema.book import SchemaBook
from cdc_merge.scratch import scratch_folder
from cdc_merge.warehouses import Session, Warehouse

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SETS = ("SS", "NS", "BS")


class Probe:
    """Samples rows of a source and compares them with its DynamoDB table. Writes nothing.

    Rows of the warehouse are what it samples, so it cannot see an item that has no row: only an export can.
    """

    def __init__(
        self,
        source: Source,
        table: str,
        *,
        warehouse: Warehouse,
        layout: Layout,
        clock: Callable[[], datetime],
        wait: Callable[[float], None],
        check: Callable[[], None],
        random: Random,
    ) -> None:
        """`table`: its name or ARN. `wait(seconds)` and `check` may raise to stop."""
        self._source = source
        self._table = table
        self._warehouse = warehouse
        self._layout = layout
        self._clock = clock
        self._wait = wait
        self._check = check
        self._random = random
        self._ledger = Ledger(layout.metadata, warehouse.dialect)

    @cached_property
    def _client(self) -> DynamoDBClient:
        return open_client(self._table)

    def sample(self, count: int) -> list[SampledRow]:
        """At most `count` rows at random, each row of the source's targets as likely as any other."""
        with self._warehouse.session() as session:
            state = self._state(session)
            if state.key_tags is None:
                return []
            books = self._books(state)
            plan = MergePlan(self._warehouse.dialect, self._layout, books, state.key_tags)
            # Elements are left to reconcile: one alone says nothing of its item.
            there = [t for t, book in zip(plan.targets, books, strict=True) if book.stored and not t.is_each]
            return sample_rows(session, self._warehouse.dialect, there, count, random=self._random)

    def read(self, rows: Sequence[SampledRow]) -> dict[SampledRow, Reading]:
        """Each row beside its item, both as they are now.

        Costs one strongly consistent read an item; on DuckDB also a pass over the key columns of the targets.
        Raises StoreDenied and StoreUnavailable (DynamoDB's), SchemaConflict, and the warehouse's errors.
        """
        with self._warehouse.session() as session:
            state = self._state(session)
        if not rows or state.key_tags is None:
            return {}
        keys = {row: self._typed(row, state.key_tags) for row in rows}
        items = sample_items(self._table, list(keys.values()), client=self._client, wait=self._wait)
        books = self._books(state)
        with scratch_folder() as folder:
            path = folder / "items.json"
            _write(path, list(keys.values()), items)
            snapshot = self._decode(path, state, books)
            found = self._compare(snapshot, books, rows)
        digests = {row: _digest(items.get(canonical_key(key))) for row, key in keys.items()}
        return {
            row: Reading(*found[row], digests[row]) if row in found else Reading(Verdict.GONE, None, digests[row])
            for row in rows
        }

    def _state(self, session: Session) -> SourceState:
        return self._ledger.state(session, self._source.name, schema=self._layout.schema)

    def _books(self, state: SourceState) -> list[SchemaBook]:
        dialect = self._warehouse.dialect
        there = state.inspector(dialect, self._layout.schema)
        return there.open_books(self._source)

    def _typed(self, row: SampledRow, tags: Sequence[str]) -> Item:
        names = zip(self._source.key, tags, row.key, strict=False)  # a row may have more to its key than its item
        return {attribute: {tag: _plain(value)} for attribute, tag, value in names}

    def _decode(self, path: Path, state: SourceState, books: Sequence[SchemaBook]) -> Snapshot:
        now = self._clock()
        file = ItemFile(path.name, path.stat().st_size, None, lambda _folder: path)
        items = Items(
            label=f"sample of {self._table}",
            method=Method.SCAN,
            form=shape.EXPORTED_CHANGE,  # a line without an image says that the item is not there
            as_of=now,
            since=now,
            items=None,
            table_arn=None,
            files=(file,),
        )
        return take_snapshot(
            items,
            path.parent,
            source=self._source,
            key_tags=state.key_tags,
            books=books,
            dialect=self._warehouse.dialect,
            check=self._check,
        )

    def _compare(
        self, snapshot: Snapshot, books: Sequence[SchemaBook], rows: Sequence[SampledRow]
    ) -> dict[SampledRow, tuple[Verdict, object]]:
        merge = MergePlan(self._warehouse.dialect, self._layout, books, snapshot.key_tags)
        plan = ReconcilePlan(merge, books, self._warehouse.dialect, is_partial=True)
        asked = set(rows)
        found: dict[SampledRow, tuple[Verdict, object]] = {}
        with self._warehouse.session() as session:
            tables = {f"_cdc_rows_{i}": f"rows_{i}" for i in range(len(books))}
            session.stage(snapshot.path, {"_cdc_keys": "keys", **tables})
            for number in sorted({row.target for row in rows}):
                target, book = merge.targets[number], books[number]
                sql = merge.render("reconcile/sql/probe", target=target, columns=plan.compared(target, book))
                for *key, verdict, position, merged_at in session.query(sql):
                    row = SampledRow(number, tuple(key))
                    if row in asked:
                        found[row] = (Verdict(verdict), (position, merged_at))
        return found


def _plain(value: Any) -> Any:
    """A key's value as boto3 wants it."""
    return format(value, "f") if isinstance(value, Decimal) else value


def _write(path: Path, keys: Sequence[Item], items: Mapping[Any, Item]) -> None:
    """One line for each key; bytes become base64, as DynamoDB JSON has them."""
    lines = {canonical_key(key): {"Keys": key} for key in keys}
    for key, item in items.items():
        lines[key]["NewImage"] = item
    path.write_bytes(msgspec.json.Encoder().encode_lines(list(lines.values())))


def _digest(item: Item | None) -> str | None:
    """Tells an item from any other; sets have no order."""
    if item is None:
        return None
    return hashlib.sha256(msgspec.json.encode(_ordered(item), order="deterministic")).hexdigest()


def _ordered(value: Any) -> Any:
    match value:
        case dict():
            return {k: sorted(v) if k in _SETS and isinstance(v, list) else _ordered(v) for k, v in value.items()}
        case list():
            return [_ordered(v) for v in value]
    return value


__all__ = ["Probe"]
