"""Where the objects of a feed lie: an S3 bucket or a directory, behind one small protocol.

A listing is flat and in byte order of the whole key. Python compares text by code point, and UTF-8 keeps
that order, so `<` on keys is the order S3 lists in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cdc_merge.errors import ObjectChanged, UsageError
from cdc_merge.model import ObjectRef

PAGE = 1000  # the most one request lists: docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html


@dataclass(frozen=True)
class Page:
    """Objects in key order; `is_last`: nothing lies after them."""

    objects: tuple[ObjectRef, ...]
    is_last: bool


class ObjectStore(Protocol):
    """What a feed asks of the place its objects lie in. Safe to use from several threads.

    Errors: StoreUnavailable (try again), StoreDenied (a person must act).
    """

    @property
    def bucket(self) -> str:
        """The bucket, or the absolute path of the directory: together with key and version an identity."""

    @property
    def prefix(self) -> str:
        """What every key starts with, taken literally as S3 does; empty for a directory."""

    @property
    def root(self) -> str:
        """The URL of it all, for messages."""

    def list_page(self, *, start_after: str | None, limit: int = PAGE) -> Page:
        """The first `limit` (at most 1,000) objects below the prefix with key > start_after. One request."""

    def fetch(self, ref: ObjectRef, directory: Path) -> Path:
        """A local file with the bytes of exactly this version, in `directory` or where it lies already.

        In `directory` each version of an object has a name of its own.
        Raises ObjectChanged when the object no longer has that version or is gone.
        """

    def begin(self, ref: ObjectRef, size: int) -> bytes:
        """The first bytes of exactly this version, `size` at most. Raises ObjectChanged as `fetch` does."""

    def verify(self, ref: ObjectRef, path: Path) -> None:
        """Raise ObjectChanged if `path`, which `fetch` gave and the caller has read, changed meanwhile."""

    def describe(self, ref: ObjectRef) -> str:
        """The object's URL, for messages."""


def open_store(url: str, *, setting: str = "changes") -> ObjectStore:
    """The store at `s3://bucket/prefix` or `file:///absolute/directory`. URLs are literal: no %-escapes.

    `setting`: the one that holds the URL, for hints. Nothing is asked of the store yet. Raises UsageError for any other
    URL.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "s3" and rest.partition("/")[0]:
        from cdc_merge.feed.s3 import S3Store  # here: boto3 is slow to import, directories need none

        bucket, _, prefix = rest.partition("/")
        return S3Store(bucket, prefix, setting=setting)
    if separator and scheme == "file" and rest.startswith("/"):
        from cdc_merge.feed.directory import DirectoryStore

        return DirectoryStore(Path(rest), setting=setting)
    raise UsageError(
        "this is not a place objects can be read from",
        where=url,
        hint="write s3://bucket/prefix/ or file:///absolute/directory",
    )


def changed(where: str) -> ObjectChanged:
    """The error for an object that is not what was listed."""
    return ObjectChanged(
        "the object was rewritten or removed since it was listed", where=where, hint="it is listed again"
    )
