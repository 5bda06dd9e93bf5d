"""Which attributes are the key is decided over counted facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cdc_merge.infer.facts import KeyCandidate
from cdc_merge.infer.keys import find_key, given_key, order_of


def candidate(name: str, distinct: int = 1, tag: str = "S") -> KeyCandidate:
    return KeyCandidate(name, tag, distinct)


def unique(*sets: set[str]) -> Callable[[Sequence[str]], bool]:
    return lambda names: any(found <= set(names) for found in sets)


def test_a_single_attribute_of_keys_is_the_key() -> None:
    assert order_of([candidate("UserId")]).attributes == ("UserId",)


def test_names_tell_which_is_the_partition_key() -> None:
    for partition, sort in (("PK", "SK"), ("pk", "sk"), ("hash_key", "range_key"), ("DeviceId", "CreatedAt")):
        assert order_of([candidate(sort, 1), candidate(partition, 9)]).attributes == (partition, sort)


def test_without_telling_names_the_one_with_fewer_values_is_the_partition_key() -> None:
    choice = order_of([candidate("Order", 900), candidate("Customer", 30)])
    assert choice.attributes == ("Customer", "Order")
    assert choice.why.startswith("a guess")


def test_names_such_as_pk_and_sk_come_before_any_other_unique_attribute() -> None:
    candidates = [candidate("Id", 10), candidate("PK", 5), candidate("SK", 8)]
    found = find_key(candidates, items=10, is_unique=unique({"Id"}, {"PK", "SK"}))
    assert found is not None
    assert found.attributes == ("PK", "SK")


def test_named_attributes_that_are_not_unique_together_are_no_key() -> None:
    candidates = [candidate("Id", 10), candidate("PK", 2), candidate("SK", 2)]
    found = find_key(candidates, items=10, is_unique=unique({"Id"}))
    assert found is not None
    assert found.attributes == ("Id",)


def test_the_smallest_unique_set_is_the_key_and_ids_come_first() -> None:
    candidates = [candidate("Name", 10), candidate("UserId", 10), candidate("City", 3)]
    found = find_key(candidates, items=10, is_unique=unique({"Name"}, {"UserId"}))
    assert found is not None
    assert found.attributes == ("UserId",)


def test_two_attributes_that_are_unique_together_only_are_the_key_partition_key_first() -> None:
    candidates = [candidate("Timestamp", 5, "N"), candidate("Device", 3), candidate("Level", 2)]
    found = find_key(candidates, items=10, is_unique=unique({"Timestamp", "Device"}))
    assert found is not None
    assert (found.attributes, found.tags) == (("Device", "Timestamp"), ("S", "N"))


def test_an_attribute_of_another_type_is_no_key() -> None:
    assert find_key([candidate("Tags", 10, "SS")], items=10, is_unique=unique({"Tags"})) is None


def test_a_key_that_not_every_item_has_cannot_be_given() -> None:
    assert given_key(["A", "B"], [candidate("A")]) is None
    given = given_key(["B", "A"], [candidate("A"), candidate("B", 1, "N")])
    assert given is not None
    assert (given.attributes, given.tags) == (("B", "A"), ("N", "S"))
