"""Fixtures that all tests share: servers, databases and every warehouse; and which tests run on which of them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.loaders import JSONFileLoader, Loader

from tests.databend.engine import Databend, databend_engine
from tests.doubles.redshift import RedshiftDouble, redshift_double
from tests.doubles.redshift.server import prepare_database
from tests.doubles.redshift_data import RedshiftDataDouble, found_by_boto3, redshift_data_double
from tests.doubles.snowflake import SnowflakeDouble, snowflake_double
from tests.live.kinds import Heard, hearing, listed
from tests.live.runs import current_run
from tests.live.services import Service, services
from tests.support.places import memory_folder
from tests.support.postgres import Databases, PostgresServer, as_owner, postgres_server
from tests.support.s3 import MotoS3, moto_server, s3_environment

# No time is to be read or written as one of the place where this runs, so that is far from UTC, for DuckDB, servers and
# commands that tests start, too.
os.environ["TZ"] = "America/St_Johns"
time.tzset()

# Before anybody asks for a temporary folder, and for the processes that tests start, too.
if "TMPDIR" not in os.environ and (folder := memory_folder()):
    os.environ["TMPDIR"] = str(folder)


@pytest.fixture(scope="session", autouse=True)
def service_models_read_once() -> Iterator[None]:
    """Each session of boto3 reads megabytes of JSON anew, a tenth of a second, and tests begin thousands.

    It also looks through the folders of all services.
    """
    listed: dict[tuple[str, ...], list[str]] = {}
    list_services = Loader.list_available_services

    def list_once(loader: Loader, type_name: str) -> list[str]:
        asked = (type_name, *loader.search_paths)
        if asked not in listed:
            listed[asked] = list_services(loader, type_name)
        return listed[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", staticmethod(cache(JSONFileLoader().load_file)))
        patch.setattr(Loader, "list_available_services", list_once)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of this test process."""
    with postgres_server(below=Path(tempfile.gettempdir())) as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Databases:
    """Of that server."""
    return Databases(postgres)


@pytest.fixture
def superuser_url(databases: Databases) -> Iterator[str]:
    """The database of `postgres_url` for a superuser."""
    with databases.lent() as url:
        yield url


@pytest.fixture
def postgres_url(superuser_url: str) -> str:
    """An empty database of its own."""
    return as_owner(superuser_url)


@pytest.fixture(scope="session")
def staging_endpoint() -> Iterator[str]:
    """An S3 server of this test process, for what Redshift and Snowflake stage."""
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def staging(staging_endpoint: str) -> MotoS3:
    """That server, with a client for all tests."""
    with s3_environment(staging_endpoint):
        return MotoS3(staging_endpoint, boto3.session.Session().client("s3"))


@pytest.fixture(scope="session")
def redshift(postgres: PostgresServer) -> Iterator[RedshiftDouble]:
    """The double of Redshift before the server of this test process."""
    with redshift_double(postgres.url) as double:
        yield double


@pytest.fixture
def redshift_double_url(
    redshift: RedshiftDouble, superuser_url: str, postgres_url: str, staging: MotoS3
) -> Iterator[str]:
    """An empty database of its own behind the double, and a staging prefix."""
    prepare_database(superuser_url)
    with s3_environment(staging.endpoint):
        yield redshift.url(postgres_url, staging=f"s3://{staging.create_bucket()}/staging/")


@pytest.fixture(scope="session")
def redshift_data(redshift: RedshiftDouble) -> Iterator[RedshiftDataDouble]:
    """The double of Redshift's Data API before the double of Redshift."""
    with redshift_data_double(redshift.port) as double:
        yield double


@pytest.fixture
def redshift_data_url(redshift_data: RedshiftDataDouble, redshift_double_url: str, postgres_url: str) -> Iterator[str]:
    """The database of `redshift_double_url` through the Data API."""
    with found_by_boto3(redshift_data):
        staging = parse_qs(urlsplit(redshift_double_url).query)["staging"][0]
        yield redshift_data.url(postgres_url, staging=staging)


@pytest.fixture(scope="session")
def snowflake(staging_endpoint: str) -> Iterator[SnowflakeDouble]:
    """A double of Snowflake, of this test process.

    At each connection the driver would ask the networks of three clouds whether it is there, for up to five seconds.
    """
    with pytest.MonkeyPatch.context() as patch, snowflake_double(staging_endpoint) as double:
        patch.setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")
        yield double


@pytest.fixture
def snowflake_double_url(snowflake: SnowflakeDouble) -> Iterator[str]:
    """An empty database of its own."""
    name = snowflake.fresh_database()
    yield snowflake.url(name)
    snowflake.drop_database(name)


@pytest.fixture(scope="session")
def databend(staging: MotoS3) -> Iterator[Databend]:
    """The engine in this test process, in Snowflake's place (tests/databend)."""
    with (
        s3_environment(staging.endpoint),
        databend_engine(staging.endpoint, staging.client, staging.create_bucket()) as engine,
    ):
        yield engine


@pytest.fixture
def databend_url(databend: Databend) -> Iterator[str]:
    """An empty database of its own; Snowflake's driver leads there meanwhile."""
    name = databend.fresh_database()
    with databend.behind_the_driver():
        yield databend.url(name)
    databend.drop_database(name)


# `make test-live` (tests/live) is the run that these tests are part of: then no double is started.
LIVE = current_run()


@pytest.fixture(scope="session")
def live() -> Iterator[Mapping[str, Service]]:
    """The services of a live run, by engine."""
    found = services()
    with ExitStack() as ends:
        for service in found.values():
            ends.callback(service.close)
        yield found


@pytest.fixture
def redshift_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty warehouse: behind the double, or in a live run schemas of its own on the service."""
    yield from _url("redshift", request)


@pytest.fixture
def snowflake_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty warehouse likewise."""
    yield from _url("snowflake", request)


def _url(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    if LIVE is None:
        yield request.getfixturevalue(f"{engine}_double_url")
        return
    with request.getfixturevalue("live")[engine].lent(LIVE) as url:
        yield url


# A double takes several times as long as an engine in the process. What proves the promises runs each time, what is
# beside them with the long tests, and what looks at an engine with words of its own not at all. Each statement costs
# the double of Snowflake a translation, so less of it runs each time. Databend is there for the SQL of the merge alone.
DOUBLES = ("redshift", "redshift-data", "snowflake")
SLOW = (*DOUBLES, "databend")
_CONTRACT = ("warehouses/test_contract",)
_PROMISES = ("merge/test_rules", "properties/test_convergence", "reconcile/test_verdicts")
_OWN = ("merge/test_key_range", "test_housekeeping")
_RAW = ("raw/test_road", "raw/test_same")  # for engines that load and decode raw objects
_KINDS_OF_TARGETS = ("merge/test_deletes", "merge/test_each", "merge/test_history", "reconcile/test_each")
EACH_TIME = {
    "redshift": (*_CONTRACT, *_PROMISES, *_OWN, *_RAW),
    "redshift-data": (),  # tests/warehouses/test_redshift_data.py has what is its own
    "snowflake": (*_CONTRACT, "raw/test_road"),
    "databend": (),
}
# Of a road that many tests go it is one each time there.
ONE_ON_SNOWFLAKE = {"raw/test_road": "test_plain_records_are_decoded"}
LONG = (
    *_PROMISES,
    *_KINDS_OF_TARGETS,
    "properties/test_crashes",
    *("properties/test_deletes", "properties/test_history", "properties/test_signals", "properties/test_two_workers"),
    *("reconcile/test_newer", "reconcile/test_deletes", "reconcile/test_incremental", "reconcile/test_limits"),
    *("reconcile/test_locks", "reconcile/test_probe", "test_explain", "test_forget"),
)
# Where tables change places after the transaction, a rebuild has more ways to be cut short.
_REBUILDS = ("reconcile/test_rebuild", "reconcile/test_rebuild_limits")
# Over the Data API the SQL is that of Redshift, so it is the road that matters: what breaks, waits and is read back.
LONG_OVER_DATA_API = (
    *_CONTRACT,
    *_PROMISES,
    *("properties/test_crashes", "properties/test_signals", "properties/test_two_workers"),
    *("reconcile/test_deletes", "reconcile/test_incremental", "reconcile/test_locks", "reconcile/test_probe"),
    *("reconcile/test_copied", "test_explain", "test_forget"),
)
LONG_ON_DATABEND = (
    *(
        "databend/test_databend",
        "databend/test_raw",
        "merge/test_rules",
        "merge/test_deletes",
        "merge/test_each",
        "merge/test_history",
    ),
    "properties/test_convergence",
)
LONG_ON = {
    "redshift": LONG,
    "redshift-data": LONG_OVER_DATA_API,
    "snowflake": (*LONG, *_REBUILDS, *_RAW),
    "databend": LONG_ON_DATABEND,
}
# There are no indexes; no column becomes a number by ALTER; columns have names in small letters. A test of its own says
# what hangs on a table there, and cuts a rebuild between its steps: tests/warehouses/test_snowflake_rebuild.py.
NOT_ON_SNOWFLAKE = (
    *("test_indexes_comments_and_views_are_kept", "test_a_rebuild_cut_after_each", "by_capitals_alone"),
    *("TYPE integer", "test_keys_that_the_export_lacks", "test_what_is_forced"),
)
LONG_ON_SNOWFLAKE = (
    *("test_an_item_of_many_attributes_lands_whole", "test_a_target_of_very_many_columns_is_compared"),
    *("test_a_process_killed_after_any_kind", "test_a_process_killed_at_random_moments", "two tables"),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if _has_a_place(item) and (LIVE is None or _is_live(item))]


def _is_live(item: pytest.Item) -> bool:
    """Whether a test runs on a service at all; those that need the double are skipped, with the reason."""
    engine = next((e for e in services() if item.get_closest_marker(e) or _is_of_one_engine(item, e)), None)
    if engine is None:
        return False
    for marker in item.iter_markers("double"):
        reason, *engines = marker.args
        if engine in (engines or DOUBLES):
            item.add_marker(pytest.mark.skip(reason=f"needs the double: {reason}"))
    return True


def _is_of_one_engine(item: pytest.Item, engine: str) -> bool:
    fixtures = item.fixturenames if isinstance(item, pytest.Function) else ()
    return _module(item) == f"warehouses/test_{engine}" and f"{engine}_url" in fixtures


def _module(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()


def _has_a_place(item: pytest.Item) -> bool:
    """Whether a test runs on its engine at all; those that take long there are marked so."""
    engine = next((name for name in SLOW if item.get_closest_marker(_mark(name))), None)
    if engine is None:
        return True
    if engine == "snowflake" and any(name in item.name for name in NOT_ON_SNOWFLAKE):
        return False
    if engine == "databend" and any(word in item.name for word in ("reconcile", "repair", "rebuil")):
        return False  # its planner breaks at the comparison of a reconcile, which is no merge
    module = _module(item)
    is_slow = engine == "snowflake" and (
        any(name in item.name for name in LONG_ON_SNOWFLAKE) or ONE_ON_SNOWFLAKE.get(module, "") not in item.name
    )
    if module not in EACH_TIME[engine] or is_slow:
        item.add_marker(pytest.mark.long)
        return module in (*EACH_TIME[engine], *LONG_ON[engine])
    return True


def _mark(engine: str) -> str:
    return engine.replace("-", "_")


ENGINES = ["duckdb", "postgres", *(pytest.param(name, marks=getattr(pytest.mark, _mark(name))) for name in SLOW)]


@pytest.fixture(params=ENGINES)
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty warehouse, on every engine in turn."""
    if request.param == "duckdb":
        return f"duckdb:///{tmp_path}/warehouse.duckdb"
    url: str = request.getfixturevalue(f"{_mark(request.param)}_url")
    return url


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    """How many random cases a property test tries: few in every run, fewer live, many with CDC_MERGE_EXAMPLES."""
    return int(os.environ.get("CDC_MERGE_EXAMPLES", "7" if LIVE is None else "3"))


_HEARD = pytest.StashKey[Mapping[str, Heard]]()


@pytest.fixture(scope="session", autouse=True)
def statements(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the project says to a service is of a kind that docs/live-tests.md lists."""
    with hearing() as heard:
        yield
    request.config.stash[_HEARD] = heard
    unlisted = {engine: sorted(said.kinds - listed()[engine]) for engine, said in heard.items()}
    if any(unlisted.values()):
        pytest.fail(f"docs/live-tests.md lists no such statements: {unlisted}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Live, what the bill is made of."""
    for engine, heard in config.stash.get(_HEARD, {}).items():
        if LIVE and heard.statements:
            terminalreporter.write_line(f"{engine}: {heard.statements:,} statements")
