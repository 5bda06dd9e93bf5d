"""The Postgres of the benches: as safe as one that is used, with memory of its own, and described for the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

from bench.figures import Options
from tests.support.postgres import PostgresServer, postgres_server

# Commits wait for the disk, as they do for users. Checkpoints come when a load is through, for both sides.
SETTINGS = {"fsync": "on", "shared_buffers": "512MB", "max_wal_size": "4GB"}
_TOLD = (*SETTINGS, "synchronous_commit", "full_page_writes", "work_mem")


@contextmanager
def durable_postgres(options: Options) -> Iterator[PostgresServer]:
    """A server for the time of the block; the run is told what it is. A given one keeps its own settings."""
    with postgres_server(SETTINGS) as server:
        options.meet(description_of(server.url))
        yield server


def description_of(url: str) -> str:
    """The server's version, and the settings that matter for speed."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version')")
        ((version,),) = cursor.fetchall()
        told = []
        for name in _TOLD:
            cursor.execute("SELECT current_setting(%s)", [name])
            told += [f"{name}={value}" for (value,) in cursor.fetchall()]
    return f"Postgres {version.split()[0]} ({', '.join(told)})"
