"""Rules between the keys of one target; values of the wrong shape are skipped, since others report those."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

from cdc_merge.config import values
from cdc_merge.config.document import Entry, Node
from cdc_merge.config.marks import Finding, Mark
from cdc_merge.config.naming import identifier, twice
from cdc_merge.config.references import DOCUMENT, Reference, column_path
from cdc_merge.config.templates import written_template
from cdc_merge.config.values import Mistake, column_type, item_path
from cdc_merge.model import Kind, Path
from cdc_merge.warehouses.dialect import Dialect

OWN_PREFIX = "_cdc_"

T = TypeVar("T")


def check_target(target: Node, key: list[str], dialect: Dialect | None) -> Iterator[Finding]:
    """Every mistake in a target that takes more than one of its values to see."""
    yield from _where(target.get("where"))
    yield from _each(target, key)
    yield from _document(target)
    yield from _columns(target.get("columns"), key, dialect, has_each="each" in target.fields)


def has_history(target: Node) -> bool:
    """Whether a target asks for its history."""
    return bool(_read(values.yes_or_no, target.get("history").value))


def _where(where: Node) -> Iterator[Finding]:
    paths = ((_read(item_path, name), entry.mark) for name, entry in where.fields.items())
    seen: dict[Path, Mark] = {}
    for path, mark in paths:
        if path and path in seen:
            yield Finding(
                mark,
                f"the same attribute as on line {seen[path].line}",
                "write a list for any of several values",
            )
        elif path:
            seen[path] = mark
    for node in where.walk():
        # Numbers of DynamoDB have up to 38 digits, which floating point does not hold.
        if isinstance(node.value, float) and node.raw and _rounds(node.value, node.raw):
            yield Finding(node.mark, f"{node.raw} has more digits than can be compared here", "use at most 15 digits")


def _rounds(value: float, raw: str) -> bool:
    return math.isfinite(value) and Decimal(raw) != Decimal(repr(value))


def _each(target: Node, key: list[str]) -> Iterator[Finding]:
    each = target.fields.get("each")
    if each is None:
        return
    path = _read(item_path, each.node.text)
    if path and path[0] in key:
        message = f"{path[0]!r} is a key attribute, which has no elements"
        yield Finding(each.node.mark, message, "name a list, a map or a set of the item")
    if "columns" not in target.fields:
        hint = "say what of an element becomes a column, columns: {sku: Sku}; the element itself is `.`"
        yield Finding(each.mark, "`each` needs `columns`", hint)
    elif target.get("columns").text == DOCUMENT:
        hint = 'write columns: {element: "."} for the whole element, or remove `each`'
        yield Finding(target.get("columns").mark, "`columns: document` is of a whole item, not of an element", hint)
    for name, usual in (("deletes", "hard"), ("expired", "delete")):
        if target.get(name).text in ("soft", "ignore", "keep"):
            message = f"`{name}: {target.get(name).text}` is of whole items, and the rows are elements"
            yield Finding(target.get(name).mark, message, f"remove it, or write {name}: {usual}")
    if has_history(target):
        hint = "remove it; a target of the same items without `each` can keep their history"
        yield Finding(target.fields["history"].mark, "a target with `each` keeps no history yet", hint)


def _document(target: Node) -> Iterator[Finding]:
    evolve = target.fields.get("evolve")
    if evolve and target.get("columns").text == DOCUMENT:
        yield Finding(evolve.mark, "`evolve` says nothing where a document holds every attribute", "remove it")


def _columns(columns: Node, key: list[str], dialect: Dialect | None, *, has_each: bool) -> Iterator[Finding]:
    yield from twice(
        ((name, entry.mark) for name, entry in columns.fields.items()),
        "column",
        "names of columns must differ by more than capitals",
        exactly=False,
    )
    renamed: dict[str, str] = {}
    for name, entry in columns.fields.items():
        yield from identifier(name, entry.mark, "column", dialect)
        if name.lower().startswith(OWN_PREFIX):
            yield Finding(entry.mark, f"names that begin with {OWN_PREFIX} are cdc-merge's own", "rename the column")
        if dialect and name.lower() in dialect.reserved_columns:
            yield Finding(entry.mark, f"{name!r} is a system column of {dialect.name}", "rename the column")
        yield from _typing(entry, dialect)
        yield from _piece(name, entry)
        source = entry.node if entry.node.text else entry.node.get("from")
        reference = _read(column_path, source.text)
        if reference is None:
            continue
        if not has_each:
            yield from _beyond_the_item(reference, source)
        if reference.path and reference.path[0] in key and reference.of_parent == has_each:
            yield from _key_column(name, entry, reference, renamed)


def _beyond_the_item(reference: Reference, source: Node) -> Iterator[Finding]:
    """What only a target with `each` can refer to."""
    if reference.of_parent:
        yield Finding(source.mark, "`^` is of the item around an element, and there is no `each`", "leave out the ^")
    elif not reference.path:
        hint = "name an attribute, or write columns: document for the whole item"
        yield Finding(source.mark, "`.` is the element of an `each`, and there is none", hint)


def _key_column(name: str, entry: Entry, reference: Reference, renamed: dict[str, str]) -> Iterator[Finding]:
    fields, attribute = entry.node.fields, str(reference.path[0])
    written = f"^{attribute}" if reference.of_parent else attribute
    if len(reference.path) > 1:
        yield Finding(entry.node.mark, f"{attribute!r} is a key attribute and has no parts", "name the attribute alone")
        return
    if "mask" in fields:
        message = f"{attribute!r} is a key attribute, and the key column has it unmasked: it tells rows apart"
        yield Finding(fields["mask"].mark, message, "remove `mask`, and mask the key in a view")
    if "match" in fields:  # a piece of it, beside the key's own column
        return
    if "type" in fields:
        message = "a key column keeps the type of its attribute"
        yield Finding(fields["type"].mark, message, f"write {name}: {written}")
    if attribute in renamed:
        message = f"the key attribute {attribute!r} already has the column {renamed[attribute]!r}"
        yield Finding(entry.mark, message, "keep one of the two")
    renamed.setdefault(attribute, name)


def _typing(entry: Entry, dialect: Dialect | None) -> Iterator[Finding]:
    written, unit = entry.node.get("type"), entry.node.fields.get("unit")
    kind = _read(column_type, written.text)
    if written.text and kind is None:
        return
    if unit and (kind is None or kind.kind is not Kind.TIMESTAMP) and not written.is_broken:
        yield Finding(unit.mark, "`unit` goes with type: timestamp only", "remove it, or add type: timestamp")
    most = dialect.decimal_digits if dialect else None
    if kind and kind.precision and most and kind.precision > most:
        hint = f"write at most numeric({most},…), or numeric alone"
        yield Finding(written.mark, f"{dialect.name if dialect else ''} holds at most {most} digits", hint)


_NOT_IN_TEXT = (Kind.BINARY, Kind.JSON)


def _piece(name: str, entry: Entry) -> Iterator[Finding]:
    """`match` and `mask`, which both give text."""
    match, mask, written = (entry.node.get(k) for k in ("match", "mask", "type"))
    template, kind = _read(written_template, match.text), _read(column_type, written.text)
    if template:
        try:
            template.for_column(name)
        except Mistake as mistake:
            yield Finding(match.mark, f"`match`: {mistake.message}", mistake.hint)
    if template and kind and kind.kind in _NOT_IN_TEXT:
        message = f"`match` takes a piece of a text, which is never {kind.kind.value}"
        yield Finding(written.mark, message, "remove the type, or write one that text can be read as")
    if mask.text and kind and kind.kind is not Kind.TEXT:
        yield Finding(written.mark, f"a masked column is text, never {kind.kind.value}", "remove the type")


def _read(read: Callable[[Any], T], written: Any) -> T | None:
    try:
        return None if written is None else read(written)
    except Mistake:
        return None
