"""Ion becomes the DynamoDB JSON that the same export would have had: nothing rounded, nothing guessed."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_merge.errors import Refused, UsageError
from cdc_merge.exports.ion import convert, require_ion, to_json_lines
from tests.support.exports import ion_struct
from tests.support.records import to_item


def converted(text: str) -> list[Any]:
    return [json.loads(line) for line in to_json_lines(io.BytesIO(text.encode()), where="x")]


def item(fields: str) -> Any:
    (record,) = converted(f"$ion_1_0 {{Item:{{{fields}}}}}\n")
    assert list(record) == ["Item"]
    return record["Item"]


def test_the_example_of_the_documentation_is_read() -> None:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    assert item(
        'Authors:$dynamodb_SS::["Author1","Author2"],Dimensions:"8.5 x 11.0 x 1.5",ISBN:"333-3333333333",'
        'Id:103.,InPublication:false,PageCount:6d2,Price:2d3,ProductCategory:"Book",Title:"Book 103 Title"'
    ) == {
        "Authors": {"SS": ["Author1", "Author2"]},
        "Dimensions": {"S": "8.5 x 11.0 x 1.5"},
        "ISBN": {"S": "333-3333333333"},
        "Id": {"N": "103"},
        "InPublication": {"BOOL": False},
        "PageCount": {"N": "600"},
        "Price": {"N": "2000"},
        "ProductCategory": {"S": "Book"},
        "Title": {"S": "Book 103 Title"},
    }


def test_an_incremental_record_loses_its_wrapping() -> None:
    images = 'OldImage:{PK:"a"},NewImage:{PK:"a",n:1.}'
    record = f'{{Record:{{Keys:{{PK:"a"}},Metadata:{{WriteTimestampMicros:1684374845117899.}},{images}}}}}'
    delete = '{Record:{Keys:{PK:"b"},Metadata:{WriteTimestampMicros:"1684374845117899"}}}'
    assert converted(f"$ion_1_0 {record}\n$ion_1_0 {delete}\n") == [
        {
            "Metadata": {"WriteTimestampMicros": {"N": "1684374845117899"}},
            "Keys": {"PK": {"S": "a"}},
            "NewImage": {"PK": {"S": "a"}, "n": {"N": "1"}},
            "OldImage": {"PK": {"S": "a"}},
        },
        {"Metadata": {"WriteTimestampMicros": "1684374845117899"}, "Keys": {"PK": {"S": "b"}}},
    ]


def test_every_type_keeps_its_type() -> None:
    blob = base64.b64encode(b"\x00\xff").decode()
    assert item(
        f"b:{{{{{blob}}}}},bs:$dynamodb_BS::[{{{{{blob}}}}}],ns:$dynamodb_NS::[1.,2d1],l:[],m:{{}},n:null,"
        f"'with space':[true,{{x:[1.5]}}],\"quoted\":\"\",'it\\'s':0."
    ) == {
        "b": {"B": blob},
        "bs": {"BS": [blob]},
        "ns": {"NS": ["1", "20"]},
        "l": {"L": []},
        "m": {"M": {}},
        "n": {"NULL": True},
        "with space": {"L": [{"BOOL": True}, {"M": {"x": {"L": [{"N": "1.5"}]}}}]},
        "quoted": {"S": ""},
        "it's": {"N": "0"},
    }


@pytest.mark.parametrize(
    ("ion", "number"),
    [
        ("12345678901234567890123456789012345678.", "12345678901234567890123456789012345678"),
        ("-1.2345678901234567890123456789012345678", "-1.2345678901234567890123456789012345678"),
        ("1.50", "1.5"),
        ("5", "5"),
        ("-0.", "0"),
        ("0d5", "0"),
        ("1d37", "1" + "0" * 37),
        ("9.9999999999999999999999999999999999999d125", "9" * 38 + "0" * 88),
        ("1d-130", "0." + "0" * 129 + "1"),
    ],
)
def test_numbers_are_exact_and_written_as_dynamodb_does(ion: str, number: str) -> None:
    assert item(f"n:{ion}") == {"n": {"N": number}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{Item:{a:1e2}}", "the line is not an item in Ion: there is a value of type float"),
        ("{Item:{a:2020-01-01T}}", "Timestamp"),
        ("{Item:{a:symbol}}", "there is a value of type"),
        ("{Item:{a:null.decimal}}", "there is a value of type DECIMAL"),
        ("{Item:{a:(1 2)}}", "there is a value of type SEXP"),
        ("{Item:{a:$dynamodb_XS::[1.]}}", r"\$dynamodb_XS::LIST"),
        ("{Item:{a:$dynamodb_SS::[1.]}}", "a set of type SS has elements of another type"),
        ("{Item:{a:$dynamodb_SS::b::[]}}", r"\$dynamodb_SS::b::LIST"),
        ("{Item:{},Other:{}}", "neither"),
        ("{Item:1.}", "neither"),
        ("[]", "neither"),
        ('{Record:{Keys:{PK:"a"}}}', "neither"),
        ('{Record:{Keys:{PK:"a"},Metadata:{},Surprise:{}}}', "its Record has Keys, Surprise"),
        ("{Item:{a:", "the line is not an item in Ion"),
        ("{Item:{a:b", "the line is not an item in Ion"),
        ("{Item:{}} {Item:{}}", "there are 2 values in it"),
    ],
)
def test_what_dynamodb_does_not_write_is_refused_by_its_number(text: str, message: str) -> None:
    lines = to_json_lines(io.BytesIO(f"$ion_1_0 {{Item:{{}}}}\n$ion_1_0 {text}\n".encode()), where="s3://b/x.ion.gz")
    assert next(lines) == b'{"Item":{}}\n'
    with pytest.raises(Refused, match=message) as caught:
        next(lines)
    assert caught.value.where == "s3://b/x.ion.gz:2"


def test_the_longest_items_are_read_and_longer_lines_are_not() -> None:
    long = "x" * 400_000
    assert item(f'a:"{long}"') == {"a": {"S": long}}
    with pytest.raises(Refused, match="longer than 16,777,216 bytes"):
        item(f'a:"{"x" * 2**24}"')


numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**37), max_value=10**37, places=6).map(
    lambda number: Decimal(f"{number:f}".rstrip("0").rstrip(".") if number else "0")
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    st.one_of(
        texts,
        numbers,
        st.booleans(),
        st.none(),
        st.binary(max_size=4),
        st.sets(texts, min_size=1, max_size=3),
        st.sets(numbers, min_size=1, max_size=3),
        st.sets(st.binary(max_size=3), min_size=1, max_size=3),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(items=st.lists(st.dictionaries(texts, values, max_size=4).map(to_item), max_size=3))
@settings(max_examples=100, deadline=None)
def test_an_item_that_goes_through_ion_comes_back_the_same(items: list[Any]) -> None:
    text = "".join(f"$ion_1_0 {{Item:{ion_struct(each)}}}\n" for each in items)
    assert converted(text) == [{"Item": each} for each in items]


@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_is_converted_compressed_or_not(tmp_path: Path, compressed: bool) -> None:
    text = b'$ion_1_0 {Item:{PK:"\xc3\xa9"}}\n' * 3
    source = tmp_path / "x.ion.gz"
    source.write_bytes(gzip.compress(text) if compressed else text)
    target = tmp_path / ("out.json.gz" if compressed else "out.json")
    assert convert(source, target, where="x") == 3
    data = target.read_bytes()
    assert (gzip.decompress(data) if compressed else data) == '{"Item":{"PK":{"S":"é"}}}\n'.encode() * 3


@pytest.mark.parametrize("empty", [b"", gzip.compress(b"", mtime=0)])
def test_an_empty_partition_has_no_records(tmp_path: Path, empty: bytes) -> None:
    source = tmp_path / "x.ion.gz"
    source.write_bytes(empty)
    assert convert(source, tmp_path / "out.json.gz", where="x") == 0
    assert gzip.decompress((tmp_path / "out.json.gz").read_bytes()) == b""


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "x.ion.gz"
    source.write_bytes(gzip.compress(b'$ion_1_0 {Item:{PK:"a"}}\n' * 1000)[:-12])
    with pytest.raises(Refused, match="cannot be read") as caught:
        convert(source, tmp_path / "out.json.gz", where="s3://b/x.ion.gz")
    assert caught.value.where == "s3://b/x.ion.gz"


def test_memory_does_not_grow_with_the_file() -> None:
    class Endless(io.RawIOBase):
        """The same record again and again, 10 MB of it."""

        def __init__(self) -> None:
            self.left = 10_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any, /) -> int:
            if not self.left:
                return 0
            self.left -= 1
            line = b'$ion_1_0 {Item:{PK:"' + b"x" * 1000 + b'"}}\n'
            buffer[: len(line)] = line
            return len(line)

    def count(lines: Iterator[bytes]) -> int:
        return sum(1 for _ in lines)

    tracemalloc.start()
    try:
        assert count(to_json_lines(io.BufferedReader(Endless(), 2**16), where="x")) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_without_the_extra_the_user_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amazon.ion", None)
    with pytest.raises(UsageError) as caught:
        require_ion()
    assert caught.value.hint == "pip install 'cdc-merge[ion]', or in a clone of the repository: pip install '.[ion]'"
