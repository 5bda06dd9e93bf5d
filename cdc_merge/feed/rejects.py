"""What a batch could not use: records and whole objects, each with place, reason and bytes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from cdc_merge.feed.workbench import Workbench

_SCHEMA = pa.schema(
    [
        ("object_number", pa.int32()),
        ("record", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("raw", pa.binary()),
        ("size", pa.int64()),
    ]
)
_FLUSH_BYTES = 8 * 2**20
_ROW_BYTES = 200  # what a row takes beside its raw bytes


@dataclass(frozen=True)
class Reject:
    """One unusable record (`record` counts from 1 in its object), or a whole object (record None)."""

    object_number: int
    record: int | None
    byte_offset: int | None
    reason: str
    detail: str
    raw: bytes | None

    @property
    def size(self) -> int:
        """Bytes it takes in memory, about."""
        return len(self.raw or b"") + _ROW_BYTES


class Rejects:
    """Collects rejects in the workbench's table `rejected`, which can spill."""

    def __init__(self, workbench: Workbench) -> None:
        self._bench = workbench.bench()
        self._lock = threading.Lock()
        self._rows: list[Reject] = []
        self._held = 0
        workbench.execute(
            "CREATE TABLE rejected (object_number INTEGER, record BIGINT, byte_offset BIGINT, reason VARCHAR, "
            "detail VARCHAR, raw BLOB, size BIGINT)"
        )

    def add(self, reject: Reject) -> None:
        """May be called from any thread."""
        with self._lock:
            # A detail may quote the record, and not every warehouse's text holds U+0000.
            self._rows.append(replace(reject, detail=reject.detail.replace("\x00", "\\x00")))
            self._held += reject.size
            if self._held > _FLUSH_BYTES:
                self._flush()

    def forget_objects(self, numbers: Sequence[int]) -> None:
        """Drop what was said of objects' records."""
        self.flush()
        listed = ", ".join(map(str, numbers))
        self._bench.execute(f"DELETE FROM rejected WHERE object_number IN ({listed})")

    def flush(self) -> None:
        """Bring everything into the table."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = {name: [getattr(r, name) for r in self._rows] for name in _SCHEMA.names}
        with self._bench.naming(more=pa.table(columns, schema=_SCHEMA)):
            self._bench.execute("INSERT INTO rejected SELECT * FROM more")
        self._rows, self._held = [], 0

    def count(self) -> int:
        self.flush()
        return int(self._bench.rows("SELECT count(*) FROM rejected")[0][0])
