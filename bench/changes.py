"""The changes of an invented table as Streams records: which item changes when, how late, how often, how it ends.

The same arguments give the same records. Run it: python -m bench.changes DIR --table tpch --size S --skew 1.1
"""

from __future__ import annotations

import argparse
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Protocol

from bench.delivery import PROMPT, Delivery, delivered
from bench.ecommerce import BEGIN, OrderBook, Shop
from bench.objects import write_objects
from bench.tpch import Lineitems, Tpch
from bench.zipf import spread, zipf

LABEL = "2026-01-01T00:00:00.000"
CHANGES_PER_SECOND = 60
HOT_ITEMS = 0.05  # a share of the items ...
HOT_CHANGES = 0.28  # ... gets a share of the changes on top: 1 M changes of 400 k items touch 337 k

ACCOUNT = "arn:aws:dynamodb:eu-central-1:123456789012:table/"
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
TTL = '"userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},'
RECORD = (
    '{"eventID":"%032x","eventName":"%s","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-central-1",'
    '%s"dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{%s}%s,"SequenceNumber":"%d","SizeBytes":%d,'
    '"StreamViewType":"NEW_AND_OLD_IMAGES"},"eventSourceARN":"%s/stream/' + LABEL + '"}'
)


class Items(Protocol):
    """The items of a table, by number. Key and every version of an image follow from the number alone."""

    table: str

    def item(self, number: int, version: int) -> tuple[str, str]:
        """The key and the rest of the image, as the insides of JSON objects; the rest may be empty."""


@dataclass(frozen=True)
class Knobs:
    """What the changes are like.

    `skew`: the exponent of a Zipf distribution of changes over items; 0: all alike; None: a few hot items.
    `deletes`: the share of changes that remove an item that is there; `ttl`: the share of these that TTL makes.
    `pad`: bytes added to each image. `delivery`: what goes wrong on the way.
    """

    skew: float | None = None
    deletes: float = 0.056  # REMOVE is 7 % of all, with those of e-mail items
    ttl: float = 0.0
    pad: int = 0
    delivery: Delivery = PROMPT


USUAL = Knobs()
KINDS: dict[str, Callable[[int, int], Items]] = {
    "ecommerce": Shop,
    "orders": OrderBook,
    "tpch": Tpch,
    "lineitem": Lineitems,
}
SIZES = {"smoke": (400, 2_000), "S": (1_000_000, 5_000_000), "M": (10_000_000, 50_000_000)}
"""Items to draw from, and changes."""


def generate(
    items: int, changes: int, seed: int = 1, *, kind: Callable[[int, int], Items] = Shop, knobs: Knobs = USUAL
) -> Iterator[bytes]:
    """`changes` Streams records of at most `items` items, in order unless `knobs` say else, without line ends.

    Compact JSON. Sequence numbers grow with gaps, and from 21 to 22 digits half-way. A removed item may come again.
    The view type is NEW_AND_OLD_IMAGES.
    """
    made = _made(kind(items, seed), items, changes, seed, knobs)
    return delivered(made, knobs.delivery, total=changes, seed=seed)


def _made(table: Items, items: int, changes: int, seed: int, knobs: Knobs) -> Iterator[bytes]:
    """Records without end."""
    rng = Random(seed + 1)
    random, bits = rng.random, rng.getrandbits
    versions = array("i", [0]) * items  # of the image that is there; negative: removed at that version
    sequence = 10**21 - changes * 25_000 // 2
    arn, pad = ACCOUNT + table.table, f',"Pad":{{"S":"{"x" * knobs.pad}"}}' if knobs.pad else ""
    for n, number in zip(count(), _picked(items, rng, knobs.skew), strict=False):
        version = versions[number]
        key, rest = table.item(number, abs(version) + 1)
        new = f',"NewImage":{{{key}{rest}{pad}}}'
        by = ""
        if version <= 0:
            name, images, version = "INSERT", new, 1 - version
        else:
            old = f',"OldImage":{{{key}{table.item(number, version)[1]}{pad}}}'
            # An item that is only a key has nothing to modify: it goes.
            if random() < knobs.deletes or not rest:
                name, images, version = "REMOVE", old, -version
                by = TTL if knobs.ttl and random() < knobs.ttl else ""
            else:
                name, images, version = "MODIFY", new + old, version + 1
        versions[number] = version
        sequence += 1 + bits(14) * 3
        size = len(images) * 2 // 3
        record = RECORD % (bits(128), name, by, BEGIN + n // CHANGES_PER_SECOND, key, images, sequence, size, arn)
        yield record.encode()


def _picked(items: int, rng: Random, skew: float | None) -> Iterator[int]:
    """Numbers of items, without end."""
    random = rng.random
    if skew is None:
        hot = max(1, int(items * HOT_ITEMS))
        while True:
            # Hot items are spread over all entities: a stride through the whole range.
            yield int(random() * hot) * (items // hot) if random() < HOT_CHANGES else int(random() * items)
    if skew == 0:
        while True:
            yield int(random() * items)
    place = spread(items)
    for rank in zipf(items, skew, rng):
        yield place(rank)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.changes", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--table", choices=list(KINDS), default="ecommerce")
    parser.add_argument("--size", choices=list(SIZES), default="S", help="items and changes (default: 1 M, 5 M)")
    parser.add_argument("--items", type=int, help="items to draw from, in place of the size's")
    parser.add_argument("--changes", type=int, help="records, in place of the size's")
    parser.add_argument("--skew", type=float, help="exponent of a Zipf distribution; 0: all items alike")
    parser.add_argument("--deletes", type=float, default=USUAL.deletes, help="share of removals")
    parser.add_argument("--ttl", type=float, default=0.0, help="share of the removals that TTL makes")
    parser.add_argument("--pad", type=int, default=0, help="bytes added to each image")
    parser.add_argument("--duplicates", type=float, default=0.0, help="share of records that come twice")
    parser.add_argument("--disorder", type=int, default=1, help="records among which order is lost")
    parser.add_argument("--lateness", type=float, default=0.0, help="share of records that are held back")
    parser.add_argument("--late-by", type=int, default=10_000, help="for so many records")
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--codec", choices=["gzip", "none"], default="gzip")
    parser.add_argument("--framing", choices=["ndjson", "concatenated"], default="ndjson")
    asked = parser.parse_args()
    items, changes = (asked.items or SIZES[asked.size][0]), (asked.changes or SIZES[asked.size][1])
    delivery = Delivery(asked.duplicates, asked.disorder, asked.lateness, asked.late_by)
    knobs = Knobs(asked.skew, asked.deletes, asked.ttl, asked.pad, delivery)
    begun = time.perf_counter()
    paths = write_objects(
        asked.directory,
        islice(generate(items, changes, asked.seed, kind=KINDS[asked.table], knobs=knobs), changes),
        total=changes,
        objects=asked.objects,
        codec=asked.codec,
        framing=asked.framing,
        stream=asked.table,
    )
    size = sum(path.stat().st_size for path in paths)
    print(f"{changes} records, {len(paths)} objects, {size / 1e6:.1f} MB in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
