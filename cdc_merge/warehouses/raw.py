"""What a warehouse that loads raw objects by itself is asked: a verb of its session, beside those of all engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable


class Packing(Enum):
    """How an object is compressed, of what such warehouses unpack."""

    NONE = "none"
    GZIP = "gzip"


@dataclass(frozen=True)
class RawObject:
    """One version of an object that the warehouse is to load. `url`: s3://bucket/key. `etag`: that of the version."""

    url: str
    etag: str
    packing: Packing


@runtime_checkable
class LoadsRaw(Protocol):
    """A session that loads raw objects."""

    def load_raw(self, table: str, objects: Sequence[RawObject]) -> Mapping[str, int] | None:
        """Create the temporary table `table` with one row for each JSON document of the objects, in `document`.

        Returns the documents of each, by URL; None if the warehouse cannot tell them apart. Raises WarehouseRefused if
        one of them is no JSON, or not as it was listed, and WarehouseUnavailable.
        """


__all__ = ["LoadsRaw", "Packing", "RawObject"]
