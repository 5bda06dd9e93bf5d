"""The columns of a target: what is there, what the configuration asks for, and what new attributes add."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cdc_merge.errors import SchemaConflict
from cdc_merge.model import Column, ColumnType, Evolve, Kind, Path, Target, TimeUnit
from cdc_merge.names import assign, choose_column
from cdc_merge.warehouses.dialect import Dialect

METADATA_COLUMNS = ("_cdc_position", "_cdc_changed_at", "_cdc_merged_at", "_cdc_rescued")

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


@dataclass(frozen=True)
class TargetSchema:
    """A target's key columns, the others in order of creation, and the attributes of the key columns."""

    key_names: tuple[str, ...]
    columns: tuple[TypedColumn, ...] = ()
    key: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The form kept in the metadata table `targets`."""
        return json.dumps(
            {
                "attributes": list(self.key),
                "key": list(self.key_names),
                "columns": [
                    {
                        "name": c.name,
                        "path": list(c.path),
                        "type": c.type.kind.value,
                        "precision": c.type.precision,
                        "scale": c.type.scale,
                        "unit": c.type.unit.value if c.type.unit else None,
                    }
                    for c in self.columns
                ],
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
                )
                for c in document["columns"]
            ),
        )


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
    _held: frozenset[str] | None = field(default=None, repr=False)

    @property
    def grew(self) -> bool:
        """Whether the warehouse must be told."""
        return self.stored != self.schema

    @property
    def new_columns(self) -> tuple[TypedColumn, ...]:
        """Columns the warehouse's table does not have yet."""
        have = {c.name for c in self.stored.columns} if self.stored else set()
        return tuple(c for c in self.schema.columns if c.name not in have)

    @property
    def adds_attributes(self) -> bool:
        return self.target.evolve is Evolve.ADD

    def held_attributes(self) -> frozenset[str]:
        """Attributes that a column holds whole, the key, and those that `where` pins to one value."""
        if self._held is None:
            whole = {str(c.path[0]) for c in self.schema.columns if len(c.path) == 1}
            self._held = frozenset(whole | set(self.key) | self.pinned_attributes())
        return self._held

    def pinned_attributes(self) -> frozenset[str]:
        """Attributes that need no column, since every row of the target has one and the same value of them."""
        if self.adds_attributes:
            return frozenset()
        return frozenset(
            str(c.path[0]) for c in self.target.where if len(c.path) == 1 and c.any_of and len(c.any_of) == 1
        )

    def settle_pending(self, tags: Mapping[Column, Mapping[str, int]]) -> None:
        """Give pending columns the type of the values seen."""
        settled = {c: t for c in self.pending if (t := _own_type(tags.get(c, {})))}
        self._append(TypedColumn(c.name, c.path, t) for c, t in settled.items())
        self.pending = tuple(c for c in self.pending if c not in settled)

    def meet(self, seen: Mapping[tuple[str, str], int]) -> bool:
        """Take note of (attribute, type tag) counts of rows; returns whether columns were added.

        Raises SchemaConflict where the target says `evolve: fail` and an attribute has no column.
        """
        waiting = {str(c.path[0]) for c in self.pending}
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
        taken = {c.name: str(c.path[0]) if len(c.path) == 1 else "" for c in asked}
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


def open_book(
    target: Target,
    key: tuple[str, ...],
    dialect: Dialect,
    stored: TargetSchema | None,
    *,
    others: frozenset[str] = frozenset(),
) -> SchemaBook:
    """The book of a target, from what the warehouse has and what the configuration asks.

    `others`: columns of the table that are not in `stored`. Raises SchemaConflict where the two contradict each other.
    """
    asked = target.columns or ()
    renamed = {str(c.path[0]): c.name for c in asked if len(c.path) == 1 and c.path[0] in key}
    asked = tuple(c for c in asked if not (len(c.path) == 1 and c.path[0] in key))
    if stored is None:
        key_names: dict[str, str] = {}
        for attribute in key:
            taken = {c.name: str(c.path[0]) for c in asked} | {n: a for a, n in key_names.items()}
            key_names[attribute] = renamed.get(attribute) or choose_column(
                attribute,
                taken=taken,
                reserved=dialect.reserved_columns,
                max_bytes=dialect.max_identifier_bytes,
            )
        schema = TargetSchema(tuple(key_names[a] for a in key), key=key)
    else:
        schema = stored
        if stored.key != key:
            raise _conflict(target, f"its rows have the key {list(stored.key)}, the source says {list(key)}")
        for attribute, name in zip(key, stored.key_names, strict=True):
            if renamed.get(attribute, name) != name:
                raise _conflict(target, f"key column {name} is to be {renamed[attribute]}")
    existing = {c.name: c for c in schema.columns}
    added: list[TypedColumn] = []
    pending: list[Column] = []
    for column in asked:
        have = existing.get(column.name)
        if have is None and column.type is None:
            pending.append(column)
        elif have is None and column.type is not None:
            added.append(TypedColumn(column.name, column.path, column.type))
        elif have is not None and (have.path != column.path or column.type not in (None, have.type)):
            raise _conflict(target, f"column {column.name} holds {have.path} as {have.type.kind}")
    schema = replace(schema, columns=(*schema.columns, *added))
    for name in (*(c.name for c in added), *(c.name for c in pending)):
        if name in others or name in schema.key_names:
            raise _conflict(target, f"there is a column {name} already, which holds something else")
    return SchemaBook(target, key, dialect, schema, tuple(pending), stored, others)


def _conflict(target: Target, what: str) -> SchemaConflict:
    return SchemaConflict(
        f"the configuration no longer fits the table: {what}",
        where=f"target {target.table}",
        hint="give the changed column a new name, or merge into a new table (another `table:`) and replay",
    )


def key_column_type(tag: str) -> ColumnType:
    """The type of a key column: its attribute's own (S, N or B)."""
    return TYPE_OF_TAG[tag]


def all_columns(schema: TargetSchema) -> Sequence[str]:
    """Every column name of a target's table, in the order it is created."""
    return (*schema.key_names, *(c.name for c in schema.columns), *METADATA_COLUMNS)
