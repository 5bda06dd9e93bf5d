"""Databend behind the interface of Snowflake's driver: connections and cursors, and a stage whose files are on S3."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import snowflake.connector
from snowflake.connector.constants import FIELD_NAME_TO_ID
from snowflake.connector.errors import ProgrammingError

from tests.databend.translation import Rule, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The binding does not say how many rows a statement touched (of MERGE it does). The merge goes by it for these alone.
_COUNTED = re.compile(r'\b(?:INTO|UPDATE)\s+"[^"]+"\."(?:leases|objects|migrations)"')
_UPDATE = re.compile(r"\s*UPDATE\s+(?P<table>\S+)\s+SET\s.*?(?P<where>\bWHERE\b.*)?", re.DOTALL)
_INSERT = re.compile(r"\s*INSERT INTO\s+\S+\s*(?:\([^)]*\))?\s*(?P<query>SELECT\b.*)", re.DOTALL)

_PUT = re.compile(r"PUT '(?:file://)(?P<path>[^']+)' @(?P<stage>\w+)/(?P<prefix>\S*) AUTO_COMPRESS = FALSE")
_STAGE = re.compile(r"CREATE TEMPORARY STAGE IF NOT EXISTS (?P<name>\w+)")
# A value that a subquery gives is joined to each row there, one at a time, which takes half a millisecond for a row. So
# it is asked for just before, in the same transaction.
_FLOOR = re.compile(r"\(\s*(SELECT f\.floor_at FROM \S+ AS f WHERE f\.source = '[^']*' AND f\.target = '[^']*')\s*\)")
_IS_THERE = "AddColumnExistError"
_places: list[Path] = []  # where the engine of this process has its state
_NUMBER = re.compile(r"│\s*(\d+)\s*│")


@dataclass
class Databend:
    """The engine of this process, with a bucket for what its sessions stage. `translated`: the rules it has needed."""

    bucket: str
    endpoint: str
    client: S3Client
    translated: set[str] = field(default_factory=set)
    _names: Iterator[int] = field(default_factory=itertools.count)

    def fresh_database(self) -> str:
        """The name of an empty database."""
        return f"d{uuid.uuid4().hex[:12]}"

    def url(self, database: str) -> str:
        """As a user would write it; it leads here only inside of `behind_the_driver`."""
        return f"snowflake://tester:none@databend/{database}/PUBLIC"

    @contextmanager
    def behind_the_driver(self) -> Iterator[None]:
        """What connects to Snowflake is connected to this engine meanwhile."""
        with patch.object(snowflake.connector, "connect", self.connect):
            yield

    def connect(self, *, database: str, schema: str, **_: object) -> DatabendConnection:
        """A session; `database` is a tenant, which sees nothing of others."""
        connection = DatabendConnection(self, _session(database), schema)
        for sql in ("SET timezone = 'UTC'", f"CREATE DATABASE IF NOT EXISTS {schema}", f"USE {schema}"):
            connection.said(sql)
        return connection

    def note(self, rule: Rule) -> None:
        self.translated.add(rule.name)

    def drop_database(self, database: str) -> None:
        """Remove the rows of a database from the disk."""
        session = _session(database)
        for row in session.sql("SELECT name FROM system.databases").to_py_arrow()[0].to_pylist():
            if row["name"] not in ("system", "information_schema", "default"):
                session.sql(f'DROP DATABASE "{row["name"]}"').collect()

    def stage(self, name: str) -> str:
        """The statement that makes a stage of a session: its files are on S3, as all that databend loads."""
        return (
            f"CREATE OR REPLACE STAGE {name} URL = 's3://{self.bucket}/{name}/{next(self._names)}/' CONNECTION = ("
            f"ENDPOINT_URL = '{self.endpoint}' ACCESS_KEY_ID = 'test' SECRET_ACCESS_KEY = 'test' "
            "REGION = 'us-east-1' ENABLE_VIRTUAL_HOST_STYLE = 'false')"
        )


@dataclass(frozen=True)
class _Column:
    type_code: int


class DatabendConnection:
    """What a session of warehouses/snowflake.py asks of the driver."""

    def __init__(self, engine: Databend, session: Any, schema: str) -> None:
        self.engine = engine
        self.session = session
        self.schema = schema
        self.session_id = 0
        self.stages: dict[str, str] = {}  # each with where its files are
        self._is_closed = False

    def cursor(self) -> DatabendCursor:
        return DatabendCursor(self)

    def said(self, sql: str) -> None:
        """A statement in databend's own words."""
        self.session.sql(sql).collect()

    def is_closed(self) -> bool:
        return self._is_closed

    def is_valid(self) -> bool:
        return not self._is_closed

    def close(self) -> None:
        self._is_closed = True


class DatabendCursor:
    """Runs one statement of Snowflake's; raises the driver's errors."""

    def __init__(self, connection: DatabendConnection) -> None:
        self._connection = connection
        self._engine = connection.engine
        self._rows: list[tuple[Any, ...]] = []
        self.rowcount: int | None = None
        self.description: Sequence[_Column] = ()

    def __enter__(self) -> DatabendCursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def execute(self, sql: str) -> None:
        if match := _PUT.fullmatch(sql):
            self._put(Path(match["path"]), match["stage"], match["prefix"])
        elif match := _STAGE.fullmatch(sql):
            self._run(made := self._engine.stage(match["name"]))
            self._connection.stages[match["name"]] = made.split("'")[1]
        else:
            self._translated(sql)

    def _translated(self, sql: str) -> None:
        may_be_there = "ADD COLUMN IF NOT EXISTS" in sql
        try:
            self.ask(_FLOOR.sub(self._floor, translate(sql, told=self._engine.note)))
        except ProgrammingError as error:
            if not (may_be_there and _IS_THERE in str(error)):
                raise

    def _floor(self, match: re.Match[str]) -> str:
        self._fetch(match[1])
        floor = self._rows[0][0] if self._rows else None
        # There is no earlier moment in databend, so all changes are after it. NULL itself it cannot compare with.
        return f"CAST('{floor.isoformat() if floor else '1000-01-01'}' AS TIMESTAMP)"

    def ask(self, sql: str) -> None:
        """Run a statement in databend's own words."""
        if sql.startswith("MERGE"):
            self.rowcount = sum(map(int, _NUMBER.findall(str(self._run(sql)))))
        elif sql.lstrip().startswith(("SELECT", "COPY")):
            self._fetch(sql)
        else:
            self.rowcount = self._count(sql) if _COUNTED.search(sql) else None
            self._run(sql)

    def _put(self, path: Path, stage: str, prefix: str) -> None:
        """PUT is a command of Snowflake's drivers: the file goes where the stage has its files."""
        bucket, _, folder = self._connection.stages[stage].removeprefix("s3://").partition("/")
        self._engine.client.upload_file(str(path), bucket, f"{folder}{prefix}{path.name}")

    def _fetch(self, sql: str) -> None:
        batches = self._answer(lambda: self._connection.session.sql(sql).to_py_arrow())
        columns = batches[0].schema if batches else []
        self.description = [_Column(_code(str(c.type))) for c in columns]
        self._rows = [tuple(map(_plain, row.values())) for batch in batches for row in _named_apart(batch)]
        if sql.startswith("COPY"):
            # The answer of databend: file, rows, errors …; of Snowflake: file, status, rows parsed, rows loaded …
            self._rows = [(row[0], "LOADED", row[1], row[1]) for row in self._rows]

    def _count(self, sql: str) -> int | None:
        """How many rows the statement is about to touch."""
        if match := _UPDATE.fullmatch(sql):
            asked = f"SELECT count(*) FROM {match['table']} {match['where'] or ''}"
        elif match := _INSERT.fullmatch(sql):
            asked = f"SELECT count(*) FROM ({match['query']}) AS inserted"
        else:
            return None
        (batch,) = self._answer(lambda: self._connection.session.sql(asked).to_py_arrow())
        return int(batch.column(0)[0].as_py())

    def _run(self, sql: str) -> Any:
        return self._answer(lambda: self._connection.session.sql(sql).collect())

    def _answer(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except RuntimeError as error:
            message = str(error).partition("\n\n   0: <unknown>")[0]
            # Two transactions that change one table: the later one is to be tried again, as after a lock's timeout.
            state = "40001" if "TableVersionMismatched" in message else "42000"
            raise ProgrammingError(msg=message, errno=1, sqlstate=state) from error


def _named_apart(batch: Any) -> list[dict[str, Any]]:
    """Rows, also where two columns have one name."""
    rows: list[dict[str, Any]] = batch.rename_columns([str(i) for i in range(batch.num_columns)]).to_pylist()
    return rows


def _code(arrow_type: str) -> int:
    if arrow_type.startswith("timestamp"):
        return int(FIELD_NAME_TO_ID["TIMESTAMP_TZ"])
    return int(FIELD_NAME_TO_ID["BINARY" if "binary" in arrow_type else "TEXT"])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return int(value)  # as the driver gives numbers without decimals
    return value


def _session(tenant: str) -> Any:
    """A session of the engine, which keeps its state in `.databend` of the folder where it was imported."""
    databend = pytest.importorskip("databend", reason="there is no databend: `make test-long` installs it")
    return databend.SessionContext(tenant=tenant)


@contextmanager
def databend_engine(endpoint: str, client: S3Client, bucket: str, *, folder: Path | None = None) -> Iterator[Databend]:
    """The engine, with its state in a folder; None: one of its own.

    A process can have but one, which keeps its state where it first was: raises RuntimeError for another.
    """
    if _places:
        raise RuntimeError(f"databend runs in this process already, in {_places[0]}")
    with tempfile.TemporaryDirectory(prefix="databend-", ignore_cleanup_errors=True) as own:
        before = Path.cwd()
        _places.append(folder or Path(own))
        os.chdir(_places[0])
        try:
            _session("first")
        finally:
            os.chdir(before)
        yield Databend(bucket, endpoint, client)


__all__ = ["Databend", "databend_engine"]
