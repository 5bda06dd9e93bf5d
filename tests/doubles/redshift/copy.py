"""COPY as Redshift does it, from S3 and from DynamoDB: reads the manifest, the role chain and Parquet files, or scans a
table, and trusts nothing."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from tests.doubles.redshift.documents import COPY_JSON, JsonCommand
from tests.doubles.redshift.refusals import Refused

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# https://docs.aws.amazon.com/redshift/latest/dg/copy-usage_notes-copy-from-columnar.html
_COPY = re.compile(
    r"""COPY\s+(?P<table>"(?:[^"]|"")*"|\w+)\s+
    FROM\s+'(?P<manifest>s3://[^']+)'\s+
    IAM_ROLE\s+(?:'(?P<role>[^']*)'|(?P<default>default))\s+
    FORMAT\s+(?:AS\s+)?PARQUET\s+
    (?P<is_manifest>MANIFEST)\s*""",
    re.VERBOSE | re.IGNORECASE,
)
# https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-source-dynamodb.html
_COPY_DYNAMODB = re.compile(
    r"""COPY\s+(?P<table>"(?:[^"]|"")*"|\w+)\s+
    \((?P<columns>(?:\s*"(?:[^"]|"")*"\s*,?)+)\)\s+
    FROM\s+'dynamodb://(?P<dynamodb>[A-Za-z0-9_.-]{3,255})'\s+
    IAM_ROLE\s+(?:'(?P<role>[^']*)'|(?P<default>default))\s+
    READRATIO\s+(?P<ratio>\d+)\s+
    REGION\s+'(?P<region>[a-z0-9-]+)'
    (?P<options>(?:\s+(?:EMPTYASNULL|COMPUPDATE\s+OFF))*)\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_NULL_TEXT = "\\N"  # what stands for NULL by default: copy-parameters-data-conversion.html, NULL AS
_MOST_TEXT = 65_535
_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=.@/-]+")

# What of Parquet goes into which column.
_TAKES: Mapping[str, tuple[pa.DataType, ...]] = {
    "character varying": (pa.string(), pa.large_string()),
    "bytea": (pa.binary(), pa.large_binary()),
    "bigint": (pa.int64(),),
    "integer": (pa.int32(),),
    "boolean": (pa.bool_(),),
    "timestamp without time zone": (pa.timestamp("us"),),
    "date": (pa.date32(),),
    "double precision": (pa.float64(),),
}
_LOAD_FAILED = "Load into table '{}' failed. Check 'sys_load_error_detail' system table for details: {}"


@dataclass(frozen=True)
class CopyCommand:
    table: str  # quoted or not, as it was written
    manifest: str


@dataclass(frozen=True)
class DynamoDBCommand:
    """`columns`: those that are filled, folded; `table`, as it was written."""

    table: str
    columns: tuple[str, ...]
    dynamodb: str
    region: str
    empty_as_null: bool


@dataclass(frozen=True)
class Column:
    """Of the table: its name, its type's base, and the most bytes it takes."""

    name: str
    type: str
    most: int | None


def read_copy(sql: str) -> CopyCommand | DynamoDBCommand | JsonCommand:
    """Raises Refused for any other forms of COPY than those that cdc-merge sends."""
    if match := _COPY.fullmatch(sql.strip()):
        _check_role(match["role"])
        return CopyCommand(match["table"].lower(), match["manifest"])
    if match := _COPY_DYNAMODB.fullmatch(sql.strip()):
        _check_role(match["role"])
        if not 1 <= int(match["ratio"]) <= 200:
            raise Refused(f"invalid READRATIO {match['ratio']}: 1 to 200", "22023")
        if "COMPUPDATE" not in match["options"].upper():
            # It would read many items twice: t_Loading-data-from-dynamodb.html
            raise Refused("the double takes no COPY that may sample the table for compression")
        columns = tuple(n[1:-1].replace('""', '"').lower() for n in re.findall(r'"(?:[^"]|"")*"', match["columns"]))
        is_null = "EMPTYASNULL" in match["options"].upper()
        return DynamoDBCommand(match["table"].lower(), columns, match["dynamodb"], match["region"], is_null)
    if match := COPY_JSON.fullmatch(sql.strip()):
        _check_role(match["role"])
        return JsonCommand(match["table"].lower(), match["manifest"], is_gzip=match["gzip"] is not None)
    raise Refused(f"the double knows no such COPY: {sql}")


def _check_role(role: str | None) -> None:
    # One ARN after the other with commas, and no blanks:
    # https://docs.aws.amazon.com/redshift/latest/mgmt/authorizing-redshift-service-chaining-roles.html
    for arn in role.split(",") if role is not None else ():
        if not _ARN.fullmatch(arn):
            raise Refused(f"invalid IAM role {arn!r}", "XX000")


def read_files(command: CopyCommand, columns: list[Column]) -> pa.Table:
    """The rows that the manifest names, as the table takes them. Raises Refused."""
    client = _client(os.environ.get("AWS_ENDPOINT_URL"))

    def fail(why: str) -> Refused:
        return Refused(_LOAD_FAILED.format(command.table.strip('"'), why), "XX000")

    def get(url: str) -> bytes:
        parts = urlsplit(url)
        return client.get_object(Bucket=parts.netloc, Key=parts.path[1:])["Body"].read()

    try:
        manifest = json.loads(get(command.manifest))
    except (ClientError, ValueError) as error:
        raise fail(f"the manifest cannot be read: {error}") from error
    tables = []
    # https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html
    for entry in manifest["entries"]:
        if "content_length" not in entry.get("meta", {}):
            raise fail(f"the manifest gives no content_length of {entry['url']}")
        try:
            body = get(entry["url"])
        except ClientError as error:
            if entry.get("mandatory", False):
                raise fail(f"mandatory file is missing: {entry['url']}") from error
            continue
        if len(body) != entry["meta"]["content_length"]:
            raise fail(f"{entry['url']} has {len(body)} bytes, not {entry['meta']['content_length']}")
        tables.append(_read(body))
    if not tables:
        raise fail("the manifest names no file")
    table = pa.concat_tables(tables)
    if len(table.column_names) != len(columns):
        raise fail(f"the files have {len(table.column_names)} columns, the table has {len(columns)}")
    for field, column in zip(table.schema, columns, strict=True):
        if field.type not in _TAKES.get(column.type, ()):
            raise fail(f"column {column.name}, {column.type}, has an incompatible Parquet schema: {field.type}")
        _check(table[field.name], column, fail)
    return table


def read_dynamodb(command: DynamoDBCommand, columns: list[Column]) -> pa.Table:
    """The items as the table takes them: only texts and numbers, in columns that are called like their attributes.

    https://docs.aws.amazon.com/redshift/latest/dg/t_Loading-data-from-dynamodb.html
    """
    there = {column.name: column for column in columns}
    for name in command.columns:
        if name not in there:
            raise Refused(f'column "{name}" of relation {command.table} does not exist', "42703")
        if there[name].type != "character varying":
            raise Refused("the double copies from DynamoDB into VARCHAR only: numbers would be cut elsewhere")
    rows = [_item(command, item) for item in _scan(command)]
    values = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in there}
    table = pa.table(values) if rows else pa.schema([(name, pa.string()) for name in there]).empty_table()
    return table.select(list(there))


def _scan(command: DynamoDBCommand) -> list[dict[str, dict[str, Any]]]:
    client = boto3.session.Session().client("dynamodb", region_name=command.region)
    try:
        pages = client.get_paginator("scan").paginate(TableName=command.dynamodb)  # eventually consistent
        return [item for page in pages for item in page["Items"]]
    except ClientError as error:
        raise _load_failed(command, f"DynamoDB: {error}") from error


def _item(command: DynamoDBCommand, item: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    found: dict[str, str | None] = dict.fromkeys(command.columns, None if command.empty_as_null else "")
    folded = [attribute.lower() for attribute in item]
    if len(set(folded)) < len(folded):
        raise _load_failed(command, f"attributes differ only in case: {sorted(item)}")
    for attribute, typed in item.items():
        name = attribute.lower()
        if name not in found:
            continue
        ((tag, value),) = typed.items()
        if tag not in ("S", "N"):
            raise _load_failed(command, f"attribute {attribute} is of the unsupported type {tag}")
        if len(value.encode()) > _MOST_TEXT:
            raise _load_failed(command, f"column {name}: String length exceeds DDL length")
        if "\0" in value:
            raise _load_failed(command, f"column {name}: invalid digit, NUL")
        found[name] = None if value == _NULL_TEXT or (not value and command.empty_as_null) else value
    return found


def _load_failed(command: DynamoDBCommand, why: str) -> Refused:
    return Refused(_LOAD_FAILED.format(command.table.strip('"'), why), "XX000")


@cache
def _client(endpoint: str | None) -> S3Client:
    """Making one costs more than all that the double does with it."""
    return boto3.session.Session().client("s3", endpoint_url=endpoint)


def _check(values: pa.ChunkedArray, column: Column, fail: type[Refused] | object) -> None:
    if column.most is not None and (pc.max(pc.binary_length(values)).as_py() or 0) > column.most:
        raise fail(f"column {column.name}: String length exceeds DDL length")  # type: ignore[operator]
    if column.type == "character varying":
        if pc.any(pc.match_substring(values, "\0")).as_py():
            raise fail(f"column {column.name}: invalid digit, NUL")  # type: ignore[operator]
        # In Redshift such a key is equal to the one without the blank. Postgres cannot show that, so it must not come.
        # https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html
        is_key = column.name in ("partition_key", "sort_key")
        if is_key and pc.any(pc.ends_with(values, " ")).as_py():
            raise fail(f"column {column.name}: a key that ends in a blank")  # type: ignore[operator]


def _read(body: bytes) -> pa.Table:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        Path(file.name).write_bytes(body)
        return pq.read_table(file.name, use_threads=False)


__all__ = ["Column", "CopyCommand", "DynamoDBCommand", "read_copy", "read_dynamodb", "read_files"]
