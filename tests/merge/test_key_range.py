"""The range of a batch's keys in its statements: on engines that read only blocks of it where literals say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pytest

from cdc_merge.feed.workbench import Workbench
from cdc_merge.key_range import key_range
from cdc_merge.merge.planned import KeyRange
from cdc_merge.model import Source, Target
from cdc_merge.render import Sql
from cdc_merge.warehouses import Statement
from tests.support.harness import Harness
from tests.support.postgres import PostgresServer, drop_database, fresh_database
from tests.support.records import Record, stream_record

T0 = datetime(2026, 1, 1, tzinfo=UTC)

Range = Callable[..., KeyRange | None]


@pytest.fixture
def found() -> Iterator[Range]:
    with Workbench(memory=100_000_000) as workbench:

        def of(*keys: str, tag: str, decimal: str | None = "DECIMAL(38, 18)", is_utf8: bool = True) -> KeyRange | None:
            rows = ", ".join("('" + key.replace("'", "''") + "')" for key in keys) or "(NULL)"
            workbench.execute(
                f"CREATE OR REPLACE TABLE stage_keys AS SELECT * FROM (VALUES {rows}) AS t (partition_key)"
            )
            return key_range(workbench, tag, decimal=decimal, is_utf8=is_utf8)

        yield of


@pytest.mark.parametrize(
    ("tag", "keys", "wanted"),
    [
        ("S", ("b", "a", "ä", "Z"), KeyRange("Z", "ä")),
        ("S", ("a", "a\x01"), None),  # which of the two is less, where blanks at the end do not count?
        ("N", ("9", "10", "-3", "-20"), KeyRange(Sql("-20.000000000000000000"), Sql("10.000000000000000000"))),
        ("N", ("1", "123456789012345678901234567890"), None),  # more than the engine's decimals hold
        ("B", ("YQ==",), None),
        ("S", (), None),
    ],
)
def test_a_range_has_all_keys_in_the_order_of_the_engine_or_is_none(
    found: Range, tag: str, keys: tuple[str, ...], wanted: KeyRange | None
) -> None:
    assert found(*keys, tag=tag) == wanted


def test_texts_in_an_unknown_encoding_have_a_range_of_ascii_alone(found: Range) -> None:
    assert found("a", "aä", "b", tag="S", is_utf8=False) == KeyRange("a", "b")
    assert found("a", "ä", tag="S", is_utf8=False) is None


def test_numbers_of_any_size_have_no_range(found: Range) -> None:
    assert found("1", "2", tag="N", decimal=None) is None


def test_a_batch_that_leaves_no_room_to_look_for_its_range_has_none(
    found: Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_bench: Workbench, _sql: str) -> None:
        raise duckdb.OutOfMemoryException

    monkeypatch.setattr(Workbench, "rows", full)
    assert found("a", tag="S") is None


TEXTS, NUMBERS = ("it's", "b\\", "z"), (3, -5, 20)


@pytest.mark.parametrize(
    ("engine", "keys", "wanted"),
    [
        pytest.param("redshift", TEXTS, "('b' || chr(92) || '') AND 'it''s'", marks=pytest.mark.redshift),
        pytest.param("redshift", NUMBERS, "-5.000000000000000000 AND 3.000000000000000000", marks=pytest.mark.redshift),
        ("postgres", TEXTS, "'b\\' AND 'it''s'"),
    ],
)
def test_a_merge_looks_for_rows_within_the_range_of_its_keys(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    keys: tuple[Any, ...],
    wanted: str,
) -> None:
    said: list[str] = []
    original = Statement.__init__

    def noted(self: Statement, label: str, sql: str, *args: Any, **kwargs: Any) -> None:
        said.append(sql)
        original(self, label, sql, *args, **kwargs)

    monkeypatch.setattr(Statement, "__init__", noted)
    harness = Harness(
        request.getfixturevalue(f"{engine}_url"), Source("shop", "", ("PK",), (Target("items"),)), tmp_path / "feed"
    )
    harness.put_records([change(key, n, 1) for n, key in enumerate(keys)])
    harness.run()
    harness.put_records([change(keys[0], 10, 2), change(keys[1], 11, None)])
    harness.run()

    assert harness.query(f"SELECT pk, v FROM {harness.schema}.items ORDER BY v") == [(keys[2], 1), (keys[0], 2)]
    ranges = [sql.partition(" BETWEEN ")[2].partition("\n")[0] for sql in said if " BETWEEN " in sql]
    each = 2 if engine == "redshift" else 1  # the guard, and where rows have no address the delete
    assert ranges[-each:] == [wanted] * each and len(ranges) == 2 * each


def test_a_backslash_in_a_key_is_one_whatever_the_database_thinks(postgres_url: str, tmp_path: Path) -> None:
    legacy = f"{postgres_url}?options=-c%20standard_conforming_strings%3Doff"
    harness = Harness(legacy, Source("shop", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    keys = ("a\\", "a\\'; DROP SCHEMA cdc_merge; --")
    for n in range(2):
        harness.put_records([change(key, 2 * n + i, n) for i, key in enumerate(keys)])
        harness.run()
    assert sorted(harness.query(f"SELECT pk, v FROM {harness.schema}.items")) == [(key, 1) for key in keys]


def test_rows_are_found_in_a_database_whose_bytes_are_in_another_order(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = fresh_database(postgres, encoding="LATIN9")  # there é is 0xE9 and € 0xA4
    try:
        harness = Harness(url, Source("shop", "", ("PK",), (Target("items"),)), tmp_path / "feed")
        for n, value in enumerate((1, 2)):
            harness.put_records([change("é", 2 * n, value), change("€", 2 * n + 1, value)])
            harness.run()
        harness.put_records([change("é", 4, None), change("€", 5, 3)])
        harness.run()
        assert harness.query(f"SELECT pk, v FROM {harness.schema}.items") == [("€", 3)]
    finally:
        drop_database(postgres, url)


def test_rows_are_found_whatever_became_of_the_collation(postgres_url: str, tmp_path: Path) -> None:
    targets = (Target("items"), Target("lines", each=("V",)))
    harness = Harness(postgres_url, Source("shop", "", ("PK",), targets), tmp_path / "feed")
    harness.put_records([change("a", 1, 1), change("B", 2, 2)])  # a is less than B in English, but not by its byte
    harness.run()
    with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
        for target in targets:
            cursor.execute(f'ALTER TABLE {harness.schema}.{target.table} ALTER pk TYPE text COLLATE "default"')

    harness.put_records([change("a", 3, None), change("B", 4, None)])
    harness.run()

    for target in targets:
        assert harness.query(f"SELECT pk FROM {harness.schema}.{target.table}") == []


def test_keys_that_cannot_be_put_in_order_are_merged_all_the_same(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Workbench.reader

    def without_room(self: Workbench, sql: str) -> pa.RecordBatchReader:
        self.execute(f"SET memory_limit = '{1 if 'ORDER BY' in sql else 100}MB'")
        return read(self, sql)

    monkeypatch.setattr(Workbench, "reader", without_room)
    harness = Harness(postgres_url, Source("shop", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    harness.put_records([change(f"{n}", n, n) for n in range(3)])
    harness.run()
    assert len(harness.query(f"SELECT pk FROM {harness.schema}.items")) == 3


def change(key: Any, sequence: int, value: int | None) -> Record:
    image = None if value is None else {"V": value}
    return stream_record({"PK": key}, image, sequence=sequence, at=T0 + timedelta(seconds=sequence))


def test_keys_with_ends_of_lines_in_them_are_found_again(warehouse_url: str, tmp_path: Path) -> None:
    """Where a batch has one key, it is both ends of the range, as a literal."""
    harness = Harness(warehouse_url, Source("shop", "", ("PK",), (Target("items"),)), tmp_path / "feed")
    keys = ("\u2028", "a\u2028b", "\x85c", "d\ne")
    for sequence, value in enumerate(("x", "y"), start=1):
        for key in keys:
            at = T0 + timedelta(seconds=sequence)
            harness.put_records([stream_record({"PK": key}, {"PK": key, "v": value}, sequence=sequence, at=at)])
            harness.run()
    rows = harness.query(f"SELECT pk, v FROM {harness.schema}.items")
    assert sorted(rows) == sorted((key, "y") for key in keys)
