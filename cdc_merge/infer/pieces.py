"""Cuts the texts of keys at their separator, and counts what is in the pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cdc_merge.feed import shape
from cdc_merge.feed.convert import surely
from cdc_merge.feed.workbench import Workbench
from cdc_merge.infer.facts import KeyPieces, Piece
from cdc_merge.model import ColumnType, Kind
from cdc_merge.render import Sql, render
from cdc_merge.warehouses.dialect import DUCKDB

_MOST_COMPARED = 1_000  # items of each entity: so many show which pieces attributes repeat


def cut_keys(workbench: Workbench, *, entities: int, key: Sequence[str], step: int) -> list[list[KeyPieces]]:
    """For each entity the pieces of its key texts, for each key attribute, in every `step`-th item of `told`."""
    found: list[list[KeyPieces]] = [[] for _ in range(entities)]
    for attribute in key:
        text = shape.pointer((attribute,), below="") + "/S"
        by_entity: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in workbench.table(
            render(
                "infer/sql/key_pieces.sql",
                DUCKDB,
                text=text,
                step=step,
                time=as_run_reads(Kind.TIMESTAMP, "moment"),
                date=as_run_reads(Kind.DATE, "moment"),
            )
        ).to_pylist():
            by_entity[row["entity"]].append(row)
        even = [number for number, rows in by_entity.items() if _is_even(rows) and len(rows) > 1]
        repeated = _repeated(workbench, text, even, step)
        for number in range(entities):
            rows = by_entity[number]
            pieces = tuple(_piece(row, is_repeated=(number, row["place"]) in repeated) for row in rows)
            found[number].append(
                KeyPieces(
                    attribute,
                    pieces if rows and _is_even(rows) else None,
                    least=min((row["least"] for row in rows), default=0),
                    most=len(rows),
                )
            )
    return found


def _is_even(rows: Sequence[dict[str, Any]]) -> bool:
    return all(row["least"] == row["most"] == len(rows) for row in rows)


def _piece(row: dict[str, Any], *, is_repeated: bool) -> Piece:
    keys = row["keys"]
    kind = Kind.DATE if row["dates"] == keys else Kind.TIMESTAMP if row["times"] == keys else Kind.TEXT
    return Piece(row["low"] if row["low"] == row["high"] else None, kind, row["empty"], is_repeated)


def _repeated(workbench: Workbench, text: str, numbers: Sequence[int], step: int) -> set[tuple[int, int]]:
    """The pieces, by entity and place, that some attribute of every item repeats."""
    if not numbers:
        return set()
    entities = Sql("[" + ", ".join(map(str, numbers)) + "]")
    query = render(
        "infer/sql/repeated_pieces.sql", DUCKDB, text=text, step=step, entities=entities, most=_MOST_COMPARED
    )
    return set(workbench.rows(query))


def as_run_reads(kind: Kind, value: str) -> Sql:
    """The expression by which a run reads a value: NULL for what does not fit."""
    return Sql(surely(ColumnType(kind), value, DUCKDB, base64_layers=1))
