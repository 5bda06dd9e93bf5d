"""The columns of a target as the warehouse's metadata keeps them, and what is true of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cdc_merge.model import Column, ColumnType, Condition, Kind, Mask, Path, Template, TimeUnit
from cdc_merge.schema.conditions import as_documents, from_documents

# The one column of a target with `columns: document`: the whole item as plain JSON.
DOCUMENT = Column("document", (), ColumnType(Kind.JSON))

WHOLE = "."
"""The attribute in which an element that is no map lies, as if it were a map of that one: `element_image` in macros.sql
makes it so, and paths write it so."""

# Which element a row is, in a target with `each`: its place from 0, and its key if it is a map's entry.
ELEMENT_COLUMNS = ("_cdc_index", "_cdc_key")

DELETED_AT = "_cdc_deleted_at"

METADATA_COLUMNS = ("_cdc_position", "_cdc_changed_at", "_cdc_merged_at", "_cdc_rescued")

# What a history has in the place of those.
HISTORY_COLUMNS = (
    "_cdc_position",
    "_cdc_operation",
    "_cdc_valid_from",
    "_cdc_valid_to",
    "_cdc_merged_at",
    "_cdc_rescued",
)

# What a value's own type decides for a column that was given none; listed in the order that settles a tie.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
TYPE_OF_TAG: Mapping[str, ColumnType] = {
    "S": ColumnType(Kind.TEXT),
    "N": ColumnType(Kind.NUMERIC),
    "BOOL": ColumnType(Kind.BOOLEAN),
    "B": ColumnType(Kind.BINARY),
    "M": ColumnType(Kind.JSON),
    "L": ColumnType(Kind.JSON),
    "SS": ColumnType(Kind.JSON),
    "NS": ColumnType(Kind.JSON),
    "BS": ColumnType(Kind.JSON),
}


@dataclass(frozen=True)
class TypedColumn:
    """A column that exists, or will once the batch commits."""

    name: str
    path: Path
    type: ColumnType
    template: Template | None = None
    mask: Mask | None = None
    of_parent: bool = False


def takes_whole(column: TypedColumn | Column) -> bool:
    """Whether it is of one attribute of the item, or of the element, and of all of it."""
    return len(column.path) == 1 and not column.of_parent and column.template is None and column.mask is None


def holders(columns: Sequence[TypedColumn]) -> dict[str, list[int]]:
    """Which columns (by index) hold all of an attribute, by attribute: they take it whole, or piece by piece.

    The pieces of a template give the text back if each of its holes has a column. Where a column takes the attribute
    whole, pieces of it need not fit. What is masked anywhere counts as held altogether: it may be nowhere else.
    """
    hidden = {str(c.path[0]): [i] for i, c in enumerate(columns) if c.mask and c.path and not c.of_parent}
    found: dict[str, list[int]] = {}
    pieces: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for i, column in enumerate(columns):
        if len(column.path) != 1 or column.of_parent:
            continue
        attribute = str(column.path[0])
        if column.template is None:
            found.setdefault(attribute, []).append(i)
        else:
            pieces.setdefault((attribute, column.template.literals), []).append(i)
    for (attribute, literals), mine in pieces.items():
        holes = {t.hole for i in mine if (t := columns[i].template)}
        if attribute not in found and len(holes) == len(literals) - 1:
            found[attribute] = mine
    return found | hidden


@dataclass(frozen=True)
class Exchange:
    """A new table that is filled and in the books, and is yet to take the old one's place (exchange.py).

    `mark`: of this rebuild; `renamed`: columns of the old table that the new one has by another name.
    """

    mark: str
    renamed: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TargetSchema:
    """A target's key columns, the others in order of creation, and the attributes of the key columns.

    `each`: where the elements lie that are its rows; None: its rows are items. `has_history`: a table of its versions
    was made, whether it still is kept up or not. `has_deleted_at`: it keeps, or has kept, the rows of deleted items.
    `where`: the conditions of which its rows are, those of the last reconcile or of the beginning; None: not known.
    `where_since`: rows that changed before may be of other ones still, as that reconcile left them alone.
    `has_other_where`: batches were merged under other ones since.
    `exchange`: a new table of these columns has not taken the old one's place yet; None: the table is the one.
    """

    key_names: tuple[str, ...]
    columns: tuple[TypedColumn, ...] = ()
    key: tuple[str, ...] = ()
    each: Path | None = None
    has_history: bool = False
    has_deleted_at: bool = False
    where: tuple[Condition, ...] | None = None
    where_since: datetime | None = None
    has_other_where: bool = False
    exchange: Exchange | None = None

    def to_json(self) -> str:
        """The form kept in the metadata table `targets`."""
        return json.dumps(
            {
                "attributes": list(self.key),
                "key": list(self.key_names),
                **({"each": list(self.each)} if self.each is not None else {}),
                **({"history": True} if self.has_history else {}),
                **({"has_deleted_at": True} if self.has_deleted_at else {}),
                **({"where": as_documents(self.where)} if self.where is not None else {}),
                **({"where_since": self.where_since.isoformat()} if self.where_since else {}),
                **({"other_where": True} if self.has_other_where else {}),
                **(
                    {"exchange": {"mark": self.exchange.mark, "renamed": dict(self.exchange.renamed)}}
                    if self.exchange
                    else {}
                ),
                "columns": [_column_document(c) for c in self.columns],
            },
            ensure_ascii=False,
        )

    @staticmethod
    def from_json(text: str) -> TargetSchema:
        """The schema of a row of `targets`."""
        document = json.loads(text)
        return TargetSchema(
            key=tuple(document["attributes"]),
            key_names=tuple(document["key"]),
            each=tuple(document["each"]) if "each" in document else None,
            has_history=bool(document.get("history")),
            has_deleted_at=bool(document.get("has_deleted_at")),
            where=from_documents(document["where"]) if "where" in document else None,
            where_since=datetime.fromisoformat(document["where_since"]) if "where_since" in document else None,
            has_other_where=bool(document.get("other_where")),
            exchange=Exchange(**document["exchange"]) if "exchange" in document else None,
            columns=tuple(
                TypedColumn(
                    c["name"],
                    tuple(c["path"]),
                    ColumnType(
                        Kind(c["type"]),
                        c["precision"],
                        c["scale"],
                        TimeUnit(c["unit"]) if c["unit"] else None,
                    ),
                    Template(tuple(c["match"]["literals"]), c["match"]["hole"]) if c.get("match") else None,
                    Mask(c["mask"]) if c.get("mask") else None,
                    bool(c.get("of_parent")),
                )
                for c in document["columns"]
            ),
        )


def _column_document(column: TypedColumn) -> dict[str, object]:
    document: dict[str, object] = {
        "name": column.name,
        "path": list(column.path),
        "type": column.type.kind.value,
        "precision": column.type.precision,
        "scale": column.type.scale,
        "unit": column.type.unit.value if column.type.unit else None,
    }
    if column.template:
        document["match"] = {"literals": list(column.template.literals), "hole": column.template.hole}
    if column.mask:
        document["mask"] = column.mask.value
    if column.of_parent:
        document["of_parent"] = True
    return document


def key_column_type(tag: str) -> ColumnType:
    """The type of a key column: its attribute's own (S, N or B)."""
    return TYPE_OF_TAG[tag]


def all_columns(schema: TargetSchema) -> Sequence[str]:
    """Every column name of a target's table, in the order it is created."""
    element = ELEMENT_COLUMNS if schema.each is not None else ()
    deleted_at = (DELETED_AT,) if schema.has_deleted_at else ()
    return (*schema.key_names, *element, *(c.name for c in schema.columns), *METADATA_COLUMNS, *deleted_at)
