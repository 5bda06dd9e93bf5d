"""The tables in the warehouse as the engine's catalog has them, with names as ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cdc_merge.names import history_table
from cdc_merge.render import render
from cdc_merge.schema.stored import HISTORY_COLUMNS, TargetSchema, all_columns
from cdc_merge.warehouses import Dialect, Session


@dataclass(frozen=True)
class TableColumn:
    """A column as the engine's catalog has it; `required`: an INSERT must give it a value.

    `is_ours`: it says that we made it. Where DDL commits by itself, it can be there before a merge that needs it.
    `refuses_copies`: its table has a unique index or constraint, of whatever columns. Asked on DuckDB alone.
    """

    type: str
    required: bool = False
    is_ours: bool = False
    refuses_copies: bool = False


MARK = "cdc-merge"
"""The comment of columns that were added where DDL commits by itself."""

Tables = Mapping[str, Mapping[str, TableColumn]]
"""The columns of each table by name, in order; a table that does not exist is left out."""


def read_tables(session: Session, dialect: Dialect, schema: str, tables: Collection[str]) -> Tables:
    """What the catalog says of the tables in `schema`."""
    if not tables:
        return {}
    names = sorted(map(dialect.in_catalog, tables))
    rows = session.query(
        render("schema/sql/columns.sql", dialect, schema=dialect.in_catalog(schema), tables=names, mark=MARK)
    )
    found: dict[str, dict[str, TableColumn]] = {}
    for table, column, type_name, precision, scale, required, is_ours, refuses_copies in rows:
        if type_name.lower() == "numeric" and precision is not None:  # Postgres; DuckDB names both in the type
            type_name = f"{type_name}({precision}, {scale})"
        made = TableColumn(type_name, bool(required), bool(is_ours), bool(refuses_copies))
        found.setdefault(dialect.from_catalog(table), {})[dialect.from_catalog(column)] = made
    return found


def as_in_books(tables: Tables, schemas: Mapping[str, TargetSchema], dialect: Dialect) -> Tables:
    """The tables with their columns spelled as the books have them, where the engine takes the names for the same."""
    names = {table: all_columns(schema) for table, schema in schemas.items()}
    names |= {history_table(table): (*mine, *HISTORY_COLUMNS) for table, mine in names.items()}
    return {table: spelled_as(columns, names.get(table, ()), dialect) for table, columns in tables.items()}


def spelled_as(columns: Mapping[str, TableColumn], names: Iterable[str], dialect: Dialect) -> Mapping[str, TableColumn]:
    """The columns of one table under the `names` that the engine takes for theirs."""
    ours = {dialect.folded(name): name for name in names}
    return {ours.get(dialect.folded(column), column): made for column, made in columns.items()}
