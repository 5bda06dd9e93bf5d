"""How a target's rows are taken from images in SQL: its columns, and whether they hold all that an image has."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cdc_merge.model import Evolve, Kind
from cdc_merge.raw.conditions import takes
from cdc_merge.raw.looks import Looks, typed
from cdc_merge.raw.values import staged_type, sure
from cdc_merge.render import Sql
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.stored import holders

_MOST_RESCUED = 60_000  # bytes of JSON in one row: all of it must fit a text


@dataclass(frozen=True)
class StagedColumn:
    """A column of a target in staging. `name`: that there; `wide`: that among the columns of all targets."""

    name: Sql
    wide: Sql
    type: Sql
    value: Sql
    is_text: bool


@dataclass(frozen=True)
class TargetLayout:
    """A target among the others. `takes`: whether an image is its; `takes_doubts`: whether that is not sure.

    Its row is sure if `width`, the attributes of the image, is `pinned` and one for each that is `held`, and nothing
    speaks against it in `doubts`. `rescued`: JSON text of what no column has; NULL if there is nothing.
    """

    number: int
    takes: Sql
    takes_doubts: tuple[Sql, ...]
    width: Sql
    pinned: int
    held: tuple[Sql, ...]
    doubts: tuple[Sql, ...]
    rescued: Sql
    columns: tuple[StagedColumn, ...]


def lay_out(
    number: int, book: SchemaBook, key_tags: Sequence[str], looks: Looks, *, names: Collection[str], base64_layers: int
) -> TargetLayout:
    """`names`: the attributes that were seen in the batch, as far as they may be left without a column."""
    columns = tuple(
        StagedColumn(
            Sql(f"c{i}"),
            Sql(f"t{number}_c{i}"),
            Sql(staged_type(c.type, looks.dialect)),
            Sql(sure(c.type, typed(c.path), looks, base64_layers=base64_layers)),
            c.type.kind in (Kind.TEXT, Kind.NUMERIC),
        )
        for i, c in enumerate(book.schema.columns)
    )
    taken = takes(book.target, looks)
    left = sorted(set(names) - book.held_attributes()) if book.target.evolve is Evolve.FREEZE else []
    rest = _Rest(left, book.touched_attributes(), looks, base64_layers)
    held = _held(book, columns, key_tags, looks)
    doubts = [*_misfits(book, columns, looks), *rest.doubts(), *(looks.is_there(typed(c.path)) for c in book.pending)]
    return TargetLayout(
        number,
        takes=Sql(taken.answer),
        takes_doubts=tuple(map(Sql, taken.doubts)),
        width=Sql(looks.width(())),
        pinned=len(book.pinned_attributes() - held.keys()),
        held=tuple(map(Sql, (*held.values(), *(looks.is_there((attribute,)) for attribute in left)))),
        doubts=tuple(map(Sql, dict.fromkeys(doubts))),
        rescued=Sql(rest.text()),
        columns=columns,
    )


def _held(book: SchemaBook, columns: Sequence[StagedColumn], key_tags: Sequence[str], looks: Looks) -> dict[str, str]:
    """By attribute, whether the columns hold it.

    An attribute counts once, however many columns take it, and only if all of them hold it.
    """
    found: dict[str, str] = {}
    for attribute, mine in holders(book.schema.columns).items():
        if attribute not in book.key:
            held = " AND ".join(f"{columns[i].wide.text} IS NOT NULL" for i in mine)
            found[attribute] = f"({held}) OR {looks.is_null((attribute,))}"
    for attribute, tag in zip(book.key, key_tags, strict=True):
        found[attribute] = f"{looks.kind((attribute, tag))} = '{looks.words.kinds.string}'"
    return found


def _misfits(book: SchemaBook, columns: Sequence[StagedColumn], looks: Looks) -> list[str]:
    """The conditions under which a path leads to a value that is not in its column."""
    found = []
    for column, staged in zip(book.schema.columns, columns, strict=True):
        if len(column.path) != 1:
            at = typed(column.path)
            found += looks.strays(column.path)
            found.append(f"({staged.wide.text} IS NULL AND {looks.is_there(at)} AND NOT {looks.is_null(at)})")
    return found


class _Rest:
    """Attributes without a column: what goes to _cdc_rescued, typed as it is, in order of the names."""

    def __init__(self, left: Sequence[str], touched: Collection[str], looks: Looks, base64_layers: int) -> None:
        self._left = left
        self._touched = touched
        self._looks = looks
        self._layers = base64_layers

    def text(self) -> str:
        """NULL if there is nothing."""
        if not self._left:
            return f"CAST(NULL AS {self._looks.dialect.types[Kind.TEXT]})"
        members = " || ".join(
            f"CASE WHEN {self._is_kept(name)} THEN {self._member(name)} ELSE '' END" for name in self._left
        )
        any_kept = " OR ".join(map(self._is_kept, self._left))
        return f"CASE WHEN {any_kept} THEN '{{' || SUBSTRING({members}, 2) || '}}' END"

    def doubts(self) -> list[str]:
        """What cannot be written as the workbench would.

        Sets, which have an order there; binary in base64 twice; U+0000, which is six characters there; what shows that
        something may be lost; numbers outside of texts.
        """
        if not self._left:
            return []
        found = []
        tags = ("SS", "NS", "BS", "B") if self._layers > 1 else ("SS", "NS", "BS")
        for name in self._left:
            document = self._looks.document((name,))
            nul = f"({self._looks.dialect.backslash} || 'u0000')"
            odd = [*(f"'\"{tag}\"'" for tag in tags), nul, *self._looks.words.lost]
            tests = [f"POSITION({text} IN {document}) > 0" for text in odd]
            if self._looks.words.has_number:
                tests.append(self._looks.words.has_number.format(json=document))
            is_odd = " OR ".join(tests)
            found.append(f"({self._looks.is_there((name,))} AND coalesce({is_odd}, TRUE))")
        if self._looks.words.size:
            sizes = " + ".join(f"coalesce({self._looks.size((name,))}, 0)" for name in self._left)
            names = sum(len(json.dumps(name, ensure_ascii=False).encode()) + 2 for name in self._left)
            found.append(f"{sizes} > {_MOST_RESCUED - names}")
        return found

    def _is_kept(self, name: str) -> str:
        there = self._looks.is_there((name,))
        if name not in self._touched:
            return there
        only = f"{self._looks.is_null((name,))} AND {self._looks.width((name,))} = 1"
        return f"({there} AND NOT ({only}))"

    def _member(self, name: str) -> str:
        label = self._looks.dialect.literal(f",{json.dumps(name, ensure_ascii=False)}:")
        return f"{label} || {self._looks.document((name,))}"


__all__ = ["StagedColumn", "TargetLayout", "lay_out"]
