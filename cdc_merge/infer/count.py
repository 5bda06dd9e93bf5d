"""Counts what is in the items of the workbench, in columns; what it means is decided elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from cdc_merge.feed import shape
from cdc_merge.feed.where import takes
from cdc_merge.feed.workbench import Workbench
from cdc_merge.infer.entities import Entity, is_named_for_kinds
from cdc_merge.infer.facts import KEY_TAGS, Elements, KeyCandidate, KeyPieces, Numbers, Shape, Texts, Values
from cdc_merge.infer.pieces import as_run_reads, cut_keys
from cdc_merge.model import Kind, Target
from cdc_merge.names import spelled
from cdc_merge.render import Sql, render
from cdc_merge.warehouses.dialect import DUCKDB

MOST_VALUES = 50  # of a discriminator, and of key prefixes
_MOST_CANDIDATES = 12
_SOME = 50_000  # items, for a first look
# Characters of a value that names a kind of items: long ones are prose, unless the attribute is named for it.
_LONGEST_VALUE = 64
_LONGEST_NAMED = 1_000
# Up to the first `#`, which may follow one at the very beginning: `ORDER#…`, `#ORDER#…`.
_PREFIX = r"^#?[^#]{1,64}#"
_WORD = "[A-Za-z][A-Za-z_-]{0,31}"
_FORM = shape.Form(image="", keys="")


ListAt = tuple[int, tuple[str, ...]]
"""An entity's number, and the path of a list in its items."""


@dataclass(frozen=True)
class Attribute:
    """An attribute in all items: how many have it, as which types; of texts the distinct (about), and the longest."""

    name: str
    tags: dict[str, int]
    distinct: int
    longest: int


class Census:
    """Questions about the table `items` (n, image)."""

    def __init__(self, workbench: Workbench, items: int) -> None:
        self._workbench = workbench
        self.items = items

    def attributes(self, *, all_items: bool) -> list[Attribute]:
        """Every attribute of all items, or of some that are spread evenly."""
        rows = self._workbench.rows(
            f"""
            SELECT attribute, tag, count(*), approx_count_distinct(value), max(length(value))
            FROM (
                SELECT entry.key AS attribute, CAST(entry.value AS VARCHAR) AS value, split_part(value, '"', 2) AS tag
                FROM (SELECT unnest(map_entries(from_json(image, '"MAP(VARCHAR, JSON)"'))) AS entry FROM {
                self._some(all_items=all_items)
            })
            )
            GROUP BY ALL ORDER BY ALL
            """
        )
        found = []
        for name, group in groupby(rows, key=lambda row: row[0]):
            mine = list(group)
            found.append(
                Attribute(
                    name,
                    {tag: count for _, tag, count, _, _ in mine},
                    sum(distinct for _, _, _, distinct, _ in mine),
                    max(longest for _, _, _, _, longest in mine),
                )
            )
        return found

    def _some(self, *, all_items: bool = False) -> str:
        step = 1 if all_items else max(1, self.items // _SOME)
        return "items" if step == 1 else f"(FROM items WHERE n % {step} = 0)"

    def is_unique(self, names: Sequence[str]) -> bool:
        """Whether no two items have the same values of some attributes."""
        pointers = shape.Pointers(_FORM)
        values = " || ' ' || ".join(pointers.value(shape.pointer((name,), below="")) for name in names)
        distinct: int = self._workbench.rows(
            f"SELECT count(DISTINCT md5_number({values})) "
            f"FROM (SELECT json_extract_string(image, {pointers.as_list()}) AS v FROM items)"
        )[0][0]
        return distinct == self.items

    def shapes(self, key: Sequence[str], key_tags: Sequence[str], candidates: Sequence[str]) -> list[Shape]:
        """The items, those that look alike counted together."""
        pointers = shape.Pointers(_FORM)
        texts = [
            pointers.value(shape.pointer((a,), below="") + "/S") if t == "S" else None
            for a, t in zip(key, key_tags, strict=True)
        ]
        prefixes = [self._prefix(text, pointers) for text in texts]
        values = [pointers.value(shape.pointer((a,), below="") + "/S") for a in candidates]
        rows = self._workbench.rows(
            render(
                "infer/sql/shapes.sql",
                DUCKDB,
                prefixes=Sql(f"[{', '.join(prefixes)}]::VARCHAR[]"),
                candidates=Sql(f"[{', '.join(values)}]::VARCHAR[]"),
                pointers=Sql(pointers.as_list()),
            )
        )
        return [Shape(frozenset(a), tuple(p), tuple(v), count) for a, p, v, count in rows]

    def _prefix(self, text: str | None, pointers: shape.Pointers) -> str:
        """The expression of a key text's beginning, or NULL where beginnings are too many to tell entities."""
        if text is None:
            return "NULL"
        prefix = f"nullif(regexp_extract({text}, '{_PREFIX}'), '')"
        word = f"CASE WHEN regexp_full_match({text}, '{_WORD}') THEN {text} END"
        prefixes, words = self._workbench.rows(
            f"SELECT approx_count_distinct({prefix}), approx_count_distinct({word}) "
            f"FROM (SELECT json_extract_string(image, {pointers.as_list()}) AS v FROM items)"
        )[0]
        parts = [prefix] if prefixes <= MOST_VALUES else []
        parts += [word] if words <= MOST_VALUES else []
        return f"coalesce({', '.join(parts)})" if parts else "NULL"

    def tell(self, entities: Sequence[Entity], key: Sequence[str], key_tags: Sequence[str]) -> None:
        """Give each item the number of its entity, by the very conditions that a target would have."""
        pointers = shape.Pointers(_FORM)
        cases = " ".join(
            f"WHEN {takes(Target(table='', where=e.where), pointers.value)} THEN {number}"
            for number, e in enumerate(entities)
        )
        rests = []
        for place in range(2):
            if place < len(key) and key_tags[place] == "S":
                text = pointers.value(shape.pointer((key[place],), below="") + "/S")
                lengths = " ".join(
                    f"WHEN {number} THEN {len(e.prefixes[place] or '')}" for number, e in enumerate(entities)
                )
                rests.append(f"substr({text}, 1 + CASE entity {lengths} END)")
            else:
                rests.append("NULL")
        self._workbench.execute(
            f"CREATE OR REPLACE VIEW told AS SELECT *, {rests[0]} AS rest_1, {rests[1]} AS rest_2 FROM ("
            f"SELECT n, image, v, CASE {cases} END AS entity "
            f"FROM (SELECT n, image, json_extract_string(image, {pointers.as_list()}) AS v FROM items))"
        )

    def values(self, entities: Sequence[Entity], key: Sequence[str]) -> list[list[Values]]:
        """For each entity the values of its attributes."""
        found = self._values("infer/sql/attributes.sql")
        return [
            [_values((attribute,), rows, len(key)) for (e, attribute, _), rows in found.items() if e == number]
            for number in range(len(entities))
        ]

    def lists(self, values: Sequence[Sequence[Values]]) -> list[ListAt]:
        """Where lists are: attributes that are any, and what is in maps, one or two levels deep."""
        found: list[ListAt] = [(n, _names(v)) for n, mine in enumerate(values) for v in mine if v.tags.get("L")]
        maps = [(n, _names(v)) for n, mine in enumerate(values) for v in mine if v.tags.get("M")]
        if not maps:
            return found
        step = max(1, self.items // _SOME)
        with self._workbench.naming(maps=_pointing([(n, path, "/M") for n, path in maps])):
            rows = self._workbench.rows(render("infer/sql/lists_in_maps.sql", DUCKDB, step=step))
        return found + [(n, tuple(step for step in path if step is not None)) for n, *path in rows]

    def elements(self, lists: Sequence[ListAt]) -> dict[ListAt, Elements]:
        """What is in lists, by entity and path."""
        if not lists:
            return {}
        with self._workbench.naming(lists=_pointing([(n, path, "/L") for n, path in lists])):
            found = self._values("infer/sql/members.sql")
        elements = {}
        for number, path in lists:
            at = number, spelled(path)
            tags = {row["tag"]: row["values"] for row in found.get((*at, None), [])}
            members = [
                _values((member,), rows, 0)
                for (n, attribute, member), rows in found.items()
                if (n, attribute) == at and member is not None
            ]
            elements[number, path] = Elements(sum(tags.values()), tags.get("M", 0), tuple(members))
        return elements

    def key_pieces(self, entities: Sequence[Entity], key: Sequence[str]) -> list[list[KeyPieces]]:
        """For each entity the pieces of its key texts, for each key attribute, in some items that are spread evenly."""
        step = max(1, self.items // _SOME)
        return cut_keys(self._workbench, entities=len(entities), key=key, step=step)

    def _values(self, rows: str) -> dict[tuple[int, str, str | None], list[dict[str, Any]]]:
        table = self._workbench.table(
            render(
                "infer/sql/values.sql",
                DUCKDB,
                rows=Sql(render(rows, DUCKDB)),
                time=as_run_reads(Kind.TIMESTAMP, "moment"),
                date=as_run_reads(Kind.DATE, "moment"),
                integer=as_run_reads(Kind.INTEGER, "number"),
            )
        )
        found: dict[tuple[int, str, str | None], list[dict[str, Any]]] = defaultdict(list)
        for row in table.to_pylist():
            found[row["entity"], row["attribute"], row["member"]].append(row)
        return found


def _names(values: Values) -> tuple[str, ...]:
    return tuple(map(str, values.path))


def _pointing(places: Sequence[tuple[int, tuple[str, ...], str]]) -> pa.Table:
    """Paths in images, by entity, with the tag below each."""
    return pa.table(
        {
            "entity": pa.array([n for n, _, _ in places], pa.int32()),
            "attribute": [spelled(path) for _, path, _ in places],
            "pointer": [shape.pointer(path, below="") + tag for _, path, tag in places],
        }
    )


def key_candidates(attributes: Sequence[Attribute], names: Sequence[str] | None, items: int) -> list[KeyCandidate]:
    """Attributes that each of so many items has with one type a key can be of; of `names`, if given."""
    return [
        KeyCandidate(a.name, tag, a.distinct)
        for a in attributes
        if (names is None or a.name in names) and len(a.tags) == 1 and a.tags.get(tag := next(iter(a.tags))) == items
        if tag in KEY_TAGS
    ]


def discriminator_candidates(attributes: Sequence[Attribute], key: Sequence[str]) -> list[str]:
    """Attributes that may say what an item is: texts of few values, in many items; those with the fewest first."""
    most = max((sum(a.tags.values()) for a in attributes), default=0)  # keys are in all items
    fitting = [
        a
        for a in attributes
        if a.name not in (*key, "") and set(a.tags) == {"S"} and _overflow(a) is None and a.tags["S"] * 5 >= most
    ]
    return [a.name for a in sorted(fitting, key=lambda a: (-a.tags["S"], a.distinct, a.name))[:_MOST_CANDIDATES]]


def passed_over(attributes: Sequence[Attribute], key: Sequence[str]) -> str | None:
    """Which attribute by its name says what an item is, and why it is no candidate all the same, in words."""
    named = [a for a in attributes if a.name not in key and is_named_for_kinds(a.name)]
    whys = (f"{a.name} has {overflow}" for a in named if (overflow := _overflow(a)))
    return next(whys, None)


def _overflow(attribute: Attribute) -> str | None:
    """What an attribute has too much of to tell kinds of items."""
    longest = _LONGEST_NAMED if is_named_for_kinds(attribute.name) else _LONGEST_VALUE
    if attribute.longest > longest + len('{"S":""}'):
        return f"values of more than {longest:,} characters"
    if attribute.distinct > MOST_VALUES:
        return f"more than {MOST_VALUES} values"
    return None


def _values(path: tuple[str, ...], rows: Sequence[dict[str, Any]], keys: int) -> Values:
    by_tag = {row["tag"]: row for row in rows}
    text, number = by_tag.get("S"), by_tag.get("N")
    return Values(
        path=path,
        tags={tag: row["values"] for tag, row in by_tag.items()},
        texts=_texts(text) if text else None,
        numbers=_numbers(number) if number else None,
        longest_list=by_tag["L"]["longest_list"] or 0 if "L" in by_tag else 0,
        same_as_key=tuple(sum(row[f"same_as_{place + 1}"] for row in rows) for place in range(keys)),
    )


def _texts(row: dict[str, Any]) -> Texts:
    return Texts(
        count=row["values"],
        longest=row["longest"] or 0,
        distinct=min(row["distinct_texts"] or 0, row["values"]),
        times=row["times"],
        dates=row["dates"],
        zoneless=row["zoneless"],
    )


def _numbers(row: dict[str, Any]) -> Numbers:
    least, greatest = row["least"] or "0", row["greatest"] or "0"
    return Numbers(
        count=row["values"],
        least=least,
        greatest=greatest,
        whole_digits=row["whole_digits"] or 0,
        decimals=row["decimals"] or 0,
        integers=row["integers"],
        odd=row["values"] - row["numbers"],
        low=float(least),
        high=float(greatest),
    )
