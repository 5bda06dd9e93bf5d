"""A source's tables as the templates see them: names, types and staged values, for one engine."""

from __future__ import annotations

from dataclasses import dataclass

from cdc_merge.layout import Layout
from cdc_merge.model import ColumnType, Deletes, Expired, Kind
from cdc_merge.names import history_table
from cdc_merge.render import Name, Sql, name
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import TargetSchema, key_column_type
from cdc_merge.warehouses import Dialect


@dataclass(frozen=True)
class KeyColumn:
    """A key column in a statement: `staged` and `resolved` are its value in stage_keys and in resolved.

    `as_text`: a readable text of a {value}. `is_binary`: bytes, which some engines do not sort by.
    """

    name: Name
    type: Sql
    staged: Sql
    resolved: Sql
    as_text: str
    is_binary: bool = False

    def shown(self, value: str) -> Sql:
        """A value of the key for people, as text."""
        return Sql(self.as_text.format(value=value))


@dataclass(frozen=True)
class KeyRange:
    """The least and the greatest partition key of a batch: texts, or numbers as they stand in SQL."""

    low: str | Sql
    high: str | Sql


@dataclass(frozen=True)
class ValueColumn:
    name: Name
    type: Sql
    staged: Sql


@dataclass(frozen=True)
class PlannedTarget:
    """A target as the templates see it. `number` is its place among the source's tables."""

    number: int
    label: str
    table: Name
    keys: tuple[KeyColumn, ...]
    columns: tuple[ValueColumn, ...]
    is_each: bool = False  # its rows are elements of items: many of one key
    history: Name | None = None
    deletes: Deletes = Deletes.HARD
    expired: Expired = Expired.DELETE
    has_deleted_at: bool = False  # its table has the column, whatever `deletes` says now
    deletes_last: bool = False  # the old rows of changed items go after the new ones have come

    @property
    def is_picked(self) -> bool:
        """Whether the newest change of a key need not be the one that counts: then it has columns of its own."""
        return self.deletes is not Deletes.HARD or self.expired is not Expired.DELETE

    @property
    def is_soft(self) -> bool:
        return self.deletes is Deletes.SOFT

    @property
    def spares_extra(self) -> bool:
        """Whether a row may stay though its item is gone, so that an export which lacks it proves nothing."""
        return self.deletes is Deletes.IGNORE or self.expired is Expired.KEEP

    @property
    def suffix(self) -> Sql:
        """What the columns of the change that counts end with: n, position, changed_at."""
        return Sql(f"_{self.number}" if self.is_picked else "")

    @property
    def left(self) -> Sql:
        """The position of the newest change that can end a row."""
        return Sql("position" if self.expired is Expired.DELETE else "kept_position")

    @property
    def left_at(self) -> Sql:
        return Sql("changed_at" if self.expired is Expired.DELETE else "kept_at")

    @property
    def tombstone(self) -> Sql:
        """What of a tombstone counts."""
        if self.deletes is Deletes.IGNORE:
            return Sql("tombstone_upsert")
        return Sql("tombstone" if self.expired is Expired.DELETE else "tombstone_kept")

    @property
    def tombstone_at(self) -> Sql:
        return Sql("tombstone_at" if self.expired is Expired.DELETE else "tombstone_kept_at")


@dataclass(frozen=True)
class RemovedTarget:
    """A table that the configuration no longer has: its rows can show that a change is stale."""

    number: int
    table: Name
    keys: tuple[KeyColumn, ...]
    is_each: bool = False
    is_soft: bool = False  # nothing of it is marked any more


@dataclass(frozen=True)
class Planner:
    """Plans tables for one engine. `key_tags`: the DynamoDB types of the key attributes."""

    dialect: Dialect
    layout: Layout
    key_tags: tuple[str, ...]

    def target(self, number: int, book: SchemaBook) -> PlannedTarget:
        """A target of the configuration; `number` is its place there."""
        return PlannedTarget(
            number=number,
            label=book.target.table,
            table=name(self.layout.schema, book.target.table),
            keys=self.keys(book.schema),
            is_each=book.schema.each is not None,
            history=name(self.layout.schema, history_table(book.target.table)) if book.target.has_history else None,
            deletes=book.target.deletes,
            expired=book.target.expired,
            has_deleted_at=book.schema.has_deleted_at,
            deletes_last=self.dialect.holds_deletes and book.schema.each is None and not book.refuses_copies,
            columns=tuple(
                ValueColumn(
                    name(c.name),
                    self._type(c.type),
                    self._staged(c.type, f"s.c{i}"),
                )
                for i, c in enumerate(book.schema.columns)
            ),
        )

    def _staged(self, column_type: ColumnType, value: str) -> Sql:
        type_name = self.dialect.type_name(column_type)
        if column_type.kind is Kind.JSON:
            return Sql(self.dialect.read_json.format(value=value, type=type_name))
        return Sql(f"CAST({value} AS {type_name})")

    def removed(self, number: int, table: str, schema: TargetSchema) -> RemovedTarget:
        """A table that the configuration no longer has."""
        return RemovedTarget(number, name(self.layout.schema, table), self.keys(schema), schema.each is not None)

    def keys(self, schema: TargetSchema) -> tuple[KeyColumn, ...]:
        parts = zip(schema.key_names, self.key_tags, ("partition_key", "sort_key"), strict=False)
        return tuple(self._key(column, tag, staged) for column, tag, staged in parts)

    def _key(self, column: str, tag: str, staged: str) -> KeyColumn:
        column_type = key_column_type(tag)
        if column_type.kind is Kind.BINARY:
            form = self.dialect.decode_base64
        elif column_type.kind is Kind.TEXT:
            form = "{}"
        else:
            form = "CAST({} AS " + self.dialect.type_name(column_type) + ")"
        text = self.dialect.types[Kind.TEXT]
        as_text = self.dialect.binary_as_text if column_type.kind is Kind.BINARY else "CAST({value} AS {text})"
        return KeyColumn(
            name(column),
            self._type(column_type),
            Sql(form.format(f"s.{staged}")),
            Sql(form.format(f"r.{staged}")),
            as_text.format(value="{value}", text=text),
            column_type.kind is Kind.BINARY,
        )

    def _type(self, column_type: ColumnType) -> Sql:
        text = self.dialect.type_name(column_type)
        if column_type.kind is Kind.TEXT:
            text = f"{text} {self.dialect.byte_order}".strip()
        return Sql(text)
