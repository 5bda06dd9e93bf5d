"""A target's `where` as SQL expressions of the workbench."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal

from cdc_merge.feed import shape
from cdc_merge.model import Condition, Scalar, Target

_EXACT = Context(prec=400)  # the default context would round to 28 digits

Value = Callable[[str], str]
"""Gives the SQL expression of the text at a JSON pointer."""


def takes(target: Target, value: Value) -> str:
    """Whether the target takes an image; NULL counts as no."""
    return _all(_condition(c, value) for c in target.where)


def could_take(target: Target, key: Sequence[str], key_tags: Sequence[str]) -> str:
    """Whether the target could take an item of which only the key is known: a REMOVE carries no more.

    The key is that of the change `l`. `key_tags` may be empty: no usable record has been seen yet.
    """
    columns = dict(zip(key, ("l.partition_key", "l.sort_key"), strict=False))
    tags = dict(zip(key, key_tags, strict=False))

    def value_of_key(at: str) -> str:
        attribute, _, tag = at.removeprefix(shape.NEW_IMAGE + "/").rpartition("/")
        for name, column in columns.items():
            if at == shape.pointer((name,)):
                return column
            if attribute == shape.escape(name):
                return column if tag == tags.get(name) else "NULL"
        raise KeyError(at)

    on_key = [c for c in target.where if len(c.path) == 1 and c.path[0] in columns]
    return _all(_condition(c, value_of_key) for c in on_key)


def any_could_take(targets: Iterable[Target], key: Sequence[str], key_tags: Sequence[str]) -> str:
    """Whether a key alone shows that one of the targets could take its item; the key is that of the change `l`."""
    return " OR ".join(could_take(target, key, key_tags) for target in targets)


def _all(conditions: Iterable[str]) -> str:
    parts = [f"coalesce({c}, FALSE)" for c in conditions]
    return "(" + " AND ".join(parts) + ")" if parts else "TRUE"


def _condition(condition: Condition, value: Value) -> str:
    at = shape.pointer(condition.path)
    if condition.exists is not None:
        return f"{value(at)} IS {'NOT ' if condition.exists else ''}NULL"
    if condition.prefix is not None:
        return f"starts_with({value(at + '/S')}, {shape.literal(condition.prefix)})"
    return "(" + " OR ".join(f"coalesce({_equals(v, at, value)}, FALSE)" for v in condition.any_of or ()) + ")"


def _equals(wanted: Scalar, at: str, value: Value) -> str:
    if isinstance(wanted, bool):
        return f"{value(at + '/BOOL')} = '{str(wanted).lower()}'"
    if isinstance(wanted, str):
        return f"{value(at + '/S')} = {shape.literal(wanted)}"
    plain = format(Decimal(str(wanted)).normalize(_EXACT), "f")
    return f"plain_number({value(at + '/N')}) = '{plain}'"
