"""COPY of whole JSON documents into a SUPER, as Redshift does it: none of an object that has an error anywhere."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
from botocore.exceptions import ClientError

from tests.doubles.redshift.refusals import Refused

# https://docs.aws.amazon.com/redshift/latest/dg/copy-parameters-data-format.html#copy-json
COPY_JSON = re.compile(
    r"""COPY\s+(?P<table>"(?:[^"]|"")*"|\w+)\s+
    FROM\s+'(?P<manifest>s3://[^']+)'\s+
    IAM_ROLE\s+(?:'(?P<role>[^']*)'|(?P<default>default))\s+
    FORMAT\s+(?:AS\s+)?JSON\s+'noshred'\s+
    (?P<gzip>GZIP\s+)?
    MANIFEST\s+MAXERROR\s+0\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_MOST_OF_A_DOCUMENT = 4 * 2**20  # copy-usage_notes-copy-from-json.html
_SPACES = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class JsonCommand:
    table: str  # quoted or not, as it was written
    manifest: str
    is_gzip: bool


@dataclass(frozen=True)
class Scanned:
    """A file as SYS_LOAD_DETAIL has it."""

    url: str
    bytes: int
    lines: int
    etag: str


def read_documents(command: JsonCommand, types: list[str], *, takes_the_last: bool) -> tuple[list[str], list[Scanned]]:
    """The JSON documents that the manifest's files hold, as text, and what was scanned. Raises Refused.

    `types`: of the table's columns. `takes_the_last`: of attributes of one name; else they are an error.
    """
    client = boto3.session.Session().client("s3")

    def fail(why: str) -> Refused:
        table = command.table.strip('"')
        return Refused(f"Load into table '{table}' failed. Check 'sys_load_error_detail': {why}", "XX000")

    if types != ["jsonb"]:
        raise fail("noshred loads into one column of type SUPER")
    try:
        manifest = json.loads(client.get_object(**_place(command.manifest))["Body"].read())
    except (ClientError, ValueError) as error:
        raise fail(f"the manifest cannot be read: {error}") from error
    documents, scanned = list[str](), list[Scanned]()
    for entry in manifest["entries"]:
        try:
            reply = client.get_object(**_place(entry["url"]))
        except ClientError as error:
            if entry.get("mandatory", False):
                raise fail(f"mandatory file is missing: {entry['url']}") from error
            continue
        body = packed = reply["Body"].read()
        try:
            if command.is_gzip:
                body = gzip.decompress(packed)
            documents += _documents(body.decode(), takes_the_last=takes_the_last)
        except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
            raise fail(f"{entry['url']}: {error}") from error
        lines = body.count(b"\n") + (not body.endswith(b"\n") and bool(body))
        scanned.append(Scanned(entry["url"], len(packed), lines, reply["ETag"].strip('"')))
    return documents, scanned


def _place(url: str) -> dict[str, str]:
    parts = url.removeprefix("s3://").split("/", 1)
    return {"Bucket": parts[0], "Key": parts[1]}


def _documents(text: str, *, takes_the_last: bool) -> Iterator[str]:
    """Objects with nothing or white space between them."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs) and not takes_the_last:
            raise ValueError("the same attribute twice in an object")
        return dict(pairs)

    decoder = json.JSONDecoder(object_pairs_hook=unique)
    at = _SPACES.match(text).end()  # type: ignore[union-attr]
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        if not isinstance(value, dict):
            raise ValueError("a value that is no object")
        if len(text[at:end].encode()) > _MOST_OF_A_DOCUMENT:
            raise ValueError("a document of more than 4 MB")
        yield text[at:end]
        at = _SPACES.match(text, end).end()  # type: ignore[union-attr]


__all__ = ["COPY_JSON", "JsonCommand", "Scanned", "read_documents"]
