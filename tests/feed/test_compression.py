"""Objects are opened by what they are, whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import cramjam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isal import igzip

from cdc_merge.errors import UnreadableObject
from cdc_merge.feed.compression import open_plain

STREAM = b"\xff\x06\x00\x00sNaPpY"
LINES = b"".join(
    json.dumps({"eventID": str(i), "noise": random.Random(i).randbytes(40).hex()}).encode() + b"\n" for i in range(3000)
)


def read(path: Path, *, limit: int | None = None, at_once: int = 50_000) -> bytes:
    out, buffer = b"", bytearray(at_once)
    with open_plain(path, limit=limit) as reader:
        while count := reader.readinto(memoryview(buffer)):
            out += buffer[:count]
    return out


def snappy_raw(plain: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(plain))


def hadoop_snappy(plain: bytes, *, block: int = 100_000, chunk: int = 30_000) -> bytes:
    out = b""
    for start in range(0, len(plain), block):
        piece = plain[start : start + block]
        out += struct.pack(">I", len(piece))
        for first in range(0, len(piece), chunk):
            stored = snappy_raw(piece[first : first + chunk])
            out += struct.pack(">I", len(stored)) + stored
    return out


def zipped(*plain: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, entry in enumerate(plain):
            archive.writestr(f"{number}.json", entry)
    return file.getvalue()


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda plain: plain,
    "gzip": lambda plain: gzip.compress(plain, 1),
    "zip": zipped,
    "framed snappy": lambda plain: bytes(cramjam.snappy.compress(plain)),
    "hadoop snappy": hadoop_snappy,
    "raw snappy": snappy_raw,
    "zstd": lambda plain: bytes(cramjam.zstd.compress(plain)),
}
CUT = [name for name in CODECS if name not in ("plain", "raw snappy")]  # of these, a cut is noticed


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("at_once", [1000, 2**20])
def test_an_object_of_any_format_gives_its_plain_bytes(tmp_path: Path, codec: str, at_once: int) -> None:
    path = tmp_path / "object-without-an-extension"
    path.write_bytes(CODECS[codec](LINES))
    assert read(path, at_once=at_once) == LINES


@pytest.mark.parametrize("codec", CODECS)
def test_the_name_has_no_say(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "object.parquet.gz.zip"
    path.write_bytes(CODECS[codec](b'{"a":1}\n'))
    assert read(path) == b'{"a":1}\n'


@pytest.mark.parametrize("codec", CODECS)
def test_an_object_without_content_is_empty(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "object"
    path.write_bytes(CODECS[codec](b"") if codec not in ("hadoop snappy", "raw snappy") else b"\0\0\0\0")
    assert read(path) == b""


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "object.gz"
    path.write_bytes(b"")
    assert read(path) == b""


@pytest.mark.parametrize(
    "stored",
    [
        gzip.compress(b"one\n") + igzip.compress(b"two\n") + gzip.compress(b"") + gzip.compress(b"three\n"),
        gzip.compress(b"one\ntwo\nthree\n") + b"\0" * 700,
        zipped(b"one\n", b"", b"two\n", b"three\n"),
        zipped(b"one\n", b"two\nthree\n", method=zipfile.ZIP_STORED),
        b"".join(bytes(cramjam.zstd.compress(part)) for part in (b"one\n", b"", b"two\n", b"three\n")),
        b"\x50\x2a\x4d\x18\x03\0\0\0abc" + bytes(cramjam.zstd.compress(b"one\ntwo\nthree\n")),
        bytes(cramjam.snappy.compress(b"one\n")) + bytes(cramjam.snappy.compress(b"two\nthree\n")),
        bytes(cramjam.snappy.compress(b"one\ntwo\nthree\n")) + b"\xfe\x02\0\0ab\x80\x01\0\0c",
        hadoop_snappy(b"one\n") + b"\0\0\0\0" + hadoop_snappy(b"two\nthree\n"),
    ],
    ids=["members", "zero padding", "entries", "stored", "frames", "skippable", "streams", "padding", "empty block"],
)
def test_an_object_in_several_parts_is_read_to_its_end(tmp_path: Path, stored: bytes) -> None:
    path = tmp_path / "object"
    path.write_bytes(stored)
    assert read(path) == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    "text", [b"{}", b"[", b"{ ", b"\n\n", b"{ 7@3", b'{ "a":1}', b"\xef\xbb\xbf{}", b" {}", b"\0\0\0\0\0"]
)
def test_short_text_is_not_taken_for_snappy(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "object"
    path.write_bytes(text)
    assert read(path) == text


@pytest.mark.parametrize(("magic", "reason"), [(b"PAR1", "parquet"), (b"ORC\x0a", "orc")])
def test_columnar_objects_are_refused_with_the_cure(tmp_path: Path, magic: bytes, reason: str) -> None:
    path = tmp_path / "object.json"
    path.write_bytes(magic + b"\x15\x04\x15" * 100)
    with pytest.raises(UnreadableObject) as caught:
        read(path)
    assert (caught.value.reason, caught.value.where) == (reason, "object.json")
    assert "turn record format conversion off" in (caught.value.hint or "")


@pytest.mark.parametrize("codec", CUT)
def test_an_object_cut_off_is_corrupt_wherever_it_is_cut(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "object"
    stored = CODECS[codec](LINES)
    for length in (len(stored) - 1, len(stored) - 9, len(stored) // 2):
        path.write_bytes(stored[:length])
        with pytest.raises(UnreadableObject) as caught:
            read(path)
        assert (caught.value.reason, caught.value.where) == ("corrupt", "object")


@pytest.mark.parametrize("codec", ["gzip", "zip", "framed snappy"])
def test_a_flipped_bit_in_the_middle_is_noticed_by_the_checksum(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "object"
    stored = bytearray(CODECS[codec](LINES))
    stored[len(stored) // 2] ^= 4
    path.write_bytes(stored)
    with pytest.raises(UnreadableObject) as caught:
        read(path)
    assert caught.value.reason == "corrupt"


def test_bytes_after_the_last_gzip_member_are_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(gzip.compress(b"one\n") + b"{}")
    with pytest.raises(UnreadableObject):
        read(path)


@pytest.mark.parametrize("codec", CODECS)
def test_more_than_the_limit_is_too_large_and_the_limit_itself_is_not(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "object"
    path.write_bytes(CODECS[codec](LINES))
    assert read(path, limit=len(LINES)) == LINES
    with pytest.raises(UnreadableObject) as caught:
        read(path, limit=len(LINES) - 1)
    assert caught.value.reason == "too_large"
    assert "batch.bytes" in (caught.value.hint or "")


@pytest.mark.parametrize("codec", ["gzip", "zip", "zstd"])
def test_a_bomb_stops_at_the_limit_in_little_memory(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "object"
    path.write_bytes(CODECS[codec](bytes(50 * 2**20)))
    buffer = bytearray(2**16)
    tracemalloc.start()
    with open_plain(path, limit=10**6) as reader, pytest.raises(UnreadableObject):
        while reader.readinto(buffer):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


@pytest.mark.parametrize(
    "stored",
    [
        STREAM + b"\x00\xff\xff\xff" + b"x" * 100,
        STREAM + b"\x02\x01\x00\x00x",
        struct.pack(">II", 2**26, 20) + b"\xff\xff\xff\x1f" + b"\xfc" * 16,  # four gigabytes of nothing
        struct.pack(">II", 100, 20) + b"\x64" + b"\xfc" * 19,
        hadoop_snappy(b"one\n") + struct.pack(">II", 2**32 - 1, 2**31),
    ],
)
def test_a_hostile_snappy_length_allocates_nothing(tmp_path: Path, stored: bytes) -> None:
    path = tmp_path / "object"
    path.write_bytes(stored)
    tracemalloc.start()
    with pytest.raises(UnreadableObject) as caught:
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.reason == "corrupt"
    assert peak < 2 * 2**20


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    stored = bytearray(zipped(b"one\n"))
    directory = stored.index(b"PK\x01\x02")
    stored[6] |= 1
    stored[directory + 8] |= 1
    path = tmp_path / "object"
    path.write_bytes(stored)
    with pytest.raises(UnreadableObject) as caught:
        read(path)
    assert caught.value.reason == "encrypted"


def test_a_zip_of_a_method_that_cannot_be_bounded_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(zipped(b"one\n", method=zipfile.ZIP_BZIP2))
    with pytest.raises(UnreadableObject) as caught:
        read(path)
    assert caught.value.reason == "unsupported"


SMALL = {name: encode(LINES[:5000]) for name, encode in CODECS.items()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_objects_are_read_or_unreadable_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    stored = bytearray(data.draw(st.sampled_from(list(SMALL.values())) | st.binary(max_size=200)))
    for _ in range(data.draw(st.integers(0, 4))):
        if stored:
            stored[data.draw(st.integers(0, len(stored) - 1) | st.integers(0, min(60, len(stored) - 1)))] = data.draw(
                st.integers(0, 255)
            )
    path = tmp_path / "object"
    path.write_bytes(stored[: data.draw(st.integers(0, len(stored)) | st.just(len(stored)))])
    try:
        read(path, limit=10**7)
    except UnreadableObject as error:
        assert error.where == "object"
