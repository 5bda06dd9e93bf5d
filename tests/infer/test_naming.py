"""Names of what is proposed."""

from __future__ import annotations

import pytest

from cdc_merge.infer.entities import Entity
from cdc_merge.infer.naming import plural, singular, source_name, table_names
from cdc_merge.model import Condition

PLURALS = {"order_item": "order_items", "address": "addresses", "box": "boxes", "city": "cities", "day": "days"}


def test_plurals_are_made_and_undone() -> None:
    for word, many in PLURALS.items():
        assert (plural(word), singular(many)) == (many, word)
    assert plural("orders") == "orders"
    assert plural("größe2") == "größe2"


@pytest.mark.parametrize(
    ("location", "table", "tables", "name"),
    [
        ("s3://lake/firehose/ecommerce/", None, {}, "ecommerce"),
        ("s3://lake/firehose/", None, {"Shop-prod": 3}, "shop_prod"),
        ("s3://shop/firehose/", None, {}, "shop"),
        ("s3://lake/shop/2026/01/02/03/", None, {}, "shop"),
        ("s3://lake/shop/year=2026/month=01/", None, {}, "shop"),
        ("file:///var/data/shop/part-1.gz", None, {}, "shop"),
        ("s3://lake/AWSDynamoDB/01695-ab", "arn:aws:dynamodb:eu-central-1:1:table/Shop", {}, "shop"),
        ("s3://data/", None, {}, "dynamodb"),
    ],
)
def test_the_last_folder_that_says_something_names_the_source(
    location: str, table: str | None, tables: dict[str, int], name: str
) -> None:
    assert source_name(location, table, tables) == name


def named(*entities: tuple[str | None, list[str]]) -> list[str]:
    where = (Condition(("PK",), prefix="X#"),)
    return table_names(
        [Entity(label, where, ("X#",), 1, frozenset()) for label, _ in entities], [w for _, w in entities], "shop"
    )


def test_tables_are_named_by_labels_or_by_the_words_of_keys_and_never_twice() -> None:
    assert named(("OrderItem", ["x", ""])) == ["order_items"]
    assert named((None, ["customer", "order"])) == ["orders"]
    assert named((None, ["user", "profile"]), (None, ["user", "settings"])) == ["users", "settings"]
    assert named(("Order", []), ("order", []), ("ORDER", [])) == ["orders", "orders_2", "orders_3"]
    assert named(("!", []), ("?", []), ("O" * 300, [])) == ["items", "items_2", "o" * 56]
