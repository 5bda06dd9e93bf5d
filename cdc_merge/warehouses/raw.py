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


@dataclass(frozen=True)
class Loaded:
    """`documents`: how many each object has, by URL. `unproven`: the URLs of objects that may not be as listed."""

    documents: Mapping[str, int]
    unproven: frozenset[str] = frozenset()


@runtime_checkable
class LoadsRaw(Protocol):
    """A session that loads raw objects."""

    def load_raw(self, table: str, objects: Sequence[RawObject]) -> Loaded | None:
        """Create the temporary table `table` with one row for each JSON document of the objects, in `document`.

        Returns None if the warehouse cannot tell the documents of one object from another's. Raises WarehouseRefused
        if one of them is no JSON, or not as it was listed, and WarehouseUnavailable.
        """


__all__ = ["Loaded", "LoadsRaw", "Packing", "RawObject"]
