"""The statements that hide what new masks reach of the rows and versions that are there."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_merge.merge.altering import Render
from cdc_merge.render import Name, Sql, name
from cdc_merge.schema.masking import Hidden, HiddenColumn
from cdc_merge.warehouses import Dialect, Statement


def hide(
    render: Render, dialect: Dialect, *, label: str, table: Name, hidden: Hidden, columns: Sequence[HiddenColumn] = ()
) -> Statement:
    """Masks `columns` of a table, and takes out of `_cdc_rescued` what a mask hides."""
    masked = [(name(c.name), c.mask, Sql(dialect.sha256.format(dialect.quote(c.name)))) for c in columns]
    rescued = _rescued_without(render, hidden)
    return Statement(label, render("merge/sql/mask", table=table, columns=masked, rescued=rescued))


def _rescued_without(render: Render, hidden: Hidden) -> Sql:
    if hidden.is_all:
        return Sql("NULL")
    if not hidden.attributes:
        return Sql("_cdc_rescued")
    values = {"attributes": hidden.attributes, "spelled": hidden.spelled, "patch": hidden.patch}
    return Sql(render("merge/sql/unrescued", **values))
