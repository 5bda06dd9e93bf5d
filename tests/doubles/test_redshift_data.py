"""The double of the Data API refuses what the service refuses, and keeps transactions, sessions and tokens apart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.doubles.redshift_data import RedshiftDataDouble
from tests.doubles.redshift_data.requests import MAX_STATEMENT_BYTES, MAX_STATEMENTS
from tests.support.postgres import OWNER


@pytest.fixture
def client(redshift_data_url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    return boto3.session.Session().client("redshift-data", region_name="us-east-1", config=config)


@pytest.fixture
def place(redshift_data_url: str) -> dict[str, str]:
    database = urlsplit(redshift_data_url).path[1:]
    return {"ClusterIdentifier": "double", "Database": database, "DbUser": OWNER}


@pytest.fixture
def session(client: Any, place: dict[str, str]) -> Iterator[str]:
    yield done(client, client.execute_statement(Sql="SELECT 1", SessionKeepAliveSeconds=600, **place))["SessionId"]


def done(client: Any, reply: dict[str, Any]) -> dict[str, Any]:
    """What became of a statement."""
    while True:
        told: dict[str, Any] = client.describe_statement(Id=reply["Id"], WaitTimeSeconds=1)
        if told["Status"] in ("FINISHED", "FAILED", "ABORTED"):
            return told


def say(client: Any, session: str, sql: str, **more: Any) -> dict[str, Any]:
    """Run a statement to its end."""
    return done(client, once_free(client, Sql=sql, SessionId=session, **more))


def once_free(client: Any, **statement: Any) -> dict[str, Any]:
    """A session is free a moment after its statement has ended."""
    while True:
        try:
            reply: dict[str, Any] = client.execute_statement(**statement)
            return reply
        except ClientError as error:
            if "busy" not in str(error):
                raise
            time.sleep(0.02)


def refused(request: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        request(**arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"Sql": "SELECT 1; SELECT 2"}, "multi-statement"),
        ({"Sql": " -- nothing\n"}, "empty"),
        ({"Sql": "SELECT '" + "x" * MAX_STATEMENT_BYTES + "'"}, "bytes"),
        ({"Sql": "SELECT :a", "Parameters": [{"name": "a", "value": ""}]}, "no value"),
        ({"Sql": "SELECT :a", "Parameters": [{"name": "a", "value": None}]}, "no value"),
        ({"Sql": "SELECT 1", "SessionKeepAliveSeconds": 86_401}, "SessionKeepAliveSeconds"),
        ({"Sql": "SELECT 1", "WaitTimeSeconds": 31}, "WaitTimeSeconds"),
        ({"Sql": "SELECT 1", "ClientToken": "x" * 65}, "ClientToken"),
        ({"Sql": "SELECT 1", "WorkgroupName": "www"}, "ClusterIdentifier or a WorkgroupName"),
        ({"Sql": "SELECT 1", "SecretArn": "s"}, "without a secret"),
        ({"Sql": "SELECT 1", "ClusterIdentifier": "other"}, "doesn't exist"),
        ({"Sql": "SELECT 1", "SessionId": "00000000-0000-0000-0000-000000000000"}, "no ClusterIdentifier"),
    ],
)
def test_a_request_that_the_service_would_not_take_is_refused(
    client: Any, place: dict[str, str], wrong: dict[str, Any], word: str
) -> None:
    assert word in refused(client.execute_statement, **{**place, **wrong})


def test_a_batch_has_no_more_than_forty_statements_and_is_whole_or_not_there(
    client: Any, place: dict[str, str], session: str
) -> None:
    too_many = ["SELECT 1"] * (MAX_STATEMENTS + 1)
    assert "40" in refused(client.batch_execute_statement, Sqls=too_many, **place)
    sqls = ["CREATE TABLE public.t (a BIGINT)", "INSERT INTO public.nothing VALUES (1)", "SELECT 1"]
    told = done(client, client.batch_execute_statement(Sqls=sqls, **place))
    assert told["Status"] == "FAILED" and [s["Status"] for s in told["SubStatements"]] == [
        "FINISHED",
        "FAILED",
        "ABORTED",
    ]
    assert "does not exist" in say(client, session, "SELECT * FROM public.t")["Error"]


def test_a_transaction_spans_statements_of_a_session_and_ends_with_it(client: Any, session: str) -> None:
    assert say(client, session, "CREATE TABLE public.t (a BIGINT)")["Status"] == "FINISHED"
    say(client, session, "BEGIN")
    assert say(client, session, "INSERT INTO public.t VALUES (1)")["ResultRows"] == 1
    assert "aborted" not in say(client, session, "SELECT nothing")["Error"]
    assert "current transaction is aborted" in say(client, session, "SELECT 1")["Error"]
    say(client, session, "ROLLBACK")
    say(client, session, "BEGIN")
    while "busy" in (told := refused(client.batch_execute_statement, Sqls=["SELECT 1"] * 2, SessionId=session)):
        time.sleep(0.02)
    assert "would end the one" in told


def test_a_session_runs_one_statement_at_a_time_and_ends(
    client: Any, redshift_data: RedshiftDataDouble, session: str
) -> None:
    client.execute_statement(Sql="SELECT pg_sleep(0.5)", SessionId=session)
    assert "busy" in refused(client.execute_statement, Sql="SELECT 1", SessionId=session)
    say(client, session, "SELECT 1", SessionKeepAliveSeconds=1)
    deadline = time.monotonic() + 5
    while "not available" not in (told := refused_or_not(client, session)):
        assert time.monotonic() < deadline, told
    unknown = "00000000-0000-0000-0000-000000000000"
    assert "is invalid" in refused(client.execute_statement, Sql="SELECT 1", SessionId=unknown)


def refused_or_not(client: Any, session: str) -> str:
    time.sleep(0.5)  # longer than it lasts
    try:
        client.execute_statement(Sql="SELECT 1", SessionId=session)
    except ClientError as error:
        return str(error)
    return ""


def test_a_token_stands_for_one_statement(client: Any, session: str) -> None:
    say(client, session, "CREATE TABLE public.t (a BIGINT)")
    insert = {"Sql": "INSERT INTO public.t VALUES (1)", "SessionId": session, "ClientToken": "once"}
    first = once_free(client, **insert)
    assert once_free(client, **insert)["Id"] == first["Id"]
    assert done(client, first)["Status"] == "FINISHED"
    assert "another request" in refused(client.execute_statement, **{**insert, "Sql": "SELECT 1"})
    found = say(client, session, "SELECT count(*) FROM public.t")
    assert client.get_statement_result(Id=found["Id"])["Records"] == [[{"longValue": 1}]]


def test_a_statement_is_cancelled_while_it_runs_and_not_after(client: Any, session: str) -> None:
    reply = client.execute_statement(Sql="SELECT pg_sleep(60)", SessionId=session)
    time.sleep(0.2)
    assert client.cancel_statement(Id=reply["Id"])["Status"]
    assert done(client, reply)["Status"] == "ABORTED"
    assert "already" in refused(client.cancel_statement, Id=reply["Id"])
    assert "not have result" in refused(client.get_statement_result, Id=reply["Id"])


def test_values_come_as_one_field_each_with_the_type_of_their_column(client: Any, session: str) -> None:
    found = say(
        client,
        session,
        "SELECT 1 AS n, CAST(1.5 AS DOUBLE PRECISION), CAST('1.50' AS DECIMAL(5, 2)), TRUE, NULL, "
        "TO_VARBYTE('00ff', 'hex'), CAST('2026-01-01 00:00:00+00' AS TIMESTAMP WITH TIME ZONE), JSON_PARSE('[1]')",
    )
    page = client.get_statement_result(Id=found["Id"])
    assert [c["typeName"] for c in page["ColumnMetadata"]] == [
        *("int4", "float8", "numeric", "bool", "varchar", "varbyte", "timestamptz", "super")
    ]
    assert page["Records"] == [
        [
            {"longValue": 1},
            {"doubleValue": 1.5},
            {"stringValue": "1.50"},
            {"booleanValue": True},
            {"isNull": True},
            {"stringValue": "00ff"},
            {"stringValue": "2026-01-01 00:00:00+00"},
            {"stringValue": "[1]"},
        ]
    ]
