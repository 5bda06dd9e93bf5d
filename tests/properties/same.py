"""Compares an item as it landed with the item as the model has it, where a column's type may spell a value anew."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def assert_same_item(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """The same attributes, each exactly the same value."""
    assert set(found) == set(wanted)
    for attribute, value in wanted.items():
        assert _is_same(found[attribute], value), (attribute, found[attribute], value)


def _is_same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bytes) and isinstance(found, str):  # binary inside JSON is base64
        return base64.b64decode(found, validate=True) == wanted
    if isinstance(wanted, bool) and isinstance(found, str):  # a boolean in a column of text
        return found == str(wanted).lower()
    if isinstance(wanted, Decimal) and isinstance(found, str):  # a number in a column of text
        return Decimal(found) == wanted
    if isinstance(wanted, str) and isinstance(found, Decimal):  # text that spells a number, in a column of numbers
        return Decimal(wanted) == found
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(_is_same(f, w) for f, w in zip(found, wanted, strict=True))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return set(found) == set(wanted) and all(_is_same(found[k], w) for k, w in wanted.items())
    return type(found) is type(wanted) and bool(found == wanted)
