"""What is read from ARNs of tables, and of what is below them."""

from __future__ import annotations

import pytest

from cdc_merge.arn import Arn, are_same_table, parse_arn, table_name

TABLE = "arn:aws:dynamodb:eu-central-1:123456789012:table/shop"


@pytest.mark.parametrize(
    ("text", "arn"),
    [
        (TABLE, Arn("eu-central-1", "123456789012", "shop", "")),
        (
            f"{TABLE}/stream/2026-01-01T00:00:00.000",
            Arn("eu-central-1", "123456789012", "shop", "stream/2026-01-01T00:00:00.000"),
        ),
        (f"{TABLE}/export/01-ab", Arn("eu-central-1", "123456789012", "shop", "export/01-ab")),
        ("arn:aws:dynamodb:::table/shop", Arn("", "", "shop", "")),
        ("arn:shop", Arn("", "", "shop", "")),
        ("shop", None),
    ],
)
def test_an_arn_says_of_which_table_it_is(text: str, arn: Arn | None) -> None:
    assert parse_arn(text) == arn
    assert table_name(text) == "shop"


@pytest.mark.parametrize(
    ("below", "export"),
    [("/export/01-ab", "01-ab"), ("", None), ("/stream/x", None), ("/export/", None), ("/export/a/b", None)],
)
def test_only_the_arn_of_an_export_has_an_id(below: str, export: str | None) -> None:
    arn = parse_arn(TABLE + below)
    assert arn and arn.export == export


def test_tables_of_two_accounts_are_two() -> None:
    assert are_same_table(TABLE, TABLE.replace("eu-central-1", "us-east-1"))
    assert are_same_table("shop", TABLE)
    assert not are_same_table(TABLE, TABLE.replace("123456789012", "210987654321"))
    assert not are_same_table(TABLE, "shops")
