"""Columns that take a piece of a text, a mask or the whole item, on every engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_merge.feed.convert import piece_of
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import Column, ColumnType, Evolve, Kind, Mask, Source, Target, Template
from tests.support.harness import Harness
from tests.support.records import stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = Source("shop", "", ("PK", "SK"), ())
ITEM_KEY = ("ORDER#", "#ITEM#", "")


def oracle(template: Template, text: str) -> str | None:
    """By hand: every way to fill the holes, shortest first from the left."""

    def fill(rest: str, literals: tuple[str, ...]) -> list[str] | None:
        if not rest.startswith(literals[0]):
            return None
        rest = rest[len(literals[0]) :]
        if len(literals) == 1:
            return [] if not rest else None
        for size in range(1, len(rest) + 1):
            if len(literals) == 2 and rest[size:] != literals[1]:
                continue
            found = fill(rest[size:], literals[1:])
            if found is not None:
                return [rest[:size], *found]
        return None

    found = fill(text, template.literals)
    return found[template.hole] if found else None


@pytest.fixture
def workbench() -> Iterator[Workbench]:
    with Workbench(memory=10**9) as workbench:
        yield workbench


def test_a_hole_takes_as_little_as_lets_the_rest_fit(workbench: Workbench) -> None:
    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        alphabet = "a#.\\(é\n"
        between = [data.draw(st.text(alphabet, min_size=1, max_size=2)) for _ in range(data.draw(st.integers(0, 2)))]
        literals = [data.draw(st.text(alphabet, max_size=2)), *between, data.draw(st.text(alphabet, max_size=2))]
        template = Template(tuple(literals), data.draw(st.integers(0, len(literals) - 2)))
        text = data.draw(st.text(alphabet, max_size=12))
        if data.draw(st.booleans()):
            pieces = st.text(alphabet, min_size=1, max_size=3)
            text = "".join(literal + data.draw(pieces) for literal in literals[:-1]) + literals[-1]

        query = workbench.connection.execute(f"SELECT {piece_of(template, '$text')}", {"text": text})

        assert query.fetchone() == (oracle(template, text),)

    run()


def merge(warehouse_url: str, folder: Path, target: Target, *images: Mapping[str, Any]) -> Harness:
    harness = Harness(warehouse_url, replace(SOURCE, targets=(target,)), folder / "feed")
    for number, image in enumerate(images, start=1):
        keys = {name: image[name] for name in SOURCE.key}
        harness.put_records([stream_record(keys, image, sequence=number, at=T0)])
    harness.run()
    return harness


def rows(harness: Harness, *columns: str) -> list[tuple[Any, ...]]:
    table = harness.source.targets[0].table
    return sorted(harness.query(f"SELECT {', '.join(columns)} FROM {harness.schema}.{table}"), key=repr)


def test_pieces_of_overloaded_keys_become_typed_columns(warehouse_url: str, tmp_path: Path) -> None:
    target = Target(
        "items",
        columns=(
            Column("order_id", ("PK",), template=Template(ITEM_KEY, 0)),
            Column("item_id", ("PK",), ColumnType(Kind.INTEGER), template=Template(ITEM_KEY, 1)),
            Column("placed_on", ("SK",), ColumnType(Kind.DATE), template=Template(("DAY#", ""), 0)),
        ),
        evolve=Evolve.FREEZE,
    )
    harness = merge(
        warehouse_url,
        tmp_path,
        target,
        {"PK": "ORDER#a#ITEM#7", "SK": "DAY#2026-01-02"},
        {"PK": "ORDER#b#ITEM#007", "SK": "DAY#"},
        {"PK": "CUSTOMER#c", "SK": "x"},
    )

    assert rows(harness, "order_id", "item_id", "CAST(placed_on AS text)", "_cdc_rescued") == sorted(
        [("a", 7, "2026-01-02", None), ("b", None, None, None), (None, None, None, None)], key=repr
    )


def test_what_a_template_does_not_fit_is_rescued_unless_a_column_holds_it(warehouse_url: str, tmp_path: Path) -> None:
    target = Target(
        "items",
        columns=(
            Column("order_id", ("G",), template=Template(("ORDER#", ""), 0)),
            Column("half", ("H",), template=Template(ITEM_KEY, 0)),
            Column("both", ("I",)),
            Column("piece", ("I",), template=Template(("X", ""), 0)),
        ),
        evolve=Evolve.FREEZE,
    )
    harness = merge(
        warehouse_url,
        tmp_path,
        target,
        {"PK": "1", "SK": "1", "G": "ORDER#a", "I": "no"},
        {"PK": "2", "SK": "1", "G": "other", "H": "ORDER#a#ITEM#b", "I": "Xy"},
    )

    assert rows(harness, "order_id", "half", '"both"', "piece", "CAST(_cdc_rescued AS text)") == sorted(
        [
            ("a", None, "no", None, None),
            (None, "a", "Xy", "y", '{"G":{"S":"other"},"H":{"S":"ORDER#a#ITEM#b"}}'),
        ],
        key=repr,
    )


def test_a_piece_counts_as_the_number_it_spells(warehouse_url: str, tmp_path: Path) -> None:
    target = Target(
        "items",
        columns=(
            Column("whole", ("A",), ColumnType(Kind.INTEGER), template=Template(("#", ""), 0)),
            Column("exact", ("B",), ColumnType(Kind.NUMERIC, 5, 2), template=Template(("#", ""), 0)),
        ),
        evolve=Evolve.FREEZE,
    )
    harness = merge(warehouse_url, tmp_path, target, {"PK": "1", "SK": "1", "A": "#1.0", "B": "#1.500"})

    assert rows(harness, "whole", "CAST(exact AS text)", "_cdc_rescued") == [(1, "1.50", None)]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_masked_values_are_nowhere_in_the_warehouse(warehouse_url: str, tmp_path: Path) -> None:
    target = Target(
        "people",
        columns=(
            Column("email", ("Email",), mask=Mask.HASH),
            Column("age", ("Age",), mask=Mask.HASH),
            Column("phone", ("Phone",), mask=Mask.REDACT),
            Column("address", ("Address",), mask=Mask.DROP),
            Column("city", ("Home", "City"), mask=Mask.HASH),
        ),
        evolve=Evolve.FREEZE,
    )
    secret = {
        "Email": "ada@example.com",
        "Age": 36,
        "Phone": "555",
        "Address": {"x": "secret"},
        "Home": {"City": "Bern"},
    }
    harness = merge(
        warehouse_url,
        tmp_path,
        target,
        {"PK": "1", "SK": "1", **secret, "Other": 1},
        {"PK": "2", "SK": "1", "Email": None},
        {"PK": "3", "SK": "1", "Email": ["odd"]},
    )

    assert rows(harness, "email", "age", "phone", "address", "city", "CAST(_cdc_rescued AS text)") == sorted(
        [
            (digest("ada@example.com"), digest("36"), "redacted", None, digest("Bern"), '{"Other":{"N":"1"}}'),
            (None,) * 6,
            (digest('["odd"]'), None, None, None, None, None),
        ],
        key=repr,
    )


def test_where_a_template_does_not_fit_there_is_nothing_to_mask(warehouse_url: str, tmp_path: Path) -> None:
    template = Template(("TEL#", ""), 0)
    columns = tuple(Column(mask.value, ("Phone",), template=template, mask=mask) for mask in (Mask.HASH, Mask.REDACT))
    harness = merge(
        warehouse_url,
        tmp_path,
        Target("people", columns=columns, evolve=Evolve.FREEZE),
        {"PK": "1", "SK": "1", "Phone": "TEL#555"},
        {"PK": "2", "SK": "1", "Phone": "555"},
        {"PK": "3", "SK": "1", "Phone": 555},
    )

    assert rows(harness, "pk", "hash", "redact", "_cdc_rescued") == [
        ("1", digest("555"), "redacted", None),
        ("2", None, None, None),
        ("3", None, None, None),
    ]


def test_a_document_holds_the_whole_item_in_plain_values(warehouse_url: str, tmp_path: Path) -> None:
    item = {"PK": "1", "SK": "2", "n": 1, "m": {"b": [True, None]}, "s": {"y", "x"}}
    harness = merge(warehouse_url, tmp_path, Target("docs", is_document=True), item, {"PK": "2", "SK": "2"})

    found = rows(harness, "pk", "sk", "CAST(document AS text)", "_cdc_rescued")

    assert [(pk, sk, json.loads(text), rescued) for pk, sk, text, rescued in found] == [
        ("1", "2", {"PK": "1", "SK": "2", "n": 1, "m": {"b": [True, None]}, "s": ["x", "y"]}, None),
        ("2", "2", {"PK": "2", "SK": "2"}, None),
    ]


def test_a_document_that_the_engine_cannot_hold_is_rescued_whole(postgres_url: str, tmp_path: Path) -> None:
    harness = merge(postgres_url, tmp_path, Target("docs", is_document=True), {"PK": "1", "SK": "2", "z": "a\x00b"})

    ((document, rescued),) = harness.query(f"SELECT document, CAST(_cdc_rescued AS text) FROM {harness.schema}.docs")
    assert document is None
    assert json.loads(rescued) == {"PK": {"S": "1"}, "SK": {"S": "2"}, "z": {"S": "a\x00b"}}
