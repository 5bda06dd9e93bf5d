"""The texts at JSON pointers of some lines, whoever reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from cdc_merge.feed import shape
from cdc_merge.feed.texts import Rows, Texts
from cdc_merge.feed.workbench import Workbench
from tests.support.decoding import READERS, choose


@pytest.fixture(params=READERS)
def workbench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    choose(monkeypatch, request.param)
    with Workbench(memory=100_000_000) as made:
        yield made


def look(
    workbench: Workbench, lines: Sequence[str], picks: Sequence[int]
) -> dict[int, tuple[str | None, str | None, int]]:
    """(text at /a, text at /b/c, members of b) by the number of the line."""
    array = pa.array(lines, pa.string())
    pointers = shape.Pointers()
    a, c = pointers.value("/a"), pointers.value("/b/c")
    given = pa.table({"idx": pa.array(picks, pa.int32()), "twice": pa.array([2 * pick for pick in picks])})
    numbered = pa.table({"line": array, "idx": pa.array(range(len(lines)), pa.int32())})
    rows = Rows(array, "chosen AS c JOIN lines AS l ON l.idx = c.idx", "l.idx, c.twice", given)
    with (
        workbench.naming(chosen=given, lines=numbered),
        Texts().looked(workbench, rows, pointers, counted="/b") as looked,
    ):
        found = workbench.rows(f"SELECT idx, twice, {a}, {c}, width FROM {looked.text}")
    assert all(twice == 2 * idx for idx, twice, *_ in found)
    assert sorted(picks) == sorted(idx for idx, *_ in found)
    return {idx: tuple(rest) for idx, _, *rest in found}


def test_each_line_has_its_own_texts_in_whatever_order_the_lines_are_chosen(workbench: Workbench) -> None:
    lines = [json.dumps({"a": f"a{i}", "b": {"c": i, "d": 0}}) for i in range(50)]
    everything = list(reversed(range(50)))

    for picks in (everything, [7, 3, 49], [0]):
        assert look(workbench, lines, picks) == {i: (f"a{i}", str(i), 2) for i in picks}


def test_lines_that_only_duckdb_reads_are_among_them(workbench: Workbench) -> None:
    odd = {3: ('{"a":"x","a":"y"}', ("x", None, None)), 17: ('{"b":{"c":-0.0,}}', (None, "-0.0", 1))}
    lines = [odd[i][0] if i in odd else json.dumps({"a": str(i)}) for i in range(50)]
    expected = {i: odd[i][1] if i in odd else (str(i), None, None) for i in range(50)}

    assert look(workbench, lines, range(50)) == expected
    assert look(workbench, lines, [17, 3]) == {i: expected[i] for i in (17, 3)}
