"""Objects packed into chunks: every line with its place, however the borders fall, and the same at each reading."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_merge.feed.chunks import Chunk, ChunkReader, LocalObject, Unframed, Unreadable, read_exactly
from cdc_merge.model import ObjectRef
from tests.support.records import compress

LIMIT = 10**9
Store = Callable[[Sequence[bytes]], list[LocalObject]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Writes the bytes of objects to files."""
    folder = tmp_path_factory.mktemp("objects")

    def write(bodies: Sequence[bytes]) -> list[LocalObject]:
        objects = []
        for number, body in enumerate(bodies):
            path = folder / str(number)
            path.write_bytes(body)
            ref = ObjectRef(str(number), "v", len(body), datetime(2026, 1, 1, tzinfo=UTC))
            objects.append(LocalObject(number, ref, path))
        return objects

    return write


@dataclass(frozen=True)
class Line:
    """A line as it was read: its place, its bytes, and the chunk it came in."""

    object_number: int
    record: int
    offset: int
    data: bytes
    chunk: int = 0


def lines_of(reader: ChunkReader) -> list[Line]:
    """Every line of one reading; no object may be given up."""
    found = []
    for event in reader.read():
        assert isinstance(event, Chunk), event
        found += lines_in(event)
        event.release()
    return found


def lines_in(chunk: Chunk) -> list[Line]:
    texts, numbers = chunk.lines().to_pylist(), chunk.object_numbers().tolist()
    assert len(texts) == len(numbers) == len(chunk)
    found = []
    for line, text in enumerate(texts):
        place = chunk.place(line)
        assert place[0] == numbers[line]
        assert chunk.raw(line) == text.encode().strip()
        found.append(Line(*place, chunk.raw(line), chunk.number))
    return found


def without_chunks(lines: Sequence[Line]) -> list[Line]:
    return [Line(line.object_number, line.record, line.offset, line.data) for line in lines]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[bytes], list[Line]]:
    """Objects of records of random lengths, with nothing, newlines or blank lines between; and where they lie."""
    objects, expected = [], []
    for number in range(draw(st.integers(1, 4))):
        body = draw(st.sampled_from([b"", b"", b"\n", b" \n\n", b"\r\n"]))
        separator = st.sampled_from([b"", b"\n", b"\r\n", b"\n\n", b"\n \r\n", b" \n\t\n", b"\n" * 9])
        for record, length in enumerate(draw(st.lists(st.integers(0, 60), max_size=12)), 1):
            data = b'{"a":"' + b"x" * length + b'"}'
            expected.append(Line(number, record, len(body), data))
            body += data + draw(separator)
        objects.append(body)
    return objects, expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=bodies(), size=st.integers(80, 400))
def test_every_line_has_its_place_however_the_borders_fall(
    store: Store, case: tuple[list[bytes], list[Line]], size: int
) -> None:
    objects, expected = case
    reader = ChunkReader(store(objects), limit=LIMIT, size=size)
    first = lines_of(reader)
    assert without_chunks(first) == expected
    assert lines_of(reader) == first
    assert lines_of(ChunkReader(store([compress(o) for o in objects]), limit=LIMIT, size=size)) == first


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=bodies(), size=st.integers(1, 200))
def test_the_exact_scanner_gives_the_same_places(store: Store, case: tuple[list[bytes], list[Line]], size: int) -> None:
    objects, expected = case
    found = []
    for obj in store(objects):
        for chunk in read_exactly(obj, limit=LIMIT, size=size):
            for number, piece in enumerate(chunk.pieces, chunk.first_record + 1):
                assert piece.damage is None
                found.append(Line(obj.number, number, piece.offset, piece.data))
    assert found == expected


def test_a_border_may_fall_on_any_byte(store: Store) -> None:
    body = b'{"a":1}\n{"b":22}{"c":333}\r\n\n{"d":4}\n\n\n{"e":5}{"f":6}'
    (obj,) = store([body])
    expected = lines_of(ChunkReader([obj], limit=LIMIT))
    assert [(line.record, line.offset, line.data) for line in expected] == [
        (1, 0, b'{"a":1}'),
        (2, 8, b'{"b":22}'),
        (3, 16, b'{"c":333}'),
        (4, 28, b'{"d":4}'),
        (5, 38, b'{"e":5}'),
        (6, 45, b'{"f":6}'),
    ]
    for size in range(11, len(body) + 2):
        assert without_chunks(lines_of(ChunkReader([obj], limit=LIMIT, size=size))) == without_chunks(expected), size


def test_small_objects_share_a_chunk_and_large_ones_take_several(store: Store) -> None:
    record = b'{"a":"0123456789"}\n'
    reader = ChunkReader(store([record, record * 40, record, record]), limit=LIMIT, size=200)
    lines = lines_of(reader)
    assert [(line.object_number, line.record) for line in lines] == [
        (0, 1),
        *((1, n) for n in range(1, 41)),
        (2, 1),
        (3, 1),
    ]
    assert {line.chunk for line in lines if line.object_number == 0} == {0}
    assert len({line.chunk for line in lines if line.object_number == 1}) > 3


def test_objects_without_a_line_give_none(store: Store) -> None:
    reader = ChunkReader(store([b"", b"\n", b"\n\n \n", b'{"a":1}', b"", b"\r\n" * 300]), limit=LIMIT, size=64)
    assert [(line.object_number, line.record, line.offset) for line in lines_of(reader)] == [(3, 1, 0)]


def test_an_unreadable_object_takes_no_line_of_its_neighbours(store: Store) -> None:
    record = b'{"a":"0123456789"}\n'
    broken = bytearray(compress(b"".join(b'{"a":"%d"}\n' % n for n in range(5_000))))
    broken[len(broken) // 2] ^= 0xFF
    for size in (100, 1_000, 100_000):
        reader = ChunkReader(store([record * 3, bytes(broken), record * 3]), limit=LIMIT, size=size)
        for _ in range(2):
            lines: list[Line] = []
            gone = []
            for event in reader.read():
                if isinstance(event, Chunk):
                    lines += lines_in(event)
                    event.release()
                else:
                    assert isinstance(event, Unreadable)
                    gone.append((event.object_number, event.error.reason))
            assert gone == [(1, "corrupt")]
            kept = [(line.object_number, line.record, line.offset) for line in lines if line.object_number != 1]
            assert kept == [(n, r + 1, r * len(record)) for n in (0, 2) for r in range(3)]


def test_an_object_that_inflates_beyond_the_limit_is_unreadable(store: Store) -> None:
    objects = store([b'{"a":1}\n', compress(b'{"a":1}\n' * 1_000), b'{"b":1}\n'])
    events = []
    for event in ChunkReader(objects, limit=1_000, size=256).read():
        events.append((event.object_number, event.error.reason) if isinstance(event, Unreadable) else event)
        if isinstance(event, Chunk):
            event.release()
    assert (1, "too_large") in events


def test_a_record_longer_than_a_chunk_is_left_to_the_exact_scanner(store: Store) -> None:
    small, long = b'{"a":1}\n', b'{"b":"' + b"x" * 500 + b'"}\n'
    objects = store([small * 3, small * 20 + long + small, small * 3])
    for _ in range(2):
        lines: list[Line] = []
        left = []
        for event in ChunkReader(objects, limit=LIMIT, size=128).read():
            if isinstance(event, Chunk):
                lines += lines_in(event)
                event.release()
            else:
                assert isinstance(event, Unframed)
                left.append(event.object_number)
        assert left == [1]
        assert [(line.object_number, line.record) for line in lines if line.object_number != 1] == [
            (n, r) for n in (0, 2) for r in (1, 2, 3)
        ]
    pieces = [p for chunk in read_exactly(objects[1], limit=LIMIT, size=128) for p in chunk.pieces]
    assert [p.data for p in pieces] == [*[small.strip()] * 20, long.strip(), small.strip()]


def test_more_users_than_chunks_may_hold_them_at_once(store: Store) -> None:
    reader = ChunkReader(store([b'{"a":"0123456789"}\n' * 50]), limit=LIMIT, size=200, users=3)
    held: list[Chunk] = []
    texts = []
    for event in reader.read():
        assert isinstance(event, Chunk)
        held.append(event)
        if len(held) == 3:
            for chunk in held:  # filled meanwhile, and none of them overwritten
                texts += [line.data for line in lines_in(chunk)]
                chunk.release()
            held = []
    texts += [line.data for chunk in held for line in lines_in(chunk)]
    assert texts == [b'{"a":"0123456789"}'] * 50


def test_a_reader_that_is_left_early_leaves_no_thread(store: Store) -> None:
    events = ChunkReader(store([b'{"a":"0123456789"}\n' * 500]), limit=LIMIT, size=200).read()
    assert isinstance(next(events), Chunk)  # never released
    events.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "chunk-reader"]


def test_an_error_of_the_reading_thread_reaches_the_reader(store: Store, tmp_path: Path) -> None:
    (obj,) = store([b'{"a":1}\n'])
    gone = LocalObject(1, obj.ref, tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        list(ChunkReader([obj, gone], limit=LIMIT).read())
