"""A prefix on S3 where a worker puts files for a warehouse to load, and takes them away again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from cdc_merge.aws import client_config
from cdc_merge.errors import WarehouseUnavailable
from cdc_merge.logs import get_logger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MOST_DELETED = 1000  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_ONE_REQUEST = 8 * 2**20  # bytes; above, boto3 sends parts side by side

log = get_logger("cdc_merge.staging")


@dataclass(frozen=True)
class StagingPrefix:
    """`prefix` ends in a slash, or is empty. `region`: None: as the environment says. `page`: where docs speak of it.

    Keys are those below the prefix. Methods that put raise WarehouseUnavailable when S3 does not take a file.
    """

    bucket: str
    prefix: str
    region: str | None
    page: str

    @cached_property
    def _client(self) -> S3Client:
        return boto3.session.Session().client("s3", region_name=self.region, config=client_config())

    def url(self, key: str) -> str:
        """Where a key lies."""
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def put(self, path: Path, key: str) -> None:
        """A file."""
        if path.stat().st_size <= _ONE_REQUEST:  # without the threads of a transfer
            self.put_bytes(path.read_bytes(), key)
            return
        with self._reacting(key):
            self._client.upload_file(str(path), self.bucket, self.prefix + key)

    def put_bytes(self, data: bytes, key: str) -> None:
        """A few bytes."""
        with self._reacting(key):
            self._client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    def remove(self, keys: Sequence[str]) -> None:
        """What cannot be removed is left to the prefix's lifecycle rule, and told to the log."""
        for start in range(0, len(keys), _MOST_DELETED):
            some = keys[start : start + _MOST_DELETED]
            try:
                answer = self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": self.prefix + key} for key in some], "Quiet": True}
                )
            except (BotoCoreError, ClientError) as error:
                log.warning("staging_left", bucket=self.bucket, keys=len(some), error=str(error))
                continue
            if refused := answer.get("Errors"):  # key by key, though the request itself went well
                reason = f"{refused[0].get('Code')}: {refused[0].get('Message')}"
                log.warning("staging_left", bucket=self.bucket, keys=len(refused), error=reason)

    @contextmanager
    def _reacting(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            raise WarehouseUnavailable(
                f"S3 does not take the staged file: {error}",
                where=self.url(key),
                hint=f"may the worker put objects there? see {self.page}",
            ) from error


__all__ = ["StagingPrefix"]
