"""The native store of changes keeps each key once, and finds the newest change of each."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_merge.native.changes import Added, Changes, changes
from cdc_merge.native.looker import looker
from tests.support.decoding import NEEDS_NATIVE

pytestmark = NEEDS_NATIVE

KEYS = st.text("ab ä\0", min_size=0, max_size=2)
LABELS = st.sampled_from(["2026", "2026-01", "", "2026!", "a/b", "z\0"])
NUMBERS = st.sampled_from(
    ["1", "2", "10", "0", "00", "0010", "9" * 40, "1" + "0" * 39, "0" * 40, "9" * 41, "", "x", "-1"]
)


@dataclass(frozen=True)
class Record:
    partition_key: str
    sort_key: str
    number: str
    label: str | None

    @property
    def line(self) -> str:
        arn = {} if self.label is None else {"eventSourceARN": f"arn:aws:dynamodb:x:1:table/t/stream/{self.label}"}
        keys = {"p": {"S": self.partition_key}, "s": {"S": self.sort_key}}
        return json.dumps({"dynamodb": {"Keys": keys, "SequenceNumber": self.number}, **arn})

    @property
    def position(self) -> str | None:
        """As the workbench's macros make it; None where the record is no plain change."""
        label = self.label or ""
        is_number = 0 < len(self.number) <= 40 and self.number.isdigit()
        if not is_number or not self.partition_key or "/" in label or "\0" in label:
            return None
        return f"{label}/{self.number:0>40}"


RECORDS = st.builds(Record, KEYS, KEYS, NUMBERS, LABELS | st.none())


def store() -> Changes:
    made = changes()
    assert made
    return made


def add(target: Changes, records: Sequence[Record], *, chunk: int, number: int = 0) -> Added:
    reader = looker(["/dynamodb/Keys/p/S", "/dynamodb/Keys/s/S", "/dynamodb/SequenceNumber", "/eventSourceARN"])
    assert reader
    found = reader.find(pa.array([r.line for r in records], pa.string()))
    objects = np.full(len(records), number, np.int32)
    return target.add_records(found, has_sort_key=True, chunk=chunk, lines=None, objects=objects)


def add_records(target: Changes, records: Sequence[Record], *, chunk: int, number: int = 0) -> list[int]:
    """Returns the rows that were left out."""
    return add(target, records, chunk=chunk, number=number).left.tolist()


def add_texts(target: Changes, rows: Sequence[tuple[int, str, str, str]], *, chunk: int, number: int = 0) -> None:
    """`rows`: (line, partition key, sort key, position)."""
    idx, partition_key, sort_key, position = zip(*rows, strict=True) if rows else ((), (), (), ())
    target.add(
        pa.table(
            {
                "idx": pa.array(idx, pa.int32()),
                "object_number": pa.array([number] * len(rows), pa.int32()),
                "partition_key": pa.array(partition_key, pa.string()),
                "sort_key": pa.array(sort_key, pa.string()),
                "position": pa.array(position, pa.string()),
            }
        ),
        chunk=chunk,
    )


def rows_of(tables: Sequence[pa.Table]) -> set[tuple[str, str, str, int, int]]:
    columns = ("partition_key", "sort_key", "position", "chunk", "idx")
    rows = [tuple(row[c] for c in columns) for table in tables for row in table.to_pylist()]
    assert len(rows) == len(set(rows))
    return set(rows)


@given(st.lists(st.tuples(st.booleans(), st.lists(RECORDS, max_size=6)), max_size=5), st.integers(0, 5))
def test_the_newest_change_of_each_key_wins_by_the_text_of_its_position(
    chunks: list[tuple[bool, list[Record]]], forgotten: int
) -> None:
    target = store()
    expected = []
    for chunk, (by_texts, records) in enumerate(chunks):
        plain = [(i, r.partition_key, r.sort_key, r.position) for i, r in enumerate(records) if r.position is not None]
        if by_texts:  # as those come that DuckDB had to look at
            add_texts(target, [(i, p, s, at) for i, p, s, at in plain if at is not None], chunk=chunk, number=chunk)
        else:
            left = add_records(target, records, chunk=chunk, number=chunk)
            assert sorted(left) == [i for i, r in enumerate(records) if r.position is None]
        if chunk != forgotten:
            expected += [(p, s, at, chunk, i) for i, p, s, at in plain]
    target.forget([forgotten])

    newest: dict[tuple[str, str], tuple[bytes, int, int]] = {}
    for p, s, position, chunk, line in expected:
        at = (position or "").encode(), -chunk, -line  # of equal positions the first that came
        newest[p, s] = max(newest.get((p, s), at), at)
    assert rows_of(list(target.all())) == set(expected)
    assert rows_of(list(target.newest())) == {(*k, at.decode(), -c, -i) for k, (at, c, i) in newest.items()}
    counted = target.counts(len(chunks))
    assert counted == {n: count for n in range(len(chunks)) if (count := sum(row[3] == n for row in expected))}


@given(st.lists(st.tuples(st.booleans(), st.lists(RECORDS, max_size=6)), max_size=6), st.sets(st.integers(0, 5)))
def test_it_says_which_of_the_records_are_the_newest_of_their_keys_so_far_by_numbers_that_stay(
    chunks: list[tuple[bool, list[Record]]], forgotten: set[int]
) -> None:
    target = store()
    found: dict[tuple[int, int], tuple[str, str, str]] = {}
    said: dict[int, tuple[int, int]] = {}
    for chunk, (forgets, records) in enumerate(chunks):
        if forgets:
            target.forget(sorted(forgotten))
            found = {place: change for place, change in found.items() if place[0] not in forgotten}
        added = add(target, records, chunk=chunk, number=chunk)
        plain = {(chunk, i): (r.partition_key, r.sort_key, r.position) for i, r in enumerate(records) if r.position}
        found |= plain
        in_order = sorted(found.items(), key=lambda f: f[1][2].encode(), reverse=True)
        newest: dict[tuple[str, str], tuple[int, int]] = {}
        for place, (p, s, _) in in_order:
            newest.setdefault((p, s), place)
        assert [(chunk, row) for row in added.rows.tolist()] == [p for p in plain if p in newest.values()]
        assert added.count == len(plain)
        numbers = added.numbers.tolist()
        assert not set(numbers) & set(said)
        said |= dict(zip(numbers, ((chunk, row) for row in added.rows.tolist()), strict=True))

    for tables, complete in ((target.all(), False), (target.newest(), True)):
        for row in (row for table in tables for row in table.to_pylist()):
            place = row["chunk"], row["idx"]
            assert said.get(row["n"], place) == place
            assert not complete or row["n"] in said or any(forgets for forgets, _ in chunks)
    assert target.keys >= len({change[:2] for change in found.values()})
    assert target.given >= max(said, default=0)


def test_a_stream_that_was_switched_on_later_has_the_newer_changes_whatever_their_numbers() -> None:
    target = store()
    labels = ["2026-02", "2026-01", "2026-01-15", "2026-03", ""]
    records = [Record("a", "", f"9{5 - place}", label) for place, label in enumerate(labels)]
    add_records(target, records, chunk=0)

    (newest,) = rows_of(list(target.newest()))

    assert newest[2] == "2026-03/" + "92".rjust(40, "0")


def test_it_holds_more_keys_than_one_slice_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc_merge.native.changes._SLICE", 100)
    target = store()
    records = [Record(f"key {i % 777}", "", str(i), "2026") for i in range(2_000)]
    assert add_records(target, records, chunk=3) == []

    newest = list(target.newest())

    assert [len(table) for table in newest] == [100] * 7 + [77]
    assert {int(position.partition("/")[2]) for *_, position, _, _ in rows_of(newest)} == set(range(2_000 - 777, 2_000))


def test_a_stream_of_its_own_for_each_record_is_left_to_duckdb_before_it_takes_long() -> None:
    records = [Record("a", "", "1", f"stream {i}") for i in range(3_000)]

    assert add_records(store(), records, chunk=0) == list(range(1_000, 3_000))


def test_long_keys_come_in_smaller_slices() -> None:
    target = store()
    add_records(target, [Record("x" * 2**20, str(i), "1", None) for i in range(20)] * 2, chunk=0)

    slices = [len(table) for table in target.all()]

    assert sum(slices) == 40
    assert max(slices) <= 16


def test_rows_outlive_their_store() -> None:
    target = store()
    add_records(target, [Record("a", "b", "7", None)], chunk=0)
    (table,) = target.newest()
    del target

    assert table.column("position").to_pylist() == ["/" + "7".rjust(40, "0")]


def test_several_threads_may_add_at_once() -> None:
    target = store()

    def work(chunk: int) -> None:
        for turn in range(10):
            add_records(target, [Record(f"{i}", "", str(turn), "x") for i in range(500)], chunk=chunk * 10 + turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(len(table) for table in target.all()) == 20_000
    newest = rows_of(list(target.newest()))
    assert len(newest) == 500
    assert {(row[2], row[3] % 10) for row in newest} == {("x/" + "9".rjust(40, "0"), 9)}
