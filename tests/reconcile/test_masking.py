"""Masks that come later: a rebuild hides in histories, and in rows that come over, what is masked from now on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.layout import layout_of
from cdc_merge.model import Column, ColumnType, Evolve, Kind, Mask, ReconcilePolicy, Source, Target
from cdc_merge.planning.reader import PlanReader
from cdc_merge.schema.differences import Difference
from tests.support.forgetting import all_that_is_kept
from tests.support.harness import Harness
from tests.support.reconciling import AS_OF, Export, change, export, item, reconcile  # noqa: F401

TEXT, INTEGER = ColumnType(Kind.TEXT), ColumnType(Kind.INTEGER)
EMAIL, AGE, CITY = Column("email", ("Email",), TEXT), Column("age", ("Age",), INTEGER), Column("city", ("City",), TEXT)
PEOPLE = Target("people", columns=(EMAIL, AGE, CITY), evolve=Evolve.FREEZE, has_history=True)
ADA: Mapping[str, Any] = {"Email": "ada@example.com", "Age": 36, "City": "London"}


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def people(warehouse_url: str, tmp_path: Path) -> Harness:
    """One item with two versions."""
    source = Source("shop", "", ("PK",), (PEOPLE,), reconcile=ReconcilePolicy(max_delete=1.0))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    harness.put_records([change("a", 1, {**ADA, "Email": "old@example.com"}), change("a", 2, ADA)])
    harness.run()
    return harness


def configure(harness: Harness, *columns: Column, **options: Any) -> None:
    harness.source = replace(harness.source, targets=(replace(PEOPLE, columns=columns, **options),))


def history(harness: Harness, columns: str) -> list[tuple[Any, ...]]:
    return harness.query(f"SELECT {columns} FROM {harness.schema}.people_history ORDER BY _cdc_position")


def plan(harness: Harness) -> list[Difference]:
    warehouse = harness.open()
    try:
        with warehouse.session() as session:
            reader = PlanReader(warehouse, layout_of(harness.settings, warehouse), ())
            return list(reader.read(session, harness.source, with_views=False).differences)
    finally:
        warehouse.close()


@pytest.mark.parametrize("mask", Mask)
def test_a_rebuild_masks_the_versions_of_before_too(people: Harness, export: Export, mask: Mask) -> None:  # noqa: F811
    configure(people, replace(EMAIL, mask=mask), AGE, CITY)
    (difference,) = plan(people)
    assert (difference.where, difference.stops) == ("people.email", True)
    assert "people_history" in difference.cure

    report = reconcile(people, export([item("a", ADA)]), rebuild=True)

    texts = [("old@example.com", 36), ("ada@example.com", 36)]
    hidden = {Mask.HASH: hashed, Mask.REDACT: lambda _: "redacted", Mask.DROP: lambda _: None}[mask]
    assert history(people, "email, age") == [(hidden(email), age) for email, age in texts]
    assert any("people_history" in note and "email" in note for note in report.notes)
    assert plan(people) == []
    assert "example.com" not in all_that_is_kept(people)


def test_what_was_rescued_of_a_masked_attribute_goes_and_the_rest_stays(people: Harness, export: Export) -> None:  # noqa: F811
    late = AS_OF + timedelta(hours=1)
    minute = (late - AS_OF).total_seconds() / 60 + 60
    odd = {"Email": "x", "Age": "secret", "City": 'a "Age" \x00', "More": "m"}
    people.put_records([change("a", 3, odd), change("b", 4, odd, minute=minute)])
    people.run()
    configure(people, EMAIL, replace(AGE, name="years", mask=Mask.HASH), CITY)
    for path in people.directory.rglob("feed-*"):
        path.unlink()  # so that the row that changed since is not merged once more

    reconcile(people, export([item("a", ADA)]), rebuild=True)

    assert history(people, "age") == [(None,)] * 4
    for table in ("people", "people_history"):
        left = people.query(
            f"SELECT CAST(_cdc_rescued AS text) FROM {people.schema}.{table} WHERE pk = 'b' OR _cdc_position LIKE '%3'"
        )
        if people.url.startswith("redshift"):  # where nothing takes a member out of a SUPER, so that all of it goes
            assert left and set(left) == {(None,)}
            continue
        assert all('"More"' in text and "secret" not in text for (text,) in left) and left
        if people.url.startswith("postgres"):  # which has no U+0000 in its texts
            assert all(json.loads(text)["City"] == {"S": odd["City"]} for (text,) in left)
    assert "secret" not in all_that_is_kept(people)


def test_the_name_of_before_is_emptied_where_the_masked_column_has_another(people: Harness, export: Export) -> None:  # noqa: F811
    configure(people, Column("email_hash", ("Email",), mask=Mask.HASH), AGE, CITY)
    assert [(d.where, d.change) for d in plan(people)] == [
        ("people.email_hash", "new column"),
        ("people.email", "no longer configured"),
    ]

    reconcile(people, export([item("a", ADA)]), rebuild=True)

    assert history(people, "email, email_hash") == [(None, None), (None, None)]


def test_a_column_that_the_configuration_keeps_in_the_clear_stays_so_in_the_history(
    people: Harness,
    export: Export,  # noqa: F811
) -> None:
    configure(people, EMAIL, AGE, CITY, Column("email_hash", ("Email",), mask=Mask.HASH))
    reconcile(people, export([item("a", ADA)]), rebuild=True)
    assert history(people, "email") == [("old@example.com",), ("ada@example.com",)]


def test_plan_names_what_a_history_has_from_before_a_rebuild_which_no_mask_reaches(
    people: Harness,
    export: Export,  # noqa: F811
) -> None:
    configure(people, EMAIL, AGE)
    reconcile(people, export([item("a", ADA)]), rebuild=True)
    (difference,) = plan(people)
    assert (difference.where, difference.change, difference.stops) == (
        "people_history.city",
        "no longer configured",
        False,
    )
    assert "DROP COLUMN" in difference.cure
    assert history(people, "city") == [("London",), ("London",)]


def test_a_column_that_a_new_attribute_brought_is_shown_where_it_is_masked_in_another(
    warehouse_url: str, tmp_path: Path
) -> None:
    source = Source("shop", "", ("PK",), (Target("people", columns=(CITY,)),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    harness.put_records([change("a", 1, ADA)])
    harness.run()
    masked = Target("people", columns=(CITY, Column("email_hash", ("Email",), mask=Mask.HASH)))
    harness.source = replace(harness.source, targets=(masked,))
    (_, left) = plan(harness)
    assert (left.where, left.change) == ("people.email", "no longer configured")
    assert "in the clear" in left.message
