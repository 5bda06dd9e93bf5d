"""Which sources SQL can decode exactly: the reasons why one stays with the worker, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdc_merge.errors import SchemaConflict
from cdc_merge.layout import Layout
from cdc_merge.ledger import SourceState
from cdc_merge.model import Kind, Ordering, Source, Target
from cdc_merge.raw.looks import is_spellable
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import TypedColumn
from cdc_merge.warehouses.dialect import Dialect, RawLoading


def why_not(source: Source, dialect: Dialect) -> list[str]:
    """Why no batch of a source could be decoded by the warehouse, by its configuration alone; empty: it could."""
    found = [f"target {t.table}: {why}" for t in source.targets for why in _of_target(t, source.key, dialect)]
    if dialect.raw_loading is not RawLoading.BY_COPY:
        found.append(f"{dialect.name} does not load it by itself")
    if not source.changes.startswith("s3://"):
        found.append("its changes are not on S3")
    elif dialect.raw_places is not None and not source.changes.startswith(dialect.raw_places):
        found.append(f"the warehouse's URL has no stage for {source.changes} (feeds)")
    return found


def reasons_of(source: Source, dialect: Dialect, layout: Layout, state: SourceState) -> list[str]:
    """All reasons there are now."""
    if never := why_not(source, dialect):
        return never
    try:
        books = state.inspector(dialect, layout.schema).open_books(source)
    except SchemaConflict:
        return []  # the source is stopped, and says so itself
    return why_not_yet(source, books, ordering=state.ordering, key_tags=state.key_tags)


def why_not_yet(
    source: Source,
    books: Sequence[SchemaBook],
    *,
    ordering: Ordering | None,
    key_tags: Sequence[str] | None,
) -> list[str]:
    """The same of a source as the warehouse knows it: what its tables are, and what its keys are."""
    if ordering is None or key_tags is None:
        return ["its first batch shows what its keys and its order are"]
    found = []
    if source.ordering not in (None, ordering):
        found.append("`ordering` is another than that of its rows")
    if ordering is Ordering.TIME and "B" in key_tags:
        found.append("keys of Kinesis records are in base64 twice")
    for book in books:
        found += [f"target {book.target.table}: {why}" for why in _of_book(book)]
    return found


def _of_target(target: Target, key: Sequence[str], dialect: Dialect) -> Iterator[str]:
    if target.each is not None:
        yield "its rows are elements (each)"
    if target.is_document:
        yield "it has whole items as JSON (columns: document)"
    if target.has_history:
        yield "it keeps a history"
    if not target.follows_every_delete:
        yield "not every delete counts for it (deletes, expired)"
    paths = [key, *(c.path for c in target.where)]
    for column in target.columns or ():
        paths.append(column.path)
        if column.mask is not None:
            yield f"{column.name} is masked"
        elif column.template is not None:
            yield f"{column.name} is a piece of a text (match)"
        elif column.type is not None and column.type.kind is Kind.JSON:
            yield f"{column.name} is JSON"
    for step in dict.fromkeys(step for path in paths for step in path if isinstance(step, str)):
        if not is_spellable(step, dialect):
            yield f"{dialect.name} has no path to the attribute {step[:40]!r}"


def _of_book(book: SchemaBook) -> Iterator[str]:
    if book.stored is None or book.teaches or book.hidden is not None:
        yield "its table is to be made, or altered"
    asked = {c.name for c in book.target.columns or ()}
    for column in book.schema.columns:
        if column.type.kind is Kind.JSON:
            yield f"{column.name} is JSON"
        elif column.name not in asked:  # nobody asks for it any more, and it is filled as ever
            yield from _of_kept(column, book.dialect)


def _of_kept(column: TypedColumn, dialect: Dialect) -> Iterator[str]:
    if column.mask is not None:
        yield f"{column.name} is masked"
    elif column.template is not None:
        yield f"{column.name} is a piece of a text (match)"
    elif not all(is_spellable(step, dialect) for step in column.path if isinstance(step, str)):
        yield f"{dialect.name} has no path to the attribute of {column.name}"


__all__ = ["reasons_of", "why_not", "why_not_yet"]
