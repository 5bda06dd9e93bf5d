"""What the rest of the project may ask of a warehouse: a few verbs, and a record of facts (`dialect`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import pyarrow as pa

from cdc_merge.errors import UsageError
from cdc_merge.model import DEFAULT_MEMORY
from cdc_merge.warehouses.dialect import Dialect
from cdc_merge.warehouses.engines import BY_SCHEME, examples
from cdc_merge.warehouses.tidying import Tidying

Row = tuple[Any, ...]

LEDGER_LABEL = "record objects"
"""The statement that writes the ledger: a duplicate key in it means that another transaction merged the object."""


@dataclass(frozen=True)
class Statement:
    """One labelled statement of a plan.

    `expect_rows`: how many rows it must touch, or what tells it then; any other number rolls the transaction back and
    raises what `mismatch` makes (a lost lease, for example).
    `inspect`: for a query: is handed its rows inside the transaction, and may raise to roll it back.
    `lock`: what goes before it in the same transaction and takes a lock, where the engine must be told.
    `only_if`: what tells, when its turn has come, whether it is needed; where not, it is passed over: nobody is told of
    it, and no rows are expected.
    """

    label: str
    sql: str
    expect_rows: int | Callable[[], int] | None = None
    mismatch: Callable[[], Exception] | None = None
    inspect: Callable[[list[Row]], None] | None = None
    lock: str | None = None
    only_if: Callable[[], bool] | None = None

    @property
    def title(self) -> str:
        """What a plan prints above it."""
        return f"[{self.label}]" + (" only where it turns out to be needed" if self.only_if else "")


Observer = Callable[[str, float], None]
"""Told (label, seconds) after each statement, inside the transaction; may raise to cut the transaction."""


class Session(Protocol):
    """One open connection. Staging tables are temporary and go with it."""

    def load(self, table: str, reader: pa.RecordBatchReader) -> int:
        """Create the temporary table `table` with the reader's columns and fill it by the engine's bulk path.

        Returns the rows loaded. Runs before the transaction of `run`, on the same connection.
        """

    def stage(self, path: Path, tables: Mapping[str, str]) -> None:
        """Make tables of a DuckDB file (`{staging name: its name there}`) staging tables of this session.

        As `load`, by the engine's fastest way; the file must not change while the session is open.
        """

    def run(self, statements: Iterable[Statement], *, foreseen: Sequence[Statement] = ()) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown, 0 where not needed).

        `statements` may be a generator, which is asked for the next when the one before has run and been inspected;
        what it raises rolls the transaction back. `foreseen`: those of a generator's that make tables, for engines
        where DDL would end the transaction (foresight.py); they may differ in their literals.

        Raises WarehouseUnavailable (nothing committed as far as known: look at the ledger), or WarehouseRefused.
        """

    def query(self, sql: str) -> list[Row]:
        """Rows of one reading statement, in a transaction of its own. Times come back aware, in UTC."""


@runtime_checkable
class CopiesDynamoDB(Protocol):
    """A session of an engine that reads a DynamoDB table by itself (`copies_dynamodb` in dialect.py)."""

    def copy_dynamodb(self, into: str, table: str, attributes: Sequence[str], *, region: str, percent: int) -> int:
        """Create the temporary table `into` with a text column of each attribute's name, and fill it from the table.

        `percent`: of the table's read capacity, at most. A text is as it is, a number as the engine writes it; an
        attribute that is not there, or is an empty text, is NULL. Returns the rows.

        Raises WarehouseRefused where an item has such an attribute of another type, or as a text that is too long.
        """


class Warehouse(Protocol):
    """An engine that holds targets and metadata tables."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def name(self) -> str:
        """The URL without its secrets, for messages."""

    @property
    def tidying(self) -> Tidying | None:
        """What `run` does for its tables now and then; None: nothing, for the engine sees to them itself."""

    def is_there(self) -> bool:
        """Whether there is anything yet: an embedded engine makes its file when it first opens it."""

    def session(self) -> AbstractContextManager[Session]:
        """A connection for one piece of work; an embedded engine lets go of its file at the end."""

    def interrupt(self) -> None:
        """Break off what sessions run now, from any thread; they raise WarehouseUnavailable."""

    def close(self) -> None: ...


def open_warehouse(url: str, *, observer: Observer | None = None, memory: int = DEFAULT_MEMORY) -> Warehouse:
    """The warehouse of a URL: `duckdb:///relative`, `duckdb:////absolute`, `postgresql://…` and so on (engines.py).

    `memory`: bytes that this process is meant to take, of which an embedded engine takes its share.
    Raises UsageError for a scheme that is not known or whose driver is not installed.
    """
    engine = BY_SCHEME.get(urlsplit(url).scheme)
    if engine is None:
        raise UsageError(f"no warehouse is known by the scheme {urlsplit(url).scheme!r}", hint=f"use {examples()}")
    share = {"memory": memory} if engine.is_embedded else {}
    warehouse: Warehouse = engine.load()(url, observer=observer, **share)
    return warehouse


__all__ = [
    "LEDGER_LABEL",
    "CopiesDynamoDB",
    "Dialect",
    "Iterator",
    "Observer",
    "Row",
    "Session",
    "Statement",
    "Tidying",
    "Warehouse",
    "open_warehouse",
]
