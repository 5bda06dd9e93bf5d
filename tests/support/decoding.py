"""The ways in which a batch may be decoded: none of them may show in what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import strategies as st

from cdc_merge import native
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.model import ObjectRef
from tests.support.records import Record, frame

NATIVE, BY_DUCKDB = "native", "by DuckDB"
NEEDS_NATIVE = pytest.mark.skipif(not native.is_there(), reason="the native program was not built: no Rust compiler")
SMALL_PORTION = 2_000  # bytes: some few records
READERS = [pytest.param(NATIVE, marks=NEEDS_NATIVE), BY_DUCKDB]


def local_objects(folder: Path, bodies: Sequence[Sequence[Record] | bytes]) -> list[LocalObject]:
    """The objects of a batch: records, one a line, or bytes as they are."""
    objects = []
    for number, body in enumerate(bodies):
        data = body if isinstance(body, bytes) else frame(body)
        path = folder / str(number)
        path.write_bytes(data)
        ref = ObjectRef(f"object{number}", "v", len(data), datetime(2026, 1, 1, tzinfo=UTC))
        objects.append(LocalObject(number, ref, path))
    return objects


def choose(patch: pytest.MonkeyPatch, reader: str) -> None:
    """Let a reader do the work from now on."""
    patch.setenv(native.SWITCH, "1" if reader == NATIVE else "0")


def vary(patch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    """By either reader; changes kept outside of DuckDB, or in tables after the first; rows copied, or left there.

    Lines in one portion, or in many; rows staged in the first pass: none, until some are in vain, or all.
    """
    choose(patch, data.draw(st.sampled_from([NATIVE, BY_DUCKDB])))
    patch.setattr("cdc_merge.feed.envelopes.STORE_SHARE", data.draw(st.sampled_from([0, 0.2])))
    patch.setattr("cdc_merge.feed.shelf.FEW_ROWS", data.draw(st.sampled_from([1, 512])))
    patch.setattr("cdc_merge.feed.effort.MOST_IN_VAIN", data.draw(st.sampled_from([-1, 0.2, 1])))
    if data.draw(st.booleans()):
        patch.setattr("cdc_merge.feed.portions.chunk_size", lambda **_share: SMALL_PORTION)
