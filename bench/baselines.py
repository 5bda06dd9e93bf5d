"""What an expert would write by hand for the same data, measured as ours is and in the same run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import boto3
import duckdb
import psycopg2
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder

from bench.child import Step, Watch
from bench.feed import COLUMNS, ONE_BATCH, TABLE, link, settings
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.decode import decode
from cdc_merge.feed.directory import DirectoryStore
from cdc_merge.feed.facts import FeedFacts
from cdc_merge.feed.workbench import WORKBENCH_SHARE, Workbench
from cdc_merge.model import Source
from cdc_merge.schema.book import SchemaBook
from cdc_merge.schema.opening import open_book
from cdc_merge.warehouses.dialect import POSTGRES

_FETCH_THREADS = 16


def bare_read(*, paths: list[str]) -> dict[str, Step]:
    """DuckDB reads the lines of the objects and counts them, on all cores: the floor of any decoder."""
    connection = duckdb.connect()
    watch = Watch()
    connection.execute("SELECT count(*) FROM read_ndjson_objects(?)", [paths])
    (count,) = connection.fetchone() or (0,)
    return {"read": watch.step(counts={"records": count})}


def bare_gets(*, changes: str) -> dict[str, Step]:
    """boto3 lists the objects and gets each, 16 at once, and does nothing with them."""
    place = urlsplit(changes)
    client = boto3.session.Session().client("s3")

    def get(key: str) -> int:
        return len(client.get_object(Bucket=place.netloc, Key=key)["Body"].read())

    watch = Watch()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=place.netloc)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    with ThreadPoolExecutor(_FETCH_THREADS) as pool:
        list(pool.map(get, keys))
    return {"get": watch.step(counts={"objects": len(keys)})}


def handwritten_upsert(*, warehouse: str, loads: dict[str, list[str]], columns: bool) -> dict[str, Step]:
    """Our decoding alone, then a binary COPY of the newest rows and INSERT … ON CONFLICT DO UPDATE.

    It guards against no late change, deletes nothing and keeps no books.
    """
    steps: dict[str, Step] = {}
    for label, paths in loads.items():
        with tempfile.TemporaryDirectory() as folder:
            feed = Path(folder)
            link(map(Path, paths), feed)
            (source,) = settings(
                warehouse=warehouse, changes=f"file://{feed}", columns=COLUMNS if columns else None, batch=ONE_BATCH
            ).sources
            steps[label] = _load_by_hand(warehouse, source, feed)
    return steps


def _load_by_hand(url: str, source: Source, feed: Path) -> Step:
    store = DirectoryStore(feed)
    objects = [
        LocalObject(number, ref, feed / ref.key) for number, ref in enumerate(store.list_page(start_after=None).objects)
    ]
    book = open_book(source.targets[0], source.key, POSTGRES, None)
    watch, marks = Watch(), [perf_counter()]
    with Workbench(memory=int(source.memory * WORKBENCH_SHARE)) as workbench:
        decode(workbench, objects, source=source, facts=FeedFacts(None, None), books=[book], dialect=POSTGRES)
        marks.append(perf_counter())
        # The whole join at once takes more than our own road, which loads keys and rows by themselves.
        workbench.execute("SET memory_limit = '2GB'")
        staged = ", ".join(f"s.c{i}" for i in range(len(book.schema.columns)))
        rows = workbench.table(
            f"SELECT k.partition_key, k.sort_key, {staged}, k.position, k.changed_at, s.rescued "
            "FROM stage_rows_0 AS s JOIN stage_keys AS k USING (n)"
        )
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(table_of(book))
            names = copy_rows(cursor, rows.to_reader())
            marks.append(perf_counter())
            cursor.execute(upsert(book, names))
            connection.commit()
        marks.append(perf_counter())
    phases = dict(zip(("decode", "copy", "upsert"), (b - a for a, b in pairwise(marks)), strict=True))
    return watch.step(phases=phases, counts={"rows": rows.num_rows})


def _columns(book: SchemaBook) -> list[tuple[str, str]]:
    """(name, type) of the target's table, in the order of what is copied."""
    text = f"text {POSTGRES.byte_order}"
    keys = [(POSTGRES.quote(name), text) for name in book.schema.key_names]
    values = [
        (POSTGRES.quote(c.name), text if POSTGRES.type_name(c.type) == "text" else POSTGRES.type_name(c.type))
        for c in book.schema.columns
    ]
    kept = [("_cdc_position", text), ("_cdc_changed_at", "timestamptz"), ("_cdc_rescued", "json")]
    return [*keys, *values, *kept]


def table_of(book: SchemaBook) -> str:
    """CREATE TABLE of the target, as far as it is needed."""
    columns = ", ".join(f"{name} {type_name}" for name, type_name in _columns(book))
    keys = ", ".join(POSTGRES.quote(name) for name in book.schema.key_names)
    return f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns}, _cdc_merged_at timestamptz, PRIMARY KEY ({keys}))"


def copy_rows(cursor: psycopg2.extensions.cursor, rows: pa.RecordBatchReader) -> list[str]:
    """COPY rows, as they come, into the new temporary table `staged` in the types they have; returns its columns."""
    names = [f"v{i}" for i in range(len(rows.schema))]
    types = [pa.string() if _is_view(field.type) else field.type for field in rows.schema]
    encoder = ArrowToPostgresBinaryEncoder(pa.schema(list(zip(names, types, strict=True))))
    ddl = [column.data_type.ddl() for column in encoder.schema().columns]
    definition = ", ".join(f"{name} {kind}" for name, kind in zip(names, ddl, strict=True))

    def encoded() -> Iterator[bytes]:
        yield encoder.write_header()
        for batch in rows:
            columns = [column.cast(kind) for column, kind in zip(batch.columns, types, strict=True)]
            yield encoder.write_batch(pa.RecordBatch.from_arrays(columns, names=names))
        yield encoder.finish()

    cursor.execute("DROP TABLE IF EXISTS staged")
    cursor.execute(f"CREATE TEMPORARY TABLE staged ({definition})")
    copy = "COPY staged FROM STDIN WITH (FORMAT BINARY)"
    cursor.copy_expert(copy, _Pieces(encoded()))  # type: ignore[arg-type]  # only read() is called
    return names


class _Pieces:
    """Bytes for psycopg2, which takes pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")


def _is_view(arrow_type: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(arrow_type) or pa.types.is_null(arrow_type))


def upsert(book: SchemaBook, staged: Sequence[str]) -> str:
    """INSERT ... ON CONFLICT of what was copied."""
    columns = _columns(book)
    values = ", ".join(
        f"CAST({value} AS {type_name.split(' COLLATE')[0]})"
        for value, (_, type_name) in zip(staged, columns, strict=True)
    )
    names = [name for name, _ in columns]
    keys = [POSTGRES.quote(name) for name in book.schema.key_names]
    changes = ", ".join(f"{n} = EXCLUDED.{n}" for n in [*names, "_cdc_merged_at"] if n not in keys)
    return (
        f"INSERT INTO {TABLE} ({', '.join(names)}, _cdc_merged_at) SELECT {values}, now() FROM staged "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
    )


PROBES: dict[str, Callable[..., dict[str, Step]]] = {
    "bare_read": bare_read,
    "bare_gets": bare_gets,
    "handwritten_upsert": handwritten_upsert,
}
