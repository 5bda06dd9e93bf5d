"""What the golden files of the SQL are made of."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cdc_merge.model import Column, ColumnType, Condition, Kind, Target
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses import Dialect, Statement
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES
from cdc_merge.warehouses.foresight import in_order
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE

GOLDEN = Path(__file__).parent.parent / "golden"

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)

KEY = ("PK", "SK")


CUSTOMERS = Target(
    "customers",
    where=(Condition(("Type",), any_of=("Customer",)),),
    columns=(
        Column("username", ("Username",), ColumnType(Kind.TEXT)),
        Column("spent", ("TotalSpent",), ColumnType(Kind.NUMERIC, 12, 2)),
        Column("addresses", ("Addresses",), ColumnType(Kind.JSON)),
        Column("city", ("Addresses", "Home", "City"), ColumnType(Kind.TEXT)),
    ),
)

ORDERS = Target(
    "or\"ders'",
    where=(Condition(("Type",), any_of=("Order",)),),
    columns=(
        Column("select", ("select",), ColumnType(Kind.INTEGER)),
        Column("created_at", ("CreatedAt",), ColumnType(Kind.TIMESTAMP)),
        Column("paid", ("Paid",), ColumnType(Kind.BOOLEAN)),
        Column("token", ("Token",), ColumnType(Kind.BINARY)),
    ),
)


DIALECTS = [DUCKDB, POSTGRES, REDSHIFT, SNOWFLAKE]


def as_said(dialect: Dialect, statements: list[Statement]) -> list[Statement]:
    """Where DDL commits, what goes before the transaction stands first."""
    return in_order(statements) if dialect.ddl_commits else statements


def books(dialect: Dialect, *, stored: bool) -> list[SchemaBook]:
    fresh = [open_book(t, KEY, dialect, None) for t in (CUSTOMERS, ORDERS)]
    if not stored:
        return fresh
    return [open_book(b.target, KEY, dialect, b.schema) for b in fresh]
