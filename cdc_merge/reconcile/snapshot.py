"""Decodes an export, a few files at a time, into one local DuckDB file that a warehouse can stage from."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cdc_merge.errors import Refused
from cdc_merge.feed.chunks import LocalObject
from cdc_merge.feed.items import DecodedItems, decode_items
from cdc_merge.feed.notices import Misfit, Notices
from cdc_merge.feed.shape import Form
from cdc_merge.feed.values import staged_definition
from cdc_merge.feed.workbench import WORKBENCH_SHARE, Bench, Workbench
from cdc_merge.model import ObjectRef, Source
from cdc_merge.reconcile.report import Method
from cdc_merge.schema.book import SchemaBook
from cdc_merge.warehouses.dialect import DUCKDB, Dialect

_FETCH_THREADS = 4
_INFLATION = 8  # uncompressed bytes per stored byte, about; only how many files are decoded at once depends on it
_SMALLEST_GROUP = 16 * 2**20  # stored bytes: with these many, the numbers of groups last for any table

GROUP_BITS = 48
"""Of a row's number, those that tell it from others in its group of files."""


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
    """Decoded items in a DuckDB file: tables `keys` and, for each target, `rows_<i>`.

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
    count, unusable = 0, Counter[str]()
    taken = _Taken(path, len(books))
    notices = Notices(counts_unmatched=False)
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
                books=books,
                dialect=dialect,
                check=check,
                notices=notices,
            )
            if any(decoded.items_of.values()):
                key_tags = decoded.key_tags
            _check_counts([file for file, _ in group.files], decoded)
            taken.add(workbench, number)
        count += sum(decoded.items_of.values())
        unusable.update(decoded.unusable)
        read += sum(file.size for file, _ in group.files)
        progress(read, whole)
        shutil.rmtree(group.folder)
    if items.items is not None and count != items.items:
        raise _miscounted(items.label, items.items, count)
    tags = key_tags or tuple("S" for _ in source.key)
    with Workbench(memory=int(source.memory * WORKBENCH_SHARE)) as workbench:
        taken.finish(workbench, books, dialect)
        taken.refuse_twice(workbench, items.label)
    return Snapshot(path, count, tags, dict(unusable), notices.misfits)


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


class _Taken:
    """The snapshot's file, which grows by the tables of one workbench after the other."""

    def __init__(self, path: Path, targets: int) -> None:
        self._path = path
        self._targets = range(targets)

    def add(self, workbench: Workbench, group: int) -> None:
        self._attach(workbench)
        shift = f"n + {group}::BIGINT * {2**GROUP_BITS}"
        workbench.execute("CREATE TABLE IF NOT EXISTS snapshot.keys AS FROM stage_keys LIMIT 0")
        workbench.execute(f"INSERT INTO snapshot.keys BY NAME SELECT * REPLACE ({shift} AS n) FROM stage_keys")
        for i in self._targets:
            self._widen(workbench, i)
            workbench.execute(
                f"INSERT INTO snapshot.rows_{i} BY NAME SELECT * REPLACE ({shift} AS n) FROM stage_rows_{i}"
            )
        workbench.execute("DETACH snapshot")

    def _attach(self, bench: Bench) -> None:
        # Packing texts into dictionaries takes a fifth of the whole decoding, for a file that is read once.
        # https://duckdb.org/docs/stable/configuration/overview
        bench.execute("SET disabled_compression_methods = 'dict_fsst'")
        bench.execute(f"ATTACH {DUCKDB.literal(str(self._path))} AS snapshot")

    def _widen(self, workbench: Workbench, i: int) -> None:
        """The columns of `stage_rows_<i>` for `rows_<i>`, which earlier groups may not have needed."""
        workbench.execute(f"CREATE TABLE IF NOT EXISTS snapshot.rows_{i} AS FROM stage_rows_{i} LIMIT 0")
        missing = workbench.rows(
            f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'stage_rows_{i}' "
            "AND column_name NOT IN (SELECT column_name FROM duckdb_columns() "
            f"WHERE database_name = 'snapshot' AND table_name = 'rows_{i}') ORDER BY column_index"
        )
        for column, kind in missing:
            workbench.execute(f"ALTER TABLE snapshot.rows_{i} ADD COLUMN {DUCKDB.quote(column)} {kind}")

    def finish(self, workbench: Workbench, books: Sequence[SchemaBook], dialect: Dialect) -> None:
        """All tables with all columns, also where not one file had an item."""
        self._attach(workbench)
        flags = "".join(f", takes_{i} BOOLEAN" for i in self._targets)
        workbench.execute(
            "CREATE TABLE IF NOT EXISTS snapshot.keys (n BIGINT, partition_key VARCHAR, sort_key VARCHAR, "
            f"position VARCHAR, changed_at TIMESTAMP WITH TIME ZONE, removed BOOLEAN, could BOOLEAN{flags})"
        )
        for i, book in enumerate(books):
            workbench.execute(f"CREATE TABLE stage_rows_{i} ({staged_definition(book, dialect)})")
            self._widen(workbench, i)

    def refuse_twice(self, workbench: Workbench, label: str) -> None:
        """An export has each item once; a file that is listed twice, or a copy that went wrong, does not."""
        twice = workbench.rows(
            "SELECT partition_key, sort_key FROM snapshot.keys GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        )
        workbench.execute("DETACH snapshot")
        if twice:
            raise Refused(
                f"the item {list(twice[0])} is in it more than once",
                where=label,
                hint="take a new export and reconcile with that",
            )
