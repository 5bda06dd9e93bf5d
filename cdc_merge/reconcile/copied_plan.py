"""The statements that make staged keys and rows of what a warehouse has copied from DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_merge.feed.values import staged_name
from cdc_merge.model import Condition, Kind, Source
from cdc_merge.reconcile.copied_values import Copied, CopiedValues
from cdc_merge.reconcile.copyable import attributes_of
from cdc_merge.render import Name, Sql, name, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses import Statement
from cdc_merge.warehouses.dialect import Dialect


@dataclass(frozen=True)
class Reason:
    """Why items are in doubt: those for which `when` holds. `is_of_emptiness`: it may be an empty text or missing."""

    words: str
    when: Sql
    is_of_emptiness: bool = False


@dataclass(frozen=True)
class CopiedAttribute:
    """An attribute by its own name, which COPY looks for, and by the name it goes by from then on."""

    name: Name
    column: Name


@dataclass(frozen=True)
class StagedColumn:
    name: Name
    value: Sql


@dataclass(frozen=True)
class CopiedTarget:
    """`takes`: whether it takes a copied item, c; from then on that is `is_taken`."""

    number: int
    takes: Sql
    columns: tuple[StagedColumn, ...]

    @property
    def is_taken(self) -> str:
        return f"r.takes_{self.number}"


@dataclass(frozen=True)
class HeldTable:
    """A table that is there. Rows of it may have what a copy cannot tell: rescued values, and empty `texts`."""

    table: Name
    keys: tuple[Name, ...]
    texts: tuple[Name, ...]


class CopiedPlan:
    """Builds the statements; pure. The copied texts are in `_cdc_dynamodb`, by the names of the attributes."""

    def __init__(
        self,
        source: Source,
        books: Sequence[SchemaBook],
        key_tags: Sequence[str],
        dialect: Dialect,
        schema: str,
        empty_is_missing: bool,
    ) -> None:
        self._dialect = dialect
        self._values = CopiedValues(dialect)
        self._empty_is_missing = empty_is_missing
        attributes = attributes_of(source, books)
        self._columns = {attribute: f"a{i}" for i, attribute in enumerate(attributes)}
        self._attributes = [CopiedAttribute(name(a), name(column)) for a, column in self._columns.items()]
        self._keys = [name(self._columns[attribute]) for attribute in source.key]
        self._compared = [
            Sql(self._values.compared_key(tag, self._text(attribute)))
            for attribute, tag in zip(source.key, key_tags, strict=True)
        ]
        self._targets = [self._target(number, book) for number, book in enumerate(books)]
        self._held = [self._table(schema, book) for book in books if book.stored]
        self.reasons: tuple[Reason, ...] = (
            *(
                Reason(f"the key {attribute}", _not(self._values.key(tag, self._text(attribute))))
                for attribute, tag in zip(source.key, key_tags, strict=True)
            ),
            *(r for target, book in zip(self._targets, books, strict=True) for r in self._reasons(target, book)),
        )

    def mark(self) -> list[Statement]:
        """Number the items, and tell which are in doubt."""
        return [
            Statement("mark what is in doubt", self._say("copied", doubts=self.reasons)),
            Statement("drop what was copied", "DROP TABLE _cdc_dynamodb"),
        ]

    def counts(self) -> str:
        """A query of (items, items in doubt, keys that came twice)."""
        return self._say("copied_counts")

    def doubts(self) -> str:
        """A query of how many items are in doubt, for each of `reasons`; the rest have rows that say more."""
        return self._say("copied_doubts", doubts=self.reasons)

    def in_doubt(self) -> str:
        """A query of the keys in doubt, as texts."""
        return self._say("copied_in_doubt")

    def fill(self) -> Iterator[Statement]:
        """What adds all others to the staging tables."""
        yield Statement("stage copied keys", self._say("copied_keys"))
        for target in self._targets:
            sql = self._say("copied_rows", target=target)
            yield Statement(f"stage copied rows {target.number}", sql)
        yield Statement("drop what is staged", "DROP TABLE _cdc_copied")

    def _say(self, template: str, **values: Any) -> str:
        return render(
            f"reconcile/sql/{template}.sql",
            self._dialect,
            attributes=self._attributes,
            keys=self._keys,
            compared=self._compared,
            taken=self._targets,
            held=self._held,
            **values,
        )

    def _text(self, attribute: str, row: str = "r") -> str:
        return f"{row}.{self._columns[attribute]}"

    def _target(self, number: int, book: SchemaBook) -> CopiedTarget:
        conditions = [self._condition(c, "c") for c in book.target.where]
        columns = [
            StagedColumn(staged_name(i), Sql(self._values.column(c.type, self._text(str(c.path[0]))).value))
            for i, c in enumerate(book.schema.columns)
        ]
        return CopiedTarget(number, Sql(" AND ".join(f"({c})" for c in conditions) or "TRUE"), tuple(columns))

    def _reasons(self, target: CopiedTarget, book: SchemaBook) -> Iterator[Reason]:
        table, where = book.target.table, book.target.where
        asks = [c for c in where if c.exists is not None and not self._empty_is_missing]
        others = " AND ".join(["TRUE", *(self._condition(c, "r") for c in where if c not in asks)])
        for condition in asks:
            words = f"whether {table} takes those whose {condition.path[0]} is empty or missing"
            when = Sql(f"({others}) AND {self._text(str(condition.path[0]))} IS NULL")
            yield Reason(words, when, is_of_emptiness=True)
        for column in book.schema.columns:
            text = self._text(str(column.path[0]))
            if not self._empty_is_missing:
                when = Sql(f"{target.is_taken} AND {text} IS NULL")
                yield Reason(f"{table}.{column.name} is empty or missing", when, is_of_emptiness=True)
            value = self._values.column(column.type, text)
            if value.is_sure != "TRUE":
                words = f"{table}.{column.name} is not plainly a value of its type, {column.type.kind.value}"
                yield Reason(words, Sql(f"{target.is_taken} AND {_not(value).text}"))

    def _condition(self, condition: Condition, row: str) -> str:
        return self._values.condition(condition, self._text(str(condition.path[0]), row))

    def _table(self, schema: str, book: SchemaBook) -> HeldTable:
        new = set(book.new_columns)
        texts = [c.name for c in book.schema.columns if c.type.kind is Kind.TEXT and c not in new]
        return HeldTable(
            name(schema, book.target.table), tuple(map(name, book.schema.key_names)), tuple(map(name, texts))
        )


def _not(value: Copied) -> Sql:
    return Sql(f"NOT ({value.is_sure})")


__all__ = ["CopiedPlan", "Reason"]
