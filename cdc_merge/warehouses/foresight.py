"""What goes before a transaction where DDL commits: tables and columns, and the temporary tables it will fill.

DDL inside a transaction would end it, CREATE TEMPORARY TABLE AS included. So all of it runs first, each statement in
words that do no harm when they are said again, and in the transaction a temporary table is filled by an INSERT. A crash
in between leaves empty tables and columns that no row uses, which the next try finds and takes.
https://docs.snowflake.com/en/sql-reference/transactions#ddl
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cdc_merge.warehouses import Statement

_COMMENTS = r"\s*(?:--[^\n]*\n\s*)*"
_MADE = re.compile(rf"(?P<before>{_COMMENTS})CREATE TEMPORARY TABLE (?P<name>\w+) AS\s+(?P<query>.*)", re.DOTALL)
_SHAPED = re.compile(rf"(?P<before>{_COMMENTS})CREATE TEMPORARY TABLE (?P<rest>(?P<name>\w+) \(.*)", re.DOTALL)
_DROPPED = re.compile(rf"{_COMMENTS}DROP TABLE IF EXISTS (?P<name>\w+)\s*")
_DEFINED = re.compile(rf"{_COMMENTS}(?:CREATE|ALTER|DROP|COMMENT)\s+(?P<kind>\w+)")


@dataclass(frozen=True)
class Foresight:
    """`before`: the DDL of some statements, in order; `said`: as they said it. `temporary`: the tables among it."""

    before: tuple[Statement, ...]
    said: frozenset[str]
    temporary: frozenset[str]

    @staticmethod
    def of(statements: Iterable[Statement]) -> Foresight:
        """What must go before the transaction that runs the statements."""
        before: list[Statement] = []
        said: set[str] = set()
        temporary: set[str] = set()
        for statement in statements:
            # DDL would be said beforehand whether it is needed or not.
            assert statement.only_if is None or not _DEFINED.match(statement.sql), statement.label
            if made := _MADE.fullmatch(statement.sql):
                temporary.add(made["name"])
                empty = f"CREATE OR REPLACE TEMPORARY TABLE {made['name']} AS\n{made['query']}\nLIMIT 0"
                before.append(Statement(f"foresee {made['name']}", made["before"] + empty))
            elif shaped := _SHAPED.fullmatch(statement.sql):
                temporary.add(shaped["name"])
                said.add(statement.sql)
                anew = f"{shaped['before']}CREATE OR REPLACE TEMPORARY TABLE {shaped['rest']}"
                before.append(replace(statement, sql=anew))
            elif _DEFINED.match(statement.sql) and not _DROPPED.fullmatch(statement.sql):
                said.add(statement.sql)
                before.append(statement)
        return Foresight(tuple(before), frozenset(said), frozenset(temporary))

    def within(self, statements: Iterable[Statement]) -> Iterator[Statement]:
        """What is left to be said in the transaction; nothing (an empty text) in the place of what went before it.

        Raises AssertionError for DDL that was not foreseen: it would end the transaction.
        """
        for statement in statements:
            if made := _MADE.fullmatch(statement.sql):
                assert made["name"] in self.temporary, f"{made['name']} was not foreseen"
                insert = f"{made['before']}INSERT INTO {made['name']}\n{made['query']}"
                yield replace(statement, sql=insert)
            elif dropped := _DROPPED.fullmatch(statement.sql):
                assert dropped["name"] in self.temporary, f"{dropped['name']} was not foreseen"
                yield replace(statement, sql="")
            elif _DEFINED.match(statement.sql):
                assert statement.sql in self.said, f"{statement.label} was not foreseen"
                yield replace(statement, sql="")
            else:
                yield statement


def makes_schema(statement: Statement) -> bool:
    """Whether it is a CREATE SCHEMA, after which the new schema is the session's."""
    defined = _DEFINED.match(statement.sql)
    return defined is not None and defined["kind"] == "SCHEMA"


def in_order(statements: Sequence[Statement]) -> list[Statement]:
    """The statements of a transaction as they are said where DDL commits."""
    foresight = Foresight.of(statements)
    return [*foresight.before, *(s for s in foresight.within(statements) if s.sql)]


__all__ = ["Foresight", "in_order", "makes_schema"]
