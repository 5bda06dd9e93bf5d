"""Files that a worker puts on S3 for a warehouse to load, and takes away again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from cdc_merge.errors import WarehouseUnavailable
from cdc_merge.warehouses.staging_prefix import StagingPrefix
from tests.support.s3 import MotoS3, s3_environment


@pytest.fixture
def s3(staging_endpoint: str) -> Iterator[MotoS3]:
    with s3_environment(staging_endpoint):
        yield MotoS3(staging_endpoint, boto3.session.Session().client("s3"))


def keys(s3: MotoS3, bucket: str) -> list[str]:
    return [found["Key"] for found in s3.client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_files_of_any_size_lie_below_the_prefix_until_they_are_removed(s3: MotoS3, tmp_path: Path) -> None:
    bucket = s3.create_bucket()
    place = StagingPrefix(bucket, "staging/", None, "docs")
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(b"y" * (8 * 2**20 + 1))
    place.put(small, "a/small")
    place.put(large, "a/large")
    place.put_bytes(b"z", "manifest")
    assert keys(s3, bucket) == ["staging/a/large", "staging/a/small", "staging/manifest"]
    assert place.url("manifest") == f"s3://{bucket}/staging/manifest"
    place.remove(["a/small", "a/large", "manifest"])
    assert keys(s3, bucket) == []


def test_a_bucket_that_takes_nothing_is_told_with_the_page_that_helps(s3: MotoS3, tmp_path: Path) -> None:
    place = StagingPrefix("no-such-bucket-of-ours", "", None, "docs/some.md")
    with pytest.raises(WarehouseUnavailable, match="NoSuchBucket") as caught:
        place.put_bytes(b"z", "manifest")
    assert "docs/some.md" in (caught.value.hint or "") and "manifest" in (caught.value.where or "")
    place.remove(["manifest"])  # is no reason to fail


def test_files_that_s3_refuses_to_remove_one_by_one_are_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    place = StagingPrefix("bucket", "", "eu-west-1", "docs")

    class Denying:  # moto knows no permissions
        def delete_objects(self, **_request: Any) -> dict[str, Any]:
            return {"Errors": [{"Key": key, "Code": "AccessDenied", "Message": "no"} for key in ("a", "b")]}

    vars(place)["_client"] = Denying()
    place.remove(["a", "b", "c"])
    assert "staging_left" in caplog.text and "AccessDenied" in caplog.text and "keys=2" in caplog.text
