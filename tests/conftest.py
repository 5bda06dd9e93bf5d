"""Fixtures that all tests share: a Postgres server, databases, and both warehouses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.snowflake import SnowflakeDouble, snowflake_double
from tests.support.postgres import PostgresServer, drop_database, fresh_database, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of this test process."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database of its own."""
    url = fresh_database(postgres)
    yield url
    if not postgres.is_running():  # a test of crashes that failed half-way
        postgres.restart()
    drop_database(postgres, url)


@pytest.fixture(scope="session")
def snowflake() -> Iterator[SnowflakeDouble]:
    """A double of Snowflake, of this test process."""
    with snowflake_double() as double:
        yield double


@pytest.fixture
def snowflake_url(snowflake: SnowflakeDouble) -> Iterator[str]:
    """An empty database of its own."""
    name = snowflake.fresh_database()
    yield snowflake.url(name)
    snowflake.drop_database(name)


@pytest.fixture(params=["duckdb", "postgres", "snowflake"])
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty warehouse, on every engine in turn."""
    if request.param == "duckdb":
        return f"duckdb:///{tmp_path}/warehouse.duckdb"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


# What of Snowflake runs in every `make test`: a statement takes the double a twentieth of a second, so the rest of the
# tests that all engines share is left to `make test-long`.
SNOWFLAKE_DAILY = ("tests/warehouses/test_contract.py",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of an engine whose double is slow are long ones."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        is_slow = callspec is not None and callspec.params.get("warehouse_url") == "snowflake"
        if is_slow and not item.nodeid.startswith(SNOWFLAKE_DAILY):
            item.add_marker(pytest.mark.long)


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    """How many random cases a property test tries: few in every run, many with CDC_MERGE_EXAMPLES."""
    return int(os.environ.get("CDC_MERGE_EXAMPLES", "12"))
