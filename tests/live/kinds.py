"""Which kinds of statements cdc-merge sends to the services, for the list of what has never met them.

Only what the project itself says counts, not what a test says by hand: docs/live-tests.md has the list.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg2.extensions
import pytest
from snowflake.connector.cursor import SnowflakeCursor

from cdc_merge.warehouses.redshift import RedshiftWarehouse
from cdc_merge.warehouses.redshift_session import SETTINGS

_ROOT = Path(__file__).parents[2]
_PACKAGE, _WAREHOUSES, _TESTS = (f"{_ROOT}/{folder}/" for folder in ("cdc_merge", "cdc_merge/warehouses", "tests"))
_PAGE = _ROOT / "docs" / "live-tests.md"
_BETWEEN = f"{_ROOT}/tests/support/faults.py"  # hands on what the project says

_SILENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_NAME = r"(?:[\w$@]+|\"\")(?:\.(?:[\w$@]+|\"\"))*"

# Statements by their first words, in capitals and without what is quoted; the first that fits.
_KINDS = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (rf"CREATE (OR REPLACE )?TEMPORARY TABLE {_NAME} AS\b", "CREATE TEMPORARY TABLE AS"),
        (r"CREATE (OR REPLACE )?TEMPORARY VIEW\b", "CREATE TEMPORARY VIEW"),
        (r"COPY\b.*\bREADRATIO\b", "COPY READRATIO"),
        (r"CREATE OR REPLACE TEMPORARY TABLE\b", "CREATE OR REPLACE TEMPORARY TABLE"),
        (rf"CREATE (OR REPLACE )?TABLE {_NAME} LIKE\b", r"CREATE \1TABLE LIKE"),
        (r"COMMENT ON (TABLE|COLUMN)\b", r"COMMENT ON \1"),
        (r"CREATE OR REPLACE TABLE\b", "CREATE OR REPLACE TABLE"),
        (r"CREATE (TEMPORARY TABLE|TEMPORARY STAGE|SCHEMA|TABLE)\b", r"CREATE \1"),
        (
            rf"ALTER TABLE {_NAME} ((?:ADD|DROP|RENAME|ALTER) COLUMN|RENAME TO|OWNER TO|SWAP WITH|CLUSTER BY)\b",
            r"ALTER TABLE \1",
        ),
        (
            r"(DROP TABLE|LOCK TABLE|COPY INTO|COPY|PUT|REMOVE|GRANT|REVOKE|USE SCHEMA|RESET|SET)\b",
            r"\1",
        ),
        (
            r"(BEGIN|COMMIT|ROLLBACK)\b",
            r"\1",
        ),
        (r"INSERT INTO\b.*?\bVALUES\b(?!.*\bSELECT\b)", "INSERT VALUES"),
        (r"INSERT INTO\b.*\bSELECT\b", "INSERT SELECT"),
        (rf"DELETE FROM {_NAME} USING\b", "DELETE USING"),
        (rf"DELETE FROM {_NAME}", "DELETE"),
        (r"UPDATE\b.*?\bSET\b.*\bFROM\b", "UPDATE FROM"),
        (r"(UPDATE|SELECT|DESCRIBE|SHOW|VACUUM|ANALYZE)\b", r"\1"),
        (r"WITH\b", "SELECT"),
    )
)
_CALL = re.compile(r"(?<![.\w\"])([A-Z][A-Z0-9_$]*) ?\(")
_NO_CALLS = frozenset(
    {
        *("AND", "AS", "BY", "COLUMNS", "DISTINCT", "ELSE", "EXCEPT", "EXISTS", "FILES", "FROM", "IN", "INTO", "JOIN"),
        *("NOT", "ON", "OR", "OVER", "SELECT", "THEN", "TYPE", "UNION", "USING", "VALUES", "WHEN", "WHERE", "ALL"),
        *("DECIMAL", "NUMERIC", "NUMBER", "VARCHAR", "VARBYTE", "DISTKEY", "SORTKEY", "KEY", "FILE_FORMAT", "NULL_IF"),
        *("SAMPLE", "CASE", "END", "LIMIT", "TABLE", "HAVING", "LIKE", "ANY", "BETWEEN", "IS", "SET"),
    }
)
# What else differs from engine to engine.
_CLAUSES = re.compile(
    r"\b(?:DISTKEY|COMPOUND SORTKEY|COLLATE CASE_SENSITIVE|SAMPLE|COMMENT|TRANSIENT|FULL JOIN|USING SAMPLE)\b"
)
_PLACES = re.compile(
    r"\b(?:FROM|JOIN) ((?:INFORMATION_SCHEMA\.|PG_CATALOG\.)?(?:PG_|SVV_|SYS_|SVL_|STV_)\w+|INFORMATION_SCHEMA\.\w+)"
)


@lru_cache(1024)
def kinds_of(sql: str) -> frozenset[str]:
    """What a statement is, its clauses that few engines have, what it calls (`name()`), and the catalogs it reads."""
    return frozenset(_kinds_of(sql))


def _kinds_of(sql: str) -> Iterator[str]:
    plain = " ".join(_QUOTED.sub(lambda q: q[0][0] * 2, _SILENT.sub(" ", sql)).upper().split())
    for pattern, kind in _KINDS:
        if match := pattern.match(plain):
            yield match.expand(kind)
            break
    else:
        yield plain[:60]
    if plain.startswith("INSERT") and len(plain) > 100_000:
        return  # rows, which call nothing
    yield from {match[0] for match in _CLAUSES.finditer(plain)}
    yield from (f"{name.lower()}()" for name in set(_CALL.findall(plain)) - _NO_CALLS)
    yield from (name.lower() for name in set(_PLACES.findall(plain)))


def listed() -> dict[str, set[str]]:
    """The kinds that docs/live-tests.md lists, by engine."""
    rows = re.findall(r"^\| `([^`]+)` \|([^|\n]*)\|([^|\n]*)\|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "redshift": {kind for kind, redshift, _ in rows if redshift.strip()},
        "snowflake": {kind for kind, _, snowflake in rows if snowflake.strip()},
    }


@dataclass
class Heard:
    """What this process has said to an engine: how many statements, and of what kinds those of the project are."""

    statements: int = 0
    kinds: set[str] = field(default_factory=set)

    def hear(self, sql: str, frame: FrameType) -> None:
        self.statements += 1
        if _is_ours(frame):
            self.kinds.update(kinds_of(sql))


@contextmanager
def hearing() -> Iterator[Mapping[str, Heard]]:
    """What is said to Redshift and to Snowflake during the block, by engine."""
    found = {"redshift": Heard(), "snowflake": Heard()}

    class Heeded(psycopg2.extensions.cursor):
        def execute(self, query: Any, *rest: Any) -> None:
            found["redshift"].hear(str(query), sys._getframe(1))
            super().execute(query, *rest)

    connect = RedshiftWarehouse._connect
    execute: Callable[..., Any] = SnowflakeCursor.execute

    def connected(self: RedshiftWarehouse) -> Any:
        connection = connect(self)
        for setting in SETTINGS:
            found["redshift"].hear(setting, sys._getframe(1))
        connection.cursor_factory = Heeded
        return connection

    @wraps(execute)
    def executed(self: SnowflakeCursor, command: str, *rest: Any, **options: Any) -> Any:
        found["snowflake"].hear(command, sys._getframe(1))
        return execute(self, command, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedshiftWarehouse, "_connect", connected)
        patch.setattr(SnowflakeCursor, "execute", executed)
        yield found


def _is_ours(frame: FrameType | None) -> bool:
    """Whether it is the project's own SQL: that of a session's verbs, or what the project gave to `run` or `query`."""
    is_of_a_warehouse = is_handed = False
    while frame is not None:
        place = frame.f_code.co_filename
        if place.startswith(_WAREHOUSES):
            is_of_a_warehouse = True
            is_handed = is_handed or frame.f_code.co_name in ("run", "query")
        elif place.startswith(_PACKAGE):
            return True
        elif place.startswith(_TESTS) and place not in (_BETWEEN, __file__):
            break
        frame = frame.f_back
    return is_of_a_warehouse and not is_handed


__all__ = ["Heard", "hearing", "kinds_of", "listed"]
