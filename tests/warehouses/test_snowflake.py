"""What is Snowflake's own: its URL, names in capitals, DDL before the transaction. On the double or live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from cdc_merge.errors import SchemaConflict, UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.model import Source, Target
from cdc_merge.warehouses import Statement, open_warehouse, snowflake_files
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE
from cdc_merge.warehouses.snowflake_url import Address, Staging
from cdc_merge.warehouses.staging_prefix import StagingPrefix
from tests.support.harness import Harness
from tests.support.names import names_of
from tests.support.records import Record, stream_record
from tests.support.s3 import MotoS3, s3_environment
from tests.test_plan import plan

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MADE = (
    "CREATE SCHEMA IF NOT EXISTS {schema}",
    """CREATE TABLE {schema}."ITEMS" (
        "PK" VARCHAR NOT NULL, _cdc_position VARCHAR NOT NULL, _cdc_changed_at TIMESTAMP_TZ,
        _cdc_merged_at TIMESTAMP_TZ NOT NULL, _cdc_rescued VARCHAR
    )""",
)


def put(key: str, sequence: int, **attributes: str) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0)


@pytest.fixture
def shop(snowflake_url: str, tmp_path: Path) -> Harness:
    return Harness(snowflake_url, Source("s", "", ("PK",), (Target("items"),)), tmp_path / "feed")


def said(harness: Harness, *statements: str) -> None:
    with closing(harness.open()) as warehouse, warehouse.session() as session:
        for statement in statements:
            session.run([Statement("by hand", statement.format(schema=SNOWFLAKE.quote(harness.schema)))])


def test_a_url_says_all_that_is_needed() -> None:
    address = Address.of(
        "snowflake://LOADER@My-Account/LAKE/STAGING?warehouse=wh&role=r&private_key_path=/k.p8"
        "&private_key_passphrase=p%26ss&stage=@LAKE.STAGING.FILES&login_timeout=5"
    )
    assert address.options == {
        "user": "LOADER",
        "account": "My-Account",
        "database": "LAKE",
        "schema": "STAGING",
        "warehouse": "wh",
        "role": "r",
        "private_key_file": "/k.p8",
        "private_key_file_pwd": "p&ss",
        "authenticator": "SNOWFLAKE_JWT",
        "login_timeout": 5,
    }
    assert address.staging is None
    assert (address.stage, address.name) == ("LAKE.STAGING.FILES", "snowflake://LOADER@My-Account/LAKE/STAGING")
    assert Address.of("snowflake://u:p%40ss@a/d").options["schema"] == "PUBLIC"
    external = Address.of("snowflake://u:p@a/d?stage=S.F&staging=s3://lake/a/b&region=eu-central-1")
    assert Address.of("snowflake://u:p@a/d?cluster=a,b:12").clusters == (("a", 1), ("b", 12))
    assert (external.stage, external.staging) == ("S.F", Staging("lake", "a/b/", "eu-central-1"))


def test_results_are_whole_though_the_account_keeps_people_from_fetching_many_rows(snowflake_url: str) -> None:
    with closing(open_warehouse(snowflake_url)) as warehouse, warehouse.session() as session:
        session.load("_cdc_listed", pa.table({"n": range(1_001)}).to_reader())
        assert len(session.query("SELECT s.n FROM _cdc_listed AS s")) == 1_001


@pytest.mark.parametrize(
    "rest",
    [
        "u:hunter2@a",
        "u:hunter2@a/d/s/t",
        "a/d?token=hunter2",
        "u:hunter2@a/d?x=1",
        "u:hunter2@a/d?port=x",
        "u:hunter2@a/d?staging=s3://b/",
        "u:hunter2@a/d?stage=s&staging=/b/",
        "u:hunter2@a/d?stage=s&region=r",
        "u:hunter2@a/d?cluster=a:0",
    ],
)
def test_a_url_that_lacks_something_is_a_usage_error_without_the_password(rest: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.of(f"snowflake://{rest}")
    assert caught.value.hint and "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value!r}"


def test_a_key_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    url = f"snowflake://loader@none/none?private_key_path={tmp_path}/none.p8"
    with closing(open_warehouse(url)) as warehouse, pytest.raises(WarehouseRefused) as caught, warehouse.session():
        pass
    assert "private_key_path" in (caught.value.hint or "")


def test_what_is_staged_in_several_files_is_loaded_whole(snowflake_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snowflake_files, "FILE_BYTES", 1)
    table = pa.table({"n": range(40), "t": [f"it's {n}" for n in range(40)]})
    with closing(open_warehouse(snowflake_url)) as warehouse, warehouse.session() as session:
        reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=10))
        assert session.load("staged", reader) == 40
        assert session.query("SELECT count(*), count(DISTINCT t), max(n) FROM staged") == [(40, 40, 39)]


@pytest.fixture
def external(snowflake_url: str, staging_endpoint: str) -> Iterator[tuple[str, MotoS3, str]]:
    """The URL with an external stage, and the bucket that it points to."""
    with s3_environment(staging_endpoint):
        s3 = MotoS3(staging_endpoint, boto3.session.Session().client("s3"))
        bucket = s3.create_bucket()
        place = f"s3://{bucket}/staged/"
        with closing(open_warehouse(snowflake_url)) as warehouse, warehouse.session() as session:
            session.query(f"CREATE STAGE public.files URL = '{place}' STORAGE_INTEGRATION = lake")
        yield f"{snowflake_url}&stage=public.files&staging={place}", s3, bucket


def test_files_go_to_s3_for_an_external_stage_and_are_removed_once_they_are_loaded(
    external: tuple[str, MotoS3, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, s3, bucket = external
    there: list[str] = []
    upload = StagingPrefix.put

    def note(self: StagingPrefix, path: Path, key: str) -> None:
        upload(self, path, key)
        there.extend(o["Key"] for o in s3.client.list_objects_v2(Bucket=bucket)["Contents"])

    monkeypatch.setattr(StagingPrefix, "put", note)
    shop = Harness(url, Source("s", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    shop.put_records([put("a", 1, name="x")])
    shop.run()
    assert shop.query("SELECT pk, name FROM analytics.items") == [("a", "x")]
    assert there and all(key.startswith("staged/") for key in there)
    assert s3.client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_more_files_than_a_copy_takes_are_loaded_by_several(
    external: tuple[str, MotoS3, str], snowflake_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snowflake_files, "FILE_BYTES", 1)
    monkeypatch.setattr("cdc_merge.warehouses.snowflake.MOST_FILES", 2)
    table = pa.table({"n": range(50)})
    for url in (external[0], snowflake_url):
        with closing(open_warehouse(url)) as warehouse, warehouse.session() as session:
            reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=10))
            assert session.load("staged", reader) == 50
            assert session.query("SELECT count(DISTINCT n) FROM staged") == [(50,)]


def test_a_stage_that_points_elsewhere_and_a_bucket_that_takes_nothing_are_errors(
    external: tuple[str, MotoS3, str],
) -> None:
    url, s3, bucket = external
    for wrong, error in (("/elsewhere/", WarehouseRefused), ("-of-nobody/", WarehouseUnavailable)):
        other = url.replace(f"{bucket}/staged/", f"{bucket}{wrong}")
        with closing(open_warehouse(other)) as warehouse, warehouse.session() as session, pytest.raises(error):
            session.load("staged", pa.table({"n": [1]}).to_reader())
    assert s3.client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_tables_that_the_url_names_are_clustered_by_their_key_when_they_are_made(
    snowflake_url: str, tmp_path: Path
) -> None:
    targets = (Target("items"), Target("orders"), Target("others"))
    url = f"{snowflake_url}&cluster=items,orders:7"
    shop = Harness(url, Source("s", "", ("PK",), targets), tmp_path / "feed")
    with closing(shop.worker()) as worker:
        worker.prepare()
    assert 'CLUSTER BY (SUBSTR("PK", 7))' in plan(shop).as_text(with_sql=True)
    shop.put_records([put("a", 1)])
    shop.run()
    keys = "SELECT table_name, clustering_key FROM information_schema.tables WHERE table_schema = 'ANALYTICS'"
    assert dict(shop.query(keys)) == {"ITEMS": "LINEAR(PK)", "ORDERS": "LINEAR(SUBSTR(PK, 7))", "OTHERS": None}


def test_tables_are_read_without_quotes(shop: Harness) -> None:
    shop.put_records([put("a", 1, userName="x")])
    shop.run()
    assert shop.query(f"SELECT pk, user_name FROM {shop.schema}.items") == [("a", "x")]
    assert shop.columns("items")[:2] == ("pk", "user_name")


def test_a_column_that_a_merge_left_behind_is_taken_by_the_next(shop: Harness) -> None:
    """It was added, and the merge that needed it did not commit."""
    shop.put_records([put("a", 1)])
    shop.run()
    said(shop, 'ALTER TABLE {schema}."ITEMS" ADD COLUMN IF NOT EXISTS "V" VARCHAR COMMENT \'cdc-merge\'')
    shop.put_records([put("b", 2, v="x")])
    shop.run()
    assert shop.query(f"SELECT pk, v FROM {shop.schema}.items ORDER BY pk") == [("a", None), ("b", "x")]


def test_a_table_that_a_merge_left_behind_is_taken_by_the_next_if_it_is_empty(shop: Harness) -> None:
    said(shop, *MADE)
    shop.put_records([put("a", 1)])
    shop.run()
    assert shop.query(f"SELECT pk FROM {shop.schema}.items") == [("a",)]


def test_a_table_of_someone_else_stops_the_source(shop: Harness) -> None:
    theirs = "INSERT INTO {schema}.items (pk, _cdc_position, _cdc_merged_at) SELECT 'theirs', '', CURRENT_TIMESTAMP()"
    said(shop, *MADE, theirs)
    shop.put_records([put("a", 1)])
    with pytest.raises(SchemaConflict, match="has rows"):
        shop.run()
    assert shop.query(f"SELECT pk FROM {shop.schema}.items") == [("theirs",)]


def test_a_schema_that_is_made_does_not_become_that_of_the_session(snowflake_url: str) -> None:
    with closing(open_warehouse(snowflake_url)) as warehouse:
        with warehouse.session() as session:
            before = session.query("SELECT CURRENT_SCHEMA()")
        for schema in ("one", "two"):
            made = SNOWFLAKE.quote(f"{names_of(snowflake_url).prefix}{schema}")
            with warehouse.session() as session:
                session.run([Statement("create schema", f"CREATE SCHEMA IF NOT EXISTS {made}")])
                assert session.query("SELECT CURRENT_SCHEMA()") == before != [(made.strip('"'),)]


def test_a_row_to_lock_that_is_gone_is_an_error(snowflake_url: str) -> None:
    with closing(open_warehouse(snowflake_url)) as warehouse, warehouse.session() as session:
        session.run([Statement("make", "CREATE TABLE turns (source VARCHAR)")])
        locking = Statement("fence", "INSERT INTO turns VALUES ('x')", lock="UPDATE turns SET source = ''")
        with pytest.raises(WarehouseRefused, match="hold others back"):
            session.run([locking])
        assert session.query("SELECT * FROM turns") == []
