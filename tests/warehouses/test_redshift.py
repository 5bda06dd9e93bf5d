"""What is Redshift's own: its URL, what is staged on S3 and removed again. On the double or live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import boto3
import pyarrow as pa
import pytest

from cdc_merge.errors import UnreadableObject, UsageError, WarehouseRefused, WarehouseUnavailable
from cdc_merge.items.key import sql_value
from cdc_merge.model import Column, ColumnType, Kind, Source, Target
from cdc_merge.warehouses import Statement, open_warehouse
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.redshift_options import read_options
from cdc_merge.warehouses.redshift_staging import Stage
from cdc_merge.warehouses.redshift_url import read_url
from tests.support.harness import Harness
from tests.support.names import names_of
from tests.support.records import Record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:iam::123456789012:role/reads"
MANY = pa.table({"n": range(1000), "t": [f"it's {n}" for n in range(1000)]})


def listed(url: str) -> list[str]:
    """What lies on the staging prefix."""
    options = read_options(url)
    client = boto3.session.Session().client("s3", region_name=options.region)
    found = client.list_objects_v2(Bucket=options.bucket, Prefix=options.prefix)
    return [o["Key"] for o in found.get("Contents", [])]


def test_a_url_says_all_that_is_needed() -> None:
    url = read_url(
        f"redshift://me:p%40ss@h/db?staging=s3://b/a/b&iam_role={ARN},{ARN}2&region=eu-west-1&connect_timeout=3"
    )
    found = url.options
    assert (found.bucket, found.prefix, found.iam_role, found.region) == ("b", "a/b/", f"{ARN},{ARN}2", "eu-west-1")
    assert url.connection["password"] == "p@ss"
    assert (url.connection["port"], url.connection["sslmode"], url.connection["connect_timeout"]) == (
        "5439",
        "require",
        "3",
    )
    assert url.name == "redshift://me@h:5439/db"
    assert read_url("redshift://h/db?staging=s3://b&iam_role=default&sslmode=verify-full").options.iam_role is None


@pytest.mark.parametrize(
    "query", ["", "staging=s3://b", f"staging=s3:///p&iam_role={ARN}", f"staging=s3://b&iam_role={ARN},%20{ARN}"]
)
def test_a_url_that_lacks_something_is_a_usage_error_without_the_password(query: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_url(f"redshift://me:hunter2@h/db?{query}")
    assert caught.value.hint and "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_what_is_staged_is_loaded_from_several_files_and_removed(
    redshift_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.warehouses.redshift_staging._PIECE_ROWS", 300)
    monkeypatch.setattr("cdc_merge.warehouses.redshift_staging.FILE_BYTES", 1)
    put: list[str] = []
    original = Stage._put_manifest

    def put_manifest(self: Stage, folder: str, sizes: dict[str, int], kept: list[str]) -> str:
        put.extend(sizes)
        return original(self, folder, sizes, kept)

    monkeypatch.setattr(Stage, "_put_manifest", put_manifest)
    with closing(open_warehouse(redshift_url)) as warehouse, warehouse.session() as session:
        assert session.load("staged", MANY.to_reader()) == 1000
        assert session.query("SELECT count(*), count(DISTINCT t), min(n), max(n) FROM staged") == [(1000, 1000, 0, 999)]
    assert len(put) == 4
    assert listed(redshift_url) == []


def test_nothing_stays_on_s3_when_a_load_fails(redshift_url: str) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from MANY.to_batches()
        raise UnreadableObject("corrupt", reason="gzip", where="object x")

    too_long = pa.table({"b": pa.array([b"x" * 1_024_001], pa.binary())})
    with closing(open_warehouse(redshift_url)) as warehouse, warehouse.session() as session:
        with pytest.raises(UnreadableObject):
            session.load("staged", pa.RecordBatchReader.from_batches(MANY.schema, batches()))
        with pytest.raises(WarehouseRefused) as caught:
            session.load("staged", too_long.to_reader())
    assert "sys_load_error_detail" in (caught.value.hint or "")
    assert listed(redshift_url) == []


def test_a_bucket_that_takes_nothing_is_tried_again(redshift_url: str) -> None:
    url = redshift_url.replace(f"s3://{read_options(redshift_url).bucket}/", f"s3://no-such-bucket-{uuid4()}/")
    with (
        closing(open_warehouse(url)) as warehouse,
        warehouse.session() as session,
        pytest.raises(WarehouseUnavailable, match="S3"),
    ):
        session.load("staged", MANY.to_reader())


def test_json_of_more_than_a_text_may_have_is_parsed_whole(redshift_url: str) -> None:
    document = '{"a":"' + "ä" * 40_000 + '"}'
    t = REDSHIFT.quote(names_of(redshift_url).own or REDSHIFT.default_schema, "t")
    with closing(open_warehouse(redshift_url)) as warehouse, warehouse.session() as session:
        session.load("staged", pa.table({"j": [document]}).to_reader())
        session.run([Statement("make", f"CREATE TABLE {t} (j SUPER)")])
        session.run([Statement("fill", f"INSERT INTO {t} SELECT JSON_PARSE(s.j) FROM staged AS s")])
        assert session.query(f"SELECT count(*) FROM {t} AS t JOIN staged AS s ON t.j = JSON_PARSE(s.j)") == [(1,)]


def test_a_few_rows_and_many_arrive_the_same(redshift_url: str) -> None:
    hostile = ["it's", "back\\slash", "", "ü 😀\n", None]
    few = pa.table({"n": range(5), "t": hostile, "b": [b"\0\\", b"", None, b"a", b"'"]})
    with closing(open_warehouse(redshift_url)) as warehouse, warehouse.session() as session:
        session.load("few", few.to_reader())
        session.load("many", pa.concat_tables([few] * 100).to_reader())
        rows = session.query("SELECT n, t, b FROM few ORDER BY n")
        assert rows == session.query("SELECT DISTINCT n, t, b FROM many ORDER BY n")
        assert [row[1] for row in rows] == hostile


def test_a_text_of_many_backslashes_is_no_deep_expression(redshift_url: str) -> None:
    path = "\\a" * 5_000
    with closing(open_warehouse(redshift_url)) as warehouse, warehouse.session() as session:
        session.load("few", pa.table({"t": [path]}).to_reader())
        assert session.query("SELECT t FROM few") == [(path,)]


def put(key: str, sequence: int, **attributes: str) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0)


def test_a_key_that_ends_in_a_blank_waits_in_quarantine(redshift_url: str, tmp_path: Path) -> None:
    harness = Harness(redshift_url, Source("s", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    harness.put_records([put("a ", 1, v="x"), put("a", 1, v="y"), put(" b", 1, v="z"), put("a ", 2, v="w")])
    counts = harness.run().counts
    assert (counts.applied, counts.quarantined) == (2, 2)
    assert harness.query(f"SELECT DISTINCT reason FROM {harness.metadata}.quarantine") == [("key_ends_in_blank",)]
    assert {key: landed.item["v"] for key, landed in harness.tables()["items"].items()} == {("a",): "y", (" b",): "z"}


def test_a_text_with_a_nul_is_rescued_with_its_name_spelled_out(redshift_url: str, tmp_path: Path) -> None:
    harness = Harness(redshift_url, Source("s", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    harness.put_records([put("a", 1, v="x\0y", w="z")])
    assert harness.run().counts.applied == 1
    ((w, rescued),) = harness.query(f"SELECT w, {harness.rescued} FROM {harness.schema}.items")
    assert (w, json.loads(rescued)) == ("z", {"v": {"S": "x\\u0000y"}})


def test_a_nul_in_an_element_is_spelled_out_too(redshift_url: str, tmp_path: Path) -> None:
    rows = Target("lines", each=("L",), columns=(Column("v", ("v",), ColumnType(Kind.TEXT)),))
    harness = Harness(redshift_url, Source("s", "", ("PK",), (rows,)), tmp_path / "feed")
    harness.put_records([stream_record({"PK": "a"}, {"L": [{"v": "x\0y"}]}, sequence=1, at=T0)])
    assert harness.run().counts.applied == 1
    ((rescued,),) = harness.query(f"SELECT {harness.rescued} FROM {harness.schema}.lines")
    assert json.loads(rescued) == {"v": {"S": "x\\u0000y"}}


def test_a_key_that_ends_in_a_blank_is_looked_for_in_no_table() -> None:
    assert sql_value(REDSHIFT, "S", "a ") is None
    assert sql_value(REDSHIFT, "S", " a") == "' a'"


def test_a_text_that_is_longer_than_text_may_be_is_rescued(redshift_url: str, tmp_path: Path) -> None:
    harness = Harness(redshift_url, Source("s", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    fits, too_long = "ä" * 32_767 + "x", "ä" * 32_768
    harness.put_records([put("fits", 1, v=fits), put("long", 1, v=too_long)])
    assert harness.run().counts.applied == 2
    items = f"{harness.schema}.items"
    rows = harness.query(f"SELECT pk, v, _cdc_rescued IS NULL FROM {items} ORDER BY 1")
    assert rows == [("fits", fits, True), ("long", None, False)]
    with closing(harness.open()) as warehouse, warehouse.session() as session:  # it is too long to be read as text
        session.load("wanted", pa.table({"j": [json.dumps({"v": {"S": too_long}}, ensure_ascii=False)]}).to_reader())
        same = f"{items} AS i JOIN wanted AS w ON i._cdc_rescued = JSON_PARSE(w.j)"
        assert session.query(f"SELECT i.pk FROM {same}") == [("long",)]
