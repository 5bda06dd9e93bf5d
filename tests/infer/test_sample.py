"""Which objects a sample reads, and where it cuts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_merge.infer.sample import cut_head, plan_sample, spread
from tests.support.records import Style, compress, frame, stream_record


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 1_000])
def test_the_first_objects_of_a_sample_lie_evenly_from_the_first_to_the_last(count: int) -> None:
    order = spread(range(count))
    assert sorted(order) == list(range(count))
    few = sorted(order[: max(1, count // 4)])
    gaps = [b - a for a, b in zip([0, *few], [*few, count], strict=True)]
    assert max(gaps) <= 8


def test_each_object_gives_an_even_share_unless_there_are_very_many() -> None:
    assert plan_sample(4, records=1_000).of_each == 250
    assert plan_sample(3, records=1_000).of_each == 334
    assert plan_sample(100_000, records=1_000).of_each == 5
    assert plan_sample(100_000, records=None).of_each is None


RECORDS = [stream_record({"Id": f"{n}"}, {"Note": "} {" * n}, sequence=n + 1, at=1) for n in range(200)]


@pytest.mark.parametrize("style", ["ndjson", "concatenated", "crlf", "pretty"])
def test_a_head_ends_where_a_record_ends(tmp_path: Path, style: Style) -> None:
    path, head = tmp_path / "object", tmp_path / "head"
    path.write_bytes(compress(frame(RECORDS, style)))
    assert cut_head(path, 50, head) == head
    rest = frame(RECORDS[:50], style)
    assert head.read_bytes().rstrip() == rest.rstrip()


def test_an_object_with_fewer_records_is_its_own_head(tmp_path: Path) -> None:
    path, head = tmp_path / "object", tmp_path / "head"
    path.write_bytes(frame(RECORDS))
    assert cut_head(path, 1_000, head) == path
    assert not head.exists()


def test_a_head_of_an_object_larger_than_what_is_read_at_once_has_the_right_records(tmp_path: Path) -> None:
    path, head = tmp_path / "object", tmp_path / "head"
    many = RECORDS * 100
    path.write_bytes(frame(many))
    assert cut_head(path, 15_000, head) == head
    assert head.read_bytes() == frame(many[:15_000])
