"""The statements that make tables: a target's, one beside it that is to take its place, and a history's."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_merge.errors import SchemaConflict
from cdc_merge.merge.altering import Render
from cdc_merge.merge.planned import PlannedTarget, ValueColumn
from cdc_merge.model import Kind
from cdc_merge.render import Sql
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses import Dialect, Row, Statement


class CreationPlan:
    """Makes tables with the columns that the targets' books have by now."""

    def __init__(self, dialect: Dialect, schema: str, render: Render, books: Sequence[SchemaBook]) -> None:
        """`schema`: that of the targets."""
        self._dialect = dialect
        self._schema = schema
        self._render = render
        self._books = books

    def schema(self) -> Statement:
        """The schema of the targets."""
        return Statement("create schema", f"CREATE SCHEMA IF NOT EXISTS {self._dialect.quote(self._schema)}")

    def target(self, target: PlannedTarget) -> Statement:
        """An empty table, called as `target.table` says, with all columns that the target's book has by now."""
        return Statement(f"create {target.label}", self._create("merge/sql/create_target", target))

    def beside(self, like: PlannedTarget | None, new: PlannedTarget, *, mark: str) -> list[Statement]:
        """An empty table that is to take the place of the target's, with its privileges, where DDL commits by itself.

        `like`: the target's; None: it is gone. `mark`: by which the new one is known.
        These are only copied to a table that is made LIKE another, and kept by one that is made in its place:
        https://docs.snowflake.com/en/sql-reference/sql/create-table#optional-parameters
        """
        create = Statement(f"create {new.label} anew", self._create("merge/sql/create_target", new, mark=mark))
        if like is None:
            return [create]
        copy = self._render("merge/sql/create_like", target=like, new=new)
        return [Statement(f"copy privileges of {like.label}", copy), create]

    def look_into(self, target: PlannedTarget) -> Statement:
        """Insists that a new table is new: where DDL is said twice, one of that name may have been there."""

        def look(rows: list[Row]) -> None:
            if rows:
                raise SchemaConflict(
                    "a table of its name is there, and has rows",
                    where=f"target {target.label}",
                    hint="rename or drop it, or name another table in the configuration",
                )

        sql = f"SELECT 1 FROM {self._dialect.quote(*target.table.parts)} LIMIT 1"
        return Statement(f"look into {target.label}", sql, inspect=look)

    def history(self, target: PlannedTarget) -> str:
        """The SQL that makes the table of a target's history."""
        return self._create("merge/sql/create_history", target)

    def _create(self, template: str, target: PlannedTarget, *, mark: str | None = None) -> str:
        return self._render(
            template,
            target=target,
            mark=mark,
            columns=_as_asked(self._books[target.number], target.columns),
            position_type=Sql(f"{self._dialect.types[Kind.TEXT]} {self._dialect.byte_order}".strip()),
            timestamp=Sql(self._dialect.types[Kind.TIMESTAMP]),
            integer=Sql(self._dialect.types[Kind.INTEGER]),
            text=Sql(self._dialect.types[Kind.TEXT]),
        )


def _as_asked(book: SchemaBook, columns: Sequence[ValueColumn]) -> list[ValueColumn]:
    """A new table's columns in the configuration's order, whenever their types became known."""
    places = {c.name: place for place, c in enumerate(book.target.columns or ())}
    return sorted(columns, key=lambda c: places.get(c.name.parts[0], len(places)))
