"""Which engines there are: the schemes of their URLs, their facts, and where their drivers are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from cdc_merge.errors import UsageError, how_to_install
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES, Dialect
from cdc_merge.warehouses.redshift_data_url import read_data_url
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_options import read_options
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE
from cdc_merge.warehouses.snowflake_url import Address


@dataclass(frozen=True)
class Engine:
    """`module` and `warehouse`: its class. `extra`: of the package, with its driver. `example`: of a URL.

    `check`: raises UsageError for a URL that lacks what the engine needs beside the server; needs no driver.
    `is_embedded`: it works in this process, and so in its memory.
    """

    schemes: tuple[str, ...]
    dialect: Dialect
    module: str
    warehouse: str
    example: str
    extra: str | None = None
    check: Callable[[str], object] = lambda _url: None
    is_embedded: bool = False

    def load(self) -> Any:
        """The class of its warehouses. Raises UsageError if the driver is not installed."""
        try:
            return getattr(import_module(self.module), self.warehouse)
        except ImportError as error:
            raise UsageError(
                f"the driver for {self.schemes[0]}:// is not installed", hint=how_to_install(self.extra or "all")
            ) from error


ENGINES = (
    Engine(
        schemes=("duckdb",),
        dialect=DUCKDB,
        module="cdc_merge.warehouses.duckdb",
        warehouse="DuckDBWarehouse",
        example="duckdb:///warehouse.duckdb (relative to this file)",
        is_embedded=True,
    ),
    Engine(
        schemes=("postgresql", "postgres"),
        dialect=POSTGRES,
        module="cdc_merge.warehouses.postgres",
        warehouse="PostgresWarehouse",
        example="postgresql://user@host/database",
        extra="postgres",
    ),
    Engine(
        schemes=("snowflake",),
        dialect=SNOWFLAKE,
        module="cdc_merge.warehouses.snowflake",
        warehouse="SnowflakeWarehouse",
        example="snowflake://user@account/database/schema?warehouse=…",
        extra="snowflake",
        check=Address.of,
    ),
    Engine(
        schemes=("redshift",),
        dialect=REDSHIFT,
        module="cdc_merge.warehouses.redshift",
        warehouse="RedshiftWarehouse",
        example="redshift://user@host:5439/database?staging=s3://bucket/prefix/&iam_role=arn",
        extra="redshift",
        check=read_options,
    ),
    Engine(
        schemes=("redshift+data",),
        dialect=REDSHIFT,
        module="cdc_merge.warehouses.redshift_data",
        warehouse="RedshiftDataWarehouse",
        example="redshift+data:///database?cluster=name&db_user=user&staging=s3://bucket/prefix/&iam_role=arn",
        check=read_data_url,
    ),
)


def _by_scheme() -> Iterator[tuple[str, Engine]]:
    for engine in ENGINES:
        for scheme in engine.schemes:
            yield scheme, engine


BY_SCHEME: Mapping[str, Engine] = dict(_by_scheme())

BY_NAME: Mapping[str, Dialect] = {engine.dialect.name: engine.dialect for engine in ENGINES}
"""Dialects, by their own names."""


def examples() -> str:
    """How URLs of warehouses look, in words."""
    *others, last = (engine.example for engine in ENGINES)
    return f"{', '.join(others)} or {last}"


__all__ = ["BY_NAME", "BY_SCHEME", "ENGINES", "Engine", "examples"]
