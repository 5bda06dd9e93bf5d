"""The SQL of every engine, committed, so that a change of it is read as SQL. Update with `make golden`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import pytest
import sqlglot
from sqlglot import exp

from cdc_merge.layout import Layout
from cdc_merge.lease import Leases
from cdc_merge.merge.plan import Batch, MergePlan
from cdc_merge.merge.planned import KeyRange
from cdc_merge.migrate import metadata_names
from cdc_merge.model import Column, ColumnType, Deletes, Expired, Kind, Mask, Ordering, Target
from cdc_merge.schema.masking import find_hidden
from cdc_merge.schema.opening import open_book
from cdc_merge.schema.stored import TargetSchema
from cdc_merge.warehouses import Dialect, Session, Statement
from tests.support.golden import CUSTOMERS, DIALECTS, GOLDEN, KEY, NOW, ORDERS, as_said, books

TEXT = ColumnType(Kind.TEXT)

# Not every delete counts for all targets of this source.
SPARING = (
    replace(CUSTOMERS, deletes=Deletes.SOFT),
    replace(ORDERS, deletes=Deletes.IGNORE),
    replace(ORDERS, table="kept", expired=Expired.KEEP),
    replace(CUSTOMERS, table="hard"),
)


def statements(dialect: Dialect) -> list[Statement]:
    layout = Layout("analytics", "cdc_merge", metadata_names("cdc_merge"))
    batch = Batch("0123456789abcdef", "e'commerce", "host:1", NOW, NOW, 3, 1200, 450, 4)
    first = MergePlan(dialect, layout, books(dialect, stored=False), ("S", "N"))
    removed = {"leads": TargetSchema(("pk", "sk"), key=KEY)}
    later = MergePlan(dialect, layout, books(dialect, stored=True), ("S", "B"), removed=removed)
    return [
        *first.ddl(schema_exists=False),
        first.record_source(batch.source, Ordering.SEQUENCE, table_arn="arn:aws:dynamodb:eu-central-1:1:table/shop"),
        first.record_source(batch.source, Ordering.TIME, table_arn=None, is_known=True),
        first.hold_schemas(batch.source),
        *first.record_schema(batch.source),
        *first.record_objects(batch, again=True),
        first.release_quarantine(["00aa", "00bb"]),
        first.record_quarantine(batch),
        first.record_empty(batch),
        *later.merge(batch, key_range=KeyRange("a", "it's z") if dialect.prunes_by_literals else None),
        *later.record_notices(batch, unmatched=True, misfits=True),
        *later.record_export_misfits(batch.source, NOW, misfits=False, is_rebuild=True),
    ]


def sparing_statements(dialect: Dialect) -> list[Statement]:
    layout = Layout("analytics", "cdc_merge", metadata_names("cdc_merge"))
    batch = Batch("0123456789abcdef", "e'commerce", "host:1", NOW, NOW, 3, 1200, 450, 4)
    books = [open_book(t, KEY, dialect, None) for t in SPARING]
    plan = MergePlan(dialect, layout, books, ("S", "N"))
    stored = replace(books[0].schema, has_deleted_at=False)
    later = MergePlan(dialect, layout, [open_book(SPARING[0], KEY, dialect, stored)], ("S", "N"))
    return [plan.ddl(schema_exists=True)[0], *later.ddl(schema_exists=True), *plan.merge(batch)]


def statements_of_a_history(dialect: Dialect) -> list[Statement]:
    layout = Layout("analytics", "cdc_merge", metadata_names("cdc_merge"))
    batch = Batch("0123456789abcdef", "e'commerce", "host:1", NOW, NOW, 3, 1200, 450, 4)
    plan = MergePlan(dialect, layout, [open_book(replace(ORDERS, has_history=True), KEY, dialect, None)], ("S", "N"))
    usual = {s.label for s in statements(dialect)}
    return [s for s in (*plan.ddl(schema_exists=True), *plan.merge(batch)) if s.label not in usual]


def statements_of_masks(dialect: Dialect) -> list[Statement]:
    """What masks that come later do to the rows and versions that are there."""
    layout = Layout("analytics", "cdc_merge", metadata_names("cdc_merge"))
    clear = [Column(name, (name.title(),), TEXT) for name in ("hashed", "redacted", "dropped")]
    masks = (Mask.HASH, Mask.REDACT, Mask.DROP)
    target = Target("people", columns=tuple(clear), has_history=True)
    stored = open_book(target, KEY, dialect, None).schema
    masked = replace(target, columns=(*map(_masked, clear, masks), Column("other", ('It\'s "it"',), mask=Mask.DROP)))
    book = open_book(masked, KEY, dialect, None)
    hidden = find_hidden(stored, book.schema, {c.name for c in clear})
    return MergePlan(dialect, layout, [replace(book, stored=stored, hidden=hidden)], ("S", "S")).hide("e'commerce")


class Heard:
    """Stands for a session, and keeps what it is asked to run. `row`: what the leases' table has of the source."""

    def __init__(self, *row: object) -> None:
        self._rows = [row] if row else []
        self.statements: list[Statement] = []

    def query(self, sql: str) -> list[tuple[object, ...]]:
        self.statements.append(Statement("look at lease", sql))
        return self._rows

    def run(self, statements: Iterable[Statement]) -> list[int]:
        for statement in statements:
            if statement.lock:
                self.statements.append(Statement(f"lock for: {statement.label}", statement.lock))
            self.statements.append(statement)
        return [1]


def statements_of_leases(dialect: Dialect) -> list[Statement]:
    """What keeps two workers from merging a source at once: taken when free, gone or expired; fenced; given back."""
    leases = Leases(
        metadata_names("cdc_merge"),
        dialect,
        ttl=60,
        holder="host:2",
        is_alive=lambda holder: holder != "host:1",
        new_token=lambda: "bb22",
    )
    heard = []
    for row in ((), ("host:1", "aa11", False), ("other:1", "aa11", True)):
        session = Heard(*row)
        lease = leases.acquire(cast(Session, session), "e'commerce")
        assert lease
        heard += session.statements
    session = Heard()
    session.run([leases.fence(lease), leases.lock(lease.source)])
    leases.release(cast(Session, session), lease)
    return [*heard, *session.statements]


def _masked(column: Column, mask: Mask) -> Column:
    return replace(column, mask=mask, type=None)


Statements = Callable[[Dialect], list[Statement]]
EVERY = pytest.mark.parametrize(
    ("part", "of"),
    [
        ("merge", statements),
        ("deletes", sparing_statements),
        ("history", statements_of_a_history),
        ("masks", statements_of_masks),
        ("leases", statements_of_leases),
    ],
    ids=["merge", "deletes", "history", "masks", "leases"],
)


@EVERY
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_the_sql_is_as_committed(dialect: Dialect, part: str, of: Statements) -> None:
    text = "\n\n".join(f"-- {s.title}\n{s.sql};" for s in as_said(dialect, of(dialect))) + "\n"
    golden = GOLDEN / f"{part}.{dialect.name}.sql"
    if os.environ.get("CDC_MERGE_UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "run `make golden` and read the difference"


@EVERY
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_a_parser_of_the_engine_understands_every_statement(dialect: Dialect, part: str, of: Statements) -> None:
    assert of(dialect), part
    for statement in as_said(dialect, of(dialect)):
        parsed = sqlglot.parse(statement.sql, read=dialect.sqlglot)
        assert len(parsed) == 1, statement.label
        if not statement.label.startswith(("analyze", "lock for: ")):
            assert not isinstance(parsed[0], exp.Command), statement.label


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_hostile_names_and_values_stay_inside_their_quotes(dialect: Dialect) -> None:
    for statement in statements(dialect):
        if "ders" in statement.label and statement.label.startswith(("insert", "delete", "create")):
            tables = {t.name for t in sqlglot.parse_one(statement.sql, read=dialect.sqlglot).find_all(exp.Table)}
            assert dialect.in_catalog("or\"ders'") in tables, statement.label
