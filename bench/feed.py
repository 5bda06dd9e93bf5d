"""The data of the benches and the configuration that reads it: made once below bench/data, then used again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.changes import Knobs, generate
from bench.delivery import Delivery
from bench.ecommerce import OrderBook
from bench.objects import Codec, Framing, write_objects
from cdc_merge.model import BatchLimits, Column, ColumnType, Evolve, Kind, Settings, Source, Target

DATA = Path(__file__).parent / "data"
OBJECTS = 8  # of one load
KEYS_PER_RECORD = 0.4  # items to draw from; about 84 % of them get a change
ONE_BATCH = BatchLimits(bytes=2 * 1000**3)
TABLE = "items"

_MONEY = ColumnType(Kind.NUMERIC, 12, 2)
_COUNT = ColumnType(Kind.INTEGER)
_TEXT = ColumnType(Kind.TEXT)

# Every attribute the feed has, so that nothing is left over for _cdc_rescued.
COLUMNS = (
    Column("type", ("Type",), _TEXT),
    Column("username", ("Username",), _TEXT),
    Column("email", ("Email address",), _TEXT),
    Column("name", ("Name",), _TEXT),
    Column("addresses", ("Addresses",), ColumnType(Kind.JSON)),
    Column("total_orders", ("TotalOrders",), _COUNT),
    Column("total_spent", ("TotalSpent",), _MONEY),
    Column("order_id", ("OrderId",), _TEXT),
    Column("created_at", ("CreatedAt",), ColumnType(Kind.TIMESTAMP)),
    Column("status", ("Status",), _TEXT),
    Column("total_amount", ("TotalAmount",), _MONEY),
    Column("number_items", ("NumberItems",), _COUNT),
    Column("address", ("Address",), _TEXT),
    Column("gsi1pk", ("GSI1PK",), _TEXT),
    Column("gsi1sk", ("GSI1SK",), _TEXT),
    Column("item_id", ("ItemId",), _TEXT),
    Column("description", ("Description",), _TEXT),
    Column("price", ("Price",), _MONEY),
    Column("amount", ("Amount",), _COUNT),
    Column("total_cost", ("TotalCost",), _MONEY),
)


@dataclass(frozen=True)
class Feed:
    """The shop's changes: two loads of equal size, the second of newer changes of the same items."""

    directory: Path
    records: int  # of one load
    first: tuple[Path, ...]
    second: tuple[Path, ...]

    def refs(self, load: Sequence[Path]) -> list[str]:
        """The paths as text, for the arguments of a probe."""
        return [str(path) for path in load]

    @property
    def stored_bytes(self) -> int:
        """Bytes of the first load's objects as they lie on disk."""
        return sum(path.stat().st_size for path in self.first)


def shop(records: int, *, below: Path = DATA) -> Feed:
    """The feed with `records` a load; generated if it is not there yet."""
    directory = below / f"ecommerce-{2 * records}"
    keys = int(records * KEYS_PER_RECORD)
    make_once(directory, lambda place: _write(place, generate(keys, 2 * records), 2 * records, 2 * OBJECTS))
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return Feed(directory, records, tuple(paths[:OBJECTS]), tuple(paths[OBJECTS:]))


def shop_as(
    records: int, *, codec: Codec = "gzip", framing: Framing = "ndjson", below: Path = DATA
) -> tuple[Path, ...]:
    """The first load's changes as other objects: uncompressed, or run together; generated if they are not there yet."""
    directory = below / f"ecommerce-{records}-{codec}-{framing}"
    keys = int(records * KEYS_PER_RECORD)

    def write(place: Path) -> None:
        changes = islice(generate(keys, 2 * records), records)
        write_objects(place, changes, total=records, objects=OBJECTS, codec=codec, framing=framing)

    make_once(directory, write)
    return tuple(sorted(path for path in directory.rglob("*") if path.is_file()))


def disordered(records: int, *, is_calm: bool = False, below: Path = DATA) -> tuple[Path, ...]:
    """`records` changes, most of them to few items: 2 % come twice, 1 % late by a quarter of all, none in order.

    `is_calm`: each once and in order.
    """
    delivery = Delivery(duplicates=0.02, disorder=max(2, records // 200), lateness=0.01, late_by=records // 4)
    knobs = Knobs(skew=1.1) if is_calm else Knobs(skew=1.1, delivery=delivery)
    directory = below / f"{'skewed' if is_calm else 'disordered'}-{records}"
    keys = int(records * KEYS_PER_RECORD)
    make_once(directory, lambda place: _write(place, generate(keys, records, knobs=knobs), records, OBJECTS))
    return tuple(sorted(path for path in directory.rglob("*") if path.is_file()))


def tiny(objects: int, *, below: Path = DATA) -> tuple[Path, ...]:
    """As many objects of one record each, about 1 KB before compression."""
    directory = below / f"tiny-{objects}"
    keys = max(16, objects // 2)
    make_once(directory, lambda place: _write(place, generate(keys, objects), objects, objects))
    return tuple(sorted(path for path in directory.rglob("*") if path.is_file()))


def order_book(records: int, *, below: Path = DATA) -> tuple[Path, ...]:
    """`records` changes of orders that have their items inside them, in a list of five."""
    directory = below / f"orders-{records}"
    keys = max(16, int(records * KEYS_PER_RECORD))
    make_once(directory, lambda place: _write(place, generate(keys, records, kind=OrderBook), records, OBJECTS))
    return tuple(sorted(path for path in directory.rglob("*") if path.is_file()))


def _write(place: Path, records: Iterable[bytes], total: int, objects: int) -> None:
    write_objects(place, records, total=total, objects=objects)


def make_once(directory: Path, make: Callable[[Path], None]) -> None:
    """Make a directory beside, then rename it: what bears the name is whole. Nothing is done if it is there."""
    if directory.exists():
        return
    unfinished = directory.with_name(f"{directory.name}.{os.getpid()}")
    make(unfinished)
    try:
        unfinished.rename(directory)
    except OSError:  # someone else was faster
        shutil.rmtree(unfinished)


def link(paths: Iterable[Path], directory: Path) -> None:
    """Put objects into a feed's directory, under their hour folders, as links."""
    for path in paths:
        place = directory.joinpath(*path.parts[-5:])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.absolute())


def settings(
    *, warehouse: str, changes: str, columns: tuple[Column, ...] | None, batch: BatchLimits | None = None
) -> Settings:
    """A configuration with one source and one target; `columns` None: every attribute becomes a column."""
    target = Target(TABLE, columns=columns, evolve=Evolve.ADD if columns is None else Evolve.FREEZE)
    return settings_for((target,), warehouse=warehouse, changes=changes, batch=batch)


def settings_for(
    targets: tuple[Target, ...], *, warehouse: str, changes: str, batch: BatchLimits | None = None
) -> Settings:
    """A configuration with one source and these targets."""
    source = Source("ecommerce", changes, ("PK", "SK"), targets, batch=batch or BatchLimits())
    return Settings(warehouse, "analytics", "cdc_merge", (source,))
