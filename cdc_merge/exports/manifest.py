"""Reads the manifests of a DynamoDB export; nothing here touches a store.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cdc_merge.arn import are_same_table
from cdc_merge.errors import Refused
from cdc_merge.feed.store import ObjectStore
from cdc_merge.model import ObjectRef

FOLDER = "AWSDynamoDB"
SUMMARY = "manifest-summary.json"
TAKE_ANEW = "take a new export: cdc-merge reconcile --request, or aws dynamodb export-table-to-point-in-time"


class ExportKind(StrEnum):
    """What an export holds: every item as of a time, or the items that changed in a window."""

    FULL = "FULL_EXPORT"
    INCREMENTAL = "INCREMENTAL_EXPORT"


class ExportFormat(StrEnum):
    """How the items are written."""

    DYNAMODB_JSON = "DYNAMODB_JSON"
    ION = "ION"


@dataclass(frozen=True)
class ExportSummary:
    """What manifest-summary.json says. `location`: the URL of the export's folder, without a slash at its end.

    `as_of`: exportTime or exportToTime. `since`: exportFromTime. `arn` and `table_arn` may be missing from
    manifests that were made by other programs. Times are UTC.
    """

    id: str
    location: str
    kind: ExportKind
    format: ExportFormat
    as_of: datetime
    since: datetime | None
    items: int
    arn: str | None
    table_arn: str | None
    files_key: str  # manifestFilesS3Key


@dataclass(frozen=True)
class ListedFile:
    """A line of manifest-files.json. `md5`: base64 of the MD5 of the bytes as stored."""

    key: str  # dataFileS3Key
    items: int
    md5: str | None


@dataclass(frozen=True)
class DataFile:
    """A data file of an export, found. `ref`: as the store lists it."""

    ref: ObjectRef
    items: int
    md5: str | None


@dataclass(frozen=True)
class Export:
    """An export whose manifests agree and whose files are all there; their bytes are checked when fetched."""

    id: str
    location: str
    kind: ExportKind
    format: ExportFormat
    as_of: datetime
    since: datetime | None
    items: int
    files: tuple[DataFile, ...]
    arn: str | None
    table_arn: str | None
    store: ObjectStore


def parse_summary(data: bytes, *, location: str) -> ExportSummary:
    """The summary manifest of the export that lies at `location`. Raises Refused."""
    where = f"{location}/{SUMMARY}"
    fields = _object(data, where)
    arn = _text(fields, "exportArn", where)
    since = _time(fields, "exportFromTime", where)
    kind = _kind(fields, since, where)
    time_field = "exportTime" if kind is ExportKind.FULL else "exportToTime"
    as_of = _time(fields, time_field, where)
    if as_of is None:
        raise _refused(f"there is no {time_field}", where)
    if kind is ExportKind.INCREMENTAL and (since is None or since >= as_of):
        raise _refused(f"exportFromTime is {fields.get('exportFromTime')!r}, which is not before exportToTime", where)
    files_key = _text(fields, "manifestFilesS3Key", where)
    if not files_key:
        raise _refused("there is no manifestFilesS3Key", where)
    return ExportSummary(
        id=(arn or location).rpartition("/")[2],
        location=location,
        kind=kind,
        format=_format(fields, where),
        as_of=as_of,
        since=since if kind is ExportKind.INCREMENTAL else None,
        items=_count(fields, where),
        arn=arn,
        table_arn=_text(fields, "tableArn", where),
        files_key=files_key,
    )


def parse_files(data: bytes, *, where: str) -> tuple[ListedFile, ...]:
    """The files manifest: one JSON object a line. Raises Refused."""
    files: dict[str, ListedFile] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{where}:{number}"
        fields = _object(line, place)
        key = _text(fields, "dataFileS3Key", place)
        if not key:
            raise _refused("there is no dataFileS3Key", place)
        if key in files:
            raise _refused(f"{key} is listed twice", place)
        files[key] = ListedFile(key, _count(fields, place), _md5(fields, place))
    return tuple(files.values())


def verify_count(summary: ExportSummary, files: Iterable[ListedFile]) -> None:
    """Raise Refused unless the files' items add up to the summary's."""
    listed = sum(file.items for file in files)
    if listed != summary.items:
        raise Refused(
            f"the export is miscounted: its files manifest lists {listed:,} items, its summary says {summary.items:,}",
            where=summary.location,
            hint=TAKE_ANEW,
        )


def verify_checksum(data: bytes, checksum: bytes, *, where: str) -> None:
    """Raise Refused unless `checksum`, the text beside a manifest, is the MD5 (or SHA-256) of `data`.

    AWS documents the file but not what is in it; what it writes is base64 of the MD5. Its other plausible spellings
    are told by their length.
    """
    text = checksum.strip()
    md5, sha256 = hashlib.md5(data, usedforsecurity=False).digest(), hashlib.sha256(data).digest()
    expected = {24: base64.b64encode(md5), 32: md5.hex().encode(), 44: base64.b64encode(sha256)}
    expected[64] = sha256.hex().encode()
    found = expected.get(len(text))
    if found is None:
        raise Refused(
            f"the checksum beside it is of no known form: {text[:80].decode(errors='replace')!r}",
            where=where,
            hint=f"copy the export again, whole, or {TAKE_ANEW}",
        )
    if (text.lower() if len(text) in (32, 64) else text) != found:
        raise Refused(
            f"the manifest is not what was exported: its checksum is {found.decode()}, expected {text.decode()}",
            where=where,
            hint=f"copy the export again, whole, or {TAKE_ANEW}",
        )


def paths_of(key: str) -> tuple[str, str]:
    """Where a data file may lie: below the root that holds AWSDynamoDB/, and below the export's own folder.

    Manifests name keys with the export's s3Prefix or without it, and an export may have been copied to another
    prefix, bucket or folder; so what stands before AWSDynamoDB/ is never used. A file of a full export lies in the
    export's own folder, so that folder can be copied alone.
    """
    segments = key.split("/")
    for index in range(len(segments) - 1, -1, -1):
        if segments[index] == FOLDER:
            below = segments[index + 1 :]
            return "/".join(segments[index:]), "/".join(below if below[:1] == ["data"] else below[1:])
    return key, key


def is_table(table_arn: str | None, table: str) -> bool:
    """Whether an export's table is the one wanted, which may be an ARN or a mere name. Unknown: it is."""
    return table_arn is None or are_same_table(table_arn, table)


def _kind(fields: dict[str, Any], since: datetime | None, where: str) -> ExportKind:
    name = _text(fields, "exportType", where)
    if name is None:  # exports from before incremental ones (September 2023) do not say
        return ExportKind.FULL if since is None else ExportKind.INCREMENTAL
    try:
        return ExportKind(name)
    except ValueError as error:
        raise _refused(f"exportType is {name!r}, expected {_one_of(ExportKind)}", where) from error


def _format(fields: dict[str, Any], where: str) -> ExportFormat:
    name = _text(fields, "outputFormat", where)
    try:
        return ExportFormat(name or "")
    except ValueError as error:
        raise _refused(f"outputFormat is {name!r}, expected {_one_of(ExportFormat)}", where) from error


def _one_of(names: type[StrEnum]) -> str:
    return " or ".join(names)


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise _refused(f"the manifest is not JSON: {error}", where) from error
    if not isinstance(found, dict):
        raise _refused("the manifest is not a JSON object", where)
    return found


def _text(fields: dict[str, Any], name: str, where: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise _refused(f"{name} is {value!r}, expected text", where)
    return value


def _count(fields: dict[str, Any], where: str) -> int:
    value = fields.get("itemCount")
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _refused(f"itemCount is {value!r}, expected a whole number", where)
    return value


def _time(fields: dict[str, Any], name: str, where: str) -> datetime | None:
    text = _text(fields, name, where)
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused(f"{name} is {text!r}, expected a time like 2020-11-04T07:28:34.028Z", where) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _md5(fields: dict[str, Any], where: str) -> str | None:
    text = _text(fields, "md5Checksum", where)
    if text is None:
        return None
    try:
        is_md5 = len(base64.b64decode(text, validate=True)) == hashlib.md5(usedforsecurity=False).digest_size
    except binascii.Error:
        is_md5 = False
    if not is_md5:
        raise _refused(f"md5Checksum is {text!r}, expected base64 of an MD5", where)
    return text


def _refused(message: str, where: str) -> Refused:
    return Refused(message, where=where, hint=TAKE_ANEW)
