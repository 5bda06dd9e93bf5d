"""Asks DynamoDB for a full export of a table to S3, and waits until it is complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cdc_merge.errors import StoreDenied, UsageError
from cdc_merge.exports.dynamodb import open_client, reacting, table_arn_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ExportDescriptionTypeDef

POLL_SECONDS = 15.0  # exports take minutes at least, and nothing is promised of how many
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.HowItWorks.html

_FAILURES = {
    "S3NoSuchBucket": "correct `exports`, or create the bucket: aws s3 mb s3://{bucket}",
    "S3AccessDenied": "allow s3:PutObject, s3:PutObjectAcl and s3:AbortMultipartUpload on s3://{bucket}",
}


def request_export(
    table: str,
    exports: str,
    *,
    client: DynamoDBClient | None = None,
    token: str,
    wait: Callable[[float], None],
    progress: Callable[[str, str], None],
) -> str:
    """Export the table (name or ARN) as of now below `exports` (s3://bucket/prefix); the ARN of the export.

    `token`: a second request with the same token, table and place is the first one, for 8 hours after it. So
    one that was interrupted is taken up again, and one that FAILED needs another token.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExportTableToPointInTime.html

    `wait(seconds)` is called between looks at the export, and may raise to stop; the export itself goes on.
    `progress(export ARN, status)` is called after each look.

    Raises UsageError (not an S3 place), StoreDenied (also for an export that failed) and StoreUnavailable.
    """
    bucket, prefix = _place(exports)
    client = client or open_client(table)
    arn = table_arn_of(table, client)
    below: dict[str, Any] = {"S3Prefix": prefix} if prefix else {}
    with reacting(table):
        export = client.export_table_to_point_in_time(
            TableArn=arn,
            ClientToken=token,
            ExportType="FULL_EXPORT",
            ExportFormat="DYNAMODB_JSON",
            S3Bucket=bucket,
            **below,
        )["ExportDescription"]
    progress(export["ExportArn"], export["ExportStatus"])
    while export["ExportStatus"] == "IN_PROGRESS":
        wait(POLL_SECONDS)
        with reacting(table):
            export = client.describe_export(ExportArn=export["ExportArn"])["ExportDescription"]
        progress(export["ExportArn"], export["ExportStatus"])
    if export["ExportStatus"] != "COMPLETED":
        raise _failure(export, bucket=bucket)
    return export["ExportArn"]


def _place(exports: str) -> tuple[str, str]:
    """The bucket and the prefix; DynamoDB puts `/AWSDynamoDB/...` behind the prefix itself."""
    scheme, separator, rest = exports.partition("://")
    bucket, _, prefix = rest.partition("/")
    if not separator or scheme != "s3" or not bucket:
        raise UsageError(
            "DynamoDB exports to S3 only",
            where=exports,
            hint="write `exports: s3://bucket/prefix/`, or read the table with --scan",
        )
    return bucket, prefix.rstrip("/")


def _failure(export: ExportDescriptionTypeDef, *, bucket: str) -> StoreDenied:
    code = export.get("FailureCode") or export["ExportStatus"]
    reason = export.get("FailureMessage") or "no reason is given"
    look = f"see it: aws dynamodb describe-export --export-arn {export['ExportArn']}, and request another one"
    hint = _FAILURES[code].format(bucket=bucket) if code in _FAILURES else look
    return StoreDenied(f"the export failed, {code}: {reason}", where=export["ExportArn"], hint=hint)
