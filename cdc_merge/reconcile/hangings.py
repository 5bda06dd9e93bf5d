"""What hangs on a table, as the engine's catalog has it: owner, grants, comments, indexes, constraints, views."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_merge.render import find_template
from cdc_merge.warehouses import Dialect, Row, Statement

Relation = tuple[str, str]
"""Schema and name of a table or view."""

Asking = Generator[Statement, None, list[Row]]


@dataclass(frozen=True)
class Storage:
    """Who owns a table, and how it is kept. `options`, `toast_options`: `name=value` each."""

    owner: str  # quoted
    is_ours: bool  # whether we may act as its owner
    is_unlogged: bool
    tablespace: str | None  # quoted; None: the database's own
    replica_identity: str  # as pg_class.relreplident has it
    options: tuple[str, ...]
    toast_options: tuple[str, ...]


@dataclass(frozen=True)
class Attached:
    """An INDEX, CONSTRAINT or STATISTICS that someone made, and the table's columns that it needs."""

    kind: str
    name: str
    definition: str
    columns: frozenset[str]
    comment: str | None


@dataclass(frozen=True)
class View:
    """A view on the table, or on another view on it. `columns`: of the table, that it needs itself."""

    relation: Relation
    definition: str
    options: tuple[str, ...]
    owner: str  # quoted
    is_ours: bool
    columns: frozenset[str]


@dataclass(frozen=True)
class Reader:
    """A view that the engine binds only when it is read; its text names the table, or a view that does."""

    relation: Relation
    sql: str


@dataclass(frozen=True)
class Setting:
    """What people set of a column: `action` is the rest of an ALTER COLUMN."""

    column: str
    action: str


@dataclass(frozen=True)
class Comment:
    relation: Relation
    column: str | None
    text: str


@dataclass(frozen=True)
class Grant:
    """One privilege on a relation, or on a column of it. `grantee`: quoted, or PUBLIC."""

    relation: Relation
    column: str | None
    grantee: str
    privilege: str
    grantable: bool
    by_owner: bool = True


@dataclass(frozen=True)
class Hangings:
    """All of it; `obstacles` cannot be made anew, and `lost` need not be: both in words."""

    storage: Storage | None = None
    views: tuple[View, ...] = ()
    readers: tuple[Reader, ...] = ()
    attached: tuple[Attached, ...] = ()
    settings: tuple[Setting, ...] = ()
    clustered: tuple[str, bool] | None = None  # the index that the table is clustered on; whether it is the primary key
    comments: tuple[Comment, ...] = ()
    grants: tuple[Grant, ...] = ()
    obstacles: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Catalog:
    """Statements that read the engine's catalog, for one table of one schema.

    There is a template for each thing that an engine has. A table of DuckDB has no owner and no grants, and views find
    it by its name: https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview and
    https://duckdb.org/docs/stable/sql/statements/create_view
    """

    def __init__(self, dialect: Dialect, render: Callable[..., str]) -> None:
        self._dialect = dialect
        self._render = render

    def _has(self, what: str) -> bool:
        return find_template(f"reconcile/sql/rebuild_{what}.sql", self._dialect) is not None

    def ask(self, what: str, relation: Relation, **values: Any) -> Asking:
        """The rows of one query; none where the engine has nothing of the kind."""
        rows: list[Row] = []
        if self._has(what):
            schema, name = relation
            sql = self._render(
                f"reconcile/sql/rebuild_{what}",
                relation=self._dialect.quote(*relation),
                schema=self._dialect.in_catalog(schema),
                name=self._dialect.in_catalog(name),
                **values,
            )
            yield Statement(f"look at {what} of {name}", sql, inspect=rows.extend)
        return rows

    def look(self, relation: Relation) -> Generator[Statement, None, Hangings]:
        """What hangs on a table that is there."""
        table = yield from self.ask("table", relation)
        views = yield from self.ask("views", relation)
        relations = [relation, *((schema, name) for schema, name, *_ in views)]
        quoted = [self._dialect.quote(*r) for r in relations]
        obstacles = yield from self.ask("obstacles", relation, relations=quoted)
        lost = yield from self.ask("lost", relation)
        readers = yield from self.ask("readers", relation)
        attached = yield from self.ask("attached", relation)
        settings = yield from self.ask("settings", relation)
        clustered = yield from self.ask("clustered", relation)
        comments = yield from self.ask("comments", relation, relations=quoted)
        grants = yield from self.grants(relations)
        return Hangings(
            storage=_storage(table[0]) if table else None,
            views=tuple(
                View((schema, name), definition.rstrip("; \n"), tuple(options), owner, is_ours, frozenset(columns))
                for schema, name, _kind, definition, options, owner, is_ours, columns in views
            ),
            readers=_readers(relation[1], [Reader((schema, name), sql) for schema, name, sql in readers]),
            settings=tuple(Setting(column, action) for column, action in settings),
            clustered=(clustered[0][0], clustered[0][1]) if clustered else None,
            attached=tuple(Attached(k, n, d, frozenset(columns), c) for k, n, d, columns, c in attached),
            comments=tuple(Comment((schema, name), column, text) for schema, name, column, text in comments),
            grants=grants,
            obstacles=tuple(what for (what,) in obstacles),
            lost=tuple(what for (what,) in lost),
        )

    def grants(self, relations: Sequence[Relation]) -> Generator[Statement, None, tuple[Grant, ...]]:
        """The privileges on relations as they are now."""
        quoted = [self._dialect.quote(*r) for r in relations]
        rows = yield from self.ask("grants", relations[0], relations=quoted)
        return tuple(Grant((schema, name), *rest) for schema, name, *rest in rows)

    def lock(self, relation: Relation, table: object) -> Generator[Statement, None, None]:
        """Keeps everyone else from the table until the transaction ends, where the engine has such locks."""
        if self._has("lock"):
            sql = self._render("reconcile/sql/rebuild_lock", table=table)
            yield Statement(f"lock {relation[1]}", sql)


def _readers(table: str, views: Sequence[Reader]) -> tuple[Reader, ...]:
    """Those that name the table, or a view that does, in any depth."""
    names, found = {table}, list[Reader]()
    while more := [v for v in views if v not in found and any(is_named(name, v.sql) for name in names)]:
        found += more
        names |= {view.relation[1] for view in more}
    return tuple(found)


def is_named(name: str, sql: str) -> bool:
    """Whether a text has the name as a word; DuckDB's names have no case."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql, re.IGNORECASE) is not None


def _storage(row: Row) -> Storage:
    owner, is_ours, persistence, tablespace, replica_identity, options, toast_options = row
    return Storage(
        owner, is_ours, persistence == "u", tablespace, replica_identity, tuple(options), tuple(toast_options)
    )
