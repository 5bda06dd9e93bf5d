"""One contract, kept by every store: S3 over HTTP, a directory, and the double that other tests use."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import FileIO
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from botocore.utils import parse_timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_merge.errors import CdcMergeError, ObjectChanged, StoreDenied, StoreUnavailable, UsageError
from cdc_merge.feed.directory import DirectoryStore
from cdc_merge.feed.s3 import S3Store, read_time
from cdc_merge.feed.store import ObjectStore, open_store
from cdc_merge.model import ObjectRef
from tests.support.s3 import MotoS3, count_requests, moto_s3
from tests.support.stores import DirectoryPlace, MemoryStore, Place, S3Place


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoS3]:
    with moto_s3() as server:
        yield server


@pytest.fixture(params=["s3", "directory", "memory-double"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        server: MotoS3 = request.getfixturevalue("moto")
        bucket = server.create_bucket()
        server.client.put_object(Bucket=bucket, Key="fee", Body=b"before the prefix")
        server.client.put_object(Bucket=bucket, Key="feed2/a", Body=b"after the prefix")
        return S3Place(open_store(f"s3://{bucket}/feed/"), server.client)
    if request.param == "directory":
        (tmp_path / "feed").mkdir()
        return DirectoryPlace(DirectoryStore(tmp_path / "feed"))
    return MemoryStore()


def names(store: ObjectStore, start_after: str | None = None, limit: int = 1000) -> list[str]:
    """All keys below the prefix, page by page."""
    found: list[str] = []
    after = start_after
    while True:
        page = store.list_page(start_after=after, limit=limit)
        assert len(page.objects) <= limit
        found += [ref.key for ref in page.objects]
        if page.is_last:
            return [key.removeprefix(store.prefix) for key in found]
        after = page.objects[-1].key


def only(store: ObjectStore) -> ObjectRef:
    (ref,) = store.list_page(start_after=None).objects
    return ref


ODD = [
    "a b",
    "a+b",
    "100%",
    "%2F",
    "café",
    "cafe\u0301",
    "日本/語.gz",
    "😀/😀",
    "a&b<c>",
    "k=v/x'y\"z",
    "~",
    "\uffee",
]


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_a_listing_is_in_byte_order_of_the_whole_key(place: Place, limit: int) -> None:
    keys = ["a/b/c", "a-b/c", "a/b", "a0", "b/a", "a/b-c", "B", "a/😀", "a/\uffee", "2026/11/24/19/x"]
    keys.remove("a/b")  # a directory cannot hold both a/b and a/b/c
    for key in keys:
        place.put(key)
    assert names(place.store, limit=limit) == sorted(keys, key=str.encode)


def test_a_listing_begins_after_the_given_key_whether_it_exists_or_not(place: Place) -> None:
    for key in ["a/1", "a/2", "b/1", "c"]:
        place.put(key)
    prefix = place.store.prefix
    assert names(place.store, f"{prefix}a/1") == ["a/2", "b/1", "c"]
    assert names(place.store, f"{prefix}a/") == ["a/1", "a/2", "b/1", "c"]
    assert names(place.store, f"{prefix}a/15") == ["a/2", "b/1", "c"]
    assert names(place.store, f"{prefix}a/\U0010ffff") == ["b/1", "c"]
    assert names(place.store, f"{prefix}c") == []


def test_the_last_page_says_so_and_a_full_one_before_it_does_not(place: Place) -> None:
    for key in "abc":
        place.put(key)
    assert not place.store.list_page(start_after=None, limit=2).is_last
    assert place.store.list_page(start_after=None, limit=3).is_last


def test_an_empty_place_has_one_empty_last_page(place: Place) -> None:
    page = place.store.list_page(start_after=None)
    assert (page.objects, page.is_last) == ((), True)


def test_odd_keys_come_back_as_they_were_put_and_can_be_read(place: Place, tmp_path: Path) -> None:
    for key in ODD:
        place.put(key, key.encode())
    assert names(place.store) == sorted(ODD)
    assert names(place.store, limit=1) == sorted(ODD)
    for ref in place.store.list_page(start_after=None).objects:
        body = place.store.fetch(ref, tmp_path).read_bytes()
        assert body.decode() == ref.key.removeprefix(place.store.prefix)


def test_a_listed_object_has_its_size_and_an_aware_time(place: Place) -> None:
    place.put("a", b"12345")
    ref = only(place.store)
    assert ref.size == 5
    assert ref.modified.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - ref.modified) < timedelta(minutes=10)


def test_a_rewritten_object_has_another_version_and_the_old_one_cannot_be_read(place: Place, tmp_path: Path) -> None:
    place.put("a", b"old")
    old = only(place.store)
    place.put("a", b"newer")
    new = only(place.store)
    assert (new.key, new.version) != (old.key, old.version)
    assert place.store.fetch(new, tmp_path).read_bytes() == b"newer"
    with pytest.raises(ObjectChanged) as caught:
        place.store.fetch(old, tmp_path)
    assert caught.value.where == place.store.describe(old)


def test_a_removed_object_cannot_be_read(place: Place, tmp_path: Path) -> None:
    place.put("a")
    ref = only(place.store)
    place.remove("a")
    with pytest.raises(ObjectChanged):
        place.store.fetch(ref, tmp_path)


def test_an_object_read_undisturbed_passes_verification(place: Place, tmp_path: Path) -> None:
    place.put("a", b"")
    ref = only(place.store)
    path = place.store.fetch(ref, tmp_path)
    assert path.read_bytes() == b""
    place.store.verify(ref, path)


# --- S3 only --------------------------------------------------------------------------------------------


def test_a_prefix_without_a_slash_is_taken_literally(moto: MotoS3) -> None:
    bucket = moto.create_bucket()
    store = open_store(f"s3://{bucket}/cdc")
    for key in ["cdc2026/11/a", "cdcprocessing-failed/2026/x", "other/a"]:
        moto.client.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [ref.key for ref in store.list_page(start_after=None).objects] == [
        "cdc2026/11/a",
        "cdcprocessing-failed/2026/x",
    ]
    assert store.root == f"s3://{bucket}/cdc"


def test_a_bucket_that_is_not_there_is_denied_with_the_command_that_makes_it(moto: MotoS3) -> None:
    with pytest.raises(StoreDenied) as caught:
        open_store("s3://no-such-bucket/feed/").list_page(start_after=None)
    assert caught.value.where == "s3://no-such-bucket/feed/"
    assert "aws s3 mb s3://no-such-bucket" in str(caught.value.hint)


def test_missing_credentials_are_denied(moto: MotoS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreDenied, match="credentials"):
        open_store("s3://any/feed/").list_page(start_after=None)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "SlowDown", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (403, "AccessDenied", StoreDenied),
    ],
)
def test_what_the_store_answers_becomes_the_reaction_it_asks_for(
    moto: MotoS3, status: int, code: str, expected: type[CdcMergeError]
) -> None:
    store = S3Store("any", "feed/", client=moto.client)
    with Stubber(moto.client) as stub:
        stub.add_client_error("list_objects_v2", service_error_code=code, http_status_code=status)
        with pytest.raises(expected) as caught:
            store.list_page(start_after=None)
    assert caught.value.where and caught.value.hint


def test_a_store_that_does_not_answer_is_unavailable(moto: MotoS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    impatient = boto3.session.Session().client("s3", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(StoreUnavailable, match="did not answer"):
        S3Store("any", "feed/", client=impatient).list_page(start_after=None)


def test_a_listing_costs_one_request_a_page(moto: MotoS3) -> None:
    bucket = moto.create_bucket()
    for key in "abcde":
        moto.client.put_object(Bucket=bucket, Key=f"feed/{key}", Body=b"")
    client = boto3.session.Session().client("s3")
    counted = count_requests(client)
    assert names(S3Store(bucket, "feed/", client=client), limit=2) == list("abcde")
    assert counted() == {"ListObjectsV2": 3}


class _HangsUp(BaseHTTPRequestHandler):
    """A double of S3 for one object of 1,000 bytes that closes the connection after 700 of them."""

    body = bytes(range(250)) * 4
    seen: list[tuple[str | None, str | None]]

    def do_GET(self) -> None:
        range_, if_match = self.headers["Range"], self.headers["If-Match"]
        type(self).seen.append((range_, if_match))
        first = int(range_.removeprefix("bytes=").removesuffix("-")) if range_ else 0
        self.send_response(206 if range_ else 200)
        self.send_header("Content-Length", str(len(self.body) - first))
        self.end_headers()
        self.wfile.write(self.body[first : first + 700])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_an_object_has_the_time_that_boto3_reads(moto: MotoS3) -> None:
    bucket = moto.create_bucket()
    moto.client.put_object(Bucket=bucket, Key="feed/a", Body=b"x")
    (ref,) = open_store(f"s3://{bucket}/feed/").list_page(start_after=None).objects
    assert ref.modified == moto.client.list_objects_v2(Bucket=bucket)["Contents"][0]["LastModified"]


@settings(max_examples=100, deadline=None)
@given(time=st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - so asked
def test_times_are_read_as_boto3_reads_them(time: datetime) -> None:
    whole = time.replace(microsecond=0)
    written = {
        f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z": time.replace(
            microsecond=time.microsecond // 1000 * 1000
        ),
        f"{time:%Y-%m-%dT%H:%M:%SZ}": whole,
        f"{time:%Y-%m-%dT%H:%M:%S}+00:00": whole,
        f"{time:%Y%m%dT%H%M%SZ}": whole,
        format_datetime(whole, usegmt=True): whole,
        format_datetime(whole): whole,
        str(int(whole.timestamp())): whole,
    }
    assert read_time(int(whole.timestamp())) == whole
    for text, expected in written.items():
        assert read_time(text) == expected == parse_timestamp(text), text


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-30Tomorrow", "Mon, 31 Foo 2026 15:00:00 GMT"])
def test_what_is_no_time_is_an_error_of_boto3s(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        read_time(text)


def test_a_body_that_breaks_off_is_taken_up_where_it_ended(moto: MotoS3, tmp_path: Path) -> None:
    _HangsUp.seen = []
    server = HTTPServer(("127.0.0.1", 0), _HangsUp)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        client = boto3.session.Session().client("s3", endpoint_url=f"http://127.0.0.1:{server.server_port}")
        ref = ObjectRef("feed/a", "etag", 1000, datetime.now(UTC))
        path = S3Store("any", "feed/", client=client).fetch(ref, tmp_path)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert path.read_bytes() == _HangsUp.body
    assert _HangsUp.seen == [(None, '"etag"'), ("bytes=700-", '"etag"')]


class _FillsUp(FileIO):
    """A file on a disk that takes a part of what is written, and then says that it is full."""

    room = 1_200_000

    def write(self, piece: Any, /) -> int:
        taken = bytes(piece)[: self.room]
        self.room -= len(taken)
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(taken)


def test_an_object_that_a_disk_takes_only_in_part_is_never_taken_for_whole(
    moto: MotoS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = moto.create_bucket()
    moto.client.put_object(Bucket=bucket, Key="a", Body=b"x" * 1_500_000)
    store = S3Store(bucket, "", client=moto.client)
    monkeypatch.setattr(Path, "open", lambda path, *_, **__: _FillsUp(path, "wb"))

    with pytest.raises(OSError, match="No space left"):
        store.fetch(only(store), tmp_path)


# --- directories only -----------------------------------------------------------------------------------


def test_a_directory_that_is_not_there_is_denied(tmp_path: Path) -> None:
    with pytest.raises(StoreDenied) as caught:
        open_store(f"file://{tmp_path}/missing").list_page(start_after=None)
    assert caught.value.where == f"file://{tmp_path}/missing"
    assert caught.value.hint


def test_a_file_rewritten_while_it_is_read_fails_verification(tmp_path: Path) -> None:
    place = DirectoryPlace(DirectoryStore(tmp_path))
    place.put("a/b", b"old")
    ref = only(place.store)
    path = place.store.fetch(ref, tmp_path)
    assert path == tmp_path / "a/b"  # read where it lies
    place.put("a/b", b"newer")
    with pytest.raises(ObjectChanged):
        place.store.verify(ref, path)


def test_hidden_names_and_things_that_are_no_files_are_not_listed(tmp_path: Path) -> None:
    place = DirectoryPlace(DirectoryStore(tmp_path))
    for key in [".a", ".hidden/b", "c/.d.tmp", "_e", "c/f"]:
        place.put(key)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "linked").symlink_to(tmp_path / "_e")
    assert names(place.store) == ["_e", "c/f", "linked"]


def test_a_name_that_is_not_utf8_stops_the_source_rather_than_being_left_out(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(StoreDenied, match="not UTF-8"):
        DirectoryStore(tmp_path).list_page(start_after=None)


def test_a_file_added_to_a_large_directory_at_rest_is_seen_at_once(tmp_path: Path) -> None:
    place = DirectoryPlace(DirectoryStore(tmp_path))
    for n in range(1_100):
        place.put(f"{n:04}", b"")
    os.utime(tmp_path, (1_700_000_000, 1_700_000_000))  # at rest, so its names are kept
    assert len(names(place.store)) == 1_100
    assert place.store.list_page(start_after="0500", limit=1).objects[0].key == "0501"
    place.put("0500a")
    place.remove("0501")
    assert [ref.key for ref in place.store.list_page(start_after="0500", limit=2).objects] == [
        "0500a",
        "0502",
    ]


_SEGMENT = st.text(alphabet="ab-0é😀", min_size=1, max_size=3)
_KEYS = st.sets(st.lists(_SEGMENT, min_size=1, max_size=3).map("/".join), max_size=12)


@settings(max_examples=60, deadline=None)
@given(keys=_KEYS, after=st.text(alphabet="ab-/0é😀", max_size=6), limit=st.integers(1, 5))
def test_any_tree_of_files_is_listed_as_its_sorted_keys(keys: set[str], after: str, limit: int) -> None:
    files = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    with tempfile.TemporaryDirectory() as directory:
        place = DirectoryPlace(DirectoryStore(Path(directory)))
        for key in files:
            place.put(key)
        expected = sorted((key for key in files if key.encode() > after.encode()), key=str.encode)
        assert names(place.store, after, limit) == expected


@pytest.mark.parametrize("url", ["gs://bucket/x", "s3://", "s3:///x", "file://relative", "/plain/path", ""])
def test_a_url_of_another_kind_is_refused_with_the_ones_that_work(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert "s3://bucket/prefix/" in str(caught.value.hint)
