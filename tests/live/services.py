"""The services that a live run may use: each lends a test schemas of its own, and drops them again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cdc_merge.errors import WarehouseRefused
from cdc_merge.warehouses import Statement, Warehouse, open_warehouse
from cdc_merge.warehouses.redshift_options import read_options
from tests.live.runs import run_of
from tests.support.names import Names, lend

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Service:
    """`url`: of the user's. `at_own_place`: the URL of a test, whose files and temporary tables are at `name`."""

    engine: str
    url: str = field(repr=False)
    at_own_place: Callable[[str, str], str]
    schemas: str  # the names of all schemas, as SQL

    @cached_property
    def _warehouse(self) -> Warehouse:
        return open_warehouse(self.url)

    @contextmanager
    def lent(self, run: str) -> Iterator[str]:
        """The URL of a test's own, for the time of the block; its schemas begin with the name of the run."""
        name = f"{run}_{secrets.token_hex(3)}"
        self._run(f"CREATE SCHEMA {self._warehouse.dialect.quote(name)}")
        url = self.at_own_place(self.url, name)
        lend(url, Names(f"{name}_analytics", f"{name}_cdc_merge", own=name, prefix=f"{name}_"))
        try:
            yield url
        finally:
            self.drop(lambda found: found.startswith(name))

    def drop(self, is_it: Callable[[str], bool]) -> list[str]:
        """Drop the schemas of runs, of which `is_it` tells by name which; those of people are never looked at."""
        dialect = self._warehouse.dialect
        with self._warehouse.session() as session:
            named = sorted(dialect.from_catalog(name) for (name,) in session.query(self.schemas))
        dropped = [name for name in named if run_of(name) and is_it(name)]
        for name in dropped:
            self._run(f"DROP SCHEMA IF EXISTS {dialect.quote(name)} CASCADE")
        return dropped

    def empty(self, is_it: Callable[[str], bool]) -> list[str]:
        """Remove what runs have staged on S3; gives the folders. Of Snowflake's stages, which are temporary, none."""
        if self.engine != "redshift":
            return []
        options = read_options(self.url)
        client: S3Client = boto3.session.Session().client("s3", region_name=options.region)
        folders = set()
        try:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=options.bucket, Prefix=options.prefix)
            for key in [listed["Key"] for page in pages for listed in page.get("Contents", [])]:
                folder = key.removeprefix(options.prefix).partition("/")[0]
                if run_of(folder) and is_it(folder):
                    client.delete_object(Bucket=options.bucket, Key=key)
                    folders.add(folder)
        except (BotoCoreError, ClientError) as error:
            raise WarehouseRefused(
                f"what the tests staged cannot be removed: {error}",
                where=f"s3://{options.bucket}/{options.prefix}",
                hint="may you list the prefix and delete there? see docs/live-tests.md",
            ) from error
        return sorted(folders)

    def close(self) -> None:
        self._warehouse.close()

    def _run(self, sql: str) -> None:
        with self._warehouse.session() as session:
            session.run([Statement("live", sql)])


def _on_redshift(url: str, name: str) -> str:
    """Files are staged in a folder of the run's."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    options["staging"] = f"{options['staging'].rstrip('/')}/{name}/"
    return parts._replace(query=urlencode(options, safe=":/,")).geturl()


def _on_snowflake(url: str, name: str) -> str:
    """Temporary tables and stages are in the test's own schema, as in docs/snowflake.md."""
    parts = urlsplit(url)
    database = parts.path.strip("/").partition("/")[0]
    return parts._replace(path=f"/{database}/{name.upper()}").geturl()


_KINDS: Mapping[str, tuple[Callable[[str, str], str], str]] = {
    "redshift": (_on_redshift, "SELECT nspname FROM pg_namespace"),
    "snowflake": (_on_snowflake, "SELECT schema_name FROM information_schema.schemata"),
}
VARIABLES: Mapping[str, str] = {engine: f"CDC_MERGE_LIVE_{engine.upper()}" for engine in _KINDS}

NOTHING_SET = f"""\
make test-live runs the contract tests on services of your own, and none is named. Set one of these, or both:

  {VARIABLES["redshift"]}='redshift://user:password@host:5439/database?staging=s3://bucket/prefix/&iam_role=arn:...'
  {VARIABLES["snowflake"]}='snowflake://user@account/database/schema?warehouse=...&role=...&private_key_path=...'

What they need, what it costs and how it cleans up: docs/live-tests.md"""


def services() -> dict[str, Service]:
    """Those whose URL is in the environment, by engine."""
    urls = {engine: os.environ.get(variable, "") for engine, variable in VARIABLES.items()}
    return {engine: Service(engine, url, *_KINDS[engine]) for engine, url in urls.items() if url}


__all__ = ["NOTHING_SET", "VARIABLES", "Service", "services"]
