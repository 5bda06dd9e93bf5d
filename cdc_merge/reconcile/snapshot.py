"""Decodes an export, a few files at a time, into one local DuckDB file that a warehouse can stage from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cdc_merge.errors import Refused
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.item_shelf import ItemTables
from cdc_merge.feed.items import DecodedItems, decode_items
from cdc_merge.feed.notices import Misfit, Notices
from cdc_merge.feed.shape import Form
from cdc_merge.feed.workbench import WORKBENCH_SHARE, Workbench
from cdc_merge.model import ObjectRef, Source
from cdc_merge.reconcile.report import Method
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses.dialect import Dialect

_FETCH_THREADS = 4
_INFLATION = 8  # uncompressed bytes per stored byte, about; only how many files are decoded at once depends on it
_SMALLEST_GROUP = 16 * 2**20  # stored bytes: with these many, the numbers of groups last for any table


@dataclass(frozen=True)
class ItemFile:
    """A file with an item on each line. `items`: how many it should have; None: nobody said.

    `fetch` gives a local path, in the folder it is handed or elsewhere; it raises Refused for bytes that are not what
    was exported.
    """

    name: str
    size: int  # bytes as stored
    items: int | None
    fetch: Callable[[Path], Path]


@dataclass(frozen=True)
class Items:
    """The items of a table as of a time, in files: an export, or the result of a scan.

    `since` is set where only what changed from then on is in it. `items` as the manifest says, if there is one.
    """

    label: str
    method: Method
    form: Form
    as_of: datetime
    since: datetime | None
    items: int | None
    table_arn: str | None
    files: tuple[ItemFile, ...]


@dataclass(frozen=True)
class Snapshot:
    """Decoded items in a DuckDB file: `keys` and, for each target, `rows_<i>`, and these with their keys, `keyed_<i>`.

    `misfits`: columns that did not take some values.
    """

    path: Path
    items: int
    key_tags: tuple[str, ...]
    unusable: Mapping[str, int]
    misfits: tuple[Misfit, ...] = ()


Progress = Callable[[int, int], None]
"""Told (bytes read, bytes in all), as stored."""


def take_snapshot(
    items: Items,
    folder: Path,
    *,
    source: Source,
    key_tags: tuple[str, ...] | None,
    books: Sequence[SchemaBook],
    dialect: Dialect,
    check: Callable[[], None] = lambda: None,
    progress: Progress = lambda _read, _all: None,
) -> Snapshot:
    """Read everything once; `books` grow by the columns it needs. `check` may raise to stop.

    Raises Refused where a file is not what was exported, or does not have as many items as it should.
    """
    path = folder / "snapshot.duckdb"
    read, whole = 0, sum(f.size for f in items.files)
    count = 0
    tables = ItemTables(path, books, dialect)
    notices = Notices()
    limit = max(_SMALLEST_GROUP, source.batch.bytes // _INFLATION)
    for number, group in enumerate(_fetched(items.files, folder, limit=limit)):
        check()
        objects = [LocalObject(i, _ref(file, items.as_of), at) for i, (file, at) in enumerate(group.files)]
        with Workbench(memory=int(source.memory * WORKBENCH_SHARE)) as workbench:
            decoded = decode_items(
                workbench,
                objects,
                source=source,
                form=items.form,
                key_tags=key_tags,
                tables=tables,
                group=number,
                check=check,
                notices=notices,
            )
        if any(decoded.items_of.values()):
            key_tags = decoded.key_tags
        _check_counts([file for file, _ in group.files], decoded)
        count += sum(decoded.items_of.values())
        read += sum(file.size for file, _ in group.files)
        progress(read, whole)
        shutil.rmtree(group.folder)
    if items.items is not None and count != items.items:
        raise _miscounted(items.label, items.items, count)
    tags = key_tags or tuple("S" for _ in source.key)
    with Workbench(memory=int(source.memory * WORKBENCH_SHARE)) as workbench, tables.at_hand(workbench):
        unusable = tables.finish(workbench)
        _refuse_twice(workbench, items.label)
    return Snapshot(path, count, tags, unusable, notices.misfits)


@dataclass(frozen=True)
class _Group:
    folder: Path
    files: list[tuple[ItemFile, Path]]


def _fetched(files: Sequence[ItemFile], folder: Path, *, limit: int) -> Iterator[_Group]:
    """Groups of files of some `limit` bytes, each fetched while the one before it is decoded."""

    def fetch(group: Sequence[ItemFile]) -> _Group:
        own = Path(tempfile.mkdtemp(dir=folder))
        places = [own / str(i) for i in range(len(group))]
        for place in places:
            place.mkdir()
        return _Group(own, list(zip(group, crew.map(lambda f, p: f.fetch(p), group, places), strict=True)))

    with (
        ThreadPoolExecutor(_FETCH_THREADS, thread_name_prefix="fetch") as crew,
        ThreadPoolExecutor(1, thread_name_prefix="fetch-ahead") as ahead,
    ):
        coming: Future[_Group] | None = None
        for group in _grouped(files, limit):
            following = ahead.submit(fetch, group)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def _grouped(files: Sequence[ItemFile], limit: int) -> Iterator[list[ItemFile]]:
    group: list[ItemFile] = []
    held = 0
    for file in files:
        if group and held + file.size > limit:
            yield group
            group, held = [], 0
        group.append(file)
        held += file.size
    if group:
        yield group


def _ref(file: ItemFile, as_of: datetime) -> ObjectRef:
    return ObjectRef(file.name, "", file.size, as_of)


def _check_counts(files: Sequence[ItemFile], decoded: DecodedItems) -> None:
    for number, file in enumerate(files):
        found = decoded.items_of.get(number, 0)
        if file.items is not None and found != file.items:
            raise _miscounted(file.name, file.items, found)


def _miscounted(where: str, expected: int, found: int) -> Refused:
    return Refused(
        f"the manifest says {expected:,} items, there are {found:,}",
        where=where,
        hint="take a new export and reconcile with that",
    )


def _refuse_twice(workbench: Workbench, label: str) -> None:
    """An export has each item once; a file that is listed twice, or a copy that went wrong, does not."""
    # Hashes take less room than the keys, and of those only the ones of equal hashes are looked at.
    twice = workbench.rows(
        "SELECT partition_key, sort_key FROM snapshot.keys WHERE hash(partition_key, sort_key) IN ("
        "SELECT h FROM (SELECT hash(partition_key, sort_key) AS h FROM snapshot.keys) GROUP BY h HAVING count(*) > 1"
        ") GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
    )
    if twice:
        raise Refused(
            f"the item {list(twice[0])} is in it more than once",
            where=label,
            hint="take a new export and reconcile with that",
        )
