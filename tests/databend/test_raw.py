"""The SQL that decodes raw records, in Snowflake's words, on a real engine of that kind; COPY alone is the test's."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest

from cdc_merge.warehouses.raw import Loaded, Packing, RawObject
from cdc_merge.warehouses.snowflake import SnowflakeSession
from tests.databend.engine import Databend
from tests.raw.test_road import FULL, ODD, PLAIN, SHOP, put
from tests.support.records import Record, frame
from tests.support.two_roads import S3Harness, TwoRoads

pytestmark = [pytest.mark.long, pytest.mark.databend]

# Those that tell most of the engine: how it reads patterns and texts. Each takes it a minute.
TOLD = ("a sequence number of two lines", "U+0000")


def load_raw(self: SnowflakeSession, table: str, objects: Sequence[RawObject]) -> Loaded:
    """Databend has other names for a file's checksum and no records that run together: the texts are loaded instead."""
    client, texts, counts = boto3.session.Session().client("s3"), list[str](), dict[str, int]()
    for each in objects:
        bucket, _, key = each.url.removeprefix("s3://").partition("/")
        body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        found = list(documents((gzip.decompress(body) if each.packing is Packing.GZIP else body).decode()))
        counts[each.url] = len(found)
        texts += found
    self.load("_cdc_texts", pa.table({"document": texts}).to_reader())
    self._said(f"CREATE OR REPLACE TEMPORARY TABLE {table} AS SELECT PARSE_JSON(document) AS document FROM _cdc_texts")
    self._temporary.add(table)
    return Loaded(counts)


def documents(text: str) -> list[str]:
    found, at, decoder = list[str](), 0, json.JSONDecoder()
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end])
        at = end
    return found


@pytest.fixture
def roads(
    databend_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> TwoRoads:
    caplog.set_level("INFO", "cdc_merge.worker")
    monkeypatch.setattr(SnowflakeSession, "load_raw", load_raw)
    monkeypatch.setattr(S3Harness, "_make_stage", lambda _self: "none")
    # Bytes it cannot compare: `token` is left to _cdc_rescued.
    (items,) = SHOP.targets
    columns = tuple(column for column in items.columns or () if column.name != "token")
    roads = TwoRoads.of(databend_url, replace(SHOP, targets=(replace(items, columns=columns),)), tmp_path)
    assert roads.merge(frame([put("first", 1, FULL)])) == "worker"
    return roads


def keyed(record: Record, key: str) -> Record:
    """The record of another item."""
    made: Record = deepcopy(record)
    made["dynamodb"]["Keys"]["PK"] = {"S": key}
    if "NewImage" in made["dynamodb"]:
        made["dynamodb"]["NewImage"]["PK"] = {"S": key}
    return made


def test_what_is_plain_is_decoded_as_the_worker_does(roads: TwoRoads, databend: Databend) -> None:
    plain: list[Any] = [keyed(record, f"k{n}") for n, record in enumerate(PLAIN.values())]
    assert roads.merge(frame([*plain, put("a", 3, FULL), put("a", 2, {"Name": "old"})])) == "warehouse"
    assert roads.merge(frame([put("a", 4, None), put("first", 0, FULL)]), frame([put("a", 4, None)])) == "warehouse"
    assert {
        "kinds of values",
        "how many members",
        "moments of numbers",
        "bytes that may be none",
    } <= databend.translated


def test_what_is_odd_is_in_doubt(roads: TwoRoads) -> None:
    for number, what in enumerate(TOLD, start=100):
        merged = roads.merge(frame([put("plain", number, FULL), ODD[what]]), frame([put("plain", number, FULL)]))
        assert merged in ("worker", "nobody"), what
