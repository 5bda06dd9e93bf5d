"""A glimpse of a feed: its key, and what the targets would find in the first records of a few of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cdc_merge.errors import ObjectChanged, UnknownAttributes, UnreadableObject
from cdc_merge.feed import shape
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.convert import piece_of, typed_piece
from cdc_merge.feed.keys import is_data
from cdc_merge.feed.plain import attributes_seen
from cdc_merge.feed.store import ObjectStore
from cdc_merge.feed.where import takes
from cdc_merge.feed.workbench import Workbench
from cdc_merge.infer.facts import Form
from cdc_merge.infer.gather import Gatherer
from cdc_merge.infer.keys import told_by_names
from cdc_merge.infer.sample import cut_head, spread
from cdc_merge.model import Column, Evolve, Kind, Mask, ObjectRef, Source, Target
from cdc_merge.schema.opening import open_book
from cdc_merge.scratch import scratch_folder
from cdc_merge.warehouses.dialect import DUCKDB

_OBJECTS = 3
_RECORDS_OF_EACH = 1_000
_MEMORY = 250_000_000  # bytes
_FORM = shape.Form(image="", keys="")


@dataclass(frozen=True)
class Sighting:
    """What a target found: how many of the items it takes, and its columns that have a value in none of those.

    `misread`: columns whose template fits some keys of which the piece is not of the column's type, the type, how many.
    `unknown`: attributes without a column at which `evolve: fail` would stop the source; those of elements are not
    looked for.
    """

    target: Target
    items: int
    blank: tuple[Column, ...]
    misread: tuple[tuple[Column, Kind, int], ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Glimpse:
    """`key`: the key attributes that most records have, in byte order; None: no change record was seen.

    `partition_key`: the attribute that by its name, and that of the other, is the partition key.
    """

    objects: int
    records: int
    items: int
    key: tuple[str, ...] | None
    partition_key: str | None
    sightings: tuple[Sighting, ...]


def glimpse(source: Source, store: ObjectStore, listed: Sequence[ObjectRef]) -> Glimpse:
    """Look into a few of the objects that are `listed`. Raises the errors of stores."""
    refs = spread([ref for ref in listed if is_data(ref.key, store.prefix, size=ref.size)])[:_OBJECTS]
    with scratch_folder() as folder, Workbench(memory=_MEMORY) as workbench:
        gatherer = Gatherer(workbench, form=Form.CHANGES, check=lambda: None)
        gatherer.take([found for n, ref in enumerate(refs) if (found := _head(store, ref, n, folder))])
        items, _ = gatherer.finish()
        key = gatherer.layout.key if gatherer.layout else None
        return Glimpse(
            objects=len(refs),
            records=gatherer.records,
            items=items,
            key=key,
            partition_key=told_by_names(key) if key and len(key) == 2 else None,
            sightings=_sightings(source, workbench),
        )


def _head(store: ObjectStore, ref: ObjectRef, number: int, folder: Path) -> LocalObject | None:
    place = folder / str(number)
    place.mkdir()
    try:
        return LocalObject(number, ref, cut_head(store.fetch(ref, place), _RECORDS_OF_EACH, place / "head"))
    except (UnreadableObject, ObjectChanged):  # a run quarantines it, or reads it anew
        return None


def _sightings(source: Source, workbench: Workbench) -> tuple[Sighting, ...]:
    pointers = shape.Pointers(_FORM)
    counts, asked = [], []
    for target in source.targets:
        is_taken = takes(target, pointers.value)
        columns = tuple(filter(_has_values, _of_item(target)))
        asked.append((target, columns))
        counts.append(f"count(*) FILTER (WHERE {is_taken})")
        for column in columns:
            value = _value(column, pointers)
            is_misread = f"{value} IS NOT NULL AND {_as_read(column, value, source.key)} IS NULL"
            counts += [
                f"count(*) FILTER (WHERE {is_taken} AND {test})" for test in (f"{value} IS NOT NULL", is_misread)
            ]
    row = workbench.rows(
        f"SELECT {', '.join(counts)} FROM (SELECT json_extract_string(image, {pointers.as_list()}) AS v FROM items)"
    )[0]
    rest = iter(row)
    found = []
    for target, columns in asked:
        items = next(rest)
        values = [(column, next(rest), next(rest)) for column in columns]
        blank = tuple(column for column, given, _ in values if items and not given)
        misread = tuple((column, column.type.kind, pieces) for column, _, pieces in values if column.type and pieces)
        found.append(Sighting(target, items, blank, misread, _unknown(source, target, workbench)))
    return tuple(found)


def _unknown(source: Source, target: Target, workbench: Workbench) -> tuple[str, ...]:
    if target.evolve is not Evolve.FAIL or target.each is not None or target.is_document:
        return ()
    pointers = shape.Pointers(_FORM)
    is_taken = takes(target, pointers.value)
    images = workbench.rows(
        "SELECT image FROM "
        f"(SELECT image, json_extract_string(image, {pointers.as_list()}) AS v FROM items) WHERE {is_taken}"
    )
    try:
        seen = attributes_seen(pa.array([image for (image,) in images], pa.large_string()))
        open_book(target, source.key, DUCKDB, None).meet(seen)
    except UnknownAttributes as error:
        return error.attributes
    return ()


def _of_item(target: Target) -> tuple[Column, ...]:
    """The columns whose paths lead into the item; those of elements are not looked for."""
    columns = target.columns or ()
    return columns if target.each is None else tuple(c for c in columns if c.of_parent)


def _has_values(column: Column) -> bool:
    return column.mask is not Mask.DROP


def _value(column: Column, pointers: shape.Pointers) -> str:
    at = shape.pointer(column.path)
    return piece_of(column.template, pointers.value(f"{at}/S")) if column.template else pointers.value(at)


def _as_read(column: Column, value: str, key: Sequence[str]) -> str:
    """The value, or NULL for a piece of a key that a run would not read. What else does not fit is counted by a run."""
    if column.template is None or column.type is None or column.mask or column.path[0] not in key:
        return value
    return typed_piece(column.type, value, DUCKDB)


__all__ = ["Glimpse", "Sighting", "glimpse"]
