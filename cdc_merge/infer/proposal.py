"""The proposal: what was found, as one value that the YAML and the JSON are written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_merge.infer.entities import Entities, Entity
from cdc_merge.infer.facts import Elements, Extent, Form, KeyPieces, Values
from cdc_merge.infer.keys import KeyChoice
from cdc_merge.infer.naming import free_name, plural, singular, table_names
from cdc_merge.infer.secrets import SafeUrl
from cdc_merge.infer.templates import KeyPiece, labels, propose_pieces, why_uncut
from cdc_merge.infer.types import choose_type, looks_personal
from cdc_merge.model import ColumnType, Condition, Kind
from cdc_merge.names import assign, snake_case, spelled
from cdc_merge.warehouses.dialect import Dialect

MOST_COLUMNS = 250  # of a table; attributes that few items have, if there are more, are left to _cdc_rescued
NAMELESS = ""
"""The name of an attribute that no configuration can name."""

_WORTH_ROWS = 0.9  # the share of a list's elements that are maps
FEW_ITEMS = 10


@dataclass(frozen=True)
class ProposedColumn:
    """A column, the values it was told from, and what a reader should know. `type` None: undecided."""

    name: str
    attribute: str
    type: ColumnType | None
    values: Values
    note: str | None


@dataclass(frozen=True)
class ProposedRows:
    """A table of a list's elements. `of_item`, `pieces`: columns of the item around them, which tell whose they are."""

    table: str
    path: tuple[str, ...]
    elements: Elements
    columns: tuple[ProposedColumn, ...]
    of_item: tuple[ProposedColumn, ...]
    pieces: tuple[KeyPiece, ...]


@dataclass(frozen=True)
class ProposedTable:
    """A table for one entity. `omitted`: attributes beyond MOST_COLUMNS. `has_nameless`: items, or elements of their
    lists, have an attribute without a name. `is_whole`: items too few to cut keys. `uncut`: keys that no template fits.
    """

    table: str
    entity: Entity
    columns: tuple[ProposedColumn, ...]
    pieces: tuple[KeyPiece, ...]
    uncut: tuple[str, ...]
    rows: tuple[ProposedRows, ...]
    omitted: int
    has_nameless: bool
    is_whole: bool


@dataclass(frozen=True)
class Proposal:
    """All of it. `changes`, `exports`: where to read, None if it is not known. `tables_seen`: names in the records."""

    label: str
    warehouse: SafeUrl
    source: str
    changes: str | None
    exports: str | None
    form: Form
    extent: Extent
    key: KeyChoice
    entities: Entities
    tables: tuple[ProposedTable, ...]
    tables_seen: tuple[str, ...]


def propose_tables(
    entities: Entities,
    *,
    source: str,
    key: Sequence[str],
    values: Sequence[Sequence[Values]],
    elements: Mapping[tuple[int, tuple[str, ...]], Elements],
    pieces: Sequence[Sequence[KeyPieces]],
    dialect: Dialect,
) -> tuple[ProposedTable, ...]:
    """`values`, `elements` and `pieces`: as counted for `entities.tables`, in their order."""
    # In few items what all keys have in common may be a person's name.
    pieces = [found if e.items >= FEW_ITEMS else () for e, found in zip(entities.tables, pieces, strict=True)]
    key_words = [_words(entity, found) for entity, found in zip(entities.tables, pieces, strict=True)]
    names = table_names(entities.tables, key_words, source)
    taken = list(names)
    tables = []
    for number, entity in enumerate(entities.tables):
        ranked = sorted(
            (v for v in values[number] if v.path[0] not in {*_without_column(entity, key), NAMELESS}),
            key=lambda v: (-v.present, str(v.path[0])),
        )
        columns = _columns(ranked[:MOST_COLUMNS], key, dialect)
        same = [place for place in range(len(key)) if _is_repeated(entity, values[number], place)]
        cut = propose_pieces(pieces[number], same, [*(c.name for c in columns), *_key_names(key, dialect).values()])
        rows = []
        for path, found in _worth_rows(elements, number, columns):
            words = "_".join(map(snake_case, path))
            plain = plural(f"{singular(names[number])}_{words}")
            table = plain if plain not in taken else free_name(f"{words}_in_{names[number]}", taken)
            taken.append(table)
            rows.append(_rows(table, path, found, columns, cut, entity, key, dialect))
        omitted = max(0, len(ranked) - MOST_COLUMNS)
        is_whole = entity.items < FEW_ITEMS and any(entity.prefixes)
        has_nameless = any(v.path[0] == NAMELESS for v in (*values[number], *_members(rows)))
        uncut = why_uncut(entity, pieces[number], same)
        tables.append(
            ProposedTable(names[number], entity, columns, cut, uncut, tuple(rows), omitted, has_nameless, is_whole)
        )
    return tuple(tables)


def _worth_rows(
    elements: Mapping[tuple[int, tuple[str, ...]], Elements], number: int, columns: Sequence[ProposedColumn]
) -> list[tuple[tuple[str, ...], Elements]]:
    """The lists of an entity that get a table, in the order of the columns they are in."""
    places = {column.attribute: place for place, column in enumerate(columns)}
    found = [
        (path, of_list)
        for (entity, path), of_list in elements.items()
        if entity == number and path[0] in places and NAMELESS not in path and is_worth_rows(of_list)
    ]
    return sorted(found, key=lambda entry: (places[entry[0][0]], len(entry[0]), entry[0]))


def _members(rows: Sequence[ProposedRows]) -> list[Values]:
    return [member for of_list in rows for member in of_list.elements.members]


def _words(entity: Entity, pieces: Sequence[KeyPieces]) -> list[str]:
    """The words in each of an entity's keys, in snake_case."""
    words = [snake_case(prefix) if prefix else "" for prefix in entity.prefixes]
    for place, found in enumerate(pieces):
        if words[place] and found.pieces is not None:
            words[place] = "_".join(map(snake_case, labels(found))) or words[place]
    return words


def _rows(
    table: str,
    path: tuple[str, ...],
    elements: Elements,
    of_item: Sequence[ProposedColumn],
    pieces: Sequence[KeyPiece],
    entity: Entity,
    key: Sequence[str],
    dialect: Dialect,
) -> ProposedRows:
    members = sorted(elements.members, key=lambda v: (-v.present, str(v.path[0])))
    columns = _columns([m for m in members if m.path[0] != NAMELESS][:MOST_COLUMNS], key, dialect)
    taken = {c.name for c in columns}
    ids = (c for c in of_item if _is_id(c, entity) and c.name not in taken)
    return ProposedRows(table, path, elements, columns, tuple(ids), tuple(p for p in pieces if p.name not in taken))


def _is_id(column: ProposedColumn, entity: Entity) -> bool:
    """Whether an attribute of the item is worth having beside the elements of its list: an id that every item has."""
    is_scalar = column.type is not None and column.type.kind in (Kind.TEXT, Kind.INTEGER)
    return is_scalar and column.values.present == entity.items and column.name.split("_")[-1] in ("id", "uuid", "ulid")


def is_worth_rows(elements: Elements) -> bool:
    """Whether a list's elements would make a table: nearly all of them are maps, with something that can be named."""
    if not any(member.path[0] != NAMELESS for member in elements.members):
        return False
    return elements.count > 0 and elements.maps >= _WORTH_ROWS * elements.count


def _without_column(entity: Entity, key: Sequence[str]) -> set[str]:
    """The key, which every target has, and what `where` pins to one value."""
    pinned = {str(c.path[0]) for c in entity.where if c.any_of and len(c.any_of) == 1}
    return {*key, *pinned}


def _columns(values: Sequence[Values], key: Sequence[str], dialect: Dialect) -> tuple[ProposedColumn, ...]:
    reserved = dialect.reserved_columns
    most = dialect.max_identifier_bytes
    keys = _key_names(key, dialect)
    by_attribute = {str(v.path[0]): v for v in values}
    names = assign(by_attribute, taken={c: a for a, c in keys.items()}, reserved=reserved, max_bytes=most)
    columns = []
    for attribute, of_it in by_attribute.items():
        chosen = choose_type(of_it)
        name = names[attribute]
        if name in keys.values():  # a member that is called like a key attribute
            name = free_name(f"{name}_{len(keys)}", [*names.values(), *keys.values()])
        columns.append(ProposedColumn(name, attribute, chosen.type, of_it, chosen.note))
    return tuple(columns)


def _key_names(key: Sequence[str], dialect: Dialect) -> Mapping[str, str]:
    return assign(key, taken={}, reserved=dialect.reserved_columns, max_bytes=dialect.max_identifier_bytes)


def _is_repeated(entity: Entity, values: Sequence[Values], place: int) -> bool:
    """Whether some attribute of every item equals what follows the key's prefix."""
    return any(len(v.same_as_key) > place and v.same_as_key[place] == entity.items for v in values)


def as_document(proposal: Proposal, config: str) -> dict[str, Any]:
    """The findings as one JSON document; `config`: the YAML text."""
    extent = proposal.extent
    return {
        "path": proposal.label,
        "read": {
            "objects": extent.objects,
            "objects_there": extent.objects_there,
            "objects_whole": extent.whole,
            "everything": extent.is_everything,
            "records": extent.records,
            "unusable": extent.unusable,
            "items": extent.images,
            "keys_only": extent.keys_only,
            "unreadable_objects": dict(extent.unreadable),
            "form": proposal.form.value,
        },
        "source": proposal.source,
        "key": [{"attribute": a, "type": t} for a, t in zip(proposal.key.attributes, proposal.key.tags, strict=True)],
        "key_found": proposal.key.why,
        "discriminator": proposal.entities.discriminator,
        "entities_found": proposal.entities.why,
        "tables": [_table(table) for table in proposal.tables],
        "left_out": [
            {"where": _where(e.where), "items": e.items, "attributes": sorted(e.attributes)}
            for e in proposal.entities.left_out
        ],
        "untold_items": proposal.entities.untold,
        "config": config,
    }


def _table(table: ProposedTable) -> dict[str, Any]:
    return {
        "table": table.table,
        "where": _where(table.entity.where),
        "items": table.entity.items,
        "columns": [_column(column) for column in table.columns],
        "omitted_attributes": table.omitted,
        "nameless_attribute": table.has_nameless,
        "key_pieces": [
            {"column": p.name, "from": p.attribute, "match": p.template, "type": p.kind.value} for p in table.pieces
        ],
        "lists": [
            {
                "table": rows.table,
                "each": spelled(rows.path),
                "elements": rows.elements.count,
                "columns": [_column(column) for column in rows.columns],
                "columns_of_item": [*(p.name for p in rows.pieces), *(c.name for c in rows.of_item)],
            }
            for rows in table.rows
        ],
    }


def _column(column: ProposedColumn) -> dict[str, Any]:
    values = column.values
    numbers, texts = values.numbers, values.texts
    document: dict[str, Any] = {
        "column": column.name,
        "attribute": column.attribute,
        "type": type_text(column.type),
        "unit": column.type.unit.value if column.type and column.type.unit else None,
        "present": values.present,
        "types": dict(values.tags),
    }
    if numbers and not looks_personal(column.attribute):
        document |= {"min": numbers.least, "max": numbers.greatest}
    if numbers:
        document |= {"whole_digits": numbers.whole_digits, "decimals": numbers.decimals}
    if texts:
        document |= {"longest": texts.longest, "distinct": texts.distinct}
    if values.longest_list:
        document |= {"longest_list": values.longest_list}
    return document


def _where(conditions: Sequence[Condition]) -> dict[str, Any]:
    return {str(c.path[0]): condition_value(c) for c in conditions}


def condition_value(condition: Condition) -> Any:
    """What stands for a condition in a configuration: a value, a prefix, or whether the attribute is there."""
    if condition.prefix is not None:
        return {"prefix": condition.prefix}
    if condition.exists is not None:
        return {"exists": condition.exists}
    return condition.any_of[0] if condition.any_of else None


def type_text(column_type: ColumnType | None) -> str | None:
    """A type as a configuration spells it, without the unit."""
    if column_type is None:
        return None
    if column_type.kind is Kind.NUMERIC and column_type.precision is not None:
        return f"numeric({column_type.precision},{column_type.scale or 0})"
    return column_type.kind.value
