"""Which tables a warehouse can fill by its own reading of a DynamoDB table: those of texts and numbers.

What COPY can and cannot do: https://docs.aws.amazon.com/redshift/latest/dg/t_Loading-data-from-dynamodb.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cdc_merge.errors import UsageError
from cdc_merge.model import Condition, Evolve, Kind, Source, Target
from cdc_merge.names import spelled
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import TypedColumn
from cdc_merge.warehouses import Dialect
from cdc_merge.words import listed

KINDS = (Kind.TEXT, Kind.INTEGER, Kind.NUMERIC, Kind.DOUBLE, Kind.TIMESTAMP, Kind.DATE)
"""The types of columns that a text or a number can fill."""

_OTHERWISE = "read the table with --scan, or an export of it with --request or --export"
_LIKE_A_NUMBER = re.compile(r"-?[0-9.]*([0-9.][eE][-+]?[0-9]*)?")  # or the beginning of one; or nothing
_MOST_TOLD = 10


def refuse_engine(dialect: Dialect) -> None:
    """Raises UsageError for an engine that does not read DynamoDB by itself."""
    if not dialect.copies_dynamodb:
        raise UsageError(
            f"{dialect.name} cannot read a DynamoDB table by itself",
            where="reconcile --copy-from-dynamodb",
            hint=_OTHERWISE,
        )


def refuse_targets(source: Source, books: Sequence[SchemaBook], key_tags: Sequence[str], dialect: Dialect) -> None:
    """Raises UsageError, with all reasons, where COPY cannot tell what the tables of a source are to hold."""
    reasons = [*_of_key(source, key_tags), *(r for book in books for r in _of_target(book, key_tags))]
    if not reasons:
        reasons += _of_names(attributes_of(source, books), dialect)
    if reasons:
        more = f"; and {len(reasons) - _MOST_TOLD} more reasons" if len(reasons) > _MOST_TOLD else ""
        raise UsageError(
            f"COPY cannot fill these tables: {'; '.join(reasons[:_MOST_TOLD])}{more}",
            where=f"source {source.name}",
            hint=_OTHERWISE,
        )


def attributes_of(source: Source, books: Sequence[SchemaBook]) -> tuple[str, ...]:
    """The attributes that are copied: the key, then what columns and conditions take."""
    found = dict.fromkeys(source.key)
    for book in books:
        found |= {str(c.path[0]): None for c in book.schema.columns}
        found |= {str(c.path[0]): None for c in book.target.where}
    return tuple(found)


def _of_key(source: Source, key_tags: Sequence[str]) -> Iterator[str]:
    for attribute, tag in zip(source.key, key_tags, strict=True):
        if tag == "B":
            yield f"the key {attribute} is binary"


def _of_target(book: SchemaBook, key_tags: Sequence[str]) -> Iterator[str]:
    target = book.target
    if why := _of_shape(target):
        yield f"{target.table}: {why}"
        return
    for pending in book.pending:
        yield f"{target.table}.{pending.name}: it has no type yet, and COPY does not tell one"
    for column in book.schema.columns:
        if why := _of_column(column):
            yield f"{target.table}.{column.name}: {why}"
    tags = dict(zip(book.key, key_tags, strict=True))
    for condition in target.where:
        if why := _of_condition(condition, tags):
            yield f"{target.table}: its `where` of {spelled(condition.path)} {why}"


def _of_shape(target: Target) -> str | None:
    if target.each is not None:
        return "its rows are elements (`each`)"
    if target.is_document:
        return "it has the whole item (`columns: document`)"
    if target.columns is None:
        return "it has no `columns`, and COPY does not tell which attributes there are"
    if target.evolve is not Evolve.FREEZE:
        return f"it has `evolve: {target.evolve.value}`, and COPY does not tell which attributes there are"
    return None


def _of_column(column: TypedColumn) -> str | None:
    if column.mask:
        return "it is masked, and COPY would stage what the mask hides"
    if column.template or column.of_parent:
        return "it takes a piece of an attribute"
    if len(column.path) != 1:
        return "it is a path into a map or a list"
    if column.type.kind not in KINDS:
        return f"COPY loads nothing for {column.type.kind.value}"
    return None


def _of_condition(condition: Condition, tags: dict[str, str]) -> str | None:
    if len(condition.path) != 1:
        return "is a path into a map or a list"
    wanted = condition.any_of if condition.any_of is not None else (condition.prefix,)
    if condition.exists is not None:
        return None
    if tags.get(str(condition.path[0])) == "S":
        return None if all(isinstance(w, str) and w for w in wanted) else "asks a text key for something else"
    if not all(isinstance(w, str) for w in wanted) or any(_LIKE_A_NUMBER.fullmatch(str(w)) for w in wanted):
        return "asks whether it is a text or a number, or empty, which COPY does not tell"
    return None


def _of_names(attributes: Sequence[str], dialect: Dialect) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for attribute in attributes:
        alike.setdefault(attribute.casefold(), []).append(attribute)
        most = dialect.max_identifier_bytes
        if most is not None and len(attribute.encode()) > most:
            yield f"the attribute {attribute[:20]}… has a name of more than {most} bytes, so no column can match it"
        if attribute.lower() in dialect.reserved_columns:
            yield f"no column can be called like the attribute {attribute}"
    for names in alike.values():
        if len(names) > 1:
            yield f"the attributes {listed(names)} differ in case only, and COPY takes them for one"


__all__ = ["KINDS", "attributes_of", "refuse_engine", "refuse_targets"]
