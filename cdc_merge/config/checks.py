"""Rules between the keys of the file; values of the wrong shape are skipped, since others report those."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from cdc_merge.config import values
from cdc_merge.config.document import Entry, Finding, Mark, Node
from cdc_merge.config.places import DIALECTS, scheme
from cdc_merge.config.values import Mistake, column_type, item_path
from cdc_merge.model import Kind, Path
from cdc_merge.names import snake_case
from cdc_merge.warehouses.dialect import Dialect

DEFAULT_METADATA_SCHEMA = "cdc_merge"
OWN_PREFIX = "_cdc_"


def check(root: Node) -> Iterator[Finding]:
    """Every mistake that takes more than one value to see."""
    dialect = DIALECTS.get(scheme(root.get("warehouse").text or "") or "")
    yield from _schemas(root, dialect)
    yield from _sources(root)
    yield from _tables(root, dialect)
    for source in root.get("sources").items:
        key = [text for item in source.get("key").items if (text := item.text)]
        yield from _key(source.get("key"))
        yield from _reconcile(source, root.get("defaults").get("reconcile"))
        for target in source.get("targets").items:
            yield from _where(target.get("where"))
            yield from _columns(target.get("columns"), key, dialect)


def _schemas(root: Node, dialect: Dialect | None) -> Iterator[Finding]:
    schema, metadata = root.get("schema"), root.get("metadata_schema")
    for node in (schema, metadata):
        yield from _identifier(node.text, node.mark, "schema", dialect)
    targets_in = schema.text or (dialect.default_schema if dialect else None)
    metadata_in = metadata.text or DEFAULT_METADATA_SCHEMA
    if targets_in and targets_in.lower() == metadata_in.lower():
        at = metadata if metadata.text else schema
        yield Finding(at.mark, f"targets and metadata cannot share the schema {metadata_in!r}", "name another schema")


def _sources(root: Node) -> Iterator[Finding]:
    names = [source.get("name") for source in root.get("sources").items]
    yield from _twice(((n.text, n.mark) for n in names), "source", "give each source a name of its own", fold=False)


def _tables(root: Node, dialect: Dialect | None) -> Iterator[Finding]:
    tables: list[tuple[str | None, Mark]] = []
    for source in root.get("sources").items:
        if "targets" not in source.fields:
            name = source.get("name")
            table = snake_case(name.text) if name.text else None
            if table == "":
                yield Finding(name.mark, "no table can be named after this source", "add targets: [{table: …}]")
            tables.append((table, name.mark))
        for target in source.get("targets").items:
            tables.append((target.get("table").text, target.get("table").mark))
    for text, mark in tables:
        yield from _identifier(text, mark, "table", dialect)
        if text and text.lower().startswith("_cdc_"):
            # Staging tables are named so, and on some engines hide a table of the same name.
            yield Finding(mark, f"table {text!r} begins with _cdc_, which is kept for staging", "name it otherwise")
    yield from _twice(tables, "table", "every target, of all sources, needs a table of its own")


def _key(key: Node) -> Iterator[Finding]:
    yield from _twice(
        ((item.text, item.mark) for item in key.items),
        "key attribute",
        "write [PK, SK], or [PK] alone",
        fold=False,
    )


_ON_EXPORTS = frozenset({"every", "request"})
_ON_TABLE = frozenset({"probe", "request"})
# The key, how its value is read, and how a source is kept out of what defaults ask for.
_ASKING: tuple[tuple[str, Callable[[Any], float | bool], str], ...] = (
    ("every", values.every, "move `every` from defaults to the sources that have `exports`"),
    ("probe", values.rate, "write reconcile: {probe: 0/h} there"),
    ("request", values.yes_or_no, "write reconcile: {request: false} there"),
)


def _reconcile(source: Node, shared: Node) -> Iterator[Finding]:
    """What `reconcile` asks for, here or in defaults, and the source has no exports or table for."""
    exports = source.get("exports").text
    is_on_disk = exports is not None and scheme(exports) in (None, "file")
    for key, read, otherwise in _ASKING:
        own = source.get("reconcile").fields.get(key)
        asked = own or shared.fields.get(key)
        if asked is None or not _asks(asked.node, read):
            continue
        mark = own.mark if own else source.mark
        asking = f"`{key}`" if own else f"`{key}` of defaults"
        otherwise = f"remove `{key}`" if own else otherwise
        if key in _ON_EXPORTS and "exports" not in source.fields:
            hint = f"add `exports: s3://bucket/prefix/` to the source, or {otherwise}"
            yield Finding(mark, f"{asking} needs `exports`", hint)
        if key == "request" and is_on_disk:
            hint = f"write `exports: s3://bucket/prefix/`, or {otherwise}"
            yield Finding(mark, f"{asking} needs `exports` on S3, where DynamoDB writes them", hint)
        if key in _ON_TABLE and "table" not in source.fields:
            hint = f"add the DynamoDB table's name or ARN, `table: …`, to the source, or {otherwise}"
            yield Finding(mark, f"{asking} needs `table`", hint)


def _asks(node: Node, read: Callable[[Any], float | bool]) -> bool:
    try:
        return bool(read(node.value))
    except Mistake:
        return False


def _where(where: Node) -> Iterator[Finding]:
    paths = ((_path(name), entry.mark) for name, entry in where.fields.items())
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


def _columns(columns: Node, key: list[str], dialect: Dialect | None) -> Iterator[Finding]:
    yield from _twice(
        ((name, entry.mark) for name, entry in columns.fields.items()),
        "column",
        "names of columns must differ by more than capitals",
        exactly=False,
    )
    renamed: dict[str, str] = {}
    for name, entry in columns.fields.items():
        yield from _identifier(name, entry.mark, "column", dialect)
        if name.lower().startswith(OWN_PREFIX):
            yield Finding(entry.mark, f"names that begin with {OWN_PREFIX} are cdc-merge's own", "rename the column")
        if dialect and name.lower() in dialect.reserved_columns:
            yield Finding(entry.mark, f"{name!r} is a system column of {dialect.name}", "rename the column")
        yield from _typing(entry, dialect)
        path = _path(entry.node.text or entry.node.get("from").text)
        if path and path[0] in key:
            yield from _key_column(name, entry, path, renamed)


def _key_column(name: str, entry: Entry, path: Path, renamed: dict[str, str]) -> Iterator[Finding]:
    attribute = str(path[0])
    if len(path) > 1:
        yield Finding(entry.node.mark, f"{attribute!r} is a key attribute and has no parts", "name the attribute alone")
        return
    if "type" in entry.node.fields:
        mark = entry.node.fields["type"].mark
        yield Finding(mark, "a key column keeps the type of its attribute", f"write {name}: {attribute}")
    if attribute in renamed:
        message = f"the key attribute {attribute!r} already has the column {renamed[attribute]!r}"
        yield Finding(entry.mark, message, "keep one of the two")
    renamed.setdefault(attribute, name)


def _typing(entry: Entry, dialect: Dialect | None) -> Iterator[Finding]:
    written, unit = entry.node.get("type"), entry.node.fields.get("unit")
    try:
        kind = column_type(written.text) if written.text else None
    except Mistake:
        return
    if unit and (kind is None or kind.kind is not Kind.TIMESTAMP) and not written.is_broken:
        yield Finding(unit.mark, "`unit` goes with type: timestamp only", "remove it, or add type: timestamp")
    most = dialect.decimal_digits if dialect else None
    if kind and kind.precision and most and kind.precision > most:
        hint = f"write at most numeric({most},…), or numeric alone"
        yield Finding(written.mark, f"{dialect.name if dialect else ''} holds at most {most} digits", hint)


def _identifier(name: str | None, mark: Mark, what: str, dialect: Dialect | None) -> Iterator[Finding]:
    if name and not name.isprintable():
        yield Finding(mark, f"the name of a {what} must not hold control characters", "remove them")
    most = dialect.max_identifier_bytes if dialect else None
    if name and dialect and most and len(name.encode()) > most:
        yield Finding(
            mark,
            f"{dialect.name} takes names of at most {most} bytes, this {what} has {len(name.encode())}",
            "shorten it",
        )


def _twice(
    names: Iterable[tuple[str | None, Mark]], what: str, hint: str, *, fold: bool = True, exactly: bool = True
) -> Iterator[Finding]:
    """Names given before, in any capitals if `fold`; if not `exactly`, only those in other capitals."""
    seen: dict[str, tuple[str, Mark]] = {}
    for name, mark in names:
        if not name:
            continue
        first = seen.setdefault(name.lower() if fold else name, (name, mark))
        if first[1] != mark and (exactly or first[0] != name):
            yield Finding(mark, f"the {what} {name!r} is there already, on line {first[1].line}", hint)


def _path(text: str | None) -> Path | None:
    try:
        return item_path(text) if text else None
    except Mistake:
        return None
