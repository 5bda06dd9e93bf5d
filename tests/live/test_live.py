"""`make test-live`, on doubles that it takes for services of someone else: what it runs, and that nothing is left."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import pytest

from cdc_merge.warehouses import Statement, open_warehouse
from cdc_merge.warehouses.redshift_options import read_options
from tests.live.discreet import Discreet, secrets_of
from tests.live.runs import VARIABLE, age_of, new_run, run_of
from tests.live.services import VARIABLES, Service, services
from tests.support.working import PATIENCE, wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
PASSWORD = "hunter2%40live"
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Account:
    """Both doubles, as a user names them in the environment."""

    environment: Mapping[str, str] = field(repr=False)
    services: Mapping[str, Service]

    def run(self, module: str, *words: str, exits: int = 0) -> str:
        """`python -m MODULE`; returns all that it says."""
        with self.started(module, *words) as process:
            said, _ = process.communicate(timeout=500)
        assert process.returncode == exits, said
        assert "hunter2" not in said
        return said

    @contextmanager
    def started(self, module: str, *words: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def make(self, *schemas: str) -> None:
        for service in self.services.values():
            with closing(open_warehouse(service.url)) as warehouse, warehouse.session() as session:
                for name in schemas:
                    session.run([Statement("make", f"CREATE SCHEMA {warehouse.dialect.quote(name)}")])

    def stage(self, name: str) -> None:
        options = read_options(self.services["redshift"].url)
        client().put_object(Bucket=options.bucket, Key=f"{options.prefix}{name}", Body=b"x")

    def made_by_runs(self) -> set[str]:
        return {name for name in self.schemas() if run_of(name)}

    def schemas(self) -> set[str]:
        """Those of runs, and those that look like it, of both services."""
        found = set[str]()
        for service in self.services.values():
            with closing(open_warehouse(service.url)) as warehouse, warehouse.session() as session:
                found |= {warehouse.dialect.from_catalog(name) for (name,) in session.query(service.schemas)}
        return {name for name in found if "cdc_merge_live" in name}

    def staged(self) -> set[str]:
        options = read_options(self.services["redshift"].url)
        found = client().list_objects_v2(Bucket=options.bucket, Prefix=options.prefix)
        return {o["Key"].removeprefix(options.prefix) for o in found.get("Contents", [])}


def client() -> S3Client:
    return boto3.session.Session().client("s3")


@pytest.fixture
def account(redshift_double_url: str, snowflake_double_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """A Redshift whose user has a password, and a Snowflake, each with a database that is there already."""
    parts = urlsplit(redshift_double_url)
    user = parts.username or "postgres"
    urls = {
        "redshift": parts._replace(netloc=f"{user}:{PASSWORD}@127.0.0.1:{parts.port}").geturl(),
        "snowflake": snowflake_double_url.replace(":secret@", f":{PASSWORD}@"),
    }
    for engine, variable in VARIABLES.items():
        monkeypatch.setenv(variable, urls[engine])
    environment = {**os.environ, "CDC_MERGE_EXAMPLES": "1"}
    environment.pop(VARIABLE, None)
    found = services()
    yield Account({**environment, "PYTHONPATH": os.pathsep.join(sys.path)}, found)
    for service in found.values():
        service.close()


RUN, CLEAN = "tests.live", "tests.live.clean"


@pytest.mark.parametrize("module", [RUN, CLEAN])
def test_without_a_service_it_says_what_to_set_and_fails(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    said = Account({**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, {}).run(module, exits=2)
    assert all(variable in said for variable in VARIABLES.values())
    assert "docs/live-tests.md" in said


SOME = (
    "tests/warehouses/test_contract.py::test_many_batches_arrive_whole_whatever_their_size",
    "tests/warehouses/test_contract.py::test_a_staging_table_hides_a_users_table_of_its_name_and_leaves_it_alone",
    "tests/warehouses/test_redshift.py::test_nothing_stays_on_s3_when_a_load_fails",
    "tests/warehouses/test_snowflake.py::test_a_schema_that_is_made_does_not_become_that_of_the_session",
    "tests/merge/test_rules.py::test_a_late_modify_loses_to_a_newer_remove",
    "tests/reconcile/test_verdicts.py::test_what_was_done_is_in_the_books",
    "tests/properties/test_deletes.py",
    "tests/properties/test_crashes.py::test_a_process_killed_in_mid_merge_leaves_nothing_and_the_next_one_goes_on_at_once",
)

SLOW = "tests/properties/test_convergence.py"


@pytest.mark.long
def test_a_run_tests_both_services_and_leaves_nothing_of_it_nor_of_old_ones(account: Account) -> None:
    old, young = (new_run(NOW - timedelta(hours=hours)) for hours in (25, 1))
    theirs = {f"{young}_0a1b2c_analytics", "cdc_merge_live_of_ours", f"x{old}"}
    account.make(f"{old}_0a1b2c_analytics", f"{old}_0a1b2c", *theirs)
    files = {f"{young}_0a1b2c/f/manifest", "cdc_merge_live_of_ours/manifest", "manifest"}
    for name in (f"{old}_0a1b2c/f/00000.parquet", *files):
        account.stage(name)

    said = account.run(RUN, *SOME, "-v", "-rs")

    ran = re.findall(r"::(test_\w+)(?:\[\S*(redshift|snowflake)\S*\])? PASSED", said)
    assert {engine for _, engine in ran} == {"redshift", "snowflake", ""}  # "": of one engine alone
    assert {name for name, _ in ran} >= {place.partition("::")[2] for place in SOME if "::" in place}
    assert "needs the double: it ends a dead worker's transaction" in said
    assert f"redshift: dropped schema {old}_0a1b2c_analytics" in said
    assert account.schemas() == theirs
    assert account.staged() == files


@pytest.mark.long
def test_what_is_left_of_a_run_that_was_killed_is_dropped_by_hand(account: Account) -> None:
    with account.started(RUN, SLOW) as process:
        wait_until(lambda: len(account.made_by_runs()) == 3)  # the test is under way
        process.kill()
    left = account.made_by_runs()
    assert left
    account.stage(f"{next(iter(left))}/f/manifest")

    assert account.run(CLEAN) == ""  # it could still be at work
    assert account.made_by_runs() == left
    said = account.run(CLEAN, "--all")
    assert all(name in said for name in left)
    assert (account.made_by_runs(), account.staged()) == (set(), set())


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_drops_what_it_made(account: Account, number: signal.Signals) -> None:
    with account.started(RUN, SLOW) as process:
        wait_until(lambda: len(account.made_by_runs()) == 3)  # the test is under way
        process.send_signal(number)
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode and "KeyboardInterrupt" in said, said
    assert account.made_by_runs() == set()


@pytest.mark.long
def test_a_test_that_fails_shows_no_secret(account: Account) -> None:
    url = account.services["redshift"].url.replace("role/reads-staging", "role/a,b")  # COPY knows no role "b"
    failing = replace(account, environment={**account.environment, VARIABLES["redshift"]: url})
    place = "tests/warehouses/test_redshift.py::test_a_few_rows_and_many_arrive_the_same"
    said = failing.run(RUN, place, "--showlocals", exits=1)
    assert re.search("redshift_url += 'redshift://[a-z]+:\\*\\*\\*@", said)
    assert account.made_by_runs() == set()


def test_what_is_secret_is_masked_however_it_is_spelled() -> None:
    url = "snowflake://me:p%40ss@a/d?private_key_path=/k.p8&private_key_passphrase=a%26b&token=t0k&warehouse=w"
    assert secrets_of(url) == {"p%40ss", "p@ss", "a%26b", "a&b", "t0k"}
    said = io.StringIO()
    stream = Discreet(said, secrets_of(url))
    stream.writelines([f"{url}\n", "p@ss", " w"])
    assert said.getvalue() == url.replace("p%40ss", "***").replace("a%26b", "***").replace("t0k", "***") + "\n*** w"
    assert Discreet(said, set()).write("x") == 1


def test_a_name_tells_the_run_that_made_it() -> None:
    run = new_run(NOW)
    assert new_run(NOW) != run
    for name in (run, f"{run}_0a1b2c", f"{run.upper()}_S1"):
        assert run_of(name) == run
    for name in (f"x{run}", f"{run}0", "cdc_merge_live", "analytics"):
        assert run_of(name) is None
    assert timedelta(hours=5) <= age_of(run, now=NOW + timedelta(hours=5)) < timedelta(hours=5, seconds=1)
