"""Proposes a view for typed access to the documents of a target with `columns: document`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdc_merge.feed.shape import escape
from cdc_merge.layout import Layout
from cdc_merge.model import Kind, Source
from cdc_merge.names import assign
from cdc_merge.render import Name, Sql, find_template, name, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.catalog import Tables
from cdc_merge.schema.stored import DELETED_AT, DOCUMENT, ELEMENT_COLUMNS, TargetSchema
from cdc_merge.warehouses import Dialect, Session, Statement

_SAMPLE = 1_000  # documents
_SUFFIX = "_typed"

# The types of JSON as the engines' functions name them; what is not here is neither text nor number nor boolean.
# https://duckdb.org/docs/stable/data/json/json_functions#json-extraction-functions
# https://www.postgresql.org/docs/current/functions-json.html
_KINDS: Mapping[str, Kind] = {
    "varchar": Kind.TEXT,
    "string": Kind.TEXT,
    "bigint": Kind.NUMERIC,
    "ubigint": Kind.NUMERIC,
    "double": Kind.NUMERIC,
    "number": Kind.NUMERIC,
    "boolean": Kind.BOOLEAN,
}

Attributes = Mapping[str, Kind]
"""The attributes seen in documents, each with the kind of column that takes all its values."""


@dataclass(frozen=True)
class _ViewColumn:
    name: Name
    attribute: str
    pointer: str
    kind: str
    type: Sql
    digits: str  # a regular expression of its numbers in a document
    held: str  # one of the numbers that a decimal holds


def read_attributes(
    session: Session, dialect: Dialect, schema: str, source: Source, tables: Tables
) -> dict[str, Attributes]:
    """The attributes of some documents of each target that has documents and a table, by that table.

    None where no view is known for the engine.
    """
    found: dict[str, Attributes] = {}
    if not has_views(dialect):
        return found
    for target in source.targets:
        if target.is_document and DOCUMENT.name in tables.get(target.table, ()):
            sql = render(
                "planning/sql/document_types.sql",
                dialect,
                table=name(schema, target.table),
                document=name(DOCUMENT.name),
                sampled=_SAMPLE,
            )
            found[target.table] = attributes_of_types(session.query(sql))
    return found


def has_views(dialect: Dialect) -> bool:
    """Whether there is a view to propose for the engine."""
    return find_template("planning/sql/typed_view.sql", dialect) is not None


def attributes_of_types(types: Iterable[Sequence[str]]) -> Attributes:
    """The kinds of attributes, of (attribute, type of JSON): json where there are several; null says nothing."""
    kinds: dict[str, Kind] = {}
    for attribute, kind in sorted((a, t.lower()) for a, t in types if t.lower() != "null"):
        mine = _KINDS.get(kind, Kind.JSON)
        kinds[attribute] = mine if kinds.get(attribute, mine) is mine else Kind.JSON
    return kinds


def typed_view(book: SchemaBook, layout: Layout, attributes: Attributes) -> Statement:
    """`CREATE VIEW <table>_typed`; without attributes, a template of it."""
    dialect, schema, table = book.dialect, book.schema, book.target.table
    keys = _key_columns(schema)
    # An element has attributes of its own; of an item, the key's are columns already.
    mine = [a for a in attributes if schema.each is not None or a not in schema.key][: dialect.max_added_columns]
    names = assign(
        mine,
        taken=dict.fromkeys((*keys, "_cdc_changed_at", DELETED_AT), ""),
        reserved=dialect.reserved_columns,
        max_bytes=dialect.max_identifier_bytes,
    )
    view = _cut(table, dialect.max_identifier_bytes) + _SUFFIX
    sql = render(
        "planning/sql/typed_view.sql",
        dialect,
        view=name(layout.schema, view),
        table=name(layout.schema, table),
        document=name(DOCUMENT.name),
        keys=[name(k) for k in keys],
        columns=[
            _ViewColumn(
                name(names[a]),
                a,
                f"/{escape(a)}",
                attributes[a].value,
                Sql(dialect.types[attributes[a]]),
                _digits_of(a),
                rf"-?[0-9]+(\.[0-9]{{1,{dialect.decimal_scale or 0}}})?",
            )
            for a in mine
        ],
        has_deleted_at=schema.has_deleted_at,
        numeric=Sql(dialect.types[Kind.NUMERIC]),
        sampled=_SAMPLE,
    )
    return Statement(f"view {view}", sql)


def _digits_of(attribute: str) -> str:
    """A regular expression of an attribute's number in a document, written without spaces.

    An attribute of that name deeper in the document can match as well: which number is meant is for the caller.
    """
    written = re.escape(json.dumps(attribute, ensure_ascii=False))
    return rf"{written}:(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[,}}]"


def _key_columns(schema: TargetSchema) -> tuple[str, ...]:
    return (*schema.key_names, *(ELEMENT_COLUMNS if schema.each is not None else ()))


def _cut(table: str, most: int | None) -> str:
    if most is None:
        return table
    return table.encode()[: most - len(_SUFFIX)].decode(errors="ignore")
