"""Records are found in any framing, and none next to a damaged one is lost."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_merge.errors import UnreadableObject
from cdc_merge.feed import framing, jsonwalk
from cdc_merge.feed.compression import open_plain
from cdc_merge.feed.framing import Piece, is_blank, scan, split
from cdc_merge.feed.jsonwalk import MAX_DEPTH, Window

quick = settings(max_examples=100, deadline=None)


def pieces(data: bytes) -> list[Piece]:
    return list(scan(io.BytesIO(data)))


def found(data: bytes) -> list[tuple[bytes, str | None]]:
    return [(piece.data, piece.damage) for piece in pieces(data)]


def sound(*texts: bytes) -> list[tuple[bytes, str | None]]:
    return [(text, None) for text in texts]


def change(number: int, **attributes: object) -> bytes:
    image = {"PK": {"S": f"C{number}"}, **{name: {"S": value} for name, value in attributes.items()}}
    dynamodb = {"Keys": {"PK": {"S": f"C{number}"}}, "NewImage": image, "SequenceNumber": f"{number:021}"}
    return json.dumps(
        {"eventID": str(number), "eventName": "MODIFY", "dynamodb": dynamodb}, separators=(",", ":")
    ).encode()


ONE, TWO, THREE, FOUR = (change(n, note='a "b" {c} [d] \\ é}{') for n in range(1, 5))


# --- the guess -------------------------------------------------------------------------------------------


def ends_by_hand(data: bytes) -> list[int]:
    return [i + 1 for i in range(len(data)) if data[i : i + 1] == b"\n" or data[i : i + 2] == b"}{"]


@quick
@given(data=st.lists(st.sampled_from([b"{", b"}", b"\n", b"}{", b"x", b"\r"]), max_size=40).map(b"".join))
def test_pieces_end_after_newlines_and_between_braces_that_touch(data: bytes) -> None:
    assert split(np.frombuffer(data, np.uint8)).tolist() == ends_by_hand(data)


def test_the_seams_of_blocks_hide_no_end() -> None:
    block = 2**20
    for data in (
        b"x" * (block - 1) + b"}{" + b"y\n",
        b"x" * (block - 1) + b"\n{",
        b"x" * block + b"\n",
        b"x" * (block - 1) + b"}",
        b"x" * (2 * block - 1) + b"\n",
    ):
        assert split(np.frombuffer(data, np.uint8)).tolist() == ends_by_hand(data)


@quick
@given(parts=st.lists(st.sampled_from([b"", b"\n", b"\r\n", b" \t\r\n", b"    \n", b"{}\n", b"x", b" x"])))
def test_short_white_space_is_blank(parts: list[bytes]) -> None:
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends))[: len(parts)]
    blank = is_blank(np.frombuffer(b"".join(parts), np.uint8), starts, ends)
    assert blank.tolist() == [len(part) <= 4 and not part.strip() for part in parts]


# --- framings --------------------------------------------------------------------------------------------


def pretty(text: bytes, indent: int = 2) -> bytes:
    return json.dumps(json.loads(text), indent=indent, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"", []),
        (b" \r\n\n\t", []),
        (ONE, [ONE]),
        (ONE + b"\n" + TWO + b"\n", [ONE, TWO]),
        (ONE + b"\r\n\r\n" + TWO, [ONE, TWO]),
        (ONE + TWO + THREE, [ONE, TWO, THREE]),
        (b"\xef\xbb\xbf" + ONE + b"  " + TWO, [ONE, TWO]),
        (pretty(ONE) + pretty(TWO) + b"\n" + pretty(THREE), [pretty(ONE), pretty(TWO), pretty(THREE)]),
        (b"[" + ONE + b",\n " + TWO + b"]\n", [ONE, TWO]),
        (b"[" + ONE + b"][]\n[" + TWO + b"," + THREE + b"]", [ONE, TWO, THREE]),
        (b'{"Records":[' + ONE + b", " + TWO + b"]}", [ONE, TWO]),
        (b'{"Records":[' + ONE + b']}{"Records":[' + TWO + b"]}" + THREE, [ONE, TWO, THREE]),
        (b'{ "Records" :\n [ ' + ONE + b' ]\n}\n{"Records": []}\n{"Records": [' + TWO + b"]}\n", [ONE, TWO]),
        (b'{}{"a":[]}{"a":{}}{"a":[{},[1,2.5e-3,true,null]]}',
         [b"{}", b'{"a":[]}', b'{"a":{}}', b'{"a":[{},[1,2.5e-3,true,null]]}']),
        (b'{"a":"\\ud800"}{"a":-0.0}', [b'{"a":"\\ud800"}', b'{"a":-0.0}']),
    ],
)  # fmt: skip
def test_records_are_found_in_every_framing(data: bytes, texts: list[bytes]) -> None:
    assert found(data) == sound(*texts)
    assert all(data[p.offset : p.offset + len(p.data)] == p.data for p in pieces(data))


def test_the_elements_of_a_lambda_event_keep_their_bytes_and_offsets() -> None:
    data = b'\n{"Records": [ {"eventID" : "1", "n": 1.50} ,\n\t{"b":"\\u00e9"}]}'
    assert [(p.offset, p.data) for p in pieces(data)] == [
        (15, b'{"eventID" : "1", "n": 1.50}'),
        (data.index(b'{"b"'), b'{"b":"\\u00e9"}'),
    ]


@pytest.mark.parametrize("depth", [900, 10_000, MAX_DEPTH - 1])
def test_deep_nesting_is_a_record_and_no_recursion_error(depth: int) -> None:
    deep = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    assert found(deep + ONE) == sound(deep, ONE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
records = st.dictionaries(st.text(max_size=5).filter(lambda name: name != "Records"), json_values, max_size=4)
layouts: list[Callable[[object], bytes]] = [
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"),
    lambda value: json.dumps(value).encode(),
    lambda value: json.dumps(value, indent=1).encode(),
    lambda value: json.dumps(value, indent="\t").replace("\n", "\r\n").encode(),
]
separators = st.sampled_from([b"", b"\n", b"\r\n", b" ", b",", b",\n", b"\n\n  ", b"]\n["])


@quick
@given(data=st.data(), opening=st.sampled_from([b"", b"[", b"\xef\xbb\xbf", b'{"Records":[', b'{"Records":\n[']))
def test_random_records_in_random_framing_are_recovered_exactly(data: st.DataObject, opening: bytes) -> None:
    texts = [data.draw(st.sampled_from(layouts))(record) for record in data.draw(st.lists(records, max_size=6))]
    whole = opening + b"".join(text + data.draw(separators) for text in texts)
    whole += b"]}" if b"Records" in opening else b""
    assert found(whole) == sound(*texts)


# --- damage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # a string that never ends, with nothing before the next record
        (b'{"a":"xy' + ONE + TWO, [(b'{"a":"xy', "truncated"), *sound(ONE, TWO)]),
        (b'{"a":"xy\\' + ONE, [(b'{"a":"xy\\', "truncated"), *sound(ONE)]),
        (b'{"a":"xy\\u12' + ONE, [(b'{"a":"xy\\u12', "truncated"), *sound(ONE)]),
        # … or the end of its line
        (b'{"a":"xy\n{"b":1}\n', [(b'{"a":"xy', "truncated"), *sound(b'{"b":1}')]),
        (b'{"a":"xy\r\n {"b":1}\n', [(b'{"a":"xy', "truncated"), *sound(b'{"b":1}')]),
        # where a value should be, the next record passes for it
        (b'{"a":\n{"b":1}\n{"c":1}', [(b'{"a":', "truncated"), *sound(b'{"b":1}', b'{"c":1}')]),
        (b'{"a":[' + ONE + TWO, [(b'{"a":[', "truncated"), *sound(ONE, TWO)]),
        (b'[{"a":[' + ONE + b"," + TWO + b"]", [(b'{"a":[', "truncated"), *sound(ONE, TWO)]),
        (b'{"a":{"S":"x"},' + ONE, [(b'{"a":{"S":"x"},', "truncated"), *sound(ONE)]),
        (b'{"a":{"S":"x"}{"b":2}', [(b'{"a":{"S":"x"}', "truncated"), *sound(b'{"b":2}')]),
        (b'{"a":tr' + ONE, [(b'{"a":tr', "truncated"), *sound(ONE)]),
        (ONE + b'{"a":1', [*sound(ONE), (b'{"a":1', "truncated")]),
        (ONE + b"{", [*sound(ONE), (b"{", "truncated")]),
        # garbage between records, and inside them
        (b'{"a":1}xyz{"b":2} END ',
         [*sound(b'{"a":1}'), (b"xyz", "not_json"), *sound(b'{"b":2}'), (b"END", "not_json")]),
        (b'{"a":1}}{"b":2}', [*sound(b'{"a":1}'), (b"}", "not_json"), *sound(b'{"b":2}')]),
        (ONE[1:] + TWO, [(ONE[1:], "not_json"), *sound(TWO)]),
        (ONE[:60] + b"#" + ONE[60:] + TWO, [(ONE[:60] + b"#" + ONE[60:], "not_json"), *sound(TWO)]),
        (b'{"a":1,}\n{"b":01}\n{"c":2}', [(b'{"a":1,}', "not_json"), (b'{"b":01}', "not_json"), *sound(b'{"c":2}')]),
        (b'1\n"two"\n[3]\n' + ONE, [(b'1\n"two"\n[3]', "not_json"), *sound(ONE)]),
        (b'{"a":"\xff\xfe"}\n{"b":2}', [(b'{"a":"\xff\xfe"}', "not_utf8"), *sound(b'{"b":2}')]),
        # Lambda events that are damaged or are more than their records
        (b'{"Records":[' + ONE + b"," + TWO[:-9] + b"," + THREE + b"]}" + FOUR,
         [*sound(ONE), (TWO[:-9] + b",", "truncated"), *sound(THREE, FOUR)]),
        (b'{"Records":[' + ONE + b"," + TWO[:50], [*sound(ONE), (TWO[:50], "truncated")]),
        (b'{"a":"xy{"Records":[' + ONE + b"]}" + TWO, [(b'{"a":"xy', "truncated"), *sound(ONE, TWO)]),
        (b'{"Records":[' + ONE + b'],"x":1}' + TWO, [*sound(ONE), (b'"x":1}', "not_json"), *sound(TWO)]),
    ],
)  # fmt: skip
def test_damage_is_named_and_kept_apart_from_its_neighbours(
    data: bytes, expected: list[tuple[bytes, str | None]]
) -> None:
    assert found(data) == expected


def test_a_value_inside_a_damaged_record_does_not_pass_for_a_record() -> None:
    record = pretty(ONE).replace(b'"eventName": "MODIFY"', b'"eventName": MODIFY')
    assert found(record + b"\n" + pretty(TWO)) == [(record, "not_json"), (pretty(TWO), None)]


def test_utf16_is_damage_not_silence() -> None:
    data = ONE.decode().encode("utf-16")
    assert {damage for _, damage in found(data)} == {"not_json"}
    assert b"".join(data for data, _ in found(data)) == data


@pytest.mark.parametrize(
    ("data", "damages"),
    [
        (b'{"a":"' + b"x" * 3000 + b'"}' + ONE, ["too_long", None]),
        (b'{"a":[' + b'"xxx",' * 3000 + b"1]}" + b'{"b":2}', ["too_long", None]),
        (b'{"a":"' + b"x" * 30_000, ["too_long"]),
        (b'{"a":"' + b"x" * 30_000 + b"\n" + b'{"b":2}', ["too_long", None]),
        (b"y" * 30_000 + ONE, ["too_long", None]),
        (b'{"a":[' + b",\n".join([ONE] * 100) + b"]", ["truncated", *[None] * 100]),  # a list without its end
    ],
)
def test_a_record_that_is_too_long_keeps_its_beginning_only(
    monkeypatch: pytest.MonkeyPatch, data: bytes, damages: list[str | None]
) -> None:
    monkeypatch.setattr(framing, "MAX_RECORD", 2000)
    monkeypatch.setattr(framing, "KEPT_OF_TOO_LONG", 100)
    monkeypatch.setattr(jsonwalk, "READ_BYTES", 500)
    result = pieces(data)
    assert [piece.damage for piece in result] == damages
    assert all(piece.data == data[piece.offset :][:100] for piece in result if piece.damage == "too_long")


def test_sixteen_mebibytes_are_a_record_and_a_byte_more_is_not() -> None:
    shell = len(b'{"a":""}')
    longest = b'{"a":"' + b"x" * (framing.MAX_RECORD - shell) + b'"}'
    too_long = longest[:-2] + b'x"}'
    assert [(len(p.data), p.damage) for p in pieces(longest + too_long + ONE)] == [
        (framing.MAX_RECORD, None),
        (framing.KEPT_OF_TOO_LONG, "too_long"),
        (len(ONE), None),
    ]


# --- what holds for any bytes ----------------------------------------------------------------------------

FRAGMENTS = [
    *(bytes([byte]) for byte in b'{}[],:"\\\n 1-e\x00\xff\xe9'), b"true", b"nul", b"}{", b"]}",
    b"\\u12", b"\xef\xbb\xbf",
    b'{"a":', b'{"a":[', b'"x{', b'{"b":1}', b'\n{"b":1}\n', b'{"Records":[', b'{"eventID":"1",',
    b'{"eventID":"1","dynamodb":{"Keys":{}}}', b'{"Item":{"a":{"S":"',
]  # fmt: skip
anything = st.binary(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(b"".join)
UNCOVERED = re.compile(rb'(?:\][ \t\r\n]*\}|\{[ \t\r\n]*"Records"[ \t\r\n]*:[ \t\r\n]*\[|[ \t\r\n,\[\]])*')


def assert_complete(data: bytes, result: list[Piece]) -> None:
    at = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for piece in result:
        assert piece.offset >= at
        assert UNCOVERED.fullmatch(data, at, piece.offset)
        assert piece.data == data[piece.offset : piece.offset + len(piece.data)]
        at = piece.offset + len(piece.data)
    assert UNCOVERED.fullmatch(data, at)


@settings(max_examples=250, deadline=None)
@given(data=anything)
def test_no_byte_is_lost_and_what_is_sound_is_json(data: bytes) -> None:
    result = pieces(data)
    assert_complete(data, result)
    for piece in result:
        if piece.damage != "not_utf8":
            assert is_object(piece.data) == (piece.damage is None)


def is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class Trickle:
    """Gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        part = self._data.read(min(self._step, len(buffer)))
        buffer[: len(part)] = part
        return len(part)


@settings(max_examples=120, deadline=None)
@given(data=anything, step=st.integers(1, 9), head=st.integers(300, 1100))
def test_it_makes_no_difference_how_the_bytes_arrive(data: bytes, step: int, head: int) -> None:
    padded = b" " * head + data + b"\n" * head + data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonwalk, "READ_BYTES", step)
        assert list(scan(Trickle(padded, step))) == pieces(padded)


@settings(max_examples=100, deadline=None)
@given(data=anything)
def test_any_file_is_read_or_unreadable_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "object"
    path.write_bytes(data)
    try:
        with open_plain(path, limit=10**6) as reader:
            assert all(isinstance(piece.data, bytes) for piece in scan(reader))
    except UnreadableObject:
        pass


@pytest.mark.parametrize("size", [5 * 10**6])
@pytest.mark.parametrize("unit", [b"{", b"[", b'"', b'{"a":', b'{"a":[', b":{", b"\\", b"\0"])
def test_hostile_objects_take_linear_time(unit: bytes, size: int) -> None:
    assert len(pieces(unit * (size // len(unit)))) <= 2


@pytest.mark.parametrize(
    ("unit", "count"),
    [(b'{"a":[\n', 30_000), (b'{"eventID":"","a":', 30_000), (b'{"eventID":"","a":[{"eventID":"x"},', 60_000)],
)
def test_records_that_never_close_are_all_given_their_piece_in_linear_time(unit: bytes, count: int) -> None:
    assert len(pieces(unit * 30_000)) == count


def test_many_records_take_little_memory() -> None:
    def lines() -> Iterator[bytes]:
        for _ in range(100):
            yield (ONE + b"\n") * 500

    class Stream:
        def __init__(self) -> None:
            self._parts = lines()

        def readinto(self, buffer: memoryview | bytearray, /) -> int:
            part = next(self._parts, b"")
            buffer[: len(part)] = part
            return len(part)

    tracemalloc.start()
    assert sum(1 for piece in scan(Stream()) if piece.damage is None) == 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20


def test_a_window_forgets_what_is_released() -> None:
    window = Window(io.BytesIO(bytes(5 * 2**20)))
    window.reach(4 * 2**20 + 3)
    window.release(4 * 2**20)
    assert (window.base, window.cut(4 * 2**20, 4 * 2**20 + 3)) == (4 * 2**20, b"\0\0\0")


# --- neighbours of a damaged record ----------------------------------------------------------------------

heads = st.sampled_from(
    ["eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "tableName", "eventSourceARN"]
)
attributes = st.dictionaries(
    st.sampled_from(["PK", "a", "Item", "Keys", "eventID", "é"]),
    st.fixed_dictionaries({"S": st.text(max_size=8) | st.sampled_from(['}{"', "\\", '{"eventID":"1"', "\n{"])})
    | st.fixed_dictionaries({"L": st.lists(st.fixed_dictionaries({"N": st.just("1")}), max_size=3)})
    | st.just({"M": {"Item": {"S": "x"}, "Keys": {"M": {"PK": {"S": "y"}}}}}),
    max_size=4,
)


@st.composite
def changes(draw: st.DrawFn) -> bytes:
    image = {"PK": {"S": "k"}, **draw(attributes)}
    kind = draw(st.sampled_from(["stream", "stream", "export", "increment"]))
    if kind == "export":
        return draw(st.sampled_from(layouts[:2]))({"Item": image})
    if kind == "increment":
        return draw(st.sampled_from(layouts[:2]))(
            {"Metadata": {"WriteTimestampMicros": {"N": "1"}}, "Keys": {"PK": {"S": "k"}}, "NewImage": image}
        )
    dynamodb = {"Keys": {"PK": {"S": "k"}}, "NewImage": image, "SequenceNumber": "1" * 21}
    return draw(st.sampled_from(layouts))({draw(heads): "x", "n": 1, "dynamodb": dynamodb, "userIdentity": None})


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    at = draw(st.integers(0, len(text)))
    what = draw(st.sampled_from(["truncate", "insert", "flip"]))
    if what == "truncate":
        return text[:at]
    if what == "insert":
        return text[:at] + draw(st.binary(max_size=6) | st.sampled_from(FRAGMENTS)) + text[at:]
    return text[:at] + bytes(byte ^ draw(st.integers(1, 255)) for byte in text[at : at + 2]) + text[at + 2 :]


def assert_recovered(texts: list[bytes], broken: int, separator: bytes, data: st.DataObject) -> None:
    stored = [data.draw(damaged(text)) if number == broken else text for number, text in enumerate(texts)]
    whole = separator.join(stored)
    result = pieces(whole)
    assert_complete(whole, result)
    kept = {piece.offset: piece.data for piece in result if piece.damage is None}
    at = 0
    for number, text in enumerate(stored):
        assert number == broken or kept.get(at) == text
        at += len(text) + len(separator)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), newline=st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_lines_next_to_a_damaged_line_are_all_recovered_whatever_they_hold(data: st.DataObject, newline: bytes) -> None:
    line = records.map(lambda value: json.dumps(value).encode()) | changes().filter(lambda text: b"\n" not in text)
    texts = data.draw(st.lists(line, min_size=2, max_size=5))
    assert_recovered(texts, data.draw(st.integers(0, len(texts) - 1)), newline, data)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), separator=st.sampled_from([b"", b" ", b",", b",\n  "]))
def test_changes_next_to_a_damaged_one_are_all_recovered_without_any_newline(
    data: st.DataObject, separator: bytes
) -> None:
    texts = data.draw(st.lists(changes(), min_size=2, max_size=5))
    assert_recovered(texts, data.draw(st.integers(0, len(texts) - 1)), separator, data)
