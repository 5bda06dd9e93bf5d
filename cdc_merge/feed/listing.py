"""Lists the whole of a feed, a page at a time, whatever has become of its objects."""

from __future__ import annotations

from collections.abc import Iterator

from cdc_merge.feed.keys import after_folder, error_folder, is_data
from cdc_merge.feed.store import ObjectStore
from cdc_merge.model import ObjectRef


def list_data(store: ObjectStore, *, with_errors: bool = False) -> Iterator[list[ObjectRef]]:
    """The objects of each page that are data; `with_errors`: all objects, with those in Firehose's error folders.

    Lazy: a page is asked for when it is wanted, and may have none.
    """
    position: str | None = None
    while True:
        page = store.list_page(start_after=position)
        yield [ref for ref in page.objects if with_errors or is_data(ref.key, store.prefix, size=ref.size)]
        if page.is_last:
            return
        position = page.objects[-1].key
        if not with_errors and (folder := error_folder(position, store.prefix)) is not None:
            position = max(position, after_folder(folder))
