"""The quick double of S3 in the benches answers as moto's server does, counts, and waits as long as it is told."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from time import perf_counter
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bench.s3 import BUCKET, COUNTS, Shelf, entry_of, quick_s3
from tests.support.s3 import moto_s3

BODIES = {f"a/{n:03d} é+%&<.gz": b"body %d" % n for n in range(25)} | {"b/late": b"x" * 100}


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Any, Any]]:
    """One of the double, one of moto, with the same objects."""
    shelf = Shelf()
    shelf.fill({key: entry_of(body) for key, body in BODIES.items()})
    with moto_s3() as moto:
        moto.client.create_bucket(Bucket=BUCKET)
        for key, body in BODIES.items():
            moto.client.put_object(Bucket=BUCKET, Key=key, Body=body)
        with quick_s3(shelf):
            yield boto3.session.Session().client("s3"), moto.client


def listed(client: Any, **arguments: Any) -> list[Any]:
    """What the pages of a listing say: keys, tags, sizes, and whether there is more."""
    pages = []
    while True:
        reply = client.list_objects_v2(Bucket=BUCKET, **arguments)
        entries = [(e["Key"], e["ETag"], e["Size"]) for e in reply.get("Contents", ())]
        pages.append((entries, reply["IsTruncated"], reply["KeyCount"], reply["MaxKeys"]))
        if not reply["IsTruncated"]:
            return pages
        arguments = {**arguments, "ContinuationToken": reply["NextContinuationToken"]}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"Prefix": "a/"},
        {"Prefix": "b"},
        {"Prefix": "c/"},
        {"MaxKeys": 7},
        {"Prefix": "a/", "MaxKeys": 25},
        {"StartAfter": "a/010"},
        {"StartAfter": "a/010 é+%&<.gz", "MaxKeys": 4, "Prefix": "a/"},
        {"StartAfter": "z"},
    ],
)
def test_the_double_lists_as_moto_does(clients: tuple[Any, Any], arguments: dict[str, Any]) -> None:
    ours, motos = (listed(client, **arguments) for client in clients)
    assert ours == motos


@pytest.mark.parametrize("more", [{}, {"Range": "bytes=30-"}])
def test_the_double_gives_bodies_and_tags_as_moto_does(clients: tuple[Any, Any], more: dict[str, str]) -> None:
    tag = clients[0].head_object(Bucket=BUCKET, Key="b/late")["ETag"]
    replies = [client.get_object(Bucket=BUCKET, Key="b/late", IfMatch=tag, **more) for client in clients]
    found = [(r["Body"].read(), r["ETag"], r["ContentLength"], r.get("ContentRange")) for r in replies]
    assert found[0] == found[1] and set(found[0][0]) == set(b"x")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get_object", {"Bucket": BUCKET, "Key": "nothing"}),
        ("get_object", {"Bucket": BUCKET, "Key": "b/late", "IfMatch": '"another"'}),
        ("head_object", {"Bucket": BUCKET, "Key": "nothing"}),
        ("list_objects_v2", {"Bucket": "another"}),
    ],
)
def test_the_double_refuses_as_moto_does(clients: tuple[Any, Any], method: str, arguments: dict[str, str]) -> None:
    found = []
    for client in clients:
        with pytest.raises(ClientError) as refused:
            getattr(client, method)(**arguments)
        response: Any = refused.value.response
        found.append((response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]))
    assert found[0] == found[1]


def test_what_the_double_does_not_know_it_refuses(clients: tuple[Any, Any]) -> None:
    with pytest.raises(ClientError, match="NotImplemented"):
        clients[0].list_objects_v2(Bucket=BUCKET, Delimiter="/")
    with pytest.raises(ClientError, match="NotImplemented"):
        clients[0].delete_object(Bucket=BUCKET, Key="b/late")


def test_requests_are_counted_and_new_objects_are_listed() -> None:
    shelf = Shelf()
    shelf.fill({"a": entry_of(b"12345", datetime(2026, 1, 2, tzinfo=UTC))})
    with quick_s3(shelf) as endpoint:
        client = boto3.session.Session().client("s3")
        put = urllib.request.Request(f"{endpoint}/{BUCKET}/b", data=b"new", method="PUT")
        urllib.request.urlopen(put).close()
        first, second = client.list_objects_v2(Bucket=BUCKET)["Contents"]
        client.get_object(Bucket=BUCKET, Key="a")["Body"].read()
        with urllib.request.urlopen(endpoint + COUNTS) as answer:
            counts = json.load(answer)
    assert counts == {"LIST": 1, "GET": 1, "HEAD": 0, "bytes": 5}
    assert (first["Key"], second["Key"]) == ("a", "b")
    assert first["LastModified"] == datetime(2026, 1, 2, tzinfo=UTC) < second["LastModified"]


def test_every_answer_is_as_late_as_asked_for() -> None:
    shelf = Shelf()
    shelf.fill({"a": entry_of(b"")})
    with quick_s3(shelf, delay=0.05):
        client = boto3.session.Session().client("s3")
        moments = [perf_counter()]
        for _ in range(3):
            client.get_object(Bucket=BUCKET, Key="a")["Body"].read()
            moments.append(perf_counter())
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(moments))
