"""Typed values and numbers made plain: the rules, the corners, and two roads that agree."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_merge.feed import plain
from cdc_merge.feed.plain import plain_json, plain_numbers
from cdc_merge.feed.typed import plain_value
from tests.support.decoding import READERS, choose


@pytest.fixture(autouse=True, scope="module", params=READERS)
def reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """Who makes the values plain that are usual."""
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, request.param)
        yield


def one(text: str, *, base64_layers: int = 1) -> str | None:
    result: list[str | None] = plain_json(pa.array([text]), base64_layers=base64_layers).to_pylist()
    return result[0]


def minified(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def b64(data: bytes, layers: int = 1) -> str:
    for _ in range(layers):
        data = base64.b64encode(data)
    return data.decode()


class Number(str):
    """Marks a JSON number, so that the oracle can write its digits as they are."""


def oracle(typed: Any, layers: int) -> Any:
    """The rules once more, obviously: over parsed JSON, by recursion."""
    [(tag, payload)] = typed.items()
    match tag:
        case "N":
            return Number(payload)
        case "NULL":
            return None
        case "B":
            return base64.b64decode(payload).decode() if layers == 2 else payload
        case "M":
            return {name: oracle(value, layers) for name, value in payload.items()}
        case "L":
            return [oracle(value, layers) for value in payload]
        case "SS":
            return sorted(payload, key=str.encode)
        case "NS":
            return [Number(each) for each in sorted(payload, key=lambda each: (Decimal(each), each))]
        case "BS":
            singles = [oracle({"B": each}, layers) for each in payload]
            return sorted(singles, key=base64.b64decode)
        case _:
            return payload


def written(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{minified(name)}:{written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return minified(value)


EXAMPLES = 120
_TAGS = ["S", "N", "M", "L", "B", "BOOL", "NULL", "SS"]
_BROKEN = ['{"S":"x"}', '":{"N":"1"}', "]}", '","']
NASTY = st.sampled_from([*_TAGS, *'"{}[],:', "", "true", "a b", "é", "😀", "\x00", "\n", "\\", "\\\\", '\\"', *_BROKEN])
TEXT = st.one_of(NASTY, st.lists(NASTY, max_size=4).map("".join), st.text(st.characters(codec="utf-8"), max_size=6))
NUMBER = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.integers(-(10**38), 10**38).map(str),
    st.decimals(-1000, 1000, places=3).map(str),
    st.sampled_from(["0", "-0", "1.50", "1E+125", "-1.2e-130", "9" * 60, "0.1", "100"]),
)


def typed_values(layers: int) -> st.SearchStrategy[Any]:
    binary = st.binary(max_size=5).map(lambda data: b64(data, layers))
    leaf = st.one_of(
        st.builds(lambda x: {"S": x}, TEXT),
        st.builds(lambda x: {"N": x}, NUMBER),
        st.builds(lambda x: {"BOOL": x}, st.booleans()),
        st.just({"NULL": True}),
        st.builds(lambda x: {"B": x}, binary),
    )
    sets = st.one_of(
        st.builds(lambda x: {"SS": x}, st.lists(TEXT, min_size=1, max_size=4)),
        st.builds(lambda x: {"NS": x}, st.lists(NUMBER, min_size=1, max_size=4)),
        st.builds(lambda x: {"BS": x}, st.lists(binary, min_size=1, max_size=4)),
    )
    return st.recursive(
        st.one_of(leaf, leaf, leaf, sets),
        lambda inner: st.one_of(
            st.builds(lambda x: {"M": x}, st.dictionaries(TEXT, inner, max_size=4)),
            st.builds(lambda x: {"L": x}, st.lists(inner, max_size=4)),
        ),
        max_leaves=8,
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from([1, 2]).flatmap(
        lambda layers: st.tuples(st.just(layers), st.lists(typed_values(layers), max_size=6))
    )
)
def test_a_column_and_one_value_at_a_time_give_what_the_rules_say(case: tuple[int, list[Any]]) -> None:
    layers, values = case
    expected = [written(oracle(value, layers)) for value in values]
    texts = [minified(value) for value in values]

    assert plain_json(pa.array(texts, pa.string()), base64_layers=layers).to_pylist() == expected
    assert [plain_value(text, base64_layers=layers) for text in texts] == expected
    for value in expected:
        json.loads(value)


JUNK = st.one_of(
    st.text(st.sampled_from('{}[]":,\\SNMLBtrue1 '), max_size=14),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-9, 99), TEXT),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.one_of(st.sampled_from(["S", "N", "M", "L", "BOOL", "NULL", "SS"]), TEXT),
                inner,
                max_size=2,
            ),
        ),
        max_leaves=6,
    ).map(minified),
)


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(st.lists(JUNK | st.none(), max_size=5), st.randoms())
def test_no_text_raises_or_spoils_its_neighbours_and_json_that_is_no_typed_value_is_null(
    junk: list[str | None], random: Any
) -> None:
    good, plainly = '{"M":{"a":{"L":[{"S":"}"},{"N":"1"}]}}}', '{"a":["}",1]}'
    texts = [*junk, *[good] * 3]
    random.shuffle(texts)
    for layers in (1, 2):
        results = plain_json(pa.array(texts, pa.string()), base64_layers=layers).to_pylist()
        for text, result in zip(texts, results, strict=True):
            if text == good:
                assert result == plainly
            elif text is not None and is_json(text):
                assert result == plain_value(text, base64_layers=layers)


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@settings(max_examples=EXAMPLES, deadline=None)
@given(typed_values(1), st.data())
def test_a_typed_value_with_one_part_replaced_is_judged_alike_on_both_roads(value: Any, data: st.DataObject) -> None:
    text = minified(value)
    wrong = st.sampled_from(
        ['"x"', "1", "null", "true", "{}", "[]", '{"S":1}', '{"S":"a","N":"1"}', '{"Q":"a"}', '{"M":[]}']
    )
    places = [at for at in range(len(text)) if text.startswith('{"', at)]
    at = data.draw(st.sampled_from(places))
    end = matching(text, at)
    spoilt = text[:at] + data.draw(wrong) + text[end:]
    if end and is_json(spoilt):
        assert one(spoilt) == plain_value(spoilt)


def matching(text: str, at: int) -> int:
    decoder = json.JSONDecoder()
    try:
        return decoder.raw_decode(text, at)[1]
    except ValueError:
        return 0


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            '{"M":{"Street":{"S":"x"},"n":{"N":"1.50"},"t":{"SS":["b","a"]}}}',
            '{"Street":"x","n":1.50,"t":["a","b"]}',
        ),
        ('{"M":{"S":{"S":"N"},"N":{"M":{"M":{"N":"1"}}},"":{"NULL":true}}}', '{"S":"N","N":{"M":1},"":null}'),
        ('{"M":{"z":{"N":"1"},"a":{"N":"2"}}}', '{"z":1,"a":2}'),
        ('{"M":{}}', "{}"),
        ('{"L":[]}', "[]"),
        ('{"S":"\\\\"}', '"\\\\"'),
        ('{"S":"\\\\\\""}', '"\\\\\\""'),
        ('{"S":"\\u0000"}', '"\\u0000"'),
        ('{"BOOL":false}', "false"),
        ('{"NULL":true}', "null"),
        ('{"N":"1E+125"}', "1E+125"),
        ('{"L":[{"N":"1E+400"},{"N":"1e-400"},{"N":"1E99"},{"N":"1E+007"}]}', "[1E+400,1e-400,1E99,1E+007]"),
        ('{"N":"+1"}', "1"),
        ('{"N":".5"}', "0.5"),
        ('{"N":"-.5e3"}', "-0.5e3"),
        ('{"N":"007."}', "7"),
        ('{"N":"-0"}', "-0"),
        ('{"NS":["10","9","1E+2","-1","9.5"]}', "[-1,9,9.5,10,1E+2]"),
        ('{"SS":["é","z","\\"","\\u0000"]}', '["\\u0000","\\"","z","é"]'),
        ('{"SS":["\\ue000","\U00010000"]}', '["\\ue000","\U00010000"]'),
        ('{"BS":["/w==","AA=="]}', '["AA==","/w=="]'),
        ('{"SS":[]}', "[]"),
        (' { "L" : [ { "S" : "a b" } , { "NS" : [ "2" , "1" ] } ] } ', '["a b",[1,2]]'),
    ],
)
def test_a_typed_value_becomes_plain(typed: str, expected: str) -> None:
    assert one(typed) == expected


@pytest.mark.parametrize(
    "malformed",
    [
        '{"Q":"x"}',
        '{"S":"x","N":"1"}',
        '{"S":"x","S":"x"}',
        '{"M":{},"S":"x"}',
        '{"L":[],"L":[]}',
        '{"S":1}',
        '{"N":1}',
        '{"N":""}',
        '{"N":"."}',
        '{"N":"1e"}',
        '{"N":"NaN"}',
        '{"N":"0x1"}',
        '{"N":"٣"}',
        '{"N":"1\\n"}',
        '{"NULL":false}',
        '{"BOOL":"true"}',
        '{"BOOL":null}',
        '{"M":[]}',
        '{"L":{}}',
        '{"M":{"a":"x"}}',
        '{"M":{"a":{}}}',
        '{"L":["x"]}',
        '{"L":[{"S":"a"},"x",{"S":"b"}]}',
        '{"L":[{"S":"a"},1]}',
        '{"L":[[]]}',
        '{"SS":["a",1]}',
        '{"NS":["a"]}',
        '{"NS":["1E+99999999999999999999999"]}',
        '{"N":"1E401"}',
        '{"N":"-1.5e-401"}',
        '{"M":{"a":{"N":"1E200000"}}}',
        '{"L":[{"N":"1E-20000"}]}',
        '{"NS":["1","1E+401"]}',
        f'{{"N":"{"1" * 1001}"}}',
        f'{{"L":[{{"N":"0.{"1" * 1000}"}}]}}',
        '{"BS":["*"]}',
        '{"SS":"a"}',
        "{}",
        "[]",
        "null",
        "1",
        '"S"',
        "",
        "{",
        '{"S":"x"}{"S":"y"}',
        '{"S":"x"},{"S":"y"}',
        '{"SS":["a""b"]}',
    ],
)
def test_what_is_no_typed_value_is_null(malformed: str) -> None:
    assert one(malformed) is None
    beside = [malformed, '{"S":"x"}', malformed]
    assert plain_json(pa.array(beside)).to_pylist() == [None, '"x"', None]


def test_binary_of_a_kinesis_feed_loses_one_layer() -> None:
    # A captured record: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
    twice, once = "Y0d4aFkyVm9iMnhrWlhKZllubDBaWE09", "cGxhY2Vob2xkZXJfYnl0ZXM="

    assert one(f'{{"M":{{"B":{{"B":"{twice}"}}}}}}', base64_layers=2) == f'{{"B":"{once}"}}'
    assert one(f'{{"BS":["{twice}"]}}', base64_layers=2) == f'["{once}"]'
    assert one('{"B":""}', base64_layers=2) == '""'
    assert one(f'{{"B":"{once}"}}', base64_layers=2) is None


def test_ten_thousand_levels_are_unwrapped_on_both_roads() -> None:
    deep = 10_000
    lists = '{"L":[' * deep + "%s" + "]}" * deep
    maps = '{"M":{"M":' * deep + "%s" + "}}" * deep

    assert one(lists % '{"N":"1"}') == "[" * deep + "1" + "]" * deep
    assert one(lists % '{"NS":["1"]}') == "[" * deep + "[1]" + "]" * deep
    assert one(maps % '{"N":"+1"}') == '{"M":' * deep + "1" + "}" * deep
    assert one(lists % '{"S":1}') is None


def test_a_space_anywhere_between_tokens_changes_nothing() -> None:
    parts = [
        '{"M"',
        ":",
        "{",
        '"a"',
        ":",
        '{"L"',
        ":",
        "[",
        '{"S":"x"',
        "}",
        ",",
        '{"N":',
        '"1"',
        "}",
        "]",
        "}",
    ]
    parts += [",", '"b"', ":", "{", '"BOOL"', ":", "true", "}", "}", "}"]
    for at in range(len(parts) + 1):
        spaced = "".join([*parts[:at], " ", *parts[at:]])
        assert one(spaced) == '{"a":["x",1],"b":true}'


def test_only_what_is_unusual_takes_the_slow_road(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[str | None] = []

    def note(text: str | None, *, base64_layers: int) -> None:
        slow.append(text)

    monkeypatch.setattr(plain, "plain_value", note)
    usual = minified(
        {
            "M": {
                '"\\\\"': {"S": '}"\\'},
                "S": {"L": [{"N": "-1.5E+9"}, {"NULL": True}, {"B": "AA=="}]},
                "": {"M": {}},
            }
        }
    )
    unusual = ['{"S":"}', "1", '{"S":"x"', '{"NS":["1"]}', '{"N":".5"}', "{\\", "{\\}"]
    mixed = [text for each in unusual for text in (usual, each, usual)]

    assert plain_json(pa.array(mixed)).null_count == len(unusual)
    assert slow == unusual


def test_what_lies_under_a_null_is_no_value() -> None:
    text = pa.array(['{"S":"a"}', '{"S":"b"}'])
    second = pa.StringArray.from_buffers(2, *text.buffers()[1:], pa.py_buffer(b"\x02"))

    assert plain_json(second).to_pylist() == [None, '"b"']


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_nulls_offsets_and_chunks_of_the_input_are_kept(kind: pa.DataType) -> None:
    values = ['{"S":"a"}', None, '{"SS":["b","a"]}', "", '{"N":"7"}', None]
    expected = ['"a"', None, '["a","b"]', None, "7", None]
    array = pa.array(values, kind)

    assert plain_json(array).to_pylist() == expected
    assert plain_json(array).type == kind
    assert plain_json(array.slice(2, 3)).to_pylist() == expected[2:5]
    assert plain_json(pa.chunked_array([array, array.slice(1)])).to_pylist() == expected + expected[1:]
    assert plain_json(array.slice(0, 0)).to_pylist() == []
    assert plain_json(pa.chunked_array([], kind)).to_pylist() == []
    assert plain_json(pa.array([None, None], kind)).to_pylist() == [None, None]


def test_slices_meet_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_SLICE_BYTES", 40)
    values = [minified({"L": [{"N": str(i)}, {"S": "x" * (i % 60)}]}) for i in range(200)]

    expected = [minified([i, "x" * (i % 60)]) for i in range(200)]
    assert plain_json(pa.array(values)).to_pylist() == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("1.50", "1.5"),
        ("007", "7"),
        ("+1.", "1"),
        (".5", "0.5"),
        ("-1E3", "-1000"),
        ("1.25e1", "12.5"),
        ("1E-3", "0.001"),
        ("0e5", "0"),
        ("1E+125", "1" + "0" * 125),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ("1E+400", "1" + "0" * 400),
        ("1E+401", None),
        ("1E-99999999999999999999", None),
        ("1" * 1000, "1" * 1000),
        ("1" * 1001, None),
        ("", None),
        (".", None),
        ("1e", None),
        ("NaN", None),
        ("Infinity", None),
        ("1_000", None),
        (" 1", None),
        ("1\n", None),
        ("٣", None),
        (None, None),
    ],
)
def test_a_number_becomes_plain(number: str | None, expected: str | None) -> None:
    assert plain_numbers(pa.array([number, "5"], pa.string())).to_pylist() == [expected, "5"]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(NUMBER, TEXT, st.none()), max_size=6))
def test_plain_numbers_are_equal_in_value_and_canonical(numbers: list[str | None]) -> None:
    results = plain_numbers(pa.chunked_array([pa.array(numbers, pa.string())])).to_pylist()

    for number, result in zip(numbers, results, strict=True):
        if result is not None:
            assert Decimal(result) == Decimal(number or "")
            assert "e" not in result.lower()
            assert plain_numbers(pa.array([result])).to_pylist() == [result]
