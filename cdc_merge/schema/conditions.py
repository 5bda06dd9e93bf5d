"""A target's `where` as the warehouse's metadata keeps it, and as people are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cdc_merge.model import Condition
from cdc_merge.names import spelled


def as_documents(where: Sequence[Condition]) -> list[dict[str, Any]]:
    """In one order: all of them must hold, whichever comes first."""
    return sorted(map(_document, where), key=_text)


def from_documents(documents: Sequence[dict[str, Any]]) -> tuple[Condition, ...]:
    """What `as_documents` gave."""
    return tuple(
        Condition(
            tuple(d["path"]),
            any_of=tuple(d["any_of"]) if "any_of" in d else None,
            prefix=d.get("prefix"),
            exists=d.get("exists"),
        )
        for d in documents
    )


def in_order(where: Sequence[Condition]) -> tuple[Condition, ...]:
    """The same conditions as they are kept."""
    return from_documents(as_documents(where))


def are_same(one: Sequence[Condition], other: Sequence[Condition]) -> bool:
    """Whether both take the same items, as far as can be told without any."""
    return list(map(_text, as_documents(one))) == list(map(_text, as_documents(other)))  # 1 is not True


def told(where: Sequence[Condition]) -> str:
    """As the configuration has it."""
    return ", ".join(f"{spelled(c.path)}: {_value(c)}" for c in where) or "every item"


def _document(condition: Condition) -> dict[str, Any]:
    document: dict[str, Any] = {"path": list(condition.path)}
    if condition.any_of is not None:
        document["any_of"] = sorted(condition.any_of, key=lambda value: json.dumps(value))
    if condition.prefix is not None:
        document["prefix"] = condition.prefix
    if condition.exists is not None:
        document["exists"] = condition.exists
    return document


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)


def _value(condition: Condition) -> str:
    if condition.prefix is not None:
        return f"{{prefix: {condition.prefix}}}"
    if condition.exists is not None:
        return f"{{exists: {str(condition.exists).lower()}}}"
    values = [str(v).lower() if isinstance(v, bool) else str(v) for v in condition.any_of or ()]
    return values[0] if len(values) == 1 else f"[{', '.join(values)}]"


__all__ = ["are_same", "as_documents", "from_documents", "in_order", "told"]
