"""What a batch could not use is staged for the quarantine piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.rejects import Reject, Rejects
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import ObjectRef
from cdc_merge.staging import quarantine_rows

OBJECTS = [LocalObject(n, ObjectRef(f"k{n}", "v", 1, datetime(2026, 1, 1, tzinfo=UTC)), Path("x")) for n in range(2)]


@pytest.fixture
def workbench() -> Iterator[Workbench]:
    with Workbench(memory=50_000_000, threads=1) as workbench:
        yield workbench


def test_unusable_records_are_never_in_memory_all_at_once(workbench: Workbench) -> None:
    """They are more than the workbench may hold."""
    rejects = Rejects(workbench)
    rejects.add(Reject(1, None, None, "corrupt", "the object", None))
    for number in range(2_000):
        rejects.add(Reject(0, number + 1, number, "not_a_record", "x", b"%d" % number * 10_000))
    rejects.add(Reject(0, 2_001, 2_000, "too_long", "larger than a portion", b"x" * 500_000))
    rejects.flush()
    rejects.forget_objects([1])
    reader = quarantine_rows(workbench, OBJECTS, source="shop", bucket="b", portion_bytes=1_000_000)
    found = []
    for batch in reader:
        assert batch.num_rows <= 16 or batch.get_total_buffer_size() < 3_000_000
        found += batch.select(["record", "byte_offset", "raw", "object_key", "id"]).to_pylist()
    assert sorted(f["record"] for f in found) == list(range(1, 2_002))
    assert all(f["raw"] == b"%d" % f["byte_offset"] * 10_000 for f in found if f["record"] <= 2_000)
    assert {f["object_key"] for f in found} == {"k0"}
    assert len({f["id"] for f in found}) == len(found)


def test_nothing_unusable_gives_no_rows(workbench: Workbench) -> None:
    Rejects(workbench)
    assert quarantine_rows(workbench, OBJECTS, source="shop", bucket="b").read_all().num_rows == 0
