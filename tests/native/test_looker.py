"""The native reader of texts says what DuckDB says of the same line, or that it is not sure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_merge import native
from cdc_merge.feed.shape import literal
from cdc_merge.model import Source, Target
from cdc_merge.native.changes import Changes
from cdc_merge.native.looker import Found, Looker, looker
from tests.support.decoding import NEEDS_NATIVE
from tests.support.harness import fresh
from tests.support.records import stream_record

pytestmark = NEEDS_NATIVE

# Names that meet: of the pointers below, of places in lists, with what pointers escape.
NAMES = ("a", "b", "", "0", "1", "01", "-", "~", "/", "a/b", "ä", '"', "\\", "\0", "S", "M")
POINTERS = ("/a", "/a/b", "/b/0", "/b/0/a", "/0", "/b/1", "/~0/~1", "/a~1b", "/ä/S", "/", '/"/\\', "/S/M/a", "/\0")
COUNTED = "/a"

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(NAMES)
NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1, 1.5, 1767322800, 1767322800.123, 1767322800.0, 2**64, -(2**63) - 1, 10**38, 1e15, 1e-4])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
WRITERS = st.sampled_from(
    [
        {"separators": (",", ":"), "ensure_ascii": False},
        {"separators": (",", ":"), "ensure_ascii": True},
        {"ensure_ascii": False},
        {"indent": 1},
    ]
)
# Bytes that decide something in JSON, so that damage is not only found at the first byte.
PIECES = st.sampled_from(
    [
        *rb"""" \ { } [ ] , : 0 1 - . e E + u a "a": null true NaN // \u \ud83d \ude00""".split(),
        *(b" ", b"\t", b"\0", b"\x1f", b"\xff", b"\xc3"),
    ]
)


def ask_duckdb(
    lines: Sequence[bytes], pointers: Sequence[str], counted: str
) -> list[tuple[list[str | None], int] | None]:
    """(texts, members) of each line; None: DuckDB reads no JSON there."""
    listed = ", ".join(map(literal, pointers))
    answers: list[tuple[list[str | None], int] | None] = []
    with duckdb.connect() as connection:
        for line in lines:
            try:
                text = line.decode()
                row = connection.execute(
                    f"SELECT json_extract_string(line, [{listed}]), len(json_keys(line, {literal(counted)})) "
                    "FROM (SELECT CAST(? AS VARCHAR) AS line)",
                    [text],
                ).fetchone()
            except (UnicodeDecodeError, duckdb.InvalidInputException):
                row = None
            answers.append(row)
    return answers


def look(lines: Sequence[bytes], pointers: Sequence[str] = POINTERS, counted: str = COUNTED) -> Found:
    reader = looker(pointers, counted)
    assert reader
    return reader.find(_raw(lines))


def _raw(lines: Sequence[bytes]) -> pa.StringArray:
    """As a chunk has them: not checked to be UTF-8."""
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(lines), pa.py_buffer(offsets), pa.py_buffer(b"".join(lines)))


def assert_same(lines: Sequence[bytes]) -> int:
    """Returns how many lines the native reader was sure of."""
    found = look(lines)
    expected = ask_duckdb(lines, POINTERS, COUNTED)
    unsure = set(found.unsure.tolist())
    texts = list(zip(*(column.to_pylist() for column in found.texts), strict=True))
    for row, (mine, width) in enumerate(zip(texts, found.widths.to_pylist(), strict=True)):
        if row in unsure:
            assert mine == (None,) * len(POINTERS)
        else:
            assert expected[row] is not None, lines[row]
            assert (list(mine), width) == expected[row], lines[row]
    return len(lines) - len(unsure)


@given(st.lists(st.tuples(DOCUMENTS, WRITERS), min_size=1, max_size=8))
def test_documents_have_the_texts_that_duckdb_finds(documents: list[tuple[dict, dict]]) -> None:
    assert_same([json.dumps(document, **writer).encode() for document, writer in documents])


@given(st.lists(st.lists(PIECES, max_size=12).map(b"".join), min_size=1, max_size=20))
@example(
    [b'{"a":1}', b'{"a":1,}', b"[1,]", b'{"a":NaN}', b'{"a":01}', b'{"a":1.}', b'{"a":-}', b'{"a":.5}', b'{"a":+1}']
)
@example([b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\ud83d"}', b'{"a":"\\ude00"}', b'{"a":"\\ud83dx"}', b'{"a":"\\u12"}'])
@example(
    [
        b'{"z":"\\ud83d"}',
        b'{"z":"\\ude00"}',
        b'{"z":{"\\ud800":1}}',
        b'{"z":["\\ud83d\\u0041"]}',
        b'{"z":"\\ud83d\\ude00"}',
    ]
)
@example(
    [b'{"z":1e400}', b'{"z":-1e400}', b'{"z":[1E-400,1e5,0.1e1]}', b'{"z":123456789012345678901234567890}', b'{"z":-0}']
)
@example([b'{"a":1,"a":2}', b'{"a":{"b":1,"b":2}}', b'{"b":[1],"b":[2]}', b'{"c":1,"c":2}', b'{"\\u0061":1,"a":2}'])
@example(
    [b'{"a":-0}', b'{"a":-0.0}', b'{"a":1e5}', b'{"a":[1E5,-0,1.10]}', b'{"a":1e400}', b'{"a":123456789012345678901}']
)
@example([b'{"a":"\x00"}', b'{"a":"\x1f"}', b'{"a":"\xff"}', b'\xef\xbb\xbf{"a":1}', b'{"a":1}\x00', b'{"a":1}x', b""])
@example([b'{"a":/*x*/1}', b"{'a':1}", b"{a:1}", b'{"a":truex}', b'{"a":nul}', b'"a"', b"1", b"null", b"[]", b"{}"])
def test_no_bytes_are_read_otherwise_than_duckdb_reads_them(lines: list[bytes]) -> None:
    assert_same(lines)


@given(DOCUMENTS, st.integers(0, 200), PIECES, st.booleans())
def test_a_damaged_document_is_read_as_duckdb_reads_it(
    document: dict, place: int, piece: bytes, replaces: bool
) -> None:
    line = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    at = place % (len(line) + 1)
    assert_same([line[:at] + piece + line[at + replaces :]])


def test_it_is_sure_of_what_streams_and_exports_write() -> None:
    plain = {"a": {"b": {"S": "x"}, "n": {"N": "1.50"}}, "0": 1767322800, "b": [1, "é"], "x": None, "y": [{}, []]}
    lines = [
        json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode(),
        json.dumps(plain).encode(),
        json.dumps(plain | {"0": 1767322800.123, "S": '😀 \n "q" \\ /'}).encode(),
        json.dumps(plain).encode() + b"\r\n",
    ]
    assert assert_same(lines) == len(lines)


def test_lines_are_looked_into_in_the_order_they_are_picked() -> None:
    lines = pa.array([f'{{"a":{number}}}' for number in range(20)], pa.string())
    reader = looker(["/a"])
    assert reader
    found = reader.find(lines, np.array([7, 3, 3, 19], np.int32))
    assert found.texts[0].to_pylist() == ["7", "3", "3", "19"]
    assert found.widths.to_pylist() == [None] * 4
    with pytest.raises(IndexError):
        reader.find(lines, np.array([20], np.int32))


def test_a_slice_of_lines_is_its_own_lines() -> None:
    lines = pa.array([f'{{"a":{number}}}' for number in range(20)], pa.string())
    reader = looker(["/a"])
    assert reader
    found = reader.find(lines.slice(5, 3))
    assert found.texts[0].to_pylist() == ["5", "6", "7"]


def test_texts_outlive_the_look_and_the_next_one() -> None:
    reader = looker(["/a"])
    assert reader
    first = reader.find(pa.array(['{"a":"first"}'] * 100))
    second = reader.find(pa.array(['{"a":"other"}'] * 100))
    (kept,) = first.texts
    del reader, first
    assert set(kept.to_pylist()) == {"first"}
    assert set(second.texts[0].to_pylist()) == {"other"}


def test_several_threads_may_use_one_look() -> None:
    reader = looker(["/a"])
    assert reader
    wrong: list[int] = []

    def work(number: int) -> None:
        lines = pa.array([f'{{"a":"{number}-{line}"}}' for line in range(2_000)])
        for _ in range(20):
            found = reader.find(lines)
            if found.texts[0].to_pylist() != [f"{number}-{line}" for line in range(2_000)]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_mistake_in_it_is_an_error_and_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc_merge.native.library._has_failed", False)
    reader = looker(["/a"])
    assert reader
    backwards = pa.StringArray.from_buffers(
        2, pa.py_buffer(np.array([0, 10, 5], np.int32)), pa.py_buffer(b"0123456789")
    )

    with pytest.raises(native.NativeFailed):
        reader.find(backwards)

    assert not native.is_there()
    assert looker(["/a"]) is None


@pytest.mark.parametrize("method", [(Looker, "find"), (Changes, "add_records"), (Changes, "newest")])
def test_after_a_mistake_the_batch_is_read_by_duckdb(
    method: tuple[type, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.native.library._has_failed", False)
    calls = []

    def fail(*_given: object, **_named: object) -> None:
        calls.append(method)
        raise native.NativeFailed

    monkeypatch.setattr(*method, fail)
    harness = fresh(f"duckdb:///{tmp_path}/w.duckdb", Source("shop", "", ("PK",), (Target("items"),)), tmp_path)
    harness.put_records([stream_record({"PK": "a"}, {"n": 1}, sequence=1, at=datetime(2026, 1, 1, tzinfo=UTC))])

    counts = harness.run().counts

    assert calls == [method]
    assert counts.applied == 1
    assert set(harness.tables()["items"]) == {("a",)}


def test_a_library_of_another_system_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "_native.so"
    broken.write_text("no library")
    monkeypatch.setattr("cdc_merge.native.library._LIBRARY", broken)

    assert native.library._load.__wrapped__() is None


LIFETIMES = """
import gc
import pyarrow as pa
from cdc_merge.native.looker import looker

class Holder: pass

for _ in range(50):  # the collector lets go of what is in a circle in any order
    holder = Holder()
    holder.itself, holder.reader = holder, looker(["/a"])
    holder.found = holder.reader.find(pa.array(['{"a":"text"}'] * 1000))
    del holder
    gc.collect()
reader = looker(["/a"])  # and so does the end of the process
found = reader.find(pa.array(['{"a":"text"}'] * 1000))
texts = found.texts
print("alive")
"""


def test_memory_is_let_go_of_in_any_order() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIFETIMES],
        # What is freed is overwritten: https://man7.org/linux/man-pages/man3/mallopt.3.html
        env=os.environ | {"MALLOC_PERTURB_": "165"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_nesting_deeper_than_dynamodb_has_is_left_to_duckdb() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    assert assert_same([nested(80)]) == 1
    assert look([nested(100_000)]).unsure.tolist() == [0]


def test_the_switch_turns_it_off() -> None:
    script = "from cdc_merge.native import is_there, looker; print(is_there(), looker.looker(['/a']))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {native.SWITCH: "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "None"]
