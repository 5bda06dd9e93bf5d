"""Rows are staged while the first pass reads, as far as that pays. It may not show in what is staged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc_merge.errors import UnknownAttributes
from cdc_merge.feed import portions
from cdc_merge.feed.decode import Decoded, decode
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import Column, ColumnType, Condition, Evolve, Kind, Source, Target
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses.dialect import DUCKDB
from tests.support.decoding import NATIVE, READERS, choose, local_objects
from tests.support.records import Record, compress, frame, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = ColumnType(Kind.TEXT)
AGE = Column("age", ("Age",), ColumnType(Kind.INTEGER))
USER = Target("users", where=(Condition(("Type",), ("User",)),), columns=(AGE,), evolve=Evolve.FREEZE)
USERS = Source("shop", "", ("PK",), (USER,))
V, W = Column("v", ("v",), TEXT), Column("w", ("w",), TEXT)
ALL = Source("shop", "", ("PK",), (Target("items", columns=(V, W)),))
NEVER, ALWAYS = -1, 1


@pytest.fixture(autouse=True, params=READERS)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who reads the lines; a portion has one record, or two."""
    choose(monkeypatch, request.param)
    monkeypatch.setattr(portions, "chunk_size", lambda **_share: 900)
    return str(request.param)


@pytest.fixture(autouse=True, params=[NEVER, ALWAYS])
def passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Whether rows are staged in the first pass, in vain or not."""
    monkeypatch.setattr("cdc_merge.feed.effort.MOST_IN_VAIN", request.param)
    return int(request.param)


@dataclass
class Batch:
    decoded: Decoded
    bench: Workbench
    books: list[SchemaBook]

    def columns(self) -> list[str]:
        """Names of the first target's."""
        return [column.name for column in self.books[0].schema.columns]

    def rows(self) -> list[dict[str, Any]]:
        """What is staged for the first target, with the key's text."""
        found: list[dict[str, Any]] = self.bench.table(
            "SELECT partition_key, r.* EXCLUDE (n) FROM stage_rows_0 AS r LEFT JOIN stage_keys USING (n) ORDER BY ALL"
        ).to_pylist()
        return found


@pytest.fixture
def bench() -> Iterator[Workbench]:
    with Workbench(memory=200_000_000) as made:
        yield made


def run(bench: Workbench, folder: Path, *bodies: Sequence[Record] | bytes, source: Source = ALL) -> Batch:
    """Decode objects, of which the last one is read first."""
    books = [open_book(t, source.key, DUCKDB, None) for t in source.targets]
    return Batch(
        decode(bench, local_objects(folder, bodies), source=source, facts=FeedFacts(), books=books, dialect=DUCKDB),
        bench,
        books,
    )


def put(key: str, sequence: int, **attributes: Any) -> Record:
    return stream_record({"PK": key}, attributes, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def remove(key: str, sequence: int) -> Record:
    return stream_record({"PK": key}, None, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def test_a_row_that_a_newer_change_outdates_is_in_no_view(bench: Workbench, tmp_path: Path) -> None:
    batch = run(
        bench,
        tmp_path,
        [put("a", 3, v="new"), remove("b", 9), put("c", 4, v="new")],
        [put("a", 1, v="old"), put("b", 8, v="gone"), remove("c", 3), put("d", 1, v="only")],
    )

    assert [(row["partition_key"], row["c0"]) for row in batch.rows()] == [("a", "new"), ("c", "new"), ("d", "only")]
    keys = bench.rows("SELECT partition_key, removed, takes_0 FROM stage_keys ORDER BY ALL")
    assert keys == [("a", False, True), ("b", True, False), ("c", False, True), ("d", False, True)]
    assert (batch.decoded.latest, batch.decoded.superseded) == (4, 3)
    assert batch.decoded.newest_change_at == T0 + timedelta(seconds=9)


def test_only_what_the_newest_changes_are_like_is_noticed(bench: Workbench, tmp_path: Path) -> None:
    batch = run(
        bench,
        tmp_path,
        [put("a", 3, Type="User", Age=3), put("b", 4, Type="User", Age="young"), put("c", 5, Type="User", Age=1)],
        [put("a", 1, Type="User", Age="old"), put("c", 2, Type="Email"), put("d", 1, Type="Coupon")],
        source=USERS,
    )

    assert [(m.column, m.rows, m.key, m.value) for m in batch.decoded.misfits] == [("age", 1, ("b",), '{"S":"young"}')]
    assert batch.decoded.unmatched == {"Coupon": 1}


def test_a_misfit_is_told_by_a_row_that_is_not_outdated(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "chunk_size", lambda **_share: 1_600)  # an object each
    misfits = [put(f"k{i}", 1, Type="User", Age=f"of {i}") for i in range(3)]
    outdated = [put("k0", 2, Type="User", Age=1), put("k1", 2, Type="User", Age=1)]

    (misfit,) = run(bench, tmp_path, outdated, misfits, source=USERS).decoded.misfits

    assert (misfit.rows, misfit.key, misfit.value) == (1, ("k2",), '{"S":"of 2"}')


@pytest.mark.parametrize("order", [1, -1])
def test_an_unusable_change_that_is_outdated_is_no_reject(bench: Workbench, tmp_path: Path, order: int) -> None:
    without_image = put("a", 1, v="x")
    del without_image["dynamodb"]["NewImage"]

    batch = run(bench, tmp_path, *[[without_image], [put("a", 2, v="good")]][::order])

    assert [row["c0"] for row in batch.rows()] == ["good"]
    assert batch.decoded.quarantined == 0


@pytest.mark.parametrize("order", [1, -1])
def test_an_unusable_winner_gives_way_to_a_change_that_was_staged_before(
    bench: Workbench, tmp_path: Path, order: int
) -> None:
    without_image = put("a", 2, v="x")
    del without_image["dynamodb"]["NewImage"]

    batch = run(bench, tmp_path, *[[put("a", 1, v="good"), put("b", 1, v="b")], [without_image]][::order])

    assert [(row["partition_key"], row["c0"]) for row in batch.rows()] == [("a", "good"), ("b", "b")]
    assert (batch.decoded.latest, batch.decoded.quarantined) == (2, 1)


def test_of_an_object_that_breaks_off_nothing_stays(bench: Workbench, tmp_path: Path, reader: str, passes: int) -> None:
    broken = compress(frame([put(f"k{i}", 5, v="broken", w="x" * 400) for i in range(200)]))

    batch = run(bench, tmp_path, [put("k0", 1, v="whole"), put("z", 1, v="whole")], broken[: len(broken) - 9])

    assert [(row["partition_key"], row["c0"]) for row in batch.rows()] == [("k0", "whole"), ("z", "whole")]
    assert batch.decoded.records_of == {0: 2, 1: 1}
    was_staged = bench.rows("SELECT count(*) FROM facts")[0][0] > 2
    assert was_staged == ((reader, passes) == (NATIVE, ALWAYS))


def test_a_change_whose_object_is_read_exactly_is_staged_once(bench: Workbench, tmp_path: Path) -> None:
    body = frame([put(f"k{i}", 5, v="mine") for i in range(4)]) + b'{"damaged'

    batch = run(bench, tmp_path, [put("k0", 6, v="newer")], body, [put("k1", 6, v="newer")])

    found = [(row["partition_key"], row["c0"]) for row in batch.rows()]
    assert found == [("k0", "newer"), ("k1", "newer"), ("k2", "mine"), ("k3", "mine")]
    assert batch.decoded.quarantined == 1


@pytest.mark.parametrize("share", [0, 1e-6, 2e-6])
def test_what_was_staged_counts_also_when_changes_move_into_tables(
    bench: Workbench, tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc_merge.feed.envelopes.STORE_SHARE", share)
    old = [put(f"k{i:02}", 1, v="old") for i in range(40)]
    new = [put(f"k{i:02}", 2, v="new") for i in range(0, 40, 2)]

    batch = run(bench, tmp_path, new[:10], old[:20], new[10:], old[20:])

    assert [row["c0"] for row in batch.rows()] == ["new", "old"] * 20
    assert batch.decoded.latest == 40


@pytest.mark.parametrize("evolve", [Evolve.ADD, Evolve.FAIL])
@pytest.mark.parametrize("strange", ["outdated", "broken off"])
def test_what_is_not_merged_teaches_no_column(
    bench: Workbench, tmp_path: Path, evolve: Evolve, strange: str, passes: int
) -> None:
    source = Source("shop", "", ("PK",), (Target("items", columns=(V, W), evolve=evolve),))
    broken = compress(frame([put(f"k{i}", 5, Strange="x" * 300) for i in range(9)]))[:-9]
    bodies = [put("a", 1, Strange="x")] if strange == "outdated" else broken

    batch = run(bench, tmp_path, [put("a", 2, v="new"), put("z", 1, v="z")], bodies, source=source)

    assert batch.columns() == ["v", "w"]
    assert [row["c0"] for row in batch.rows()] == ["new", "z"]
    assert {row["rescued"] for row in batch.rows()} == {None}


def test_a_change_of_an_unknown_event_teaches_no_column(bench: Workbench, tmp_path: Path) -> None:
    strange = {**put("b", 1, Strange="x"), "eventName": "WHAT"}
    source = Source("shop", "", ("PK",), (Target("items"),))

    batch = run(bench, tmp_path, [strange], [put("a", 1, v="a")], [strange], source=source)

    assert batch.columns() == ["v"]
    assert batch.decoded.quarantined == 2


def test_what_is_merged_may_stop_the_source(bench: Workbench, tmp_path: Path) -> None:
    source = Source("shop", "", ("PK",), (Target("items", columns=(V, W), evolve=Evolve.FAIL),))

    with pytest.raises(UnknownAttributes, match=r"Strange \(record 1 of object1"):
        run(bench, tmp_path, [put("a", 2, v="new")], [put("b", 1, Strange="x")], source=source)


def test_new_attributes_of_the_newest_changes_become_columns(bench: Workbench, tmp_path: Path) -> None:
    source = Source("shop", "", ("PK",), (Target("items", columns=(V, W), evolve=Evolve.ADD),))

    batch = run(bench, tmp_path, [put("a", 1, v="a"), put("b", 1, v="b", X="x")], [put("c", 1, X="y")], source=source)

    assert batch.columns() == ["v", "w", "x"]
    assert [(row["c0"], row["c2"]) for row in batch.rows()] == [("a", None), ("b", "x"), (None, "y")]
    assert {row["rescued"] for row in batch.rows()} == {None}


def test_a_column_without_a_type_waits_for_a_value_of_a_newest_change(bench: Workbench, tmp_path: Path) -> None:
    later = Column("later", ("Later",), None)
    source = Source("shop", "", ("PK",), (Target("items", columns=(V, later), evolve=Evolve.FREEZE),))
    old = [put("a", 1, v="a", Later="text"), put("b", 1, v="b")]

    batch = run(bench, tmp_path, [put("a", 2, v="a"), put("c", 1, Later=7)], old, source=source)

    (column,) = [c for c in batch.books[0].schema.columns if c.name == "later"]
    assert column.type.kind is Kind.NUMERIC
    assert [(row["partition_key"], row["c1"]) for row in batch.rows()] == [("a", None), ("b", None), ("c", 7)]


def test_elements_are_staged_of_the_newest_changes(bench: Workbench, tmp_path: Path) -> None:
    target = Target("lines", each=("Lines",), columns=(Column("sku", ("Sku",), TEXT),), evolve=Evolve.FREEZE)
    source = Source("shop", "", ("PK",), (target,))
    line = {"Sku": "new", "Extra": 1}

    batch = run(
        bench,
        tmp_path,
        [put("a", 2, Lines=[line, {"Sku": "second"}]), put("b", 2, Lines=[])],
        [put("a", 1, Lines=[{"Sku": "old"}]), put("b", 1, Lines=[{"Sku": "gone"}]), put("c", 1, Lines=[{"Sku": "c"}])],
        source=source,
    )

    assert [(row["partition_key"], row["c0"]) for row in batch.rows()] == [("a", "new"), ("a", "second"), ("c", "c")]
    assert [row["rescued"] for row in batch.rows()] == ['{"Extra":{"N":"1"}}', None, None]


def test_lines_are_read_once_where_the_native_program_is_sure_of_them(
    bench: Workbench, tmp_path: Path, reader: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = []
    read = portions.Portions.read_fast

    def read_fast(self: portions.Portions) -> Any:
        readings.append(self)
        return read(self)

    monkeypatch.setattr(portions.Portions, "read_fast", read_fast)
    batch = run(bench, tmp_path, [put("a", 1, v="old"), put("b", 1, v="b")], [put("a", 2, v="new", w="new")])

    assert [row["c0"] for row in batch.rows()] == ["new", "b"]
    assert len(readings) == (1 if (reader, passes) == (NATIVE, ALWAYS) else 2)


def test_rows_are_staged_in_vain_only_so_often(
    bench: Workbench, tmp_path: Path, reader: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    most_outdated = {ALWAYS: 0.2, NEVER: NEVER}[passes]
    monkeypatch.setattr("cdc_merge.feed.effort.MOST_IN_VAIN", most_outdated)
    objects = [[put("a", sequence, v=str(sequence))] for sequence in range(20, 0, -1)]

    batch = run(bench, tmp_path, *objects)

    assert [row["c0"] for row in batch.rows()] == ["20"]
    staged_in_vain = bench.rows("SELECT count(*) FROM facts")[0][0] - 1
    # Four outdated ones are a fifth; the fifth was the newest until the pass went on without staging.
    assert staged_in_vain in ([1, 2, 3, 4, 5] if (reader, passes) == (NATIVE, ALWAYS) else [0])
