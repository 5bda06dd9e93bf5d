"""The rows that a batch adds to the ledger, to the quarantine and to what was noticed, as Arrow."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.notices import OTHERS, Misfit
from cdc_merge.feed.workbench import Workbench
from cdc_merge.model import ObjectRef

MOST_ENTITIES = 1_000  # of one source in `unmatched`: keys without a common prefix have no end

PORTION_BYTES = 4 * 2**20  # of unusable records, in memory at once


class Place(NamedTuple):
    """Where a record lay that was taken out of quarantine, and the id that it had there."""

    id: str
    record: int | None
    byte_offset: int | None


_REJECTED = "object_number, record, byte_offset, reason, detail, raw"
_FEW = 16  # rows that are never parted
_QUARANTINE = pa.schema(
    [
        ("id", pa.string()),
        ("bucket", pa.string()),
        ("object_key", pa.string()),
        ("version", pa.string()),
        ("record", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("raw", pa.binary()),
    ]
)


def ledger_rows(objects: Sequence[ObjectRef], *, bucket: str, records_of: Mapping[int, int]) -> pa.Table:
    """One row per object; `records_of` by its place among them."""
    return pa.table(
        {
            "bucket": pa.array([bucket] * len(objects), pa.string()),
            "object_key": pa.array([o.key for o in objects], pa.string()),
            "version": pa.array([o.version for o in objects], pa.string()),
            "bytes": pa.array([o.size for o in objects], pa.int64()),
            "modified_at": pa.array([o.modified for o in objects], pa.timestamp("us", "UTC")),
            "records": pa.array([records_of.get(number, 0) for number in range(len(objects))], pa.int64()),
        }
    )


def unmatched_rows(items: Mapping[str, int], *, known: Collection[str], most: int = MOST_ENTITIES) -> pa.Table:
    """What is added to `unmatched`: once there are `most` entities `known`, new ones count as others."""
    room = max(0, most - len(known))
    counts: dict[str, int] = {}
    for entity, count in items.items():
        if entity not in known:
            room -= 1
        name = entity if entity in known or room >= 0 else OTHERS
        counts[name] = counts.get(name, 0) + count
    return pa.table({"entity": pa.array(counts, pa.string()), "items": pa.array(counts.values(), pa.int64())})


def misfit_rows(misfits: Sequence[Misfit]) -> pa.Table:
    """What is added to `misfits`."""
    return pa.table(
        {
            "target": pa.array([m.target for m in misfits], pa.string()),
            "column_name": pa.array([m.column for m in misfits], pa.string()),
            # Postgres' texts have no U+0000: https://www.postgresql.org/docs/current/datatype-character.html
            "attribute": pa.array([m.attribute.replace("\0", "?") for m in misfits], pa.string()),
            "rows": pa.array([m.rows for m in misfits], pa.int64()),
            "first_key": pa.array([key_document(m.key) for m in misfits], pa.string()),
            "first_value": pa.array([m.value for m in misfits], pa.string()),
        }
    )


def key_document(key: Sequence[str]) -> str:
    """How a key's texts are written down as one: a JSON list."""
    return json.dumps(list(key), ensure_ascii=False)


def quarantine_rows(
    workbench: Workbench,
    objects: Sequence[LocalObject],
    *,
    source: str,
    bucket: str,
    places: Sequence[Place] | None = None,
    portion_bytes: int = PORTION_BYTES,
) -> pa.RecordBatchReader:
    """What is in the workbench's table `rejected`, a portion at a time: a feed of nothing but rubbish is as large.

    `places`, by object number: where single records that were taken out of quarantine lay.
    """
    refs = {o.number: o.ref for o in objects}
    rejects_of = Counter[int]()  # a record may have become several
    bench = workbench.bench()
    # Never all of `raw` in one scan: DuckDB holds the bytes of 2,048 rows at a time, and a row may have a megabyte.
    # https://duckdb.org/docs/stable/internals/vector
    sizes = bench.rows(
        f"SELECT min(rowid), max(rowid), CAST(sum(size) AS BIGINT) FROM rejected GROUP BY rowid // {_FEW} ORDER BY 1"
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for first, last in _portions(sizes, portion_bytes):
            table = bench.table(f"SELECT {_REJECTED} FROM rejected WHERE rowid BETWEEN {first} AND {last}")
            yield from _entries(table, refs, source, bucket, places, rejects_of).to_batches()

    return pa.RecordBatchReader.from_batches(_QUARANTINE, batches())


def _portions(sizes: Iterable[tuple[int, int, int]], limit: int) -> Iterator[tuple[int, int]]:
    """Neighbours of (first row, last row, bytes) put together, up to `limit` bytes or a single one."""
    held: tuple[int, int, int] | None = None
    for first, last, size in sizes:
        if held and held[2] + size <= limit:
            held = held[0], last, held[2] + size
        else:
            if held:
                yield held[0], held[1]
            held = first, last, size
    if held:
        yield held[0], held[1]


def _entries(
    rejected: pa.Table,
    refs: Mapping[int, ObjectRef],
    source: str,
    bucket: str,
    places: Sequence[Place] | None,
    rejects_of: Counter[int],
) -> pa.Table:
    numbers: list[int] = rejected.column("object_number").to_pylist()
    mine = [refs[n] for n in numbers]
    if places is not None:
        records, offsets = [places[n].record for n in numbers], [places[n].byte_offset for n in numbers]
        ids = []
        for n in numbers:
            ids.append(_id(places[n].id, rejects_of[n]) if rejects_of[n] else places[n].id)
            rejects_of[n] += 1
    else:
        records, offsets = rejected.column("record").to_pylist(), rejected.column("byte_offset").to_pylist()
        ids = [_id(source, bucket, r.key, r.version, o) for r, o in zip(mine, offsets, strict=True)]
    return pa.table(
        {
            "id": ids,
            "bucket": [bucket] * len(mine),
            "object_key": [r.key for r in mine],
            "version": [r.version for r in mine],
            "record": records,
            "byte_offset": offsets,
        }
        | {name: rejected.column(name) for name in ("reason", "detail", "raw")},
        schema=_QUARANTINE,
    )


def _id(*place: object) -> str:
    """The same record of the same object version has the same id, however often it is read."""
    return hashlib.sha256("\n".join(map(str, place)).encode()).hexdigest()[:16]
