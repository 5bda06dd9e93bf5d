"""A DynamoDB table as reads and exports need it: a client, its ARN and key, and what its errors ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from cdc_merge.arn import is_arn, parse_arn
from cdc_merge.aws import NO_ANSWER, RENEW, WHO_AM_I, client_config, code_of, is_broken_off, is_busy, said
from cdc_merge.errors import CdcMergeError, StoreDenied, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, dict[str, Any]]
"""Attributes of an item, or of its key, with their types, as boto3's low-level client has them: numbers are
text, binary values are bytes."""

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_BUSY = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "InternalServerError",
        "ServiceUnavailable",
        "LimitExceededException",
    }
)
_SLOWER = "read more slowly, or raise the table's read capacity"
_ALLOW = (
    "allow dynamodb:DescribeTable, dynamodb:Scan and dynamodb:BatchGetItem on the table; for exports also"
    " dynamodb:ExportTableToPointInTime and dynamodb:DescribeExport, and s3:PutObject, s3:PutObjectAcl and"
    " s3:AbortMultipartUpload on the bucket; kms:Decrypt on the table's key"
)
_REGION = "set AWS_DEFAULT_REGION to the table's region, or write the table's ARN as `table`"
_NO_TABLE = "correct `table`, or AWS_DEFAULT_REGION; see what is there: aws dynamodb list-tables"
_HINTS = {
    "ProvisionedThroughputExceededException": _SLOWER,
    "RequestLimitExceeded": _SLOWER,
    "Throttling": _SLOWER,
    "ThrottlingException": _SLOWER,
    # 300 exports, or 100 TB, at once:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
    "LimitExceededException": "too many exports run at once; see them: aws dynamodb list-exports",
    "ResourceNotFoundException": _NO_TABLE,
    "TableNotFoundException": _NO_TABLE,
    # Exports are made of the backups of point-in-time recovery:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html
    "PointInTimeRecoveryUnavailableException": (
        "turn it on: aws dynamodb update-continuous-backups --table-name {table}"
        " --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
    ),
    "InvalidExportTimeException": (
        "point-in-time recovery does not reach back so far;"
        " see since when it does: aws dynamodb describe-continuous-backups --table-name {table}"
    ),
    "ExportConflictException": (
        "another export of the table, or to its place, has begun;"
        " see it: aws dynamodb list-exports, and reconcile with it once it is complete"
    ),
    "AccessDeniedException": _ALLOW,
    "403": _ALLOW,  # of a proxy
    "ExpiredTokenException": RENEW,
    "UnrecognizedClientException": RENEW,
    "InvalidClientTokenId": RENEW,
    "InvalidSignatureException": "set this machine's clock, and look at AWS_SECRET_ACCESS_KEY",
    "ValidationException": (
        "compare `table` and `key` with what the table is: aws dynamodb describe-table --table-name {table}"
    ),
}


@dataclass(frozen=True)
class Table:
    """A table's ARN, and its key attributes: the partition key, then the sort key if there is one.

    `key_tags`: their types, S, N or B. `told_at`: when it was told, by DynamoDB's clock, in whole seconds; None: the
    reply has no date.
    """

    arn: str
    key: tuple[str, ...]
    key_tags: tuple[str, ...]
    told_at: datetime | None


def open_client(table: str) -> DynamoDBClient:
    """A client for the table, through the usual AWS environment (AWS_ENDPOINT_URL, AWS_PROFILE, ...).

    An ARN names its region; for a name the environment does.
    """
    with reacting(table):
        return boto3.session.Session().client("dynamodb", region_name=_region_of(table), config=client_config())


def table_arn_of(table: str, client: DynamoDBClient) -> str:
    """The ARN of a table that is given by its name; an ARN stays as it is, and nothing is asked."""
    return table if is_arn(table) else describe_table(table, client).arn


def describe_table(table: str, client: DynamoDBClient) -> Table:
    """What DescribeTable tells of a table, given by its name or ARN."""
    with reacting(table):
        reply = client.describe_table(TableName=table)
    # HASH is the partition key's role, RANGE the sort key's; the order of the two is not promised
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_KeySchemaElement.html
    facts = reply["Table"]
    schema = sorted(facts["KeySchema"], key=lambda element: element["KeyType"] == "RANGE")
    key = tuple(element["AttributeName"] for element in schema)
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeDefinition.html
    tags: dict[str, str] = {d["AttributeName"]: d["AttributeType"] for d in facts["AttributeDefinitions"]}
    told_at = _date_of(reply["ResponseMetadata"].get("HTTPHeaders", {}))
    return Table(facts["TableArn"], key, tuple(tags[attribute] for attribute in key), told_at)


@contextmanager
def reacting(table: str) -> Iterator[None]:
    """Turn what boto3 raises into the reaction it asks for."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _reaction(error, table=table) from error


def _date_of(headers: Mapping[str, str]) -> datetime | None:
    """The time of a reply: https://www.rfc-editor.org/rfc/rfc9110#name-date"""
    try:
        date = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _region_of(table: str) -> str | None:
    arn = parse_arn(table)
    return arn.region or None if arn else None


def _reaction(error: BotoCoreError | ClientError, *, table: str) -> CdcMergeError:
    """StoreUnavailable for what time may cure, StoreDenied for what a person must."""
    where = f"DynamoDB table {table}"
    if isinstance(error, NoRegionError):
        return StoreDenied(str(error), where=where, hint=_REGION)
    if not isinstance(error, ClientError):
        if is_broken_off(error):
            return StoreUnavailable(
                f"DynamoDB did not answer: {error}",
                where=where,
                hint=NO_ANSWER,
            )
        return StoreDenied(str(error), where=where, hint=WHO_AM_I)
    code, message = code_of(error), said(error, "DynamoDB")
    if is_busy(error, _BUSY):
        return StoreUnavailable(message, where=where, hint=_HINTS.get(code, "nothing to do unless it lasts"))
    return StoreDenied(message, where=where, hint=_HINTS.get(code, WHO_AM_I).format(table=table))
