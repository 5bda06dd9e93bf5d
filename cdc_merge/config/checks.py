"""Rules between the keys of the file; values of the wrong shape are skipped, since others report those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cdc_merge.config import values
from cdc_merge.config.document import Node
from cdc_merge.config.marks import Finding, Mark
from cdc_merge.config.naming import identifier, twice
from cdc_merge.config.places import DIALECTS, scheme
from cdc_merge.config.targets import check_target, has_history
from cdc_merge.config.values import Mistake
from cdc_merge.names import history_table, snake_case
from cdc_merge.warehouses.dialect import Dialect, RawLoading

DEFAULT_METADATA_SCHEMA = "cdc_merge"


def check(root: Node, dialect: Dialect | None = None) -> Iterator[Finding]:
    """Every mistake that takes more than one value to see; `dialect`: if not that of the warehouse."""
    dialect = dialect or DIALECTS.get(scheme(root.get("warehouse").text or "") or "")
    yield from _schemas(root, dialect)
    yield from _sources(root)
    yield from _tables(root, dialect)
    for source in root.get("sources").items:
        key = [text for item in source.get("key").items if (text := item.text)]
        yield from _key(source.get("key"))
        yield from _reconcile(source, root.get("defaults").get("reconcile"))
        yield from _load(source, root.get("defaults"), dialect)
        for target in source.get("targets").items:
            yield from check_target(target, key, dialect)


def _schemas(root: Node, dialect: Dialect | None) -> Iterator[Finding]:
    schema, metadata = root.get("schema"), root.get("metadata_schema")
    for node in (schema, metadata):
        yield from identifier(node.text, node.mark, "schema", dialect, is_read_back=False)
    targets_in = schema.text or (dialect.default_schema if dialect else None)
    metadata_in = metadata.text or DEFAULT_METADATA_SCHEMA
    if targets_in and targets_in.lower() == metadata_in.lower():
        at = metadata if metadata.text else schema
        yield Finding(at.mark, f"targets and metadata cannot share the schema {metadata_in!r}", "name another schema")


def _sources(root: Node) -> Iterator[Finding]:
    names = [source.get("name") for source in root.get("sources").items]
    yield from twice(((n.text, n.mark) for n in names), "source", "give each source a name of its own", fold=False)


def _tables(root: Node, dialect: Dialect | None) -> Iterator[Finding]:
    tables: list[tuple[str | None, Mark]] = []
    histories: dict[str, tuple[str, Mark]] = {}
    for source in root.get("sources").items:
        if "targets" not in source.fields:
            name = source.get("name")
            table = snake_case(name.text) if name.text else None
            if table == "":
                yield Finding(name.mark, "no table can be named after this source", "add targets: [{table: …}]")
            tables.append((table, name.mark))
        for target in source.get("targets").items:
            table, mark = target.get("table").text, target.get("table").mark
            tables.append((table, mark))
            if table and has_history(target):
                history = history_table(table)
                histories[history.lower()] = (table, mark)
                yield from identifier(history, target.fields["history"].mark, "history table", dialect)
    for text, mark in tables:
        yield from identifier(text, mark, "table", dialect)
        if text and text.lower().startswith("_cdc_"):
            # Staging tables are named so, and on some engines hide a table of the same name.
            yield Finding(mark, f"table {text!r} begins with _cdc_, which is kept for staging", "name it otherwise")
        if text and text.lower() in histories:
            whose, first = histories[text.lower()]
            message = f"in {text!r} the history of {whose!r} is kept, of line {first.line}"
            yield Finding(mark, message, "name one of the two tables otherwise")
    yield from twice(tables, "table", "every target, of all sources, needs a table of its own")


def _key(key: Node) -> Iterator[Finding]:
    yield from twice(
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


def _load(source: Node, shared: Node, dialect: Dialect | None) -> Iterator[Finding]:
    """Who is to decode, here or in defaults, on an engine or a feed of which the warehouse cannot."""
    own = source.fields.get("load")
    asked = own or shared.fields.get("load")
    if asked is None or asked.node.text != "warehouse" or dialect is None:
        return
    mark = own.mark if own else source.mark
    asking = "`load: warehouse`" if own else "`load: warehouse` of defaults"
    hint = "write load: worker" if own else "write load: worker there, or remove `load` from defaults"
    match dialect.raw_loading:
        case RawLoading.NONE:
            yield Finding(
                mark, f"{asking} is for engines that load from S3 by themselves, as Redshift and Snowflake do", hint
            )
        case _ if (changes := source.get("changes").text) is not None and scheme(changes) != "s3":
            yield Finding(mark, f"{asking} needs `changes` on S3, where the warehouse can read them", hint)


def _asks(node: Node, read: Callable[[Any], float | bool]) -> bool:
    try:
        return bool(read(node.value))
    except Mistake:
        return False
