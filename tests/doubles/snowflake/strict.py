"""fakesnow's connection and cursor, as strict as the service."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import duckdb
import fakesnow.arrow
import fakesnow.transforms
import sqlglot
from botocore.exceptions import ClientError
from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.copy_into import stage_url_from_var
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from tests.doubles.snowflake import documents
from tests.doubles.snowflake.belongings import (
    POLICIES_OF,
    ROLE,
    SET_POLICY,
    SHOW_GRANTS,
    Belongings,
    Making,
    Registry,
    clustering_key,
    read_making,
)
from tests.doubles.snowflake.loading import LoadHistory, load, read_copy
from tests.doubles.snowflake.locks import CANCELED, Locks, Table
from tests.doubles.snowflake.refusals import (
    UnknownForm,
    column_comments,
    refuse,
    refuse_foreign_grammar,
    refuse_foreign_words,
    without_keys,
)
from tests.doubles.snowflake.translation import parse_one, translated
from tests.doubles.snowflake.values import (
    count_if,
    exact_numbers,
    narrowed,
    object_delete,
    parse_json,
    regexp_replace,
    register,
    times_over_the_wire,
    to_json,
    to_timestamp_tz,
)

fakesnow.transforms.integer_precision = exact_numbers
fakesnow.arrow.timestamp_to_sf_struct = times_over_the_wire

IDLE = 10.0
"""Seconds after which an idle transaction that blocks another is rolled back. The service waits for 5 minutes.

https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions
"""
OWN_IDLE = "DOUBLE_IDLE_SECONDS"
"""A parameter of a session's own instead; the service has none."""

MOST_ROWS = 1_000
"""Of one result, as an account may have it that keeps people from fetching too much; 0: all.

https://docs.snowflake.com/en/sql-reference/parameters#rows-per-resultset
"""

# What sqlglot and fakesnow raise where they know no translation.
_UNTRANSLATED = (NotImplementedError, AssertionError, LookupError, TypeError, ValueError, AttributeError)

# https://docs.snowflake.com/en/sql-reference/transactions#ddl
_DDL = (exp.Create, exp.Drop, exp.Alter, exp.TruncateTable, exp.Comment, exp.Grant)
_LOCKING = (exp.Update, exp.Delete, exp.Merge)
_CANCEL = re.compile(r"\s*SELECT\s+SYSTEM\$CANCEL_ALL_QUERIES\(\d+\)\s*", re.IGNORECASE)
_SET_PARAMETER = re.compile(r"\s*ALTER\s+SESSION\s+SET\s+(\w+)\s*=\s*'?([^']*)'?\s*", re.IGNORECASE)
_LOCATION = re.compile(r"\s*SELECT\s+GET_STAGE_LOCATION\(@([\w.]+)\)\s*", re.IGNORECASE)
_REMOVE = re.compile(r"\s*(?:REMOVE|RM)\s+@(\S+)\s*", re.IGNORECASE)


class StrictSnow(FakeSnow):
    """The databases of one account."""

    def __init__(self) -> None:
        super().__init__(create_database_on_connect=False, create_schema_on_connect=False)
        register(self.duck_conn)
        documents.register(self.duck_conn)
        self.locks = Locks()
        self.histories: dict[int, LoadHistory] = {}  # by table
        self.registry = Registry()
        self._ids = 0

    def connect(self, database: str | None = None, schema: str | None = None, **kwargs: Any) -> StrictConnection:
        self._ids += 1
        options = {"create_database": False, "create_schema": False, **kwargs}
        return StrictConnection(
            self, self._ids, self.duck_conn.cursor(), self.results_cache, database, schema, **options
        )


class _Running:
    is_canceled = False


class StrictConnection(FakeSnowflakeConnection):
    """A session."""

    def __init__(self, account: StrictSnow, session_id: int, *args: Any, parameters: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account
        self.session_id = session_id
        self.parameters = {str(k).upper(): str(v) for k, v in (parameters or {}).items()}
        self.running: set[_Running] = set()
        self.is_in_transaction = False
        self.idle_since = time.monotonic()
        self.guard = threading.RLock()
        self._stages: list[str] = []

    def cursor(self, *_args: Any, **_kwargs: Any) -> StrictCursor:
        return StrictCursor(self, self._duck_conn)

    @contextmanager
    def at_work(self) -> Iterator[_Running]:
        running = _Running()
        self.running.add(running)
        try:
            yield running
        finally:
            self.running.discard(running)
            self.idle_since = time.monotonic()

    def cancel(self) -> None:
        for running in list(self.running):
            running.is_canceled = True
        self._duck_conn.interrupt()

    def end_transaction(self, word: str) -> None:
        """COMMIT or ROLLBACK, if there is a transaction."""
        with self.guard:
            if self.is_in_transaction:
                self.is_in_transaction = False
                self._duck_conn.execute(word)
            self.account.locks.release(self)

    def give_up_if_idle(self) -> None:
        """Roll back what keeps others waiting while nothing is done."""
        patience = float(self.parameters.get(OWN_IDLE, IDLE))
        if not self.running and time.monotonic() - self.idle_since > patience:
            self.end_transaction("ROLLBACK")

    def leave(self) -> None:
        """The client has closed the session."""
        self.end_transaction("ROLLBACK")
        self.close()


class StrictCursor(FakeSnowflakeCursor):
    """Runs one statement as the service would."""

    _conn: StrictConnection

    def execute(self, command: str, *args: Any, **kwargs: Any) -> StrictCursor:
        if _CANCEL.fullmatch(command):
            self._conn.cancel()
            return self._answer("SELECT 'queries canceled' AS status")
        if named := _SET_PARAMETER.fullmatch(command):
            self._conn.parameters[named[1].upper()] = named[2]
            return self._answer("SELECT 'Statement executed successfully.' AS status")
        with self._conn.at_work() as running, _as_the_service_says():
            if named := _LOCATION.fullmatch(command):
                # https://docs.snowflake.com/en/sql-reference/functions/get_stage_location
                return self._answer(f"SELECT {exp.Literal.string(self._url(named[1])).sql('duckdb')} AS location")
            if named := _REMOVE.fullmatch(command):
                return self._remove(named[1])
            if named := SET_POLICY.fullmatch(command):
                self._conn.end_transaction("COMMIT")
                return self._set_policy(*named.groups())
            command = POLICIES_OF.sub(lambda found: self._policies_of(found[1]), command)
            if named := SHOW_GRANTS.fullmatch(command):
                return self._show_grants(named[1])
            statement = _read(command)
            self._strictly(statement, command, running, *args, **kwargs)
            if self._arrow_table is not None:
                most = int(self._conn.parameters.get("ROWS_PER_RESULTSET", MOST_ROWS))
                self._arrow_table = narrowed(self._arrow_table.slice(0, most or None))
        return self

    def _strictly(self, statement: exp.Expression, command: str, running: _Running, *args: Any, **kwargs: Any) -> None:
        connection = self._conn
        match statement:
            case exp.Transaction():
                if not connection.is_in_transaction:  # a second BEGIN does nothing
                    self._duck_conn.execute("BEGIN")
                    connection.is_in_transaction = True
                self._answer("SELECT 'Statement executed successfully.' AS status")
            case exp.Commit() | exp.Rollback():
                connection.end_transaction(statement.key.upper())
                self._answer("SELECT 'Statement executed successfully.' AS status")
            case exp.Copy():
                self._copy(statement)
            case _ if isinstance(statement, _DDL):
                connection.end_transaction("COMMIT")
                self._define(statement, *args, **kwargs)
            case _ if isinstance(statement, _LOCKING):
                self._locking(statement, running, command, *args, **kwargs)
            case _:
                self._run(statement, command, *args, **kwargs)

    def _run(self, statement: exp.Expression, command: str, *args: Any, **kwargs: Any) -> None:
        """The short way for plain statements, else fakesnow's own."""
        short = None if args or kwargs.get("binding_params") else translated(command)
        if short is None:
            super().execute(command, *args, **kwargs)
            return
        self._sqlstate = None
        self.check_db_and_schema(statement)
        try:
            self._execute(short)
        except ProgrammingError as error:
            self._sqlstate = error.sqlstate
            raise

    def _locking(self, statement: exp.Expression, running: _Running, command: str, *args: Any, **kwargs: Any) -> None:
        table = self._locked(statement)
        if table:
            account, patience = self._conn.account, float(self._conn.parameters.get("LOCK_TIMEOUT", "43200"))
            account.locks.take(table, self._conn, patience=patience, is_canceled=lambda: running.is_canceled)
        try:
            if isinstance(statement, exp.Merge):
                self._refuse_ambiguity(statement)
            self._run(statement, command, *args, **kwargs)
        finally:
            if not self._conn.is_in_transaction:
                self._conn.account.locks.release(self._conn)

    def _locked(self, statement: exp.Expression) -> Table | None:
        """The table that a statement changes; None: a temporary one."""
        table = statement.this if isinstance(statement.this, exp.Table) else statement.find(exp.Table)
        assert isinstance(table, exp.Table)
        name = _spelled(table.this)
        if not table.db and self._temporary(name):
            return None
        database = _spelled(table.args.get("catalog")) or self._conn.database or ""
        return database, _spelled(table.args.get("db")) or self._conn.schema or "", name

    def _temporary(self, name: str) -> int | None:
        found = self._duck_conn.execute(
            "SELECT table_oid FROM duckdb_tables() WHERE temporary AND table_name = ?", [name]
        ).fetchone()
        return int(found[0]) if found else None

    def _refuse_ambiguity(self, merge: exp.Merge) -> None:
        """Two source rows for one target row that is updated, or deleted and updated, are an error.

        https://docs.snowflake.com/en/sql-reference/sql/merge#nondeterministic-results-for-update-and-delete
        """
        updates = [w for w in merge.args["whens"].expressions if w.args.get("matched") and _is_update(w)]
        if not updates:
            return
        alias = merge.this.alias_or_name
        matches = (
            exp.select(exp.column("rowid", alias))
            .from_(merge.this.copy())
            .join(merge.args["using"].copy(), on=merge.args["on"].copy())
            .group_by(exp.column("rowid", alias))
            .having("count(*) > 1")
            .limit(1)
        )
        super().execute(matches.sql("snowflake"))
        if self._arrow_table is not None and self._arrow_table.num_rows:
            refuse(100_090, "42P18", "Duplicate row detected during DML action")

    def _define(self, statement: exp.Expression, *args: Any, **kwargs: Any) -> None:
        """DDL, which has committed what was open, and commits itself."""
        action = next(iter(statement.args.get("actions") or []), None)
        match action or statement:
            case exp.SwapTable():
                self._swap(statement.this, action.this)
                return
            case exp.ClusterProperty():
                self._belongs(self._there(statement.this), clustering_key=clustering_key(action))
                return
            case exp.AlterRename():
                self._rename(statement.this, action.this)
                return
            case exp.Comment(this=exp.Table()):
                self._belongs(self._there(statement.this), comment=statement.expression.name or None)
                return
            case exp.Comment(this=exp.Column()):
                self._comment_on_column(statement.this, statement.expression)
                return
            case exp.Grant():
                self._grant(statement)
                return
            case exp.Create(kind="TABLE") if not statement.find(exp.TemporaryProperty):
                self._make(read_making(statement), *args, **kwargs)
                return
            case exp.Drop(kind="TABLE"):
                self._conn.account.registry.known.pop(self._place(statement.find(exp.Table)), None)
        if isinstance(statement, exp.Drop) and statement.kind == "DATABASE":
            self._duck_conn.execute(f"DETACH {_spelled(statement.find(exp.Identifier))}")
            self._answer("SELECT 'successfully dropped.' AS status")
            return
        self._define_plainly(statement, *args, **kwargs)

    def _define_plainly(self, statement: exp.Expression, *args: Any, **kwargs: Any) -> None:
        statement = statement.copy()
        comments = column_comments(statement)
        keyless = without_keys(statement)
        self._run(keyless, keyless.sql("snowflake"), *args, **kwargs)
        if comments:
            table = statement.find(exp.Table)
            assert table
            for column, text in comments.items():
                place = ".".join(
                    f'"{_spelled(part)}"' for part in (*table.parts, exp.to_identifier(column, quoted=True))
                )
                self._duck_conn.execute(f"COMMENT ON COLUMN {place} IS '{text}'")

    def _place(self, table: exp.Table | None) -> Table:
        assert table is not None
        database = _spelled(table.args.get("catalog")) or self._conn.database or ""
        return database, _spelled(table.args.get("db")) or self._conn.schema or "", _spelled(table.this)

    def _there(self, table: exp.Table) -> Table:
        """Where a table that is no temporary one is."""
        place = self._place(table)
        named = "database_name = ? AND schema_name = ? AND table_name = ? AND NOT temporary"
        if not self._duck_conn.execute(f"SELECT 1 FROM duckdb_tables() WHERE {named}", list(place)).fetchall():
            name = ".".join(place)
            refuse(2003, "42S02", f"SQL compilation error:\nTable '{name}' does not exist or not authorized.")
        return place

    def _belongs(self, place: Table, **changed: object) -> None:
        self._conn.account.registry.change(self._duck_conn, place, **changed)
        self._answer("SELECT 'Statement executed successfully.' AS status")

    def _comment_on_column(self, column: exp.Column, text: exp.Expression) -> None:
        *before, name = column.parts
        table = exp.Table(**dict(zip(("this", "db", "catalog"), reversed(before), strict=False)))
        place = ".".join(f'"{part}"' for part in (*self._there(table), _spelled(name)))
        self._duck_conn.execute(f"COMMENT ON COLUMN {place} IS {text.sql('duckdb')}")
        self._answer("SELECT 'Statement executed successfully.' AS status")

    def _grant(self, grant: exp.Grant) -> None:
        """One privilege on a table, to a role."""
        place = self._there(grant.args["securable"])
        privileges = {p.this.name.upper() for p in grant.args["privileges"]}
        roles = {p.this.name.upper() for p in grant.args["principals"]}
        if privileges == {"OWNERSHIP"}:
            self._belongs(place, owner=roles.pop())
            return
        granted = self._conn.account.registry.of(place).grants | {(p, r) for p in privileges for r in roles}
        self._belongs(place, grants=granted)

    def _set_policy(self, table: str, column: str, policy: str) -> StrictCursor:
        place = self._there(exp.to_table(table, dialect="snowflake"))
        policies = self._conn.account.registry.of(place).policies | {(column.upper(), policy.upper())}
        self._belongs(place, policies=policies)
        return self

    def _policies_of(self, name: str) -> str:
        """In the place of the function: a query of what it gives."""
        policies = sorted(self._conn.account.registry.of(self._there(exp.to_table(name, dialect="snowflake"))).policies)
        rows = ", ".join(f"('MASKING_POLICY', '{policy}', '{column}')" for column, policy in policies)
        nothing = "('', '', '')"
        whole = f"SELECT * FROM (VALUES {rows or nothing}) AS v (policy_kind, policy_name, ref_column_name)"
        return f"({whole} WHERE policy_name <> '')"

    def _show_grants(self, name: str) -> StrictCursor:
        """https://docs.snowflake.com/en/sql-reference/sql/show-grants"""
        place = self._there(exp.to_table(name, dialect="snowflake"))
        belongings = self._conn.account.registry.of(place)
        rows = sorted({("OWNERSHIP", belongings.owner), *belongings.grants})
        values = ", ".join(f"('{privilege}', 'TABLE', '{role}')" for privilege, role in rows)
        return self._answer(f"SELECT * FROM (VALUES {values}) AS t(privilege, granted_on, grantee_name)")

    def _make(self, making: Making, *args: Any, **kwargs: Any) -> None:
        """CREATE TABLE: of a table in whose place it comes nothing stays but privileges that are asked for."""
        registry, place = self._conn.account.registry, self._place(making.statement.find(exp.Table))
        statement: exp.Expression = making.statement
        grants: frozenset[tuple[str, str]] = frozenset()
        if making.copies_grants:
            grants = registry.of(self._there(making.like) if making.like else place).grants
        if making.like:
            whole = exp.select("*").from_(making.like.copy()).limit(0)
            statement = exp.Create(this=making.statement.this.copy(), kind="TABLE", replace=True, expression=whole)
        if statement.args.get("exists") and place in registry.known:
            self._define_plainly(statement, *args, **kwargs)
            return
        self._define_plainly(statement, *args, **kwargs)
        registry.put(self._duck_conn, place, Belongings(clustering_key=making.clustering_key, grants=grants))
        self._answer(f"SELECT 'Table {place[2]} successfully created.' AS status")

    def _rename(self, one: exp.Table, other: exp.Table) -> None:
        registry, before, after = self._conn.account.registry, self._there(one), self._place(other)
        if before[:2] != after[:2]:
            raise UnknownForm("a table that is renamed into another schema")
        quoted = ".".join(f'"{part}"' for part in before)
        self._duck_conn.execute(f'ALTER TABLE {quoted} RENAME TO "{after[2]}"')
        belongings = registry.known.pop(before, Belongings())
        registry.put(self._duck_conn, before, Belongings())
        del registry.known[before]
        registry.put(self._duck_conn, after, belongings)
        self._answer("SELECT 'Statement executed successfully.' AS status")

    def _swap(self, one: exp.Table, other: exp.Table) -> None:
        """Two tables exchange their names, and nothing else.

        https://docs.snowflake.com/en/sql-reference/sql/alter-table: not a temporary one with one that is not.
        """
        if any(not t.db and self._temporary(_spelled(t.this)) for t in (one, other)):
            refuse(1506, "42601", "SQL compilation error:\nA temporary table cannot be swapped with a permanent one")
        registry, first, second = self._conn.account.registry, self._there(one), self._there(other)
        for place in (first, second):
            if registry.of(place).owner != ROLE:
                refuse(3001, "42501", f"SQL access control error:\nInsufficient privileges on table '{place[2]}'")
        aside = "_SWAPPED"
        places = [".".join(f'"{_spelled(p)}"' for p in t.parts) for t in (one, other)]
        stem = ".".join([*(f'"{_spelled(p)}"' for p in one.parts[:-1]), f'"{aside}"'])
        self._duck_conn.execute("BEGIN")
        try:
            self._duck_conn.execute(f'ALTER TABLE {places[0]} RENAME TO "{aside}"')
            self._duck_conn.execute(f'ALTER TABLE {places[1]} RENAME TO "{_spelled(one.this)}"')
            self._duck_conn.execute(f'ALTER TABLE {stem} RENAME TO "{_spelled(other.this)}"')
            self._duck_conn.execute("COMMIT")
        except duckdb.Error:
            self._duck_conn.execute("ROLLBACK")
            raise
        of_first, of_second = registry.of(first), registry.of(second)
        registry.put(self._duck_conn, first, of_second)
        registry.put(self._duck_conn, second, of_first)
        self._answer("SELECT 'Statement executed successfully.' AS status")

    def _copy(self, statement: exp.Copy) -> None:
        copy = read_copy(statement)
        name = _spelled(copy.table.this)
        oid = self._temporary(name) if not copy.table.db else None
        if oid is None:
            oid = int(
                self._duck_conn.execute(
                    f"SELECT table_oid FROM duckdb_tables() WHERE table_name = '{name}'"
                ).fetchall()[0][0]
            )
        history = self._conn.account.histories.setdefault(oid, LoadHistory())

        def insert(rows: exp.Insert) -> int:
            self._execute(self._transform(rows, None))
            return self._rowcount or 0

        with self._files_of(copy.stage, copy.files) as folder:
            results = load(copy, folder, history, insert, now=datetime.now(UTC), full=self._full(copy.stage))
        values = ", ".join(
            f"({exp.Literal.string(file).sql('duckdb')}, '{status}', {rows}, {rows})" for file, status, rows in results
        )
        self._answer(f"SELECT * FROM (VALUES {values}) AS t(file, status, rows_parsed, rows_loaded)")

    @contextmanager
    def _files_of(self, stage: str, names: Sequence[str]) -> Iterator[Path]:
        """The folder of an internal stage; of an external one the files, fetched from S3, as far as they are there."""
        place = self._url(stage)
        if not place.startswith("s3://"):
            yield Path(place)
            return
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        client = boto3.session.Session().client("s3")
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(ClientError):  # nothing is put between what the stage's URL and the file's name are
                    client.download_file(bucket, prefix + name, str(path))
            yield Path(folder)

    def _full(self, stage: str) -> str:
        """What the names of a stage's files begin with: https://docs.snowflake.com/en/user-guide/querying-metadata"""
        place = self._url(stage)
        return place.removeprefix("s3://").partition("/")[2] if place.startswith("s3://") else ""

    def _folder(self, stage: str) -> Path:
        """PUT and REMOVE: https://docs.snowflake.com/en/sql-reference/sql/put takes no external stage."""
        place = self._url(stage)
        if place.startswith("s3://"):
            raise UnknownForm("REMOVE on an external stage")
        return Path(place)

    def _url(self, stage: str) -> str:
        place = stage_url_from_var(
            stage.lstrip("@"),
            self._duck_conn,
            self._conn.database,
            self._conn.schema,
            self._conn.table_stages,
            exp.to_table("x"),
        )
        return str(place)

    def _remove(self, stage: str) -> StrictCursor:
        folder = self._folder(stage)
        gone = sorted(str(f.relative_to(folder.parent)) for f in folder.rglob("*") if f.is_file())
        shutil.rmtree(folder, ignore_errors=True)
        values = ", ".join(f"('{name}', 'removed')" for name in gone) or "(NULL, NULL)"
        return self._answer(f"SELECT * FROM (VALUES {values}) AS t(name, result) WHERE name IS NOT NULL")

    def _answer(self, sql: str) -> StrictCursor:
        self._execute(sqlglot.parse_one(sql, read="duckdb"))
        return self

    def _transform(self, expression: exp.Expression, params: Any) -> exp.Expression:
        expression = documents.translate(expression)
        for translate in (count_if, to_json, object_delete, parse_json, regexp_replace, to_timestamp_tz):
            expression = expression.transform(translate, copy=False)
        return super()._transform(expression, params)


@lru_cache(2048)
def _read(command: str) -> exp.Expression:
    """The statement as parsed, which nobody may change; raises what the service refuses."""
    refuse_foreign_words(command)
    statement = parse_one(command)
    refuse_foreign_grammar(statement)
    return statement


def _is_update(when: exp.Expression) -> bool:
    return isinstance(when.args.get("then"), exp.Update)


def _spelled(identifier: Any) -> str:
    """A name as the catalog has it."""
    if identifier is None:
        return ""
    return str(identifier.this) if identifier.args.get("quoted") else str(identifier.this).upper()


@contextmanager
def _as_the_service_says() -> Iterator[None]:
    """The engine's errors as the service's: none is a fault of the server, which a client would try again."""
    try:
        yield
    except duckdb.InterruptException:
        refuse(CANCELED, "57014", "SQL execution canceled")
    except duckdb.ConstraintException as error:
        refuse(100_072, "22000", f"NULL result in a non-nullable column: {error}")
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        refuse(100_038, "22018", str(error))
    except duckdb.InvalidInputException as error:
        refuse(100_069, "22P02", f"Error parsing JSON: {error}")
    except duckdb.Error as error:
        refuse(100_000, "XX000", f"the double failed: {error}")
    except ProgrammingError as error:
        error.msg = (error.msg or "").partition("\n\nLINE ")[0]  # the service does not show the statement
        raise
    except (UnknownForm, *_UNTRANSLATED) as error:
        refuse(90_002, "0A000", f"the double does not know this: {type(error).__name__}: {error}")
