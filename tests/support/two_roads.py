"""The same feed on both roads: decoded by the worker, and by the warehouse as far as it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3

from cdc_merge.errors import CdcMergeError
from cdc_merge.metrics import DECODERS, Metrics
from cdc_merge.model import Load, Source
from cdc_merge.warehouses import Statement, open_warehouse
from tests.support.harness import Harness, fresh


class DecodersMetrics(Metrics):
    """Notes who decoded each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.decoders: list[str] = []

    def batch_decoded(self, source: str, by: str) -> None:
        assert by in DECODERS
        super().batch_decoded(source, by)
        self.decoders.append(by)


@dataclass
class S3Harness(Harness):
    """A harness whose objects lie in a bucket; the URL's environment has the endpoint."""

    metrics: DecodersMetrics = field(default_factory=DecodersMetrics)
    bucket: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bucket = f"bucket-{uuid4()}"
        self.client.create_bucket(Bucket=self.bucket)
        if self.engine == "snowflake":
            self.url += f"{'&' if '?' in self.url else '?'}feeds={self._make_stage()}:s3://{self.bucket}/"
        self.source = replace(self.source, changes=f"s3://{self.bucket}/feed/")

    @property
    def engine(self) -> str:
        """The warehouse's scheme."""
        return urlsplit(self.url).scheme

    def _make_stage(self) -> str:
        """A stage over the bucket, which a person would have made."""
        database, schema = urlsplit(self.url).path.strip("/").split("/")
        name = f"{database}.{schema}.FEED_{uuid4().hex.upper()}"
        with closing(open_warehouse(self.url)) as warehouse, warehouse.session() as session:
            session.run([Statement("create stage", f"CREATE STAGE {name} URL = 's3://{self.bucket}/'")])
        return name

    @property
    def client(self) -> Any:
        return boto3.session.Session().client("s3")

    def put(self, data: bytes, name: str | None = None) -> str:
        self._objects += 1
        key = f"feed/{name or f'2026/01/01/00/feed-1-{self._objects:06d}'}"
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)
        return key


# What is written down of a source, without what differs from one run to the next.
BOOKS = {
    "objects": "object_key, version, bytes, records",
    "batches": "newest_change_at, objects, records, applied, superseded, stale, ignored, quarantined",
    "batch_targets": "target, inserted, updated, deleted",
    "tombstones": "partition_key, sort_key, position, changed_at",
    "quarantine": "object_key, version, record, byte_offset, reason, detail",
    "unmatched": "entity, items",
    "misfits": "target, column_name, attribute, rows, first_key, first_value",
    "targets": "target, columns",
    "sources": "ordering, key_types, table_arn",
}


@dataclass
class TwoRoads:
    """One source twice, in one database. Each batch gets a worker of its own."""

    by_worker: S3Harness
    by_warehouse: S3Harness

    @staticmethod
    def of(url: str, source: Source, folder: Path, make: Callable[..., Harness] = fresh) -> TwoRoads:
        made = []
        for load in Load:
            plain = make(url, replace(source, load=Load.WORKER), folder)
            made.append(
                S3Harness(
                    url, replace(source, load=load), plain.directory, schema=plain.schema, metadata=plain.metadata
                )
            )
        return TwoRoads(*made)

    @property
    def decoders(self) -> list[str]:
        """Who decoded each batch of the source that asks for the warehouse."""
        return self.by_warehouse.metrics.decoders

    def merge(self, *objects: bytes, names: Sequence[str] | None = None) -> str:
        """Merge one batch on both roads, which must leave the same; returns who decoded it where both may."""
        done = len(self.decoders)
        ends = []
        for harness in (self.by_worker, self.by_warehouse):
            for number, body in enumerate(objects):
                harness.put(body, names[number] if names else None)
            ends.append(_end(harness))
        assert ends[0] == ends[1]
        self.compare()
        return (self.decoders[done:] or ["nobody"])[-1]

    def compare(self) -> None:
        """Every table of the one source against that of the other."""
        for table, names in BOOKS.items():
            columns = ", ".join(map(self.by_worker.dialect.quote, names.split(", ")))
            found = [
                sorted(map(str, harness.query(f"SELECT {columns} FROM {harness.metadata}.{table}")))
                for harness in (self.by_worker, self.by_warehouse)
            ]
            assert found[0] == found[1], table
        mine, other = self.by_worker.rows(), self.by_warehouse.rows()
        assert mine.keys() == other.keys()
        for table, (schema, rows) in mine.items():
            assert (schema, rows) == other[table], table


def _end(harness: S3Harness) -> object:
    """The counts of a run, or the error it ends with."""
    try:
        return harness.run(metrics=harness.metrics).counts.as_dict()
    except CdcMergeError as error:
        return type(error)


__all__ = ["S3Harness", "TwoRoads"]
