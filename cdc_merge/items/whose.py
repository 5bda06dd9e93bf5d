"""Tells whether the bytes of a record are one item's: by its keys if it can be decoded, else by what is left of it."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any

import msgspec

from cdc_merge.feed.framing import scan
from cdc_merge.items.key import ItemKey

_CHANGE = re.compile(rb'"dynamodb"\s*:')
_KEYS = re.compile(rb'"Keys"\s*:\s*(?=\{)')


class Whose(Enum):
    """`DOUBTFUL`: a damaged record with a part of the key, whose `Keys` do not say more; it may be of another item with
    that part in common.
    """

    ITEMS = auto()
    DOUBTFUL = auto()
    OTHERS = auto()


class Recognizer:
    """Recognizes the records of one item. Safe to use from several threads."""

    def __init__(self, key: ItemKey) -> None:
        self._key = key
        self._values = [re.compile(p.encode("latin-1")) for p in key.value_patterns()]
        self._attributes = [re.compile(p.encode("latin-1")) for p in key.attribute_patterns()]

    def whose(self, raw: bytes) -> Whose:
        """Whose record this is. Lists and events of several records are the item's if one of them is."""
        if not any(value.search(raw) for value in self._values) and b"rawData" not in raw:
            return Whose.OTHERS
        try:
            return self.whose_document(msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._whose_remains(raw)

    def whose_document(self, document: Any) -> Whose:
        """Whose record this is, decoded already."""
        if isinstance(document, list):
            return _any(map(self.whose_document, document))
        if not isinstance(document, dict):
            return Whose.OTHERS
        if isinstance(document.get("Records"), list):
            return _any(map(self.whose_document, document["Records"]))
        if isinstance(document.get("rawData"), str):
            return self._whose_error_record(document["rawData"])
        change = document.get("dynamodb")
        if isinstance(change, dict) and (found := self._whose_keys(change.get("Keys"))):
            return found
        # No usable `Keys`, or no change record at all: then an image, or an item, tells.
        found_elsewhere = [w for part in _maps(document) if (w := self._whose_keys(part))]
        if found_elsewhere:
            return _any(found_elsewhere)
        return Whose.DOUBTFUL if any(self._has_part(part) for part in _maps(document)) else Whose.OTHERS

    def _whose_keys(self, typed: object) -> Whose | None:
        """By typed attributes; None: they lack a usable key."""
        if not isinstance(typed, dict):
            return None
        same = [self._key.is_value(n, typed.get(name)) for n, name in enumerate(self._key.attributes)]
        if None in same:
            return None
        return Whose.ITEMS if all(same) else Whose.OTHERS

    def _has_part(self, typed: dict[str, Any]) -> bool:
        return any(self._key.is_value(n, typed.get(name)) for n, name in enumerate(self._key.attributes))

    def _whose_error_record(self, data: str) -> Whose:
        """By the change inside an error record of Firehose.

        https://docs.aws.amazon.com/firehose/latest/dev/retry.html
        """
        try:
            plain = base64.b64decode(data)
        except (binascii.Error, ValueError):
            return Whose.OTHERS
        return _any(self.whose(piece.data) for piece in scan(io.BytesIO(plain)))

    def _whose_remains(self, raw: bytes) -> Whose:
        found = [bool(attribute.search(raw)) for attribute in self._attributes]
        by_keys = self._whose_keys(_complete_keys(raw))
        if all(found):
            # Keys of another item, and elsewhere the whole key of this one: two records may have run together.
            return Whose.DOUBTFUL if by_keys is Whose.OTHERS else Whose.ITEMS
        return Whose.DOUBTFUL if any(found) and by_keys is None else by_keys or Whose.OTHERS


def _complete_keys(raw: bytes) -> object:
    """The `Keys` of a damaged record, where all of them are left; None: they are not, or are of several records."""
    if len(_CHANGE.findall(raw)) != 1 or len(places := list(_KEYS.finditer(raw))) != 1:
        return None
    try:
        return json.JSONDecoder().raw_decode(raw[places[0].end() :].decode("utf-8", "replace"))[0]
    except (ValueError, RecursionError):
        return None


def _any(verdicts: Iterable[Whose]) -> Whose:
    """The strongest of several."""
    return min(verdicts, key=lambda w: w.value, default=Whose.OTHERS)


def _maps(document: Any) -> Iterator[dict[str, Any]]:
    """All objects in a document, whatever their depth."""
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


__all__ = ["Recognizer", "Whose"]
