"""The columns of a target: what is there, what the configuration asks for, and what new attributes add."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cdc_merge.errors import SchemaConflict
from cdc_merge.model import Column, ColumnType, Evolve, Kind, Mask, Path, Target, Template, TimeUnit
from cdc_merge.names import assign
from cdc_merge.warehouses.dialect import Dialect

# The one column of a target with `columns: document`: the whole item as plain JSON.
DOCUMENT = Column("document", (), ColumnType(Kind.JSON))

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
class TargetSchema:
    """A target's key columns, the others in order of creation, and the attributes of the key columns.

    `each`: where the elements lie that are its rows; None: its rows are items. `has_history`: a table of its versions
    was made, whether it still is kept up or not. `has_deleted_at`: it keeps, or has kept, the rows of deleted items.
    """

    key_names: tuple[str, ...]
    columns: tuple[TypedColumn, ...] = ()
    key: tuple[str, ...] = ()
    each: Path | None = None
    has_history: bool = False
    has_deleted_at: bool = False

    def to_json(self) -> str:
        """The form kept in the metadata table `targets`."""
        return json.dumps(
            {
                "attributes": list(self.key),
                "key": list(self.key_names),
                **({"each": list(self.each)} if self.each is not None else {}),
                **({"history": True} if self.has_history else {}),
                **({"has_deleted_at": True} if self.has_deleted_at else {}),
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


@dataclass
class SchemaBook:
    """A target's schema while a batch is decoded: it grows as attributes are seen."""

    target: Target
    key: tuple[str, ...]
    dialect: Dialect
    schema: TargetSchema
    pending: tuple[Column, ...] = ()  # asked for without a type, and no value seen yet
    stored: TargetSchema | None = None  # as the warehouse has it; None: no table yet
    others: frozenset[str] = frozenset()  # columns that someone added to the table by hand
    history: frozenset[str] | None = None  # the columns of its history; None: there is none yet
    _held: frozenset[str] | None = field(default=None, repr=False)

    @property
    def grew(self) -> bool:
        """Whether the warehouse must be told."""
        return self.stored != self.schema

    @property
    def history_lacks(self) -> tuple[TypedColumn, ...]:
        """Columns that the target's history does not have yet, where it keeps one and that is there."""
        if not self.target.has_history or self.history is None:
            return ()
        return tuple(c for c in self.schema.columns if c.name not in self.history)

    @property
    def teaches(self) -> bool:
        """Whether the warehouse's tables are to be made or altered."""
        return self.grew or bool(self.history_lacks) or (self.target.has_history and self.history is None)

    @property
    def new_columns(self) -> tuple[TypedColumn, ...]:
        """Columns the warehouse's table does not have yet."""
        have = {c.name for c in self.stored.columns} if self.stored else set()
        return tuple(c for c in self.schema.columns if c.name not in have)

    @property
    def adds_attributes(self) -> bool:
        return self.target.evolve is Evolve.ADD

    def held_attributes(self) -> frozenset[str]:
        """Attributes that columns hold whole, the key, and those that `where` pins to one value.

        In a target with `each`, those of the elements.
        """
        if self._held is None:
            whole = set(holders(self.schema.columns))
            # A document that does not fit is left over altogether; an element has attributes of its own.
            is_other = self.target.is_document or self.target.each is not None
            self._held = frozenset(whole if is_other else whole | set(self.key) | self.pinned_attributes())
        return self._held

    def pinned_attributes(self) -> frozenset[str]:
        """Attributes that need no column, since every row of the target has one and the same value of them."""
        if self.adds_attributes or self.target.is_document:
            return frozenset()
        return frozenset(
            str(c.path[0]) for c in self.target.where if len(c.path) == 1 and c.any_of and len(c.any_of) == 1
        )

    def settle_pending(self, tags: Mapping[Column, Mapping[str, int]]) -> None:
        """Give pending columns the type of the values seen."""
        settled = {c: t for c in self.pending if (t := _own_type(tags.get(c, {})))}
        self._append(TypedColumn(c.name, c.path, t, of_parent=c.of_parent) for c, t in settled.items())
        self.pending = tuple(c for c in self.pending if c not in settled)

    def meet(self, seen: Mapping[tuple[str, str], int]) -> bool:
        """Take note of (attribute, type tag) counts of rows; returns whether columns were added.

        Raises SchemaConflict where the target says `evolve: fail` and an attribute has no column.
        """
        if self.target.is_document:
            return False
        waiting = {str(c.path[0]) for c in self.pending if takes_whole(c)}
        strangers: dict[str, dict[str, int]] = {}
        for (attribute, tag), count in seen.items():
            if attribute not in self.held_attributes() and attribute not in waiting:
                strangers.setdefault(attribute, {})[tag] = count
        if not strangers or self.target.evolve is Evolve.FREEZE:
            return False
        if self.target.evolve is Evolve.FAIL:
            raise SchemaConflict(
                f"items have attributes without a column: {', '.join(sorted(strangers)[:5])}",
                where=f"target {self.target.table}",
                hint="add them to `columns`, or set `evolve: add` or `evolve: freeze`",
            )
        typed = {a: t for a, tags in strangers.items() if (t := _own_type(tags))}
        # "" stands for something that is no whole attribute: a column filled by a path.
        asked: tuple[TypedColumn | Column, ...] = (*self.schema.columns, *self.pending)
        taken = {c.name: str(c.path[0]) if takes_whole(c) else "" for c in asked}
        taken |= dict(zip(self.schema.key_names, self.key, strict=True)) | dict.fromkeys(self.others, "")
        room = max(0, self.dialect.max_added_columns - len(self.schema.columns))
        typed = {a: typed[a] for a in sorted(typed)[:room]}  # what is over goes to _cdc_rescued
        names = assign(
            typed,
            taken=taken,
            reserved=self.dialect.reserved_columns,
            max_bytes=self.dialect.max_identifier_bytes,
        )
        self._append(TypedColumn(names[a], (a,), typed[a]) for a in sorted(typed))
        return bool(typed)

    def _append(self, columns: Iterable[TypedColumn]) -> None:
        self.schema = replace(self.schema, columns=(*self.schema.columns, *columns))
        self._held = None


def _own_type(tags: Mapping[str, int]) -> ColumnType | None:
    ranked = sorted((t for t in tags if t in TYPE_OF_TAG), key=lambda t: (-tags[t], list(TYPE_OF_TAG).index(t)))
    return TYPE_OF_TAG[ranked[0]] if ranked else None


def key_column_type(tag: str) -> ColumnType:
    """The type of a key column: its attribute's own (S, N or B)."""
    return TYPE_OF_TAG[tag]


def all_columns(schema: TargetSchema) -> Sequence[str]:
    """Every column name of a target's table, in the order it is created."""
    element = ELEMENT_COLUMNS if schema.each is not None else ()
    deleted_at = (DELETED_AT,) if schema.has_deleted_at else ()
    return (*schema.key_names, *element, *(c.name for c in schema.columns), *METADATA_COLUMNS, *deleted_at)
