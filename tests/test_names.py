"""Column names: the snake_case form and the rule for attributes that meet in one name."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_merge.names import assign, choose_column, snake_case

NONE: frozenset[str] = frozenset()


def tail(attribute: str) -> str:
    return "_" + sha256(attribute.encode()).hexdigest()[:8]


@pytest.mark.parametrize(
    ("attribute", "column"),
    [
        ("OrderId", "order_id"),
        ("Email address", "email_address"),
        ("PK", "pk"),
        ("GSI1PK", "gsi1pk"),
        ("TotalSpent", "total_spent"),
        ("HTTPServerID", "http_server_id"),
        ("userID", "user_id"),
        ("order-id", "order_id"),
        ("expiresAt", "expires_at"),
        ("orderIDs", "order_ids"),
        ("IDsOfOrders", "ids_of_orders"),
        ("line2Text", "line2_text"),
        ("S3Bucket", "s3_bucket"),
        ("already_snake", "already_snake"),
        ("__typename", "typename"),
        ("a..b//c", "a_b_c"),
        ("2fa", "2fa"),
        ("Straße", "straße"),
        ("ÉtatCivil", "état_civil"),
        ("E\u0301tat", "état"),
        ("顧客名", "顧客名"),
        ("हिन्दी", "हिन्दी"),
        ("m²", "m"),
        ("_cdc_position", "cdc_position"),
        ("€", ""),
        ("", ""),
    ],
)
def test_an_attribute_becomes_snake_case(attribute: str, column: str) -> None:
    assert snake_case(attribute) == column


@given(st.text(max_size=30))
def test_snake_case_of_a_snake_case_name_changes_nothing(attribute: str) -> None:
    once = snake_case(attribute)
    assert snake_case(once) == once


def test_a_free_name_is_used_as_it_is() -> None:
    assert choose_column("Price", taken={"pk": "PK"}, reserved=NONE, max_bytes=63) == "price"


@pytest.mark.parametrize("taken", [{"price": "price"}, {"Price": "Cost"}])
def test_a_taken_name_in_any_case_gets_the_suffix_of_its_attribute(taken: dict[str, str]) -> None:
    assert choose_column("Price", taken=taken, reserved=NONE, max_bytes=63) == "price" + tail("Price")


def test_a_reserved_name_gets_a_suffix_in_any_case() -> None:
    name = choose_column("ROWID", taken={}, reserved=frozenset({"RowId"}), max_bytes=None)
    assert name == "rowid" + tail("ROWID")


def test_an_attribute_without_letters_or_digits_is_called_attribute() -> None:
    assert choose_column("€", taken={}, reserved=NONE, max_bytes=None) == "attribute" + tail("€")


def test_a_long_name_is_cut_between_characters() -> None:
    name = choose_column("é" * 40, taken={}, reserved=NONE, max_bytes=64)
    assert name == "é" * 27 + tail("é" * 40)
    assert choose_column("é" * 32, taken={}, reserved=NONE, max_bytes=64) == "é" * 32


def test_a_column_that_already_has_the_suffixed_name_is_not_overwritten() -> None:
    taken = {"price": "price", "price" + tail("Price"): "x"}
    name = choose_column("Price", taken=taken, reserved=NONE, max_bytes=63)
    assert name.startswith("price_") and name not in taken


def test_of_two_attributes_the_one_spelled_like_the_column_gets_it() -> None:
    names = assign(["Price", "PRICE", "price"], taken={}, reserved=NONE, max_bytes=63)
    assert names == {
        "price": "price",
        "PRICE": "price" + tail("PRICE"),
        "Price": "price" + tail("Price"),
    }


def test_of_two_attributes_spelled_otherwise_byte_order_decides() -> None:
    names = assign(["Price", "PRICE"], taken={}, reserved=NONE, max_bytes=63)
    assert names == {"PRICE": "price", "Price": "price" + tail("Price")}


def test_an_attribute_that_has_a_column_keeps_it() -> None:
    names = assign(["Price", "price"], taken={"cost": "Price"}, reserved=NONE, max_bytes=63)
    assert names == {"Price": "cost", "price": "price"}


def test_a_column_that_holds_a_part_of_an_attribute_does_not_stand_for_it() -> None:
    names = assign(["Address"], taken={"city": ""}, reserved=NONE, max_bytes=63)
    assert names == {"Address": "address"}


def test_a_suffixed_name_never_takes_the_name_of_an_attribute_spelled_so() -> None:
    spelled = "price" + tail("Price")
    names = assign(["Price", "price", spelled], taken={}, reserved=NONE, max_bytes=63)
    assert names[spelled] == spelled and names["price"] == "price"
    reserved_only = assign(["Rowid", "rowid" + tail("Rowid")], taken={}, reserved=frozenset({"rowid"}), max_bytes=63)
    assert reserved_only["rowid" + tail("Rowid")] == "rowid" + tail("Rowid")


def test_half_a_surrogate_pair_still_gets_a_column() -> None:
    assert assign(["\ud800", "a"], taken={}, reserved=NONE, max_bytes=63)["\ud800"].startswith("attribute_")


# A small alphabet, so that names meet often.
ATTRIBUTES = st.lists(st.text("aAbB_ .é€1", min_size=1, max_size=12), unique=True, max_size=12)
RESERVED = frozenset({"rowid", "ab", "a_b"})


@settings(max_examples=200, deadline=None)
@given(ATTRIBUTES, st.randoms(use_true_random=False), st.sampled_from([None, 20, 12]))
def test_names_are_distinct_fit_and_do_not_depend_on_order(attributes, random, max_bytes) -> None:
    names = assign(attributes, taken={}, reserved=RESERVED, max_bytes=max_bytes)
    shuffled = random.sample(attributes, len(attributes))
    assert names == assign(shuffled, taken={}, reserved=RESERVED, max_bytes=max_bytes)
    assert set(names) == set(attributes)
    assert len({n.lower() for n in names.values()}) == len(attributes)
    for name in names.values():
        assert name and name.lower() not in RESERVED and not name.startswith("_cdc_")
        assert max_bytes is None or len(name.encode()) <= max_bytes


@settings(max_examples=200, deadline=None)
@given(ATTRIBUTES, st.data())
def test_a_name_given_once_is_never_changed(attributes, data) -> None:
    cut = data.draw(st.integers(0, len(attributes)))
    first = assign(attributes[:cut], taken={}, reserved=RESERVED, max_bytes=20)
    taken = {column: attribute for attribute, column in first.items()}
    later = assign(attributes, taken=taken, reserved=RESERVED, max_bytes=20)
    assert {a: later[a] for a in first} == first
    assert len({n.lower() for n in later.values()}) == len(attributes)
