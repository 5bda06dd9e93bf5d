"""Says why a record cannot be used: the reason code and sentence its quarantine entry bears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from cdc_merge.words import listed


@dataclass(frozen=True)
class Diagnosis:
    """`reason` is a short code, the same for the same mistake; `detail` is for people."""

    reason: str
    detail: str


class Special(Enum):
    """Findings that are not the record's fault."""

    ENVELOPE = auto()  # a Lambda event: its records must be unwrapped
    OTHER_FEED = auto()  # a record of the other feed's shape


DAMAGE = {
    "not_json": "the bytes are not a JSON document",
    "truncated": "the JSON document breaks off",
    "too_long": "the record is longer than 16 MiB; DynamoDB items have at most 400 KB",
    "not_utf8": "the bytes are not UTF-8",
}


def diagnose(
    raw: bytes, *, key: Sequence[str], key_tags: Sequence[str] | None, is_kinesis: bool
) -> Diagnosis | Special:
    """Why a record that parses has no place in the order of its key.

    `key_tags`: the type tag (S, N, B) of each key attribute, where known already.
    """
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Diagnosis("not_json", DAMAGE["not_json"])
    if isinstance(record, list) and (not record or any(isinstance(r, dict) for r in record)):
        return Special.ENVELOPE
    if not isinstance(record, dict):
        return Diagnosis("unknown_shape", f"a {type(record).__name__} where a change record should be")
    if isinstance(record.get("Records"), list):
        return Special.ENVELOPE
    if "rawData" in record:
        return Diagnosis("firehose_error", "an error record of Firehose, not a change; its rawData holds the change")
    change = record.get("dynamodb")
    if not isinstance(change, dict):
        return Diagnosis("unknown_shape", "no `dynamodb` object, so not a DynamoDB change record")
    return _diagnose_change(record, change, key, key_tags, is_kinesis)


def _diagnose_change(
    record: dict[str, Any],
    change: dict[str, Any],
    key: Sequence[str],
    tags: Sequence[str] | None,
    is_kinesis: bool,
) -> Diagnosis | Special:
    keys = change.get("Keys")
    if not isinstance(keys, dict) or not keys:
        return Diagnosis("no_key", "the record has no `Keys`")
    for number, attribute in enumerate(key):
        value = keys.get(attribute)
        if not isinstance(value, dict) or not value:
            return Diagnosis("no_key", f"key attribute {attribute!r} is missing; the record has {listed(sorted(keys))}")
        tag = next(iter(value))
        if tag not in ("S", "N", "B"):
            return Diagnosis("key_type", f"key attribute {attribute!r} is of type {tag}; a key is S, N or B")
        if tags and tag != tags[number]:
            return Diagnosis(
                "key_type", f"key attribute {attribute!r} is of type {tag}, the source's is {tags[number]}"
            )
        if tag == "N" and not _is_number(value[tag]):
            return Diagnosis("key_type", f"key attribute {attribute!r} is not a number")
        if not value[tag]:
            return Diagnosis("no_key", f"key attribute {attribute!r} is empty")
    has_sequence = change.get("SequenceNumber") is not None
    if has_sequence and is_kinesis:
        return Special.OTHER_FEED
    # What every record of a stream has and none of Kinesis does; one of them may be damaged.
    is_of_stream = bool(change.get("StreamViewType") or record.get("eventSourceARN") or record.get("eventVersion"))
    if not (has_sequence or is_kinesis or is_of_stream) and change.get("ApproximateCreationDateTime") is not None:
        return Special.OTHER_FEED
    if record.get("eventName") not in ("INSERT", "MODIFY", "REMOVE"):
        return Diagnosis("unknown_event", f"eventName {record.get('eventName')!r} is none of INSERT, MODIFY, REMOVE")
    if is_kinesis:
        return Diagnosis("no_position", "ApproximateCreationDateTime is missing or not a time")
    return Diagnosis("no_position", "SequenceNumber is missing or not 1 to 40 digits")


def _is_number(text: object) -> bool:
    try:
        float(str(text))
    except ValueError:
        return False
    return True
