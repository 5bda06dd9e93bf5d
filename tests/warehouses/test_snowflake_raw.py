"""Raw objects are loaded into Snowflake whole, each told from the others, or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import boto3
import pytest

from cdc_merge.errors import UsageError, WarehouseRefused
from cdc_merge.warehouses import open_warehouse
from cdc_merge.warehouses.raw import Loaded, LoadsRaw, Packing, RawObject
from cdc_merge.warehouses.snowflake_raw import load_raw
from cdc_merge.warehouses.snowflake_url import Address, Feed
from tests.support.s3 import MotoS3, s3_environment

FEED = Feed("db.s.feed", "s3://lake/firehose/", "lake", "firehose/")
URL = "snowflake://me:x@account/db"


class Bucket:
    """A bucket with a stage over a part of it, and a session that loads from there."""

    def __init__(self, s3: MotoS3, name: str, session: Any) -> None:
        self.name = name
        self.session = session
        self._s3 = s3

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> RawObject:
        answer = self._s3.client.put_object(Bucket=self.name, Key=key, Body=body)
        packing = Packing.GZIP if body.startswith(b"\x1f\x8b") else Packing.NONE
        return RawObject(f"s3://{self.name}/{key}", etag or answer["ETag"].strip('"'), packing)

    def load(self, *objects: RawObject) -> Loaded:
        assert isinstance(self.session, LoadsRaw)
        found = self.session.load_raw("_cdc_raw", objects)
        assert found
        return found

    def documents(self) -> list[str]:
        return [row[0] for row in self.session.query('SELECT TO_JSON(document) FROM "_CDC_RAW" ORDER BY 1')]


@pytest.fixture
def bucket(snowflake_url: str, staging_endpoint: str) -> Iterator[Bucket]:
    with s3_environment(staging_endpoint):
        s3 = MotoS3(staging_endpoint, boto3.session.Session().client("s3"))
        name = s3.create_bucket()
        url = f"{snowflake_url}&feeds=public.other:s3://elsewhere/,public.feed:s3://{name}/feed/"
        with closing(open_warehouse(url)) as warehouse, warehouse.session() as session:
            session.query(f"CREATE STAGE public.feed URL = 's3://{name}/feed/' STORAGE_INTEGRATION = lake")
            yield Bucket(s3, name, session)


def test_documents_of_any_framing_are_counted_by_their_object(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc_merge.warehouses.snowflake_raw.MOST_FILES", 2)
    objects = [
        bucket.put("feed/2026/run-together", b'{"a":1}{"a":2}\n{"a":3}'),
        bucket.put("feed/it's 100% \xc3\xa4".encode("latin-1").decode(), b'\n{"a":\n4}\r\n'),
        bucket.put("feed/packed", gzip.compress(b'{"a":5}\n')),
        bucket.put("feed/deep/er/packed", gzip.compress(b'{"a":6}{"a":7}')),
        bucket.put("feed/one", b'{"a":8}'),
        bucket.put("feed/blank", b" \n"),
    ]
    loaded = bucket.load(*objects)
    assert [loaded.documents[o.url] for o in objects] == [3, 1, 1, 2, 1, 0]
    assert loaded.unproven == {objects[-1].url}, "of what has no document nothing is told"
    assert bucket.documents() == [f'{{"a":{n}}}' for n in range(1, 9)]
    assert sum(bucket.load(*objects).documents.values()) == 8, "an old object is no reason to leave it out"


def test_an_object_of_another_checksum_is_not_proven(bucket: Bucket) -> None:
    one, other = bucket.put("feed/one", b"{}"), bucket.put("feed/other", b"{}", etag="as-it-was-listed")
    assert bucket.load(one, other).unproven == {other.url}


@pytest.mark.parametrize(
    "body",
    [
        *(
            b'{"a":1',
            b'{"a":1,"a":2}',
            b'{"a":"\xff"}',
            b'\xef\xbb\xbf{"a":1}',
            gzip.compress(b'{"a":1}', mtime=0)[:-4],
        ),
        gzip.compress(b'{"a":1', mtime=0),
    ],
)
def test_one_object_with_an_error_is_an_error_for_all(bucket: Bucket, body: bytes) -> None:
    good = gzip.compress(b"{}") if body.startswith(b"\x1f") else b"{}"
    objects = [bucket.put("feed/good", good), bucket.put("feed/bad", body)]
    with pytest.raises(WarehouseRefused, match="parsing JSON"):
        bucket.load(*objects)
    assert bucket.documents() == []


def test_what_a_stage_cannot_name_or_does_not_cover_is_refused(bucket: Bucket) -> None:
    gone = RawObject(f"s3://{bucket.name}/feed/gone", "etag", Packing.NONE)
    for objects, why in (
        ([bucket.put("feed/good", b"{}"), gone], "was not found"),
        ([bucket.put("other/good", b"{}")], "no stage of the URL covers the objects"),
        ([bucket.put("feed/a\\b", b"{}")], "a backslash"),
    ):
        with pytest.raises(WarehouseRefused, match=why):
            bucket.load(*objects)


def test_a_stage_that_is_elsewhere_is_not_read_though_it_has_files_of_these_names(bucket: Bucket) -> None:
    bucket.put("feed/one", b'{"a":1}')
    at = f"s3://{bucket.name}/feed/"
    bucket.session.query(f"CREATE STAGE public.other URL = '{at}' STORAGE_INTEGRATION = lake")
    with pytest.raises(WarehouseRefused, match=f"the stage public.other is at {at}, the URL says s3://elsewhere/"):
        bucket.load(RawObject("s3://elsewhere/one", "etag", Packing.NONE))


@pytest.mark.parametrize(("stage", "asked"), [("db.s.feed", "@db.s.feed"), ('db.s."a feed"', """'@db.s."a feed"'""")])
@pytest.mark.parametrize("place", ["s3://lake/firehose/", "s3://lake/firehose"])
def test_the_stage_is_asked_where_it_is(stage: str, asked: str, place: str) -> None:
    said = list[str]()

    def fetch(sql: str) -> list[Any]:
        said.append(sql)
        return [(place,)] if len(said) == 1 else COPIED if len(said) == 2 else [("a", "a", 2), ("b/a", "b/a", 1)]

    load_raw([replace(FEED, stage=stage)], '"T"', OBJECTS, execute=lambda _sql: None, fetch=fetch)
    assert said[0] == f"SELECT GET_STAGE_LOCATION({asked})"


OBJECTS = [RawObject(f"s3://lake/firehose/{name}", name, Packing.NONE) for name in ("a", "b/a")]
COPIED = [("a", "LOADED", 2, 2), ("b/a", "LOADED", 1, 1)]


def load(copied: list[Any], told: list[Any]) -> Loaded:
    answers = [told, copied, [(FEED.url,)]]
    return load_raw([FEED], '"T"', OBJECTS, execute=lambda _sql: None, fetch=lambda _sql: answers.pop())


@pytest.mark.parametrize("begin", ["", "firehose/", "lake/firehose/", "s3://lake/firehose/"])
def test_files_are_known_by_whatever_their_full_name_begins_with(begin: str) -> None:
    loaded = load(COPIED, [(f"{begin}a", '"a"', 2), (f"{begin}b/a", "?", 1)])
    assert loaded == Loaded({OBJECTS[0].url: 2, OBJECTS[1].url: 1}, frozenset({OBJECTS[1].url}))


def test_a_name_that_could_be_of_two_objects_is_of_neither() -> None:
    # The stage is over firehose/: its file `a` has the full name firehose/a, and `firehose/a` is the name of another.
    objects = [RawObject(f"s3://lake/firehose/{name}", name, Packing.NONE) for name in ("a", "firehose/a")]
    answers = [[("firehose/a", "?", 2)], [("a", "LOADED", 2, 2), ("firehose/a", "LOADED", 0, 0)], [(FEED.url,)]]
    with pytest.raises(WarehouseRefused, match="which object COPY calls firehose/a"):
        load_raw([FEED], '"T"', objects, execute=lambda _sql: None, fetch=lambda _sql: answers.pop())


@pytest.mark.parametrize(
    ("copied", "told", "why"),
    [
        (COPIED[:1], [], "has not loaded all of 2 files"),
        ([COPIED[0], ("b/a", "LOAD_SKIPPED", 0, 0)], [], "has not loaded all"),
        ([COPIED[0], ("b/a", "PARTIALLY_LOADED", 2, 1)], [], "has not loaded all"),
        (COPIED, [("a", "a", 2)], "other rows than there are"),
        (COPIED, [("a", "a", 2), ("c", "c", 1)], "files that it was not asked for: a"),
        (COPIED, [("a", "a", 2), ("a", "c", 1)], "two versions of s3://lake/firehose/a"),
    ],
)
def test_what_copy_tells_must_add_up(copied: list[Any], told: list[Any], why: str) -> None:
    with pytest.raises(WarehouseRefused, match=why):
        load(copied, told)


def test_the_url_names_the_stages_of_feeds_with_their_places() -> None:
    address = Address.of(f"{URL}?feeds=@db.s.feed:s3://lake/firehose/,db.s.all:s3://raw/")
    assert address.feeds == (FEED, Feed("db.s.all", "s3://raw/", "raw", ""))
    for wrong in ("db.s.feed", "db.s.feed:s3://lake/firehose", "s3://lake/", "a:gs://lake/", "a:s3://lake/,"):
        with pytest.raises(UsageError, match="feeds must name external stages") as caught:
            Address.of(f"{URL}?feeds={wrong}")
        assert "end in a slash" in (caught.value.hint or "")
