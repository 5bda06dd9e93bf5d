"""Fixtures that all tests share: a Postgres server, databases, and both warehouses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.databend.engine import Databend, databend_engine
from tests.doubles.redshift import RedshiftDouble, redshift_double
from tests.doubles.redshift.server import prepare_database
from tests.doubles.snowflake import SnowflakeDouble, snowflake_double
from tests.support.postgres import PostgresServer, drop_database, fresh_database, postgres_server
from tests.support.s3 import MotoS3, moto_server, s3_environment


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
def staging_endpoint() -> Iterator[str]:
    """An S3 server of this test process, for what Redshift stages."""
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def redshift(postgres: PostgresServer) -> Iterator[RedshiftDouble]:
    """The double of Redshift before the server of this test process."""
    with redshift_double(postgres.url) as double:
        yield double


@pytest.fixture
def redshift_url(redshift: RedshiftDouble, postgres_url: str, staging_endpoint: str) -> Iterator[str]:
    """An empty database of its own behind the double, and a staging prefix that must be empty in the end."""
    prepare_database(postgres_url)
    with s3_environment(staging_endpoint):
        bucket = MotoS3(staging_endpoint, boto3.session.Session().client("s3")).create_bucket()
        yield redshift.url(postgres_url, staging=f"s3://{bucket}/staging/")


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


@pytest.fixture(scope="session")
def databend(staging_endpoint: str) -> Iterator[Databend]:
    """The engine in this test process, in Snowflake's place (tests/databend)."""
    with s3_environment(staging_endpoint):
        s3 = MotoS3(staging_endpoint, boto3.session.Session().client("s3"))
        with databend_engine(s3.endpoint, s3.client, s3.create_bucket()) as engine:
            yield engine


@pytest.fixture
def databend_url(databend: Databend) -> Iterator[str]:
    """An empty database of its own; Snowflake's driver leads there meanwhile."""
    name = databend.fresh_database()
    with databend.behind_the_driver():
        yield databend.url(name)
    databend.drop_database(name)


# A double takes several times as long as an engine in the process. What proves the promises runs each time, what is
# beside them with the long tests, and what looks at an engine with words of its own not at all. Each statement costs
# the double of Snowflake a translation, so less of it runs each time. Databend is there for the SQL of the merge alone.
SLOW = ("redshift", "snowflake", "databend")
_CONTRACT = ("warehouses/test_contract",)
_PROMISES = ("merge/test_rules", "properties/test_convergence", "reconcile/test_verdicts")
_OWN = ("merge/test_key_range", "test_housekeeping")
_KINDS_OF_TARGETS = ("merge/test_deletes", "merge/test_each", "merge/test_history", "reconcile/test_each")
EACH_TIME = {"redshift": (*_CONTRACT, *_PROMISES, *_OWN), "snowflake": _CONTRACT, "databend": ()}
_LONG_ON_DOUBLES = (
    *_PROMISES,
    *_KINDS_OF_TARGETS,
    "properties/test_crashes",
    *("properties/test_deletes", "properties/test_history", "properties/test_signals", "properties/test_two_workers"),
    *("reconcile/test_newer", "reconcile/test_deletes", "reconcile/test_incremental", "reconcile/test_limits"),
    *("reconcile/test_locks", "reconcile/test_probe", "test_explain", "test_forget"),
)
LONG = {
    "redshift": _LONG_ON_DOUBLES,
    "snowflake": _LONG_ON_DOUBLES,
    "databend": (
        *("databend/test_databend", "merge/test_rules", "merge/test_deletes", "merge/test_each", "merge/test_history"),
        "properties/test_convergence",
    ),
}
LONG_ON_SNOWFLAKE = (
    *("test_an_item_of_many_attributes_lands_whole", "test_a_target_of_very_many_columns_is_compared"),
    *("test_a_process_killed_after_any_kind", "test_a_process_killed_at_random_moments", "two tables"),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if _has_a_place(item)]


def _has_a_place(item: pytest.Item) -> bool:
    """Whether a test runs on its engine at all; those that take long there are marked so."""
    engine = next(filter(item.get_closest_marker, SLOW), None)
    if engine is None:
        return True
    if engine != "redshift" and item.get_closest_marker("rebuild"):
        return False  # tests/warehouses/test_snowflake.py: it is refused
    if engine == "databend" and any(word in item.name for word in ("reconcile", "repair")):
        return False  # its planner breaks at the comparison of a reconcile, which is no merge
    module = str(item.path.relative_to(Path(__file__).parent).with_suffix(""))
    is_slow = engine == "snowflake" and any(name in item.name for name in LONG_ON_SNOWFLAKE)
    if module not in EACH_TIME[engine] or is_slow:
        item.add_marker(pytest.mark.long)
        return module in (*EACH_TIME[engine], *LONG[engine])
    return True


ENGINES = ["duckdb", "postgres", *(pytest.param(name, marks=getattr(pytest.mark, name)) for name in SLOW)]


@pytest.fixture(params=ENGINES)
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty warehouse, on every engine in turn."""
    if request.param == "duckdb":
        return f"duckdb:///{tmp_path}/warehouse.duckdb"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    """How many random cases a property test tries: few in every run, many with CDC_MERGE_EXAMPLES."""
    return int(os.environ.get("CDC_MERGE_EXAMPLES", "12"))
