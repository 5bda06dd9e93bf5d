"""An S3 bucket, or anything that speaks its API, as an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3
import botocore.session
import botocore.utils
from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from cdc_merge.aws import NO_ANSWER, RENEW, WHO_AM_I, client_config, code_of, is_broken_off, is_busy, said
from cdc_merge.errors import CdcMergeError, StoreDenied, StoreUnavailable
from cdc_merge.feed.store import PAGE, Page, changed
from cdc_merge.model import ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_GET_ATTEMPTS = 5  # of one body that breaks off; each goes on where the last one stopped
_READ_BYTES = 2**20

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412"})
_BUSY = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "RequestTimeout",
        "InternalError",
        "ServiceUnavailable",
        "OperationAborted",
    }
)
_MAY_READ = "allow s3:ListBucket on the bucket, s3:GetObject on its objects, kms:Decrypt on their key"
_REGION = "set AWS_DEFAULT_REGION to the bucket's region"
_HINTS = {
    "NoSuchBucket": "correct the bucket in `{setting}`, or create it: aws s3 mb s3://{bucket}",
    "InvalidBucketName": "correct the bucket in `{setting}`",
    "AccessDenied": _MAY_READ,
    "AllAccessDisabled": _MAY_READ,
    "403": _MAY_READ,
    "InvalidObjectState": "the object is archived: restore it, or keep the prefix out of the lifecycle rule",
    "ExpiredToken": RENEW,
    "InvalidToken": RENEW,
    "TokenRefreshRequired": RENEW,
    "RequestTimeTooSkewed": "set this machine's clock",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
}


class S3Store:
    """Objects of any S3 API, found through the usual AWS environment (AWS_ENDPOINT_URL, AWS_PROFILE, ...)."""

    def __init__(
        self, bucket: str, prefix: str = "", *, client: S3Client | None = None, setting: str = "changes"
    ) -> None:
        """`setting`: the one that names the place, for hints."""
        self._setting = setting
        self.bucket = bucket
        self.prefix = prefix
        self.root = f"s3://{bucket}/{prefix}"
        with self._reacting(self.root):
            self._client: S3Client = client or _session().client("s3", config=client_config())

    def list_page(self, *, start_after: str | None, limit: int = PAGE) -> Page:
        more: dict[str, Any] = {"StartAfter": start_after} if start_after else {}
        while True:
            with self._reacting(self.root):
                # botocore asks for EncodingType=url and decodes the keys, so odd characters survive the XML
                reply = self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=limit, **more)
            refs = tuple(
                ObjectRef(entry["Key"], entry["ETag"].strip('"'), entry["Size"], entry["LastModified"])
                for entry in reply.get("Contents", ())
            )
            if refs or not reply["IsTruncated"]:
                return Page(refs, is_last=not reply["IsTruncated"])
            # a page may hold fewer keys than asked for, even none
            more = {"ContinuationToken": reply["NextContinuationToken"]}

    def fetch(self, ref: ObjectRef, directory: Path) -> Path:
        path = directory / blake2b(f"{ref.key}\0{ref.version}".encode(), digest_size=16).hexdigest()
        # Under its own name at once: nobody looks at a file whose fetching raised.
        with self._reacting(self.describe(ref), ref), path.open("wb", buffering=0) as file:
            self._download(ref, file)
        return path

    def _download(self, ref: ObjectRef, file: BinaryIO) -> None:
        """One GET, as objects are fetched side by side; a body that breaks off is taken up where it ended."""
        for attempt in range(1, _GET_ATTEMPTS + 1):
            done = file.tell()
            onward: dict[str, Any] = {"Range": f"bytes={done}-"} if done else {}
            body = self._client.get_object(
                Bucket=self.bucket,
                Key=ref.key,
                IfMatch=f'"{ref.version}"',
                **onward,
            )["Body"]
            try:
                for piece in body.iter_chunks(_READ_BYTES):
                    _write(file, piece)
                return
            except BotoCoreError as error:
                if attempt == _GET_ATTEMPTS or not is_broken_off(error):
                    raise
                if isinstance(error, FlexibleChecksumError):
                    file.seek(0)  # which of the bytes is wrong is not known
                    file.truncate()
            finally:
                body.close()

    def begin(self, ref: ObjectRef, size: int) -> bytes:
        if ref.size == 0:
            return b""  # it has no range
        with self._reacting(self.describe(ref), ref):
            reply = self._client.get_object(
                Bucket=self.bucket, Key=ref.key, IfMatch=f'"{ref.version}"', Range=f"bytes=0-{size - 1}"
            )
            return reply["Body"].read()

    def verify(self, ref: ObjectRef, path: Path) -> None:
        """A fetched object is a private copy of one version: it cannot change."""

    def describe(self, ref: ObjectRef) -> str:
        return f"s3://{self.bucket}/{ref.key}"

    @contextmanager
    def _reacting(self, where: str, ref: ObjectRef | None = None) -> Iterator[None]:
        """Turn what boto3 raises into the reaction it asks for."""
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            if ref is not None and _is_gone(error):
                raise changed(where) from error
            raise _reaction(error, where=where, bucket=self.bucket, setting=self._setting) from error


def _session() -> boto3.session.Session:
    """One that reads times quickly: where boto3 lists many objects, it takes most of the time for that."""
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_time)
    return boto3.session.Session(botocore_session=core)


def read_time(value: Any) -> datetime:
    """A time as botocore reads it, but in 1 to 4 µs for 30 to 50 where it is in a form that S3 writes.

    Lists: ISO 8601 (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html); headers: as HTTP has them.
    """
    if isinstance(value, str):  # other services of the same session write numbers
        with suppress(ValueError):
            if "T" in value[10:11]:
                return datetime.fromisoformat(value)
            if value.endswith(" GMT"):
                return parsedate_to_datetime(value)
    return botocore.utils.parse_timestamp(value)


def _is_gone(error: BotoCoreError | ClientError) -> bool:
    """Whether the object asked for is not there, or not in the version asked for."""
    return isinstance(error, ClientError) and code_of(error) in _GONE


def _reaction(error: BotoCoreError | ClientError, *, where: str, bucket: str, setting: str) -> CdcMergeError:
    """StoreUnavailable for what time may cure, StoreDenied for what a person must."""
    if not isinstance(error, ClientError):
        if is_broken_off(error):
            return StoreUnavailable(
                f"the object store did not answer: {error}",
                where=where,
                hint=NO_ANSWER,
            )
        return StoreDenied(str(error), where=where, hint=WHO_AM_I)
    message = said(error, "the object store")
    if is_busy(error, _BUSY):
        return StoreUnavailable(message, where=where, hint="nothing to do unless it lasts")
    hint = _HINTS.get(code_of(error), WHO_AM_I).format(bucket=bucket, setting=setting)
    return StoreDenied(message, where=where, hint=hint)


def _write(file: BinaryIO, piece: bytes) -> None:
    """Write all of it. A disk that fills up in its midst takes a part, and says no more than how much.

    https://docs.python.org/3/library/io.html#io.RawIOBase.write
    """
    left = memoryview(piece)
    while left:
        left = left[file.write(left) :]
