"""The S3 prefix that an external stage of Snowflake points to: the worker puts files there, and Snowflake reads them.

https://docs.snowflake.com/en/user-guide/data-load-s3
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from cdc_merge.errors import WarehouseUnavailable
from cdc_merge.logs import get_logger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_MOST_DELETED = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html

log = get_logger("cdc_merge.snowflake")


class Bucket:
    """Where the files of one warehouse lie; each load has a folder of its own below it."""

    def __init__(self, bucket: str, prefix: str, *, region: str | None) -> None:
        """`prefix` ends in a slash, or is empty. `region`: None: as the environment says."""
        self._bucket = bucket
        self._prefix = prefix
        self._region = region

    @cached_property
    def _client(self) -> S3Client:
        return boto3.session.Session().client("s3", region_name=self._region)

    def put(self, path: Path, folder: str) -> None:
        """Raises WarehouseUnavailable when S3 does not take the file."""
        key = f"{self._prefix}{folder}/{path.name}"
        with self._reacting(key):
            self._client.upload_file(str(path), self._bucket, key)

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """What cannot be removed is left to the bucket's lifecycle rule, and told to the log."""
        for start in range(0, len(names), _MOST_DELETED):
            objects: list[ObjectIdentifierTypeDef] = [
                {"Key": f"{self._prefix}{folder}/{name}"} for name in names[start : start + _MOST_DELETED]
            ]
            try:
                self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            except (BotoCoreError, ClientError) as error:
                log.warning("staging_left", bucket=self._bucket, keys=len(objects), error=str(error))

    @contextmanager
    def _reacting(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            raise WarehouseUnavailable(
                f"S3 does not take the staged file: {error}",
                where=f"s3://{self._bucket}/{key}",
                hint="may the worker put objects there? see docs/snowflake.md",
            ) from error


__all__ = ["Bucket"]
