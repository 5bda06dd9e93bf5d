"""Counts the objects that wait to be merged, as far as that is cheap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdc_merge.clock import utc_now
from cdc_merge.errors import CdcMergeError
from cdc_merge.feed.discovery import Discovery
from cdc_merge.feed.store import ObjectStore, open_store
from cdc_merge.model import ObjectRef, Source

_MOST_PAGES = 10  # of a thousand objects each


@dataclass(frozen=True)
class Backlog:
    """Objects that wait. `is_all`: the whole prefix was listed, not its beginning. `trouble`: why it could not be."""

    objects: int
    bytes: int
    is_all: bool
    trouble: str | None = None


class _Enough(Exception):
    """As many pages were listed as is cheap."""


def count_waiting(
    source: Source,
    is_merged: Callable[[ObjectStore, Sequence[ObjectRef]], set[ObjectRef]],
    *,
    most_pages: int = _MOST_PAGES,
) -> Backlog:
    """Lists the first few pages of the prefix; `is_merged` tells which objects the ledger has."""
    objects = size = pages = 0

    def ask(refs: Sequence[ObjectRef]) -> set[ObjectRef]:
        nonlocal pages
        if pages == most_pages:
            raise _Enough
        pages += 1
        return is_merged(store, refs)

    try:
        store = open_store(source.changes)
        for page in Discovery(store, ask, utc_now).full():
            objects += len(page)
            size += sum(ref.size for ref in page)
    except _Enough:
        return Backlog(objects, size, is_all=False)
    except CdcMergeError as error:
        return Backlog(objects, size, is_all=False, trouble=error.message)
    return Backlog(objects, size, is_all=True)
