"""The list of what has never met a live service names all that cdc-merge says to it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.kinds import kinds_of, listed

ROOT = Path(__file__).parents[2]
ENGINES = ("redshift", "snowflake")


def golden(engine: str) -> Iterator[str]:
    """The kinds of the statements that are kept as SQL."""
    for path in sorted((ROOT / "tests" / "golden").glob(f"*.{engine}.sql")):
        for statement in path.read_text(encoding="utf-8").split(";\n"):
            if re.sub(r"--[^\n]*", "", statement).strip():
                yield from kinds_of(statement)


@pytest.mark.parametrize("engine", ENGINES)
def test_all_that_is_kept_as_sql_is_listed(engine: str) -> None:
    found = set(golden(engine))
    assert len(found) > 20
    assert found - listed()[engine] == set()


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_listed_that_is_said_nowhere(engine: str) -> None:
    package = [ROOT / "migrations", ROOT / "cdc_merge"]
    text = " ".join(p.read_text(encoding="utf-8") for f in package for p in sorted(f.rglob("*")) if p.suffix in SOURCES)
    said, known = text.upper(), set(golden(engine))
    unknown = [
        kind
        for kind in sorted(listed()[engine] - known)
        if not all(word in said for word in kind.removesuffix("()").upper().split())
    ]
    assert unknown == []


SOURCES = (".sql", ".py")


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ('-- why\nDELETE FROM "a"."b (" USING _c AS c WHERE x = \'f(y)\'', {"DELETE USING"}),
        ("DELETE FROM a.b\nWHERE count(x) IN (1)", {"DELETE", "count()"}),
        ("CREATE OR REPLACE TEMPORARY TABLE t AS SELECT 1", {"CREATE TEMPORARY TABLE AS"}),
        ('CREATE TEMPORARY TABLE "t" (a NUMERIC(38, 0))', {"CREATE TEMPORARY TABLE"}),
        ('CREATE TABLE "t" (a int) DISTKEY (a) COMPOUND SORTKEY (a)', {"CREATE TABLE", "DISTKEY", "COMPOUND SORTKEY"}),
        ("COPY t\nFROM 's3://b/m'\nIAM_ROLE default\nFORMAT AS PARQUET\nMANIFEST", {"COPY"}),
        ("INSERT INTO \"t\" (a) VALUES (JSON_PARSE('{}'))", {"INSERT VALUES", "json_parse()"}),
        ('INSERT INTO "t" (a) SELECT 1 FROM pg_namespace', {"INSERT SELECT", "pg_namespace"}),
        ("UPDATE t SET a = s.a FROM s", {"UPDATE FROM"}),
        (
            "WITH a AS (SELECT 1) SELECT max(x) FROM information_schema.tables",
            {"SELECT", "max()", "information_schema.tables"},
        ),
        ("EXPLODE t", {"EXPLODE T"}),
    ],
)
def test_a_statement_is_of_its_kind(sql: str, kinds: set[str]) -> None:
    assert kinds_of(sql) == kinds
