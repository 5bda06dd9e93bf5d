"""A double of Snowflake, for tests: fakesnow behind HTTP, with what the service refuses and fakesnow does not.

fakesnow (https://github.com/tekumara/fakesnow) translates Snowflake's SQL to DuckDB's and speaks the protocol of the
real connector. Where it is more lenient than the service, a product could pass here and fail there, so this package
adds, each in one place and each with a test in tests/doubles/test_snowflake.py:

* refusals.py   what the service's grammar, types and functions do not have; keys that it does not enforce
* locks.py      UPDATE, DELETE and MERGE lock a table until the transaction ends; others wait, or time out
* belongings.py privileges, comments, clustering keys and policies go where their table goes, and no further
* strict.py     DDL commits, also CREATE TEMPORARY TABLE AS; MERGE fails where it is ambiguous; SWAP WITH
* values.py     NUMBER holds 38 digits exactly or fails; numbers beyond that become double in VARIANT
* documents.py  parts, kinds, keys and texts of VARIANT; functions that give NULL for what they cannot read
* loading.py    COPY INTO from a stage, also one on S3: Parquet or JSON, with its list of files and load history

It remains a double. What it cannot do as the service does: a statement sees what was committed when the transaction
first read anything, not when the statement began; an error ends the transaction; locks are of whole tables, never of
micro-partitions; a temporary table is seen from every schema. It takes no quoted names in lower case, as its engine
would not tell them from upper case.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snowflake.connector

_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class SnowflakeDouble:
    """A running double, on a port of this machine."""

    port: int

    def url(self, database: str, schema: str = "PUBLIC", *, user: str = "tester") -> str:
        """As a user would write it, but for the place of the service."""
        where = f"host=127.0.0.1&port={self.port}&protocol=http"
        return f"snowflake://{user}:secret@double/{database}/{schema}?warehouse=wh&role=loader&{where}"

    def connect(self, **options: Any) -> snowflake.connector.SnowflakeConnection:
        """A connection of the real connector."""
        return snowflake.connector.connect(
            user="tester",
            password="secret",
            account="double",
            host="127.0.0.1",
            port=self.port,
            protocol="http",
            **options,
        )

    def fresh_database(self) -> str:
        """An empty database with a schema PUBLIC, as CREATE DATABASE makes it."""
        name = f"DB_{uuid.uuid4().hex[:12].upper()}"
        with closing(self.connect()) as connection:
            connection.cursor().execute(f"CREATE DATABASE {name}")
            connection.cursor().execute(f"CREATE SCHEMA {name}.PUBLIC")
        return name

    def drop_database(self, name: str) -> None:
        with closing(self.connect()) as connection:
            connection.cursor().execute(f"DROP DATABASE {name}")


@contextmanager
def snowflake_double(s3: str) -> Iterator[SnowflakeDouble]:
    """A double in a process of its own, which ends with the block. `s3`: the endpoint that external stages are at."""
    environment = {**os.environ, "TZ": "UTC", "AWS_ENDPOINT_URL": s3}
    environment |= {"AWS_ACCESS_KEY_ID": "snowflake", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.doubles.snowflake.server"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line.startswith(b"port "):
                raise RuntimeError("the double of Snowflake did not start")
            yield SnowflakeDouble(int(line.split()[1]))
        finally:
            process.terminate()
            process.wait(10)


__all__ = ["SnowflakeDouble", "snowflake_double"]
