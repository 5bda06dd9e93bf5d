"""Places to put objects, each with the store that reads them: S3 (moto), a directory, a double in memory."""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cdc_merge.errors import ObjectChanged, StoreDenied
from cdc_merge.feed.directory import DirectoryStore
from cdc_merge.feed.store import PAGE, ObjectStore, Page
from cdc_merge.model import ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Place(Protocol):
    """Somewhere a test writes objects, by the key below the prefix."""

    @property
    def store(self) -> ObjectStore: ...

    def put(self, name: str, body: bytes = b"x") -> object: ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True)
class S3Place:
    """A prefix of a bucket."""

    store: ObjectStore
    client: S3Client

    def put(self, name: str, body: bytes = b"x") -> None:
        self.client.put_object(Bucket=self.store.bucket, Key=self.store.prefix + name, Body=body)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=self.store.bucket, Key=self.store.prefix + name)


@dataclass(frozen=True)
class DirectoryPlace:
    """A directory, existing."""

    store: DirectoryStore

    def put(self, name: str, body: bytes = b"x") -> None:
        path = Path(self.store.bucket) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def remove(self, name: str) -> None:
        (Path(self.store.bucket) / name).unlink()


class MemoryStore:
    """A double of an S3 prefix, for many objects: strict about what a caller may ask.

    `page` is the most keys one page holds; S3 too may give fewer than asked for.
    """

    def __init__(self, *, prefix: str = "feed/", page: int = PAGE, exists: bool = True) -> None:
        self.bucket = "memory"
        self.prefix = prefix
        self.root = f"memory://memory/{prefix}"
        self._page = page
        self._bucket_exists = exists
        self._keys: list[str] = []
        self._objects: dict[str, tuple[str, datetime, bytes]] = {}  # version, modified, body
        self._versions = itertools.count(1)

    @property
    def store(self) -> MemoryStore:
        return self

    @property
    def refs(self) -> set[ObjectRef]:
        return {self._ref(key) for key in self._keys}

    def _ref(self, key: str) -> ObjectRef:
        version, modified, body = self._objects[key]
        return ObjectRef(key, version, len(body), modified)

    def has(self, name: str) -> bool:
        return self.prefix + name in self._objects

    def put(self, name: str, body: bytes = b"x", *, modified: datetime | None = None) -> ObjectRef:
        key = self.prefix + name
        if key not in self._objects:
            insort(self._keys, key)
        self._objects[key] = (f"v{next(self._versions)}", modified or datetime.now(UTC), body)
        return self._ref(key)

    def fill(self, names: Iterable[str], *, modified: datetime) -> None:
        """Put many at once, all of one version."""
        one = (f"v{next(self._versions)}", modified, b"x")
        self._objects |= dict.fromkeys([self.prefix + name for name in names], one)
        self._keys = sorted(self._objects)

    def remove(self, name: str) -> None:
        self._keys.remove(self.prefix + name)
        del self._objects[self.prefix + name]

    def list_page(self, *, start_after: str | None, limit: int = PAGE) -> Page:
        assert start_after is None or (start_after and start_after.encode()), "S3 refuses such a StartAfter"
        assert 1 <= limit <= PAGE
        if not self._bucket_exists:
            raise StoreDenied("no such bucket", where=self.root, hint="create it")
        first = bisect_right(self._keys, start_after or "")
        last = first + min(limit, self._page)
        objects = tuple(self._ref(key) for key in self._keys[first:last])
        return Page(objects, is_last=last >= len(self._keys))

    def fetch(self, ref: ObjectRef, directory: Path) -> Path:
        if ref.key not in self._objects or self._ref(ref.key) != ref:
            raise ObjectChanged("rewritten or removed", where=self.describe(ref))
        path = directory / ref.version
        path.write_bytes(self._objects[ref.key][2])
        return path

    def begin(self, ref: ObjectRef, size: int) -> bytes:
        if ref.key not in self._objects or self._ref(ref.key) != ref:
            raise ObjectChanged("rewritten or removed", where=self.describe(ref))
        return self._objects[ref.key][2][:size]

    def verify(self, ref: ObjectRef, path: Path) -> None:
        assert path.exists()

    def describe(self, ref: ObjectRef) -> str:
        return f"memory://memory/{ref.key}"
