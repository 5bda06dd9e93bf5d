"""One load by a peer: where it goes, what goes in, and rows by SQL for tools that read no DynamoDB JSON."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from bench.by_sql import NAMES, newest
from bench.feed import COLUMNS
from bench.peers.installs import last_words

TABLE = "items"
SCHEMA = "peer"
_PATIENCE = 3600.0  # seconds for a load

# Nobody is told of our runs: dlt, ingestr, sling, and whoever heeds the common name.
_SILENT = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "INGESTR_DISABLE_TELEMETRY": "true",
    "DISABLE_TELEMETRY": "true",
    "SLING_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
}


class PeerFailed(Exception):
    """A peer was run and did not do it; says what it said."""


@dataclass(frozen=True)
class Job:
    """A load for a peer. `url` is the warehouse's, as ours has it; `environment` the peer's own."""

    environment: Path
    url: str
    folder: Path
    paths: Sequence[str]

    @property
    def is_duckdb(self) -> bool:
        return self.url.startswith("duckdb:")

    @property
    def file(self) -> str:
        """Of a DuckDB warehouse."""
        return self.url.removeprefix("duckdb:///")

    def program(self, name: str) -> str:
        return str(self.environment / "bin" / name)

    def run(self, *command: str, **variables: str) -> None:
        """Run a program to its end, in the job's folder, which is its home. Raises PeerFailed."""
        environment = {**os.environ, **_SILENT, "HOME": str(self.folder), **variables}
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=_PATIENCE
            )
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"took more than {_PATIENCE:.0f} s") from None
        if done.returncode:
            said = last_words(done.stderr if "rror" in done.stderr else done.stdout)
            raise PeerFailed(said.replace(str(self.folder), "~"))

    def prepare(self, form: str, *, columns: str | None = None, order: str | None = None) -> Path:
        """Write the newest row of each key to a file, by one query of DuckDB; `columns`: what is selected of it."""
        path = self.folder / f"rows.{form}"
        options = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json"}
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET preserve_insertion_order = {order is not None}")
            query = prepared(self.paths, columns) + (f" ORDER BY {order}" if order else "")
            if form == "arrow":
                _write_arrow(connection.sql(query), path)
            else:
                connection.execute(f"COPY ({query}) TO '{path}' ({options[form]})")
        return path


def prepared(paths: Sequence[str], columns: str | None = None) -> str:
    """SELECT of the newest row of each key, with `removed`."""
    return f"SELECT {columns or ', '.join([*NAMES, 'removed'])} FROM ({newest(paths)})"


def _write_arrow(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    reader = relation.to_arrow_reader(100_000)
    # JSON is text to others: an extension type is not known everywhere.
    schema = pa.schema([_plain(field) for field in reader.schema])
    with pa.ipc.new_file(str(path), schema) as sink:
        for batch in reader:
            columns = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in batch.columns]
            sink.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _plain(field: pa.Field) -> pa.Field:
    return pa.field(field.name, field.type.storage_type) if isinstance(field.type, pa.BaseExtensionType) else field


def kinds() -> dict[str, str]:
    """The kind of each column: text, integer, numeric, timestamp or json."""
    return {column.name: str(column.type.kind) for column in COLUMNS if column.type}
