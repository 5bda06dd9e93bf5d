"""The SQL that decodes raw records, committed, so that a change of it is read as SQL. Update with `make golden`."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import sqlglot
from sqlglot import exp

from cdc_merge.model import Column, ColumnType, Evolve, Kind, Ordering, Source
from cdc_merge.raw.decoding import Decoding
from cdc_merge.raw.probe import QUESTIONS
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses import Row, Statement
from cdc_merge.warehouses.dialect import Dialect
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE
from tests.doubles.redshift.translation import translate
from tests.support.golden import CUSTOMERS, GOLDEN, KEY, NOW, ORDERS

TARGETS = (
    replace(
        CUSTOMERS,
        columns=(
            Column("username", ("Username",), ColumnType(Kind.TEXT)),
            Column("spent", ("TotalSpent",), ColumnType(Kind.NUMERIC, 12, 2)),
            Column("city", ("Addresses", "Home", "City"), ColumnType(Kind.TEXT)),
        ),
        evolve=Evolve.FREEZE,
    ),
    ORDERS,
)
# What the warehouse answers to the questions among the statements.
ANSWERS: dict[str, list[Row]] = {
    "probe": [(True,) * len(QUESTIONS)],
    "count changes": [(None, 1200)],
    "find attributes": [("PK",), ("SK",), ("Type",), ("Username",), ("Addresses",), ('It\'s "it"',)],
    "count rows": [(700, 0, NOW, 0, 0)],
    "compare copies": [(0,)],
    "find unmatched": [("(no prefix)", 3)],
}


def decoding(ordering: Ordering, dialect: Dialect) -> Decoding:
    books = [replace(open_book(t, KEY, dialect, None), pending=()) for t in TARGETS]
    tags = ("S", "N") if ordering is Ordering.SEQUENCE else ("S", "S")
    source = Source("e'commerce", "s3://lake/feed/", KEY, TARGETS)
    return Decoding(source, books, dialect, ordering=ordering, key_tags=tags)


def statements(ordering: Ordering, dialect: Dialect = REDSHIFT) -> list[Statement]:
    found = []
    for statement in decoding(ordering, dialect).statements():
        found.append(statement)
        if statement.inspect:
            statement.inspect(ANSWERS[statement.label])
    return found


EACH = pytest.mark.parametrize("ordering", list(Ordering))
ON_EACH = pytest.mark.parametrize("dialect", [REDSHIFT, SNOWFLAKE], ids=lambda d: d.name)


@EACH
@ON_EACH
def test_the_sql_is_as_committed(ordering: Ordering, dialect: Dialect) -> None:
    text = "\n\n".join(f"-- {s.title}\n{s.sql};" for s in statements(ordering, dialect)) + "\n"
    golden = GOLDEN / f"raw_{ordering}.{dialect.name}.sql"
    if os.environ.get("CDC_MERGE_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "run `make golden` and read the difference"


@EACH
@ON_EACH
def test_a_parser_of_the_engine_understands_every_statement(ordering: Ordering, dialect: Dialect) -> None:
    for statement in statements(ordering, dialect):
        if statement.label == "find attributes" and dialect is REDSHIFT:
            continue  # it knows no UNPIVOT of a SUPER: query-super.html
        parsed = sqlglot.parse(statement.sql, read=dialect.sqlglot)
        assert len(parsed) == 1, statement.label
        if not statement.label.startswith(("set", "reset")):
            assert not isinstance(parsed[0], exp.Command), statement.label


@EACH
@ON_EACH
def test_every_table_that_is_made_was_foreseen(ordering: Ordering, dialect: Dialect) -> None:
    made = [s for s in statements(ordering, dialect) if s.sql.find("CREATE ") >= 0]
    assert made == decoding(ordering, dialect).foreseen()


@EACH
def test_nothing_that_redshift_refuses_is_said(ordering: Ordering) -> None:
    for statement in statements(ordering):
        assert translate(statement.sql, copied=0), statement.label
