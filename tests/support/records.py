"""Builds change records as AWS sends them, and the bytes that Firehose makes of them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal

import cramjam

Record = dict[str, Any]
Moment = datetime | int | float | str
Style = Literal["ndjson", "concatenated", "crlf", "pretty", "lambda"]
Codec = Literal["none", "gzip", "zip", "zstd", "snappy", "raw_snappy", "hadoop_snappy"]

LABEL = "2026-01-01T00:00:00.000"
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
TTL_IDENTITY = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
HADOOP_BLOCK = 256 * 1024


def to_dynamodb(value: Any, *, base64_layers: int = 1) -> dict[str, Any]:
    """A plain value with its DynamoDB type.

    str S, int and Decimal N (a Decimal as it is written), bool, None, bytes B, dict M, list L, set SS, NS, BS.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
    """

    def binary(data: bytes | bytearray) -> str:
        for _ in range(base64_layers):
            data = base64.b64encode(data)
        return data.decode()

    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": str(value)}
        case bytes() | bytearray():
            return {"B": binary(value)}
        case Mapping():
            return {"M": to_item(value, base64_layers=base64_layers)}
        case list() | tuple():
            return {"L": [to_dynamodb(each, base64_layers=base64_layers) for each in value]}
        case set() | frozenset() if value and all(isinstance(each, str) for each in value):
            return {"SS": list(value)}
        case set() | frozenset() if value and all(isinstance(each, bytes) for each in value):
            return {"BS": [binary(each) for each in value]}
        case set() | frozenset() if value and all(isinstance(each, int | Decimal) for each in value):
            return {"NS": [str(each) for each in value]}
    raise TypeError(f"DynamoDB has no type for {value!r}")


def to_item(attributes: Mapping[str, Any], *, base64_layers: int = 1) -> dict[str, Any]:
    """An image: each attribute with its type."""
    return {name: to_dynamodb(value, base64_layers=base64_layers) for name, value in attributes.items()}


def stream_record(
    keys: Mapping[str, Any],
    new_image: Mapping[str, Any] | None,
    *,
    sequence: int | str,
    at: Moment | None,
    name: str | None = None,
    old_image: Mapping[str, Any] | None = None,
    arn_label: str | None = LABEL,
    view: str = "NEW_AND_OLD_IMAGES",
    event_id: str | None = None,
    user_identity: Mapping[str, str] | None = None,
) -> Record:
    """A DynamoDB Streams record as a Lambda function gets it, from plain keys and plain images without the keys.

    `at`: a datetime is cut to whole seconds, as AWS does; anything else is taken as it is; None leaves it out.
    `name`: told from the images. `arn_label` None leaves eventSourceARN out.
    https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    """
    change: Record = {"Keys": to_item(keys)}
    if at is not None:
        change = {"ApproximateCreationDateTime": int(at.timestamp()) if isinstance(at, datetime) else at, **change}
    if new_image is not None and view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        change["NewImage"] = to_item({**keys, **new_image})
    if old_image is not None and view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        change["OldImage"] = to_item({**keys, **old_image})
    change |= {"SequenceNumber": str(sequence), "SizeBytes": len(encode(change)), "StreamViewType": view}
    record: Record = {
        "eventID": event_id or sha256(f"{keys}{sequence}{arn_label}".encode()).hexdigest()[:32],
        "eventName": name or _event_name(new_image, old_image),
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": change,
    }
    if arn_label is not None:
        table = "arn:aws:dynamodb:eu-central-1:123456789012:table/ecommerce"
        record["eventSourceARN"] = f"{table}/stream/{arn_label}"
    if user_identity is not None:
        record["userIdentity"] = dict(user_identity)
    return record


def kinesis_record(
    keys: Mapping[str, Any],
    new_image: Mapping[str, Any] | None,
    *,
    at: Moment,
    precision: Literal["MILLISECOND", "MICROSECOND"] | None = None,
    name: str | None = None,
    old_image: Mapping[str, Any] | None = None,
    event_id: str | None = None,
    user_identity: Mapping[str, str] | None = None,
) -> Record:
    """A record of Kinesis Data Streams for DynamoDB: no sequence number, and binary values in base64 twice.

    `at`: a datetime becomes milliseconds, or what `precision` says; anything else is taken as it is.
    `precision` None leaves the field out, as older records do.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
    """
    if isinstance(at, datetime):
        micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
        at = micros if precision == "MICROSECOND" else micros // 1000
    change: Record = {"ApproximateCreationDateTime": at, "Keys": to_item(keys, base64_layers=2)}
    if new_image is not None:
        change["NewImage"] = to_item({**keys, **new_image}, base64_layers=2)
    if old_image is not None:
        change["OldImage"] = to_item({**keys, **old_image}, base64_layers=2)
    change["SizeBytes"] = len(encode(change))
    if precision is not None:
        change["ApproximateCreationDateTimePrecision"] = precision
    digest = sha256(f"{keys}{new_image}{at}{name}".encode()).hexdigest()
    return {
        "awsRegion": "eu-central-1",
        "eventID": event_id or "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])),
        "eventName": name or _event_name(new_image, old_image),
        "userIdentity": None if user_identity is None else dict(user_identity),
        "recordFormat": "application/json",
        "tableName": "ecommerce",
        "dynamodb": change,
        "eventSource": "aws:dynamodb",
    }


def encode(record: Record | bytes) -> bytes:
    """One record as compact JSON; bytes pass, so that broken records can be framed too."""
    if isinstance(record, bytes):
        return record
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def frame(records: Iterable[Record | bytes], style: Style = "ndjson") -> bytes:
    """Many records as the plain bytes of one object; "lambda": as the event of one invocation."""
    match style:
        case "ndjson":
            return b"".join(encode(record) + b"\n" for record in records)
        case "concatenated":  # Firehose's default: nothing between records
            return b"".join(encode(record) for record in records)
        case "crlf":
            return b"".join(encode(record) + b"\r\n" for record in records)
        case "pretty":
            return b"\n".join(json.dumps(json.loads(encode(record)), indent=2).encode() for record in records)
        case "lambda":
            return b'{"Records":[' + b",".join(encode(record) for record in records) + b"]}"


def compress(data: bytes, codec: Codec = "gzip") -> bytes:
    """The bytes as Firehose's compression formats have them, and some that a Lambda may write."""
    match codec:
        case "none":
            return data
        case "gzip":
            return gzip.compress(data, compresslevel=1, mtime=0)
        case "zip":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("feed-1-2026-01-01-00-00-00", data)
            return packed.getvalue()
        case "zstd":
            return bytes(cramjam.zstd.compress(data))
        case "snappy":  # the framing format
            return bytes(cramjam.snappy.compress(data))
        case "raw_snappy":
            return bytes(cramjam.snappy.compress_raw(data))
        case "hadoop_snappy":
            return b"".join(_hadoop_block(data[i : i + HADOOP_BLOCK]) for i in range(0, len(data), HADOOP_BLOCK))


_MICROSECOND = datetime.resolution


def _event_name(new_image: object, old_image: object) -> str:
    if new_image is None:
        return "REMOVE"
    return "INSERT" if old_image is None else "MODIFY"


def _hadoop_block(data: bytes) -> bytes:
    """One block of Hadoop's BlockCompressorStream: both lengths, then raw snappy."""
    packed = bytes(cramjam.snappy.compress_raw(data))
    return struct.pack(">II", len(data), len(packed)) + packed
