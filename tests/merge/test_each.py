"""Rows from the elements of items, on every engine: replaced together with the item, deleted with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import SchemaConflict
from cdc_merge.model import Column, ColumnType, Evolve, Kind, Mask, Source, Target, Template
from tests.support.forgetting import all_that_is_kept
from tests.support.harness import Harness
from tests.support.order_lines import LINES, ORDERS, change, item, lines

SOURCE = Source("shop", "", ("PK",), (ORDERS, LINES))


@pytest.fixture
def shop(warehouse_url: str, tmp_path: Path) -> Harness:
    return Harness(warehouse_url, SOURCE, tmp_path / "feed")


def test_each_element_is_a_row_with_columns_of_its_own_and_of_the_item_around(shop: Harness) -> None:
    shop.put_records(
        [
            change("ORDER#1", 1, {"Status": "PLACED", "Items": [item("a", 2), item("b", Options={"Colour": "red"})]}),
            change("ORDER#2", 2, {"Status": "SHIPPED", "Items": []}),
            change("ORDER#3", 3, {"Items": [item("c", "many", Odd=True)]}),
            change("ORDER#4", 4, {}),
        ]
    )
    totals = shop.run()

    assert lines(shop) == [
        ("1", 0, "a", 2, None, "PLACED", None),
        ("1", 1, "b", 1, "red", "PLACED", '{"Options":{"M":{"Colour":{"S":"red"}}}}'),
        ("3", 0, "c", None, None, None, '{"Odd":{"BOOL":true},"Qty":{"S":"many"}}'),
    ]
    assert totals.counts.applied == 4
    assert totals.counts.targets["lines"] == {"inserted": 2, "updated": 0, "deleted": 0}


def test_a_null_where_columns_take_parts_of_an_attribute_is_as_good_as_none(warehouse_url: str, tmp_path: Path) -> None:
    """Also where no value has shown the column's type yet."""
    city, tag = Column("city", ("Address", "City"), ColumnType(Kind.TEXT)), Column("tag", ("Meta", "Tag"))
    order = Column("order_id", ("Ref",), template=Template(("ORDER#", "#", ""), 0))
    items = Target("items", columns=(city, tag, order), evolve=Evolve.FREEZE)
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (items,)), tmp_path / "feed")
    shop.put_records(
        [
            change("a", 1, {"Address": None, "Meta": None, "Ref": None}),
            change("b", 2, {"Address": {"City": None}, "Other": None}),
        ]
    )
    shop.run()

    found = dict(shop.query(f"SELECT pk, {shop.rescued} FROM {shop.schema}.items"))
    a, b = json.loads(found["a"]), json.loads(found["b"])
    assert a == {"Type": {"S": "Order"}}
    assert b == {**a, "Address": {"M": {"City": {"NULL": True}}}, "Other": {"NULL": True}}


def test_a_list_that_shrinks_reorders_or_vanishes_is_replaced_as_a_whole(shop: Harness) -> None:
    shop.put_records([change(f"ORDER#{n}", n, {"Items": [item("a"), item("b"), item("c")]}) for n in range(1, 5)])
    shop.run()
    shop.put_records(
        [
            change("ORDER#1", 11, {"Items": [item("c"), item("a")]}),
            change("ORDER#2", 12, {"Items": []}),
            change("ORDER#3", 13, {}),
            change("ORDER#4", 14),
        ]
    )
    shop.run()

    assert [(o, i, sku) for o, i, sku, *_ in lines(shop)] == [("1", 0, "c"), ("1", 1, "a")]
    assert set(shop.tombstones()) == {("ORDER#4",)}


def test_late_changes_lose_to_what_is_there(shop: Harness) -> None:
    shop.put_records([change("ORDER#1", 9, {"Items": [item("new")]}), change("ORDER#2", 9)])
    shop.run()
    shop.put_records(
        [change("ORDER#1", 5, {"Items": [item("old"), item("old")]}), change("ORDER#2", 5, {"Items": [item("x")]})]
    )

    assert shop.run().counts.stale == 2
    assert [row[2] for row in lines(shop)] == ["new"]


def test_an_empty_list_leaves_a_trace_where_no_other_target_takes_the_item(warehouse_url: str, tmp_path: Path) -> None:
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (LINES,)), tmp_path / "feed")
    shop.put_records([change("ORDER#1", 9, {"Items": []})])
    shop.run()
    assert set(shop.tombstones()) == {("ORDER#1",)}
    shop.put_records([change("ORDER#1", 5, {"Items": [item("old")]})])
    shop.run()
    assert lines(shop) == []


def test_maps_sets_scalars_and_changed_types_give_rows(warehouse_url: str, tmp_path: Path) -> None:
    target = Target("tags", each=("Tags",), columns=(Column("tag", (), ColumnType(Kind.TEXT)),), evolve=Evolve.FREEZE)
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    shop.put_records(
        [
            change("1", 1, {"Tags": {"b", "a"}}),
            change("2", 2, {"Tags": {"y": "Y", "x": "X"}}),
            change("3", 3, {"Tags": "alone"}),
            change("4", 4, {"Tags": ["l", None, {"m": 1}]}),
            change("5", 5, {"Tags": None}),
            change("6", 6, {"Tags": {2, 1}}),
        ]
    )
    shop.run()

    tag = shop.dialect.quote("tag")  # a word of Redshift's
    rows = shop.query(f"SELECT pk, _cdc_index, _cdc_key, {tag}, {shop.rescued} FROM {shop.schema}.tags ORDER BY 1, 2")
    assert rows == [
        ("1", 0, None, "a", None),
        ("1", 1, None, "b", None),
        ("2", 0, "x", "X", None),
        ("2", 1, "y", "Y", None),
        ("3", 0, None, "alone", None),
        ("4", 0, None, "l", None),
        ("4", 1, None, None, None),  # NULL is as good as none
        ("4", 2, None, None, '{"m":{"N":"1"}}'),
        ("6", 0, None, "1", None),
        ("6", 1, None, "2", None),
    ]


def test_an_element_may_be_kept_whole_and_parts_of_it_masked(warehouse_url: str, tmp_path: Path) -> None:
    columns = (Column("line", (), ColumnType(Kind.JSON)), Column("sku", ("Sku",), ColumnType(Kind.TEXT)))
    hidden = (Column("sku", ("Sku",), mask=Mask.REDACT), Column("quantity", ("Qty",), ColumnType(Kind.INTEGER)))
    source = Source(
        "shop",
        "",
        ("PK",),
        (
            Target("whole", each=("Items",), columns=columns, evolve=Evolve.FREEZE),
            Target("hidden", each=("Order", "Items"), columns=hidden, evolve=Evolve.FREEZE),
        ),
    )
    shop = Harness(warehouse_url, source, tmp_path / "feed")
    elements = [item("secret", 2, Extra={"a": 1})]
    shop.put_records([change("1", 1, {"Items": elements, "Order": {"Items": elements}})])
    shop.run()

    ((line, sku, rescued),) = shop.query(f"SELECT {shop.json_text('line')}, sku, _cdc_rescued FROM {shop.schema}.whole")
    assert (json.loads(line), sku, rescued) == ({"Sku": "secret", "Qty": 2, "Extra": {"a": 1}}, "secret", None)
    hidden_row = shop.query(f"SELECT sku, quantity, {shop.rescued} FROM {shop.schema}.hidden")
    assert hidden_row == [("redacted", 2, '{"Extra":{"M":{"a":{"N":"1"}}}}')]


@pytest.mark.parametrize("cards", [["4111 1111", ["4111 1111"], {"Other": "seen"}], "4111 1111", {"4111 1111"}])
def test_an_element_that_is_no_map_does_not_show_what_a_mask_hides_in_maps(
    warehouse_url: str, tmp_path: Path, cards: Any
) -> None:
    columns = (Column("number", ("Number",), mask=Mask.HASH), Column("owner", ("Owner",), ColumnType(Kind.TEXT)))
    target = Target("cards", each=("Cards",), columns=columns, evolve=Evolve.FREEZE)
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    shop.put_records([change("1", 1, {"Cards": cards})])
    shop.run()

    rows = shop.query(f"SELECT number, {shop.rescued} FROM {shop.schema}.cards ORDER BY _cdc_index")
    assert len(rows) == (len(cards) if isinstance(cards, list) else 1)
    assert "4111 1111" not in all_that_is_kept(shop)
    assert ("seen" in str(rows)) == isinstance(cards, list)


def test_new_attributes_of_elements_become_columns_where_that_is_asked_for(warehouse_url: str, tmp_path: Path) -> None:
    target = Target("lines", each=("Items",), columns=(Column("sku", ("Sku",)),), evolve=Evolve.ADD)
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    shop.put_records([change("1", 1, {"Items": [item("a")]})])
    shop.run()
    shop.put_records([change("2", 2, {"Items": [item("b", 3, Gift=True)]})])
    shop.run()

    assert shop.query(f"SELECT sku, CAST(qty AS integer), gift FROM {shop.schema}.lines ORDER BY pk") == [
        ("a", 1, None),
        ("b", 3, True),
    ]


def test_pieces_of_an_element_itself_are_held_if_each_hole_has_a_column(warehouse_url: str, tmp_path: Path) -> None:
    template = ("SIZE#", "#", "")
    both = (Column("size", (), template=Template(template, 0)), Column("colour", (), template=Template(template, 1)))
    source = Source(
        "shop",
        "",
        ("PK",),
        (
            Target("pairs", each=("Tags",), columns=both, evolve=Evolve.FREEZE),
            Target("half", each=("Tags",), columns=both[:1], evolve=Evolve.FREEZE),
        ),
    )
    shop = Harness(warehouse_url, source, tmp_path / "feed")
    shop.put_records([change("1", 1, {"Tags": ["SIZE#L#red", "odd"]})])
    shop.run()

    odd, whole = '{".":{"S":"odd"}}', '{".":{"S":"SIZE#L#red"}}'
    assert shop.query(f"SELECT size, colour, {shop.rescued} FROM {shop.schema}.pairs ORDER BY _cdc_index") == [
        ("L", "red", None),
        (None, None, odd),
    ]
    assert shop.query(f"SELECT size, {shop.rescued} FROM {shop.schema}.half ORDER BY _cdc_index") == [
        ("L", whole),
        (None, odd),
    ]


@pytest.mark.parametrize("mask", list(Mask))
@pytest.mark.parametrize("evolve", [Evolve.FREEZE, Evolve.ADD])
def test_a_masked_element_is_nowhere_in_the_warehouse(
    warehouse_url: str, tmp_path: Path, mask: Mask, evolve: Evolve
) -> None:
    target = Target("tags", each=("Tags",), columns=(Column("tag", (), mask=mask),), evolve=evolve)
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    shop.put_records([change("1", 1, {"Tags": ["secret", {"Secret": "secret"}, None]})])
    shop.run()

    rows = shop.query(f"SELECT * FROM {shop.schema}.tags ORDER BY _cdc_index")
    assert len(rows) == 3
    assert "secret" not in repr(rows)


def test_a_new_attribute_of_an_element_stops_the_source_where_that_is_asked_for(shop: Harness) -> None:
    shop.source = replace(shop.source, targets=(replace(LINES, evolve=Evolve.FAIL),))
    shop.put_records([change("ORDER#1", 1, {"Items": [{"Sku": "a", "Gift": True}]})])

    with pytest.raises(SchemaConflict, match=r"Gift \(record 1 of "):
        shop.run()


def test_only_maps_have_attributes_that_become_columns(warehouse_url: str, tmp_path: Path) -> None:
    columns = (Column("tag", (), ColumnType(Kind.TEXT)),)
    target = Target("tags", each=("Tags",), columns=columns, evolve=Evolve.ADD)
    shop = Harness(warehouse_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    shop.put_records([change("1", 1, {"Tags": ["a", True, {"Size": "L"}, [1]]})])
    shop.run()

    tag = shop.dialect.quote("tag")
    rows = shop.query(f"SELECT {tag}, size, {shop.rescued} FROM {shop.schema}.tags ORDER BY _cdc_index")
    assert rows == [("a", None, None), ("true", None, None), (None, "L", None), (None, None, '{".":{"L":[{"N":"1"}]}}')]
    assert {name for name in shop.columns("tags") if not name.startswith("_cdc_")} == {"pk", "tag", "size"}


def test_a_key_that_the_engine_cannot_hold_is_rescued(postgres_url: str, tmp_path: Path) -> None:
    columns = (Column("sku", ("Sku",), ColumnType(Kind.TEXT)),)
    target = Target("lines", each=("Items",), columns=columns, evolve=Evolve.FREEZE)
    shop = Harness(postgres_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    shop.put_records([change("1", 1, {"Items": {"a\0b": item("x"), "c\0": {"Sku": "y"}, "d": {"Sku": "z"}}})])
    shop.run()

    query = f"SELECT _cdc_key, sku, CAST(_cdc_rescued AS text) FROM {shop.schema}.lines ORDER BY _cdc_index"
    assert [(key, sku, rescued and json.loads(rescued)) for key, sku, rescued in shop.query(query)] == [
        (None, "x", {"_cdc_key": {"S": "a\0b"}, "Qty": {"N": "1"}}),
        (None, "y", {"_cdc_key": {"S": "c\0"}}),
        ("d", "z", None),
    ]


def test_an_attribute_of_an_element_that_is_called_like_the_items_key_gets_a_column_of_its_own(
    warehouse_url: str, tmp_path: Path
) -> None:
    target = Target("lines", columns=(), each=("Items",), evolve=Evolve.ADD)
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (target,)), tmp_path / "feed")
    harness.put_records([change("ORDER#1", 1, {"Items": [{"PK": "mine", "Sku": "a"}]})])
    harness.run()

    columns = [c.name for c in harness.rows()["lines"][0].columns]
    own = next(c for c in columns if c.startswith("pk_"))
    assert harness.query(f"SELECT pk, {own}, sku FROM {harness.schema}.lines") == [("ORDER#1", "mine", "a")]


def test_an_element_keeps_what_is_named_like_the_items_key_or_like_what_where_asks_for(shop: Harness) -> None:
    """Of the item both are known without a column; an element's own values of these names are others."""
    shop.put_records([change("ORDER#1", 1, {"Items": [item("a", PK="mine", Type="Gift")]})])
    shop.run()

    assert [row[-1] for row in lines(shop)] == ['{"PK":{"S":"mine"},"Type":{"S":"Gift"}}']
