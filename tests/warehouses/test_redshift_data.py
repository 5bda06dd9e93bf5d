"""What is the Data API's own: URL, sessions, requests that fail, what is given up. On the double (tests/doubles)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pytest

from cdc_merge.checking import Finding, check
from cdc_merge.errors import CdcMergeError, UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.layout import layout_of
from cdc_merge.model import Source, Target
from cdc_merge.warehouses import Statement, redshift_data_api, redshift_data_link
from cdc_merge.warehouses.redshift_data import DATA_LIMITS, RedshiftDataWarehouse
from cdc_merge.warehouses.redshift_data_errors import Denied, SessionGone, SqlFailed, Unanswered, asks_for
from cdc_merge.warehouses.redshift_data_proof import Proof
from cdc_merge.warehouses.redshift_data_url import read_data_url
from cdc_merge.warehouses.redshift_data_values import VARBYTE_FORMS, read_records
from tests.doubles.redshift_data import RedshiftDataDouble
from tests.doubles.redshift_data.requests import Refused
from tests.doubles.redshift_data.service import HASTE
from tests.properties.story import FIRST, LATER, assert_merged_once, contents, put, shop
from tests.properties.test_signals import command
from tests.support.harness import Harness
from tests.support.postgres import OWNER, PostgresServer
from tests.support.records import stream_record
from tests.support.working import after_the_first

_OF_TRANSACTIONS = Proof.of_transactions
ROLE = "arn:aws:iam::123456789012:role/reads"
REST = f"staging=s3://b/p/&iam_role={ROLE}"
T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def warehouse(redshift_data_url: str) -> Iterator[RedshiftDataWarehouse]:
    with closing(RedshiftDataWarehouse(redshift_data_url)) as warehouse:
        yield warehouse


@pytest.fixture
def service(redshift_data: RedshiftDataDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedshiftDataDouble]:
    """The double, whose faults are gone in the end. It is told sooner than the service that a session is gone."""
    redshift_data.requests.clear()
    pauses = tuple(pause / 4 for pause in redshift_data_api._SESSION_PAUSES_SECONDS)
    monkeypatch.setattr(redshift_data_api, "_SESSION_PAUSES_SECONDS", pauses)
    yield redshift_data
    redshift_data.before = redshift_data.after = lambda _action, _request: None


def sent(service: RedshiftDataDouble, action: str = "ExecuteStatement") -> list[Mapping[str, Any]]:
    return [request for name, request in service.requests if name == action]


# --- the URL -------------------------------------------------------------------------------------------------


def test_a_url_says_all_that_is_needed() -> None:
    url = read_data_url(f"redshift+data:///dev?cluster=my-cluster&db_user=loader&region=eu-west-1&timeout=60&{REST}")
    assert url.target == {"ClusterIdentifier": "my-cluster", "DbUser": "loader", "Database": "dev"}
    assert (url.options.bucket, url.options.iam_role, url.options.region) == ("b", ROLE, "eu-west-1")
    assert (url.timeout, url.name) == (60, "redshift+data:///dev?cluster=my-cluster")
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:loader-AbCdEf"
    serverless = read_data_url(f"redshift+data:///dev?workgroup=wg-1&secret={secret}&{REST}")
    assert serverless.target == {"WorkgroupName": "wg-1", "SecretArn": secret, "Database": "dev"}
    assert secret not in serverless.name


@pytest.mark.parametrize(
    ("url", "word"),
    [
        (f"redshift+data://me:hunter2@host/dev?cluster=c&{REST}", "host"),
        (f"redshift+data:///?cluster=c&{REST}", "database"),
        (f"redshift+data:///dev?{REST}", "cluster or a workgroup"),
        (f"redshift+data:///dev?cluster=c&workgroup=www&{REST}", "not both"),
        (f"redshift+data:///dev?cluster=c.abc.eu-west-1.redshift.amazonaws.com&{REST}", "identifier of a cluster"),
        (f"redshift+data:///dev?cluster=c&db_user=u&secret=s&{REST}", "both"),
        (f"redshift+data:///dev?workgroup=www&db_user=u&{REST}", "no db_user"),
        (f"redshift+data:///dev?cluster=c&password=hunter2&{REST}", "unknown option: password"),
        (f"redshift+data:///dev?cluster=c&timeout=2h&{REST}", "timeout"),
        (f"redshift+data:///dev?cluster=c&timeout=0&{REST}", "timeout"),
        ("redshift+data:///dev?cluster=c", "stage"),
        ("redshift+data:///dev?cluster=c&staging=s3://b/p/", "IAM role"),
    ],
)
def test_a_url_that_lacks_something_is_a_usage_error_without_the_password(url: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_data_url(url)
    assert word in str(caught.value) and caught.value.hint and "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("wrong", "right"), [("cluster=double", "cluster=other"), (f"db_user={OWNER}", "db_user=x")])
def test_a_cluster_or_user_that_is_not_there_is_told_with_a_cure(
    redshift_data_url: str, wrong: str, right: str
) -> None:
    url = redshift_data_url.replace(wrong, right)
    assert url != redshift_data_url
    with (
        closing(RedshiftDataWarehouse(url)) as warehouse,
        pytest.raises(WarehouseRefused) as caught,
        warehouse.session(),
    ):
        pass
    assert caught.value.where == warehouse.name and "region" in (caught.value.hint or "")


# --- sessions ------------------------------------------------------------------------------------------------


def test_a_transaction_is_of_one_session_and_its_locks_last_a_minute(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble
) -> None:
    with warehouse.session() as session:
        session.run([Statement("one", "CREATE TABLE public.t (a BIGINT)")])
        service.requests.clear()
        session.run([Statement(str(n), f"INSERT INTO public.t VALUES ({n})") for n in range(45)])
    said = sent(service)
    assert [said[0]["Sql"], said[-1]["Sql"]] == ["BEGIN", "COMMIT"] and len(said) == 47
    assert len({request["SessionId"] for request in said}) == 1
    assert [request.get("SessionKeepAliveSeconds") for request in said] == [60, *[None] * 45, 3600]


def test_each_request_has_a_token_of_its_own_and_no_parameters(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble
) -> None:
    with warehouse.session() as session:
        session.load("staged", pa.table({"t": ["", None, ":name", "?"]}).to_reader())
        assert session.query("SELECT t FROM staged ORDER BY t") == [("",), (":name",), ("?",), (None,)]
    said = [*sent(service), *sent(service, "BatchExecuteStatement")]
    assert len({request["ClientToken"] for request in said}) == len(said)
    assert not any("Parameters" in request for request in said)


def test_a_few_rows_are_staged_by_one_request(warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble) -> None:
    with warehouse.session() as session:
        service.requests.clear()
        session.load("staged", pa.table({"n": [1, 2]}).to_reader())
    (batch,) = sent(service, "BatchExecuteStatement")
    assert [sql.split()[0] for sql in batch["Sqls"]] == ["DROP", "CREATE", "INSERT"]


def test_rows_that_are_few_but_too_long_for_a_statement_go_through_s3(warehouse: RedshiftDataWarehouse) -> None:
    few = pa.table({f"c{n}": pa.array([0.5] * 100) for n in range(60)})
    with warehouse.session() as session:
        session.load("staged", few.to_reader())
        assert session.query("SELECT count(*), sum(c59) FROM staged") == [(100, 50.0)]


def test_a_statement_that_is_too_long_is_refused_with_its_label(warehouse: RedshiftDataWarehouse) -> None:
    with warehouse.session() as session, pytest.raises(WarehouseRefused, match="200,000 bytes") as caught:
        session.run([Statement("insert", "SELECT '" + "x" * 200_000 + "'")])
    assert caught.value.where == "insert" and "redshift://" in (caught.value.hint or "")


def test_a_session_is_used_again_until_it_has_ended(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble
) -> None:
    for _ in range(2):
        with warehouse.session() as session:
            assert session.query("SELECT 1") == [(1,)]
    assert service.sessions.count and len(sent(service, "BatchExecuteStatement")) == 1
    service.sessions.end_all()
    wait_until_gone(service)
    with warehouse.session() as session:
        assert session.query("SELECT 1") == [(1,)]
    assert len(sent(service, "BatchExecuteStatement")) == 2


def wait_until_gone(service: RedshiftDataDouble) -> None:
    deadline = time.monotonic() + 10
    while service.sessions.count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_session_with_staging_tables_is_let_go_and_so_are_all_at_the_end(
    redshift_data_url: str, service: RedshiftDataDouble
) -> None:
    with closing(RedshiftDataWarehouse(redshift_data_url)) as warehouse:
        with warehouse.session() as session:
            session.load("staged", pa.table({"n": [1]}).to_reader())
        with warehouse.session() as session:
            session.query("SELECT 1")
    wait_until_gone(service)


def test_a_session_that_ends_in_mid_transaction_leaves_nothing_and_is_tried_again(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble
) -> None:
    def end_it() -> Iterator[Statement]:
        yield Statement("insert", "INSERT INTO public.t VALUES (1)")
        service.sessions.end_all()
        wait_until_gone(service)
        yield Statement("another", "INSERT INTO public.t VALUES (2)")

    with warehouse.session() as session:
        session.run([Statement("make", "CREATE TABLE public.t (a BIGINT)")])
        with pytest.raises(WarehouseUnavailable, match="not available") as caught:
            session.run(end_it())
        assert caught.value.where == "another"
    with warehouse.session() as session:
        assert session.query("SELECT count(*) FROM public.t") == [(0,)]


def test_tables_are_vacuumed_outside_of_a_transaction(redshift_data_url: str, service: RedshiftDataDouble) -> None:
    with closing(RedshiftDataWarehouse(redshift_data_url + "&vacuum=01:00-05:00")) as warehouse:
        with warehouse.session() as session:
            session.run([Statement("make", "CREATE TABLE public.t (a BIGINT)")])
        assert warehouse.tidying is not None
        service.requests.clear()
        warehouse.tidying.tidy("public", "t")
    assert [request["Sql"].split()[0] for request in sent(service)][:2] == ["VACUUM", "ANALYZE"]


def test_a_session_whose_connection_was_ended_is_used_no_more(
    warehouse: RedshiftDataWarehouse, postgres_url: str
) -> None:
    with warehouse.session() as session:
        ((number,),) = session.query("SELECT pg_backend_pid()")
        with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend({number}, 5000)")
        with pytest.raises(WarehouseUnavailable):
            session.query("SELECT 1")
    with warehouse.session() as session:
        assert session.query("SELECT 1") == [(1,)]


# --- what nobody promises ------------------------------------------------------------------------------------


class Forgetful:
    """A service in which each statement is a transaction of its own."""

    def __init__(
        self, *, left: int = 1, counts: tuple[int, int] = (1, 0), text: str = ":n ? %s $1", varbyte: str = "00ff"
    ) -> None:
        self.left, self.counts, self.text, self.varbyte = left, list(counts), text, varbyte

    def begin(self) -> None: ...
    def roll_back(self) -> None: ...

    def affected(self, sql: str) -> int:
        return self.counts.pop(0) if sql.startswith("UPDATE") else -1

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return [(self.left, self.text)]

    def fetch_as_it_comes(self, sql: str) -> list[tuple[Any, ...]]:
        return [(self.varbyte,)]


def test_a_service_that_commits_each_statement_gets_no_merge() -> None:
    with pytest.raises(Denied, match="does not last"):
        Proof().of_transactions(Forgetful())


@pytest.mark.parametrize("counts", [(1, 1), (0, 0), (-1, -1)])
def test_a_service_that_counts_no_rows_gets_no_merge(counts: tuple[int, int]) -> None:
    with pytest.raises(Denied, match="counted as"):
        Proof().of_transactions(Forgetful(left=0, counts=counts))


def test_a_service_that_takes_texts_for_parameters_gets_no_merge() -> None:
    with pytest.raises(Denied, match="came back as"):
        Proof().of_transactions(Forgetful(left=0, text="NULL ? %s $1"))


def test_what_was_proved_once_is_not_asked_again(redshift_data_url: str, service: RedshiftDataDouble) -> None:
    with closing(RedshiftDataWarehouse(redshift_data_url)) as warehouse:
        for _ in range(2):
            with warehouse.session() as session:
                session.run([Statement("nothing", "SELECT 1")])
    assert [request["Sql"] for request in sent(service)].count("ROLLBACK") == 1


@pytest.mark.parametrize("text", ["00ff", "AP8="])
def test_binary_is_read_in_the_form_in_which_it_comes(text: str) -> None:
    read = Proof().of_varbyte(Forgetful(varbyte=text))
    columns = [{"typeName": "varbyte"}]
    records = [[{"stringValue": text}], [{"isNull": True}], [{"blobValue": b"a"}]]
    assert read_records(columns, records, varbyte=lambda: read) == [(b"\x00\xff",), (None,), (b"a",)]  # type: ignore[arg-type]


def test_binary_in_a_form_that_is_not_known_is_no_guess() -> None:
    assert len(VARBYTE_FORMS) == 2
    with pytest.raises(Denied, match="came as"):
        Proof().of_varbyte(Forgetful(varbyte="\\x00ff"))


# --- requests that fail --------------------------------------------------------------------------------------


def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    lost = []

    def lose(action: str, request: Mapping[str, Any]) -> None:
        if request.get("Sql", "").startswith("INSERT") and len(lost) < 2:
            lost.append(request)
            raise ConnectionError

    with warehouse.session() as session:
        session.run([Statement("make", "CREATE TABLE public.t (a BIGINT)")])
        service.after = lose
        assert session.run([Statement("insert", "INSERT INTO public.t VALUES (1)")]) == [1]
        assert session.query("SELECT count(*) FROM public.t") == [(1,)]
    assert len(lost) == 2 and lost[0]["ClientToken"] == lost[1]["ClientToken"]


def test_where_the_answer_is_lost_and_the_session_is_busy_with_the_statement_it_runs_once(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    lost = []

    def lose(action: str, request: Mapping[str, Any]) -> None:
        if request.get("Sql", "").startswith("INSERT") and not lost:
            lost.append(request)
            raise ConnectionError

    with warehouse.session() as session:
        session.run([Statement("make", "CREATE TABLE public.t (a BIGINT)")])
        service.after = lose
        # The answer is lost after a second, and the pauses are another 0.8: it is tried again while this still runs.
        slow = "INSERT INTO public.t SELECT 1 FROM (SELECT pg_sleep(1.4)) AS s"
        assert session.run([Statement("insert", slow)]) == [1]
        assert session.query("SELECT count(*) FROM public.t") == [(1,)]


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "ActiveStatementsExceededException"]
)
def test_a_service_that_is_busy_is_tried_again_later(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(action: str, request: Mapping[str, Any]) -> None:
        raise Refused(code, "not now", 500 if code.startswith("Internal") else 400)

    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with warehouse.session() as session:
        service.before = refuse
        with pytest.raises(WarehouseUnavailable, match="not now"):
            session.query("SELECT 1")


def test_a_role_that_may_not_is_told_what_it_needs(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble
) -> None:
    def deny(action: str, request: Mapping[str, Any]) -> None:
        raise Refused("AccessDeniedException", "not authorized to perform: redshift-data:ExecuteStatement")

    service.before = deny
    with pytest.raises(WarehouseRefused, match="not authorized") as caught, warehouse.session():
        pass
    assert "Permissions" in (caught.value.hint or "")


def test_where_no_request_may_wait_it_is_asked_now_and_then(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(action: str, request: Mapping[str, Any]) -> None:
        if action == "DescribeStatement" and "WaitTimeSeconds" in request:
            raise Refused("ActiveWaitingRequestsExceededException", "too many wait")

    monkeypatch.setattr(redshift_data_api, "_LONGEST_PAUSE_SECONDS", 0.1)
    service.before = refuse
    with warehouse.session() as session:
        session.query("SELECT pg_sleep(1.5)")
    assert [r for r in sent(service, "DescribeStatement") if "WaitTimeSeconds" not in r]


def test_rows_come_page_by_page(warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble) -> None:
    many = pa.table({"n": range(350)})
    with warehouse.session() as session:
        session.load("staged", many.to_reader())
        assert session.query("SELECT n FROM staged ORDER BY n") == [(n,) for n in range(350)]
    assert len(sent(service, "GetStatementResult")) >= 4


def test_a_row_that_is_too_long_to_be_given_is_refused_with_a_cure(warehouse: RedshiftDataWarehouse) -> None:
    with warehouse.session() as session:
        session.load("staged", pa.table({"t": ["x" * 40_000]}).to_reader())
        with pytest.raises(WarehouseRefused) as caught:
            session.query("SELECT t, t AS again FROM staged")
    assert "64 KB" in (caught.value.hint or "")


# --- statements that are given up ----------------------------------------------------------------------------


def test_interrupt_breaks_off_a_running_statement(
    warehouse: RedshiftDataWarehouse, service: RedshiftDataDouble
) -> None:
    with warehouse.session() as session:
        interrupter = threading.Timer(0.3, warehouse.interrupt)
        interrupter.start()
        began = time.monotonic()
        with pytest.raises(WarehouseUnavailable):
            session.query("SELECT pg_sleep(60)")
        assert time.monotonic() - began < 5
        interrupter.join()
    assert sent(service, "CancelStatement")


def test_a_statement_that_runs_too_long_is_cancelled(redshift_data_url: str, service: RedshiftDataDouble) -> None:
    with closing(RedshiftDataWarehouse(redshift_data_url + "&timeout=1")) as warehouse:
        with warehouse.session() as session, pytest.raises(WarehouseUnavailable, match="more than 1 second") as caught:
            session.query("SELECT pg_sleep(60)")
        assert "timeout" in (caught.value.hint or "") and sent(service, "CancelStatement")


def test_what_is_given_up_in_mid_transaction_lets_go_of_its_locks_at_once(
    redshift_data_url: str, service: RedshiftDataDouble
) -> None:
    with closing(RedshiftDataWarehouse(redshift_data_url + "&timeout=1")) as warehouse:
        with warehouse.session() as session:
            session.run([Statement("make", "CREATE TABLE public.t (a BIGINT)")])
            slow = [Statement("lock", "LOCK TABLE public.t"), Statement("wait", "SELECT pg_sleep(60)")]
            with pytest.raises(WarehouseUnavailable):
                session.run(slow)
        with warehouse.session() as session:
            began = time.monotonic()
            session.run([Statement("lock", "LOCK TABLE public.t")])
            assert time.monotonic() - began < redshift_data_link.OPEN_SECONDS / HASTE


@pytest.mark.long
def test_a_signal_while_a_statement_hangs_ends_the_command_and_gives_back_the_lease(
    redshift_data_url: str, postgres_url: str, tmp_path: Path
) -> None:
    harness = after_the_first(redshift_data_url, tmp_path)
    before = contents(harness)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor, command(harness) as run:
        cursor.execute("LOCK TABLE analytics.customers IN ACCESS EXCLUSIVE MODE")
        while not harness.query(waiting):
            assert run.process.poll() is None
        run.stop(signal.SIGTERM)
        other.rollback()
        assert contents(harness) == before
        assert harness.query("SELECT count(*) FROM cdc_merge.leases") == [(0,)]
        harness.run()
    assert_merged_once(harness, FIRST + LATER)


# --- a merge -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reaches", [True, False], ids=["committed", "not committed"])
def test_a_commit_whose_answer_is_lost_for_good_merges_once(
    redshift_data_url: str,
    service: RedshiftDataDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reaches: bool,
) -> None:
    harness = after_the_first(redshift_data_url, tmp_path)
    token, is_merge = "", False

    def lose(action: str, request: Mapping[str, Any]) -> None:
        nonlocal token, is_merge
        is_merge = is_merge or 'INSERT INTO "cdc_merge"."batches"' in request.get("Sql", "")
        if request.get("Sql") == "COMMIT" and is_merge:
            token = token or request["ClientToken"]
            if request["ClientToken"] == token:
                raise ConnectionError

    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    setattr(service, "after" if reaches else "before", lose)
    counts = harness.run().counts
    assert token and (counts.objects, counts.records) == (3, 9)
    assert_merged_once(harness, FIRST + LATER)


def test_a_server_that_restarts_in_mid_merge_is_tried_again(
    redshift_data_url: str, postgres: PostgresServer, service: RedshiftDataDouble, tmp_path: Path
) -> None:
    harness = after_the_first(redshift_data_url, tmp_path)
    has_struck = False

    def strike(action: str, request: Mapping[str, Any]) -> None:
        nonlocal has_struck
        if not has_struck and 'INSERT INTO "analytics"."orders"' in request.get("Sql", ""):
            has_struck = True
            postgres.crash()
            postgres.restart()

    service.before = strike
    assert harness.run().counts.records == 9 and has_struck
    assert_merged_once(harness, FIRST + LATER)


def test_a_merge_lands_whole_and_is_seen_by_the_other_road(
    redshift_url: str, redshift_data_url: str, tmp_path: Path
) -> None:
    harness = shop(redshift_data_url, tmp_path)
    put(harness, FIRST)
    harness.run()
    before = contents(harness)
    harness.url = redshift_url
    assert contents(harness) == before
    put(harness, LATER)
    harness.run()
    assert_merged_once(harness, FIRST + LATER)


def test_an_item_of_every_kind_of_value_is_read_back_exactly(redshift_data_url: str, tmp_path: Path) -> None:
    harness = Harness(redshift_data_url, Source("s", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    item = {"t": "x", "n": Decimal("12345678901234567.5"), "b": b"\x00\xff", "f": True, "m": {"a": [1, None]}}
    harness.put_records([stream_record({"PK": "a"}, item, sequence=1, at=T0)])
    assert harness.run().counts.applied == 1
    (landed,) = harness.tables()["items"].values()
    assert {name: landed.item[name] for name in "tnbf"} == {name: item[name] for name in "tnbf"}
    assert landed.changed_at == T0


# --- words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: 1023 DETAIL: Serializable isolation violation on table - 1", WarehouseUnavailable),
        ("ERROR: could not serialize access due to concurrent update", WarehouseUnavailable),
        ("ERROR: deadlock detected", WarehouseUnavailable),
        ("ERROR: Query (12) cancelled on user's request", WarehouseUnavailable),
        ("ERROR: terminating connection due to administrator command", WarehouseUnavailable),
        ('ERROR: duplicate key value violates unique constraint "pg_namespace_nspname_index"', WarehouseUnavailable),
        ("the statement was canceled", WarehouseUnavailable),
        ("ERROR: current transaction is aborted, commands ignored until end of transaction block", WarehouseRefused),
        ('ERROR: relation "t" does not exist\n  Position: 15;', WarehouseRefused),
        ("ERROR: permission denied for relation t", WarehouseRefused),
        ("FATAL: password authentication failed for user", WarehouseRefused),
    ],
)
def test_what_the_engine_says_in_words_is_told_apart(said: str, kind: type[CdcMergeError]) -> None:
    assert type(asks_for(SqlFailed(said), "fence")) is kind


@pytest.mark.parametrize("error", [SessionGone("x"), Unanswered("x")])
def test_what_may_pass_is_tried_again(error: SessionGone | Unanswered) -> None:
    assert isinstance(asks_for(error, "fence"), WarehouseUnavailable)


def test_an_error_names_tables_and_never_values() -> None:
    shown = asks_for(SqlFailed('ERROR: relation "orders" does not exist\n  Detail: tom'), "x")
    assert shown.message == 'relation "orders" does not exist' and shown.hint
    assert asks_for(SqlFailed("ERROR: invalid input 'tom' for \"tom\""), "x").message == "invalid input …"


def test_check_proves_what_a_run_relies_on_and_tells_what_the_data_api_cannot(
    redshift_data_url: str, service: RedshiftDataDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = shop(redshift_data_url, tmp_path)

    def found() -> list[Finding]:
        with closing(harness.open()) as warehouse:
            layout = layout_of(harness.settings, warehouse)
            return check(harness.settings, warehouse, layout, config=Path("cdc-merge.yaml"))

    findings = found()
    assert not any(finding.is_problem for finding in findings)
    assert sum("over the Data API" in finding.message for finding in findings) == len(DATA_LIMITS)
    assert "ROLLBACK" in [request["Sql"] for request in sent(service)]
    monkeypatch.setattr("cdc_merge.warehouses.redshift_data_proof.Proof.of_transactions", refuse_proof)
    (problem,) = [finding for finding in found() if finding.is_problem]
    assert "does not last" in problem.message and "redshift://" in (problem.cure or "")


def refuse_proof(_proof: Proof, _session: object) -> None:
    _OF_TRANSACTIONS(Proof(), Forgetful())
