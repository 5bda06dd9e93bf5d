"""The double of Redshift refuses what Redshift refuses, and does the few things that Postgres cannot."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import boto3
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.doubles.redshift.refusals import Refused
from tests.doubles.redshift.translation import translate

ROLE = "arn:aws:iam::123456789012:role/reads"
DYNAMODB = "COPY t (\"a\") FROM 'dynamodb://shop'"


@pytest.fixture
def cursor(redshift_url: str) -> Iterator[Any]:
    parts = urlsplit(redshift_url)
    dsn = parts._replace(scheme="postgresql", query="sslmode=disable").geturl()
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        yield connection.cursor()


@pytest.fixture
def bucket(redshift_url: str) -> str:
    return urlsplit(parse_qs(urlsplit(redshift_url).query)["staging"][0]).netloc


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (1) RETURNING a",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED AND s.b THEN DELETE",
        "DELETE FROM t AS x USING s WHERE x.a = s.a",
        'DELETE FROM "s"."t" x WHERE x.a = 1',
        "UPDATE t AS x SET a = 1",
        'UPDATE "s"."t" x SET a = 1',
        "SELECT a IS NOT DISTINCT FROM b FROM t",
        "SELECT count(*) FILTER (WHERE a) FROM t",
        "SELECT count(DISTINCT (a, b)) FROM t",
        "SELECT DISTINCT ON (a) b FROM t",
        "SELECT ARRAY[1]",
        "SELECT a -> 'b' FROM t",
        "SELECT CAST(a AS jsonb) FROM t",
        "SELECT 1 FROM t CROSS JOIN LATERAL f(t.a) AS x",
        "SELECT g FROM generate_series(1, 2) AS g JOIN t ON t.a = g",
        "SELECT 1 FROM (VALUES (1)) AS v",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT string_agg(a, ',') FROM t",
        "SELECT ctid FROM t",
        "SELECT CAST(a AS text) FROM t",
        "SELECT CAST(a AS VARCHAR) FROM t",
        "SELECT CAST(a AS DECIMAL) FROM t",
        "CREATE TABLE t (a NUMERIC(19, 0))",
        "CREATE INDEX ON t (a)",
        "ALTER TABLE t ALTER COLUMN a TYPE BIGINT",
        "DISCARD TEMP",
        "SELECT a.* FROM a FULL JOIN b ON a.x = b.x",
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "SELECT raw FROM t",
        'CREATE TABLE t ("xmin" BIGINT)',
        f'CREATE TABLE "{"n" * 128}" (a BIGINT)',
        "SELECT 'a\\b'",
        "COPY t FROM 's3://b/k' IAM_ROLE default FORMAT AS PARQUET",
        f"COPY t FROM 's3://b/k' IAM_ROLE '{ROLE}, {ROLE}' FORMAT AS PARQUET MANIFEST",
        f"{DYNAMODB} IAM_ROLE '{ROLE}' REGION 'us-east-1' COMPUPDATE OFF",
        f"{DYNAMODB} IAM_ROLE '{ROLE}' READRATIO 0 REGION 'us-east-1' COMPUPDATE OFF",
        f"{DYNAMODB} IAM_ROLE '{ROLE}' READRATIO 201 REGION 'us-east-1' COMPUPDATE OFF",
        f"{DYNAMODB} IAM_ROLE '{ROLE}' READRATIO 50 REGION 'us-east-1'",
        f"{DYNAMODB} IAM_ROLE '{ROLE}, x' READRATIO 50 REGION 'us-east-1' COMPUPDATE OFF",
        f"{DYNAMODB} IAM_ROLE default READRATIO 50 REGION 'us-east-1' COMPUPDATE OFF JSON 'auto'",
        f"{DYNAMODB} IAM_ROLE default READRATIO 50 REGION 'us-east-1' COMPUPDATE OFF MANIFEST",
        "COPY t FROM 's3://b/k' IAM_ROLE default FORMAT AS JSON 'auto' MANIFEST MAXERROR 0",
        "COPY t FROM 's3://b/k' IAM_ROLE default FORMAT AS JSON 'noshred' MANIFEST MAXERROR 9",
    ],
)
def test_what_redshift_does_not_know_is_refused(sql: str) -> None:
    with pytest.raises(Refused):
        translate(sql, copied=0)


def test_words_in_texts_names_and_comments_are_left_alone() -> None:
    sql = "-- ON CONFLICT RETURNING\nSELECT 'ctid RETURNING', \"raw\" AS a FROM t"
    assert [t.sql for t in translate(sql, copied=0)] == [sql]


def test_a_refused_statement_ends_its_transaction(cursor: Any) -> None:
    cursor.execute("BEGIN")
    cursor.execute("CREATE TABLE public.t (a BIGINT)")
    with pytest.raises(psycopg2.Error):
        cursor.execute("SELECT CURRENT_TIMESTAMP")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        cursor.execute("SELECT 1")
    cursor.execute("ROLLBACK")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        cursor.execute("SELECT a FROM public.t")


def test_keys_are_not_enforced_and_names_are_folded(cursor: Any) -> None:
    cursor.execute('CREATE TABLE public."T" (a BIGINT NOT NULL PRIMARY KEY, b BIGINT, PRIMARY KEY (a, b)) DISTKEY (a)')
    cursor.execute("INSERT INTO public.t VALUES (1, 1), (1, 1)")
    cursor.execute('SELECT count(*) FROM public."t"')
    assert cursor.fetchall() == [(2,)]


def test_lengths_are_in_bytes(cursor: Any) -> None:
    cursor.execute("CREATE TABLE public.t (a VARCHAR(65535))")
    cursor.execute(f"INSERT INTO public.t VALUES ('{'a' * 65535}')")
    with pytest.raises(psycopg2.Error, match="too long"):
        cursor.execute(f"INSERT INTO public.t VALUES ('{'ä' * 32768}')")


def test_truncate_commits(cursor: Any) -> None:
    cursor.execute("CREATE TABLE public.t (a BIGINT)")
    cursor.execute("INSERT INTO public.t VALUES (1)")
    cursor.execute("BEGIN")
    cursor.execute("TRUNCATE public.t")
    cursor.execute("ROLLBACK")
    cursor.execute("SELECT count(*) FROM public.t")
    assert cursor.fetchall() == [(0,)]


def test_append_moves_rows_but_not_in_a_transaction(cursor: Any) -> None:
    cursor.execute("CREATE TABLE public.t (a BIGINT)")
    cursor.execute("CREATE TABLE public.s (a BIGINT)")
    cursor.execute("INSERT INTO public.s VALUES (1)")
    cursor.execute("ALTER TABLE public.t APPEND FROM public.s")
    cursor.execute("SELECT (SELECT count(*) FROM public.t), (SELECT count(*) FROM public.s)")
    assert cursor.fetchall() == [(1, 0)]
    cursor.execute("BEGIN")
    with pytest.raises(psycopg2.Error, match="transaction"):
        cursor.execute("ALTER TABLE public.t APPEND FROM public.s")


def test_a_transaction_sees_the_moment_of_its_first_statement_and_a_conflict_is_1023(
    cursor: Any, redshift_url: str
) -> None:
    cursor.execute("CREATE TABLE public.t (a BIGINT)")
    cursor.execute("INSERT INTO public.t VALUES (1)")
    dsn = urlsplit(redshift_url)._replace(scheme="postgresql", query="sslmode=disable").geturl()
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        other = connection.cursor()
        cursor.execute("BEGIN")
        cursor.execute("SELECT a FROM public.t")
        other.execute("UPDATE public.t SET a = 2")
        cursor.execute("SELECT a FROM public.t")
        assert cursor.fetchall() == [(1,)]
        with pytest.raises(psycopg2.Error, match="1023"):
            cursor.execute("UPDATE public.t SET a = 3")
        cursor.execute("ROLLBACK")
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE public.t")
        cursor.execute("UPDATE public.t SET a = a + 1")
        cursor.execute("COMMIT")
        other.execute("SELECT a FROM public.t")
        assert other.fetchall() == [(3,)]


# --- COPY ----------------------------------------------------------------------------------------------------


class Lake:
    """A file and its manifest, to be spoiled."""

    def __init__(self, bucket: str) -> None:
        self.client = boto3.session.Session().client("s3")
        self.bucket = bucket

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def parquet(self, table: pa.Table) -> dict[str, Any]:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        body = sink.getvalue().to_pybytes()
        self.put("f.parquet", body)
        return {"url": f"s3://{self.bucket}/f.parquet", "mandatory": True, "meta": {"content_length": len(body)}}

    def copy(self, *entries: dict[str, Any]) -> str:
        self.put("manifest", json.dumps({"entries": entries}).encode())
        return f"COPY \"t\" FROM 's3://{self.bucket}/manifest' IAM_ROLE '{ROLE},{ROLE}2' FORMAT AS PARQUET MANIFEST"


@pytest.fixture
def lake(bucket: str, cursor: Any) -> Lake:
    cursor.execute("SET search_path TO pg_catalog")
    cursor.execute("CREATE TEMPORARY TABLE t (partition_key VARCHAR(65535), n BIGINT)")
    return Lake(bucket)


def table(key: str | None = "a", n: Any = 1) -> pa.Table:
    return pa.table({"partition_key": pa.array([key], pa.string()), "n": pa.array([n])})


def test_copy_loads_what_the_manifest_names_and_counts_it(lake: Lake, cursor: Any) -> None:
    cursor.execute(lake.copy(lake.parquet(table())))
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchall() == [(1,)]
    cursor.execute("SELECT * FROM t")
    assert cursor.fetchall() == [("a", 1)]


def test_copy_passes_over_a_missing_file_that_is_not_mandatory(lake: Lake, cursor: Any) -> None:
    missing = {"url": f"s3://{lake.bucket}/none", "meta": {"content_length": 1}}
    cursor.execute(lake.copy(lake.parquet(table()), missing))
    with pytest.raises(psycopg2.Error, match="mandatory"):
        cursor.execute(lake.copy(lake.parquet(table()), missing | {"mandatory": True}))


@pytest.mark.parametrize("meta", [{}, {"content_length": 7}])
def test_copy_wants_the_length_of_columnar_files(lake: Lake, cursor: Any, meta: dict[str, int]) -> None:
    with pytest.raises(psycopg2.Error, match="failed"):
        cursor.execute(lake.copy(lake.parquet(table()) | {"meta": meta}))


@pytest.mark.parametrize(
    "spoiled",
    [
        table().append_column("more", pa.array([1])),
        table(n="1"),
        table(n=1.5),
        table(key="a" * 65536),
        table(key="a\0"),
        table(key="ends in a blank "),
    ],
)
def test_copy_refuses_what_does_not_fit_the_table(lake: Lake, cursor: Any, spoiled: pa.Table) -> None:
    with pytest.raises(psycopg2.Error, match="failed"):
        cursor.execute(lake.copy(lake.parquet(spoiled)))


def test_copy_from_dynamodb_matches_attributes_whatever_their_case_and_tells_little(
    redshift_url: str, cursor: Any
) -> None:
    table = f"table-{uuid4()}"
    client = boto3.session.Session().client("dynamodb")
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
    )
    for item in (
        {"PK": {"S": "texts"}, "name": {"S": " a "}, "More": {"B": b"is passed over"}},
        {"PK": {"S": "numbers"}, "Name": {"N": "12.5"}},
        {"PK": {"S": "empty"}, "Name": {"S": ""}},
        {"PK": {"S": "null"}, "Name": {"S": "\\N"}},
        {"PK": {"S": "missing"}},
    ):
        client.put_item(TableName=table, Item=item)
    cursor.execute('CREATE TEMPORARY TABLE t ("PK" VARCHAR(65535), "Name" VARCHAR(65535), n BIGINT)')
    copy = f"COPY t (\"PK\", \"Name\") FROM 'dynamodb://{table}' IAM_ROLE '{ROLE}' READRATIO 50 REGION 'us-east-1'"

    cursor.execute(f"{copy} EMPTYASNULL COMPUPDATE OFF")
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchall() == [(5,)]
    cursor.execute("SELECT pk, name FROM t ORDER BY pk")
    texts = [("empty", None), ("missing", None), ("null", None), ("numbers", "12.5"), ("texts", " a ")]
    assert cursor.fetchall() == texts
    cursor.execute("TRUNCATE t")
    cursor.execute(f"{copy} COMPUPDATE OFF")
    cursor.execute("SELECT pk, name FROM t WHERE pk IN ('empty', 'missing') ORDER BY pk")
    assert cursor.fetchall() == [("empty", ""), ("missing", "")]

    for name, why in (("n", "VARCHAR only"), ("none", "does not exist")):
        with pytest.raises(psycopg2.Error, match=why):
            cursor.execute(copy.replace('"Name"', f'"{name}"') + " COMPUPDATE OFF")
    with pytest.raises(psycopg2.Error, match="DynamoDB"):
        cursor.execute(copy.replace(table, "no-such-table") + " COMPUPDATE OFF")


def test_super_and_varbyte_come_as_redshift_gives_them(cursor: Any) -> None:
    cursor.execute("""SELECT JSON_PARSE('{"a": 1.10}'), TO_VARBYTE('YWI=', 'base64')""")
    assert [column.type_code for column in cursor.description] == [4000, 6551]
    assert cursor.fetchall() == [('{"a": 1.10}', "6162")]


# --- SUPER ------------------------------------------------------------------------------------------------


def copy_raw(cursor: Any, bucket: str, *bodies: bytes, unpacked: str = "") -> None:
    client = boto3.session.Session().client("s3")
    for number, body in enumerate(bodies):
        client.put_object(Bucket=bucket, Key=f"raw/{number}", Body=body)
    entries = [{"url": f"s3://{bucket}/raw/{number}", "mandatory": True} for number in range(len(bodies))]
    client.put_object(Bucket=bucket, Key="manifest", Body=json.dumps({"entries": entries}).encode())
    cursor.execute("DROP TABLE IF EXISTS public.raw_records")
    cursor.execute("CREATE TABLE public.raw_records (document SUPER)")
    cursor.execute("SET search_path TO public")
    cursor.execute(
        f"COPY raw_records FROM 's3://{bucket}/manifest' IAM_ROLE '{ROLE}' FORMAT AS JSON 'noshred' {unpacked} "
        "MANIFEST MAXERROR 0"
    )


def test_json_is_copied_whole_and_what_was_scanned_is_told(cursor: Any, bucket: str) -> None:
    copy_raw(cursor, bucket, b'{"a":"x\\ny"}\n{"a":\n1}', b'{"a":1}{"a":2}')
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchall() == [(4,)]
    cursor.execute(
        "SELECT btrim(file_name), lines_scanned, bytes_scanned FROM sys_load_detail WHERE query_id = pg_last_copy_id()"
    )
    assert sorted(cursor.fetchall()) == [(f"s3://{bucket}/raw/0", 3, 21), (f"s3://{bucket}/raw/1", 1, 14)]
    copy_raw(cursor, bucket, gzip.compress(b'{"a":1}'), unpacked="GZIP")
    cursor.execute('SELECT CAST(r.document."a" AS VARCHAR(65535)) FROM raw_records AS r')
    assert cursor.fetchall() == [("1",)]


def test_of_attributes_of_one_name_the_last_is_copied_if_the_session_says_so(cursor: Any, bucket: str) -> None:
    cursor.execute("SET json_parse_dedup_attributes TO ON")
    copy_raw(cursor, bucket, b'{"a":1,"a":2}')
    cursor.execute("SELECT JSON_SERIALIZE(r.document) FROM raw_records AS r")
    assert [json.loads(text) for (text,) in cursor.fetchall()] == [{"a": 2}]
    cursor.execute("SET json_parse_dedup_attributes TO OFF")
    with pytest.raises(psycopg2.Error, match="the same attribute twice"):
        copy_raw(cursor, bucket, b'{"a":1,"a":2}')


@pytest.mark.parametrize(
    "body",
    [b'{"a":1', b'{"a":1}x', b"[1]", b'{"a":1,"a":2}', b'{"a":"\xff"}', b'{"a":"\\u0000"}', b"\x1f\x8b", b"{'a':1}"],
)
def test_json_with_an_error_is_not_copied(cursor: Any, bucket: str, body: bytes) -> None:
    with pytest.raises(psycopg2.Error):
        copy_raw(cursor, bucket, body)


def test_names_keep_their_case_only_if_the_session_says_so(cursor: Any) -> None:
    paths = 'r.d."A"."B", r.d."a", r.d."L"[1], r.d."L"[7], r.d."A"[0], r.d."A"."B"."C"'
    query = f"""SELECT {paths} FROM (SELECT JSON_PARSE('{{"A":{{"B":1}},"a":2,"L":["x","y"],"l":["z"]}}') AS d) AS r"""
    cursor.execute(query)
    assert cursor.fetchall() == [(None, "2", None, None, None, None)]
    cursor.execute("SET enable_case_sensitive_identifier TO TRUE")
    cursor.execute(query)
    assert cursor.fetchall() == [("1", "2", '"y"', None, None, None)]
    cursor.execute("RESET enable_case_sensitive_identifier")
    cursor.execute(query)
    assert cursor.fetchall() == [(None, "2", None, None, None, None)]


def test_what_is_in_a_super_is_told_by_its_kind(cursor: Any) -> None:
    document = '{"s":"x ","n":1.50,"b":true,"z":null,"o":{"p":1,"q":2},"l":[1]}'
    cursor.execute(
        "SELECT v.attribute, JSON_TYPEOF(v.value), CAST(v.value AS VARCHAR(65535)), JSON_SIZE(v.value), "
        "GET_NUMBER_ATTRIBUTES(v.value) FROM (SELECT attribute, value FROM "
        f"(SELECT JSON_PARSE('{document}') AS d) AS r, UNPIVOT r.d AS value AT attribute) AS v ORDER BY v.attribute"
    )
    assert cursor.fetchall() == [
        ("b", "boolean", "true", 4, None),
        ("l", "array", None, 3, None),
        ("n", "number", "1.50", 4, None),
        ("o", "object", None, 16, 2),
        ("s", "string", "x ", 4, None),
        ("z", "null", None, 4, None),
    ]
