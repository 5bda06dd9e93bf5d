"""Cuts a stream of records into objects of a feed, named and framed as Firehose lands them in S3."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, cast

from isal import igzip

from bench.ecommerce import BEGIN

Codec = Literal["gzip", "none"]
Framing = Literal["ndjson", "concatenated"]

MOMENT = re.compile(rb'"ApproximateCreationDateTime":(\d+)')


def write_objects(
    directory: Path,
    records: Iterable[bytes],
    *,
    total: int,
    objects: int,
    codec: Codec = "gzip",
    framing: Framing = "ndjson",
    stream: str = "ecommerce",
) -> list[Path]:
    """Cut `total` records into objects of equal count below hour folders, named as Firehose names them.

    A name is of the time of the object's first record: <yyyy/MM/dd/HH>/<stream>-1-<time>-<uuid><extension>.
    https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html
    """
    records = iter(records)
    written = []
    for n in range(objects):
        count = total * (n + 1) // objects - total * n // objects
        pieces = _joined(islice(records, count), b"\n" if framing == "ndjson" else b"")
        first = next(pieces, None)
        if first is None:
            break
        moment = MOMENT.search(first)
        at = datetime.fromtimestamp(int(moment[1]) if moment else BEGIN, UTC)
        name = f"{stream}-1-{at:%Y-%m-%d-%H-%M-%S}-{uuid.uuid5(uuid.NAMESPACE_OID, f'{stream} {n} {at}')}"
        path = directory / f"{at:%Y/%m/%d/%H}" / (name + (".gz" if codec == "gzip" else ""))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, _compressed(file, codec) as sink:
            sink.write(first)
            for piece in pieces:
                sink.write(piece)
        written.append(path)
    return written


def _joined(records: Iterator[bytes], delimiter: bytes) -> Iterator[bytes]:
    while some := list(islice(records, 1000)):
        yield delimiter.join(some) + delimiter


def _compressed(file: BinaryIO, codec: str) -> BinaryIO:
    if codec == "none":
        return file
    return cast(BinaryIO, igzip.IGzipFile(filename="", mode="wb", fileobj=file, compresslevel=2, mtime=0))
