"""What a road to Redshift does: a connection of its own protocol, or a session of the Data API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from cdc_merge.warehouses import Row, Statement


class RedshiftLink(Protocol):
    """What a road to Redshift does: it raises what an error asks for, with the label as its place."""

    @property
    def max_statement_bytes(self) -> int:
        """The longest text of a statement (UTF-8)."""

    def run(self, statements: Iterable[Statement], *, begin: str) -> list[int]:
        """Run all statements in one transaction; returns the rows each touched (-1 where unknown)."""

    def query(self, sql: str, label: str = "query") -> list[Row]:
        """Rows of one reading statement."""

    def execute_all(self, sqls: Sequence[str], label: str) -> None:
        """Run statements one after the other, outside of `run`; what follows one that fails is not run."""


__all__ = ["RedshiftLink"]
