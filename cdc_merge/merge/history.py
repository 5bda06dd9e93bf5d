"""The statements that keep histories: every change of a target's items, beside its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cdc_merge.merge.altering import Render, alter_columns
from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.render import Sql
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses import Dialect, Statement


@dataclass(frozen=True)
class HistoryPlan:
    """Builds the statements for the targets that keep a history; there are none for a source without."""

    dialect: Dialect
    render: Render
    books: Sequence[SchemaBook]
    targets: Sequence[PlannedTarget]

    def ddl(self, definitions: Mapping[int, str]) -> list[Statement]:
        """What must be created or altered. `definitions`: how to create the history of a target, by its number."""
        statements: list[Statement] = []
        for book, target in zip(self.books, self.targets, strict=True):
            if target.history is None:
                continue
            label = target.history.parts[-1]
            if book.history is None:
                statements.append(Statement(f"create {label}", definitions[target.number]))
                if self.dialect.indexes_key:
                    sql = self.render("merge/sql/index_history", target=target)
                    statements.append(Statement(f"index {label}", sql))
                continue
            lacking, widened = {c.name for c in book.history_lacks}, {c.name for c in book.widened_columns}
            kept = replace(target, table=target.history)
            statements += alter_columns(self.render, kept, label, added=lacking, widened=widened)
        return statements

    def record(self, source: str, merged_at: datetime) -> list[Statement]:
        """Every change of the batch into the histories, where there are any."""
        targets = [t for t in self.targets if t.history]
        if not targets:
            return []
        statements = [
            Statement("leave out forgotten", self.render("merge/sql/history_leave_out", source=source)),
            Statement("record events", self.render("merge/sql/history_events", source=source)),
        ]
        for target in targets:
            sql = self.render("merge/sql/history_versions", target=target, merged_at=merged_at)
            statements.append(Statement(f"insert versions of {target.label}", sql))
            touched = "SELECT DISTINCT s.partition_key, s.sort_key FROM _cdc_events AS s"
            statements += self.order(target, source=source, touched=touched, merged_at=merged_at)
        return statements

    def order(self, target: PlannedTarget, *, source: str, touched: str, merged_at: datetime) -> list[Statement]:
        """From when to when each version of the touched keys is valid. `touched`: a query of their texts."""
        label, timeline = target.label, f"_cdc_timeline_{target.number}"
        order = self.render("merge/sql/history_timeline", target=target, source=source, touched=Sql(touched))
        statements = [
            Statement(f"drop timeline of {label}", f"DROP TABLE IF EXISTS {timeline}"),
            Statement(f"order history of {label}", order),
        ]
        if self.dialect.analyze_staging:
            statements.append(Statement(f"analyze timeline of {label}", f"ANALYZE {timeline}"))
        steps = {"history_close": "close versions", "history_reopen": "reopen versions", "history_ends": "insert ends"}
        for template, what in steps.items():
            sql = self.render(f"merge/sql/{template}", target=target, merged_at=merged_at)
            statements.append(Statement(f"{what} of {label}", sql))
        return statements
