"""Which entities share a table is decided over counted shapes."""

from __future__ import annotations

import pytest

from cdc_merge.infer.entities import Entities, find_entities
from cdc_merge.infer.facts import Shape
from cdc_merge.model import Condition

KEY = ("PK", "SK")


def shape(
    attributes: str,
    items: int,
    *,
    prefixes: tuple[str | None, ...] = (None, None),
    values: tuple[str | None, ...] = (),
) -> Shape:
    return Shape(frozenset({*KEY, *attributes.split()}), prefixes, values, items)


def wheres(found: Entities) -> list[tuple[Condition, ...]]:
    return [entity.where for entity in found.tables]


def equals(attribute: str, value: str) -> Condition:
    return Condition((attribute,), any_of=(value,))


CUSTOMER = shape("Type Username Name", 10, prefixes=("CUSTOMER#", "CUSTOMER#"), values=("Customer",))
ORDER = shape("Type OrderId Total", 30, prefixes=("CUSTOMER#", "#ORDER#"), values=("Order",))
EMAIL = shape("", 10, prefixes=("EMAIL#", "EMAIL#"), values=(None,))


def test_an_attribute_that_says_what_an_item_is_tells_entities_the_smaller_first() -> None:
    found = find_entities([ORDER, EMAIL, CUSTOMER], KEY, ["Type"])
    assert found.discriminator == "Type"
    assert wheres(found) == [(equals("Type", "Customer"),), (equals("Type", "Order"),)]


def test_items_that_are_nothing_but_keys_are_left_out() -> None:
    found = find_entities([ORDER, EMAIL, CUSTOMER], KEY, ["Type"])
    (left_out,) = found.left_out
    assert left_out.items == 10
    assert left_out.where == (
        Condition(("Type",), exists=False),
        Condition(("PK",), prefix="EMAIL#"),
        Condition(("SK",), prefix="EMAIL#"),
    )


def test_keys_of_secondary_indexes_and_the_discriminator_are_nothing_but_keys_too() -> None:
    lock = shape("Type GSI1PK GSI1SK", 5, prefixes=("LOCK#", "LOCK#"), values=("Lock",))
    found = find_entities([ORDER, CUSTOMER, lock], KEY, ["Type"])
    assert [e.label for e in found.left_out] == ["Lock"]


def test_items_without_the_discriminator_that_have_more_than_keys_are_an_entity_by_their_prefix() -> None:
    event = shape("At What", 4, prefixes=("EVENT#", None), values=(None,))
    found = find_entities([ORDER, CUSTOMER, event], KEY, ["Type"])
    assert (Condition(("Type",), exists=False), Condition(("PK",), prefix="EVENT#")) in wheres(found)


def test_a_status_of_one_entity_tells_no_entities() -> None:
    shapes = [
        shape("Status Total", 50, values=("PLACED",)),
        shape("Status Total ShippedAt", 50, values=("SHIPPED",)),
        shape("Status Total", 50, values=("CANCELLED",)),
    ]
    found = find_entities(shapes, KEY, ["Status"])
    assert wheres(found) == [()]


def test_an_unnamed_attribute_tells_entities_where_it_explains_what_items_have() -> None:
    shapes = [
        shape("what Username Name Email", 50, values=("c",)),
        shape("what OrderId Total", 40, values=("o",)),
        shape("what OrderId Total Note", 10, values=("o",)),
    ]
    found = find_entities(shapes, KEY, ["what"])
    assert found.discriminator == "what"
    assert len(found.tables) == 2


def test_a_type_that_explains_nothing_is_a_column() -> None:
    shapes = [shape("type Name", 50, values=("premium",)), shape("type Name", 50, values=("basic",))]
    assert find_entities(shapes, KEY, ["type"]).discriminator is None


def test_values_that_hardly_repeat_tell_no_entities() -> None:
    shapes = [shape(f"Username A{n}", 1, values=(f"user{n}",)) for n in range(20)]
    assert find_entities(shapes, KEY, ["Username"]).discriminator is None


@pytest.mark.parametrize("items", [1, 6])
def test_addresses_tell_no_entities_however_few_and_different_the_items_that_have_them(items: int) -> None:
    others = ("Name Plan", "Total Lines", "At What")
    shapes = [shape(f"Email {other}", items, values=(f"u{n}@example.com",)) for n, other in enumerate(others)]
    assert find_entities(shapes, KEY, ["Email"]).discriminator is None
    assert find_entities(shapes, KEY, ["type"]).discriminator is None


def test_each_value_of_an_unnamed_discriminator_is_shared_by_many_items() -> None:
    few = [shape("Owner Name Plan", 4, values=("ada",)), shape("Owner Total Lines", 3, values=("bob",))]
    assert find_entities(few, KEY, ["Owner"]).discriminator is None
    alone = [shape("Owner Name Plan", 40, values=("ada",)), shape("Owner Total Lines", 1, values=("bob",))]
    assert find_entities(alone, KEY, ["Owner"]).discriminator is None


def test_without_such_an_attribute_key_prefixes_tell_entities() -> None:
    profile = shape("Name Email", 10, prefixes=("USER#", "PROFILE"))
    order = shape("Total Items", 30, prefixes=("USER#", "ORDER#"))
    found = find_entities([profile, order], KEY, [])
    assert wheres(found) == [
        (Condition(("PK",), prefix="USER#"), equals("SK", "PROFILE")),
        (Condition(("PK",), prefix="USER#"), Condition(("SK",), prefix="ORDER#")),
    ]


def test_prefixes_of_items_that_are_all_alike_tell_no_entities() -> None:
    shapes = [shape("Name Email", 10, prefixes=(p, None)) for p in ("US#", "DE#", "FR#")]
    assert wheres(find_entities(shapes, KEY, [])) == [()]


def test_items_whose_keys_have_no_prefix_are_told_by_what_only_they_have() -> None:
    plain = shape("Name Email", 10)
    order = shape("Total Items", 30, prefixes=("ORDER#", None))
    assert (Condition(("Email",), exists=True),) in wheres(find_entities([plain, order], KEY, []))


def test_items_that_nothing_tells_from_the_others_are_counted() -> None:
    plain = shape("Total", 10)
    order = shape("Total Items Price", 30, prefixes=("ORDER#", None))
    user = shape("Name Email Phone", 30, prefixes=("USER#", None))
    found = find_entities([plain, order, user], KEY, [])
    assert (found.untold, len(found.tables)) == (10, 2)


def test_a_table_of_nothing_but_keys_is_one_table() -> None:
    links = [shape("", 10, prefixes=("USER#", "GROUP#")), shape("", 10, prefixes=("GROUP#", "USER#"))]
    assert wheres(find_entities(links, KEY, [])) == [()]
