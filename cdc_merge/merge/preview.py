"""Shows what a merge would do, without a batch: the DDL that is due and the statements, as text or data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cdc_merge.ledger import SourceState
from cdc_merge.merge.plan import Batch, Layout, MergePlan
from cdc_merge.merge.tables import Inspector
from cdc_merge.model import Source
from cdc_merge.warehouses import Dialect, Statement

_NOW = datetime(2000, 1, 1, tzinfo=UTC)  # a stand-in, so that the same plan prints the same text


@dataclass(frozen=True)
class Preview:
    """The statements of a source: `ddl` that the next batch would run, `merge` of every batch."""

    source: str
    ddl: tuple[Statement, ...]
    merge: tuple[Statement, ...]
    unknown: tuple[str, ...]  # columns whose type only data can tell

    def as_text(self, *, with_sql: bool) -> str:
        """SQL one can paste, each statement under its label."""
        lines = [f"-- source {self.source}"]
        if not self.ddl:
            lines.append("-- the tables are as the configuration asks")
        lines += [f"-- {u}" for u in self.unknown]
        for statement in (*self.ddl, *(self.merge if with_sql else ())):
            lines.append(f"\n-- [{statement.label}]\n{statement.sql};")
        return "\n".join(lines)

    def as_dict(self, *, with_sql: bool) -> dict[str, object]:
        document: dict[str, object] = {
            "source": self.source,
            "ddl": _labelled(self.ddl),
            "unknown": list(self.unknown),
        }
        if with_sql:
            document["merge"] = _labelled(self.merge)
        return document


def _labelled(statements: Sequence[Statement]) -> list[dict[str, str]]:
    return [{"label": s.label, "sql": s.sql} for s in statements]


def preview(source: Source, dialect: Dialect, layout: Layout, state: SourceState | None) -> Preview:
    """The plan of a source. Key attributes count as text until a first batch has shown their type.

    Raises SchemaConflict where a table is not what it should be.
    """
    state = state or SourceState()
    there = Inspector(dialect, layout.schema, state.schemas, state.columns, state.key_tags)
    books = there.open_books(source)
    plan = MergePlan(
        dialect,
        layout,
        books,
        state.key_tags or tuple("S" for _ in source.key),
        removed=there.left_behind(source),
    )
    batch = Batch("(batch)", source.name, "(worker)", _NOW, None, 0, 0, 0, 0)
    unknown = [
        f"{b.target.table}: column {c.name} is created when a value first shows its type"
        for b in books
        for c in b.pending
    ]
    unknown += [
        f"{b.target.table}: every attribute becomes a column as it is first seen"
        for b in books
        if b.target.columns is None
    ]
    return Preview(
        source.name,
        tuple(plan.ddl(schema_exists=state.schema_exists)),
        (*plan.record_objects(batch, again=False), plan.record_quarantine(batch), *plan.merge(batch)),
        tuple(unknown),
    )
