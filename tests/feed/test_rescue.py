"""What columns cannot hold is kept as it was; what there is, is counted."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_merge.feed.plain import MALFORMED, attributes_seen
from cdc_merge.feed.rescue import as_six_characters, rescue

IMAGE = '{"b":{"N":"1.50"},"a":{"S":"x\\u0000é"},"gone":{"NULL":true}}'


def rescued(image: str | None, *held: str, failed: list[str] | None = None, base64_layers: int = 1) -> str | None:
    lists = pa.array([failed], pa.list_(pa.string()))
    result: list[str | None] = rescue(
        pa.array([image], pa.string()), held=frozenset(held), failed=lists, base64_layers=base64_layers
    ).to_pylist()
    return result[0]


def test_attributes_without_a_column_are_rescued_as_given_in_order_of_their_names() -> None:
    assert rescued(IMAGE, "gone") == '{"a":{"S":"x\\u0000é"},"b":{"N":"1.50"}}'


def test_nothing_is_rescued_where_columns_hold_everything() -> None:
    assert rescued(IMAGE, "a", "b", "gone", "more") is None
    assert rescued("{}") is None
    assert rescued(None) is None


def test_an_attribute_whose_value_its_column_could_not_take_is_rescued() -> None:
    assert rescued(IMAGE, "a", "b", "gone", failed=["b", "absent"]) == '{"b":{"N":"1.50"}}'


def test_null_needs_no_rescue_unless_it_has_no_column() -> None:
    assert rescued(IMAGE, "a", "b", "gone", failed=["gone"]) is None
    assert rescued(IMAGE, "a", "b") == '{"gone":{"NULL":true}}'


def test_names_sort_by_their_utf_8_bytes_and_are_escaped() -> None:
    image = {"\U00010000": {"S": ""}, "\ue000": {"S": ""}, '"': {"S": ""}, "\x00": {"S": ""}}
    text = rescued(json.dumps(image))
    assert text is not None
    assert list(json.loads(text)) == ["\x00", '"', "\ue000", "\U00010000"]


def test_each_row_has_its_own_failed_attributes() -> None:
    images = pa.chunked_array([[IMAGE], [IMAGE, None]], pa.string())
    failed = pa.chunked_array([[["a"]], [None, None]], pa.list_(pa.string()))
    held = frozenset({"a", "b", "gone"})

    assert rescue(images, held=held, failed=failed).to_pylist() == ['{"a":{"S":"x\\u0000é"}}', None, None]
    assert rescue(images, held=held).to_pylist() == [None, None, None]


def test_binary_of_a_kinesis_feed_is_rescued_with_one_layer_wherever_it_stands() -> None:
    twice, once = "Y0d4aFkyVm9iMnhrWlhKZllubDBaWE09", "cGxhY2Vob2xkZXJfYnl0ZXM="
    image = (
        '{"B":{"B":"%s"},"m":{"M":{"B":{"S":"%s"},"x":{"BS":["%s","%s"]}}},'
        '"s":{"S":"{\\"B\\":\\"%s\\"}"},"w":{"B":"*"}}'
    )
    assert rescued(image % ((twice,) * 5), base64_layers=2) == image % (once, twice, once, once, twice)
    assert rescued(image % ((twice,) * 5), base64_layers=1) == image % ((twice,) * 5)


def test_an_image_of_ten_thousand_levels_is_rescued() -> None:
    deep = '{"L":[' * 10_000 + '{"S":",}"}' + "]}" * 10_000
    assert rescued('{"b":%s,"a":{"S":"x"}}' % deep) == '{"a":{"S":"x"},"b":%s}' % deep  # noqa: UP031
    assert rescued('{"b":%s,"a":{"S":"x"}}' % deep, "b") == '{"a":{"S":"x"}}'  # noqa: UP031
    assert attributes_seen(pa.array(['{"b":%s}' % deep])) == {("b", "L"): 1}  # noqa: UP031


@pytest.mark.parametrize("text", ["", "[1]", "null", '"a"', "{", '{"a":', "[" * 20_000, '{"a":' * 20_000])
def test_what_is_no_object_has_no_attributes(text: str) -> None:
    assert rescued(text) is None
    assert attributes_seen(pa.array([text])) == {}


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('{}[]":,\\SNMLBaéx1 '), max_size=20))
def test_no_text_raises(text: str) -> None:
    for layers in (1, 2):
        result = rescued(text, "a", failed=["a"], base64_layers=layers)
        assert result is None or isinstance(json.loads(result), dict)
    attributes_seen(pa.array([text]))


NAMES = st.text(st.characters(codec="utf-8"), max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, st.builds(lambda x: {"S": x}, NAMES), max_size=5), st.sets(NAMES, max_size=3))
def test_held_and_rescued_together_are_the_image(image: dict[str, Any], held: set[str]) -> None:
    left = rescued(json.dumps(image, ensure_ascii=False), *held)
    assert (json.loads(left) if left else {}) == {name: image[name] for name in image.keys() - held}


def test_attributes_are_counted_by_type() -> None:
    images = pa.array(
        [
            '{"a":{"S":"x"},"b":{"SS":["x"]}}',
            '{"a":{"S":"y"},"c":{"M":{"S":{"N":"1"}}}}',
            '{"a":{"N":"1"},"b":{"S":"x","N":"1"},"c":{"M":{"S":1}}}',
            '{ "a" : { "NULL" : true } , "b": 1}',
            None,
        ]
    )
    assert attributes_seen(images) == {
        ("a", "S"): 2,
        ("a", "N"): 1,
        ("a", "NULL"): 1,
        ("b", "SS"): 1,
        ("b", MALFORMED): 2,
        ("c", "M"): 1,
        ("c", MALFORMED): 1,
    }


def test_many_images_are_counted_once_each() -> None:
    images = pa.chunked_array([[f'{{"a":{{"N":"{number}"}}}}' for number in range(3_000)]] * 3)
    assert attributes_seen(images) == {("a", "N"): 9_000}
    assert attributes_seen(images.slice(0, 0)) == {}


def test_the_same_item_written_in_another_order_is_rescued_as_the_same_text() -> None:
    one = '{"m":{"M":{"b":{"SS":["y","x"]},"a":{"L":[{"NS":["10","9"]}]}}}}'
    other = '{"m":{"M":{"a":{"L":[{"NS":["9","10"]}]},"b":{"SS":["x","y"]}}}}'

    assert rescued(one) == rescued(other) == other


def test_what_no_dynamodb_writes_keeps_its_order() -> None:
    for odd in ('{"m":{"M":{"a":1,"a":2}}}', '{"m":{"NS":["b","a"]}}'):
        assert rescued(odd) == odd


def test_null_needs_no_rescue_where_columns_take_parts_of_the_attribute() -> None:
    images = pa.array([IMAGE, '{"gone":{"M":{}}}'], pa.string())
    left = rescue(images, held=frozenset({"a", "b"}), touched=frozenset({"gone"}))
    assert left.to_pylist() == [None, '{"gone":{"M":{}}}']


@pytest.mark.parametrize(
    ("rescued", "spelled"),
    [
        (None, None),
        (r'{"a":{"S":"x"}}', r'{"a":{"S":"x"}}'),
        (r'{"a":{"S":"\u0000\n\u0000"}}', r'{"a":{"S":"\\u0000\n\\u0000"}}'),
        (r'{"a":{"S":"\\u0000"}}', r'{"a":{"S":"\\u0000"}}'),
        (r'{"a":{"S":"\\\u0000"}}', r'{"a":{"S":"\\\\u0000"}}'),
        (r'{"\u0000":{"N":"0"}}', r'{"\\u0000":{"N":"0"}}'),
    ],
)
def test_a_nul_is_spelled_out_and_a_backslash_before_it_is_none_of_it(rescued: str | None, spelled: str | None) -> None:
    assert as_six_characters(pa.array([rescued], pa.string())).to_pylist() == [spelled]
