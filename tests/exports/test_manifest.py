"""Manifests are read as DynamoDB writes them, in each of their forms; what they cannot mean is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cdc_merge.errors import Refused
from cdc_merge.exports.manifest import (
    ExportFormat,
    ExportKind,
    is_table,
    parse_files,
    parse_summary,
    paths_of,
    verify_checksum,
    verify_count,
)

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/ProductCatalog"
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
FULL: dict[str, Any] = {
    "version": "2020-06-30",
    "exportArn": f"{TABLE}/export/01234567890123-a1b2c3d4",
    "startTime": "2020-11-04T07:28:34.028Z",
    "endTime": "2020-11-04T07:33:43.897Z",
    "tableArn": TABLE,
    "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
    "exportTime": "2020-11-04T07:28:34.028Z",
    "s3Bucket": "ddb-productcatalog-export",
    "s3Prefix": "2020-Nov",
    "s3SseAlgorithm": "AES256",
    "s3SseKmsKeyId": None,
    "manifestFilesS3Key": "AWSDynamoDB/01693685827463-2d8752fd/manifest-files.json",
    "billedSizeBytes": 0,
    "itemCount": 8,
    "outputFormat": "DYNAMODB_JSON",
    "exportType": "FULL_EXPORT",
}
INCREMENTAL: dict[str, Any] = {
    **{name: value for name, value in FULL.items() if name != "exportTime"},
    "version": "2023-08-01",
    "exportFromTime": "2023-09-18T17:00:00.000Z",
    "exportToTime": "2023-09-19T04:00:00.000Z",
    "outputView": "NEW_AND_OLD_IMAGES",
    "exportType": "INCREMENTAL_EXPORT",
}
LINE = {
    "itemCount": 8,
    "md5Checksum": "sQMSpEILNgoQmarvDFonGQ==",
    "etag": "af83d6f217c19b8b0fff8023d8ca4716-1",
    "dataFileS3Key": "AWSDynamoDB/01693685827463-2d8752fd/data/asdl123dasas.json.gz",
}
AT = "s3://lake/2020-Nov/AWSDynamoDB/01234567890123-a1b2c3d4"


def summary(fields: dict[str, Any], **other: Any) -> Any:
    kept = {name: value for name, value in (fields | other).items() if value is not ...}
    return parse_summary(json.dumps(kept).encode(), location=AT)


def test_a_full_export_is_as_of_its_export_time() -> None:
    found = summary(FULL)
    assert (found.id, found.location, found.items) == ("01234567890123-a1b2c3d4", AT, 8)
    assert (found.kind, found.format) == (ExportKind.FULL, ExportFormat.DYNAMODB_JSON)
    assert (found.as_of, found.since) == (datetime(2020, 11, 4, 7, 28, 34, 28_000, tzinfo=UTC), None)
    assert (found.arn, found.table_arn) == (FULL["exportArn"], TABLE)


def test_an_incremental_export_is_of_a_window() -> None:
    found = summary(INCREMENTAL, outputFormat="ION")
    assert (found.kind, found.format) == (ExportKind.INCREMENTAL, ExportFormat.ION)
    assert (found.since, found.as_of) == (
        datetime(2023, 9, 18, 17, tzinfo=UTC),
        datetime(2023, 9, 19, 4, tzinfo=UTC),
    )


def test_an_export_without_a_type_is_told_by_its_times() -> None:
    assert summary(FULL, exportType=...).kind is ExportKind.FULL
    assert summary(INCREMENTAL, exportType=...).kind is ExportKind.INCREMENTAL


def test_an_export_without_an_arn_is_named_after_its_folder() -> None:
    found = summary(FULL, exportArn=..., tableArn=...)
    assert (found.id, found.arn, found.table_arn) == ("01234567890123-a1b2c3d4", None, None)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"exportType": "SIDEWAYS_EXPORT"}, "exportType is 'SIDEWAYS_EXPORT', expected FULL_EXPORT or"),
        ({"outputFormat": "PARQUET"}, "outputFormat is 'PARQUET', expected DYNAMODB_JSON or ION"),
        ({"outputFormat": ...}, "outputFormat is None"),
        ({"exportTime": ...}, "there is no exportTime"),
        ({"exportTime": "yesterday"}, "exportTime is 'yesterday', expected a time like"),
        ({"exportTime": 1604474914}, "exportTime is 1604474914, expected text"),
        ({"itemCount": "8"}, "itemCount is '8', expected a whole number"),
        ({"itemCount": -1}, "itemCount is -1"),
        ({"manifestFilesS3Key": ...}, "there is no manifestFilesS3Key"),
        ({"exportType": "INCREMENTAL_EXPORT"}, "there is no exportToTime"),
    ],
)
def test_a_summary_that_says_something_else_is_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        summary(FULL, **other)
    assert message in caught.value.message
    assert caught.value.where == f"{AT}/manifest-summary.json"
    assert "new export" in (caught.value.hint or "")


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(Refused, match="not before exportToTime"):
        summary(INCREMENTAL, exportToTime=INCREMENTAL["exportFromTime"])


@pytest.mark.parametrize("data", [b"", b"[]", b'{"exportArn":', b"\xff"])
def test_a_summary_that_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="not"):
        parse_summary(data, location=AT)


def test_the_files_manifest_has_one_file_a_line_and_they_may_be_none() -> None:
    other = LINE | {"itemCount": 0, "dataFileS3Key": "AWSDynamoDB/x/data/b.json.gz", "md5Checksum": None}
    data = f"{json.dumps(LINE)}\n\n{json.dumps(other)}\n".encode()
    one, two = parse_files(data, where="m")
    assert (one.key, one.items, one.md5) == (LINE["dataFileS3Key"], 8, LINE["md5Checksum"])
    assert (two.items, two.md5) == (0, None)
    assert parse_files(b"", where="m") == ()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"md5Checksum": "af83d6f217c19b8b0fff8023d8ca4716"}, "expected base64 of an MD5"),
        ({"md5Checksum": "?"}, "expected base64 of an MD5"),
        ({"dataFileS3Key": ""}, "there is no dataFileS3Key"),
        ({"itemCount": True}, "itemCount is True"),
    ],
)
def test_a_line_of_the_files_manifest_is_refused_by_its_number(other: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_files(
            f"{json.dumps(LINE)}\n{json.dumps(LINE | {'dataFileS3Key': 'b'} | other)}\n".encode(), where="m.json"
        )
    assert message in caught.value.message
    assert caught.value.where == "m.json:2"


def test_a_file_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(Refused, match="listed twice"):
        parse_files(f"{json.dumps(LINE)}\n{json.dumps(LINE)}\n".encode(), where="m")


def test_files_that_do_not_add_up_to_the_summary_are_refused() -> None:
    files = parse_files(json.dumps(LINE).encode(), where="m")
    verify_count(summary(FULL), files)
    with pytest.raises(Refused, match=r"miscounted: its files manifest lists 8 items, its summary says 1,009"):
        verify_count(summary(FULL, itemCount=1009), files)


def test_a_checksum_is_base64_or_hex_of_md5_or_sha256() -> None:
    data = b"{}"
    for digest in (hashlib.md5(data), hashlib.sha256(data)):
        for text in (
            base64.b64encode(digest.digest()),
            digest.hexdigest().encode(),
            digest.hexdigest().upper().encode(),
        ):
            verify_checksum(data, text + b"\n", where="m")
            with pytest.raises(Refused, match="its checksum is"):
                verify_checksum(b"{ }", text, where="m")
    for unknown in (b"", b"hash", b"\xff" * 25):
        with pytest.raises(Refused, match="no known form"):
            verify_checksum(data, unknown, where="m")


@pytest.mark.parametrize(
    ("key", "below_root", "below_folder"),
    [
        ("AWSDynamoDB/01-a/data/x.json.gz", "AWSDynamoDB/01-a/data/x.json.gz", "data/x.json.gz"),
        ("a/b/AWSDynamoDB/01-a/data/x.json.gz", "AWSDynamoDB/01-a/data/x.json.gz", "data/x.json.gz"),
        ("AWSDynamoDB/AWSDynamoDB/01-a/data/x.gz", "AWSDynamoDB/01-a/data/x.gz", "data/x.gz"),
        ("myAWSDynamoDB/AWSDynamoDB/data/x.gz", "AWSDynamoDB/data/x.gz", "data/x.gz"),
        ("elsewhere/x.gz", "elsewhere/x.gz", "elsewhere/x.gz"),
    ],
)
def test_a_data_file_is_placed_whatever_prefix_its_key_names(key: str, below_root: str, below_folder: str) -> None:
    assert paths_of(key) == (below_root, below_folder)


def test_a_table_is_told_by_its_name_or_its_arn() -> None:
    assert is_table(TABLE, TABLE)
    assert is_table(TABLE, "ProductCatalog")
    assert is_table(None, "ProductCatalog")
    assert not is_table(TABLE, "Catalog")
    assert is_table(TABLE, TABLE.replace("us-east-1", "eu-west-1"))  # a replica of a global table
    assert not is_table(TABLE, TABLE.replace(TABLE.split(":")[4], "999999999999"))
