"""A target's columns while a batch is decoded: what is there, what is asked for, and what new attributes add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cdc_merge.errors import SchemaConflict, UnknownAttributes
from cdc_merge.model import Column, ColumnType, Evolve, Target
from cdc_merge.names import assign, history_table
from cdc_merge.schema.masking import Hidden
from cdc_merge.schema.stored import TYPE_OF_TAG, WHOLE, TargetSchema, TypedColumn, holders, takes_whole
from cdc_merge.warehouses.dialect import Dialect


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
    history: Mapping[str, str] | None = None  # the columns of its history, folded, and their types; None: there is none
    former: TargetSchema | None = None  # of the table whose place a new one is to take
    hidden: Hidden | None = None  # what new masks hide of what is there
    refuses_copies: bool = False  # someone gave the table a unique index
    crowded: set[str] = field(default_factory=set)  # attributes that would add a column more than there may be
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
        return tuple(c for c in self.schema.columns if self.dialect.folded(c.name) not in self.history)

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
    def widened_columns(self) -> tuple[TypedColumn, ...]:
        """Columns that the warehouse's table has, with a type that holds less."""
        have = {c.name: c.type for c in self.stored.columns} if self.stored else {}
        return tuple(c for c in self.schema.columns if have.get(c.name, c.type) != c.type)

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

    def touched_attributes(self) -> frozenset[str]:
        """Attributes of which a column takes all or a part, if only once it has a value; `.`: the element itself."""
        columns: tuple[TypedColumn | Column, ...] = (*self.schema.columns, *self.pending)
        paths = [c.path for c in columns if not c.of_parent]
        is_element = self.target.each is not None and () in paths
        return frozenset(str(path[0]) for path in paths if path) | ({WHOLE} if is_element else frozenset())

    def pinned_attributes(self) -> frozenset[str]:
        """Attributes that need no column, since every row of the target has one and the same value of them."""
        if self.adds_attributes or self.target.is_document:
            return frozenset()
        return frozenset(
            str(c.path[0]) for c in self.target.where if len(c.path) == 1 and c.any_of and len(c.any_of) == 1
        )

    def settle_pending(self, tags: Mapping[Column, Mapping[str, int]]) -> None:
        """Give pending columns the type of the values seen. Raises SchemaConflict where the history has another."""
        settled = {c: t for c in self.pending if (t := _own_type(tags.get(c, {})))}
        columns = [TypedColumn(c.name, c.path, t, of_parent=c.of_parent) for c, t in settled.items()]
        for column in columns:
            self.insist_on_history(column)
        self._append(columns)
        self.pending = tuple(c for c in self.pending if c not in settled)

    def settle_as_before(self) -> None:
        """Give columns that nothing read has shown the type of the type that the table of before has them with."""
        had = {(c.path, c.of_parent): c.type for c in self.former.columns if _is_plain(c)} if self.former else {}
        known = [c for c in self.pending if (c.path, c.of_parent) in had]
        self._append(TypedColumn(c.name, c.path, had[c.path, c.of_parent], of_parent=c.of_parent) for c in known)
        self.pending = tuple(c for c in self.pending if c not in known)

    def meet(self, seen: Mapping[tuple[str, str], int]) -> bool:
        """Take note of (attribute, type tag) counts of rows; returns whether columns were added.

        Raises UnknownAttributes where the target says `evolve: fail` and an attribute with a value has no column.
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
            # Where nothing but DynamoDB's NULL was seen there is no value that a column could hold.
            if unknown := sorted(a for a, tags in strangers.items() if tags.keys() - {"NULL"}):
                raise UnknownAttributes(self.target.table, unknown)
            return False
        typed = {a: t for a, tags in strangers.items() if (t := _own_type(tags))}
        # "" stands for something that is no whole attribute: a column filled by a path.
        asked: tuple[TypedColumn | Column, ...] = (*self.schema.columns, *self.pending)
        taken = {c.name: str(c.path[0]) if takes_whole(c) else "" for c in asked}
        # An element's attribute that is called like one of the item's key is another one.
        key = ("" for _ in self.key) if self.target.each is not None else self.key
        taken |= dict(zip(self.schema.key_names, key, strict=True)) | dict.fromkeys(self.others, "")
        room = max(0, self.dialect.max_added_columns - len(self.schema.columns))
        self.crowded.update(sorted(typed)[room:])  # they go to _cdc_rescued
        typed = {a: typed[a] for a in sorted(typed)[:room]}
        names = self._names(typed, taken)
        self._append(TypedColumn(names[a], (a,), typed[a]) for a in sorted(typed))
        return bool(typed)

    def _names(self, typed: Mapping[str, ColumnType], taken: Mapping[str, str]) -> Mapping[str, str]:
        """Names for new columns, none of which the history has with another type, from before a rebuild."""
        while True:
            names = assign(
                typed,
                taken=taken,
                reserved=self.dialect.reserved_columns,
                max_bytes=self.dialect.max_identifier_bytes,
            )
            clashes = [name for a, name in names.items() if not self.history_takes(name, typed[a])]
            if not clashes:
                return names
            taken = {**taken, **dict.fromkeys(clashes, "")}

    def history_takes(self, name: str, column_type: ColumnType) -> bool:
        """Whether the target's history has no such column, or one of that very type."""
        there = (self.history or {}).get(self.dialect.folded(name))
        return there is None or spelling(there) == spelling(self.dialect.type_name(column_type))

    def insist_on_history(self, column: TypedColumn) -> None:
        """Raises SchemaConflict if the history has another column of a new one's name, from before a rebuild."""
        if not self.history_takes(column.name, column.type):
            label = history_table(self.target.table)
            raise SchemaConflict(
                f"it is to be {self.dialect.type_name(column.type)}, but {label} has a {column.name} of another type",
                where=f"target {self.target.table}.{column.name}",
                hint=f"give the column another name, or rename that of {label}: ALTER TABLE … RENAME COLUMN …",
            )

    def _append(self, columns: Iterable[TypedColumn]) -> None:
        self.schema = replace(self.schema, columns=(*self.schema.columns, *columns))
        self._held = None


def _is_plain(column: TypedColumn) -> bool:
    return column.template is None and column.mask is None


def spelling(type_name: str) -> str:
    """One spelling of a type: NUMERIC and DECIMAL are the same, and spaces and case say nothing."""
    return type_name.lower().replace(" ", "").replace("decimal", "numeric")


def _own_type(tags: Mapping[str, int]) -> ColumnType | None:
    ranked = sorted((t for t in tags if t in TYPE_OF_TAG), key=lambda t: (-tags[t], list(TYPE_OF_TAG).index(t)))
    return TYPE_OF_TAG[ranked[0]] if ranked else None
