"""What lies at the PATH of `infer`: change objects, an export, or a single file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cdc_merge.errors import UsageError
from cdc_merge.exports.finder import fetch_verified, find_export
from cdc_merge.exports.manifest import FOLDER, SUMMARY, Export, ExportKind
from cdc_merge.exports.place import Place, folder_url, is_missing_directory, name_of, parent_of
from cdc_merge.feed.listing import list_data
from cdc_merge.feed.store import open_store
from cdc_merge.infer.facts import Form

Fetch = Callable[[Path], Path]


@dataclass(frozen=True)
class Readable:
    """An object that can be read. `fetch` gives a local path, in the folder it is handed or where it lies already."""

    name: str
    size: int  # bytes as stored
    fetch: Fetch


@dataclass(frozen=True)
class Location:
    """What is to be read, and what a configuration says of it.

    `changes`, `exports`: URLs for the configuration, as far as PATH tells. `form`: of the lines, if that is sure.
    `table`: the DynamoDB table, as an export names it. `label`: what to call it in comments.
    """

    label: str
    objects: tuple[Readable, ...]
    form: Form | None
    changes: str | None
    exports: str | None = None
    table: str | None = None


def look(path: str, *, listed: Callable[[int], None] = lambda _count: None) -> Location:
    """Find out what lies at a URL or a local path; `listed` hears how many objects were found so far.

    Raises UsageError when there is nothing to read, Refused for an export that cannot be trusted.
    """
    if (file := _local_file(path)) is not None:
        if file.name == SUMMARY:
            return _exported(find_export(None, str(file.parent), source="infer"))
        return _single(file)
    url = folder_url(path)
    if is_missing_directory(url):
        raise UsageError("there is no such file or directory", where=path, hint="correct the path")
    if _is_export(url):
        return _exported(find_export(None, url, source="infer"))
    store = open_store(url if url.startswith("file://") else path)
    refs = []
    for page in list_data(store):
        refs += [ref for ref in page if ref.size]
        listed(len(refs))
    if not refs:
        raise UsageError("there are no objects here", where=path, hint="name a prefix or a directory that has some")
    is_one = len(refs) == 1 and not path.endswith("/") and store.describe(refs[0]) == path
    return Location(
        label=path if "://" in path else url,
        objects=tuple(Readable(store.describe(ref), ref.size, partial(store.fetch, ref)) for ref in refs),
        form=None,
        changes=parent_of(path) if is_one else url,
    )


def _local_file(path: str) -> Path | None:
    if "://" in path and not path.startswith("file://"):
        return None
    file = Path(path.removeprefix("file://")).expanduser().absolute()
    return file if file.is_file() else None


def _single(file: Path) -> Location:
    return Location(
        label=f"file://{file}",
        objects=(Readable(str(file), file.stat().st_size, lambda _directory: file),),
        form=None,
        changes=f"file://{file.parent}/",
    )


def _is_export(url: str) -> bool:
    """Whether this is an export's folder, the root above AWSDynamoDB/, or that folder itself."""
    if name_of(url) == FOLDER or name_of(parent_of(url)) == FOLDER:
        return True
    place = Place.open(url)
    return place.has(SUMMARY) or place.has(f"{FOLDER}/")


def _exported(export: Export) -> Location:
    folder = parent_of(export.location)
    return Location(
        label=export.location,
        objects=tuple(
            Readable(file.ref.key, file.ref.size, partial(fetch_verified, export, file))
            for file in export.files
            if file.items
        ),
        form=Form.ITEMS if export.kind is ExportKind.FULL else Form.EXPORTED_CHANGES,
        changes=None,
        exports=parent_of(folder) if name_of(folder) == FOLDER else None,
        table=export.table_arn,
    )
