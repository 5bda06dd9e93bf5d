"""How a target's columns are compared with what an export says, in one engine's SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_merge.merge.altering import Render
from cdc_merge.merge.planned import PlannedTarget
from cdc_merge.model import ColumnType, Kind
from cdc_merge.render import Sql
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import DELETED_AT
from cdc_merge.warehouses import Dialect


@dataclass(frozen=True)
class ComparedColumn:
    """Whether a column of the target (t) is what the export says (s); `label` names it in reports."""

    label: str
    here: Sql
    staged: Sql
    same: Sql


@dataclass(frozen=True)
class Comparing:
    """Builds the expressions for one engine. The row of the table is t, the staged one s."""

    dialect: Dialect
    render: Render

    def columns(self, target: PlannedTarget, book: SchemaBook) -> list[ComparedColumn]:
        """How each column of a target is compared with the export's."""
        lacking = {c.name for c in book.new_columns}
        return [
            *(
                self.lacking(c.name, c.type, p.staged)
                if c.name in lacking
                else self.same(c.name, c.name, c.type, p.staged)
                for p, c in zip(target.columns, book.schema.columns, strict=True)
            ),
            self.same_rescued(),
            *self.unmarked(target),
        ]

    def lacking(self, label: str, column_type: ColumnType, staged: Sql) -> ComparedColumn:
        """As if the column were there already, and NULL in all rows."""
        here = Sql(f"CAST(NULL AS {self.dialect.type_name(column_type)})")
        return ComparedColumn(label, here, staged, Sql(f"({staged.text} IS NULL)"))

    def same(self, label: str, column: str, column_type: ColumnType, staged: Sql) -> ComparedColumn:
        """How a column of the table is compared with its staged value."""
        here = Sql(f"t.{self.dialect.quote(column)}")
        forms = {Kind.JSON: self.dialect.same_json, Kind.TEXT: self.dialect.same_text}
        form = forms.get(column_type.kind, self.dialect.same)
        return ComparedColumn(label, here, staged, Sql(form.format(a=here.text, b=staged.text)))

    def unmarked(self, target: PlannedTarget) -> list[ComparedColumn]:
        """The row of an item that is there must not be marked as deleted."""
        if not target.has_deleted_at:
            return []
        nothing = Sql(f"CAST(NULL AS {self.dialect.types[Kind.TIMESTAMP]})")
        return [ComparedColumn(DELETED_AT, Sql(f"t.{DELETED_AT}"), nothing, Sql(f"(t.{DELETED_AT} IS NULL)"))]

    def same_rescued(self) -> ComparedColumn:
        """How `_cdc_rescued` is compared: as text, or without the attributes that are NULL, as good as missing."""
        here = Sql(self.dialect.written_rescued("t._cdc_rescued"))
        staged = Sql("s.rescued")
        same = self.dialect.same_rescued.format(a=here.text, b=staged.text, column="t._cdc_rescued")
        return ComparedColumn("_cdc_rescued", here, staged, Sql(same))

    def differing(self, columns: Sequence[ComparedColumn]) -> Sql:
        """The names of the columns that differ. Of rows joined by keys alone at first (x), or of both sides."""
        is_joined_by_keys = self.dialect.row_hash or not self.dialect.row_address
        row, number = ("x", "x") if is_joined_by_keys else ("t", "s")
        text = Sql(self.dialect.types[Kind.TEXT])
        template = "reconcile/sql/differing"
        return Sql(self.render(template, columns=columns, text=text, row=Sql(row), number=Sql(number)))

    def combined(self, *values: str) -> Sql | None:
        """A hash of a row's key and of the hash of its values, to be summed up with those of other rows.

        Hashed twice: DuckDB puts the hashes of several values together by XOR. So two rows that swapped their values
        would come to the same sum once in a hundred million times, where it is to be once in 2⁶⁴.
        """
        together = self.hashed(*values)
        return self.hashed(together.text) if together else None

    def hashed(self, *values: str) -> Sql | None:
        """One hash of a row's values; None: the engine has none that would do."""
        form = self.dialect.row_hash
        return Sql(form.format(", ".join(values) or "0")) if form else None
