"""The statements that alter a table which is there: new columns, and decimals that take more digits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.warehouses import Statement


class Render(Protocol):
    """Fills a template that knows all tables by name."""

    def __call__(self, template: str, **values: Any) -> str: ...


def alter_columns(
    render: Render, target: PlannedTarget, label: str, *, added: Collection[str], widened: Collection[str]
) -> list[Statement]:
    """Add and widen columns of `target.table`, in the order of the target's columns."""
    statements = []
    for column in target.columns:
        name = column.name.parts[0]
        if name in added:
            sql = render("merge/sql/add_column", target=target, column=column)
            statements.append(Statement(f"add {label}.{name}", sql))
        elif name in widened:
            sql = render("merge/sql/widen_column", target=target, column=column)
            statements.append(Statement(f"widen {label}.{name}", sql))
    return statements
