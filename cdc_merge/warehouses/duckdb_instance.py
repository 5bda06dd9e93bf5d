"""A DuckDB of this process that has a file only while somebody works with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

import duckdb

from cdc_merge.warehouses.dialect import DUCKDB
from cdc_merge.warehouses.duckdb_functions import register_functions

_NOTHING = "_cdc_nothing"
"""What an instance has without a file. DuckDB calls it `memory`, which a user's file may be called as well."""

_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET enable_progress_bar = false",  # it would be drawn on standard output
    "RESET max_vacuum_tasks",  # of the whole instance: see `load` in duckdb.py
)


class DuckDBInstance:
    """The file is attached for the first connection and let go of after the last, so that other processes can have it.

    To begin an instance takes some 15 ms, to attach a file to one that is there takes 1: the smallest batch needs the
    file six times.
    """

    def __init__(self, path: Path, catalog: str | None, config: Mapping[str, str | bool]) -> None:
        """`catalog`: None: DuckDB names it after the file."""
        self._attach = f"ATTACH {DUCKDB.literal(str(path))}" + (f" AS {DUCKDB.quote(catalog)}" if catalog else "")
        self._config = dict(config)
        self._lock = threading.Lock()
        self._kept: duckdb.DuckDBPyConnection | None = None
        self._catalog = ""
        self._users = 0

    @classmethod
    def of(cls, path: Path, catalog: str | None, config: Mapping[str, str | bool]) -> DuckDBInstance:
        """The one of this file and these settings that the process has, as long as anybody refers to it."""
        key = (path, catalog, tuple(sorted(config.items())))
        with _lock:
            instance = _instances.get(key)
            if instance is None:
                instance = _instances[key] = cls(path, catalog, config)
            return instance

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection to the file, to be let go of. Raises duckdb.Error where the file cannot be had."""
        with self._lock:
            try:
                connection = self._connected()
            except duckdb.Error:
                self._let_go_of_file()
                raise
            self._users += 1
            return connection

    def _connected(self) -> duckdb.DuckDBPyConnection:
        if self._kept is None:
            self._kept = _begun(self._config)
        if not self._users:
            self._kept.execute(self._attach)
            self._catalog = self._catalog or _files(self._kept)[0]
        connection = self._kept.cursor()
        try:
            for sql in (f"USE {self._catalog}", *_SETTINGS):
                connection.execute(sql)
        except duckdb.Error:
            connection.close()
            raise
        return connection

    def let_go(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Close the connection; after the last one another process can have the file."""
        connection.close()
        with self._lock:
            self._users -= 1
            self._let_go_of_file()

    def _let_go_of_file(self) -> None:
        if self._kept is None or self._users:
            return
        try:
            for name in _files(self._kept):
                self._kept.execute(f"DETACH {name}")
        except duckdb.Error:
            # It is broken, or could not write all to the file: that is in the log beside it. The next begins anew.
            with suppress(duckdb.Error):
                self._kept.close()
            self._kept = None


def _begun(config: dict[str, str | bool]) -> duckdb.DuckDBPyConnection:
    kept = duckdb.connect(":memory:", config=config)
    for sql in (f"ATTACH ':memory:' AS {_NOTHING}", f"USE {_NOTHING}", "DETACH memory"):
        kept.execute(sql)
    register_functions(kept)
    return kept


def _files(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The files that are attached, by their quoted names."""
    found = connection.execute("SELECT database_name FROM duckdb_databases() WHERE path IS NOT NULL")
    return [DUCKDB.quote(name) for (name,) in found.fetchall()]


_lock = threading.Lock()
_instances: WeakValueDictionary[object, DuckDBInstance] = WeakValueDictionary()

__all__ = ["DuckDBInstance"]
