"""Rows from the elements of an item: a list, a map's entries or a set become a table of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from cdc_merge.feed import shape
from cdc_merge.feed.convert import carefully
from cdc_merge.feed.notices import failed_attributes
from cdc_merge.feed.plain import attributes_seen
from cdc_merge.feed.rescue import as_six_characters, rescue
from cdc_merge.feed.values import Extracted, Values, part_columns, staged_name, whole_columns
from cdc_merge.feed.workbench import Bench
from cdc_merge.model import Column, Evolve
from cdc_merge.render import Sql, render
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import WHOLE, TypedColumn
from cdc_merge.warehouses.dialect import DUCKDB

# The element's own text by type tag, as element_rows.sql extracts it.
_TAGS = {"S": "x[1]", "N": "x[2]", "BOOL": "x[3]", "B": "x[4]"}
_IS_NULL = "coalesce(x[5] = 'true', FALSE)"


class ElementStage:
    """Stages the elements of one target's items, of the lines at hand."""

    def __init__(self, number: int, book: SchemaBook, values: Values, form: shape.Form) -> None:
        assert book.target.each is not None
        self._number = number
        self._book = book
        self._values = values
        self._form = form
        self._parents = shape.Pointers(form, name="p")  # of what is wanted of the item around an element
        self._each = shape.pointer(book.target.each, below=form.image)

    def find(self, bench: Bench) -> pa.Table:
        """The elements of the taken items in `wide`, with the parent's attributes that columns ask for."""
        parents = self._parents
        columns: list[TypedColumn | Column] = [*self._book.schema.columns, *self._book.pending]
        for column in columns:
            if column.of_parent:
                at = shape.pointer(column.path)
                for tag in ("", "/S", "/N", "/BOOL", "/B", "/NULL"):
                    parents.value(at + tag)
        return bench.table(
            render(
                "feed/sql/elements.sql",
                DUCKDB,
                number=self._number,
                each=self._each,
                layers=self._values.base64_layers,
                pointers=Sql(parents.as_list()),
            )
        )

    def meet(self, bench: Bench, found: pa.Table) -> None:
        """Settle the types of columns that were asked for without one, and meet new attributes of the elements."""
        if self._book.pending:
            self._book.settle_pending({c: self._tags(bench, c) for c in self._book.pending})
        is_masked = any(c.mask and not c.path for c in self._book.schema.columns)
        if self._book.target.evolve is not Evolve.FREEZE and not is_masked:
            # Only a map has attributes; any other element is `.`, whether that has a column or not.
            maps = bench.table("SELECT image FROM found WHERE json_keys(element)[1] = 'M'")
            self._book.meet(attributes_seen(maps.column("image")))

    def _tags(self, bench: Bench, column: Column) -> dict[str, int]:
        if column.of_parent:
            typed = f"json_keys({self._parents.value(shape.pointer(column.path))})"
        elif column.path:
            typed = f"json_keys(image, {shape.literal(shape.pointer(column.path, below=''))})"
        else:
            typed = "json_keys(element)"
        rows = bench.rows(
            f"SELECT tag, count(*) FROM (SELECT {typed}[1] AS tag FROM found) WHERE tag IS NOT NULL GROUP BY tag"
        )
        return dict(rows)

    def rows(self, bench: Bench) -> tuple[pa.Table, pa.Table]:
        """The rows of the elements in `found`, as `stage_rows_<i>` has them; and those that columns did not take.

        The latter (n, image, misfits) are as Notices wants them.
        """
        columns = self._book.schema.columns
        pointers = shape.Pointers()
        values = [self._value(i, c, pointers) for i, c in enumerate(columns)]
        whole = whole_columns(columns, ())
        held = sorted(self._book.held_attributes())
        table = bench.table(
            render(
                "feed/sql/element_rows.sql",
                DUCKDB,
                columns=values,
                watched=[values[i] for i in (*whole, *part_columns(columns))],
                whole=Sql(_has_whole(values, columns)),
                held=Sql("[" + ", ".join(map(shape.literal, held)) + "]::VARCHAR[]"),
                pointers=Sql(pointers.as_list()),
            )
        )
        attributes = [str(c.path[0]) if i in whole else None for i, c in enumerate(columns)]
        rescued = self._rescued(table, frozenset(held), attributes)
        is_misfit = pc.and_(pc.greater(pc.list_value_length(table["misfits"]), 0), pc.invert(table["is_whole"]))
        misfits = table.select(["n", "image", "misfits"]).filter(is_misfit)
        renamed = {"place": "element_place", "key": "element_key"}
        if not self._values.dialect.holds_nul:
            keys = table.column("key")
            fitting = pc.if_else(pc.match_substring(keys, "\0"), None, keys)
            table = table.set_column(table.column_names.index("key"), "key", fitting)
        table = table.drop_columns(["image", "misfits", "stray", "is_whole"])
        table = table.rename_columns([renamed.get(n, n) for n in table.column_names])
        return table.append_column("rescued", rescued), misfits

    def _value(self, index: int, column: TypedColumn, pointers: shape.Pointers) -> Extracted:
        if column.of_parent:
            return self._values.careful(index, column, self._parents, below=shape.NEW_IMAGE)
        if column.path:
            return self._values.careful(index, column, pointers)
        layers = self._values.base64_layers
        value = self._values.piece_or_mask(column, lambda tag: _TAGS[tag[1:]] if tag else "element")
        value = value or carefully(column.type, _TAGS, "element", self._values.dialect, base64_layers=layers)
        # A map's attributes are looked at one by one where the element as a whole did not fit and columns take them.
        no_value = "'NULL'" if self._takes_no_maps else "'M', 'NULL'"
        given = Sql(f"(json_keys(element)[1] NOT IN ({no_value}))")
        return Extracted(staged_name(index), Sql(f"CASE WHEN NOT {_IS_NULL} THEN {value} END"), given, index)

    @property
    def _takes_no_maps(self) -> bool:
        """Whether every column is of the element itself, or of the item around it."""
        columns: list[TypedColumn | Column] = [*self._book.schema.columns, *self._book.pending]
        return not any(c.path and not c.of_parent for c in columns)

    def _rescued(self, table: pa.Table, held: frozenset[str], attributes: Sequence[str | None]) -> pa.Array:
        """What no column holds, of the few rows where there is any."""
        failed = pc.greater(pc.list_value_length(table.column("misfits")), 0)
        odd = pc.and_(pc.or_(table.column("stray"), failed), pc.invert(table.column("is_whole")))
        places = pc.indices_nonzero(odd)
        few = table.take(places)
        left = rescue(
            few.column("image"),
            held=held,
            touched=self._book.touched_attributes(),
            failed=failed_attributes(few, attributes),
            # What would be in a masked attribute of a map, an element that is no map may be itself.
            hidden=frozenset({WHOLE} if any(c.mask and not c.of_parent for c in self._book.schema.columns) else ()),
            base64_layers=self._values.base64_layers,
        )
        texts: list[str | None] = [None] * len(table)
        for place, text in zip(places.to_pylist(), left.to_pylist(), strict=True):
            texts[place] = text
        if not self._values.dialect.holds_nul:
            lost = pc.indices_nonzero(pc.match_substring(table.column("key"), "\0"))
            for place, key in zip(lost.to_pylist(), table.column("key").take(lost).to_pylist(), strict=True):
                texts[place] = _with_key(key, texts[place])
        rescued = pa.array(texts, pa.string())
        return rescued if self._values.dialect.rescues_nul else as_six_characters(rescued)


def _with_key(key: str, rescued: str | None) -> str:
    """What is left over, and the key of a map's entry that the engine cannot hold."""
    own = f'"_cdc_key":{{"S":{json.dumps(key, ensure_ascii=False)}}}'
    return f"{{{own}}}" if rescued is None else f"{{{own},{rescued[1:]}"


def _has_whole(values: Sequence[Extracted], columns: Sequence[TypedColumn]) -> str:
    """Whether columns of `.` have all of an element: one takes it whole, or each hole of a template has one."""
    own = [i for i, c in enumerate(columns) if not c.path and not c.of_parent]
    if any(columns[i].mask for i in own):
        return "TRUE"  # it may be nowhere else
    ways = [[i] for i in own if columns[i].template is None]
    for literals in dict.fromkeys(t.literals for i in own if (t := columns[i].template)):
        mine = [i for i in own if (t := columns[i].template) and t.literals == literals]
        if len({t.hole for i in mine if (t := columns[i].template)}) == len(literals) - 1:
            ways.append(mine)
    tests = [" AND ".join(f"{values[i].name.parts[0]} IS NOT NULL" for i in way) for way in ways]
    return "(" + " OR ".join(tests) + ")" if tests else "FALSE"
