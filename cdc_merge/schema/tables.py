"""Holds the tables in the warehouse against what the ledger says of them: people alter tables by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from cdc_merge.model import ColumnType, Kind, Source, Target
from cdc_merge.names import history_table
from cdc_merge.schema.book import SchemaBook, spelling
from cdc_merge.schema.catalog import Tables, spelled_as
from cdc_merge.schema.masking import Hidden, find_hidden
from cdc_merge.schema.opening import REBUILD, Contradiction, DifferenceKind, contradictions, open_book
from cdc_merge.schema.stored import (
    DELETED_AT,
    ELEMENT_COLUMNS,
    HISTORY_COLUMNS,
    TargetSchema,
    all_columns,
    key_column_type,
)
from cdc_merge.warehouses import Dialect


@dataclass(frozen=True)
class Inspector:
    """What earlier batches of a source made (`schemas`, `key_tags`) beside what is in `schema` now (`tables`).

    `owners`: tables that other sources made, with the names of these.
    """

    dialect: Dialect
    schema: str
    schemas: Mapping[str, TargetSchema]
    tables: Tables
    key_tags: tuple[str, ...] | None
    owners: Mapping[str, str] = field(default_factory=dict)

    def open_books(self, source: Source) -> list[SchemaBook]:
        """The book of each target.

        Raises SchemaConflict where a table is no longer what was made, or is not what the configuration asks.
        """
        books = []
        for target in source.targets:
            for contradiction in self.contradictions(target, source.key):
                raise contradiction.error(target.table)
            stored, others = self.schemas.get(target.table), self.others(target.table)
            is_kept = stored is not None and stored.has_history and target.has_history
            history = self.open_history(target.table, stored) if stored and is_kept else None
            book = open_book(target, source.key, self.dialect, stored, others=others, history=history)
            made = self.tables.get(target.table, {}).values()
            refuses_copies = any(column.refuses_copies for column in made)
            books.append(
                replace(book, hidden=self.find_hidden(target.table, book.schema), refuses_copies=refuses_copies)
            )
        return books

    def find_hidden(self, target: str, schema: TargetSchema) -> Hidden | None:
        """What the masks of a target's new schema hide of what is there already."""
        stored = self.schemas.get(target)
        if stored is None:
            return None
        history = self.tables.get(history_table(target)) if stored.has_history else None
        return find_hidden(stored, schema, history, folded=self.dialect.folded)

    def open_history(self, target: str, schema: TargetSchema) -> Mapping[str, str] | None:
        """The columns of a target's history, folded, with their types; None: it was dropped by hand, and begins anew.

        Raises SchemaConflict where it cannot hold what the schema says. Columns that it lacks can be added.
        """
        label = history_table(target)
        if label not in self.tables:
            return None
        for contradiction in self.history_contradictions(label, schema):
            raise contradiction.error(label)
        return {self.dialect.folded(name): column.type for name, column in self.tables[label].items()}

    def history_contradictions(self, label: str, schema: TargetSchema) -> Iterator[Contradiction]:
        """All that keeps a history from being merged into. It is not built anew, so it is not lost by a rebuild."""
        quoted, expected = self.dialect.quote(self.schema, label), dict(self._expected_of_history(schema))
        have = spelled_as(self.tables[label], expected, self.dialect)
        added = {c.name for c in schema.columns}
        masked = {c.name for c in schema.columns if c.mask}
        for column, kind in expected.items():
            there = have.get(column)
            if (there is None and column in added) or (there and spelling(there.type) == spelling(kind)):
                continue
            what = f"is {there.type} where the history needs {kind}" if there else "is missing"
            name = self.dialect.quote(column)
            before = None if there else self._former_key(label, schema, column)
            if before:
                former = self.dialect.quote(before)
                cure = f"ALTER TABLE {quoted} RENAME COLUMN {former} TO {name}, just before the rebuild"
                what = f"is the key's; the history has it as {before}, and needs the same name"
                yield Contradiction(DifferenceKind.KEY_COLUMN, f"the column {what}", cure, column)
                continue
            if there and column in masked:
                # No text can be made of its values, and under another name they would stay in the clear.
                cure = f"DROP COLUMN {name}, with the values that are to be masked, and a new one is added"
            elif there and column in added:
                cure = f"RENAME COLUMN {name} to another name, and a new one is added"
            else:
                cure = f"{f'ALTER COLUMN {name} TYPE' if there else f'ADD COLUMN {name}'} {kind}"
            cure = f"ALTER TABLE {quoted} {cure}"
            yield Contradiction(DifferenceKind.BY_HAND, f"the column {what}", cure, column)
        for required in self._required(label, have.keys() - expected.keys()):
            yield replace(required, cure=required.cure.partition("; or ")[0])

    def _former_key(self, label: str, schema: TargetSchema, column: str) -> str | None:
        """What a key column of a history is called that is to have another name; None: it is none, or is gone."""
        stored = next((s for table, s in self.schemas.items() if history_table(table) == label), None)
        if stored is None or column not in schema.key_names:
            return None
        former = dict(zip(schema.key_names, stored.key_names, strict=False)).get(column)
        return former if former in self.tables[label] else None

    def history_others(self, label: str, schema: TargetSchema) -> frozenset[str]:
        """Columns of a history that nothing fills: from before a rebuild, or added by hand."""
        return frozenset(self.tables[label]) - {column for column, _ in self._expected_of_history(schema)}

    def others(self, table: str) -> frozenset[str]:
        """Columns that people added to a target's table."""
        stored = self.schemas.get(table)
        if stored is None:
            return frozenset()
        # What a merge made that did not come to its end is as good as not there: the next one makes it again.
        return frozenset(c for c, made in self.tables.get(table, {}).items() if not made.is_ours) - set(
            all_columns(stored)
        )

    def contradictions(self, target: Target, key: tuple[str, ...]) -> Iterator[Contradiction]:
        """All that keeps a target's table from being merged into: first what was done by hand, then what is asked."""
        yield from self.name_contradictions(target)
        stored = self.schemas.get(target.table)
        if stored is None:
            return
        others = self.others(target.table)
        yield from self._altered(target.table, self._expected(stored))
        yield from self._required(target.table, others)
        yield from contradictions(target, key, self.dialect, stored, others=others)

    def name_contradictions(self, target: Target) -> Iterator[Contradiction]:
        """Why a target, or its history, that has no table yet cannot have one of its name, or has the wrong one."""
        table, stored = target.table, self.schemas.get(target.table)
        if stored and stored.exchange:
            what = "its table was built anew, and the new one is not in the old one's place yet"
            yield Contradiction(
                DifferenceKind.REBUILDING, what, "cdc-merge run, or cdc-merge reconcile, goes on with it"
            )
        folded = self.dialect.folded(table)
        if stored is None:
            for known in self.schemas:
                if known in self.tables and known != table and self.dialect.folded(known) == folded:
                    what = f"there is a table {known} already, and {self.dialect.name} takes the two names for one"
                    cure = f"keep the name {known}, or take one that differs by more"
                    yield Contradiction(DifferenceKind.RENAMED, what, cure)
            yield from self._taken(table)
        if target.has_history and not (stored and stored.has_history):
            yield from self._taken(history_table(table))

    def _taken(self, table: str) -> Iterator[Contradiction]:
        # Where DDL commits by itself, it may be left from a merge that did not come to its end.
        if table not in self.tables or (self.dialect.ddl_commits and table not in self.owners):
            return
        what, cure = f"there is a table {table} already", "rename or drop it, or name another one"
        if owner := self.owners.get(table):
            what = f"{what}, which in the books is of the source {owner}, with the tombstones and the floor of its rows"
            cure = f"if this is {owner} by another name, name it so again, for a source cannot be renamed; else {cure}"
        yield Contradiction(DifferenceKind.OCCUPIED, what, cure)

    def left_behind(self, source: Source) -> dict[str, TargetSchema]:
        """Tables of targets that the configuration no longer has: their rows still tell how far their keys had come.

        Raises SchemaConflict where such a table cannot be asked any more; one that was dropped is left out.
        """
        found = {t: s for t, s in self.unconfigured(source).items() if t in self.tables and s.key == source.key}
        for table in found:
            for contradiction in self.contradictions_left_behind(table):
                raise contradiction.error(table)
        return found

    def unconfigured(self, source: Source) -> dict[str, TargetSchema]:
        """Tables that were made for targets which the configuration no longer has."""
        configured = {t.table for t in source.targets}
        return {table: stored for table, stored in self.schemas.items() if table not in configured}

    def contradictions_left_behind(self, table: str) -> Iterator[Contradiction]:
        """Why a table of `left_behind` cannot be asked."""
        stored = self.schemas[table]
        asked = (*stored.key_names, "_cdc_position")
        return self._altered(table, ((c, t) for c, t in self._expected(stored) if c in asked))

    def intact_columns(self, target: str) -> frozenset[str] | None:
        """The columns of a target's table that are as they were made; None: there is no such table."""
        table, stored = self.tables.get(target), self.schemas.get(target)
        if table is None or stored is None:
            return None
        return frozenset(
            column
            for column, made in self._expected(stored)
            if column in table and spelling(table[column].type) == spelling(made)
        )

    def _expected(self, stored: TargetSchema) -> Iterator[tuple[str, str]]:
        """Each column of a target's table, and its type as the project writes it."""
        type_name = self.dialect.type_name
        for name, tag in zip(stored.key_names, self.key_tags or (), strict=False):
            yield name, type_name(key_column_type(tag))
        if stored.each is not None:
            yield ELEMENT_COLUMNS[0], type_name(ColumnType(Kind.INTEGER))
            yield ELEMENT_COLUMNS[1], type_name(ColumnType(Kind.TEXT))
        for column in stored.columns:
            yield column.name, type_name(column.type)
        yield "_cdc_position", type_name(ColumnType(Kind.TEXT))
        yield "_cdc_changed_at", type_name(ColumnType(Kind.TIMESTAMP))
        yield "_cdc_merged_at", type_name(ColumnType(Kind.TIMESTAMP))
        if stored.has_deleted_at:
            yield DELETED_AT, type_name(ColumnType(Kind.TIMESTAMP))
        yield "_cdc_rescued", self.dialect.metadata_json

    def _expected_of_history(self, schema: TargetSchema) -> Iterator[tuple[str, str]]:
        own = dict(self._expected(schema))
        moment = self.dialect.type_name(ColumnType(Kind.TIMESTAMP))
        own |= {"_cdc_operation": own["_cdc_position"], "_cdc_valid_from": moment, "_cdc_valid_to": moment}
        for column in (*schema.key_names, *(c.name for c in schema.columns), *HISTORY_COLUMNS):
            if column in own:  # the types of the key may not be known yet
                yield column, own[column]

    def _altered(self, label: str, expected: Iterable[tuple[str, str]]) -> Iterator[Contradiction]:
        table = self.tables.get(label)
        quoted = self.dialect.quote(self.schema, label)
        if table is None:
            cure = f"{REBUILD} makes it anew; without exports delete its row from the metadata table `targets`, then: "
            yield Contradiction(DifferenceKind.BY_HAND, f"its table {quoted} is gone", f"{cure}cdc-merge replay")
            return
        for column, type_name in expected:
            have, name = table.get(column), self.dialect.quote(column)
            if have and spelling(have.type) == spelling(type_name):
                continue
            what = f"is {have.type} where it was made as {type_name}" if have else "is missing"
            cure = f"ALTER COLUMN {name} TYPE" if have else f"ADD COLUMN {name}"
            cure = f"ALTER TABLE {quoted} {cure} {type_name}; values that were lost come back by {REBUILD}"
            yield Contradiction(DifferenceKind.BY_HAND, f"the column {what}", cure, column)

    def _required(self, label: str, others: Iterable[str]) -> Iterator[Contradiction]:
        """Columns that people added are theirs and get no value, so they must do without one."""
        for column in sorted(others):
            if self.tables[label][column].required:
                what = "a column that was added by hand neither takes NULL nor has a default"
                cure = f"ALTER COLUMN {self.dialect.quote(column)} DROP NOT NULL"
                cure = f"ALTER TABLE {self.dialect.quote(self.schema, label)} {cure}; or without it: {REBUILD}"
                yield Contradiction(DifferenceKind.BY_HAND, what, cure, column)
