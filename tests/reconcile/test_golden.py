"""The SQL of a reconcile for every engine, committed, so that a change of it is read as SQL: `make golden`."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from cdc_merge.layout import Layout
from cdc_merge.merge.plan import MergePlan
from cdc_merge.migrate import metadata_names
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Source, Target
from cdc_merge.reconcile.copied_plan import CopiedPlan
from cdc_merge.reconcile.findings import CopiesFound, Findings, Limits, Undertaking
from cdc_merge.reconcile.plan import ReconcilePlan
from cdc_merge.reconcile.rebuild import RebuildPlan
from cdc_merge.reconcile.replacing import know_stored, plan_changes
from cdc_merge.reconcile.report import Method
from cdc_merge.schema.catalog import TableColumn
from cdc_merge.schema.opening import open_book
from cdc_merge.schema.stored import TargetSchema, TypedColumn
from cdc_merge.schema.tables import Inspector
from cdc_merge.warehouses import Dialect, Row, Statement
from cdc_merge.warehouses.dialect import DUCKDB, POSTGRES
from cdc_merge.warehouses.redshift_dialect import REDSHIFT
from cdc_merge.warehouses.snowflake_dialect import SNOWFLAKE
from tests.doubles.redshift.translation import translate
from tests.support.golden import DIALECTS, GOLDEN, KEY, NOW, as_said, books

FLOOR = datetime(2026, 1, 2, 3, tzinfo=UTC)
TALLIES: dict[str, Row] = {
    # rows, staged, missing, extra, different, newer, rows in verdicts, staged in verdicts, distinct ones of these
    "count customers": (1000, 999, 3, 2, 5, 10, 19, 18, 18),
    "count or\"ders'": (10, 10, 0, 0, 0, 0, 0, 0, 0),
}
FIRST_LOAD = TALLIES | {"count or\"ders'": (0, 10, 10, 0, 0, 0, 0, 10, 10)}
FOUND: dict[str, list[Row]] = {
    "look at floors": [("customers", None), ("or\"ders'", datetime(2026, 1, 1, tzinfo=UTC))],
    "count causes in customers": [("missing", "never_arrived", 3), ("extra", "delete_lost", 2)],
    "count columns of customers": [("spent\ncity", 4), ("spent", 1)],
    "take samples of customers": [
        ("extra", "delete_lost", "", "it's", "7"),
        ("different", "update_lost", "spent", "b", "8"),
    ],
    "count tombstones": [(42,)],
    "count buckets of customers": [(375_000,)],
    "count rows in buckets of customers": [(2_500_000,)],
    "count buckets of or\"ders'": [(0,)],
}


UNDERTAKING = Undertaking(
    id="0123456789abcdef",
    source="e'commerce",
    export="s3://lake/AWSDynamoDB/01'",
    method=Method.EXPORT,
    as_of=NOW,
    floor=FLOOR,
    items=1009,
    unusable=1,
    worker="host:1",
    started_at=NOW,
)
LIMITS = Limits(
    floors=lambda _floors: None,
    deletes=lambda table, _tally: [f"{table}: it's forced"],
    unseen=lambda _table, _rows: [],
    kept=lambda _table, _rows, _columns: [],
)


def rows_of(statement: Statement, tallies: dict[str, Row]) -> list[Row]:
    return [tallies[statement.label]] if statement.label in tallies else FOUND.get(statement.label, [])


def statements(dialect: Dialect, **options: Any) -> list[Statement]:
    """What a reconcile says to an engine that answers with made-up rows."""
    tallies = options.pop("tallies", TALLIES)
    layout = Layout("analytics", "cdc_merge", metadata_names("cdc_merge"))
    mine = books(dialect, stored=True)
    removed = {"leads": TargetSchema(("pk", "sk"), key=KEY)}
    merge = MergePlan(dialect, layout, mine, ("S", "N"), removed=removed)
    plan = ReconcilePlan(merge, mine, dialect, is_partial=options.pop("is_partial", False))
    said = []
    options = {"setup": [], "make": [], **options}
    findings = Findings(items=options.pop("items", 0))
    for statement in plan.statements(UNDERTAKING, LIMITS, findings, clock=lambda: NOW, **options):
        said.append(statement)
        if statement.inspect:
            statement.inspect(rows_of(statement, tallies))
    return said


def everything(dialect: Dialect) -> list[Statement]:
    """A reconcile with a full export; then what others say otherwise: of an incremental export, of a large one, and one
    that fills an empty table.
    """
    found = statements(dialect, heal_copies=True)
    for otherwise in ({"is_partial": True}, {"items": 3_000_000}, {"tallies": FIRST_LOAD}):
        known = {s.sql for s in found}
        found += [s for s in statements(dialect, **otherwise) if s.sql not in known]
    return as_said(dialect, found)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_the_sql_is_as_committed(dialect: Dialect) -> None:
    text = "\n\n".join(f"-- {s.title}\n{s.sql};" for s in everything(dialect)) + "\n"
    golden = GOLDEN / f"reconcile.{dialect.name}.sql"
    if os.environ.get("CDC_MERGE_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "run `make golden` and read the difference"


def copied() -> list[Statement]:
    """What is said to Redshift of items that it has copied from DynamoDB."""
    total = Column("total", ("To\"tal'",), ColumnType(Kind.NUMERIC, 12, 2))
    types = (Kind.INTEGER, Kind.DOUBLE, Kind.DATE, Kind.TIMESTAMP)
    columns = (*(Column(kind.value, (kind.value,), ColumnType(kind)) for kind in types), total)
    asked = (Condition(("Type",), any_of=("it's",)), Condition(("Vip",), exists=True), Condition(("SK",), prefix="A#"))
    customers = Target("customers", where=asked, columns=columns, evolve=Evolve.FREEZE)
    names = Target("names", columns=(Column("name", ("Name",), ColumnType(Kind.TEXT)),), evolve=Evolve.FREEZE)
    fresh = [open_book(t, KEY, REDSHIFT, None) for t in (customers, names)]
    mine = [open_book(customers, KEY, REDSHIFT, None), open_book(names, KEY, REDSHIFT, fresh[1].schema)]
    source = Source("shop", "", KEY, (customers, names))
    plan = CopiedPlan(source, mine, ("S", "N"), REDSHIFT, "analytics", empty_is_missing=False)
    queries = {"count": plan.counts(), "count reasons": plan.doubts(), "read keys in doubt": plan.in_doubt()}
    return [*plan.mark(), *(Statement(label, sql) for label, sql in queries.items()), *plan.fill()]


def test_the_sql_of_what_was_copied_is_as_committed_and_understood() -> None:
    text = "\n\n".join(f"-- {s.title}\n{s.sql};" for s in copied()) + "\n"
    golden = GOLDEN / "copied.redshift.sql"
    if os.environ.get("CDC_MERGE_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "run `make golden` and read the difference"
    for statement in copied():
        (parsed,) = sqlglot.parse(statement.sql, read="redshift")
        assert not isinstance(parsed, exp.Command), statement.label
        translate(statement.sql, copied=0)  # raises what the double refuses


def rebuilding(dialect: Dialect) -> list[Statement]:
    """What a rebuild says where tables change places after its transaction: one column goes, one comes."""
    layout = Layout("analytics", "cdc_merge", metadata_names("cdc_merge"))
    mine = books(dialect, stored=True)[:1]
    stored = mine[0].schema
    before = replace(stored, columns=(*stored.columns[1:], TypedColumn("age", ("Age",), ColumnType(Kind.INTEGER))))
    types = {c.name: dialect.type_name(c.type) for c in before.columns}
    types |= {"pk": dialect.types[Kind.TEXT], "sk": dialect.types[Kind.NUMERIC], "_cdc_rescued": dialect.metadata_json}
    types |= {"_cdc_position": dialect.types[Kind.TEXT]}
    types |= dict.fromkeys(("_cdc_changed_at", "_cdc_merged_at"), dialect.types[Kind.TIMESTAMP])
    tables = {"customers": {c: TableColumn(t) for c, t in types.items()}}
    there = Inspector(dialect, "analytics", {"customers": before}, tables, ("S", "N"))
    known = know_stored(mine, there, mark="0123456789ab")
    merge = MergePlan(dialect, layout, known, ("S", "N"))
    changes = plan_changes(merge, known, there, layout, ("S", "N"))
    plan = RebuildPlan(merge, known, dialect, changes, replay_from=FLOOR, is_fed=True)
    make = [*plan.create(schema_exists=True), *merge.record_schema("e'commerce")]
    undertaking = replace(UNDERTAKING, method=Method.REBUILD)
    tallies = TALLIES | {"count newer of customers": (1, 0)}
    said = []
    setup = plan.prepare(schema_exists=True)
    for statement in plan.statements(undertaking, LIMITS, Findings(), clock=lambda: NOW, setup=setup, make=make):
        said.append(statement)
        if statement.inspect:
            statement.inspect(rows_of(statement, tallies))
    return as_said(dialect, said)


def test_the_sql_of_a_rebuild_whose_tables_change_places_after_it_is_as_committed() -> None:
    text = "\n\n".join(f"-- {s.title}\n{s.sql};" for s in rebuilding(SNOWFLAKE)) + "\n"
    golden = GOLDEN / "rebuild.snowflake.sql"
    if os.environ.get("CDC_MERGE_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "run `make golden` and read the difference"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_a_parser_of_the_engine_understands_every_statement(dialect: Dialect) -> None:
    for statement in [*everything(dialect), *(rebuilding(dialect) if dialect.ddl_commits else [])]:
        parsed = sqlglot.parse(statement.sql, read=dialect.sqlglot)
        assert len(parsed) == 1, statement.label
        if not statement.label.startswith("analyze"):
            assert not isinstance(parsed[0], exp.Command), statement.label


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_hostile_names_and_values_stay_inside_their_quotes(dialect: Dialect) -> None:
    compared = "find suspects in or" if dialect.row_hash else "compare or"
    for statement in everything(dialect):
        if statement.label.startswith("analyze"):
            continue
        tree = sqlglot.parse_one(statement.sql, read=dialect.sqlglot)
        if statement.label.startswith((compared, "raise floor of or", "delete copies from or")):
            names = {table.name for table in tree.find_all(exp.Table)} | {
                text.this for text in tree.find_all(exp.Literal)
            }
            assert {"or\"ders'", dialect.in_catalog("or\"ders'")} & names, statement.label
        if statement.label == "record customers":
            texts = {literal.this for literal in tree.find_all(exp.Literal)}
            assert {
                "e'commerce",
                "s3://lake/AWSDynamoDB/01'",
                "customers: it's forced; or\"ders': it's forced",
            } <= texts


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_what_has_not_drifted_is_neither_deleted_from_nor_inserted_into(dialect: Dialect) -> None:
    labels = [s.label for s in statements(dialect)]
    assert "delete from customers" in labels
    assert "insert into customers" in labels
    assert "delete from or\"ders'" not in labels
    assert "insert into or\"ders'" not in labels


def test_rows_that_are_twice_are_seen_in_the_counts_where_no_key_forbids_them() -> None:
    """Two rows of a key that is equal, one of them counted too much; or two of a key that is different."""
    for copies in ((1001, 999, 3, 2, 5, 10, 19, 18, 18), (1000, 999, 3, 2, 6, 10, 19, 19, 18)):
        tallies = TALLIES | {"count customers": copies}
        with pytest.raises(CopiesFound):
            statements(DUCKDB, tallies=tallies)
        statements(POSTGRES, tallies=tallies)
