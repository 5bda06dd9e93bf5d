"""Masks that come later: a rebuild hides in histories, and in rows that come over, what is masked from now on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import SchemaConflict
from cdc_merge.layout import layout_of
from cdc_merge.model import Column, ColumnType, Evolve, Kind, Mask, ReconcilePolicy, Source, Target
from cdc_merge.planning.reader import PlanReader
from cdc_merge.schema.differences import Difference
from cdc_merge.schema.masking import HiddenColumn, find_hidden
from cdc_merge.schema.stored import TargetSchema, TypedColumn
from tests.support.forgetting import all_that_is_kept
from tests.support.harness import Harness
from tests.support.merging import by_hand
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
    odd = {"Email": "x", "Age": "secret", "City": 'a "Age" \x00', "More": "m", "No\x00te": "n"}
    people.put_records([change("a", 3, odd), change("b", 4, odd, minute=minute)])
    people.run()
    configure(people, EMAIL, replace(AGE, name="years", mask=Mask.HASH), CITY)
    for path in people.directory.rglob("feed-*"):
        path.unlink()  # so that the row that changed since is not merged once more

    reconcile(people, export([item("a", ADA)]), rebuild=True)

    assert history(people, "age") == [(None,)] * 5  # with that of the rebuild
    for table in ("people", "people_history"):
        left = people.query(
            f"SELECT CAST(_cdc_rescued AS text) FROM {people.schema}.{table} WHERE pk = 'b' OR _cdc_position LIKE '%3'"
        )
        if people.url.startswith("redshift"):  # where nothing takes a member out of a SUPER, so that all of it goes
            assert left and set(left) == {(None,)}
            continue
        assert all('"More"' in text and "secret" not in text for (text,) in left) and left
        if people.url.startswith("postgres"):  # which has no U+0000 in its texts
            for (text,) in left:
                kept = {name: value["S"] for name, value in json.loads(text).items()}
                assert kept == {name: odd[name] for name in ("City", "More", "No\x00te")}
    assert "secret" not in all_that_is_kept(people)


def test_the_name_of_before_is_emptied_where_the_masked_column_has_another(people: Harness, export: Export) -> None:  # noqa: F811
    configure(people, Column("email_hash", ("Email",), mask=Mask.HASH), AGE, CITY)
    assert [(d.where, d.change, d.stops) for d in plan(people)] == [
        ("people.email", "mask", True),
        ("people.email_hash", "new column", False),
    ]
    people.put_records([change("b", 3, {"Email": "new@example.com"})])
    with pytest.raises(SchemaConflict, match="in the clear, which email_hash is to mask"):
        people.run()

    reconcile(people, export([item("a", ADA)]), rebuild=True)

    assert history(people, "email, email_hash") == [(None, None), (None, None)]
    people.run()
    assert history(people, "email, email_hash")[-1] == (None, hashed("new@example.com"))


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


def test_a_column_that_a_new_attribute_brought_stops_the_source_where_it_is_masked_in_another(
    warehouse_url: str, tmp_path: Path
) -> None:
    source = Source("shop", "", ("PK",), (Target("people", columns=(CITY,)),))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    harness.put_records([change("a", 1, ADA)])
    harness.run()
    masked = Target("people", columns=(CITY, Column("email_hash", ("Email",), mask=Mask.HASH)))
    harness.source = replace(harness.source, targets=(masked,))
    (left, _) = plan(harness)
    assert (left.where, left.change, left.stops) == ("people.email", "mask", True)
    assert "in the clear" in left.message


@pytest.mark.parametrize("has_history", [True, False])
def test_a_new_masked_column_hides_what_was_rescued_before(
    warehouse_url: str, tmp_path: Path, *, has_history: bool
) -> None:
    frozen = replace(PEOPLE, columns=(CITY,), has_history=has_history)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (frozen,)), tmp_path / "feed")
    odd = {**ADA, "More": 'an "Email" of no one'}
    harness.put_records([change("a", 1, {**ADA, "Email": "old@example.com"}), change("a", 2, odd)])
    harness.put_records([change("b", 3, {"City": "Paris", "Email": "only@example.com"})])
    harness.run()
    assert "example.com" in all_that_is_kept(harness)

    hashed_email = Column("email_hash", ("Email",), mask=Mask.HASH)
    harness.source = replace(harness.source, targets=(replace(frozen, columns=(CITY, hashed_email)),))
    harness.put_records([change("c", 4, {"City": "Rome", "Email": "new@example.com"})])
    harness.run()

    assert "example.com" not in all_that_is_kept(harness)
    rows = harness.query(f"SELECT pk, city, email_hash, _cdc_rescued FROM {harness.schema}.people ORDER BY pk")
    assert [row[:3] for row in rows] == [
        ("a", "London", None),
        ("b", "Paris", None),
        ("c", "Rome", hashed("new@example.com")),
    ]
    assert [row[3] for row in rows[1:]] == [None, None]
    if not harness.url.startswith("redshift"):  # where all of it goes
        left = json.loads(rows[0][3]) if isinstance(rows[0][3], str) else rows[0][3]
        assert left == {"Age": {"N": "36"}, "More": {"S": 'an "Email" of no one'}}
    harness.put_records([change("d", 5, {"City": "Oslo", "Email": "late@example.com"})])
    harness.run()
    assert harness.query(f"SELECT email_hash FROM {harness.schema}.people WHERE pk = 'c'") == [
        (hashed("new@example.com"),)
    ]


def test_a_reconcile_that_adds_a_masked_column_hides_what_was_rescued_before(
    warehouse_url: str,
    tmp_path: Path,
    export: Export,  # noqa: F811
) -> None:
    frozen = replace(PEOPLE, columns=(CITY,))
    source = Source("shop", "", ("PK",), (frozen,), reconcile=ReconcilePolicy(max_delete=1.0))
    harness = Harness(warehouse_url, source, tmp_path / "feed")
    harness.put_records([change("a", 1, ADA), change("b", 2, {"Email": "new@example.com"}, minute=120)])
    harness.run()

    hashed_email = Column("email_hash", ("Email",), mask=Mask.HASH)
    harness.source = replace(harness.source, targets=(replace(frozen, columns=(CITY, hashed_email)),))
    reconcile(harness, export([item("a", ADA)]))

    assert "example.com" not in all_that_is_kept(harness)
    assert harness.query(f"SELECT pk, email_hash FROM {harness.schema}.people ORDER BY pk") == [
        ("a", hashed("ada@example.com")),
        ("b", None),
    ]


def test_a_column_that_is_no_text_is_dropped_from_the_history_before_it_is_masked(
    people: Harness,
    export: Export,  # noqa: F811
) -> None:
    configure(people, EMAIL, replace(AGE, mask=Mask.HASH, type=None), CITY)
    with pytest.raises(SchemaConflict, match="the history needs") as refused:
        reconcile(people, export([item("a", ADA)]), rebuild=True)
    (statement,) = re.findall("ALTER TABLE .* DROP COLUMN [^,]*", str(refused.value.hint))
    by_hand(people, statement)

    reconcile(people, export([item("a", ADA)]), rebuild=True)

    assert history(people, "email, age") == [("old@example.com", None), ("ada@example.com", None)]
    assert people.query(f"SELECT age FROM {people.schema}.people") == [(hashed("36"),)]


def test_an_element_that_is_no_map_is_hidden_by_a_mask_that_comes_later(warehouse_url: str, tmp_path: Path) -> None:
    owner = Column("owner", ("Owner",), TEXT)
    cards = Target("cards", each=("Cards",), columns=(owner,), evolve=Evolve.FREEZE)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (cards,)), tmp_path / "feed")
    harness.put_records([change("a", 1, {"Cards": ["4111 1111", {"Number": "4222 2222", "Owner": "Ada"}]})])
    harness.run()
    assert "4111 1111" in all_that_is_kept(harness)

    masked = replace(cards, columns=(owner, Column("number", ("Number",), mask=Mask.REDACT)))
    harness.source = replace(harness.source, targets=(masked,))
    harness.put_records([change("b", 2, {"Cards": []})])
    harness.run()

    assert "4111 1111" not in all_that_is_kept(harness)
    assert "4222 2222" not in all_that_is_kept(harness)


def test_a_mask_on_an_element_says_nothing_of_what_the_item_around_it_has_under_the_name(
    warehouse_url: str, tmp_path: Path
) -> None:
    owner, around = Column("owner", ("Owner",), TEXT), Column("shop_email", ("Email",), TEXT, of_parent=True)
    lines = Target("lines", each=("Lines",), columns=(owner, around), evolve=Evolve.FREEZE)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (lines,)), tmp_path / "feed")
    harness.put_records([change("a", 1, {"Email": "shop@example.com", "Lines": [{"Owner": "Ada"}]})])
    harness.run()
    masked = replace(lines, columns=(owner, Column("email", ("Email",), mask=Mask.REDACT)))
    harness.source = replace(harness.source, targets=(masked,))

    assert [(d.where, d.stops) for d in plan(harness)] == [("lines.email", False), ("lines.shop_email", False)]
    harness.put_records([change("b", 2, {"Email": "two@example.com", "Lines": [{"Email": "ada@example.com"}]})])
    harness.run()
    rows = harness.query(f"SELECT email, shop_email FROM {harness.schema}.lines ORDER BY pk")
    assert rows == [(None, "shop@example.com"), ("redacted", "two@example.com")]


def test_a_sample_of_what_did_not_fit_goes_where_it_is_masked_now(warehouse_url: str, tmp_path: Path) -> None:
    number = Column("n", ("Email", "n"), INTEGER)
    target = replace(PEOPLE, columns=(number,), has_history=False)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    harness.put_records([change("a", 1, {"Email": {"n": "secret 4444"}})])
    harness.run()
    assert "secret 4444" in all_that_is_kept(harness)

    hidden = Column("m", ("Email",), mask=Mask.DROP)
    harness.source = replace(harness.source, targets=(replace(target, columns=(number, hidden)),))
    harness.put_records([change("b", 2, {"City": "Rome"})])
    harness.run()
    assert "secret 4444" not in all_that_is_kept(harness)


def test_a_mask_on_the_item_around_leaves_what_the_element_has_under_the_name() -> None:
    of_item = TypedColumn("name", ("Name",), TEXT, of_parent=True)
    of_element = TypedColumn("el", ("Name",), TEXT)
    stored = TargetSchema(("pk",), (of_item, of_element), key=("PK",))
    masked = TypedColumn("pm", ("Name",), TEXT, mask=Mask.HASH, of_parent=True)
    found = find_hidden(stored, replace(stored, columns=(replace(of_element, name="name"), masked)), {"name", "el"})
    assert found is not None
    assert found.columns == (HiddenColumn("name", Mask.DROP),)


def test_a_list_of_the_item_around_has_what_is_masked_in_its_elements(warehouse_url: str, tmp_path: Path) -> None:
    whole = Column("whole", ("Lines",), ColumnType(Kind.JSON), of_parent=True)
    lines = Target("lines", each=("Lines",), columns=(Column("owner", ("Owner",), TEXT), whole), evolve=Evolve.FREEZE)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (lines,)), tmp_path / "feed")
    harness.put_records([change("a", 1, {"Lines": [{"Owner": "Ada", "Mail": "ada@example.com"}]})])
    harness.run()
    masked = replace(lines, columns=(Column("owner", ("Owner",), TEXT), Column("mail", ("Mail",), mask=Mask.HASH)))
    harness.source = replace(harness.source, targets=(masked,))
    assert [(d.where, d.stops) for d in plan(harness)] == [("lines.whole", True), ("lines.mail", False)]


def test_a_mask_over_the_list_leaves_the_elements_that_are_rows(warehouse_url: str, tmp_path: Path) -> None:
    whole = Column("whole", ("Lines",), mask=Mask.HASH, of_parent=True)
    lines = Target("lines", each=("Lines",), columns=(Column("owner", ("Owner",), TEXT), whole))
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (lines,)), tmp_path / "feed")
    for number, place in enumerate(["Rome", "Oslo"], 1):
        harness.put_records([change("a", number, {"Lines": [{"Owner": "Ada", "City": place}]})])
        harness.run()
    assert harness.query(f"SELECT owner, city FROM {harness.schema}.lines") == [("Ada", "Oslo")]
    assert plan(harness) == []


def test_capitals_say_nothing_where_the_engine_ignores_them() -> None:
    stored = TargetSchema(("pk",), (TypedColumn("Email", ("Email",), TEXT),), key=("PK",))
    masked = TypedColumn("h", ("Email",), TEXT, mask=Mask.HASH)
    kept = replace(stored, columns=(TypedColumn("email", ("Email",), TEXT), masked))
    renamed = replace(stored, columns=(TypedColumn("EMAIL", ("Email",), TEXT, mask=Mask.HASH),))
    hidden = [find_hidden(stored, schema, {"Email"}, folded=str.lower) for schema in (kept, renamed)]
    assert [h and h.columns for h in hidden] == [(), (HiddenColumn("Email", Mask.HASH),)]
