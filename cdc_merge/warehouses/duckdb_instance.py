"""A DuckDB of this process that has a file only while somebody works with it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet, WeakValueDictionary

import duckdb

from cdc_merge.warehouses.dialect import DUCKDB
from cdc_merge.warehouses.duckdb_functions import register_functions

_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET enable_progress_bar = false",  # it would be drawn on standard output
    "RESET max_vacuum_tasks",  # of the whole instance: see `load` in duckdb.py
)


class DuckDBInstance:
    """The file is attached for the first connection and let go of after the last, so that other processes can have it.

    To begin an instance takes some 15 ms, to attach a file to one that is there takes 1: the smallest batch needs the
    file six times. It has threads, so a process that is forked has to `exec`, or to end without closing it.
    """

    def __init__(self, file: Path, catalog: str | None, config: Mapping[str, str | bool]) -> None:
        """`file`: without links, as DuckDB names the catalog after the file itself; `catalog`: another name for it."""
        named = "" if catalog is None else f" AS {DUCKDB.quote(catalog)}"
        self._attach = f"ATTACH {DUCKDB.literal(str(file))}{named}"
        self._config = dict(config)
        self._catalog = ""
        self._lock = threading.RLock()  # the garbage collector may let go of a connection while another is made
        self._kept: duckdb.DuckDBPyConnection | None = None
        self._users: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
        self._is_attached = False
        self._has_worked = False

    @classmethod
    def of(cls, file: Path, catalog: str | None, config: Mapping[str, str | bool]) -> DuckDBInstance:
        """The one of this file and these settings that the process has, as long as anybody refers to it."""
        key = (file, catalog, tuple(sorted(config.items())))
        with _lock:
            instance = _instances.get(key)
            if instance is None:
                instance = _instances[key] = cls(file, catalog, config)
            return instance

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection to the file, to be let go of. Raises duckdb.Error where the file cannot be had."""
        with self._lock:
            try:
                connection = self._connected()
                self._users.add(connection)
            except BaseException:
                self._let_go_of_file()
                raise
            return connection

    def _connected(self) -> duckdb.DuckDBPyConnection:
        self._let_go_of_file()  # of which somebody was cut short
        if self._kept is None:
            self._kept = _begun(self._config)
        if not self._users:
            self._is_attached = True
            self._kept.execute(self._attach)
            self._catalog = self._catalog or _files(self._kept)[0]
        connection = self._kept.cursor()
        try:
            for sql in (f"USE {self._catalog}.main", *_SETTINGS):
                connection.execute(sql)
        except BaseException:
            connection.close()
            raise
        return connection

    def let_go(self, connection: duckdb.DuckDBPyConnection, *, has_worked: bool = False) -> None:
        """Close the connection; after the last one another process can have the file.

        `has_worked`: it may have taken much memory, which is given back then.
        """
        try:
            connection.close()
        finally:
            with self._lock:
                self._has_worked |= has_worked
                self._users.discard(connection)
                self._let_go_of_file()

    def _let_go_of_file(self) -> None:
        if self._kept is None or self._users or not self._is_attached:
            return
        try:
            for name in _files(self._kept):  # and what was staged, where letting go of that failed
                self._kept.execute(f"DETACH {name}")
            self._is_attached = False
            if self._has_worked:
                _end_threads(self._kept)
                self._has_worked = False
        except duckdb.Error:
            # It is broken, or could not write all to the file: that is in the log beside it. The next begins anew.
            with suppress(duckdb.Error):
                self._kept.close()
            self._kept = None


def _begun(config: dict[str, str | bool]) -> duckdb.DuckDBPyConnection:
    kept = duckdb.connect(":memory:", config=config)
    # DuckDB calls what it has without a file `memory`, which a user's file may be called as well.
    nothing = f"_cdc_{uuid.uuid4().hex}"
    for sql in (f"ATTACH ':memory:' AS {nothing}", f"USE {nothing}", "DETACH memory"):
        kept.execute(sql)
    register_functions(kept)
    return kept


def _end_threads(connection: duckdb.DuckDBPyConnection) -> None:
    """They keep what they have freed for what they may need next: 500 MB after a merge with `memory: 3GB`."""
    ((threads,),) = connection.execute("SELECT current_setting('threads')").fetchall()
    for number in (1, threads):
        connection.execute(f"SET GLOBAL threads = {number}")


def _files(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The files that are attached, by their quoted names."""
    found = connection.execute("SELECT database_name FROM duckdb_databases() WHERE path IS NOT NULL")
    return [DUCKDB.quote(name) for (name,) in found.fetchall()]


_lock = threading.Lock()
_instances: WeakValueDictionary[object, DuckDBInstance] = WeakValueDictionary()

__all__ = ["DuckDBInstance"]
