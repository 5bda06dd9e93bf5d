"""Lets the warehouse read the DynamoDB table, and stages what it brings as if a scan had been decoded.

COPY does not tell everything: an item that it leaves in doubt is read once more by the worker, and staged by the
decoder. Each item is then as it was at some moment after the beginning, as in a scan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from cdc_merge.arn import parse_arn, table_name
from cdc_merge.errors import CdcMergeError, Refused, StoreUnavailable, UsageError, WarehouseRefused
from cdc_merge.exports.dynamodb import Item, Table, describe_table, open_client
from cdc_merge.exports.sample import sample_items
from cdc_merge.exports.scan import beginning, write_items
from cdc_merge.feed import shape
from cdc_merge.model import Source
from cdc_merge.patience import patiently
from cdc_merge.reconcile.copied_plan import CopiedPlan, Reason
from cdc_merge.reconcile.copyable import attributes_of, refuse_targets
from cdc_merge.reconcile.report import Method
from cdc_merge.reconcile.snapshot import ItemFile, Items, Snapshot, take_snapshot
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses import CopiesDynamoDB, Session, Statement
from cdc_merge.warehouses.dialect import Dialect
from cdc_merge.words import count

MOST_IN_DOUBT = 10_000
"""Items that the worker reads itself; where more are in doubt, a scan is the better way."""

NOT_COPIED = (
    "copied by the warehouse: what attributes without a column say is not in _cdc_rescued of the rows that come from it"
)
"""What is told of each copy, since no item shows it."""

_KEYS_AT_A_TIME = 500  # an item may have 400 KB
_OTHERWISE = "read the table with --scan, or an export of it with --request or --export"


@dataclass(frozen=True)
class CopiedTable:
    """The table that is to be copied. `percent`: of its read capacity. `started_at`: before anything was read."""

    arn: str
    key: tuple[str, ...]
    key_tags: tuple[str, ...]
    started_at: datetime
    percent: int
    empty_is_missing: bool

    @property
    def items(self) -> Items:
        """What limits and books know of it: a fuzzy snapshot as of its beginning, as a scan is one."""
        return Items(
            label=f"copy of {self.arn}",
            method=Method.COPY,
            form=shape.EXPORTED,
            as_of=self.started_at,
            since=None,
            items=None,
            table_arn=self.arn,
            files=(),
        )


def look_at_table(
    source: Source, table: str, *, percent: int, empty_is_missing: bool, clock: Callable[[], datetime]
) -> CopiedTable:
    """Ask DynamoDB what table this is. Raises UsageError for one with another key, StoreDenied, StoreUnavailable."""
    facts: Table = describe_table(table, open_client(table))
    if facts.key != source.key:
        raise UsageError(
            f"the table's key is {list(facts.key)}, the configuration says {list(source.key)}",
            where=f"source {source.name}",
            hint="correct `key`, or `table`",
        )
    started_at = beginning(table, clock(), facts.told_at)
    return CopiedTable(facts.arn, facts.key, facts.key_tags, started_at, percent, empty_is_missing)


@dataclass(frozen=True)
class Taken:
    """What was copied and read. `snapshot`: of what the worker read; `filling` adds what the warehouse copied."""

    snapshot: Snapshot
    filling: tuple[Statement, ...]


@dataclass(frozen=True)
class Copying:
    """One copy of a source's table into one session's staging. `check` and `wait` may raise to stop."""

    table: CopiedTable
    source: Source
    dialect: Dialect
    check: Callable[[], None]
    wait: Callable[[float], None]

    def take(
        self, session: Session, folder: Path, *, books: Sequence[SchemaBook], schema: str, known: tuple[str, ...] | None
    ) -> Taken:
        """Copy the table, and read what is in doubt. `known`: the key's types as the warehouse has them.

        Raises UsageError where COPY cannot fill these tables, and Refused where it failed or left too much in doubt.
        """
        tags = self.table.key_tags
        if known is not None and known != tags:
            raise Refused(
                f"the table's key is of the types {list(tags)}, the warehouse knows {list(known)}",
                where=self.table.items.label,
                hint="is it another table than before? its tables must be made anew",
            )
        refuse_targets(self.source, books, tags, self.dialect)
        plan = CopiedPlan(self.source, books, tags, self.dialect, schema, self.table.empty_is_missing)
        self._copy(session, attributes_of(self.source, books))
        session.run(plan.mark())
        ((items, in_doubt, twice),) = session.query(plan.counts())
        if twice:
            raise Refused(
                f"{count(int(twice), 'key')} came more than once", where=self.table.items.label, hint=_OTHERWISE
            )
        if in_doubt > MOST_IN_DOUBT:
            raise self._too_much(session, plan.reasons, plan.doubts(), int(in_doubt))
        files = self._read(session.query(plan.in_doubt()), folder) if in_doubt else ()
        snapshot = take_snapshot(
            replace(self.table.items, files=files),
            folder,
            source=self.source,
            key_tags=tags,
            books=books,
            dialect=self.dialect,
            check=self.check,
        )
        return Taken(replace(snapshot, items=int(items)), tuple(plan.fill()))

    def _copy(self, session: Session, attributes: Sequence[str]) -> None:
        assert isinstance(session, CopiesDynamoDB)
        arn = parse_arn(self.table.arn)
        assert arn is not None
        try:
            session.copy_dynamodb(
                "_cdc_dynamodb",
                table_name(self.table.arn),
                attributes,
                region=arn.region,
                percent=self.table.percent,
            )
        except WarehouseRefused as error:
            raise Refused(
                f"the warehouse cannot copy the table: {error}",
                where=self.table.items.label,
                hint="may its role scan and describe the table? an attribute that a column takes must be a text or a "
                "number in every item, of 65,535 bytes at most, and there must be none beside it that differs in case "
                f"only; else {_OTHERWISE}",
            ) from error

    def _too_much(self, session: Session, reasons: Sequence[Reason], doubts: str, in_doubt: int) -> Refused:
        (row,) = session.query(doubts)
        found = [f"{reason.words} ({int(items):,})" for reason, items in zip(reasons, row, strict=True) if items]
        hint = _OTHERWISE
        if any(reason.is_of_emptiness for reason, items in zip(reasons, row, strict=True) if items):
            hint += "; if no such text is ever empty, --empty-as-null takes it for missing"
        words = ", ".join(found) or "they have rows with what a copy cannot tell: _cdc_rescued, or an empty text"
        return Refused(
            f"COPY leaves {in_doubt:,} items in doubt, and {MOST_IN_DOUBT:,} is the most that is read once more: "
            f"{words}",
            where=self.table.items.label,
            hint=hint,
        )

    def _read(self, keys: Sequence[Sequence[str]], folder: Path) -> tuple[ItemFile, ...]:
        """The items in doubt, consistently. One that is gone by now was deleted since: the feed brings that."""
        name = table_name(self.table.arn)
        client = open_client(self.table.arn)
        files = []
        place = Path(tempfile.mkdtemp(dir=folder))
        for start in range(0, len(keys), _KEYS_AT_A_TIME):
            self.check()
            some = [self._typed(key) for key in keys[start : start + _KEYS_AT_A_TIME]]
            read = partial(sample_items, name, some, client=client, wait=self.wait)
            try:
                found = patiently(read, source=self.source.name, wait=self.wait, again=StoreUnavailable)
            except StoreUnavailable as error:  # to try all of it again would be to pay for another copy
                raise CdcMergeError(
                    f"the items that COPY leaves in doubt cannot be read: {error}", where=self.table.items.label
                ) from error
            path = place / f"{start:06}.json.gz"
            write_items(list(found.values()), path)
            files.append(ItemFile(path.name, path.stat().st_size, None, _itself(path)))
        return tuple(files)

    def _typed(self, key: Sequence[str]) -> Item:
        return {
            attribute: {tag: text}
            for attribute, tag, text in zip(self.table.key, self.table.key_tags, key, strict=True)
        }


def _itself(path: Path) -> Callable[[Path], Path]:
    return lambda _folder: path


__all__ = ["MOST_IN_DOUBT", "NOT_COPIED", "CopiedTable", "Copying", "Taken", "look_at_table"]
