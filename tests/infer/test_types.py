"""Which type a column gets is decided over counted values."""

from __future__ import annotations

import pytest

from cdc_merge.infer.facts import Numbers, Texts, Values
from cdc_merge.infer.types import choose_type, looks_personal
from cdc_merge.model import ColumnType, Kind, TimeUnit


def numbers(
    least: str, greatest: str, *, whole_digits: int = 0, decimals: int = 0, integers: int = 9, odd: int = 0
) -> Numbers:
    digits = whole_digits or max(len(v.partition(".")[0].lstrip("-")) for v in (least, greatest))
    return Numbers(9, least, greatest, digits, decimals, integers, odd, float(least), float(greatest))


def of_numbers(found: Numbers, attribute: str = "Amount") -> ColumnType | None:
    return choose_type(Values((attribute,), {"N": found.count}, numbers=found)).type


def of_texts(**counts: int) -> ColumnType | None:
    texts = Texts(**{"count": 9, "longest": 20, "distinct": 9, **counts})
    return choose_type(Values(("Text",), {"S": 9}, texts=texts)).type


def of_tags(**tags: int) -> ColumnType | None:
    return choose_type(Values(("Some",), tags)).type


def test_whole_numbers_of_64_bits_are_integers() -> None:
    assert of_numbers(numbers("-5", "9000000000")) == ColumnType(Kind.INTEGER)


def test_larger_whole_numbers_are_decimals_without_decimals() -> None:
    found = of_numbers(numbers("1", "10000000000000000000", integers=8))
    assert found == ColumnType(Kind.NUMERIC, 24, 0)


@pytest.mark.parametrize(
    ("greatest", "decimals", "wanted"),
    [
        ("9.5", 1, (12, 2)),  # money: DynamoDB cuts zeros at the end
        ("1009.98", 2, (12, 2)),
        ("12345678.25", 2, (14, 2)),  # four more digits than were seen
        ("0.123", 3, (15, 5)),
    ],
)
def test_decimals_get_head_room_on_both_sides_of_the_point(
    greatest: str, decimals: int, wanted: tuple[int, int]
) -> None:
    found = of_numbers(numbers("0", greatest, decimals=decimals, integers=1))
    assert found == ColumnType(Kind.NUMERIC, *wanted)


def test_head_room_ends_at_38_digits() -> None:
    found = of_numbers(numbers("0", "1", whole_digits=20, decimals=17, integers=1))
    assert found == ColumnType(Kind.NUMERIC, 38, 17)


def test_more_than_38_digits_together_are_text_which_holds_them_exactly() -> None:
    assert of_numbers(numbers("0", "1", whole_digits=30, decimals=20, integers=1)) == ColumnType(Kind.TEXT)
    assert of_numbers(numbers("0", "1", odd=1)) == ColumnType(Kind.TEXT)


@pytest.mark.parametrize(
    ("attribute", "least", "greatest", "unit"),
    [
        ("expiresAt", "1700000000", "1800000000", TimeUnit.SECONDS),
        ("ttl", "1700000000", "1700000001", TimeUnit.SECONDS),
        ("CreatedAt", "1700000000000", "1800000000000", TimeUnit.MILLISECONDS),
        ("event_time", "1700000000000000", "1800000000000000", TimeUnit.MICROSECONDS),
    ],
)
def test_numbers_in_the_range_of_moments_under_a_name_of_time_are_timestamps(
    attribute: str, least: str, greatest: str, unit: TimeUnit
) -> None:
    assert of_numbers(numbers(least, greatest), attribute) == ColumnType(Kind.TIMESTAMP, unit=unit)


def test_a_name_alone_or_a_range_alone_makes_no_timestamp() -> None:
    assert of_numbers(numbers("60", "3600"), "ttl") == ColumnType(Kind.INTEGER)
    assert of_numbers(numbers("1700000000", "1800000000"), "Views") == ColumnType(Kind.INTEGER)
    assert of_numbers(numbers("0", "1800000000"), "createdAt") == ColumnType(Kind.INTEGER)


def test_seconds_may_have_decimals_as_far_as_microseconds_go() -> None:
    fine = numbers("1700000000.5", "1800000000.5", decimals=6, integers=0)
    finer = numbers("1700000000.5", "1800000000.5", decimals=7, integers=0)
    assert of_numbers(fine, "seenAt") == ColumnType(Kind.TIMESTAMP, unit=TimeUnit.SECONDS)
    assert of_numbers(finer, "seenAt") == ColumnType(Kind.NUMERIC, 23, 9)


def test_text_is_a_moment_or_a_date_only_if_all_of_it_is() -> None:
    assert of_texts(times=9) == ColumnType(Kind.TIMESTAMP)
    assert of_texts(times=9, dates=9) == ColumnType(Kind.DATE)
    assert of_texts(times=9, dates=4) == ColumnType(Kind.TIMESTAMP)
    assert of_texts(times=8) == ColumnType(Kind.TEXT)


def test_times_without_a_zone_are_told_to_be_read_as_utc() -> None:
    choice = choose_type(Values(("At",), {"S": 9}, texts=Texts(9, 19, 9, times=9, zoneless=9)))
    assert choice.note is not None
    assert "UTC" in choice.note


def test_each_type_of_dynamodb_has_its_own() -> None:
    assert of_tags(BOOL=1) == ColumnType(Kind.BOOLEAN)
    assert of_tags(B=1) == ColumnType(Kind.BINARY)
    for tag in ("M", "L", "SS", "NS", "BS"):
        assert of_tags(**{tag: 1}) == ColumnType(Kind.JSON)


def test_null_beside_another_type_changes_nothing_and_alone_decides_nothing() -> None:
    assert of_tags(BOOL=1, NULL=5) == ColumnType(Kind.BOOLEAN)
    assert of_tags(NULL=5) is None


def test_several_types_get_one_that_holds_them_all() -> None:
    assert of_tags(S=5, N=1, BOOL=1) == ColumnType(Kind.TEXT)
    assert of_tags(S=5, M=1) == ColumnType(Kind.JSON)
    assert of_tags(M=5, L=1) == ColumnType(Kind.JSON)


def test_names_of_personal_data_are_known() -> None:
    personal = ("Email address", "phoneNumber", "home_phone", "LastName", "ipAddress", "Salary")
    assert all(map(looks_personal, personal))
    assert not any(map(looks_personal, ("TotalSpent", "NumberItems", "Price", "CreatedAt")))
