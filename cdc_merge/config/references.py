"""What a column takes: a path into the item or into an element of it, or the whole of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cdc_merge.config.values import Mistake, item_path
from cdc_merge.model import Path

DOCUMENT = "document"


@dataclass(frozen=True)
class Reference:
    """What a column takes: a path into the item, or in a target with `each` into the element.

    The empty path is the element itself. `of_parent`: a path into the item around the element.
    """

    path: Path
    of_parent: bool = False


def column_path(value: Any) -> Reference:
    """A path as item_path reads it; `.` is the element itself, and `^` goes before a path of the item around it."""
    if value == ".":
        return Reference(())
    if isinstance(value, str) and value.startswith("^"):
        return Reference(item_path(value[1:]), of_parent=True)
    return Reference(item_path(value))


def document(value: Any) -> str:
    """The word `document`, in the place of columns."""
    if value != DOCUMENT:
        hint = "write columns: {city: Address.City}, or columns: document for one JSON of the whole item"
        if isinstance(value, str) and ":" in value:
            hint = "write a space after the colon, between the column and its attribute"
        raise Mistake(f"{value!r} is neither columns nor document", hint)
    return DOCUMENT
